"""Bugs in snapshots and compaction."""

from raftnode.core import recovery, snapshot
from raftnode.core.log import RaftLog
from raftnode.core.membership import Configuration
from raftnode.core.messages import InstallSnapshotRequest, InstallSnapshotResponse
from raftnode.core.node import RaftNode
from raftnode.core.state import RaftState
from raftnode.core.types import LogEntry
from tests.core.planted_bugs.patches import changed, noticed_by, with_install
from tests.support.planted import Patch, replace


@noticed_by("rules_snapshot::test_a_snapshot_never_goes_back")
def a_snapshot_goes_back(patch: Patch) -> None:
    real = snapshot.handle_install

    def handle(state: RaftState, request: InstallSnapshotRequest) -> InstallSnapshotResponse:
        response = real(state, request)
        if request.done and request.last_included_index < state.commit_index:
            state.commit_index = state.applied_index = request.last_included_index
        return response

    replace(patch, real, handle)


@noticed_by("rules_snapshot::test_a_missing_chunk_is_asked_for_again")
def a_missing_chunk_is_not_missed(patch: Patch) -> None:
    def next_in_line(state: RaftState, request: InstallSnapshotRequest) -> InstallSnapshotRequest:
        return changed(request, offset=0 if state.incoming_snapshot is None else state.incoming_snapshot[1])

    with_install(patch, next_in_line)


@noticed_by("rules_snapshot::test_another_snapshot_starts_again_at_offset_zero")
def chunks_of_two_snapshots_are_put_together(patch: Patch) -> None:
    patch.setattr(InstallSnapshotRequest, "identity", property(lambda self: (0, 0, 0, 0)))


@noticed_by("rules_snapshot::test_the_suffix_is_discarded_where_the_term_differs")
def entries_behind_a_snapshot_of_another_term_stay(patch: Patch) -> None:
    real = RaftLog.install

    def install(self: RaftLog, index: int, term: int, configuration: Configuration | None = None) -> bool:
        return real(self, index, self.term_at(index) or term, configuration)

    replace(patch, real, install)


@noticed_by("rules_snapshot::test_the_suffix_is_kept_where_the_entry_at_the_snapshot_has_its_term")
def entries_behind_a_snapshot_never_stay(patch: Patch) -> None:
    real = RaftLog.install

    def install(self: RaftLog, index: int, term: int, configuration: Configuration | None = None) -> bool:
        if self.snapshot_index < index <= self.last_index:
            self.truncate(index)
        return real(self, index, term, configuration)

    replace(patch, real, install)


@noticed_by("rules_ready::test_after_a_snapshot_delivery_goes_on_behind_it")
def the_entry_after_a_snapshot_is_skipped(patch: Patch) -> None:
    def skip(state: RaftState, response: InstallSnapshotResponse) -> None:
        state.delivered_index += response.installed

    with_install(patch, after=skip)


@noticed_by(
    "found_bugs::test_a_crash_between_a_snapshot_and_the_log_restart_is_finished_at_the_next_start",
)
def a_log_is_not_cut_to_a_snapshot_after_a_crash(patch: Patch) -> None:
    replace(patch, recovery._cut_log, lambda state, snapshot, members: False)


@noticed_by("rules_snapshot::test_compaction_discards_only_what_is_applied")
def what_is_not_applied_is_compacted(patch: Patch) -> None:
    real = snapshot.compact

    def compact(state: RaftState, index: int) -> None:
        state.applied_index = max(state.applied_index, index)
        real(state, index)

    replace(patch, real, compact)


@noticed_by("rules_snapshot::test_the_committed_range_is_read_with_both_ends_and_clamped")
def uncommitted_entries_are_shown(patch: Patch) -> None:
    real = RaftNode.log_entries_range

    def read(self: RaftNode, lo: int, hi: int) -> list[LogEntry]:
        committed, self._state.commit_index = self._state.commit_index, self.last_log_index
        try:
            return real(self, lo, hi)
        finally:
            self._state.commit_index = committed

    replace(patch, real, read)
