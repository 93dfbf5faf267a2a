"""One node's whole behavior, without sockets and with the clock passed in.

What arrives is queued (`receive_peer`, `receive_client`); one `turn()` handles it all in this order:

    messages and requests -> the core -> what promises nothing durable leaves
        -> one write and one fsync -> what promises durability leaves -> apply -> replies

This is the one place that orders durability. The daemon and the simulation run this same code.
"""

import random
from collections.abc import Callable, Hashable
from typing import Final

from raftnode.config.settings import ReplicaSettings
from raftnode.core.errors import SerializationError, StorageError
from raftnode.core.membership import Configuration, SnapshotMeta
from raftnode.core.node import RaftNode
from raftnode.core.ready import Ready
from raftnode.core.types import EntryKind, LogEntry, NodeId, NodeRole
from raftnode.machine.sessions.machine import SessionMachine
from raftnode.replica.admission import Admission
from raftnode.replica.core_config import core_config
from raftnode.replica.directory import Directory
from raftnode.replica.durability import Durability
from raftnode.replica.events import EventLog
from raftnode.replica.membership import AppliedMembers
from raftnode.replica.peers import Peers
from raftnode.replica.requests.router import Router
from raftnode.replica.snapshots import Snapshots
from raftnode.replica.status import StatusReport
from raftnode.replica.timers import Timers
from raftnode.replica.transport import Transport
from raftnode.storage.data_dir import Identity
from raftnode.storage.snapshot_file import StoredSnapshot
from raftnode.storage.snapshots import SnapshotStore
from raftnode.storage.wal import Wal
from raftnode.wire.client import AnyRequest
from raftnode.wire.hello import Hello, Rejected, Welcome
from raftnode.wire.peer import PeerMessage, PeerRequest, PeerResponse

READIES_PER_TURN: Final = 4
"""How often one turn asks the core again for what its own fsync allowed."""


