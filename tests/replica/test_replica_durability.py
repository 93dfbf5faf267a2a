"""What leaves a node, and when: the order of the fsync and the messages, and the end after a failed disk."""

import errno
from collections.abc import Callable

import pytest

from raftnode.core.errors import StorageError
from raftnode.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    RequestVoteRequest,
    RequestVoteResponse,
)
from raftnode.core.types import EntryKind, LogEntry
from raftnode.wire.client import Written
from tests.support.filesystem import Fault
from tests.support.replicas import DATA, Cluster, Node, local_value, put


def journal_after(node: Node, position: int) -> list[str]:
    """Return what a node did since then, in words: "sync" for the log, and the types of what left."""
    words: list[str] = []
    for what, about in list(node.journal)[position:]:
        if what == "sync":
            if "/wal/" in str(about):
                words.append("sync")
        elif what == "answer":
            words.append(type(about).__name__)
        else:
            assert isinstance(about, tuple)
            words.append(type(about[1]).__name__)
    return words


def stop_the_others(cluster: Cluster, node: int) -> None:
    """Let the other nodes do nothing any longer, while their machines keep running."""
    for other in cluster.nodes.values():
        other.paused = other.id != node


def test_a_leaders_entries_leave_before_its_own_fsync() -> None:
    """They promise nothing of its own disk (thesis 10.2.1): followers write at the same time as the leader."""
    cluster = Cluster()
    leader = cluster.leader()
    node, client = cluster.nodes[leader], cluster.client()
    cluster.settle()
    at = len(node.journal)
    client.send(leader, put(client, b"k"))
    node.turn()
    words = journal_after(node, at)
    assert words.index("AppendEntriesRequest") < words.index("sync")


def test_an_acknowledgement_leaves_after_the_fsync_of_its_entries() -> None:
    """A follower promises with it that the entries survive a crash."""
    cluster = Cluster()
    leader = cluster.leader()
    client, follower = cluster.client(), cluster.nodes[cluster.followers(leader)[0]]
    cluster.settle()
    cluster.run_for(0.02)
    at = len(follower.journal)
    client.ask(leader, put(client, b"k"))
    words = journal_after(follower, at)
    assert words[: words.index("AppendEntriesResponse") + 1].count("sync") == 1


@pytest.mark.parametrize("count", [1, 2])
def test_entries_that_were_discarded_in_the_same_turn_are_not_acknowledged(count: int) -> None:
    """A late request of a deposed leader and one of the next, which replaces its entries, arrive together.

    Also where the log is as long afterwards as it was acknowledged to be.
    """
    cluster = Cluster()
    leader = cluster.leader()
    cluster.settle()
    follower, other = cluster.followers(leader)
    node = cluster.nodes[follower]
    stop_the_others(cluster, follower)
    core = node.running.node
    term, last, last_term = core.current_term, core.last_log_index, core.last_log_term
    late = [LogEntry(term, last + at, b"") for at in range(1, count + 1)]
    new = [LogEntry(term + 1, last + 1, b"", EntryKind.NOOP)]
    at = len(node.journal)
    node.running.receive_peer(leader, AppendEntriesRequest(term, leader, last, last_term, late, last))
    node.running.receive_peer(other, AppendEntriesRequest(term + 1, other, last, last_term, new, last))
    node.turn()
    said = [about for what, about in list(node.journal)[at:] if what == "response"]
    assert said == [(other, AppendEntriesResponse(term + 1, True, last + 1))]


def test_a_vote_request_and_a_vote_leave_after_the_fsync_of_the_term() -> None:
    """Otherwise a node that restarts could vote twice in the term (figure 2)."""
    cluster = Cluster()
    cluster.leader()
    for node in cluster.nodes.values():
        words = journal_after(node, 0)
        for word in ("RequestVoteRequest", "RequestVoteResponse"):
            if word in words:
                assert "sync" in words[: words.index(word)]
    assert cluster.network.happened["delivered"]


@pytest.mark.parametrize(
    ("leaves", "what"),
    [
        (lambda m: isinstance(m, RequestVoteRequest), "a vote request"),
        (lambda m: isinstance(m, RequestVoteResponse) and m.vote_granted, "a vote"),
        (lambda m: isinstance(m, AppendEntriesResponse) and m.success and m.last_log_index > 0, "an acknowledgement"),
        (lambda m: isinstance(m, AppendEntriesRequest) and m.term > 0, "the first message of a term"),
    ],
)
def test_what_leaves_survives_a_power_loss_at_that_moment(leaves: Callable[[object], bool], what: str) -> None:
    """At the moment of leaving, the term, the vote and the entries are on the disk: lose all that is not fsynced."""
    cluster = Cluster()
    checked: list[int] = []

    def look(packet: object) -> bool:
        from tests.support.replicas import Frame

        assert isinstance(packet, Frame)
        message = packet.message
        if leaves(message):
            _check_durable(cluster, packet.source, message)
            checked.append(packet.source)
        return False

    cluster.network.drop = look
    leader = cluster.leader()
    client = cluster.client()
    for number in range(3):
        client.ask(leader, put(client, b"k%d" % number))
    assert checked, what


