"""Simulated time, and the calls that are scheduled in it."""

import heapq
from collections.abc import Callable
from typing import Any, NamedTuple


class Event(NamedTuple):
    """A scheduled call.

    Attributes:
        action: What is called.
        arguments: What it is called with.
    """

    action: Callable[..., object]
    arguments: tuple[Any, ...]

    def happen(self) -> None:
        """Make the call now."""
        self.action(*self.arguments)


class Clock:
    """A clock that advances only when a test says so. Call it to get the time, as `RaftNode` does.

    What is scheduled with `at()` and `after()` happens in the order of its time, and at the same time in the order in
    which it was scheduled.

    Attributes:
        now: The time, in seconds. A test may set it; that alone does not make any scheduled call.
    """

    def __init__(self, now: float = 100.0) -> None:
        """A clock that shows `now`, in seconds."""
        self.now = now
        self._events: list[tuple[float, int, Event]] = []
        self._count = 0

    def __call__(self) -> float:
        return self.now

    def at(self, when: float, action: Callable[..., object], *arguments: Any) -> None:
        """Call `action(*arguments)` at `when`. If that time has passed, it is called next."""
        self._count += 1
        heapq.heappush(self._events, (max(when, self.now), self._count, Event(action, arguments)))

    def after(self, delay: float, action: Callable[..., object], *arguments: Any) -> None:
        """Call `action(*arguments)` in `delay` seconds."""
        self._count += 1
        heapq.heappush(self._events, (self.now + delay, self._count, Event(action, arguments)))

    def next_time(self) -> float:
        """Return when the next event happens; infinity if none is scheduled."""
        return self._events[0][0] if self._events else float("inf")

    def pop(self) -> Event:
        """Move the time to the next event and return it. Raises IndexError if none is scheduled."""
        self.now, _, event = heapq.heappop(self._events)
        return event

    def step(self) -> None:
        """Advance the time to the next event and make its call. Raises IndexError if none is scheduled."""
        self.pop().happen()

    def advance(self, seconds: float) -> None:
        """Advance the time by `seconds`, and make every call that is due by then."""
        until = self.now + seconds
        while self.next_time() <= until:
            self.step()
        self.now = until
