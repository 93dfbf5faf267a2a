"""Membership changes and leadership transfers as an operator asks for them, on whole nodes."""

from dataclasses import replace

import pytest

from raftnode.config.settings import ReplicaSettings
from raftnode.core.membership import ConfChange, decode_configuration
from raftnode.core.messages import AppendEntriesRequest, TimeoutNowRequest
from raftnode.core.types import EntryKind, NodeRole
from raftnode.wire import client as wire
from raftnode.wire.client import NOT_DONE, UNKNOWN, ErrorCode, MemberAction, MemberOperation, MembersChanged
from raftnode.wire.hello import PROTOCOL_VERSION, REJECT_REMOVED, Hello, Rejected
from tests.support.replicas import (
    CLUSTER_ID,
    SETTINGS,
    Client,
    Cluster,
    Frame,
    add_learner,
    address_of,
    change,
    failed,
    local_value,
    promote,
    put,
    remove,
)


def changed(answer: wire.Answer | None) -> MembersChanged:
    assert isinstance(answer, MembersChanged), answer
    return answer


def grown(cluster: Cluster, client: Client) -> int:
    """Add n4 as a learner, start it and let it catch up; return the leader."""
    leader = cluster.leader()
    added = changed(client.ask(leader, change(client, add_learner(4))))
    cluster.join(4, added.members)
    cluster.run_until(lambda: promotable(cluster, leader, 4), what="the learner's catch-up")
    return leader


def promotable(cluster: Cluster, leader: int, node: int) -> bool:
    return any(member.id == node and member.promotable for member in cluster.replica(leader).status().members)


def transfer(client: Client, target: int = 0, *, dry_run: bool = False) -> wire.TransferLeadership:
    return wire.TransferLeadership(client.next_id(), target, dry_run)


def test_a_node_is_added_catches_up_and_is_promoted() -> None:
    """The whole way of a new member, with what the leader says at each step."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    for number in range(30):
        client.ask(leader, put(client, b"k%d" % number))
    leader = grown(cluster, client)
    answer = changed(client.ask(leader, change(client, promote(4))))
    assert (answer.changed, answer.voters_before, answer.voters_after) == (True, 3, 4)
    assert (answer.quorum_before, answer.quorum_after) == (2, 3)
    assert (answer.tolerates_before, answer.tolerates_after) == (1, 1)
    cluster.settle()
    assert cluster.replica(4).node.role is NodeRole.FOLLOWER
    assert local_value(cluster, 4, b"k29") == b"v"
    types = cluster.nodes[leader].event_types()
    assert "member.added" in types
    assert "member.promoted" in types


def test_what_happened_before_a_node_joined_is_no_news_of_it() -> None:
    """It reads configurations without itself, which are history; it tells of its own addition and what came after."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    changed(client.ask(leader, change(client, MemberOperation(MemberAction.ADD_OBSERVER, 0, "n9", "127.0.0.1:9"))))
    (observer,) = [m.id for m in cluster.replica(leader).status().members if m.name == "n9"]
    changed(client.ask(leader, change(client, remove(observer))))
    added = changed(client.ask(leader, change(client, MemberOperation(MemberAction.ADD_LEARNER, 0, "n5", "h:5"))))
    (node,) = [m.id for m in added.members if m.name == "n5"]
    cluster.join(node, added.members)
    cluster.run_until(lambda: promotable(cluster, leader, node), what="the learner's catch-up")
    assert [t for t in cluster.nodes[node].event_types() if t.startswith("member.")] == ["member.added"]
    changed(client.ask(leader, change(client, promote(node))))
    cluster.settle()
    assert [t for t in cluster.nodes[node].event_types() if t.startswith("member.")] == [
        "member.added",
        "member.promoted",
    ]


