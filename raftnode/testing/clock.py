"""Simulated time, and what will happen in it."""

import heapq
from collections.abc import Callable
from typing import Any, NamedTuple


class Event(NamedTuple):
    """Something that will happen.

    Attributes:
        action: What is called.
        arguments: What it is called with.
    """

    action: Callable[..., object]
    arguments: tuple[Any, ...]

    def happen(self) -> None:
        """Let it happen now."""
        self.action(*self.arguments)


class Clock:
    """Seconds that pass when a test says so: call it for the time, as `RaftNode` does.

    What is asked for with `at()` and `after()` happens in the order of its time, and at the same time in the order
    in which it was asked for.

    Attributes:
        now: The time, in seconds. A test may set it, which lets nothing happen by itself.
    """

    def __init__(self, now: float = 100.0) -> None:
        """A clock at which it is `now`, in seconds."""
        self.now = now
        self._events: list[tuple[float, int, Event]] = []
        self._count = 0

    def __call__(self) -> float:
        return self.now

    def at(self, when: float, action: Callable[..., object], *arguments: Any) -> None:
        """Call `action(*arguments)` at `when`. A time that has passed means next."""
        self._count += 1
        heapq.heappush(self._events, (max(when, self.now), self._count, Event(action, arguments)))

    def after(self, delay: float, action: Callable[..., object], *arguments: Any) -> None:
        """Call `action(*arguments)` in `delay` seconds."""
        self._count += 1
        heapq.heappush(self._events, (self.now + delay, self._count, Event(action, arguments)))

    def next_time(self) -> float:
        """Return when the next event happens; infinity if none is planned."""
        return self._events[0][0] if self._events else float("inf")

    def pop(self) -> Event:
        """Move the time to the next event and return it. Raises IndexError if none is planned."""
        self.now, _, event = heapq.heappop(self._events)
        return event

    def step(self) -> None:
        """Let the next event happen. Raises IndexError if none is planned."""
        self.pop().happen()

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass, and everything happen that falls into them."""
        until = self.now + seconds
        while self.next_time() <= until:
            self.step()
        self.now = until
