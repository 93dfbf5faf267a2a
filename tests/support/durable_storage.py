"""A LogStorage whose writes become durable only at a sync, as a disk's do: a model for crashes of the core."""

import random
from collections.abc import Callable, Sequence

from raftnode.core.storage import MemStorage
from raftnode.core.types import HardState, LogEntry

Write = Callable[[MemStorage], None]


class DurableStorage(MemStorage):
    """What the node sees is this object; what survives a crash is `disk` and some of the staged writes.

    Writes reach the disk in the order of the calls, so a crash keeps any number of the first ones.
    `on_durable(term before, entries)` hears of the entries that reach it.
    """

    def __init__(self, on_durable: Callable[[int, Sequence[LogEntry]], None]) -> None:
        super().__init__()
        self.disk = MemStorage()
        self.staged: list[Write] = []
        self.hard_state_staged = False
        self._stable = 0
        self._on_durable = on_durable

    @property
    def end(self) -> int:
        """The last entry, durable or not."""
        return self._snapshot[0] + len(self._entries)

    @property
    def stable_index(self) -> int:
        return self._stable

    def append(self, entries: Sequence[LogEntry]) -> None:
        if not entries:
            return
        assert entries[0].index == self.end + 1, "the core appends without a gap"
        before = self._entries[-1].term if self._entries else self._snapshot[1]
        self._entries.extend(entries)
        kept = list(entries)

        def write(disk: MemStorage) -> None:
            self._on_durable(before, kept)
            disk.append(kept)

        self.staged.append(write)

    def truncate(self, index: int) -> None:
        super().truncate(index)
        self._stable = min(self._stable, index - 1)
        self.staged.append(lambda disk: disk.truncate(index))

    def compact(self, index: int, term: int) -> None:
        super().compact(index, term)
        self.staged.append(lambda disk: disk.compact(index, term))

    def save_hard_state(self, state: HardState) -> None:
        super().save_hard_state(state)
        self.hard_state_staged = True
        self.staged.append(lambda disk: disk.save_hard_state(state))

    def sync(self) -> None:
        """Make everything durable."""
        for write in self.staged:
            write(self.disk)
        self.staged = []
        self.hard_state_staged = False
        self._stable = self.end

    def crash(self, rng: random.Random) -> None:
        """Lose a random number of the last writes that were not synced, and show what is left."""
        kept = rng.randint(0, len(self.staged))
        for write in self.staged[:kept]:
            write(self.disk)
        self.staged = []
        self.hard_state_staged = False
        self._snapshot = self.disk.snapshot_metadata()
        self._entries = list(self.disk.load_entries_after(self._snapshot[0]))
        self._hard_state = self.disk.load_hard_state()
        self._stable = self.end
