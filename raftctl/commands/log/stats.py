"""raftctl log stats: what a log is made of."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from raftctl.cli.command import Opt, command
from raftctl.cli.context import CommandContext
from raftctl.commands.log.source import LogSource, discarded, log_source
from raftctl.inspect.data_dir import DATA_DIR
from raftctl.inspect.log_statistics import Rate, Statistics, Tally, rates
from raftctl.output.report import Column, Report
from raftctl.output.text import escape_text, format_bytes
from raftnode.config.errors import NotFound, UsageError

ROUNDS = 3
"""How often to start again because entries were compacted while they were read."""


@command("log stats", connects=True, timeout=30.0)
def stats(
    ctx: CommandContext,
    *,
    node: Annotated[
        str | None, Opt("--node", "Of this member; without it, of the leader, or any node that answers.", "MEMBER")
    ] = None,
    data_dir: Annotated[str | None, DATA_DIR] = None,
    limit: Annotated[int, Opt("-n/--limit", "Show the N biggest entries.", "N")] = 5,
) -> None:
    """Count the log's entries and their bytes: by kind, by operation and by term, with the biggest of them.

    All of the log is read, a page at a time; --timeout is how long one page may take. BYTES are those of the entries'
    data. A member shows what is committed; with --data-dir every entry of the log is shown, and the log's files are
    counted too. Entries carry no times, so the rate is measured between the kept snapshots, which do.

    Example: raftctl log stats --node n2
      raftctl log stats --data-dir demo/data/n1
    """
    if limit < 0:
        raise UsageError(f"--limit cannot be {limit}", "it is 0 or more", "leave it out for 5")
    with log_source(ctx, node, data_dir) as source:
        found = _count(ctx, source, limit)
    speeds = rates(source.snapshots)
    segments = source.segments
    record = {
        "node": source.node,
        "first_index": source.first_index,
        "last_index": source.last_index,
        "committed_to": source.committed_to,
        "entries": found.total.entries,
        "bytes": found.total.bytes,
        "kinds": [{"kind": k, **t.record()} for k, t in found.kinds.items()],
        "operations": [{"operation": o, **t.record()} for o, t in found.operations.items()],
        "terms": [{"term": n, **t.record()} for n, t in found.terms.items()],
        "biggest": found.biggest,
        "rates": [
            {
                "first_index": r.first,
                "last_index": r.last,
                "from": r.begun,
                "to": r.ended,
                "entries_per_second": r.per_second,
            }
            for r in speeds
        ],
        "segments": None if segments is None else [{"file": f, "size_bytes": s} for f, s in segments],
    }
    ctx.output.emit(
        Report(
            "log.stats",
            record,
            _title(source, found, speeds),
            [Column(c) for c in ("WHAT", "ENTRIES", "BYTES", "SHARE", "FIRST", "LAST", "SUMMARY")],
            list(_rows(found)),
            names=[str(found.total.entries)],
        )
    )
    if source.damage is not None:
        raise source.damage


def _count(ctx: CommandContext, source: LogSource, limit: int) -> Statistics:
    """Read the whole log, from the start again if entries are discarded before they are read."""
    report = ctx.progress()
    first = source.first_index
    for attempt in range(1, ROUNDS + 1):
        found = Statistics(limit)
        try:
            for view in source.read(first, source.last_index):
                found.add(view)
                report(f"counted {found.total.entries} entries")
        except NotFound as error:
            if not discarded(error) or attempt == ROUNDS:
                raise
            first = source.begins_at()
            continue
        return found
    raise AssertionError("the last round returns or raises")


def _title(source: LogSource, found: Statistics, speeds: list[Rate]) -> str:
    total = found.total
    lines = [
        f"{escape_text(source.node)}  {total.entries} entries"
        + (
            f", {total.first} to {total.last}, {format_bytes(total.bytes)} of data"
            if total.entries
            else f", the next is {source.last_index + 1}"
        )
    ]
    lines += [
        f"  rate   {r.per_second:g} entries/s from entry {r.first} to {r.last}, {escape_text(r.begun)} to "
        f"{escape_text(r.ended)}"
        for r in speeds
    ]
    if source.segments is not None:
        size = sum(size for _, size in source.segments)
        count = len(source.segments)
        lines.append(f"  files  {count} segment{'' if count == 1 else 's'}, {format_bytes(size)}")
    return "\n".join(lines)


def _rows(found: Statistics) -> Iterator[list[str | None]]:
    yield _row("all", found.total, found.total)
    groups: tuple[tuple[str, Mapping[Any, Tally]], ...] = (
        ("kind", found.kinds),
        ("operation", found.operations),
        ("term", found.terms),
    )
    for noun, tallies in groups:
        for name, tally in sorted(tallies.items(), key=lambda item: item[0] if noun == "term" else -item[1].bytes):
            yield _row(f"{noun} {name}", tally, found.total)
    for big in found.biggest:
        yield [
            f"entry {big['index']}",
            "1",
            str(big["bytes"]),
            _share(big["bytes"], found.total.bytes),
            str(big["index"]),
            str(big["index"]),
            escape_text(big["summary"]),
        ]


def _row(what: str, tally: Tally, total: Tally) -> list[str | None]:
    return [
        what,
        str(tally.entries),
        str(tally.bytes),
        _share(tally.bytes, total.bytes),
        str(tally.first),
        str(tally.last),
        None,
    ]


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "0.0%"
