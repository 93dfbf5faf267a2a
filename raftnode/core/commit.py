"""The commit index and the configurations in force, which depend on each other (§5.4.2, thesis chapter 4).

A configuration takes effect when it is appended, which changes the quorum. When it is committed, the leader leaves
joint consensus, by appending the next one, or steps down.
"""

from raftnode.core import reads, transfer
from raftnode.core.errors import InvariantError
from raftnode.core.membership import Configuration, leave_joint
from raftnode.core.quorum import quorum_value
from raftnode.core.roles import become_follower, settle_passive_role, sync_progress
from raftnode.core.state import RaftState
from raftnode.core.types import EntryKind, LogEntry, NodeId, NodeRole


def update_commit(state: RaftState) -> None:
    """Commit what a quorum has stored, if it is of this term (§5.4.2, figure 8)."""
    if state.role is not NodeRole.LEADER:
        return
    log, node, progress = state.log, state.node_id, state.progress
    own = state.stable_counted = log.stable_index

    def match(voter: NodeId) -> int:
        if voter == node:
            return own
        return progress[voter].match_index if voter in progress else 0

    index = int(quorum_value(match, state.configuration))
    if index > state.commit_index and log.term_at(index) == state.current_term:
        advance_commit(state, index)
        if state.commit_broadcast_deadline is None:
            state.commit_broadcast_deadline = state.clock() + state.config.commit_broadcast_delay
        reads.confirm(state)
        on_configuration_committed(state)


def advance_commit(state: RaftState, index: int) -> None:
    """Move the commit index up to `index`; it never moves back."""
    if index > state.commit_index:
        if index > state.log.last_index:
            raise InvariantError(f"commit index {index} is beyond the log's end {state.log.last_index}")
        before, state.commit_index = state.commit_index, index
        if before < state.configurations[-1][0] <= index:
            settle_passive_role(state)


def append_configuration(state: RaftState, configuration: Configuration) -> int:
    """Append a leader's CONFIGURATION entry and put it in force; return its index."""
    entry = LogEntry(state.current_term, state.log.last_index + 1, configuration.encode(), EntryKind.CONFIGURATION)
    state.log.append([entry])
    take_effect(state, entry.index, configuration)
    return entry.index


def take_effect(state: RaftState, index: int, configuration: Configuration) -> None:
    """Put the configuration of the entry at `index` in force: on append, committed or not."""
    state.configurations.append((index, configuration))
    state.was_member = state.was_member or configuration.holds(state.node_id)
    on_changed(state)


def on_truncate(state: RaftState, index: int) -> None:
    """Undo the configurations of the entries from `index` on, which were truncated."""
    before = state.configurations[-1]
    while len(state.configurations) > 1 and state.configurations[-1][0] >= index:
        state.configurations.pop()
    if state.configurations[-1] is not before:
        on_changed(state)


def on_compact(state: RaftState, index: int) -> None:
    """Drop the configurations before the one in force at `index`: no truncation can bring them back."""
    at = max(i for i, (since, _) in enumerate(state.configurations) if since <= index or i == 0)
    state.base_known = state.base_known or at > 0
    del state.configurations[:at]


def on_changed(state: RaftState) -> None:
    """Update the role, the progress and the commit index to the members now in force."""
    if state.role is NodeRole.LEADER:
        sync_progress(state)
        update_commit(state)
    else:
        settle_passive_role(state)


def on_configuration_committed(state: RaftState) -> None:
    """Leave joint consensus, or step down without a vote, once the latest configuration is committed."""
    index, configuration = state.configurations[-1]
    if index > state.commit_index or state.role is not NodeRole.LEADER:
        return
    if configuration.joint:
        append_configuration(state, leave_joint(configuration))
    elif state.node_id not in configuration.voters and index > 0:
        # The change that takes this leader's vote away is committed: its last act is to name a successor.
        transfer.name_successor(state)
        become_follower(state, state.current_term, None)
