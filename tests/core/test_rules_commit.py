"""What a leader commits, and when (§5.3, §5.4.2, §6)."""

# mypy takes a property for the same after a call.
# mypy: disable-error-code="comparison-overlap"

import pytest

from raftnode.core.errors import InvalidRequest
from raftnode.core.membership import ConfChange
from raftnode.core.types import EntryKind, NodeRole
from raftnode.testing import Disk
from tests.support.bench import Bench


def test_a_new_leader_opens_its_term_with_an_empty_entry() -> None:
    """§8: nothing older commits before it."""
    bench = Bench([1], term=1)
    ready = bench.elect()
    (_, request), *_ = ready.messages
    assert [(e.index, e.term, e.kind, e.data) for e in request.entries] == [(2, 2, EntryKind.NOOP, b"")]


def test_an_entry_is_committed_when_a_majority_has_it() -> None:
    """§5.3: three of five, this node included."""
    bench = Bench(term=1, peers=(2, 3, 4, 5))
    bench.elect()
    bench.ack(2, 1)
    assert bench.node.commit_index == 0
    bench.ack(2, 1)
    assert bench.node.commit_index == 0
    bench.ack(3, 1)
    assert bench.node.commit_index == 1


def test_four_voters_need_three() -> None:
    """§5.3: half is no majority."""
    bench = Bench(term=1, peers=(2, 3, 4))
    bench.elect()
    bench.ack(2, 1)
    assert bench.node.commit_index == 0
    bench.ack(3, 1)
    assert bench.node.commit_index == 1


def test_an_entry_of_an_earlier_term_is_not_committed_by_counting() -> None:
    """§5.4.2, figure 8: a majority may have it and still lose it. It commits with one of this term."""
    bench = Bench([1, 2], term=3)
    bench.elect()
    bench.ack(2, 2)
    bench.ack(3, 2)
    assert bench.node.commit_index == 0
    bench.ack(2, 3)
    assert bench.node.commit_index == 3


def test_acknowledgements_of_another_term_count_for_nothing() -> None:
    """Progress: what matched an earlier leader's log may have been replaced since."""
    bench = Bench([1], term=1)
    bench.elect()
    bench.ack(2, 2, term=1)
    assert bench.node.commit_index == 0
    assert bench.node.match_index_for(2) == 0


def test_acknowledgements_of_learners_observers_and_strangers_commit_nothing() -> None:
    """DESIGN 3: learners move their progress only, observers are advisory, unknown peers are nothing."""
    bench = Bench(term=1, learners=(4, 5), observers=(6, 7))
    bench.elect()
    for peer in (4, 5, 6, 7, 8, 9):
        bench.ack(peer, 1)
    assert bench.node.commit_index == 0
    assert [bench.node.match_index_for(peer) for peer in (4, 6, 8)] == [1, 1, None]


def test_the_commit_index_never_moves_back() -> None:
    """A reordered acknowledgement says less than what is known."""
    bench = Bench(term=1)
    bench.lead()
    for _ in range(3):
        bench.node.propose(b"x")
    bench.ack(2, 4)
    assert bench.node.commit_index == 4
    bench.ack(2, 2)
    bench.ack(3, 1)
    assert bench.node.commit_index == 4


def test_nothing_above_what_the_leader_owns_is_committed() -> None:
    """An acknowledgement of entries that this leader does not have is a lie."""
    bench = Bench(term=1)
    bench.lead()
    for peer in (2, 3):
        with pytest.raises(InvalidRequest):
            bench.ack(peer, 99)
    assert bench.node.commit_index == 1


def test_a_leader_counts_itself_only_up_to_what_is_durable() -> None:
    """Thesis 10.2.1: entries leave before this node's own fsync; its own vote for them comes after it."""
    bench = Bench(term=1, storage=Disk())
    bench.elect()
    bench.ack(2, 1)
    assert bench.node.commit_index == 0
    assert isinstance(bench.storage, Disk)
    bench.storage.sync()
    bench.node.on_storage_progress()
    assert bench.node.commit_index == 1


