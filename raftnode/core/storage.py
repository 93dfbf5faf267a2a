"""Storage of the log and the hard state: the protocol that the core needs, and an implementation in memory."""

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from raftnode.core.errors import LogCompacted, StorageError
from raftnode.core.membership import Configuration
from raftnode.core.types import HardState, LogEntry


@runtime_checkable
class LogStorage(Protocol):
    """The durable log and hard state of one node.

    `append`, `truncate`, `compact` and `save_hard_state` may be staged; what was staged becomes durable in the
    order of the calls. How is up to the storage and the caller: with a `sync()` in step 2 of `Ready`, for example, or
    within each call. Every method raises StorageError when the disk fails. This, or
    any other exception, stops the node for good. `raftnode.testing.check_log_storage()` checks a storage against all
    of this.
    """

    @property
    def stable_index(self) -> int:
        """The last index that is known to be durable: a leader counts itself only up to there.

        Every entry up to it is on the disk as it is in the log: `truncate(i)` lowers it below `i` at once. Otherwise
        entries that replace old ones would count as durable, and a crash could lose what was committed.
        """

    def append(self, entries: Sequence[LogEntry]) -> None:
        """Add entries that follow the last one without a gap."""

    def truncate(self, index: int) -> None:
        """Discard the entries from `index` on, that one included. `stable_index` is below `index` afterwards."""

    def load_entries_after(self, index: int) -> Iterable[LogEntry]:
        """Return the entries above `index`, in order."""

    def load_entries(self, first: int, last: int, bytes_max: int | None = None) -> list[LogEntry]:
        """Return entries `first`..`last`, both included; at least one, and fewer if `bytes_max` is reached."""

    def compact(self, index: int, term: int) -> None:
        """Discard the entries up to `index`, which had `term`. Above the last entry: the log restarts there."""

    def snapshot_metadata(self) -> tuple[int, int]:
        """Return (index, term) of the last discarded entry, or (0, 0)."""

    def save_hard_state(self, state: HardState) -> None:
        """Save the term and the vote, atomically."""

    def load_hard_state(self) -> HardState:
        """Return the hard state saved last; `HardState(0, None)` if there is none."""


@runtime_checkable
class ConfigurationStorage(LogStorage, Protocol):
    """A LogStorage that also keeps the members in force at the snapshot point.

    With it `RaftNode.restore()` needs no argument. With any other storage the caller keeps the members beside its
    snapshots, and passes them to `restore()` in a `SnapshotMeta`.
    """

    def compact(self, index: int, term: int, configuration: Configuration | None = None) -> None:
        """Discard the entries up to `index`, as LogStorage says, and keep `configuration` with the snapshot point."""

    def snapshot_configuration(self) -> Configuration | None:
        """Return the configuration given to the last `compact()`; None if none was, or nothing was discarded."""


class MemStorage(ConfigurationStorage):
    """A ConfigurationStorage in memory. Everything is durable at once, for as long as the object lives."""

    def __init__(self) -> None:
        """An empty log, and the hard state of a new node."""
        self._entries: list[LogEntry] = []
        self._snapshot = (0, 0)
        self._configuration: Configuration | None = None
        self._hard_state = HardState()

    @property
    def stable_index(self) -> int:
        return self._snapshot[0] + len(self._entries)

    @property
    def last_term(self) -> int:
        """The term of the log's last entry, discarded or not; 0: there never was one."""
        return self._entries[-1].term if self._entries else self._snapshot[1]

    def append(self, entries: Sequence[LogEntry]) -> None:
        if entries:
            self._extend(entries)

    def truncate(self, index: int) -> None:
        if index <= self._snapshot[0]:
            raise StorageError(f"truncate at {index}: the log begins after {self._snapshot[0]}")
        del self._entries[index - self._snapshot[0] - 1 :]

    def load_entries_after(self, index: int) -> list[LogEntry]:
        if index < self._snapshot[0]:
            raise LogCompacted(index + 1, self._snapshot[0] + 1)
        return self._entries[index - self._snapshot[0] :]

    def load_entries(self, first: int, last: int, bytes_max: int | None = None) -> list[LogEntry]:
        base = self._snapshot[0] + 1
        if first < base:
            raise LogCompacted(first, base)
        found = self._entries[first - base : last - base + 1]
        if bytes_max is None:
            return found
        return found[: count_within(found, bytes_max)]

    def compact(self, index: int, term: int, configuration: Configuration | None = None) -> None:
        if index <= self._snapshot[0]:
            return
        del self._entries[: index - self._snapshot[0]]
        self._snapshot, self._configuration = (index, term), configuration

    def snapshot_configuration(self) -> Configuration | None:
        return self._configuration

    def snapshot_metadata(self) -> tuple[int, int]:
        return self._snapshot

    def save_hard_state(self, state: HardState) -> None:
        self._hard_state = state

    def load_hard_state(self) -> HardState:
        return self._hard_state

    def _extend(self, entries: Sequence[LogEntry]) -> None:
        last = self._snapshot[0] + len(self._entries)
        if entries[0].index != last + 1:
            raise StorageError(f"append at {entries[0].index}: the log ends at {last}")
        self._entries.extend(entries)

    def _show(self, other: "MemStorage") -> None:
        """Become a copy of `other`."""
        self._entries, self._snapshot, self._hard_state = other._entries[:], other._snapshot, other._hard_state
        self._configuration = other._configuration


def count_within(entries: Sequence[LogEntry], bytes_max: int) -> int:
    """Return how many leading entries fit in `bytes_max` bytes of data: at least one if there is one."""
    size = 0
    for count, entry in enumerate(entries):
        size += len(entry.data)
        if size > bytes_max and count:
            return count
    return len(entries)
