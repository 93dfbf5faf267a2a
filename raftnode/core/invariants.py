"""Invariants of one node: of each of its states, and from one state to the next (modeled on LogCabin's).

The simulator runs `check()` after every event; an embedder may do so in its tests.
"""

from dataclasses import dataclass

from raftnode.core.errors import InvariantError
from raftnode.core.node import RaftNode
from raftnode.core.types import NodeId, NodeRole


@dataclass(frozen=True, slots=True)
class Observation:
    """What `check()` compares of one node."""

    node_id: NodeId
    role: NodeRole
    term: int
    voted_for: NodeId | None
    leader_id: NodeId | None
    commit_index: int
    applied_index: int
    last_log_index: int
    last_log_term: int
    snapshot_index: int
    match: tuple[tuple[NodeId, int], ...]
    members_without_progress: tuple[NodeId, ...]


def observe(node: RaftNode) -> Observation:
    """Return what `check()` compares, of `node` as it is now."""
    role = node.role
    match: tuple[tuple[NodeId, int], ...] = ()
    missing: set[NodeId] = set()
    if role is NodeRole.LEADER:
        others = {*node.peers, *node.learners, *node.observers}
        match = tuple((peer, index) for peer in sorted(others) if (index := node.match_index_for(peer)) is not None)
        missing = others - {peer for peer, _ in match}
    return Observation(
        node.node_id,
        role,
        node.current_term,
        node.voted_for,
        node.leader_id,
        node.commit_index,
        node.last_applied,
        node.last_log_index,
        node.last_log_term,
        node.log_snapshot_index,
        match,
        tuple(sorted(missing)),
    )


def check(previous: Observation | None, current: Observation) -> None:
    """Raise InvariantError if `current` is impossible, or cannot follow `previous` without a restart."""
    now = current
    _require(
        now.snapshot_index <= now.applied_index <= now.commit_index <= now.last_log_index,
        now,
        "snapshot <= applied <= commit <= last does not hold",
    )
    _require(now.last_log_term <= now.term, now, "the log is ahead of the term")
    _require(
        now.leader_id != now.node_id or now.role is NodeRole.LEADER, now, "it names itself as leader but does not lead"
    )
    _require(now.role is not NodeRole.LEADER or now.leader_id == now.node_id, now, "it leads but names another leader")
    _require(now.role is not NodeRole.CANDIDATE or now.voted_for == now.node_id, now, "a candidate votes for itself")
    _require(all(index <= now.last_log_index for _, index in now.match), now, "a match index is beyond its log")
    _require(not now.members_without_progress, now, "a member has no progress")
    if previous is None:
        return
    old = previous
    _require(now.term >= old.term, now, f"the term fell from {old.term}")
    _require(
        now.term > old.term or old.voted_for is None or now.voted_for == old.voted_for,
        now,
        f"the vote of term {old.term} changed from {old.voted_for}",
    )
    _require(now.commit_index >= old.commit_index, now, f"the commit index fell from {old.commit_index}")
    _require(now.applied_index >= old.applied_index, now, f"the applied index fell from {old.applied_index}")
    _require(now.snapshot_index >= old.snapshot_index, now, f"the snapshot point fell from {old.snapshot_index}")
    if now.role is NodeRole.LEADER and old.role is NodeRole.LEADER and now.term == old.term:
        _require(now.last_log_index >= old.last_log_index, now, "a leader's log became shorter")
        before = dict(old.match)
        _require(all(index >= before.get(peer, 0) for peer, index in now.match), now, "a match index fell")


def _require(holds: bool, node: Observation, what: str) -> None:
    if not holds:
        raise InvariantError(f"node {node.node_id}: {what}: {node}")
