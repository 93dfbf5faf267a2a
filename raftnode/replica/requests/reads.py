"""Linearizable reads, from their arrival to their answer.

    add() -> wait for a leader -> open_barrier() -> one barrier for all -> confirmed() -> wait for its index -> served
                   ^                                      |
                   +------------- aborted() --------------+

If leadership is lost and regained, a read goes round again; its deadline, counted from its arrival, stays the same.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass

from raftnode.config.settings import ReplicaSettings
from raftnode.core.node import RaftNode
from raftnode.core.types import NodeRole
from raftnode.machine.protocol import CommandRefused
from raftnode.machine.sessions.machine import SessionMachine
from raftnode.replica.requests.replies import Replies, no_leader_reason
from raftnode.replica.timers import Timers
from raftnode.wire.client import ErrorCode, EvaluateWrite, Read, ReadResult


@dataclass(slots=True)
class WaitingRead:
    """A read that is not answered yet."""

    client: Hashable
    request: Read | EvaluateWrite
    deadline: float


class Reads:
    """The linearizable reads of a replica that are not answered yet.

    Each is in one of three places. All are in the order of their arrival, which is the order of their deadlines:
    those that are confirmed first, then those in barriers, then those in no barrier.
    """

    def __init__(
        self,
        *,
        node: RaftNode,
        machine: SessionMachine,
        settings: ReplicaSettings,
        clock: Callable[[], float],
        replies: Replies,
        timers: Timers,
    ) -> None:
        self._node = node
        self._machine = machine
        self._settings = settings
        self._clock = clock
        self._replies = replies
        self._alarm = timers.alarm(self.expire)
        self._closed = False
        self._confirmed: list[tuple[int, list[WaitingRead]]] = []
        """With the log index that must be applied first."""
        self._barriers: dict[int, list[WaitingRead]] = {}
        self._waiting: list[WaitingRead] = []

    def __len__(self) -> int:
        return sum(map(len, self._groups()))

    @property
    def wait_for_leader(self) -> bool:
        """Whether some are in no barrier: `open_barrier()` does something as soon as a leader is known."""
        return bool(self._waiting)

    @property
    def wait_for_entries(self) -> bool:
        """Whether some are confirmed and wait until their entry is applied."""
        return bool(self._confirmed)

    @property
    def barriers(self) -> tuple[int, ...]:
        """The barriers under way, oldest first."""
        return tuple(self._barriers)

    def add(self, client: Hashable, request: Read | EvaluateWrite, since: float) -> None:
        """Take a read that arrived at `since`."""
        deadline = since + self._settings.request_timeout
        self._waiting.append(WaitingRead(client, request, deadline))
        self._alarm.set(deadline)

    def open_barrier(self) -> None:
        """Put what waits under one barrier if this node leads; otherwise redirect it to the leader, if known."""
        if not self._waiting:
            return
        node = self._node
        if node.role is NodeRole.LEADER:
            self._barriers[node.read_index()] = self._waiting
            self._waiting = []
        elif node.leader_id is not None or self._closed:
            waiting, self._waiting = self._waiting, []
            for read in waiting:
                if node.leader_id is None:
                    self._replies.fail_stopping(read.client, read.request.id)
                else:
                    self._replies.redirect(read.client, read.request.id, node.leader_id)

    def confirmed(self, confirmed: Iterable[tuple[int, int]]) -> None:
        """Serve the reads whose barrier a quorum confirmed, once their index is applied."""
        for barrier, index in confirmed:
            reads = self._barriers.pop(barrier, None)
            if reads is not None:
                self._confirmed.append((index, reads))
        if self._confirmed:
            self._serve_confirmed()

    def aborted(self, barriers: Iterable[int]) -> None:
        """Let the reads of barriers that no quorum will confirm wait for another one, or for another leader."""
        for barrier in barriers:
            self._waiting += self._barriers.pop(barrier, [])

    def serve(self, client: Hashable, request: Read | EvaluateWrite) -> None:
        """Answer a read, or an evaluated write, from what is applied here."""
        try:
            if isinstance(request, EvaluateWrite):
                result = self._machine.evaluate(request.command)
            else:
                result = self._machine.query(request.query)
        except CommandRefused as error:
            self._replies.refuse_command(client, request.id, error)
            return
        self._replies.answer(client, ReadResult(request.id, self._node.last_applied, result))

    def close(self) -> None:
        """Let no read wait for another leader: this node is stopping."""
        self._closed = True

    def leadership_lost(self) -> None:
        """Cap the deadlines: another leader has to be found in time."""
        deadline = self._clock() + self._settings.no_leader_timeout
        for reads in self._groups():
            for read in reads:
                read.deadline = min(read.deadline, deadline)
        self._alarm.set(deadline)

    def expire(self, now: float) -> None:
        """Answer those whose deadline has passed. A read changes nothing: it may be sent again."""
        first = self._next_deadline()
        if first is None or first > now:
            if first is not None:
                self._alarm.set(first)
            return
        for index, reads in self._confirmed:
            self._fail_overdue(reads, now, ErrorCode.TIMED_OUT, f"entry {index} was not applied here in time")
        self._confirmed = [(index, reads) for index, reads in self._confirmed if reads]
        for barrier, reads in list(self._barriers.items()):
            self._fail_overdue(
                reads, now, ErrorCode.NO_LEADER, "no quorum confirmed in time that this node still leads"
            )
            if not reads:
                del self._barriers[barrier]
        self._fail_overdue(self._waiting, now, ErrorCode.NO_LEADER, no_leader_reason(self._node))
        if (deadline := self._next_deadline()) is not None:
            self._alarm.set(deadline)

    def _next_deadline(self) -> float | None:
        first = next((reads for reads in self._groups() if reads), None)
        return None if first is None else first[0].deadline

    def fail_all(self) -> None:
        """Answer everything that still waits: this node is stopping."""
        waiting = [read for reads in self._groups() for read in reads]
        self._confirmed, self._barriers, self._waiting = [], {}, []
        for read in waiting:
            self._replies.fail_stopping(read.client, read.request.id)

    def _groups(self) -> Iterator[list[WaitingRead]]:
        yield from (reads for _, reads in self._confirmed)
        yield from self._barriers.values()
        yield self._waiting

    def _serve_confirmed(self) -> None:
        applied = self._node.last_applied
        waiting: list[tuple[int, list[WaitingRead]]] = []
        for index, reads in self._confirmed:
            if index <= applied:
                for read in reads:
                    self.serve(read.client, read.request)
            else:
                waiting.append((index, reads))
        self._confirmed = waiting

    def _fail_overdue(self, reads: list[WaitingRead], now: float, code: ErrorCode, message: str) -> None:
        """Answer those of `reads` whose deadline has passed: the first ones."""
        count = next((at for at, read in enumerate(reads) if read.deadline > now), len(reads))
        overdue = reads[:count]
        del reads[:count]
        for read in overdue:
            self._replies.fail(read.client, read.request.id, code, message)
