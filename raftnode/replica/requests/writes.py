"""Writes, from their arrival to the answer that their entry gives when it is applied.

The writes of one turn become one batch of proposals. A write's answer says done, not done, or unknown; "not done" is
said only where the entry can never take effect.
"""

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

from raftnode.config.settings import ReplicaSettings
from raftnode.core.errors import NotLeader, ProposalRejected
from raftnode.core.node import RaftNode
from raftnode.core.types import LogEntry
from raftnode.machine.protocol import CommandRefused
from raftnode.machine.sessions.machine import (
    Applied,
    Expired,
    Opened,
    Result,
    RuleBroken,
    SessionMachine,
    encode_open_session,
    encode_write,
)
from raftnode.replica.durability import Durability
from raftnode.replica.requests.replies import Replies
from raftnode.replica.timers import Timers
from raftnode.wire import client as wire
from raftnode.wire.client import UNKNOWN, ErrorCode

UNCOMMITTED_BYTES_MAX: Final = 64 * 1024 * 1024
"""The most bytes of commands that wait for a quorum on a leader; further writes are answered BUSY."""

ENTRY_OVERHEAD_BYTES: Final = 128
"""What an entry or a waiting request counts beyond its data, so that many empty ones are bounded too."""


@dataclass(slots=True)
class Waiter:
    """A request whose log entry is under way. It is answered when the entry at `index` is applied.

    Matched by index *and* term: an entry of another term at that index means that this one was overwritten.
    """

    client: Hashable
    request_id: int
    index: int
    term: int
    deadline: float


class EntryWaiters:
    """Waiters by log index. Indexes and deadlines both grow as waiters are added."""

    def __init__(self) -> None:
        self._by_index: dict[int, Waiter] = {}

    def __len__(self) -> int:
        return len(self._by_index)

    def add(self, waiter: Waiter) -> None:
        """Add a waiter whose deadline is not before the others'. An earlier waiter for its index was popped before."""
        self._by_index[waiter.index] = waiter

    def pop(self, index: int) -> Waiter | None:
        """Remove and return the waiter of the entry at `index`."""
        return self._by_index.pop(index, None)

    def pop_up_to(self, index: int) -> list[Waiter]:
        """Remove and return the waiters of entries up to `index`."""
        return [self._by_index.pop(at) for at in [at for at in self._by_index if at <= index]]

    def pop_overdue(self, now: float) -> list[Waiter]:
        """Remove and return the waiters whose deadline has passed."""
        overdue: list[Waiter] = []
        while (first := self._first()) is not None and first.deadline <= now:
            overdue.append(self._by_index.pop(first.index))
        return overdue

    def pop_all(self) -> list[Waiter]:
        """Remove and return every waiter."""
        waiting, self._by_index = list(self._by_index.values()), {}
        return waiting

    def cap_deadlines(self, deadline: float) -> None:
        """Let no waiter wait beyond `deadline`."""
        for waiter in self._by_index.values():
            waiter.deadline = min(waiter.deadline, deadline)

    def next_deadline(self) -> float | None:
        """Return when the first waiter becomes overdue."""
        first = self._first()
        return None if first is None else first.deadline

    def _first(self) -> Waiter | None:
        return next(iter(self._by_index.values()), None)


class UncommittedBytes:
    """How much a leader has appended that is not committed: each batch by the index of its last entry.

    Counted apart from the waiters: a writer that gave up leaves its entry in the log.
    """

    def __init__(self) -> None:
        self._batches: deque[tuple[int, int]] = deque()
        self.size_bytes = 0

    def add(self, last_index: int, size_bytes: int) -> None:
        """Count a batch that was appended after all others."""
        self._batches.append((last_index, size_bytes))
        self.size_bytes += size_bytes

    def committed(self, index: int) -> None:
        """Stop counting what ends at or before the commit index."""
        while self._batches and self._batches[0][0] <= index:
            self.size_bytes -= self._batches.popleft()[1]

    def clear(self) -> None:
        """Forget all: this node no longer leads."""
        self._batches.clear()
        self.size_bytes = 0


