"""Clients' requests: who may ask what, what a request waits for, and how it is answered.

Every request is answered exactly once, or its client is gone. A write's answer says done, not done, or unknown;
"not done" is said only where the entry can never take effect.
"""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from raftnode.core.errors import LogCompacted, NotLeader, ProposalRejected
from raftnode.core.membership import Configuration
from raftnode.core.types import LogEntry, NodeId, NodeRole
from raftnode.machine.protocol import CommandRefused
from raftnode.machine.sessions import (
    Applied,
    Expired,
    Refused,
    Result,
    SessionOpened,
    encode_open_session,
    encode_write,
)
from raftnode.server.describe import describe_entry, snapshot_info
from raftnode.server.members import ChangeRefused, MemberUnknown, Plan, member_statuses, plan_change
from raftnode.server.snapshot_files import SnapshotFiles
from raftnode.server.waiting import EntryWaiters, Held, HeldRequests, Poll, Polls, UncommittedBytes, Waiter
from raftnode.storage.snapshots import StoredSnapshot
from raftnode.wire import client as wire
from raftnode.wire.client import NOT_DONE, UNKNOWN, Answer, Consistency, ErrorCode, Failed, Request

if TYPE_CHECKING:
    from raftnode.server.replica import Replica

UNCOMMITTED_BYTES_MAX: Final = 64 * 1024 * 1024
"""The commands that may wait for a quorum on one leader; further writes are told to come back."""

HELD_BYTES_MAX: Final = 64 * 1024 * 1024
"""The requests that may wait for a leader to be known; further ones are told to come back."""

ENTRY_OVERHEAD_BYTES: Final = 128
"""What an entry or a waiting request weighs beyond its data: so that many empty ones are bounded too."""

SHUTTING_DOWN: Final = "this node is shutting down"

WAIT_MS_MAX: Final = 60_000
LOG_BYTES_MAX: Final = 4 * 1024 * 1024
LOG_ENTRIES_MAX: Final = 10_000
"""What one answer to GetLog holds at the most, whatever was asked for: it is read and described in one turn."""
TYPES_GLOB_MAX: Final = 256


@dataclass(slots=True)
class _Reads:
    """Reads that share one barrier."""

    items: list[tuple[Hashable, wire.Read]]
    deadline: float
    index: int | None = None
    """The log index that must be applied first; None: not confirmed yet."""


@dataclass(slots=True)
class _Change:
    """A membership change under way. It is done when the entry at `index` is applied with its term, or, where that
    opens a joint phase, when the configuration that ends it is applied.

    `changed` is False for a request that found its change made, but not committed yet.
    """

    client: Hashable
    request_id: int
    index: int
    term: int
    deadline: float
    plan: Plan
    changed: bool
    joint: bool = False


@dataclass(slots=True)
class _Transfer:
    """A leadership transfer under way."""

    client: Hashable
    request_id: int
    term: int
    target: NodeId
    deadline: float


