"""Long polls: the log, events and watches; what they answer, when, and that they are forgotten."""

import pytest

from raftnode.config.settings import ReplicaSettings
from raftnode.replica.requests import polls
from raftnode.wire import client as wire
from raftnode.wire.client import ErrorCode
from raftnode.wire.kv import Changes, ChangesResult, decode_result, encode
from tests.support.replicas import Client, Cluster, failed, put


def log(client: Client, first: int, last: int, **more: int) -> wire.GetLog:
    return wire.GetLog(client.next_id(), first, last, **more)


def filled(entries: int, **settings: int) -> tuple[Cluster, Client]:
    """Return a lone node with its no-op and `entries` puts."""
    cluster = Cluster(1, settings=ReplicaSettings(**{"snapshot_entries": 0, **settings}))  # type: ignore[arg-type]
    cluster.leader()
    client = cluster.client()
    for number in range(entries):
        client.ask(1, put(client, b"k%d" % number))
    return cluster, client


def indexes(answer: wire.Answer) -> list[int]:
    assert isinstance(answer, wire.LogResult), answer
    return [view.entry.index for view in answer.entries]


def test_a_range_has_both_its_ends_and_stops_at_the_commit_index() -> None:
    """Entries that are not committed are shown to nobody."""
    _, client = filled(5)
    assert indexes(client.ask(1, log(client, 2, 4))) == [2, 3, 4]
    assert indexes(client.ask(1, log(client, 5, 100))) == [5, 6]
    assert indexes(client.ask(1, log(client, 2, 6, entries_max=2))) == [2, 3]
    assert indexes(client.ask(1, log(client, 2, 6, bytes_max=1))) == [2]


@pytest.mark.parametrize(("first", "last"), [(0, 5), (5, 4), (0, 0)])
def test_an_impossible_range_is_refused(first: int, last: int) -> None:
    """A range begins at 1 and does not go back."""
    _, client = filled(1)
    assert failed(client.ask(1, log(client, first, last))).code is ErrorCode.BAD_REQUEST


def test_a_compacted_entry_is_told_with_the_first_that_is_there() -> None:
    """So that the reader goes on there."""
    _, client = filled(20, snapshot_trailing=2)
    assert isinstance(client.ask(1, wire.TriggerSnapshot(client.next_id())), wire.SnapshotTaken)
    answer = failed(client.ask(1, log(client, 3, 20)))
    assert (answer.code, answer.detail) == (ErrorCode.COMPACTED, 20)
    assert indexes(client.ask(1, log(client, 20, 99))) == [20, 21]


def test_a_reader_waits_for_an_entry_that_is_not_there_yet() -> None:
    """Answered when it is committed, or empty at the deadline."""
    cluster, client = filled(1)
    at = client.send(1, log(client, 3, 9, wait_ms=2000))
    cluster.run_for(0.5)
    assert client.answer(at) is None
    client.ask(1, put(client, b"new"))
    cluster.run_until(lambda: client.answer(at), 0.01)
    answer = client.answer(at)
    assert answer is not None
    assert indexes(answer) == [3]
    begun = cluster.clock.now
    assert indexes(client.ask(1, log(client, 4, 9, wait_ms=700))) == []
    assert 0.69 < cluster.clock.now - begun < 0.75


def test_one_answer_is_bounded_whatever_was_asked_for() -> None:
    """A client cannot make the node read its whole log in one turn."""
    cluster, client = filled(1)
    big = bytes(1024 * 1024)
    for number in range(8):
        client.ask(1, put(client, b"k%d" % number, big))
    answer = client.ask(1, log(client, 1, 2**63 - 1, entries_max=2**63 - 1, bytes_max=2**63 - 1))
    assert isinstance(answer, wire.LogResult)
    assert sum(len(view.entry.data) for view in answer.entries) <= polls.LOG_BYTES_MAX + len(big) + 1000
    assert cluster.replica(1).node.commit_index > len(answer.entries)


