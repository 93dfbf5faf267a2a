"""Membership: who may change it and when, what is in force, what is taken back (thesis chapter 4, §6)."""

# mypy takes a property for the same after a call.
# mypy: disable-error-code="comparison-overlap"

from collections.abc import Callable

import pytest

from raftnode.core.errors import NotLeader, ProposalRejected, SerializationError
from raftnode.core.membership import (
    ConfChange,
    Configuration,
    SnapshotMeta,
    apply_change,
    apply_changes,
    decode_configuration,
    leave_joint,
    make_configuration,
)
from raftnode.core.node import RaftNode
from raftnode.core.types import EntryKind, LogEntry, NodeRole
from raftnode.testing import Stage
from tests.support.bench import Bench, configuration_entry


def commit_all(bench: Bench) -> None:
    """Let every member acknowledge the whole log, until nothing is appended by itself any longer."""
    for _ in range(4):
        for peer in (*bench.node.peers, *bench.node.learners):
            if bench.node.role is NodeRole.LEADER:
                bench.ack(peer, bench.node.last_log_index)
        bench.ready()


# When a change may be proposed.


def test_only_the_leader_takes_a_change() -> None:
    """NotLeader."""
    with pytest.raises(NotLeader):
        Bench(term=1).node.propose_conf_change(ConfChange.add_learner(4))


def test_no_change_before_an_entry_of_the_current_term_is_committed() -> None:
    """Ongaro 2015: without it two leaders could pass each other with majorities that do not meet."""
    bench = Bench([1], term=1)
    bench.elect()
    with pytest.raises(ProposalRejected, match="no entry of term 2 is committed"):
        bench.node.propose_conf_change(ConfChange.add_voter(4))
    assert bench.node.last_log_index == 2
    bench.ack(2, 2)
    bench.node.propose_conf_change(ConfChange.add_voter(4))


def test_one_change_is_uncommitted_at_a_time() -> None:
    """Thesis 4.1."""
    bench = Bench(term=1)
    bench.lead()
    index = bench.node.propose_conf_change(ConfChange.add_learner(4))
    with pytest.raises(ProposalRejected, match=f"index {index} is not committed"):
        bench.node.propose_conf_change(ConfChange.add_learner(5))
    assert bench.node.last_log_index == index
    bench.ack(2, index)
    bench.node.propose_conf_change(ConfChange.add_learner(5))
    assert bench.node.learners == (4, 5)


def test_an_uncommitted_change_of_an_earlier_term_counts_as_in_flight() -> None:
    """Thesis 4.1: whoever proposed it."""
    bench = Bench(log=[configuration_entry(1, 1, [1, 2, 3], [4])])
    bench.elect()
    with pytest.raises(ProposalRejected):
        bench.node.propose_conf_change(ConfChange.add_learner(5))
    bench.ack(2, 2)
    bench.node.propose_conf_change(ConfChange.add_learner(5))


def test_no_change_during_the_joint_phase() -> None:
    """§6: the next change begins from a settled configuration."""
    bench = Bench(term=1, learners=(4, 5))
    bench.lead()
    bench.node.propose_conf_change([ConfChange.promote(4), ConfChange.promote(5)])
    with pytest.raises(ProposalRejected):
        bench.node.propose_conf_change(ConfChange.add_learner(6))


@pytest.mark.parametrize(
    "change",
    [
        ConfChange.add_voter(2), ConfChange.add_learner(2), ConfChange.add_learner(4), ConfChange.add_observer(4),
        ConfChange.add_observer(5), ConfChange.promote(2), ConfChange.promote(9), ConfChange.promote(5),
        ConfChange.demote(4), ConfChange.remove(9), ConfChange.add_voter(0),
    ],
)  # fmt: skip
def test_a_change_that_makes_no_sense_is_rejected_with_a_reason(change: ConfChange) -> None:
    """ProposalRejected; nothing is appended."""
    bench = Bench(term=1, learners=(4,), observers=(5,))
    index = bench.lead()
    with pytest.raises(ProposalRejected) as caught:
        bench.node.propose_conf_change(change)
    assert "node" in caught.value.reason
    assert bench.node.last_log_index == index


def test_the_last_voter_stays() -> None:
    """A stage without voters could never change again."""
    for change in (ConfChange.remove(1), ConfChange.demote(1)):
        bench = Bench(term=1, peers=(), learners=(4,))
        bench.time_out()
        with pytest.raises(ProposalRejected, match="last voter"):
            bench.node.propose_conf_change(change)
        with pytest.raises(ProposalRejected, match="no voter left"):
            bench.node.propose_conf_change([change, ConfChange.add_learner(7)])


