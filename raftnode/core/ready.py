"""What a node wants done: the value that the caller acts on in each turn."""

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
    """How a leadership transfer ended.

    Attributes:
        target: The voter that was to lead.
        done: Whether it leads now.
        reason: Why it does not; empty if it does.
    """

    target: NodeId
    done: bool
    reason: str


@dataclass(frozen=True, slots=True)
class PromotionOutcome:
    """How a promotion begun by `promote_when_caught_up()` ended.

    Attributes:
        peer: The learner that was to become a voter.
        done: Whether it is a voter now.
        reason: Why it is not; empty if it is.
    """

    peer: NodeId
    done: bool
    reason: str


class Outgoing(NamedTuple):
    """Everything that one Ready sends, as lists of (peer, message), by when it may leave.

    Attributes:
        at_once: May leave before this Ready is saved: a leader's disk and its followers' work at the same time
            (thesis 10.2.1).
        after_save: Promises what is in the hard state and the log: must not leave before they are durable.
    """

    at_once: list[tuple[NodeId, Message]]
    after_save: list[tuple[NodeId, Message]]


@dataclass(slots=True)
class Ready:
    """What the node wants done since the last `take_ready()`. The caller's duties, in this order:

    1. Send `outgoing().at_once`.
       Left out: entries and heartbeats do not arrive, and the followers depose this leader. Sending it with step 3
       is safe too, only slower.
    2. Save `hard_state`, if any, and make it and the log durable: one write, one fsync.
       Left out: after a crash this node votes twice in one term, or lacks entries that it acknowledged. Two leaders
       are elected, or a committed write is lost.
    3. Send `outgoing().after_save`, and the responses that `step()` returned.
       Left out: nobody is elected and nothing is committed. Sent before step 2: the same as without step 2.
    4. Apply `committed_entries`, in order, and call `advance_applied()`.
       Left out: the state machine differs from the others'. Without `advance_applied()` the log is never compacted.
    5. Act on the rest: serve `reads`, send snapshots to `snapshots_needed`, and report what has ended.
       Left out: readers wait forever, and a member whose entries were discarded never catches up.

    Take the next Ready until one is empty: a save lets a leader commit. With an empty Ready there is nothing to save,
    but the responses of `step()` still have to be sent: step 3 is for every turn.

    All duties of one Ready come before the next `take_ready()`, except if the caller saves in the background. Then
    what waits for a save waits for that one and for all before it; and while a hard state is not durable yet, the
    `at_once` of later Readys waits too.

    Attributes:
        hard_state: The term and the vote, if they have changed since the last Ready; else None.
        log_changed: The log was written to since the last Ready: there is something to make durable, even if nothing
            is to be sent or saved.
        messages: AppendEntries to send, heartbeats included; part of `outgoing()`.
        vote_requests: RequestVotes to send; part of `outgoing()`.
        pre_vote_requests: PreVotes to send; part of `outgoing()`. With `pre_vote`, no election begins without them.
        timeout_now: Requests to campaign at once, for a leadership transfer; part of `outgoing()`.
        committed_entries: Each committed entry exactly once and in order, of every kind: apply those with
            `is_command`.
        snapshots_needed: Members whose next entry was discarded, and which therefore need a snapshot. Named again
            from time to time until one is acknowledged: ignore a member that is being sent one.
        reads: (read id, index) of reads that were confirmed: serve them once the machine has applied `index`
            (thesis 6.4).
        reads_aborted: Ids of reads that will not be confirmed, because this node stopped leading or gets no
            answers from a majority. Ask again, or ask another node.
        transfers: Leadership transfers that have ended. Each one begun here ends here once.
        promotions: Automatic promotions that have ended. Each one begun here ends here once.
        removed: This node was removed from the cluster. Set once, when the change is committed: it may be shut down.
    """

    hard_state: HardState | None = None
    log_changed: bool = False
    messages: list[tuple[NodeId, AppendEntriesRequest]] = field(default_factory=list)
    vote_requests: list[tuple[NodeId, RequestVoteRequest]] = field(default_factory=list)
    pre_vote_requests: list[tuple[NodeId, PreVoteRequest]] = field(default_factory=list)
    timeout_now: list[tuple[NodeId, TimeoutNowRequest]] = field(default_factory=list)
    committed_entries: list[LogEntry] = field(default_factory=list)
    snapshots_needed: list[NodeId] = field(default_factory=list)
    reads: list[tuple[int, int]] = field(default_factory=list)
    reads_aborted: list[int] = field(default_factory=list)
    transfers: list[TransferOutcome] = field(default_factory=list)
    promotions: list[PromotionOutcome] = field(default_factory=list)
    removed: bool = False

    def outgoing(self) -> Outgoing:
        """Return all that is to be sent: what may leave at once, and what must wait for this Ready's save.

        Responses that the handlers returned wait for the save, too. `at_once` assumes that the hard states of
        earlier Readys are durable; while one of them is not, everything waits for it.
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
            or self.log_changed
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
