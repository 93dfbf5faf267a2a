"""Votes and pre-votes: who gets one, who counts, what must be durable (§5.2, §5.4.1, thesis 4.2.3 and 9.6)."""

# mypy takes a property for the same after a call.
# mypy: disable-error-code="comparison-overlap"

import pytest

from raftnode.core.errors import GroupNotFound, InvalidRequest
from raftnode.core.membership import ConfChange, Configuration, SnapshotMeta
from raftnode.core.messages import PreVoteResponse, RequestVoteRequest, RequestVoteResponse, TimeoutNowRequest
from raftnode.core.types import HardState, NodeRole
from raftnode.testing import Stage
from tests.support.bench import Bench, option


def test_the_vote_is_granted_once_in_a_term() -> None:
    """§5.2: first come, first served, one vote for each term."""
    bench = Bench(term=3)
    assert bench.ask_vote(2, (0, 0), term=4).vote_granted
    refused = bench.ask_vote(3, (9, 4), term=4)
    assert not refused.vote_granted
    assert "voted for node 2" in refused.reason


def test_a_repeated_request_of_the_same_candidate_is_granted_again() -> None:
    """Votes: the first answer may have been lost; the second one must say the same."""
    bench = Bench(term=3)
    assert bench.ask_vote(2, (0, 0), term=4).vote_granted
    assert bench.ask_vote(2, (0, 0), term=4).vote_granted


def test_a_vote_in_a_past_term_is_refused_with_the_current_term() -> None:
    """Figure 2, RequestVote step 1."""
    bench = Bench(term=5)
    answer = bench.ask_vote(2, (99, 4), term=4)
    assert (answer.vote_granted, answer.term) == (False, 5)
    assert bench.node.voted_for is None


def test_a_higher_term_is_adopted_even_when_the_vote_is_refused() -> None:
    """Figure 2, all servers: the term is news whatever the answer."""
    bench = Bench([1, 2], term=2)
    answer = bench.ask_vote(2, (1, 1), term=7)
    assert (answer.vote_granted, answer.term) == (False, 7)
    assert bench.node.current_term == 7
    assert bench.ready().hard_state == HardState(7, None)


@pytest.mark.parametrize(
    ("last", "granted"),
    [((3, 2), True), ((4, 2), True), ((2, 2), False), ((1, 3), True), ((99, 1), False), ((3, 1), False)],
)
def test_logs_are_compared_by_term_first_and_then_by_index(last: tuple[int, int], granted: bool) -> None:
    """§5.4.1: lexicographic on (term, index). This log ends at index 3 of term 2."""
    bench = Bench([1, 1, 2], term=3)
    assert bench.ask_vote(2, last, term=4).vote_granted is granted
    assert bench.ask_pre_vote(2, last, term=5).vote_granted is granted


def test_the_log_comparison_sees_through_a_compacted_log() -> None:
    """§5.4.1: an empty log after a snapshot still ends at the snapshot point."""
    bench = Bench(snapshot=(10, 3), term=3)
    assert not bench.ask_vote(2, (9, 3), term=4).vote_granted
    assert bench.ask_vote(3, (10, 3), term=4).vote_granted


def test_the_vote_survives_a_restart() -> None:
    """§5.2: a node that forgot its vote could vote twice in one term."""
    bench = Bench(term=3)
    bench.ask_vote(2, (0, 0), term=4)
    bench.ready()
    bench.restart()
    assert bench.node.voted_for == 2
    assert not bench.ask_vote(3, (9, 4), term=4).vote_granted
    assert bench.ask_vote(2, (0, 0), term=4).vote_granted


def test_term_and_vote_are_one_record_in_the_ready_that_precedes_the_answer() -> None:
    """Votes: durable in one record before the reply leaves; told once."""
    bench = Bench(term=3)
    bench.ask_vote(2, (0, 0), term=4)
    assert bench.node.take_ready().hard_state == HardState(4, 2)
    assert bench.node.take_ready().hard_state is None


def test_a_vote_within_the_known_term_is_persisted_too() -> None:
    """Votes: the record changes where only the vote changes."""
    bench = Bench(term=4)
    assert bench.ask_vote(2, (0, 0), term=4).vote_granted
    assert bench.node.take_ready().hard_state == HardState(4, 2)


def test_stepping_down_within_a_term_keeps_the_vote() -> None:
    """Votes: `voted_for` is cleared only when the term grows."""
    bench = Bench(term=3)
    bench.campaign()
    assert (bench.node.current_term, bench.node.voted_for) == (4, 1)
    bench.append(0, 0, leader=2, term=4)
    assert bench.node.role is NodeRole.FOLLOWER
    assert bench.node.voted_for == 1
    assert not bench.ask_vote(3, (9, 4), term=4).vote_granted


