"""The snapshots of the state machine on the disk: each file is complete or ignored (see `snapshot_file.py`).

A snapshot is written under a `.part` name, fsynced, renamed, and its directory is fsynced. The same holds for
one that is received from another node: the bytes are the file's own, checked as they arrive.
"""

import builtins
import posixpath
import re
import time
import zlib
from collections.abc import Callable, Iterator
from os import fspath
from typing import Final

from raftnode.config.times import rfc3339
from raftnode.core.errors import InvalidRequest, StorageError
from raftnode.core.membership import Configuration
from raftnode.storage.filesystem import PART_SUFFIX, File, Filesystem, NoSpaceError, RealFilesystem, StrPath
from raftnode.storage.snapshot_file import (
    BLOCK,
    CHUNK_BYTES_MAX,
    FORMAT_VERSION,
    MAGIC,
    BlockReader,
    Malformed,
    SnapshotDamaged,
    SnapshotHead,
    StoredSnapshot,
    block_crc,
    head_encoder,
    read_chunks,
    read_head,
)

_SYNC_BYTES: Final = 4 << 20
_NAME: Final = re.compile(r"snapshot-(\d{20})-(\d{20})\.snap")


class SnapshotRejected(InvalidRequest):
    """What a peer sent is not the snapshot that it announced. Nothing of it was kept; start again from 0."""


