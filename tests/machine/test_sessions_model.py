"""Exactly once, whatever the network does: writes that are duplicated, delayed, reordered and lost."""

from hypothesis import given, settings
from hypothesis import strategies as st

from raftnode.machine.kv.machine import KvMachine
from raftnode.machine.sessions.machine import (
    Applied,
    Expired,
    Result,
    RuleBroken,
    SessionMachine,
    encode_open_session,
    encode_write,
)
from raftnode.wire.kv import Get, GetResult, Increment, IncrementResult, decode_result, encode

LIMITS = {"sessions_max": 3, "results_max": 4, "session_bytes_max": 600, "results_bytes_max": 1500}


def _machine() -> SessionMachine:
    return SessionMachine(KvMachine(), **LIMITS)


def _count(machine: SessionMachine, key: bytes) -> int:
    result = decode_result(machine.query(encode(Get(key))))
    assert isinstance(result, GetResult)
    return 0 if result.item is None else int(result.item.value)


@st.composite
def deliveries(draw: st.DrawFn) -> list[bytes]:
    """A log with a client's writes repeated and reordered, each with what was acknowledged when it was sent.

    Each write increments its own key, so the key's value is the number of times it was applied.
    """
    entries: list[bytes] = []
    for _ in range(draw(st.integers(1, 60))):
        if draw(st.integers(0, 9)) == 0:
            entries.append(encode_open_session())
            continue
        session = draw(st.integers(1, 6))
        sequence = draw(st.integers(1, 8))
        acknowledged = draw(st.integers(0, sequence - 1))
        command = encode(Increment(_key(session, sequence)))
        entries.append(encode_write(session, sequence, acknowledged, command))
    return [encode_open_session(), encode_open_session(), *entries]


def _key(session: int, sequence: int) -> bytes:
    return b"%d/%d" % (session, sequence)


@settings(max_examples=300, deadline=None)
@given(deliveries())
def test_no_write_is_applied_twice_and_every_result_is_true(log: list[bytes]) -> None:
    """Result means applied once, always with the same result. Expired and RuleBroken mean this try was not applied."""
    machine = _machine()
    answered: dict[bytes, bytes] = {}
    for index, data in enumerate(log, start=1):
        before = {_key(s, q): _count(machine, _key(s, q)) for s in range(1, 7) for q in range(1, 9)}
        applied = machine.apply(index, data)
        after = {key: _count(machine, key) for key in before}
        assert max(after.values()) <= 1
        match applied:
            case Result(result=result):
                value = decode_result(result)
                assert isinstance(value, IncrementResult)
                assert value.value == 1
                changed = [key for key in after if after[key] != before[key]]
                for key in changed:
                    assert answered.setdefault(key, result) == result
            case Expired() | RuleBroken():
                assert after == before
        assert machine.session_count <= LIMITS["sessions_max"]


@settings(max_examples=200, deadline=None)
@given(deliveries(), st.data())
def test_a_machine_that_was_restored_anywhere_stays_equal(log: list[bytes], data: st.DataObject) -> None:
    """A machine restored from its snapshots along the way gives the same answers and digest as one that was not."""
    points = data.draw(st.sets(st.integers(1, len(log)), max_size=4))
    straight, moved = _machine(), _machine()
    for index, entry in enumerate(log, start=1):
        expected: Applied = straight.apply(index, entry)
        assert moved.apply(index, entry) == expected
        if index in points:
            copy = _machine()
            copy.restore(moved.snapshot())
            moved = copy
        assert moved.digest() == straight.digest()


@settings(max_examples=200, deadline=None)
@given(deliveries(), st.data())
def test_a_snapshot_that_is_written_while_entries_are_applied_is_of_its_moment(
    log: list[bytes], data: st.DataObject
) -> None:
    """Sessions and inner machine are of one moment, whatever is applied between two chunks."""
    start = data.draw(st.integers(0, len(log) - 1))
    machine = _machine()
    for index, entry in enumerate(log[:start], start=1):
        machine.apply(index, entry)
    expected = machine.digest()
    snapshot = machine.snapshot()
    chunks: list[bytes] = []
    for index, entry in enumerate(log[start:], start=start + 1):
        machine.apply(index, entry)
        if data.draw(st.booleans()):
            chunks += [chunk for chunk in [next(snapshot, None)] if chunk is not None]
    copy = _machine()
    copy.restore([*chunks, *snapshot])
    assert copy.digest() == expected


@st.composite
def sends(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """A client with a window of 4, and what reaches the log: (which write, how long ago it was sent)."""
    writes = draw(st.integers(1, 15))
    return writes, draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=80))


@settings(max_examples=300, deadline=None)
@given(sends())
def test_a_client_that_retries_until_it_is_answered_has_each_write_applied_once(
    case: tuple[int, list[tuple[int, int]]],
) -> None:
    """With lost, late and repeated tries of pipelined writes, each write is applied once and none expires.

    The client sends any write of its window and acknowledges what it has answers for without a gap. A try
    that was sent earlier, with what was acknowledged then, may arrive late, and its answer is lost.
    """
    writes, steps = case
    machine = _machine()
    machine.apply(1, encode_open_session())
    answered: set[int] = set()
    sent: list[bytes] = []
    index = 1
    acknowledged = 0
    turn = 0
    while acknowledged < writes:
        which, late = steps[turn] if turn < len(steps) else (0, 0)
        turn += 1
        index += 1
        if late and len(sent) >= late:
            machine.apply(index, sent[-late])
            continue
        sequence = min(writes, acknowledged + 1 + which)
        sent.append(encode_write(1, sequence, acknowledged, encode(Increment(b"%d" % sequence))))
        if isinstance(machine.apply(index, sent[-1]), Result):
            answered.add(sequence)
        while acknowledged + 1 in answered:
            acknowledged += 1
    assert [_count(machine, b"%d" % sequence) for sequence in range(1, writes + 1)] == [1] * writes


@settings(max_examples=150, deadline=None)
@given(deliveries(), deliveries(), st.integers(0, 3))
def test_the_snapshot_depends_only_on_the_log_before_it(log: list[bytes], later: list[bytes], each: int) -> None:
    """Not on what is applied between its chunks, and not on whether the machine came from a snapshot itself."""
    one, other = _machine(), _machine()
    for index, entry in enumerate(log, 1):
        one.apply(index, entry)
        if index == len(log) // 2:
            other.restore(list(one.snapshot()))
        elif index > len(log) // 2:
            other.apply(index, entry)
    expected = list(one.snapshot())
    found: list[bytes] = []
    index = len(log)
    for chunk in other.snapshot():
        found.append(chunk)
        for _ in range(each):
            index += 1
            other.apply(index, later[index % len(later)])
    assert [chunk for chunk in found if chunk] == expected
