"""Configuration that cannot work is refused by the constructor (RELIABILITY, core rules)."""

# mypy takes a property for the same after a call.
# mypy: disable-error-code="comparison-overlap"

from typing import Any

import pytest

from raftnode.core.config import RaftConfig
from tests.support.bench import option


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("node_id", {"node_id": 0}),
        ("twice", {"peers": (1, 2)}),
        ("twice", {"peers": (2, 2)}),
        ("twice", {"peers": (2, 3), "learners": (3,)}),
        ("twice", {"peers": (2, 3), "learners": (4,), "observers": (4,)}),
        ("starts_as", {"starts_as_learner": True, "starts_as_observer": True}),
        ("group_id", {"group_id": -1}),
        ("heartbeat_interval", {"heartbeat_interval": 0.0}),
        ("heartbeat_interval", {"heartbeat_interval": -0.1}),
        ("heartbeat_interval", {"heartbeat_interval": 1.0}),
        ("heartbeat_interval", {"heartbeat_interval": 1.5}),
        ("election_timeout_max", {"election_timeout_max": 0.9}),
        ("election_timeout_max", {"election_timeout_max": 1.0}),
        ("append_entries_max", {"append_entries_max": 0}),
        ("append_bytes_max", {"append_bytes_max": 0}),
        ("inflight_messages_max", {"inflight_messages_max": 0}),
        ("inflight_bytes_max", {"inflight_bytes_max": -1}),
        ("observer_inflight_messages_max", {"observer_inflight_messages_max": 0}),
        ("observer_inflight_bytes_max", {"observer_inflight_bytes_max": 0}),
        ("ready_bytes_max", {"ready_bytes_max": 0}),
        ("log_cache_bytes_max", {"log_cache_bytes_max": 0}),
        ("clock_drift_max", {"clock_drift_max": 1.0}),
        ("clock_drift_max", {"clock_drift_max": -0.1}),
        ("check_quorum", {"lease_reads": True, "check_quorum": False}),
    ],
)
def test_a_configuration_that_cannot_work_names_the_field(field: str, options: dict[str, Any]) -> None:
    """ValueError from the constructor."""
    with pytest.raises(ValueError, match=field):
        RaftConfig(**{"node_id": 1, "peers": (2, 3), **options})


def test_the_defaults_work() -> None:
    """One election timeout is several heartbeats."""
    config = RaftConfig(1, peers=(2, 3))
    config.validate()
    assert (config.pre_vote, config.check_quorum, config.group_id) == (True, True, 0)


@pytest.mark.parametrize(("peers", "size", "quorum"), [((), 1, 1), ((2,), 2, 2), ((2, 3), 3, 2), ((2, 3, 4), 4, 3)])
def test_cluster_size_and_quorum_count_the_voters(peers: tuple[int, ...], size: int, quorum: int) -> None:
    """This node included."""
    config = RaftConfig(1, peers=peers, learners=(8,), observers=(9,))
    assert (config.cluster_size, config.quorum) == (size, quorum)


def test_a_node_without_a_vote_does_not_count() -> None:
    """`cluster_size` is the number of voters."""
    for passive in ("starts_as_learner", "starts_as_observer"):
        config = RaftConfig(1, peers=(2, 3, 4), **option(passive))
        assert (config.cluster_size, config.quorum) == (3, 2)
