"""Automatic promotion: give a learner its vote once it has caught up, or report why not (thesis 4.2.1)."""

from raftnode.core import membership_changes
from raftnode.core.errors import NotLeader, ProposalRejected
from raftnode.core.membership import ConfChange
from raftnode.core.progress import Promotion
from raftnode.core.ready import PromotionOutcome
from raftnode.core.state import RaftState
from raftnode.core.types import NodeId, NodeRole


def begin(state: RaftState, peer: NodeId) -> None:
    """Promote the learner `peer` when it has caught up; a later Ready gives the outcome. Raises
    NotLeader, ProposalRejected."""
    if state.role is not NodeRole.LEADER:
        raise NotLeader(state.leader_id)
    if peer == state.node_id:
        raise ProposalRejected(f"node {peer} is the leader, not a learner")
    if peer not in state.configuration.learners:
        raise ProposalRejected(f"node {peer} is not a learner")
    state.promotions.setdefault(peer, Promotion(state.progress[peer].match_index, state.clock()))


def tick(state: RaftState, now: float) -> None:
    """Promote the learners that have caught up; give up on those that make no progress."""
    for peer, promotion in list(state.promotions.items()):
        configuration = state.configuration
        if peer in configuration.voters:
            if state.configurations[-1][0] <= state.commit_index:
                _end(state, peer, "")
            continue
        if peer not in configuration.learners:
            _end(state, peer, f"node {peer} is no longer a learner")
            continue
        progress = state.progress[peer]
        if progress.match_index > promotion.match_index:
            promotion.match_index, promotion.since = progress.match_index, now
        if progress.caught_up and progress.answers(now, state.config.election_timeout_max):
            _propose(state, peer)
        elif now - promotion.since >= state.config.catch_up_timeout:
            _end(
                state,
                peer,
                f"learner {peer} made no progress for {now - promotion.since:.1f} s: it has entry "
                f"{progress.match_index} of {state.log.last_index}",
            )


def _propose(state: RaftState, peer: NodeId) -> None:
    try:
        membership_changes.check_proposable(state)
    except ProposalRejected:
        # Another change is under way: the next tick tries again.
        return
    membership_changes.propose(state, [ConfChange.promote(peer)])


def _end(state: RaftState, peer: NodeId, reason: str) -> None:
    del state.promotions[peer]
    state.promotion_outcomes.append(PromotionOutcome(peer, not reason, reason))
