"""One node's settings. All times are seconds on the caller's clock."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from raftnode.core.arguments import check_index, check_node_id, check_seconds
from raftnode.core.membership import Configuration, make_configuration
from raftnode.core.types import NodeId


@dataclass(frozen=True)
class RaftConfig:
    """The settings of a `RaftNode`. Raises ValueError for values that cannot work, TypeError for a wrong type.

    `peers`, `learners` and `observers` are the first configuration without this node. A node that has a log or
    a snapshot takes its members from there instead. All times are seconds on the node's clock.

    Attributes:
        node_id: This node's id: a positive integer, unique in its group, and never reused after a removal.
        group_id: The Raft group, if a process hosts several. Messages of other groups are refused.
        peers: The other voters.
        learners: The other learners: they receive entries, and do not count toward a quorum.
        observers: The other observers: permanent read-only copies.
        starts_as_learner: This node is a learner until the log promotes it. For a node that joins.
        starts_as_observer: This node is an observer. Excludes `starts_as_learner`.
        joined: This node joined a running cluster, so the members given here are those at that time, not those at the
            beginning of the log. It gets these from the log or a snapshot, and takes no snapshot before that.
        election_timeout_min: The shortest time without a leader before this node campaigns (§5.2). Above
            `heartbeat_interval`; ten times that is usual.
        election_timeout_max: The longest such time: each timeout is drawn at random between the two.
        heartbeat_interval: How often a leader contacts each member, with or without entries to send.
        pre_vote: Ask whether an election could be won before starting one, so that a node that was cut off does not
            depose a leader on its return (thesis 9.6).
        check_quorum: A leader without answers from a majority for an election timeout steps down, and voters refuse to
            depose a leader that is in contact with them (thesis 4.2.3, 6.2).
        contexts: Opaque bytes for members of the first configuration, such as addresses: see `ConfChange`.
        append_entries_max: The most entries in one AppendEntries.
        append_bytes_max: The most bytes of data in one AppendEntries; one entry may be longer.
        inflight_messages_max: The most unacknowledged AppendEntries to one voter or learner.
        inflight_bytes_max: The most unacknowledged bytes of data to one voter or learner.
        observer_inflight_messages_max: `inflight_messages_max` for an observer.
        observer_inflight_bytes_max: `inflight_bytes_max` for an observer.
        ready_bytes_max: The most bytes of committed data in one Ready; one entry may be longer.
        log_cache_bytes_max: How many bytes of the newest entries stay in memory. Older applied ones are read from the
            storage.
        commit_broadcast_delay: How long a new commit index may wait for an entry to carry it to the followers before
            it is sent by itself. 0: at once. A few milliseconds save two messages a write under load.
        priority: How readily this node campaigns, in (0, 1]: its election timeouts are divided by it. 0: it never
            leads.
        catch_up_timeout: `promote_when_caught_up()` gives up when the learner has made no progress for this long.
        learners_grant_votes: A learner votes for a candidate whose log makes it a voter, though it has not received
            that entry itself (thesis 4.1). Without this a cluster can lose its majority between a promotion and its
            arrival. False: a learner never votes.
        lease_reads: `read_index()` answers without a round of messages while the leader holds a lease (thesis
            6.4.1). Stale reads are possible if clocks drift by more than `clock_drift_max`. Needs `check_quorum`.
        clock_drift_max: How far clocks may drift apart in an election timeout, as a fraction of it, in [0, 1).
    """

    node_id: NodeId
    group_id: int = 0
    peers: Sequence[NodeId] = ()
    learners: Sequence[NodeId] = ()
    observers: Sequence[NodeId] = ()
    starts_as_learner: bool = False
    starts_as_observer: bool = False
    joined: bool = False
    election_timeout_min: float = 1.0
    election_timeout_max: float = 2.0
    heartbeat_interval: float = 0.1
    pre_vote: bool = True
    check_quorum: bool = True
    contexts: Mapping[NodeId, bytes] = field(default_factory=dict)
    append_entries_max: int = 4096
    append_bytes_max: int = 1024 * 1024
    inflight_messages_max: int = 256
    inflight_bytes_max: int = 64 * 1024 * 1024
    observer_inflight_messages_max: int = 16
    observer_inflight_bytes_max: int = 4 * 1024 * 1024
    ready_bytes_max: int = 64 * 1024 * 1024
    log_cache_bytes_max: int = 64 * 1024 * 1024
    commit_broadcast_delay: float = 0.0
    priority: float = 1.0
    catch_up_timeout: float = 10.0
    learners_grant_votes: bool = True
    lease_reads: bool = False
    clock_drift_max: float = 0.1

    def __post_init__(self) -> None:
        self.validate()

    @property
    def cluster_size(self) -> int:
        """The number of voters, including this node if it is one."""
        return len(self.peers) + (0 if self.starts_as_learner or self.starts_as_observer else 1)

    @property
    def quorum(self) -> int:
        """The number of voters that make a majority."""
        return self.cluster_size // 2 + 1

    def validate(self) -> None:
        """Raise ValueError, naming the field, if this configuration cannot work."""
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
        _require(0 <= self.priority <= 1, f"priority is {self.priority}; it must be between 0 (never leads) and 1")
        _require(
            self.catch_up_timeout > self.heartbeat_interval,
            f"catch_up_timeout is {self.catch_up_timeout}; it must be above heartbeat_interval "
            f"{self.heartbeat_interval}",
        )
        _require(
            0 <= self.clock_drift_max < 1,
            f"clock_drift_max is {self.clock_drift_max}; it must be at least 0 and below 1",
        )
        _require(
            self.check_quorum or not self.lease_reads,
            "lease_reads needs check_quorum: a lease relies on voters that refuse to depose a live leader",
        )

    def first_configuration(self) -> Configuration:
        """Return the first configuration: this node and the members given in this one."""
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
