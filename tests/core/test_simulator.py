"""The core under simulated faults: many seeds, each a cluster of its own shape (see simulator.py)."""

import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

import pytest

from raftnode.core.messages import RequestVoteResponse
from tests.core.simulator import SimulationError, Simulator
from tests.support.scale import CORE_SIMULATION_SEEDS, SECONDS_MAX

pytestmark = pytest.mark.timeout(SECONDS_MAX)

EVENTS_PER_SEED = 8000
SEEDS = range(CORE_SIMULATION_SEEDS)

FAULTS = {
    "lost", "duplicated", "crash and restart", "crash everyone", "crash the leader", "pause", "jump clock",
    "partition", "isolate the leader", "one way partition", "cut a link", "heal network", "slow disk",
    "take snapshot", "snapshot installed", "change members", "joint change", "transfer", "promote when caught up",
}  # fmt: skip


@dataclass
class Summary:
    """What one seed came to. `failure` names the seed and how to replay it."""

    events: int = 0
    delivered: int = 0
    reads: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    failure: str = ""


def run_seed(seed: int) -> Summary:
    """Run one seed to its end."""
    simulator = Simulator(seed)
    try:
        simulator.run(EVENTS_PER_SEED)
    except Exception:
        return Summary(failure=f"seed {seed}:\n{traceback.format_exc()}")
    return Summary(simulator.events, len(simulator.truth), simulator.reads_confirmed, simulator.faults)


@pytest.fixture(scope="module")
def summaries() -> list[Summary]:
    """Every seed's summary; the seeds share the machine's cores."""
    with ProcessPoolExecutor(mp_context=get_context("fork")) as pool:
        return list(pool.map(run_seed, SEEDS, chunksize=8))


def test_no_sequence_of_faults_breaks_a_property_or_stops_progress(summaries: list[Summary]) -> None:
    """Figure 3, linearizable reads, and liveness once everything is healed."""
    failures = [summary.failure for summary in summaries if summary.failure]
    assert not failures, f"{len(failures)} of {len(summaries)} seeds failed; the first: {failures[0]}"


def test_every_kind_of_fault_really_fired(summaries: list[Summary]) -> None:
    """A simulation that breaks nothing shows nothing."""
    fired: Counter[str] = Counter()
    for summary in summaries:
        fired += summary.faults
    assert sum(summary.events for summary in summaries) >= len(SEEDS) * EVENTS_PER_SEED
    assert not FAULTS - fired.keys(), fired
    assert sum(summary.delivered for summary in summaries) > 100 * len(SEEDS)
    assert sum(summary.reads for summary in summaries) > 30 * len(SEEDS)


def test_a_seed_replays_exactly() -> None:
    """The same events in the same order, to the last one."""
    runs = []
    for _ in range(2):
        simulator = Simulator(3, trace=True)
        simulator.run(1500)
        runs.append(list(simulator.trace))
    assert runs[0] == runs[1]
    assert len(runs[0]) > 500


def test_the_simulator_notices_a_vote_that_was_forgotten() -> None:
    """A checker is tested on a planted violation."""
    simulator = Simulator(3)
    simulator.votes[(1, 10**6)] = 2
    with pytest.raises(SimulationError, match="votes for 2 and 3"):
        simulator.hosts[1].sending(3, RequestVoteResponse(10**6, True))


def test_the_simulator_notices_a_machine_that_differs_and_a_stale_read() -> None:
    """A checker is tested on a planted violation."""
    simulator = Simulator(3)
    simulator.run(3000)
    host = max(simulator.hosts.values(), key=lambda h: h.applied)
    entry = simulator.truth[-1]
    host.applied = entry.index - 1
    with pytest.raises(SimulationError, match="another node"):
        simulator.apply(host, [type(entry)(entry.term + 1, entry.index, b"other")])
    host.floors[10**6] = 5
    with pytest.raises(SimulationError, match="confirms a read at 4"):
        simulator.read_confirmed(host, 10**6, 4)
