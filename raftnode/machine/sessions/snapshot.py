"""The snapshot of a session machine, written and read: raftnode.wire.snapshot has what it holds."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Final

from raftnode.core.errors import SerializationError
from raftnode.machine.sessions.session import Session
from raftnode.machine.stream import CHUNK_BYTES, frame_chunks, read_frames
from raftnode.wire.snapshot import (
    SESSIONS_FORMAT_VERSION,
    InnerChunk,
    Limits,
    Part,
    Record,
    RecordBatch,
    ResultRecord,
    SessionEnd,
    SessionHeader,
    SessionRecord,
    decode_part,
)

RECORD_BYTES: Final = 32
"""The largest overhead of a record, without its result."""


class SessionSnapshot:
    """The chunks of a session machine's snapshot.

    `records` and `inner` are of one moment and do not change.
    """

    def __init__(self, header: SessionHeader, records: Iterator[Record], inner: Iterator[bytes]) -> None:
        self._inner = inner
        self._chunks = self._write(header, records)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        """Give up the rest of the snapshot."""
        close = getattr(self._inner, "close", None)
        if close is not None:
            close()
        self._chunks = iter(())

    def _write(self, header: SessionHeader, records: Iterator[Record]) -> Iterator[bytes]:
        yield from frame_chunks(header)
        for batch in _batches(records):
            yield from frame_chunks(RecordBatch(batch))
        count = 0
        for data in self._inner:
            if not data:
                # An empty chunk is a pause: pass it on to the caller.
                yield data
                continue
            count += 1
            yield from frame_chunks(InnerChunk(data))
        yield from frame_chunks(SessionEnd(count))


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    size = 0
    for record in records:
        batch.append(record)
        size += RECORD_BYTES + (len(record.result) if isinstance(record, ResultRecord) else 0)
        if size >= CHUNK_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def session_records(sessions: Iterable[Session]) -> Iterator[Record]:
    """Give each session, followed by its results in the order of their sequences."""
    for session in sessions:
        yield SessionRecord(session.id, session.acknowledged)
        for sequence, result in sorted(session.results.items()):
            yield ResultRecord(sequence, result)


def read_sessions(
    chunks: Iterable[bytes], limits: Limits, generation: int
) -> tuple[OrderedDict[int, Session], Iterator[bytes]]:
    """Return a snapshot's sessions, and the chunks of the inner machine's snapshot, to be read to their end.

    Raises SerializationError where the snapshot is not whole, and so does the iterator that is returned.
    """
    parts = _read_parts(chunks)
    header = next(parts, None)
    if not isinstance(header, SessionHeader):
        raise SerializationError("a snapshot does not begin with the sessions' header")
    if header.format_version != SESSIONS_FORMAT_VERSION:
        raise SerializationError(
            f"a snapshot with sessions of format {header.format_version}; this program reads {SESSIONS_FORMAT_VERSION}"
        )
    if header.limits != limits:
        raise SerializationError(
            f"a snapshot of a machine with the session limits {header.limits}; this one has {limits}, "
            "and would not stay equal to it"
        )
    sessions: OrderedDict[int, Session] = OrderedDict()
    part = next(parts, None)
    while isinstance(part, RecordBatch):
        for record in part.records:
            _add(sessions, record, generation)
        part = next(parts, None)
    if len(sessions) != header.session_count:
        raise SerializationError(f"a snapshot of {header.session_count} sessions holds {len(sessions)}")
    return sessions, _inner_chunks(part, parts)


def _read_parts(chunks: Iterable[bytes]) -> Iterator[Part]:
    for body in read_frames(chunks):
        yield decode_part(body)


def _add(sessions: OrderedDict[int, Session], record: Record, generation: int) -> None:
    if isinstance(record, SessionRecord):
        if record.session in sessions:
            raise SerializationError(f"a snapshot holds session {record.session} twice")
        sessions[record.session] = Session(record.session, record.acknowledged, generation)
        return
    if not sessions:
        raise SerializationError("a snapshot has a result before the first session")
    session = sessions[next(reversed(sessions))]
    if record.sequence <= session.acknowledged or record.sequence in session.results:
        raise SerializationError(f"a snapshot has an impossible result {record.sequence} in session {session.id}")
    session.remember(record.sequence, record.result)


def _inner_chunks(part: Part | None, parts: Iterator[Part]) -> Iterator[bytes]:
    count = 0
    while isinstance(part, InnerChunk):
        count += 1
        yield part.data
        part = next(parts, None)
    if not isinstance(part, SessionEnd):
        raise SerializationError(f"a snapshot has no end after {count} chunks of the machine's")
    if part.chunk_count != count:
        raise SerializationError(f"a snapshot of {part.chunk_count} chunks of the machine's holds {count}")
    if next(parts, None) is not None:
        raise SerializationError("a snapshot goes on after its end")
