"""What a snapshot of the key-value store holds, as it stands in files and travels between nodes.

    SessionHeader | RecordBatch ... | InnerChunk ... | SessionEnd        each a frame of raftnode.wire.frame

The data of the InnerChunks, put together, is the store's own part:

    KvHeader | KvBatch ...                                               frames again

A RecordBatch holds SessionRecords, least recently used first, each followed by its ResultRecords, which may
go on in the next batch.
"""

from typing import Final

import msgspec

from raftnode.wire.frame import decode_as
from raftnode.wire.kv import KeyValue

SESSIONS_FORMAT_VERSION: Final = 1
KV_FORMAT_VERSION: Final = 1

Limits = tuple[int, int, int, int]


class SessionRecord(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """A session, and the sequence up to which its writes are closed."""

    session: int
    acknowledged: int


class ResultRecord(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """A remembered result of the session before it."""

    sequence: int
    result: bytes


Record = SessionRecord | ResultRecord


class SessionHeader(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """A snapshot's first frame: the limits that the machine had, and how many sessions follow."""

    format_version: int
    limits: Limits
    session_count: int

    @classmethod
    def of(cls, limits: Limits, session_count: int) -> "SessionHeader":
        """Return a header of the format that this program writes."""
        return cls(SESSIONS_FORMAT_VERSION, limits, session_count)


class RecordBatch(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Some of the records."""

    records: list[Record]


class InnerChunk(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=3):
    """A chunk of the inner machine's snapshot."""

    data: bytes


class SessionEnd(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=4):
    """The last frame: how many inner chunks there were."""

    chunk_count: int


Part = SessionHeader | RecordBatch | InnerChunk | SessionEnd


class KvHeader(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """The store's first frame. `revision` is the machine's, `count` the number of records that follow."""

    format_version: int
    revision: int
    count: int


class KvBatch(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Some of the records; each key is in one batch only."""

    records: list[KeyValue]


KvPart = KvHeader | KvBatch

_parts: msgspec.msgpack.Decoder[Part] = msgspec.msgpack.Decoder(Part)
_kv_parts: msgspec.msgpack.Decoder[KvPart] = msgspec.msgpack.Decoder(KvPart)


def decode_part(body: bytes) -> Part:
    """Return a frame of a session machine's snapshot. Raises SerializationError."""
    return decode_as(_parts, body, "a part of a session machine's snapshot")


def decode_kv_part(body: bytes) -> KvPart:
    """Return a frame of the key-value store's part. Raises SerializationError."""
    return decode_as(_kv_parts, body, "a key-value snapshot")
