"""`Client` against scripted nodes: what it returns, raises and repeats, and how many connections that takes."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import raftnode.client
from raftnode.client import Change, Client, ClientError, Conflict, Gap, NotDone, OutcomeUnknown, Refused, cluster
from raftnode.client.errors import NoLeader, NoNodeAnswers, WrongCluster
from raftnode.client.session import WRITES_AHEAD_MAX, WriteSession
from raftnode.wire import client as wire
from raftnode.wire import kv
from tests.support.fake_node import HANG_UP, SILENCE, FakeCluster, FakeNode, Reply, make_status


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """Three scripted nodes; the first endpoint has all the time it needs to answer alone."""
    monkeypatch.setattr(cluster, "HEAD_START_S", 60.0)
    with FakeCluster() as found:
        yield found


@pytest.fixture
def client(nodes: FakeCluster) -> Iterator[Client]:
    with Client(nodes.endpoints, timeout=5.0) as found:
        yield found


def connections(nodes: FakeCluster) -> list[int]:
    """Return how many connections each node has seen."""
    return [node.connections for node in nodes.nodes.values()]


def lose_answers(nodes: FakeCluster, kind: type[wire.Write | wire.Watch], count: int) -> None:
    """Have the nodes take `count` requests of a kind, and hang up instead of answering."""
    lost: list[Any] = []

    def interfere(node: int, request: Any) -> Reply | None:
        if isinstance(request, kind) and len(lost) < count:
            lost.append(request)
            nodes._answer(node, request)
            return HANG_UP
        return None

    nodes.interfere = interfere


def test_every_operation(client: Client) -> None:
    """Keys and values are bytes, or str as UTF-8."""
    assert client.put("a", "one") == kv.PutResult(1, 0)
    assert client.put(b"a", b"two").previous_revision == 1
    item = client.get("a")
    assert item is not None
    assert (item.key, item.value, item.version) == (b"a", b"two", 2)
    assert client.get("a", consistency="local") == item
    assert client.get("b") is None
    assert client.cas("b", None, "x") is True
    assert client.cas("b", "y", "z") is False
    assert client.incr("n", 3) == 3
    assert client.incr("n") == 4
    assert [i.key for i in client.list()] == [b"a", b"b", b"n"]
    assert [i.value for i in client.list("a", keys_only=True)] == [b""]
    assert client.delete("a") is True
    assert client.delete("a") is False
    assert [m.name for m in client.members()] == ["n1", "n2", "n3"]
    assert [s.node_name for s in client.status()] == ["n1", "n2", "n3"]
    assert client.call(wire.ListSnapshots(0)).snapshots == []
    assert client.call(wire.TransferLeadership(0, 2)).leader_id == 2
    assert client.put("a", "three").revision > 0


def test_a_long_list_is_read_in_pages(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """`limit` counts over all of them."""
    monkeypatch.setattr("raftnode.client.operations.PAGE", 2)
    for key in "abcde":
        client.put(key, key)
    assert [i.key for i in client.list()] == [b"a", b"b", b"c", b"d", b"e"]
    assert [i.key for i in client.list(limit=3)] == [b"a", b"b", b"c"]
    assert list(client.list(limit=0)) == []


def test_conditions_that_do_not_hold_say_what_is_there(client: Client) -> None:
    """A conflict is a refusal: nothing changed, and repeating it does not help."""
    client.put("k", "v")
    with pytest.raises(Conflict) as raised:
        client.put("k", "w", expected_revision=9)
    assert raised.value.current is not None
    assert raised.value.current.value == b"v"
    with pytest.raises(Conflict) as gone:
        client.delete("other", expected_revision=9)
    assert gone.value.current is None
    with pytest.raises(Refused, match="not a decimal integer"):
        client.incr("k")
    assert issubclass(Conflict, Refused)


@pytest.mark.parametrize("leader", [1, 2, 3])
def test_a_read_takes_one_connection_to_the_leader_and_at_most_one_to_find_it(
    monkeypatch: pytest.MonkeyPatch, leader: int
) -> None:
    """The first endpoint leads, or tells who does. Each is asked once how it is: the leader vouches for the rest."""
    monkeypatch.setattr(cluster, "HEAD_START_S", 60.0)
    with FakeCluster(leader=leader) as nodes, Client(nodes.endpoints) as client:
        client.get("k")
        client.get("k")
        client.put("k", "v")
        wanted = [0, 0, 0]
        wanted[0] = wanted[leader - 1] = 1
        assert connections(nodes) == wanted
        assert nodes.count(wire.GetStatus) == sum(wanted)
        assert nodes.count(wire.OpenSession) == 1


def test_an_endpoint_that_is_down_does_not_stand_in_the_way(nodes: FakeCluster, client: Client) -> None:
    """The others are asked at once, and one of them may tell who leads before the leader does."""
    nodes.leader = 3
    nodes.stop(1)
    client.put("k", "v")
    assert sum(connections(nodes)[1:]) <= 3
    assert nodes.count(wire.GetStatus) <= 2


def test_a_silent_endpoint_costs_its_head_start_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not waited for."""
    monkeypatch.setattr(cluster, "HEAD_START_S", 0.05)
    with FakeCluster(leader=2) as nodes, Client(nodes.endpoints) as client:
        nodes.interfere = lambda node, _request: SILENCE if node == 1 else None
        began = time.monotonic()
        client.put("k", "v")
        assert time.monotonic() - began < 1.0


