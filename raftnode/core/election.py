"""Elections: timeouts, votes and pre-votes (§5.2, §5.4.1, thesis 4.2.3 and 9.6)."""

from raftnode.core import commit
from raftnode.core.errors import InvalidRequest
from raftnode.core.messages import (
    PreVoteRequest,
    PreVoteResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    TimeoutNowRequest,
)
from raftnode.core.quorum import VoteResult, joint_vote_result
from raftnode.core.roles import (
    become_candidate,
    become_follower,
    become_leader,
    become_pre_candidate,
)
from raftnode.core.state import RaftState
from raftnode.core.types import EntryKind, LogEntry, NodeId, NodeRole

_A = {NodeRole.LEARNER: "a learner", NodeRole.OBSERVER: "an observer"}


def tick(state: RaftState, now: float) -> None:
    """Start a campaign when the election timeout has passed; during one, ask the silent voters again."""
    if now >= state.election_deadline:
        if state.may_campaign:
            campaign(state)
        else:
            state.leader_id = None
            state.postpone_election(now)
    elif state.role is not NodeRole.FOLLOWER and now >= state.heartbeat_deadline:
        state.heartbeat_deadline = now + state.config.heartbeat_interval
        _ask(state)


def campaign(state: RaftState, *, transfer: bool = False) -> None:
    """Try to become leader: with a pre-vote first, unless a leader asked for it."""
    if state.config.pre_vote and not transfer:
        become_pre_candidate(state)
    else:
        become_candidate(state, by_transfer=transfer)
    _ask(state)
    _count_ballot(state)


def handle_request_vote(state: RaftState, request: RequestVoteRequest) -> RequestVoteResponse:
    """Vote, or refuse with the reason (figure 2, RequestVote)."""
    if request.term < state.current_term:
        return _refuse(state, f"term {request.term} is past")
    if request.term > state.current_term:
        if not request.leadership_transfer and state.config.check_quorum and _follows_live_leader(state):
            # A server that was removed, or was cut off, must not depose a leader that works (thesis 4.2.3).
            return _refuse(state, f"node {state.leader_id} leads and is alive")
        become_follower(state, request.term, None)
    if not _may_vote(state, request):
        return _refuse(state, f"this node is {_A[state.role]}")
    if state.voted_for not in (None, request.candidate_id):
        return _refuse(state, f"voted for node {state.voted_for} in term {state.current_term}")
    if state.voted_for is None and state.leader_id is not None:
        return _refuse(state, f"node {state.leader_id} leads term {state.current_term}")
    if not state.log.is_up_to_date(request.last_log_index, request.last_log_term):
        return _refuse(state, _log_reason(state, request))
    state.voted_for = request.candidate_id
    state.postpone_election(state.clock())
    return RequestVoteResponse(state.current_term, True, state.config.group_id)


def handle_request_vote_response(state: RaftState, peer: NodeId, response: RequestVoteResponse) -> None:
    """Count a vote: only for the current term, only once for each voter."""
    if response.term > state.current_term:
        become_follower(state, response.term, None)
    elif state.role is not NodeRole.CANDIDATE:
        return
    elif response.term == state.current_term:
        _count(state, peer, response.vote_granted, response.reason)
    elif not response.vote_granted:
        # A voter that protects its leader keeps its own term: no vote, but the operator wants to know why.
        state.refusals[peer] = response.reason


def handle_pre_vote(state: RaftState, request: PreVoteRequest) -> PreVoteResponse:
    """Say whether a vote would be granted. Changes nothing (thesis 9.6)."""
    reason = ""
    if request.term <= state.current_term:
        reason = f"term {request.term} is not above {state.current_term}"
    elif state.config.check_quorum and _follows_live_leader(state):
        # Without check-quorum a leader that lost its majority never steps down, and a voter that still follows it
        # may be the one whose pre-vote the others need.
        reason = f"node {state.leader_id} leads and is alive"
    elif not _may_vote(state, request):
        reason = f"this node is {_A[state.role]}"
    elif not state.log.is_up_to_date(request.last_log_index, request.last_log_term):
        reason = _log_reason(state, request)
    return PreVoteResponse(state.current_term, not reason, state.config.group_id, request.term, reason)


def handle_pre_vote_response(state: RaftState, peer: NodeId, response: PreVoteResponse) -> None:
    """Count a pre-vote; a majority starts the real election."""
    if response.term > state.current_term and not response.vote_granted:
        become_follower(state, response.term, None)
    elif state.role is NodeRole.PRE_CANDIDATE and response.requested_term in (0, state.current_term + 1):
        _count(state, peer, response.vote_granted, response.reason)


