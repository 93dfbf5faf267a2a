"""What may leave is decided by what a response promises and what the disk has."""

import pytest

from raftnode.core.messages import (
    AppendEntriesResponse,
    InstallSnapshotResponse,
    PreVoteResponse,
    RequestVoteResponse,
)
from raftnode.core.types import HardState, LogEntry
from raftnode.replica.durability import Durability
from raftnode.replica.timers import Timers
from raftnode.storage.wal import Wal
from raftnode.wire.peer import PeerResponse
from tests.support.filesystem import SimulatedFilesystem


def half_written() -> tuple[Wal, Durability]:
    """Return a log with the durable entries 1..3 of term 2, and entry 4 staged."""
    wal = Wal.open("/wal", SimulatedFilesystem(1))
    wal.save_hard_state(HardState(2, None))
    wal.append([LogEntry(2, index, b"") for index in (1, 2, 3)])
    wal.sync()
    wal.append([LogEntry(2, 4, b"")])
    return wal, Durability(wal, lambda: 0.0, Timers(), lambda full, reason: None)


@pytest.mark.parametrize(
    ("response", "at_once"),
    [
        (AppendEntriesResponse(2, True, 3), True),
        (AppendEntriesResponse(2, True, 4), False),
        (AppendEntriesResponse(2, False, 4), True),
        (InstallSnapshotResponse(2, 9, 100), True),
        (InstallSnapshotResponse(2, 3, 100, True), False),
        (RequestVoteResponse(2, True), False),
        (PreVoteResponse(2, True), False),
    ],
)
def test_a_response_leaves_when_what_it_promises_is_durable(response: PeerResponse, at_once: bool) -> None:
    """An acknowledgement waits for its last entry, a refusal for nothing, a vote and a snapshot for all."""
    _, durability = half_written()
    assert durability.may_leave(response) is at_once
    assert durability.sync()
    assert durability.may_leave(response)


def test_nothing_leaves_before_the_term_and_the_vote_are_durable() -> None:
    """Figure 2: persistent state is updated before responding."""
    wal, durability = half_written()
    durability.save_hard_state(HardState(3, 1))
    assert not durability.hard_state_durable
    assert not durability.may_leave(AppendEntriesResponse(3, False, 3))
    assert durability.sync()
    assert durability.hard_state_durable
    assert durability.may_leave(RequestVoteResponse(3, True))
    durability.save_hard_state(wal.load_hard_state())
    assert durability.hard_state_durable


def test_entries_that_a_later_term_replaced_are_not_acknowledged() -> None:
    """The earlier leader's entries were staged in the same turn, and are not on the disk."""
    wal, durability = half_written()
    wal.truncate(4)
    wal.append([LogEntry(3, 4, b"")])
    durability.save_hard_state(HardState(3, None))
    assert durability.sync()
    assert not durability.may_leave(AppendEntriesResponse(2, True, 4))
    assert not durability.may_leave(AppendEntriesResponse(2, True, 0))
    assert durability.may_leave(AppendEntriesResponse(3, True, 4))
