"""Membership changes that the leader holds until a learner has caught up: nothing has changed until they are made."""

from raftnode.core.membership import decode_configuration
from raftnode.core.types import EntryKind
from raftnode.replica.requests.members import HELD_MAX, MemberRequests
from raftnode.replica.requests.polls import WAIT_MS_MAX
from raftnode.wire import client as wire
from raftnode.wire.client import NOT_DONE, ErrorCode, MemberAction, MemberOperation
from tests.replica.requests.parts import Parts
from tests.replica.requests.test_members import ADD, HANDED_IN

PROMOTE = [MemberOperation(MemberAction.PROMOTE, 2)]
REMOVE = [MemberOperation(MemberAction.REMOVE, 2)]


def setup() -> tuple[Parts, MemberRequests]:
    """Return a leader with a learner, n2, that was never heard from."""
    parts = Parts()
    parts.lead()
    members = MemberRequests(**parts.handed_in(*HANDED_IN))
    members.change("operator", wire.ChangeMembers(1, ADD))
    commit(parts, members)
    parts.desk.take()
    return parts, members


def commit(parts: Parts, members: MemberRequests) -> None:
    for entry, _ in parts.commit():
        if entry.kind is EntryKind.CONFIGURATION:
            members.configuration_applied(entry, decode_configuration(entry.data))


def failures(parts: Parts) -> list[tuple[object, ErrorCode, str]]:
    """Return who was told what since the last call; all of it failures."""
    taken = parts.desk.take()
    assert all(isinstance(answer, wire.Failed) for _, answer in taken)
    return [(client, answer.code, answer.outcome) for client, answer in taken if isinstance(answer, wire.Failed)]


def test_a_held_change_is_refused_at_its_deadline_with_the_figures() -> None:
    """Not before, and as if it had not waited; looking again does not move the deadline."""
    parts, members = setup()
    members.change("c", wire.ChangeMembers(2, PROMOTE, wait_ms=1000))
    assert members.holding
    assert len(members) == 1
    parts.wait(0.9)
    members.retry()
    assert parts.desk.take() == []
    parts.wait(0.1)
    ((client, answer),) = parts.desk.take()
    assert isinstance(answer, wire.Failed)
    assert (client, answer.id, answer.code, answer.outcome) == ("c", 2, ErrorCode.REFUSED, NOT_DONE)
    assert answer.message.startswith("n2 has not caught up: it has entry 0 of ")
    assert not members.holding


def test_only_a_change_that_waits_is_held() -> None:
    """Without wait_ms, or evaluated only, it is refused at once; and so is one too many."""
    parts, members = setup()
    members.change("a", wire.ChangeMembers(2, PROMOTE))
    members.change("b", wire.ChangeMembers(2, PROMOTE, dry_run=True, wait_ms=1000))
    assert [client for client, _, _ in failures(parts)] == ["a", "b"]
    for number in range(HELD_MAX):
        members.change("c", wire.ChangeMembers(number, PROMOTE, wait_ms=1000))
    assert parts.desk.take() == []
    members.change("d", wire.ChangeMembers(2, PROMOTE, wait_ms=1000))
    assert failures(parts) == [("d", ErrorCode.BUSY, NOT_DONE)]


def test_the_longest_wait_is_that_of_polls() -> None:
    """However long was asked for."""
    parts, members = setup()
    members.change("c", wire.ChangeMembers(2, PROMOTE, wait_ms=10**9))
    parts.wait(WAIT_MS_MAX / 1000)
    assert failures(parts) == [("c", ErrorCode.REFUSED, NOT_DONE)]


def test_everything_is_checked_anew_at_the_moment_of_the_change() -> None:
    """A learner that somebody removed meanwhile is unknown; a disk that filled up takes no entry."""
    parts, members = setup()
    members.change("c", wire.ChangeMembers(2, PROMOTE, wait_ms=1000))
    parts.disk.full = True
    members.retry()
    assert failures(parts) == [("c", ErrorCode.NO_SPACE, NOT_DONE)]
    parts.disk.full = False
    members.change("c", wire.ChangeMembers(2, PROMOTE, wait_ms=1000))
    members.change("d", wire.ChangeMembers(3, REMOVE))
    commit(parts, members)
    assert [type(answer) for _, answer in parts.desk.take()] == [wire.MembersChanged]
    members.retry()
    assert failures(parts) == [("c", ErrorCode.NOT_FOUND, NOT_DONE)]


def test_the_held_changes_of_a_client_that_is_gone_are_dropped() -> None:
    """All of them, and nobody else's."""
    parts, members = setup()
    for client, number in (("gone", 2), ("gone", 3), ("here", 2)):
        members.change(client, wire.ChangeMembers(number, PROMOTE, wait_ms=1000))
    members.forget("gone")
    parts.wait(1.0)
    assert failures(parts) == [("here", ErrorCode.REFUSED, NOT_DONE)]


def test_a_held_change_did_not_happen_where_the_node_stops_or_no_longer_leads() -> None:
    """Nothing of it is in the log, so nothing about it is unknown."""
    parts, members = setup()
    members.change("c", wire.ChangeMembers(2, PROMOTE, wait_ms=1000))
    members.close()
    assert failures(parts) == [("c", ErrorCode.SHUTTING_DOWN, NOT_DONE)]
    members.change("c", wire.ChangeMembers(2, PROMOTE, wait_ms=1000))
    members.leadership_lost(parts.now)
    assert failures(parts) == [("c", ErrorCode.NOT_LEADER, NOT_DONE)]
    assert len(members) == 0
