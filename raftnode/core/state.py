"""Every field of a node, in one place (figure 2). Functions of the other modules work on it."""

import random
from collections import deque
from collections.abc import Callable

from raftnode.core.config import RaftConfig
from raftnode.core.log import RaftLog
from raftnode.core.membership import Configuration
from raftnode.core.messages import (
    PreVoteRequest,
    RequestVoteRequest,
    SnapshotIdentity,
    TimeoutNowRequest,
)
from raftnode.core.progress import Progress, Promotion
from raftnode.core.ready import PromotionOutcome, TransferOutcome
from raftnode.core.storage import LogStorage
from raftnode.core.types import HardState, NodeId, NodeRole


class RaftState:
    """One node's state. `role` is written by `roles.py` alone."""

    __slots__ = (
        "applied_index",
        "ballot",
        "base_known",
        "clock",
        "commit_broadcast_deadline",
        "commit_index",
        "config",
        "configurations",
        "current_term",
        "delivered_index",
        "election_deadline",
        "heartbeat_deadline",
        "incoming_snapshot",
        "last_hard_state",
        "leader_contact",
        "leader_id",
        "lease_blocked",
        "log",
        "members_replaced",
        "node_id",
        "outgoing_pre_votes",
        "outgoing_timeout_now",
        "outgoing_votes",
        "progress",
        "promotion_outcomes",
        "promotions",
        "read_count",
        "reads",
        "reads_aborted",
        "reads_ready",
        "refusals",
        "removal_reported",
        "rng",
        "role",
        "round",
        "round_times",
        "round_wanted",
        "stable_at",
        "stable_counted",
        "stable_seen",
        "term_start_index",
        "transfer_awaited",
        "transfer_campaign",
        "transfer_deadline",
        "transfer_outcomes",
        "transfer_sent",
        "transfer_target",
        "voted_for",
        "was_member",
    )  # fmt: skip

    def __init__(self, config: RaftConfig, storage: LogStorage, clock: Callable[[], float], rng: random.Random) -> None:
        self.config = config
        self.node_id = config.node_id
        self.clock = clock
        self.rng = rng
        now = clock()

        # Persistent: through Ready.hard_state and the log's storage.
        self.current_term = 0
        self.voted_for: NodeId | None = None
        self.log = RaftLog(storage, config.log_cache_bytes_max)
        # What the last Ready asked the caller to save.
        self.last_hard_state = HardState()

        # From the log, the snapshot and the configuration: [(index, configuration)] in index order. The last
        # one is in force (it takes effect on append); truncation pops from the end.
        self.configurations: list[tuple[int, Configuration]] = [(0, config.first_configuration())]

        # Whether the first of them was really in force from its index on: not on a node that joined later.
        self.base_known = not config.joined

        self.was_member = self.node_id in config.first_configuration().voters
        """Whether a configuration in force has included this node. A node that joins may not be added yet."""
        self.removal_reported = False

        # Whether a primitive changed the members in force, which no log entry replicates.
        self.members_replaced = False

        # Volatile, on every node.
        self.role = NodeRole.FOLLOWER
        self.leader_id: NodeId | None = None
        self.leader_contact: float | None = None
        self.commit_index = 0
        self.applied_index = 0
        self.delivered_index = 0
        self.election_deadline = now
        self.incoming_snapshot: tuple[SnapshotIdentity, int] | None = None
        """The snapshot that is arriving, and the next offset in it."""

        # Volatile, on candidates.
        self.ballot: dict[NodeId, bool] = {}
        self.refusals: dict[NodeId, str] = {}
        self.transfer_campaign = False

        # Volatile, on leaders; reset by each election.
        self.progress: dict[NodeId, Progress] = {}
        self.term_start_index = 0
        self.heartbeat_deadline = now
        self.commit_broadcast_deadline: float | None = None
        """When to send the members a commit index that no entry has carried to them."""
        self.round = 0
        self.round_wanted = False
        self.round_times: deque[tuple[int, float]] = deque()
        """(round, when it was sent), oldest first: what a lease is counted from."""
        self.lease_blocked = False
        self.stable_counted = 0
        """The stable index with which the commit index was last evaluated."""
        self.stable_seen = 0
        self.stable_at = now
        self.transfer_target: NodeId | None = None
        self.transfer_deadline = 0.0
        self.transfer_sent = False
        self.promotions: dict[NodeId, Promotion] = {}
        self.reads: deque[tuple[int, int]] = deque()
        """(read id, round that confirms it), oldest first."""
        self.read_count = 0

        # Volatile, on a node that led and handed over: the voter that it expects to lead.
        self.transfer_awaited: NodeId | None = None

        # Waiting for the next Ready.
        self.transfer_outcomes: list[TransferOutcome] = []
        self.promotion_outcomes: list[PromotionOutcome] = []
        self.outgoing_votes: list[tuple[NodeId, RequestVoteRequest]] = []
        self.outgoing_pre_votes: list[tuple[NodeId, PreVoteRequest]] = []
        self.outgoing_timeout_now: list[tuple[NodeId, TimeoutNowRequest]] = []
        self.reads_ready: list[tuple[int, int]] = []
        self.reads_aborted: list[int] = []

    @property
    def configuration(self) -> Configuration:
        """The members in force: the latest in the log, committed or not (thesis 4.1)."""
        return self.configurations[-1][1]

    @property
    def has_vote(self) -> bool:
        """Whether this node is a voter in the configuration in force, or in the previous one while that may return.

        Until the change that takes its vote away is committed, its log may be the only one that can win the
        others' votes (thesis 4.2.2). Its own vote counts only where the configuration in force says so. One change
        is uncommitted at a time, so every configuration before the last two is history, also on a node that was
        restarted and does not know what is committed.
        """
        (index, latest), before = self.configurations[-1], self.configurations[-2:-1]
        candidates = [latest]
        if index > self.commit_index:
            candidates += [configuration for _, configuration in before]
        return any(self.node_id in c.voters or self.node_id in c.voters_outgoing for c in candidates)

    @property
    def removed(self) -> bool:
        """Whether the members in force are committed and do not include this node, which was one before."""
        index, configuration = self.configurations[-1]
        return self.was_member and 0 < index <= self.commit_index and not configuration.holds(self.node_id)

    @property
    def may_campaign(self) -> bool:
        """Whether this node may become leader: it has a vote, and its priority is not 0."""
        return self.has_vote and self.config.priority > 0

    def configuration_at(self, index: int) -> Configuration:
        """Return the configuration that was in force when the entry at `index` was the last one."""
        for at, configuration in reversed(self.configurations):
            if at <= index:
                return configuration
        return self.configurations[0][1]

    def knows_configuration_at(self, index: int) -> bool:
        """Whether `configuration_at(index)` is what really was in force there."""
        return self.base_known or (len(self.configurations) > 1 and self.configurations[1][0] <= index)

    def postpone_election(self, now: float) -> None:
        """Draw the next election timeout (§5.2). A lower priority waits longer; 0 never campaigns."""
        config = self.config
        timeout = self.rng.uniform(config.election_timeout_min, config.election_timeout_max)
        self.election_deadline = now + (timeout / config.priority if config.priority else timeout)
