"""What a leader knows of the others and how much it sends (§5.3, thesis 10.2.1)."""

# mypy takes a property for the same after a call.
# mypy: disable-error-code="comparison-overlap"

from raftnode.core.messages import AppendEntriesRequest, AppendEntriesResponse
from raftnode.core.ready import Ready
from raftnode.core.types import NodeRole
from raftnode.testing import Disk, Stage
from tests.support.bench import Bench


def sent(ready: Ready, peer: int) -> list[AppendEntriesRequest]:
    """Return what `ready` sends to `peer`."""
    return [message for to, message in ready.messages if to == peer]


def next_of(bench: Bench, peer: int) -> int:
    return {p.peer: p.next_index for p in bench.node.status().peers}[peer]


def state_of(bench: Bench, peer: int) -> str:
    return {p.peer: p.progress for p in bench.node.status().peers}[peer]


def test_a_new_leader_assumes_that_logs_match_and_knows_nothing() -> None:
    """Figure 2: next is the last index + 1 at the election, match is 0."""
    bench = Bench([1, 1, 1], term=1)
    ready = bench.elect()
    (request,) = sent(ready, 2)
    assert (request.prev_log_index, request.prev_log_term) == (3, 1)
    assert bench.node.match_index_for(2) == 0


def test_match_only_grows() -> None:
    """Progress: a reordered acknowledgement proves less than what is known."""
    bench = Bench(term=1)
    bench.lead()
    for _ in range(4):
        bench.node.propose(b"x")
    bench.ack(2, 5)
    bench.ack(2, 3)
    assert bench.node.match_index_for(2) == 5


def test_next_stays_above_match() -> None:
    """Progress: neither refusals nor late answers bring it down to what matches."""
    bench = Bench([1] * 10, term=1)
    bench.elect()
    bench.ready()
    bench.ack(2, 8)
    bench.heartbeat()
    for rejected in (9, 10, 8, 3, 0):
        bench.reject(2, 3, rejected=rejected, hint=(1, 1))
        assert next_of(bench, 2) == 9
        bench.heartbeat()
        assert next_of(bench, 2) > 8


def test_a_refusal_older_than_what_matches_changes_nothing() -> None:
    """Progress: duplicates and delays do not throw a fast follower back."""
    bench = Bench(term=1)
    bench.lead()
    for _ in range(5):
        bench.node.propose(b"x")
    bench.ready()
    bench.ack(2, 6)
    bench.reject(2, 1, rejected=4, hint=(1, 1))
    assert (state_of(bench, 2), next_of(bench, 2)) == ("replicate", 7)


def test_one_probe_is_in_flight_however_many_rejections_arrive() -> None:
    """Progress: duplicated refusals do not multiply requests."""
    bench = Bench([1] * 10 + [2] * 10, term=2)
    bench.elect()
    for _ in range(10):
        bench.reject(2, 12, rejected=20, hint=(10, 1))
    probes = sent(bench.ready(), 2)
    assert [p.prev_log_index for p in probes] == [10]
    for _ in range(10):
        bench.reject(2, 12, rejected=20, hint=(10, 1))
        assert sent(bench.ready(), 2) == []


def test_a_probing_leader_sends_nothing_more_until_an_answer_or_a_heartbeat() -> None:
    """Progress: proposals wait while the match is unknown."""
    bench = Bench([1], term=1)
    bench.elect()
    for _ in range(5):
        bench.node.propose(b"x")
        assert sent(bench.ready(), 2) == []
    assert len(sent(bench.heartbeat(), 2)) == 1


def test_an_acknowledged_probe_opens_the_pipeline() -> None:
    """Thesis 10.2.1: requests follow each other without waiting."""
    bench = Bench(term=1)
    bench.lead()
    for index in range(2, 6):
        bench.node.propose(b"x")
        (request,) = sent(bench.ready(), 2)
        assert (request.prev_log_index, len(request.entries)) == (index - 1, 1)
    assert state_of(bench, 2) == "replicate"


