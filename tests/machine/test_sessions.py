"""Exactly-once sessions: what is applied, what is remembered, what is refused, and what may be forgotten."""

from collections.abc import Iterable, Iterator

import msgspec
import pytest

from raftnode.core.errors import SerializationError
from raftnode.machine.kv.machine import KvMachine
from raftnode.machine.protocol import CommandRefused
from raftnode.machine.sessions.machine import (
    Applied,
    Expired,
    Opened,
    Result,
    RuleBroken,
    SessionMachine,
    encode_open_session,
    encode_write,
)
from raftnode.wire.frame import encode_frame
from raftnode.wire.kv import Changes, Get, Increment, Put, encode
from raftnode.wire.snapshot import (
    SESSIONS_FORMAT_VERSION,
    InnerChunk,
    RecordBatch,
    ResultRecord,
    SessionEnd,
    SessionHeader,
    SessionRecord,
)


class Recorder:
    """A state machine that remembers each command it was given, and answers with its number."""

    def __init__(self, result_bytes: int = 0) -> None:
        self.applied: list[bytes] = []
        self.result_bytes = result_bytes

    def check(self, command: bytes) -> None:
        if command == b"refuse":
            raise CommandRefused("refused")

    def apply(self, index: int, command: bytes) -> bytes:
        self.applied.append(command)
        return b"%d" % len(self.applied) + bytes(self.result_bytes)

    def evaluate(self, command: bytes) -> bytes:
        return b"would be " + command

    def query(self, query: bytes) -> bytes:
        return b"answer to " + query

    def changes(self, query: bytes) -> bytes | None:
        return None

    def describe(self, command: bytes) -> str:
        return f"{len(command)} bytes"

    def snapshot(self) -> Iterator[bytes]:
        return iter(list(self.applied))

    def restore(self, chunks: Iterable[bytes]) -> None:
        self.applied = list(chunks)

    def digest(self) -> bytes:
        return repr(self.applied).encode()


class Log:
    """Applies entries one after another, as a log does."""

    def __init__(self, machine: SessionMachine) -> None:
        self.machine = machine
        self.index = 0

    def append(self, data: bytes) -> Applied:
        self.index += 1
        return self.machine.apply(self.index, data)

    def open(self) -> int:
        opened = self.append(encode_open_session())
        assert isinstance(opened, Opened)
        return opened.session

    def write(self, session: int, sequence: int, acknowledged: int = 0, command: bytes = b"c") -> Applied:
        return self.append(encode_write(session, sequence, acknowledged, command))


@pytest.fixture
def inner() -> Recorder:
    return Recorder()


@pytest.fixture
def log(inner: Recorder) -> Log:
    return Log(SessionMachine(inner))


def test_a_session_is_named_by_the_index_of_its_entry(log: Log) -> None:
    """Log indexes are not reused, so session ids are not."""
    assert [log.open(), log.open(), log.open()] == [1, 2, 3]


def test_a_repeated_write_gets_the_first_result_and_is_not_applied_again(log: Log, inner: Recorder) -> None:
    """The promise: once, however often it comes."""
    session = log.open()
    assert [log.write(session, 1) for _ in range(3)] == [Result(b"1")] * 3
    assert inner.applied == [b"c"]


def test_session_0_applies_a_write_each_time(log: Log, inner: Recorder) -> None:
    """No session, no memory."""
    results = [log.write(0, 1), log.write(0, 1), log.write(0, 0, 5)]
    assert results == [Result(b"1"), Result(b"2"), Result(b"3")]
    assert log.machine.result_bytes == 0


def test_sessions_do_not_share_sequences(log: Log) -> None:
    """Each session numbers its own writes."""
    one, two = log.open(), log.open()
    assert (log.write(one, 1), log.write(two, 1)) == (Result(b"1"), Result(b"2"))


def test_pipelined_writes_that_overtake_each_other_are_each_applied_once(log: Log, inner: Recorder) -> None:
    """Results are remembered for each sequence: a late 1 after an applied 3 is not taken for a repetition."""
    session = log.open()
    for sequence in (3, 2, 3, 1, 1, 2):
        log.write(session, sequence, command=b"%d" % sequence)
    assert inner.applied == [b"3", b"2", b"1"]


