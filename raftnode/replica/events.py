"""What happened on a node, as records that an operator can read, filter, and resume reading.

A cursor is "<node id>:<sequence>". The sequence grows within a run of the daemon and, because the run's
number stands in its upper part, over restarts too. The records live in memory only: for a cursor of an
earlier run, some may be lost.
"""

from collections import deque
from collections.abc import Callable
from fnmatch import fnmatchcase
from itertools import islice
from typing import Final

from raftnode.config.times import rfc3339
from raftnode.wire.client import EventRecord

EventValue = str | int | float | bool | list[int] | None

EVENTS_PER_BOOT: Final = 1_000_000_000
"""The room in the sequence for one run's events: at ten events a second it lasts three years."""


class EventLog:
    """The last `capacity` events of this run. `sink` is given each one as it happens.

    `boot` counts the runs of this data directory. Times come from `wall_clock`; all else is determined by the calls.
    """

    def __init__(
        self,
        node_name: str,
        node_id: int,
        boot: int,
        wall_clock: Callable[[], float],
        capacity: int = 10_000,
        sink: Callable[[EventRecord], None] | None = None,
    ) -> None:
        self._node_name, self._node_id = node_name, node_id
        self._wall_clock = wall_clock
        self._sink = sink
        self._before_boot = boot * EVENTS_PER_BOOT
        self._last = self._before_boot
        self._events: deque[EventRecord] = deque(maxlen=capacity)

    def emit(self, type: str, term: int, **data: EventValue) -> None:
        """Record that `type` (dotted: "leader.changed") happened in `term`."""
        self._last += 1
        record = EventRecord(
            self._cursor(self._last), rfc3339(self._wall_clock()), self._node_name, type, term, dict(data)
        )
        self._events.append(record)
        if self._sink is not None:
            self._sink(record)

    def after(self, cursor: str, types_glob: str = "", limit: int = 1000) -> tuple[list[EventRecord], str, int]:
        """Return (events, where to go on, how many were lost) after `cursor`; empty: from the oldest kept.

        Only types that match `types_glob` are returned (empty: all), at most `limit`. Lost are the events
        after `cursor` that are no longer kept; -1: the cursor is of an earlier run, whose events are gone.
        Raises ValueError for a cursor that this node did not give.
        """
        oldest = self._last - len(self._events)
        position, lost = oldest, 0
        if cursor:
            asked = self._sequence(cursor)
            if asked < self._before_boot:
                lost = -1
            else:
                position, lost = max(asked, oldest), max(0, oldest - asked)
        found: list[EventRecord] = []
        for record in islice(self._events, position - oldest, None):
            if len(found) >= limit:
                break
            position += 1
            if not types_glob or fnmatchcase(record.type, types_glob):
                found.append(record)
        return found, self._cursor(position), lost

    @property
    def last_cursor(self) -> str:
        """The cursor after which there is nothing yet."""
        return self._cursor(self._last)

    def _cursor(self, sequence: int) -> str:
        return f"{self._node_id}:{sequence}"

    def _sequence(self, cursor: str) -> int:
        node, separator, sequence = cursor.partition(":")
        if not (
            separator
            and node.isascii()
            and node.isdigit()
            and sequence.isascii()
            and sequence.isdigit()
            and len(cursor) <= 40
        ):
            raise ValueError(f"{cursor[:60]!r} is not an event cursor: it reads <node id>:<number>")
        if int(node) != self._node_id:
            raise ValueError(f"the cursor {cursor} is of node {int(node)}; this is node {self._node_id}")
        if int(sequence) > self._last:
            raise ValueError(f"the cursor {cursor} is ahead of the last event, {self._cursor(self._last)}")
        return int(sequence)