def test_a_new_leader_is_followed(nodes: FakeCluster, client: Client) -> None:
    """The old one says who leads now."""
    client.put("k", "1")
    nodes.leader = 3
    client.put("k", "2")
    assert connections(nodes) == [1, 0, 1]


def test_a_leader_that_ends_is_replaced(nodes: FakeCluster, client: Client) -> None:
    """The kept connection is known to be closed before a write is sent on it: nothing is in doubt."""
    client.put("k", "1")
    nodes.stop(1)
    nodes.leader = 2
    client.put("k", "2")
    assert nodes.count(wire.Write) == 2


def test_a_write_whose_answer_is_lost_is_applied_once(nodes: FakeCluster, client: Client) -> None:
    """It is sent again with the same session and sequence."""
    lose_answers(nodes, wire.Write, 1)
    assert client.incr("visits") == 1
    assert nodes.count(wire.Write) == 2


def test_a_write_without_an_answer_in_time_is_unknown(nodes: FakeCluster) -> None:
    """It may have been applied."""
    nodes.interfere = lambda _node, request: HANG_UP if isinstance(request, wire.Write) else None
    with Client(nodes.endpoints, timeout=0.3) as client, pytest.raises(OutcomeUnknown, match="closed the connection"):
        client.put("k", "v")


def test_a_write_outside_a_session_is_sent_once(nodes: FakeCluster, client: Client) -> None:
    """Sent again, it could be applied twice."""
    lose_answers(nodes, wire.Write, 1)
    with pytest.raises(OutcomeUnknown):
        client.call(wire.Write(0, 0, 1, 0, kv.encode(kv.Increment(b"n"))))
    assert nodes.count(wire.Write) == 1


def test_a_write_is_not_called_refused_where_an_earlier_try_may_be_in_the_log(nodes: FakeCluster) -> None:
    """The disk of the leader became full between the two."""
    tries: list[Any] = []

    def interfere(_node: int, request: Any) -> Reply | None:
        if not isinstance(request, wire.Write):
            return None
        tries.append(request)
        return HANG_UP if len(tries) == 1 else wire.Failed(0, wire.ErrorCode.NO_SPACE, "the disk is full")

    nodes.interfere = interfere
    with Client(nodes.endpoints, timeout=0.4) as client, pytest.raises(OutcomeUnknown):
        client.put("k", "v")
    assert len(tries) > 2
    tries.append(None)
    with Client(nodes.endpoints, timeout=0.4) as client, pytest.raises(Refused, match="the disk is full") as raised:
        client.put("k", "v")
    assert raised.value.code is wire.ErrorCode.NO_SPACE


@pytest.mark.parametrize("code", [code for code in wire.ErrorCode if code.is_temporary])
def test_a_temporary_failure_is_tried_again(nodes: FakeCluster, client: Client, code: wire.ErrorCode) -> None:
    """Until the deadline."""
    failures = [wire.Failed(0, code, "not now")] * 2
    nodes.interfere = lambda _node, request: failures.pop() if isinstance(request, wire.Write) and failures else None
    assert client.put("k", "v").revision == 1
    assert nodes.count(wire.Write) == 3