def test_an_acknowledged_result_is_forgotten_and_its_repetition_is_expired(log: Log, inner: Recorder) -> None:
    """What the client said it has is not kept; a late copy is not applied."""
    session = log.open()
    log.write(session, 1)
    log.write(session, 2)
    log.write(session, 3, acknowledged=2)
    assert log.write(session, 2) == Expired("the result of write 2 is forgotten: the client acknowledged up to 2")
    assert log.write(session, 3) == Result(b"3")
    assert len(inner.applied) == 3


def test_acknowledging_past_a_write_that_never_came_closes_it_for_ever(log: Log, inner: Recorder) -> None:
    """A client that gave up on a write is safe from its late copy."""
    session = log.open()
    log.write(session, 2, acknowledged=1, command=b"two")
    assert isinstance(log.write(session, 1, command=b"one"), Expired)
    assert inner.applied == [b"two"]


def test_an_acknowledgement_never_goes_back(log: Log) -> None:
    """A delayed copy carries an old acknowledgement: it opens nothing again."""
    session = log.open()
    log.write(session, 5, acknowledged=4)
    log.write(session, 6, acknowledged=0)
    assert isinstance(log.write(session, 4), Expired)


def test_a_far_jump_of_the_acknowledgement_costs_nothing(log: Log) -> None:
    """A number of a client's is never a number of steps."""
    session = log.open()
    log.write(session, 1)
    assert log.write(session, 2**62, acknowledged=2**62 - 1) == Result(b"2")
    assert isinstance(log.write(session, 1), Expired)


def test_an_unknown_session_is_expired(log: Log, inner: Recorder) -> None:
    """Whether an earlier try was applied cannot be known."""
    assert log.write(99, 1) == Expired("session 99 is unknown or has expired")
    assert inner.applied == []


@pytest.mark.parametrize(("sequence", "acknowledged"), [(0, 0), (1, 1), (5, 9)])
def test_numbers_that_make_no_sense_are_refused_before_and_after_the_log(
    log: Log, inner: Recorder, sequence: int, acknowledged: int
) -> None:
    """A write cannot be acknowledged by itself; sequences begin with 1."""
    session = log.open()
    with pytest.raises(CommandRefused):
        log.machine.check_write(session, sequence, acknowledged, b"c")
    before = log.machine.digest()
    assert isinstance(log.write(session, sequence, acknowledged), RuleBroken)
    assert (inner.applied, log.machine.digest()) == ([], before)
    log.machine.check_write(0, sequence, acknowledged, b"c")


def test_check_asks_the_inner_machine(log: Log) -> None:
    """What the inner machine does not take may not enter the log."""
    with pytest.raises(CommandRefused):
        log.machine.check(b"refuse")
    with pytest.raises(CommandRefused):
        log.machine.check_write(1, 1, 0, b"refuse")
    log.machine.check(b"fine")


def test_a_write_beyond_the_window_is_refused_and_may_come_again(inner: Recorder) -> None:
    """Refusal changes nothing: when the client has acknowledged, the same write is applied."""
    log = Log(SessionMachine(inner, results_max=4))
    session = log.open()
    assert isinstance(log.write(session, 5), RuleBroken)
    assert log.write(session, 4) == Result(b"1")
    assert log.write(session, 5, acknowledged=1) == Result(b"2")


def test_the_lowest_open_write_always_has_room(inner: Recorder) -> None:
    """A window full of later results cannot lock out the write that is needed to acknowledge them."""
    log = Log(SessionMachine(inner, results_max=4, session_bytes_max=1))
    session = log.open()
    assert log.write(session, 2) == Result(b"1")
    assert isinstance(log.write(session, 3), RuleBroken)
    assert log.write(session, 1) == Result(b"2")
    assert log.write(session, 3, acknowledged=2) == Result(b"3")


def test_acknowledging_makes_room_for_bytes_again() -> None:
    """What a session's results weigh falls with each acknowledged one, so a session can go on forever."""
    log = Log(SessionMachine(Recorder(result_bytes=100), session_bytes_max=500))
    session = log.open()
    for sequence in range(1, 50):
        assert isinstance(log.write(session, sequence, max(0, sequence - 2)), Result)


def test_the_least_recently_used_session_is_forgotten_first(inner: Recorder) -> None:
    """Use is a write, a repeated one too, in the order of the log; the rest are forgotten."""
    log = Log(SessionMachine(inner, sessions_max=3))
    one, two, three = log.open(), log.open(), log.open()
    log.write(one, 1)
    log.write(two, 1)
    log.write(one, 1)
    four = log.open()
    assert isinstance(log.write(three, 1), Expired)
    five = log.open()
    assert isinstance(log.write(two, 1), Expired)
    results = [log.write(session, 2) for session in (one, four, five)]
    assert results == [Result(b"3"), Result(b"4"), Result(b"5")]
    assert log.machine.session_count == 3


