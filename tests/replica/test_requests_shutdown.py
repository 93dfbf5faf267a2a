"""A node on its way down: it hands over, answers everyone, and takes nothing new."""

import pytest

from raftnode.config.settings import ReplicaSettings
from raftnode.core.messages import TimeoutNowRequest
from raftnode.core.types import NodeRole
from raftnode.wire import client as wire
from raftnode.wire.client import NOT_DONE, UNKNOWN, ErrorCode
from raftnode.wire.kv import Changes, encode
from tests.support.replicas import Cluster, failed, get, put


def stop(cluster: Cluster, node: int) -> float:
    """Shut a node down in order; return how many seconds that took."""
    begun = cluster.clock.now
    replica = cluster.replica(node)
    replica.begin_shutdown()
    cluster.nodes[node].schedule_turn(0.0)
    cluster.run_until(lambda: replica.shutdown_ready, 3.0, "the shutdown")
    return cluster.clock.now - begun


def test_a_leader_hands_over_before_it_ends() -> None:
    """The next leader is there at once, not after an election timeout."""
    cluster = Cluster()
    leader = cluster.leader()
    cluster.settle()
    cluster.run_for(0.2)
    assert stop(cluster, leader) < 0.1
    assert cluster.replica(leader).node.role is not NodeRole.LEADER
    cluster.kill(leader)
    begun = cluster.clock.now
    cluster.leader()
    assert cluster.clock.now - begun < 0.2


def test_a_leader_that_nobody_can_follow_does_not_wait_for_ever() -> None:
    """The deadline is one election timeout."""
    cluster = Cluster()
    leader = cluster.leader()
    cluster.settle()
    cluster.run_for(0.2)
    cluster.network.cut(leader, *cluster.followers(leader))
    assert stop(cluster, leader) <= cluster.settings.election_timeout_max + 0.1


def test_a_leader_whose_successor_does_not_take_over_does_not_wait_for_ever() -> None:
    """The others are well, but nothing of the transfer reaches them."""
    cluster = Cluster()
    leader = cluster.leader()
    cluster.settle()
    cluster.run_for(0.2)
    cluster.network.drop = lambda packet: isinstance(packet.message, TimeoutNowRequest)
    assert stop(cluster, leader) == pytest.approx(cluster.settings.election_timeout_max, abs=0.1)
    assert cluster.replica(leader).node.role is NodeRole.LEADER


def test_a_stopping_node_begins_no_snapshot() -> None:
    """It would not be finished."""
    cluster = Cluster(settings=ReplicaSettings(snapshot_entries=10))
    leader = cluster.leader()
    client = cluster.client()
    stopping, other = cluster.followers(leader)
    cluster.replica(stopping).begin_shutdown()
    for number in range(12):
        client.ask(leader, put(client, b"k%d" % number))
    cluster.settle()
    assert cluster.replica(other).status().snapshot_index == 10
    assert cluster.replica(stopping).status().snapshot_index == 0


def test_every_request_is_answered_before_the_end() -> None:
    """Writes are unknown, polls end as at their deadline, everything else was not done; each exactly once."""
    cluster = Cluster(settings=ReplicaSettings(snapshot_entries=0, check_quorum=False))
    leader = cluster.leader()
    cluster.settle()
    cluster.run_for(0.2)
    client = cluster.client()
    cluster.network.cut(leader, *cluster.followers(leader))
    write = client.send(leader, put(client, b"k"))
    read = client.send(leader, get(client, b"k"))
    cluster.nodes[leader].turn()
    learner = wire.MemberOperation(wire.MemberAction.ADD_LEARNER, 0, "n4", "10.0.0.4:7000")
    member = client.send(leader, wire.ChangeMembers(client.next_id(), [learner]))
    watch = client.send(leader, wire.Watch(client.next_id(), encode(Changes(b"k", 99)), 60_000))
    events = client.send(leader, wire.GetEvents(client.next_id(), "", "nothing.*", wait_ms=60_000))
    entries = client.send(leader, wire.GetLog(client.next_id(), 99, 100, wait_ms=60_000))
    cluster.nodes[leader].turn()
    transfer = client.send(leader, wire.TransferLeadership(client.next_id(), cluster.followers(leader)[0]))
    cluster.nodes[leader].turn()
    assert not any(client.answer(at) for at in (write, read, member, watch, events, entries, transfer))
    stop(cluster, leader)
    assert failed(client.answer(write)).outcome == UNKNOWN
    assert failed(client.answer(member)).outcome == UNKNOWN
    assert failed(client.answer(read)).outcome == NOT_DONE
    assert isinstance(client.answer(watch), wire.ReadResult)
    assert isinstance(client.answer(events), wire.EventsResult)
    assert isinstance(client.answer(entries), wire.LogResult)
    assert client.answer(transfer) is not None
    assert not client.waiting


def test_asking_whether_a_node_may_end_changes_nothing() -> None:
    """When its time is up, its last turn answers what still waits, and then it may."""
    cluster = Cluster()
    leader = cluster.leader()
    client = cluster.client()
    cluster.network.cut(leader, *cluster.followers(leader))
    write = client.send(leader, put(client, b"k"))
    cluster.nodes[leader].turn()
    replica = cluster.replica(leader)
    replica.begin_shutdown()
    cluster.clock.now += cluster.settings.election_timeout_max
    assert not replica.shutdown_ready
    assert client.answer(write) is None
    cluster.nodes[leader].turn()
    assert failed(client.answer(write)).outcome == UNKNOWN
    assert replica.shutdown_ready


def test_a_node_without_a_leader_ends_with_its_requests_answered() -> None:
    """Those that wait for a leader hear that this node goes."""
    cluster = Cluster()
    cluster.kill(2)
    cluster.kill(3)
    client = cluster.client()
    at = client.send(1, put(client, b"k"))
    cluster.run_for(0.1)
    assert stop(cluster, 1) < 0.1
    assert failed(client.answer(at)).code is ErrorCode.SHUTTING_DOWN


def test_a_stopping_node_takes_no_new_requests() -> None:
    """They are told to go elsewhere; nothing happened."""
    cluster = Cluster()
    leader = cluster.leader()
    cluster.settle()
    cluster.network.cut(leader, *cluster.followers(leader))
    cluster.replica(leader).begin_shutdown()
    client = cluster.client()
    for request in (put(client, b"k"), get(client, b"k"), wire.TriggerSnapshot(client.next_id())):
        answer = failed(client.ask(leader, request, timeout=0.1))
        assert (answer.code, answer.outcome) == (ErrorCode.SHUTTING_DOWN, NOT_DONE)


def test_a_snapshot_that_is_being_taken_is_given_up() -> None:
    """Whoever asked for it hears that, and nothing is left on the disk."""
    cluster = Cluster(1)
    cluster.leader()
    client = cluster.client()
    client.ask(1, put(client, b"k"))
    replica = cluster.replica(1)
    at = client.send(1, wire.TriggerSnapshot(client.next_id()))
    replica.requests.handle(replica._client_inbox)
    replica._client_inbox = []
    stop(cluster, 1)
    assert failed(client.answer(at)).code is ErrorCode.SHUTTING_DOWN
    assert not [path for path in cluster.nodes[1].fs.files() if "snapshot-" in path]
