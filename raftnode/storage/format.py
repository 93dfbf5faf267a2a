"""Writes data directories: the identity of a node, its first configuration, and a node.toml to edit."""

from pathlib import Path

from raftnode.config import data_files
from raftnode.config.cluster_file import ClusterFile
from raftnode.config.errors import CommandError, ConflictError, NotFound, UsageError
from raftnode.config.settings import template
from raftnode.core.errors import StorageError
from raftnode.core.membership import Configuration
from raftnode.storage.data_dir import DataDirError, Identity, format_data_dir, read_identity


def format_from_cluster_file(cluster_file: Path, name: str, data_dir: Path | None) -> tuple[Path, Identity, bool]:
    """Format the data directory of the node `name`; return (directory, identity, whether it was written now).

    A directory that has this identity already is left alone. Raises SettingsError, and CommandError.
    """
    cluster = ClusterFile.load(cluster_file)
    node = cluster.node(name)
    if node is None:
        raise NotFound(
            f"{cluster_file} has no node {name!r}",
            f"its nodes are {', '.join(node.name for node in cluster.nodes)}",
            "give one of them with --name",
            code="E_NO_NODE",
        )
    path = data_dir or node.data_dir
    if path is None:
        raise UsageError(
            f"there is no data directory for {name}",
            f"its [[node]] in {cluster_file} has no data_dir",
            "give --data-dir",
            code="E_USAGE",
        )
    configuration = cluster.configuration()
    present = existing_identity(path)
    if present is None:
        identity = write_data_dir(
            path,
            cluster_id=cluster.id,
            cluster_name=cluster.name,
            node_id=node.id,
            node_name=node.name,
            address=node.address,
            capacity="voter",
            configuration=configuration,
        )
        return path, identity, True
    wanted = (cluster.id, cluster.name, node.id, node.name, node.address, "voter", configuration)
    found = (
        present.cluster_id,
        present.cluster_name,
        present.node_id,
        present.node_name,
        present.address,
        present.capacity,
        present.configuration,
    )
    if found != wanted:
        raise ConflictError(
            f"{path} is formatted for another node or cluster",
            f"it belongs to {present.capacity} {present.node_id} ({present.node_name}, {present.address}) of "
            f"cluster {present.cluster_name} {present.cluster_id}; asked for: voter {node.id} "
            f"({node.name}, {node.address}) of cluster {cluster.name} {cluster.id}",
            "use another --data-dir; a directory is never formatted over",
            code="E_DATA_DIR",
        )
    leave_template(path)
    return path, present, False


def existing_identity(path: Path) -> Identity | None:
    """Return the identity in a data directory; None if it has none yet. Raises CommandError."""
    try:
        return read_identity(path) if (path / data_files.IDENTITY).exists() else None
    except DataDirError as error:
        raise data_dir_problem(error) from error
    except OSError as error:
        raise ConflictError(
            f"cannot read the data directory {path}",
            error.strerror or str(error),
            "check the path and its permissions",
            code="E_DATA_DIR",
        ) from error


def write_data_dir(
    path: Path,
    *,
    cluster_id: str,
    cluster_name: str,
    node_id: int,
    node_name: str,
    address: str,
    capacity: str,
    configuration: Configuration,
) -> Identity:
    """Format `path`, and leave a commented node.toml in it if there is none. Raises CommandError."""
    try:
        identity = format_data_dir(
            path,
            cluster_id=cluster_id,
            cluster_name=cluster_name,
            node_id=node_id,
            node_name=node_name,
            address=address,
            capacity=capacity,
            configuration=configuration,
        )
        leave_template(path)
    except DataDirError as error:
        raise data_dir_problem(error) from error
    except (OSError, StorageError) as error:
        raise ConflictError(
            f"cannot write the data directory {path}",
            str(error),
            "check the path, its permissions and the free space",
            code="E_DATA_DIR",
        ) from error
    return identity


def leave_template(path: Path) -> None:
    """Write a node.toml with every setting commented out, if there is none. Raises OSError."""
    if not (path / data_files.SETTINGS).exists():
        (path / data_files.SETTINGS).write_text(template())


def data_dir_problem(error: DataDirError) -> CommandError:
    """Return the error for a data directory that cannot be used."""
    return ConflictError(f"cannot use the data directory {error.path}", error.reason, error.advice, code="E_DATA_DIR")
