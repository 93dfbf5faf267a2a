"""Events from several nodes, merged into one sequence."""

import re
import time
from dataclasses import dataclass, field
from typing import Any, Final

from raftctl.cli.command import Opt
from raftctl.cluster import Cluster, command_error
from raftctl.output.formats import json_text
from raftctl.output.output import note
from raftctl.output.report import Column
from raftctl.output.text import duration, escape_text
from raftctl.view.cluster_view import find_one_member
from raftctl.view.take import take_view
from raftnode.client.errors import failed_error
from raftnode.client.fanout import Answers
from raftnode.config.errors import Unreachable, UsageError
from raftnode.config.times import rfc3339
from raftnode.wire.client import EventRecord, EventsResult, GetEvents

SINCE: Final = Opt("--since", "What happened in the last 10m, since an RFC 3339 time, or after a cursor.", "WHEN")


TYPE: Final = Opt("--type", "Only types that match, such as 'member.*'.", "GLOB")


NODE: Final = Opt("--node", "Only what this member saw; without it, every member.", "MEMBER")


COLUMNS: Final = (
    Column("TIME"),
    Column("NODE"),
    Column("TERM"),
    Column("TYPE"),
    Column("DATA"),
    Column("CURSOR", True),
)


PAGE: Final = 1000


@dataclass
class EventSource:
    """One node's events: where it listens, and the cursor to go on from."""

    name: str
    address: str
    cursor: str = ""
    lost: int = 0
    events: list[EventRecord] = field(default_factory=list)


def parse_since(since: str | None, node: str | None) -> tuple[str, float]:
    """Return the cursor or the earliest time, in seconds since the epoch, that `--since` means."""
    if since is None:
        return "", 0.0
    if re.fullmatch(r"\d{4}-\d\d-\d\dT.*", since):
        from datetime import UTC, datetime

        try:
            moment = datetime.fromisoformat(since)
        except ValueError:
            raise UsageError(
                f"--since cannot be {since!r}",
                "it looks like a time, but is not a valid one",
                "write 2026-11-23T03:10:00Z",
            ) from None
        return "", (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if ":" in since:
        if node is None:
            raise UsageError(
                "a cursor belongs to one node",
                f"--since {since} does not say which node",
                "give --node as well; each event names its node",
            )
        return since, 0.0
    try:
        return "", time.time() - duration(since)
    except UsageError:
        raise UsageError(
            f"--since cannot be {since!r}",
            "it must be a duration, a time, or the cursor of an event",
            "write 10m, 2026-11-23T03:10:00Z, or a cursor such as 1:4411",
        ) from None


def find_sources(cluster: Cluster, node: str | None, cursor: str) -> list[EventSource]:
    view = take_view(cluster, 1.0)
    if node is not None:
        member = find_one_member(view, node)
        return [EventSource(member.name, member.address, cursor)]
    for member in view.members:
        if member.status is None:
            note(f"{member.name} does not answer: its events are missing")
    return [EventSource(m.name, m.address) for m in view.members if m.status is not None]


def drain(cluster: Cluster, source: EventSource, types: str) -> None:
    """Read what the node has now. Raises Unreachable."""
    while True:
        found = cluster.ask([source.address], GetEvents(0, source.cursor, types, PAGE), cluster.deadline)
        if source.address in found.failures:
            raise Unreachable(
                f"{source.name} does not answer",
                str(found.failures[source.address]),
                "see who is up: raftctl status",
            )
        check(found)
        if take(source, found.answers[source.address]) < PAGE:
            return


def check(found: Answers[EventsResult]) -> None:
    """Raise the error for a node that refuses."""
    for failed in found.failed.values():
        raise command_error(failed_error(failed))


def take(source: EventSource, answer: EventsResult) -> int:
    source.events.extend(answer.events)
    source.cursor = answer.cursor
    source.lost = -1 if -1 in (source.lost, answer.lost) else source.lost + answer.lost
    return len(answer.events)


def merge(sources: list[EventSource], earliest: float) -> list[EventRecord]:
    """Take the sources' events, oldest first, from `earliest` on."""
    bound = rfc3339(earliest)
    events = sorted((e for s in sources for e in s.events if e.ts >= bound), key=lambda e: (e.ts, e.node))
    for source in sources:
        source.events.clear()
    return events


def lost_text(count: int) -> str:
    return "some events" if count < 0 else f"{count} events"


def event_record(event: EventRecord) -> dict[str, Any]:
    """Return an event as JSON."""
    return {
        "cursor": event.cursor,
        "ts": event.ts,
        "node": event.node,
        "type": event.type,
        "term": event.term,
        "data": event.data,
    }


def row(event: EventRecord) -> list[str]:
    data = " ".join(f"{k}={v if isinstance(v, str) else json_text(v)}" for k, v in event.data.items())
    return [
        escape_text(event.ts),
        escape_text(event.node),
        str(event.term),
        escape_text(event.type),
        escape_text(data),
        escape_text(event.cursor),
    ]
