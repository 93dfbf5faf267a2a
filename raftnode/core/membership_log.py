"""Replicated membership changes: when a configuration takes effect and when it is taken back (thesis chapter 4)."""

from collections.abc import Sequence

from raftnode.core import replication, transfer
from raftnode.core.errors import NotLeader, ProposalRejected
from raftnode.core.membership import ConfChange, Configuration, apply_changes, leave_joint
from raftnode.core.roles import become_follower, settle_passive_role, sync_progress
from raftnode.core.state import RaftState
from raftnode.core.types import EntryKind, LogEntry, NodeRole


def propose(state: RaftState, changes: Sequence[ConfChange]) -> int:
    """Append the configuration that `changes` lead to and return its index. It is in force at once.

    Raises NotLeader; ProposalRejected while another change is uncommitted, or before an entry of this term is
    committed (Ongaro 2015: without it two majorities could pass each other), or where a change makes no sense.
    """
    check_proposable(state)
    return _append(state, apply_changes(state.configuration, changes))


def check_proposable(state: RaftState) -> None:
    """Raise where no membership change may be proposed now."""
    if state.role is not NodeRole.LEADER:
        raise NotLeader(state.leader_id)
    if state.transfer_target is not None:
        raise ProposalRejected(
            f"leadership is being transferred to node {state.transfer_target}", temporary=True
        )
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


def take_effect(state: RaftState, index: int, configuration: Configuration) -> None:
    """Put the configuration of the entry at `index` in force: on append, committed or not."""
    state.configurations.append((index, configuration))
    on_changed(state)


def on_truncate(state: RaftState, index: int) -> None:
    """Take back the configurations of entries from `index` on."""
    before = state.configurations[-1]
    while len(state.configurations) > 1 and state.configurations[-1][0] >= index:
        state.configurations.pop()
    if state.configurations[-1] is not before:
        on_changed(state)


def on_compact(state: RaftState, index: int) -> None:
    """Forget the configurations that no truncation can bring back, save the one in force at `index`."""
    at = max(i for i, (since, _) in enumerate(state.configurations) if since <= index or i == 0)
    state.base_known = state.base_known or at > 0
    del state.configurations[:at]


def replace(state: RaftState, configuration: Configuration) -> None:
    """Put `configuration` in this node's view in the place of the one in force (the primitives' way)."""
    state.configurations[-1] = (state.configurations[-1][0], configuration)
    on_changed(state)


def on_changed(state: RaftState) -> None:
    """Fit role, progress and commit to the members now in force."""
    if state.role is NodeRole.LEADER:
        sync_progress(state)
        replication.update_commit(state)
    else:
        settle_passive_role(state)


def on_commit(state: RaftState) -> None:
    """Go on when the commit index reached the latest configuration: leave joint consensus, or leave office."""
    index, configuration = state.configurations[-1]
    if index > state.commit_index or state.role is not NodeRole.LEADER:
        return
    if configuration.joint:
        _append(state, leave_joint(configuration))
    elif state.node_id not in configuration.voters and index > 0:
        # The change that takes this leader's vote away is committed: its last act is to name a successor.
        transfer.name_successor(state)
        become_follower(state, state.current_term, None)


def _append(state: RaftState, configuration: Configuration) -> int:
    entry = LogEntry(
        state.current_term, state.log.last_index + 1, configuration.encode(), EntryKind.CONFIGURATION
    )
    state.log.append([entry])
    take_effect(state, entry.index, configuration)
    return entry.index
