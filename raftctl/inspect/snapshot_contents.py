"""What is in a snapshot of the key-value store: counts, and sizes by key prefix. It is read as a stream."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from raftnode.wire.frame import FrameDecoder, FrameError
from raftnode.wire.kv import KeyValue
from raftnode.wire.snapshot import (
    KV_FORMAT_VERSION,
    SESSIONS_FORMAT_VERSION,
    InnerChunk,
    KvBatch,
    KvHeader,
    Part,
    Record,
    RecordBatch,
    ResultRecord,
    SessionEnd,
    SessionHeader,
    decode_kv_part,
    decode_part,
)


@dataclass
class Weight:
    """How many keys there are, and what they and their values weigh."""

    keys: int = 0
    key_bytes: int = 0
    value_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        return self.key_bytes + self.value_bytes

    def add(self, other: "Weight") -> None:
        """Count `other` in."""
        self.keys += other.keys
        self.key_bytes += other.key_bytes
        self.value_bytes += other.value_bytes


@dataclass
class Contents:
    """What a snapshot holds."""

    sessions: int = 0
    results: int = 0
    result_bytes: int = 0
    revision: int = 0
    total: Weight = field(default_factory=Weight)
    prefixes: dict[bytes, Weight] = field(default_factory=dict)


def read_contents(
    chunks: Iterable[bytes], depth: int, separator: bytes, progress: Callable[[int], None] = lambda size: None
) -> Contents:
    """Return what the machine's chunks of a snapshot hold; `progress` is called with how many bytes were read.

    Raises FrameError where they are not a snapshot of the key-value store, or are not complete.
    """
    contents = Contents()
    store = _StoreReader(contents, depth, separator)
    parts = _parts(chunks, progress)
    header = next(parts, None)
    if not isinstance(header, SessionHeader) or header.format_version != SESSIONS_FORMAT_VERSION:
        raise FrameError(f"a snapshot of the store begins with a header of format {SESSIONS_FORMAT_VERSION}")
    inner = 0
    ended = False
    for part in parts:
        match part:
            case RecordBatch(records=records) if not inner and not ended:
                _count(contents, records)
            case InnerChunk(data=data) if not ended:
                inner += 1
                store.feed(data)
            case SessionEnd(chunk_count=count) if count == inner:
                ended = True
            case _:
                raise FrameError(f"a {type(part).__name__} stands in a place where it cannot")
    if not ended or contents.sessions != header.session_count:
        raise FrameError(
            f"{contents.sessions} of {header.session_count} sessions, and no end"
            if not ended
            else f"{contents.sessions} sessions, where {header.session_count} belong"
        )
    store.finish()
    return contents


def prefix_of(key: bytes, depth: int, separator: bytes) -> bytes:
    """Return the key up to and with its `depth`-th separator, or with its last one where it has fewer.

    The prefix of a key without a separator is empty.
    """
    end = 0
    for _ in range(depth):
        found = key.find(separator, end)
        if found < 0:
            break
        end = found + len(separator)
    return key[:end]


def _parts(chunks: Iterable[bytes], progress: Callable[[int], None]) -> Iterator[Part]:
    decoder = FrameDecoder()
    size = 0
    for chunk in chunks:
        size += len(chunk)
        for body in decoder.feed(chunk):
            yield decode_part(body)
        progress(size)
    if decoder.pending_bytes:
        raise FrameError(f"the snapshot ends within a frame, after {decoder.pending_bytes} bytes of it")


def _count(contents: Contents, records: list[Record]) -> None:
    for record in records:
        if isinstance(record, ResultRecord):
            contents.results += 1
            contents.result_bytes += len(record.result)
        else:
            contents.sessions += 1


class _StoreReader:
    """Reads the store's own part."""

    def __init__(self, contents: Contents, depth: int, separator: bytes) -> None:
        self._contents = contents
        self._depth = depth
        self._separator = separator
        self._decoder = FrameDecoder()
        self._count = -1

    def feed(self, data: bytes) -> None:
        for body in self._decoder.feed(data):
            match decode_kv_part(body):
                case KvHeader(format_version=version, revision=revision, count=count) if (
                    self._count < 0 and version == KV_FORMAT_VERSION
                ):
                    self._count, self._contents.revision = count, revision
                case KvBatch(records=records) if self._count >= 0:
                    for record in records:
                        self._add(record)
                case part:
                    raise FrameError(f"a {type(part).__name__} stands in a place where it cannot")

    def _add(self, record: KeyValue) -> None:
        weight = Weight(1, len(record.key), len(record.value))
        self._contents.total.add(weight)
        prefix = prefix_of(record.key, self._depth, self._separator)
        known = self._contents.prefixes.get(prefix)
        if known is None:
            self._contents.prefixes[prefix] = weight
        else:
            known.add(weight)

    def finish(self) -> None:
        if self._decoder.pending_bytes or self._count != self._contents.total.keys:
            raise FrameError(f"{self._contents.total.keys} keys, where {max(self._count, 0)} belong")
