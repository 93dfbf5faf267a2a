"""One heap of deadlines: each alarm rings at its earliest moment, once, and costs nothing until then."""

from raftnode.replica.timers import NEVER, Timers


def test_an_alarm_rings_at_the_earliest_moment_that_it_was_set_to() -> None:
    """And is off afterwards; a later moment does not move an earlier one."""
    timers, rung = Timers(), list[float]()
    alarm = timers.alarm(rung.append)
    assert timers.next_deadline() == NEVER
    alarm.set(5.0)
    alarm.set(3.0)
    alarm.set(4.0)
    assert timers.next_deadline() == 3.0
    timers.expire(2.9)
    assert rung == []
    timers.expire(3.1)
    timers.expire(9.0)
    assert rung == [3.1]
    assert timers.next_deadline() == NEVER


def test_alarms_ring_in_the_order_of_their_deadlines() -> None:
    """Those of equal deadlines in the order in which they were set."""
    timers, rung = Timers(), list[str]()
    for name, deadline in (("late", 3.0), ("first", 1.0), ("second", 1.0), ("never", 9.0)):
        timers.alarm(lambda now, name=name: rung.append(name)).set(deadline)  # type: ignore[misc]
    timers.expire(3.0)
    assert rung == ["first", "second", "late"]


def test_an_alarm_that_sets_itself_again_for_now_rings_in_the_next_look() -> None:
    """One look ends, whatever the rings do."""
    timers, rung = Timers(), list[float]()

    def again(now: float) -> None:
        rung.append(now)
        alarm.set(now)

    alarm = timers.alarm(again)
    alarm.set(1.0)
    timers.expire(1.0)
    assert rung == [1.0]
    assert timers.next_deadline() == 1.0
    timers.expire(1.5)
    assert rung == [1.0, 1.5]


def test_what_one_ring_makes_needless_does_not_ring() -> None:
    """An alarm that is set earlier, and rings, does not ring again for its old deadline."""
    timers, rung = Timers(), list[float]()
    alarm = timers.alarm(rung.append)
    alarm.set(5.0)
    alarm.set(1.0)
    timers.expire(7.0)
    assert rung == [7.0]
