"""raftctl events list."""

from typing import Annotated

from raftctl.cli.command import Opt, command
from raftctl.cli.context import CommandContext
from raftctl.commands.events.sources import (
    COLUMNS,
    NODE,
    SINCE,
    TYPE,
    drain,
    event_record,
    find_sources,
    lost_text,
    merge,
    parse_since,
    row,
)
from raftctl.output.output import note
from raftctl.output.report import Report


@command("events list", connects=True)
def list_events(
    ctx: CommandContext,
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
    with ctx.cluster() as cluster:
        sources = find_sources(cluster, node, cursor)
        for source in sources:
            drain(cluster, source, type_)
    events = merge(sources, earliest)
    events = events[max(0, len(events) - limit) :] if limit is not None else events
    lost = {s.name: s.lost for s in sources if s.lost and cursor}
    ctx.output.emit(
        Report(
            "events.list",
            {
                "events": [event_record(e) for e in events],
                "gaps": [{"node": n, "lost": count} for n, count in lost.items()],
            },
            columns=COLUMNS,
            rows=[row(e) for e in events],
            items="events",
            item_schema="event",
            names=[e.cursor for e in events],
        )
    )
    for name, count in lost.items():
        note(f"{name} no longer has {lost_text(count)} after the cursor")
