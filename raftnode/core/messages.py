"""One struct per RPC (figure 2, figure 13, thesis chapters 3, 4 and 9).

Field order is the wire's order and the constructors' positional order. The tag is the frame type in
`raftnode.wire.peer`; fields are only ever added at the end, with defaults.
"""

from typing import TypeAlias

import msgspec

from raftnode.core.membership import Configuration
from raftnode.core.types import LogEntry, NodeId

SnapshotIdentity: TypeAlias = tuple[int, int, int, int]
"""(leader's term or 0, last index, last term, checksum or 0): see `InstallSnapshotRequest.identity`."""


class AppendEntriesRequest(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=10):
    """Leader to everyone: these entries follow the one at `prev_log_index` (figure 2). Empty: a heartbeat.

    `round` counts the leader's broadcasts in its term. The answer repeats it, which tells the leader that the
    follower still followed it after the broadcast left (thesis 6.4).
    """

    term: int
    leader_id: NodeId
    prev_log_index: int
    prev_log_term: int
    entries: list[LogEntry]
    leader_commit: int
    group_id: int = 0
    round: int = 0


class AppendEntriesResponse(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=11):
    """The answer. On success `last_log_index` is `prev_log_index + len(entries)`: what this request proved.

    On a refusal `last_log_index` is where the follower's log ends, `rejected_index` is the `prev_log_index` that
    did not match, and (`conflict_index`, `conflict_term`) is the last entry of the follower at or before it whose
    term is at most the request's `prev_log_term`: the fast way back over a conflicting tail (§5.3).
    """

    term: int
    success: bool
    last_log_index: int
    round: int = 0
    rejected_index: int = 0
    conflict_index: int = 0
    conflict_term: int = 0
    group_id: int = 0

    @property
    def promised_index(self) -> int | None:
        """The entry up to which this node's log must be durable before this leaves; None: all that is staged."""
        return self.last_log_index if self.success else 0


class RequestVoteRequest(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=12):
    """Candidate to voters. `leadership_transfer` passes the rule that protects a live leader (thesis 4.2.3).

    `to_voter`: the candidate's log holds a configuration that gives the receiver a vote. A learner that has not
    heard of its promotion votes on the strength of it; otherwise no leader could come to tell it.
    """

    term: int
    candidate_id: NodeId
    last_log_index: int
    last_log_term: int
    group_id: int = 0
    leadership_transfer: bool = False
    to_voter: bool = False


class RequestVoteResponse(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=13):
    """A vote for the candidate in `term`, or a refusal, with its reason for the operator."""

    term: int
    vote_granted: bool
    group_id: int = 0
    reason: str = ""

    @property
    def promised_index(self) -> int | None:
        """None: a vote is given on the strength of the whole log."""
        return None


class PreVoteRequest(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=14):
    """Would you vote for me in `term`, which is one above my current term? Changes nothing (thesis 9.6)."""

    term: int
    candidate_id: NodeId
    last_log_index: int
    last_log_term: int
    group_id: int = 0
    to_voter: bool = False


class PreVoteResponse(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=15):
    """`term` is the answering node's current term, whatever the answer; `requested_term` repeats the request's."""

    term: int
    vote_granted: bool
    group_id: int = 0
    requested_term: int = 0
    reason: str = ""

    @property
    def promised_index(self) -> int | None:
        """None, as for the vote that it announces."""
        return None


class InstallSnapshotRequest(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=16):
    """One chunk of a snapshot at byte `offset` (figure 13). `configuration` is the one the snapshot committed.

    `checksum` stands for all of the snapshot's bytes; 0: not told. Snapshots with the same index, term and checksum
    are the same, whichever leader sends them.
    """

    term: int
    leader_id: NodeId
    last_included_index: int
    last_included_term: int
    offset: int
    data: bytes
    done: bool
    group_id: int = 0
    configuration: Configuration | None = None
    round: int = 0
    checksum: int = 0

    @property
    def identity(self) -> SnapshotIdentity:
        """What the chunks of one snapshot have in common. Without a checksum, only one leader's chunks fit."""
        leader_term = 0 if self.checksum else self.term
        return leader_term, self.last_included_index, self.last_included_term, self.checksum


class InstallSnapshotResponse(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=17):
    """`next_offset` is the byte to send next (resume there); `installed` says that the snapshot is in force."""

    term: int
    last_included_index: int = 0
    next_offset: int = 0
    installed: bool = False
    group_id: int = 0
    round: int = 0

    @property
    def promised_index(self) -> int | None:
        """None where the snapshot is in force: the log is cut durably first."""
        return None if self.installed else 0


class TimeoutNowRequest(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=18):
    """The leader asks this voter to campaign at once (thesis 3.10)."""

    term: int
    leader_id: NodeId
    group_id: int = 0


Request: TypeAlias = (
    AppendEntriesRequest | RequestVoteRequest | PreVoteRequest | InstallSnapshotRequest | TimeoutNowRequest
)
Response: TypeAlias = AppendEntriesResponse | RequestVoteResponse | PreVoteResponse | InstallSnapshotResponse
Message: TypeAlias = Request | Response
"""Everything that one node sends to another."""
