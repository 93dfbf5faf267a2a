"""`RaftNode`: one Raft node, driven by its caller. No threads, timers, sockets or files."""

import functools
import random
import time
from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec, TypeVar

from raftnode.core import (
    commit,
    election,
    membership_changes,
    promotion,
    reads,
    recovery,
    replication,
    roles,
    status,
    transfer,
)
from raftnode.core import snapshot as snapshot_transfer
from raftnode.core.arguments import (
    InvalidArgument,
    InvalidArgumentType,
    check_index,
    check_node_id,
    check_seconds,
    command_bytes,
)
from raftnode.core.config import RaftConfig
from raftnode.core.errors import (
    GroupNotFound,
    InvalidRequest,
    InvalidState,
    InvariantError,
    LogCompacted,
    NotLeader,
    ProposalRejected,
    RaftError,
    ShutdownError,
    StorageError,
)
from raftnode.core.membership import ConfChange, Configuration, SnapshotMeta, apply_change, check_change
from raftnode.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    Message,
    PreVoteRequest,
    PreVoteResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    Response,
    TimeoutNowRequest,
)
from raftnode.core.ready import Ready
from raftnode.core.state import RaftState
from raftnode.core.storage import LogStorage
from raftnode.core.types import EntryKind, HardState, LogEntry, NodeId, NodeRole

P = ParamSpec("P")
R = TypeVar("R")

_LEADER = NodeRole.LEADER


def _guarded(
    method: Callable[Concatenate["RaftNode", P], R],
) -> Callable[Concatenate["RaftNode", P], R]:
    """Refuse `method` before `restore()`, and stop the node if it fails in the middle of a change.

    A refusal (a RaftError, or an argument that was checked beforehand) has changed nothing. A failed disk and a
    broken invariant stop the node, and so does any other exception of a storage, a clock or an rng: how much of the
    change was made is unknown.
    """

    @functools.wraps(method)
    def guarded(self: "RaftNode", /, *args: P.args, **kwargs: P.kwargs) -> R:
        if self._failure is not None:
            raise self._stopped()
        if not self._restored:
            raise InvalidState(f"restore() comes before {method.__name__}()")
        try:
            return method(self, *args, **kwargs)
        except BaseException as error:
            self._note_failure(error)
            raise

    return guarded


def _after_restore(
    method: Callable[Concatenate["RaftNode", P], R],
) -> Callable[Concatenate["RaftNode", P], R]:
    """Refuse `method` before `restore()`, when its result would be wrong. After the node has stopped it still works."""

    @functools.wraps(method)
    def checked(self: "RaftNode", /, *args: P.args, **kwargs: P.kwargs) -> R:
        if not self._restored:
            raise InvalidState(f"restore() comes before {method.__name__}()")
        return method(self, *args, **kwargs)

    return checked


def _check_kind(message: object, kind: type[Message]) -> None:
    if type(message) is not kind:
        raise InvalidArgumentType(f"a {kind.__name__} is expected, not {type(message).__name__}")


