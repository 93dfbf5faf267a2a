"""From a node's identity and settings to the configuration of its core."""

from typing import Final

from raftnode.config.settings import ReplicaSettings
from raftnode.core.config import RaftConfig
from raftnode.core.types import NodeId
from raftnode.storage.data_dir import Identity

READY_BYTES_MAX: Final = 256 * 1024
"""How much committed data is applied before the next Ready: a node with a long log to apply stays responsive."""

COMMIT_BROADCAST_DELAY: Final = 0.005
"""Seconds: followers learn of a commit with the next entry, or after this long."""


def core_config(identity: Identity, settings: ReplicaSettings) -> RaftConfig:
    """Return the core's settings. The members are those of the identity; a log or a snapshot supersedes them."""
    first, me = identity.configuration, identity.node_id

    def others(nodes: tuple[NodeId, ...]) -> tuple[NodeId, ...]:
        return tuple(node for node in nodes if node != me)

    return RaftConfig(
        node_id=me,
        peers=others(first.voter_union()),
        learners=others(first.learners),
        observers=others(first.observers),
        starts_as_learner=identity.capacity == "learner",
        starts_as_observer=identity.capacity == "observer",
        joined=identity.capacity != "voter",
        election_timeout_min=settings.election_timeout_min,
        election_timeout_max=settings.election_timeout_max,
        heartbeat_interval=settings.heartbeat_interval,
        pre_vote=settings.pre_vote,
        check_quorum=settings.check_quorum,
        contexts=first.contexts,
        ready_bytes_max=READY_BYTES_MAX,
        commit_broadcast_delay=COMMIT_BROADCAST_DELAY,
        log_cache_bytes_max=settings.log_cache_bytes,
    )
