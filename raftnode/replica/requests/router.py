"""Clients' requests: who may ask what, what a request waits for, and how it is answered.

Every request is answered exactly once, or its client is gone. A write's answer says done, not done, or unknown;
"not done" is said only where the entry can never take effect.
"""

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Final

from raftnode.core.errors import LogCompacted, NotLeader, ProposalRejected
from raftnode.core.types import LogEntry, NodeId, NodeRole
from raftnode.machine.protocol import CommandRefused
from raftnode.machine.sessions.machine import (
    Applied,
    Expired,
    Refused,
    Result,
    SessionOpened,
    encode_open_session,
    encode_write,
)
from raftnode.replica.describe import describe_entry, snapshot_info
from raftnode.replica.requests.members import MemberRequests
from raftnode.replica.requests.reads import Reads
from raftnode.replica.requests.snapshot_files import SnapshotFiles
from raftnode.replica.requests.waiting import EntryWaiters, Held, HeldRequests, Poll, Polls, UncommittedBytes, Waiter
from raftnode.storage.snapshots import StoredSnapshot
from raftnode.wire import client as wire
from raftnode.wire.client import NOT_DONE, UNKNOWN, Answer, AnyRequest, Consistency, ErrorCode, Failed

if TYPE_CHECKING:
    from raftnode.replica.replica import Replica

UNCOMMITTED_BYTES_MAX: Final = 64 * 1024 * 1024
"""The commands that may wait for a quorum on one leader; further writes are told to come back."""

HELD_BYTES_MAX: Final = 64 * 1024 * 1024
"""The requests that may wait for a leader to be known; further ones are told to come back."""

ENTRY_OVERHEAD_BYTES: Final = 128
"""What an entry or a waiting request weighs beyond its data: so that many empty ones are bounded too."""

WAIT_MS_MAX: Final = 60_000
LOG_BYTES_MAX: Final = 4 * 1024 * 1024
LOG_ENTRIES_MAX: Final = 10_000
"""What one answer to GetLog holds at the most, whatever was asked for: it is read and described in one turn."""
TYPES_GLOB_MAX: Final = 256