class Requests:
    """The requests that a replica has not answered yet."""

    def __init__(self, replica: "Replica") -> None:
        self._replica = replica
        self._writes = EntryWaiters()
        self._uncommitted = UncommittedBytes()
        self._reads: dict[int, _Reads] = {}
        self._confirmed: list[_Reads] = []
        self._held = HeldRequests()
        self._polls = Polls()
        self._snapshot_files = SnapshotFiles(replica.snapshots, replica.clock)
        self._changes: list[_Change] = []
        self._transfers: list[_Transfer] = []
        self._snapshots: list[tuple[Hashable, int]] = []
        self._batch: list[tuple[Hashable, int, bytes]] = []
        self._batch_bytes = 0
        self._new_reads: list[tuple[Hashable, wire.Read]] = []
        self._seen = (-1, "")
        self._closed = False

    @property
    def waiting_count(self) -> int:
        """How many requests are not answered yet."""
        reads = [*self._reads.values(), *self._confirmed]
        return (
            len(self._writes) + len(self._changes) + len(self._held) + len(self._polls) + len(self._transfers)
            + len(self._snapshots) + len(self._new_reads) + sum(len(shared.items) for shared in reads)
        )

    @property
    def wants_turn(self) -> bool:
        """Whether requests wait for nothing but the next turn."""
        held = bool(self._held) and (self._closed or self._replica.node.leader_id is not None)
        return held or bool(self._new_reads)

    # A turn's requests.

    def handle(self, inbox: list[tuple[Hashable, Request]]) -> None:
        """Take what arrived. Writes become one batch of proposals, reads share one barrier."""
        node = self._replica.node
        if self._held and (node.leader_id is not None or self._closed):
            inbox = [(held.client, held.request) for held in self._held.pop_all()] + inbox
        for client, request in inbox:
            self._dispatch(client, request)
        self._propose_batch()
        self._open_barrier()

    def _dispatch(self, client: Hashable, request: Request) -> None:
        if self._closed:
            self._fail(client, request.id, ErrorCode.SHUTTING_DOWN, SHUTTING_DOWN)
            return
        match request:
            case wire.Write():
                self._write(client, request)
            case wire.Read():
                self._read(client, request)
            case wire.OpenSession():
                if self._leads(client, request) and self._has_room(client, request):
                    self._add_to_batch(client, request.id, encode_open_session())
            case wire.Watch():
                self._watch(client, request)
            case wire.GetStatus():
                self._replica.answer(client, wire.StatusResult(request.id, self._replica.status()))
            case wire.GetLog():
                self._poll(client, request.wait_ms, lambda: self._log(request), lambda: self._no_entries(request))
            case wire.GetEvents():
                self._watch_events(client, request)
            case wire.ChangeMembers():
                self._change_members(client, request)
            case wire.TransferLeadership():
                self._transfer(client, request)
            case wire.TriggerSnapshot():
                self._trigger_snapshot(client, request)
            case wire.ListSnapshots():
                found = [snapshot_info(stored) for stored in self._replica.snapshots.list()]
                self._replica.answer(client, wire.SnapshotsResult(request.id, found))
            case wire.ReadSnapshot():
                self._replica.answer(client, self._snapshot_files.read(request))

    def _leads(self, client: Hashable, request: Request) -> bool:
        """Whether this node leads. If not, the client is redirected, or waits for a leader to be known."""
        node = self._replica.node
        if node.role is NodeRole.LEADER:
            return True
        size = _size_of(request)
        if node.leader_id is not None:
            self._redirect(client, request.id, node.leader_id)
        elif self._held.size_bytes + size > HELD_BYTES_MAX:
            self._fail(client, request.id, ErrorCode.BUSY,
                       f"{self._held.size_bytes} bytes of requests wait for a leader already")
        else:
            deadline = self._replica.clock() + self._replica.settings.no_leader_timeout
            self._held.add(Held(client, request, deadline, size))
        return False

    def _redirect(self, client: Hashable, request_id: int, leader: NodeId | None) -> None:
        replica = self._replica
        if leader is None:
            self._fail(client, request_id, ErrorCode.NO_LEADER, self._no_leader_message())
            return
        address = replica.address_of(leader)
        replica.answer(client, Failed(
            request_id, ErrorCode.NOT_LEADER,
            f"{replica.identity.node_name} does not lead; {replica.name_of(leader)} does", NOT_DONE, leader, address,
        ))

    # Writes.

    def _write(self, client: Hashable, request: wire.Write) -> None:
        if self._replica.node.role is not NodeRole.LEADER and not self._leads(client, request):
            return
        try:
            self._replica.machine.check_write(
                request.session, request.sequence, request.acknowledged, request.command
            )
        except CommandRefused as error:
            self._refuse_command(client, request.id, error)
            return
        if self._has_room(client, request):
            data = encode_write(request.session, request.sequence, request.acknowledged, request.command)
            self._add_to_batch(client, request.id, data)

    def _has_room(self, client: Hashable, request: Request) -> bool:
        """Whether one more entry may wait for a quorum. If not, the client is told to come back."""
        if self._is_full(client, request):
            return False
        waiting = self._uncommitted.size_bytes + self._batch_bytes
        if waiting < UNCOMMITTED_BYTES_MAX:
            return True
        self._fail(client, request.id, ErrorCode.BUSY, f"{waiting} bytes of writes wait for a quorum already")
        return False

    def _is_full(self, client: Hashable, request: Request) -> bool:
        """Whether this leader's disk has no room for an entry. Then the client is told so."""
        if not self._replica.durability.full:
            return False
        name = self._replica.identity.node_name
        self._fail(client, request.id, ErrorCode.NO_SPACE, f"the disk of {name}, which leads, is full: free some room")
        return True

    def _add_to_batch(self, client: Hashable, request_id: int, data: bytes) -> None:
        self._batch.append((client, request_id, data))
        self._batch_bytes += len(data) + ENTRY_OVERHEAD_BYTES

    def _propose_batch(self) -> None:
        batch, self._batch = self._batch, []
        if not batch:
            return
        size, self._batch_bytes = self._batch_bytes, 0
        replica = self._replica
        node = replica.node
        try:
            index = node.propose_batch([data for _, _, data in batch])
        except (ProposalRejected, NotLeader) as error:
            for client, request_id, _ in batch:
                self._fail(client, request_id, ErrorCode.BUSY, str(error))
            return
        self._uncommitted.add(index + len(batch) - 1, size)
        term, deadline = node.current_term, replica.clock() + replica.settings.request_timeout
        for at, (client, request_id, _) in enumerate(batch, index):
            if replaced := self._writes.pop(at):
                # Gone from this log; but the entry in its place is not committed, and another node may have the old.
                self._fail(replaced.client, replaced.request_id, ErrorCode.TIMED_OUT,
                           f"entry {at} of term {replaced.term} was replaced here by another leader's; it still may "
                           "be committed elsewhere", UNKNOWN)
            self._writes.add(Waiter(client, request_id, at, term, deadline))

    def applied(self, entry: LogEntry, applied: Applied | None) -> None:
        """Answer whoever waits for `entry`; `applied` is None where it was not a command."""
        if self._changes:
            self._answer_overtaken_changes(entry)
        waiter = self._writes.pop(entry.index)
        if waiter is None:
            return
        if waiter.term != entry.term or applied is None:
            self._answer_overwritten(waiter)
            return
        client, request_id = waiter.client, waiter.request_id
        match applied:
            case Result(result=result):
                self._replica.answer(client, wire.Written(request_id, entry.index, result))
            case SessionOpened(session=session):
                self._replica.answer(client, wire.SessionOpened(request_id, session))
            case Expired(reason=reason):
                self._fail(client, request_id, ErrorCode.SESSION_EXPIRED, reason, UNKNOWN)
            case Refused(reason=reason):
                self._fail(client, request_id, ErrorCode.BAD_REQUEST, reason)

    def _answer_overwritten(self, waiter: Waiter) -> None:
        self._fail(waiter.client, waiter.request_id, ErrorCode.OVERWRITTEN,
                   f"entry {waiter.index} of term {waiter.term} was replaced by another leader's: the write did not "
                   "happen")

    # Reads and watches.

    def _read(self, client: Hashable, request: wire.Read) -> None:
        if request.consistency is Consistency.LOCAL:
            self._serve(client, request)
        elif self._leads(client, request):
            self._new_reads.append((client, request))

    def _open_barrier(self) -> None:
        items, self._new_reads = self._new_reads, []
        if not items:
            return
        replica = self._replica
        try:
            barrier = replica.node.read_index()
        except NotLeader as error:
            for client, request in items:
                self._redirect(client, request.id, error.leader_hint)
            return
        self._reads[barrier] = _Reads(items, replica.clock() + replica.settings.request_timeout)

    def reads_confirmed(self, confirmed: Iterable[tuple[int, int]]) -> None:
        """Serve the reads whose barrier a quorum confirmed, once their index is applied."""
        for barrier, index in confirmed:
            reads = self._reads.pop(barrier, None)
            if reads is not None:
                reads.index = index
                self._confirmed.append(reads)
        if self._confirmed:
            self._serve_confirmed()

    def reads_aborted(self, barriers: Iterable[int]) -> None:
        """Send the reads of a leader that stepped down to the next one."""
        for barrier in barriers:
            reads = self._reads.pop(barrier, None)
            if reads is not None:
                for client, request in reads.items:
                    if self._leads(client, request):
                        self._new_reads.append((client, request))

    def _serve_confirmed(self) -> None:
        applied = self._replica.node.last_applied
        waiting: list[_Reads] = []
        for reads in self._confirmed:
            if reads.index is not None and reads.index <= applied:
                for client, request in reads.items:
                    self._serve(client, request)
            else:
                waiting.append(reads)
        self._confirmed = waiting

    def _serve(self, client: Hashable, request: wire.Read) -> None:
        replica = self._replica
        try:
            result = replica.machine.query(request.query)
        except CommandRefused as error:
            self._refuse_command(client, request.id, error)
            return
        replica.answer(client, wire.ReadResult(request.id, replica.node.last_applied, result))

    def _watch(self, client: Hashable, request: wire.Watch) -> None:
        machine, node = self._replica.machine, self._replica.node

        def attempt() -> Answer | None:
            result = machine.changes(request.query)
            return None if result is None else wire.ReadResult(request.id, node.last_applied, result)

        try:
            self._poll(
                client, request.wait_ms, attempt,
                lambda: wire.ReadResult(request.id, node.last_applied, machine.query(request.query)),
            )
        except CommandRefused as error:
            self._refuse_command(client, request.id, error)

    # Long polls.

    def _poll(
        self, client: Hashable, wait_ms: int, attempt: Callable[[], Answer | None], at_deadline: Callable[[], Answer]
    ) -> None:
        """Answer now, or as soon as there is something, or at the end of `wait_ms`."""
        answer = attempt()
        if answer is None and wait_ms <= 0:
            answer = at_deadline()
        if answer is not None:
            self._replica.answer(client, answer)
            return
        deadline = self._replica.clock() + min(wait_ms, WAIT_MS_MAX) / 1000
        self._polls.add(Poll(client, attempt, at_deadline, deadline))

    def _watch_events(self, client: Hashable, request: wire.GetEvents) -> None:
        if len(request.types) > TYPES_GLOB_MAX:
            self._fail(client, request.id, ErrorCode.BAD_REQUEST,
                       f"the pattern of event types has {len(request.types)} characters; the limit is {TYPES_GLOB_MAX}")
            return
        self._poll(client, request.wait_ms, lambda: self._new_events(request), lambda: self._events(request))

    def _log(self, request: wire.GetLog) -> Answer | None:
        node = self._replica.node
        if not 1 <= request.first <= request.last:
            return Failed(request.id, ErrorCode.BAD_REQUEST,
                          f"log entries {request.first} to {request.last}: a range begins at 1 and does not go back")
        if request.first > node.commit_index:
            return None
        last = min(request.last, request.first + min(request.entries_max, LOG_ENTRIES_MAX) - 1)
        try:
            entries = node.log_entries_within(request.first, last, min(request.bytes_max, LOG_BYTES_MAX))
        except LogCompacted as error:
            return Failed(request.id, ErrorCode.COMPACTED,
                          f"entry {error.requested} was compacted; the log begins at entry {error.first_available}",
                          detail=error.first_available)
        views = [wire.LogEntryView(entry, describe_entry(entry, self._replica.machine)) for entry in entries]
        return wire.LogResult(request.id, views, node.commit_index, node.log_snapshot_index + 1)

    def _no_entries(self, request: wire.GetLog) -> Answer:
        node = self._replica.node
        return wire.LogResult(request.id, [], node.commit_index, node.log_snapshot_index + 1)

    def _events(self, request: wire.GetEvents) -> wire.EventsResult | Failed:
        try:
            found, cursor, lost = self._replica.events.after(request.cursor, request.types, request.limit)
        except ValueError as error:
            return Failed(request.id, ErrorCode.BAD_REQUEST, str(error))
        return wire.EventsResult(request.id, found, cursor, lost)

    def _new_events(self, request: wire.GetEvents) -> Answer | None:
        answer = self._events(request)
        return answer if isinstance(answer, Failed) or answer.events or answer.lost else None

    # Members and leadership.

    def _change_members(self, client: Hashable, request: wire.ChangeMembers) -> None:
        if not self._leads(client, request) or self._is_full(client, request):
            return
        node, status = self._replica.node, self._replica.node.status()
        limit = self._replica.settings.election_timeout_max
        try:
            plan = plan_change(request.operations, status, limit, force=request.force)
        except MemberUnknown as error:
            self._fail(client, request.id, ErrorCode.NOT_FOUND, str(error))
            return
        except (ChangeRefused, ProposalRejected) as error:
            # A change makes no sense to the core now: later perhaps, while the last one is in its joint phase.
            later = isinstance(error, ProposalRejected) and error.temporary
            self._fail(client, request.id, ErrorCode.BUSY if later else ErrorCode.REFUSED, str(error))
            return
        if request.dry_run or (not plan.changes and status.configuration_committed and not plan.target.joint):
            self._answer_change(
                client, request.id, plan, plan.target, node.commit_index, changed=bool(plan.changes)
            )
            return
        index = status.configuration_index
        if plan.changes:
            try:
                index = node.propose_conf_change(plan.changes)
            except ProposalRejected as error:
                self._fail(client, request.id, ErrorCode.BUSY, error.reason)
                return
        deadline = self._replica.clock() + self._replica.settings.request_timeout
        committed_joint = not plan.changes and status.configuration_committed
        # The entry of a committed one may be compacted already; only its end is waited for.
        term = node.current_term if committed_joint else node.term_at(index)
        self._changes.append(_Change(client, request.id, index, term, deadline, plan, bool(plan.changes),
                                     committed_joint))

    def _answer_overtaken_changes(self, entry: LogEntry) -> None:
        """Tell those whose membership change stood where another leader's `entry` stands now, for good."""
        waiting: list[_Change] = []
        for change in self._changes:
            if change.joint or change.index != entry.index or change.term == entry.term:
                waiting.append(change)
            else:
                self._fail(change.client, change.request_id, ErrorCode.OVERWRITTEN,
                           "another leader took over: the members did not change")
        self._changes = waiting

    def configuration_applied(self, entry: LogEntry, configuration: Configuration) -> None:
        """Answer the membership changes that `entry` completes."""
        waiting: list[_Change] = []
        for change in self._changes:
            if change.joint or (change.index, change.term) == (entry.index, entry.term):
                change.joint = configuration.joint
                if not change.joint:
                    self._answer_change(change.client, change.request_id, change.plan, configuration, entry.index,
                                        changed=change.changed)
                    continue
            waiting.append(change)
        self._changes = waiting

    def _answer_change(
        self, client: Hashable, request_id: int, plan: Plan, configuration: Configuration, index: int, *, changed: bool
    ) -> None:
        members = member_statuses(self._replica.node.status(), configuration)
        self._replica.answer(client, wire.MembersChanged(
            request_id, changed, index, members, plan.before.voters, plan.after.voters, plan.before.quorum,
            plan.after.quorum, plan.before.tolerates, plan.after.tolerates,
        ))

    def best_successor(self) -> NodeId | None:
        """Return the voter that is the furthest along and was heard from lately; None where there is none."""
        status = self._replica.node.status()
        voters = set(status.configuration.voters)
        limit = self._replica.settings.election_timeout_max
        up = [
            peer for peer in status.peers
            if peer.peer in voters and peer.last_contact is not None and peer.last_contact < limit
        ]
        if not up:
            return None
        return max(up, key=lambda peer: (peer.match_index, -peer.peer)).peer

    def _transfer(self, client: Hashable, request: wire.TransferLeadership) -> None:
        if not self._leads(client, request):
            return
        node = self._replica.node
        target = request.target or self.best_successor()
        if target is None:
            self._fail(client, request.id, ErrorCode.REFUSED, "no other voter was heard from lately")
            return
        changed = target != node.node_id
        if changed and target not in node.configuration.members():
            self._fail(client, request.id, ErrorCode.NOT_FOUND, f"node {target} is not a member of this cluster")
            return
        if changed and target not in node.configuration.voters:
            self._fail(client, request.id, ErrorCode.REFUSED, f"node {target} is not a voter, so it cannot lead")
            return
        if request.dry_run or not changed:
            self._replica.answer(
                client, wire.LeadershipTransferred(request.id, changed, target, node.current_term)
            )
            return
        try:
            node.transfer_leadership(target)
        except ProposalRejected as error:
            self._fail(client, request.id, ErrorCode.REFUSED, error.reason)
            return
        deadline = self._replica.clock() + self._replica.settings.request_timeout
        self._transfers.append(_Transfer(client, request.id, node.current_term, target, deadline))

    def _settle_transfers(self, now: float) -> None:
        node, me = self._replica.node, self._replica.identity.node_name
        waiting: list[_Transfer] = []
        for transfer in self._transfers:
            client, request_id, leader = transfer.client, transfer.request_id, node.leader_id
            under_way = (node.current_term, node.transfer_target) == (transfer.term, transfer.target)
            if under_way or (leader is None and now < transfer.deadline):
                waiting.append(transfer)
            elif leader is None:
                self._fail(client, request_id, ErrorCode.TIMED_OUT,
                           f"{me} does not lead any more, and no leader was heard from in time", UNKNOWN)
            elif leader == node.node_id:
                self._fail(client, request_id, ErrorCode.TIMED_OUT,
                           f"node {transfer.target} did not take over in time; {me} still leads")
            else:
                self._replica.answer(
                    client, wire.LeadershipTransferred(request_id, True, leader, node.current_term)
                )
        self._transfers = waiting

    # Snapshots.

    def _trigger_snapshot(self, client: Hashable, request: wire.TriggerSnapshot) -> None:
        replica = self._replica
        self._snapshots.append((client, request.id))
        if replica.start_snapshot() or not self._snapshots:
            # Under way; or it found no room, and everybody who waits for one was told.
            return
        self._snapshots.pop()
        if replica.newest_snapshot is not None:
            replica.answer(
                client, wire.SnapshotTaken(request.id, False, snapshot_info(replica.newest_snapshot))
            )
        else:
            self._fail(client, request.id, ErrorCode.REFUSED,
                       "there is no state to keep yet: nothing is applied, or this node only just joined")

    def snapshot_taken(self, stored: StoredSnapshot) -> None:
        """Answer whoever asked for a snapshot."""
        for client, request_id in self._take_snapshots():
            self._replica.answer(client, wire.SnapshotTaken(request_id, True, snapshot_info(stored)))

    def snapshot_failed(self, reason: str) -> None:
        """Tell whoever asked for a snapshot that there is no room for it."""
        for client, request_id in self._take_snapshots():
            self._fail(client, request_id, ErrorCode.NO_SPACE, reason)

    def snapshot_installed(self, index: int) -> None:
        """Answer what the entries up to `index` would have answered: they came inside a snapshot."""
        for waiter in self._writes.pop_up_to(index):
            self._fail(waiter.client, waiter.request_id, ErrorCode.TIMED_OUT,
                       f"this node fell behind and took a snapshot that covers entry {waiter.index}", UNKNOWN)
        gone, self._changes = (
            [c for c in self._changes if c.index <= index], [c for c in self._changes if c.index > index],
        )
        for change in gone:
            self._fail(change.client, change.request_id, ErrorCode.TIMED_OUT,
                       f"this node fell behind and took a snapshot that covers entry {change.index}", UNKNOWN)
        for client, request_id in self._take_snapshots():
            self._fail(client, request_id, ErrorCode.BUSY, "a snapshot from the leader arrived meanwhile")

    # Time and ends.

    def leadership_lost(self) -> None:
        """Let nobody wait long for entries that the next leader may replace."""
        self._uncommitted.clear()
        deadline = self._replica.clock() + self._replica.settings.election_timeout_max
        self._writes.hasten(deadline)
        for change in self._changes:
            change.deadline = min(change.deadline, deadline)

    def settle(self) -> None:
        """Answer what became due in this turn: changed polls, passed deadlines, finished transfers."""
        replica = self._replica
        now = replica.clock()
        self._uncommitted.committed(replica.node.commit_index)
        self._snapshot_files.expire()
        if self._transfers:
            self._settle_transfers(now)
        for waiter in self._writes.pop_overdue(now):
            self._fail(waiter.client, waiter.request_id, ErrorCode.TIMED_OUT,
                       f"entry {waiter.index} was not committed in time; it still may be", UNKNOWN)
        for held in self._held.pop_overdue(now):
            self._fail(held.client, held.request.id, ErrorCode.NO_LEADER, self._no_leader_message())
        self._settle_overdue_reads(now)
        self._settle_overdue_changes(now)
        if self._polls:
            seen = (replica.node.last_applied, replica.events.last_cursor)
            changed, self._seen = seen != self._seen, seen
            for client, answer in self._polls.settle(now, changed=changed):
                replica.answer(client, answer)

    def _settle_overdue_reads(self, now: float) -> None:
        for barrier, reads in list(self._reads.items()):
            if reads.deadline > now:
                break
            del self._reads[barrier]
            for client, request in reads.items:
                self._fail(client, request.id, ErrorCode.NO_LEADER,
                           "no quorum confirmed in time that this node still leads")

    def _settle_overdue_changes(self, now: float) -> None:
        overdue = [change for change in self._changes if change.deadline <= now]
        for change in overdue:
            self._changes.remove(change)
            self._fail(change.client, change.request_id, ErrorCode.TIMED_OUT,
                       f"the membership change at index {change.index} was not committed in time; it still may be",
                       UNKNOWN)

    def next_deadline(self) -> float | None:
        """Return when `settle()` has something to do at the latest."""
        reads = next(iter(self._reads.values()), None)
        deadlines = [
            self._writes.next_deadline(), self._held.next_deadline(), self._polls.next_deadline(),
            None if reads is None else reads.deadline, *[change.deadline for change in self._changes],
            *[transfer.deadline for transfer in self._transfers],
        ]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def forget(self, client: Hashable) -> None:
        """Drop the long polls of a client that is gone."""
        self._polls.forget(client)

    def close(self) -> None:
        """Take no more requests. What waits for something that may not come in time is answered now."""
        self._closed = True
        for poll in self._polls.pop_all():
            self._replica.answer(poll.client, poll.at_deadline())
        for client, request_id in self._take_snapshots():
            self._fail(client, request_id, ErrorCode.SHUTTING_DOWN, SHUTTING_DOWN, NOT_DONE)
        for held in self._held.pop_all():
            self._fail(held.client, held.request.id, ErrorCode.SHUTTING_DOWN, SHUTTING_DOWN)

    def abandon(self) -> None:
        """Answer everything that still waits: this node ends."""
        for waiter in self._writes.pop_all():
            self._fail(waiter.client, waiter.request_id, ErrorCode.SHUTTING_DOWN, SHUTTING_DOWN, UNKNOWN)
        changes, self._changes = self._changes, []
        for change in changes:
            self._fail(change.client, change.request_id, ErrorCode.SHUTTING_DOWN, SHUTTING_DOWN, UNKNOWN)
        transfers, self._transfers = self._transfers, []
        for transfer in transfers:
            self._fail(transfer.client, transfer.request_id, ErrorCode.SHUTTING_DOWN, SHUTTING_DOWN, UNKNOWN)
        reads = [*self._reads.values(), *self._confirmed, _Reads(self._new_reads, 0.0)]
        self._reads, self._confirmed, self._new_reads = {}, [], []
        for shared in reads:
            for client, request in shared.items:
                self._fail(client, request.id, ErrorCode.SHUTTING_DOWN, SHUTTING_DOWN)
        for held in self._held.pop_all():
            self._fail(held.client, held.request.id, ErrorCode.SHUTTING_DOWN, SHUTTING_DOWN)

    def _take_snapshots(self) -> list[tuple[Hashable, int]]:
        waiting, self._snapshots = self._snapshots, []
        return waiting

    def _no_leader_message(self) -> str:
        status = self._replica.node.status()
        return status.no_leader_reason or "no leader answered in time"

    def _refuse_command(self, client: Hashable, request_id: int, error: CommandRefused) -> None:
        code = ErrorCode.TOO_LARGE if error.too_large else ErrorCode.BAD_REQUEST
        self._fail(client, request_id, code, str(error))

    def _fail(
        self, client: Hashable, request_id: int, code: ErrorCode, message: str, outcome: str = NOT_DONE
    ) -> None:
        self._replica.answer(client, Failed(request_id, code, message, outcome))


def _size_of(request: Request) -> int:
    """Return about what a request weighs while it waits."""
    match request:
        case wire.Write(command=data) | wire.Read(query=data):
            return len(data) + ENTRY_OVERHEAD_BYTES
        case wire.ChangeMembers(operations=operations):
            return (len(operations) + 1) * ENTRY_OVERHEAD_BYTES
        case _:
            return ENTRY_OVERHEAD_BYTES
