"""A full disk: nothing is promised that is not durable, reads go on, and so does everything when there is room."""

import errno
from dataclasses import replace

from raftnode.core.types import NodeRole
from raftnode.wire.client import (
    ErrorCode,
    GetStatus,
    MembersChanged,
    SnapshotTaken,
    StatusResult,
    TriggerSnapshot,
    Written,
)
from tests.support.filesystem import Fault
from tests.support.replicas import SETTINGS, Cluster, add_learner, change, failed, get, local_value, put


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
    assert cluster.replica(leader).snapshots.newest is None
    assert parts(cluster, leader) == []
    assert "snapshot.failed" in cluster.nodes[leader].event_types()
    make_room(cluster, leader)
    assert isinstance(client.ask(leader, TriggerSnapshot(client.next_id())), SnapshotTaken)
    assert isinstance(client.ask(leader, put(client, b"on")), Written)


def test_a_snapshot_that_found_no_room_is_not_tried_again_at_once() -> None:
    """The next try comes after ten seconds: to write half a snapshot in every turn would help nobody."""
    cluster = Cluster(1, settings=replace(SETTINGS, snapshot_bytes=5000))
    client = cluster.client()
    leader = cluster.leader()
    fill(cluster, leader, room=7000)
    for number in range(10):
        assert isinstance(client.ask(leader, put(client, b"k%d" % number, b"x" * 500)), Written)
    events = cluster.nodes[leader].event_types
    cluster.run_until(lambda: "snapshot.failed" in events())
    cluster.run_for(9.0)
    assert events().count("snapshot.failed") == 1
    make_room(cluster, leader)
    cluster.run_for(1.5)
    assert "snapshot.taken" in events()


def test_a_full_disk_is_told_once() -> None:
    """Each try to write finds it full again; an operator hears of it when it begins and when it ends."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    full, _ = cluster.followers(leader)
    fill(cluster, full)
    client.ask(leader, put(client, b"unlucky", b"x" * 1000))
    cluster.run_for(5.0)
    assert cluster.nodes[full].event_types().count("storage.full") == 1


def test_a_node_without_room_ignores_a_snapshot() -> None:
    """There is nothing wrong with it, so it is not refused: it is taken when there is room."""
    cluster = Cluster(settings=replace(SETTINGS, snapshot_trailing=0))
    client = cluster.client()
    leader = cluster.leader()
    full, _ = cluster.followers(leader)
    fill(cluster, full)
    client.ask(leader, put(client, b"unlucky", b"x" * 1000))
    cluster.run_until(lambda: cluster.replica(full).durability.full)
    for number in range(10):
        client.ask(leader, put(client, b"k%d" % number))
    assert isinstance(client.ask(leader, TriggerSnapshot(client.next_id())), SnapshotTaken)
    cluster.run_until(lambda: "snapshot.sending" in cluster.nodes[leader].event_types())
    cluster.run_for(3.0)
    assert "peer.refused" not in cluster.nodes[full].event_types()
    make_room(cluster, full)
    cluster.settle()
    assert local_value(cluster, full, b"k9") == b"v"


def test_a_snapshot_is_not_told_as_installed_before_the_log_is_cut_durably() -> None:
    """There was room for the snapshot, and none for the log. The answer is held against the disk as it leaves."""
    cluster = Cluster(settings=replace(SETTINGS, snapshot_trailing=0))
    client = cluster.client()
    leader = cluster.leader()
    behind, _ = cluster.followers(leader)
    cluster.settle()
    cluster.kill(behind)
    for number in range(10):
        client.ask(leader, put(client, b"k%d" % number))
    assert isinstance(client.ask(leader, TriggerSnapshot(client.next_id())), SnapshotTaken)
    cluster.restart(behind)
    cluster.nodes[behind].fs.faults.append(Fault("pwrite", errno.ENOSPC, path="*/wal/*", count=3))
    cluster.run_until(lambda: "snapshot.installed" in cluster.nodes[behind].event_types())
    assert cluster.replica(behind).durability.full
    assert "snapshot.sent" not in cluster.nodes[leader].event_types()
    cluster.settle()
    assert local_value(cluster, behind, b"k9") == b"v"


def test_a_lone_voter_without_room_for_its_term_tells_nobody_of_it() -> None:
    """It elects itself, and its learner hears of the new term when that is durable: again held against the disk."""
    cluster = Cluster(1)
    client = cluster.client()
    leader = cluster.leader()
    added = client.ask(leader, change(client, add_learner(2)))
    assert isinstance(added, MembersChanged)
    cluster.join(2, added.members)
    cluster.settle()
    cluster.kill(1)
    cluster.restart(1)
    fill(cluster, 1, room=0)
    cluster.run_until(lambda: cluster.replica(1).node.role is NodeRole.LEADER)
    cluster.run_for(1.0)
    assert cluster.replica(2).node.current_term < cluster.replica(1).node.current_term
    make_room(cluster, 1)
    cluster.settle()
    assert cluster.replica(2).node.current_term == cluster.replica(1).node.current_term


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
