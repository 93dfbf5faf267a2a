"""Membership changes as plans: the arithmetic, and what is refused before the core is asked."""

import dataclasses

import pytest

from raftnode.core.config import RaftConfig
from raftnode.core.errors import ProposalRejected
from raftnode.core.membership import ConfChange as Core
from raftnode.core.membership import Configuration, apply_changes, make_configuration
from raftnode.core.node import RaftNode
from raftnode.core.status import PeerStatus, RaftStatus
from raftnode.core.storage import MemStorage
from raftnode.replica.member_plan import (
    ChangeRefused,
    MemberUnknown,
    Plan,
    addresses,
    describe_changes,
    kind_of,
    member_context,
    plan_change,
)
from raftnode.wire.client import MemberAction, MemberOperation
from tests.support.replicas import add_learner, address_of, first_configuration, promote, remove


def status(configuration: Configuration, up: set[int], promotable: set[int] = frozenset()) -> RaftStatus:  # type: ignore[assignment]
    """Return the status of node 1 as the leader of `configuration`, which heard from the nodes in `up` just now."""
    node = RaftNode(RaftConfig(1, peers=(2, 3)), MemStorage())
    node.restore()
    peers = tuple(
        PeerStatus(peer, "replicate", 7, 8, 0, 0, 0.1 if peer in up else 60.0, peer in promotable)
        for peer in configuration.members()
        if peer != 1
    )
    return dataclasses.replace(node.status(), configuration=configuration, peers=peers, last_log_index=9)


def planned(operations: list[MemberOperation], now: RaftStatus, *, force: bool, accept: bool = False) -> Plan:
    """Return the plan where the nodes answer that `now` shows as heard from."""
    answering = {peer.peer for peer in now.peers if (peer.last_contact or 0.0) < 2.0} | {now.node_id}
    return plan_change(operations, now, answering, force=force, accept_quorum_loss=accept)


@pytest.mark.parametrize(
    ("voters", "up", "removed", "allowed"),
    [
        ([1, 2, 3], {2, 3}, [3], True),
        ([1, 2, 3], {2}, [3], True),
        ([1, 2, 3], {2}, [2], False),
        ([1, 2, 3, 4, 5], {2, 3}, [2], False),
        ([1, 2, 3, 4, 5], {2, 3}, [4], True),
        ([1, 2, 3, 4, 5], {2, 3}, [4, 5], True),
        ([1, 2, 3, 4, 5], {2, 3, 4}, [2, 3], True),
        ([1, 2], {2}, [2], True),
    ],
)
def test_a_removal_is_allowed_where_those_up_still_make_a_quorum(
    voters: list[int], up: set[int], removed: list[int], allowed: bool
) -> None:
    """Counted after the change, from the voters that were heard from lately and the leader itself."""
    now = status(first_configuration(voters), up)
    operations = [remove(node) for node in removed]
    if allowed:
        assert planned(operations, now, force=False).after.tolerates >= 0
    else:
        with pytest.raises(ChangeRefused, match=r"now \d voters, \d up, quorum \d; after: \d voters"):
            planned(operations, now, force=False)
        with pytest.raises(ChangeRefused, match="lose its quorum"):
            planned(operations, now, force=True)
        assert planned(operations, now, force=False, accept=True).changes


def test_a_promotion_needs_a_learner_that_caught_up() -> None:
    """Or force."""
    configuration = first_configuration([1, 2, 3], [4])
    behind, ready = status(configuration, {2, 3, 4}), status(configuration, {2, 3, 4}, {4})
    with pytest.raises(ChangeRefused, match=r"n4 has not caught up: it has entry 7 of 9, and it was heard from 0.1 s"):
        planned([promote(4)], behind, force=False)
    assert planned([promote(4)], behind, force=True).target.voters == (1, 2, 3, 4)
    plan = planned([promote(4)], ready, force=False)
    assert (plan.before.quorum, plan.after.quorum, plan.after.tolerates) == (2, 3, 1)


