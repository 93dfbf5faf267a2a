"""One node's settings. All times are seconds on the caller's clock."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from raftnode.core.arguments import check_index, check_node_id, check_seconds
from raftnode.core.membership import Configuration, make_configuration
from raftnode.core.types import NodeId


@dataclass(frozen=True)
class RaftConfig:
    """What a `RaftNode` is told at its start. Raises ValueError where it cannot work, TypeError for a wrong type.

    `peers`, `learners` and `observers` are the first configuration without this node. A node that has a log or
    a snapshot takes its members from there instead.

    `commit_broadcast_delay`: a new commit index that no entry has carried to the followers after this many seconds
    is sent by itself. 0 sends it at once; a few milliseconds save two messages a write where entries follow each
    other. `lease_reads` answers reads from the leader's lease
    without a message round, and trusts clocks to drift by less than `clock_drift_max` (a fraction) (thesis 6.4.1).
    """

    node_id: NodeId
    group_id: int = 0
    peers: Sequence[NodeId] = ()
    learners: Sequence[NodeId] = ()
    observers: Sequence[NodeId] = ()
    starts_as_learner: bool = False
    starts_as_observer: bool = False
    joined: bool = False
    """This node was taken into a running cluster: the members given here are those of that moment, and not those
    with which the log begins. It learns these from the log or a snapshot, and takes no snapshot before."""
    election_timeout_min: float = 1.0
    election_timeout_max: float = 2.0
    heartbeat_interval: float = 0.1
    pre_vote: bool = True
    check_quorum: bool = True
    contexts: Mapping[NodeId, bytes] = field(default_factory=dict)
    """Opaque bytes for a member: see `ConfChange`."""
    append_entries_max: int = 4096
    append_bytes_max: int = 1024 * 1024
    """What one AppendEntries carries at most (one entry may be longer)."""
    inflight_messages_max: int = 256
    inflight_bytes_max: int = 64 * 1024 * 1024
    """The window of unacknowledged AppendEntries to one voter or learner."""
    observer_inflight_messages_max: int = 16
    observer_inflight_bytes_max: int = 4 * 1024 * 1024
    ready_bytes_max: int = 64 * 1024 * 1024
    """How much committed data one Ready delivers at most (one entry may be longer)."""
    log_cache_bytes_max: int = 64 * 1024 * 1024
    """How much of the log's newest part stays in memory; older entries are read from the storage."""
    commit_broadcast_delay: float = 0.0
    priority: float = 1.0
    """How readily this node campaigns, in (0, 1]: its election timeouts are divided by it. 0: it never leads."""
    catch_up_timeout: float = 10.0
    """An automatic promotion is given up when the learner's match index has not grown for this many seconds."""
    learners_grant_votes: bool = True
    """A learner votes for a candidate whose log gives it a vote that it has not heard of yet (thesis 4.1): without
    it a cluster can lose its majority between a promotion and its arrival. False: never, to the letter."""
    lease_reads: bool = False
    clock_drift_max: float = 0.1

    def __post_init__(self) -> None:
        self.validate()

    @property
    def cluster_size(self) -> int:
        """The number of voters, this node included where it is one."""
        return len(self.peers) + (0 if self.starts_as_learner or self.starts_as_observer else 1)

    @property
    def quorum(self) -> int:
        """The number of voters that make a majority."""
        return self.cluster_size // 2 + 1

    def validate(self) -> None:
        """Raise ValueError, naming the field, where this configuration cannot work."""
        check_node_id("node_id", self.node_id)
        for name in ("peers", "learners", "observers"):
            for peer in getattr(self, name):
                check_node_id(f"one of {name}", peer)
        check_index("group_id", self.group_id)
        for name in (
            "election_timeout_min",
            "election_timeout_max",
            "heartbeat_interval",
            "commit_broadcast_delay",
            "priority",
            "catch_up_timeout",
            "clock_drift_max",
        ):
            _require(math.isfinite(check_seconds(name, getattr(self, name))), f"{name} is infinite")
        everyone = [self.node_id, *self.peers, *self.learners, *self.observers]
        _require(
            len(set(everyone)) == len(everyone),
            f"a node is named twice among node_id, peers, learners and observers: {everyone}",
        )
        _require(
            not (self.starts_as_learner and self.starts_as_observer),
            "starts_as_learner and starts_as_observer exclude each other",
        )
        _require(self.group_id >= 0, f"group_id is {self.group_id}; it may not be negative")
        _require(self.heartbeat_interval > 0, f"heartbeat_interval is {self.heartbeat_interval}; it must be above 0")
        _require(
            self.election_timeout_min > self.heartbeat_interval,
            f"election_timeout_min is {self.election_timeout_min}, heartbeat_interval is "
            f"{self.heartbeat_interval}: followers would campaign between two heartbeats",
        )
        _require(
            self.election_timeout_max >= self.election_timeout_min,
            f"election_timeout_max is {self.election_timeout_max}, below election_timeout_min "
            f"{self.election_timeout_min}",
        )
        _require(
            self.cluster_size == 1 or self.election_timeout_max > self.election_timeout_min,
            "election_timeout_max equals election_timeout_min: votes would split again and again",
        )
        for name in (
            "append_entries_max",
            "append_bytes_max",
            "inflight_messages_max",
            "inflight_bytes_max",
            "observer_inflight_messages_max",
            "observer_inflight_bytes_max",
            "ready_bytes_max",
            "log_cache_bytes_max",
        ):
            _require(check_index(name, getattr(self, name)) > 0, f"{name} is {getattr(self, name)}; it must be above 0")
        _require(
            self.commit_broadcast_delay >= 0,
            f"commit_broadcast_delay is {self.commit_broadcast_delay}; it may not be negative",
        )
        _require(0 <= self.priority <= 1, f"priority is {self.priority}; it lies between 0 (never leads) and 1")
        _require(
            self.catch_up_timeout > self.heartbeat_interval,
            f"catch_up_timeout is {self.catch_up_timeout}; it must be above heartbeat_interval "
            f"{self.heartbeat_interval}",
        )
        _require(0 <= self.clock_drift_max < 1, f"clock_drift_max is {self.clock_drift_max}; it is a fraction of 1")
        _require(
            self.check_quorum or not self.lease_reads,
            "lease_reads needs check_quorum: a lease rests on voters that do not desert a live leader",
        )

    def first_configuration(self) -> Configuration:
        """Return the members at format: this node and those it was told of."""
        voters, learners, observers = list(self.peers), list(self.learners), list(self.observers)
        if self.starts_as_learner:
            learners.append(self.node_id)
        elif self.starts_as_observer:
            observers.append(self.node_id)
        else:
            voters.append(self.node_id)
        return make_configuration(voters, learners, observers, dict(self.contexts))


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
