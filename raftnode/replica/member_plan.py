"""Membership changes as an operator asks for them: by name and address, with the arithmetic of what they risk.

The core decides what Raft allows. This module makes the checks of a careful operator: that the voters that are up
still make a quorum afterwards, and that a learner has caught up before it gets a vote.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Final

from raftnode.core.errors import SerializationError
from raftnode.core.membership import ConfChange, Configuration, apply_changes
from raftnode.core.status import PeerStatus, RaftStatus
from raftnode.core.types import NodeId
from raftnode.wire.address import parse_member_address, parse_node_name, same_address
from raftnode.wire.client import MemberAction, MemberOperation, MemberStatus
from raftnode.wire.peer import MemberContext, decode_member_context, encode_member_context

NEVER_MS: Final = -1
"""`MemberStatus.last_contact_ms` of a member that the leader has had no contact with."""


ADDRESS_LENGTH_MAX: Final = 262
"""A host name of 255 characters, a colon and a port; brackets included."""


class ChangeRefused(Exception):
    """A safety check forbids the change; the text has the arithmetic, for an operator."""


class NotCaughtUp(ChangeRefused):
    """A learner is too far behind to get a vote: later perhaps it is not. The text has how far it is."""


class MemberUnknown(Exception):
    """The change names a node that is no member."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How many voters there are, how many make a quorum, and how many more may fail (of those up; can be < 0)."""

    voters: int
    up: int

    @property
    def quorum(self) -> int:
        return self.voters // 2 + 1

    @property
    def tolerates(self) -> int:
        return self.up - self.quorum

    def __str__(self) -> str:
        return f"{self.voters} voters, {self.up} up, quorum {self.quorum}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The effect of a change. Without `changes` it was already made."""

    changes: list[ConfChange]
    target: Configuration
    before: Tolerance
    after: Tolerance


@dataclass(slots=True)
class _Roster:
    """Names and addresses that are taken, and the next free id, as one operation after another is looked at."""

    taken: dict[NodeId, MemberContext]
    next_id: NodeId

    @classmethod
    def of(cls, configuration: Configuration) -> "_Roster":
        taken = {node: member_context(configuration, node) for node in configuration.members()}
        return cls(taken, max([configuration.highest_id, *taken]) + 1)

    def add(self, name: str, address: str) -> NodeId:
        node, self.next_id = self.next_id, self.next_id + 1
        self.taken[node] = MemberContext(name, address)
        return node


def plan_change(
    operations: Sequence[MemberOperation],
    status: RaftStatus,
    up: Set[NodeId],
    *,
    force: bool,
    accept_quorum_loss: bool = False,
) -> Plan:
    """Return the effect of `operations` on a leader with `status`, where the nodes in `up` answer.

    Raises MemberUnknown; NotCaughtUp; ChangeRefused where the cluster would lose its quorum, or a name or address is
    taken; ProposalRejected where the core would refuse. `force` skips the check of lag, and `accept_quorum_loss` the
    one of the quorum.
    """
    configuration = status.configuration
    roll = _Roster.of(configuration)
    changes = [
        change
        for operation in operations
        if (change := _change(operation, configuration, status, roll, force=force)) is not None
    ]
    target = apply_changes(configuration, changes) if changes else configuration
    plan = Plan(changes, target, _tolerance(configuration, up), _tolerance(target, up))
    if not accept_quorum_loss and plan.after.tolerates < 0 and set(target.voters) != set(configuration.voters):
        raise ChangeRefused(f"the cluster would lose its quorum: now {plan.before}; after: {plan.after}")
    return plan


def member_context(configuration: Configuration, node: NodeId) -> MemberContext:
    """Return the name and address of a member; both empty where they are not known or cannot be read."""
    try:
        return decode_member_context(configuration.contexts.get(node))
    except SerializationError:
        # The core carries any bytes: a member without a name is shown, and not dialed.
        return MemberContext("", "")


def addresses(configuration: Configuration, but: NodeId) -> dict[NodeId, str]:
    """Return where the other members listen, those with a known address."""
    found = {node: member_context(configuration, node).address for node in configuration.members() if node != but}
    return {node: address for node, address in found.items() if address}


def kind_of(configuration: Configuration, node: NodeId) -> str:
    """Return the kind of a member: see `MemberStatus.kind`."""
    if node in configuration.voters:
        return "voter"
    if node in configuration.voters_outgoing:
        return "outgoing"
    return "learner" if node in configuration.learners else "observer"


def member_statuses(status: RaftStatus, configuration: Configuration) -> list[MemberStatus]:
    """Return the members of `configuration` as the node with `status` sees them; only a leader knows progress."""
    progress = {peer.peer: peer for peer in status.peers}
    return [_member_status(configuration, node, progress.get(node)) for node in configuration.members()]


