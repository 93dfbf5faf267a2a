"""The queues of requests that wait: in order, matched, and without leftovers."""

from collections.abc import Hashable

import pytest

from raftnode.replica.requests.polls import Poll, PollQueue
from raftnode.replica.requests.router import Parked, ParkedRequests
from raftnode.replica.requests.writes import EntryWaiters, UncommittedBytes, Waiter
from raftnode.wire import client as wire
from raftnode.wire.client import Answer


def waiters(*indexes: int) -> EntryWaiters:
    found = EntryWaiters()
    for index in indexes:
        found.add(Waiter("client", index, index, 1, float(index)))
    return found


def test_a_waiter_is_found_by_its_index_and_then_gone() -> None:
    """Each is answered once."""
    found = waiters(1, 2)
    waiter = found.pop(2)
    assert waiter is not None
    assert waiter.request_id == 2
    assert found.pop(2) is None
    assert len(found) == 1


def test_overdue_waiters_come_in_order_and_the_rest_stay() -> None:
    """Only the front is looked at."""
    found = waiters(1, 2, 3)
    assert [waiter.index for waiter in found.pop_overdue(2.0)] == [1, 2]
    assert found.next_deadline() == 3.0
    assert [waiter.index for waiter in found.pop_all()] == [3]
    assert found.next_deadline() is None


def test_capped_waiters_keep_their_own_deadline_where_it_is_earlier() -> None:
    """Nobody waits longer than before."""
    found = waiters(1, 5, 9)
    found.cap_deadlines(4.0)
    assert [waiter.index for waiter in found.pop_overdue(3.9)] == [1]
    assert [waiter.index for waiter in found.pop_overdue(4.0)] == [5, 9]


def test_waiters_up_to_an_index_are_those_that_a_snapshot_covers() -> None:
    """The end included."""
    found = waiters(1, 2, 3)
    assert [waiter.index for waiter in found.pop_up_to(2)] == [1, 2]
    assert len(found) == 1


def test_uncommitted_bytes_go_with_the_commit_index() -> None:
    """A batch counts until its last entry is committed."""
    found = UncommittedBytes()
    found.add(10, 100)
    found.add(20, 50)
    found.committed(19)
    assert found.size_bytes == 50
    found.committed(20)
    assert found.size_bytes == 0
    found.add(30, 7)
    found.clear()
    assert found.size_bytes == 0


def test_held_requests_count_their_bytes_until_they_leave() -> None:
    """By a leader, or by their deadline."""
    held = ParkedRequests()
    for number in range(3):
        held.add(Parked("client", wire.GetStatus(number), 0.0, float(number), 10))
    assert [one.request.id for one in held.pop_overdue(1.0)] == [0, 1]
    assert (held.size_bytes, held.next_deadline()) == (10, 2.0)
    assert len(held.pop_all()) == 1
    assert (held.size_bytes, held.next_deadline()) == (0, None)


class Change:
    """Something that polls wait for."""

    def __init__(self) -> None:
        self.happened = False

    def poll(self, client: Hashable, number: int, deadline: float) -> Poll:
        def attempt() -> Answer | None:
            return wire.SessionOpened(number, 1) if self.happened else None

        return Poll(client, attempt, lambda: wire.SessionOpened(number, 0), deadline)


def settle(polls: PollQueue, now: float, *, changed: bool) -> list[tuple[Hashable, Answer]]:
    return [*(polls.answered() if changed else ()), *polls.overdue(now)]


def test_a_poll_is_answered_on_a_change_or_at_its_deadline_and_never_twice() -> None:
    """Where nothing changed it is not even tried."""
    polls, change = PollQueue(), Change()
    polls.add(change.poll("a", 1, 5.0))
    polls.add(change.poll("b", 2, 3.0))
    change.happened = True
    assert settle(polls, 1.0, changed=False) == []
    change.happened = False
    assert settle(polls, 3.0, changed=True) == [("b", wire.SessionOpened(2, 0))]
    change.happened = True
    assert settle(polls, 4.0, changed=True) == [("a", wire.SessionOpened(1, 1))]
    assert settle(polls, 9.0, changed=True) == []


def test_a_poll_that_is_gone_has_no_deadline_any_more() -> None:
    """Otherwise the node would wake for it, again and again."""
    polls, change = PollQueue(), Change()
    polls.add(change.poll("a", 1, 5.0))
    polls.add(change.poll("b", 2, 7.0))
    polls.forget("a")
    assert polls.next_deadline() == 7.0
    polls.forget("b")
    assert polls.next_deadline() is None
    assert len(polls) == 0


@pytest.mark.parametrize("count", [1000])
def test_answered_polls_with_late_deadlines_take_no_room(count: int) -> None:
    """One that stays in front does not keep the others' deadlines."""
    polls, never, soon = PollQueue(), Change(), Change()
    polls.add(never.poll("front", 0, 1.0))
    for number in range(count):
        soon.happened = False
        polls.add(soon.poll("a", number, 60.0))
        soon.happened = True
        assert len(settle(polls, 0.0, changed=True)) == 1
    assert polls.remembered_deadlines < 100
