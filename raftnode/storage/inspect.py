"""Reads a data directory and changes nothing, whether its node runs or not, and even if it is damaged.

No lock is taken. So a write in progress may look like a torn tail, and a file may be removed between its listing and
its opening: what looks wrong is read once more before it is reported.
"""

import posixpath
import time
from collections.abc import Callable, Iterator
from os import fspath
from typing import Final, TypeVar

import msgspec

from raftnode.config import data_files
from raftnode.core.errors import SerializationError, StorageError
from raftnode.core.membership import decode_configuration
from raftnode.core.types import EntryKind, HardState, LogEntry
from raftnode.storage.data_dir import DataDirError, Identity, read_boots, read_identity, read_instances
from raftnode.storage.filesystem import PART_SUFFIX, Filesystem, MissingFileError, RealFilesystem, StrPath
from raftnode.storage.snapshot_file import SnapshotDamaged, StoredSnapshot, read_chunks, read_head
from raftnode.storage.wal import Cut, Wal, WalDamaged

__all__ = ["Damage", "DataDirError", "DataDirReader", "SnapshotDamaged", "StorageError", "Verification", "WalDamaged"]

LOOKS: Final = 3
PAUSE_S: Final = 0.05
NEW_MEMBER: Final = (
    "do not repair it by hand: remove the node from the cluster and bring it back as a new member with an empty "
    "data directory"
)

_T = TypeVar("_T")


class Damage(msgspec.Struct, frozen=True):
    """Something that differs from what was written. `index` is the first log entry that it concerns; 0: none."""

    file: str
    offset: int
    index: int
    reason: str
    advice: str


class TermRun(msgspec.Struct, frozen=True):
    """Consecutive entries of one term."""

    term: int
    first_index: int
    last_index: int


class Verification(msgspec.Struct, frozen=True):
    """What reading all of a data directory found."""

    identity: Identity | None
    boots: int
    hard_state: HardState
    first_index: int
    """Above `last_index` if the log holds no entry."""
    last_index: int
    segments: int
    terms: list[TermRun]
    snapshots: list[StoredSnapshot]
    torn_tail: Cut | None
    unfinished: list[str]
    """Files that were never finished and count for nothing."""
    damage: list[Damage]


