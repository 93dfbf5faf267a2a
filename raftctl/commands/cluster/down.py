"""raftctl cluster down: stop the nodes of a cluster file on this machine."""

import signal
from collections.abc import Sequence
from typing import Annotated

from raftctl.cli.command import Opt, command
from raftctl.cli.context import CommandContext
from raftctl.local.cluster_files import CLUSTER_FILE, NODE, load_cluster_file
from raftctl.local.processes import POLL_S, lock_held, running_pid, send_signal
from raftctl.output.output import note
from raftctl.output.report import Report
from raftnode.client.transport import Deadline
from raftnode.config.cluster_file import ClusterNode
from raftnode.config.errors import UnknownOutcomeError


@command("cluster down", timed=True, timeout=30.0)
def down(
    ctx: CommandContext,
    *,
    cluster_file: Annotated[str, CLUSTER_FILE] = "cluster.toml",
    node: Annotated[tuple[str, ...], NODE] = (),
    wait: Annotated[bool, Opt("--wait", "Wait until the nodes have ended (the default).", negative="--no-wait")] = True,
    kill: Annotated[bool, Opt("--kill", "Kill what still runs at the timeout.")] = False,
    dry_run: Annotated[bool, Opt("--dry-run", "Say what would be stopped, and stop nothing.")] = False,
) -> None:
    """Stop the nodes of a cluster file that run on this machine, and wait until they have ended.

    A node is found by the lock on its data directory and asked with SIGTERM: a leader hands over first.

    Example: raftctl cluster down -f demo/cluster.toml
    """
    chosen = load_cluster_file(cluster_file).pick(node)
    deadline = Deadline(ctx.timeout)
    running = [n for n in chosen if running_pid(n.data_path) is not None]
    names = [n.name for n in running]
    if dry_run:
        ctx.output.emit(
            Report(
                "cluster.down",
                {"changed": False, "dry_run": True, "would_stop": names},
                f"changed: false  would stop: {', '.join(names) or 'nothing'}",
                names=names,
            )
        )
        return
    for each in running:
        send_signal(each.data_path, signal.SIGTERM)
    killed: list[str] = []
    if wait:
        left = wait_for_end(running, deadline)
        if left and kill:
            killed = [n.name for n in left]
            note(f"killing what still runs after {ctx.timeout:g} s: {', '.join(killed)}")
            for each in left:
                send_signal(each.data_path, signal.SIGKILL)
            left = wait_for_end(left, Deadline(5.0))
        if left:
            raise UnknownOutcomeError(
                f"still running after {ctx.timeout:g} s: {', '.join(n.name for n in left)}",
                f"asked to stop: process {', '.join(str(running_pid(n.data_path)) for n in left)}",
                "wait with a longer --timeout, or give --kill",
                code="E_TIMEOUT",
            )
    ctx.output.emit(
        Report(
            "cluster.down",
            {"changed": bool(names), "stopped": names, "killed": killed},
            f"changed: {'true' if names else 'false'}  stopped: {', '.join(names) or 'nothing'}",
            names=names,
        )
    )


def wait_for_end(nodes: Sequence[ClusterNode], deadline: Deadline) -> list[ClusterNode]:
    """Return the nodes that still run at the deadline; none where all have ended before."""
    while True:
        left = [n for n in nodes if lock_held(n.data_path)]
        if not left or not deadline.pause(POLL_S):
            return left
