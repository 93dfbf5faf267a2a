"""Bugs to plant: each breaks one promise of the product, and names the check of the simulation that has to notice it.

The pattern is searched in the message of the error that ends the run. A patch that does not fit the product any longer
raises something else, which counts for nothing.
"""

import zlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from raftnode.core import commit, election, replication, snapshot
from raftnode.core.log import RaftLog
from raftnode.core.membership import Configuration
from raftnode.core.messages import (
    AppendEntriesResponse,
    InstallSnapshotRequest,
    RequestVoteRequest,
    RequestVoteResponse,
)
from raftnode.core.node import RaftNode
from raftnode.core.quorum import quorum_value
from raftnode.core.ready import Ready
from raftnode.core.state import RaftState
from raftnode.core.types import LogEntry, NodeRole
from raftnode.machine.kv.history import ChangeHistory
from raftnode.machine.kv.machine import KvMachine
from raftnode.machine.kv.snapshot import KvSnapshot
from raftnode.machine.sessions.machine import Applied, Result, SessionMachine
from raftnode.machine.sessions.session import Session
from raftnode.machine.sessions.snapshot import SessionSnapshot, session_records
from raftnode.replica.durability import Durability
from raftnode.replica.events import EVENTS_PER_BOOT, EventLog
from raftnode.replica.replica import Replica
from raftnode.replica.requests import snapshots as snapshot_requests
from raftnode.replica.requests.members import MemberRequests
from raftnode.replica.requests.polls import PollQueue
from raftnode.replica.requests.reads import Reads
from raftnode.replica.requests.replies import Replies
from raftnode.replica.requests.router import Router
from raftnode.replica.requests.snapshots import SnapshotFiles
from raftnode.replica.requests.writes import EntryWaiters, Waiter, Writes
from raftnode.replica.snapshot_transfer import SnapshotReceiving, SnapshotSending
from raftnode.replica.status import StatusReport
from raftnode.storage.segment import SegmentScan
from raftnode.storage.snapshot_file import StoredSnapshot
from raftnode.storage.snapshots import SnapshotReceiver, SnapshotStore
from raftnode.wire import client as wire
from raftnode.wire.client import Answer, ErrorCode
from raftnode.wire.entries import WriteEntry
from raftnode.wire.kv import Change, CompareAndSet, Increment, KvResult, List, ListResult, Put
from raftnode.wire.snapshot import SessionHeader
from tests.simulation.faults import FAULTS
from tests.support.filesystem import SimulatedFile
from tests.support.replicas import RecordingMachine

Patch = pytest.MonkeyPatch


@dataclass(frozen=True)
class Bug:
    """`plant` patches the product; `noticed` is what the check says that notices it.

    What is seldom noticed is looked for from `first_seed` on, which noticed it once: that is no promise, it saves time.
    """

    plant: Callable[[Patch], None]
    noticed: str
    first_seed: int


BUGS: list[Bug] = []


def noticed_by(pattern: str, first_seed: int = 0) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    """Register the decorated function as a bug."""

    def register(plant: Callable[[Patch], None]) -> Callable[[Patch], None]:
        BUGS.append(Bug(plant, pattern, first_seed))
        return plant

    return register


def let_only(patch: Patch, *kinds: str) -> None:
    """Let only these faults happen: those that make a bug felt which is seldom felt otherwise."""
    for kind, (_, fault) in FAULTS.items():
        patch.setitem(FAULTS, kind, (int(kind in kinds), fault))


# Durability.


@noticed_by(r"sends AppendEntriesResponse.* before its fsync")
def a_reply_before_the_fsync(patch: Patch) -> None:
    real = Replica._act

    def act(self: Replica, ready: Ready) -> None:
        if ready.hard_state is None and self.durability.hard_state_durable:
            responses, self._responses = self._responses, []
            for peer, response in responses:
                if isinstance(response, AppendEntriesResponse):
                    self._transport.send_response(peer, response)
                else:
                    self._responses.append((peer, response))
        real(self, ready)

    patch.setattr(Replica, "_act", act)


@noticed_by(r"sends .* before its (fsync|term is durable)")
def promises_of_a_full_disk(patch: Patch) -> None:
    patch.setattr(Durability, "may_leave", lambda self, message: True)


@noticed_by(r"sends AppendEntriesRequest.* before its term is durable")
def entries_of_a_term_that_no_disk_knows(patch: Patch) -> None:
    patch.setattr(Durability, "hard_state_durable", property(lambda self: True))


@noticed_by(r"of the durable term \d+ sends")
def a_hard_state_that_is_skipped(patch: Patch) -> None:
    patch.setattr(Durability, "save_hard_state", lambda self, state: None)


