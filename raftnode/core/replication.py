"""Log replication: what a leader sends, what a follower accepts, and when an entry is committed (§5.3, §5.4.2)."""

from raftnode.core import commit, promotion, reads, transfer
from raftnode.core.errors import InvalidRequest, InvariantError, SerializationError
from raftnode.core.membership import Configuration, decode_configuration
from raftnode.core.messages import AppendEntriesRequest, AppendEntriesResponse
from raftnode.core.progress import Progress, ProgressState
from raftnode.core.quorum import quorum_value
from raftnode.core.ready import Ready
from raftnode.core.roles import become_follower
from raftnode.core.state import RaftState
from raftnode.core.types import EntryKind, LogEntry, NodeId, NodeRole

ROUND_TIMES_MAX = 4096

_CONFIGURATION = EntryKind.CONFIGURATION


def tick(state: RaftState, now: float) -> None:
    """Do a leader's periodic work: heartbeats, check-quorum, the transfer's deadline."""
    if now < state.heartbeat_deadline:
        return
    state.heartbeat_deadline = now + state.config.heartbeat_interval
    transfer.expire(state, now)
    if state.promotions:
        promotion.tick(state, now)
    if now - _quorum_contact(state, now) >= state.config.election_timeout_max:
        # Cut off from a majority: requests to this leader would wait in vain (thesis 6.2).
        if state.config.check_quorum:
            become_follower(state, state.current_term, None)
            return
        reads.abort(state)
    if _storage_is_stuck(state, now):
        become_follower(state, state.current_term, None)
        return
    state.round_wanted = True
    for progress in state.progress.values():
        if progress.state is ProgressState.PROBE:
            progress.probe = None


def collect(state: RaftState, ready: Ready) -> None:
    """Put into `ready` what may be sent to each member now."""
    now = state.clock()
    if state.round_wanted:
        _begin_round(state, now)
    if state.commit_broadcast_deadline is not None and now >= state.commit_broadcast_deadline:
        state.commit_broadcast_deadline = None
        for progress in state.progress.values():
            progress.must_send = progress.must_send or progress.sent_commit < state.commit_index
    for progress in state.progress.values():
        _collect_for(state, progress, now, ready)
    reads.confirm(state)


def append(state: RaftState, entries: list[LogEntry]) -> None:
    """Append a leader's own entries, and commit at once if this node alone is a quorum."""
    state.log.append(entries)
    if state.configuration.voters == (state.node_id,):
        commit.update_commit(state)


def handle_append_entries(state: RaftState, request: AppendEntriesRequest) -> AppendEntriesResponse:
    """Follow the leader and store its entries (figure 2, AppendEntries). Kept whole, as the figure is."""
    configurations = check_entries(request)
    log = state.log
    if request.term < state.current_term:
        return _refusal(state, request)
    if request.leader_id == state.node_id:
        raise InvalidRequest(f"AppendEntries of term {request.term} from this node itself")
    if state.role is NodeRole.LEADER and request.term == state.current_term:
        # A term has at most one leader: never follow a second one.
        return _refusal(state, request)
    follow(state, request.term, request.leader_id)

    prev = request.prev_log_index
    if prev < log.snapshot_index:
        # The snapshot covers that index: everything up to the commit index is known to match (§7).
        fresh = [entry for entry in request.entries if entry.index > log.snapshot_index]
        proven = max(prev + len(request.entries), state.commit_index)
    else:
        if log.term_at(prev) != request.prev_log_term:
            return _refusal(state, request)
        fresh = request.entries
        proven = prev + len(fresh)
    if fresh:
        _store(state, fresh, configurations)
    commit.advance_commit(state, min(request.leader_commit, proven))
    return AppendEntriesResponse(state.current_term, True, proven, request.round, group_id=state.config.group_id)


def handle_append_entries_response(state: RaftState, peer: NodeId, response: AppendEntriesResponse) -> None:
    """Handle a member's answer. Those of an older term, and of nodes that are not members, are ignored."""
    progress = state.progress.get(peer)
    if progress is None and not state.configuration.holds(peer):
        return
    if response.term > state.current_term:
        become_follower(state, response.term, None)
        return
    if response.term < state.current_term or progress is None:
        return
    if response.success and response.last_log_index > state.log.last_index:
        raise InvalidRequest(
            f"node {peer} acknowledges entry {response.last_log_index}; this leader's log ends at "
            f"{state.log.last_index}"
        )
    now = state.clock()
    record_answer(state, progress, response.round, now)
    if not response.success:
        progress.rejected(response.rejected_index, _next_hint(state, response))
        return
    if progress.acknowledged(response.last_log_index):
        commit.update_commit(state)
    member_caught_up(state, progress, now)


