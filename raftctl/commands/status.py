"""raftctl status: the main view."""

import time
from collections.abc import Callable
from typing import Annotated

from raftctl.cli.command import Opt, command
from raftctl.cli.context import CommandContext
from raftctl.output.output import note
from raftctl.output.report import Report
from raftctl.output.text import duration
from raftctl.view.cluster_view import View, status_report, view_of
from raftnode.config.errors import Unreachable, UsageError


@command("status", connects=True, timeout=2.0)
def status(
    ctx: CommandContext,
    *,
    watch: Annotated[
        float | None,
        Opt(
            "--watch",
            "Refresh every 2s, or as often as given.",
            "DURATION",
            bare="2s",
            convert=duration,
        ),
    ] = None,
) -> None:
    """Show the cluster's health, its leader, and each member with its lag.

    All nodes are asked at the same time. A node that does not answer is `down`, and its numbers come from the
    leader: COMMIT is then what the leader knows to be in its log. Once the leader and a majority have answered, the
    command waits only briefly for silent nodes. It succeeds if any node answers: a script that wants a verdict uses
    `cluster health` or `wait`. With --watch and a pipe, each line is a JSON object.

    The states of a member that counts as up are:

    - healthy: It answers and is up to date.
    - lagging: It is more than 1000 entries behind.
    - electing: It is looking for a leader.
    - full: Its disk is full.
    - unreachable: It does not answer us, but the leader still has contact with it.

    The states of a member that does not count as up are:

    - down: It does not answer, and the leader has no contact with it.
    - isolated: It answers, but the leader has no contact with it.
    - rejected: The other members refuse it, because it was wiped or replaced.
    - foreign: Another cluster answers at its address.

    Problems are reported on standard error.

    Example: raftctl status --watch=5s
    """
    if watch is not None and watch <= 0:
        raise UsageError(
            f"--watch cannot be {watch:g}s",
            "the time between two refreshes must be above 0",
            "leave the time out for 2s: raftctl status --watch",
        )
    if watch is None:
        show(ctx, fetch(ctx), ctx.output.emit)
        return
    while True:
        try:
            show(ctx, fetch(ctx), ctx.output.emit_screen)
        except Unreachable as error:
            note("\n".join(error.lines()))
        time.sleep(watch)


def fetch(ctx: CommandContext) -> tuple[View, Report]:
    """Ask every node and return the view and its report. Raises Unreachable."""
    with ctx.cluster() as cluster:
        statuses, asked = cluster.statuses()
    view = view_of(statuses, asked)
    return view, status_report(view, {a: f.reason for a, f in asked.failures.items()})


def show(ctx: CommandContext, fetched: tuple[View, Report], emit: Callable[[Report], None]) -> None:
    """Print the report; below a table, say on standard error why the cluster is not healthy."""
    view, report = fetched
    emit(report)
    if ctx.output.format in ("table", "wide"):
        for reason in view.reasons:
            note(f"reason: {reason}")
