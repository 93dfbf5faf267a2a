"""From a cluster to its view: ask every node, then build what the operator sees."""

from raftctl.client import Cluster
from raftctl.health import View, build_view


def take_view(cluster: Cluster, patience: float | None = None) -> View:
    """Ask every node and return the cluster's view. Raises Unreachable where none answers in `patience` seconds."""
    statuses, asked = cluster.statuses(patience)
    return build_view(statuses, asked.refused)