def test_a_voter_that_nobody_heard_from_may_not_cost_the_quorum() -> None:
    """Adding a voter to a lone node would leave it with one of two."""
    operation = MemberOperation(MemberAction.ADD_VOTER, 0, "n2", address_of(2))
    with pytest.raises(ChangeRefused, match="lose its quorum"):
        planned([operation], status(first_configuration([1]), set()), force=False)


def test_ids_are_never_used_again() -> None:
    """Also not within one change, and not after the highest was removed."""
    now = first_configuration([1, 2, 3])
    removed = apply_changes(now, [Core.remove(3)])
    plan = planned([add_learner(8), add_learner(9)], status(removed, {2}), force=False)
    assert plan.target.learners == (4, 5)


def test_an_observer_stays_one_and_so_does_a_voter() -> None:
    """Repeating `join` does no harm to a member that is further already; an observer never has a vote."""
    base = make_configuration([1, 2, 3], (), (4,), dict(first_configuration([1, 2, 3], [4]).contexts))
    now = status(base, {2, 3, 4})
    with pytest.raises(ChangeRefused, match="is a member already, as observer"):
        planned([add_learner(4)], now, force=False)
    assert planned([add_learner(2)], now, force=False).changes == []
    with pytest.raises(ProposalRejected, match="not a learner"):
        planned([promote(4)], now, force=False)


@pytest.mark.parametrize("action", [MemberAction.PROMOTE, MemberAction.DEMOTE])
def test_a_stranger_is_not_promoted_or_demoted(action: MemberAction) -> None:
    """There is no such member; removing it is already true."""
    now = status(first_configuration([1, 2, 3]), {2, 3})
    with pytest.raises(MemberUnknown):
        planned([MemberOperation(action, 9)], now, force=False)
    assert planned([remove(9)], now, force=False).changes == []


def test_differences_are_told_as_events() -> None:
    """One for each member that came, went or changed its capacity."""
    before = first_configuration([1, 2, 3], [4])
    after = apply_changes(before, [Core.promote(4), Core.remove(3), Core.add_observer(5)])
    assert after.joint
    assert describe_changes(before, after) == [
        ("member.changed", 3, "outgoing"),
        ("member.promoted", 4, "voter"),
        ("member.added", 5, "observer"),
    ]
    assert [kind_of(after, node) for node in (1, 3, 4, 5)] == ["voter", "outgoing", "voter", "observer"]


def test_a_member_whose_context_cannot_be_read_has_no_name() -> None:
    """And is not dialed."""
    configuration = make_configuration([1, 2, 3], contexts={2: b"\x93garbage", 3: first_configuration([3]).contexts[3]})
    assert member_context(configuration, 2).name == ""
    assert addresses(configuration, but=1) == {3: address_of(3)}


@pytest.mark.parametrize("address", ["0.0.0.0:7001", "[::]:7001"])
def test_a_member_at_all_interfaces_is_refused(address: str) -> None:
    """The others would dial themselves."""
    operation = MemberOperation(MemberAction.ADD_LEARNER, 0, "n4", address)
    with pytest.raises(ChangeRefused, match="the other nodes can dial"):
        planned([operation], status(first_configuration([1, 2, 3]), {2, 3}), force=True)


@pytest.mark.parametrize("spelled", ["10.0.0.2:07000", "[::ffff:10.0.0.2]:7000"])
def test_a_members_address_is_taken_however_it_is_spelled(spelled: str) -> None:
    """Two members at one address are one node with two votes."""
    operation = MemberOperation(MemberAction.ADD_LEARNER, 0, "n4", spelled)
    with pytest.raises(ChangeRefused, match=r"is taken: node 2 \(n2\) has it"):
        planned([operation], status(first_configuration([1, 2, 3]), {2, 3}), force=True)
