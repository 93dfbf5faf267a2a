"""Linearizable reads: a barrier that a quorum confirms after the read arrived (thesis 6.4)."""

from raftnode.core.errors import NotLeader
from raftnode.core.quorum import quorum_value
from raftnode.core.state import RaftState
from raftnode.core.types import NodeId, NodeRole


def request(state: RaftState) -> int:
    """Open a barrier and return its id, which a later Ready names in `reads` or `reads_aborted`.

    All reads that arrive between two Readys share one round of messages. Raises NotLeader.
    """
    if state.role is not NodeRole.LEADER:
        raise NotLeader(state.leader_id)
    state.read_count += 1
    if _lease_is_valid(state):
        state.reads_ready.append((state.read_count, state.commit_index))
    else:
        state.reads.append((state.read_count, state.round + 1))
        state.round_wanted = True
        confirm(state)
    return state.read_count


def probe(state: RaftState) -> int:
    """Begin a round of messages with the next Ready and return its number. Raises NotLeader."""
    if state.role is not NodeRole.LEADER:
        raise NotLeader(state.leader_id)
    state.round_wanted = True
    return state.round + 1


def confirm(state: RaftState) -> None:
    """Release the reads whose round a quorum has answered, once an entry of this term is committed.

    Until then this leader may not know the latest committed entries of its predecessors (§8).
    """
    if not state.reads or state.commit_index < state.term_start_index:
        return
    if state.configuration.voters == (state.node_id,) and not state.configuration.joint:
        confirmed = state.round + 1
    else:
        confirmed = _confirmed_round(state)
    while state.reads and state.reads[0][1] <= confirmed:
        state.reads_ready.append((state.reads.popleft()[0], state.commit_index))


def abort(state: RaftState) -> None:
    """Abort the waiting reads: no quorum will confirm them, or not soon."""
    state.reads_aborted.extend(read_id for read_id, _ in state.reads)
    state.reads.clear()


def _confirmed_round(state: RaftState) -> int:
    node, progress, own = state.node_id, state.progress, state.round

    def acked(voter: NodeId) -> int:
        if voter == node:
            return own
        return progress[voter].acked_round if voter in progress else 0

    return int(quorum_value(acked, state.configuration))


def _lease_is_valid(state: RaftState) -> bool:
    """Whether no other leader can have been elected: a quorum answered a round that was sent recently enough.

    Counted from when the round was sent, not from when the answers came: those may have been delayed.
    """
    config = state.config
    if not config.lease_reads or state.lease_blocked or state.commit_index < state.term_start_index:
        return False
    confirmed = _confirmed_round(state)
    times = state.round_times
    while len(times) > 1 and times[1][0] <= confirmed:
        times.popleft()
    if not times or times[0][0] > confirmed:
        return state.configuration.voters == (state.node_id,) and not state.configuration.joint
    lease = config.election_timeout_min * (1 - config.clock_drift_max)
    return state.clock() < times[0][1] + lease
