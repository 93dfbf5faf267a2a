"""The cluster's members: voters, learners and observers (thesis chapter 4).

A `Configuration` is a value; `apply_changes()` and `leave_joint()` return the next one. Nothing here depends on a log
or a node: `commit.py` decides when a configuration takes effect.

Joint consensus (§6): while `voters_outgoing` is not empty the cluster is between two voter sets, and every
decision needs a majority of both.
"""

import enum
from collections.abc import Iterable, Sequence

import msgspec

from raftnode.core.arguments import InvalidArgumentType, check_index
from raftnode.core.errors import ProposalRejected, SerializationError
from raftnode.core.types import NodeId


class Configuration(msgspec.Struct, frozen=True, array_like=True):
    """The cluster's members: `make_configuration()` makes one. Every tuple is sorted, and no node is in two of
    `voters`, `learners`, `observers`.

    Attributes:
        voters: The nodes that vote, and count toward a quorum.
        voters_outgoing: In joint consensus, the voters before the change, a majority of which must agree too (§6);
            else empty.
        learners: The nodes that receive entries, usually to become voters.
        learners_next: Outgoing voters that become learners when the joint configuration is left: a demotion may not
            take away a vote that the outgoing half still counts.
        observers: The nodes that are permanent read-only copies.
        contexts: Opaque bytes of members, such as their addresses.
        highest_id: The highest node id ever used, so that a removed node's id is not reused.
    """

    voters: tuple[NodeId, ...] = ()
    voters_outgoing: tuple[NodeId, ...] = ()
    learners: tuple[NodeId, ...] = ()
    learners_next: tuple[NodeId, ...] = ()
    observers: tuple[NodeId, ...] = ()
    contexts: dict[NodeId, bytes] = {}
    highest_id: NodeId = 0

    @property
    def joint(self) -> bool:
        """Whether two voter sets must agree."""
        return bool(self.voters_outgoing)

    def voter_union(self) -> tuple[NodeId, ...]:
        """Return every node with a vote in either half."""
        if not self.voters_outgoing:
            return self.voters
        return tuple(sorted({*self.voters, *self.voters_outgoing}))

    def members(self) -> tuple[NodeId, ...]:
        """Return every node that entries are sent to."""
        return tuple(sorted({*self.voters, *self.voters_outgoing, *self.learners, *self.observers}))

    def holds(self, node: NodeId) -> bool:
        """Return whether `node` is a member, without listing them all."""
        return node in self.voters or node in self.voters_outgoing or node in self.learners or node in self.observers

    def encode(self) -> bytes:
        """Return the data of a CONFIGURATION entry. Equal configurations have equal bytes."""
        return _encoder.encode(self)


class SnapshotMeta(msgspec.Struct, frozen=True, array_like=True):
    """What a machine's snapshot covers: the last entry in it, and the members in force there.

    Attributes:
        index: The last entry's index; 0: the machine has applied nothing.
        term: That entry's term: `RaftNode.term_at(index)`.
        configuration: `RaftNode.configuration_at(index)`; None: the members are in the log.
    """

    index: int = 0
    term: int = 0
    configuration: Configuration | None = None


class ChangeKind(enum.Enum):
    """What a `ConfChange` does to one node.

    Attributes:
        ADD_VOTER: See `ConfChange.add_voter()`.
        ADD_LEARNER: See `ConfChange.add_learner()`.
        ADD_OBSERVER: See `ConfChange.add_observer()`.
        PROMOTE: See `ConfChange.promote()`.
        DEMOTE: See `ConfChange.demote()`.
        REMOVE: See `ConfChange.remove()`.
    """

    ADD_VOTER = "add_voter"
    ADD_LEARNER = "add_learner"
    ADD_OBSERVER = "add_observer"
    PROMOTE = "promote"
    DEMOTE = "demote"
    REMOVE = "remove"


