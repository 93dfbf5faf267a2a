"""Bugs in what a candidate counts, in pre-vote, and in the protection of a leader that is alive."""

from collections.abc import Callable, Sequence

from raftnode.core import election, quorum, roles
from raftnode.core.messages import PreVoteRequest, PreVoteResponse, RequestVoteRequest, RequestVoteResponse
from raftnode.core.quorum import VoteResult
from raftnode.core.state import RaftState
from raftnode.core.types import NodeId
from tests.core.planted_bugs.patches import changed, noticed_by, with_pre_vote, with_vote_request
from tests.support.planted import Patch, replace


def counting_votes(patch: Patch, rule: Callable[[dict[NodeId, bool], Sequence[NodeId]], VoteResult]) -> None:
    """Let `rule` decide a ballot among voters. A ballot that nobody votes in is won."""
    replace(patch, quorum.vote_result, lambda votes, voters: rule(votes, voters) if voters else VoteResult.WON)


@noticed_by(
    "rules_votes::test_half_of_the_votes_is_no_majority",
    "rules_votes::test_a_majority_of_votes_elects_and_a_minority_does_not",
)
def half_of_the_votes_is_enough(patch: Patch) -> None:
    def half(votes: dict[NodeId, bool], voters: Sequence[NodeId]) -> VoteResult:
        granted = sum(votes.get(voter) is True for voter in voters)
        return VoteResult.WON if 2 * granted >= len(voters) - 1 else VoteResult.PENDING

    counting_votes(patch, half)


@noticed_by("rules_votes::test_a_refusal_is_not_a_vote")
def a_refusal_counts_as_a_vote(patch: Patch) -> None:
    real = quorum.vote_result
    counting_votes(patch, lambda votes, voters: real(dict.fromkeys(votes, True), voters))


@noticed_by("rules_votes::test_a_joint_election_needs_both_halves")
def a_joint_election_needs_the_incoming_half_only(patch: Patch) -> None:
    real = quorum.joint_vote_result
    replace(patch, real, lambda votes, members: real(votes, changed(members, voters_outgoing=())))


def with_vote_response(
    patch: Patch, change: Callable[[RaftState, NodeId, RequestVoteResponse], tuple[NodeId, RequestVoteResponse]]
) -> None:
    """Let the candidate count a changed answer, or that of another peer."""
    real = election.handle_request_vote_response

    def handle(state: RaftState, peer: NodeId, response: RequestVoteResponse) -> None:
        real(state, *change(state, peer, response))

    replace(patch, real, handle)


def silent_voter(state: RaftState, instead_of: NodeId) -> NodeId:
    """Return a voter that has not answered yet."""
    return next((voter for voter in state.configuration.voters if voter not in state.ballot), instead_of)


@noticed_by("rules_votes::test_votes_of_an_earlier_term_do_not_count")
def votes_of_an_earlier_term_count(patch: Patch) -> None:
    with_vote_response(
        patch, lambda state, peer, response: (peer, changed(response, term=max(response.term, state.current_term)))
    )


@noticed_by("rules_votes::test_votes_of_strangers_learners_and_observers_do_not_count")
def everybodys_votes_count(patch: Patch) -> None:
    def for_a_voter(
        state: RaftState, peer: NodeId, response: RequestVoteResponse
    ) -> tuple[NodeId, RequestVoteResponse]:
        return peer if peer in state.configuration.voters else silent_voter(state, peer), response

    with_vote_response(patch, for_a_voter)


@noticed_by("rules_votes::test_a_vote_that_arrives_twice_counts_once")
def a_vote_that_arrives_twice_counts_twice(patch: Patch) -> None:
    def for_another(
        state: RaftState, peer: NodeId, response: RequestVoteResponse
    ) -> tuple[NodeId, RequestVoteResponse]:
        return silent_voter(state, peer) if peer in state.ballot else peer, response

    with_vote_response(patch, for_another)


@noticed_by("rules_votes::test_a_vote_response_of_a_higher_term_ends_the_campaign")
def a_candidate_ignores_a_higher_term(patch: Patch) -> None:
    with_vote_response(
        patch, lambda state, peer, response: (peer, changed(response, term=min(response.term, state.current_term)))
    )


@noticed_by("rules_votes::test_a_voters_first_answer_stands")
def a_voters_later_answer_replaces_the_first(patch: Patch) -> None:
    def forget(state: RaftState, peer: NodeId, response: RequestVoteResponse) -> tuple[NodeId, RequestVoteResponse]:
        state.ballot.pop(peer, None)
        return peer, response

    with_vote_response(patch, forget)


# Votes: pre-vote, and the protection of a leader that is alive.


@noticed_by("rules_votes::test_a_pre_vote_needs_a_majority_before_the_term_grows")
def no_pre_vote(patch: Patch) -> None:
    replace(patch, roles.become_pre_candidate, lambda state: roles.become_candidate(state))


@noticed_by("rules_votes::test_a_pre_vote_changes_nothing_on_either_side")
def a_pre_vote_adopts_the_term(patch: Patch) -> None:
    def adopt(state: RaftState, request: PreVoteRequest) -> PreVoteRequest:
        if request.term > state.current_term:
            roles.become_follower(state, request.term, None)
        return request

    with_pre_vote(patch, adopt)


@noticed_by("rules_votes::test_a_pre_vote_of_another_term_does_not_count")
def pre_votes_of_another_term_count(patch: Patch) -> None:
    real = election.handle_pre_vote_response

    def handle(state: RaftState, peer: NodeId, response: PreVoteResponse) -> None:
        real(state, peer, changed(response, requested_term=state.current_term + 1))

    replace(patch, real, handle)


@noticed_by("rules_votes::test_a_leader_that_went_silent_is_no_protection")
def a_leader_that_went_silent_is_protected(patch: Patch) -> None:
    def hear(state: RaftState, request: RequestVoteRequest) -> RequestVoteRequest:
        state.leader_contact = state.clock()
        return request

    with_vote_request(patch, hear)


@noticed_by("rules_votes::test_a_pre_vote_is_refused_while_a_leader_is_alive")
def a_pre_vote_against_a_leader_that_is_alive(patch: Patch) -> None:
    def forget(state: RaftState, request: PreVoteRequest) -> PreVoteRequest:
        state.leader_contact = None
        return request

    with_pre_vote(patch, forget)


@noticed_by(
    "rules_votes::test_a_live_leader_is_not_deposed_by_a_vote_request",
    "rules_votes::test_a_removed_node_cannot_disturb_the_cluster",
)
def a_leader_that_is_alive_is_not_protected(patch: Patch) -> None:
    with_vote_request(patch, lambda state, request: changed(request, leadership_transfer=True))


@noticed_by(
    "rules_votes::test_a_leadership_transfer_passes_the_protection",
    "rules_interface::test_a_transfer_in_a_cluster_moves_the_leadership_without_a_timeout",
)
def a_transfer_does_not_pass_the_protection(patch: Patch) -> None:
    with_vote_request(patch, lambda state, request: changed(request, leadership_transfer=False))
