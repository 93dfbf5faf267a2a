"""The format of a snapshot's file: what it says, and a reader that checks it.

A file is a sequence of blocks, numbers little-endian:

    magic "raftsnap" | head block | data block ... | end block | trailer block
    block:  u32 length | u32 crc32 | payload

Each crc starts from the one before it (the first from the magic's) and covers length and payload, so that a
flipped bit, a lost, a doubled and an exchanged block are all found. The head is MessagePack `SnapshotHead`; a data
block is one chunk as the machine gave it; the end block is empty. The trailer is the time at which the snapshot
was taken, and nothing follows it.

All before the trailer depends only on the state, so nodes that take a snapshot after the same entry write the
same bytes, and the end block's crc, which stands for all of them, is the snapshot's checksum: a transfer that one
node began another one can finish.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

import msgspec

from raftnode.core.errors import SerializationError, StorageError
from raftnode.core.membership import Configuration, SnapshotMeta, decode_configuration
from raftnode.storage.filesystem import Filesystem

FORMAT_VERSION: Final = 1
CHUNK_BYTES_MAX: Final = 16 * 1024 * 1024
"""The largest block: a damaged length never makes a reader ask for more memory than this."""

MAGIC: Final = b"raftsnap"
BLOCK: Final = struct.Struct("<II")
TIME_BYTES: Final = 24
_END: Final = struct.Struct(f"<IIII{TIME_BYTES}s")
"""The end block and the trailer, which are the last bytes of every snapshot."""
_READ_BYTES: Final = 1 << 20


class SnapshotDamaged(StorageError):
    """A snapshot file is not what was written."""

    def __init__(self, file: str, offset: int, reason: str) -> None:
        self.file = file
        self.offset = offset
        self.reason = reason
        self.advice = (
            "if this node cannot start, remove it from the cluster and bring it back as a new member with an "
            "empty data directory"
        )
        super().__init__(f"{file} is damaged at byte {offset}: {reason}; {self.advice}")


class StoredSnapshot(msgspec.Struct, frozen=True):
    """A snapshot that is whole on the disk.

    Attributes:
        index: The last entry that it covers.
        term: That entry's term.
        configuration: The members in force there.
        size_bytes: The file's size.
        created_at: When it was taken, as RFC 3339 in UTC.
        path: The file.
        checksum: A CRC-32 of everything but `created_at`: two nodes' files with the same one differ only in that.
        cluster_id: The cluster whose state it is; empty if the node that took it did not record it.
        format_version: The version of the file's format.
    """

    index: int
    term: int
    configuration: Configuration
    size_bytes: int
    created_at: str
    path: str
    checksum: int
    cluster_id: str = ""
    format_version: int = FORMAT_VERSION

    @property
    def meta(self) -> SnapshotMeta:
        """What it covers, for `RaftNode.restore()`."""
        return SnapshotMeta(self.index, self.term, self.configuration)


class SnapshotHead(msgspec.Struct, frozen=True, array_like=True):
    """What a snapshot's head block says. `configuration` is encoded."""

    format_version: int
    index: int
    term: int
    configuration: bytes
    cluster_id: str = ""


class Malformed(Exception):
    """The bytes at `offset` are not a snapshot's."""

    def __init__(self, offset: int, reason: str) -> None:
        self.offset = offset
        self.reason = reason
        super().__init__(reason)