def test_the_window_of_messages_is_bounded() -> None:
    """Progress: a follower that does not answer costs no more than its window."""
    bench = Bench(term=1, inflight_messages_max=3)
    bench.lead()
    requests = 0
    for _ in range(10):
        bench.node.propose(b"x")
        requests += len(sent(bench.ready(), 2))
    assert requests == 3
    bench.ack(2, 2)
    assert len(sent(bench.ready(), 2)) >= 1


def test_the_window_of_bytes_is_bounded() -> None:
    """Progress: in bytes too, whatever the entries' size."""
    bench = Bench(term=1, inflight_bytes_max=1000)
    bench.lead()
    size = 0
    for _ in range(20):
        bench.node.propose(b"x" * 400)
        size += sum(len(e.data) for m in sent(bench.ready(), 2) for e in m.entries)
    assert size == 1200


def test_an_observers_window_is_its_own_and_its_answers_release_it() -> None:
    """DESIGN 3: a slow observer costs the leader neither memory nor commit latency."""
    bench = Bench(term=1, observers=(9,), observer_inflight_messages_max=2)
    bench.lead()
    bench.ack(9, 1)
    for _ in range(10):
        bench.node.propose(b"x")
        assert len(sent(bench.ready(), 2)) == 1
    status = {p.peer: p for p in bench.node.status().peers}
    assert status[9].inflight_messages == 2
    bench.ack(2, 11)
    assert bench.node.commit_index == 11
    bench.ready()
    bench.ack(9, 3)
    assert [len(m.entries) for m in sent(bench.ready(), 9) if m.entries] == [8]


def test_a_batch_is_bounded_in_entries_and_in_bytes() -> None:
    """One AppendEntries carries a bounded amount; one entry may be longer."""
    bench = Bench([1] * 10, term=1, append_entries_max=4)
    bench.elect()
    bench.reject(2, 0, rejected=10)
    (request,) = sent(bench.ready(), 2)
    assert [e.index for e in request.entries] == [1, 2, 3, 4]
    big = Bench(term=1, append_bytes_max=100)
    big.lead()
    big.node.propose_batch([b"x" * 60, b"x" * 60, b"x" * 500, b"y"])
    assert [len(m.entries) for m in sent(big.ready(), 2)] == [1, 1, 1, 1]


def test_lost_entries_are_found_by_the_next_heartbeat() -> None:
    """§5.3: a heartbeat at the end of the pipeline is refused, and the leader probes from the match."""
    bench = Bench(term=1)
    bench.lead()
    bench.node.propose(b"lost")
    bench.ready()
    (beat,) = sent(bench.heartbeat(), 2)
    assert (beat.prev_log_index, beat.entries) == (2, [])
    bench.reject(2, 1, rejected=2, hint=(1, 2))
    (again,) = sent(bench.ready(), 2)
    assert (again.prev_log_index, [e.index for e in again.entries]) == (1, [2])


def test_lost_entries_are_found_with_a_full_window_too() -> None:
    """A window of requests that all got lost must not stay full forever."""
    bench = Bench(term=1, inflight_messages_max=2)
    bench.lead()
    for _ in range(5):
        bench.node.propose(b"lost")
        bench.ready()
    (beat,) = sent(bench.heartbeat(), 2)
    assert beat.prev_log_index == 3
    bench.reject(2, 1, rejected=3, hint=(1, 2))
    (again,) = sent(bench.ready(), 2)
    assert [e.index for e in again.entries] == [2, 3, 4, 5, 6]


def test_the_way_back_over_a_long_conflict_does_not_grow_with_its_length() -> None:
    """§5.3: one round trip for each conflicting term."""
    trips = {}
    for length in (50, 5000):
        leader = Bench([1] * 10 + [3] * length, term=6, append_entries_max=10**6)
        follower = Bench([1] * 10 + [2] * length + [4] * length, node_id=2, peers=(1, 3))
        leader.elect(voters=[3])
        trips[length] = 0
        while leader.node.match_index_for(2) != leader.node.last_log_index:
            trips[length] += 1
            for request in sent(leader.heartbeat(), 2):
                leader.node.handle_append_entries_response(2, follower.node.handle_append_entries(request))
        assert follower.node.last_log_index == leader.node.last_log_index
    assert trips[50] == trips[5000]
    assert trips[50] <= 6


