"""The client and admin protocol: requests with an id of the client's choice, and answers that repeat it.

A client may send any number of requests without waiting; answers come in any order. Every request gets exactly
one answer. If that is `Failed`, its `outcome` says whether the request may have taken effect.
"""

import enum
from functools import cache
from typing import Annotated, Any, Final, Generic, TypeVar, get_args

import msgspec

from raftnode.core.types import LogEntry
from raftnode.wire.frame import decode_as


class ErrorCode(enum.Enum):
    """Why a request failed: what the client does next depends on it."""

    NOT_LEADER = "not_leader"
    """Ask the node at `leader_address`, or any other where it is empty."""
    NO_LEADER = "no_leader"
    """No leader, or no quorum, was there in time. Retry later."""
    TIMED_OUT = "timed_out"
    OVERWRITTEN = "overwritten"
    """Another leader's entry took the place of this write: it did not happen. Retry."""
    BUSY = "busy"
    """Too much is in flight, or the leader hands over. Retry."""
    BAD_REQUEST = "bad_request"
    TOO_LARGE = "too_large"
    SESSION_EXPIRED = "session_expired"
    """The session is no longer known, so whether an earlier try took effect cannot be known."""
    REFUSED = "refused"
    """A safety check forbids it; `message` has the arithmetic."""
    NOT_FOUND = "not_found"
    COMPACTED = "compacted"
    """The entries were discarded; `detail` is the first available index."""
    NO_SPACE = "no_space"
    SHUTTING_DOWN = "shutting_down"
    INTERNAL = "internal"

    @property
    def is_temporary(self) -> bool:
        """Whether the same request may succeed a moment later, at this node or at another one."""
        return self in _TEMPORARY


_TEMPORARY: Final = frozenset(
    {
        ErrorCode.NOT_LEADER,
        ErrorCode.NO_LEADER,
        ErrorCode.TIMED_OUT,
        ErrorCode.OVERWRITTEN,
        ErrorCode.BUSY,
        ErrorCode.SHUTTING_DOWN,
    }
)


class Consistency(enum.Enum):
    """What a read promises."""

    LINEARIZABLE = "linearizable"
    """Never stale: the leader confirms that it leads after the read arrived (§8, thesis 6.4)."""
    LOCAL = "local"
    """The answering node's own state, which may be behind."""


Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A number in a request: a decoder refuses one that is negative or too large for an index."""

Count = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
"""How much of something is wanted: at least one."""


AnswerT_co = TypeVar("AnswerT_co", covariant=True)


class Request(msgspec.Struct, Generic[AnswerT_co], frozen=True, array_like=True, gc=False):
    """What every request has. The parameter is the type of its answer: `Request["Written"]` is answered by a `Written`.

    `id` is the client's choice; no two requests that are under way on one connection have the same one.
    """

    id: Number


# Requests.


class OpenSession(Request["SessionOpened"], frozen=True, array_like=True, gc=False, tag=20):
    """Begin a session, within which each write is applied exactly once. Leader only."""


class Write(Request["Written"], frozen=True, array_like=True, gc=False, tag=21):
    """Propose `command` to the state machine. Leader only.

    `sequence` numbers the session's writes from 1; a repeated one gets the first one's result. `acknowledged`
    is the highest sequence up to which the client has every answer: the results up to it are forgotten.
    `session` 0 is no session: the write is applied once for each time that it is sent.

    `sequence` is above `acknowledged`, by at most 1024: a write that is further ahead is refused. Writes of
    one session that are under way at the same time may be applied in any order. An answer's outcome is about
    this try: an earlier one of the same sequence may still be applied, until a write acknowledges past it.
    """

    session: Number
    sequence: Number
    acknowledged: Number
    command: bytes


class Read(Request["ReadResult"], frozen=True, array_like=True, gc=False, tag=22):
    """Ask the state machine. LINEARIZABLE: leader only. LOCAL: any node, from its own state."""

    query: bytes
    consistency: Consistency = Consistency.LINEARIZABLE


class Watch(Request["ReadResult"], frozen=True, array_like=True, gc=False, tag=23):
    """Ask the state machine for changes; where there are none yet, wait up to `wait_ms` for one. Any node."""

    query: bytes
    wait_ms: Number


class EvaluateWrite(Request["ReadResult"], frozen=True, array_like=True, gc=False, tag=24):
    """Ask what the state machine would answer to `command` now, and write nothing. Leader only, linearizable.

    This is a separate request because an older node would ignore a flag on Write and do the write.
    """

    command: bytes


class GetStatus(Request["StatusResult"], frozen=True, array_like=True, gc=False, tag=30):
    """Ask for this node's `NodeStatus`. Any node, also without a leader."""


