"""A point-in-time copy of the key-value machine, written while the machine goes on changing.

Nothing is copied when it is taken. The machine says before each change which record it is about to replace,
and the first record that a key had is kept until it is written:

    keys        a    b    c    d    e    f
                written   |    not yet written
                       cursor
                               d changed: the record it had is in `_replaced` and is written instead
                                    e deleted: so is its record, written after the last key
                                       e2 created: `_replaced` holds None for it, and it is left out
"""

from collections.abc import Generator, Iterator
from typing import Final

from sortedcontainers import SortedList

from raftnode.core.errors import SerializationError
from raftnode.machine.stream import CHUNK_BYTES, frame_chunks
from raftnode.wire.kv import KeyValue
from raftnode.wire.snapshot import KV_FORMAT_VERSION, KvBatch, KvHeader, decode_kv_part

RECORD_OVERHEAD_BYTES: Final = 40
"""The most that a record's numbers and lengths take in the snapshot."""


class KvSnapshot:
    """The chunks of a snapshot of `records`, which belong to the machine and change under it."""

    def __init__(self, revision: int, records: dict[bytes, KeyValue], keys: "SortedList[bytes]") -> None:
        self._records = records
        self._keys = keys
        self._replaced: dict[bytes, KeyValue | None] = {}
        self._cursor = b""
        self._listening = True
        self._chunks = self._write(KvHeader(KV_FORMAT_VERSION, revision, len(records)))

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        """Give up the rest of the snapshot."""
        self._listening = False
        self._replaced.clear()
        self._chunks.close()

    @property
    def kept(self) -> int:
        """How many replaced records are kept at the moment."""
        return len(self._replaced)

    def keep(self, key: bytes, record: KeyValue | None) -> bool:
        """Hear that `key`, which has `record` (None: absent), is about to change. False: no need to tell any
        more."""
        if key > self._cursor and key not in self._replaced and self._listening:
            self._replaced[key] = record
        return self._listening

    def _write(self, header: KvHeader) -> Generator[bytes, None, None]:
        yield from frame_chunks(header)
        while (batch := self._next_batch()) is not None:
            yield from frame_chunks(KvBatch(batch))
        self._listening = False
        while self._replaced:
            yield from frame_chunks(KvBatch(self._next_deleted()))

    def _next_batch(self) -> list[KeyValue] | None:
        """Return the next records in key order, and move the cursor to the last of them; None after the last.

        A key that is left out counts too, so that a step is short also where many keys were created.
        """
        records, replaced = self._records, self._replaced
        batch: list[KeyValue] = []
        size = 0
        for key in self._keys.irange(self._cursor, inclusive=(False, True)):
            self._cursor = key
            record = replaced.pop(key) if key in replaced else records[key]
            size += len(key) + RECORD_OVERHEAD_BYTES
            if record is not None:
                batch.append(record)
                size += len(record.value)
            if size >= CHUNK_BYTES:
                break
        return batch if size else None

    def _next_deleted(self) -> list[KeyValue]:
        """Return records of keys that were deleted before the cursor came to them."""
        batch: list[KeyValue] = []
        size = 0
        while self._replaced and size < CHUNK_BYTES:
            key, record = self._replaced.popitem()
            size += len(key) + RECORD_OVERHEAD_BYTES
            if record is not None:
                batch.append(record)
                size += len(record.value)
        return batch


def read_snapshot(bodies: Iterator[bytes]) -> tuple[int, dict[bytes, KeyValue]]:
    """Return the revision and the records of a snapshot's frames.

    Raises SerializationError unless it is whole.
    """
    first = next(bodies, None)
    header = None if first is None else decode_kv_part(first)
    if not isinstance(header, KvHeader):
        raise SerializationError("a key-value snapshot does not begin with its header")
    if header.format_version != KV_FORMAT_VERSION:
        raise SerializationError(
            f"a key-value snapshot of format {header.format_version}; this program reads {KV_FORMAT_VERSION}"
        )
    records: dict[bytes, KeyValue] = {}
    read = 0
    for body in bodies:
        part = decode_kv_part(body)
        if not isinstance(part, KvBatch):
            raise SerializationError("a key-value snapshot has two headers")
        read += len(part.records)
        records.update((record.key, record) for record in part.records)
    if not read == len(records) == header.count:
        raise SerializationError(
            f"a key-value snapshot of {header.count} keys holds {read} records of {len(records)} keys"
        )
    return header.revision, records
