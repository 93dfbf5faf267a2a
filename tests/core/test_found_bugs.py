"""The smallest trace of each bug that was found in the core."""

import pytest

from raftnode.core.errors import InvalidRequest, ProposalRejected, StorageError
from raftnode.core.membership import ConfChange, Configuration, SnapshotMeta, apply_changes, make_configuration
from raftnode.core.messages import AppendEntriesResponse, TimeoutNowRequest
from raftnode.core.types import EntryKind, LogEntry, NodeRole
from raftnode.testing import Disk, Stage
from tests.support.bench import Bench, configuration_entry


def test_a_follower_whose_whole_log_conflicts_is_found_in_a_few_round_trips() -> None:
    """§5.3: the fast way back ends at the snapshot point, which is index 0 in a log that was never compacted."""
    leader = Bench([1] * 500, term=6)
    follower = Bench([5] * 500, node_id=2, peers=(1, 3))
    leader.elect(voters=[3])
    round_trips = 0
    while leader.node.match_index_for(2) != 501 and round_trips < 20:
        round_trips += 1
        for peer, request in leader.heartbeat().messages:
            if peer == 2:
                answer = follower.node.handle_append_entries(request)
                leader.node.handle_append_entries_response(2, answer)
    assert leader.node.match_index_for(2) == 501
    assert round_trips <= 4


def test_a_refusal_of_an_index_that_the_leader_never_sent_does_not_stop_it() -> None:
    """Peer input never reaches an assertion."""
    leader = Bench(term=1)
    leader.lead()
    leader.node.propose(b"x")
    leader.ready()
    leader.reject(2, 10**9, rejected=10**9)
    leader.heartbeat()
    assert leader.node.role is NodeRole.LEADER
    leader.reject(2, 10**9, rejected=10**9, hint=(10**9, 10**9))
    leader.heartbeat()
    leader.reject(2, 10**9)
    leader.heartbeat()
    assert leader.node.role is NodeRole.LEADER


def test_an_undecodable_configuration_is_refused_before_anything_changes() -> None:
    """A malformed request changes nothing: neither term, leader nor log."""
    bench = Bench([1])
    bad = LogEntry(4, 2, b"\xc1", EntryKind.CONFIGURATION)
    with pytest.raises(InvalidRequest):
        bench.append(1, 1, log=[bad], term=4)
    assert (bench.node.current_term, bench.node.leader_id, bench.node.last_log_index) == (1, None, 1)


def test_an_acknowledgement_beyond_the_log_is_refused_before_it_counts_as_contact() -> None:
    """A malformed response changes nothing."""
    leader = Bench(term=1)
    leader.lead()
    before = leader.node.status().peers[0].last_contact
    leader.clock.advance(0.5)
    with pytest.raises(InvalidRequest):
        leader.ack(2, 99, round_=1)
    after = leader.node.status().peers[0].last_contact
    assert before is None
    assert after is None


def test_a_timeout_now_that_names_this_node_as_the_leader_is_refused() -> None:
    """The hint is never this node."""
    bench = Bench(term=1, starts_as_learner=True)
    with pytest.raises(InvalidRequest):
        bench.node.handle_timeout_now(TimeoutNowRequest(5, 1))
    with pytest.raises(InvalidRequest):
        bench.node.handle_timeout_now(TimeoutNowRequest(-1, 2))
    assert (bench.node.current_term, bench.node.leader_id) == (1, None)


def test_a_crash_between_a_snapshot_and_the_log_restart_is_finished_at_the_next_start() -> None:
    """Figure 13: the snapshot is durable first. A log that ends before it, or conflicts with it, restarts there."""
    for terms in ([1, 1], [1, 1, 1, 1, 2, 2]):
        bench = Bench(terms, restore=False)
        bench.node.restore(SnapshotMeta(4, 3, make_configuration([1, 2, 3])))
        assert (bench.node.log_snapshot_index, bench.node.log_snapshot_term) == (4, 3)
        assert (bench.node.last_log_index, bench.node.commit_index) == (4, 4)
        assert bench.node.current_term == 3
        assert bench.append(4, 3, [3], term=3).success


def test_a_log_that_holds_the_snapshots_last_entry_is_kept_at_the_next_start() -> None:
    """Figure 13, step 6: the entries after a matching one are kept."""
    bench = Bench([1, 1, 1, 1, 2, 2], restore=False)
    bench.node.restore(SnapshotMeta(4, 1, make_configuration([1, 2, 3])))
    assert (bench.node.last_log_index, bench.node.commit_index) == (6, 4)


def test_a_machine_older_than_the_logs_beginning_refuses_to_start() -> None:
    """The entries between are nowhere: to go on would make this replica differ from the others."""
    bench = Bench([2, 2], snapshot=(10, 2), restore=False)
    with pytest.raises(StorageError, match="begins after entry 10, and the newest snapshot covers only entry 5"):
        bench.node.restore(SnapshotMeta(5, 2))
    empty = Bench([2, 2], snapshot=(10, 2), restore=False)
    with pytest.raises(StorageError, match="begins after entry 10"):
        empty.node.restore(SnapshotMeta())


