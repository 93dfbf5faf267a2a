"""What a wrong or hostile client or peer can do: cost itself an answer, but never stop a node."""

import random
from collections.abc import Callable

import pytest

from raftnode.core.errors import InvariantError
from raftnode.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    PreVoteRequest,
    PreVoteResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    TimeoutNowRequest,
)
from raftnode.core.types import EntryKind, LogEntry
from raftnode.wire import client as wire
from raftnode.wire.frame import FrameError, encode_frame
from raftnode.wire.kv import Changes as ChangesQuery
from raftnode.wire.kv import CompareAndSet, Delete, Get, Increment, List, Put, encode
from raftnode.wire.peer import PeerMessage, decode_message
from tests.support.replicas import Cluster, first_configuration, local_value, put, unframe

BIG = 2**63 - 1


def number(rng: random.Random) -> int:
    return rng.choice([0, 0, 1, 2, 3, 5, 10, 11, 12, 100, 2**31, BIG, BIG - 1])


def some_bytes(rng: random.Random) -> bytes:
    return rng.choice(
        [
            b"",
            b"k",
            rng.randbytes(20),
            encode(Put(b"k", b"v")),
            encode(Get(b"k")),
            encode(Increment(b"k", BIG)),
            encode(List(b"", b"", -5)),
            encode(List(b"", b"\xff", BIG)),
            encode(ChangesQuery(b"", -1, -1)),
            encode(ChangesQuery(b"", BIG, BIG)),
            encode(Delete(b"", -7)),
            encode(CompareAndSet(b"k", None, b"")),
        ]
    )


def operation(rng: random.Random) -> wire.MemberOperation:
    name = rng.choice(["", "n1", "n9", "\ufffd\x00\n", "x" * 5000, "9"])
    address = rng.choice(["", "10.0.0.1:7000", "10.0.0.9:7000", "[::1]:1", "a:b:c", "h" * 5000 + ":1"])
    return wire.MemberOperation(rng.choice(list(wire.MemberAction)), number(rng), name, address)


def any_request(rng: random.Random, request_id: int) -> wire.AnyRequest:
    """Return any request that a decoder lets pass."""
    n: Callable[[], int] = lambda: number(rng)  # noqa: E731
    glob = rng.choice(["", "*", "[", "[!", "[z-a]*", "?" * 300, "(((("])
    requests: list[wire.AnyRequest] = [
        wire.OpenSession(request_id),
        wire.Write(request_id, n(), n(), n(), some_bytes(rng)),
        wire.Read(request_id, some_bytes(rng), rng.choice(list(wire.Consistency))),
        wire.Watch(request_id, some_bytes(rng), n()),
        wire.GetStatus(request_id),
        wire.GetLog(request_id, n(), n(), n(), max(1, n()), max(1, n())),
        wire.GetEvents(request_id, rng.choice(["", "1:1", "1:x", "::", "1:" + "9" * 30]), glob, max(1, n()), n()),
        wire.ChangeMembers(request_id, [operation(rng) for _ in range(rng.randrange(4))], rng.random() < 0.7, True),
        wire.TransferLeadership(request_id, n(), rng.random() < 0.5),
        wire.TriggerSnapshot(request_id),
        wire.ListSnapshots(request_id),
    ]
    return rng.choice(requests)


@pytest.mark.parametrize("seed", range(8))
def test_no_request_stops_a_node_or_stays_without_an_answer(seed: int) -> None:
    """Whatever passes the decoder gets one answer, in at most the longest time that a client may wait."""
    rng = random.Random(seed)
    cluster = Cluster(3, seed=seed)
    cluster.leader()
    cluster.settle()
    client = cluster.client()
    sent = [client.send(rng.choice([1, 2, 3]), any_request(rng, client.next_id())) for _ in range(400)]
    cluster.run_for(1.0)
    sent += [client.send(rng.choice([1, 2, 3]), any_request(rng, client.next_id())) for _ in range(400)]
    cluster.run_for(130.0)
    assert all(node.replica is not None for node in cluster.nodes.values()), cluster.describe()
    assert [at for at in sent if client.answer(at) is None] == []


