"""Bugs in what a voter grants."""

from raftnode.core import election, roles
from raftnode.core.log import RaftLog
from raftnode.core.messages import RequestVoteRequest, RequestVoteResponse
from raftnode.core.node import RaftNode
from raftnode.core.ready import Ready
from raftnode.core.state import RaftState
from raftnode.core.types import HardState, NodeId
from tests.core.planted_bugs.patches import changed, noticed_by, with_pre_vote, with_vote_request
from tests.support.planted import Patch, replace


@noticed_by("rules_votes::test_the_vote_is_granted_once_in_a_term")
def two_votes_in_one_term(patch: Patch) -> None:
    def forget(state: RaftState, request: RequestVoteRequest) -> RequestVoteRequest:
        state.voted_for = None
        return request

    with_vote_request(patch, forget)


@noticed_by("rules_votes::test_a_repeated_request_of_the_same_candidate_is_granted_again")
def a_repeated_request_is_refused(patch: Patch) -> None:
    real = election.handle_request_vote

    def handle(state: RaftState, request: RequestVoteRequest) -> RequestVoteResponse:
        if state.voted_for == request.candidate_id and state.current_term == request.term:
            return RequestVoteResponse(state.current_term, False)
        return real(state, request)

    replace(patch, real, handle)


@noticed_by("rules_votes::test_a_vote_in_a_past_term_is_refused_with_the_current_term")
def a_vote_in_a_past_term(patch: Patch) -> None:
    with_vote_request(patch, lambda state, request: changed(request, term=max(request.term, state.current_term)))


@noticed_by("rules_votes::test_a_higher_term_is_adopted_even_when_the_vote_is_refused")
def a_term_is_adopted_with_a_vote_only(patch: Patch) -> None:
    real = election.handle_request_vote

    def handle(state: RaftState, request: RequestVoteRequest) -> RequestVoteResponse:
        if not state.log.is_up_to_date(request.last_log_index, request.last_log_term):
            return RequestVoteResponse(state.current_term, False)
        return real(state, request)

    replace(patch, real, handle)


@noticed_by("rules_votes::test_logs_are_compared_by_term_first_and_then_by_index")
def logs_are_compared_by_index_first(patch: Patch) -> None:
    def compare(self: RaftLog, last_index: int, last_term: int) -> bool:
        return (last_index, last_term) >= (self.last_index, self.last_term)

    replace(patch, RaftLog.is_up_to_date, compare)


@noticed_by("rules_votes::test_logs_are_compared_by_term_first_and_then_by_index")
def logs_are_compared_by_term_and_index_one_by_one(patch: Patch) -> None:
    def compare(self: RaftLog, last_index: int, last_term: int) -> bool:
        return last_term >= self.last_term and last_index >= self.last_index

    replace(patch, RaftLog.is_up_to_date, compare)


@noticed_by("rules_votes::test_logs_are_compared_by_term_first_and_then_by_index")
def only_a_longer_log_gets_a_vote(patch: Patch) -> None:
    def compare(self: RaftLog, last_index: int, last_term: int) -> bool:
        return (last_term, last_index) > (self.last_term, self.last_index)

    replace(patch, RaftLog.is_up_to_date, compare)


@noticed_by("rules_votes::test_logs_are_compared_by_term_first_and_then_by_index")
def pre_votes_for_a_log_that_is_behind(patch: Patch) -> None:
    with_pre_vote(patch, lambda state, request: changed(request, last_log_term=10**6))


@noticed_by("rules_votes::test_stepping_down_within_a_term_keeps_the_vote")
def the_vote_is_forgotten_within_a_term(patch: Patch) -> None:
    real = roles.become_follower

    def follow(state: RaftState, term: int, leader_id: NodeId | None) -> None:
        real(state, term, leader_id)
        state.voted_for = None

    replace(patch, real, follow)


@noticed_by("rules_votes::test_the_vote_is_cleared_when_the_term_grows")
def the_vote_is_kept_into_the_next_term(patch: Patch) -> None:
    real = roles.become_follower

    def follow(state: RaftState, term: int, leader_id: NodeId | None) -> None:
        vote = state.voted_for
        real(state, term, leader_id)
        state.voted_for = vote

    replace(patch, real, follow)


@noticed_by("rules_votes::test_a_vote_within_the_known_term_is_persisted_too")
def a_vote_alone_is_not_persisted(patch: Patch) -> None:
    real = RaftNode.take_ready

    def take(self: RaftNode) -> Ready:
        ready = real(self)
        if (
            ready.hard_state is not None
            and ready.hard_state.current_term == self._storage.load_hard_state().current_term
        ):
            ready.hard_state = None
        return ready

    replace(patch, real, take)


@noticed_by(
    "rules_votes::test_the_vote_survives_a_restart",
    "rules_votes::test_term_and_vote_are_one_record_in_the_ready_that_precedes_the_answer",
)
def the_term_is_persisted_without_the_vote(patch: Patch) -> None:
    real = RaftNode.take_ready

    def take(self: RaftNode) -> Ready:
        ready = real(self)
        if ready.hard_state is not None:
            ready.hard_state = HardState(ready.hard_state.current_term, None)
        return ready

    replace(patch, real, take)


@noticed_by("rules_votes::test_no_vote_for_a_rival_of_the_leader_of_this_term")
def a_vote_for_a_rival_of_this_terms_leader(patch: Patch) -> None:
    def forget(state: RaftState, request: RequestVoteRequest) -> RequestVoteRequest:
        state.leader_id = None
        return request

    with_vote_request(patch, forget)


@noticed_by("rules_votes::test_learners_and_observers_never_grant")
def learners_and_observers_vote(patch: Patch) -> None:
    with_vote_request(patch, lambda state, request: changed(request, to_voter=True))


@noticed_by(
    "rules_votes::test_learners_and_observers_never_campaign",
    "rules_membership::test_a_node_that_was_removed_does_not_campaign_after_a_restart",
)
def nodes_without_a_vote_campaign(patch: Patch) -> None:
    patch.setattr(RaftState, "may_campaign", property(lambda self: True))