def test_a_retry_after_its_session_was_forgotten_is_never_applied(inner: Recorder) -> None:
    """Evict, then retry: Expired, and the command was applied once only."""
    log = Log(SessionMachine(inner, sessions_max=1))
    session = log.open()
    log.write(session, 1)
    log.open()
    assert isinstance(log.write(session, 1), Expired)
    assert inner.applied == [b"c"]


def test_large_results_make_the_least_recently_used_sessions_go() -> None:
    """All remembered results have one budget of bytes; the session in use stays."""
    log = Log(SessionMachine(Recorder(result_bytes=1000), results_bytes_max=5000))
    sessions = []
    for _ in range(8):
        sessions.append(log.open())
        assert isinstance(log.write(sessions[-1], 1), Result)
    assert log.machine.result_bytes <= 5000
    outcomes = [type(log.write(session, 1)) for session in sessions]
    assert outcomes == [Expired] * 4 + [Result] * 4


def test_the_weight_of_results_returns_to_zero(log: Log) -> None:
    """What is acknowledged or forgotten weighs nothing."""
    session = log.open()
    for sequence in range(1, 6):
        log.write(session, sequence)
    log.write(session, 6, acknowledged=5)
    log.write(session, 2**40, acknowledged=2**40 - 1)
    assert log.machine.result_bytes == 128 + len(b"7")


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"\xc1", b"\x95\x02\xff\x01\x00\xa0", b"\x95\x02\xff\x01\x00\xc4\x00", b"\x91\x09"]
)
def test_data_that_is_no_entry_has_a_result_and_changes_nothing(log: Log, data: bytes) -> None:
    """Undecodable committed data never stops a node, and is the same on every one."""
    before = log.machine.digest()
    assert log.append(data) == RuleBroken("these bytes are not an entry of the session machine")
    assert log.machine.digest() == before
    assert log.machine.describe(data) == f"not an entry of the session machine ({len(data)} bytes)"


def test_entries_are_described_with_their_session(log: Log) -> None:
    """describe() names the session and the write's number where there is one."""
    describe = log.machine.describe
    assert describe(encode_open_session()) == "open session"
    assert describe(encode_write(0, 0, 0, b"abc")) == "3 bytes"
    assert describe(encode_write(7, 4, 3, b"abc")) == "3 bytes [session 7 #4]"


def test_reads_and_watches_go_to_the_inner_machine(log: Log) -> None:
    """Sessions are about writes only."""
    assert log.machine.query(b"q") == b"answer to q"
    assert log.machine.changes(b"q") is None
    machine = SessionMachine(KvMachine())
    machine.apply(1, encode_write(0, 0, 0, encode(Put(b"k", b"v"))))
    assert machine.changes(encode(Changes(b"", 0))) is not None
    assert machine.query(encode(Get(b"k")))


@pytest.mark.parametrize("limit", ["sessions_max", "results_max", "session_bytes_max", "results_bytes_max"])
def test_a_limit_below_one_is_refused_by_the_constructor(inner: Recorder, limit: str) -> None:
    """A machine that could remember nothing would promise nothing."""
    with pytest.raises(ValueError, match="at least 1"):
        SessionMachine(inner, **{limit: 0})


def _busy_log(machine: SessionMachine) -> Log:
    log = Log(machine)
    sessions = [log.open() for _ in range(40)]
    for sequence in range(1, 6):
        for session in sessions[::2]:
            log.write(session, sequence, max(0, sequence - 3), encode(Increment(b"n/%d" % session)))
    return log


def test_a_restored_machine_remembers_results_and_the_order_of_use() -> None:
    """A retry is applied once across a snapshot too, and the next eviction hits the same session."""
    log = _busy_log(SessionMachine(KvMachine(), sessions_max=40))
    copy = SessionMachine(KvMachine(), sessions_max=40)
    copy.restore(log.machine.snapshot())
    assert copy.digest() == log.machine.digest()
    assert copy.result_bytes == log.machine.result_bytes
    for data in (
        encode_write(1, 5, 2, b"other"),
        encode_open_session(),
        encode_open_session(),
        encode_write(2, 1, 0, b""),
        encode_write(3, 6, 5, encode(Increment(b"n/3"))),
    ):
        log.index += 1
        assert copy.apply(log.index, data) == log.machine.apply(log.index, data)
        assert copy.digest() == log.machine.digest()


