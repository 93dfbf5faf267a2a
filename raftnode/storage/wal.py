"""The write-ahead log: a LogStorage on the disk, in segments of checksummed batches (see `segment.py`).

Changes are staged in memory and readable at once. `sync()` makes everything staged durable with one write and
one fsync, all of it or nothing: whatever a crash leaves, the log opens with the state of a whole sync.

    segments removed   |  segment 7          segment 8 (the last one is written to)
    - - - - - - - - - -+--[head|batch|batch] [head|batch|batch|
                       snapshot.index         last written   ^ + staged = last_index

A truncation and a compaction are records too. A segment is removed only when a durable compaction covers all its
entries; its successor's head repeats the hard state and the snapshot's place. After a failed write or fsync the log
is unusable: every later call raises, and the fsync is never retried. A write that does not fit on the disk is the
exception: it is undone durably, and `sync()` may be tried again.
"""

from collections.abc import Iterator, Sequence
from os import fspath
from typing import Final

from raftnode.core.errors import LogCompacted, StorageError
from raftnode.core.storage import LogStorage, count_within
from raftnode.core.types import HardState, LogEntry, SnapshotPoint
from raftnode.storage.entry_index import EntryIndex
from raftnode.storage.filesystem import PART_SUFFIX, File, Filesystem, NoSpaceError, RealFilesystem, StrPath
from raftnode.storage.segment import (
    HEAD_BYTES,
    SALT_BYTES,
    Batch,
    SegmentHead,
    WalDamaged,
    encode_group,
    encode_head,
    read_batch,
    split_batches,
)
from raftnode.storage.wal_open import Cut, LogOpening, Recovery, Segment, segment_path

__all__ = ["Cut", "LogFullError", "Recovery", "Wal", "WalDamaged"]

SEGMENT_BYTES: Final = 64 * 1024 * 1024


class LogFullError(NoSpaceError):
    """The disk has no room for what is staged. Nothing was written; `sync()` may be tried again later."""