class Requests:
    """The requests that a replica has not answered yet."""

    def __init__(self, replica: "Replica") -> None:
        self._replica = replica
        self._writes = EntryWaiters()
        self._uncommitted = UncommittedBytes()
        self.reads = Reads(self, replica)
        self.members = MemberRequests(self, replica)
        self._held = HeldRequests()
        self._polls = Polls()
        self._snapshot_files = SnapshotFiles(replica.snapshots, replica.clock)
        self._snapshots: list[tuple[Hashable, int]] = []
        self._batch: list[tuple[Hashable, int, bytes]] = []
        self._batch_bytes = 0
        self._seen = (-1, "")
        self.closed = False

    @property
    def waiting_count(self) -> int:
        """How many requests are not answered yet."""
        return (
            len(self._writes)
            + len(self._held)
            + len(self._polls)
            + len(self._snapshots)
            + self.reads.waiting_count
            + self.members.waiting_count
        )

    @property
    def wants_turn(self) -> bool:
        """Whether requests wait for nothing but the next turn."""
        return (bool(self._held) or self.reads.wait_for_leader) and (
            self.closed or self._replica.node.leader_id is not None
        )

    # A turn's requests.

    def handle(self, inbox: list[tuple[Hashable, AnyRequest]]) -> None:
        """Take what arrived. Writes become one batch of proposals, reads share one barrier."""
        if self._held and (self._replica.node.leader_id is not None or self.closed):
            for held in self._held.pop_all():
                self._dispatch(held.client, held.request, held.since)
        now = self._replica.clock()
        for client, request in inbox:
            self._dispatch(client, request, now)
        self._propose_batch()
        self.reads.open_barrier()

    def _dispatch(self, client: Hashable, request: AnyRequest, since: float) -> None:
        """Do what a request asks for that arrived at `since`."""
        if self.closed:
            self.fail_stopping(client, request.id)
            return
        match request:
            case wire.Write():
                self._write(client, request)
            case wire.Read():
                self._read(client, request, since)
            case wire.OpenSession():
                if self.leads(client, request) and self._has_room(client, request):
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
                self.members.change(client, request)
            case wire.TransferLeadership():
                self.members.transfer(client, request)
            case wire.TriggerSnapshot():
                self._trigger_snapshot(client, request)
            case wire.ListSnapshots():
                found = [snapshot_info(stored) for stored in self._replica.snapshots.list()]
                self._replica.answer(client, wire.SnapshotsResult(request.id, found))
            case wire.ReadSnapshot():
                self._replica.answer(client, self._snapshot_files.read(request))

    def leads(self, client: Hashable, request: AnyRequest) -> bool:
        """Whether this node leads. If not, the client is redirected, or waits for a leader to be known."""
        node = self._replica.node
        if node.role is NodeRole.LEADER:
            return True
        size = _size_of(request)
        if node.leader_id is not None:
            self.redirect(client, request.id, node.leader_id)
        elif self._held.size_bytes + size > HELD_BYTES_MAX:
            self.fail(
                client,
                request.id,
                ErrorCode.BUSY,
                f"{self._held.size_bytes} bytes of requests wait for a leader already",
            )
        else:
            now = self._replica.clock()
            self._held.add(Held(client, request, now, now + self._replica.settings.no_leader_timeout, size))
        return False

    def redirect(self, client: Hashable, request_id: int, leader: NodeId) -> None:
        """Tell a client who leads."""
        replica = self._replica
        address = replica.address_of(leader)
        replica.answer(
            client,
            Failed(
                request_id,
                ErrorCode.NOT_LEADER,
                f"{replica.identity.node_name} does not lead; {replica.name_of(leader)} does",
                NOT_DONE,
                leader,
                address,
            ),
        )

    # Writes.

    def _write(self, client: Hashable, request: wire.Write) -> None:
        if self._replica.node.role is not NodeRole.LEADER and not self.leads(client, request):
            return
        try:
            self._replica.machine.check_write(request.session, request.sequence, request.acknowledged, request.command)
        except CommandRefused as error:
            self._refuse_command(client, request.id, error)
            return
        if self._has_room(client, request):
            data = encode_write(request.session, request.sequence, request.acknowledged, request.command)
            self._add_to_batch(client, request.id, data)

    def _has_room(self, client: Hashable, request: AnyRequest) -> bool:
        """Whether one more entry may wait for a quorum. If not, the client is told to come back."""
        if self.is_full(client, request):
            return False
        waiting = self._uncommitted.size_bytes + self._batch_bytes
        if waiting < UNCOMMITTED_BYTES_MAX:
            return True
        self.fail(client, request.id, ErrorCode.BUSY, f"{waiting} bytes of writes wait for a quorum already")
        return False

    def is_full(self, client: Hashable, request: AnyRequest) -> bool:
        """Whether this leader's disk has no room for an entry. Then the client is told so."""
        if not self._replica.durability.full:
            return False
        name = self._replica.identity.node_name
        self.fail(client, request.id, ErrorCode.NO_SPACE, f"the disk of {name}, which leads, is full: free some room")
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
                self.fail(client, request_id, ErrorCode.BUSY, str(error))
            return
        self._uncommitted.add(index + len(batch) - 1, size)
        term, deadline = node.current_term, replica.clock() + replica.settings.request_timeout
        for at, (client, request_id, _) in enumerate(batch, index):
            if replaced := self._writes.pop(at):
                # Gone from this log; but the entry in its place is not committed, and another node may have the old.
                self.fail(
                    replaced.client,
                    replaced.request_id,
                    ErrorCode.TIMED_OUT,
                    f"entry {at} of term {replaced.term} was replaced here by another leader's; it still may "
                    "be committed elsewhere",
                    UNKNOWN,
                )
            self._writes.add(Waiter(client, request_id, at, term, deadline))

    def applied(self, entry: LogEntry, applied: Applied | None) -> None:
        """Answer whoever waits for `entry`; `applied` is None where it was not a command."""
        self.members.entry_applied(entry)
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
                self.fail(client, request_id, ErrorCode.SESSION_EXPIRED, reason, UNKNOWN)
            case Refused(reason=reason):
                self.fail(client, request_id, ErrorCode.BAD_REQUEST, reason)

    def _answer_overwritten(self, waiter: Waiter) -> None:
        self.fail(
            waiter.client,
            waiter.request_id,
            ErrorCode.OVERWRITTEN,
            f"entry {waiter.index} of term {waiter.term} was replaced by another leader's: the write did not happen",
        )

    # Reads and watches.

    def _read(self, client: Hashable, request: wire.Read, since: float) -> None:
        if request.consistency is Consistency.LOCAL:
            self.serve(client, request)
        elif self.leads(client, request):
            self.reads.add(client, request, since)

    def serve(self, client: Hashable, request: wire.Read) -> None:
        """Answer a read from what is applied here."""
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
                client,
                request.wait_ms,
                attempt,
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
            self.fail(
                client,
                request.id,
                ErrorCode.BAD_REQUEST,
                f"the pattern of event types has {len(request.types)} characters; the limit is {TYPES_GLOB_MAX}",
            )
            return
        self._poll(client, request.wait_ms, lambda: self._new_events(request), lambda: self._events(request))

    def _log(self, request: wire.GetLog) -> Answer | None:
        node = self._replica.node
        if not 1 <= request.first <= request.last:
            return Failed(
                request.id,
                ErrorCode.BAD_REQUEST,
                f"log entries {request.first} to {request.last}: a range begins at 1 and does not go back",
            )
        if request.first > node.commit_index:
            return None
        last = min(request.last, request.first + min(request.entries_max, LOG_ENTRIES_MAX) - 1)
        try:
            entries = node.log_entries_within(request.first, last, min(request.bytes_max, LOG_BYTES_MAX))
        except LogCompacted as error:
            return Failed(
                request.id,
                ErrorCode.COMPACTED,
                f"entry {error.requested} was compacted; the log begins at entry {error.first_available}",
                detail=error.first_available,
            )
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

    # Snapshots.

    def _trigger_snapshot(self, client: Hashable, request: wire.TriggerSnapshot) -> None:
        replica = self._replica
        self._snapshots.append((client, request.id))
        if replica.snapshot_work.begin_taking() or not self._snapshots:
            # Under way; or it found no room, and everybody who waits for one was told.
            return
        self._snapshots.pop()
        if replica.newest_snapshot is not None:
            replica.answer(client, wire.SnapshotTaken(request.id, False, snapshot_info(replica.newest_snapshot)))
        else:
            self.fail(
                client,
                request.id,
                ErrorCode.REFUSED,
                "there is no state to keep yet: nothing is applied, or this node only just joined",
            )

    def snapshot_taken(self, stored: StoredSnapshot) -> None:
        """Answer whoever asked for a snapshot."""
        for client, request_id in self._take_snapshots():
            self._replica.answer(client, wire.SnapshotTaken(request_id, True, snapshot_info(stored)))

    def snapshot_failed(self, reason: str) -> None:
        """Tell whoever asked for a snapshot that there is no room for it."""
        for client, request_id in self._take_snapshots():
            self.fail(client, request_id, ErrorCode.NO_SPACE, reason)

    def snapshot_installed(self, index: int) -> None:
        """Answer what the entries up to `index` would have answered: they came inside a snapshot."""
        for waiter in self._writes.pop_up_to(index):
            self.fail(
                waiter.client,
                waiter.request_id,
                ErrorCode.TIMED_OUT,
                f"this node fell behind and took a snapshot that covers entry {waiter.index}",
                UNKNOWN,
            )
        self.members.snapshot_installed(index)
        for client, request_id in self._take_snapshots():
            self.fail(client, request_id, ErrorCode.BUSY, "a snapshot from the leader arrived meanwhile")

    # Time and ends.

    def leadership_lost(self) -> None:
        """Let nobody wait long for entries that the next leader may replace."""
        self._uncommitted.clear()
        deadline = self._replica.clock() + self._replica.settings.election_timeout_max
        self._writes.hasten(deadline)
        self.members.hasten(deadline)
        self.reads.hasten(self._replica.clock() + self._replica.settings.no_leader_timeout)

    def settle(self) -> None:
        """Answer what became due in this turn: changed polls, passed deadlines, finished transfers."""
        replica = self._replica
        now = replica.clock()
        self._uncommitted.committed(replica.node.commit_index)
        self._snapshot_files.expire()
        self.members.settle(now)
        for waiter in self._writes.pop_overdue(now):
            self.fail(
                waiter.client,
                waiter.request_id,
                ErrorCode.TIMED_OUT,
                f"entry {waiter.index} was not committed in time; it still may be",
                UNKNOWN,
            )
        for held in self._held.pop_overdue(now):
            self.fail(held.client, held.request.id, ErrorCode.NO_LEADER, self.no_leader_message())
        self.reads.settle(now)
        if self._polls:
            seen = (replica.node.last_applied, replica.events.last_cursor)
            changed, self._seen = seen != self._seen, seen
            for client, answer in self._polls.settle(now, changed=changed):
                replica.answer(client, answer)

    def next_deadline(self) -> float | None:
        """Return when `settle()` has something to do at the latest."""
        deadlines = [
            self._writes.next_deadline(),
            self._held.next_deadline(),
            self._polls.next_deadline(),
            self.reads.next_deadline(),
            self.members.next_deadline(),
        ]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def forget(self, client: Hashable) -> None:
        """Drop the long polls of a client that is gone."""
        self._polls.forget(client)

    def close(self) -> None:
        """Take no more requests. What waits for something that may not come in time is answered now."""
        self.closed = True
        for poll in self._polls.pop_all():
            self._replica.answer(poll.client, poll.at_deadline())
        for client, request_id in self._take_snapshots():
            self.fail_stopping(client, request_id)
        for held in self._held.pop_all():
            self.fail_stopping(held.client, held.request.id)

    def abandon(self) -> None:
        """Answer everything that still waits: this node ends."""
        for waiter in self._writes.pop_all():
            self.fail_stopping(waiter.client, waiter.request_id, UNKNOWN)
        self.members.abandon()
        self.reads.abandon()
        for held in self._held.pop_all():
            self.fail_stopping(held.client, held.request.id)

    def _take_snapshots(self) -> list[tuple[Hashable, int]]:
        waiting, self._snapshots = self._snapshots, []
        return waiting

    def no_leader_message(self) -> str:
        """Return why no leader is known."""
        status = self._replica.node.status()
        return status.no_leader_reason or "no leader answered in time"

    def _refuse_command(self, client: Hashable, request_id: int, error: CommandRefused) -> None:
        code = ErrorCode.TOO_LARGE if error.too_large else ErrorCode.BAD_REQUEST
        self.fail(client, request_id, code, str(error))

    def fail_stopping(self, client: Hashable, request_id: int, outcome: str = NOT_DONE) -> None:
        """Answer that this node is on its way down."""
        self.fail(client, request_id, ErrorCode.SHUTTING_DOWN, "this node is shutting down", outcome)

    def fail(self, client: Hashable, request_id: int, code: ErrorCode, message: str, outcome: str = NOT_DONE) -> None:
        """Answer that a request failed; `outcome` says whether it may have happened all the same."""
        self._replica.answer(client, Failed(request_id, code, message, outcome))


def _size_of(request: AnyRequest) -> int:
    """Return about what a request weighs while it waits."""
    match request:
        case wire.Write(command=data) | wire.Read(query=data):
            return len(data) + ENTRY_OVERHEAD_BYTES
        case wire.ChangeMembers(operations=operations):
            return (len(operations) + 1) * ENTRY_OVERHEAD_BYTES
        case _:
            return ENTRY_OVERHEAD_BYTES