def describe_changes(before: Configuration, after: Configuration) -> list[tuple[str, NodeId, str]]:
    """Return (event type, node, kind) for each difference between two configurations that follow each other."""
    old = {node: kind_of(before, node) for node in before.members()}
    new = {node: kind_of(after, node) for node in after.members()}
    found: list[tuple[str, NodeId, str]] = []
    for node in sorted(old.keys() | new.keys()):
        was, now = old.get(node), new.get(node)
        if was == now:
            continue
        if was is None:
            found.append(("member.added", node, now or ""))
        elif now is None:
            found.append(("member.removed", node, was))
        else:
            found.append(("member.promoted" if now == "voter" else "member.changed", node, now))
    return found


def _change(
    operation: MemberOperation, configuration: Configuration, status: RaftStatus, roll: _Roster, *, force: bool
) -> ConfChange | None:
    if operation.action in (MemberAction.ADD_VOTER, MemberAction.ADD_LEARNER, MemberAction.ADD_OBSERVER):
        return _addition(operation, configuration, roll)
    node = operation.node_id
    is_member = node in configuration.members()
    match operation.action:
        case MemberAction.REMOVE:
            roll.taken.pop(node, None)
            return ConfChange.remove(node) if is_member else None
        case _ if not is_member:
            raise MemberUnknown(f"node {node} is not a member of this cluster")
        case MemberAction.PROMOTE:
            if node in configuration.voters:
                return None
            if not force and node in configuration.learners:
                _require_caught_up(node, configuration, status)
            return ConfChange.promote(node)
        case _:
            return None if node in configuration.learners else ConfChange.demote(node)


def _addition(operation: MemberOperation, configuration: Configuration, roll: _Roster) -> ConfChange | None:
    for node, known in roll.taken.items():
        at_it = same_address(known.address, operation.address)
        if known.name == operation.name and at_it:
            return _addition_of_member(operation, configuration, node)
        if known.name == operation.name:
            raise ChangeRefused(f"the name {operation.name} is taken: node {node} at {known.address} has it")
        if at_it:
            raise ChangeRefused(f"the address {operation.address} is taken: node {node} ({known.name}) has it")
    _check_name_and_address(operation)
    node = roll.add(operation.name, operation.address)
    context = encode_member_context(operation.name, operation.address)
    match operation.action:
        case MemberAction.ADD_VOTER:
            return ConfChange.add_voter(node, context)
        case MemberAction.ADD_LEARNER:
            return ConfChange.add_learner(node, context)
        case _:
            return ConfChange.add_observer(node, context)


def _check_name_and_address(operation: MemberOperation) -> None:
    """Refuse an address that no member could dial, before every configuration carries it."""
    for what, value, parse in (
        ("name", operation.name, parse_node_name),
        ("address", operation.address, parse_member_address),
    ):
        try:
            parse(value)
        except ValueError as error:
            raise ChangeRefused(f"a new member's {what} {error}; it is {value[:80]!r}") from error
    if len(operation.address) > ADDRESS_LENGTH_MAX:
        raise ChangeRefused(
            f"a new member's address has {len(operation.address)} characters; the limit is {ADDRESS_LENGTH_MAX}"
        )


def _addition_of_member(operation: MemberOperation, configuration: Configuration, node: NodeId) -> ConfChange | None:
    """Repeating an addition changes nothing; changing a member's kind has its own operations."""
    if node not in configuration.members():
        raise ChangeRefused(f"{operation.name} is added twice in one change")
    kind = kind_of(configuration, node)
    wanted = operation.action.value.removeprefix("add_")
    if kind == wanted or (wanted == "learner" and kind == "voter"):
        return None
    raise ChangeRefused(f"{operation.name} is a member already, as {kind} (node {node})")


def _require_caught_up(node: NodeId, configuration: Configuration, status: RaftStatus) -> None:
    progress = next((peer for peer in status.peers if peer.peer == node), None)
    if progress is None or progress.promotable:
        return
    name = member_context(configuration, node).name or f"node {node}"
    heard = (
        "it was never heard from"
        if progress.last_contact is None
        else (f"it was heard from {progress.last_contact:.1f} s ago")
    )
    raise NotCaughtUp(
        f"{name} has not caught up: it has entry {progress.match_index} of {status.last_log_index}, and {heard}"
    )


def _tolerance(configuration: Configuration, up: Set[NodeId]) -> Tolerance:
    return Tolerance(len(configuration.voters), len(up & set(configuration.voters)))


def _member_status(configuration: Configuration, node: NodeId, progress: PeerStatus | None) -> MemberStatus:
    known = member_context(configuration, node)
    base = MemberStatus(node, known.name, known.address, kind_of(configuration, node))
    if progress is None:
        return base
    contact = NEVER_MS if progress.last_contact is None else round(progress.last_contact * 1000)
    return MemberStatus(
        base.id,
        base.name,
        base.address,
        base.kind,
        progress.match_index,
        progress.next_index,
        progress.progress,
        contact,
        progress.promotable,
    )