class Writes:
    """The writes of a leader that are not answered yet. The router gives it writes only while this node leads."""

    def __init__(
        self,
        *,
        node: RaftNode,
        machine: SessionMachine,
        durability: Durability,
        settings: ReplicaSettings,
        clock: Callable[[], float],
        replies: Replies,
        timers: Timers,
    ) -> None:
        self._node = node
        self._machine = machine
        self._durability = durability
        self._settings = settings
        self._clock = clock
        self._replies = replies
        self._alarm = timers.alarm(self.expire)
        self._waiters = EntryWaiters()
        self._uncommitted = UncommittedBytes()
        self._batch: list[tuple[Hashable, int, bytes]] = []
        self._batch_bytes = 0

    def __len__(self) -> int:
        return len(self._waiters)

    def write(self, client: Hashable, request: wire.Write) -> None:
        """Take a write into this turn's batch, or answer why not."""
        try:
            self._machine.check_write(request.session, request.sequence, request.acknowledged, request.command)
        except CommandRefused as error:
            self._replies.refuse_command(client, request.id, error)
            return
        if self._has_room(client, request.id):
            data = encode_write(request.session, request.sequence, request.acknowledged, request.command)
            self._add_to_batch(client, request.id, data)

    def open_session(self, client: Hashable, request: wire.OpenSession) -> None:
        """Take the opening of a session into this turn's batch, or answer why not."""
        if self._has_room(client, request.id):
            self._add_to_batch(client, request.id, encode_open_session())

    def _has_room(self, client: Hashable, request_id: int) -> bool:
        """Whether one more entry may wait for a quorum. If not, the client has been answered NO_SPACE or BUSY."""
        if self._durability.full:
            self._replies.fail_no_space(client, request_id)
            return False
        if self._uncommitted.size_bytes + self._batch_bytes >= UNCOMMITTED_BYTES_MAX:
            self._uncommitted.committed(self._node.commit_index)
            waiting = self._uncommitted.size_bytes + self._batch_bytes
            if waiting >= UNCOMMITTED_BYTES_MAX:
                message = f"{waiting} bytes of writes wait for a quorum already"
                self._replies.fail(client, request_id, ErrorCode.BUSY, message)
                return False
        return True

    def _add_to_batch(self, client: Hashable, request_id: int, data: bytes) -> None:
        self._batch.append((client, request_id, data))
        self._batch_bytes += len(data) + ENTRY_OVERHEAD_BYTES

    def propose(self) -> None:
        """Propose this turn's batch."""
        batch, self._batch = self._batch, []
        if not batch:
            return
        size, self._batch_bytes = self._batch_bytes, 0
        node, waiters = self._node, self._waiters
        try:
            index = node.propose_batch([data for _, _, data in batch])
        except (ProposalRejected, NotLeader) as error:
            for client, request_id, _ in batch:
                self._replies.fail(client, request_id, ErrorCode.BUSY, str(error))
            return
        self._uncommitted.committed(node.commit_index)
        self._uncommitted.add(index + len(batch) - 1, size)
        term, deadline = node.current_term, self._clock() + self._settings.request_timeout
        self._alarm.set(deadline)
        for at, (client, request_id, _) in enumerate(batch, index):
            if replaced := waiters.pop(at):
                self._fail_replaced(replaced)
            waiters.add(Waiter(client, request_id, at, term, deadline))

    def _fail_replaced(self, waiter: Waiter) -> None:
        # Gone from this log; but the entry in its place is not committed, and another node may have the old one.
        self._replies.fail(
            waiter.client,
            waiter.request_id,
            ErrorCode.TIMED_OUT,
            f"entry {waiter.index} of term {waiter.term} was replaced here by another leader's; it still may "
            "be committed elsewhere",
            UNKNOWN,
        )

    def applied(self, entry: LogEntry, applied: Applied | None) -> None:
        """Answer the request that waits for `entry`; `applied` is None if the entry is no command."""
        waiter = self._waiters.pop(entry.index)
        if waiter is None:
            return
        client, request_id = waiter.client, waiter.request_id
        if waiter.term != entry.term or applied is None:
            message = f"entry {waiter.index} of term {waiter.term} was replaced by another leader's"
            self._replies.fail(client, request_id, ErrorCode.OVERWRITTEN, f"{message}: the write did not happen")
            return
        match applied:
            case Result(result=result):
                self._replies.answer(client, wire.Written(request_id, entry.index, result))
            case Opened(session=session):
                self._replies.answer(client, wire.SessionOpened(request_id, session))
            case Expired(reason=reason):
                self._replies.fail(client, request_id, ErrorCode.SESSION_EXPIRED, reason, UNKNOWN)
            case RuleBroken(reason=reason):
                self._replies.fail(client, request_id, ErrorCode.BAD_REQUEST, reason)

    def snapshot_installed(self, index: int) -> None:
        """Answer what the entries up to `index` would have answered: they came inside a snapshot."""
        for waiter in self._waiters.pop_up_to(index):
            message = f"this node fell behind and took a snapshot that covers entry {waiter.index}"
            self._replies.fail(waiter.client, waiter.request_id, ErrorCode.TIMED_OUT, message, UNKNOWN)

    def leadership_lost(self, deadline: float) -> None:
        """Cap the deadlines of requests whose entries the next leader may overwrite."""
        self._uncommitted.clear()
        if self._waiters:
            self._waiters.cap_deadlines(deadline)
            self._alarm.set(deadline)

    def expire(self, now: float) -> None:
        """Answer the writes whose deadline has passed."""
        for waiter in self._waiters.pop_overdue(now):
            message = f"entry {waiter.index} was not committed in time; it still may be"
            self._replies.fail(waiter.client, waiter.request_id, ErrorCode.TIMED_OUT, message, UNKNOWN)
        if (deadline := self._waiters.next_deadline()) is not None:
            self._alarm.set(deadline)

    def fail_all(self) -> None:
        """Answer everything that still waits: this node is stopping."""
        for waiter in self._waiters.pop_all():
            self._replies.fail_stopping(waiter.client, waiter.request_id, UNKNOWN)
