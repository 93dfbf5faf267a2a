"""raftctl log range, tail and info: of a member, or of a data directory (log_offline.py)."""

from collections.abc import Iterator
from typing import Annotated, Any, Final

from raftctl.cli.command import Arg, Opt, command
from raftctl.cli.context import Invocation
from raftctl.cluster import Cluster
from raftctl.commands.log.offline import (
    COLUMNS,
    INFO_COLUMNS,
    entry_record,
    entry_row,
    show_info,
    show_range,
    show_tail,
)
from raftctl.commands.member.membership import the_member
from raftctl.inspect.data_dir import DATA_DIR
from raftctl.output.report import Report
from raftctl.output.text import escape_text
from raftctl.view.survey import take_view
from raftnode.client.transport import Deadline
from raftnode.config.errors import NotFound, UsageError
from raftnode.wire.client import GetLog, LogEntryView

NODE: Final = Opt("--node", "Ask this member; without it, the leader, or whoever answers.", "MEMBER")
FOLLOW: Final = Opt("-f/--follow", "Go on with what comes.")
LONG_POLL_S: Final = 10.0


@command("log range", connects=True)
def range_(
    run: Invocation,
    lo: Annotated[int, Arg("LO", "The first index.")],
    hi: Annotated[int, Arg("HI", "The last index; beyond the commit index, it ends there.")],
    *,
    node: Annotated[str | None, NODE] = None,
    data_dir: Annotated[str | None, DATA_DIR] = None,
) -> None:
    """Show the committed log entries LO to HI, both included.

    Entries that a snapshot has replaced are exit code 3, with the first index that is still there.

    With --data-dir, no node is asked and every entry of the log is shown. Files only know that the entries that a
    snapshot covers are committed: COMMITTED says so (in JSON, `committed` is true, or null if it is not known). The
    others may still be replaced.

    Example: raftctl log range 1 20 -o jsonl
    """
    if not 1 <= lo <= hi:
        raise UsageError(
            f"{lo} to {hi} is not a range of the log",
            "it begins at 1 or later and goes up",
            "see where the log begins and ends: raftctl log info",
        )
    if data_dir is not None:
        _check_offline(node)
        show_range(run, data_dir, lo, hi)
        return
    with run.cluster() as cluster:
        where = _address(cluster, node)
        entries: list[LogEntryView] = []
        while True:
            result = cluster.call_any(GetLog(0, lo + len(entries), hi), where)
            entries.extend(result.entries)
            if not result.entries or entries[-1].entry.index >= min(hi, result.commit_index):
                break
    run.output.emit(
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
        run.note(f"the log ends at entry {result.commit_index}: nothing after it is committed")


@command("log tail", connects=True)
def tail(
    run: Invocation,
    *,
    follow: Annotated[bool, FOLLOW] = False,
    lines: Annotated[int, Opt("-n/--lines", "Begin with the last N entries.", "N")] = 10,
    from_: Annotated[int | None, Opt("--from", "Begin at this index instead.", "INDEX")] = None,
    node: Annotated[str | None, NODE] = None,
    data_dir: Annotated[str | None, DATA_DIR] = None,
) -> None:
    """Show the last committed log entries, and with -f those that come.

    Piped, each line is a JSON object. Entries that were discarded before they could be read are reported as a
    record with the schema raftctl.gap/1. With --data-dir these are the last entries of the log, committed or
    not, and there is no -f.

    Example: raftctl log tail -f --from 1042 -o jsonl
    """
    if data_dir is not None:
        _check_offline(node)
        if follow:
            raise UsageError(
                "--data-dir and -f exclude each other",
                "files do not tell when they change",
                "follow a node: raftctl log tail -f",
            )
        show_tail(run, data_dir, lines, from_)
        return
    with run.cluster() as cluster:
        cluster.end_with(run.output.pipe)
        where = _address(cluster, node)
        if from_ is None:
            view = take_view(cluster)
            from_ = max(1, view.commit_index - lines + 1)
        for record in _follow(cluster, where, from_, run.timeout, follow=follow):
            if isinstance(record, LogEntryView):
                index = str(record.entry.index)
                run.output.emit_row("log.entry", entry_record(record), COLUMNS, entry_row(record), index)
            else:
                run.output.emit_record("gap", record, f"-- entries {record['from']} to {record['to']} are gone --")


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


@command("log info", connects=True, timeout=2.0)
def info(run: Invocation, *, data_dir: Annotated[str | None, DATA_DIR] = None) -> None:
    """Show where each member's log begins and ends, and what its snapshot covers.

    With --data-dir, of that directory; what is committed or applied is then known up to the snapshot only.

    Example: raftctl log info
    """
    if data_dir is not None:
        show_info(run, data_dir)
        return
    with run.cluster() as cluster:
        view = take_view(cluster)
    logs = [(m, m.status) for m in view.members]
    run.output.emit(
        Report(
            "log.info",
            {
                "logs": [
                    {"node": m.name, "id": m.id, "state": m.state}
                    | (
                        {}
                        if s is None
                        else {
                            "term": s.term,
                            "first_index": s.first_log_index,
                            "last_index": s.last_log_index,
                            "commit_index": s.commit_index,
                            "applied_index": s.applied_index,
                            "snapshot_index": s.snapshot_index,
                            "snapshot_term": s.snapshot_term,
                        }
                    )
                    for m, s in logs
                ]
            },
            columns=INFO_COLUMNS,
            rows=[
                [escape_text(m.name)]
                + (
                    [None] * 7
                    if s is None
                    else [
                        str(n)
                        for n in (
                            s.term,
                            s.first_log_index,
                            s.last_log_index,
                            s.commit_index,
                            s.applied_index,
                            s.snapshot_index,
                            s.snapshot_term,
                        )
                    ]
                )
                for m, s in logs
            ],
            items="logs",
            item_schema="log.state",
            names=[m.name for m in view.members],
        )
    )


def _address(cluster: Cluster, node: str | None) -> str:
    """Return the address of the member to ask; "" for whoever answers, the leader first."""
    view = take_view(cluster, 1.0)
    if node is not None:
        return the_member(view, node).address
    if view.leader is not None:
        cluster.start_at(view.leader.address)
    return ""


def _check_offline(node: str | None) -> None:
    if node is not None:
        raise UsageError(
            "--data-dir and --node exclude each other", "no node is asked for a data directory", "leave one of them out"
        )