def test_the_vote_is_cleared_when_the_term_grows() -> None:
    """§5.2: a new term, a new vote."""
    bench = Bench(term=3, voted_for=2)
    bench.append(0, 0, leader=3, term=4)
    assert bench.node.voted_for is None
    assert bench.ready().hard_state == HardState(4, None)


def test_no_vote_for_a_rival_of_the_leader_of_this_term() -> None:
    """A term that has a leader needs no other: the rival has lost already."""
    bench = Bench(term=4)
    bench.append(0, 0, leader=2, term=4)
    answer = bench.ask_vote(3, (9, 4), term=4)
    assert not answer.vote_granted
    assert "leads term 4" in answer.reason


def test_a_granted_vote_postpones_this_nodes_own_campaign() -> None:
    """§5.2: a follower that grants a vote waits anew, so that votes do not split."""
    bench = Bench(term=3)
    bench.node.election_deadline_override(bench.clock.now + 0.1)
    bench.ask_vote(2, (0, 0), term=3)
    bench.clock.advance(0.5)
    bench.node.tick()
    assert bench.node.role is NodeRole.FOLLOWER


def test_a_majority_of_votes_elects_and_a_minority_does_not() -> None:
    """§5.2: three votes of five."""
    bench = Bench(term=1, peers=(2, 3, 4, 5))
    bench.campaign()
    bench.vote(2)
    assert bench.node.role is NodeRole.CANDIDATE
    bench.vote(3)
    assert bench.node.role is NodeRole.LEADER


def test_half_of_the_votes_is_no_majority() -> None:
    """§5.2: two votes of four."""
    bench = Bench(term=1, peers=(2, 3, 4))
    bench.campaign()
    bench.vote(2)
    assert bench.node.role is NodeRole.CANDIDATE


def test_a_vote_that_arrives_twice_counts_once() -> None:
    """Votes: distinct voters only."""
    bench = Bench(term=1, peers=(2, 3, 4, 5))
    bench.campaign()
    for _ in range(4):
        bench.vote(2)
    assert bench.node.role is NodeRole.CANDIDATE


def test_a_refusal_is_not_a_vote() -> None:
    """Votes: only grants count; where a majority refuses, the candidate gives up."""
    bench = Bench(term=1, peers=(2, 3, 4, 5))
    bench.campaign()
    bench.vote(2, granted=False)
    bench.vote(3, granted=False)
    assert bench.node.role is NodeRole.CANDIDATE
    bench.vote(4, granted=False)
    assert bench.node.role is NodeRole.FOLLOWER


def test_a_voters_first_answer_stands() -> None:
    """Votes: no order of duplicates makes a majority of a minority."""
    bench = Bench(term=1, peers=(2, 3))
    bench.campaign()
    bench.vote(2, granted=False)
    bench.vote(2, granted=True)
    assert bench.node.role is NodeRole.CANDIDATE


def test_votes_of_an_earlier_term_do_not_count() -> None:
    """Votes: current-term grants only."""
    bench = Bench(term=1)
    bench.campaign()
    bench.campaign()
    assert bench.node.role is NodeRole.CANDIDATE
    bench.vote(2, term=bench.node.current_term - 1)
    assert bench.node.role is NodeRole.CANDIDATE


def test_votes_of_strangers_learners_and_observers_do_not_count() -> None:
    """Votes: voters only."""
    bench = Bench(term=1, learners=(4,), observers=(5,))
    bench.campaign()
    for peer in (4, 5, 6):
        bench.vote(peer)
    assert bench.node.role is NodeRole.CANDIDATE


def test_votes_count_only_for_a_candidate() -> None:
    """Votes: an answer that arrives after the campaign ended elects nobody."""
    bench = Bench(term=1)
    bench.campaign()
    bench.append(0, 0, leader=2)
    bench.vote(2)
    bench.vote(3)
    assert bench.node.role is NodeRole.FOLLOWER


def test_a_vote_response_of_a_higher_term_ends_the_campaign() -> None:
    """Figure 2, all servers."""
    bench = Bench(term=1)
    bench.campaign()
    bench.vote(2, granted=False, term=9)
    assert (bench.node.role, bench.node.current_term) == (NodeRole.FOLLOWER, 9)


@pytest.mark.parametrize("passive", ["starts_as_learner", "starts_as_observer"])
def test_learners_and_observers_never_grant(passive: str) -> None:
    """They have no vote to give, and a restarted one may not know the latest members."""
    bench = Bench(term=1, **option(passive))
    assert not bench.ask_vote(2, (9, 9), term=9).vote_granted
    assert not bench.ask_pre_vote(2, (9, 9), term=10).vote_granted
    assert bench.node.voted_for is None


