"""Clients' requests: which part of the replica answers each, and which wait for a leader.

Every request is answered exactly once, or its client is gone.
"""

from collections import deque
from collections.abc import Callable, Hashable, Set
from dataclasses import dataclass
from typing import Final

from raftnode.config.settings import ReplicaSettings
from raftnode.core.node import RaftNode
from raftnode.core.types import NodeId, NodeRole
from raftnode.machine.sessions.machine import SessionMachine
from raftnode.replica.directory import Directory
from raftnode.replica.durability import Durability
from raftnode.replica.events import EventLog
from raftnode.replica.requests.members import MemberRequests
from raftnode.replica.requests.polls import Polls
from raftnode.replica.requests.reads import Reads
from raftnode.replica.requests.replies import Replies, no_leader_reason
from raftnode.replica.requests.snapshots import SnapshotFiles, SnapshotRequests
from raftnode.replica.requests.writes import ENTRY_OVERHEAD_BYTES, Writes
from raftnode.replica.snapshots import Snapshots
from raftnode.replica.timers import Timers
from raftnode.replica.transport import Transport
from raftnode.storage.snapshots import SnapshotStore
from raftnode.wire import client as wire
from raftnode.wire.client import AnyRequest, Consistency, ErrorCode, NodeStatus

PARKED_BYTES_MAX: Final = 64 * 1024 * 1024
"""The most bytes of requests that wait for a leader to be known; further ones are answered BUSY."""


@dataclass(slots=True)
class Parked:
    """A request that arrived at `since` and waits for a leader to be known.

    The deadline is the same span for all: first in, first out.
    """

    client: Hashable
    request: AnyRequest
    since: float
    deadline: float
    size_bytes: int


class ParkedRequests:
    """Requests that wait for a leader."""

    def __init__(self) -> None:
        self._parked: deque[Parked] = deque()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._parked)

    def add(self, parked: Parked) -> None:
        """Add a request whose deadline is not before the others'."""
        self._parked.append(parked)
        self.size_bytes += parked.size_bytes

    def all(self) -> list[Parked]:
        """Return all, oldest first."""
        return list(self._parked)

    def pop_all(self) -> list[Parked]:
        """Remove and return all, oldest first."""
        parked, self._parked, self.size_bytes = list(self._parked), deque(), 0
        return parked

    def pop_overdue(self, now: float) -> list[Parked]:
        """Remove and return those whose deadline has passed."""
        overdue: list[Parked] = []
        while self._parked and self._parked[0].deadline <= now:
            overdue.append(self._parked.popleft())
            self.size_bytes -= overdue[-1].size_bytes
        return overdue

    def next_deadline(self) -> float | None:
        """Return when the first becomes overdue."""
        return self._parked[0].deadline if self._parked else None