def test_a_snapshot_of_another_history_than_the_logs_refuses_to_start() -> None:
    """Two committed entries of one index have one term: otherwise the files are of two clusters."""
    bench = Bench([2, 2], snapshot=(10, 2), restore=False)
    with pytest.raises(StorageError, match="they do not belong together"):
        bench.node.restore(SnapshotMeta(10, 1))


def test_a_lease_in_a_joint_configuration_needs_the_outgoing_half_too() -> None:
    """§6: both halves decide. Many unanswered rounds must not make the lease of a lone incoming voter."""
    leader = Bench(term=1, lease_reads=True, check_quorum=True)
    leader.lead()
    leader.node.propose_conf_change([ConfChange.remove(2), ConfChange.remove(3)])
    leader.ready()
    for _ in range(5000):
        leader.node.read_index()
        assert leader.ready().reads == []
        leader.clock.advance(0.001)


def test_a_strangers_answer_of_a_higher_term_changes_nothing() -> None:
    """A removed node cannot disturb: answers of unknown peers count for nothing."""
    leader = Bench(term=1)
    leader.lead()
    leader.node.handle_append_entries_response(9, AppendEntriesResponse(50, False, 0))
    assert leader.node.role is NodeRole.LEADER
    assert leader.node.current_term == 2


def test_a_snapshot_without_a_configuration_does_not_confirm_one_that_it_discards() -> None:
    """Installing a snapshot resets the latest configuration to a committed one."""
    bench = Bench(log=[configuration_entry(1, 1, [1, 2, 3, 4])])
    assert 4 in bench.node.peers
    bench.install(5, 2, leader_term=2)
    assert bench.node.peers == (2, 3)


def test_a_snapshot_of_a_later_term_than_its_leaders_is_refused() -> None:
    """A malformed request is refused before anything changes: terms never fall."""
    bench = Bench([1])
    with pytest.raises(InvalidRequest):
        bench.install(5, 9, leader_term=2)
    with pytest.raises(InvalidRequest):
        bench.install(5, 1, leader_term=2, configuration=Configuration())
    assert (bench.node.current_term, bench.node.last_log_index) == (1, 1)


@pytest.mark.parametrize("change", [ConfChange.remove(1), ConfChange.demote(1)])
def test_a_leader_that_crashes_during_its_own_removal_still_campaigns(change: ConfChange) -> None:
    """Thesis 4.2.2: until the removal is committed its log may be the only one that can win."""
    stage = Stage(2)
    leader = stage.elect(1)
    stage.isolate(1)
    leader.propose_conf_change(change)
    stage.settle()
    stage.restart(1)
    stage.heal()
    stage.until(lambda: stage.nodes[2].role is NodeRole.LEADER)
    stage.leader().propose(b"goes on")
    stage.run(1.0)
    assert stage.machines[2] == [b"goes on"]
    stage.run(5.0)
    assert stage.nodes[2].role is NodeRole.LEADER
    assert stage.nodes[1].role in (NodeRole.FOLLOWER, NodeRole.LEARNER)


def test_a_committed_demotion_ends_the_right_to_campaign() -> None:
    """Thesis 4.2.2: a follower that learns that the change is committed becomes what it says."""
    bench = Bench([1])
    bench.append(1, 1, log=[configuration_entry(1, 2, [2, 3], [1])])
    role = bench.node.role
    assert role is NodeRole.FOLLOWER
    bench.append(2, 1, [], commit=2)
    assert bench.node.role is NodeRole.LEARNER


@pytest.mark.parametrize("old_voters", [1, 2])
def test_a_learner_that_missed_its_promotion_lets_the_cluster_elect_a_leader(old_voters: int) -> None:
    """A voter that the candidate's log names votes, or a majority that is alive could never elect anyone.

    With two old voters the promotion is committed without the learner, and the other one is lost for good.
    """
    learner = old_voters + 1
    stage = Stage(first=make_configuration(range(1, learner), [learner]))
    stage.elect(1)
    stage.isolate(learner)
    stage.leader().propose_conf_change(ConfChange.promote(learner))
    stage.settle()
    for node in range(2, learner):
        stage.crash(node)
    stage.run(5.0)
    assert stage.nodes[1].role is not NodeRole.LEADER
    role = stage.nodes[learner].role
    assert role is NodeRole.LEARNER
    stage.heal()
    stage.until(lambda: stage.nodes[1].role is NodeRole.LEADER)
    stage.run(1.0)
    assert stage.nodes[learner].role is NodeRole.FOLLOWER


def test_a_learner_votes_only_where_the_candidates_members_changed() -> None:
    """Learners never grant: a request that does not say that the receiver has a vote is refused."""
    first = Bench(term=1)
    assert not any(request.to_voter for _, request in first.campaign().vote_requests)
    changed = Bench(log=[configuration_entry(1, 1, [1, 2, 3, 4])])
    assert all(request.to_voter for _, request in changed.time_out().pre_vote_requests)


