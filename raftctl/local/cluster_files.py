"""The cluster file that a command line names."""

from pathlib import Path
from typing import Final

from raftctl.cli.command import Opt
from raftnode.config.cluster_file import ClusterFile
from raftnode.config.errors import UsageError
from raftnode.config.settings import SettingsError

EXAMPLE: Final = "see cluster.toml under FILES in raftctl(1), or have one written: raftctl cluster init DIR"


def load_cluster_file(path: str, *, data_dirs: bool = True) -> ClusterFile:
    """Return a cluster file's content; `data_dirs`: every node must have one. Raises UsageError."""
    try:
        return ClusterFile.load(Path(path), data_dirs=data_dirs)
    except SettingsError as error:
        raise UsageError(error.what, error.why, EXAMPLE) from error


CLUSTER_FILE: Final = Opt("-f/--cluster-file", "The cluster file.", "FILE")


NODE: Final = Opt("--node", "Only this node; may be repeated.", "NAME")
