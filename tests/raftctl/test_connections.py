"""How many connections and requests a command makes, where every node answers at once."""

from collections import Counter

import msgspec
import pytest

from raftnode.client import cluster as client_cluster
from raftnode.wire import kv
from tests.raftctl.conftest import Cli
from tests.support.fake_node import FakeCluster


def seen(nodes: FakeCluster) -> tuple[list[int], dict[str, int]]:
    """Return the connections that each node has seen, and how many requests of each kind all of them got."""
    requests = Counter(type(request).__name__ for node in nodes.nodes.values() for request in node.requests)
    return [node.connections for node in nodes.nodes.values()], dict(requests)


@pytest.mark.parametrize(
    ("command", "leader", "connections", "requests"),
    [
        ("kv get a", 1, [1, 0, 0], {"GetStatus": 1, "Read": 1}),
        ("kv get a", 2, [1, 1, 0], {"GetStatus": 2, "Read": 1}),
        ("kv get a --consistency local", 1, [1, 0, 0], {"GetStatus": 1, "Read": 1}),
        ("kv put a b", 1, [1, 0, 0], {"GetStatus": 1, "OpenSession": 1, "Write": 1}),
        ("status", 2, [1, 1, 1], {"GetStatus": 3}),
        ("member list", 1, [1, 1, 1], {"GetStatus": 3}),
        ("member add n4 --address 127.0.0.1:1", 1, [1, 1, 1], {"GetStatus": 7, "ChangeMembers": 2}),
        ("member promote n3", 1, [1, 1, 1], {"GetStatus": 6, "ChangeMembers": 1}),
        ("member remove n3 --yes", 1, [1, 1, 1], {"GetStatus": 6, "ChangeMembers": 1}),
        ("member transfer n2", 1, [1, 1, 1], {"GetStatus": 6, "TransferLeadership": 1}),
        ("snapshot list", 1, [1, 1, 1], {"GetStatus": 3, "ListSnapshots": 3}),
        ("log range 1 1", 1, [1, 1, 1], {"GetStatus": 3, "GetLog": 1}),
    ],
)
def test_a_command_makes_one_connection_a_node_and_asks_no_more_than_it_needs(
    monkeypatch: pytest.MonkeyPatch,
    cluster: FakeCluster,
    cli: Cli,
    command: str,
    leader: int,
    connections: list[int],
    requests: dict[str, int],
) -> None:
    """A kept connection is used again: a member command looks how things are before and after, and no more often."""
    monkeypatch.setattr(client_cluster, "HEAD_START_S", 60.0)
    cluster.leader = leader
    cluster.append(b"", "an entry")
    cluster.machine.apply(1, kv.encode(kv.Put(b"a", b"b")))
    cluster.members[2] = msgspec.structs.replace(cluster.members[2], kind="learner")
    assert cli(command).code == 0
    assert seen(cluster) == (connections, requests)
