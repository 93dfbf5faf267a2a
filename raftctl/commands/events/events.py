"""raftctl events list and tail."""

import re
import time
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

from raftctl.cli.command import Opt, command
from raftctl.cli.context import Invocation
from raftctl.cluster import Cluster, command_error
from raftctl.commands.log.log import FOLLOW
from raftctl.commands.member.membership import the_member
from raftctl.output.report import Column, Report, json_text, note
from raftctl.output.text import duration, escape_text
from raftctl.view.survey import take_view
from raftnode.client.errors import failed_error
from raftnode.client.fanout import Answers
from raftnode.client.transport import Deadline
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
LONG_POLL_S: Final = 10.0
RETRY_S: Final = 0.5
PAGE: Final = 1000


@dataclass
class Source:
    """One node's events: where it listens, and the cursor to go on from."""

    name: str
    address: str
    cursor: str = ""
    lost: int = 0
    events: list[EventRecord] = field(default_factory=list)


@command("events list", connects=True)
def list_events(
    run: Invocation,
    *,
    since: Annotated[str | None, SINCE] = None,
    type_: Annotated[str, TYPE] = "",
    node: Annotated[str | None, NODE] = None,
    limit: Annotated[int | None, Opt("-n/--limit", "At most the last N.", "N")] = None,
) -> None:
    """List what happened on the nodes, oldest first.

    Each node keeps its own events, and each event has a cursor of its node. A cursor in --since needs --node.

    Example: raftctl events list --since 10m --type 'leader.*'
    """
    cursor, earliest = parse_since(since, node)
    with run.cluster() as cluster:
        sources = _sources(cluster, node, cursor)
        for source in sources:
            _drain(cluster, source, type_)
    events = merge(sources, earliest)
    events = events[max(0, len(events) - limit) :] if limit is not None else events
    lost = {s.name: s.lost for s in sources if s.lost and cursor}
    run.output.emit(
        Report(
            "events.list",
            {
                "events": [event_record(e) for e in events],
                "gaps": [{"node": n, "lost": count} for n, count in lost.items()],
            },
            columns=COLUMNS,
            rows=[_row(e) for e in events],
            items="events",
            item_schema="event",
            names=[e.cursor for e in events],
        )
    )
    for name, count in lost.items():
        note(f"{name} no longer has {_lost_text(count)} after the cursor")


@command("events tail", connects=True)
def tail(
    run: Invocation,
    *,
    follow: Annotated[bool, FOLLOW] = False,
    since: Annotated[str | None, SINCE] = None,
    type_: Annotated[str, TYPE] = "",
    node: Annotated[str | None, NODE] = None,
    lines: Annotated[int, Opt("-n/--lines", "Without --since, begin with the last N.", "N")] = 10,
) -> None:
    """Show the last events of the nodes, and with -f those that come.

    Piped, each line is a JSON object. Events that are gone before they could be read are reported as a record
    with the schema raftctl.gap/1.

    Example: raftctl events tail -f --type 'member.*'
    """
    cursor, earliest = parse_since(since, node)
    with run.cluster() as cluster:
        sources = _sources(cluster, node, cursor)
        for source in sources:
            _drain(cluster, source, type_)
            if since is None:
                source.lost = 0
        first = merge(sources, earliest)
        _emit(run, sources, first if since is not None else first[max(0, len(first) - lines) :])
        cluster.end_with(run.output.pipe)
        while follow:
            if not _poll(cluster, sources, type_):
                time.sleep(RETRY_S)
            _emit(run, sources, merge(sources, 0.0))


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
                "it looks like a time and is none",
                "write 2026-11-23T03:10:00Z",
            ) from None
        return "", (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if ":" in since:
        if node is None:
            raise UsageError(
                "a cursor is one node's",
                f"--since {since} does not say whose",
                "give --node as well; each event names its node",
            )
        return since, 0.0
    try:
        return "", time.time() - duration(since)
    except UsageError:
        raise UsageError(
            f"--since cannot be {since!r}",
            "it is how long ago, a time, or the cursor of an event",
            "write 10m, 2026-11-23T03:10:00Z, or a cursor such as 1:4411",
        ) from None


def _sources(cluster: Cluster, node: str | None, cursor: str) -> list[Source]:
    view = take_view(cluster, 1.0)
    if node is not None:
        member = the_member(view, node)
        return [Source(member.name, member.address, cursor)]
    for member in view.members:
        if member.status is None:
            note(f"{member.name} does not answer: its events are missing")
    return [Source(m.name, m.address) for m in view.members if m.status is not None]


def _drain(cluster: Cluster, source: Source, types: str) -> None:
    """Read what the node has now. Raises Unreachable."""
    while True:
        found = cluster.ask([source.address], GetEvents(0, source.cursor, types, PAGE), cluster.deadline)
        if source.address in found.failures:
            raise Unreachable(
                f"{source.name} does not answer",
                str(found.failures[source.address]),
                "see who is up: raftctl status",
            )
        _check(found)
        if _take(source, found.answers[source.address]) < PAGE:
            return


def _poll(cluster: Cluster, sources: list[Source], types: str) -> bool:
    """Wait until a node has something new. Returns False at once where no node answers."""
    waiting = {s.address: s for s in sources}
    found = cluster.ask(
        waiting,
        lambda address: GetEvents(0, waiting[address].cursor, types, PAGE, round(LONG_POLL_S * 1000)),
        Deadline(LONG_POLL_S + 2.0),
        enough=lambda a: any(e.events or e.lost for e in a.answers.values()),
    )
    _check(found)
    for address, answer in found.answers.items():
        _take(waiting[address], answer)
    return bool(found.answers)


def _check(found: Answers[EventsResult]) -> None:
    """Raise the error for a node that refuses."""
    for failed in found.failed.values():
        raise command_error(failed_error(failed))


def _take(source: Source, answer: EventsResult) -> int:
    source.events.extend(answer.events)
    source.cursor = answer.cursor
    source.lost = -1 if -1 in (source.lost, answer.lost) else source.lost + answer.lost
    return len(answer.events)


def merge(sources: list[Source], earliest: float) -> list[EventRecord]:
    """Take the sources' events, oldest first, from `earliest` on."""
    bound = rfc3339(earliest)
    events = sorted((e for s in sources for e in s.events if e.ts >= bound), key=lambda e: (e.ts, e.node))
    for source in sources:
        source.events.clear()
    return events


def _emit(run: Invocation, sources: list[Source], events: list[EventRecord]) -> None:
    for source in sources:
        if source.lost:
            run.output.emit_record(
                "gap",
                {"node": source.name, "lost": source.lost},
                f"-- {source.name}: {_lost_text(source.lost)} are gone --",
            )
            source.lost = 0
    for event in events:
        run.output.emit_row("event", event_record(event), COLUMNS[:-1], _row(event)[:-1], event.cursor)


def _lost_text(count: int) -> str:
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


def _row(event: EventRecord) -> list[str]:
    data = " ".join(f"{k}={v if isinstance(v, str) else json_text(v)}" for k, v in event.data.items())
    return [
        escape_text(event.ts),
        escape_text(event.node),
        str(event.term),
        escape_text(event.type),
        escape_text(data),
        escape_text(event.cursor),
    ]