def test_a_snapshot_is_of_one_moment_for_sessions_and_machine_alike() -> None:
    """Writes, acknowledgements and evictions while it is written leave the copy as it was."""
    log = _busy_log(SessionMachine(KvMachine(), sessions_max=40))
    expected = log.machine.digest()
    snapshot = log.machine.snapshot()
    chunks: list[bytes] = []
    for step, chunk in enumerate(snapshot):
        chunks.append(chunk)
        log.open()
        log.write(1, 6 + step, 5 + step, encode(Increment(b"n/1")))
        log.write(39, 6, 3, encode(Put(b"n/39", bytes(100_000))))
    copy = SessionMachine(KvMachine(), sessions_max=40)
    copy.restore(chunks)
    assert copy.digest() == expected != log.machine.digest()


def test_a_closed_snapshot_closes_the_inner_one() -> None:
    """Nothing is kept for a snapshot that is no longer read, whether reading it had begun or not."""
    inner = KvMachine()
    machine = SessionMachine(inner)
    machine.apply(1, encode_write(0, 0, 0, encode(Put(b"k", b"v"))))
    for begun in (False, True):
        snapshot = machine.snapshot()
        if begun:
            next(snapshot)
        of_inner = inner._snapshot
        assert of_inner is not None
        snapshot.close()
        assert list(snapshot) == []
        assert list(of_inner) == []


def test_a_snapshot_of_a_machine_with_other_limits_is_refused() -> None:
    """Two nodes with different limits would forget different sessions: they may not pass for equal."""
    snapshot = list(SessionMachine(KvMachine()).snapshot())
    with pytest.raises(SerializationError, match="limits"):
        SessionMachine(KvMachine(), sessions_max=10).restore(snapshot)


_LIMITS = SessionMachine(Recorder())._limits


def _header(count: int = 0, version: int = SESSIONS_FORMAT_VERSION) -> SessionHeader:
    return SessionHeader(version, _LIMITS, count)


@pytest.mark.parametrize(
    "records",
    [
        [],
        [SessionEnd(0)],
        [_header()],
        [_header(version=SESSIONS_FORMAT_VERSION + 1), SessionEnd(0)],
        [_header(1), SessionEnd(0)],
        [_header(0), RecordBatch([SessionRecord(1, 0)]), SessionEnd(0)],
        [_header(1), RecordBatch([SessionRecord(1, 0), SessionRecord(1, 0)]), SessionEnd(0)],
        [_header(0), RecordBatch([ResultRecord(1, b"")]), SessionEnd(0)],
        [_header(1), RecordBatch([SessionRecord(1, 5), ResultRecord(5, b"")]), SessionEnd(0)],
        [_header(1), RecordBatch([SessionRecord(1, 0), *[ResultRecord(1, b"")] * 2]), SessionEnd(0)],
        [_header(), InnerChunk(b"x")],
        [_header(), InnerChunk(b"x"), SessionEnd(2)],
        [_header(), InnerChunk(b"x"), SessionEnd(1), InnerChunk(b"y")],
        [_header(), InnerChunk(b"x"), RecordBatch([]), SessionEnd(1)],
        [_header(), _header(), SessionEnd(0)],
        [_header(), Put(b"k", b"v")],
    ],
)
def test_a_snapshot_that_is_not_whole_is_refused_and_changes_nothing(records: list[msgspec.Struct]) -> None:
    """restore() is all or nothing, for the sessions and the inner machine together."""
    machine = Log(SessionMachine(Recorder()))
    machine.open()
    machine.write(1, 1)
    before = machine.machine.digest()
    with pytest.raises(SerializationError):
        machine.machine.restore([encode_frame(record) for record in records])
    assert machine.machine.digest() == before


def test_every_prefix_of_a_snapshot_is_refused() -> None:
    """Cut at any byte, a snapshot is recognised as cut."""
    log = Log(SessionMachine(KvMachine()))
    log.write(log.open(), 1, 0, encode(Put(b"k", b"v")))
    data = b"".join(log.machine.snapshot())
    for end in range(len(data)):
        with pytest.raises(SerializationError):
            SessionMachine(KvMachine()).restore([data[:end]])
