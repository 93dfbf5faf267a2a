"""Requests that wait: for their log entry, for a read barrier, for a change, for a leader.

Each structure is a queue in the order of its deadlines, so that looking for what is overdue looks only at its
front, however much waits.
"""

import heapq
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass

from raftnode.wire.client import Answer, Request


@dataclass(slots=True)
class Waiter:
    """A request whose log entry is under way. It is answered when the entry at `index` is applied.

    Matched by index *and* term: an entry of another term at that index means that this one was overwritten.
    """

    client: Hashable
    request_id: int
    index: int
    term: int
    deadline: float
    size_bytes: int


class EntryWaiters:
    """Waiters by log index. Indexes and deadlines both grow as waiters are added."""

    def __init__(self) -> None:
        self._by_index: dict[int, Waiter] = {}
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._by_index)

    def add(self, waiter: Waiter) -> None:
        """Add a waiter above every other one; one for the same index is of an entry that was overwritten."""
        self._by_index[waiter.index] = waiter
        self.size_bytes += waiter.size_bytes

    def pop(self, index: int) -> Waiter | None:
        """Remove and return the waiter of the entry at `index`."""
        waiter = self._by_index.pop(index, None)
        if waiter is not None:
            self.size_bytes -= waiter.size_bytes
        return waiter

    def pop_from(self, index: int) -> list[Waiter]:
        """Remove and return the waiters of entries from `index` on."""
        return [self._take(at) for at in [at for at in self._by_index if at >= index]]

    def pop_up_to(self, index: int) -> list[Waiter]:
        """Remove and return the waiters of entries up to `index`."""
        return [self._take(at) for at in [at for at in self._by_index if at <= index]]

    def pop_overdue(self, now: float) -> list[Waiter]:
        """Remove and return the waiters whose deadline has passed."""
        overdue: list[Waiter] = []
        while (first := self._first()) is not None and first.deadline <= now:
            overdue.append(self._take(first.index))
        return overdue

    def pop_all(self) -> list[Waiter]:
        """Remove and return every waiter."""
        return self.pop_from(0)

    def hasten(self, deadline: float) -> None:
        """Let nobody wait beyond `deadline`."""
        for waiter in self._by_index.values():
            waiter.deadline = min(waiter.deadline, deadline)

    def next_deadline(self) -> float | None:
        """Return when the first waiter becomes overdue."""
        first = self._first()
        return None if first is None else first.deadline

    def _first(self) -> Waiter | None:
        return next(iter(self._by_index.values()), None)

    def _take(self, index: int) -> Waiter:
        waiter = self._by_index.pop(index)
        self.size_bytes -= waiter.size_bytes
        return waiter


@dataclass(slots=True)
class Held:
    """A request that waits for a leader to be known. The deadline is the same span for all: first in, first out."""

    client: Hashable
    request: Request
    deadline: float


class HeldRequests:
    """Requests for a leader that nobody knows yet."""

    def __init__(self) -> None:
        self._held: deque[Held] = deque()

    def __len__(self) -> int:
        return len(self._held)

    def add(self, held: Held) -> None:
        """Add a request whose deadline is not before the others'."""
        self._held.append(held)

    def pop_all(self) -> list[Held]:
        """Remove and return all, oldest first."""
        held, self._held = list(self._held), deque()
        return held

    def pop_overdue(self, now: float) -> list[Held]:
        """Remove and return those whose deadline has passed."""
        overdue: list[Held] = []
        while self._held and self._held[0].deadline <= now:
            overdue.append(self._held.popleft())
        return overdue

    def next_deadline(self) -> float | None:
        """Return when the first becomes overdue."""
        return self._held[0].deadline if self._held else None


@dataclass(slots=True)
class Poll:
    """A request that is answered as soon as `attempt` has an answer, or with `at_deadline()` when time is up."""

    client: Hashable
    attempt: Callable[[], Answer | None]
    at_deadline: Callable[[], Answer]
    deadline: float


class Polls:
    """Long polls: each is tried again when something changed."""

    def __init__(self) -> None:
        self._polls: dict[int, Poll] = {}
        self._deadlines: list[tuple[float, int]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._polls)

    def add(self, poll: Poll) -> None:
        """Add a poll that has no answer yet."""
        self._count += 1
        self._polls[self._count] = poll
        heapq.heappush(self._deadlines, (poll.deadline, self._count))

    def settle(self, now: float, *, changed: bool) -> Iterator[tuple[Hashable, Answer]]:
        """Give the answers that are due: to all that have one where something `changed`, and to the overdue."""
        if changed:
            for number, poll in list(self._polls.items()):
                answer = poll.attempt()
                if answer is not None:
                    del self._polls[number]
                    yield poll.client, answer
        while self._deadlines and (self._deadlines[0][0] <= now or self._deadlines[0][1] not in self._polls):
            due = self._polls.pop(heapq.heappop(self._deadlines)[1], None)
            if due is not None:
                yield due.client, due.at_deadline()

    def forget(self, client: Hashable) -> None:
        """Drop the polls of a client that is gone."""
        for number in [number for number, poll in self._polls.items() if poll.client == client]:
            del self._polls[number]

    def next_deadline(self) -> float | None:
        """Return when the first becomes overdue."""
        return self._deadlines[0][0] if self._deadlines else None