def test_a_learner_that_has_not_caught_up_is_not_promoted() -> None:
    """The refusal has the arithmetic: which entry it has, of how many."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    client.ask(leader, change(client, add_learner(4)))
    answer = failed(client.ask(leader, change(client, promote(4))))
    assert answer.code is ErrorCode.REFUSED
    assert "n4 has not caught up: it has entry 0 of 2" in answer.message


def held(cluster: Cluster, client: Client) -> tuple[int, int, list[wire.MemberStatus]]:
    """Add n4 as a learner, and have its promotion held; return the leader, the request and the members."""
    leader = cluster.leader()
    added = changed(client.ask(leader, change(client, add_learner(4))))
    request = wire.ChangeMembers(client.next_id(), [promote(4)], wait_ms=20_000)
    at = client.send(leader, request)
    cluster.run_for(1.0)
    assert client.answer(at) is None
    return leader, at, added.members


def test_a_held_promotion_is_made_when_the_learner_has_caught_up() -> None:
    """The leader waits: there is one request, and its answer is that of a change."""
    cluster = Cluster()
    client = cluster.client()
    leader, at, members = held(cluster, client)
    cluster.join(4, members)
    cluster.run_until(lambda: client.answer(at), 10)
    answer = changed(client.answer(at))
    assert (answer.changed, answer.voters_before, answer.voters_after) == (True, 3, 4)
    assert 4 in cluster.replica(leader).node.configuration.voters


def test_a_held_promotion_is_refused_at_its_deadline() -> None:
    """With the figures, as one that is not held."""
    cluster = Cluster()
    client = cluster.client()
    _, at, _ = held(cluster, client)
    cluster.run_until(lambda: client.answer(at), 20)
    answer = failed(client.answer(at))
    assert (answer.code, answer.outcome) == (ErrorCode.REFUSED, NOT_DONE)
    assert "n4 has not caught up: it has entry 0 of " in answer.message


def test_a_held_promotion_of_a_learner_that_is_removed_is_not_made() -> None:
    """It is judged by the members as they are then."""
    cluster = Cluster()
    client = cluster.client()
    leader, at, _ = held(cluster, client)
    changed(client.ask(leader, change(client, remove(4))))
    cluster.run_until(lambda: client.answer(at), 5)
    assert failed(client.answer(at)).code is ErrorCode.NOT_FOUND


def test_a_held_promotion_of_a_client_that_is_gone_is_not_made() -> None:
    """Nobody would learn of it."""
    cluster = Cluster()
    client = cluster.client()
    leader, _, members = held(cluster, client)
    client.hang_up()
    cluster.join(4, members)
    cluster.run_until(lambda: promotable(cluster, leader, 4), what="the learner's catch-up")
    cluster.run_for(1.0)
    assert cluster.replica(leader).node.configuration.learners == (4,)


def test_a_held_promotion_ends_with_the_leadership() -> None:
    """It did not happen, and the client is told so at once: the next leader can be asked the same."""
    cluster = Cluster()
    client = cluster.client()
    leader, at, _ = held(cluster, client)
    client.ask(leader, transfer(client))
    cluster.run_until(lambda: client.answer(at), 1)
    answer = failed(client.answer(at))
    assert answer.code in (ErrorCode.NOT_LEADER, ErrorCode.NO_LEADER)
    assert answer.outcome == NOT_DONE
    assert cluster.replica(cluster.leader(but=[leader])).node.configuration.learners == (4,)


def test_force_promotes_a_learner_that_has_not_caught_up() -> None:
    """The operator knows better: it will come."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    changed(client.ask(leader, change(client, add_learner(4))))
    assert failed(client.ask(leader, change(client, promote(4)))).code is ErrorCode.REFUSED
    changed(client.ask(leader, change(client, promote(4), force=True)))
    assert cluster.replica(leader).node.configuration.voters == (1, 2, 3, 4)


