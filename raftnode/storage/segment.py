"""The format of a log segment, and the decision whether a segment's end is torn or damaged. Nothing here writes.

A segment file is a head of 512 bytes, then batches. All numbers are little-endian.

    head:   magic "raftwal\\n" | u16 version | u32 length | u32 crc32 | MessagePack `SegmentHead` | 0s to 512
            the crc covers version, length and the MessagePack
    batch:  2 bytes magic | u8 mask | u16 remaining | u32 length | u64 sync | u32 payload crc | u32 header crc
            | payload: MessagePack `Batch`, masked | 1 byte end mark

One `sync` of the log is a group of batches in one write: they share the number `sync`, and `remaining` says
how many of the group follow. A group counts as a whole or not at all. The header crc starts from the crc of
the segment's salt, so that a batch inside a stored value is never mistaken for one of the log's own.

Torn or damaged? Each sync is written only after the one before was durable. So after a crash only the last
group may be incomplete, and what is missing of it reads as the end of the file or as zeros, in whole sectors
or up to some byte. To tell that from damage for certain, no sector that a batch touches may hold fewer than
two set bits: a batch begins and ends with bytes that have more, and a payload in which `ZERO_RUN` zeros
follow each other is stored masked (XOR with a pattern made from the salt). One flipped bit then never makes
a written sector look unwritten: a batch that does not check is torn only if a sector of it is blank or past
the end of the file, and no later sync is found behind it. Everything else is damage.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Final

import msgspec

from raftnode.core.errors import StorageError
from raftnode.core.types import HardState, LogEntry, SnapshotPoint
from raftnode.storage.filesystem import File

FORMAT_VERSION: Final = 1
HEAD_BYTES: Final = 512
SECTOR_BYTES: Final = 512
"""The least that a disk writes as one."""

BATCH_BYTES: Final = 256 * 1024
"""Entry data in one batch: what reading a single entry may cost. A larger entry has its own batch."""

PAYLOAD_BYTES_MAX: Final = 1 << 30
NUMBER_MAX: Final = 2**63 - 1
"""The highest term, index or node id."""

ZERO_RUN: Final = bytes(128)
SALT_BYTES: Final = 8

_MAGIC: Final = b"raftwal\n"
_HEAD: Final = struct.Struct("<8sHII")
_BATCH_MAGIC: Final = b"\xb7\x9d"
_BATCH: Final = struct.Struct("<2sBHIQII")
_COVERED: Final = struct.Struct("<2sBHIQI")
_END: Final = b"\xe5"
_WINDOW_BYTES: Final = 1 << 20


class WalDamaged(StorageError):
    """The log holds damaged data: bytes that were written are not what they were. The node must not start."""

    def __init__(self, file: str, offset: int, index: int, reason: str) -> None:
        self.file = file
        self.offset = offset
        self.index = index
        self.reason = reason
        self.advice = (
            "the log before this entry is whole, but this node may have acknowledged what follows: do not "
            "cut it by hand; remove the node from the cluster and bring it back as a new member with an "
            "empty data directory"
        )
        super().__init__(f"{file} is damaged at byte {offset} (log index {index}): {reason}; {self.advice}")


class SegmentHead(msgspec.Struct, frozen=True, array_like=True):
    """The log's state where a segment begins, so that the segments before it can be removed."""

    sequence: int
    salt: bytes
    sync: int
    last_index: int
    snapshot: SnapshotPoint
    hard_state: HardState


class Batch(msgspec.Struct, array_like=True, gc=False):
    """What one batch does, in this order: hard state, truncation, compaction, entries."""

    hard_state: HardState | None
    truncate: int
    """The first index to discard; 0 discards nothing."""
    snapshot: SnapshotPoint | None
    entries: list[LogEntry]


class BatchAt(msgspec.Struct, gc=False):
    """A batch, and where its bytes are in the segment."""

    batch: Batch
    offset: int
    size: int


