"""Whole nodes under random faults: every history is linearizable, members end equal, no request waits forever.

A failure names its seed and how to replay it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.runs import Summary, run_everywhere
from tests.simulation.world import EVENTS, World
from tests.support.scale import EFFECT_COUNT_MIN, FAULT_COUNT_MIN, SECONDS_MAX, SIMULATION_SEEDS

pytestmark = pytest.mark.timeout(SECONDS_MAX)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def summary() -> Summary:
    """What all seeds came to; they share the machine's cores."""
    total = Summary()
    for part in run_everywhere(range(SIMULATION_SEEDS)):
        total.add(part)
    return total


def test_no_faults_break_a_promise_or_stop_progress(summary: Summary) -> None:
    """See world.py for what is checked after every event and at the end."""
    assert not summary.failures, (
        f"{len(summary.failures)} of {SIMULATION_SEEDS} seeds failed; one: {summary.failures[0]}"
    )
    assert summary.events >= SIMULATION_SEEDS * EVENTS


def test_every_kind_of_fault_really_fired(summary: Summary) -> None:
    """A simulation that breaks nothing shows nothing. Counted are the orders and, apart, what they came to."""
    rare = {kind: count for kind, count in summary.faults().items() if count < FAULT_COUNT_MIN}
    assert not rare, f"fired less than {FAULT_COUNT_MIN} times: {rare}"


@pytest.mark.parametrize("kind", [
    "add_learner made", "add_observer made", "joined later", "joined in a joint phase", "promote made",
    "demote made", "remove made", "joint change made",
    "leadership transferred", "snapshot taken", "start from a snapshot", "crash in a start", "name lost",
    "out of room", "redirect", "retry", "local read", "put: ok", "get: ok", "delete: ok", "cas: ok", "incr: ok",
    "put: unknown", "incr: unknown", "pipelined: ok", "pipelined: retry", "watch: changes seen",
    "watch: lost changes reported", "log: entries read", "log: compacted", "events: read", "events: of the next run",
    "status: read", "list: read", "snapshot read: whole",
])  # fmt: skip
def test_what_the_faults_and_clients_aim_at_came_about(summary: Summary, kind: str) -> None:
    """That something was asked for says little: it also has to succeed, or to fail as it should."""
    assert summary.happened[kind] >= EFFECT_COUNT_MIN


def test_a_seed_replays_to_the_byte() -> None:
    """Also in another process with other hashes: the same events in the same order, to the last one."""
    lines = []
    for hash_seed in ("1", "2"):
        command = [sys.executable, "-m", "tests.simulation", "--seed", "4711", "--events", "3000"]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        lines.append(done.stdout.splitlines()[-1])
    assert "trace" in lines[0]
    assert lines[0] == lines[1]


def test_a_trace_changes_nothing() -> None:
    """A failure that is found without a trace is there again with one."""
    command = [sys.executable, "-m", "tests.simulation", "--seed", "11", "--events", "2000", "--trace"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    world = World(11, 2000)
    world.run()
    assert f"seed 11: {world.cluster.events} events, {len(world.history)} operations" in done.stdout.splitlines()[-1]
    assert len(done.stdout.splitlines()) > world.cluster.events