@noticed_by(r"nodes \d+ and \d+ both lead term")
def a_majority_of_one_in_the_first_term(patch: Patch) -> None:
    real = election._count_ballot

    def count(state: RaftState) -> None:
        if state.role is NodeRole.CANDIDATE and state.current_term == 1:
            election._lead(state)
        else:
            real(state)

    def postpone(self: RaftState, now: float) -> None:
        self.election_deadline = now + self.config.election_timeout_min

    patch.setattr(election, "_count_ballot", count)
    # All nodes campaign at once: not a bug in itself, but it exposes this one.
    patch.setattr(RaftState, "postpone_election", postpone)


@noticed_by(r"acknowledges entry \d+, which is not on the disks of a quorum")
def a_log_that_is_not_synced(patch: Patch) -> None:
    real = SimulatedFile.sync

    def sync(self: SimulatedFile) -> None:
        if not self.path.endswith(".wal"):
            real(self)

    patch.setattr(SimulatedFile, "sync", sync)


@noticed_by(r"refuses to start, and nothing damaged its files: .* a batch does not match its checksum")
def a_torn_write_that_is_taken_for_damage(patch: Patch) -> None:
    patch.setattr(SegmentScan, "_partly_unwritten", lambda self, offset, header: False)


# Consensus.


@noticed_by(r"acknowledges entry \d+, which is not on the disks of a quorum")
def a_commit_without_a_quorum(patch: Patch) -> None:
    def smaller_quorum(of: Callable[[int], float], configuration: Configuration) -> float:
        return quorum_value(lambda voter: max(of(voter), of(configuration.voters[0])), configuration)

    patch.setattr(commit, "quorum_value", smaller_quorum)


@noticed_by(r"leads term \d+ without the committed entry")
def votes_for_a_log_that_is_behind(patch: Patch) -> None:
    patch.setattr(RaftLog, "is_up_to_date", lambda self, last_index, last_term: True)


@noticed_by(r"the vote of term \d+ changed", 16)
def two_votes_in_one_term(patch: Patch) -> None:
    real = election.handle_request_vote

    def handle(state: RaftState, request: RequestVoteRequest) -> RequestVoteResponse:
        if request.term == state.current_term and state.role is NodeRole.FOLLOWER:
            state.voted_for = None
        return real(state, request)

    patch.setattr(election, "handle_request_vote", handle)


@noticed_by(r"applies (another|a) command at \d+|commits LogEntry.*, and LogEntry.* was committed there", 15)
def entries_that_stay_in_spite_of_a_conflict(patch: Patch) -> None:
    real = replication._store

    def store(state: RaftState, entries: list[LogEntry], configurations: list[tuple[int, Configuration]]) -> None:
        if fresh := [entry for entry in entries if entry.index > state.log.last_index]:
            real(state, fresh, configurations)

    patch.setattr(replication, "_store", store)


@noticed_by(r"a leader did not come within")
def nobody_who_campaigns(patch: Patch) -> None:
    patch.setattr(RaftState, "may_campaign", property(lambda self: self.current_term < 2 and self.has_vote))


@noticed_by(r"node \d+ has the members .* at \d+, which were")
def members_of_the_format_after_a_restart(patch: Patch) -> None:
    real = RaftNode.restore

    def restore(self: RaftNode, *args: Any, **kwargs: Any) -> None:
        real(self, *args, **kwargs)
        state = self._state
        state.configurations = [(state.configurations[-1][0], state.config.first_configuration())]

    patch.setattr(RaftNode, "restore", restore)


# Applying.


@noticed_by(r"applies \d+ after \d+$")
def an_entry_applied_twice(patch: Patch) -> None:
    def deliver(self: RaftNode, ready: Ready) -> None:
        state = self._state
        first = max(state.delivered_index, state.log.snapshot_index + 1)
        ready.committed_entries = state.log.entries(first, state.commit_index)
        state.delivered_index = state.commit_index

    patch.setattr(RaftNode, "_deliver", deliver)


@noticed_by(r"applies \d+ after \d+, and has skipped \d+|has the revision \d+ at")
def an_entry_skipped_after_a_restart(patch: Patch) -> None:
    real = Replica._apply

    def apply(self: Replica, entries: list[LogEntry]) -> None:
        restarted = self.events._before_boot > EVENTS_PER_BOOT and "applied" not in self.counters
        self.counters["applied"] = 1
        real(self, entries[1:] if restarted and len(entries) > 1 else entries)

    patch.setattr(Replica, "_apply", apply)