def test_a_node_may_not_be_named_twice_and_something_must_be_named() -> None:
    """A set of changes says one thing of each node."""
    base = make_configuration([1, 2, 3])
    with pytest.raises(ProposalRejected, match="twice"):
        apply_changes(base, [ConfChange.remove(2), ConfChange.add_learner(2)])
    with pytest.raises(ProposalRejected, match="no membership change"):
        apply_changes(base, [])


# What is in force.


def test_a_change_is_in_force_on_append() -> None:
    """Thesis 4.1: the leader uses it at once, committed or not."""
    bench = Bench(term=1)
    bench.lead()
    index = bench.node.propose_conf_change(ConfChange.add_voter(4))
    assert bench.node.peers == (2, 3, 4)
    bench.ack(2, index)
    assert bench.node.commit_index == 1
    bench.ack(4, index)
    assert bench.node.commit_index == index


def test_a_follower_uses_a_configuration_when_it_is_appended() -> None:
    """Thesis 4.1."""
    bench = Bench([1])
    bench.append(1, 1, log=[configuration_entry(1, 2, [1, 2, 3, 4], [5], [6])])
    assert (bench.node.peers, bench.node.learners, bench.node.observers) == ((2, 3, 4), (5,), (6,))
    assert bench.node.commit_index == 0
    assert not bench.node.status().configuration_committed


def test_a_truncated_configuration_is_rolled_back() -> None:
    """Thesis 4.1: the one before it is in force again."""
    first, second = configuration_entry(1, 2, [1, 2, 3, 4]), configuration_entry(1, 3, [1, 2, 3, 4, 5])
    bench = Bench(log=[LogEntry(1, 1, b""), first, second, LogEntry(1, 4, b"")])
    assert 5 in bench.node.peers
    bench.append(3, 1, [2], term=2)
    assert 5 in bench.node.peers
    bench.append(2, 1, [3], term=3)
    assert bench.node.peers == (2, 3, 4)
    bench.append(1, 1, [4], term=4)
    assert bench.node.peers == (2, 3)


def test_a_rolled_back_promotion_makes_a_learner_again() -> None:
    """Thesis 4.1: the role follows the configuration both ways."""
    bench = Bench([1], starts_as_learner=True)
    bench.append(1, 1, log=[configuration_entry(1, 2, [1, 2, 3])])
    role = bench.node.role
    assert role is NodeRole.FOLLOWER
    bench.append(1, 1, [2], term=2)
    assert bench.node.role is NodeRole.LEARNER


def test_a_joint_change_is_rolled_back_at_each_point() -> None:
    """§6: from the joint phase, and from its end."""
    joint = apply_changes(make_configuration([1, 2, 3]), [ConfChange.add_voter(4), ConfChange.remove(3)])
    log = [
        LogEntry(1, 1, b""),
        LogEntry(1, 2, joint.encode(), EntryKind.CONFIGURATION),
        LogEntry(1, 3, leave_joint(joint).encode(), EntryKind.CONFIGURATION),
    ]
    bench = Bench(log=log)
    assert bench.node.configuration == leave_joint(joint)
    bench.append(2, 1, [2], term=2)
    assert bench.node.configuration == joint
    bench.append(1, 1, [3], term=3)
    assert bench.node.configuration.voters == (1, 2, 3)
    assert not bench.node.configuration.joint


def test_a_new_voter_without_contact_is_not_counted_as_silent_at_once() -> None:
    """Check-quorum gives a member one election timeout."""
    bench = Bench(term=1, peers=())
    bench.time_out()
    for _ in range(25):
        bench.heartbeat()
    bench.node.propose_conf_change(ConfChange.add_voter(2))
    bench.heartbeat()
    assert bench.node.role is NodeRole.LEADER


# Restart.


def test_a_restarted_node_takes_its_configuration_from_the_log() -> None:
    """Membership: the log first."""
    bench = Bench([1])
    bench.append(1, 1, log=[configuration_entry(1, 2, [1, 2, 3, 4])])
    bench.restart()
    assert bench.node.peers == (2, 3, 4)
    assert not bench.node.status().configuration_committed
    bench.append(1, 1, [2], term=2)
    assert bench.node.peers == (2, 3)


