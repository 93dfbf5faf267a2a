"""Crash recovery: every start of a node takes this path, with what the disk holds.

A snapshot becomes durable first, and only then is the log cut to it (figure 13). A crash between the two leaves

    log behind the snapshot      snapshot 4 of term 3    log 1 1              starts again after entry 4
    log in conflict with it      snapshot 4 of term 3    log 1 1 1 1 2 2      starts again after entry 4
    log that holds its entry     snapshot 4 of term 1    log 1 1 1 1 2 2      is kept as it is
    log that begins after it     snapshot 4              log - - - - - 2 2    is refused: entry 5 is missing
"""

from raftnode.core.arguments import InvalidArgument
from raftnode.core.errors import SerializationError, StorageError
from raftnode.core.membership import Configuration, SnapshotMeta, decode_configuration
from raftnode.core.roles import become_follower
from raftnode.core.state import RaftState
from raftnode.core.storage import LogStorage
from raftnode.core.types import HardState, LogEntry


def restore(state: RaftState, storage: LogStorage, snapshot: SnapshotMeta | None) -> None:
    """Load the log, the hard state and the members; no leader is known yet.

    `snapshot` is what the caller's machine holds; None: whatever the log has discarded. What this changes in the
    storage is staged like everything else, and safe to repeat after another crash. Raises StorageError; ValueError,
    before anything changes, if the members at the snapshot point are not stored.
    """
    configurations = state.log.load()
    if snapshot is None:
        snapshot = SnapshotMeta(state.log.snapshot_index, state.log.snapshot_term)
    _check_fit(state, snapshot)
    members = _members_at(state, snapshot)
    if _cut_log(state, snapshot, members):
        configurations = []
    state.commit_index = state.applied_index = state.delivered_index = snapshot.index
    _load_hard_state(state, storage.load_hard_state())
    _load_members(state, snapshot.index, members, configurations)
    if state.config.lease_reads:
        # Before the restart this node may have promised a leader's lease (thesis 6.4.1).
        state.leader_contact = state.clock()
    become_follower(state, state.current_term, None)


def _members_at(state: RaftState, snapshot: SnapshotMeta) -> Configuration | None:
    """Return the members that are kept with the snapshot; None: they are in the log, or in the configuration.

    Raises ValueError if the log that had them was discarded: they must not be guessed.
    """
    log = state.log
    if snapshot.configuration is not None:
        return snapshot.configuration
    if snapshot.index > 0 and log.term_at(snapshot.index) != snapshot.term:
        raise InvalidArgument(
            f"restore() of a snapshot of entry {snapshot.index} that the log does not hold, without its members: "
            "SnapshotMeta(index, term, configuration) has all three, as configuration_at(index) gave them"
        )
    if log.snapshot_index > 0 and not log.keeps_configuration:
        raise InvalidArgument(
            f"restore() of a log that begins after entry {log.snapshot_index}, in a storage that does not keep the "
            "members in force there: pass SnapshotMeta(index, term, configuration)"
        )
    return log.snapshot_configuration


def _check_fit(state: RaftState, snapshot: SnapshotMeta) -> None:
    """Raise StorageError if the snapshot and the log cannot belong to the same node."""
    log = state.log
    if snapshot.index < log.snapshot_index:
        raise StorageError(
            f"the log begins after entry {log.snapshot_index}, and the newest snapshot covers only entry "
            f"{snapshot.index}: the snapshot in between is missing. Remove this node from the "
            "cluster and add it again with a new data directory"
        )
    if snapshot.index == log.snapshot_index and snapshot.term != log.snapshot_term:
        raise StorageError(
            f"the log begins after entry {log.snapshot_index} of term {log.snapshot_term}, and the snapshot of that "
            f"entry says term {snapshot.term}: they do not belong together"
        )


def _cut_log(state: RaftState, snapshot: SnapshotMeta, members: Configuration | None) -> bool:
    """Finish what a crash interrupted between the snapshot and the log. Return whether the log was discarded."""
    if state.log.term_at(snapshot.index) == snapshot.term:
        return False
    state.log.install(snapshot.index, snapshot.term, members)
    return True


def _load_hard_state(state: RaftState, hard_state: HardState) -> None:
    state.last_hard_state = hard_state
    state.current_term, state.voted_for = hard_state.current_term, hard_state.voted_for
    if state.log.last_term > state.current_term:
        # Entries of a term became durable but the term itself did not: no response was sent in it.
        state.current_term, state.voted_for = state.log.last_term, None


def _load_members(
    state: RaftState, applied: int, at_snapshot: Configuration | None, configurations: list[LogEntry]
) -> None:
    """Take the members from the log, else from the snapshot, else from the configuration."""
    state.base_known = at_snapshot is not None or not state.config.joined
    state.configurations = [(applied, at_snapshot or state.configuration)]
    for entry in configurations:
        if entry.index > applied:
            state.configurations.append((entry.index, _stored_configuration(entry)))
        elif at_snapshot is None:
            state.configurations = [(applied, _stored_configuration(entry))]
            state.base_known = True
    if any(index > 0 and members.holds(state.node_id) for index, members in state.configurations):
        state.was_member = True


def _stored_configuration(entry: LogEntry) -> Configuration:
    try:
        return decode_configuration(entry.data)
    except SerializationError as error:
        raise StorageError(f"the stored entry {entry.index}: {error}") from error
