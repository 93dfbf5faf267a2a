"""raftctl status: the main view."""

import time
from typing import Annotated

from raftctl.command import Opt, command
from raftctl.errors import Unreachable
from raftctl.health import build_view, status_report
from raftctl.invocation import Invocation
from raftctl.output import Report, note
from raftctl.text import parse_duration


@command("status", connects=True, timeout=2.0)
def status(
    run: Invocation,
    *,
    watch: Annotated[
        float | None,
        Opt(
            "--watch",
            "Show it again and again, every 2s or as given.",
            "DURATION",
            bare="2s",
            convert=parse_duration,
        ),
    ] = None,
) -> None:
    """Show the cluster's health, its leader, and each member with its lag.

    All nodes are asked at the same time; one that does not answer is `down` and has its numbers from the
    leader. COMMIT is then what the leader knows to be in its log. The command succeeds where any node
    answers: a script that wants a verdict uses `cluster health` or `wait`. With --watch and a pipe, each line
    is a JSON object.

    Example: raftctl status --watch=5s
    """
    if watch is None:
        run.output.emit(fetch(run))
        return
    while True:
        try:
            run.output.emit_screen(fetch(run))
        except Unreachable as error:
            note("\n".join(error.lines()))
        time.sleep(watch)


def fetch(run: Invocation) -> Report:
    """Ask every node and return the report. Raises Unreachable."""
    with run.cluster() as cluster:
        statuses, asked = cluster.statuses()
    return status_report(build_view(statuses, asked.refused), {a: f.reason for a, f in asked.failures.items()})
