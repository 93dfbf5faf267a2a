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

    `round` counts the leader's broadcasts in its term. The response repeats it, which proves that the
    follower still followed this leader after the broadcast was sent (thesis 6.4).

    Attributes:
        term: The sender's current term (§5.1).
        leader_id: The sender.
        prev_log_index: The index of the entry before `entries`; 0: they are the first of the log.
        prev_log_term: That entry's term: the receiver refuses unless its own entry there has it (§5.3).
        entries: The entries, without a gap.
        leader_commit: The sender's commit index.
        group_id: The Raft group. A node of another one raises `GroupNotFound`.
        round: The sender's count of broadcasts in its term; 0: none yet.
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
    """The answer to AppendEntriesRequest. `conflict_index` lets the leader skip a conflicting tail at once (§5.3).

    Attributes:
        term: The sender's current term (§5.1).
        success: Whether the entries fit this node's log, and are in it now.
        last_log_index: On success, the index up to which the logs are known to match: `prev_log_index + len(entries)`,
            or the follower's commit index if that is higher and `prev_log_index` lies before its snapshot point. On a
            refusal, the index of the follower's last entry.
        round: The request's round.
        rejected_index: On a refusal, the request's `prev_log_index`; else 0.
        conflict_index: On a refusal, the follower's last entry at or before `rejected_index` whose term is at most
            the request's `prev_log_term`; else 0.
        conflict_term: That entry's term.
        group_id: The Raft group of the request.
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
        """How far this node's log must be durable before this message is sent; None: all that is staged."""
        return self.last_log_index if self.success else 0


class RequestVoteRequest(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=12):
    """Candidate to voters: vote for me in `term` (§5.2).

    Attributes:
        term: The term of the election.
        candidate_id: The sender.
        last_log_index: The index of the candidate's last entry: an older log gets no vote (§5.4.1).
        last_log_term: That entry's term.
        group_id: The Raft group. A node of another one raises `GroupNotFound`.
        leadership_transfer: The leader asked for this election, so voters that are in contact with it may vote
            (thesis 4.2.3).
        to_voter: The candidate's log makes the receiver a voter. A learner that has not received the entry of its
            promotion votes because of this; otherwise no leader could be elected to send it (thesis 4.1).
    """

    term: int
    candidate_id: NodeId
    last_log_index: int
    last_log_term: int
    group_id: int = 0
    leadership_transfer: bool = False
    to_voter: bool = False


class RequestVoteResponse(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=13):
    """The answer to RequestVoteRequest.

    Attributes:
        term: The sender's current term (§5.1).
        vote_granted: Whether the candidate has this node's vote in that term.
        group_id: The Raft group of the request.
        reason: Why the vote was refused, for an operator; empty if it was granted.
    """

    term: int
    vote_granted: bool
    group_id: int = 0
    reason: str = ""

    @property
    def promised_index(self) -> int | None:
        """None: a granted vote relies on the whole log."""
        return None


class PreVoteRequest(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=14):
    """Pre-candidate to voters: would you vote for me in `term`? Changes nothing (thesis 9.6).

    Attributes:
        term: The term of the election that may follow: one above the sender's current term.
        candidate_id: The sender.
        last_log_index: The index of the sender's last entry.
        last_log_term: That entry's term.
        group_id: The Raft group. A node of another one raises `GroupNotFound`.
        to_voter: As in RequestVoteRequest.
    """

    term: int
    candidate_id: NodeId
    last_log_index: int
    last_log_term: int
    group_id: int = 0
    to_voter: bool = False


class PreVoteResponse(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=15):
    """The answer to PreVoteRequest.

    Attributes:
        term: The sender's current term, whatever the answer (§5.1).
        vote_granted: Whether this node would vote for the sender of the request.
        group_id: The Raft group of the request.
        requested_term: The request's term.
        reason: Why the vote would be refused, for an operator; empty if it would be granted.
    """

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
    """Leader to a member whose next entry was discarded: one chunk of a snapshot (figure 13).

    Snapshots with the same index, term and checksum are the same, whichever leader sends them.

    Attributes:
        term: The sender's current term (§5.1).
        leader_id: The sender.
        last_included_index: The index of the last entry that the snapshot covers.
        last_included_term: That entry's term.
        offset: Where in the snapshot this chunk begins, in bytes.
        data: The chunk.
        done: Whether this is the last chunk.
        group_id: The Raft group. A node of another one raises `GroupNotFound`.
        configuration: The members in force at `last_included_index`, in the last chunk at least.
        round: As in AppendEntriesRequest; 0 in the requests that `RaftNode.snapshot_chunk()` makes.
        checksum: A CRC-32 of the whole snapshot; 0: not given, and only one leader's chunks fit together.
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
    """The answer to InstallSnapshotRequest.

    Attributes:
        term: The sender's current term (§5.1).
        last_included_index: The snapshot that the answer is about; 0: the sender of the request does not lead.
        next_offset: Where to go on, in bytes.
        installed: Whether this request put the snapshot in force: if so, the caller loads its machine from it.
        group_id: The Raft group of the request.
        round: The request's round.
    """

    term: int
    last_included_index: int = 0
    next_offset: int = 0
    installed: bool = False
    group_id: int = 0
    round: int = 0

    @property
    def promised_index(self) -> int | None:
        """None if this request put the snapshot in force: the log is cut durably first."""
        return None if self.installed else 0


class TimeoutNowRequest(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=18):
    """Leader to the voter that is to lead next: campaign at once (thesis 3.10).

    Attributes:
        term: The sender's current term (§5.1).
        leader_id: The sender.
        group_id: The Raft group. A node of another one raises `GroupNotFound`.
    """

    term: int
    leader_id: NodeId
    group_id: int = 0


Request: TypeAlias = (
    AppendEntriesRequest | RequestVoteRequest | PreVoteRequest | InstallSnapshotRequest | TimeoutNowRequest
)
Response: TypeAlias = AppendEntriesResponse | RequestVoteResponse | PreVoteResponse | InstallSnapshotResponse
Message: TypeAlias = Request | Response
"""Everything that one node sends to another."""