def handle_timeout_now(state: RaftState, request: TimeoutNowRequest) -> None:
    """Campaign at once, because the leader of this term asked for it (thesis 3.10)."""
    if request.term < 0 or request.leader_id == state.node_id:
        raise InvalidRequest(f"TimeoutNow of term {request.term} from node {request.leader_id}")
    if request.term < state.current_term:
        return
    if request.term == state.current_term and state.role is NodeRole.LEADER:
        return
    if request.term > state.current_term:
        become_follower(state, request.term, request.leader_id)
    if state.may_campaign:
        campaign(state, transfer=True)


def count_again(state: RaftState) -> None:
    """Ask and count again if the voters changed during a campaign."""
    if state.role in (NodeRole.CANDIDATE, NodeRole.PRE_CANDIDATE):
        _ask(state)
        _count_ballot(state)


def _may_vote(state: RaftState, request: RequestVoteRequest | PreVoteRequest) -> bool:
    """Whether a node of this kind may grant a vote: see `RaftNode.handle_request_vote()`."""
    if state.role is NodeRole.LEARNER:
        return request.to_voter and state.config.learners_grant_votes
    return state.role is not NodeRole.OBSERVER


def _ask(state: RaftState) -> None:
    """Ask the voters that have not answered yet, for what this node's role needs."""
    if state.role is NodeRole.CANDIDATE:
        request_votes(state)
    elif state.role is NodeRole.PRE_CANDIDATE:
        request_pre_votes(state)


def request_votes(state: RaftState) -> None:
    """Ask for votes in the current term."""
    request = RequestVoteRequest(
        state.current_term,
        state.node_id,
        state.log.last_index,
        state.log.last_term,
        state.config.group_id,
        state.transfer_campaign,
        _members_changed(state),
    )
    state.outgoing_votes = [(peer, request) for peer in _unanswered(state)]


def request_pre_votes(state: RaftState) -> None:
    """Ask for pre-votes for the next term."""
    request = PreVoteRequest(
        state.current_term + 1,
        state.node_id,
        state.log.last_index,
        state.log.last_term,
        state.config.group_id,
        _members_changed(state),
    )
    state.outgoing_pre_votes = [(peer, request) for peer in _unanswered(state)]


def _members_changed(state: RaftState) -> bool:
    """Whether the members in force differ from those of the start, which a voter may not know of yet."""
    return state.configurations[-1][0] > 0 or state.members_replaced


def _unanswered(state: RaftState) -> list[NodeId]:
    return [peer for peer in state.configuration.voter_union() if peer not in state.ballot]


def _count(state: RaftState, peer: NodeId, granted: bool, reason: str) -> None:
    if peer not in state.configuration.voter_union():
        return
    # A voter's first answer counts: duplicated messages, in any order, must not turn a minority into a majority.
    state.ballot.setdefault(peer, granted)
    if not granted:
        state.refusals[peer] = reason
    _count_ballot(state)


def _count_ballot(state: RaftState) -> None:
    match joint_vote_result(state.ballot, state.configuration):
        case VoteResult.WON if state.role is NodeRole.PRE_CANDIDATE:
            become_candidate(state)
            _ask(state)
            _count_ballot(state)
        case VoteResult.WON:
            _lead(state)
        case VoteResult.LOST:
            become_follower(state, state.current_term, None)
        case VoteResult.PENDING:
            pass


def _lead(state: RaftState) -> None:
    """Begin the term with an empty entry: older entries are committed only together with it (§5.4.2, §8)."""
    become_leader(state)
    state.log.append([LogEntry(state.current_term, state.log.last_index + 1, b"", EntryKind.NOOP)])
    commit.update_commit(state)


def _follows_live_leader(state: RaftState) -> bool:
    """Whether this node leads, or had contact with its leader within the last `election_timeout_min`."""
    if state.role is NodeRole.LEADER:
        return True
    if state.leader_contact is None:
        return False
    if state.leader_id is None and not state.config.lease_reads:
        return False
    return state.clock() - state.leader_contact < state.config.election_timeout_min


def _refuse(state: RaftState, reason: str) -> RequestVoteResponse:
    return RequestVoteResponse(state.current_term, False, state.config.group_id, reason)


def _log_reason(state: RaftState, request: RequestVoteRequest | PreVoteRequest) -> str:
    return (
        f"its log ends at index {request.last_log_index} of term {request.last_log_term}, this node's at "
        f"{state.log.last_index} of term {state.log.last_term}"
    )
