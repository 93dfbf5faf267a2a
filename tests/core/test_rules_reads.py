"""Linearizable reads (thesis 6.4)."""

# mypy takes a property for the same after a call.
# mypy: disable-error-code="comparison-overlap"

import pytest

from raftnode.core.errors import NotLeader
from raftnode.core.membership import ConfChange
from raftnode.core.types import NodeRole
from raftnode.testing import Stage
from tests.support.bench import Bench


def round_of(bench: Bench) -> int:
    """Take a Ready and return the round that its messages carry."""
    ready = bench.ready()
    return max(message.round for _, message in ready.messages)


def test_only_a_leader_takes_reads() -> None:
    """NotLeader, with a hint."""
    bench = Bench(term=1)
    bench.append(0, 0, leader=3)
    with pytest.raises(NotLeader) as caught:
        bench.node.read_index()
    assert caught.value.leader_hint == 3


def test_a_read_waits_for_a_quorum_that_answers_after_it_arrived() -> None:
    """Thesis 6.4: another leader may have been elected until now."""
    bench = Bench(term=1)
    index = bench.lead()
    read = bench.node.read_index()
    number = round_of(bench)
    assert bench.ready().reads == []
    bench.ack(2, index, round_=number)
    assert bench.ready().reads == [(read, index)]
    assert bench.ready().reads == []


def test_a_round_that_was_sent_before_the_read_confirms_nothing() -> None:
    """Thesis 6.4: an answer to an earlier broadcast says nothing of now."""
    bench = Bench(term=1)
    index = bench.lead()
    earlier = round_of_heartbeat(bench)
    bench.node.read_index()
    bench.ack(2, index, round_=earlier)
    bench.ack(3, index, round_=earlier)
    assert bench.ready().reads == []


def round_of_heartbeat(bench: Bench) -> int:
    return max(message.round for _, message in bench.heartbeat().messages)


def test_a_round_that_was_never_sent_confirms_nothing() -> None:
    """Peer input: a round of the future is a lie."""
    bench = Bench(term=1)
    index = bench.lead()
    bench.node.read_index()
    bench.ack(2, index, round_=10**6)
    assert bench.ready().reads == []
    assert bench.ready().reads == []


def test_an_answer_of_an_earlier_term_confirms_nothing() -> None:
    """Rounds begin anew with each term."""
    bench = Bench(term=1)
    index = bench.lead()
    bench.node.read_index()
    number = round_of(bench)
    bench.ack(2, index, term=bench.node.current_term - 1, round_=number)
    assert bench.ready().reads == []


def test_learners_and_observers_confirm_nothing() -> None:
    """Only voters can depose."""
    bench = Bench(term=1, learners=(4, 5), observers=(6, 7))
    index = bench.lead()
    bench.node.read_index()
    number = round_of(bench)
    for peer in (4, 5, 6, 7):
        bench.ack(peer, index, round_=number)
    assert bench.ready().reads == []


def test_a_read_needs_a_majority_and_not_one_answer() -> None:
    """Three of five, this node included."""
    bench = Bench(term=1, peers=(2, 3, 4, 5))
    index = bench.lead()
    bench.node.read_index()
    number = round_of(bench)
    bench.ack(2, index, round_=number)
    bench.ack(2, index, round_=number)
    assert bench.ready().reads == []
    bench.ack(3, index, round_=number)
    assert len(bench.ready().reads) == 1


def test_a_read_counts_both_halves_of_a_joint_configuration() -> None:
    """§6."""
    for half, other in (((2, 3), 4), ((4, 5), 2)):
        bench = Bench(term=1, learners=(4, 5))
        index = bench.lead()
        changes = [ConfChange.promote(4), ConfChange.promote(5), ConfChange.remove(2), ConfChange.remove(3)]
        bench.node.propose_conf_change(changes)
        bench.node.read_index()
        number = round_of(bench)
        for peer in half:
            bench.ack(peer, index, round_=number)
        assert bench.ready().reads == []
        bench.ack(other, index, round_=number)
        assert len(bench.ready().reads) == 1


def test_a_leader_without_check_quorum_gives_up_reads_that_nobody_confirms() -> None:
    """It leads on, cut off as it is, and may not gather reads without end."""
    bench = Bench(term=1, check_quorum=False)
    bench.lead()
    bench.clock.advance(bench.config.election_timeout_max)
    read = bench.node.read_index()
    assert bench.heartbeat().reads_aborted == [read]
    assert bench.node.role is NodeRole.LEADER
    assert bench.heartbeat().reads_aborted == []
    again = bench.node.read_index()
    number = round_of(bench)
    bench.ack(2, bench.node.last_log_index, round_=number)
    assert [confirmed for confirmed, _ in bench.ready().reads] == [again]
    assert bench.heartbeat().reads_aborted == []


def test_no_read_before_an_entry_of_this_term_is_committed() -> None:
    """§8: until then the leader may not know its predecessors' last commits."""
    bench = Bench([1], term=1)
    bench.elect()
    read = bench.node.read_index()
    number = round_of(bench)
    bench.ack(2, 1, round_=number)
    bench.ack(3, 1, round_=number)
    assert bench.ready().reads == []
    bench.ack(2, 2, round_=number)
    assert bench.ready().reads == [(read, 2)]


