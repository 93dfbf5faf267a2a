"""One heap of deadlines for everything in a replica that waits.

Each part that waits has an `Alarm`, set to the earliest moment that it waits for. A turn then looks at one
number to know whether anything is due, however many requests, snapshots and retries wait.
"""

import heapq
from collections.abc import Callable
from typing import Final

NEVER: Final = float("inf")


class Alarm:
    """Calls `ring(now)` at the moment that it was set to, or earlier: a ring that finds nothing due is harmless."""

    __slots__ = ("_at", "_ring", "_timers")

    def __init__(self, timers: "Timers", ring: Callable[[float], None]) -> None:
        self._timers = timers
        self._ring = ring
        self._at = NEVER

    def set(self, deadline: float) -> None:
        """Ring at `deadline` at the latest. After a ring the alarm is off until it is set again."""
        if deadline < self._at:
            self._at = deadline
            self._timers.push(deadline, self)

    def is_set_to(self, deadline: float) -> bool:
        """Whether this is the deadline that is in force, and not one that an earlier one replaced."""
        return self._at == deadline

    def ring(self, now: float) -> None:
        """Switch the alarm off and do what it is for."""
        self._at = NEVER
        self._ring(now)


class Timers:
    """The alarms of one replica."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Alarm]] = []
        self._count = 0

    def alarm(self, ring: Callable[[float], None]) -> Alarm:
        """Return a new alarm, which is off."""
        return Alarm(self, ring)

    def push(self, deadline: float, alarm: Alarm) -> None:
        """Add a deadline. Alarms call this."""
        self._count += 1
        heapq.heappush(self._heap, (deadline, self._count, alarm))

    def next_deadline(self) -> float:
        """Return when the next alarm rings; NEVER where none is set."""
        heap = self._heap
        while heap and not heap[0][2].is_set_to(heap[0][0]):
            heapq.heappop(heap)
        return heap[0][0] if heap else NEVER

    def expire(self, now: float) -> None:
        """Ring every alarm that is due, once, in the order of their deadlines."""
        heap = self._heap
        if not heap or heap[0][0] > now:
            return
        due: list[tuple[float, Alarm]] = []
        while heap and heap[0][0] <= now:
            deadline, _, alarm = heapq.heappop(heap)
            due.append((deadline, alarm))
        for deadline, alarm in due:
            if alarm.is_set_to(deadline):
                alarm.ring(now)