def test_a_restarted_node_takes_its_configuration_from_the_snapshot_next() -> None:
    """Membership: else the snapshot; an entry behind it wins."""
    configuration = make_configuration([1, 2, 7])
    bench = Bench([1], snapshot=(5, 1), restore=False)
    bench.node.restore(SnapshotMeta(5, 1, configuration))
    assert bench.node.peers == (2, 7)
    later = Bench(log=[configuration_entry(1, 6, [1, 8])], snapshot=(5, 1), restore=False)
    later.node.restore(SnapshotMeta(5, 1, configuration))
    assert later.node.peers == (8,)
    earlier = Bench(log=[configuration_entry(1, 1, [1, 8]), LogEntry(1, 2, b"")], restore=False)
    earlier.node.restore(SnapshotMeta(2, 1, configuration))
    assert earlier.node.peers == (2, 7)


def test_a_restarted_node_takes_its_configuration_from_entries_that_its_machine_has_applied() -> None:
    """Membership: the log first, where the machine was loaded without a configuration."""
    bench = Bench(log=[configuration_entry(1, 1, [1, 8]), LogEntry(1, 2, b"")], restore=False)
    bench.node.restore(SnapshotMeta(2, 1))
    assert bench.node.peers == (8,)


def test_a_restarted_node_takes_its_configuration_from_its_format_at_last() -> None:
    """Membership: else what it was told at its format."""
    assert Bench([1]).node.peers == (2, 3)


def test_a_node_that_was_removed_does_not_campaign_after_a_restart() -> None:
    """Membership: it has no vote in the configuration that is committed."""
    bench = Bench(snapshot=(5, 1), restore=False)
    bench.node.restore(SnapshotMeta(5, 1, make_configuration([2, 3])))
    bench.time_out()
    bench.time_out()
    assert bench.node.role is NodeRole.FOLLOWER
    assert bench.node.current_term == 1


# Snapshots.


def test_a_snapshot_brings_the_committed_configuration_and_resets_the_latest() -> None:
    """Membership: whatever this node's own log said."""
    bench = Bench(log=[configuration_entry(1, 1, [1, 2, 3, 9])])
    bench.install(5, 2, leader_term=2, configuration=make_configuration([1, 4, 5]))
    assert bench.node.peers == (4, 5)
    assert bench.node.status().configuration_committed


def test_a_configuration_behind_a_snapshot_stays_in_force_with_the_suffix() -> None:
    """Figure 13, step 6: the entries after the snapshot are kept, and so is what they say."""
    log = [LogEntry(1, 1, b""), LogEntry(1, 2, b""), configuration_entry(1, 3, [1, 2, 3, 4])]
    bench = Bench(log=log)
    bench.install(2, 1, configuration=make_configuration([1, 2, 3]))
    assert bench.node.peers == (2, 3, 4)
    assert bench.node.configuration_at(2).voters == (1, 2, 3)


def test_the_configuration_at_a_snapshots_index_is_the_one_of_then() -> None:
    """Membership: a snapshot carries the committed configuration, not a later one."""
    log = [LogEntry(1, 1, b""), configuration_entry(1, 2, [1, 2]), configuration_entry(1, 3, [1, 2, 4])]
    bench = Bench(log=log)
    assert [bench.node.configuration_at(i).voters for i in (1, 2, 3)] == [(1, 2, 3), (1, 2), (1, 2, 4)]
    bench.append(3, 1, [], commit=3)
    bench.ready()
    bench.node.compact(2)
    assert bench.node.configuration_at(2).voters == (1, 2)
    assert bench.node.peers == (2, 4)


# Joint consensus.


def test_one_vote_changes_without_a_joint_phase() -> None:
    """Thesis 4.1: majorities that differ by one voter always meet."""
    base = make_configuration([1, 2, 3], [4])
    for changes in (
        [ConfChange.promote(4)],
        [ConfChange.remove(3)],
        [ConfChange.demote(3)],
        [ConfChange.add_learner(5), ConfChange.promote(4)],
    ):
        assert not apply_changes(base, changes).joint


def test_several_votes_change_through_a_joint_phase() -> None:
    """§6: two majorities could miss each other otherwise."""
    base = make_configuration([1, 2, 3])
    for changes in (
        [ConfChange.add_voter(4), ConfChange.add_voter(5)],
        [ConfChange.add_voter(4), ConfChange.remove(3)],
        [ConfChange.remove(2), ConfChange.remove(3)],
    ):
        joint = apply_changes(base, changes)
        assert joint.voters_outgoing == (1, 2, 3)
        left = leave_joint(joint)
        assert left.voters == joint.voters
        assert not left.joint