@pytest.mark.parametrize("passive", ["starts_as_learner", "starts_as_observer"])
def test_learners_and_observers_never_campaign(passive: str) -> None:
    """Nor when a leader asks them to."""
    bench = Bench(term=1, **option(passive))
    for _ in range(5):
        assert bench.time_out().is_empty()
    bench.node.handle_timeout_now(TimeoutNowRequest(1, 2))
    assert bench.node.current_term == 1
    assert bench.node.role in (NodeRole.LEARNER, NodeRole.OBSERVER)


def test_vote_requests_go_to_the_other_voters_only() -> None:
    """Learners, observers and this node itself are not asked."""
    bench = Bench(term=1, learners=(4,), observers=(5,))
    ready = bench.campaign()
    assert sorted(peer for peer, _ in ready.vote_requests) == [2, 3]
    request = ready.vote_requests[0][1]
    assert (request.term, request.candidate_id, request.last_log_index) == (2, 1, 0)


def test_a_vote_request_says_where_the_log_ends() -> None:
    """§5.4.1: the voter compares with it."""
    bench = Bench([1, 1, 3], term=3)
    (_, request), *_ = bench.campaign().vote_requests
    assert (request.last_log_index, request.last_log_term) == (3, 3)


def test_the_candidates_term_is_to_be_persisted_before_its_requests_leave() -> None:
    """Figure 2: the same Ready carries the hard state with its own vote."""
    bench = Bench(term=1, pre_vote=False)
    ready = bench.time_out()
    assert ready.hard_state == HardState(2, 1)
    assert ready.vote_requests


def test_silent_voters_are_asked_again() -> None:
    """§5.1: servers retry RPCs. Those that answered are left alone."""
    bench = Bench(term=1, peers=(2, 3, 4, 5))
    bench.campaign()
    bench.vote(2)
    ready = bench.heartbeat()
    assert sorted(peer for peer, _ in ready.vote_requests) == [3, 4, 5]


def test_an_election_without_outcome_begins_again_in_a_new_term() -> None:
    """§5.2: split votes time out."""
    bench = Bench(term=1, pre_vote=False)
    bench.time_out()
    bench.time_out()
    assert (bench.node.role, bench.node.current_term) == (NodeRole.CANDIDATE, 3)


def test_a_single_voter_elects_itself() -> None:
    """A majority of one."""
    bench = Bench(term=1, peers=())
    bench.time_out()
    assert bench.node.role is NodeRole.LEADER
    assert bench.node.commit_index == 1


def test_malformed_vote_requests_change_nothing() -> None:
    """Peer input: a candidate that claims to be this node, negative numbers, another group."""
    bench = Bench(term=1)
    for request in (RequestVoteRequest(9, 1, 0, 0), RequestVoteRequest(9, 2, -1, 0), RequestVoteRequest(-9, 2, 0, 0)):
        with pytest.raises(InvalidRequest):
            bench.node.handle_request_vote(request)
    with pytest.raises(GroupNotFound):
        bench.node.handle_request_vote(RequestVoteRequest(9, 2, 0, 0, 5))
    with pytest.raises(InvalidRequest):
        bench.node.handle_request_vote_response(1, RequestVoteResponse(9, True))
    assert bench.node.current_term == 1
    assert bench.ready().is_empty()


# Pre-vote.


def test_a_pre_vote_changes_nothing_on_either_side() -> None:
    """Thesis 9.6: neither term nor vote, so it can be asked at no cost."""
    bench = Bench(term=3)
    assert bench.ask_pre_vote(2, (0, 0), term=9).vote_granted
    assert (bench.node.current_term, bench.node.voted_for) == (3, None)
    ready = bench.time_out()
    assert bench.node.role is NodeRole.PRE_CANDIDATE
    assert ready.hard_state is None
    assert [request.term for _, request in ready.pre_vote_requests] == [4, 4]
    assert ready.vote_requests == []


def test_a_pre_vote_needs_a_majority_before_the_term_grows() -> None:
    """Thesis 9.6: a node that is cut off never raises its term."""
    bench = Bench(term=3, peers=(2, 3, 4, 5))
    for _ in range(5):
        bench.time_out()
        bench.pre_vote(2)
        bench.pre_vote(2)
    assert bench.node.current_term == 3
    bench.pre_vote(3)
    assert (bench.node.role, bench.node.current_term) == (NodeRole.CANDIDATE, 4)


