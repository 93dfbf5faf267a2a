"""Membership changes: when one may be proposed, and how it is appended (thesis chapter 4)."""

from collections.abc import Sequence

from raftnode.core import commit, election
from raftnode.core.errors import NotLeader, ProposalRejected
from raftnode.core.membership import ConfChange, Configuration, apply_changes
from raftnode.core.state import RaftState
from raftnode.core.types import NodeRole


def propose(state: RaftState, changes: Sequence[ConfChange]) -> int:
    """Append the configuration after `changes` and return its index. It is in force at once.

    Raises NotLeader; ProposalRejected while another change is uncommitted, or before an entry of this term is
    committed (Ongaro 2015: otherwise two majorities need not overlap), or if a change is invalid.
    """
    check_proposable(state)
    return commit.append_configuration(state, apply_changes(state.configuration, changes))


def check_proposable(state: RaftState) -> None:
    """Raise NotLeader or ProposalRejected if no membership change may be proposed now."""
    if state.role is not NodeRole.LEADER:
        raise NotLeader(state.leader_id)
    if state.transfer_target is not None:
        raise ProposalRejected(f"leadership is being transferred to node {state.transfer_target}", temporary=True)
    if state.commit_index < state.term_start_index:
        raise ProposalRejected(
            f"no entry of term {state.current_term} is committed yet (entry {state.term_start_index} is waiting)",
            temporary=True,
        )
    pending = state.configurations[-1][0]
    if pending > state.commit_index:
        raise ProposalRejected(f"the membership change at index {pending} is not committed yet", temporary=True)
    if state.configuration.joint:
        raise ProposalRejected("a membership change is still in its joint phase", temporary=True)


def replace(state: RaftState, configuration: Configuration) -> None:
    """Replace the configuration in force in this node's view alone, as the membership primitives do."""
    state.configurations[-1] = (state.configurations[-1][0], configuration)
    state.members_replaced = True
    commit.on_changed(state)
    election.count_again(state)
