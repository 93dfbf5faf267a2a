"""The reference model says what DESIGN and the protocol's docstrings say, without a line of the machines' code."""

import pytest

from raftnode.machine.sessions.machine import encode_open_session, encode_write
from raftnode.wire.kv import (
    CompareAndSet,
    ConflictResult,
    Delete,
    DeleteResult,
    Increment,
    IncrementResult,
    KeyValue,
    KvCommand,
    Put,
    PutResult,
    encode,
)
from tests.simulation.reference import EXPIRED, Reference, Reply


def applied(*commands: KvCommand) -> list[object]:
    """Return what the commands come to at the indexes 1, 2, ..., outside any session."""
    reference = Reference()
    return [
        reference.apply(index, encode_write(0, 1, 0, encode(command))).result
        for index, command in enumerate(commands, 1)
    ]


def test_puts_and_deletes_tell_revisions() -> None:
    """A revision is the index of the entry that made the change; a delete of nothing makes none."""
    assert applied(Put(b"a", b"1"), Put(b"a", b"2"), Delete(b"a"), Delete(b"a"), Put(b"b", b"3")) == [
        PutResult(1, 0),
        PutResult(2, 1),
        DeleteResult(3, True),
        DeleteResult(3, False),
        PutResult(5, 0),
    ]


def test_compare_and_set_compares_values() -> None:
    """None stands for an absent key; a conflict returns the current state."""
    absent = CompareAndSet(b"a", None, b"1")
    assert applied(CompareAndSet(b"a", b"x", b"1"), absent, absent) == [
        ConflictResult("", None),
        PutResult(2, 0),
        ConflictResult("", KeyValue(b"a", b"1", 2, 2, 1)),
    ]


def test_increments_add_up() -> None:
    """An absent key counts as 0."""
    assert applied(Increment(b"n"), Increment(b"n", 5), Delete(b"n"), Increment(b"n", -2)) == [
        IncrementResult(1, 1),
        IncrementResult(2, 6),
        DeleteResult(3, True),
        IncrementResult(4, -2),
    ]


def test_a_session_applies_a_sequence_once() -> None:
    """A repeated one gets the first result until it is acknowledged, and is expired afterwards."""
    reference = Reference()
    increment = encode(Increment(b"n"))
    one = Reply("result", IncrementResult(2, 1))
    assert reference.apply(1, encode_open_session()) == Reply("session", 1)
    assert reference.apply(2, encode_write(1, 1, 0, increment)) == one
    assert reference.apply(3, encode_write(1, 1, 0, increment)) == one
    assert reference.apply(4, encode_write(1, 2, 1, increment)) == Reply("result", IncrementResult(4, 2))
    assert reference.apply(5, encode_write(1, 1, 0, increment)) == EXPIRED
    assert reference.apply(6, encode_write(7, 1, 0, increment)) == EXPIRED
    assert reference.value_at(b"n", 6) == b"2"
    assert reference.sessions_at(3) == {1: (0, {1: IncrementResult(2, 1)})}
    assert reference.sessions_at(6) == {1: (1, {2: IncrementResult(4, 2)})}


def test_every_past_state_is_known() -> None:
    """At every index, those of entries that are no commands included."""
    reference = Reference()
    commands: list[tuple[int, KvCommand]] = [(2, Put(b"a", b"1")), (5, Put(b"b", b"2")), (7, Delete(b"a"))]
    for index, command in commands:
        reference.apply(index, encode_write(0, 1, 0, encode(command)))
    assert [reference.value_at(b"a", index) for index in range(9)] == [None, None, *[b"1"] * 5, None, None]
    assert [reference.revision_at(index) for index in range(9)] == [0, 0, 2, 2, 2, 5, 5, 7, 7]
    assert [change.revision for change in reference.changes_between(2, 7)] == [5, 7]
    assert [change.revision for change in reference.changes_between(0, 6, b"a")] == [2]
    assert [reference.index_before(index) for index in (2, 5, 7)] == [0, 2, 5]


def test_entries_come_in_order() -> None:
    """Who skips back would rewrite the past."""
    reference = Reference()
    reference.apply(3, encode_open_session())
    with pytest.raises(AssertionError, match="entry 3 comes after 3"):
        reference.apply(3, encode_open_session())
