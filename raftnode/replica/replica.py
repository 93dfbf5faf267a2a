"""One node's whole behaviour, without sockets and without a clock of its own.

What arrives is queued (`receive_peer`, `receive_client`); one `turn()` works it all off in this order:

    messages and requests -> the core -> what promises nothing durable leaves
        -> one write and one fsync -> what promises durability leaves -> apply -> replies

This is the one place that orders durability. The daemon and the simulation run this same code.
"""

import random
from collections.abc import Callable, Hashable
from typing import Final, Protocol

import msgspec
from msgspec.structs import replace

from raftnode.config.settings import ReplicaSettings
from raftnode.config.times import rfc3339
from raftnode.core.config import RaftConfig
from raftnode.core.errors import GroupNotFound, InvalidRequest, SerializationError, StorageError
from raftnode.core.membership import Configuration, decode_configuration
from raftnode.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    PreVoteRequest,
    PreVoteResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    TimeoutNowRequest,
)
from raftnode.core.node import RaftNode
from raftnode.core.ready import Ready
from raftnode.core.types import EntryKind, LogEntry, NodeId, NodeRole
from raftnode.machine.sessions.machine import SessionMachine
from raftnode.replica.admission import Admission
from raftnode.replica.durability import Durability
from raftnode.replica.events import EventLog
from raftnode.replica.member_plan import NEVER_MS, addresses, describe_changes, member_context, member_statuses
from raftnode.replica.requests.router import Requests
from raftnode.replica.snapshots import SnapshotWork
from raftnode.storage.data_dir import Identity
from raftnode.storage.snapshots import SnapshotStore, StoredSnapshot
from raftnode.storage.wal import Wal
from raftnode.wire.client import Answer, AnyRequest, MemberStatus, NodeStatus
from raftnode.wire.hello import Hello, Rejected, Welcome
from raftnode.wire.peer import PeerMessage, PeerRequest, PeerResponse

READIES_PER_TURN: Final = 4
"""How often one turn asks the core again for what its own fsync made possible."""

READY_BYTES_MAX: Final = 256 * 1024
"""How much committed data is applied before the next Ready: a node with a long log to apply stays responsive."""


COMMIT_BROADCAST_DELAY: Final = 0.005
"""Seconds: followers learn of a commit with the next entry, or after so long."""


class Transport(Protocol):
    """How a replica speaks to others. Nothing here blocks, and nothing here raises."""

    def send_request(self, peer: NodeId, message: PeerRequest) -> bool:
        """Send on the connection that was dialled to `peer`. False: it is down or full; the message is dropped."""

    def send_response(self, peer: NodeId, message: PeerResponse) -> None:
        """Send on the connection that was accepted from `peer`; dropped where it is gone."""

    def answer(self, client: Hashable, answer: Answer) -> None:
        """Answer a client; dropped where it is gone."""

    def set_members(self, addresses: dict[NodeId, str]) -> None:
        """Keep a connection to each of these other members, and no other."""


