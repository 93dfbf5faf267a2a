"""raftctl snapshot list."""

from typing import Annotated

from raftctl.cli.command import Opt, command
from raftctl.cli.context import CommandContext
from raftctl.commands.snapshot.nodes import COLUMNS, ask, choose, row, snapshot_record
from raftctl.output.report import Report
from raftctl.view.take import take_view
from raftnode.wire.client import (
    ListSnapshots,
)


@command("snapshot list", connects=True)
def list_snapshots(
    ctx: CommandContext,
    *,
    node: Annotated[
        tuple[str, ...], Opt("--node", "Of this member; may be repeated. Without it, of all.", "MEMBER")
    ] = (),
) -> None:
    """List the snapshots that the members keep, newest first.

    Example: raftctl snapshot list -o wide
    """
    with ctx.cluster() as cluster:
        view = take_view(cluster, 1.0)
        chosen = choose(view, node, all_=not node)
        found = ask(cluster, chosen, ListSnapshots(0))
    snapshots = [(m.name, s) for m in chosen for s in found[m.address].snapshots]
    for member in view.members:
        if not node and member.status is None:
            ctx.note(f"{member.name} does not answer: its snapshots are not listed")
    ctx.output.emit(
        Report(
            "snapshot.list",
            {"snapshots": [snapshot_record(n, s) for n, s in snapshots]},
            columns=COLUMNS,
            rows=[row(n, s) for n, s in snapshots],
            items="snapshots",
            item_schema="snapshot",
            names=[f"{n}:{s.index}" for n, s in snapshots],
        )
    )
