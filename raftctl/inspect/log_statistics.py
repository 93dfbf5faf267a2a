"""What a log is made of: counts and bytes by kind, by operation and by term, its biggest entries, and its rate."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

from raftnode.wire.client import LogEntryView
from raftnode.wire.entries import OpenEntry, decode_entry
from raftnode.wire.frame import FrameError
from raftnode.wire.kv import CompareAndSet, Delete, Increment, KvCommand, Put, decode_command

OPERATIONS: dict[type[KvCommand], str] = {
    Put: "put",
    CompareAndSet: "compare-and-set",
    Delete: "delete",
    Increment: "increment",
}
OPEN_SESSION = "open session"
OTHER = "other"


@dataclass
class Tally:
    """How many entries there are, what their data weighs, and from where to where they stand."""

    entries: int = 0
    bytes: int = 0
    first: int = 0
    last: int = 0

    def add(self, view: LogEntryView) -> None:
        """Count an entry in; they come in order."""
        entry = view.entry
        self.entries += 1
        self.bytes += len(entry.data)
        self.first = self.first or entry.index
        self.last = entry.index

    def record(self) -> dict[str, int]:
        """Return it as JSON."""
        return {"entries": self.entries, "bytes": self.bytes, "first_index": self.first, "last_index": self.last}


class Rate(NamedTuple):
    """How many entries came between two moments that are known."""

    first: int
    last: int
    begun: str
    ended: str
    per_second: float


@dataclass
class Statistics:
    """What was counted. `limit` is how many of the biggest entries are kept."""

    limit: int
    total: Tally = field(default_factory=Tally)
    kinds: dict[str, Tally] = field(default_factory=dict)
    operations: dict[str, Tally] = field(default_factory=dict)
    terms: dict[int, Tally] = field(default_factory=dict)
    _biggest: list[tuple[int, int, dict[str, Any]]] = field(default_factory=list)
    """(bytes, -index, what is shown): of two that are as big, the earlier one ranks first."""

    def add(self, view: LogEntryView) -> None:
        """Count an entry in. Nothing keeps its data."""
        entry = view.entry
        size, kind = len(entry.data), entry.kind.name.lower()
        for tally in (self.total, self.kinds.setdefault(kind, Tally()), self.terms.setdefault(entry.term, Tally())):
            tally.add(view)
        if kind == "command":
            self.operations.setdefault(operation(entry.data), Tally()).add(view)
        if len(self._biggest) >= self.limit:
            if not self.limit or (size, -entry.index) < self._biggest[0][:2]:
                return
            heapq.heappop(self._biggest)
        shown = {"index": entry.index, "term": entry.term, "kind": kind, "bytes": size, "summary": view.summary}
        heapq.heappush(self._biggest, (size, -entry.index, shown))

    @property
    def biggest(self) -> list[dict[str, Any]]:
        """The biggest entries as JSON, the biggest first."""
        return [shown for _, _, shown in sorted(self._biggest, key=lambda item: item[:2], reverse=True)]


def operation(data: bytes) -> str:
    """Return what a COMMAND entry does, in a word or two."""
    try:
        entry = decode_entry(data)
        if isinstance(entry, OpenEntry):
            return OPEN_SESSION
        return OPERATIONS[type(decode_command(entry.command))]
    except FrameError:
        return OTHER


def rates(snapshots: Sequence[tuple[int, str]]) -> list[Rate]:
    """Return how fast the log grew from each snapshot to the next; `snapshots` are (last entry, RFC 3339 time).

    Entries have no times: snapshots do. One that was taken at the same moment as the one before it, or by a clock
    that was set back, gives no rate.
    """
    found = []
    for (first, begun), (last, ended) in pairwise(sorted(snapshots)):
        try:
            seconds = (datetime.fromisoformat(ended) - datetime.fromisoformat(begun)).total_seconds()
        except (ValueError, TypeError):
            # A snapshot may carry a time that cannot be parsed.
            continue
        if seconds > 0:
            found.append(Rate(first + 1, last, begun, ended, round((last - first) / seconds, 3)))
    return found
