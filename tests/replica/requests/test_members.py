"""Membership requests alone: evaluated, proposed, and answered when the change is applied."""

from raftnode.core.membership import decode_configuration
from raftnode.core.types import EntryKind
from raftnode.replica.requests.members import MemberRequests
from raftnode.wire import client as wire
from raftnode.wire.client import UNKNOWN, ErrorCode, MemberAction, MemberOperation
from tests.replica.requests.parts import Parts

HANDED_IN = ("connected", "node", "durability", "settings", "clock", "replies", "directory", "timers")
ADD = [MemberOperation(MemberAction.ADD_LEARNER, 0, "n2", "h2:1")]


def setup() -> tuple[Parts, MemberRequests]:
    parts = Parts()
    parts.lead()
    return parts, MemberRequests(**parts.handed_in(*HANDED_IN))


def test_a_change_is_answered_when_its_entry_is_applied() -> None:
    """With the members as they are then."""
    parts, members = setup()
    members.change("c", wire.ChangeMembers(1, ADD))
    assert members.changing
    assert parts.desk.take() == []
    for entry, _ in parts.commit():
        if entry.kind is EntryKind.CONFIGURATION:
            members.configuration_applied(entry, decode_configuration(entry.data))
    ((client, answer),) = parts.desk.take()
    assert client == "c"
    assert isinstance(answer, wire.MembersChanged)
    assert answer.changed
    assert [member.id for member in answer.members] == [1, 2]
    assert not members.changing


def test_a_dry_run_proposes_nothing() -> None:
    """It says what would change."""
    parts, members = setup()
    before = parts.node.last_log_index
    members.change("c", wire.ChangeMembers(1, ADD, dry_run=True))
    ((_, answer),) = parts.desk.take()
    assert isinstance(answer, wire.MembersChanged)
    assert answer.changed
    assert parts.node.last_log_index == before


def test_a_change_that_is_not_applied_in_time_is_unknown() -> None:
    """Its entry is in the log."""
    parts, members = setup()
    members.change("c", wire.ChangeMembers(1, ADD))
    parts.wait(parts.settings.request_timeout + 0.1)
    ((_, answer),) = parts.desk.take()
    assert isinstance(answer, wire.Failed)
    assert (answer.code, answer.outcome) == (ErrorCode.TIMED_OUT, UNKNOWN)


def test_a_full_disk_takes_no_change_and_a_lone_voter_has_no_successor() -> None:
    """Both are told at once."""
    parts, members = setup()
    parts.disk.full = True
    members.change("c", wire.ChangeMembers(1, ADD))
    members.transfer("d", wire.TransferLeadership(2))
    codes = [answer.code for _, answer in parts.desk.take() if isinstance(answer, wire.Failed)]
    assert codes == [ErrorCode.NO_SPACE, ErrorCode.REFUSED]
    assert members.best_successor() is None
