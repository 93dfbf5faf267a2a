"""Whole nodes under random faults: nothing acknowledged is lost or doubled, nothing stale is read, nobody waits.

Each walk is 2,000 events and follows from its seed; a failure names it. `RAFT_TEST_SCALE=N` walks N times as many.
"""

import os
from collections import Counter

import pytest

from raftnode.server import transfers
from tests.support.walk import Walk

SCALE = int(os.environ.get("RAFT_TEST_SCALE", "1"))
BLOCKS = 10
WALKS_PER_BLOCK = 18 * SCALE


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "CHUNK_BYTES", 400)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_acknowledged_writes_survive_a_walk_through_faults(block: int) -> None:
    """Exactly once, equal machines, a leader and an answer for everyone once the faults are over."""
    happened: Counter[str] = Counter()
    for seed in range(block * WALKS_PER_BLOCK, (block + 1) * WALKS_PER_BLOCK):
        print(f"seed {seed}")
        happened += Walk(seed).run()
    print(dict(happened))
    for kind in ("power loss", "kill", "restart", "lost", "duplicated", "blocked", "snapshot", "transfer", "write",
                 "read", "member changed", "start from a snapshot"):
        assert happened[kind], f"no {kind} in this block: it tests less than it says"


def test_a_seed_replays_exactly() -> None:
    """Otherwise a failure could not be looked at again."""
    runs = [Walk(4711, events=1000) for _ in range(2)]
    assert runs[0].run() == runs[1].run()
    assert runs[0].cluster.applied == runs[1].cluster.applied
    assert runs[0].cluster.scheduler.now == runs[1].cluster.scheduler.now
