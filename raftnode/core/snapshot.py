"""Snapshots between nodes (figure 13) and log compaction (§7). The caller keeps the bytes."""

from raftnode.core import commit, replication
from raftnode.core.arguments import InvalidArgument
from raftnode.core.errors import InvalidRequest, NotLeader, SerializationError
from raftnode.core.membership import SnapshotMeta, check_configuration
from raftnode.core.messages import InstallSnapshotRequest, InstallSnapshotResponse
from raftnode.core.roles import become_follower
from raftnode.core.state import RaftState
from raftnode.core.types import NodeId, NodeRole


def wants_chunk(state: RaftState, request: InstallSnapshotRequest) -> bool:
    """Return whether this chunk is the next one of a snapshot that this node would put in force.

    Raises InvalidRequest. Changes nothing.
    """
    _check(request)
    return (
        _follows(state, request)
        and request.last_included_index > state.commit_index
        and request.offset == _expected_offset(state, request)
    )


def handle_install(state: RaftState, request: InstallSnapshotRequest) -> InstallSnapshotResponse:
    """Follow the transfer chunk by chunk; with the last one, put the snapshot in force (figure 13).

    The caller stores each chunk that `wants_chunk()` accepts, and makes the whole snapshot durable before it passes in
    the chunk that is `done`. If this call put the snapshot in force, the answer says `installed`, and the caller loads
    its machine from it. A snapshot whose entries are committed here already changes nothing; the answer to the next
    heartbeat shows the leader that this node has them.
    """
    _check(request)
    if not _follows(state, request):
        return InstallSnapshotResponse(state.current_term, group_id=state.config.group_id)
    replication.follow(state, request.term, request.leader_id)
    if request.last_included_index <= state.commit_index:
        # Never go back: everything that the snapshot holds is committed here already.
        state.incoming_snapshot = None
        return _answer(state, request, request.offset + len(request.data))
    expected = _expected_offset(state, request)
    if request.offset != expected:
        return _answer(state, request, expected)
    received = expected + len(request.data)
    if not request.done:
        state.incoming_snapshot = request.identity, received
        return _answer(state, request, received)
    _check_members(state, request)
    state.incoming_snapshot = None
    _install(state, request)
    return _answer(state, request, received, installed=True)


def handle_install_response(state: RaftState, peer: NodeId, response: InstallSnapshotResponse) -> None:
    """Handle a member's answer to a chunk. After an installed snapshot, the next entry is its index + 1."""
    if not state.configuration.holds(peer):
        return
    if response.term > state.current_term:
        become_follower(state, response.term, None)
        return
    progress = state.progress.get(peer)
    if response.term < state.current_term or progress is None:
        return
    replication.record_answer(state, progress, response.round, state.clock())
    now = state.clock()
    # While chunks are answered the transfer goes on; one that is done may be followed by a newer one soon.
    config = state.config
    progress.snapshot_due = now + (config.heartbeat_interval if response.installed else config.election_timeout_max)
    if response.installed and response.last_included_index <= state.log.last_index:
        if progress.snapshot_acknowledged(response.last_included_index):
            commit.update_commit(state)
        replication.member_caught_up(state, progress, state.clock())


def chunk(
    state: RaftState, snapshot: SnapshotMeta, offset: int, data: bytes, done: bool, checksum: int
) -> InstallSnapshotRequest:
    """Return a leader's next chunk of `snapshot`. Raises NotLeader; ValueError if it lacks its members."""
    if state.role is not NodeRole.LEADER:
        raise NotLeader(state.leader_id)
    if snapshot.configuration is None:
        raise InvalidArgument(f"a snapshot of entry {snapshot.index} without its members cannot be sent")
    return InstallSnapshotRequest(
        state.current_term,
        state.node_id,
        snapshot.index,
        snapshot.term,
        offset,
        data,
        done,
        state.config.group_id,
        snapshot.configuration,
        checksum=checksum,
    )


def compact(state: RaftState, index: int) -> None:
    """Discard the log up to `index`, which must be applied: a snapshot of the machine covers it.

    Raises ValueError if it is not applied yet.
    """
    if index > state.applied_index:
        raise InvalidArgument(f"compact at {index}: only entries up to {state.applied_index} are applied")
    state.log.compact(index, state.configuration_at(index) if state.knows_configuration_at(index) else None)
    commit.on_compact(state, index)


def _check(request: InstallSnapshotRequest) -> None:
    if request.last_included_index < 1 or request.offset < 0 or request.last_included_term < 1:
        raise InvalidRequest(
            f"InstallSnapshot of entry {request.last_included_index}, term {request.last_included_term}, at "
            f"offset {request.offset}"
        )
    if request.last_included_term > request.term:
        raise InvalidRequest(
            f"InstallSnapshot of term {request.term} with a last entry of term {request.last_included_term}"
        )
    if request.configuration is not None:
        try:
            check_configuration(request.configuration)
        except SerializationError as error:
            raise InvalidRequest(str(error)) from error


def _follows(state: RaftState, request: InstallSnapshotRequest) -> bool:
    """Return whether the sender leads this node. A term has at most one leader: never follow a second one."""
    if request.term < state.current_term:
        return False
    if request.leader_id == state.node_id:
        raise InvalidRequest(f"InstallSnapshot of term {request.term} from this node itself")
    return state.role is not NodeRole.LEADER or request.term > state.current_term


def _check_members(state: RaftState, request: InstallSnapshotRequest) -> None:
    """Refuse a snapshot without its members if this node would keep those of an earlier entry instead."""
    index = request.last_included_index
    if request.configuration is not None or state.log.term_at(index) == request.last_included_term:
        return
    if not state.base_known or state.configuration_at(state.commit_index) != state.config.first_configuration():
        raise InvalidRequest(
            f"InstallSnapshot of entry {index} without the members in force there; those that this node would keep "
            f"are of entry {state.commit_index}"
        )


def _install(state: RaftState, request: InstallSnapshotRequest) -> None:
    index = request.last_included_index
    committed = state.commit_index
    kept = state.log.install(index, request.last_included_term, request.configuration)
    state.commit_index = max(state.commit_index, index)
    state.applied_index = max(state.applied_index, index)
    state.delivered_index = max(state.delivered_index, index)
    # Without the suffix, what was not committed before is not known to be in the snapshot either.
    base = request.configuration or state.configuration_at(index if kept else committed)
    state.base_known = request.configuration is not None or state.knows_configuration_at(index if kept else committed)
    after = [(i, c) for i, c in state.configurations if i > index] if kept else []
    state.configurations = [(index, base), *after]
    commit.on_changed(state)


def _expected_offset(state: RaftState, request: InstallSnapshotRequest) -> int:
    """Return the next offset in this snapshot; a different one starts at 0."""
    if state.incoming_snapshot is None:
        return 0
    identity, offset = state.incoming_snapshot
    same = identity == request.identity
    return offset if same else 0


def _answer(
    state: RaftState, request: InstallSnapshotRequest, next_offset: int, *, installed: bool = False
) -> InstallSnapshotResponse:
    return InstallSnapshotResponse(
        state.current_term,
        request.last_included_index,
        next_offset,
        installed,
        state.config.group_id,
        request.round,
    )
