"""Decisions about members rest on who answers after the request arrived, and not on who was heard from before it."""

from collections.abc import Callable

import pytest

from raftnode.wire import client as wire
from raftnode.wire.client import NOT_DONE, ErrorCode, MemberAction, MemberOperation, MembersChanged
from tests.support.replicas import Client, Cluster, add_learner, change, failed, promote, put, remove

MOMENTS = (0.0, 0.05, 0.5, 1.9, 6.0)
"""Seconds after a voter's end: before, around and long after the time in which silence is noticed."""


def kill(cluster: Cluster, leader: int, node: int) -> None:
    """Its connections break with it."""
    cluster.kill(node)


def pause(cluster: Cluster, leader: int, node: int) -> None:
    """Its connections stay open: only silence shows that it stands still."""
    cluster.nodes[node].paused = True


def cut(cluster: Cluster, leader: int, node: int) -> None:
    """Nothing gets through in either direction."""
    cluster.network.cut(leader, node)


def mute(cluster: Cluster, leader: int, node: int) -> None:
    """It hears, and cannot be heard."""
    cluster.network.cut_one_way(node, leader)


ENDS = (kill, pause, cut, mute)
End = Callable[[Cluster, int, int], None]


def demote(node: int) -> MemberOperation:
    """Return the operation that takes a voter's vote."""
    return MemberOperation(MemberAction.DEMOTE, node)


def three(seconds: float, end: End) -> tuple[Cluster, Client, int, int, int]:
    """Return a cluster of three, a client, the leader, the voter that ended `seconds` ago, and the other one."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    cluster.settle()
    cluster.run_for(0.3)
    gone, left = cluster.followers(leader)
    end(cluster, leader, gone)
    cluster.run_for(seconds)
    assert cluster.leading() == leader
    return cluster, client, leader, gone, left


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
@pytest.mark.parametrize("seconds", MOMENTS)
@pytest.mark.parametrize("operation", [remove, demote], ids=lambda operation: operation.__name__)
def test_a_voter_that_died_a_moment_ago_does_not_count(
    operation: Callable[[int], MemberOperation], seconds: float, end: End
) -> None:
    """Accepted, it left a cluster of two with one voter alive: the quorum was gone for good."""
    _, client, leader, _, left = three(seconds, end)
    answer = failed(client.ask(leader, change(client, operation(left)), timeout=2.0))
    assert (answer.code, answer.outcome) == (ErrorCode.REFUSED, NOT_DONE)
    assert answer.message == (
        "the cluster would lose its quorum: now 3 voters, 2 up, quorum 2; after: 2 voters, 1 up, quorum 2"
    )
    assert isinstance(client.ask(leader, put(client, b"k")), wire.Written)


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
@pytest.mark.parametrize("seconds", MOMENTS)
def test_the_dead_voter_itself_may_be_removed(seconds: float, end: End) -> None:
    """And the evaluation before it counts as the change does."""
    _, client, leader, gone, _ = three(seconds, end)
    looked = client.ask(leader, change(client, remove(gone), dry_run=True), timeout=2.0)
    done = client.ask(leader, change(client, remove(gone)), timeout=2.0)
    for answer in (looked, done):
        assert isinstance(answer, MembersChanged)
        assert (answer.tolerates_before, answer.tolerates_after) == (0, 0)


@pytest.mark.parametrize("seconds", MOMENTS)
def test_a_promotion_that_would_cost_the_quorum_is_refused(seconds: float) -> None:
    """A fourth voter makes the quorum three; two of four are up."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    added = client.ask(leader, change(client, add_learner(4)))
    assert isinstance(added, MembersChanged)
    cluster.join(4, added.members)
    cluster.settle()
    cluster.run_for(1.0)
    gone, *_ = cluster.followers(leader)
    cluster.kill(gone)
    cluster.kill(4)
    cluster.run_for(seconds)
    answer = failed(client.ask(leader, change(client, promote(4)), timeout=2.0))
    assert answer.code is ErrorCode.REFUSED