@noticed_by(r"counts entry \d+ as applied, but no node has applied it")
def an_entry_that_nobody_applies(patch: Patch) -> None:
    def apply(self: Replica, entries: list[LogEntry]) -> None:
        self.node.advance_applied(entries[-1].index)

    patch.setattr(Replica, "_apply", apply)


@noticed_by(r"applies entry \d+ with Reply.*, not Reply")
def a_doubled_increment(patch: Patch) -> None:
    real = KvMachine._increment

    def increment(self: KvMachine, index: int, command: Increment, commit: bool) -> KvResult:
        real(self, index, command, commit)
        return real(self, index, command, commit)

    patch.setattr(KvMachine, "_increment", increment)


@noticed_by(r"applies entry \d+ with Reply.*, not Reply|has the sessions")
def a_result_that_is_forgotten(patch: Patch) -> None:
    patch.setattr(Session, "remember", lambda self, sequence, result: 0)


@noticed_by(r"applies entry \d+ with Reply.*, not Reply")
def a_cas_that_always_succeeds(patch: Patch) -> None:
    def put(self: KvMachine, index: int, command: CompareAndSet, commit: bool) -> KvResult:
        return self._put(index, Put(command.key, command.value), commit)

    patch.setattr(KvMachine, "_compare_and_set", put)


# Snapshots.


@noticed_by(r"from a snapshot, has the sessions|copy of node \d+'s snapshot has the sessions")
def sessions_left_out_of_a_snapshot(patch: Patch) -> None:
    def snapshot(self: SessionMachine) -> SessionSnapshot:
        return SessionSnapshot(SessionHeader.of(self._limits, 0), session_records([]), self.inner.snapshot())

    patch.setattr(SessionMachine, "snapshot", snapshot)


@noticed_by(r"(from a snapshot,|copy of node \d+'s snapshot) has .*, and the log says")
def an_increment_lost_in_a_snapshot(patch: Patch) -> None:
    def snapshot(self: KvMachine) -> KvSnapshot:
        records = dict(self._records)
        if (counter := records.get(b"n0")) is not None:
            records[b"n0"] = msgspec.structs.replace(counter, value=b"%d" % (int(counter.value) - 1))
        return KvSnapshot(self._revision, records, self._keys)

    patch.setattr(KvMachine, "snapshot", snapshot)


@noticed_by(r"has the revision 0 at \d+|revision fell")
def a_revision_left_out_of_a_snapshot(patch: Patch) -> None:
    patch.setattr(KvMachine, "snapshot", lambda self: KvSnapshot(0, dict(self._records), self._keys.copy()))


@noticed_by(r"snapshot at \d+ has the members .*, which were")
def members_left_out_of_a_snapshot(patch: Patch) -> None:
    real = SnapshotStore.writer

    def writer(self: SnapshotStore, index: int, term: int, configuration: Configuration) -> Any:
        return real(self, index, term, msgspec.structs.replace(configuration, learners=(), observers=()))

    patch.setattr(SnapshotStore, "writer", writer)


@noticed_by(r"snapshot ends with term")
def a_snapshot_of_another_term(patch: Patch) -> None:
    real = SnapshotStore.writer

    def writer(self: SnapshotStore, index: int, term: int, configuration: Configuration) -> Any:
        return real(self, index, max(term - 1, 1), configuration)

    patch.setattr(SnapshotStore, "writer", writer)


@noticed_by(r"snapshot covers \d+, which no node has committed")
def a_snapshot_named_after_the_next_entry(patch: Patch) -> None:
    real = SnapshotStore.writer

    def writer(self: SnapshotStore, index: int, term: int, configuration: Configuration) -> Any:
        return real(self, index + 1, term, configuration)

    patch.setattr(SnapshotStore, "writer", writer)
    patch.setattr(RaftNode, "compact", lambda self, index: None)


@noticed_by(r"refuses to start, and nothing damaged its files|agreement did not come", 6)
def chunks_of_a_snapshot_in_any_order(patch: Patch) -> None:
    def store(self: SnapshotReceiving, request: InstallSnapshotRequest) -> StoredSnapshot | None:
        if self._receiver is None:
            self._receiver = self._store.receiver(request.last_included_index, request.last_included_term)
        receiver = self._receiver
        receiver.write(receiver.next_offset, request.data)
        if not request.done:
            return None
        self._receiver = None
        return receiver.finish()

    def write(self: SnapshotReceiver, offset: int, data: bytes) -> None:
        assert self._file is not None
        self._file.pwrite(data, offset)
        self._next = offset + len(data)

    patch.setattr(snapshot, "_expected_offset", lambda state, request: request.offset)
    patch.setattr(SnapshotReceiving, "store", store)
    patch.setattr(SnapshotReceiver, "write", write)
    patch.setattr("raftnode.storage.snapshot_file.BlockReader.finish", lambda self: None)
    let_only(patch, "duplicating", "slow network", "isolate", "add", "snapshot", "kill", "restart", "heal")