def test_one_answer_has_a_bounded_number_of_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small ones are many: each is described."""
    monkeypatch.setattr(polls, "LOG_ENTRIES_MAX", 3)
    _, client = filled(10)
    assert indexes(client.ask(1, log(client, 2, 9))) == [2, 3, 4]


def test_a_poll_waits_for_a_minute_at_the_most() -> None:
    """Whatever its client asks for: one that is gone unnoticed is not waited for."""
    cluster, client = filled(1)
    begun = cluster.clock.now
    assert indexes(client.ask(1, log(client, 9, 9, wait_ms=10**9), timeout=60.1)) == []
    assert cluster.clock.now - begun > 59.9


def test_events_are_read_from_a_cursor_and_awaited() -> None:
    """Each once, in order; a poll is answered by the next event that matches."""
    cluster, client = filled(0)
    first = client.ask(1, wire.GetEvents(client.next_id()))
    assert isinstance(first, wire.EventsResult)
    types = [event.type for event in first.events]
    assert types[0] == "node.started"
    assert "leader.changed" in types
    at = client.send(1, wire.GetEvents(client.next_id(), first.cursor, "snapshot.*", wait_ms=5000))
    client.ask(1, put(client, b"k"))
    assert client.answer(at) is None
    client.ask(1, wire.TriggerSnapshot(client.next_id()))
    cluster.run_until(lambda: client.answer(at), 0.1)
    answer = client.answer(at)
    assert isinstance(answer, wire.EventsResult)
    assert [event.type for event in answer.events] == ["snapshot.taken"]
    empty = client.ask(1, wire.GetEvents(client.next_id(), answer.cursor, wait_ms=100))
    assert isinstance(empty, wire.EventsResult)
    assert empty.events == []


@pytest.mark.parametrize(
    "request_",
    [
        wire.GetEvents(1, "7:99"),
        wire.GetEvents(1, "rubbish"),
        wire.GetEvents(1, "1:999999999999"),
        wire.GetEvents(1, "", "[" * 10_000),
    ],
)
def test_a_bad_cursor_or_pattern_is_refused(request_: wire.GetEvents) -> None:
    """The text says what is wrong; the node goes on."""
    cluster = Cluster(1)
    cluster.leader()
    assert failed(cluster.client().ask(1, request_)).code is ErrorCode.BAD_REQUEST


def watch(client: Client, after: int, wait_ms: int = 5000) -> wire.Watch:
    return wire.Watch(client.next_id(), encode(Changes(b"k", after)), wait_ms)


def changes(answer: wire.Answer | None) -> list[bytes]:
    assert isinstance(answer, wire.ReadResult), answer
    result = decode_result(answer.result)
    assert isinstance(result, ChangesResult)
    return [change.key for change in result.changes]


def test_a_watch_is_answered_on_change_and_at_its_deadline() -> None:
    """On every node, from its own machine."""
    cluster = Cluster()
    leader = cluster.leader()
    client = cluster.client()
    revision = client.ask(leader, put(client, b"k0"))
    assert isinstance(revision, wire.Written)
    cluster.settle()
    asked = {node: client.send(node, watch(client, revision.index)) for node in (1, 2, 3)}
    cluster.run_for(1.0)
    assert not any(client.answer(at) for at in asked.values())
    client.ask(leader, put(client, b"k1"))
    cluster.run_for(0.2)
    assert [changes(client.answer(at)) for at in asked.values()] == [[b"k1"]] * 3
    begun = cluster.clock.now
    assert changes(client.ask(1, watch(client, revision.index + 1, 300))) == []
    assert 0.29 < cluster.clock.now - begun < 0.35


def test_a_client_that_hangs_up_is_forgotten_and_costs_no_turns() -> None:
    """Its polls go, and the node does not wake for their deadlines again and again."""
    cluster, client = filled(1)
    for _ in range(10):
        client.send(1, watch(client, 99, 1000))
    cluster.run_for(0.01)
    waiting = cluster.replica(1).requests
    assert len(waiting) == 10
    client.hang_up()
    assert len(waiting) == 0
    before = cluster.events
    cluster.run_for(3.0)
    assert cluster.events - before < 200, "it spins"


def test_polls_that_were_answered_early_leave_nothing_behind() -> None:
    """A client that polls with a long deadline and is answered at once again and again costs no memory."""
    cluster, client = filled(0)
    other = cluster.client()
    other.send(1, wire.Watch(other.next_id(), encode(Changes(b"zz", 10**6)), 60_000))
    for number in range(500):
        at = client.send(1, log(client, cluster.replica(1).node.commit_index + 1, 10**9, wait_ms=60_000))
        client.ask(1, put(client, b"k%d" % number))
        cluster.run_until(lambda at=at: client.answer(at), 0.1)  # type: ignore[misc]
    assert cluster.replica(1).requests.polls.remembered_deadlines < 100
