"""What a node wants done: the one value that the caller acts on each turn."""

from dataclasses import dataclass, field
from typing import NamedTuple

from raftnode.core.messages import (
    AppendEntriesRequest,
    Message,
    PreVoteRequest,
    RequestVoteRequest,
    TimeoutNowRequest,
)
from raftnode.core.types import HardState, LogEntry, NodeId


@dataclass(frozen=True, slots=True)
class TransferOutcome:
    """How a leadership transfer ended. `reason` says why the target does not lead, where it does not."""

    target: NodeId
    done: bool
    reason: str


@dataclass(frozen=True, slots=True)
class PromotionOutcome:
    """How an automatic promotion ended. `reason` says why the learner has no vote, where it has none."""

    peer: NodeId
    done: bool
    reason: str


class Outgoing(NamedTuple):
    """Everything that one Ready sends, as (peer, message), by the moment at which it may leave."""

    at_once: list[tuple[NodeId, Message]]
    """May leave before this Ready is saved: a leader writes to its disk while its followers do (thesis 10.2.1)."""
    after_save: list[tuple[NodeId, Message]]
    """Rests on the hard state and the log of this Ready: it leaves when they are durable."""


@dataclass(slots=True)
class Ready:
    """What the node wants since the last `take_ready()`.

    In this order the caller:

    1. may send `messages` before its own fsync, where `hard_state` is None and every earlier one is durable
       (thesis 10.2.1);
    2. saves `hard_state` and makes it and the log durable, in one write and one fsync;
    3. sends everything else, and the responses that the handlers returned;
    4. applies `committed_entries`, and calls `advance_applied()`.

    `outgoing()` gives all that is to be sent in these two groups.
    """

    hard_state: HardState | None = None
    messages: list[tuple[NodeId, AppendEntriesRequest]] = field(default_factory=list)
    vote_requests: list[tuple[NodeId, RequestVoteRequest]] = field(default_factory=list)
    pre_vote_requests: list[tuple[NodeId, PreVoteRequest]] = field(default_factory=list)
    timeout_now: list[tuple[NodeId, TimeoutNowRequest]] = field(default_factory=list)
    committed_entries: list[LogEntry] = field(default_factory=list)
    """Each committed entry exactly once and in order, whatever its kind."""
    snapshots_needed: list[NodeId] = field(default_factory=list)
    """Members whose next entry was discarded. Named again from time to time until a snapshot is acknowledged:
    a caller that is still sending one to that member ignores it."""
    reads: list[tuple[int, int]] = field(default_factory=list)
    """(read id, index): the read may be served once the machine has applied `index` (thesis 6.4)."""
    reads_aborted: list[int] = field(default_factory=list)
    """Reads that no quorum confirms: this node stopped leading, or hears from no majority. Ask again, or elsewhere."""
    transfers: list[TransferOutcome] = field(default_factory=list)
    """Leadership transfers that ended: each one that was begun here ends here once."""
    promotions: list[PromotionOutcome] = field(default_factory=list)
    """Automatic promotions that ended: each one that was begun here ends here once."""
    removed: bool = False
    """This node was removed: said once, when the change is committed. It may be shut down, and its id is never used
    again."""

    def outgoing(self) -> Outgoing:
        """Return all that is to be sent: what may leave at once, and what must wait for this Ready's save.

        Responses that the handlers returned wait for the save, too. `at_once` assumes that the hard states of
        earlier Readys are durable; where one of them is still on its way to the disk, everything waits for it.
        """
        at_once: list[tuple[NodeId, Message]] = list(self.messages)
        after_save: list[tuple[NodeId, Message]] = [*self.vote_requests, *self.pre_vote_requests, *self.timeout_now]
        if self.hard_state is None:
            return Outgoing(at_once, after_save)
        return Outgoing([], at_once + after_save)

    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (
            self.hard_state
            or self.messages
            or self.vote_requests
            or self.pre_vote_requests
            or self.timeout_now
            or self.committed_entries
            or self.snapshots_needed
            or self.reads
            or self.reads_aborted
            or self.transfers
            or self.promotions
            or self.removed
        )