@noticed_by(r"(agreement|a leader) did not come within")
def a_snapshot_of_which_the_first_chunk_is_sent_again_and_again(patch: Patch) -> None:
    patch.setattr(SnapshotSending, "answered", lambda self, response: False)


# Answers to clients.


@noticed_by(r"a linearizable read at \d+, after a write was acknowledged at \d+")
def a_read_without_a_barrier(patch: Patch) -> None:
    def serve_at_once(self: Reads, client: Hashable, request: wire.Read, since: float) -> None:
        self.serve(client, request)

    patch.setattr(Reads, "add", serve_at_once)


@noticed_by(r"a read at \d+ is GetResult.*; the log says")
def a_read_of_an_older_state(patch: Patch) -> None:
    real = KvMachine.query

    def query(self: KvMachine, query: bytes) -> bytes:
        memory: dict[bytes, bytes] = self.__dict__.setdefault("memory", {})
        return memory.setdefault(query, real(self, query))

    patch.setattr(KvMachine, "query", query)


@noticed_by(r"is acknowledged twice|another command is at|is answered with Reply")
def a_waiter_matched_by_its_index_only(patch: Patch) -> None:
    real = Writes.applied

    def applied(self: Writes, entry: LogEntry, outcome: Applied | None) -> None:
        if outcome is not None and (waiter := self._waiters._by_index.get(entry.index)) is not None:
            waiter.term = entry.term
        real(self, entry, outcome)

    patch.setattr(Writes, "applied", applied)
    patch.setattr(EntryWaiters, "cap_deadlines", lambda self, deadline: None)
    let_only(patch, "leader cut off", "heal")


@noticed_by(r"entry \d+ is answered with Reply.*, not Reply")
def the_result_of_the_write_before(patch: Patch) -> None:
    real = Writes.applied
    last: dict[Writes, Result] = {}

    def applied(self: Writes, entry: LogEntry, outcome: Applied | None) -> None:
        if isinstance(outcome, Result):
            outcome, last[self] = last.get(self, outcome), outcome
        real(self, entry, outcome)

    patch.setattr(Writes, "applied", applied)


@noticed_by(r"request \d+ is answered twice")
def a_read_that_is_answered_twice(patch: Patch) -> None:
    real = Reads.serve

    def serve(self: Reads, client: Hashable, request: wire.Read) -> None:
        real(self, client, request)
        real(self, client, request)

    patch.setattr(Reads, "serve", serve)


@noticed_by(r"entry \d+ is acknowledged twice")
def an_entry_that_two_requests_are_answered_with(patch: Patch) -> None:
    real = Writes.applied

    def applied(self: Writes, entry: LogEntry, outcome: Applied | None) -> None:
        later = self._waiters._by_index.get(entry.index + 1)
        real(self, entry, outcome)
        if later is not None and isinstance(outcome, Result):
            self._replies.answer(later.client, wire.Written(later.request_id, entry.index, outcome.result))

    patch.setattr(Writes, "applied", applied)


@noticed_by(r"to nobody's request")
def an_answer_under_another_id(patch: Patch) -> None:
    real = Replies.answer

    def answer(self: Replies, client: Hashable, answer: Answer) -> None:
        real(self, client, msgspec.structs.replace(answer, id=answer.id + 1000))

    patch.setattr(Replies, "answer", answer)


@noticed_by(r"key '\w+' is not linearizable")
def a_write_called_undone_that_happened(patch: Patch) -> None:
    real = Writes.applied

    def applied(self: Writes, entry: LogEntry, outcome: Applied | None) -> None:
        if entry.index % 10 == 0 and (waiter := self._waiters.pop(entry.index)) is not None:
            self._replies.fail(waiter.client, waiter.request_id, ErrorCode.BUSY, "come back later")
        real(self, entry, outcome)

    patch.setattr(Writes, "applied", applied)


@noticed_by(r"the clients' end did not come within")
def a_write_that_is_never_answered(patch: Patch) -> None:
    real = EntryWaiters.add

    def add(self: EntryWaiters, waiter: Waiter) -> None:
        if waiter.index % 20:
            real(self, waiter)

    patch.setattr(EntryWaiters, "add", add)


@noticed_by(r"operator was never answered what it asked")
def a_membership_change_that_is_never_answered(patch: Patch) -> None:
    patch.setattr(MemberRequests, "_answer_change", lambda self, *args, **kwargs: None)