def test_a_removal_that_would_lose_the_quorum_is_refused() -> None:
    """Of three voters one is down: removing another one that is up would leave one of two."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    up, down = cluster.followers(leader)
    cluster.settle()
    cluster.kill(down)
    cluster.run_for(2.5)
    answer = failed(client.ask(leader, change(client, remove(up))))
    assert answer.code is ErrorCode.REFUSED
    assert "now 3 voters, 2 up, quorum 2; after: 2 voters, 1 up, quorum 2" in answer.message
    assert changed(client.ask(leader, change(client, remove(down)))).changed


def test_force_skips_the_check_of_reachability_only() -> None:
    """What Raft itself needs is never skipped: the last voter stays."""
    cluster = Cluster(2)
    client = cluster.client()
    leader = cluster.leader()
    cluster.settle()
    (other,) = cluster.followers(leader)
    cluster.run_for(0.2)
    assert changed(client.ask(leader, change(client, remove(other), force=True))).changed
    answer = failed(client.ask(leader, change(client, remove(leader), force=True)))
    assert answer.code is ErrorCode.REFUSED
    assert "last voter" in answer.message


@pytest.mark.parametrize(
    "operation",
    [
        MemberOperation(MemberAction.ADD_LEARNER, 0, "n2", address_of(2)),
        remove(99),
        promote(1),
    ],
)
def test_a_change_that_is_already_true_changes_nothing(operation: MemberOperation) -> None:
    """Repeating a command succeeds and says so; no entry is written."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    last = cluster.replica(leader).node.last_log_index
    answer = changed(client.ask(leader, change(client, operation)))
    assert not answer.changed
    assert cluster.replica(leader).node.last_log_index == last


def test_a_repeated_change_is_not_confirmed_before_it_is_committed() -> None:
    """The first try is in the leader's log only, and may be lost with it: the second waits for it, too."""
    cluster = Cluster(settings=replace(SETTINGS, check_quorum=False))
    client = cluster.client()
    leader = cluster.leader()
    cluster.settle()
    cluster.network.cut(leader, *cluster.followers(leader))
    first = client.send(leader, change(client, add_learner(4)))
    cluster.run_for(0.1)
    second = client.send(leader, change(client, add_learner(4)))
    cluster.run_for(0.1)
    assert (client.answer(first), client.answer(second)) == (None, None)
    cluster.network.heal()
    cluster.run_until(lambda: client.answer(first) and client.answer(second))
    answers = [client.answer(first), client.answer(second)]
    if cluster.leading() == leader:
        assert [changed(answer).changed for answer in answers] == [True, False]


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        (promote(99), ErrorCode.NOT_FOUND),
        (MemberOperation(MemberAction.DEMOTE, 99), ErrorCode.NOT_FOUND),
        (MemberOperation(MemberAction.ADD_LEARNER, 0, "n2", "10.9.9.9:1"), ErrorCode.REFUSED),
        (MemberOperation(MemberAction.ADD_LEARNER, 0, "new", address_of(2)), ErrorCode.REFUSED),
        (MemberOperation(MemberAction.ADD_LEARNER, 0, "", address_of(9)), ErrorCode.REFUSED),
        (MemberOperation(MemberAction.ADD_LEARNER, 0, "n9", ""), ErrorCode.REFUSED),
        (MemberOperation(MemberAction.ADD_LEARNER, 0, "n9", "no address"), ErrorCode.REFUSED),
        (MemberOperation(MemberAction.ADD_LEARNER, 0, "x" * 1000, address_of(9)), ErrorCode.REFUSED),
        (MemberOperation(MemberAction.ADD_OBSERVER, 0, "n2", address_of(2)), ErrorCode.REFUSED),
    ],
)
def test_a_change_that_makes_no_sense_is_refused(operation: MemberOperation, code: ErrorCode) -> None:
    """With its own code, and nothing in the log."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    last = cluster.replica(leader).node.last_log_index
    assert failed(client.ask(leader, change(client, operation))).code is code
    assert cluster.replica(leader).node.last_log_index == last


def test_a_dry_run_changes_nothing_and_says_what_would_be() -> None:
    """The leader evaluates it as the real change."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    cluster.settle()
    cluster.run_for(0.2)
    last = cluster.replica(leader).node.last_log_index
    answer = changed(client.ask(leader, change(client, remove(cluster.followers(leader)[0]), dry_run=True)))
    assert (answer.changed, answer.voters_before, answer.voters_after, answer.tolerates_after) == (True, 3, 2, 0)
    assert len(answer.members) == 2
    cluster.run_for(1.0)
    assert cluster.replica(leader).node.last_log_index == last