def test_a_member_whose_entries_were_compacted_needs_a_snapshot() -> None:
    """§7: `snapshots_needed` names it; heartbeats go on at the snapshot point."""
    bench = Bench([1] * 9, term=1)
    bench.lead()
    bench.node.compact(10)
    bench.node.add_learner(4)
    bench.ready()
    bench.reject(4, 0, rejected=10)
    ready = bench.ready()
    assert ready.snapshots_needed == [4]
    assert state_of(bench, 4) == "snapshot"
    (beat,) = sent(bench.heartbeat(), 4)
    assert (beat.prev_log_index, beat.entries) == (10, [])
    assert bench.ready().snapshots_needed == []


def test_a_snapshot_that_is_not_acknowledged_is_asked_for_again() -> None:
    """The first one may have been lost."""
    bench = Bench([1] * 9, term=1, check_quorum=False)
    bench.lead()
    bench.node.compact(10)
    bench.node.add_learner(4)
    bench.ready()
    bench.reject(4, 0, rejected=10)
    bench.ready()
    bench.clock.advance(bench.config.election_timeout_max)
    assert bench.ready().snapshots_needed == [4]


def test_after_a_snapshot_is_acknowledged_next_is_its_index_plus_one() -> None:
    """Progress."""
    bench = Bench([1] * 9, term=1)
    bench.lead()
    bench.node.compact(10)
    for _ in range(5):
        bench.node.propose(b"x")
    bench.node.add_learner(4)
    bench.ready()
    bench.reject(4, 0, rejected=15)
    bench.ready()
    bench.reject(4, 0, rejected=10)
    assert bench.ready().snapshots_needed == [4]
    bench.snapshot_installed(4, 12)
    assert (bench.node.match_index_for(4), next_of(bench, 4)) == (12, 13)
    (request,) = sent(bench.ready(), 4)
    assert [e.index for e in request.entries] == [13, 14, 15]


def test_a_snapshot_answer_that_is_not_installed_proves_nothing() -> None:
    """Figure 13: a chunk that arrived is no snapshot."""
    from raftnode.core.messages import InstallSnapshotResponse

    bench = Bench(term=1)
    bench.lead()
    bench.node.propose(b"x")
    bench.node.handle_install_snapshot_response(2, InstallSnapshotResponse(bench.node.current_term, 2, 5, False))
    assert bench.node.match_index_for(2) == 1
    bench.node.handle_install_snapshot_response(2, InstallSnapshotResponse(bench.node.current_term - 1, 2, 5, True))
    assert bench.node.match_index_for(2) == 1


def test_a_response_of_a_higher_term_deposes_the_leader() -> None:
    """Figure 2, all servers."""
    bench = Bench(term=1)
    bench.lead()
    bench.node.handle_append_entries_response(2, AppendEntriesResponse(7, False, 0))
    assert (bench.node.role, bench.node.current_term, bench.node.leader_id) == (NodeRole.FOLLOWER, 7, None)


# A learner's catch-up.


def promotable(bench: Bench, peer: int) -> bool:
    return {p.peer: p.promotable for p in bench.node.status().peers}[peer]


def test_a_learner_that_has_acknowledged_nothing_has_not_caught_up() -> None:
    """Membership: catch-up is measured in rounds, never "0 >= 0"."""
    bench = Bench(term=1, learners=(4,))
    bench.lead()
    assert not promotable(bench, 4)
    bench.ack(4, 0, round_=1)
    bench.ack(4, 0, round_=1)
    assert not promotable(bench, 4)