class GetLog(Request["LogResult"], frozen=True, array_like=True, gc=False, tag=31):
    """Ask for the committed entries `first`..`last`, both included. Waits up to `wait_ms` for `first` to commit.

    The answer holds at most `entries_max` entries and about `bytes_max` bytes of data; ask again for more.
    """

    first: Number
    last: Number
    wait_ms: Number = 0
    entries_max: Count = 1000
    bytes_max: Count = 1024 * 1024


class GetEvents(Request["EventsResult"], frozen=True, array_like=True, gc=False, tag=32):
    """Ask for the node's events after `cursor` (empty: the oldest kept); wait up to `wait_ms` for one.

    `types` is a glob such as `member.*`; empty for all.
    """

    cursor: str = ""
    types: str = ""
    limit: Count = 1000
    wait_ms: Number = 0


class MemberAction(enum.Enum):
    """What a membership change does to a member."""

    ADD_VOTER = "add_voter"
    ADD_LEARNER = "add_learner"
    ADD_OBSERVER = "add_observer"
    PROMOTE = "promote"
    DEMOTE = "demote"
    REMOVE = "remove"


class MemberOperation(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One member's change. An addition gives `name` and `address` (the leader picks the id), others give `node_id`."""

    action: MemberAction
    node_id: Number = 0
    name: str = ""
    address: str = ""


class ChangeMembers(Request["MembersChanged"], frozen=True, array_like=True, gc=False, tag=40):
    """Change the members; answered when the new configuration is committed. Leader only.

    `dry_run`: evaluate and answer, change nothing. `force`: skip the check of lag. `wait_ms`: hold the change until the
    learners to which it gives a vote have caught up, at most this long; a node of 0.1.0 ignores it and refuses at once.
    `accept_quorum_loss`: the cluster's name, which lifts the check that enough voters answer; a node of 0.1.0 ignores
    it, and lets `force` do that.
    """

    operations: list[MemberOperation]
    dry_run: bool = False
    force: bool = False
    wait_ms: Number = 0
    accept_quorum_loss: str = ""


class TransferLeadership(Request["LeadershipTransferred"], frozen=True, array_like=True, gc=False, tag=41):
    """Hand leadership to `target` (0: the most up-to-date voter); answered when it leads. Leader only."""

    target: Number = 0
    dry_run: bool = False


class TriggerSnapshot(Request["SnapshotTaken"], frozen=True, array_like=True, gc=False, tag=42):
    """Take a snapshot on this node now; answered when it is durable. Any node."""


class ListSnapshots(Request["SnapshotsResult"], frozen=True, array_like=True, gc=False, tag=43):
    """Ask for the snapshots that this node keeps. Any node."""


class ReadSnapshot(Request["SnapshotPiece"], frozen=True, array_like=True, gc=False, tag=44):
    """Ask for a piece of a stored snapshot's file, from byte `offset`. Any node.

    `index` and `term` name the snapshot; 0 and 0: the newest. The node keeps it while it is read, for
    SNAPSHOT_LEASE_S seconds after each piece. `bytes_max` is at most SNAPSHOT_PIECE_BYTES_MAX.
    """

    index: Number = 0
    term: Number = 0
    offset: Number = 0
    bytes_max: Count = 256 * 1024


SNAPSHOT_LEASE_S: Final = 60
SNAPSHOT_PIECE_BYTES_MAX: Final = 1024 * 1024


AnyRequest = (
    OpenSession
    | Write
    | Read
    | Watch
    | EvaluateWrite
    | GetStatus
    | GetLog
    | GetEvents
    | ChangeMembers
    | TransferLeadership
    | TriggerSnapshot
    | ListSnapshots
    | ReadSnapshot
)


# Values in answers.


class MemberStatus(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A member as the answering node sees it. Only a leader knows the last five; elsewhere they are None."""

    id: int
    name: str
    address: str
    kind: str
    """"voter", "learner" or "observer"; "outgoing" for a voter that a joint change removes or demotes."""
    match_index: int | None = None
    next_index: int | None = None
    progress: str | None = None
    """"probe", "replicate" or "snapshot"."""
    last_contact_ms: int | None = None
    """Milliseconds since the leader last heard from it; -1 for never while it runs; None for the node
    itself."""
    promotable: bool | None = None


class NodeStatus(msgspec.Struct, frozen=True, array_like=True):
    """Everything an operator may ask about one node, at one moment. Indexes are log indexes."""

    cluster_id: str
    cluster_name: str
    node_id: int
    node_name: str
    address: str
    instance_id: str
    version: str
    role: str
    """"leader", "follower", "pre_candidate", "candidate", "learner" or "observer"."""
    term: int
    leader_id: int | None
    leader_address: str
    commit_index: int
    applied_index: int
    first_log_index: int
    last_log_index: int
    snapshot_index: int
    snapshot_term: int
    configuration_index: int
    joint: bool
    members: list[MemberStatus]
    started_at: str
    """RFC 3339, UTC, milliseconds."""
    uptime_ms: int
    storage_state: str
    """"ok" or "full"."""
    no_leader_reason: str = ""
    counters: dict[str, int] = {}


class LogEntryView(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A log entry for an operator. `summary` is the machine's one-line description of a command."""

    entry: LogEntry
    summary: str


class SnapshotInfo(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A stored snapshot."""

    index: int
    term: int
    size_bytes: int
    created_at: str
    file: str
    voters: list[int]


class EventRecord(msgspec.Struct, frozen=True, array_like=True):
    """Something that happened on a node. `cursor` resumes after it; `data` holds plain JSON values."""

    cursor: str
    ts: str
    node: str
    type: str
    term: int
    data: dict[str, str | int | float | bool | list[int] | None]


# Answers.


class SessionOpened(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=60):
    id: int
    session: int


class Written(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=61):
    """The command was committed at `index` and applied; `result` is the machine's."""

    id: int
    index: int
    result: bytes


class ReadResult(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=62):
    """The machine's answer, from a state that includes every entry up to `applied_index`."""

    id: int
    applied_index: int
    result: bytes


class StatusResult(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=63):
    id: int
    status: NodeStatus


class LogResult(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=64):
    id: int
    entries: list[LogEntryView]
    commit_index: int
    first_log_index: int


class EventsResult(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=65):
    """`cursor` is where to go on; `lost` is how many events between the asked cursor and the first are gone
    (-1: some, the node restarted since)."""

    id: int
    events: list[EventRecord]
    cursor: str
    lost: int = 0


class MembersChanged(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=66):
    """What the change did, or would do (`dry_run`). `changed` is False where it was already so."""

    id: int
    changed: bool
    index: int
    members: list[MemberStatus]
    voters_before: int
    voters_after: int
    quorum_before: int
    quorum_after: int
    tolerates_before: int
    """How many more voters may fail, counted from those that are up now; negative: quorum is lost."""
    tolerates_after: int


class LeadershipTransferred(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=67):
    id: int
    changed: bool
    leader_id: int
    term: int


class SnapshotTaken(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=68):
    """`changed` is False where nothing was applied since the newest snapshot."""

    id: int
    changed: bool
    snapshot: SnapshotInfo


class SnapshotsResult(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=69):
    """Newest first."""

    id: int
    snapshots: list[SnapshotInfo]


class SnapshotPiece(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=70):
    """The snapshot file's own bytes from `offset`; `checksum` is their CRC-32.

    The file ends where `offset` and the length of `data` add up to the snapshot's `size_bytes`.
    """

    id: int
    snapshot: SnapshotInfo
    offset: int
    data: bytes
    checksum: int


NOT_DONE: Final = "not_done"
UNKNOWN: Final = "unknown"


class Failed(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=79):
    """The request failed. `outcome` NOT_DONE: nothing happened, safe to retry. UNKNOWN: it may have taken effect."""

    id: int
    code: ErrorCode
    message: str
    outcome: str = NOT_DONE
    leader_id: int | None = None
    leader_address: str = ""
    detail: int = 0


Answer = (
    SessionOpened
    | Written
    | ReadResult
    | StatusResult
    | LogResult
    | EventsResult
    | MembersChanged
    | LeadershipTransferred
    | SnapshotTaken
    | SnapshotsResult
    | SnapshotPiece
    | Failed
)

ANSWERED_BY: Final[dict[type[Request[Any]], type[Answer]]] = {
    # The forward reference that parameterizes the request's base class names the answer.
    request: globals()[get_args(request.__orig_bases__[0])[0].__forward_arg__]
    for request in get_args(AnyRequest)
}
"""The type of the answer to each type of request, beside `Failed`."""

_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


@cache
def _requests() -> "msgspec.msgpack.Decoder[AnyRequest]":
    # Clients never need it, and must start fast.
    return msgspec.msgpack.Decoder(AnyRequest)


def decode_request(body: bytes) -> AnyRequest:
    """Return the request in a frame's body. Raises FrameError."""
    return decode_as(_requests(), body, "a request")


def decode_answer(body: bytes) -> Answer:
    """Return the answer in a frame's body. Raises FrameError."""
    return decode_as(_answers, body, "an answer")
