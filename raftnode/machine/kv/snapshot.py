"""A point-in-time copy of the key-value machine, written while the machine goes on changing.

Nothing is copied when it is taken. The machine says before each change which record it is about to replace,
and the first record that a key had is kept until it is written:

    keys        a    b    c    d    e    f
                written   |    not yet written
                       cursor
                               d changed: the record it had is in `_replaced` and is written instead
                                    e deleted: so is its record, written in its place
                                       e2 created: `_replaced` holds None for it, and it is left out

So the bytes, and where the chunks end, depend only on the state at the beginning: nodes that take a snapshot of
the same state write the same one, whatever they apply meanwhile.
"""

import heapq
from collections.abc import Generator, Iterator
from typing import Final

from sortedcontainers import SortedList

from raftnode.core.errors import SerializationError
from raftnode.machine.stream import CHUNK_BYTES, frame_chunks
from raftnode.wire.kv import KeyValue
from raftnode.wire.snapshot import KV_FORMAT_VERSION, KvBatch, KvHeader, decode_kv_part

RECORD_OVERHEAD_BYTES: Final = 40
"""The most that a record's numbers and lengths take in the snapshot."""

KEYS_PER_STEP: Final = 4096
"""After scanning this many keys without filling a chunk, give an empty one, so that the caller can do other work."""


class KvSnapshot:
    """The chunks of a snapshot of `records`, which belong to the machine and change under it."""

    def __init__(self, revision: int, records: dict[bytes, KeyValue], keys: "SortedList[bytes]") -> None:
        self._records = records
        self._keys = keys
        self._replaced: dict[bytes, KeyValue | None] = {}
        self._kept_keys: SortedList[bytes] = SortedList()
        """The keys of `_replaced` that had a record, some of which may be deleted by now."""
        self._batch: list[KeyValue] = []
        self._batch_bytes = 0
        self._cursor = b""
        self._listening = True
        self._chunks = self._write(KvHeader(KV_FORMAT_VERSION, revision, len(records)))

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        """Give up the rest of the snapshot."""
        self._stop_listening()
        self._chunks.close()

    @property
    def kept(self) -> int:
        """How many replaced records are kept at the moment."""
        return len(self._replaced)

    def keep(self, key: bytes, record: KeyValue | None) -> bool:
        """Save `record`, the value of `key` before it changes (None if absent).

        Returns False once no more calls are needed.
        """
        if key > self._cursor and key not in self._replaced and self._listening:
            self._replaced[key] = record
            if record is not None:
                self._kept_keys.add(key)
        return self._listening

    def _write(self, header: KvHeader) -> Generator[bytes, None, None]:
        yield from frame_chunks(header)
        while self._fill():
            if self._batch_bytes < CHUNK_BYTES:
                yield b""
            else:
                yield from self._flush()
        self._stop_listening()
        yield from self._flush()

    def _fill(self) -> bool:
        """Move the cursor on, until the batch is full or the step is long enough. Return whether there may be more."""
        records, replaced, batch = self._records, self._replaced, self._batch
        for looked, key in enumerate(self._keys_ahead(), 1):
            if key == self._cursor:
                continue
            self._cursor = key
            record = replaced.pop(key) if key in replaced else records[key]
            if record is not None:
                batch.append(record)
                self._batch_bytes += len(key) + len(record.value) + RECORD_OVERHEAD_BYTES
            if self._batch_bytes >= CHUNK_BYTES or looked >= KEYS_PER_STEP:
                return True
        return False

    def _keys_ahead(self) -> Iterator[bytes]:
        """Give the keys after the cursor in order: those of now, and those that were deleted; some of them twice."""
        kept, cursor = self._kept_keys, self._cursor
        live: Iterator[bytes] = self._keys.irange(cursor, inclusive=(False, True))
        if not kept or kept[-1] <= cursor:
            return live
        return iter(heapq.merge(live, kept.irange(cursor, inclusive=(False, True))))

    def _flush(self) -> Iterator[bytes]:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        if batch:
            yield from frame_chunks(KvBatch(batch))

    def _stop_listening(self) -> None:
        self._listening = False
        self._replaced.clear()
        self._kept_keys.clear()


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
