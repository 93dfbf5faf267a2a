"""The basic types of Raft: entries, the hard state, roles and the snapshot point."""

import enum

import msgspec

NodeId = int
"""A node's identity in its group: a positive integer that is never used again once its node is removed."""

Term = int
Index = int


class EntryKind(enum.IntEnum):
    """What a log entry carries.

    Attributes:
        COMMAND: Bytes for the state machine.
        NOOP: Nothing: the entry with which a new leader opens its term (§8).
        CONFIGURATION: An encoded `Configuration`: the cluster's members from this entry on (thesis 4.1).
    """

    COMMAND = 0
    NOOP = 1
    CONFIGURATION = 2


class NodeRole(enum.Enum):
    """The current role of a node.

    Attributes:
        FOLLOWER: It follows a leader, or waits for one.
        PRE_CANDIDATE: It asks whether it could win an election (thesis 9.6).
        CANDIDATE: It asks for votes (§5.2).
        LEADER: It takes proposals.
        LEARNER: It receives entries in order to become a voter, and never campaigns. It votes only for a candidate
            whose log makes it a voter already: see `RaftNode.handle_request_vote()`.
        OBSERVER: It is a permanent read-only copy, and never votes, campaigns, counts, or becomes a voter.
    """

    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre_candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"
    LEARNER = "learner"
    OBSERVER = "observer"


class LogEntry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One entry of the replicated log.

    Attributes:
        term: The term of the leader that appended it.
        index: Its place in the log; the first entry has 1.
        data: A command, opaque to the core; for the other kinds see `EntryKind`.
        kind: What the entry is for. Only commands are for the state machine: see `is_command`.
    """

    term: int
    index: int
    data: bytes
    kind: EntryKind = EntryKind.COMMAND

    @property
    def is_command(self) -> bool:
        """Whether this is a command for the state machine; all other entries are for the nodes themselves."""
        return self.kind is EntryKind.COMMAND


class HardState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The term and the vote, which are durable in one record before a vote or response is sent (figure 2).

    Attributes:
        current_term: The latest term that the node has seen.
        voted_for: Who has its vote in that term; None: nobody.
    """

    current_term: int = 0
    voted_for: NodeId | None = None


class SnapshotPoint(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The last discarded log entry, which a snapshot covers; (0, 0): nothing was discarded."""

    index: int = 0
    term: int = 0