def any_message(rng: random.Random) -> PeerMessage:
    """Return any message, most of which no correct node would send."""
    n: Callable[[], int] = lambda: number(rng)  # noqa: E731
    sender, term = rng.choice([1, 2, 3, 7]), rng.choice([0, 1, 1, 2, 3, 50])
    first = rng.choice([0, 1, 4, 9, 10, 11, 12, 50])
    kinds = [EntryKind.COMMAND, EntryKind.NOOP, EntryKind.CONFIGURATION]
    entries = []
    for index in range(first + 1, first + 1 + rng.randrange(4)):
        kind = rng.choice(kinds)
        data = first_configuration([1, 2, 3]).encode() if kind is EntryKind.CONFIGURATION else some_bytes(rng)
        entries.append(LogEntry(max(term, 0), index, data, kind))
    messages: list[PeerMessage] = [
        AppendEntriesRequest(term, sender, first, min(term, 1), entries, n(), rng.choice([0, 0, 9]), n()),
        AppendEntriesResponse(term, rng.random() < 0.5, n(), n(), n(), n(), n(), rng.choice([0, 9])),
        RequestVoteRequest(term, sender, n(), n(), 0, rng.random() < 0.5),
        RequestVoteResponse(term, rng.random() < 0.5),
        PreVoteRequest(term, sender, n(), n()),
        PreVoteResponse(term, rng.random() < 0.5, 0, n()),
        InstallSnapshotRequest(term, sender, n(), n(), n(), some_bytes(rng), rng.random() < 0.3, 0, None, n(), n()),
        InstallSnapshotResponse(term, n(), n(), rng.random() < 0.5, 0, n()),
        TimeoutNowRequest(term, sender),
    ]
    return rng.choice(messages)


@pytest.mark.parametrize("seed", range(30))
def test_no_message_makes_a_node_fail_in_another_way_than_a_broken_invariant(seed: int) -> None:
    """A message that would replace what is committed stops the node, for its data's sake. Nothing else does."""
    rng = random.Random(seed)
    cluster = Cluster(3, seed=seed)
    leader = cluster.leader()
    client = cluster.client()
    for index in range(10):
        client.ask(leader, put(client, b"k%d" % index))
    cluster.settle()
    victim = rng.choice([1, 2, 3])
    replica = cluster.replica(victim)
    for _ in range(300):
        try:
            message = decode_message(unframe(encode_frame(any_message(rng))))
        except FrameError:
            continue
        replica.receive_peer(rng.choice([1, 2, 3, 7]), message)
        cluster.clock.now += 0.01
        try:
            replica.turn()
        except InvariantError as error:
            assert "would replace entry" in str(error), error  # noqa: PT017
            break
    assert replica.node.commit_index >= 11


def test_a_refused_message_is_counted_and_told() -> None:
    """The operator sees who sends what is invalid."""
    cluster = Cluster()
    leader = cluster.leader()
    cluster.settle()
    victim = cluster.followers(leader)[0]
    replica = cluster.replica(victim)
    replica.receive_peer(leader, RequestVoteRequest(5, leader, 0, 0, 9))
    cluster.nodes[victim].turn()
    assert replica.counters == {"peer_messages_refused": 1}
    assert "peer.refused" in cluster.nodes[victim].event_types()
    assert local_value(cluster, victim, b"k") is None


@pytest.mark.parametrize(
    ("terms", "first"), [((1, 1), 3), ((1, 0), 2), ((9,), 2), ((0,), 2)], ids=["a gap", "falling", "too new", "too old"]
)
def test_entries_that_cannot_be_a_log_pass_the_wire_and_are_refused_by_the_core(
    terms: tuple[int, ...], first: int
) -> None:
    """The wire checks types and ranges. What no log holds is refused once, before anything changes."""
    cluster = Cluster()
    leader = cluster.leader()
    cluster.settle()
    victim = cluster.followers(leader)[0]
    replica = cluster.replica(victim)
    before = (replica.node.last_log_index, replica.node.current_term)
    entries = [LogEntry(term, index, b"") for index, term in enumerate(terms, first)]
    request = AppendEntriesRequest(before[1], leader, 1, 1, entries, 0)
    replica.receive_peer(leader, decode_message(unframe(encode_frame(request))))
    cluster.nodes[victim].turn()
    assert replica.counters == {"peer_messages_refused": 1}
    assert "peer.refused" in cluster.nodes[victim].event_types()
    assert (replica.node.last_log_index, replica.node.current_term) == before