def test_several_operations_are_one_change_through_a_joint_phase() -> None:
    """Answered when the joint phase has ended; the new members get different ids."""
    cluster = Cluster(5)
    client = cluster.client()
    leader = cluster.leader()
    cluster.settle()
    cluster.run_for(0.2)
    first, second, *_ = cluster.followers(leader)
    operations = [remove(first), remove(second), add_learner(6), add_learner(7)]
    answer = changed(client.ask(leader, change(client, *operations)))
    assert answer.changed
    configuration = cluster.replica(leader).node.configuration
    assert not configuration.joint
    assert len(configuration.voters) == 3
    assert configuration.learners == (6, 7)
    assert {member.name for member in answer.members} >= {"n6", "n7"}
    assert "outgoing" not in {member.kind for member in answer.members}
    assert answer.index == cluster.replica(leader).node.commit_index


def test_a_node_that_joins_in_a_joint_phase_starts_and_follows() -> None:
    """It was added before, and asks who the members are while two sets of voters decide: it keeps what it is told."""
    cluster = Cluster(5)
    client = cluster.client()
    leader = cluster.leader()
    changed(client.ask(leader, change(client, add_learner(6))))
    first, second, *_ = cluster.followers(leader)
    client.send(leader, change(client, remove(first), remove(second)))
    cluster.run_until(lambda: cluster.replica(leader).node.configuration.joint, what="the joint phase")
    members = cluster.replica(leader).status().members
    assert [member.id for member in members if member.kind == "outgoing"] == [first, second]
    cluster.join(6, members)
    cluster.run_until(lambda: promotable(cluster, leader, 6), what="the learner's catch-up")
    assert cluster.replica(6).node.configuration == cluster.replica(leader).node.configuration


def test_a_member_is_replaced_at_its_address_in_one_change() -> None:
    """What one operation frees, the next one may take."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    gone = cluster.followers(leader)[0]
    cluster.settle()
    cluster.run_for(0.2)
    successor = MemberOperation(MemberAction.ADD_LEARNER, 0, f"n{gone}", address_of(gone))
    answer = changed(client.ask(leader, change(client, remove(gone), successor)))
    assert {(m.id, m.name) for m in answer.members} >= {(4, f"n{gone}")}


def test_two_operations_may_not_take_the_same_name() -> None:
    """Within one request as over several."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    both = [MemberOperation(MemberAction.ADD_LEARNER, 0, "n4", address_of(node)) for node in (4, 5)]
    assert failed(client.ask(leader, change(client, *both))).code is ErrorCode.REFUSED


def test_a_leader_removes_itself_and_answers() -> None:
    """It goes on until its removal is committed; then another one leads, at once."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    cluster.settle()
    cluster.run_for(0.2)
    assert changed(client.ask(leader, change(client, remove(leader)))).changed
    begun = cluster.clock.now
    new = cluster.leader(but=[leader])
    assert cluster.clock.now - begun < 0.5
    assert isinstance(client.ask(new, put(client, b"k")), wire.Written)
    cluster.run_for(5.0)
    assert cluster.leading() == new
    assert cluster.replica(leader).node.role is NodeRole.FOLLOWER


def test_a_change_that_a_new_leader_overwrote_is_not_reported_as_made() -> None:
    """Its index holds another entry now, and a later change completes: that one is another's."""
    cluster = Cluster(settings=replace(SETTINGS, check_quorum=False, request_timeout=60.0))
    client = cluster.client()
    old = cluster.leader()
    cluster.settle()
    cluster.network.cut(old, *cluster.followers(old))
    at = client.send(old, change(client, add_learner(4)))
    cluster.run_for(0.1)
    new = cluster.leader(but=[old])
    client.ask(new, put(client, b"k"))
    other = MemberOperation(MemberAction.ADD_OBSERVER, 0, "other", "10.0.0.9:7000")
    assert changed(client.ask(new, change(client, other))).changed
    cluster.network.heal()
    cluster.run_until(lambda: client.answer(at), 70)
    assert failed(client.answer(at)).code is ErrorCode.OVERWRITTEN