class BatchHeader(msgspec.Struct, frozen=True, gc=False):
    """A batch's header whose checksum is right. `size` is the whole batch, header and end mark included."""

    mask: int
    remaining: int
    size: int
    sync: int
    payload_crc: int


def encode_head(head: SegmentHead) -> bytes:
    """Return the first 512 bytes of a segment."""
    payload = _encoder.encode(head)
    covered = struct.pack("<HI", FORMAT_VERSION, len(payload)) + payload
    data = _HEAD.pack(_MAGIC, FORMAT_VERSION, len(payload), zlib.crc32(covered)) + payload
    if len(data) > HEAD_BYTES:
        raise StorageError(f"a segment's head takes {len(data)} bytes, over {HEAD_BYTES}")
    return data.ljust(HEAD_BYTES, b"\0")


def decode_head(data: bytes, file: str) -> SegmentHead:
    """Return what a segment's first 512 bytes say. Raises WalDamaged; StorageError for a newer format."""
    if len(data) != HEAD_BYTES:
        raise WalDamaged(file, 0, 0, f"the segment's head is {len(data)} bytes long, not {HEAD_BYTES}")
    magic, version, length, crc = _HEAD.unpack_from(data)
    payload = data[_HEAD.size : _HEAD.size + length]
    if magic != _MAGIC or crc != zlib.crc32(struct.pack("<HI", version, length) + payload):
        raise WalDamaged(file, 0, 0, "the segment's head does not match its checksum")
    if any(data[_HEAD.size + length :]):
        raise WalDamaged(file, _HEAD.size + length, 0, "the segment's head is not followed by zeros")
    if version != FORMAT_VERSION:
        raise StorageError(
            f"{file} has log format {version}, and this program reads format {FORMAT_VERSION}: "
            "run the version of raftnode that wrote it, or a newer one"
        )
    try:
        head = _head_decoder.decode(payload)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise WalDamaged(file, 0, 0, f"the segment's head is invalid: {error}") from error
    if reason := impossible(head.hard_state, head.snapshot, head.sequence, head.sync, head.last_index):
        raise WalDamaged(file, 0, 0, f"the segment's head is invalid: {reason}")
    if head.snapshot.index > head.last_index:
        reason = f"a log that ends at {head.last_index} is compacted to {head.snapshot.index}"
        raise WalDamaged(file, 0, 0, f"the segment's head is invalid: {reason}")
    return head


def impossible(hard_state: HardState | None, snapshot: SnapshotPoint | None, *numbers: int) -> str | None:
    """Return why these cannot be a log's terms and indexes, whose checksum is right; None where they can."""
    if hard_state is not None:
        numbers += (hard_state.current_term, hard_state.voted_for or 0)
    if snapshot is not None:
        numbers += (snapshot.index, snapshot.term)
    for number in numbers:
        if not 0 <= number <= NUMBER_MAX:
            return f"the impossible number {number}"
    return None


def salt_crc(salt: bytes) -> int:
    """Return what the header checksums of a segment start from."""
    return zlib.crc32(salt)


def encode_group(group: Sequence[Batch], sync: int, head: SegmentHead) -> list[bytes]:
    """Return the encoded batches of one sync, to be written one after the other."""
    seed = salt_crc(head.salt)
    remaining = len(group)
    encoded: list[bytes] = []
    for batch in group:
        remaining -= 1
        payload = _encoder.encode(batch)
        if len(payload) > PAYLOAD_BYTES_MAX or remaining > 0xFFFF:
            raise StorageError(f"one write to the log of {len(group)} batches is too large")
        mask = 0
        if ZERO_RUN in payload:
            mask, payload = _mask_zeros(payload, head.salt)
        covered = _COVERED.pack(_BATCH_MAGIC, mask, remaining, len(payload), sync, zlib.crc32(payload))
        encoded.append(b"".join((covered, zlib.crc32(covered, seed).to_bytes(4, "little"), payload, _END)))
    return encoded


