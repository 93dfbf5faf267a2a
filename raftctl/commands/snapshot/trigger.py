"""raftctl snapshot trigger."""

from typing import Annotated

from raftctl.cli.command import Opt, command
from raftctl.cli.context import CommandContext
from raftctl.commands.snapshot.nodes import COLUMNS, ask, choose, row, snapshot_record
from raftctl.output.report import Report
from raftctl.output.text import escape_text
from raftctl.view.cluster_view import Member
from raftctl.view.take import take_view
from raftnode.config.errors import Unreachable
from raftnode.wire.client import (
    TriggerSnapshot,
)


@command("snapshot trigger", connects=True, timeout=60.0)
def trigger(
    ctx: CommandContext,
    *,
    node: Annotated[
        tuple[str, ...],
        Opt("--node", "On this member; may be repeated. Without it, on the leader.", "MEMBER"),
    ] = (),
    all_: Annotated[bool, Opt("--all", "On every member that is up.")] = False,
    dry_run: Annotated[bool, Opt("--dry-run", "Say where a snapshot would be taken, and take none.")] = False,
) -> None:
    """Take a snapshot now, and return when it is durable. Nothing new since the last one is `changed: false`.

    Example: raftctl snapshot trigger --node n2
    """
    with ctx.cluster() as cluster:
        view = take_view(cluster, 1.0)
        chosen = choose(view, node, all_=all_)
        if dry_run:
            _would_trigger(ctx, chosen)
            return
        found = ask(cluster, chosen, TriggerSnapshot(0))
    taken = [(m, found[m.address]) for m in chosen]
    changed = any(a.changed for _, a in taken)
    ctx.output.emit(
        Report(
            "snapshot.trigger",
            {
                "changed": changed,
                "snapshots": [{**snapshot_record(m.name, a.snapshot), "changed": a.changed} for m, a in taken],
            },
            f"changed: {'true' if changed else 'false'}",
            COLUMNS,
            [row(m.name, a.snapshot) for m, a in taken],
            names=[f"{m.name}:{a.snapshot.index}" for m, a in taken],
        )
    )


def _would_trigger(ctx: CommandContext, chosen: list[Member]) -> None:
    """Say which members have applied something since their newest snapshot. Raises Unreachable."""
    found = []
    for member in chosen:
        status = member.status
        if status is None:
            raise Unreachable(
                f"{member.name} does not answer", f"it is {member.state}", "see who is up: raftctl status"
            )
        found.append((member.name, status.applied_index, status.applied_index > status.snapshot_index))
    names = [name for name, _, changes in found if changes]
    ctx.output.emit(
        Report(
            "snapshot.trigger",
            {
                "changed": False,
                "dry_run": True,
                "would_change": bool(names),
                "snapshots": [{"node": n, "index": i, "would_change": c} for n, i, c in found],
            },
            f"changed: false  would take a snapshot on: {', '.join(map(escape_text, names)) or 'no member'}",
            names=names,
        )
    )
