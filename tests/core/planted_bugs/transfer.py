"""Bugs in leadership transfer, promotion and priority."""

from raftnode.core import election, promotion, transfer
from raftnode.core.messages import TimeoutNowRequest
from raftnode.core.node import RaftNode
from raftnode.core.ready import Ready, TransferOutcome
from raftnode.core.state import RaftState
from tests.core.planted_bugs.patches import changed, noticed_by
from tests.support.planted import Patch, replace


@noticed_by("rules_interface::test_a_transfer_waits_until_the_target_has_every_entry")
def a_transfer_does_not_wait_for_the_log(patch: Patch) -> None:
    real = transfer.proceed

    def proceed(state: RaftState) -> None:
        if state.transfer_target in state.progress:
            state.progress[state.transfer_target].match_index = state.log.last_index
        real(state)

    replace(patch, real, proceed)


@noticed_by("rules_interface::test_proposals_are_refused_during_a_transfer_and_taken_after_its_deadline")
def a_transfer_has_no_deadline(patch: Patch) -> None:
    replace(patch, transfer.expire, lambda state, now: None)


@noticed_by("rules_leadership::test_a_transfer_that_another_node_wins_is_not_done")
def every_transfer_counts_as_done(patch: Patch) -> None:
    real = RaftNode.take_ready

    def take(self: RaftNode) -> Ready:
        ready = real(self)
        ready.transfers = [TransferOutcome(outcome.target, True, "") for outcome in ready.transfers]
        return ready

    replace(patch, real, take)


@noticed_by("rules_leadership::test_a_learner_that_makes_no_progress_is_given_up_with_the_reason")
def a_learner_is_promoted_before_it_caught_up(patch: Patch) -> None:
    real = promotion.tick

    def tick(state: RaftState, now: float) -> None:
        for peer in state.promotions.keys() & state.progress.keys():
            state.progress[peer].caught_up = True
            state.progress[peer].acked_round = 1
            state.progress[peer].last_contact = now
        real(state, now)

    replace(patch, real, tick)


@noticed_by("rules_interface::test_a_timeout_now_of_a_past_term_is_ignored")
def a_past_leader_asks_for_a_campaign(patch: Patch) -> None:
    real = election.handle_timeout_now

    def handle(state: RaftState, request: TimeoutNowRequest) -> None:
        real(state, changed(request, term=max(request.term, state.current_term)))

    replace(patch, real, handle)


@noticed_by("rules_leadership::test_a_node_with_priority_zero_never_leads")
def a_node_of_priority_zero_campaigns(patch: Patch) -> None:
    patch.setattr(RaftState, "may_campaign", property(lambda self: self.has_vote))
