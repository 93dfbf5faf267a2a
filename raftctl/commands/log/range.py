"""raftctl log range."""

from typing import Annotated

from raftctl.cli.command import Arg, command
from raftctl.cli.context import CommandContext
from raftctl.commands.log.offline import (
    COLUMNS,
    entry_record,
    entry_row,
    show_range,
)
from raftctl.commands.log.source import NODE, address_to_ask, refuse_node_offline
from raftctl.inspect.data_dir import DATA_DIR
from raftctl.output.report import Report
from raftnode.config.errors import UsageError
from raftnode.wire.client import GetLog, LogEntryView


@command("log range", connects=True)
def range_(
    ctx: CommandContext,
    lo: Annotated[int, Arg("LO", "The first index.")],
    hi: Annotated[int, Arg("HI", "The last index; beyond the commit index, it ends there.")],
    *,
    node: Annotated[str | None, NODE] = None,
    data_dir: Annotated[str | None, DATA_DIR] = None,
) -> None:
    """Show the committed log entries LO to HI, both included.

    Entries that a snapshot has replaced are exit code 3, with the first index that is still there.

    With --data-dir, no node is asked and every entry of the log is shown. Only the entries that a snapshot covers
    are known to be committed: COMMITTED says which (in JSON, `committed` is true, or null if it is not known). The
    others may still be replaced.

    Example: raftctl log range 1 20 -o jsonl
    """
    if not 1 <= lo <= hi:
        raise UsageError(
            f"{lo} to {hi} is not a range of the log",
            "a range starts at 1 or later and does not end before it starts",
            "see where the log begins and ends: raftctl log info",
        )
    if data_dir is not None:
        refuse_node_offline(node)
        show_range(ctx, data_dir, lo, hi)
        return
    with ctx.cluster() as cluster:
        where = address_to_ask(cluster, node)
        entries: list[LogEntryView] = []
        while True:
            result = cluster.call_any(GetLog(0, lo + len(entries), hi), where)
            entries.extend(result.entries)
            if not result.entries or entries[-1].entry.index >= min(hi, result.commit_index):
                break
    ctx.output.emit(
        Report(
            "log.range",
            {
                "first": lo,
                "last": hi,
                "commit_index": result.commit_index,
                "first_log_index": result.first_log_index,
                "entries": [entry_record(e) for e in entries],
            },
            columns=COLUMNS,
            rows=[entry_row(e) for e in entries],
            items="entries",
            item_schema="log.entry",
            names=[str(e.entry.index) for e in entries],
        )
    )
    if hi > result.commit_index:
        ctx.note(f"the log ends at entry {result.commit_index}: nothing after it is committed")
