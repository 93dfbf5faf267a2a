"""A full disk: nothing is promised that is not durable, reads go on, and so does everything when there is room."""

from raftnode.core.types import NodeRole
from raftnode.wire.client import ErrorCode, GetStatus, SnapshotTaken, StatusResult, TriggerSnapshot, Written
from tests.support.replicas import Cluster, failed, get, local_value, put


def used_bytes(cluster: Cluster, node: int) -> int:
    fs = cluster.nodes[node].fs
    return sum(len(fs.contents(path)) for path in fs.files())


def fill(cluster: Cluster, node: int, room: int = 100) -> None:
    """Leave a node's disk so many bytes."""
    cluster.nodes[node].fs.capacity_bytes = used_bytes(cluster, node) + room


def make_room(cluster: Cluster, node: int) -> None:
    cluster.nodes[node].fs.capacity_bytes = None


def test_a_leader_without_room_refuses_writes_and_serves_reads() -> None:
    """The write that finds the disk full may still be committed by the others; the next one is refused at once."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    assert isinstance(client.ask(leader, put(client, b"before")), Written)
    fill(cluster, leader)
    client.ask(leader, put(client, b"unlucky", b"x" * 1000))
    answer = failed(client.ask(leader, put(client, b"refused")))
    assert (answer.code, answer.outcome) == (ErrorCode.NO_SPACE, "not_done")
    assert cluster.replica(leader).status().storage_state == "full"
    assert client.ask(leader, get(client, b"before")) is not None
    assert "storage.full" in cluster.nodes[leader].event_types()


def test_another_node_leads_when_the_leaders_disk_stays_full() -> None:
    """Writes go on elsewhere within two election timeouts; the full node follows again when it has room."""
    cluster = Cluster()
    client = cluster.client()
    old = cluster.leader()
    fill(cluster, old)
    client.ask(old, put(client, b"unlucky", b"x" * 1000))
    cluster.run_until(
        lambda: any(n != old and cluster.replica(n).node.role is NodeRole.LEADER for n in cluster.nodes),
        what="another leader",
    )
    leader = cluster.leader()
    assert isinstance(client.ask(leader, put(client, b"after")), Written)
    make_room(cluster, old)
    cluster.settle()
    assert local_value(cluster, old, b"after") == b"v"
    assert local_value(cluster, old, b"unlucky") is not None
    assert cluster.replica(old).status().storage_state == "ok"


def test_a_follower_without_room_acknowledges_nothing_and_catches_up_later() -> None:
    """The others commit without it. Each of its answers is held against its disk as it leaves."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    full, _ = cluster.followers(leader)
    fill(cluster, full)
    for number in range(20):
        assert isinstance(client.ask(leader, put(client, b"k%d" % number, b"x" * 200)), Written)
    assert cluster.replica(full).status().storage_state == "full"
    stable = cluster.replica(full).node.status().stable_index
    assert cluster.replica(leader).node.match_index_for(full) == stable
    make_room(cluster, full)
    cluster.settle()
    assert local_value(cluster, full, b"k19") == b"x" * 200
    assert cluster.nodes[full].event_types().count("storage.recovered") == 1


def test_a_follower_without_room_keeps_no_more_in_memory() -> None:
    """What it cannot write it does not take: its log stays where it was."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    full, _ = cluster.followers(leader)
    fill(cluster, full)
    client.ask(leader, put(client, b"first", b"x" * 1000))
    cluster.run_for(0.2)
    last = cluster.replica(full).node.last_log_index
    for number in range(20):
        client.ask(leader, put(client, b"k%d" % number))
    assert cluster.replica(full).node.last_log_index == last
    assert cluster.replica(full).node.leader_id == leader


def test_a_node_without_room_neither_votes_nor_campaigns() -> None:
    """A vote that is not durable could be given twice."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    full, other = cluster.followers(leader)
    fill(cluster, full, room=10)
    client.ask(leader, put(client, b"first", b"x" * 1000))
    cluster.run_for(0.2)
    cluster.kill(leader)
    cluster.run_for(10.0)
    assert cluster.replica(full).node.role is not NodeRole.LEADER
    assert cluster.replica(other).node.role is not NodeRole.LEADER
    make_room(cluster, full)
    cluster.run_until(lambda: cluster.leading() is not None, what="a leader, now that both can vote")


