"""raftctl log tail."""

from collections.abc import Iterator
from typing import Annotated, Any, Final

from raftctl.cli.command import Opt, command
from raftctl.cli.context import CommandContext
from raftctl.cli.options import FOLLOW
from raftctl.cluster import Cluster
from raftctl.commands.log.offline import (
    COLUMNS,
    entry_record,
    entry_row,
    show_tail,
)
from raftctl.commands.log.source import NODE, address_to_ask, refuse_node_offline
from raftctl.inspect.data_dir import DATA_DIR
from raftctl.view.take import take_view
from raftnode.client.transport import Deadline
from raftnode.config.errors import NotFound, UsageError
from raftnode.wire.client import GetLog, LogEntryView

LONG_POLL_S: Final = 10.0


@command("log tail", connects=True)
def tail(
    ctx: CommandContext,
    *,
    follow: Annotated[bool, FOLLOW] = False,
    lines: Annotated[int, Opt("-n/--lines", "Begin with the last N entries.", "N")] = 10,
    from_: Annotated[int | None, Opt("--from", "Begin at this index instead.", "INDEX")] = None,
    node: Annotated[str | None, NODE] = None,
    data_dir: Annotated[str | None, DATA_DIR] = None,
) -> None:
    """Show the last committed log entries, and with -f new ones as they arrive.

    Piped, each line is a JSON object. Entries that were discarded before they could be read are reported as a
    record with the schema raftctl.gap/1. With --data-dir these are the last entries of the log, committed or
    not, and there is no -f.

    Example: raftctl log tail -f --from 1042 -o jsonl
    """
    if data_dir is not None:
        refuse_node_offline(node)
        if follow:
            raise UsageError(
                "--data-dir and -f exclude each other",
                "only a running node reports new entries",
                "follow a node: raftctl log tail -f",
            )
        show_tail(ctx, data_dir, lines, from_)
        return
    with ctx.cluster() as cluster:
        cluster.end_with(ctx.output.pipe)
        where = address_to_ask(cluster, node)
        if from_ is None:
            view = take_view(cluster)
            from_ = max(1, view.commit_index - lines + 1)
        for record in _follow(cluster, where, from_, ctx.timeout, follow=follow):
            if isinstance(record, LogEntryView):
                index = str(record.entry.index)
                ctx.output.emit_row("log.entry", entry_record(record), COLUMNS, entry_row(record), index)
            else:
                ctx.output.emit_record("gap", record, f"-- entries {record['from']} to {record['to']} are gone --")


def _follow(
    cluster: Cluster, where: str, index: int, timeout: float, *, follow: bool
) -> Iterator[LogEntryView | dict[str, Any]]:
    while True:
        cluster.deadline = Deadline(timeout + (LONG_POLL_S if follow else 0.0))
        request = GetLog(0, index, index + 999, round(LONG_POLL_S * 1000) if follow else 0)
        try:
            result = cluster.call_any(request, where)
        except NotFound as error:
            first = cluster.call_any(GetLog(0, 2**62, 2**62), where).first_log_index
            if error.code != "E_COMPACTED" or first <= index:
                raise
            yield {"from": index, "to": first - 1}
            index = first
            continue
        yield from result.entries
        if result.entries:
            index = result.entries[-1].entry.index + 1
        if not follow and index > result.commit_index:
            return
