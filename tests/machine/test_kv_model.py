"""The key-value machine against a plain dict, with snapshots taken and restored at any moment."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from raftnode.machine.kv.machine import KvMachine
from raftnode.machine.kv.snapshot import KvSnapshot
from raftnode.wire.kv import (
    BadCommand,
    Change,
    Changes,
    ChangesResult,
    CompareAndSet,
    ConflictResult,
    Delete,
    DeleteResult,
    Get,
    GetResult,
    Increment,
    IncrementResult,
    KeyValue,
    List,
    ListResult,
    Put,
    PutResult,
)
from tests.machine.kv_calls import apply, query

KEYS = st.sampled_from([b"a", b"a/1", b"a/2", b"a0", b"b", b"b\xff", b"c"])
VALUES = st.sampled_from([b"", b"0", b"41", b"-7", b"text", b"x" * 50_000])
REVISIONS = st.none() | st.integers(0, 12)

Records = dict[bytes, KeyValue]


class KvComparison(RuleBasedStateMachine):
    """Every command goes to the machine and to a dict of records; results and states must stay equal."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = KvMachine()
        self.model: Records = {}
        self.revision = 0
        self.index = 0
        self.log: list[Change] = []
        self.lost_before = 0
        self.snapshot: KvSnapshot | None = None
        self.chunks: list[bytes] = []
        self.at_snapshot: tuple[Records, int, bytes] = ({}, 0, b"")

    def next_index(self) -> int:
        self.index += 1
        return self.index

    def store(self, index: int, key: bytes, value: bytes) -> int:
        old = self.model.get(key)
        if old is None:
            self.model[key] = KeyValue(key, value, index, index, 1)
        else:
            self.model[key] = KeyValue(key, value, old.create_revision, index, old.version + 1)
        self.changed(Change(index, key, value))
        return 0 if old is None else old.mod_revision

    def changed(self, change: Change) -> None:
        self.revision = change.revision
        self.log.append(change)

    def holds(self, key: bytes, expected: int | None) -> bool:
        record = self.model.get(key)
        return expected is None or expected == (0 if record is None else record.mod_revision)

    @rule(key=KEYS, value=VALUES, expected=REVISIONS)
    def put(self, key: bytes, value: bytes, expected: int | None) -> None:
        index = self.next_index()
        result = apply(self.machine, index, Put(key, value, expected))
        if self.holds(key, expected):
            assert result == PutResult(index, self.store(index, key, value))
        else:
            assert isinstance(result, ConflictResult)
            assert result.current == self.model.get(key)

    @rule(key=KEYS, expected=st.none() | VALUES, value=VALUES)
    def compare_and_set(self, key: bytes, expected: bytes | None, value: bytes) -> None:
        index = self.next_index()
        result = apply(self.machine, index, CompareAndSet(key, expected, value))
        record = self.model.get(key)
        if expected == (None if record is None else record.value):
            assert result == PutResult(index, self.store(index, key, value))
        else:
            assert isinstance(result, ConflictResult)
            assert result.current == record

    @rule(key=KEYS, expected=REVISIONS)
    def delete(self, key: bytes, expected: int | None) -> None:
        index = self.next_index()
        result = apply(self.machine, index, Delete(key, expected))
        if not self.holds(key, expected):
            assert isinstance(result, ConflictResult)
        elif key in self.model:
            del self.model[key]
            self.changed(Change(index, key, None))
            assert result == DeleteResult(index, True)
        else:
            assert result == DeleteResult(self.revision, False)

    @rule(key=KEYS, delta=st.integers(-3, 3))
    def increment(self, key: bytes, delta: int) -> None:
        index = self.next_index()
        result = apply(self.machine, index, Increment(key, delta))
        record = self.model.get(key)
        value = b"0" if record is None else record.value
        if value.removeprefix(b"-").isdigit():
            number = int(value) + delta
            self.store(index, key, str(number).encode())
            assert result == IncrementResult(index, number)
        else:
            assert isinstance(result, BadCommand)

    @rule(prefix=st.sampled_from([b"", b"a", b"a/", b"b", b"z"]), start=KEYS, limit=st.integers(1, 8))
    def list_keys(self, prefix: bytes, start: bytes, limit: int) -> None:
        keys = [key for key in sorted(self.model) if key.startswith(prefix) and key >= start]
        items = [self.model[key] for key in keys[:limit]]
        expected = ListResult(items, len(keys) > limit, self.revision)
        assert query(self.machine, List(prefix, start, limit)) == expected

    @rule(prefix=st.sampled_from([b"", b"a", b"b"]), after=st.integers(0, 60))
    def changes(self, prefix: bytes, after: int) -> None:
        first = max(after, self.lost_before) + 1
        found = [c for c in self.log if c.revision >= first and c.key.startswith(prefix)]
        lost = self.lost_before if self.lost_before > after else 0
        expected = ChangesResult(found, max(after, self.revision), lost)
        assert query(self.machine, Changes(prefix, after)) == expected

    @precondition(lambda self: self.snapshot is None)
    @rule()
    def open_snapshot(self) -> None:
        self.snapshot = self.machine.snapshot()
        self.chunks = []
        self.at_snapshot = (dict(self.model), self.revision, self.machine.digest())

    @precondition(lambda self: self.snapshot is not None)
    @rule()
    def write_a_chunk(self) -> None:
        assert self.snapshot is not None
        chunk = next(self.snapshot, None)
        if chunk is not None:
            self.chunks.append(chunk)

    @precondition(lambda self: self.snapshot is not None)
    @rule()
    def close_snapshot(self) -> None:
        assert self.snapshot is not None
        self.snapshot.close()
        self.snapshot = None

    @precondition(lambda self: self.snapshot is not None)
    @rule(go_back=st.booleans())
    def finish_snapshot(self, go_back: bool) -> None:
        """What was written restores to the state at the call; sometimes the machine itself goes back to it."""
        assert self.snapshot is not None
        chunks = [*self.chunks, *self.snapshot]
        self.snapshot = None
        records, revision, digest = self.at_snapshot
        machine = self.machine if go_back else KvMachine()
        machine.restore(chunks)
        assert (machine.digest(), machine.revision) == (digest, revision)
        if go_back:
            self.model, self.revision, self.lost_before = dict(records), revision, revision
            self.log = []

    @invariant()
    def records_are_equal(self) -> None:
        assert len(self.machine) == len(self.model)
        for key, record in self.model.items():
            assert query(self.machine, Get(key)) == GetResult(record, self.revision)


TestKvComparison = KvComparison.TestCase
TestKvComparison.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