def test_the_leader_leaves_the_joint_phase_by_itself() -> None:
    """§6: as soon as the joint configuration is committed."""
    bench = Bench(term=1, learners=(4, 5))
    bench.lead()
    index = bench.node.propose_conf_change([ConfChange.promote(4), ConfChange.promote(5), ConfChange.remove(3)])
    assert bench.node.configuration.joint
    assert bench.node.peers == (2, 3, 4, 5)
    commit_all(bench)
    assert not bench.node.configuration.joint
    assert bench.node.last_log_index == index + 1
    assert bench.node.peers == (2, 4, 5)


def test_a_new_leader_ends_a_joint_phase_that_it_finds() -> None:
    """§6: the one who began it may be gone."""
    joint = apply_changes(make_configuration([1, 2, 3]), [ConfChange.add_voter(4), ConfChange.add_voter(5)])
    bench = Bench(log=[LogEntry(1, 1, joint.encode(), EntryKind.CONFIGURATION)])
    bench.elect()
    commit_all(bench)
    assert bench.node.configuration == leave_joint(joint)
    assert bench.node.commit_index == 3


def test_a_demoted_voter_of_a_joint_change_becomes_a_learner_at_its_end() -> None:
    """§6: the outgoing half still counts its vote."""
    joint = apply_changes(make_configuration([1, 2, 3]), [ConfChange.demote(3), ConfChange.add_voter(4)])
    assert (joint.learners, joint.learners_next) == ((), (3,))
    assert 3 in joint.voter_union()
    assert leave_joint(joint).learners == (3,)


def test_a_leader_outside_the_new_voters_steps_down_when_the_change_is_committed() -> None:
    """Thesis 4.2.2: and names a successor, so that nobody waits for a timeout."""
    for changes in (
        [ConfChange.remove(1)],
        [ConfChange.demote(1)],
        [ConfChange.remove(1), ConfChange.remove(2), ConfChange.add_voter(4)],
    ):
        bench = Bench(term=1)
        bench.lead()
        bench.node.propose_conf_change(changes)
        named: list[int] = []
        for _ in range(3):
            for peer in bench.node.peers:
                if bench.node.role is NodeRole.LEADER:
                    bench.ack(peer, bench.node.last_log_index)
            named += [peer for peer, _ in bench.ready().timeout_now]
        assert bench.node.role is not NodeRole.LEADER
        assert len(named) == 1
        assert named[0] in bench.node.configuration.voters
        assert bench.node.leader_id is None


def test_a_leader_goes_on_until_its_own_removal_is_committed() -> None:
    """Thesis 4.2.2: otherwise the stage could end between two configurations."""
    bench = Bench(term=1)
    bench.lead()
    index = bench.node.propose(b"before")
    bench.node.propose_conf_change(ConfChange.remove(1))
    bench.heartbeat()
    for peer in (2, 3):
        bench.ack(peer, index)
    assert bench.node.commit_index == index
    assert bench.node.role is NodeRole.LEADER


# The configuration as bytes.


def test_a_configuration_survives_its_encoding() -> None:
    """What is appended is what is read."""
    configuration = make_configuration([3, 1, 2], [5], [6], {3: b"x", 1: b"y"})
    assert decode_configuration(configuration.encode()) == configuration
    assert configuration.highest_id == 6


@pytest.mark.parametrize(
    "bad", [b"", b"\xc1", Configuration().encode(), Configuration(voters=(2, 1)).encode(),
            Configuration(voters=(1, 1)).encode(), Configuration(voters=(1,), learners=(3, 3)).encode()]
)  # fmt: skip
def test_bytes_that_are_no_configuration_are_refused(bad: bytes) -> None:
    """SerializationError: unsorted, doubled, or without a voter."""
    with pytest.raises(SerializationError):
        decode_configuration(bad)


def test_contexts_stay_with_their_members() -> None:
    """The server keeps name and address there; the core never reads them."""
    base = make_configuration([1, 2], contexts={2: b"two"})
    added = apply_change(base, ConfChange.add_learner(3, b"three"))
    promoted = apply_change(added, ConfChange.promote(3))
    assert promoted.contexts == {2: b"two", 3: b"three"}
    removed = apply_change(promoted, ConfChange.remove(3))
    assert removed.contexts == {2: b"two"}
    assert removed.highest_id == 3
    joint = apply_changes(promoted, [ConfChange.remove(2), ConfChange.remove(3)])
    assert joint.contexts == promoted.contexts
    assert leave_joint(joint).contexts == {}


