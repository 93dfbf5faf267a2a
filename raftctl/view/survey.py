"""From a cluster to its view: ask every node, then build what the operator sees."""

from typing import TYPE_CHECKING

from raftctl.view.cluster_view import View, build_view
from raftnode.wire.client import NodeStatus, StatusResult

if TYPE_CHECKING:
    from raftctl.cluster import Cluster
    from raftnode.client.fanout import Answers


def take_view(cluster: "Cluster", patience: float | None = None, *, at_least: float = 0.0) -> View:
    """Ask every node and return the cluster's view. Raises Unreachable where none answers in `patience` seconds."""
    return view_of(*cluster.statuses(patience, at_least=at_least))


def view_of(statuses: list[NodeStatus], answers: "Answers[StatusResult]") -> View:
    """Return the view that these answers, and what the silent addresses said instead, make."""
    return build_view(statuses, answers.not_listening, answers.foreign)
