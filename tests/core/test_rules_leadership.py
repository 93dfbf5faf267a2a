"""Outcomes that a caller waits for: leadership transfers, automatic promotions; and who campaigns how readily."""

import pytest

from raftnode import ConfChange, NodeRole, NotLeader, ProposalRejected, TimeoutNowRequest
from raftnode.core.ready import PromotionOutcome, TransferOutcome
from tests.support.bench import Bench


def leading_with_learner() -> tuple[Bench, int]:
    """Return node 1, which leads 1, 2, 3 with the learner 4, and the index of its last entry."""
    bench = Bench(term=1, learners=(4,))
    return bench, bench.lead()


def learner_answers(bench: Bench, index: int) -> None:
    """Let the learner 4 acknowledge `index` in the present round."""
    (message,) = [m for peer, m in bench.heartbeat().messages if peer == 4]
    bench.ack(4, index, round_=message.round)


def test_a_transfer_is_done_when_the_target_leads() -> None:
    """Thesis 3.10: the caller hears of it once, when the target's first request arrives."""
    bench = Bench(term=1)
    index = bench.lead()
    bench.node.transfer_leadership(2)
    bench.append(index, 2, [3], term=3, leader=2)
    assert bench.ready().transfers == [TransferOutcome(2, True, "")]
    assert bench.ready().transfers == []


def test_a_transfer_that_another_node_wins_is_not_done() -> None:
    """The reason names who leads instead."""
    bench = Bench(term=1)
    bench.lead()
    bench.node.transfer_leadership(2)
    bench.append(0, 0, term=5, leader=3)
    (outcome,) = bench.ready().transfers
    assert (outcome.target, outcome.done) == (2, False)
    assert "node 3 leads term 5" in outcome.reason


def test_a_transfer_ends_at_its_deadline_and_says_so() -> None:
    """The leader goes on; the outcome comes within one heartbeat of `election_timeout_max`."""
    bench = Bench(term=1, check_quorum=False)
    bench.lead()
    bench.node.transfer_leadership(2)
    bench.ready()
    bench.clock.advance(bench.config.election_timeout_max)
    (outcome,) = bench.heartbeat().transfers
    assert outcome == TransferOutcome(2, False, "node 2 did not take over in 2.0 s")
    assert bench.node.role is NodeRole.LEADER
    bench.node.propose(b"again")


def test_a_transfer_that_gives_way_to_another_is_told() -> None:
    """Each transfer that was begun ends once."""
    bench = Bench(term=1)
    bench.lead()
    bench.node.transfer_leadership(2)
    bench.node.transfer_leadership(3)
    assert bench.ready().transfers == [TransferOutcome(2, False, "a transfer to node 3 was requested instead")]
    assert bench.node.transfer_target == 3


def test_a_transfer_ends_when_its_target_loses_its_vote() -> None:
    """A target that is removed cannot lead."""
    bench = Bench(term=1)
    bench.lead()
    bench.node.transfer_leadership(2)
    bench.node.remove_peer(2)
    assert bench.ready().transfers == [TransferOutcome(2, False, "node 2 is no longer a voter")]


def test_a_node_with_priority_zero_never_leads() -> None:
    """It votes, and neither campaigns nor obeys a transfer; its status says why it waits."""
    bench = Bench(term=1, priority=0.0)
    bench.time_out()
    assert bench.node.role is NodeRole.FOLLOWER
    bench.node.handle_timeout_now(TimeoutNowRequest(1, 2))
    assert bench.node.role is NodeRole.FOLLOWER
    assert "priority is 0" in bench.node.status().no_leader_reason
    assert bench.ask_vote(2, (1, 1), term=2).vote_granted


def test_a_lower_priority_waits_longer() -> None:
    """Election timeouts are divided by the priority."""
    eager, patient = Bench(term=1), Bench(term=1, priority=0.25)
    assert patient.node.next_deadline() - patient.clock.now == pytest.approx(
        4 * (eager.node.next_deadline() - eager.clock.now)
    )


def test_a_priority_outside_its_range_is_refused() -> None:
    """Configuration that cannot work is refused by the constructor."""
    for priority in (-0.1, 1.1):
        with pytest.raises(ValueError, match="priority"):
            Bench(priority=priority)


