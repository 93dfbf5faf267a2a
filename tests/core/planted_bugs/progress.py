"""Bugs in what a leader knows of the others' logs."""

import math
from collections.abc import Callable

from raftnode.core import replication, roles, snapshot
from raftnode.core.messages import InstallSnapshotResponse
from raftnode.core.progress import Progress, ProgressState
from raftnode.core.state import RaftState
from raftnode.core.types import NodeId
from tests.core.planted_bugs.patches import changed, noticed_by, with_append_response
from tests.support.planted import Patch, replace


@noticed_by(
    "rules_commit::test_acknowledgements_of_another_term_count_for_nothing",
    "rules_reads::test_an_answer_of_an_earlier_term_confirms_nothing",
)
def acknowledgements_of_an_earlier_term_count(patch: Patch) -> None:
    with_append_response(patch, lambda state, response: changed(response, term=max(response.term, state.current_term)))


@noticed_by("rules_progress::test_a_response_of_a_higher_term_deposes_the_leader")
def a_leader_ignores_a_higher_term(patch: Patch) -> None:
    with_append_response(patch, lambda state, response: changed(response, term=min(response.term, state.current_term)))


@noticed_by("rules_progress::test_match_only_grows")
def match_falls(patch: Patch) -> None:
    real = Progress.acknowledged

    def acknowledged(self: Progress, index: int) -> bool:
        grows = real(self, index)
        self.match_index = index
        return grows

    replace(patch, real, acknowledged)


def on_refusal(patch: Patch, rule: Callable[[Progress, int, int], bool]) -> None:
    """Let `rule` record a refusal."""
    replace(patch, Progress.rejected, rule)


@noticed_by("rules_progress::test_next_stays_above_match")
def next_falls_below_match(patch: Patch) -> None:
    real = Progress.rejected

    def rejected(self: Progress, rejected_index: int, next_hint: int) -> bool:
        news = real(self, rejected_index, next_hint)
        if news:
            self.next_index = max(1, min(self.next_index, next_hint))
        return news

    on_refusal(patch, rejected)


@noticed_by("rules_progress::test_a_refusal_older_than_what_matches_changes_nothing")
def an_old_refusal_counts(patch: Patch) -> None:
    real = Progress.rejected
    on_refusal(patch, lambda self, rejected_index, next_hint: real(self, 0, next_hint))


@noticed_by("rules_progress::test_one_probe_is_in_flight_however_many_rejections_arrive")
def every_refusal_sends_a_probe(patch: Patch) -> None:
    real = Progress.rejected

    def rejected(self: Progress, rejected_index: int, next_hint: int) -> bool:
        news = real(self, rejected_index, next_hint)
        self.probe = None
        return news

    on_refusal(patch, rejected)


@noticed_by("rules_progress::test_the_way_back_over_a_long_conflict_does_not_grow_with_its_length")
def the_way_back_is_one_entry_at_a_time(patch: Patch) -> None:
    real = Progress.rejected
    on_refusal(patch, lambda self, rejected_index, next_hint: real(self, rejected_index, rejected_index))


@noticed_by(
    "rules_progress::test_the_window_of_messages_is_bounded", "rules_progress::test_the_window_of_bytes_is_bounded"
)
def the_window_has_no_end(patch: Patch) -> None:
    real = Progress.window_is_open
    replace(patch, real, lambda self: self.state is ProgressState.REPLICATE or real(self))


@noticed_by("rules_progress::test_an_observers_window_is_its_own_and_its_answers_release_it")
def observers_have_the_window_of_voters(patch: Patch) -> None:
    real = roles.sync_progress

    def sync(state: RaftState) -> None:
        real(state)
        for progress in state.progress.values():
            progress.inflight_messages_max = state.config.inflight_messages_max

    replace(patch, real, sync)


@noticed_by("rules_progress::test_after_a_snapshot_is_acknowledged_next_is_its_index_plus_one")
def after_a_snapshot_next_stays_where_it_was(patch: Patch) -> None:
    real = Progress.snapshot_acknowledged

    def acknowledged(self: Progress, index: int) -> bool:
        following = self.next_index
        news = real(self, index)
        self.next_index = following
        return news

    replace(patch, real, acknowledged)


@noticed_by("rules_progress::test_a_snapshot_answer_that_is_not_installed_proves_nothing")
def a_chunk_counts_as_the_whole_snapshot(patch: Patch) -> None:
    real = snapshot.handle_install_response

    def handle(state: RaftState, peer: NodeId, response: InstallSnapshotResponse) -> None:
        real(state, peer, changed(response, installed=True))

    replace(patch, real, handle)


@noticed_by("rules_progress::test_a_learner_that_has_acknowledged_nothing_has_not_caught_up")
def nothing_of_nothing_is_caught_up(patch: Patch) -> None:
    real = Progress.measure_catch_up

    def measure(self: Progress, last_index: int, now: float, round_seconds_max: float) -> None:
        real(self, last_index, now, round_seconds_max)
        self.caught_up = self.caught_up or self.match_index == 0

    replace(patch, real, measure)


@noticed_by("rules_progress::test_a_learner_whose_round_took_too_long_has_not_caught_up")
def a_catch_up_round_may_take_any_time(patch: Patch) -> None:
    real = Progress.measure_catch_up
    replace(patch, real, lambda self, last_index, now, round_seconds_max: real(self, last_index, now, math.inf))


def before_a_leaders_tick(patch: Patch, spoil: Callable[[RaftState, float], None]) -> None:
    """Change the state before the leader's periodic work."""
    real = replication.tick

    def tick(state: RaftState, now: float) -> None:
        spoil(state, now)
        real(state, now)

    replace(patch, real, tick)


@noticed_by("rules_progress::test_a_leader_whose_quorum_is_silent_steps_down")
def a_leader_without_a_quorum_leads_on(patch: Patch) -> None:
    def hear(state: RaftState, now: float) -> None:
        for progress in state.progress.values():
            progress.last_contact = now

    before_a_leaders_tick(patch, hear)


@noticed_by("rules_progress::test_a_leader_whose_storage_is_stuck_steps_down")
def a_leader_with_a_stuck_disk_leads_on(patch: Patch) -> None:
    def progress(state: RaftState, now: float) -> None:
        state.stable_at = now

    before_a_leaders_tick(patch, progress)