def test_a_pre_vote_of_another_term_does_not_count() -> None:
    """Only answers to what was asked count."""
    bench = Bench(term=3)
    bench.time_out()
    bench.pre_vote(2, requested=3)
    assert bench.node.role is NodeRole.PRE_CANDIDATE


def test_a_pre_vote_is_refused_while_a_leader_is_alive() -> None:
    """Thesis 9.6: a node that lost touch with the leader alone cannot depose it."""
    bench = Bench(term=3)
    bench.append(0, 0, leader=2)
    assert not bench.ask_pre_vote(3, (9, 3), term=4).vote_granted
    bench.clock.advance(bench.config.election_timeout_min)
    assert bench.ask_pre_vote(3, (9, 3), term=4).vote_granted


def test_a_pre_vote_for_a_term_that_is_not_higher_is_refused_and_tells_the_term() -> None:
    """The asking node is behind and learns it."""
    bench = Bench(term=7)
    answer = bench.ask_pre_vote(2, (9, 9), term=7)
    assert (answer.vote_granted, answer.term) == (False, 7)
    asking = Bench(term=3)
    asking.time_out()
    asking.node.handle_pre_vote_response(2, answer)
    assert (asking.node.role, asking.node.current_term) == (NodeRole.FOLLOWER, 7)


def test_a_granted_pre_vote_of_a_lower_term_counts() -> None:
    """A voter that missed terms still says yes; its own term is lower than what was asked."""
    bench = Bench(term=3)
    bench.time_out()
    bench.node.handle_pre_vote_response(2, PreVoteResponse(2, True, requested_term=4))
    assert bench.node.role is NodeRole.CANDIDATE


def test_without_pre_vote_the_term_grows_at_once() -> None:
    """The option turns thesis 9.6 off."""
    bench = Bench(term=3, pre_vote=False)
    bench.time_out()
    assert (bench.node.role, bench.node.current_term) == (NodeRole.CANDIDATE, 4)


# A live leader is left alone (thesis 4.2.3).


def test_a_live_leader_is_not_deposed_by_a_vote_request() -> None:
    """Thesis 4.2.3: neither the leader nor its followers adopt the term of a node that was removed or cut off."""
    leader = Bench(term=1)
    leader.lead()
    assert not leader.ask_vote(3, (99, 9), term=9).vote_granted
    assert (leader.node.role, leader.node.current_term) == (NodeRole.LEADER, 2)
    follower = Bench(term=1)
    follower.append(0, 0, leader=2)
    assert not follower.ask_vote(3, (99, 9), term=9).vote_granted
    assert follower.node.current_term == 1


def test_a_leader_that_went_silent_is_no_protection() -> None:
    """Thesis 4.2.3: the protection lasts the least election timeout."""
    bench = Bench(term=1)
    bench.append(0, 0, leader=2)
    bench.clock.advance(bench.config.election_timeout_min)
    assert bench.ask_vote(3, (99, 9), term=9).vote_granted


def test_a_leadership_transfer_passes_the_protection() -> None:
    """Thesis 4.2.3: the leader itself asked for the election."""
    bench = Bench(term=1)
    bench.append(0, 0, leader=2)
    assert bench.ask_vote(3, (0, 0), term=2, transfer=True).vote_granted


def test_without_check_quorum_a_leader_is_not_protected() -> None:
    """A leader that never steps down by itself must be deposable."""
    bench = Bench(term=1, check_quorum=False)
    bench.append(0, 0, leader=2)
    assert bench.ask_vote(3, (0, 0), term=2).vote_granted


def test_a_removed_node_cannot_disturb_the_cluster() -> None:
    """Membership: it never hears of its removal, campaigns forever, and the leader stays."""
    for pre_vote in (True, False):
        stage = Stage(4, pre_vote=pre_vote)
        leader = stage.elect(1)
        stage.isolate(4)
        leader.propose_conf_change(ConfChange.remove(4))
        stage.settle()
        stage.heal()
        term = leader.current_term
        stage.run(12.0)
        assert leader.role is NodeRole.LEADER
        assert leader.current_term == term


def test_a_joint_election_needs_both_halves() -> None:
    """§6: while two voter sets decide, votes of one of them elect nobody."""
    joint = Configuration(voters=(1, 4, 5), voters_outgoing=(1, 2, 3))
    for half, other in (((2, 3), 4), ((4, 5), 2)):
        bench = Bench(snapshot=(5, 1), restore=False, pre_vote=False)
        bench.node.restore(SnapshotMeta(5, 1, joint))
        bench.time_out()
        for peer in half:
            bench.vote(peer)
        assert bench.node.role is NodeRole.CANDIDATE
        bench.vote(other)
        assert bench.node.role is NodeRole.LEADER