def member_caught_up(state: RaftState, progress: Progress, now: float) -> None:
    """Act on a member's match index: measure a learner's catch-up, go on with a transfer to this member."""
    if progress.peer in state.configuration.learners:
        progress.measure_catch_up(state.log.last_index, now, state.config.election_timeout_min)
    transfer.proceed(state)


def record_answer(state: RaftState, progress: Progress, round_: int, now: float) -> None:
    """Record a member's answer of the current term, to any request. It confirms the round that it names."""
    progress.last_contact = now
    progress.unanswered = False
    if state.round >= round_ > progress.acked_round:
        progress.acked_round = round_
        if state.reads:
            reads.confirm(state)


def follow(state: RaftState, term: int, leader_id: NodeId) -> None:
    """Accept the leader of `term`, which is at least the current one: end a campaign, restart the timeout."""
    if (
        term > state.current_term
        or state.leader_id != leader_id
        or state.role
        in (
            NodeRole.CANDIDATE,
            NodeRole.PRE_CANDIDATE,
        )
    ):
        become_follower(state, term, leader_id)
        transfer.note_successor(state)
    now = state.clock()
    state.leader_contact = now
    state.postpone_election(now)


def check_entries(request: AppendEntriesRequest) -> list[tuple[int, Configuration]]:
    """Return the configurations among the entries, by index.

    Raises InvalidRequest unless the entries follow `prev_log_index` without a gap, terms never fall, and every
    configuration can be read. Nothing else checks this.
    """
    if request.term < 0 or request.prev_log_index < 0 or request.prev_log_term < 0 or request.leader_commit < 0:
        raise InvalidRequest(
            f"AppendEntries with a negative term or index: {request.term=}, "
            f"{request.prev_log_index=}, {request.prev_log_term=}, {request.leader_commit=}"
        )
    entries = request.entries
    if not entries:
        return []
    first = request.prev_log_index + 1
    if [entry.index for entry in entries] != list(range(first, first + len(entries))):
        raise InvalidRequest(f"AppendEntries after {request.prev_log_index} with entries out of order")
    terms = [entry.term for entry in entries]
    if terms[0] < request.prev_log_term or terms[-1] > request.term or terms != sorted(terms):
        raise InvalidRequest(
            f"AppendEntries of term {request.term} after term {request.prev_log_term} with "
            f"entries of terms {terms[0]} to {terms[-1]}"
        )
    try:
        return [(e.index, decode_configuration(e.data)) for e in entries if e.kind is _CONFIGURATION]
    except SerializationError as error:
        raise InvalidRequest(str(error)) from error


def _store(state: RaftState, entries: list[LogEntry], configurations: list[tuple[int, Configuration]]) -> None:
    """Append what is not there yet. Only a conflict shortens the log, and never below the commit index."""
    log = state.log
    skip = 0
    if entries[0].index <= log.last_index:
        for entry in entries:
            if entry.index > log.last_index or log.term_at(entry.index) != entry.term:
                break
            skip += 1
    if skip == len(entries):
        return
    fresh = entries[skip:] if skip else entries
    first = fresh[0].index
    if first <= state.commit_index:
        raise InvariantError(
            f"node {state.leader_id} would replace entry {first} of term {log.term_at(first)}, which is committed "
            f"here (commit index {state.commit_index}), by one of term {fresh[0].term}"
        )
    if first <= log.last_index:
        log.truncate(first)
        commit.on_truncate(state, first)
    log.append(fresh)
    for index, configuration in configurations:
        if index >= first:
            commit.take_effect(state, index, configuration)