def test_a_change_without_a_quorum_is_unknown_in_the_end() -> None:
    """It is in the log, and may still be committed."""
    cluster = Cluster(settings=replace(SETTINGS, check_quorum=False, request_timeout=1.0))
    client = cluster.client()
    leader = cluster.leader()
    cluster.settle()
    cluster.network.cut(leader, *cluster.followers(leader))
    answer = failed(client.ask(leader, change(client, add_learner(4))))
    assert (answer.code, answer.outcome) == (ErrorCode.TIMED_OUT, UNKNOWN)


def test_a_leader_that_steps_down_lets_no_change_wait_for_long() -> None:
    """As with a write: whether the next leader keeps it is not known here."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    cluster.settle()
    cluster.network.cut(leader, *cluster.followers(leader))
    at = client.send(leader, change(client, add_learner(4)))
    cluster.run_until(lambda: cluster.replica(leader).node.role is not NodeRole.LEADER)
    cluster.run_until(lambda: client.answer(at), cluster.settings.election_timeout_max + 0.1)
    assert failed(client.answer(at)).outcome == UNKNOWN


def test_a_second_change_waits_for_the_first() -> None:
    """One is uncommitted at a time: come back later."""
    cluster = Cluster(settings=replace(SETTINGS, check_quorum=False))
    client = cluster.client()
    leader = cluster.leader()
    cluster.settle()
    cluster.network.cut(leader, *cluster.followers(leader))
    client.send(leader, change(client, add_learner(4)))
    answer = failed(client.ask(leader, change(client, remove(4))))
    assert answer.code is ErrorCode.BUSY


def test_a_transfer_is_done_when_the_target_leads() -> None:
    """Named, or the best one; a repetition that is already true says so."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    cluster.settle()
    cluster.run_for(0.2)
    target = cluster.followers(leader)[1]
    answer = client.ask(leader, transfer(client, target), timeout=1.0)
    assert isinstance(answer, wire.LeadershipTransferred)
    assert (answer.changed, answer.leader_id) == (True, target)
    assert cluster.leader() == target
    again = client.ask(target, transfer(client, target))
    assert isinstance(again, wire.LeadershipTransferred)
    assert (again.changed, again.leader_id) == (False, target)
    cluster.run_for(0.2)
    any_ = client.ask(target, transfer(client), timeout=1.0)
    assert isinstance(any_, wire.LeadershipTransferred)
    assert any_.leader_id != target


def carries_entries(packet: Frame) -> bool:
    """Whether a packet brings new entries: without those nothing commits, and everybody answers."""
    return isinstance(packet.message, AppendEntriesRequest) and bool(packet.message.entries)


