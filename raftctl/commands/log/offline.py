"""How log entries are shown, and raftctl log range, tail and info of a data directory."""

from shlex import quote
from typing import Any, Final

from raftctl.cli.context import CommandContext
from raftctl.inspect.data_dir import OfflineLog, committed_word, open_log
from raftctl.output.report import Column, Report
from raftctl.output.text import bytes_field, escape_text
from raftnode.config.errors import NotFound
from raftnode.wire.client import LogEntryView

COLUMNS: Final = (Column("INDEX"), Column("TERM"), Column("KIND"), Column("BYTES"), Column("SUMMARY"))
OFFLINE_COLUMNS: Final = (*COLUMNS[:4], Column("COMMITTED"), COLUMNS[4])
INFO_COLUMNS: Final = tuple(
    Column(c) for c in ("NAME", "TERM", "FIRST", "LAST", "COMMIT", "APPLIED", "SNAPSHOT", "SNAPSHOT TERM")
)


def entry_record(view: LogEntryView) -> dict[str, Any]:
    """Return an entry as JSON."""
    entry = view.entry
    return {
        "index": entry.index,
        "term": entry.term,
        "kind": entry.kind.name.lower(),
        "bytes": len(entry.data),
        "summary": view.summary,
        **bytes_field("data", entry.data),
    }


def entry_row(view: LogEntryView) -> list[str]:
    """Return an entry as a table's row."""
    entry = view.entry
    return [
        str(entry.index),
        str(entry.term),
        entry.kind.name.lower(),
        str(len(entry.data)),
        escape_text(view.summary),
    ]


def show_range(ctx: CommandContext, data_dir: str, lo: int, hi: int) -> None:
    """Show entries of a data directory. Raises CommandError."""
    with open_log(data_dir) as log:
        check_first(log, lo)
        entries = list(log.read(lo, hi))
        ctx.output.emit(
            Report(
                "log.range",
                {
                    "first": lo,
                    "last": hi,
                    "commit_index": None,
                    "known_committed_index": log.known_committed,
                    "first_log_index": log.first_index,
                    "entries": [_record(log, e) for e in entries],
                },
                columns=OFFLINE_COLUMNS,
                rows=[_row(log, e) for e in entries],
                items="entries",
                item_schema="log.entry",
                names=[str(e.entry.index) for e in entries],
            )
        )
        _end(ctx, log, hi)


def show_tail(ctx: CommandContext, data_dir: str, lines: int, first: int | None) -> None:
    """Show the last entries of a data directory. Raises CommandError."""
    with open_log(data_dir) as log:
        if first is None:
            first = max(log.first_index, log.last_index - lines + 1)
        check_first(log, first)
        for view in log.read(first, log.last_index):
            index = str(view.entry.index)
            ctx.output.emit_row("log.entry", _record(log, view), OFFLINE_COLUMNS, _row(log, view), index)
        _end(ctx, log, log.last_index)


def show_info(ctx: CommandContext, data_dir: str) -> None:
    """Show where a data directory's log begins and ends. Raises CommandError."""
    with open_log(data_dir) as log:
        record = {
            "node": log.node,
            "id": log.id,
            "state": "offline",
            "term": log.term,
            "first_index": log.first_index,
            "last_index": log.last_index,
            "commit_index": None,
            "applied_index": None,
            "snapshot_index": log.snapshot_index,
            "snapshot_term": log.snapshot_term,
            "known_committed_index": log.known_committed,
            "damage": list(log.damage),
        }
        numbers = (log.snapshot_index, log.snapshot_term, log.known_committed)
        row = [
            escape_text(log.node),
            str(log.term),
            str(log.first_index),
            str(log.last_index),
            None,
            None,
            *map(str, numbers),
        ]
        ctx.output.emit(
            Report(
                "log.info",
                {"logs": [record]},
                columns=(*INFO_COLUMNS, Column("KNOWN COMMITTED")),
                rows=[row],
                items="logs",
                item_schema="log.state",
                names=[log.node],
            )
        )
        _end(ctx, log, 0)


def check_first(log: OfflineLog, first: int) -> None:
    """Raise NotFound if entry `first` was discarded, ConditionFalse if it is behind damage."""
    if first <= log.compacted_to:
        raise NotFound(
            f"entry {first} was compacted; the log begins at entry {log.compacted_to + 1}",
            f"the first entry that is still there is {log.first_index}",
            f"read from there: raftctl log tail --from {log.first_index} --data-dir {quote(log.data_dir)}",
            code="E_COMPACTED",
        )
    if log.damage and first < log.first_index:
        raise log.damaged()


def _end(ctx: CommandContext, log: OfflineLog, wanted: int) -> None:
    """Report damage. Raises ConditionFalse where it may hide some of what was asked for."""
    if not log.damage:
        return
    if wanted > log.last_index:
        raise log.damaged()
    ctx.note("damaged: " + "; ".join(log.damage))


def _record(log: OfflineLog, view: LogEntryView) -> dict[str, Any]:
    return {**entry_record(view), "committed": log.committed(view.entry.index)}


def _row(log: OfflineLog, view: LogEntryView) -> list[str]:
    *before, summary = entry_row(view)
    return [*before, committed_word(log.committed(view.entry.index)), summary]
