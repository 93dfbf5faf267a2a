"""Hints are hints: a caller that only does what `Ready` says makes progress, and what is told early saves time."""

import pytest

from raftnode import (
    ConfChange,
    InvalidRequest,
    NodeRole,
    NotLeader,
    PreVoteRequest,
    ProposalRejected,
    RaftConfig,
    RaftNode,
    Ready,
    RequestVoteRequest,
    TimeoutNowRequest,
)
from raftnode.core.membership import make_configuration
from raftnode.testing import Clock, Disk, Stage
from tests.support.bench import Bench, configuration_entry, entries


def four_steps(node: RaftNode, disk: Disk) -> Ready:
    """Do what `Ready` documents, and nothing else."""
    ready = node.take_ready()
    if ready.hard_state is not None:
        disk.save_hard_state(ready.hard_state)
    disk.sync()
    if ready.committed_entries:
        node.advance_applied(ready.committed_entries[-1].index)
    return ready


def test_a_single_voters_last_proposal_commits_without_a_hint() -> None:
    """The core asks the storage again with each Ready."""
    disk, clock = Disk(), Clock()
    node = RaftNode(RaftConfig(1), disk, clock=clock)
    node.restore()
    clock.advance(5)
    node.tick()
    four_steps(node, disk)
    index = node.propose(b"last")
    four_steps(node, disk)
    four_steps(node, disk)
    assert (node.commit_index, node.last_applied) == (index, index)


@pytest.mark.parametrize("ask", ["tick", "take_ready"])
def test_what_became_durable_is_counted_at_the_next_tick_and_the_next_ready(ask: str) -> None:
    """With one of three voters down the commit index stayed where it was through acknowledged heartbeats."""
    disk = Disk()
    bench = Bench(term=1, storage=disk)
    bench.elect()
    disk.sync()
    bench.ack(2, 1)
    index = bench.node.propose(b"x")
    bench.ready()
    bench.ack(2, index)
    assert bench.node.commit_index == 1
    disk.sync()
    getattr(bench.node, ask)()
    assert bench.node.commit_index == index


def needs_a_snapshot() -> Bench:
    """Return a leader whose member 3 needs entries that were compacted, and was asked for once."""
    bench = Bench([1], term=1)
    bench.elect()
    bench.ack(2, 2)
    bench.ready()
    bench.node.compact(2)
    bench.reject(3, 0, rejected=1)
    assert bench.ready().snapshots_needed == [3]
    return bench


def test_a_member_is_not_asked_for_again_before_time_passes() -> None:
    """However often it turns out to need a snapshot: a caller that answers at once would never come to an end."""
    bench = needs_a_snapshot()
    bench.node.propose(b"y")
    bench.ack(2, 3)
    bench.ready()
    bench.node.compact(3)
    for _ in range(50):
        bench.snapshot_installed(3, 2)
        assert bench.ready().snapshots_needed == []
    asked = [peer for _ in range(12) for peer in bench.heartbeat().snapshots_needed]
    assert asked == [3]


def test_a_silent_member_is_asked_for_once_in_an_election_timeout() -> None:
    """Nobody knows whether the snapshot arrived."""
    bench = needs_a_snapshot()
    asked = 0
    for _ in range(65):
        bench.clock.advance(bench.config.heartbeat_interval)
        bench.ack(2, 2)
        bench.node.tick()
        for _ in range(5):
            asked += len(bench.ready().snapshots_needed)
    assert asked == int(65 * bench.config.heartbeat_interval / bench.config.election_timeout_max)


def test_a_snapshot_that_failed_is_asked_for_again_soon() -> None:
    """After a heartbeat interval, and not after an election timeout."""
    bench = needs_a_snapshot()
    bench.node.report_snapshot_failed(3)
    assert bench.ready().snapshots_needed == []
    assert bench.heartbeat().snapshots_needed == [3]
    bench.node.report_snapshot_failed(2)
    bench.node.report_snapshot_failed(44)
    assert bench.ready().is_empty()