# The primitives.


def noop(call: Callable[[RaftNode], object], bench: Bench) -> None:
    before = bench.node.configuration
    call(bench.node)
    assert bench.node.configuration == before


def test_the_primitives_change_this_nodes_view_at_once() -> None:
    """DESIGN 3: no log entry."""
    bench = Bench(term=1)
    node = bench.node
    node.add_peer(4)
    node.add_learner(5)
    node.add_observer(6)
    assert (node.peers, node.learners, node.observers) == ((2, 3, 4), (5,), (6,))
    assert node.is_learner_peer(5)
    assert not node.is_learner_peer(4)
    assert node.promote_learner(5) is True
    assert node.promote_learner(5) is False
    node.remove_peer(4)
    node.remove_observer(6)
    node.add_learner(7)
    node.remove_learner(7)
    assert (node.peers, node.voters, node.learners, node.observers) == ((2, 3, 5), (2, 3, 5), (), ())
    assert node.last_log_index == 0


def test_the_primitives_do_nothing_where_a_change_makes_no_sense() -> None:
    """DESIGN 3: self, members, learners in add_peer, strangers."""
    bench = Bench(term=1, learners=(4,), observers=(5,))
    calls: list[Callable[[RaftNode], object]] = [
        lambda n: n.add_peer(1), lambda n: n.add_peer(2), lambda n: n.add_peer(4), lambda n: n.add_peer(5),
        lambda n: n.remove_peer(1), lambda n: n.remove_peer(4), lambda n: n.remove_peer(9),
        lambda n: n.add_learner(1), lambda n: n.add_learner(2), lambda n: n.add_learner(4),
        lambda n: n.remove_learner(2), lambda n: n.remove_learner(9),
        lambda n: n.add_observer(1), lambda n: n.add_observer(2), lambda n: n.add_observer(4),
        lambda n: n.remove_observer(2), lambda n: n.remove_observer(4),
        lambda n: n.promote_learner(2), lambda n: n.promote_learner(9), lambda n: n.promote_self_to_voter(),
    ]  # fmt: skip
    for call in calls:
        noop(call, bench)


def test_a_leader_replicates_to_a_peer_that_a_primitive_added() -> None:
    """And forgets one that was removed."""
    bench = Bench(term=1)
    index = bench.lead()
    bench.node.add_peer(4)
    assert bench.node.match_index_for(4) == 0
    bench.ack(4, index)
    assert bench.node.match_index_for(4) == index
    bench.node.remove_peer(4)
    assert bench.node.match_index_for(4) is None


def test_a_learner_promotes_itself() -> None:
    """`promote_self_to_voter`: it campaigns from now on."""
    bench = Bench(term=1, starts_as_learner=True)
    bench.node.promote_self_to_voter()
    assert bench.node.role is NodeRole.FOLLOWER
    bench.time_out()
    assert bench.node.role is NodeRole.PRE_CANDIDATE


def test_a_promoted_learner_counts_at_once() -> None:
    """DESIGN 3: commit is evaluated with it from then on."""
    bench = Bench(term=1, peers=(2,), learners=(4,))
    bench.lead()
    bench.node.promote_learner(4)
    index = bench.node.propose(b"x")
    bench.ack(4, index)
    assert bench.node.commit_index == index


def test_a_cluster_replaces_all_its_voters_and_keeps_every_entry() -> None:
    """§6: swap 1, 2, 3 for 4, 5, 6 in one step."""
    stage = Stage(3)
    leader = stage.elect(1)
    leader.propose(b"kept")
    stage.settle()
    for node in (4, 5, 6):
        stage.add(node)
        leader.propose_conf_change(ConfChange.add_learner(node))
        stage.settle()
    leader.propose_conf_change([ConfChange.promote(n) for n in (4, 5, 6)] + [ConfChange.remove(n) for n in (1, 2, 3)])
    stage.until(lambda: stage.leader().node_id in (4, 5, 6))
    stage.run(1.0)
    for node in (1, 2, 3):
        stage.crash(node)
    stage.leader().propose(b"later")
    stage.run(1.0)
    assert stage.leader().configuration.voters == (4, 5, 6)
    assert all(stage.machines[n] == [b"kept", b"later"] for n in (4, 5, 6))