class RaftNode:
    """A Raft node (Ongaro and Ousterhout 2014; thesis 2014). Deterministic for a given clock and rng.

    `restore()` comes first; before it every call raises InvalidState. Then the caller's loop, forever:

    1. wait for a message, a request, or `next_deadline()`;
    2. pass in what has arrived, with `step()`, `propose()`, `read_index()` and the like, and keep the responses that
       `step()` returns; call `tick()`;
    3. until a Ready is empty: `take_ready()`, and do what `Ready` lists, in its order.

    Errors: NotLeader, ProposalRejected, InvalidRequest, GroupNotFound, ValueError and TypeError refuse one call, and
    nothing has changed. After a StorageError, an InvariantError, or any other exception that a storage, a clock or an
    rng raises in the middle of a change, the node has stopped: further calls raise ShutdownError, except those that
    only look at its state in memory, such as `status()`. Start again with a new RaftNode on what is durable.

    Threads: a node has no lock. One thread calls it at a time; in asyncio, one task, without an `await` between
    `take_ready()` and the last of its duties. Reentrancy: `storage`, `clock` and `rng` must not call the node.
    """

    def __init__(
        self,
        config: RaftConfig,
        storage: LogStorage,
        *,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        """Create a node. The storage is not used before `restore()`.

        `clock` returns seconds that never go back; `rng` draws the election timeouts, a new one by default. Raises
        ValueError or TypeError for a configuration that cannot work.
        """
        config.validate()
        self._state = RaftState(config, storage, clock, rng if rng is not None else random.Random())
        self._storage = storage
        self._restored = False
        self._failure: BaseException | None = None
        roles.settle_passive_role(self._state)

    # The node's state.

    @property
    def node_id(self) -> NodeId:
        """This node's id."""
        return self._state.node_id

    @property
    def group_id(self) -> int:
        """The Raft group that this node belongs to."""
        return self._state.config.group_id

    @property
    def config(self) -> RaftConfig:
        """The settings that this node was made with."""
        return self._state.config

    @property
    def role(self) -> NodeRole:
        """The current role of this node."""
        return self._state.role

    @property
    def leader_id(self) -> NodeId | None:
        """The leader of the current term; None: unknown."""
        return self._state.leader_id

    @property
    def current_term(self) -> int:
        """The latest term that this node has seen."""
        return self._state.current_term

    @property
    def voted_for(self) -> NodeId | None:
        """Who has this node's vote in the current term; None: nobody."""
        return self._state.voted_for

    @property
    def commit_index(self) -> int:
        """The highest index that this node knows to be committed."""
        return self._state.commit_index

    @property
    def last_applied(self) -> int:
        """The highest index that the caller has applied."""
        return self._state.applied_index

    @property
    def last_log_index(self) -> int:
        """The index of the log's last entry."""
        return self._state.log.last_index

    @property
    def last_log_term(self) -> int:
        """The term of the log's last entry."""
        return self._state.log.last_term

    @property
    def log_snapshot_index(self) -> int:
        """The last discarded entry's index; 0: nothing was discarded."""
        return self._state.log.snapshot_index

    @property
    def log_snapshot_term(self) -> int:
        """The last discarded entry's term."""
        return self._state.log.snapshot_term

    @property
    def term_start_index(self) -> int:
        """On a leader, the index of the entry with which it began its term."""
        return self._state.term_start_index

    @property
    def transfer_target(self) -> NodeId | None:
        """The voter that this leader is handing over to; None: no transfer is under way."""
        return self._state.transfer_target

    @property
    def peers(self) -> tuple[NodeId, ...]:
        """The voters in force except this node, in either half of a joint configuration."""
        return self._without_self(self._state.configuration.voter_union())

    @property
    def voters(self) -> tuple[NodeId, ...]:
        """An alias of `peers`."""
        return self.peers

    @property
    def learners(self) -> tuple[NodeId, ...]:
        """The learners in force except this node."""
        return self._without_self(self._state.configuration.learners)

    @property
    def observers(self) -> tuple[NodeId, ...]:
        """The observers in force except this node."""
        return self._without_self(self._state.configuration.observers)

    @property
    def configuration(self) -> Configuration:
        """The members in force: the latest in the log, committed or not."""
        return self._state.configuration

    @_after_restore
    def configuration_at(self, index: int) -> Configuration:
        """Return the members that were in force at `index`: what a snapshot at that index carries."""
        if not self._state.knows_configuration_at(index):
            raise InvalidArgument(f"the members at entry {index} are not known to this node yet")
        return self._state.configuration_at(index)

    @_after_restore
    def knows_configuration_at(self, index: int) -> bool:
        """Whether `configuration_at(index)` has an answer: a node that joined knows no members before the first
        CONFIGURATION entry or snapshot that it received."""
        return self._state.knows_configuration_at(index)

    @_after_restore
    def term_at(self, index: int) -> int:
        """Return the term of the entry at `index`. Raises LogCompacted before the snapshot point, ValueError
        beyond the log's end."""
        log = self._state.log
        term = log.term_at(index)
        if term is not None:
            return term
        if index < log.snapshot_index:
            raise LogCompacted(index, log.first_index)
        raise InvalidArgument(f"no entry {index}: the log ends at {log.last_index}")

    @_after_restore
    def is_learner_peer(self, peer: NodeId) -> bool:
        """Whether `peer` is another node that is a learner."""
        return peer in self.learners

    @_after_restore
    def match_index_for(self, peer: NodeId) -> int | None:
        """Return how far `peer`'s log is known to match; None unless this node leads and knows the peer."""
        progress = self._state.progress.get(peer)
        return progress.match_index if progress is not None else None

    @_after_restore
    def status(self) -> status.RaftStatus:
        """Return everything that an operator may ask, as one value."""
        return status.status_of(self._state)

    @_after_restore
    def log_entries_range(self, lo: int, hi: int) -> list[LogEntry]:
        """Return the committed entries `lo`..`hi`, both included; `hi` is clamped to the commit index.

        Raises LogCompacted if `lo` was discarded, ValueError if `lo` is below 1.
        """
        if check_index("lo", lo) < 1:
            raise InvalidArgument(f"log entries begin at index 1, not {lo}")
        check_index("hi", hi)
        if lo <= self._state.log.snapshot_index:
            raise LogCompacted(lo, self._state.log.first_index)
        return self._read_range(lo, min(hi, self._state.commit_index), None)

    @_after_restore
    def log_entries_within(self, lo: int, hi: int, bytes_max: int) -> list[LogEntry]:
        """Return the committed entries from `lo` on, at most to `hi`: at least one, about `bytes_max` bytes.

        Raises LogCompacted if `lo` was discarded.
        """
        return self._read_range(lo, min(hi, self._state.commit_index), bytes_max)

    @_guarded
    def _read_range(self, lo: int, hi: int, bytes_max: int | None) -> list[LogEntry]:
        log = self._state.log
        found = log.entries(lo, hi, bytes_max)
        while bytes_max is None and found and found[-1].index < hi:
            found = found + log.entries(found[-1].index + 1, hi)
        return found

    # Start and stop, and time.

    def restore(self, snapshot: SnapshotMeta | None = None) -> None:
        """Load hard state, log and snapshot metadata. Required before the first `tick()`.

        `snapshot` is the durable snapshot from which the caller has loaded, or will load, its machine;
        `SnapshotMeta()` stands for a machine that has applied nothing. The log may begin before it. A log that ends
        before it, or conflicts with it, starts again there: a crash came between the snapshot and the log (figure 13).
        Without `snapshot` the log's snapshot point counts as applied. The first later commit delivers every
        committed entry after that.

        The members come from the log, else from the snapshot or the storage's snapshot point, else from the
        configuration. Raises StorageError, also if entries are missing between the snapshot and the log;
        InvariantError; ValueError if the members at the snapshot point are not stored anywhere; InvalidState for a
        second call.
        """
        if self._restored:
            raise InvalidState("this node is restored already: make a new RaftNode to start again")
        if snapshot is not None and not isinstance(snapshot, SnapshotMeta):
            raise InvalidArgumentType(f"restore() takes a SnapshotMeta, not {type(snapshot).__name__}")
        if self._failure is not None:
            raise self._stopped()
        try:
            recovery.restore(self._state, self._storage, snapshot)
        except BaseException as error:
            self._note_failure(error)
            raise
        self._restored = True

    def _note_failure(self, error: BaseException) -> None:
        """Stop the node, unless `error` is a refusal that changed nothing."""
        refusal = isinstance(error, RaftError | InvalidArgument | InvalidArgumentType)
        if not refusal or isinstance(error, StorageError | InvariantError):
            self._failure = error

    def _stopped(self) -> ShutdownError:
        failure = self._failure
        error = ShutdownError(f"node {self.node_id} has stopped: {type(failure).__name__}: {failure}")
        error.__cause__ = failure
        return error

    @_guarded
    def tick(self) -> None:
        """Drive the election timeout and the heartbeats from the clock.

        Calling it late, or more often than needed, is safe. Learners and observers never campaign.
        """
        state = self._state
        if state.role is _LEADER:
            self._count_stable(state)
            now = state.clock()
            if now >= state.heartbeat_deadline:
                replication.tick(state, now)
            return
        election.tick(state, state.clock())

    @_guarded
    def on_leader_unreachable(self) -> None:
        """Note that the connection to the leader broke, so its process may be gone, and campaign soon.

        This starts with a pre-vote, which voters that are in contact with the leader refuse. It has no effect without
        `pre_vote`, nor with `lease_reads`, because a lease relies on voters that do not campaign early.
        """
        state = self._state
        config = state.config
        if state.role is not NodeRole.FOLLOWER or not config.pre_vote or config.lease_reads or not state.may_campaign:
            return
        now = state.clock()
        state.leader_contact = None
        spread = config.election_timeout_max - config.election_timeout_min
        soon = now + (state.rng.uniform(0.0, 0.25 * spread) + config.heartbeat_interval / 2) / config.priority
        state.election_deadline = min(state.election_deadline, soon)

    @_after_restore
    def next_deadline(self) -> float:
        """Return the time of the clock by which `tick()` has to be called."""
        state = self._state
        if state.role is _LEADER:
            news = state.commit_broadcast_deadline
            return state.heartbeat_deadline if news is None else min(state.heartbeat_deadline, news)
        if state.role in (NodeRole.CANDIDATE, NodeRole.PRE_CANDIDATE):
            return min(state.election_deadline, state.heartbeat_deadline)
        return state.election_deadline

    @_guarded
    def election_deadline_override(self, t: float) -> None:
        """Set the time of the clock at which this node campaigns without a leader. Raises ValueError for NaN."""
        self._state.election_deadline = check_seconds("the election deadline", t)

    @_guarded
    def take_ready(self) -> Ready:
        """Return what this node wants done since the last call: see `Ready` for the order to do it in."""
        state, ready = self._state, Ready()
        if state.role is _LEADER:
            self._count_stable(state)
        if state.role is _LEADER:
            replication.collect(state, ready)
        if state.log.changed:
            ready.log_changed, state.log.changed = True, False
        if state.outgoing_votes:
            ready.vote_requests, state.outgoing_votes = state.outgoing_votes, []
        if state.outgoing_pre_votes:
            ready.pre_vote_requests, state.outgoing_pre_votes = state.outgoing_pre_votes, []
        if state.outgoing_timeout_now:
            ready.timeout_now, state.outgoing_timeout_now = state.outgoing_timeout_now, []
        if state.reads_ready:
            ready.reads, state.reads_ready = state.reads_ready, []
        if state.reads_aborted:
            ready.reads_aborted, state.reads_aborted = state.reads_aborted, []
        if state.transfer_outcomes:
            ready.transfers, state.transfer_outcomes = state.transfer_outcomes, []
        if state.promotion_outcomes:
            ready.promotions, state.promotion_outcomes = state.promotion_outcomes, []
        last = state.last_hard_state
        if state.current_term != last.current_term or state.voted_for != last.voted_for:
            state.last_hard_state = ready.hard_state = HardState(state.current_term, state.voted_for)
        if state.delivered_index < state.commit_index:
            self._deliver(ready)
        if state.was_member and state.removed is not state.removal_reported:
            ready.removed = state.removal_reported = state.removed
        return ready

    @_guarded
    def advance_applied(self, index: int) -> None:
        """Record that the caller's machine has applied every entry up to `index`.

        Raises ValueError above the commit index, or below what was applied before.
        """
        state = self._state
        check_index("index", index)
        if not state.applied_index <= index <= state.commit_index:
            raise InvalidArgument(
                f"applied index {index}: it must be between what is applied ({state.applied_index}) and committed "
                f"({state.commit_index})"
            )
        state.applied_index = index
        state.log.evict(index)

    @_guarded
    def on_storage_progress(self) -> None:
        """Note that more of the log is durable, which may let a leader commit.

        Optional, and saves time: `take_ready()` and `tick()` ask the storage themselves.
        """
        commit.update_commit(self._state)

    @_guarded
    def compact(self, index: int) -> None:
        """Discard the log up to `index`, after the machine's snapshot. Raises ValueError if it is not applied."""
        snapshot_transfer.compact(self._state, check_index("index", index))

    # A client's requests.

    @_guarded
    def propose(self, data: bytes | bytearray | memoryview, kind: EntryKind = EntryKind.COMMAND) -> int:
        """Append a command and return its log index. It is committed when a Ready delivers that index in this term.

        `data`: bytes, bytearray or memoryview; the last two are copied. Raises TypeError for anything else;
        NotLeader, whose hint is never this node; ProposalRejected during a leadership transfer.
        """
        state, data = self._state, command_bytes(data)
        if type(kind) is not EntryKind:
            raise InvalidArgumentType(f"kind is {kind!r}; it must be an EntryKind")
        self._check_leader(state)
        if kind is EntryKind.CONFIGURATION:
            raise ProposalRejected("members are changed with propose_conf_change()")
        index = state.log.last_index + 1
        replication.append(state, [LogEntry(state.current_term, index, data, kind)])
        return index

    @_guarded
    def propose_batch(self, batch: Sequence[bytes | bytearray | memoryview]) -> int:
        """Append several commands at once, all or none, and return the first one's index.

        Raises as `propose()` does; TypeError if the batch is not a sequence of commands; ValueError if it is empty,
        because then there is no first index.
        """
        if isinstance(batch, bytes | bytearray | memoryview | str) or not isinstance(batch, Sequence):
            raise InvalidArgumentType(f"a batch is a sequence of commands, not {type(batch).__name__}")
        state, commands = self._state, [command_bytes(data) for data in batch]
        if not commands:
            raise InvalidArgument("a batch holds at least one command")
        self._check_leader(state)
        term, first = state.current_term, state.log.last_index + 1
        replication.append(state, [LogEntry(term, index, data) for index, data in enumerate(commands, first)])
        return first

    @_guarded
    def propose_conf_change(self, change: ConfChange | Sequence[ConfChange]) -> int:
        """Append the configuration after one or several changes and return its index.

        It is in force once appended, until it is truncated; only one may be uncommitted at a time. If more than one
        vote changes it is a joint configuration (§6), which the leader leaves by itself when it is committed. Raises
        NotLeader; ProposalRejected with the reason; TypeError for anything but a ConfChange.
        """
        changes = list(change) if isinstance(change, Sequence) else [change]
        for one in changes:
            check_change(one)
        return membership_changes.propose(self._state, changes)

    @_guarded
    def read_index(self) -> int:
        """Open a linearizable read barrier and return its id; a later Ready names it in `reads` or `reads_aborted`.

        Raises NotLeader.
        """
        return reads.request(self._state)

    @_guarded
    def probe_members(self) -> int:
        """Begin a round of messages to every member, and return its number.

        The members whose `PeerStatus.acked_round` reaches it have answered after this call. Raises NotLeader.
        """
        return reads.probe(self._state)

    @_guarded
    def transfer_leadership(self, peer: NodeId) -> None:
        """Hand over to the voter `peer`, within one `election_timeout_max`; `Ready.transfers` gives the outcome.

        Raises NotLeader, ProposalRejected.
        """
        transfer.begin(self._state, check_node_id("peer", peer))

    @_guarded
    def cancel_transfer(self) -> bool:
        """Cancel the transfer under way and accept proposals again. Return whether there was one.

        A target that was asked to campaign already may still win its election. `Ready.transfers` gives the outcome.
        """
        return transfer.cancel(self._state)

    @_guarded
    def promote_when_caught_up(self, peer: NodeId) -> None:
        """Promote the learner `peer` as soon as it has caught up; `Ready.promotions` gives the outcome.

        Given up, with the reason, when it makes no progress for `catch_up_timeout`. Raises NotLeader, ProposalRejected.
        """
        promotion.begin(self._state, check_node_id("peer", peer))

    # Messages from peers.

    def step(self, peer: NodeId, message: Message) -> Response | None:
        """Handle any message from `peer`; return the response to it, or None if there is none.

        Send the response once what the next Ready asks to save is durable. Raises as the handler of the message does;
        TypeError for anything that is not a message.
        """
        match message:
            case AppendEntriesRequest():
                return self.handle_append_entries(message)
            case AppendEntriesResponse():
                self.handle_append_entries_response(peer, message)
            case RequestVoteRequest():
                return self.handle_request_vote(message)
            case RequestVoteResponse():
                self.handle_request_vote_response(peer, message)
            case PreVoteRequest():
                return self.handle_pre_vote(message)
            case PreVoteResponse():
                self.handle_pre_vote_response(peer, message)
            case InstallSnapshotRequest():
                return self.handle_install_snapshot(message)
            case InstallSnapshotResponse():
                self.handle_install_snapshot_response(peer, message)
            case TimeoutNowRequest():
                self.handle_timeout_now(message)
            case _:
                raise TypeError(f"{type(message).__name__} is not a message between Raft nodes")
        return None

    @_guarded
    def handle_append_entries(self, request: AppendEntriesRequest) -> AppendEntriesResponse:
        """Accept or refuse a leader's entries (§5.3).

        Raises GroupNotFound; InvalidRequest for a malformed request, which changes nothing; InvariantError if a
        committed entry would be replaced.
        """
        _check_kind(request, AppendEntriesRequest)
        self._check_group(request.group_id)
        return replication.handle_append_entries(self._state, request)

    @_guarded
    def handle_append_entries_response(self, peer: NodeId, response: AppendEntriesResponse) -> None:
        """Record a member's answer. Only that of a voter may advance the commit index.

        An answer from another group, a node that is not a member, or an older term has no effect.
        """
        _check_kind(response, AppendEntriesResponse)
        if self._is_stray(peer, response.group_id):
            return
        replication.handle_append_entries_response(self._state, peer, response)

    @_guarded
    def handle_request_vote(self, request: RequestVoteRequest) -> RequestVoteResponse:
        """Vote or refuse (§5.2, §5.4.1). Raises GroupNotFound, InvalidRequest.

        An observer never grants. A learner grants only if the request says that the candidate's log gives it a vote
        (`to_voter`): it was promoted, and only this candidate can send it that entry. A configuration is in force
        from the moment it is in a log (thesis 4.1), and its majority may need this vote. That departs from "learners
        never vote"; `RaftConfig.learners_grant_votes=False` is the literal rule.
        """
        _check_kind(request, RequestVoteRequest)
        self._check_group(request.group_id)
        self._check_candidate(request)
        return election.handle_request_vote(self._state, request)

    @_guarded
    def handle_request_vote_response(self, peer: NodeId, response: RequestVoteResponse) -> None:
        """Count a vote of the current term, once for each voter.

        An answer from another group, a node that is not a member, or an older term has no effect.
        """
        _check_kind(response, RequestVoteResponse)
        if self._is_stray(peer, response.group_id):
            return
        election.handle_request_vote_response(self._state, peer, response)

    @_guarded
    def handle_pre_vote(self, request: PreVoteRequest) -> PreVoteResponse:
        """Say whether a vote would be granted; changes nothing (thesis 9.6). Raises GroupNotFound, InvalidRequest.

        Observers and learners answer as they would to a vote: see `handle_request_vote()`.
        """
        _check_kind(request, PreVoteRequest)
        self._check_group(request.group_id)
        self._check_candidate(request)
        return election.handle_pre_vote(self._state, request)

    @_guarded
    def handle_pre_vote_response(self, peer: NodeId, response: PreVoteResponse) -> None:
        """Count a pre-vote; a majority starts the election.

        An answer from another group, a node that is not a member, or to the question of another term has no effect.
        """
        _check_kind(response, PreVoteResponse)
        if self._is_stray(peer, response.group_id):
            return
        election.handle_pre_vote_response(self._state, peer, response)

    @_guarded
    def snapshot_chunk(
        self, snapshot: SnapshotMeta, offset: int, data: bytes, done: bool, checksum: int = 0
    ) -> InstallSnapshotRequest:
        """Return a chunk of `snapshot` as the message to send to a member that `Ready.snapshots_needed` names.

        `offset` is where `data` begins, in bytes: 0, and then what `InstallSnapshotResponse.next_offset` asks for.
        `done`: this is the last chunk. `checksum` stands for the whole snapshot, such as `StoredSnapshot.checksum`;
        with it another leader can go on where this one stopped. Raises NotLeader, because a node that has stopped
        leading must stop sending; ValueError for a snapshot without its members.
        """
        return snapshot_transfer.chunk(self._state, snapshot, offset, data, done, checksum)

    @_guarded
    def wants_chunk(self, request: InstallSnapshotRequest) -> bool:
        """Return whether to store this chunk before `handle_install_snapshot()`: it is the next one in its snapshot.

        Changes nothing. Raises GroupNotFound, InvalidRequest.
        """
        _check_kind(request, InstallSnapshotRequest)
        self._check_group(request.group_id)
        return snapshot_transfer.wants_chunk(self._state, request)

    @_guarded
    def handle_install_snapshot(self, request: InstallSnapshotRequest) -> InstallSnapshotResponse:
        """Follow a snapshot's chunks and put it in force with the last one (figure 13).

        The caller stores each chunk that `wants_chunk()` accepts before this call, and makes the whole snapshot durable
        before it passes in the chunk that is `done`. It loads its machine from the snapshot if and only if the
        response says `installed`. Raises GroupNotFound; InvalidRequest, also if the snapshot does not carry its
        members and this node knows only those of an earlier entry.
        """
        _check_kind(request, InstallSnapshotRequest)
        self._check_group(request.group_id)
        return snapshot_transfer.handle_install(self._state, request)

    @_guarded
    def handle_install_snapshot_response(self, peer: NodeId, response: InstallSnapshotResponse) -> None:
        """Record a member's answer to a snapshot chunk.

        An answer from another group, a node that is not a member, or an older term has no effect.
        """
        _check_kind(response, InstallSnapshotResponse)
        if self._is_stray(peer, response.group_id):
            return
        snapshot_transfer.handle_install_response(self._state, peer, response)

    @_guarded
    def report_unreachable(self, peer: NodeId) -> None:
        """Note that the connection to `peer` broke, so what is in flight to it may be lost.

        A leader then sends it one request at a time until it answers. Optional: otherwise the heartbeats find out.
        """
        progress = self._state.progress.get(check_node_id("peer", peer))
        if progress is not None:
            progress.unreachable()

    @_guarded
    def report_snapshot_failed(self, peer: NodeId) -> None:
        """Note that the snapshot for `peer` was not delivered. `Ready` names it again after a heartbeat interval."""
        state = self._state
        progress = state.progress.get(check_node_id("peer", peer))
        if progress is not None:
            progress.snapshot_failed(state.clock() + state.config.heartbeat_interval)

    @property
    def snapshot_arriving(self) -> bool:
        """Whether a part of a snapshot has arrived, and the rest is still needed."""
        return self._state.incoming_snapshot is not None

    @_after_restore
    def abort_incoming_snapshot(self) -> None:
        """Forget the chunks that arrived, because the caller lost them. The transfer begins again at offset 0."""
        self._state.incoming_snapshot = None

    @_guarded
    def handle_timeout_now(self, request: TimeoutNowRequest) -> None:
        """Campaign at once, because the leader asks for it (thesis 3.10). Raises GroupNotFound, InvalidRequest."""
        _check_kind(request, TimeoutNowRequest)
        self._check_group(request.group_id)
        election.handle_timeout_now(self._state, request)

    # The membership primitives: they change this node's view at once, and are not replicated. An invalid change has
    # no effect. The commit index is evaluated again after each.

    @_guarded
    def add_peer(self, peer: NodeId) -> None:
        """Add `peer` as a voter. No effect if it is a member already, even as a learner."""
        check_node_id("peer", peer)
        if not self._state.configuration.holds(peer):
            self._change(ConfChange.add_voter(peer))

    @_guarded
    def remove_peer(self, peer: NodeId) -> None:
        """Remove the voter `peer`. No effect on this node itself, or on a node that is not a voter."""
        check_node_id("peer", peer)
        if peer in self.peers:
            self._change(ConfChange.remove(peer))

    @_guarded
    def add_learner(self, peer: NodeId) -> None:
        """Add `peer` as a learner. No effect if it is a member already."""
        check_node_id("peer", peer)
        if not self._state.configuration.holds(peer):
            self._change(ConfChange.add_learner(peer))

    @_guarded
    def remove_learner(self, peer: NodeId) -> None:
        """Remove the learner `peer`. No effect on any other node."""
        check_node_id("peer", peer)
        if peer in self.learners:
            self._change(ConfChange.remove(peer))

    @_guarded
    def add_observer(self, peer: NodeId) -> None:
        """Add `peer` as an observer. No effect if it is a member already."""
        check_node_id("peer", peer)
        if not self._state.configuration.holds(peer):
            self._change(ConfChange.add_observer(peer))

    @_guarded
    def remove_observer(self, peer: NodeId) -> None:
        """Remove the observer `peer`. No effect on any other node."""
        check_node_id("peer", peer)
        if peer in self.observers:
            self._change(ConfChange.remove(peer))

    @_guarded
    def promote_learner(self, peer: NodeId) -> bool:
        """Make the learner `peer` a voter. Return whether it was a learner."""
        check_node_id("peer", peer)
        if peer not in self.learners:
            return False
        self._change(ConfChange.promote(peer))
        return True

    @_guarded
    def promote_self_to_voter(self) -> None:
        """Make this node a voter. No effect unless it is a learner."""
        if self.node_id in self._state.configuration.learners:
            self._change(ConfChange.promote(self.node_id))

    def _change(self, change: ConfChange) -> None:
        membership_changes.replace(self._state, apply_change(self._state.configuration, change))

    def _without_self(self, nodes: tuple[NodeId, ...]) -> tuple[NodeId, ...]:
        me = self.node_id
        return tuple(node for node in nodes if node != me)

    def _deliver(self, ready: Ready) -> None:
        state = self._state
        ready.committed_entries = state.log.entries(
            state.delivered_index + 1, state.commit_index, state.config.ready_bytes_max
        )
        state.delivered_index = ready.committed_entries[-1].index

    def _check_leader(self, state: RaftState) -> None:
        if state.role is not _LEADER:
            raise NotLeader(state.leader_id)
        if state.transfer_target is not None:
            raise ProposalRejected(f"leadership is being transferred to node {state.transfer_target}", temporary=True)

    def _check_group(self, group_id: int) -> None:
        if group_id != self._state.config.group_id:
            raise GroupNotFound(group_id)

    def _is_stray(self, peer: NodeId, group_id: int) -> bool:
        """Whether a response is from another group or no member. Raises InvalidRequest if from this node itself."""
        state = self._state
        if peer == state.node_id:
            raise InvalidRequest(f"a response that claims to come from this node ({peer}) itself")
        return group_id != state.config.group_id or (peer not in state.progress and not state.configuration.holds(peer))

    def _count_stable(self, state: RaftState) -> None:
        """Commit what became durable since the last check, even if the caller did not report it."""
        if state.log.stable_index != state.stable_counted:
            commit.update_commit(state)

    def _check_candidate(self, request: RequestVoteRequest | PreVoteRequest) -> None:
        if request.candidate_id == self._state.node_id:
            raise InvalidRequest(f"{type(request).__name__} of term {request.term} from this node itself")
        if request.term < 0 or request.last_log_index < 0 or request.last_log_term < 0:
            raise InvalidRequest(f"{type(request).__name__} with a negative term or index")
