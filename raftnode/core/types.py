"""The nouns of Raft: entries, the hard state, roles and the snapshot point."""

import enum

import msgspec

NodeId = int
"""A node's identity in its group: a positive integer that is never used again once its node is removed."""

Term = int
Index = int


class EntryKind(enum.IntEnum):
    """What a log entry carries."""

    COMMAND = 0
    """Bytes for the state machine."""
    NOOP = 1
    """Nothing: the entry with which a new leader opens its term (§8)."""
    CONFIGURATION = 2
    """An encoded `Configuration`: the cluster's members from this entry on (thesis 4.1)."""


class NodeRole(enum.Enum):
    """What a node does at the moment."""

    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre_candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"
    LEARNER = "learner"
    """Receives entries in order to become a voter; never campaigns. It votes only for a candidate whose log gives it
    a vote that it has not heard of yet: see `RaftNode.handle_request_vote()`."""
    OBSERVER = "observer"
    """A permanent read-only copy; never votes, campaigns, counts, or becomes a voter."""


class LogEntry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One entry of the replicated log. `index` starts at 1; `data` is opaque to the core."""

    term: int
    index: int
    data: bytes
    kind: EntryKind = EntryKind.COMMAND

    @property
    def is_command(self) -> bool:
        """Whether this is a command for the state machine: every other entry is between the nodes."""
        return self.kind is EntryKind.COMMAND


class HardState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The term and the vote, which are durable in one record before a vote or response leaves (figure 2)."""

    current_term: int = 0
    voted_for: NodeId | None = None


class SnapshotPoint(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The last discarded log entry, which a snapshot covers; (0, 0) is the empty log's beginning."""

    index: int = 0
    term: int = 0