class SnapshotStore:
    """The snapshots in one directory. A file is whole and durable, or it is not listed.

    To take a snapshot of what the machine has applied, and then discard the log that it covers:

        index = node.last_applied
        writer = store.writer(index, node.term_at(index), node.configuration_at(index))
        writer.write(b"the machine's state")      # any number of times
        stored = writer.finish()                  # durable from here on
        node.compact(index)

    To start: `latest()`, its `meta` for `RaftNode.restore()`, its `chunks()` for the machine. To send one: `read_raw()`
    in chunks, each in a `RaftNode.snapshot_chunk()`. To receive one: `receiver()` for the chunk at offset 0, `write()`
    each chunk that `RaftNode.wants_chunk()`, and `finish()` before the node is handed the chunk that is `done`; after
    an InvalidRequest from either, `RaftNode.abort_incoming_snapshot()`.
    """

    def __init__(
        self,
        path: StrPath,
        fs: Filesystem | None = None,
        keep: int = 2,
        *,
        wall_clock: Callable[[], float] = time.time,
        read_only: bool = False,
        cluster_id: str = "",
    ) -> None:
        """Open the directory, making it where it is missing, and remove what was never finished.

        `fs` is for tests: the operating system's files by default. `keep` is how many snapshots stay; a pinned one
        stays beyond that. `cluster_id` is put into the snapshots that are taken here. With `read_only` nothing is
        changed: for a look at another process's snapshots.
        """
        if keep < 1:
            raise ValueError(f"keep is {keep}: at least one snapshot must stay")
        self._path = fspath(path)
        self._fs = fs or RealFilesystem()
        self._keep = keep
        self._wall_clock = wall_clock
        self._cluster_id = cluster_id
        self._pins: dict[str, int] = {}
        self._parts = 0
        if read_only:
            return
        self._fs.make_directory(self._path)
        for name in self._fs.list_directory(self._path):
            if name.endswith(PART_SUFFIX):
                self._fs.remove(posixpath.join(self._path, name))
        # A process that died between a rename and its fsync may leave a name that is visible but not durable.
        self._fs.sync_directory(self._path)

    def list(self) -> builtins.list[StoredSnapshot]:
        """Return what is stored, newest first. Raises SnapshotDamaged where a head is damaged."""
        return [self._stored(path) for path in self._paths()]

    def latest(self) -> StoredSnapshot | None:
        """Return the newest snapshot, or None if there is none."""
        paths = self._paths()
        return self._stored(paths[0]) if paths else None

    def writer(self, index: int, term: int, configuration: Configuration) -> "SnapshotWriter":
        """Begin a snapshot of the state after entry `index`, in which `configuration` is committed."""
        created_at = rfc3339(self._wall_clock())
        head = SnapshotHead(FORMAT_VERSION, index, term, configuration.encode(), self._cluster_id)
        return SnapshotWriter(self, self._snapshot_path(index, term), head_encoder.encode(head), created_at)

    def receiver(self, index: int, term: int, size_hint: int = 0) -> "SnapshotReceiver":
        """Begin to take in another node's snapshot file. `size_hint` is its length where known, else 0."""
        return SnapshotReceiver(self, self._snapshot_path(index, term), index, term, size_hint)

    def chunks(self, stored: StoredSnapshot) -> Iterator[bytes]:
        """Give the machine's chunks, each checked. Raises SnapshotDamaged; only the end proves the whole."""
        return read_chunks(stored, self._fs)

    def verify(self, stored: StoredSnapshot) -> None:
        """Read the whole file. Raises SnapshotDamaged."""
        for _ in self.chunks(stored):
            pass

    def read_raw(self, stored: StoredSnapshot, offset: int, size: int) -> bytes:
        """Return the file's own bytes, for a follower's receiver; fewer only at its end. Pin it before."""
        file = self._fs.open(stored.path)
        try:
            return file.pread(size, offset)
        finally:
            file.close()

    def pin(self, stored: StoredSnapshot) -> None:
        """Keep a snapshot until as many calls of `unpin`."""
        self._pins[stored.path] = self._pins.get(stored.path, 0) + 1

    def unpin(self, stored: StoredSnapshot) -> None:
        """Take back one `pin`, and remove the snapshot where it was only waiting for that."""
        count = self._pins[stored.path] - 1
        if count:
            self._pins[stored.path] = count
        else:
            del self._pins[stored.path]
            self._remove_surplus()

    def _paths(self) -> builtins.list[str]:
        names = [name for name in self._fs.list_directory(self._path) if _NAME.fullmatch(name)]
        return [posixpath.join(self._path, name) for name in sorted(names, reverse=True)]

    def _snapshot_path(self, index: int, term: int) -> str:
        return posixpath.join(self._path, f"snapshot-{index:020d}-{term:020d}.snap")

    def _stored(self, path: str) -> StoredSnapshot:
        stored, match = read_head(path, self._fs), _NAME.fullmatch(posixpath.basename(path))
        if match is None or (int(match[1]), int(match[2])) != (stored.index, stored.term):
            raise SnapshotDamaged(path, len(MAGIC), f"its head says index {stored.index}, term {stored.term}")
        return stored

    def _create_part(self, path: str) -> File:
        # Our own and a received snapshot of one index may be written at the same time: each has its own file.
        self._parts += 1
        return self._fs.create(f"{path}.{self._parts}{PART_SUFFIX}")

    def _discard_part(self, part: str) -> None:
        self._fs.remove(part)

    def _publish(self, part: str, path: str) -> StoredSnapshot:
        """Give a finished, fsynced `.part` its name. An old one of this index and term stays."""
        if self._fs.exists(path):
            self._discard_part(part)
        else:
            self._fs.rename(part, path)
        self._fs.sync_directory(self._path)
        stored = self._stored(path)
        self._remove_surplus()
        return stored

    def _remove_surplus(self) -> None:
        surplus = [path for path in self._paths()[self._keep :] if path not in self._pins]
        for path in surplus:
            self._fs.remove(path)
        if surplus:
            self._fs.sync_directory(self._path)


