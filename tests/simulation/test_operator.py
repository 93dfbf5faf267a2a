"""What the simulated operator knows of its own changes: on it rests which disks may be damaged."""

from raftnode.wire.client import MemberAction, MemberOperation
from tests.simulation.world import World


def test_a_change_that_its_operator_hung_up_on_is_still_under_way() -> None:
    """It lies in its node's inbox, and may take a vote away after all.

    A disk that was damaged meanwhile would be the one too many (seed 23596 of an earlier version).
    """
    world = World(1)
    operator, cluster = world.operator, world.cluster
    leader = cluster.leader()
    cluster.nodes[leader].paused = True
    assert operator.idle
    assert operator.change(MemberOperation(MemberAction.DEMOTE, leader))
    operator.hang_up()
    assert not operator.idle
    world.resume(leader)
    cluster.run_for(1.0)
    assert operator.idle


def test_a_change_that_a_node_holds_until_there_is_a_leader_is_under_way() -> None:
    """It is handled when one is known, by then perhaps this node itself."""
    world = World(1)
    operator, cluster = world.operator, world.cluster
    leader = cluster.leader()
    operator.change(MemberOperation(MemberAction.DEMOTE, leader))
    request = next(request for _, request in cluster.replica(leader)._client_inbox if request.id in operator._changes)
    cluster.run_for(1.0)
    cluster.network.cut(leader, *[node for node in cluster.nodes if node != leader])
    cluster.run_until(lambda: cluster.replica(leader).node.leader_id is None)
    operator.client.send(leader, request)
    operator.hang_up()
    cluster.run_for(0.1)
    assert not operator.idle