def test_a_transfer_that_is_not_taken_up_is_told_and_leadership_stays() -> None:
    """Writes are taken again afterwards."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    cluster.settle()
    cluster.run_for(0.2)
    target, other = cluster.followers(leader)
    cluster.network.drop = lambda packet: isinstance(packet.message, TimeoutNowRequest)
    at = client.send(leader, transfer(client, target))
    cluster.run_until(lambda: cluster.replica(leader).node.transfer_target == target, 0.1)
    busy = failed(client.ask(leader, put(client, b"k"), timeout=0.1))
    assert busy.code is ErrorCode.BUSY
    cluster.run_until(lambda: client.answer(at), 3.0)
    answer = failed(client.answer(at))
    assert (answer.code, answer.outcome) == (ErrorCode.REFUSED, NOT_DONE)
    assert answer.message == f"n{target} did not take over in time; n{leader} still leads"
    if cluster.leading() == leader:
        assert isinstance(client.ask(leader, put(client, b"k")), wire.Written)
    assert other


def test_a_transfer_after_which_nobody_leads_is_answered_in_the_end() -> None:
    """The old leader steps down and hears from no other: unknown, but not never."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    cluster.settle()
    cluster.run_for(0.2)
    target, other = cluster.followers(leader)
    cluster.network.drop = lambda packet: type(packet.message).__name__ in ("RequestVoteResponse", "PreVoteResponse")
    at = client.send(leader, transfer(client, target))
    cluster.run_until(lambda: client.answer(at), 15.0, "an answer to the transfer")
    answer = failed(client.answer(at))
    assert answer.code is ErrorCode.TIMED_OUT
    assert other


def test_the_successor_is_the_voter_that_is_the_furthest_along_and_up() -> None:
    """A learner that has more cannot lead, and a voter that was not heard from lately may be gone."""
    cluster = Cluster()
    client = cluster.client()
    leader = grown(cluster, client)
    cluster.settle()
    near, far = cluster.followers(leader)[:2]
    best_successor = cluster.replica(leader).requests.members.best_successor
    cluster.network.drop = lambda packet: (
        packet.target == near and isinstance(packet.message, AppendEntriesRequest) and bool(packet.message.entries)
    )
    client.ask(leader, put(client, b"k"))
    assert best_successor() == far
    cluster.network.drop = lambda packet: (
        packet.target != 4 and isinstance(packet.message, AppendEntriesRequest) and bool(packet.message.entries)
    )
    client.send(leader, put(client, b"l"))
    cluster.run_for(0.1)
    assert cluster.replica(leader).node.match_index_for(4) == cluster.replica(leader).node.last_log_index
    assert best_successor() == far
    cluster.network.cut(leader, far)
    cluster.run_for(cluster.settings.election_timeout_max + 0.2)
    assert cluster.replica(leader).node.role is NodeRole.LEADER
    assert best_successor() == near


def test_a_leader_whose_connections_break_is_succeeded_at_once() -> None:
    """Its process is gone: the others do not wait for an election timeout."""
    cluster = Cluster()
    leader = cluster.leader()
    cluster.settle()
    cluster.run_for(0.2)
    begun = cluster.clock.now
    cluster.kill(leader)
    cluster.leader()
    assert cluster.clock.now - begun < cluster.settings.election_timeout_min / 2


def test_a_change_that_a_snapshot_covers_is_unknown() -> None:
    """The old leader fell behind and takes a snapshot: what its change became is not told."""
    cluster = Cluster(
        settings=ReplicaSettings(snapshot_entries=10, snapshot_trailing=0, check_quorum=False, request_timeout=60.0)
    )
    old = cluster.leader()
    cluster.settle()
    client = cluster.client()
    cluster.network.cut(old, *cluster.followers(old))
    at = client.send(old, change(client, add_learner(4)))
    new = cluster.leader(but=[old])
    for number in range(25):
        client.ask(new, put(client, b"k%d" % number))
    cluster.network.heal()
    cluster.run_until(lambda: "snapshot.installed" in cluster.nodes[old].event_types())
    cluster.run_until(lambda: client.answer(at), 0.1)
    answer = failed(client.answer(at))
    assert (answer.code, answer.outcome) == (ErrorCode.TIMED_OUT, UNKNOWN)


def test_a_snapshot_names_the_members_of_its_moment() -> None:
    """Those committed up to its entry: neither the first ones, nor those of a change that is under way."""
    cluster = Cluster()
    client = cluster.client()
    leader = grown(cluster, client)
    cluster.settle()
    cluster.network.drop = carries_entries
    client.send(leader, change(client, remove(4)))
    cluster.run_until(lambda: 4 not in cluster.replica(leader).node.configuration.members(), 0.1)
    taken = client.ask(leader, wire.TriggerSnapshot(client.next_id()), timeout=0.1)
    assert isinstance(taken, wire.SnapshotTaken)
    assert 4 not in cluster.replica(leader).node.configuration.members()
    stored = cluster.replica(leader).snapshots.newest
    assert stored is not None
    assert (stored.configuration.voters, stored.configuration.learners) == ((1, 2, 3), (4,))


