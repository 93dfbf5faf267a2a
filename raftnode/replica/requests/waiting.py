"""Requests that wait: for their log entry, for a read barrier, for a change, for a leader.

Each structure is a queue in the order of its deadlines, so that looking for what is overdue looks only at its
front, however much waits.
"""

import heapq
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass

from raftnode.wire.client import Answer, AnyRequest


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


class EntryWaiters:
    """Waiters by log index. Indexes and deadlines both grow as waiters are added."""

    def __init__(self) -> None:
        self._by_index: dict[int, Waiter] = {}

    def __len__(self) -> int:
        return len(self._by_index)

    def add(self, waiter: Waiter) -> None:
        """Add a waiter whose deadline is not before the others'. Whoever waited for its index was popped before."""
        self._by_index[waiter.index] = waiter

    def pop(self, index: int) -> Waiter | None:
        """Remove and return the waiter of the entry at `index`."""
        return self._by_index.pop(index, None)

    def pop_up_to(self, index: int) -> list[Waiter]:
        """Remove and return the waiters of entries up to `index`."""
        return [self._by_index.pop(at) for at in [at for at in self._by_index if at <= index]]

    def pop_overdue(self, now: float) -> list[Waiter]:
        """Remove and return the waiters whose deadline has passed."""
        overdue: list[Waiter] = []
        while (first := self._first()) is not None and first.deadline <= now:
            overdue.append(self._by_index.pop(first.index))
        return overdue

    def pop_all(self) -> list[Waiter]:
        """Remove and return every waiter."""
        waiting, self._by_index = list(self._by_index.values()), {}
        return waiting

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


class UncommittedBytes:
    """How much a leader has appended that is not committed: each batch by the index of its last entry.

    Counted apart from the waiters: a writer that gave up leaves its entry in the log.
    """

    def __init__(self) -> None:
        self._batches: deque[tuple[int, int]] = deque()
        self.size_bytes = 0

    def add(self, last_index: int, size_bytes: int) -> None:
        """Count a batch that was appended after all others."""
        self._batches.append((last_index, size_bytes))
        self.size_bytes += size_bytes

    def committed(self, index: int) -> None:
        """Count no more what ends at or before the commit index."""
        while self._batches and self._batches[0][0] <= index:
            self.size_bytes -= self._batches.popleft()[1]

    def clear(self) -> None:
        """Forget all: this node does not lead any more."""
        self._batches.clear()
        self.size_bytes = 0


@dataclass(slots=True)
class Held:
    """A request that arrived at `since` and waits for a leader to be known.

    The deadline is the same span for all: first in, first out.
    """

    client: Hashable
    request: AnyRequest
    since: float
    deadline: float
    size_bytes: int


class HeldRequests:
    """Requests for a leader that nobody knows yet."""

    def __init__(self) -> None:
        self._held: deque[Held] = deque()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def add(self, held: Held) -> None:
        """Add a request whose deadline is not before the others'."""
        self._held.append(held)
        self.size_bytes += held.size_bytes

    def pop_all(self) -> list[Held]:
        """Remove and return all, oldest first."""
        held, self._held, self.size_bytes = list(self._held), deque(), 0
        return held

    def pop_overdue(self, now: float) -> list[Held]:
        """Remove and return those whose deadline has passed."""
        overdue: list[Held] = []
        while self._held and self._held[0].deadline <= now:
            overdue.append(self._held.popleft())
            self.size_bytes -= overdue[-1].size_bytes
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
                if answer is not None and self._polls.pop(number, None) is not None:
                    yield poll.client, answer
        while self._deadlines and self._deadlines[0][0] <= now:
            due = self._polls.pop(heapq.heappop(self._deadlines)[1], None)
            if due is not None:
                yield due.client, due.at_deadline()
        self._forget_past_deadlines()

    def forget(self, client: Hashable) -> None:
        """Drop the polls of a client that is gone."""
        for number in [number for number, poll in self._polls.items() if poll.client == client]:
            del self._polls[number]
        self._forget_past_deadlines()

    def pop_all(self) -> list[Poll]:
        """Remove and return every poll."""
        waiting = list(self._polls.values())
        self._polls.clear()
        self._deadlines.clear()
        return waiting

    def next_deadline(self) -> float | None:
        """Return when the first becomes overdue."""
        return self._deadlines[0][0] if self._deadlines else None

    def _forget_past_deadlines(self) -> None:
        """Drop the deadlines of polls that are gone: at the front always, behind it where they are the most."""
        deadlines, polls = self._deadlines, self._polls
        while deadlines and deadlines[0][1] not in polls:
            heapq.heappop(deadlines)
        if len(deadlines) > 2 * len(polls) + 64:
            deadlines[:] = [deadline for deadline in deadlines if deadline[1] in polls]
            heapq.heapify(deadlines)