def test_an_unreachable_member_is_sent_one_request_at_a_time() -> None:
    """What was under way to it is taken for lost, and sent again when it answers."""
    bench = Bench(term=1)
    bench.lead()
    for _ in range(5):
        bench.node.propose(b"x")
        bench.ready()
    bench.node.report_unreachable(3)
    bench.node.report_unreachable(44)
    bench.node.propose(b"y")
    assert [peer for peer, _ in bench.ready().messages] == [2]
    (peer, probe), *more = [m for m in bench.heartbeat().messages if m[0] == 3]
    assert (peer, more, probe.entries) == (3, [], [])
    bench.ack(3, 1)
    ((_, request),) = [m for m in bench.ready().messages if m[0] == 3]
    assert [entry.index for entry in request.entries] == list(range(2, 8))
    follower = Bench([1])
    follower.node.report_unreachable(2)
    assert follower.ready().is_empty()


def test_a_transfer_can_be_cancelled() -> None:
    """Proposals are taken again, and the outcome says why nobody took over."""
    bench = Bench(term=1)
    bench.lead()
    assert bench.node.cancel_transfer() is False
    bench.node.propose(b"x")
    bench.node.transfer_leadership(2)
    assert bench.node.cancel_transfer() is True
    assert bench.node.transfer_target is None
    (outcome,) = bench.ready().transfers
    assert (outcome.target, outcome.done, outcome.reason) == (2, False, "the transfer was cancelled")
    bench.node.propose(b"y")
    with pytest.raises(NotLeader):
        Bench([1]).node.cancel_transfer()


# Found by holding the core against a peer's scenarios.


def test_a_leader_that_is_asked_to_campaign_in_a_later_term_follows_it_first() -> None:
    """It stayed leader of the lower term."""
    bench = Bench(term=1)
    bench.lead()
    bench.node.handle_timeout_now(TimeoutNowRequest(4, 2))
    assert (bench.node.role, bench.node.current_term) == (NodeRole.CANDIDATE, 5)
    bench = Bench(term=1)
    bench.lead()
    bench.node.handle_timeout_now(TimeoutNowRequest(bench.node.current_term, 2))
    bench.node.handle_timeout_now(TimeoutNowRequest(1, 2))
    assert bench.node.role is NodeRole.LEADER


def test_pre_vote_without_check_quorum_does_not_stop_a_cluster() -> None:
    """Four nodes, two links cut: the leader reaches one, whose pre-vote the two others need."""
    stage = Stage(4, check_quorum=False)
    stage.elect(1)
    stage.network.cut(1, 3, 4)
    stage.run(20.0)
    leaders = [node.node_id for node in stage.nodes.values() if node.role is NodeRole.LEADER]
    terms = {node: stage.nodes[node].current_term for node in leaders}
    newest = max(terms, key=lambda node: terms[node])
    assert newest != 1
    stage.nodes[newest].propose(b"goes on")
    stage.run(1.0)
    assert stage.machines[3] == [b"goes on"]


def test_a_learner_that_a_primitive_promoted_votes_for_its_cluster() -> None:
    """Nobody told it, and without its vote the others have no majority."""
    stage = Stage(first=make_configuration((1, 2), (3,)))
    stage.elect(1)
    for node in (1, 2):
        assert stage.nodes[node].promote_learner(3)
    stage.crash(1)
    stage.until(lambda: stage.nodes[2].role is NodeRole.LEADER)


@pytest.mark.parametrize("role", [NodeRole.PRE_CANDIDATE, NodeRole.CANDIDATE])
def test_a_change_of_the_quorum_in_a_campaign_counts_the_votes_again(role: NodeRole) -> None:
    """Two of four votes are none; of three they are a majority, and nobody votes again to say so."""
    bench = Bench(peers=(2, 3, 4), pre_vote=role is NodeRole.PRE_CANDIDATE)
    bench.time_out()
    (bench.pre_vote if role is NodeRole.PRE_CANDIDATE else bench.vote)(2)
    assert bench.node.role is role
    bench.node.remove_peer(4)
    assert bench.node.role is (NodeRole.CANDIDATE if role is NodeRole.PRE_CANDIDATE else NodeRole.LEADER)


def test_a_voter_that_joins_a_campaign_is_asked() -> None:
    """At once."""
    bench = Bench(pre_vote=False)
    bench.time_out()
    bench.node.add_peer(4)
    assert 4 in [peer for peer, _ in bench.ready().vote_requests]


# Observers and learners.