def test_the_followers_may_commit_what_the_leader_has_not_durable() -> None:
    """Thesis 10.2.1: a majority without the leader is a majority."""
    bench = Bench(term=1, storage=Disk())
    bench.elect()
    bench.ack(2, 1)
    bench.ack(3, 1)
    assert bench.node.commit_index == 1


def test_a_single_voter_commits_only_what_is_durable() -> None:
    """A majority of one is still a promise of durability."""
    bench = Bench(term=1, peers=(), storage=Disk())
    bench.time_out()
    bench.node.propose(b"x")
    assert bench.node.commit_index == 0
    assert isinstance(bench.storage, Disk)
    bench.storage.sync()
    bench.node.on_storage_progress()
    assert bench.node.commit_index == 2


def test_a_single_voter_commits_a_proposal_at_once() -> None:
    """No one else is to be waited for."""
    bench = Bench(term=1, peers=())
    bench.time_out()
    assert bench.node.propose(b"x") == 2
    assert bench.node.commit_index == 2


def test_commit_is_evaluated_again_when_the_membership_shrinks() -> None:
    """Commit: what lacked one acknowledgement of four lacks none of three."""
    bench = Bench(term=1, peers=(2, 3, 4))
    bench.lead()
    index = bench.node.propose(b"x")
    bench.ack(2, index)
    assert bench.node.commit_index == 1
    bench.node.remove_peer(4)
    assert bench.node.commit_index == index


def test_commit_is_evaluated_again_when_a_replicated_change_shrinks_it() -> None:
    """Commit: a configuration is in force on append, for the entries before it too."""
    bench = Bench(term=1, peers=(2, 3, 4))
    bench.lead()
    index = bench.node.propose(b"x")
    bench.ack(2, index)
    bench.node.propose_conf_change(ConfChange.remove(4))
    assert bench.node.commit_index == index


def test_a_removed_leader_stops_counting_itself_at_once() -> None:
    """Thesis 4.2.2: it goes on leading until the change is committed, without its own vote."""
    bench = Bench(term=1)
    bench.lead()
    index = bench.node.propose_conf_change(ConfChange.remove(1))
    bench.ack(2, index)
    assert bench.node.role is NodeRole.LEADER
    assert bench.node.commit_index == 1
    bench.ack(3, index)
    assert bench.node.commit_index == index
    assert bench.node.role is NodeRole.FOLLOWER


def test_a_joint_configuration_commits_with_a_majority_of_both_halves() -> None:
    """§6: neither the old nor the new voters decide alone."""
    for first, other in (((2, 3), 4), ((4, 5), 2)):
        bench = Bench(term=1, learners=(4, 5))
        bench.lead()
        changes = [ConfChange.promote(4), ConfChange.promote(5), ConfChange.remove(2), ConfChange.remove(3)]
        index = bench.node.propose_conf_change(changes)
        for peer in first:
            bench.ack(peer, index)
        assert bench.node.commit_index == 1
        bench.ack(other, index)
        assert bench.node.commit_index == index


def test_followers_learn_a_new_commit_index_at_once() -> None:
    """`commit_broadcast_delay` 0: a follower applies without waiting for the next heartbeat."""
    bench = Bench(term=1)
    bench.lead()
    bench.node.propose(b"x")
    bench.ready()
    bench.ack(2, 2)
    assert {(peer, m.leader_commit, len(m.entries)) for peer, m in bench.ready().messages} == {(2, 2, 0), (3, 2, 0)}
    quiet = Bench(term=1, commit_broadcast_delay=0.01)
    quiet.lead()
    quiet.node.propose(b"x")
    quiet.ready()
    quiet.ack(2, 2)
    assert quiet.ready().messages == []
    quiet.clock.advance(0.01)
    assert {(peer, m.leader_commit, len(m.entries)) for peer, m in quiet.ready().messages} == {(2, 2, 0), (3, 2, 0)}
