"""A script of log operations that passes every kind of write, and what the log must hold after each sync."""

from collections.abc import Callable, Sequence

from raftnode.core.storage import MemStorage
from raftnode.core.types import HardState, LogEntry
from raftnode.storage.wal import Wal

LogState = tuple[HardState, tuple[int, int], list[LogEntry]]
Step = Callable[[Wal | MemStorage], None]

WAL = "/disk/wal"
SEGMENT_BYTES = 2500


def entries(first: int, last: int, term: int, size: int = 60) -> list[LogEntry]:
    """Return entries whose data tells them apart."""
    return [LogEntry(term, i, (b"%d.%d " % (term, i)) * (size // 4)) for i in range(first, last + 1)]


def state_of(log: Wal | MemStorage) -> LogState:
    """Return everything that a log holds."""
    snapshot = log.snapshot_metadata()
    return log.load_hard_state(), snapshot, list(log.load_entries_after(snapshot[0]))


def save(term: int, vote: int | None) -> Step:
    """Return the step that saves a hard state."""
    return lambda log: log.save_hard_state(HardState(term, vote))


def add(first: int, last: int, term: int, size: int = 60) -> Step:
    """Return the step that appends entries."""
    return lambda log: log.append(entries(first, last, term, size))


def zeros(index: int, term: int, size: int) -> Step:
    """Return the step that appends an entry of zeros, the bytes that an unwritten disk holds too."""
    return lambda log: log.append([LogEntry(term, index, bytes(size))])


def cut(index: int) -> Step:
    """Return the step that truncates."""
    return lambda log: log.truncate(index)


def compact(index: int, term: int) -> Step:
    """Return the step that compacts."""
    return lambda log: log.compact(index, term)


SCRIPT: Sequence[Sequence[Step]] = (
    (save(1, 1),),
    (add(1, 3, 1),),
    (save(2, None), add(4, 4, 2)),
    (zeros(5, 2, 1500),),
    (add(6, 9, 2, 200),),
    (save(3, 2), cut(8), add(8, 9, 3)),
    (compact(4, 2),),
    (add(10, 14, 3, 800),),
    (cut(12), add(12, 13, 4), compact(12, 4)),
    (cut(13),),
    (add(13, 16, 5), cut(15), add(15, 15, 6, 900), save(6, 3)),
    (compact(40, 7),),
    (add(41, 44, 7, 700), compact(42, 7)),
    (save(8, 1), add(45, 45, 8)),
)
"""Each group of steps ends with a sync."""


def states() -> list[LogState]:
    """Return the state before the script and after each of its syncs, from a log in memory."""
    model = MemStorage()
    found = [state_of(model)]
    for group in SCRIPT:
        for step in group:
            step(model)
        found.append(state_of(model))
    return found