def test_the_reads_of_one_turn_share_a_round() -> None:
    """Thesis 6.4: one round of messages confirms all of them."""
    bench = Bench(term=1)
    index = bench.lead()
    reads = [bench.node.read_index() for _ in range(5)]
    ready = bench.ready()
    assert len(ready.messages) == 2
    bench.ack(3, index, round_=ready.messages[0][1].round)
    assert [read for read, _ in bench.ready().reads] == reads


def test_a_refused_append_still_confirms_that_the_follower_follows() -> None:
    """A follower whose log lags acknowledges the leader's term all the same."""
    from raftnode.core.messages import AppendEntriesResponse

    bench = Bench(term=1)
    bench.lead()
    bench.node.read_index()
    number = round_of(bench)
    response = AppendEntriesResponse(bench.node.current_term, False, 0, number, 9)
    bench.node.handle_append_entries_response(2, response)
    assert len(bench.ready().reads) == 1


def test_reads_are_aborted_when_the_leader_steps_down() -> None:
    """`reads_aborted`: the client asks the new leader."""
    bench = Bench(term=1)
    bench.lead()
    read = bench.node.read_index()
    bench.append(1, 2, [], leader=3, term=9)
    ready = bench.ready()
    assert (ready.reads, ready.reads_aborted) == ([], [read])


def test_a_single_voter_confirms_its_reads_alone() -> None:
    """A majority of one, and only after its term began for good."""
    bench = Bench(term=1, peers=())
    bench.time_out()
    read = bench.node.read_index()
    assert bench.ready().reads == [(read, 1)]


def test_a_deposed_leader_never_confirms_a_read() -> None:
    """Thesis 6.4: cut off from the others it cannot know of their writes."""
    stage = Stage(3)
    old = stage.elect(1)
    stage.isolate(1)
    new = stage.elect(2)
    new.propose(b"later")
    stage.settle()
    read = old.read_index() if old.role is NodeRole.LEADER else None
    stage.run(0.5)
    assert stage.processes[1].reads == {}
    stage.heal()
    stage.run(5.0)
    assert stage.processes[1].reads == {}
    assert stage.processes[1].reads_aborted == [read]


# Leases (thesis 6.4.1).


def leased(bench: Bench) -> int:
    """Make `bench` a leader with a lease from this moment."""
    index = bench.lead()
    number = round_of_heartbeat(bench)
    bench.ack(2, index, round_=number)
    return index


def test_a_lease_serves_reads_without_a_round() -> None:
    """Thesis 6.4.1."""
    bench = Bench(term=1, lease_reads=True)
    index = leased(bench)
    read = bench.node.read_index()
    assert bench.ready().reads == [(read, index)]


def test_without_the_option_there_is_no_lease() -> None:
    """Leases trust clocks: they are asked for."""
    bench = Bench(term=1)
    leased(bench)
    bench.node.read_index()
    assert bench.ready().reads == []


def test_a_lease_ends_before_the_least_election_timeout() -> None:
    """Thesis 6.4.1: by the bound of the clocks' drift; a read after a pause is not served from it."""
    bench = Bench(term=1, lease_reads=True)
    leased(bench)
    bench.clock.advance(0.95)
    bench.node.read_index()
    assert bench.ready().reads == []
    within = Bench(term=1, lease_reads=True)
    leased(within)
    within.clock.advance(0.85)
    within.node.read_index()
    assert len(within.ready().reads) == 1


def test_a_lease_counts_from_the_sending_and_not_from_the_answer() -> None:
    """Thesis 6.4.1: the answer may have waited somewhere for long."""
    bench = Bench(term=1, lease_reads=True)
    index = bench.lead()
    number = round_of_heartbeat(bench)
    bench.clock.advance(0.95)
    bench.ack(2, index, round_=number)
    bench.node.read_index()
    assert bench.ready().reads == []


def test_no_lease_before_an_entry_of_this_term_is_committed() -> None:
    """§8 holds for leases too."""
    bench = Bench([1], term=1, lease_reads=True)
    number = max(message.round for _, message in bench.elect().messages)
    bench.ack(2, 1, round_=number)
    bench.ack(3, 1, round_=number)
    bench.node.read_index()
    assert bench.ready().reads == []


def test_no_lease_once_a_transfer_was_sent() -> None:
    """Thesis 6.4.1: the target's campaign passes the protection that the lease rests on."""
    bench = Bench(term=1, lease_reads=True)
    leased(bench)
    bench.node.transfer_leadership(2)
    bench.node.read_index()
    assert bench.ready().reads == []


def test_a_restarted_node_honours_a_lease_that_it_may_have_promised() -> None:
    """Thesis 6.4.1: it forgot which leader it heard from, and when."""
    bench = Bench(term=1, lease_reads=True)
    bench.restart()
    assert not bench.ask_vote(3, (9, 9), term=2).vote_granted
    bench.clock.advance(bench.config.election_timeout_min)
    assert bench.ask_vote(3, (9, 9), term=2).vote_granted