def test_a_removal_inside_a_snapshot_shuts_its_node_out_too() -> None:
    """A node that learns of it from a snapshot refuses the removed one as all others do."""
    cluster = Cluster(4, settings=replace(SETTINGS, snapshot_trailing=0))
    client = cluster.client()
    leader = cluster.leader()
    cluster.settle()
    cluster.run_for(0.2)
    behind, gone, _ = cluster.followers(leader)
    cluster.kill(behind)
    changed(client.ask(leader, change(client, remove(gone))))
    client.ask(leader, wire.TriggerSnapshot(client.next_id()))
    cluster.kill(gone)
    cluster.restart(behind)
    cluster.run_until(lambda: "snapshot.installed" in cluster.nodes[behind].event_types())
    answer = cluster.replica(behind).check_hello(Hello(PROTOCOL_VERSION, CLUSTER_ID, gone, "any", behind))
    assert isinstance(answer, Rejected)
    assert answer.code == REJECT_REMOVED


@pytest.mark.parametrize(("target", "code"), [(99, ErrorCode.NOT_FOUND), (4, ErrorCode.REFUSED)])
def test_a_transfer_to_a_node_that_cannot_lead_is_refused(target: int, code: ErrorCode) -> None:
    """A stranger, and a learner."""
    cluster = Cluster()
    client = cluster.client()
    leader = grown(cluster, client)
    assert failed(client.ask(leader, transfer(client, target))).code is code


def test_a_transfer_with_nobody_to_take_over_is_refused() -> None:
    """A lone voter keeps leading."""
    cluster = Cluster(1)
    cluster.leader()
    client = cluster.client()
    assert failed(client.ask(1, transfer(client))).code is ErrorCode.REFUSED


