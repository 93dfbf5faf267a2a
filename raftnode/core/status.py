"""Everything that an operator may ask of the core, as one value."""

from dataclasses import dataclass

from raftnode.core.membership import Configuration
from raftnode.core.progress import Progress
from raftnode.core.state import RaftState
from raftnode.core.types import NodeId, NodeRole


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """A leader's view of one other member.

    Attributes:
        peer: The member.
        progress: "probe": where its log matches is not known yet. "replicate": entries are sent without waiting for
            answers. "snapshot": it needs a snapshot first.
        match_index: The highest index up to which its log is known to match.
        next_index: The next entry to send.
        inflight_messages: How many AppendEntries it has not answered.
        inflight_bytes: How many bytes of data are in them.
        last_contact: How many seconds ago it last answered; None: never in this term.
        promotable: It is a learner that caught up in less than an election timeout, and still answers.
        acked_round: The newest round of messages that it answered: see `RaftNode.probe_members()`.
    """

    peer: NodeId
    progress: str
    match_index: int
    next_index: int
    inflight_messages: int
    inflight_bytes: int
    last_contact: float | None
    promotable: bool
    acked_round: int = 0


@dataclass(frozen=True, slots=True)
class RaftStatus:
    """One node's state at one moment.

    Attributes:
        node_id: This node.
        group_id: The Raft group that it belongs to.
        role: What it does now.
        leader_id: The leader of the current term; None: unknown.
        current_term: The latest term that it has seen.
        voted_for: Who has its vote in that term; None: nobody.
        commit_index: The highest index that it knows to be committed.
        applied_index: The highest index that the caller has applied.
        last_log_index: The index of its last entry.
        stable_index: The last index that its storage says is durable.
        first_log_index: The first index that its log holds.
        snapshot_index: The last discarded entry's index; 0: nothing was discarded.
        snapshot_term: That entry's term.
        configuration_index: The entry that put the members in force; 0: none, they are those of the configuration.
        configuration: The members in force: the latest in the log, committed or not.
        configuration_committed: Whether that entry is committed.
        transfer_target: Whom this leader is handing over to; None: nobody.
        pending_reads: How many reads wait for their round of messages.
        peers: A leader's view of each other member; empty elsewhere.
        votes_granted: Who granted its last campaign.
        votes_refused: Who refused it, and why.
        no_leader_reason: Why it knows no leader, in a sentence; empty if it knows one.
        removed: A committed change removed this node: it may be shut down, and its id is never used again.
    """

    node_id: NodeId
    group_id: int
    role: NodeRole
    leader_id: NodeId | None
    current_term: int
    voted_for: NodeId | None
    commit_index: int
    applied_index: int
    last_log_index: int
    stable_index: int
    first_log_index: int
    snapshot_index: int
    snapshot_term: int
    configuration_index: int
    configuration: Configuration
    configuration_committed: bool
    transfer_target: NodeId | None
    pending_reads: int
    peers: tuple[PeerStatus, ...]
    votes_granted: tuple[NodeId, ...]
    votes_refused: tuple[tuple[NodeId, str], ...]
    no_leader_reason: str
    removed: bool = False


def status_of(state: RaftState) -> RaftStatus:
    """Return `state` as one value for an operator."""
    now = state.clock()
    index, configuration = state.configurations[-1]
    return RaftStatus(
        node_id=state.node_id,
        group_id=state.config.group_id,
        role=state.role,
        leader_id=state.leader_id,
        current_term=state.current_term,
        voted_for=state.voted_for,
        commit_index=state.commit_index,
        applied_index=state.applied_index,
        last_log_index=state.log.last_index,
        stable_index=state.log.stable_index,
        first_log_index=state.log.first_index,
        snapshot_index=state.log.snapshot_index,
        snapshot_term=state.log.snapshot_term,
        configuration_index=index,
        configuration=configuration,
        configuration_committed=index <= state.commit_index,
        removed=state.removed,
        transfer_target=state.transfer_target,
        pending_reads=len(state.reads),
        peers=tuple(_peer_status(state, state.progress[peer], now) for peer in sorted(state.progress)),
        votes_granted=tuple(sorted(peer for peer, granted in state.ballot.items() if granted)),
        votes_refused=tuple(sorted(state.refusals.items())),
        no_leader_reason=_no_leader_reason(state, now),
    )


def _peer_status(state: RaftState, progress: Progress, now: float) -> PeerStatus:
    ago = None if progress.acked_round == 0 or progress.last_contact is None else now - progress.last_contact
    answers = progress.answers(now, state.config.election_timeout_max)
    return PeerStatus(
        peer=progress.peer,
        progress=progress.state.value,
        match_index=progress.match_index,
        next_index=progress.next_index,
        inflight_messages=len(progress.inflight),
        inflight_bytes=progress.inflight_bytes,
        last_contact=ago,
        promotable=progress.caught_up and answers and progress.peer in state.configuration.learners,
        acked_round=progress.acked_round,
    )


def _no_leader_reason(state: RaftState, now: float) -> str:
    if state.leader_id is not None:
        return ""
    if state.role is NodeRole.LEARNER or state.role is NodeRole.OBSERVER:
        return f"this {state.role.value} waits for a leader to contact it"
    if state.removed:
        return f"this node was removed by the change at entry {state.configurations[-1][0]}"
    if not state.has_vote:
        return "this node is not a member of the configuration that it knows"
    voters = state.configuration.voter_union()
    if not state.config.priority:
        return "this node's priority is 0, so it waits for another one to lead"
    if state.role is NodeRole.FOLLOWER:
        wait = max(0.0, state.election_deadline - now)
        reason = f"no leader has contacted this node; it campaigns in {wait:.1f} s"
    else:
        granted = sum(1 for voter in voters if state.ballot.get(voter))
        silent = [voter for voter in voters if voter not in state.ballot]
        reason = (
            f"this node asks for votes in term {state.current_term}: {granted} of {len(voters)} granted, "
            f"{len(state.configuration.voters) // 2 + 1} needed"
        )
        if silent:
            reason += "; no answer from node " + ", ".join(str(voter) for voter in silent)
    for peer, why in sorted(state.refusals.items()):
        reason += f"; node {peer} refused: {why}"
    return reason
