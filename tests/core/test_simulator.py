"""The core under simulated faults: many seeds, each a cluster of its own shape (see simulator.py)."""

import os
from collections import Counter
from functools import cache

import pytest

from tests.core.simulator import SimulationError, Simulator

EVENTS = int(os.environ.get("RAFT_SIMULATED_EVENTS", "500000"))
EVENTS_PER_SEED = 8000
SEEDS = range(max(10, EVENTS // EVENTS_PER_SEED))
BATCHES = 10

FAULTS = {
    "lost", "duplicated", "crash and restart", "crash everyone", "crash the leader", "pause", "jump clock",
    "partition", "isolate the leader", "one way partition", "cut a link", "heal network", "slow disk",
    "take snapshot", "snapshot installed", "change members", "joint change", "transfer", "promote when caught up",
}  # fmt: skip


@cache
def simulate(seed: int) -> Simulator:
    """Run one seed; a failure names it and how to replay it."""
    simulator = Simulator(seed)
    simulator.run(EVENTS_PER_SEED)
    return simulator


@pytest.mark.parametrize("batch", range(BATCHES))
def test_no_sequence_of_faults_breaks_a_property_or_stops_progress(batch: int) -> None:
    """Figure 3, linearizable reads, and liveness once everything is healed."""
    for seed in SEEDS[batch::BATCHES]:
        simulate(seed)


def test_every_kind_of_fault_really_fired() -> None:
    """A simulation that breaks nothing shows nothing."""
    fired: Counter[str] = Counter()
    for seed in SEEDS:
        fired += simulate(seed).faults
    assert not FAULTS - fired.keys(), fired
    assert sum(len(simulate(seed).truth) for seed in SEEDS) > 100 * len(SEEDS)
    assert sum(simulate(seed).reads_confirmed for seed in SEEDS) > 30 * len(SEEDS)


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
    from raftnode.core.messages import RequestVoteResponse

    simulator.hosts[1].pending.append((3, RequestVoteResponse(10**6, True)))
    with pytest.raises(SimulationError, match="votes for 2 and 3"):
        simulator._release(simulator.hosts[1])


def test_the_simulator_notices_a_machine_that_differs_and_a_stale_read() -> None:
    """A checker is tested on a planted violation."""
    simulator = Simulator(3)
    simulator.run(3000)
    host = max(simulator.hosts.values(), key=lambda h: h.applied)
    entry = simulator.truth[-1]
    host.applied = entry.index - 1
    with pytest.raises(SimulationError, match="another node"):
        simulator._apply(host, [type(entry)(entry.term + 1, entry.index, b"other")])
    host.reads[10**6] = 5
    with pytest.raises(SimulationError, match="confirms a read at 4"):
        simulator._read_confirmed(host, 10**6, 4)
