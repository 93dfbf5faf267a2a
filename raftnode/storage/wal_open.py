"""Opening the write-ahead log: its segments are replayed into the state that they lead to.

A torn tail, which was never wholly written, is cut. Everything else that a crash cannot leave is damage: it refuses
with file, offset and index.
"""

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from raftnode.core.types import HardState, SnapshotPoint
from raftnode.storage.entry_index import EntryIndex
from raftnode.storage.filesystem import PART_SUFFIX, File, Filesystem
from raftnode.storage.segment import (
    HEAD_BYTES,
    Batch,
    SegmentHead,
    SegmentScan,
    WalDamaged,
    decode_head,
    impossible,
)

_SEGMENT_NAME: Final = re.compile(r"segment-(\d{12})\.wal")


@dataclass(frozen=True)
class Cut:
    """A torn tail: `size_bytes` from `offset` of `file` were never wholly written and are not in the log."""

    file: str
    offset: int
    size_bytes: int


@dataclass(frozen=True)
class Recovery:
    """What `Wal.open` found. `cut` is None where nothing was torn."""

    entries: int
    segments: int
    cut: Cut | None


class Segment(msgspec.Struct, frozen=True):
    """An open segment."""

    file: File
    head: SegmentHead


class LogOpening:
    """Reads a log's directory. After `read()`, or the error that it raised, the attributes are the log's state."""

    def __init__(self, path: str, fs: Filesystem, *, read_only: bool) -> None:
        self._path = path
        self._fs = fs
        self._read_only = read_only
        self._newest: SegmentScan | None = None
        self._leftovers: list[int] = []
        self._terms: list[tuple[int, int]] = [(0, 0)]
        """(first index, term) of each run of entries of one term, as far as they are known."""
        self.segments: dict[int, Segment] = {}
        self.index = EntryIndex()
        self.snapshot = SnapshotPoint()
        self.hard_state = HardState()
        self.last_index = 0
        self.sync_count = 0
        self.end = HEAD_BYTES

    def read(self) -> Cut | None:
        """Replay every segment; return the torn tail, which `repair()` cuts. Raises WalDamaged, StorageError."""
        if not self._read_only:
            self._fs.make_directory(self._path)
        sequences = self._list_segments()
        if not sequences:
            return None
        # Removals may reach the disk in any order: what is below a gap is a leftover, if the rest proves
        # complete.
        live = sequences[_run_start(sequences) :]
        for sequence in live[:-1]:
            self._replay_segment(sequence, last=False)
        newest = self._replay_segment(live[-1], last=True)
        self._check_complete(live[0])
        self._newest, self._leftovers = newest, [sequence for sequence in sequences if sequence < live[0]]
        if not newest.torn:
            return None
        return Cut(segment_path(self._path, live[-1]), newest.end, newest.size - newest.end)

    def repair(self) -> None:
        """Make durable what `read()` found, and remove what does not belong to it."""
        newest = self._newest
        assert newest is not None
        file = self.segments[max(self.segments)].file
        if newest.torn:
            file.truncate(newest.end)
        # The process before this one may have died between the last write and its fsync, or because that fsync
        # failed. The system may then consider the data clean, so it is written once more.
        if newest.end > newest.newest:
            file.pwrite(file.pread(newest.end - newest.newest, newest.newest), newest.newest)
        file.sync()
        for sequence in self._leftovers:
            self._fs.remove(segment_path(self._path, sequence))
        self._fs.sync_directory(self._path)

    def _list_segments(self) -> list[int]:
        sequences: list[int] = []
        for name in self._fs.list_directory(self._path):
            if match := _SEGMENT_NAME.fullmatch(name):
                sequences.append(int(match[1]))
            elif name.endswith(PART_SUFFIX) and not self._read_only:
                self._fs.remove(posixpath.join(self._path, name))
        return sequences

    def _replay_segment(self, sequence: int, *, last: bool) -> SegmentScan:
        path = segment_path(self._path, sequence)
        file = self._fs.open(path, writable=last and not self._read_only)
        try:
            head = decode_head(file.pread(HEAD_BYTES, 0), path)
            self._check_head(sequence, head, path)
        except BaseException:
            file.close()
            raise
        self.segments[sequence] = Segment(file, head)
        scan = SegmentScan(file, head, last=last)
        for group in scan.groups():
            for placed in group:
                if reason := self._apply(sequence, placed.batch, placed.offset, placed.size):
                    raise WalDamaged(path, placed.offset, self.last_index + 1, reason)
            scan.next_index = self.last_index + 1
        self.sync_count, self.end = scan.sync, scan.end
        return scan

    def _check_head(self, sequence: int, head: SegmentHead, path: str) -> None:
        if not self.segments:
            self.sync_count, self.last_index = head.sync, head.last_index
            self.snapshot, self.hard_state = head.snapshot, head.hard_state
            self._terms = [(head.last_index, head.snapshot.term)]
        found = (head.sequence, head.sync, head.last_index, head.snapshot, head.hard_state)
        expected = (sequence, self.sync_count, self.last_index, self.snapshot, self.hard_state)
        if found != expected:
            raise WalDamaged(
                path, 0, self.last_index + 1,
                f"the segment's head continues from entry {head.last_index} and write {head.sync}, but what "
                f"is before it ends at entry {self.last_index} and write {self.sync_count}",
            )  # fmt: skip

    def _apply(self, sequence: int, batch: Batch, offset: int, size: int) -> str | None:
        """Apply one batch; return the reason where it does not fit to what is before it, or to any log."""
        # Terms do not fall, which is checked below: the last one is the highest.
        if reason := impossible(batch.hard_state, batch.snapshot, *(entry.term for entry in batch.entries[-1:])):
            return reason
        if batch.hard_state is not None:
            self.hard_state = batch.hard_state
        if batch.truncate:
            if not self.snapshot.index < batch.truncate <= self.last_index:
                return f"a truncation at {batch.truncate} is outside {self.snapshot.index + 1}..{self.last_index}"
            self.index.truncate(batch.truncate)
            self.last_index = batch.truncate - 1
            while len(self._terms) > 1 and self._terms[-1][0] >= batch.truncate:
                self._terms.pop()
        if batch.snapshot is not None:
            if batch.snapshot.index <= self.snapshot.index:
                return f"a compaction to {batch.snapshot.index} is below {self.snapshot.index}"
            if batch.snapshot.index >= self.last_index:
                self.index.clear()
                self.last_index = batch.snapshot.index
                self._terms = [(batch.snapshot.index, batch.snapshot.term)]
            else:
                self.index.compact(batch.snapshot.index)
            self.snapshot = batch.snapshot
        for expected, entry in enumerate(batch.entries, self.last_index + 1):
            if entry.index != expected:
                return f"entry {entry.index} was found where {expected} belongs"
        if reason := self._check_terms(batch):
            return reason
        if batch.entries:
            self.index.add(self.last_index + 1, sequence, offset, size)
            self.last_index += len(batch.entries)
        return None

    def _check_complete(self, oldest: int) -> None:
        if self.last_index == self.snapshot.index:
            return
        if not len(self.index) or self.index.first_index() > self.snapshot.index + 1:
            raise WalDamaged(
                segment_path(self._path, oldest - 1), 0, self.snapshot.index + 1,
                "the segment is missing, and no snapshot covers the entries in it",
            )  # fmt: skip

    def _check_terms(self, batch: Batch) -> str | None:
        """Return the reason where a term falls: a later entry is of the same leader, or of a later one (§5.3)."""
        term = self._terms[-1][1]
        if [entry.term for entry in batch.entries].count(term) == len(batch.entries):
            return None
        for entry in batch.entries:
            if entry.term != term:
                if entry.term < term:
                    return f"entry {entry.index} has term {entry.term} after an entry of term {term}"
                term = entry.term
                self._terms.append((entry.index, term))
        return None


def segment_path(path: str, sequence: int) -> str:
    """Return where a segment of the log in `path` is."""
    return posixpath.join(path, f"segment-{sequence:012d}.wal")


def _run_start(sequences: Sequence[int]) -> int:
    """Return where the last run of consecutive numbers begins."""
    start = len(sequences) - 1
    while start and sequences[start - 1] == sequences[start] - 1:
        start -= 1
    return start