class ConfChange(msgspec.Struct, frozen=True, array_like=True):
    """One member's change, for `RaftNode.propose_conf_change()`. Use the constructors.

    Attributes:
        kind: What to do.
        peer: The node to do it to.
        context: Opaque bytes to keep for the member in `Configuration.contexts`, such as its address; None: keep
            the present ones.
    """

    kind: ChangeKind
    peer: NodeId
    context: bytes | None = None

    @classmethod
    def add_voter(cls, peer: NodeId, context: bytes | None = None) -> "ConfChange":
        """Add `peer` with a vote at once. Prefer a learner that is promoted when it has caught up."""
        return cls(ChangeKind.ADD_VOTER, peer, context)

    @classmethod
    def add_learner(cls, peer: NodeId, context: bytes | None = None) -> "ConfChange":
        """Add `peer` without a vote, to catch up."""
        return cls(ChangeKind.ADD_LEARNER, peer, context)

    @classmethod
    def add_observer(cls, peer: NodeId, context: bytes | None = None) -> "ConfChange":
        """Add `peer` as a permanent read-only copy."""
        return cls(ChangeKind.ADD_OBSERVER, peer, context)

    @classmethod
    def promote(cls, peer: NodeId, context: bytes | None = None) -> "ConfChange":
        """Give the learner `peer` a vote."""
        return cls(ChangeKind.PROMOTE, peer, context)

    @classmethod
    def demote(cls, peer: NodeId, context: bytes | None = None) -> "ConfChange":
        """Turn the voter `peer` into a learner."""
        return cls(ChangeKind.DEMOTE, peer, context)

    @classmethod
    def remove(cls, peer: NodeId, context: bytes | None = None) -> "ConfChange":
        """Remove `peer`, whatever kind of member it is."""
        return cls(ChangeKind.REMOVE, peer, context)


def check_change(change: object) -> None:
    """Raise TypeError for anything but a ConfChange."""
    if not isinstance(change, ConfChange) or not isinstance(change.kind, ChangeKind):
        raise InvalidArgumentType(f"a membership change is a ConfChange, not {change!r}")
    check_index("the change's peer", change.peer)
    if change.context is not None and type(change.context) is not bytes:
        raise InvalidArgumentType(f"a member's context is bytes, not {type(change.context).__name__}")


def make_configuration(
    voters: Iterable[NodeId],
    learners: Iterable[NodeId] = (),
    observers: Iterable[NodeId] = (),
    contexts: dict[NodeId, bytes] | None = None,
) -> Configuration:
    """Return a configuration that is not joint. Raises ValueError if a node is listed twice."""
    v, le, o = sorted(voters), sorted(learners), sorted(observers)
    everyone = [*v, *le, *o]
    if len(set(everyone)) != len(everyone):
        raise ValueError(f"a node is listed twice: voters {v}, learners {le}, observers {o}")
    return Configuration(
        voters=tuple(v),
        learners=tuple(le),
        observers=tuple(o),
        contexts=dict(sorted((contexts or {}).items())),
        highest_id=max(everyone, default=0),
    )


def decode_configuration(data: bytes) -> Configuration:
    """Return the configuration in a CONFIGURATION entry's data. Raises SerializationError."""
    try:
        configuration = _decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError) as error:  # the latter on a deeply nested surplus field
        raise SerializationError(f"not a configuration: {error}") from error
    check_configuration(configuration)
    return configuration


def check_configuration(configuration: Configuration) -> None:
    """Raise SerializationError if a configuration that came from elsewhere is invalid."""
    for half in (
        configuration.voters,
        configuration.voters_outgoing,
        configuration.learners,
        configuration.learners_next,
        configuration.observers,
    ):
        if list(half) != sorted(set(half)):
            raise SerializationError(f"a configuration lists its nodes unsorted or twice: {half}")
    if not configuration.voters:
        raise SerializationError("a configuration has no voter")
    everyone = [*configuration.voters, *configuration.learners, *configuration.observers]
    if len(set(everyone)) != len(everyone):
        raise SerializationError(f"a configuration lists a node as two kinds of member: {sorted(everyone)}")
    if min(configuration.members()) < 1:
        raise SerializationError(f"a configuration has the invalid node id {min(configuration.members())}")


def apply_change(configuration: Configuration, change: ConfChange) -> Configuration:
    """Return `configuration` after one change that does not need joint consensus.

    Raises ProposalRejected if the change is invalid, with the reason for an operator.
    """
    return _apply(configuration, change)


