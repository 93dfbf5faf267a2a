"""Long polls: requests for the log, events and changes of keys that wait until there is something to return."""

import heapq
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Final

from raftnode.core.errors import LogCompacted
from raftnode.core.node import RaftNode
from raftnode.machine.protocol import CommandRefused
from raftnode.machine.sessions.machine import SessionMachine
from raftnode.replica.describe import describe_entry
from raftnode.replica.events import EventLog
from raftnode.replica.requests.replies import Replies
from raftnode.replica.timers import Timers
from raftnode.wire import client as wire
from raftnode.wire.client import Answer, ErrorCode, Failed

WAIT_MS_MAX: Final = 60_000
LOG_BYTES_MAX: Final = 4 * 1024 * 1024
LOG_ENTRIES_MAX: Final = 10_000
"""The most that one answer to GetLog holds, whatever was asked for: it is read and described in one turn."""
TYPES_GLOB_MAX: Final = 256


@dataclass(slots=True)
class Poll:
    """A request that is answered as soon as `attempt` has an answer, or with `at_deadline()` when time is up."""

    client: Hashable
    attempt: Callable[[], Answer | None]
    at_deadline: Callable[[], Answer]
    deadline: float


class PollQueue:
    """Polls that have no answer yet: each is tried again when something changed."""

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

    def answered(self) -> Iterator[tuple[Hashable, Answer]]:
        """Try every poll again, and remove and give those that have an answer now."""
        for number, poll in list(self._polls.items()):
            answer = poll.attempt()
            if answer is not None and self._polls.pop(number, None) is not None:
                yield poll.client, answer
        self._forget_past_deadlines()

    def overdue(self, now: float) -> Iterator[tuple[Hashable, Answer]]:
        """Remove and give the polls whose deadline has passed."""
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

    @property
    def remembered_deadlines(self) -> int:
        """How many deadlines are held, those of polls that are gone included."""
        return len(self._deadlines)

    def _forget_past_deadlines(self) -> None:
        """Drop the deadlines of polls that are gone: at the front always, behind it once they are the most."""
        deadlines, polls = self._deadlines, self._polls
        while deadlines and deadlines[0][1] not in polls:
            heapq.heappop(deadlines)
        if len(deadlines) > 2 * len(polls) + 64:
            deadlines[:] = [deadline for deadline in deadlines if deadline[1] in polls]
            heapq.heapify(deadlines)


class Polls:
    """The long polls of a replica that are not answered yet."""

    def __init__(
        self,
        *,
        node: RaftNode,
        machine: SessionMachine,
        events: EventLog,
        clock: Callable[[], float],
        replies: Replies,
        timers: Timers,
    ) -> None:
        self._node = node
        self._machine = machine
        self._events = events
        self._clock = clock
        self._replies = replies
        self._alarm = timers.alarm(self.expire)
        self._queue = PollQueue()
        self._seen = (-1, "")

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def remembered_deadlines(self) -> int:
        """How many deadlines are held, those of polls that are gone included."""
        return self._queue.remembered_deadlines

    def watch(self, client: Hashable, request: wire.Watch) -> None:
        """Answer when a key that the query names has changed."""
        machine, node = self._machine, self._node

        def attempt() -> Answer | None:
            result = machine.changes(request.query)
            return None if result is None else wire.ReadResult(request.id, node.last_applied, result)

        def at_deadline() -> Answer:
            return wire.ReadResult(request.id, node.last_applied, machine.query(request.query))

        try:
            self._poll(client, request.wait_ms, attempt, at_deadline)
        except CommandRefused as error:
            self._replies.refuse_command(client, request.id, error)

    def log(self, client: Hashable, request: wire.GetLog) -> None:
        """Answer when an entry of the range is committed."""
        self._poll(client, request.wait_ms, lambda: self._entries(request), lambda: self._no_entries(request))

    def events(self, client: Hashable, request: wire.GetEvents) -> None:
        """Answer when there is an event after the cursor."""
        if len(request.types) > TYPES_GLOB_MAX:
            length = len(request.types)
            message = f"the pattern of event types has {length} characters; the limit is {TYPES_GLOB_MAX}"
            self._replies.fail(client, request.id, ErrorCode.BAD_REQUEST, message)
            return
        self._poll(client, request.wait_ms, lambda: self._new_events(request), lambda: self._events_after(request))

    def retry(self) -> None:
        """Answer the polls that have an answer now. Called at the end of each turn; cheap if nothing has changed."""
        seen = (self._node.last_applied, self._events.last_cursor)
        if seen != self._seen:
            self._seen = seen
            for client, answer in self._queue.answered():
                self._replies.answer(client, answer)

    def expire(self, now: float) -> None:
        """Answer the polls whose time is up."""
        for client, answer in self._queue.overdue(now):
            self._replies.answer(client, answer)
        if (deadline := self._queue.next_deadline()) is not None:
            self._alarm.set(deadline)

    def forget(self, client: Hashable) -> None:
        """Drop the polls of a client that is gone."""
        self._queue.forget(client)

    def close(self) -> None:
        """Answer every poll as at its deadline: the node is stopping."""
        for poll in self._queue.pop_all():
            self._replies.answer(poll.client, poll.at_deadline())

    def _poll(
        self, client: Hashable, wait_ms: int, attempt: Callable[[], Answer | None], at_deadline: Callable[[], Answer]
    ) -> None:
        """Answer now, or as soon as there is something, or at the end of `wait_ms`."""
        answer = attempt()
        if answer is None and wait_ms <= 0:
            answer = at_deadline()
        if answer is not None:
            self._replies.answer(client, answer)
            return
        deadline = self._clock() + min(wait_ms, WAIT_MS_MAX) / 1000
        self._queue.add(Poll(client, attempt, at_deadline, deadline))
        self._alarm.set(deadline)

    def _entries(self, request: wire.GetLog) -> Answer | None:
        node = self._node
        if not 1 <= request.first <= request.last:
            message = f"log entries {request.first} to {request.last}: a range begins at 1 and does not go back"
            return Failed(request.id, ErrorCode.BAD_REQUEST, message)
        if request.first > node.commit_index:
            return None
        last = min(request.last, request.first + min(request.entries_max, LOG_ENTRIES_MAX) - 1)
        try:
            entries = node.log_entries_within(request.first, last, min(request.bytes_max, LOG_BYTES_MAX))
        except LogCompacted as error:
            first = error.first_available
            message = f"entry {error.requested} was compacted; the log begins at entry {first}"
            return Failed(request.id, ErrorCode.COMPACTED, message, detail=first)
        views = [wire.LogEntryView(entry, describe_entry(entry, self._machine)) for entry in entries]
        return wire.LogResult(request.id, views, node.commit_index, node.log_snapshot_index + 1)

    def _no_entries(self, request: wire.GetLog) -> Answer:
        node = self._node
        return wire.LogResult(request.id, [], node.commit_index, node.log_snapshot_index + 1)

    def _events_after(self, request: wire.GetEvents) -> wire.EventsResult | Failed:
        try:
            found, cursor, lost = self._events.after(request.cursor, request.types, request.limit)
        except ValueError as error:
            return Failed(request.id, ErrorCode.BAD_REQUEST, str(error))
        return wire.EventsResult(request.id, found, cursor, lost)

    def _new_events(self, request: wire.GetEvents) -> Answer | None:
        answer = self._events_after(request)
        return answer if isinstance(answer, Failed) or answer.events or answer.lost else None