class SnapshotWriter:
    """Writes one snapshot, chunk by chunk. It counts for nothing before `finish()` has returned."""

    def __init__(self, store: SnapshotStore, path: str, head: bytes, created_at: str) -> None:
        self._store = store
        self._path = path
        self._trailer = created_at.encode("ascii")
        self._file: File | None = store._create_part(path)
        self._part = self._file.path
        self._crc = zlib.crc32(MAGIC)
        self._offset = len(MAGIC)
        self._synced = 0
        try:
            self._file.pwrite(MAGIC, 0)
            self._write_block(head)
        except NoSpaceError:
            self.abort()
            raise

    @property
    def size_bytes(self) -> int:
        """How much has been written."""
        return self._offset

    def write(self, chunk: bytes) -> None:
        """Add one of the machine's chunks. An empty one adds nothing."""
        if len(chunk) > CHUNK_BYTES_MAX:
            raise StorageError(f"a snapshot chunk of {len(chunk)} bytes: the limit is {CHUNK_BYTES_MAX}")
        if chunk:
            self._write_block(chunk)

    def finish(self) -> StoredSnapshot:
        """Make the snapshot durable and remove the oldest beyond those to keep."""
        self._write_block(b"")
        self._write_block(self._trailer)
        file = self._open_file()
        file.sync()
        self._close()
        return self._store._publish(self._part, self._path)

    def abort(self) -> None:
        """Give up, and leave nothing behind. Harmless after `finish()`."""
        if self._file is not None:
            self._close()
            self._store._discard_part(self._part)

    def _write_block(self, payload: bytes) -> None:
        file = self._open_file()
        self._crc = block_crc(payload, self._crc)
        block = BLOCK.pack(len(payload), self._crc) + payload
        file.pwrite(block, self._offset)
        self._offset += len(block)
        # Wait for the disk often and briefly instead of long at the end.
        if self._offset - self._synced >= _SYNC_BYTES:
            file.sync()
            self._synced = self._offset

    def _open_file(self) -> File:
        if self._file is None:
            raise StorageError(f"{self._path} was finished or given up before")
        return self._file

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


class SnapshotReceiver:
    """Takes in the bytes of another node's snapshot file, in order, checking them as they come."""

    def __init__(self, store: SnapshotStore, path: str, index: int, term: int, size_hint: int) -> None:
        self._store = store
        self._path = path
        self._file: File | None = store._create_part(path)
        self._part = self._file.path
        self._reader = BlockReader()
        self._next = 0
        self._synced = 0
        self.index = index
        self.term = term
        self.size_hint = size_hint

    @property
    def next_offset(self) -> int:
        """How many bytes have arrived: where to go on after a lost connection."""
        return self._next

    def write(self, offset: int, data: bytes) -> None:
        """Take in the bytes at `offset`. Bytes that arrived before are skipped.

        Raises SnapshotRejected after a gap, which changes nothing, and where the bytes are no such snapshot.
        """
        if self._file is None:
            raise StorageError(f"{self._path} was finished or given up before")
        if offset > self._next:
            raise SnapshotRejected(f"snapshot bytes from {offset}: the next expected are from {self._next}")
        data = data[self._next - offset :]
        if not data:
            return
        try:
            self._reader.feed(data)
        except Malformed as error:
            raise self._reject(error.offset, error.reason) from error
        head = self._reader.head
        if head is not None and (head.index, head.term) != (self.index, self.term):
            raise self._reject(0, f"its head says index {head.index}, term {head.term}")
        self._file.pwrite(data, self._next)
        self._next += len(data)
        if self._next - self._synced >= _SYNC_BYTES:
            self._file.sync()
            self._synced = self._next

    def finish(self) -> StoredSnapshot:
        """Make the snapshot durable. Raises SnapshotRejected where it is not whole."""
        if self._file is None:
            raise StorageError(f"{self._path} was finished or given up before")
        try:
            self._reader.finish()
        except Malformed as error:
            raise self._reject(error.offset, error.reason) from error
        self._file.sync()
        self._close()
        return self._store._publish(self._part, self._path)

    def abort(self) -> None:
        """Give up, and leave nothing behind. Harmless after `finish()`."""
        if self._file is not None:
            self._close()
            self._store._discard_part(self._part)

    def _reject(self, offset: int, reason: str) -> SnapshotRejected:
        self.abort()
        return SnapshotRejected(
            f"the snapshot of index {self.index} and term {self.term} that a peer sent is bad at byte "
            f"{offset}: {reason}"
        )

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()