class DataDirReader:
    """A data directory as it is now. The log is there as far as it is whole; `damage` says what stops it."""

    def __init__(self, path: StrPath, fs: Filesystem | None = None) -> None:
        """Read the identity, the log's batches and the snapshots' heads. Raises DataDirError for no data directory."""
        self.path = fspath(path)
        self._fs = fs or RealFilesystem()
        self.damage: list[Damage] = []
        self._check_place()
        self.identity = self._document(data_files.IDENTITY, read_identity)
        # The log first: a snapshot is durable before the log is cut, and an old one goes after that.
        self.wal = self._examine_wal()
        self.snapshots = self._snapshot_heads()
        self._check_cover()

    def __enter__(self) -> "DataDirReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.wal.close()

    @property
    def known_committed(self) -> int:
        """The last entry that these files prove to be committed: the newest snapshot's. 0 for none."""
        return self.snapshots[0].index if self.snapshots else 0

    def entries(self, first: int, last: int) -> Iterator[LogEntry]:
        """Give the entries from `first` to `last` that are there. Raises WalDamaged."""
        for entry in self.wal.load_entries_after(max(first, self.wal.readable_from) - 1):
            if entry.index > last:
                return
            yield entry

    def verify(self) -> Verification:
        """Read everything that was not read yet, and return what was found."""
        self._document(data_files.INSTANCES, read_instances)
        boots = self._document(data_files.BOOTS, read_boots) or 0
        terms = self._verify_entries()
        snapshots = [stored for stored in self.snapshots if self._verify_snapshot(stored)]
        wal = self.wal
        return Verification(
            self.identity,
            boots,
            wal.load_hard_state(),
            wal.readable_from,
            wal.last_index,
            wal.recovery.segments,
            terms,
            snapshots,
            wal.recovery.cut,
            self._unfinished(),
            self.damage,
        )

    def _check_place(self) -> None:
        fs = self._fs
        if not fs.is_directory(self.path):
            there = "it is not a directory" if fs.exists(self.path) else "it does not exist"
            raise DataDirError(self.path, there, "check the path")
        if not any(
            fs.exists(posixpath.join(self.path, name))
            for name in (data_files.IDENTITY, data_files.WAL, data_files.SNAPSHOTS)
        ):
            raise DataDirError(self.path, "it holds neither identity.json, wal nor snapshots", "check the path")

    def _document(self, name: str, read: Callable[[StrPath, Filesystem], _T]) -> _T | None:
        try:
            return _settled(lambda: read(self.path, self._fs), DataDirError)
        except DataDirError as error:
            self.damage.append(Damage(posixpath.join(self.path, name), 0, 0, error.reason, error.advice))
            return None

    def _examine_wal(self) -> Wal:
        path = posixpath.join(self.path, data_files.WAL)
        before = ""
        for _ in range(LOOKS):
            wal, stopped = Wal.examine(path, self._fs)
            if stopped is None or str(stopped) == before:
                break
            before = str(stopped)
            wal.close()
            time.sleep(PAUSE_S)
        else:
            wal, stopped = Wal.examine(path, self._fs)
        if stopped is not None:
            self._add_damage(path, stopped)
        elif not wal.recovery.segments:
            self.damage.append(Damage(path, 0, 0, "the log is missing: there is no segment", NEW_MEMBER))
        return wal

    def _snapshot_heads(self) -> list[StoredSnapshot]:
        directory = posixpath.join(self.path, data_files.SNAPSHOTS)
        try:
            names = [n for n in self._fs.list_directory(directory) if n.endswith(".snap")]
        except StorageError as error:
            self._add_damage(directory, error)
            return []
        found: list[StoredSnapshot] = []
        for name in sorted(names, reverse=True):
            path = posixpath.join(directory, name)
            try:
                stored = read_head(path, self._fs)
                if name != f"snapshot-{stored.index:020d}-{stored.term:020d}.snap":
                    raise SnapshotDamaged(path, 8, f"its head says index {stored.index}, term {stored.term}")
                found.append(stored)
            except MissingFileError:
                # A running node removed it, because it has newer ones.
                continue
            except StorageError as error:
                self._add_damage(path, error)
        return found

    def _check_cover(self) -> None:
        index, _ = self.wal.snapshot_metadata()
        if index > self.known_committed:
            self.damage.append(
                Damage(
                    posixpath.join(self.path, data_files.SNAPSHOTS),
                    0,
                    index,
                    f"the log begins after entry {index}, and the newest whole snapshot covers only entry "
                    f"{self.known_committed}",
                    NEW_MEMBER,
                )
            )

    def _verify_entries(self) -> list[TermRun]:
        runs: list[TermRun] = []
        wal = self.wal
        begun, term, last = wal.readable_from, 0, wal.readable_from - 1
        try:
            for entry in wal.load_entries_after(last):
                if entry.term != term and last >= begun:
                    runs.append(TermRun(term, begun, last))
                    begun = entry.index
                term, last = entry.term, entry.index
                if entry.kind is EntryKind.CONFIGURATION:
                    decode_configuration(entry.data)
        except SerializationError as error:
            self._add_nonsense(last, str(error))
        except StorageError as error:
            self._add_damage(posixpath.join(self.path, data_files.WAL), error)
        if last >= begun:
            runs.append(TermRun(term, begun, last))
        if term > wal.load_hard_state().current_term and not self.damage:
            self._add_nonsense(last, f"its term is {term}, above the hard state's {wal.load_hard_state().current_term}")
        return runs

    def _verify_snapshot(self, stored: StoredSnapshot) -> bool:
        try:
            for _ in read_chunks(stored, self._fs):
                pass
        except MissingFileError:
            return False
        except StorageError as error:
            self._add_damage(stored.path, error)
            return False
        return True

    def _unfinished(self) -> list[str]:
        found: list[str] = []
        for name in ("", data_files.WAL, data_files.SNAPSHOTS):
            directory = posixpath.join(self.path, name) if name else self.path
            if self._fs.is_directory(directory):
                names = self._fs.list_directory(directory)
                found += [posixpath.join(directory, n) for n in names if n.endswith(PART_SUFFIX)]
        return found

    def _add_nonsense(self, index: int, reason: str) -> None:
        self.damage.append(
            Damage(posixpath.join(self.path, data_files.WAL), 0, index, f"entry {index}: {reason}", NEW_MEMBER)
        )

    def _add_damage(self, path: str, error: StorageError) -> None:
        match error:
            case WalDamaged():
                damage = Damage(error.file, error.offset, error.index, error.reason, error.advice)
            case SnapshotDamaged():
                damage = Damage(error.file, error.offset, 0, error.reason, error.advice)
            case _:
                damage = Damage(path, 0, 0, str(error), "check the path, its permissions and the disk")
        self.damage.append(damage)


def _settled(read: Callable[[], _T], failure: type[Exception]) -> _T:
    """Return what `read` returns; if it fails, try again a little later."""
    for _ in range(LOOKS - 1):
        try:
            return read()
        except failure:
            time.sleep(PAUSE_S)
    return read()
