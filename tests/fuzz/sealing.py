"""Puts right checksums around wrong contents, so that what reads below a checksum is reached."""

import struct
import zlib
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from raftnode.storage import segment
from raftnode.storage.segment import (
    HEAD_BYTES,
    Batch,
    BatchAt,
    SegmentHead,
    SegmentScan,
    decode_head,
    encode_group,
    salt_crc,
)
from raftnode.storage.snapshot_file import BLOCK, MAGIC, block_crc
from tests.support.filesystem import SimulatedFilesystem

COVERED_BYTES = segment._COVERED.size


@dataclass(frozen=True)
class SealedBatch:
    """A batch of a segment. `payload` is what stands below its checksum, `covered` its header without one."""

    whole: bytes
    head: SegmentHead
    placed: BatchAt
    sync: int
    remaining: int

    @property
    def payload(self) -> bytes:
        return msgspec.msgpack.encode(self.placed.batch)

    @property
    def covered(self) -> bytes:
        return self.whole[self.placed.offset : self.placed.offset + COVERED_BYTES]

    def with_payload(self, payload: bytes) -> bytes:
        """Return the segment with another payload here, and everything else as it was."""
        raw = cast(Batch, msgspec.Raw(payload))
        return self._replaced(encode_group([raw] * (self.remaining + 1), self.sync, self.head)[0])

    def with_header(self, covered: bytes) -> bytes:
        """Return the segment with another header here, whose own checksum is right."""
        begin = self.placed.offset
        covered = covered[:COVERED_BYTES].ljust(COVERED_BYTES, b"\0")
        crc = zlib.crc32(covered, salt_crc(self.head.salt)).to_bytes(4, "little")
        return self._replaced(covered + crc + self.whole[begin + COVERED_BYTES + 4 : begin + self.placed.size])

    def _replaced(self, batch: bytes) -> bytes:
        return self.whole[: self.placed.offset] + batch + self.whole[self.placed.offset + self.placed.size :]


def sealed_batches(whole: bytes) -> list[SealedBatch]:
    """Return the batches of a segment."""
    fs = SimulatedFilesystem()
    fs.put("/segment", whole)
    head = decode_head(whole[:HEAD_BYTES], "/segment")
    scan = SegmentScan(fs.open("/segment"), head, last=True)
    found: list[SealedBatch] = []
    for group in scan.groups():
        for number, placed in enumerate(group, 1):
            found.append(SealedBatch(whole, head, placed, scan.sync, len(group) - number))
    return found


def with_head(whole: bytes, payload: bytes) -> bytes:
    """Return a segment with another head, cut where it does not fit."""
    payload = payload[: HEAD_BYTES - segment._HEAD.size]
    covered = struct.pack("<HI", segment.FORMAT_VERSION, len(payload)) + payload
    head = segment._HEAD.pack(segment._MAGIC, segment.FORMAT_VERSION, len(payload), zlib.crc32(covered)) + payload
    return head.ljust(HEAD_BYTES, b"\0") + whole[HEAD_BYTES:]


def head_payload(whole: bytes) -> bytes:
    """Return what stands below the checksum of a segment's head."""
    fields: tuple[Any, ...] = segment._HEAD.unpack_from(whole)
    return whole[segment._HEAD.size : segment._HEAD.size + int(fields[2])]


def snapshot_blocks(whole: bytes) -> list[bytes]:
    """Return the payloads of a snapshot's blocks: head, chunks, the empty one, and the time."""
    found: list[bytes] = []
    offset = len(MAGIC)
    while offset < len(whole):
        length, _ = BLOCK.unpack_from(whole, offset)
        found.append(whole[offset + BLOCK.size : offset + BLOCK.size + length])
        offset += BLOCK.size + length
    return found


def sealed_snapshot(blocks: list[bytes]) -> bytes:
    """Return the snapshot file of these blocks, each with its right checksum."""
    crc = zlib.crc32(MAGIC)
    parts = [MAGIC]
    for payload in blocks:
        crc = block_crc(payload, crc)
        parts.append(BLOCK.pack(len(payload), crc) + payload)
    return b"".join(parts)
