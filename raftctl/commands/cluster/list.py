"""raftctl cluster list: the nodes of a cluster file, and which of them run here."""

from typing import Annotated

from raftctl.cli.command import command
from raftctl.cli.context import CommandContext
from raftctl.local.cluster_files import CLUSTER_FILE, load_cluster_file
from raftctl.local.processes import running_pid
from raftctl.output.report import Column, Report
from raftctl.output.text import escape_text


@command("cluster list")
def list_nodes(ctx: CommandContext, *, cluster_file: Annotated[str, CLUSTER_FILE] = "cluster.toml") -> None:
    """List the nodes of a cluster file and the processes that run for them on this machine.

    Example: raftctl cluster list -f demo/cluster.toml
    """
    file = load_cluster_file(cluster_file)
    pids = {n.name: running_pid(n.data_path) for n in file.nodes}
    ctx.output.emit(
        Report(
            "cluster.list",
            {
                "cluster": {"id": file.given_id, "name": file.name},
                "nodes": [
                    {
                        "id": n.id,
                        "name": n.name,
                        "address": n.address,
                        "data_dir": n.data_path,
                        "pid": pids[n.name],
                        "running": pids[n.name] is not None,
                    }
                    for n in file.nodes
                ],
            },
            columns=[
                Column("NAME"),
                Column("ID"),
                Column("ADDRESS"),
                Column("RUNS"),
                Column("PID"),
                Column("DATA DIRECTORY"),
            ],
            rows=[
                [
                    escape_text(n.name),
                    str(n.id),
                    n.address,
                    "no" if pids[n.name] is None else "yes",
                    None if pids[n.name] is None else str(pids[n.name]),
                    n.data_path,
                ]
                for n in file.nodes
            ],
            items="nodes",
            item_schema="cluster.node",
            names=[n.name for n in file.nodes],
        )
    )