def test_a_learner_has_caught_up_after_a_short_round() -> None:
    """Thesis 4.2.1: a round is the time to get what the leader had at the round's start."""
    bench = Bench([1] * 50, term=1, learners=(4,))
    bench.lead()
    bench.heartbeat()
    bench.ack(4, 20, round_=1)
    assert not promotable(bench, 4)
    bench.ack(4, 51, round_=1)
    assert promotable(bench, 4)


def test_a_learner_whose_round_took_too_long_has_not_caught_up() -> None:
    """Thesis 4.2.1: promoting it would leave the stage waiting for an election timeout."""
    bench = Bench([1] * 50, term=1, learners=(4,))
    bench.lead()
    bench.heartbeat()
    bench.ack(4, 20, round_=1)
    bench.clock.advance(1.5)
    bench.ack(4, 51, round_=1)
    assert not promotable(bench, 4)
    bench.ack(4, 51, round_=1)
    assert promotable(bench, 4)


def test_a_learner_that_went_silent_is_not_promotable() -> None:
    """A vote that never answers is no help."""
    bench = Bench(term=1, learners=(4,))
    bench.lead()
    bench.heartbeat()
    bench.ack(4, 1, round_=1)
    assert promotable(bench, 4)
    bench.clock.advance(bench.config.election_timeout_max)
    assert not promotable(bench, 4)


# A leader that cannot do its work.


def test_a_leader_whose_quorum_is_silent_steps_down() -> None:
    """Thesis 6.2, check-quorum."""
    bench = Bench(term=1)
    bench.lead()
    for _ in range(19):
        bench.heartbeat()
    assert bench.node.role is NodeRole.LEADER
    bench.heartbeat()
    bench.heartbeat()
    assert bench.node.role is NodeRole.FOLLOWER
    assert bench.node.leader_id is None
    off = Bench(term=1, check_quorum=False)
    off.lead()
    for _ in range(40):
        off.heartbeat()
    assert off.node.role is NodeRole.LEADER


def test_a_leader_with_a_quorum_stays_and_learners_do_not_help() -> None:
    """Check-quorum counts voters."""
    for answering, stays in (((2,), True), ((4, 5), False)):
        bench = Bench(term=1, learners=(4,), observers=(5,))
        bench.lead()
        for _ in range(60):
            bench.heartbeat()
            if bench.node.role is NodeRole.LEADER:
                for peer in answering:
                    bench.ack(peer, 1)
        assert (bench.node.role is NodeRole.LEADER) is stays


def test_check_quorum_counts_both_halves_of_a_joint_configuration() -> None:
    """§6: contact with the incoming voters alone is no quorum."""
    from raftnode.core.membership import ConfChange

    for answering, stays in (((4, 5), False), ((2, 3), False), ((2, 4), True)):
        bench = Bench(term=1, learners=(4, 5))
        bench.lead()
        changes = [ConfChange.promote(4), ConfChange.promote(5), ConfChange.remove(2), ConfChange.remove(3)]
        bench.node.propose_conf_change(changes)
        for _ in range(60):
            bench.heartbeat()
            if bench.node.role is NodeRole.LEADER:
                for peer in answering:
                    bench.ack(peer, 1)
        assert (bench.node.role is NodeRole.LEADER) is stays


def test_a_leader_whose_storage_is_stuck_steps_down() -> None:
    """Another node's disk may work."""
    bench = Bench(term=1, storage=Disk())
    bench.elect()
    for _ in range(60):
        bench.heartbeat()
        if bench.node.role is NodeRole.LEADER:
            bench.ack(2, 1)
            bench.ack(3, 1)
    assert bench.node.role is not NodeRole.LEADER


def test_a_follower_far_behind_catches_up_over_a_lossless_network() -> None:
    """§5.3, from a cut link to equal logs."""
    stage = Stage(3)
    leader = stage.elect(1)
    stage.isolate(3)
    for i in range(200):
        leader.propose(str(i).encode())
    stage.run(0.5)
    stage.heal()
    stage.until(lambda: stage.machines[3] == stage.machines[1] and len(stage.machines[1]) == 200)