@noticed_by(r"a node spins: time stands still")
def a_turn_that_always_wants_another(patch: Patch) -> None:
    patch.setattr(Router, "has_work", property(lambda self: True))


# Answers to onlookers.


@noticed_by(r"watcher of \w+: after \d+ and up to \d+ node \d+ shows")
def a_watch_that_skips_an_event(patch: Patch) -> None:
    real = ChangeHistory.append

    def append(self: ChangeHistory, change: Change) -> None:
        if change.revision % 50:
            real(self, change)

    patch.setattr(ChangeHistory, "append", append)


@noticed_by(r"watcher of \w+: after \d+ and up to \d+ node \d+ shows")
def a_watch_that_shows_an_event_twice(patch: Patch) -> None:
    real = ChangeHistory.since

    def since(
        self: ChangeHistory, prefix: bytes, after_revision: int, limit: int, bytes_max: int
    ) -> tuple[list[Change], int | None]:
        return real(self, prefix, max(after_revision - 1, 0), limit, bytes_max)

    patch.setattr(ChangeHistory, "since", since)


@noticed_by(r"forgot the changes up to \d+; after \d+ it may have")
def a_loss_without_a_reason(patch: Patch) -> None:
    real = KvMachine.changes

    def changes(self: KvMachine, query: bytes) -> bytes | None:
        self._history.lost_before = max(self._history.lost_before, self._revision - 3)
        return real(self, query)

    patch.setattr(KvMachine, "changes", changes)


@noticed_by(r"the clients' end did not come within")
def a_watch_that_is_never_answered(patch: Patch) -> None:
    patch.setattr(PollQueue, "add", lambda self, poll: None)


@noticed_by(r"auditor: List\(.* at \d+ is ListResult", 131)
def a_list_that_ends_too_early(patch: Patch) -> None:
    real = KvMachine._list

    def listed(self: KvMachine, query: List) -> ListResult:
        result = real(self, query)
        return msgspec.structs.replace(result, items=result.items[:3])

    patch.setattr(KvMachine, "_list", listed)


@noticed_by(r"auditor: node \d+ has the log .*, committed is")
def a_log_from_the_next_entry_on(patch: Patch) -> None:
    real = RaftNode.log_entries_within

    def within(self: RaftNode, lo: int, hi: int, bytes_max: int) -> list[LogEntry]:
        return real(self, min(lo + 1, self.commit_index), hi, bytes_max)

    patch.setattr(RaftNode, "log_entries_within", within)


@noticed_by(r"auditor: (events|after \d+ come)")
def an_event_that_is_left_out(patch: Patch) -> None:
    real = EventLog.after

    def after(self: EventLog, cursor: str, types_glob: str = "", limit: int = 1000) -> Any:
        found, at, lost = real(self, cursor, types_glob, limit)
        return [event for event in found if event.type != "leader.changed"], at, lost

    patch.setattr(EventLog, "after", after)


@noticed_by(r"NodeStatus")
def a_status_that_names_another_leader(patch: Patch) -> None:
    real = StatusReport.__call__

    def status(self: StatusReport) -> wire.NodeStatus:
        return msgspec.structs.replace(real(self), leader_id=min(self.node.configuration.members()))

    patch.setattr(StatusReport, "__call__", status)


@noticed_by(r"a snapshot of node \d+ is damaged")
def a_piece_of_a_snapshot_with_another_byte(patch: Patch) -> None:
    def read(self: SnapshotFiles, request: wire.ReadSnapshot) -> Answer:
        answer = real(self, request)
        if not isinstance(answer, wire.SnapshotPiece) or not answer.data:
            return answer
        data = answer.data[:-1] + bytes([answer.data[-1] ^ 1])
        return msgspec.structs.replace(answer, data=data, checksum=zlib.crc32(data))

    real = SnapshotFiles.read
    patch.setattr(SnapshotFiles, "read", read)


@noticed_by(r"SnapshotPiece.* does not match its checksum")
def a_piece_of_a_snapshot_without_its_checksum(patch: Patch) -> None:
    patch.setattr(snapshot_requests, "zlib", SimpleNamespace(crc32=lambda data: 0))


@noticed_by(r"node 1 differs from its log")
def an_order_of_use_that_one_node_does_not_keep(patch: Patch) -> None:
    real = SessionMachine._write

    def write(self: RecordingMachine, index: int, entry: WriteEntry) -> Applied:
        outcome = real(self, index, entry)
        if isinstance(self, RecordingMachine) and self.node.id == 1:
            self._sessions.move_to_end(entry.session, last=False)
        return outcome

    patch.setattr(SessionMachine, "_write", write)
