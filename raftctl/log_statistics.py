"""What a log is made of: counts and bytes by kind, by operation and by term, its biggest entries, and its rate."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

from raftnode.core.errors import SerializationError
from raftnode.core.types import EntryKind, LogEntry
from raftnode.wire.client import LogEntryView
from raftnode.wire.entries import OpenEntry, decode_entry
from raftnode.wire.kv import CompareAndSet, Delete, Increment, KvCommand, Put, decode_command

OPERATIONS: dict[type[KvCommand], str] = {
    Put: "put", CompareAndSet: "compare-and-set", Delete: "delete", Increment: "increment",
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

    def add(self, entry: LogEntry) -> None:
        """Count an entry in; they come in order."""
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
    _biggest: list[tuple[int, int, LogEntry, str]] = field(default_factory=list)

    def add(self, view: LogEntryView) -> None:
        """Count an entry in. Its data is kept only while it is one of the biggest."""
        entry = view.entry
        self.total.add(entry)
        self.kinds.setdefault(entry.kind.name.lower(), Tally()).add(entry)
        self.terms.setdefault(entry.term, Tally()).add(entry)
        if entry.kind is EntryKind.COMMAND:
            self.operations.setdefault(operation(entry.data), Tally()).add(entry)
        # Of two that are as big, the earlier one ranks first. What is kept has no data.
        rank = (len(entry.data), -entry.index)
        if len(self._biggest) < self.limit:
            heapq.heappush(self._biggest, (*rank, _bare(entry), view.summary))
        elif self.limit and rank > self._biggest[0][:2]:
            heapq.heapreplace(self._biggest, (*rank, _bare(entry), view.summary))

    @property
    def biggest(self) -> list[dict[str, Any]]:
        """The biggest entries as JSON, the biggest first."""
        return [
            {"index": e.index, "term": e.term, "kind": e.kind.name.lower(), "bytes": size, "summary": summary}
            for size, _, e, summary in sorted(self._biggest, key=lambda item: item[:2], reverse=True)
        ]


def _bare(entry: LogEntry) -> LogEntry:
    return LogEntry(entry.term, entry.index, b"", entry.kind)


def operation(data: bytes) -> str:
    """Return what a COMMAND entry does, in a word or two."""
    try:
        entry = decode_entry(data)
        if isinstance(entry, OpenEntry):
            return OPEN_SESSION
        return OPERATIONS[type(decode_command(entry.command))]
    except SerializationError:
        return OTHER


def rates(snapshots: Sequence[tuple[int, str]]) -> list[Rate]:
    """Return how fast the log grew from each snapshot to the next; `snapshots` are (last entry, RFC 3339 time).

    Entries have no times: snapshots do. One that was taken at the same moment as the one before it, or by a clock
    that was set back, tells nothing.
    """
    found = []
    for (first, begun), (last, ended) in pairwise(sorted(snapshots)):
        try:
            seconds = (datetime.fromisoformat(ended) - datetime.fromisoformat(begun)).total_seconds()
        except (ValueError, TypeError):
            # A snapshot whose time is no time is a snapshot nevertheless.
            continue
        if seconds > 0:
            found.append(Rate(first + 1, last, begun, ended, round((last - first) / seconds, 3)))
    return found
