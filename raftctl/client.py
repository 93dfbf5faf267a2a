"""Talking to nodes, in one place for whoever imports it: each name lives in the module of its noun."""

from raftctl.cluster import Cluster, Repeat
from raftctl.exchange import Asked, ask_all
from raftctl.failures import SessionLost, failure_error, unknown, unreachable
from raftctl.link import Deadline, LinkError

__all__ = [
    "Asked", "Cluster", "Deadline", "LinkError", "Repeat", "SessionLost", "ask_all", "failure_error", "unknown",
    "unreachable",
]
