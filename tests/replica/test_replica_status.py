"""The status of a node: each thing that an operator goes by is as the node has it."""

import pytest

from raftnode.core.messages import AppendEntriesRequest
from raftnode.core.types import NodeRole
from raftnode.replica.core_config import READY_BYTES_MAX
from raftnode.wire.client import MemberStatus, NodeStatus
from tests.support.replicas import Cluster, add_learner, address_of, change, promote, put, remove


def status(cluster: Cluster, node: int) -> NodeStatus:
    return cluster.replica(node).status()


def member(found: NodeStatus, node: int) -> MemberStatus:
    return next(member for member in found.members if member.id == node)


def test_every_node_tells_who_leads_and_where() -> None:
    """A client that asks any of them finds the leader."""
    cluster = Cluster()
    leader = cluster.leader()
    cluster.settle()
    for node in (1, 2, 3):
        found = status(cluster, node)
        assert (found.leader_id, found.leader_address) == (leader, address_of(leader))
        assert found.role == ("leader" if node == leader else "follower")
        assert found.no_leader_reason == ""


def test_a_node_without_a_leader_says_why() -> None:
    """It asked the others and nobody answered."""
    cluster = Cluster()
    leader = cluster.leader()
    cluster.settle()
    left, other = cluster.followers(leader)
    cluster.kill(leader)
    cluster.kill(other)
    cluster.run_for(5.0)
    found = status(cluster, left)
    assert (found.leader_id, found.leader_address) == (None, "")
    assert "1 of 3" in found.no_leader_reason


def test_what_is_applied_is_told_apart_from_what_is_committed() -> None:
    """A node with much to apply is behind, though it has everything."""
    cluster = Cluster(1)
    cluster.leader()
    client = cluster.client()
    for number in range(3):
        client.ask(1, put(client, b"k%d" % number, bytes(READY_BYTES_MAX)))
    cluster.kill(1)
    cluster.restart(1)
    cluster.run_until(lambda: status(cluster, 1).commit_index >= 4)
    seen = {(status(cluster, 1).applied_index, status(cluster, 1).commit_index)}
    while status(cluster, 1).applied_index < 5:
        found = status(cluster, 1)
        assert found.applied_index == cluster.replica(1).node.last_applied
        seen.add((found.applied_index, found.commit_index))
        cluster.step()
    assert any(applied < committed for applied, committed in seen)


def test_a_change_under_way_is_seen() -> None:
    """The configuration is joint, at the index of its entry, until the leader has left it."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    for node in (4, 5):
        added = client.ask(leader, change(client, add_learner(node)))
        cluster.join(node, added.members)  # type: ignore[union-attr]
    cluster.settle()
    cluster.run_for(1.0)
    assert not status(cluster, leader).joint
    cluster.network.drop = lambda packet: (
        isinstance(packet.message, AppendEntriesRequest) and len(packet.message.entries) > 0
    )
    client.send(leader, change(client, promote(4), promote(5), remove(cluster.followers(leader)[0]), force=True))
    cluster.run_for(0.01)
    found = status(cluster, leader)
    assert (found.joint, found.configuration_index) == (True, found.last_log_index)
    cluster.network.heal()
    cluster.run_until(lambda: not status(cluster, leader).joint, 5.0)


def test_the_last_contact_goes_back_before_this_term() -> None:
    """A new leader knows when it heard for the last time from a member that is gone since."""
    cluster = Cluster()
    old = cluster.leader()
    cluster.settle()
    cluster.run_for(0.5)
    gone = cluster.clock.now
    cluster.kill(old)
    new = cluster.leader()
    cluster.run_for(1.0)
    waited = (cluster.clock.now - gone) * 1000
    assert member(status(cluster, new), old).last_contact_ms == pytest.approx(waited, abs=150)


def test_time_and_counters_are_those_of_this_run() -> None:
    """They begin again with the process."""
    cluster = Cluster(1)
    cluster.run_for(5.0)
    cluster.replica(1).count("frames_bad")
    cluster.replica(1).count("frames_bad")
    assert (status(cluster, 1).uptime_ms, status(cluster, 1).counters) == (5000, {"frames_bad": 2})
    cluster.kill(1)
    cluster.restart(1)
    cluster.run_for(3.0)
    assert (status(cluster, 1).uptime_ms, status(cluster, 1).counters) == (3000, {})
    assert cluster.replica(1).node.role is NodeRole.LEADER