def test_a_dry_transfer_moves_nothing() -> None:
    """It names who would lead."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    cluster.settle()
    cluster.run_for(0.2)
    answer = client.ask(leader, transfer(client, dry_run=True))
    assert isinstance(answer, wire.LeadershipTransferred)
    assert answer.leader_id != leader
    cluster.run_for(1.0)
    assert cluster.leading() == leader


def test_a_configuration_with_an_unreadable_context_stops_nobody() -> None:
    """The core never reads it; the server shows such a member without name and address."""
    cluster = Cluster()
    leader = cluster.leader()
    cluster.settle()
    cluster.replica(leader).node.propose_conf_change(ConfChange.add_learner(4, b"\xff rubbish"))
    cluster.nodes[leader].schedule_turn(0.0)
    cluster.run_for(1.0)
    assert len(cluster.followers(leader)) == 2
    assert {member.id: member.name for member in cluster.replica(leader).status().members}[4] == ""


def test_a_node_that_installed_a_snapshot_older_than_its_addition_waits_quietly() -> None:
    """Its configuration lacks it until the log goes on: it does not campaign, and the others speak to it.

    snapshot 10 {1 2 3} | 11 ... adds 4 | ...      n4: snapshot 10, restarted before entry 11 arrives
    """
    cluster = Cluster(settings=ReplicaSettings(snapshot_entries=0, snapshot_trailing=0))
    client = cluster.client()
    leader = cluster.leader()
    for number in range(9):
        client.ask(leader, put(client, b"k%d" % number))
    client.ask(leader, wire.TriggerSnapshot(client.next_id()))
    added = changed(client.ask(leader, change(client, add_learner(4))))
    cluster.network.drop = lambda packet: (
        packet.target == 4
        and isinstance(packet.message, AppendEntriesRequest)
        and cluster.replica(4).node.log_snapshot_index > 0
        and bool(packet.message.entries)
    )
    cluster.join(4, added.members)
    cluster.run_until(lambda: "snapshot.installed" in cluster.nodes[4].event_types())
    assert 4 not in cluster.replica(4).node.configuration.members()
    term = cluster.replica(leader).node.current_term
    cluster.network.cut(4, 1, 2, 3)
    cluster.crash(4)
    cluster.restart(4)
    cluster.run_for(10.0)
    assert 4 not in cluster.replica(4).node.configuration.members()
    assert cluster.replica(4).node.current_term <= term
    assert cluster.replica(4).node.role is NodeRole.FOLLOWER
    cluster.network.heal()
    cluster.settle()
    assert cluster.replica(4).node.role is NodeRole.LEARNER
    assert cluster.nodes[4].rejections == []
    assert cluster.leading() == leader


def test_a_removal_that_was_rolled_back_elsewhere_does_not_shut_its_node_out() -> None:
    """A follower with an uncommitted removal of a node must hear from it when that one leads (thesis 4.1)."""
    cluster = Cluster(settings=replace(SETTINGS, check_quorum=False))
    client = cluster.client()
    old = cluster.leader()
    cluster.settle()
    cluster.run_for(0.2)
    victim, other = cluster.followers(old)
    # Only `other` hears of the removal, and its acknowledgement is lost; then the leader's machine is gone.
    cluster.network.cut(old, victim)
    cluster.network.cut(other, victim)
    cluster.network.cut_one_way(other, old)
    client.send(old, wire.ChangeMembers(client.next_id(), [remove(victim)], accept_quorum_loss="demo"))
    cluster.run_until(lambda: victim not in cluster.replica(other).node.configuration.members(), 1.0)
    cluster.network.cut(old, other)
    cluster.disconnect(victim, other)
    cluster.network.blocked -= {(victim, other), (other, victim)}
    cluster.run_for(1.0)
    assert cluster.nodes[victim].links[other], cluster.nodes[victim].rejections


def test_a_repeated_change_is_understood_where_its_joint_entry_is_compacted() -> None:
    """A leader that took over in a joint phase may have the phase's beginning in its snapshot only."""
    cluster = Cluster(5)
    client = cluster.client()
    old = cluster.leader()
    cluster.settle()
    first, second, kept, other = cluster.followers(old)

    def ends_the_joint_phase(packet: Frame) -> bool:
        message = packet.message
        return isinstance(message, AppendEntriesRequest) and any(
            entry.kind is EntryKind.CONFIGURATION and not decode_configuration(entry.data).joint
            for entry in message.entries
        )

    cluster.network.drop = ends_the_joint_phase
    client.send(old, change(client, remove(first), remove(second)))
    cluster.run_until(lambda: cluster.replica(old).node.configuration.joint, 0.1)
    for number in range(20):
        client.send(old, put(client, b"k%d" % number))
    stay = [cluster.replica(kept), cluster.replica(other)]
    cluster.run_until(lambda: all(local_value(cluster, node, b"k19") for node in (kept, other)), what="the writes")
    for replica in stay:
        assert replica.snapshots.begin_taking()
        replica.turn()
    assert all(replica.snapshots.newest for replica in stay)
    cluster.kill(old)
    cluster.network.drop = lambda packet: isinstance(packet.message, AppendEntriesRequest)
    cluster.run_until(lambda: any(replica.node.role is NodeRole.LEADER for replica in stay), what="another leader")
    (new,) = [node for node in (kept, other) if cluster.replica(node).node.role is NodeRole.LEADER]
    core = cluster.replica(new).node.status()
    assert core.configuration.joint
    assert core.configuration_index < core.snapshot_index
    request = client.send(new, change(client, add_learner(kept)))
    cluster.run_for(0.2)
    assert client.answer(request) is None
    cluster.network.heal()
    cluster.run_until(lambda: client.answer(request), what="an answer")
    assert not changed(client.answer(request)).changed
