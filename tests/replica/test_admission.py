"""Who may speak to a node: the first frame each way."""

import msgspec
import pytest

from raftnode.core.membership import Configuration
from raftnode.replica.admission import Admission
from raftnode.storage.data_dir import Identity
from raftnode.storage.filesystem import NoSpaceError
from raftnode.wire.hello import (
    PROTOCOL_VERSION,
    REJECT_BUSY,
    REJECT_CLUSTER,
    REJECT_INSTANCE,
    REJECT_NODE,
    REJECT_REMOVED,
    REJECT_VERSION,
    Hello,
    Rejected,
    Welcome,
)
from tests.support.replicas import Cluster, change, first_configuration, remove

MEMBERS = first_configuration([1, 2, 3])
ME = Identity(1, "ours", "demo", 1, "n1", "instance-1", "10.0.0.1:7000", "voter", MEMBERS, "")
PEER = Hello(PROTOCOL_VERSION, "ours", 2, "instance-2", 1)
WITHOUT_2: Configuration = msgspec.structs.replace(MEMBERS, voters=(1, 3))


class Memory:
    """What the data directory would keep."""

    def __init__(self) -> None:
        self.kept: dict[int, str] = {}
        self.admission = Admission(ME, {}, self.kept.__setitem__)

    def hello(
        self, hello: Hello, committed: Configuration = MEMBERS, latest: Configuration | None = None
    ) -> Welcome | Rejected:
        return self.admission.check_hello(hello, committed, latest or committed)


def code(answer: Welcome | Rejected | None) -> str:
    assert isinstance(answer, Rejected), answer
    assert answer.reason
    return answer.code


def test_a_member_and_a_client_are_welcome() -> None:
    """A client need not know the cluster's id."""
    memory = Memory()
    for hello in (PEER, Hello(PROTOCOL_VERSION), Hello(PROTOCOL_VERSION, "ours")):
        assert memory.hello(hello) == Welcome(PROTOCOL_VERSION, "ours", 1, "instance-1", "n1")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"protocol_version": 2}, REJECT_VERSION),
        ({"cluster_id": "theirs"}, REJECT_CLUSTER),
        ({"cluster_id": ""}, REJECT_CLUSTER),
        ({"target_id": 3}, REJECT_NODE),
        ({"target_id": 0}, REJECT_NODE),
        ({"node_id": 1}, REJECT_NODE),
    ],
)
def test_a_peer_that_is_not_meant_is_refused(changes: dict[str, object], reason: str) -> None:
    """Another version, another cluster, another node than was dialed, and this node itself."""
    memory = Memory()
    assert code(memory.hello(msgspec.structs.replace(PEER, **changes))) == reason
    assert memory.kept == {}


def test_a_client_of_another_cluster_or_version_is_refused() -> None:
    """Its requests would go to the wrong data."""
    memory = Memory()
    assert code(memory.hello(Hello(PROTOCOL_VERSION, "theirs"))) == REJECT_CLUSTER
    assert code(memory.hello(Hello(PROTOCOL_VERSION + 1))) == REJECT_VERSION


def test_a_wiped_node_is_refused_under_its_old_id() -> None:
    """It forgot the votes and entries that it had promised to keep. The first instance that was seen is kept."""
    memory = Memory()
    assert isinstance(memory.hello(PEER), Welcome)
    assert memory.kept == {2: "instance-2"}
    assert code(memory.hello(msgspec.structs.replace(PEER, instance_id="wiped"))) == REJECT_INSTANCE
    again = Admission(ME, memory.kept, memory.kept.__setitem__)
    assert code(again.check_welcome(2, Welcome(PROTOCOL_VERSION, "ours", 2, "wiped"))) == REJECT_INSTANCE


def test_a_removed_node_is_refused_and_told_how_to_come_back() -> None:
    """Its id was used and belongs to no member any longer."""
    answer = Memory().hello(PEER, committed=WITHOUT_2)
    assert code(answer) == REJECT_REMOVED
    assert isinstance(answer, Rejected)
    assert "raftnode join" in answer.reason


