"""raftctl snapshot restore: make a data directory of a new cluster from a snapshot."""

import hashlib
import os
from pathlib import Path
from typing import Annotated, Any

from raftctl.cli.command import Arg, Opt, command
from raftctl.cli.context import CommandContext
from raftctl.commands.snapshot.files import head_record, opened
from raftctl.inspect.data_dir import storage_errors
from raftctl.local.cluster_files import load_cluster_file
from raftctl.output.progress import ProgressDisplay
from raftctl.output.report import Report
from raftctl.output.text import escape_text, format_bytes
from raftnode.config.cluster_file import ClusterFile, ClusterNode
from raftnode.config.errors import InternalError, RefusedError, UsageError


@command("snapshot restore")
def restore(
    ctx: CommandContext,
    file: Annotated[str, Arg("FILE", "A file that snapshot save wrote.")],
    *,
    cluster_file: Annotated[str, Opt("-f/--cluster-file", "The new cluster's file, with a new cluster id.", "FILE")],
    name: Annotated[str, Opt("--name", "Which of its nodes to make.", "NAME")],
    data_dir: Annotated[
        str | None, Opt("--data-dir", "The directory to make; without it, the one in the cluster file.", "DIR")
    ] = None,
    skip_indexes: Annotated[
        int, Opt("--skip-indexes", "Start the new log this many indexes after the snapshot.", "N")
    ] = 0,
    dry_run: Annotated[bool, Opt("--dry-run", "Check everything, and make nothing.")] = False,
) -> None:
    """Make the data directory of one node of a new cluster from a snapshot file.

    The new cluster has its own id ([cluster] id in the cluster file, which the old cluster must not have), so that
    members of the old one cannot join it. Run the command once for each node of the cluster file, with the same FILE
    each time: compare the sha256. It leaves a node.toml(5) to edit, as raftnode format does. Then start the nodes.

    The nodes of the cluster file are the new cluster's voters; those of the old cluster are forgotten. The
    directory is made under the name DIR.part and renamed when it is complete and on the disk.

    Sessions are kept: a write that the snapshot holds is not applied again. Clients that continue with sessions or
    revisions from after the snapshot need --skip-indexes, with more than the entries that the old cluster wrote
    since, so that no index or revision of the old cluster is used again. Give the same number for every node.

    Example: raftctl snapshot restore backup.snap -f new/cluster.toml --name n1
    """
    if skip_indexes < 0:
        raise UsageError(f"--skip-indexes cannot be {skip_indexes}", "it is 0 or more", "leave it out for 0")
    cluster = load_cluster_file(cluster_file, data_dirs=data_dir is None)
    (node,) = cluster.pick([name])
    path = os.path.normpath(data_dir or node.data_path)
    with opened(file, None) as (stored, chunks):
        _check_cluster(ctx, cluster, stored.cluster_id)
        if os.path.lexists(path):
            raise RefusedError(
                f"{path} exists already",
                "a directory is never restored over",
                "move it away, or give another --data-dir",
                code="E_EXISTS",
            )
        sha256 = _sha256(file)
        if dry_run:
            for _ in chunks:
                pass
        else:
            _restore(ctx, stored, cluster, node, path, skip_indexes)
            _leave_settings(path)
        record = {
            "changed": not dry_run,
            **({"dry_run": True} if dry_run else {}),
            "data_dir": path,
            "node": node.name,
            "id": node.id,
            "cluster": {"id": cluster.given_id, "name": cluster.name},
            "first_log_index": stored.index + skip_indexes + 1,
            "sha256": sha256,
            "snapshot": head_record(stored),
        }
    what = "would restore" if dry_run else "restored"
    ctx.output.emit(
        Report(
            "snapshot.restore",
            record,
            f"changed: {'false' if dry_run else 'true'}  {what} {escape_text(node.name)} of cluster "
            f"{escape_text(cluster.name)} in {escape_text(path)}: index {stored.index}, term {stored.term}, "
            f"{format_bytes(stored.size_bytes)}\nsha256 {sha256}",
            names=[path],
        )
    )
    if not dry_run:
        ctx.note(
            "when every node is restored from the same file, start them: raftctl cluster up -f "
            f"{cluster_file}, or on each machine: raftnode run --data-dir {path}"
        )


def _check_cluster(ctx: CommandContext, cluster: ClusterFile, old: str) -> None:
    if not cluster.given_id:
        raise UsageError(
            f"{cluster.path}: cluster.id is missing",
            "the new cluster needs an id that all its nodes share and no other cluster has",
            "add one under [cluster], such as a new UUID",
        )
    if cluster.id == old:
        raise RefusedError(
            "the new cluster would have the old one's id",
            f"both are {old}: members of the old cluster could join and mix two histories",
            f"put a new id, such as a new UUID, into {cluster.path}",
            code="E_SAME_CLUSTER",
        )
    if not old:
        ctx.note("the snapshot does not name its cluster: make sure that the new id is not the old one")


def _restore(
    ctx: CommandContext, stored: Any, cluster: ClusterFile, node: ClusterNode, path: str, skip_indexes: int
) -> None:
    from raftnode.storage.restore import restore_data_dir
    from raftnode.wire.peer import encode_member_context

    with ProgressDisplay("restoring", stored.size_bytes, quiet=ctx.output.structured) as progress, storage_errors():
        restore_data_dir(
            path,
            stored,
            cluster_id=cluster.id,
            cluster_name=cluster.name,
            node_id=node.id,
            node_name=node.name,
            address=node.address,
            voters={n.id: encode_member_context(n.name, n.address) for n in cluster.nodes},
            skip_indexes=skip_indexes,
            progress=progress.at,
        )


def _leave_settings(path: str) -> None:
    """Leave a node.toml to edit, as raftnode format does."""
    from raftnode.storage.format import leave_template

    try:
        leave_template(Path(path))
    except OSError as error:
        raise InternalError(
            f"{path} is restored and whole, but has no node.toml",
            f"it cannot be written: {error.strerror or error}",
            "the node starts without it, with the default settings; see node.toml(5)",
            code="E_SETTINGS",
        ) from error


def _sha256(file: str) -> str:
    with open(file, "rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
