"""raftctl cluster init: a cluster file and formatted data directories for a cluster on this machine."""

import os
import re
import shutil
from pathlib import Path
from typing import Annotated

from raftctl.cli.command import Arg, Opt, command
from raftctl.cli.context import CommandContext
from raftctl.local.cluster_files import load_cluster_file
from raftctl.output.report import Column, Report
from raftnode.config.cluster_file import ClusterFile, ClusterNode, render
from raftnode.config.errors import CommandError, InternalError, RefusedError, UsageError
from raftnode.wire.address import parse_member_address, parse_node_name


@command("cluster init")
def init(
    ctx: CommandContext,
    directory: Annotated[str, Arg("DIR", "The directory to make; cluster.toml and the data go there.")],
    *,
    name: Annotated[str | None, Opt("--name", "The cluster's name; without it, the directory's.", "NAME")] = None,
    nodes: Annotated[int, Opt("--nodes", "How many nodes.", "N")] = 3,
    host: Annotated[str, Opt("--host", "The address that the nodes listen at.", "HOST")] = "127.0.0.1",
    base_port: Annotated[int, Opt("--base-port", "The first node's port; the others follow.", "PORT")] = 7001,
    if_not_exists: Annotated[bool, Opt("--if-not-exists", "Do not fail if the cluster file already exists.")] = False,
    dry_run: Annotated[bool, Opt("--dry-run", "Show what would be made, and make nothing.")] = False,
) -> None:
    """Make a cluster on this machine: write DIR/cluster.toml and format a data directory for each node.

    A cluster.toml that is already there is refused (exit code 6) unless --if-not-exists is given.

    Example: raftctl cluster init demo --nodes 3 --base-port 7001
    """
    path = os.path.join(directory, "cluster.toml")
    if os.path.exists(path):
        if not if_not_exists:
            raise RefusedError(
                f"{path} is already there",
                "a second cluster in its place would orphan the first one's data",
                "use it: raftctl cluster up -f " + path + "; or give another directory",
                code="E_EXISTS",
            )
        _emit(ctx, load_cluster_file(path), changed=False)
        return
    text = _plan(directory, name, nodes, host, base_port)
    if dry_run:
        ctx.note(text)
        ctx.output.emit(
            Report(
                "cluster.init",
                {"changed": False, "dry_run": True, "file": path},
                f"changed: false  would write {path} and format {nodes} data directories",
            )
        )
        return
    _emit(ctx, _make(directory, path, text), changed=True)


def _plan(directory: str, name: str | None, nodes: int, host: str, base_port: int) -> str:
    if not 1 <= nodes <= 99:
        raise UsageError(f"--nodes cannot be {nodes}", "a cluster has 1 to 99 nodes", "3 and 5 are good numbers")
    if not 1 <= base_port <= 65536 - nodes:
        raise UsageError(
            f"--base-port cannot be {base_port}",
            f"{nodes} ports from there must be at most 65535",
            f"give 1 to {65536 - nodes}, or leave it out for 7001",
        )
    from uuid import uuid4

    base = re.sub(r"[^A-Za-z0-9_.-]+", "-", os.path.basename(os.path.abspath(directory))).strip("._-")
    cluster = name if name is not None else base[:63] or "raft"
    try:
        parse_node_name(cluster)
    except ValueError as error:
        raise UsageError(f"a cluster cannot be called {cluster!r}", f"a name {error}", "give --name") from error
    shown = f"[{host}]" if ":" in host else host
    made = [ClusterNode(i, f"n{i}", f"{shown}:{base_port + i - 1}", Path(f"data/n{i}")) for i in range(1, nodes + 1)]
    for node in made:
        try:
            parse_member_address(node.address)
        except ValueError as error:
            raise UsageError(
                f"--host cannot be {host!r}", f"the address {node.address!r} {error}", "give --host"
            ) from error
    return render(cluster, uuid4().hex, made)


def _make(directory: str, path: str, text: str) -> ClusterFile:
    """Format the data directories, then give the file its name: a cluster.toml that exists is complete."""
    part = f"{path}.part"
    data = os.path.join(directory, "data")
    if os.path.isdir(data) and os.listdir(data):
        raise RefusedError(
            f"{data} is not empty",
            "there is data of a cluster whose cluster.toml is gone",
            "move it away, or give another directory",
            code="E_EXISTS",
        )
    try:
        os.makedirs(directory, exist_ok=True)
        with open(part, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(
            f"cannot write {part}", error.strerror or str(error), "give a directory that can be written"
        ) from error
    try:
        _format(part)
    except BaseException:
        shutil.rmtree(data, ignore_errors=True)
        os.unlink(part)
        raise
    os.replace(part, path)
    return load_cluster_file(path)


def _format(path: str) -> None:
    from raftnode.storage.format import format_from_cluster_file

    for node in load_cluster_file(path).nodes:
        try:
            format_from_cluster_file(Path(path), node.name, None)
        except CommandError as error:
            raise InternalError(
                f"cannot format {node.name}: {error.what}",
                error.why,
                "nothing was made: correct that, and repeat the command",
            ) from error


def _emit(ctx: CommandContext, file: ClusterFile, *, changed: bool) -> None:
    ctx.output.emit(
        Report(
            "cluster.init",
            {
                "changed": changed,
                "file": str(file.path),
                "cluster": {"id": file.given_id, "name": file.name},
                "nodes": [
                    {"id": n.id, "name": n.name, "address": n.address, "data_dir": n.data_path} for n in file.nodes
                ],
            },
            f"changed: {'true' if changed else 'false'}  cluster {file.name} in {file.path}",
            [Column("NAME"), Column("ID"), Column("ADDRESS"), Column("DATA DIRECTORY")],
            [[n.name, str(n.id), n.address, n.data_path] for n in file.nodes],
            names=[n.name for n in file.nodes],
        )
    )
    if changed:
        ctx.note(f"start it: raftctl cluster up -f {file.path}")