class Replica:
    """A node: the core, its log, its machine, and the requests that wait for them.

    Any call may raise StorageError or InvariantError: then the process must end without sending anything more.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        settings: ReplicaSettings,
        storage: Wal,
        snapshot_store: SnapshotStore,
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
        self.snapshot_store = snapshot_store
        self.counters: dict[str, int] = {}
        self._storage = storage
        self._transport = transport
        self._admission = Admission(identity, known_instances, remember_instance)
        self.node = node = RaftNode(core_config(identity, settings), storage, clock=clock, rng=rng)
        self._timers = timers = Timers()
        self._stop_alarm = timers.alarm(lambda now: self.requests.fail_all())
        self.durability = durability = Durability(storage, clock, timers, self._storage_changed)
        self.directory = directory = Directory(identity, node)
        self.members = AppliedMembers(identity, events)
        self.snapshots = Snapshots(
            node=node,
            machine=machine,
            store=snapshot_store,
            transport=transport,
            settings=settings,
            clock=clock,
            directory=directory,
            events=events,
            timers=timers,
            outcomes=self,
        )
        heard: dict[NodeId, float] = {}
        self._connected: set[NodeId] = set()
        self._peers = Peers(
            node=node,
            durability=durability,
            snapshots=self.snapshots,
            events=events,
            directory=directory,
            counters=self.counters,
            heard=heard,
            clock=clock,
        )
        self.status = StatusReport(
            node=node,
            settings=settings,
            directory=directory,
            durability=durability,
            snapshots=self.snapshots,
            counters=self.counters,
            heard=heard,
            clock=clock,
            started=clock(),
            started_wall=wall_clock(),
        )
        self.requests = Router(
            node=node,
            machine=machine,
            durability=durability,
            settings=settings,
            clock=clock,
            directory=directory,
            transport=transport,
            events=events,
            timers=timers,
            status=self.status,
            snapshots=self.snapshots,
            snapshot_store=snapshot_store,
            connected=self._connected,
        )
        self._peer_inbox: list[tuple[NodeId, PeerMessage]] = []
        self._client_inbox: list[tuple[Hashable, AnyRequest]] = []
        self._responses: list[tuple[NodeId, PeerResponse]] = []
        self._seen: tuple[NodeRole, int, NodeId | None] = (NodeRole.FOLLOWER, 0, None)
        self._addressed: Configuration | None = None
        self._stop_deadline: float | None = None

    # Life.

    def start(self) -> None:
        """Load what the disk holds. Called once, before anything else. Raises StorageError where it is damaged."""
        newest = self.snapshots.open()
        if newest is None:
            self.node.restore(SnapshotMeta())
        else:
            self.node.restore(newest.meta)
            self._load_machine(newest)
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
        self._stop_alarm.set(self._stop_deadline)
        self.requests.close()
        self.snapshots.close()
        target = self.requests.members.best_successor()
        if target is not None:
            self.node.transfer_leadership(target)

    @property
    def shutdown_ready(self) -> bool:
        """Whether every request is answered and another node leads, or time has run out for that."""
        if self._stop_deadline is None or len(self.requests):
            return False
        handing_over = self.node.role is NodeRole.LEADER and self.requests.members.best_successor() is not None
        return not handing_over or self.clock() >= self._stop_deadline

    # Who may speak.

    def check_hello(self, hello: Hello) -> Welcome | Rejected:
        """Answer the first frame of an accepted connection."""
        # Only a committed removal counts: an uncommitted one may be rolled back, by the very node that it removed.
        return self._admission.check_hello(hello, self.members.configuration, self.node.configuration)

    def check_welcome(self, peer: NodeId, welcome: Welcome) -> Rejected | None:
        """Return why the node that answers at `peer`'s address is not `peer`, if so."""
        return self._admission.check_welcome(peer, welcome)

    # What arrives.

    def receive_peer(self, peer: NodeId, message: PeerMessage) -> None:
        """Queue a message for the next turn."""
        self._peer_inbox.append((peer, message))

    def receive_client(self, client: Hashable, request: AnyRequest) -> None:
        """Queue a request for the next turn."""
        self._client_inbox.append((client, request))

    def client_gone(self, client: Hashable) -> None:
        """Forget the long polls and held membership changes of a client that hung up; its writes go on."""
        self.requests.forget(client)

    def peer_connected(self, peer: NodeId) -> None:
        """Note that the connection dialed to `peer` is open."""
        self._connected.add(peer)
        self.events.emit("peer.connected", self.node.current_term, peer=self.directory.name_of(peer))

    def peer_disconnected(self, peer: NodeId) -> None:
        """Note that the connection dialed to `peer` broke: if `peer` leads, it may have died."""
        self._connected.discard(peer)
        self.events.emit("peer.disconnected", self.node.current_term, peer=self.directory.name_of(peer))
        if self.node.leader_id == peer:
            self.node.on_leader_unreachable()

    def count(self, name: str) -> None:
        """Increment a counter of the status."""
        self.counters[name] = self.counters.get(name, 0) + 1

    # The turn.

    def turn(self) -> float:
        """Do one batch of work. Return the seconds until the next turn at the latest; 0: there is more to do."""
        messages, self._peer_inbox = self._peer_inbox, []
        if messages:
            self._peers.handle(messages, self._responses)
        inbox, self._client_inbox = self._client_inbox, []
        self.requests.handle(inbox)
        self.node.tick()
        more = self._work_off_readies()
        self._notice_changes()
        self.requests.end_turn()
        self._timers.expire(self.clock())
        if self.snapshots.has_work:
            more = self.snapshots.advance_taking() or more
        if more or self.requests.has_work or self._peer_inbox or self._client_inbox:
            return 0.0
        return max(0.0, min(self.node.next_deadline(), self._timers.next_deadline()) - self.clock())

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
            # What did not fit on the disk is not acknowledged: the sender repeats it.
            if durability.may_leave(response):
                self._transport.send_response(peer, response)
        if ready.committed_entries:
            self._apply(ready.committed_entries)
        reads = self.requests.reads
        if ready.reads or reads.wait_for_entries:
            reads.confirmed(ready.reads)
        if ready.reads_aborted:
            reads.aborted(ready.reads_aborted)
        for peer in ready.snapshots_needed:
            self.snapshots.start_sending(peer)

    def _apply(self, entries: list[LogEntry]) -> None:
        apply, answer, members, snapshots = (
            self.machine.apply,
            self.requests.writes.applied,
            self.requests.members,
            self.snapshots,
        )
        snapshot_entries = self.settings.snapshot_entries
        for entry in entries:
            if members.changing:
                members.entry_applied(entry)
            if entry.kind is EntryKind.COMMAND:
                answer(entry, apply(entry.index, entry.data))
                snapshots.bytes_since += len(entry.data)
            else:
                if entry.kind is EntryKind.CONFIGURATION:
                    members.configuration_applied(entry, self.members.apply(entry))
                answer(entry, None)
            if snapshot_entries and entry.index % snapshot_entries == 0:
                snapshots.take_at(entry.index)
        snapshots.has_work = True
        self.node.advance_applied(entries[-1].index)

    def _notice_changes(self) -> None:
        """Emit an event for a new role or leader, and adapt what depends on them and on the members."""
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
                self.snapshots.stop_sending()
        if leader != old_leader:
            self.events.emit(
                "leader.changed",
                term,
                **{"from": self.directory.name_of(old_leader), "to": self.directory.name_of(leader)},
            )
        self._seen = (role, term, leader)

    def _members_changed(self) -> None:
        self._addressed = self.node.configuration
        self._transport.set_members(self.directory.others())
        self.snapshots.members_changed()

    def _load_machine(self, stored: StoredSnapshot) -> None:
        """Replace the machine's state and the committed members by a snapshot's. Raises StorageError."""
        try:
            self.machine.restore(self.snapshot_store.chunks(stored))
        except SerializationError as error:
            raise StorageError(f"{stored.path} does not fit this program's machine: {error}") from error
        self.members.load(stored.configuration)

    # Results of the work on snapshots.

    def snapshot_taken(self, stored: StoredSnapshot) -> None:
        """Answer those who asked for it."""
        self.requests.snapshots.taken(stored)

    def snapshot_failed(self, reason: str) -> None:
        """Answer those who asked for it."""
        self.requests.snapshots.failed(reason)

    def snapshot_installed(self, stored: StoredSnapshot) -> None:
        """Load the leader's snapshot into the machine, and answer what its entries would have answered."""
        self._load_machine(stored)
        self.requests.snapshot_installed(stored.index)