def test_nothing_acknowledged_is_lost_when_full_nodes_lose_power() -> None:
    """All disks fill up under writes, all lose power, and there is room again."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    for node in cluster.nodes:
        fill(cluster, node, room=2000)
    acknowledged = []
    for number in range(30):
        answer = client.ask(leader, put(client, b"k%d" % number, b"x" * 150))
        if isinstance(answer, Written):
            acknowledged.append(number)
        else:
            break
    assert 0 < len(acknowledged) < 30
    for node in list(cluster.nodes):
        cluster.crash(node)
        make_room(cluster, node)
    for node in list(cluster.nodes):
        cluster.restart(node)
    cluster.settle()
    for node in cluster.nodes:
        for number in acknowledged:
            assert local_value(cluster, node, b"k%d" % number) == b"x" * 150


def test_a_snapshot_without_room_fails_and_leaves_the_node_as_it_is() -> None:
    """Whoever asked is told; the node goes on, and the snapshot is taken when there is room."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    for number in range(50):
        client.ask(leader, put(client, b"k%d" % number, b"x" * 200))
    cluster.settle()
    fill(cluster, leader, room=500)
    answer = failed(client.ask(leader, TriggerSnapshot(client.next_id())))
    assert answer.code is ErrorCode.NO_SPACE
    assert cluster.replica(leader).newest_snapshot is None
    assert "snapshot.failed" in cluster.nodes[leader].event_types()
    make_room(cluster, leader)
    assert isinstance(client.ask(leader, TriggerSnapshot(client.next_id())), SnapshotTaken)
    assert isinstance(client.ask(leader, put(client, b"on")), Written)


def test_status_is_answered_by_a_node_without_room() -> None:
    """The operator sees which node it is."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    fill(cluster, leader)
    client.ask(leader, put(client, b"unlucky", b"x" * 1000))
    answer = client.ask(leader, GetStatus(client.next_id()))
    assert isinstance(answer, StatusResult)
    assert answer.status.storage_state == "full"


def parts(cluster: Cluster, node: int) -> list[str]:
    """Return the snapshots of a node that were begun and not finished."""
    return [path for path in cluster.nodes[node].fs.files() if path.endswith(".part")]


def test_a_snapshot_that_finds_no_room_for_its_beginning_leaves_nothing_behind() -> None:
    """It is tried again and again: whatever a try left would stay until the node is restarted."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    assert isinstance(client.ask(leader, put(client, b"k")), Written)
    fill(cluster, leader, room=0)
    for _ in range(3):
        assert failed(client.ask(leader, TriggerSnapshot(client.next_id()))).code is ErrorCode.NO_SPACE
    assert parts(cluster, leader) == []


def test_a_received_snapshot_that_finds_no_room_leaves_nothing_behind() -> None:
    """What arrived of it is begun again, so it may not hold the room that the next try needs."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    behind, _ = cluster.followers(leader)
    cluster.settle()
    cluster.kill(behind)
    for number in range(40):
        client.ask(leader, put(client, b"k%d" % number, b"x" * 1000))
    assert isinstance(client.ask(leader, TriggerSnapshot(client.next_id())), SnapshotTaken)
    cluster.restart(behind)
    fill(cluster, behind, room=10_000)
    cluster.run_for(5.0)
    assert parts(cluster, behind) == []
    make_room(cluster, behind)
    cluster.settle()
    assert local_value(cluster, behind, b"k39") == b"x" * 1000
