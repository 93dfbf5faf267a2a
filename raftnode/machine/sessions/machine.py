"""Exactly-once writes around any state machine (thesis 6.3).

A client opens a session, whose id is the log index of the entry that opened it, and numbers its writes from
1. Each write also carries `acknowledged`, the sequence up to which the client needs no more answers. The
sequences of a session:

    1 .. acknowledged | acknowledged+1 .. acknowledged+results_max | beyond
    closed: never     | open: applied once, the result remembered, | too early:
    applied again     | and repeated for a retry                   | refused

What could break the promise, and what prevents it:

- A retry after its result, or the whole session, was forgotten: answered with `Expired`, never applied.
  Session ids are not reused, because log indexes are not.
- Pipelined writes that overtake each other across a change of leader: a result is remembered for each
  sequence, not one highest number, so a late 1 after an applied 2 is still applied. Their order is not
  promised: a client that needs one write to come before another waits for the first one's answer.
- A window full of results that cannot be acknowledged because the lowest write is still missing: the window
  is a range above `acknowledged`, so the missing write always has room, however large the other results are.
- A client that gives up on a write: the outcome is unknown until a later write of the session acknowledges
  past it. From that entry on the old write cannot take effect, however late a copy arrives.
- A refused try says nothing about another try of the same sequence that may still be under way.
- Every node must forget the same session first: the one least recently used in the order of the log. All
  limits are therefore part of the machine and equal on every node; a snapshot taken with others is refused.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import msgspec

from raftnode.core.errors import SerializationError
from raftnode.machine.protocol import CommandRefused, StateMachine
from raftnode.machine.sessions.session import Session
from raftnode.machine.sessions.snapshot import SessionSnapshot, read_sessions, session_records
from raftnode.wire.entries import OpenEntry, WriteEntry, decode_entry, describe_data
from raftnode.wire.snapshot import SessionHeader

SESSIONS_MAX: Final = 65_536
RESULTS_MAX: Final = 1024
"""How far a session's writes may run ahead of what the client acknowledges."""
SESSION_BYTES_MAX: Final = 4 * 1024 * 1024
"""How many bytes of results a session may hold before only its lowest open write is applied."""
RESULTS_BYTES_MAX: Final = 64 * 1024 * 1024
"""How many bytes of results all sessions may hold before the least recently used one is forgotten."""

NO_SESSION: Final = 0


class Opened(msgspec.Struct, frozen=True, gc=False):
    """The entry opened a session: its id is the entry's log index."""

    session: int


class Result(msgspec.Struct, frozen=True, gc=False):
    """The command was applied, now or when this sequence first came, with this result."""

    result: bytes


class Expired(msgspec.Struct, frozen=True, gc=False):
    """The session, or this sequence's result, is forgotten. An earlier try may have been applied; this one was not."""

    reason: str


class RuleBroken(msgspec.Struct, frozen=True, gc=False):
    """This try broke a rule and changed nothing."""

    reason: str


Applied = Opened | Result | Expired | RuleBroken

_encoder = msgspec.msgpack.Encoder()
_OPEN: Final = _encoder.encode(OpenEntry())


def encode_open_session() -> bytes:
    """Return the data of a log entry that opens a session."""
    return _OPEN


def encode_write(session: int, sequence: int, acknowledged: int, command: bytes) -> bytes:
    """Return the data of a log entry with `command`. Its numbers have passed `SessionMachine.check_write()`."""
    return _encoder.encode(WriteEntry(session, sequence, acknowledged, command))