def apply_changes(configuration: Configuration, changes: Sequence[ConfChange]) -> Configuration:
    """Return the configuration to propose for `changes`: joint if more than one vote changes (§6).

    Raises ProposalRejected if a change is invalid, if a node is named twice, or while
    `configuration` itself is joint.
    """
    if configuration.joint:
        raise ProposalRejected("a membership change is still in its joint phase", temporary=True)
    if not changes:
        raise ProposalRejected("no membership change was given")
    if len({change.peer for change in changes}) != len(changes):
        raise ProposalRejected("a node is named twice in one membership change")
    target = configuration
    for change in changes:
        target = _apply(target, change, last_voter_stays=len(changes) == 1)
    if not target.voters:
        raise ProposalRejected("the cluster would have no voter left")
    before, after = set(configuration.voters), set(target.voters)
    if len(before ^ after) <= 1:
        return target
    outgoing = tuple(configuration.voters)
    demoted = tuple(n for n in target.learners if n in before)
    return msgspec.structs.replace(
        target,
        voters_outgoing=outgoing,
        learners=tuple(n for n in target.learners if n not in before),
        learners_next=demoted,
        # A voter that leaves keeps its address until the joint configuration is left.
        contexts=dict(sorted((configuration.contexts | target.contexts).items())),
    )


def leave_joint(configuration: Configuration) -> Configuration:
    """Return the configuration that follows a joint one: the incoming voters alone decide (§6)."""
    learners = tuple(sorted({*configuration.learners, *configuration.learners_next}))
    stay = {*configuration.voters, *learners, *configuration.observers}
    return msgspec.structs.replace(
        configuration,
        voters_outgoing=(),
        learners=learners,
        learners_next=(),
        contexts={n: c for n, c in configuration.contexts.items() if n in stay},
    )


def _apply(configuration: Configuration, change: ConfChange, *, last_voter_stays: bool = True) -> Configuration:
    peer = change.peer
    if peer < 1:
        raise ProposalRejected(f"node ids are positive, not {peer}")
    voters, learners, observers = (
        set(configuration.voters),
        set(configuration.learners),
        set(configuration.observers),
    )
    contexts = dict(configuration.contexts)
    match change.kind:
        case ChangeKind.ADD_VOTER:
            if peer in voters:
                raise ProposalRejected(f"node {peer} is already a voter")
            _check_no_observer(peer, observers)
            learners.discard(peer)
            voters.add(peer)
        case ChangeKind.ADD_LEARNER:
            if peer in voters or peer in learners:
                raise ProposalRejected(f"node {peer} is already a {'voter' if peer in voters else 'learner'}")
            _check_no_observer(peer, observers)
            learners.add(peer)
        case ChangeKind.ADD_OBSERVER:
            if peer in voters or peer in learners or peer in observers:
                raise ProposalRejected(f"node {peer} is already a member")
            observers.add(peer)
        case ChangeKind.PROMOTE:
            if peer not in learners:
                raise ProposalRejected(f"node {peer} is not a learner")
            learners.discard(peer)
            voters.add(peer)
        case ChangeKind.DEMOTE:
            if peer not in voters:
                raise ProposalRejected(f"node {peer} is not a voter")
            if last_voter_stays and len(voters) == 1:
                raise ProposalRejected(f"node {peer} is the last voter")
            voters.discard(peer)
            learners.add(peer)
        case ChangeKind.REMOVE:
            if peer not in voters | learners | observers:
                raise ProposalRejected(f"node {peer} is not a member")
            if last_voter_stays and voters == {peer}:
                raise ProposalRejected(f"node {peer} is the last voter")
            for group in (voters, learners, observers):
                group.discard(peer)
            contexts.pop(peer, None)
    if change.kind is not ChangeKind.REMOVE and change.context is not None:
        contexts[peer] = change.context
    return msgspec.structs.replace(
        configuration,
        voters=tuple(sorted(voters)),
        learners=tuple(sorted(learners)),
        observers=tuple(sorted(observers)),
        contexts=dict(sorted(contexts.items())),
        highest_id=max(configuration.highest_id, peer),
    )


def _check_no_observer(peer: NodeId, observers: set[NodeId]) -> None:
    if peer in observers:
        raise ProposalRejected(
            f"node {peer} is an observer, and observers never become voters: remove it, and add a new node"
        )


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Configuration)
