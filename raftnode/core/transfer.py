"""Leadership transfer: bring the target up to date, then ask it to campaign at once (thesis 3.10)."""

from raftnode.core.errors import NotLeader, ProposalRejected
from raftnode.core.messages import TimeoutNowRequest
from raftnode.core.ready import TransferOutcome
from raftnode.core.state import RaftState
from raftnode.core.types import NodeId, NodeRole


def begin(state: RaftState, peer: NodeId) -> None:
    """Start handing over to the voter `peer`. Proposals are refused until it leads or the deadline passes.

    The deadline is one `election_timeout_max`. Asking again for the same target changes nothing. Raises
    NotLeader, and ProposalRejected if `peer` cannot lead.
    """
    if state.role is not NodeRole.LEADER:
        raise NotLeader(state.leader_id)
    if peer == state.node_id:
        raise ProposalRejected(f"node {peer} leads already")
    if peer not in state.configuration.voters:
        raise ProposalRejected(f"node {peer} is not a voter, so it cannot lead")
    if state.transfer_target == peer:
        return
    end_transfer(state, f"a transfer to node {peer} was requested instead")
    state.transfer_target = peer
    state.transfer_sent = False
    state.transfer_deadline = state.clock() + state.config.election_timeout_max
    proceed(state)


def proceed(state: RaftState) -> None:
    """Ask the target to campaign as soon as its log is as long as this leader's."""
    target = state.transfer_target
    if target is None or state.transfer_sent:
        return
    progress = state.progress.get(target)
    if progress is not None and progress.match_index == state.log.last_index:
        _send(state, target)
        state.transfer_sent = True


def expire(state: RaftState, now: float) -> None:
    """Give up at the deadline: this node goes on leading and takes proposals again."""
    if state.transfer_target is not None and now >= state.transfer_deadline:
        end_transfer(state, f"node {state.transfer_target} did not take over in {state.config.election_timeout_max} s")


def end_transfer(state: RaftState, reason: str) -> None:
    """Stop waiting for another node to take over, and report the reason."""
    if state.transfer_target is not None:
        state.transfer_outcomes.append(TransferOutcome(state.transfer_target, False, reason))
    state.transfer_target = None
    state.transfer_sent = False


def cancel(state: RaftState) -> bool:
    """Stop the transfer under way; return whether there was one. Raises NotLeader."""
    if state.role is not NodeRole.LEADER:
        raise NotLeader(state.leader_id)
    if state.transfer_target is None:
        return False
    end_transfer(state, "the transfer was cancelled")
    return True


def note_successor(state: RaftState) -> None:
    """Report how the transfer that this node began as leader ended, now that the next leader is known."""
    target, state.transfer_awaited = state.transfer_awaited, None
    if target is not None:
        done = state.leader_id == target
        reason = "" if done else f"node {state.leader_id} leads term {state.current_term} instead"
        state.transfer_outcomes.append(TransferOutcome(target, done, reason))


def name_successor(state: RaftState) -> None:
    """Ask the most up-to-date voter to campaign, because this leader steps down."""
    candidates = [p for p in state.progress.values() if p.peer in state.configuration.voters]
    if candidates:
        _send(state, max(candidates, key=lambda p: (p.match_index, -p.peer)).peer)


def _send(state: RaftState, target: NodeId) -> None:
    # The target's campaign bypasses the rule that protects a live leader, so no lease is valid from here on.
    state.lease_blocked = True
    state.outgoing_timeout_now.append(
        (target, TimeoutNowRequest(state.current_term, state.node_id, state.config.group_id))
    )