def test_a_session_that_the_cluster_forgot_is_opened_again(nodes: FakeCluster, client: Client) -> None:
    """Every try was refused, so that the write may be sent in a new session."""
    expired = [wire.Failed(0, wire.ErrorCode.SESSION_EXPIRED, "not known", wire.UNKNOWN)]
    nodes.interfere = lambda _node, request: expired.pop() if isinstance(request, wire.Write) and expired else None
    client.put("k", "v")
    assert nodes.count(wire.OpenSession) == 2


def test_a_session_that_is_forgotten_after_a_doubtful_try_leaves_the_outcome_unknown(nodes: FakeCluster) -> None:
    """The lost try may have been applied before the session was forgotten."""
    replies: list[Reply] = [wire.Failed(0, wire.ErrorCode.SESSION_EXPIRED, "not known", wire.UNKNOWN), HANG_UP]
    nodes.interfere = lambda _node, request: replies.pop() if isinstance(request, wire.Write) and replies else None
    with Client(nodes.endpoints) as client, pytest.raises(OutcomeUnknown, match="before that"):
        client.put("k", "v")
    assert nodes.count(wire.Write) == 2


def test_without_a_leader_nothing_is_done(nodes: FakeCluster) -> None:
    """It is safe to repeat, and the error shows how the nodes are."""
    nodes.leader = 0
    with Client(nodes.endpoints, timeout=0.3) as client, pytest.raises(NoLeader) as raised:
        client.put("k", "v")
    assert isinstance(raised.value, NotDone)
    assert len(raised.value.statuses) == 3
    with Client(nodes.endpoints, timeout=0.3) as client, pytest.raises(NoLeader):
        client.members()
    with Client(nodes.endpoints, timeout=0.3) as client:
        assert client.get("k", consistency="local") is None