class Router:
    """The requests that a replica has not answered yet."""

    def __init__(
        self,
        *,
        node: RaftNode,
        machine: SessionMachine,
        durability: Durability,
        settings: ReplicaSettings,
        clock: Callable[[], float],
        directory: Directory,
        transport: Transport,
        events: EventLog,
        timers: Timers,
        status: Callable[[], NodeStatus],
        snapshots: Snapshots,
        snapshot_store: SnapshotStore,
        connected: Set[NodeId],
    ) -> None:
        self._node = node
        self._settings = settings
        self._clock = clock
        self._status = status
        self.replies = replies = Replies(transport, directory)
        self.writes = Writes(
            node=node,
            machine=machine,
            durability=durability,
            settings=settings,
            clock=clock,
            replies=replies,
            timers=timers,
        )
        self.reads = Reads(node=node, machine=machine, settings=settings, clock=clock, replies=replies, timers=timers)
        self.polls = Polls(node=node, machine=machine, events=events, clock=clock, replies=replies, timers=timers)
        self.members = MemberRequests(
            node=node,
            durability=durability,
            settings=settings,
            clock=clock,
            replies=replies,
            directory=directory,
            timers=timers,
            connected=connected,
        )
        files = SnapshotFiles(snapshot_store, clock, timers)
        self.snapshots = SnapshotRequests(snapshots=snapshots, files=files, store=snapshot_store, replies=replies)
        self._parked = ParkedRequests()
        self._alarm = timers.alarm(self._expire)
        self._closed = False

    def __len__(self) -> int:
        requests = len(self.writes) + len(self.reads) + len(self.polls) + len(self.members)
        return requests + len(self.snapshots) + len(self._parked)

    @property
    def parked(self) -> list[Parked]:
        """The requests that wait for a leader, oldest first."""
        return self._parked.all()

    @property
    def has_work(self) -> bool:
        """Whether requests wait for nothing but the next turn."""
        return (bool(self._parked) or self.reads.wait_for_leader) and (self._closed or self._node.leader_id is not None)

    def handle(self, inbox: list[tuple[Hashable, AnyRequest]]) -> None:
        """Take what arrived. Writes become one batch of proposals, reads share one barrier."""
        if self._parked and (self._node.leader_id is not None or self._closed):
            for parked in self._parked.pop_all():
                self._dispatch(parked.client, parked.request, parked.since)
        if inbox:
            now = self._clock()
            for client, request in inbox:
                self._dispatch(client, request, now)
        if self.members.holding and self._node.role is NodeRole.LEADER:
            # Here, and not at the end of the turn: what it proposes is saved and sent in this turn.
            self.members.retry()
        self.writes.propose()
        if self.reads.wait_for_leader:
            self.reads.open_barrier()

    def _dispatch(self, client: Hashable, request: AnyRequest, since: float) -> None:
        """Handle a request that arrived at `since`."""
        if self._closed:
            self.replies.fail_stopping(client, request.id)
            return
        match request:
            case wire.Write():
                if self._leads(client, request):
                    self.writes.write(client, request)
            case wire.Read():
                self._read(client, request, since)
            case wire.EvaluateWrite():
                if self._leads(client, request):
                    self.reads.add(client, request, since)
            case wire.OpenSession():
                if self._leads(client, request):
                    self.writes.open_session(client, request)
            case wire.Watch():
                self.polls.watch(client, request)
            case wire.GetStatus():
                self.replies.answer(client, wire.StatusResult(request.id, self._status()))
            case wire.GetLog():
                self.polls.log(client, request)
            case wire.GetEvents():
                self.polls.events(client, request)
            case wire.ChangeMembers():
                if self._leads(client, request):
                    self.members.change(client, request)
            case wire.TransferLeadership():
                if self._leads(client, request):
                    self.members.transfer(client, request)
            case wire.TriggerSnapshot():
                self.snapshots.trigger(client, request)
            case wire.ListSnapshots():
                self.snapshots.name_all(client, request)
            case wire.ReadSnapshot():
                self.snapshots.read(client, request)

    def _read(self, client: Hashable, request: wire.Read, since: float) -> None:
        if request.consistency is Consistency.LOCAL:
            self.reads.serve(client, request)
        elif self._leads(client, request):
            self.reads.add(client, request, since)

    def _leads(self, client: Hashable, request: AnyRequest) -> bool:
        """Whether this node leads. If not, the client is redirected, or waits for a leader to be known."""
        node = self._node
        if node.role is NodeRole.LEADER:
            return True
        size = _size_of(request)
        if node.leader_id is not None:
            self.replies.redirect(client, request.id, node.leader_id)
        elif self._parked.size_bytes + size > PARKED_BYTES_MAX:
            message = f"{self._parked.size_bytes} bytes of requests wait for a leader already"
            self.replies.fail(client, request.id, ErrorCode.BUSY, message)
        else:
            now = self._clock()
            deadline = now + self._settings.no_leader_timeout
            self._parked.add(Parked(client, request, now, deadline, size))
            self._alarm.set(deadline)
        return False

    def snapshot_installed(self, index: int) -> None:
        """Answer what the entries up to `index` would have answered: they came inside a snapshot."""
        self.writes.snapshot_installed(index)
        self.members.snapshot_installed(index)
        self.snapshots.installed()

    def leadership_lost(self) -> None:
        """Cap the deadlines of requests whose entries the next leader may overwrite."""
        deadline = self._clock() + self._settings.election_timeout_max
        self.writes.leadership_lost(deadline)
        self.members.leadership_lost(deadline)
        self.reads.leadership_lost()

    def end_turn(self) -> None:
        """Answer what this turn made possible, besides entries and barriers: polls and ended transfers."""
        if self.members.transferring:
            self.members.look_at_transfers()
        if self.polls:
            self.polls.retry()

    def _expire(self, now: float) -> None:
        for parked in self._parked.pop_overdue(now):
            message = no_leader_reason(self._node)
            self.replies.fail(parked.client, parked.request.id, ErrorCode.NO_LEADER, message)
        if (deadline := self._parked.next_deadline()) is not None:
            self._alarm.set(deadline)

    def forget(self, client: Hashable) -> None:
        """Drop the long polls and the held membership changes of a client that is gone."""
        self.polls.forget(client)
        self.members.forget(client)

    def close(self) -> None:
        """Take no more requests. What waits for something that may not come in time is answered now."""
        self._closed = True
        self.reads.close()
        self.polls.close()
        self.members.close()
        self.snapshots.close()
        self._fail_parked()

    def fail_all(self) -> None:
        """Answer everything that still waits: this node is stopping."""
        self.writes.fail_all()
        self.members.fail_all()
        self.reads.fail_all()
        self._fail_parked()

    def _fail_parked(self) -> None:
        for parked in self._parked.pop_all():
            self.replies.fail_stopping(parked.client, parked.request.id)


def _size_of(request: AnyRequest) -> int:
    """Return about what a request weighs while it waits."""
    match request:
        case wire.Write(command=data) | wire.EvaluateWrite(command=data) | wire.Read(query=data):
            return len(data) + ENTRY_OVERHEAD_BYTES
        case wire.ChangeMembers(operations=operations):
            return (len(operations) + 1) * ENTRY_OVERHEAD_BYTES
        case _:
            return ENTRY_OVERHEAD_BYTES
