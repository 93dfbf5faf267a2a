"""Random operations with power losses: the log agrees with one in memory."""

import random

import pytest

from raftnode.core.storage import MemStorage
from raftnode.core.types import HardState, LogEntry
from raftnode.storage.wal import Wal
from tests.storage.script import WAL, LogState, Step, state_of
from tests.support.filesystem import SimulatedCrash, SimulatedFilesystem
from tests.support.scale import WAL_SEEDS


def random_step(rng: random.Random, model: MemStorage) -> Step:
    """Return an operation that makes sense on the log as the model has it: terms never fall."""
    (base, last_term), last = model.snapshot_metadata(), model.stable_index
    first, entries = base + 1, model.load_entries_after(base)
    term = max([1, last_term, *(entry.term for entry in entries)]) + rng.randrange(3)
    match rng.randrange(7):
        case 0 | 1 | 2:
            size = rng.choice([0, 1, 10, 127, 400, 1100])
            filler = rng.choice([b"\0", b"a", rng.randbytes(1)])
            new = [LogEntry(term, last + 1 + i, filler * size) for i in range(rng.randrange(1, 6))]
            return lambda log: log.append(new)
        case 3 | 4:
            at = rng.randrange(first, last + 3)
            return lambda log: log.truncate(at)
        case 5:
            to = rng.randrange(first - 1, last + 3)
            of = entries[to - first].term if first <= to <= last else term
            return lambda log: log.compact(to, of)
        case _:
            state = HardState(term, rng.choice([None, 1, 2, 3]))
            return lambda log: log.save_hard_state(state)


def model_of(state: LogState) -> MemStorage:
    """Return a log in memory that holds `state`."""
    model = MemStorage()
    model.compact(*state[1])
    model.append(state[2])
    model.save_hard_state(state[0])
    return model


@pytest.mark.parametrize("seed", range(WAL_SEEDS))
def test_random_operations_agree_with_a_log_in_memory_through_power_losses(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Staged, synced, reopened, and after a power loss in the middle of a sync."""
    rng = random.Random(seed)
    monkeypatch.setattr("raftnode.storage.segment.BATCH_BYTES", rng.choice([200, 1000, 1 << 18]))
    segment_bytes = rng.choice([700, 3000, 1 << 20])
    fs, model = SimulatedFilesystem(seed), MemStorage()
    wal = Wal.open(WAL, fs, segment_bytes)
    synced = state_of(model)
    for _ in range(rng.randrange(5, 30)):
        for _ in range(rng.randrange(1, 5)):
            step = random_step(rng, model)
            step(model)
            step(wal)
            assert state_of(wal) == state_of(model)
        if rng.random() < 0.3:
            fs.crash_at = fs.changes + rng.randrange(1, 9)
        try:
            wal.sync()
        except SimulatedCrash:
            fs = fs.crash(lambda piece: rng.random() < 0.7)
            wal = Wal.open(WAL, fs, segment_bytes)
            found = state_of(wal)
            assert found in (synced, state_of(model))
            model, synced = model_of(found), found
            continue
        fs.crash_at = None
        assert wal.stable_index == wal.last_index == model.stable_index
        synced = state_of(model)
        if rng.random() < 0.3:
            wal.close()
            wal = Wal.open(WAL, fs, segment_bytes)
            assert state_of(wal) == synced
