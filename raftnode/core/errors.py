"""The core's errors: one tree, split by what the caller does next."""


class RaftError(Exception):
    """The root of every error that raftnode raises on purpose."""


class NotLeader(RaftError):
    """This node does not lead. Retry at `leader_hint`, or later if it is None.

    Attributes:
        leader_hint: The node that leads, as far as this one knows, and never itself; None: unknown.
    """

    def __init__(self, leader_hint: int | None = None) -> None:
        self.leader_hint = leader_hint
        where = "no leader is known" if leader_hint is None else f"node {leader_hint} leads"
        super().__init__(f"this node is not the leader: {where}")


class LogCompacted(RaftError):
    """The requested entries were discarded after a snapshot. Read from `first_available`, or the snapshot.

    Attributes:
        requested: The first index that was asked for.
        first_available: The first index that the log holds.
    """

    def __init__(self, requested: int, first_available: int) -> None:
        self.requested = requested
        self.first_available = first_available
        super().__init__(f"log entry {requested} was compacted; the first available entry is {first_available}")


class ProposalRejected(RaftError):
    """The leader refuses this proposal; nothing was appended.

    Attributes:
        reason: Why, for an operator.
        temporary: Whether the same proposal may be accepted a moment later.
    """

    def __init__(self, reason: str, *, temporary: bool = False) -> None:
        self.reason = reason
        self.temporary = temporary
        super().__init__(reason)


class InvalidRequest(RaftError):
    """A peer's message breaks the protocol; nothing was changed. Drop the connection it came from."""


class InvalidState(RaftError):
    """The call comes before `restore()`, or is a second `restore()`. Nothing was changed."""


class GroupNotFound(RaftError):
    """A message for a Raft group that this process does not host.

    Attributes:
        group_id: That group.
    """

    def __init__(self, group_id: int) -> None:
        self.group_id = group_id
        super().__init__(f"this process does not host Raft group {group_id}")


class TransportError(RaftError):
    """A peer could not be reached, or the connection to it broke. Retry later."""


class StorageError(RaftError):
    """The disk failed or holds damaged data. The node must stop: it may not acknowledge, vote or retry."""


class SerializationError(RaftError):
    """Bytes could not be decoded."""


class ShutdownError(RaftError):
    """The node has stopped and answers nothing."""


class InvariantError(RaftError):
    """A safety property of Raft does not hold: a bug or corrupted state. The node must stop."""