def split_batches(first: Batch) -> list[Batch]:
    """Return `first` as batches of at most `BATCH_BYTES` of entry data each, in order."""
    entries = first.entries
    if sum(map(len, map(_data_of, entries))) <= BATCH_BYTES:
        return [first]
    runs: list[list[LogEntry]] = [[]]
    size = 0
    for entry in entries:
        size += len(entry.data)
        if size > BATCH_BYTES and runs[-1]:
            runs.append([])
            size = len(entry.data)
        runs[-1].append(entry)
    batches = [Batch(None, 0, None, run) for run in runs]
    batches[0] = Batch(first.hard_state, first.truncate, first.snapshot, runs[0])
    return batches


def decode_batch_header(data: bytes, seed: int) -> BatchHeader | None:
    """Return the header at the beginning of `data`, or None if there is none that matches its checksum."""
    if len(data) < _BATCH.size:
        return None
    magic, mask, remaining, length, sync, payload_crc, header_crc = _BATCH.unpack_from(data)
    if header_crc != zlib.crc32(data[: _COVERED.size], seed) or magic != _BATCH_MAGIC:
        return None
    return BatchHeader(mask, remaining, _BATCH.size + length + 1, sync, payload_crc)


def decode_batch(data: bytes, header: BatchHeader, salt: bytes) -> Batch | None:
    """Return the batch whose bytes `data` are, header included, or None where they do not match the checksum.

    Raises msgspec.MsgspecError or RecursionError where the checksum is right and the contents are invalid.
    """
    payload = data[_BATCH.size : -1]
    if len(data) != header.size or data[-1:] != _END or zlib.crc32(payload) != header.payload_crc:
        return None
    if header.mask:
        payload = _apply_mask(payload, salt, header.mask)
    return _batch_decoder.decode(payload)


def read_batch(file: File, offset: int, size: int, head: SegmentHead, index: int) -> Batch:
    """Return the batch at a known place. Raises WalDamaged where it has changed since it was found there."""
    data = file.pread(size, offset)
    header = decode_batch_header(data, salt_crc(head.salt))
    batch = None if header is None else decode_batch(data, header, head.salt)
    if batch is None:
        raise WalDamaged(file.path, offset, index, "entries that were whole no longer match their checksum")
    return batch


def _mask_zeros(payload: bytes, salt: bytes) -> tuple[int, bytes]:
    for mask in range(1, 256):
        masked = _apply_mask(payload, salt, mask)
        if ZERO_RUN not in masked:
            return mask, masked
    raise StorageError("no mask removes the long runs of zeros from the entries to be written")


