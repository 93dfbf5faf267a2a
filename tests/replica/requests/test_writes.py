"""Writes alone: one batch a turn, and an answer that says done, not done or unknown."""

from typing import Any

from raftnode.core.types import EntryKind, LogEntry
from raftnode.machine.sessions.machine import Result
from raftnode.replica.requests import writes as module
from raftnode.replica.requests.writes import Writes
from raftnode.wire import client as wire
from raftnode.wire.client import NOT_DONE, UNKNOWN, ErrorCode
from raftnode.wire.kv import Put, encode
from tests.replica.requests.parts import Parts

HANDED_IN = ("node", "machine", "durability", "settings", "clock", "replies", "timers")


def leading() -> tuple[Parts, Writes]:
    parts = Parts()
    parts.lead()
    return parts, Writes(**parts.handed_in(*HANDED_IN))


def put(number: int, size: int = 1) -> wire.Write:
    return wire.Write(number, 0, 1, 0, encode(Put(b"k", bytes(size))))


def failures(parts: Parts) -> list[tuple[Any, ErrorCode, str]]:
    taken = [(client, answer) for client, answer in parts.desk.take() if isinstance(answer, wire.Failed)]
    return [(client, answer.code, answer.outcome) for client, answer in taken]


def test_the_writes_of_a_turn_are_one_batch_and_each_is_answered_when_it_is_applied() -> None:
    """In the order of the log."""
    parts, writes = leading()
    before = parts.node.last_log_index
    for number in (1, 2, 3):
        writes.write(f"client {number}", put(number))
    assert parts.node.last_log_index == before, "nothing is proposed before the turn's batch is"
    writes.propose()
    assert parts.node.last_log_index == before + 3
    assert len(writes) == 3
    for entry, applied in parts.commit():
        writes.applied(entry, applied)
    told = [
        (client, answer.id, answer.index) for client, answer in parts.desk.take() if isinstance(answer, wire.Written)
    ]
    assert told == [(f"client {number}", number, before + number) for number in (1, 2, 3)]
    assert len(writes) == 0


def test_a_write_that_is_not_applied_in_time_is_unknown() -> None:
    """Its entry is in the log: it may still be committed."""
    parts, writes = leading()
    writes.write("c", put(1))
    writes.propose()
    parts.wait(parts.settings.request_timeout - 0.1)
    assert failures(parts) == []
    parts.wait(0.2)
    assert failures(parts) == [("c", ErrorCode.TIMED_OUT, UNKNOWN)]


def test_a_leader_that_steps_down_caps_the_deadlines() -> None:
    """The next leader may overwrite the entries."""
    parts, writes = leading()
    writes.write("c", put(1))
    writes.propose()
    writes.leadership_lost(parts.now + 1.0)
    parts.wait(1.1)
    assert failures(parts) == [("c", ErrorCode.TIMED_OUT, UNKNOWN)]


def test_an_entry_of_another_term_means_that_the_write_did_not_happen() -> None:
    """The waiter is matched by index and term."""
    parts, writes = leading()
    writes.write("c", put(1))
    writes.propose()
    index, term = parts.node.last_log_index, parts.node.current_term
    writes.applied(LogEntry(term + 1, index, b"another", EntryKind.COMMAND), Result(b""))
    assert failures(parts) == [("c", ErrorCode.OVERWRITTEN, NOT_DONE)]


def test_a_snapshot_that_covers_the_entry_leaves_the_outcome_unknown() -> None:
    """What the entry came to is not in the snapshot."""
    parts, writes = leading()
    writes.write("c", put(1))
    writes.propose()
    writes.snapshot_installed(parts.node.last_log_index)
    assert failures(parts) == [("c", ErrorCode.TIMED_OUT, UNKNOWN)]


def test_a_full_disk_and_a_full_window_are_told_before_anything_is_proposed(monkeypatch: Any) -> None:
    """Both are not done; the window opens when its entries are committed."""
    parts, writes = leading()
    parts.disk.full = True
    writes.write("c", put(1))
    parts.disk.full = False
    assert failures(parts) == [("c", ErrorCode.NO_SPACE, NOT_DONE)]
    monkeypatch.setattr(module, "UNCOMMITTED_BYTES_MAX", 1000)
    writes.write("c", put(2, 1000))
    writes.write("c", put(3))
    assert failures(parts) == [("c", ErrorCode.BUSY, NOT_DONE)]
    writes.propose()
    parts.commit()
    writes.write("c", put(4))
    writes.propose()
    assert failures(parts) == []


def test_a_node_that_ends_answers_what_still_waits() -> None:
    """Unknown: the entry is in the log."""
    parts, writes = leading()
    writes.write("c", put(1))
    writes.propose()
    writes.fail_all()
    assert failures(parts) == [("c", ErrorCode.SHUTTING_DOWN, UNKNOWN)]