class Wal(LogStorage):
    """The durable log and hard state of one node, in a directory. Open it with `Wal.open(path)`.

    What `RaftNode` appends and what the caller saves is staged: readable at once, and durable after `sync()`, which
    step 2 of `Ready` calls. `stable_index` moves then.

    A Wal does not keep the members at the snapshot point: start with `RaftNode.restore(stored.meta)`, where `stored`
    is `SnapshotStore.latest()`, or with `restore(SnapshotMeta())` if that is None. One process at a time may have it
    open; nothing here checks that.

    Attributes:
        recovery: What `open()` found.
    """

    def __init__(self, path: str, fs: Filesystem, segment_bytes: int, *, read_only: bool) -> None:
        """Use `Wal.open()`, which also reads the log."""
        self._path = path
        self._fs = fs
        self._segment_bytes = segment_bytes
        self._read_only = read_only
        self._failure: BaseException | None = None
        self._segments: dict[int, Segment] = {}
        self._index = EntryIndex()
        # The state as the caller sees it, with what is staged.
        self._snapshot = SnapshotPoint()
        self._hard_state = HardState()
        self._last = 0
        self._stable = 0
        self._staged_hard_state: HardState | None = None
        self._staged_truncate = 0
        self._staged_snapshot: SnapshotPoint | None = None
        self._staged_entries: list[LogEntry] = []
        self._sync_count = 0
        self._written_bytes = 0
        self._end = HEAD_BYTES
        self._decoded: tuple[int, int, list[LogEntry]] = (0, 0, [])
        self.recovery = Recovery(0, 0, None)

    @classmethod
    def open(
        cls,
        path: StrPath,
        fs: Filesystem | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        *,
        read_only: bool = False,
    ) -> "Wal":
        """Read the log in a directory, or begin one if the directory is missing or empty.

        `fs` is for tests: the operating system's files by default. A new file is begun every `segment_bytes`.
        A torn tail is cut, and `recovery.cut` says what was. With `read_only` nothing at all is changed: for
        a look at another process's log. Raises WalDamaged for any other damage.
        """
        wal = cls(fspath(path), fs or RealFilesystem(), segment_bytes, read_only=read_only)
        try:
            wal._open()
        except BaseException:
            wal.close()
            raise
        return wal

    @classmethod
    def examine(cls, path: StrPath, fs: Filesystem | None = None) -> tuple["Wal", StorageError | None]:
        """Read a log as far as it is whole, changing nothing; return it, and what stopped the reading.

        For a look at a log that may be damaged, or that another process writes to.
        """
        wal = cls(fspath(path), fs or RealFilesystem(), SEGMENT_BYTES, read_only=True)
        stopped: StorageError | None = None
        try:
            wal._open()
        except StorageError as error:
            stopped = error
            wal._stable = wal._last
            wal.recovery = Recovery(wal._last - wal.readable_from + 1, len(wal._segments), None)
        except BaseException:
            wal.close()
            raise
        return wal, stopped

    # What the log holds

    @property
    def path(self) -> str:
        """The directory that it is in."""
        return self._path

    @property
    def first_index(self) -> int:
        """The lowest index that can be read; above `last_index` where the log is empty."""
        return self._snapshot.index + 1

    @property
    def readable_from(self) -> int:
        """The lowest index that is there: above `first_index` only where `examine()` found damage before it."""
        return max(self.first_index, self._index.first_index()) if len(self._index) else self._last + 1

    @property
    def last_index(self) -> int:
        """The highest index, staged entries included."""
        return self._last

    @property
    def stable_index(self) -> int:
        return self._stable

    @property
    def hard_state_durable(self) -> bool:
        """Whether the term and the vote are on the disk as `load_hard_state()` gives them."""
        return self._staged_hard_state is None

    @property
    def has_unsynced(self) -> bool:
        """Whether `sync()` has anything to write."""
        return bool(
            self._staged_entries
            or self._staged_hard_state is not None
            or self._staged_truncate
            or self._staged_snapshot is not None
        )

    @property
    def written_bytes(self) -> int:
        """How many bytes `sync()` has written since the log was opened."""
        return self._written_bytes

    def snapshot_metadata(self) -> tuple[int, int]:
        return self._snapshot.index, self._snapshot.term

    def load_hard_state(self) -> HardState:
        return self._hard_state

    def load_entries_after(self, index: int) -> Iterator[LogEntry]:
        """Give the entries above `index`, in order, reading them as they are asked for."""
        self._check()
        if index < self._snapshot.index:
            raise LogCompacted(index + 1, self.first_index)
        return self._iterate(index + 1)

    def load_entries(self, first: int, last: int, bytes_max: int | None = None) -> list[LogEntry]:
        """Return entries `first`..`last` (or to the log's end), fewer where `bytes_max` is reached."""
        self._check()
        if first <= self._snapshot.index:
            raise LogCompacted(first, self.first_index)
        found: list[LogEntry] = []
        size = 0
        last = min(last, self._last)
        while first <= last:
            run = self._run(first, last)
            first += len(run)
            found += run
            if bytes_max is not None:
                size += sum(len(entry.data) for entry in run)
                if size > bytes_max:
                    return found[: count_within(found, bytes_max)]
        return found

    def _iterate(self, index: int) -> Iterator[LogEntry]:
        while index <= self._last:
            run = self._run(index, self._last)
            index += len(run)
            yield from run

    def _run(self, first: int, last: int) -> list[LogEntry]:
        """Return entries from `first` on, at most to `last` and to the end of their batch."""
        self._check()
        if first <= self._snapshot.index:
            raise LogCompacted(first, self.first_index)
        written = self._last - len(self._staged_entries)
        if first > written:
            return self._staged_entries[first - written - 1 : last - written]
        place, following = self._index.find(first)
        end = min(last, written if following is None else following - 1)
        segment, offset, entries = self._decoded
        if (segment, offset) != (place.segment, place.offset):
            source = self._segments[place.segment]
            entries = read_batch(source.file, place.offset, place.size, source.head, first).entries
            self._decoded = (place.segment, place.offset, entries)
        return entries[first - place.first : end - place.first + 1]

    # Staging

    def append(self, entries: Sequence[LogEntry]) -> None:
        self._check()
        if not entries:
            return
        if entries[0].index != self._last + 1 or entries[-1].index != self._last + len(entries):
            raise StorageError(f"append of {entries[0].index}..{entries[-1].index}: the log ends at {self._last}")
        self._staged_entries += entries
        self._last += len(entries)

    def truncate(self, index: int) -> None:
        self._check()
        if index <= self._snapshot.index:
            raise StorageError(f"truncate at {index}: the log begins after {self._snapshot.index}")
        if index > self._last:
            return
        written = self._last - len(self._staged_entries)
        if index > written:
            del self._staged_entries[index - written - 1 :]
        else:
            self._staged_entries = []
            self._index.truncate(index)
            self._staged_truncate = min(self._staged_truncate or index, index)
        self._last = index - 1
        self._stable = min(self._stable, self._last)

    def compact(self, index: int, term: int) -> None:
        """Discard the entries up to `index`. The caller's snapshot of them is durable already."""
        self._check()
        if index <= self._snapshot.index:
            return
        written = self._last - len(self._staged_entries)
        if index >= written:
            self._index.clear()
            self._staged_entries = self._staged_entries[index - written :]
            self._last = max(self._last, index)
        else:
            self._index.compact(index)
        self._snapshot = self._staged_snapshot = SnapshotPoint(index, term)
        # The snapshot vouches for everything up to here, whether these entries were written or not.
        self._stable = max(self._stable, index)

    def save_hard_state(self, state: HardState) -> None:
        self._check()
        if state != self._hard_state:
            self._hard_state = self._staged_hard_state = state

    # Making it durable

    def sync(self) -> None:
        """Make everything staged durable, in one write and one fsync. Nothing staged, nothing done.

        Raises LogFullError where the disk has no room: nothing was written, all of it is still staged, and
        `sync()` may be called again later. After any other error the log is finished.
        """
        self._check()
        if not self.has_unsynced:
            return
        if self._read_only:
            raise StorageError(f"the log in {self._path} was opened for reading only")
        try:
            self._write_staged()
        except LogFullError:
            raise
        except BaseException as error:
            self._failure = error
            raise

    def _write_staged(self) -> None:
        sequence, current = self._newest()
        staged = Batch(self._staged_hard_state, self._staged_truncate, self._staged_snapshot, self._staged_entries)
        group = split_batches(staged)
        encoded = encode_group(group, self._sync_count + 1, current.head)
        try:
            current.file.pwrite(encoded[0] if len(encoded) == 1 else b"".join(encoded), self._end)
        except NoSpaceError as error:
            # Undo the part that did fit, durably: under a later, different write it would look like damage.
            current.file.truncate(self._end)
            current.file.sync()
            raise LogFullError(str(error)) from error
        current.file.sync()
        self._sync_count += 1
        for batch, data in zip(group, encoded, strict=True):
            if batch.entries:
                self._index.add(batch.entries[0].index, sequence, self._end, len(data))
            self._end += len(data)
            self._written_bytes += len(data)
        compacted = self._staged_snapshot is not None
        self._staged_hard_state = self._staged_snapshot = None
        self._staged_truncate = 0
        self._staged_entries = []
        self._stable = self._last
        if self._end >= self._segment_bytes:
            self._begin_segment(sequence + 1)
        if compacted:
            self._remove_unneeded()

    def _begin_segment(self, sequence: int) -> None:
        """Begin a segment that repeats the present state, all of which is durable."""
        head = SegmentHead(
            sequence, self._fs.entropy(SALT_BYTES), self._sync_count, self._last, self._snapshot, self._hard_state
        )
        path = self._segment_path(sequence)
        try:
            file = self._create_part(path, encode_head(head))
        except NoSpaceError:
            # The segment that is written to grows on; the next sync tries again to begin another one.
            return
        try:
            file.sync()
        finally:
            file.close()
        # Under its own name a segment always has a whole head, whatever a crash leaves.
        self._fs.rename(path + PART_SUFFIX, path)
        self._fs.sync_directory(self._path)
        self._segments[sequence] = Segment(self._fs.open(path, writable=True), head)
        self._end = HEAD_BYTES

    def _create_part(self, path: str, content: bytes) -> File:
        file = self._fs.create(path + PART_SUFFIX)
        try:
            file.pwrite(content, 0)
        except BaseException:
            file.close()
            self._fs.remove(path + PART_SUFFIX)
            raise
        return file

    def _remove_unneeded(self) -> None:
        needed = self._index.first_segment() or max(self._segments)
        unneeded = [sequence for sequence in self._segments if sequence < needed]
        for sequence in unneeded:
            self._segments.pop(sequence).file.close()
            self._fs.remove(self._segment_path(sequence))
        if unneeded:
            self._fs.sync_directory(self._path)

    def close(self) -> None:
        """Close the files. What is staged and not synced is lost. Harmless when repeated."""
        self._failure = self._failure or StorageError("it was closed")
        while self._segments:
            self._segments.popitem()[1].file.close()

    def _check(self) -> None:
        if self._failure is not None:
            text = f"the log in {self._path} takes no more calls: {self._failure}"
            raise StorageError(text) from self._failure

    def _newest(self) -> tuple[int, Segment]:
        sequence = next(reversed(self._segments))
        return sequence, self._segments[sequence]

    def _segment_path(self, sequence: int) -> str:
        return segment_path(self._path, sequence)

    def _open(self) -> None:
        opening = LogOpening(self._path, self._fs, read_only=self._read_only)
        try:
            cut = opening.read()
        finally:
            # Also after damage: `examine()` shows what is whole before it, and `close()` closes the files.
            self._segments, self._index = opening.segments, opening.index
            self._snapshot, self._hard_state, self._last = opening.snapshot, opening.hard_state, opening.last_index
            self._sync_count, self._end = opening.sync_count, opening.end
        self._stable = self._last
        self.recovery = Recovery(self._last - self._snapshot.index, len(self._segments), cut)
        if self._read_only:
            return
        if not self._segments:
            self._begin_segment(1)
            self.recovery = Recovery(0, 1, None)
            return
        opening.repair()
        self._remove_unneeded()
        if self._end >= self._segment_bytes:
            self._begin_segment(self._newest()[0] + 1)
