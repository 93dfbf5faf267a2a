"""From a cluster to its view: ask every node, then build what the operator sees."""

from collections.abc import Callable
from typing import Final

from raftctl.cluster import Cluster
from raftctl.view.cluster_view import View, build_view, view_of
from raftnode.config.errors import NoLeaderError
from raftnode.wire.client import NodeStatus

POLL_S: Final = 0.1
ROUND_S: Final = 1.0
LEADER_S: Final = 5.0
"""How long a cluster without a leader is given to elect one, as long as other commands give it."""


def take_view(cluster: Cluster, patience: float | None = None, *, at_least: float = 0.0) -> View:
    """Ask every node and return the cluster's view. Raises Unreachable where none answers in `patience` seconds."""
    return view_of(*cluster.statuses(patience, at_least=at_least))


def view_with_leader(cluster: Cluster) -> View:
    """Return the cluster as its leader sees it. Raises NoLeaderError if none leads within LEADER_S or the deadline."""
    patience = cluster.deadline.capped(LEADER_S)
    while True:
        view = take_view(cluster, ROUND_S)
        if view.leader is not None:
            return view
        if not patience.pause(POLL_S):
            raise NoLeaderError(
                f"no leader within {patience.seconds:.3g} s",
                "; ".join(view.reasons),
                "see who is up: raftctl status; wait for one: raftctl wait --leader",
            )


def as_leader_sees(cluster: Cluster) -> View:
    """Return the cluster as its leader alone shows it. One request, so it can be called often."""
    return build_view([cluster.leader_status()])


def as_seen_by_each(holds: Callable[[View], bool]) -> Callable[[NodeStatus], bool]:
    """Return `holds` as a condition on one node's own view."""
    return lambda status: holds(build_view([status]))