@pytest.mark.parametrize("to_voter", [False, True])
def test_an_observer_never_grants_whatever_the_request_says(to_voter: bool) -> None:
    """Neither a vote nor a pre-vote."""
    bench = Bench([1], starts_as_observer=True)
    answer = bench.node.handle_request_vote(RequestVoteRequest(2, 2, 9, 1, to_voter=to_voter))
    assert (answer.vote_granted, answer.reason) == (False, "this node is an observer")
    pre = bench.node.handle_pre_vote(PreVoteRequest(3, 2, 9, 1, to_voter=to_voter))
    assert (pre.vote_granted, pre.reason) == (False, "this node is an observer")
    assert bench.node.voted_for is None


@pytest.mark.parametrize(
    ("to_voter", "setting", "granted"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_a_learner_grants_only_a_candidate_whose_log_gives_it_a_vote(
    to_voter: bool, setting: bool, granted: bool
) -> None:
    """Thesis 4.1; `learners_grant_votes=False` is the literal "never"."""
    bench = Bench([1], starts_as_learner=True, learners_grant_votes=setting)
    assert bench.node.handle_pre_vote(PreVoteRequest(2, 2, 9, 1, to_voter=to_voter)).vote_granted is granted
    assert bench.node.handle_request_vote(RequestVoteRequest(2, 2, 9, 1, to_voter=to_voter)).vote_granted is granted


@pytest.mark.parametrize(
    "change", [ConfChange.add_voter(4), ConfChange.add_learner(4), ConfChange.promote(4)], ids=repr
)
def test_an_observer_never_becomes_a_voter(change: ConfChange) -> None:
    """In one step or in two, by a change or by a primitive."""
    bench = Bench(term=1, observers=(4,))
    bench.lead()
    for wanted in (change, [change, ConfChange.add_learner(5)]):
        with pytest.raises(ProposalRejected, match=r"observer|not a learner"):
            bench.node.propose_conf_change(wanted)
    bench.node.add_peer(4)
    bench.node.add_learner(4)
    assert bench.node.promote_learner(4) is False
    assert (bench.node.observers, bench.node.peers, bench.node.learners) == ((4,), (2, 3), ())


# Snapshots.


def test_the_answer_says_installed_exactly_when_the_machine_is_to_be_loaded() -> None:
    """A caller that loads whenever it says so never goes back."""
    bench = Bench([1] * 8, term=1)
    bench.append(8, 1, [], commit=8)
    bench.ready()
    assert not bench.install(3, 1).installed
    assert not bench.install(8, 1).installed
    assert not bench.install(12, 1, done=False).installed
    assert bench.install(12, 1, offset=5).installed
    assert not bench.install(12, 1, offset=5).installed
    assert bench.node.last_applied == 12


def test_a_leader_goes_on_with_a_member_that_had_the_snapshot_already() -> None:
    """Its answer says nothing of an installation; the next heartbeat shows that it has the entries."""
    stage = Stage(3)
    leader = stage.elect(1)
    stage.isolate(3)
    stage.propose(b"a", b"b")
    stage.processes[1].take_snapshot()
    stage.heal()
    stage.network.drop = lambda letter: (
        letter.source == 3 and type(letter.message).__name__ == "InstallSnapshotResponse"
    )
    stage.run(1.0)
    stage.heal()
    stage.run(3.0)
    assert stage.machines[3] == [b"a", b"b"]
    assert {peer.progress for peer in leader.status().peers} == {"replicate"}
    installs = [it for it in stage.delivered if type(it.message).__name__ == "InstallSnapshotRequest"]
    assert len(installs) <= 3


def test_a_snapshot_without_members_is_refused_where_older_ones_would_stay() -> None:
    """The members may have changed between what this node knows and the snapshot's entry."""
    bench = Bench(log=[configuration_entry(1, 1, [1, 2, 3, 4]), *entries([1], first=2)], term=1)
    bench.append(2, 1, [], commit=2)
    bench.ready()
    before = bench.node.status()
    with pytest.raises(InvalidRequest, match="without the members in force there"):
        bench.install(9, 1)
    assert bench.node.status().configuration == before.configuration
    assert (bench.node.last_applied, bench.node.last_log_index) == (2, 2)
    assert bench.install(9, 1, configuration=make_configuration((1, 2, 3, 4))).installed
