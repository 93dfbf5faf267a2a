"""Whom to ask and how long to wait: the rules of a fanout, without sockets."""

import pytest

from raftnode.client import fanout
from raftnode.client.errors import ConnectionFailed
from raftnode.client.fanout import Answers, Round
from raftnode.client.transport import Deadline
from raftnode.wire.client import ErrorCode, Failed


class Clock:
    """Stands in for the monotonic clock of deadlines."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("raftnode.client.transport.time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


class Answered:
    """A condition: so many addresses have answered."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __call__(self, found: Answers[str]) -> bool:
        return len(found.answers) >= self._count


def test_all_are_asked_at_once_and_each_once() -> None:
    """A repeated address is one."""
    round_: Round[str] = Round(["a", "b", "a"], Deadline(5.0))
    assert round_.due() == ["a", "b"]
    assert round_.due() == []
    assert not round_.is_over
    round_.on_answer("a", "yes")
    round_.on_failure(ConnectionFailed("b", "connection refused", refused=True))
    assert round_.is_over
    found = round_.end()
    assert (found.answers, found.not_listening, found.is_settled("b")) == ({"a": "yes"}, {"b"}, True)


def test_those_that_are_silent_at_the_deadline_are_failures(clock: Clock) -> None:
    """Three dead nodes cost one timeout."""
    round_: Round[str] = Round(["a", "b", "c"], Deadline(2.0))
    round_.due()
    round_.on_answer("b", Failed(1, ErrorCode.BUSY, "too much"))
    clock.now += 2.0
    assert round_.is_over
    found = round_.end()
    assert {a: f.reason for a, f in found.failures.items()} == dict.fromkeys("ac", "no answer in 2.0 s")
    assert found.failed["b"].code is ErrorCode.BUSY


def test_more_addresses_are_asked_as_answers_name_them() -> None:
    """Each once, whoever names it."""
    round_: Round[str] = Round(["a"], Deadline(5.0), more=lambda answer: answer.split())
    assert round_.due() == ["a"]
    round_.on_answer("a", "a b c")
    assert not round_.is_over
    assert round_.due() == ["b", "c"]
    round_.on_answer("b", "a b c")
    assert round_.due() == []


def test_enough_ends_the_round_before_more_is_asked() -> None:
    """What the answer names is not needed then."""
    round_: Round[str] = Round(["a", "b"], Deadline(5.0), more=lambda answer: ["c"], enough=Answered(1))
    round_.due()
    round_.on_answer("a", "yes")
    assert round_.is_over


def test_silent_nodes_get_a_grace_period_once_the_answers_suffice(clock: Clock) -> None:
    """After that, they are not waited for."""
    round_: Round[str] = Round(["a", "b"], Deadline(5.0), suffices=Answered(1))
    round_.due()
    round_.on_answer("a", "yes")
    assert not round_.is_over
    clock.now += fanout.GRACE_S - 0.01
    assert not round_.is_over
    assert round_.wait_s == pytest.approx(0.01)
    clock.now += 0.02
    assert round_.is_over


def test_a_node_that_has_welcomed_us_has_the_whole_deadline(clock: Clock) -> None:
    """It is there, only slow."""
    round_: Round[str] = Round(["a", "b"], Deadline(5.0), suffices=Answered(1))
    round_.due()
    round_.on_answer("a", "yes")
    round_.welcomed.add("b")
    assert not round_.is_over
    clock.now += 4.9
    assert not round_.is_over
    clock.now += 0.2
    assert round_.is_over


def test_the_first_address_has_a_head_start(clock: Clock) -> None:
    """The others are asked when it is over."""
    round_: Round[str] = Round(["a", "b", "c"], Deadline(5.0), enough=Answered(1), head_start=0.03)
    assert round_.due() == ["a"]
    assert round_.due() == []
    assert round_.wait_s == pytest.approx(0.03)
    clock.now += 0.04
    assert not round_.is_over
    assert round_.due() == ["b", "c"]


def test_a_head_start_ends_where_the_first_address_fails_or_says_too_little() -> None:
    """A node that is down costs nothing."""
    round_: Round[str] = Round(["a", "b", "c"], Deadline(5.0), enough=Answered(2), head_start=60.0)
    assert round_.due() == ["a"]
    round_.on_failure(ConnectionFailed("a", "connection refused", refused=True))
    assert round_.due() == ["b", "c"]
    round_ = Round(["a", "b", "c"], Deadline(5.0), enough=Answered(2), head_start=60.0)
    assert round_.due() == ["a"]
    round_.on_answer("a", "no leader")
    assert not round_.is_over
    assert round_.due() == ["b", "c"]


def test_after_a_head_start_an_answer_that_is_enough_ends_the_round() -> None:
    """One connection was all that it took."""
    round_: Round[str] = Round(["a", "b", "c"], Deadline(5.0), enough=Answered(1), head_start=60.0)
    assert round_.due() == ["a"]
    round_.on_answer("a", "I lead")
    assert round_.is_over
    assert not round_.end().failures


def test_in_a_head_start_the_address_that_an_answer_refers_to_is_asked_alone() -> None:
    """A follower refers to the leader, which refers to itself."""
    round_: Round[str] = Round(["a", "b", "c"], Deadline(5.0), enough=Answered(3), refers=str, head_start=60.0)
    assert round_.due() == ["a"]
    round_.on_answer("a", "c")
    assert round_.due() == ["c"]
    assert round_.due() == []
    round_.on_answer("c", "c")
    assert round_.due() == ["b"]


def test_an_answer_may_refer_to_an_address_that_only_it_names() -> None:
    """The leader need not be among the endpoints."""
    round_: Round[str] = Round(
        ["a", "b"], Deadline(5.0), more=lambda answer: [answer], enough=Answered(2), refers=str, head_start=60.0
    )
    assert round_.due() == ["a"]
    round_.on_answer("a", "d")
    assert round_.due() == ["d"]
    round_.on_answer("d", "d")
    assert round_.is_over