def test_a_learner_is_promoted_by_itself_when_it_has_caught_up() -> None:
    """Thesis 4.2.1: a catch-up round shorter than an election timeout; the outcome comes with the commit."""
    bench, index = leading_with_learner()
    bench.node.promote_when_caught_up(4)
    bench.heartbeat()
    assert bench.node.learners == (4,)
    learner_answers(bench, index)
    bench.heartbeat()
    assert bench.node.peers == (2, 3, 4)
    assert bench.heartbeat().promotions == []
    for peer in (2, 3):
        bench.ack(peer, bench.node.last_log_index)
    assert bench.heartbeat().promotions == [PromotionOutcome(4, True, "")]


def test_a_learner_that_makes_no_progress_is_given_up_with_the_reason() -> None:
    """After `catch_up_timeout` without a new entry; as long as it makes progress it is waited for."""
    bench, _ = leading_with_learner()
    for _ in range(5):
        bench.node.propose(b"x")
    bench.node.promote_when_caught_up(4)
    for step in range(5):
        # Slow rounds: never caught up, and always a little further.
        bench.clock.advance(bench.config.catch_up_timeout - 2 * bench.config.heartbeat_interval)
        for peer in (2, 3):
            bench.ack(peer, 1)
        bench.ack(4, step + 1, round_=1)
        assert bench.heartbeat().promotions == []
        assert bench.node.learners == (4,)
    bench.clock.advance(bench.config.catch_up_timeout)
    for peer in (2, 3):
        bench.ack(peer, 1)
    outcomes = bench.heartbeat().promotions
    assert len(outcomes) == 1
    outcome = outcomes[0]
    assert (outcome.peer, outcome.done) == (4, False)
    assert "made no progress" in outcome.reason
    assert "entry 5 of 6" in outcome.reason
    assert bench.node.learners == (4,)


def test_promotions_end_with_the_leadership() -> None:
    """Each promotion that was begun ends once."""
    bench, _ = leading_with_learner()
    bench.node.promote_when_caught_up(4)
    bench.append(0, 0, term=9, leader=2)
    assert bench.ready().promotions == [PromotionOutcome(4, False, "this node stopped leading")]


def test_a_promotion_ends_when_its_learner_is_removed() -> None:
    """What is no learner cannot be promoted."""
    bench, _ = leading_with_learner()
    bench.node.promote_when_caught_up(4)
    bench.node.remove_learner(4)
    assert bench.heartbeat().promotions == [PromotionOutcome(4, False, "node 4 is no longer a learner")]


def test_a_promotion_waits_for_the_membership_change_before_it() -> None:
    """One change at a time: it is not given up because another one is under way."""
    bench, index = leading_with_learner()
    change = bench.node.propose_conf_change(ConfChange.add_observer(5))
    bench.node.promote_when_caught_up(4)
    bench.ack(4, index)
    learner_answers(bench, change)
    bench.heartbeat()
    assert bench.node.learners == (4,)
    bench.ack(2, change)
    bench.heartbeat()
    assert bench.node.peers == (2, 3, 4)


def test_only_a_leader_promotes_and_only_learners() -> None:
    """Raises NotLeader elsewhere, ProposalRejected for whoever is no learner."""
    with pytest.raises(NotLeader):
        Bench(term=1, learners=(4,)).node.promote_when_caught_up(4)
    bench, _ = leading_with_learner()
    with pytest.raises(ProposalRejected, match="node 2 is not a learner"):
        bench.node.promote_when_caught_up(2)


def test_a_refusal_says_whether_the_same_proposal_may_be_taken_later() -> None:
    """`temporary`: too early, as opposed to senseless."""
    bench = Bench(term=1)
    bench.elect()
    with pytest.raises(ProposalRejected) as early:
        bench.node.propose_conf_change(ConfChange.add_learner(4))
    for peer in (2, 3):
        bench.ack(peer, bench.node.last_log_index)
    with pytest.raises(ProposalRejected) as senseless:
        bench.node.propose_conf_change(ConfChange.promote(2))
    bench.node.propose_conf_change(ConfChange.add_learner(4))
    with pytest.raises(ProposalRejected) as pending:
        bench.node.propose_conf_change(ConfChange.add_learner(5))
    bench.node.transfer_leadership(2)
    with pytest.raises(ProposalRejected) as moving:
        bench.node.propose(b"x")
    assert [e.value.temporary for e in (early, senseless, pending, moving)] == [True, False, True, True]