class BlockReader:
    """Takes a snapshot's bytes in pieces of any size and gives the data chunks. Raises Malformed."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._offset = 0
        self._crc = zlib.crc32(MAGIC)
        self._begun = False
        self.head: SnapshotHead | None = None
        self.checksum: int | None = None
        """The end block's crc, once that has come."""
        self.finished = False

    def feed(self, data: bytes) -> list[bytes]:
        self._buffer += data
        chunks: list[bytes] = []
        while (payload := self._next_block()) is not None:
            if self.head is None:
                self.head = self._decode_head(payload)
            elif self.checksum is not None:
                self._check_trailer(payload)
                self.finished = True
            elif payload:
                chunks.append(payload)
            else:
                self.checksum = self._crc
        return chunks

    def finish(self) -> None:
        """Say that nothing more comes."""
        if not self.finished:
            raise Malformed(self._offset + len(self._buffer), "the file ends early")

    def _next_block(self) -> bytes | None:
        buffer = self._buffer
        if not self._begun:
            if not MAGIC.startswith(bytes(buffer[: len(MAGIC)])):
                raise Malformed(0, "it does not begin as a snapshot")
            if len(buffer) < len(MAGIC):
                return None
            self._consume(len(MAGIC))
            self._begun = True
        if self.finished and buffer:
            raise Malformed(self._offset, "something follows the end")
        if len(buffer) < BLOCK.size:
            return None
        length, crc = BLOCK.unpack_from(buffer)
        if length > CHUNK_BYTES_MAX:
            raise Malformed(self._offset, f"a block of {length} bytes: the limit is {CHUNK_BYTES_MAX}")
        if len(buffer) < BLOCK.size + length:
            return None
        payload = bytes(buffer[BLOCK.size : BLOCK.size + length])
        found = block_crc(payload, self._crc)
        if found != crc:
            raise Malformed(self._offset, "a block does not match its checksum")
        self._crc = found
        self._consume(BLOCK.size + length)
        return payload

    def _consume(self, size: int) -> None:
        del self._buffer[:size]
        self._offset += size

    def _check_trailer(self, payload: bytes) -> None:
        if len(payload) != TIME_BYTES or not payload.isascii():
            raise Malformed(self._offset - len(payload), "its trailer is not a time")

    def _decode_head(self, payload: bytes) -> SnapshotHead:
        try:
            head = _head_decoder.decode(payload)
            decode_configuration(head.configuration)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, SerializationError) as error:
            raise Malformed(len(MAGIC), f"its head is invalid: {error}") from error
        if head.format_version != FORMAT_VERSION:
            raise Malformed(len(MAGIC), f"it has format {head.format_version}, and this program reads {FORMAT_VERSION}")
        return head


def read_head(path: str, fs: Filesystem) -> StoredSnapshot:
    """Return what a snapshot file's head and end say, whatever the file is called. Raises SnapshotDamaged."""
    reader = BlockReader()
    file = fs.open(path)
    try:
        size = file.size()
        begin = file.pread(len(MAGIC) + BLOCK.size, 0)
        head_bytes = len(begin)
        if len(begin) == len(MAGIC) + BLOCK.size:
            head_bytes += min(BLOCK.unpack_from(begin, len(MAGIC))[0], CHUNK_BYTES_MAX)
        reader.feed(file.pread(head_bytes, 0))
        if reader.head is None or size < head_bytes + _END.size:
            raise Malformed(size, "the file ends early")
        checksum, created_at = _read_end(file.pread(_END.size, size - _END.size), size - _END.size)
    except Malformed as error:
        raise SnapshotDamaged(path, error.offset, error.reason) from error
    finally:
        file.close()
    head = reader.head
    return StoredSnapshot(
        head.index,
        head.term,
        decode_configuration(head.configuration),
        size,
        created_at,
        path,
        checksum,
        head.cluster_id,
        head.format_version,
    )


def _read_end(data: bytes, offset: int) -> tuple[int, str]:
    """Return the checksum and the time in a file's last bytes, which stand at `offset`. Raises Malformed."""
    if len(data) != _END.size:
        raise Malformed(offset + len(data), "the file ends early")
    end_length, checksum, length, crc, created_at = _END.unpack(data)
    if end_length != 0 or length != TIME_BYTES or block_crc(created_at, checksum) != crc or not created_at.isascii():
        raise Malformed(offset, "its end is invalid")
    return checksum, created_at.decode("ascii")


def read_chunks(stored: StoredSnapshot, fs: Filesystem) -> Iterator[bytes]:
    """Give the machine's chunks, each checked. Raises SnapshotDamaged; only the end proves the whole."""
    reader = BlockReader()
    file = fs.open(stored.path)
    offset = 0
    try:
        while data := file.pread(_READ_BYTES, offset):
            offset += len(data)
            yield from reader.feed(data)
        reader.finish()
    except Malformed as error:
        raise SnapshotDamaged(stored.path, error.offset, error.reason) from error
    finally:
        file.close()
    head = reader.head
    found = head and (head.index, head.term, reader.checksum)
    if found != (stored.index, stored.term, stored.checksum):
        raise SnapshotDamaged(stored.path, len(MAGIC), "it is another snapshot than before")


def block_crc(payload: bytes, previous: int) -> int:
    return zlib.crc32(payload, zlib.crc32(len(payload).to_bytes(4, "little"), previous))


head_encoder: Final = msgspec.msgpack.Encoder()
_head_decoder: Final = msgspec.msgpack.Decoder(SnapshotHead)