def _collect_for(state: RaftState, progress: Progress, now: float, ready: Ready) -> None:
    log, config = state.log, state.config
    if progress.state is ProgressState.SNAPSHOT:
        _ask_for_snapshot(state, progress, now, ready)
        if progress.must_send:
            # Succeeds exactly when a snapshot is in force there, so a lost acknowledgement does no harm.
            _send(state, progress, log.snapshot_index, log.snapshot_term, [], ready)
        return
    while progress.window_is_open():
        if progress.next_index <= log.snapshot_index:
            progress.become_snapshot(log.snapshot_index)
            _ask_for_snapshot(state, progress, now, ready)
            return
        probing = progress.state is ProgressState.PROBE
        # A silent member is not sent the same entries again with every heartbeat.
        waiting = progress.next_index <= log.last_index and not (probing and progress.unanswered)
        if not (waiting or progress.must_send):
            return
        entries: list[LogEntry] = []
        if waiting:
            last = min(log.last_index, progress.next_index + config.append_entries_max - 1)
            entries = log.entries(progress.next_index, last, config.append_bytes_max)
        prev = progress.next_index - 1
        _send(state, progress, prev, _known_term(state, prev), entries, ready)
        if entries or probing:
            size = sum([len(entry.data) for entry in entries])
            progress.sent(prev + len(entries), size)
        if probing or not entries:
            return
    if progress.must_send:
        # The window is full: an empty request at its end, whose refusal shows that entries were lost. With a probe
        # in flight: an empty request at the match, which only shows that this node still leads.
        prev = progress.next_index - 1 if progress.state is ProgressState.REPLICATE else progress.match_index
        _send(state, progress, prev, log.term_at(prev), [], ready)


def _ask_for_snapshot(state: RaftState, progress: Progress, now: float, ready: Ready) -> None:
    """Request a snapshot for a member, at most once per election timeout: with a request in every Ready, the caller
    would never see an empty one."""
    if now >= progress.snapshot_due:
        progress.snapshot_due = now + state.config.election_timeout_max
        ready.snapshots_needed.append(progress.peer)


def _send(
    state: RaftState, progress: Progress, prev: int, prev_term: int | None, entries: list[LogEntry], ready: Ready
) -> None:
    progress.must_send = False
    if prev_term is None:
        # The match was discarded since: the snapshot point is the nearest index whose term is known.
        prev, prev_term = state.log.snapshot_index, state.log.snapshot_term
    progress.sent_commit = state.commit_index
    ready.messages.append(
        (
            progress.peer,
            AppendEntriesRequest(
                state.current_term,
                state.node_id,
                prev,
                prev_term,
                entries,
                state.commit_index,
                state.config.group_id,
                state.round,
            ),
        )
    )


def _known_term(state: RaftState, index: int) -> int:
    term = state.log.term_at(index)
    if term is None:
        raise InvariantError(
            f"no term is known for entry {index}: the log holds {state.log.first_index} to {state.log.last_index}"
        )
    return term


def _refusal(state: RaftState, request: AppendEntriesRequest) -> AppendEntriesResponse:
    log = state.log
    hint_index, hint_term = log.last_index_with_term_at_most(
        min(request.prev_log_index, log.last_index), request.prev_log_term
    )
    return AppendEntriesResponse(
        state.current_term,
        False,
        log.last_index,
        request.round,
        request.prev_log_index,
        hint_index,
        hint_term,
        state.config.group_id,
    )


def _next_hint(state: RaftState, response: AppendEntriesResponse) -> int:
    """Return where to probe next: after this leader's last entry of a term at most the follower's hint.

    Index 0 is a valid hint: nothing in the follower's log can be used.
    """
    if not response.rejected_index:
        return min(response.last_log_index, state.log.last_index) + 1
    index, _ = state.log.last_index_with_term_at_most(response.conflict_index, response.conflict_term)
    return index + 1


def _begin_round(state: RaftState, now: float) -> None:
    state.round_wanted = False
    state.round += 1
    if state.config.lease_reads:
        state.round_times.append((state.round, now))
        if len(state.round_times) > ROUND_TIMES_MAX:
            state.round_times.popleft()
    for progress in state.progress.values():
        progress.must_send = True


def _quorum_contact(state: RaftState, now: float) -> float:
    """Return the latest time since which a majority of the voters has answered."""
    node, progress = state.node_id, state.progress

    def contact(voter: NodeId) -> float:
        if voter == node:
            return now
        return (progress[voter].last_contact or 0.0) if voter in progress else 0.0

    return quorum_value(contact, state.configuration)


def _storage_is_stuck(state: RaftState, now: float) -> bool:
    """Whether entries have waited for the disk for an election timeout: another voter should lead."""
    if state.configuration.voter_union() == (state.node_id,):
        return False
    stable = state.log.stable_index
    if stable != state.stable_seen or stable == state.log.last_index:
        state.stable_seen, state.stable_at = stable, now
    return now - state.stable_at >= state.config.election_timeout_max