def test_where_nobody_listens_it_fails_at_once() -> None:
    """Waiting would not help."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    asks: list[Callable[[Client], object]] = [lambda c: c.get("k"), lambda c: c.put("k", "v"), lambda c: c.status()]
    for ask in asks:
        began = time.monotonic()
        with Client(address) as client, pytest.raises(NoNodeAnswers, match="connection refused") as raised:
            ask(client)
        assert raised.value.failures[address].refused
        assert time.monotonic() - began < 2.0


@pytest.mark.parametrize("ask", [lambda c: c.get("k"), lambda c: c.put("k", "v"), lambda c: c.status()])
def test_endpoints_of_two_clusters_are_an_error(nodes: FakeCluster, ask: Callable[[Client], object]) -> None:
    """Neither of them is used, whichever answers first."""
    with FakeCluster(cluster_id="beef") as others:
        for endpoints in (f"{nodes.endpoints},{others.endpoints}", f"{others.endpoints},{nodes.endpoints}"):
            with Client(endpoints) as client, pytest.raises(WrongCluster) as raised:
                ask(client)
            assert {cluster_id for _, cluster_id in raised.value.found} == {"c0ffee", "beef"}
        assert nodes.count(wire.Write) == others.count(wire.Write) == 0


def test_a_cluster_id_that_the_endpoints_do_not_have_is_an_error(nodes: FakeCluster) -> None:
    """Also where they agree."""
    with Client(nodes.endpoints, cluster_id="beef") as client, pytest.raises(WrongCluster) as raised:
        client.get("k")
    assert raised.value.expected == "beef"
    with Client(nodes.endpoints, cluster_id="c0ffee") as client:
        assert client.get("k") is None


def test_no_write_goes_to_another_clusters_node_at_a_members_address(nodes: FakeCluster) -> None:
    """The address that the old leader tells now belongs to another cluster: the right leader is looked for."""
    with FakeCluster(1, cluster_id="beef") as others, Client(nodes.endpoints, timeout=2.0) as client:
        client.put("k", "1")
        wrong = wire.Failed(0, wire.ErrorCode.NOT_LEADER, "no", leader_address=others.nodes[1].address)
        wrongs = [wrong]
        nodes.interfere = lambda _node, request: wrongs.pop() if isinstance(request, wire.Write) and wrongs else None
        client.put("k", "2")
        assert others.nodes[1].requests == []


def test_an_endpoint_that_the_leader_never_heard_may_belong_to_another_cluster() -> None:
    """The leader lists it as a member, and it says otherwise: it is given the moment to say so."""
    with FakeCluster(1, cluster_id="beef") as other:

        def answer(request: Any) -> Reply:
            members = [
                wire.MemberStatus(1, "n1", node.address, "voter"),
                wire.MemberStatus(2, "n2", other.nodes[1].address, "voter", last_contact_ms=-1),
            ]
            return wire.StatusResult(0, make_status(1, members, role="leader"))

        with FakeNode(answer) as node, Client([node.address, other.nodes[1].address]) as client:
            with pytest.raises(WrongCluster):
                client.get("k")
            assert all(isinstance(request, wire.GetStatus) for request in node.requests)


def test_watch_goes_on_after_a_lost_connection_and_gives_gaps(nodes: FakeCluster, client: Client) -> None:
    """No change is given twice, and none is missed without a word."""
    for value in "abc":
        client.put("k", value)
    stream = client.watch("k", after=0)
    assert [change.revision for change in islice(stream, 3) if isinstance(change, Change)] == [1, 2, 3]
    lose_answers(nodes, wire.Watch, 2)
    client.put("k", "d")
    assert next(stream) == Change(4, b"k", b"d")
    nodes.stop(1)
    nodes.leader = 2
    client.delete("k")
    assert next(stream) == Change(5, b"k", None)
    gap = wire.ReadResult(0, 9, kv.encode(kv.ChangesResult([], 9, lost_before=8)))
    gaps = [gap]
    nodes.interfere = lambda _node, request: gaps.pop() if isinstance(request, wire.Watch) and gaps else None
    assert next(stream) == Gap(after=5, through=8)


def test_watch_begins_now_unless_it_is_told_where(nodes: FakeCluster, client: Client) -> None:
    """What was written before is not given."""
    client.put("k", "old")
    stream = client.watch()

    def write() -> None:
        with Client(nodes.endpoints) as other:
            other.put("k", "new")

    writer = threading.Thread(target=write)
    asked: list[Any] = []

    def write_when_it_waits(_node: int, request: Any) -> Reply | None:
        if isinstance(request, wire.Watch) and not asked:
            asked.append(request)
            writer.start()
            writer.join()
        return None

    nodes.interfere = write_when_it_waits
    assert next(stream) == Change(2, b"k", b"new")


def test_nonsense_from_the_store_is_a_client_error(nodes: FakeCluster, client: Client) -> None:
    """A caller handles ClientError and nothing else."""
    for result in (b"\xc1", kv.encode(kv.PutResult(1))):
        nodes.interfere = lambda _node, request, r=result: (  # type: ignore[misc]
            wire.ReadResult(0, 1, r) if isinstance(request, wire.Read) else None
        )
        with pytest.raises(ClientError):
            client.get("k")


@pytest.mark.parametrize("endpoints", ["", " , ", [], "n1", ["n1:7001", "n2:0"]])
def test_endpoints_must_be_given_and_be_addresses(endpoints: Any) -> None:
    """There is no default."""
    with pytest.raises(ValueError, match=r"no endpoint|must be"):
        Client(endpoints)


def test_a_session_acknowledges_what_has_its_answer() -> None:
    """The results up to the oldest open write are kept; a session is full where the next is too far ahead."""
    session = WriteSession(7)
    first, second, third = (session.begin(b"") for _ in range(3))
    assert [(w.session, w.sequence, w.acknowledged) for w in (first, second, third)] == [
        (7, 1, 0),
        (7, 2, 0),
        (7, 3, 0),
    ]
    session.end(second)
    assert session.begin(b"").acknowledged == 0
    session.end(first)
    assert session.begin(b"").acknowledged == 2
    while not session.is_full:
        write = session.begin(b"")
    assert write.sequence - write.acknowledged == WRITES_AHEAD_MAX


def test_the_example_runs(nodes: FakeCluster) -> None:
    """The README shows it."""
    root = Path(raftnode.client.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "examples/client.py", nodes.endpoints],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("b'hello'\n1\n", "")