def test_answers_are_awaited_no_longer_than_half_an_election_timeout() -> None:
    """A voter without a connection is not awaited at all, and neither are those that a change does not ask about."""
    cluster, client, leader, gone, _ = three(0.0, pause)
    begun = cluster.clock.now
    client.ask(leader, change(client, remove(gone), dry_run=True), timeout=2.0)
    assert cluster.clock.now - begun == pytest.approx(cluster.settings.election_timeout_min / 2, abs=0.06)
    cluster.kill(gone)
    cluster.run_for(0.1)
    begun = cluster.clock.now
    client.ask(leader, change(client, remove(gone), dry_run=True), timeout=2.0)
    assert cluster.clock.now - begun < 0.05


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
@pytest.mark.parametrize("dry_run", [False, True])
def test_force_does_not_take_the_quorum_away(end: End, dry_run: bool) -> None:
    """Only the cluster's own name does, and nobody types that by mistake."""
    _, client, leader, _, left = three(0.1, end)
    request = change(client, remove(left), force=True, dry_run=dry_run)
    assert failed(client.ask(leader, request, timeout=2.0)).code is ErrorCode.REFUSED
    other = wire.ChangeMembers(client.next_id(), [remove(left)], dry_run, True, accept_quorum_loss="prod")
    answer = failed(client.ask(leader, other, timeout=2.0))
    assert answer.code is ErrorCode.REFUSED
    assert answer.message == "the loss of the quorum was accepted for cluster 'prod'; this is 'demo'"
    knowingly = wire.ChangeMembers(client.next_id(), [remove(left)], True, accept_quorum_loss="demo")
    seen = client.ask(leader, knowingly, timeout=2.0)
    assert isinstance(seen, MembersChanged)
    assert (seen.tolerates_before, seen.tolerates_after) == (0, -1)


# Transfers.


def transfer(client: Client, target: int, *, dry_run: bool = False) -> wire.TransferLeadership:
    """Return the request to hand over to `target`; 0: to the best voter."""
    return wire.TransferLeadership(client.next_id(), target, dry_run)


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
@pytest.mark.parametrize("seconds", MOMENTS)
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_transfer_to_a_voter_that_does_not_answer_is_refused_and_writes_go_on(
    seconds: float, end: End, dry_run: bool
) -> None:
    """Writes stopped for a whole election timeout, for nothing."""
    cluster, client, leader, gone, _ = three(seconds, end)
    term = cluster.replica(leader).node.current_term
    at = client.send(leader, transfer(client, gone, dry_run=dry_run))
    for number in range(20):
        assert isinstance(client.ask(leader, put(client, b"k%d" % number), timeout=0.3), wire.Written)
        cluster.run_for(0.05)
    answer = failed(client.answer(at))
    assert (answer.code, answer.outcome) == (ErrorCode.REFUSED, NOT_DONE)
    assert answer.message.startswith(f"n{gone} does not answer")
    assert "it has entry" in answer.message
    assert (cluster.leading(), cluster.replica(leader).node.current_term) == (leader, term)


def test_a_transfer_to_a_voter_far_behind_is_refused_with_the_lag(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing could be written while it catches up."""
    monkeypatch.setattr("raftnode.replica.requests.members.TRANSFER_LAG_MAX", 5)
    cluster, client, leader, behind, _ = three(0.0, cut)
    for number in range(20):
        client.ask(leader, put(client, b"k%d" % number))
    cluster.network.heal()
    cluster.network.drop = lambda packet: packet.target == behind and bool(getattr(packet.message, "entries", None))
    cluster.run_for(0.3)
    answer = failed(client.ask(leader, transfer(client, behind), timeout=2.0))
    assert answer.code is ErrorCode.REFUSED
    assert "entries behind: it has entry" in answer.message


@pytest.mark.parametrize("seconds", MOMENTS)
def test_a_transfer_without_a_target_goes_to_a_voter_that_answers(seconds: float) -> None:
    """And not to the one that was the furthest along when it died."""
    cluster, client, leader, _, left = three(seconds, pause)
    looked = client.ask(leader, transfer(client, 0, dry_run=True), timeout=2.0)
    assert isinstance(looked, wire.LeadershipTransferred)
    assert looked.leader_id == left
    done = client.ask(leader, transfer(client, 0), timeout=5.0)
    assert isinstance(done, wire.LeadershipTransferred)
    assert cluster.leader() == left
