"""raftctl events tail."""

import time
from typing import Annotated, Final

from raftctl.cli.command import Opt, command
from raftctl.cli.context import CommandContext
from raftctl.cli.options import FOLLOW
from raftctl.cluster import Cluster
from raftctl.commands.events.sources import (
    COLUMNS,
    NODE,
    PAGE,
    SINCE,
    TYPE,
    EventSource,
    check,
    drain,
    event_record,
    find_sources,
    lost_text,
    merge,
    parse_since,
    row,
    take,
)
from raftnode.client.transport import Deadline
from raftnode.wire.client import EventRecord, GetEvents

LONG_POLL_S: Final = 10.0


RETRY_S: Final = 0.5


@command("events tail", connects=True)
def tail(
    ctx: CommandContext,
    *,
    follow: Annotated[bool, FOLLOW] = False,
    since: Annotated[str | None, SINCE] = None,
    type_: Annotated[str, TYPE] = "",
    node: Annotated[str | None, NODE] = None,
    lines: Annotated[int, Opt("-n/--lines", "Without --since, begin with the last N.", "N")] = 10,
) -> None:
    """Show the last events of the nodes, and with -f new ones as they arrive.

    Piped, each line is a JSON object. Events that are gone before they could be read are reported as a record
    with the schema raftctl.gap/1.

    Example: raftctl events tail -f --type 'member.*'
    """
    cursor, earliest = parse_since(since, node)
    with ctx.cluster() as cluster:
        sources = find_sources(cluster, node, cursor)
        for source in sources:
            drain(cluster, source, type_)
            if since is None:
                source.lost = 0
        first = merge(sources, earliest)
        _emit(ctx, sources, first if since is not None else first[max(0, len(first) - lines) :])
        cluster.end_with(ctx.output.pipe)
        while follow:
            if not _poll(cluster, sources, type_):
                time.sleep(RETRY_S)
            _emit(ctx, sources, merge(sources, 0.0))


def _poll(cluster: Cluster, sources: list[EventSource], types: str) -> bool:
    """Wait until a node has something new. Returns False at once where no node answers."""
    waiting = {s.address: s for s in sources}
    found = cluster.ask(
        waiting,
        lambda address: GetEvents(0, waiting[address].cursor, types, PAGE, round(LONG_POLL_S * 1000)),
        Deadline(LONG_POLL_S + 2.0),
        enough=lambda a: any(e.events or e.lost for e in a.answers.values()),
    )
    check(found)
    for address, answer in found.answers.items():
        take(waiting[address], answer)
    return bool(found.answers)


def _emit(ctx: CommandContext, sources: list[EventSource], events: list[EventRecord]) -> None:
    for source in sources:
        if source.lost:
            ctx.output.emit_record(
                "gap",
                {"node": source.name, "lost": source.lost},
                f"-- {source.name}: {lost_text(source.lost)} are gone --",
            )
            source.lost = 0
    for event in events:
        ctx.output.emit_row("event", event_record(event), COLUMNS[:-1], row(event)[:-1], event.cursor)