def _apply_mask(payload: bytes, salt: bytes, mask: int) -> bytes:
    size = len(payload)
    tile = hashlib.blake2b(salt + bytes([mask]), digest_size=64).digest()
    pattern = (tile * (size // 64 + 1))[:size]
    both = int.from_bytes(payload, "little") ^ int.from_bytes(pattern, "little")
    return both.to_bytes(size, "little")


class Window:
    """Reads a file forwards through a buffer of bounded size."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.size = file.size()
        self._buffer = b""
        self._start = 0

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset`; fewer only where the file ends."""
        begin = offset - self._start
        if begin < 0 or begin + size > len(self._buffer):
            # A header may claim 4 GiB: never allocate more memory than the file can fill.
            self._buffer = self.file.pread(min(max(size, _WINDOW_BYTES), self.size - offset), offset)
            self._start, begin = offset, 0
        return self._buffer[begin : begin + size]

    def blank(self, begin: int, end: int) -> bool:
        """Return whether the file holds only zeros from `begin` to `end`, or ends before."""
        while begin < min(end, self.size):
            part = self.read(begin, min(end - begin, _WINDOW_BYTES))
            if part.count(0) != len(part):
                return False
            begin += len(part)
        return True


class SegmentScan:
    """One pass over a segment. After `groups()` is exhausted, `end` is where the good bytes end, and `newest`
    where the last whole sync begins.

    `torn` then says whether anything was found behind `end` that was never wholly written.
    """

    def __init__(self, file: File, head: SegmentHead, *, last: bool) -> None:
        self._window = Window(file)
        self._head = head
        self._seed = salt_crc(head.salt)
        self._last = last
        self.size = self._window.size
        self.sync = head.sync
        self.next_index = head.last_index + 1
        """For the messages: set by the caller as it applies what it gets."""
        self.end = self.newest = HEAD_BYTES
        self.torn = False

    def groups(self) -> Iterator[list[BatchAt]]:
        """Give each whole sync's batches in order. Raises WalDamaged."""
        window, salt = self._window, self._head.salt
        group: list[BatchAt] = []
        offset, remaining = self.end, 0
        while offset < self.size:
            header = decode_batch_header(window.read(offset, _BATCH.size), self._seed)
            batch = None
            if header is not None:
                batch = self._decode(header, offset, salt)
            if header is None or batch is None:
                self._judge(offset, header)
                return
            if header.sync != self.sync + 1 or (group and header.remaining != remaining - 1):
                raise self._damaged(offset, f"write {header.sync} was found where {self.sync + 1} belongs")
            remaining = header.remaining
            group.append(BatchAt(batch, offset, header.size))
            offset += header.size
            if not remaining:
                self.sync += 1
                self.newest, self.end = self.end, offset
                yield group
                group = []
        if group:
            self._judge(offset, None)

    def _decode(self, header: BatchHeader, offset: int, salt: bytes) -> Batch | None:
        try:
            return decode_batch(self._window.read(offset, header.size), header, salt)
        except (msgspec.MsgspecError, RecursionError) as error:
            reason = f"the checksum is right and the contents are invalid: {error}"
            raise self._damaged(offset, reason) from error

    def _judge(self, offset: int, header: BatchHeader | None) -> None:
        """Decide about a batch that does not check: set `torn`, or raise WalDamaged."""
        if not self._last:
            raise self._damaged(offset, "a batch does not match its checksum, and a later segment exists")
        if not self._partly_unwritten(offset, header):
            raise self._damaged(offset, "a batch does not match its checksum")
        found = self._later_sync(offset)
        if found is not None:
            raise self._damaged(offset, f"a batch does not check, but a later one is at byte {found}")
        self.torn = True

    def _partly_unwritten(self, offset: int, header: BatchHeader | None) -> bool:
        window = self._window
        end = offset + (_BATCH.size if header is None else header.size)
        if end > self.size or window.blank(end - 1 if header is not None else end, self.size):
            return True
        # Where the header does not check its length is not known, so the sectors that it touches are judged
        # whole.
        limit = end if header is not None else self.size
        begin = offset
        while begin < end:
            after = begin - begin % SECTOR_BYTES + SECTOR_BYTES
            if window.blank(begin, min(after, limit)):
                return True
            begin = after
        return False

    def _later_sync(self, offset: int) -> int | None:
        """Return where a batch of a later sync than the incomplete one begins."""
        overlap = _BATCH.size - 1
        while offset < self.size:
            part = self._window.file.pread(_WINDOW_BYTES + overlap, offset)
            found = part.find(_BATCH_MAGIC)
            while 0 <= found < _WINDOW_BYTES:
                header = decode_batch_header(part[found : found + _BATCH.size], self._seed)
                if header is not None and header.sync > self.sync + 1:
                    return offset + found
                found = part.find(_BATCH_MAGIC, found + 1)
            offset += _WINDOW_BYTES
        return None

    def _damaged(self, offset: int, reason: str) -> WalDamaged:
        return WalDamaged(self._window.file.path, offset, self.next_index, reason)


_data_of = attrgetter("data")
_encoder: Final = msgspec.msgpack.Encoder()
_head_decoder: Final = msgspec.msgpack.Decoder(SegmentHead)
_batch_decoder: Final = msgspec.msgpack.Decoder(Batch)
