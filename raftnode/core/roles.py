"""Every change of role. Nothing else writes `state.role`."""

from raftnode.core import reads, transfer
from raftnode.core.progress import Progress
from raftnode.core.ready import PromotionOutcome
from raftnode.core.state import RaftState
from raftnode.core.types import NodeId, NodeRole


def become_follower(state: RaftState, term: int, leader_id: NodeId | None) -> None:
    """Follow `leader_id` (None: not known yet) in `term`, which is at least the current one.

    The vote is cleared only if the term grows: within a term a node votes once (§5.2). A node without a
    vote becomes the learner or observer that the configuration makes it.
    """
    now = state.clock()
    if term > state.current_term:
        state.current_term = term
        state.voted_for = None
    if state.role is NodeRole.LEADER or state.election_deadline <= now:
        # Otherwise the timeout goes on: a candidate that cannot win must not keep another from trying (§5.2).
        state.postpone_election(now)
    _leave_role(state)
    state.leader_id = leader_id
    state.role = _passive_role(state)


def become_pre_candidate(state: RaftState) -> None:
    """Ask whether an election could be won, without changing the term (thesis 9.6)."""
    _leave_role(state)
    state.role = NodeRole.PRE_CANDIDATE
    state.leader_id = None
    state.ballot = {state.node_id: True}
    state.refusals = {}
    _start_timers(state)


def become_candidate(state: RaftState, *, by_transfer: bool = False) -> None:
    """Stand for election in the next term (§5.2). `by_transfer`: a leader asked for it (thesis 3.10)."""
    _leave_role(state)
    state.role = NodeRole.CANDIDATE
    state.leader_id = None
    state.current_term += 1
    state.voted_for = state.node_id
    state.ballot = {state.node_id: True}
    state.refusals = {}
    state.transfer_campaign = by_transfer
    _start_timers(state)


def become_leader(state: RaftState) -> None:
    """Lead the current term, with nothing known of the others' logs yet (figure 2)."""
    now = state.clock()
    _leave_role(state)
    state.role = NodeRole.LEADER
    state.leader_id = state.node_id
    transfer.note_successor(state)
    state.term_start_index = state.log.last_index + 1
    state.progress = {}
    state.round = 0
    state.round_wanted = True
    state.round_times.clear()
    state.lease_blocked = False
    state.stable_seen, state.stable_at = state.log.stable_index, now
    state.heartbeat_deadline = now + state.config.heartbeat_interval
    sync_progress(state)
    # Every voter has the benefit of the doubt for one election timeout: check-quorum counts from here.
    for progress in state.progress.values():
        progress.last_contact = now


def sync_progress(state: RaftState) -> None:
    """Update a leader's progress table to the members in force; members that stay keep theirs."""
    configuration = state.configuration
    members = set(configuration.members()) - {state.node_id}
    for gone in state.progress.keys() - members:
        del state.progress[gone]
    now, config = state.clock(), state.config
    for peer in sorted(members):
        observer = peer in configuration.observers
        messages = config.observer_inflight_messages_max if observer else config.inflight_messages_max
        size = config.observer_inflight_bytes_max if observer else config.inflight_bytes_max
        progress = state.progress.get(peer)
        if progress is None:
            progress = Progress(peer, state.log.last_index + 1, now, messages, size)
            # As after an election: a new voter does not count as silent from the start.
            progress.last_contact = now
            state.progress[peer] = progress
        progress.inflight_messages_max, progress.inflight_bytes_max = messages, size
    if state.transfer_target is not None and state.transfer_target not in configuration.voters:
        transfer.end_transfer(state, f"node {state.transfer_target} is no longer a voter")


def settle_passive_role(state: RaftState) -> None:
    """Adapt the role of a node that does not lead to a changed configuration; without a vote, a campaign ends."""
    if state.role is NodeRole.LEADER:
        return
    if state.role in (NodeRole.PRE_CANDIDATE, NodeRole.CANDIDATE):
        if not state.has_vote:
            become_follower(state, state.current_term, None)
        return
    before, state.role = state.role, _passive_role(state)
    if before is not NodeRole.FOLLOWER and state.role is NodeRole.FOLLOWER:
        state.postpone_election(state.clock())


def _start_timers(state: RaftState) -> None:
    now = state.clock()
    state.postpone_election(now)
    state.heartbeat_deadline = now + state.config.heartbeat_interval


def _leave_role(state: RaftState) -> None:
    """Clear the state of the role that ends, and abort the reads that wait for confirmation."""
    state.progress = {}
    state.ballot = {}
    state.outgoing_votes = []
    state.outgoing_pre_votes = []
    state.transfer_campaign = False
    state.round_wanted = False
    state.commit_broadcast_deadline = None
    if state.transfer_target is not None:
        # Whether the target took over shows when the next leader is known.
        state.transfer_awaited, state.transfer_target, state.transfer_sent = state.transfer_target, None, False
    for peer in state.promotions:
        state.promotion_outcomes.append(PromotionOutcome(peer, False, "this node stopped leading"))
    state.promotions.clear()
    reads.abort(state)
    if state.role is NodeRole.LEADER:
        state.leader_id = None


def _passive_role(state: RaftState) -> NodeRole:
    configuration, node = state.configuration, state.node_id
    if state.has_vote:
        return NodeRole.FOLLOWER
    if node in configuration.learners:
        return NodeRole.LEARNER
    return NodeRole.OBSERVER if node in configuration.observers else NodeRole.FOLLOWER
