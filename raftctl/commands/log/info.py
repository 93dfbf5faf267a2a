"""raftctl log info."""

from typing import Annotated

from raftctl.cli.command import command
from raftctl.cli.context import CommandContext
from raftctl.commands.log.offline import (
    INFO_COLUMNS,
    show_info,
)
from raftctl.inspect.data_dir import DATA_DIR
from raftctl.output.report import Report
from raftctl.output.text import escape_text
from raftctl.view.take import take_view


@command("log info", connects=True, timeout=2.0)
def info(ctx: CommandContext, *, data_dir: Annotated[str | None, DATA_DIR] = None) -> None:
    """Show where each member's log begins and ends, and what its snapshot covers.

    With --data-dir, show that directory; what is committed or applied is then only known up to the snapshot.

    Example: raftctl log info
    """
    if data_dir is not None:
        show_info(ctx, data_dir)
        return
    with ctx.cluster() as cluster:
        view = take_view(cluster)
    logs = [(m, m.status) for m in view.members]
    ctx.output.emit(
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
