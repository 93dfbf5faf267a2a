"""A disk that keeps what was synced, and promises nothing about the rest."""

from collections.abc import Callable, Sequence

from raftnode.core.membership import Configuration
from raftnode.core.storage import MemStorage
from raftnode.core.types import HardState, LogEntry

_Write = Callable[["Disk"], None]
"""Moves one write to the durable part of a disk."""


class Disk(MemStorage):
    """A `LogStorage` in memory that behaves as a disk with a cache.

    The node reads its own writes. A crash keeps what was synced and any number of the writes after that, the first of
    them: writes reach the disk in the order of the calls. Only a sync raises `stable_index`.

    Attributes:
        durable: What would be left if every unsynced write were lost.
    """

    def __init__(self, on_durable: Callable[[int, Sequence[LogEntry]], None] | None = None) -> None:
        """`on_durable(term of the entry before, entries)` is called with the entries that become durable."""
        super().__init__()
        self.durable = MemStorage()
        self._unsynced: list[_Write] = []
        self._stable = 0
        self._on_durable = on_durable

    @property
    def stable_index(self) -> int:
        return self._stable

    @property
    def last_index(self) -> int:
        """The index of the log's last entry, durable or not."""
        return super().stable_index

    @property
    def unsynced(self) -> int:
        """How many writes a crash may lose."""
        return len(self._unsynced)

    @property
    def hard_state_unsynced(self) -> bool:
        """Whether a crash may lose a term or a vote."""
        return self._hard_state != self.durable.load_hard_state()

    def append(self, entries: Sequence[LogEntry]) -> None:
        if not entries:
            return
        kept = list(entries)
        self._extend(kept)

        def write(disk: "Disk") -> None:
            if disk._on_durable is not None:
                disk._on_durable(disk.durable.last_term, kept)
            disk.durable.append(kept)

        self._unsynced.append(write)

    def truncate(self, index: int) -> None:
        super().truncate(index)
        self._stable = min(self._stable, index - 1)
        self._unsynced.append(lambda disk: disk.durable.truncate(index))

    def compact(self, index: int, term: int, configuration: Configuration | None = None) -> None:
        super().compact(index, term, configuration)
        self._unsynced.append(lambda disk: disk.durable.compact(index, term, configuration))

    def save_hard_state(self, state: HardState) -> None:
        super().save_hard_state(state)
        self._unsynced.append(lambda disk: disk.durable.save_hard_state(state))

    def sync(self) -> None:
        """Make everything durable."""
        for write in self._unsynced:
            write(self)
        self._unsynced = []
        self._stable = self.last_index

    def crash(self, keep: int = 0) -> None:
        """Lose the unsynced writes but for the first `keep`. Afterwards the disk reads as what is left."""
        del self._unsynced[keep:]
        self.sync()
        self._show(self.durable)
        self._stable = self.last_index

    def copy(self) -> "Disk":
        """Return another disk with the same content, durable and not."""
        other = Disk(self._on_durable)
        other._show(self)
        other.durable._show(self.durable)
        other._unsynced, other._stable = self._unsynced[:], self._stable
        return other