def test_a_refused_candidate_does_not_postpone_this_nodes_campaign() -> None:
    """§5.2: only a granted vote and the leader do. Else one whose log cannot win could starve the one that can."""
    bench = Bench([1] * 5)
    deadline = bench.node.next_deadline()
    for term in range(2, 5):
        bench.clock.advance(0.2)
        assert not bench.ask_vote(2, (1, 1), term=term).vote_granted
    assert bench.node.next_deadline() == deadline


def test_a_leader_that_steps_down_waits_a_whole_timeout() -> None:
    """§5.2: its own deadline is from before it led."""
    bench = Bench(term=1)
    bench.lead()
    bench.clock.advance(1.0)
    bench.node.handle_append_entries_response(2, AppendEntriesResponse(9, False, 0))
    assert bench.node.next_deadline() >= bench.clock.now + bench.config.election_timeout_min


@pytest.mark.parametrize("peer", [0, -4])
def test_a_change_of_a_node_that_cannot_exist_is_rejected(peer: int) -> None:
    """Node ids are positive: 0 stands for no node."""
    with pytest.raises(ProposalRejected):
        apply_changes(make_configuration([1, 2, 3]), [ConfChange.add_voter(peer)])


def test_a_node_that_joined_knows_no_members_before_it_received_some() -> None:
    """Its snapshot of an early entry named the members of the moment when it joined, or none at all."""
    bench = Bench(node_id=4, peers=(1, 2, 3), starts_as_learner=True, joined=True)
    bench.append(0, 0, [1, 1], term=1, leader=1, commit=2)
    bench.ready()
    assert not bench.node.knows_configuration_at(2)
    with pytest.raises(ValueError, match="members at entry 2 are not known"):
        bench.node.configuration_at(2)
    bench.append(2, 1, log=[configuration_entry(1, 3, (1, 2, 3), (4,))], term=1, leader=1, commit=3)
    bench.ready()
    assert not bench.node.knows_configuration_at(2)
    assert bench.node.configuration_at(3).learners == (4,)
    bench.node.compact(2)
    assert not bench.node.knows_configuration_at(2)
    bench.node.compact(3)
    restarted = bench.restart()
    assert restarted.configuration_at(3).learners == (4,)
    bench.node = bench.boot()
    bench.node.restore(SnapshotMeta(3, 1, make_configuration((1, 2, 3), (4,))))
    assert bench.node.configuration_at(3).learners == (4,)


def test_a_snapshot_tells_a_node_that_joined_its_members() -> None:
    """Installing one makes them known from its index on."""
    bench = Bench(node_id=4, peers=(1, 2, 3), starts_as_learner=True, joined=True)
    bench.install(5, 1, leader=1, leader_term=1, configuration=make_configuration((1, 2, 3), (4,)))
    assert bench.node.configuration_at(5).voters == (1, 2, 3)


def test_a_lone_voter_leads_on_while_its_disk_is_stuck() -> None:
    """Stepping down makes way for another voter. Where there is none, it would only end the reads."""
    storage = Disk()
    bench = Bench(peers=(), storage=storage)
    bench.campaign()
    storage.sync()
    bench.node.on_storage_progress()
    term = bench.node.current_term
    bench.node.propose(b"stuck")
    for _ in range(100):
        bench.heartbeat()
    assert (bench.node.role, bench.node.current_term) == (NodeRole.LEADER, term)
    barrier = bench.node.read_index()
    assert [read for read, _ in bench.ready().reads] == [barrier]


def test_a_leader_that_is_being_demoted_cannot_be_promoted_when_it_has_caught_up() -> None:
    """It is a learner in the configuration in force, and has no progress of its own."""
    bench = Bench(term=1)
    bench.lead()
    bench.node.propose_conf_change(ConfChange.demote(1))
    with pytest.raises(ProposalRejected):
        bench.node.promote_when_caught_up(1)


def test_a_node_that_lost_its_vote_two_changes_ago_does_not_campaign_after_a_restart() -> None:
    """It knows nothing as committed then, and took its vote of long ago for one that may come back: it led."""
    log = [
        configuration_entry(1, 1, (1, 2, 3)),
        configuration_entry(1, 2, (2, 3), observers=(1,)),
        configuration_entry(1, 3, (2, 3), observers=(1, 4)),
    ]
    bench = Bench(log=log, term=1)
    bench.time_out()
    assert bench.node.role is NodeRole.OBSERVER
    bench = Bench(log=log[:2], term=1)
    bench.time_out()
    assert bench.node.role is NodeRole.PRE_CANDIDATE


def test_a_node_of_low_priority_waits_longer_also_when_the_leader_seems_gone() -> None:
    """A priority divides every wait before a campaign: whoever may lead more readily comes first."""

    def wait(priority: float) -> float:
        bench = Bench([1], priority=priority)
        bench.append(1, 1, term=1)
        bench.node.on_leader_unreachable()
        return bench.node.next_deadline() - bench.clock()

    assert wait(0.5) == pytest.approx(2 * wait(1.0))