class Replica:
    """A node: the core, its log, its machine, and the requests that wait for them.

    Any call may raise StorageError or InvariantError: then the process must end without another word to anyone.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        settings: ReplicaSettings,
        storage: Wal,
        snapshots: SnapshotStore,
        machine: SessionMachine,
        transport: Transport,
        events: EventLog,
        known_instances: dict[int, str],
        remember_instance: Callable[[int, str], None],
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self.identity = identity
        self.settings = settings
        self.machine = machine
        self.events = events
        self.clock = clock
        self.snapshots = snapshots
        self._storage = storage
        self.durability = Durability(storage, clock, self._storage_changed)
        self._transport = transport
        self._admission = Admission(identity, known_instances, remember_instance)
        self._started_at, self._started = rfc3339(wall_clock()), clock()
        self.node = RaftNode(_core_config(identity, settings), storage, clock=clock, rng=rng)
        self.counters: dict[str, int] = {}
        self._peer_inbox: list[tuple[NodeId, PeerMessage]] = []
        self._client_inbox: list[tuple[Hashable, AnyRequest]] = []
        self._responses: list[tuple[NodeId, PeerResponse]] = []
        self._heard: dict[NodeId, float] = {}
        """When each peer last said anything, whatever the term and this node's role."""
        self.snapshot_work = SnapshotWork(self, storage, transport)
        self._applied_configuration: Configuration = identity.configuration
        self._is_known_member = identity.capacity == "voter"
        self._seen: tuple[NodeRole, int, NodeId | None] = (NodeRole.FOLLOWER, 0, None)
        self._addressed: Configuration | None = None
        self._stop_deadline: float | None = None
        self.requests = Requests(self)

    # Life.

    def start(self) -> None:
        """Load what the disk holds. Called once, before anything else. Raises StorageError where it is damaged."""
        newest = self.snapshot_work.open()
        if newest is None:
            self.node.restore()
        else:
            self.load_machine(newest)
            self.node.restore(newest.index, newest.configuration)
        self._members_changed()
        self.events.emit(
            "node.started",
            self.node.current_term,
            version=self.settings.version,
            last_log_index=self.node.last_log_index,
            snapshot_index=self.node.log_snapshot_index,
        )

    def begin_shutdown(self) -> None:
        """Stop taking requests; a leader hands over to another voter first, if one follows in time."""
        if self._stop_deadline is not None:
            return
        self._stop_deadline = self.clock() + self.settings.election_timeout_max
        self.requests.close()
        self.snapshot_work.stop_taking()
        target = self.requests.members.best_successor()
        if target is not None:
            self.node.transfer_leadership(target)

    @property
    def shutdown_ready(self) -> bool:
        """Whether every request is answered, and another node leads, or there is no more time for that."""
        if self._stop_deadline is None or self.requests.waiting_count:
            return False
        handing_over = self.node.role is NodeRole.LEADER and self.requests.members.best_successor() is not None
        return not handing_over or self.clock() >= self._stop_deadline

    @property
    def stopping(self) -> bool:
        """Whether this node is on its way down."""
        return self._stop_deadline is not None

    # Who may speak.

    def check_hello(self, hello: Hello) -> Welcome | Rejected:
        """Answer the first frame of an accepted connection."""
        # Only a committed removal counts: an uncommitted one may be rolled back, by the very node that it removed.
        return self._admission.check_hello(hello, self._applied_configuration, self.node.configuration)

    def check_welcome(self, peer: NodeId, welcome: Welcome) -> Rejected | None:
        """Say why the node that answers at `peer`'s address is not `peer`, if so."""
        return self._admission.check_welcome(peer, welcome)

    # What arrives.

    def receive_peer(self, peer: NodeId, message: PeerMessage) -> None:
        """Queue a message for the next turn."""
        self._peer_inbox.append((peer, message))

    def receive_client(self, client: Hashable, request: AnyRequest) -> None:
        """Queue a request for the next turn."""
        self._client_inbox.append((client, request))

    def client_gone(self, client: Hashable) -> None:
        """Forget the long polls of a client that hung up; its writes go on."""
        self.requests.forget(client)

    def peer_connected(self, peer: NodeId) -> None:
        """Learn that the connection dialled to `peer` is open."""
        self.events.emit("peer.connected", self.node.current_term, peer=self.name_of(peer))

    def peer_disconnected(self, peer: NodeId) -> None:
        """Learn that the connection dialled to `peer` broke: where `peer` leads, it may have died."""
        self.events.emit("peer.disconnected", self.node.current_term, peer=self.name_of(peer))
        if self.node.leader_id == peer:
            self.node.on_leader_unreachable()

    # The turn.

    def turn(self) -> float:
        """Do one batch of work. Return the seconds until the next turn at the latest; 0: there is more to do."""
        messages, self._peer_inbox = self._peer_inbox, []
        now = self.clock()
        for peer, message in messages:
            self._heard[peer] = now
            self._handle_peer(peer, message)
        inbox, self._client_inbox = self._client_inbox, []
        self.requests.handle(inbox)
        self.node.tick()
        more = self._work_off_readies()
        self._notice_changes()
        self.requests.settle()
        if self._stop_deadline is not None and self.clock() >= self._stop_deadline:
            self.requests.abandon()
        more = self.snapshot_work.advance_taking() or more
        self.snapshot_work.advance_sending()
        more = more or self.requests.wants_turn or bool(self._peer_inbox or self._client_inbox)
        return 0.0 if more else self._seconds_to_wait()

    def count(self, name: str) -> None:
        """Count something worth a number in the status."""
        self.counters[name] = self.counters.get(name, 0) + 1

    def answer(self, client: Hashable, answer: Answer) -> None:
        """Give a client its answer."""
        self._transport.answer(client, answer)

    # What others ask about.

    def name_of(self, node: NodeId | None) -> str | None:
        """Return a member's name; its id as text where no name is known."""
        if node is None:
            return None
        return member_context(self.node.configuration, node).name or str(node)

    def address_of(self, node: NodeId | None) -> str:
        """Return where a member listens; empty where that is not known."""
        if node is None:
            return ""
        if node == self.identity.node_id:
            return self.identity.address
        return member_context(self.node.configuration, node).address

    def status(self) -> NodeStatus:
        """Return everything an operator may ask about this node."""
        core, identity = self.node.status(), self.identity
        return NodeStatus(
            cluster_id=identity.cluster_id,
            cluster_name=identity.cluster_name,
            node_id=identity.node_id,
            node_name=identity.node_name,
            address=identity.address,
            instance_id=identity.instance_id,
            version=self.settings.version,
            role=core.role.value,
            term=core.current_term,
            leader_id=core.leader_id,
            leader_address=self.address_of(core.leader_id),
            commit_index=core.commit_index,
            applied_index=core.applied_index,
            first_log_index=core.first_log_index,
            last_log_index=core.last_log_index,
            snapshot_index=0 if self.newest_snapshot is None else self.newest_snapshot.index,
            snapshot_term=0 if self.newest_snapshot is None else self.newest_snapshot.term,
            configuration_index=core.configuration_index,
            joint=core.configuration.joint,
            members=[self._with_contact(member) for member in member_statuses(core, core.configuration)],
            started_at=self._started_at,
            uptime_ms=round((self.clock() - self._started) * 1000),
            storage_state="full" if self.durability.full else "ok",
            no_leader_reason=core.no_leader_reason,
            counters=dict(self.counters),
        )

    def _with_contact(self, member: MemberStatus) -> MemberStatus:
        """Where the core has not heard from a member in this term, tell of the time before."""
        heard = self._heard.get(member.id)
        if member.last_contact_ms != NEVER_MS or heard is None:
            return member
        return msgspec.structs.replace(member, last_contact_ms=round((self.clock() - heard) * 1000))

    @property
    def newest_snapshot(self) -> StoredSnapshot | None:
        """The newest snapshot on this node's disk."""
        return self.snapshot_work.newest

    # Messages from peers.

    def _handle_peer(self, peer: NodeId, message: PeerMessage) -> None:
        try:
            response = self._dispatch(peer, message)
        except (InvalidRequest, GroupNotFound) as error:
            self.count("peer_messages_refused")
            self.events.emit(
                "peer.refused",
                self.node.current_term,
                peer=self.name_of(peer),
                message=type(message).__name__,
                reason=str(error),
            )
            return
        if response is not None:
            self._responses.append((peer, response))

    def _dispatch(self, peer: NodeId, message: PeerMessage) -> PeerResponse | None:
        node = self.node
        match message:
            case AppendEntriesRequest():
                if self.durability.full and message.entries:
                    # No room: hear the leader, and leave its entries for later.
                    message = replace(message, entries=[])
                return node.handle_append_entries(message)
            case AppendEntriesResponse():
                node.handle_append_entries_response(peer, message)
            case RequestVoteRequest():
                return node.handle_request_vote(message)
            case RequestVoteResponse():
                node.handle_request_vote_response(peer, message)
            case PreVoteRequest():
                return node.handle_pre_vote(message)
            case PreVoteResponse():
                node.handle_pre_vote_response(peer, message)
            case InstallSnapshotRequest():
                return None if self.durability.full else self.snapshot_work.handle_chunk(message)
            case InstallSnapshotResponse():
                self.snapshot_work.handle_answer(peer, message)
            case TimeoutNowRequest():
                node.handle_timeout_now(message)
        return None

    # The core's wishes.

    def _storage_changed(self, full: bool, reason: str) -> None:
        if full:
            self.events.emit("storage.full", self.node.current_term, reason=reason)
        else:
            self.events.emit("storage.recovered", self.node.current_term)

    def _work_off_readies(self) -> bool:
        """Act on what the core wants. Return whether it still wants more."""
        for _ in range(READIES_PER_TURN):
            ready = self.node.take_ready()
            if ready.is_empty() and not self._responses and not self.durability.wants_sync:
                return False
            self._act(ready)
        return True

    def _act(self, ready: Ready) -> None:
        """Send, write, send, apply: the order that durability asks for."""
        send, durability = self._transport.send_request, self.durability
        requests: list[tuple[NodeId, PeerRequest]] = [
            *ready.vote_requests,
            *ready.pre_vote_requests,
            *ready.timeout_now,
        ]
        if ready.hard_state is not None:
            durability.save_hard_state(ready.hard_state)
        if durability.hard_state_durable:
            # A leader's entries promise nothing of its own disk: they may leave before its fsync (thesis 10.2.1).
            for peer, message in ready.messages:
                send(peer, message)
        else:
            requests[:0] = ready.messages
        if durability.wants_sync and durability.sync():
            self.node.on_storage_progress()
        if not self._storage.has_unsynced:
            for peer, request in requests:
                send(peer, request)
        responses, self._responses = self._responses, []
        for peer, response in responses:
            # What the disk had no room for is not promised: it is asked for again.
            if durability.may_leave(response):
                self._transport.send_response(peer, response)
        if ready.committed_entries:
            self._apply(ready.committed_entries)
        self.requests.reads.confirmed(ready.reads)
        self.requests.reads.aborted(ready.reads_aborted)
        for peer in ready.snapshots_needed:
            self.snapshot_work.start_sending(peer)

    def _apply(self, entries: list[LogEntry]) -> None:
        apply, requests, snapshot_work = self.machine.apply, self.requests, self.snapshot_work
        snapshot_entries = self.settings.snapshot_entries
        for entry in entries:
            if entry.kind is EntryKind.COMMAND:
                requests.applied(entry, apply(entry.index, entry.data))
                snapshot_work.bytes_since += len(entry.data)
            else:
                if entry.kind is EntryKind.CONFIGURATION:
                    self._apply_configuration(entry)
                requests.applied(entry, None)
            if snapshot_entries and entry.index % snapshot_entries == 0:
                snapshot_work.take_at(entry.index)
        self.node.advance_applied(entries[-1].index)

    def _apply_configuration(self, entry: LogEntry) -> None:
        before, after = self._applied_configuration, decode_configuration(entry.data)
        self._applied_configuration = after
        self._is_known_member = self._is_known_member or self.identity.node_id in after.members()
        # What a node that joined reads of the time before its own addition is no news.
        news = describe_changes(before, after) if self._is_known_member else []
        for event, node, kind in news:
            known = member_context(after if event != "member.removed" else before, node)
            self.events.emit(
                event,
                entry.term,
                member=known.name or str(node),
                id=node,
                kind=kind,
                address=known.address,
                index=entry.index,
            )
        self.requests.members.configuration_applied(entry, after)

    def _notice_changes(self) -> None:
        """Tell of a new role, leader or term, and fit what depends on them."""
        node = self.node
        role, term, leader = node.role, node.current_term, node.leader_id
        old_role, _, old_leader = self._seen
        if (role, term, leader) == self._seen and self._addressed is node.configuration:
            return
        if self._addressed is not node.configuration:
            self._members_changed()
        if role is not old_role:
            self.events.emit("role.changed", term, was=old_role.value, now=role.value)
            if old_role is NodeRole.LEADER:
                self.requests.leadership_lost()
                self.snapshot_work.stop_sending()
        if leader != old_leader:
            self.events.emit("leader.changed", term, **{"from": self.name_of(old_leader), "to": self.name_of(leader)})
        self._seen = (role, term, leader)

    def _members_changed(self) -> None:
        self._addressed = self.node.configuration
        self._transport.set_members(addresses(self._addressed, self.identity.node_id))

    def load_machine(self, stored: StoredSnapshot) -> None:
        """Replace the machine's state and the committed members by a snapshot's. Raises StorageError."""
        try:
            self.machine.restore(self.snapshots.chunks(stored))
        except SerializationError as error:
            raise StorageError(f"{stored.path} does not fit this program's machine: {error}") from error
        self._applied_configuration = stored.configuration
        self._is_known_member = self._is_known_member or self.identity.node_id in stored.configuration.members()

    def _seconds_to_wait(self) -> float:
        deadlines = [self.node.next_deadline()]
        if (waiting := self.requests.next_deadline()) is not None:
            deadlines.append(waiting)
        if self._stop_deadline is not None:
            deadlines.append(self._stop_deadline)
        if (retry := self.durability.next_deadline()) is not None:
            deadlines.append(retry)
        if (resend := self.snapshot_work.next_deadline()) is not None:
            deadlines.append(resend)
        return max(0.0, min(deadlines) - self.clock())


def _core_config(identity: Identity, settings: ReplicaSettings) -> RaftConfig:
    """Return the core's settings. The members are those of the format: a log or a snapshot knows better."""
    first, me = identity.configuration, identity.node_id

    def others(nodes: tuple[NodeId, ...]) -> tuple[NodeId, ...]:
        return tuple(node for node in nodes if node != me)

    return RaftConfig(
        node_id=me,
        peers=others(first.voter_union()),
        learners=others(first.learners),
        observers=others(first.observers),
        starts_as_learner=identity.capacity == "learner",
        starts_as_observer=identity.capacity == "observer",
        joined=identity.capacity != "voter",
        election_timeout_min=settings.election_timeout_min,
        election_timeout_max=settings.election_timeout_max,
        heartbeat_interval=settings.heartbeat_interval,
        pre_vote=settings.pre_vote,
        check_quorum=settings.check_quorum,
        contexts=first.contexts,
        ready_bytes_max=READY_BYTES_MAX,
        commit_broadcast_delay=COMMIT_BROADCAST_DELAY,
        log_cache_bytes_max=settings.log_cache_bytes,
    )
