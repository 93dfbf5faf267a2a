"""The replicated log as the core sees it: a cached newest part over a LogStorage.

    discarded | on disk only | cached                          |
    1 ....... s s+1 ........ c ............. commit ....... last

`s` is the snapshot point: the last discarded entry, of which only the term is known. Terms are kept as runs (the
first index of each term), so that the term of any entry is found without reading it: a log has few terms.
"""

from bisect import bisect_right
from collections.abc import Sequence

from raftnode.core.errors import InvariantError, LogCompacted
from raftnode.core.membership import Configuration
from raftnode.core.storage import ConfigurationStorage, LogStorage, count_within
from raftnode.core.types import EntryKind, LogEntry


class RaftLog:
    """Entries by index. Writes go to the storage first, so that a storage error leaves the log as it was."""

    __slots__ = (
        "_cache",
        "_cache_bytes",
        "_cache_bytes_max",
        "_cache_first",
        "_run_first",
        "_run_term",
        "_storage",
        "changed",
        "last_index",
        "last_term",
        "snapshot_index",
        "snapshot_term",
    )

    def __init__(self, storage: LogStorage, cache_bytes_max: int) -> None:
        self._storage = storage
        self.changed = False
        """Whether there is something to make durable that no Ready has reported yet."""
        self._cache_bytes_max = cache_bytes_max
        self._cache: list[LogEntry] = []
        self._cache_first = 1
        self._cache_bytes = 0
        self._run_first: list[int] = [0]
        self._run_term: list[int] = [0]
        self.snapshot_index = self.snapshot_term = 0
        self.last_index = self.last_term = 0

    @property
    def stable_index(self) -> int:
        """The last entry that is known durable here."""
        return min(self._storage.stable_index, self.last_index)

    @property
    def first_index(self) -> int:
        """The index of the first entry that was not discarded; in an empty log, of the next entry."""
        return self.snapshot_index + 1

    def load(self) -> list[LogEntry]:
        """Read the storage from the snapshot point on. Return the CONFIGURATION entries, in order.

        Raises StorageError; InvariantError for entries with a gap, or whose terms fall.
        """
        self._reset(*self._storage.snapshot_metadata())
        term = self.snapshot_term
        configurations: list[LogEntry] = []
        batch: list[LogEntry] = []
        for entry in self._storage.load_entries_after(self.snapshot_index):
            if entry.index != self.last_index + len(batch) + 1:
                raise InvariantError(f"the stored log has entry {entry.index} after {self.last_index + len(batch)}")
            if entry.term < term:
                raise InvariantError(f"the stored log has entry {entry.index} of term {entry.term} after term {term}")
            term = entry.term
            if entry.kind is EntryKind.CONFIGURATION:
                configurations.append(entry)
            batch.append(entry)
            if len(batch) == 1024:
                self._remember(batch)
                self._evict(self.last_index)
                batch = []
        self._remember(batch)
        return configurations

    def term_at(self, index: int) -> int | None:
        """Return the term of the entry at `index`; None where it was discarded before the snapshot point or is
        beyond the end. The snapshot point itself is known (0 at index 0)."""
        if index >= self._run_first[-1]:
            return self.last_term if index <= self.last_index else None
        if index < self.snapshot_index:
            return None
        return self._run_term[bisect_right(self._run_first, index) - 1]

    def last_index_with_term_at_most(self, index: int, term: int) -> tuple[int, int]:
        """Return (index, term) of the last entry at or before `index` whose term is at most `term`.

        Goes back over a conflicting tail in one step (§5.3), to the snapshot point at most.
        """
        index = min(index, self.last_index)
        while index > self.snapshot_index:
            run = bisect_right(self._run_first, index) - 1
            if self._run_term[run] <= term:
                return index, self._run_term[run]
            index = self._run_first[run] - 1
        return self.snapshot_index, self.snapshot_term

    def is_up_to_date(self, last_index: int, last_term: int) -> bool:
        """Whether a log ending at (`last_term`, `last_index`) is at least as complete as this one (§5.4.1)."""
        return (last_term, last_index) >= (self.last_term, self.last_index)

    def entries(self, first: int, last: int, bytes_max: int | None = None) -> list[LogEntry]:
        """Return entries `first`..`last`, both included, at least one, stopping before `bytes_max` is passed.

        Raises LogCompacted where `first` was discarded.
        """
        if first <= self.snapshot_index:
            raise LogCompacted(first, self.snapshot_index + 1)
        last = min(last, self.last_index)
        if first > last:
            return []
        if first < self._cache_first:
            return self._storage.load_entries(first, min(last, self._cache_first - 1), bytes_max)
        found = self._cache[first - self._cache_first : last - self._cache_first + 1]
        if bytes_max is None or self._cache_bytes <= bytes_max:
            return found
        return found[: count_within(found, bytes_max)]

    def append(self, entries: Sequence[LogEntry]) -> None:
        """Add entries that follow the last one; the caller has checked their order."""
        self._storage.append(entries)
        self.changed = True
        self._remember(entries)

    def truncate(self, index: int) -> None:
        """Discard the entries from `index` on, that one included: they conflict with the leader's log (§5.3)."""
        self._storage.truncate(index)
        self.changed = True
        keep = max(index - self._cache_first, 0)
        for entry in self._cache[keep:]:
            self._cache_bytes -= len(entry.data)
        del self._cache[keep:]
        self._cache_first = min(self._cache_first, index)
        while len(self._run_first) > 1 and self._run_first[-1] >= index:
            self._run_first.pop()
            self._run_term.pop()
        self.last_index, self.last_term = index - 1, self._run_term[-1]

    @property
    def snapshot_configuration(self) -> Configuration | None:
        """The members at the snapshot point, if the storage keeps them."""
        storage = self._storage
        return storage.snapshot_configuration() if isinstance(storage, ConfigurationStorage) else None

    @property
    def keeps_configuration(self) -> bool:
        """Whether the storage keeps the members at the snapshot point."""
        return isinstance(self._storage, ConfigurationStorage)

    def compact(self, index: int, configuration: Configuration | None = None) -> None:
        """Discard the entries up to `index`, which a snapshot covers (§7). `configuration`: the members there."""
        if index <= self.snapshot_index:
            return
        term = self.term_at(index)
        if term is None:
            raise InvariantError(f"compact at {index}: the log ends at {self.last_index}")
        self._compact_storage(index, term, configuration)
        drop = index + 1 - self._cache_first
        if drop > 0:
            for entry in self._cache[:drop]:
                self._cache_bytes -= len(entry.data)
            del self._cache[:drop]
            self._cache_first = index + 1
        self.snapshot_index, self.snapshot_term = index, term
        run = bisect_right(self._run_first, index) - 1
        del self._run_first[:run], self._run_term[:run]
        self._run_first[0] = index

    def install(self, index: int, term: int, configuration: Configuration | None = None) -> bool:
        """Make (`index`, `term`) of a received snapshot the snapshot point (figure 13, steps 6 and 7).

        Return whether the entries after it were kept: only if the entry at `index` has that term.
        """
        if self.term_at(index) == term:
            self.compact(index, configuration)
            return True
        if self.last_index > self.snapshot_index:
            self._storage.truncate(self.snapshot_index + 1)
        self._compact_storage(index, term, configuration)
        self._reset(index, term)
        return False

    def _compact_storage(self, index: int, term: int, configuration: Configuration | None) -> None:
        storage, self.changed = self._storage, True
        if isinstance(storage, ConfigurationStorage):
            storage.compact(index, term, configuration)
        else:
            storage.compact(index, term)

    def evict(self, applied_index: int) -> None:
        """Drop applied entries from memory if the cache is over its budget; they stay in the storage."""
        if self._cache_bytes > self._cache_bytes_max:
            self._evict(min(applied_index, self.stable_index))

    def _remember(self, entries: Sequence[LogEntry]) -> None:
        if not entries:
            return
        first, last = entries[0], entries[-1]
        if first.term == last.term:
            self._note_run(first)
        else:
            for entry in entries:
                self._note_run(entry)
        self._cache.extend(entries)
        self._cache_bytes += sum([len(entry.data) for entry in entries])
        self.last_index, self.last_term = last.index, last.term

    def _note_run(self, entry: LogEntry) -> None:
        if entry.term != self._run_term[-1]:
            self._run_first.append(entry.index)
            self._run_term.append(entry.term)

    def _evict(self, up_to: int) -> None:
        """Evict from the front, down to three quarters of the budget: in large steps, because each one moves
        the rest of the list."""
        target, count = self._cache_bytes_max * 3 // 4, 0
        limit = up_to - self._cache_first + 1
        while count < limit and self._cache_bytes > target:
            self._cache_bytes -= len(self._cache[count].data)
            count += 1
        del self._cache[:count]
        self._cache_first += count

    def _reset(self, index: int, term: int) -> None:
        self.snapshot_index, self.snapshot_term = index, term
        self.last_index, self.last_term = index, term
        self._cache = []
        self._cache_first = index + 1
        self._cache_bytes = 0
        self._run_first, self._run_term = [index], [term]
