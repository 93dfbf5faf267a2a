"""Long polls alone: answered at once, when something happens, or when their time is up."""

from raftnode.replica.requests.polls import Polls
from raftnode.wire import client as wire
from raftnode.wire.client import ErrorCode
from tests.replica.requests.parts import Parts

HANDED_IN = ("node", "machine", "events", "clock", "replies", "timers")


def setup() -> tuple[Parts, Polls]:
    parts = Parts()
    parts.lead()
    return parts, Polls(**parts.handed_in(*HANDED_IN))


def test_a_poll_waits_for_an_event_and_no_longer() -> None:
    """It is tried again only after something happened."""
    parts, polls = setup()
    polls.events("c", wire.GetEvents(1, wait_ms=5000))
    polls.retry()
    assert parts.desk.take() == []
    parts.events.emit("leader.changed", 1)
    polls.retry()
    ((client, answer),) = parts.desk.take()
    assert client == "c"
    assert isinstance(answer, wire.EventsResult)
    assert [event.type for event in answer.events] == ["leader.changed"]
    assert len(polls) == 0


def test_a_poll_whose_time_is_up_is_answered_with_nothing() -> None:
    """And so is every poll when the node ends."""
    parts, polls = setup()
    polls.log("a", wire.GetLog(1, 100, 200, wait_ms=1000))
    polls.log("b", wire.GetLog(2, 100, 200, wait_ms=9000))
    parts.wait(1.1)
    ((client, answer),) = parts.desk.take()
    assert client == "a"
    assert isinstance(answer, wire.LogResult)
    assert answer.entries == []
    polls.close()
    assert [client for client, _ in parts.desk.take()] == ["b"]


def test_a_client_that_is_gone_is_forgotten() -> None:
    """Its polls cost nothing afterwards."""
    parts, polls = setup()
    polls.log("a", wire.GetLog(1, 100, 200, wait_ms=1000))
    polls.forget("a")
    parts.wait(2.0)
    assert parts.desk.take() == []
    assert polls.remembered_deadlines == 0


def test_a_pattern_of_event_types_has_a_limit() -> None:
    """Matching it takes time in every turn."""
    parts, polls = setup()
    polls.events("c", wire.GetEvents(1, types="*" * 300))
    ((_, answer),) = parts.desk.take()
    assert isinstance(answer, wire.Failed)
    assert answer.code is ErrorCode.BAD_REQUEST