def _check_durable(cluster: Cluster, source: int, message: object) -> None:
    """Read the log from a copy of the disk as a power loss would leave it now."""
    from raftnode.storage.wal import Wal

    node = cluster.nodes[source]
    # crash() leaves the disk's own state as it is, but marks it as stopped.
    copy = node.fs.crash()
    node.fs._dead = False
    wal = Wal.open(f"{DATA}/wal", copy)
    hard_state = wal.load_hard_state()
    term = message.term  # type: ignore[attr-defined]
    assert hard_state.current_term == term, f"{message} leaves node {source}, whose durable term is {hard_state}"
    if isinstance(message, RequestVoteRequest):
        assert hard_state.voted_for == source
    if isinstance(message, AppendEntriesResponse):
        assert wal.last_index >= message.last_log_index


def test_a_write_is_acknowledged_only_after_commit_and_apply() -> None:
    """The client's answer means: a majority has it on disk, and a local read here sees it."""
    cluster = Cluster()
    leader = cluster.leader()
    client = cluster.client()
    cluster.network.cut(leader, *cluster.followers(leader))
    at = client.send(leader, put(client, b"k"))
    cluster.run_for(0.5)
    assert client.answer(at) is None
    cluster.network.heal()
    cluster.run_until(lambda: client.answer(at))
    answer = client.answer(at)
    assert isinstance(answer, Written)
    assert cluster.replica(leader).node.commit_index >= answer.index
    assert local_value(cluster, leader, b"k") == b"v"


def test_a_leader_without_its_own_fsync_does_not_count_itself() -> None:
    """In a cluster of two the entry needs both disks: the follower's alone commits nothing."""
    cluster = Cluster(2)
    leader = cluster.leader()
    cluster.settle()
    client = cluster.client()
    cluster.nodes[leader].fs.faults.append(Fault("sync", path="*/wal/*"))
    at = client.send(leader, put(client, b"k"))
    cluster.run_for(0.05)
    assert client.answer(at) is None
    (follower,) = cluster.followers(leader)
    assert cluster.replica(follower).node.commit_index < cluster.replica(follower).node.last_log_index


@pytest.mark.parametrize(("call", "error"), [("pwrite", errno.EIO), ("sync", errno.EIO), ("sync", errno.ENOSPC)])
def test_after_a_storage_error_nothing_leaves_and_nothing_is_tried_again(call: str, error: int) -> None:
    """A failed write or fsync ends the node: no acknowledgement, no vote, no answer, no second fsync."""
    cluster = Cluster()
    leader = cluster.leader()
    victim = cluster.nodes[cluster.followers(leader)[0]]
    client = cluster.client()
    cluster.settle()
    cluster.run_for(0.02)
    victim.fs.faults.append(Fault(call, error, path="*/wal/*"))
    at = len(victim.journal)
    client.ask(leader, put(client, b"k"))
    cluster.run_for(0.1)
    assert victim.replica is None
    assert isinstance(victim.failure, StorageError)
    words = journal_after(victim, at)
    assert "AppendEntriesResponse" not in words
    assert words.count("sync") <= 1


def test_a_failed_node_refuses_every_further_call() -> None:
    """Should anything call it again, it has stopped: an exception, and no word to anybody."""
    cluster = Cluster(1)
    node = cluster.nodes[cluster.leader()]
    client = cluster.client()
    replica = node.running
    node.fs.faults.append(Fault("sync", path="*/wal/*", count=1))
    client.send(1, put(client, b"k"))
    with pytest.raises(StorageError):
        replica.turn()
    at = len(node.journal)
    with pytest.raises(Exception, match=r"stopped|no more calls"):
        replica.turn()
    assert journal_after(node, at) == []


def test_nothing_acknowledged_is_lost_when_every_machine_loses_power_at_once() -> None:
    """What a majority has fsynced survives the loss of all that was not."""
    cluster = Cluster()
    leader = cluster.leader()
    client = cluster.client()
    for number in range(20):
        client.ask(leader, put(client, b"k%d" % number))
    for node in (1, 2, 3):
        cluster.crash(node, keep=lambda piece: False)
    for node in (1, 2, 3):
        cluster.restart(node)
    cluster.leader()
    cluster.settle()
    for node in (1, 2, 3):
        assert [local_value(cluster, node, b"k%d" % number) for number in range(20)] == [b"v"] * 20