def test_an_uncommitted_removal_refuses_nobody() -> None:
    """It may be rolled back, perhaps by the removed node as the next leader (thesis 4.1)."""
    assert isinstance(Memory().hello(PEER, latest=WITHOUT_2), Welcome)


def test_a_node_newer_than_this_ones_configuration_is_welcome_and_not_remembered() -> None:
    """This node may be behind; but a stranger that makes up ids must not fill the disk."""
    memory = Memory()
    for node in range(4, 100):
        assert isinstance(memory.hello(msgspec.structs.replace(PEER, node_id=node)), Welcome)
    assert memory.kept == {}


def test_a_member_whose_addition_is_not_committed_yet_is_remembered() -> None:
    """It may be asked for its vote at once: a wiped copy of it must not come in its place."""
    memory = Memory()
    four = first_configuration([1, 2, 3, 4])
    hello = msgspec.structs.replace(PEER, node_id=4, instance_id="instance-4")
    assert isinstance(memory.hello(hello, latest=four), Welcome)
    assert memory.kept == {4: "instance-4"}


def test_a_node_that_cannot_be_remembered_is_not_admitted() -> None:
    """The disk is full: whoever came next under that id would be taken for it."""
    room = [False]
    kept: dict[int, str] = {}

    def remember(node: int, instance: str) -> None:
        if not room[0]:
            raise NoSpaceError("the disk is full")
        kept[node] = instance

    admission = Admission(ME, {}, remember)
    assert code(admission.check_hello(PEER, MEMBERS, MEMBERS)) == REJECT_BUSY
    room[0] = True
    assert isinstance(admission.check_hello(PEER, MEMBERS, MEMBERS), Welcome)
    assert kept == {2: "instance-2"}


@pytest.mark.parametrize(
    ("welcome", "reason"),
    [
        (Welcome(9, "ours", 2, "instance-2"), REJECT_VERSION),
        (Welcome(PROTOCOL_VERSION, "theirs", 2, "instance-2"), REJECT_CLUSTER),
        (Welcome(PROTOCOL_VERSION, "ours", 3, "instance-3"), REJECT_NODE),
    ],
)
def test_whoever_answers_at_a_peers_address_is_checked(welcome: Welcome, reason: str) -> None:
    """Addresses are reused: another cluster or node may live there now."""
    memory = Memory()
    assert code(memory.admission.check_welcome(2, welcome)) == reason
    assert memory.kept == {}
    assert memory.admission.check_welcome(2, Welcome(PROTOCOL_VERSION, "ours", 2, "instance-2")) is None


def test_a_removed_node_is_shut_out_of_a_running_cluster() -> None:
    """It may dial as long as it likes; it disturbs nobody."""
    cluster = Cluster()
    client = cluster.client()
    leader = cluster.leader()
    cluster.settle()
    cluster.run_for(0.2)
    gone = cluster.followers(leader)[0]
    assert client.ask(leader, change(client, remove(gone)))
    cluster.run_for(0.5)
    cluster.kill(gone)
    cluster.restart(gone)
    term = cluster.replica(leader).node.current_term
    cluster.run_for(10.0)
    assert {rejected.code for rejected in cluster.nodes[gone].rejections} == {REJECT_REMOVED}
    assert (cluster.leading(), cluster.replica(leader).node.current_term) == (leader, term)


def test_a_node_that_was_wiped_is_shut_out_of_a_running_cluster() -> None:
    """Formatted anew under its id: the others remember its first data directory over restarts."""
    cluster = Cluster()
    leader = cluster.leader()
    cluster.settle()
    wiped = cluster.followers(leader)[0]
    for node in (1, 2, 3):
        cluster.crash(node, keep=lambda piece: False)
    cluster.format(wiped, first_configuration([1, 2, 3]), "voter")
    for node in (1, 2, 3):
        cluster.restart(node)
    cluster.leader()
    cluster.run_for(1.0)
    assert {rejected.code for rejected in cluster.nodes[wiped].rejections} == {REJECT_INSTANCE}
    assert cluster.replica(wiped).node.last_log_index == 0