class SessionMachine:
    """`inner`, with each session's writes applied exactly once. The module's docstring has the rules.

    The limits are part of the machine's behavior: every node of a cluster must have the same ones.
    """

    def __init__(
        self,
        inner: StateMachine,
        sessions_max: int = SESSIONS_MAX,
        results_max: int = RESULTS_MAX,
        session_bytes_max: int = SESSION_BYTES_MAX,
        results_bytes_max: int = RESULTS_BYTES_MAX,
    ) -> None:
        if min(sessions_max, results_max, session_bytes_max, results_bytes_max) < 1:
            raise ValueError("every limit of a SessionMachine must be at least 1")
        self.inner = inner
        self._limits = (sessions_max, results_max, session_bytes_max, results_bytes_max)
        self._sessions_max, self._results_max, self._session_bytes_max, self._results_bytes_max = self._limits
        # Least recently used first.
        self._sessions: OrderedDict[int, Session] = OrderedDict()
        self._bytes = 0
        self._generation = 0

    @property
    def session_count(self) -> int:
        """How many sessions are open."""
        return len(self._sessions)

    @property
    def result_bytes(self) -> int:
        """How many bytes all remembered results hold."""
        return self._bytes

    def check(self, command: bytes) -> None:
        """Raise CommandRefused where the inner machine would not take `command`.

        Called before it is proposed.
        """
        self.inner.check(command)

    def check_write(self, session: int, sequence: int, acknowledged: int, command: bytes) -> None:
        """Raise CommandRefused where a write's numbers or its command are invalid.

        Called before it is proposed.
        """
        if session != NO_SESSION and (reason := _numbers_refused(sequence, acknowledged)):
            raise CommandRefused(reason)
        self.inner.check(command)

    def apply(self, index: int, data: bytes) -> Applied:
        """Apply the committed entry `index`. It never raises for bad input."""
        try:
            entry = decode_entry(data)
        except SerializationError:
            return _NOT_AN_ENTRY
        if isinstance(entry, OpenEntry):
            return self._open(index)
        if entry.session == NO_SESSION:
            return Result(self.inner.apply(index, entry.command))
        return self._write(index, entry)

    def evaluate(self, command: bytes) -> bytes:
        """Return what the inner machine would answer to `command` now. Raises CommandRefused."""
        return self.inner.evaluate(command)

    def query(self, query: bytes) -> bytes:
        """Answer a read from the inner machine. Raises CommandRefused."""
        return self.inner.query(query)

    def changes(self, query: bytes) -> bytes | None:
        """Answer a watch from the inner machine, or None where nothing has changed yet.

        Raises CommandRefused.
        """
        return self.inner.changes(query)

    def describe(self, data: bytes) -> str:
        """Return one line about an entry's data for an operator. It never raises."""
        return describe_data(data, self.inner.describe)

    def snapshot(self) -> SessionSnapshot:
        """Return the sessions and the inner machine as they are at this call, in chunks."""
        self._generation += 1
        header = SessionHeader.of(self._limits, len(self._sessions))
        return SessionSnapshot(header, session_records(list(self._sessions.values())), self.inner.snapshot())

    def restore(self, chunks: Iterable[bytes]) -> None:
        """Replace the whole state. Raises SerializationError and then leaves everything as it was."""
        sessions, inner_chunks = read_sessions(chunks, self._limits, self._generation)
        self.inner.restore(inner_chunks)
        self._sessions = sessions
        self._bytes = sum(session.bytes for session in sessions.values())

    def digest(self) -> bytes:
        """Return a hash of the limits, the sessions in their order, and the inner machine.

        Reads the whole state.
        """
        state = hashlib.blake2b(digest_size=32)
        state.update(_encoder.encode(SessionHeader.of(self._limits, len(self._sessions))))
        for record in session_records(list(self._sessions.values())):
            state.update(_encoder.encode(record))
        state.update(self.inner.digest())
        return state.digest()

    def _open(self, index: int) -> Opened:
        self._sessions[index] = Session(index, generation=self._generation)
        if len(self._sessions) > self._sessions_max:
            self._forget_oldest()
        return Opened(index)

    def _write(self, index: int, entry: WriteEntry) -> Applied:
        session = self._sessions.get(entry.session)
        if session is None:
            return Expired(f"session {entry.session} is unknown or has expired")
        if reason := _numbers_refused(entry.sequence, entry.acknowledged):
            return RuleBroken(reason)
        if session.generation != self._generation:
            # A snapshot may still hold this one.
            session = self._sessions[session.id] = session.copy(self._generation)
        self._sessions.move_to_end(session.id)
        if entry.acknowledged > session.acknowledged:
            self._bytes -= session.acknowledge(entry.acknowledged)
        sequence = entry.sequence
        known = session.results.get(sequence)
        if known is not None:
            return Result(known)
        if sequence <= session.acknowledged:
            return Expired(
                f"the result of write {sequence} is forgotten: the client acknowledged up to {session.acknowledged}"
            )
        if reason := self._too_early(session, sequence):
            return RuleBroken(reason)
        result = self.inner.apply(index, entry.command)
        self._bytes += session.remember(sequence, result)
        while self._bytes > self._results_bytes_max and len(self._sessions) > 1:
            self._forget_oldest()
        return Result(result)

    def _too_early(self, session: Session, sequence: int) -> str:
        ahead = sequence - session.acknowledged
        if ahead > self._results_max:
            return (
                f"write {sequence} is {ahead} ahead of the last acknowledged one; the limit is "
                f"{self._results_max}: acknowledge answers first"
            )
        if session.bytes >= self._session_bytes_max and ahead > 1:
            return (
                f"the session's unacknowledged results hold {session.bytes} bytes; the limit is "
                f"{self._session_bytes_max}: acknowledge answers first"
            )
        return ""

    def _forget_oldest(self) -> None:
        _, session = self._sessions.popitem(last=False)
        self._bytes -= session.bytes


_NOT_AN_ENTRY: Final = RuleBroken("these bytes are not an entry of the session machine")


def _numbers_refused(sequence: int, acknowledged: int) -> str:
    """Return why the numbers of a session's write are invalid, or nothing."""
    if sequence < 1:
        return f"the sequence is {sequence}; a session's writes are numbered from 1"
    if not 0 <= acknowledged < sequence:
        return f"write {sequence} says that the writes up to {acknowledged} are acknowledged"
    return ""
