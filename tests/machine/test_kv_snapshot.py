"""Snapshots of the key-value machine: of one moment, whole or refused, and independent of history."""

import random
import time
from collections.abc import Iterable

import msgspec
import pytest

from raftnode.core.errors import SerializationError
from raftnode.machine.kv.machine import KvMachine
from raftnode.machine.kv.snapshot import KEYS_PER_STEP
from raftnode.machine.stream import CHUNK_BYTES, SLACK_BYTES
from raftnode.wire.frame import encode_frame
from raftnode.wire.kv import VALUE_BYTES_MAX, Changes, ChangesResult, Delete, Get, KeyValue, Put, encode
from raftnode.wire.snapshot import KV_FORMAT_VERSION, KvBatch, KvHeader
from tests.machine.kv_calls import apply, query, restored, watch


def filled(count: int, value_bytes: int = 1000) -> KvMachine:
    """Return a machine with `count` keys."""
    machine = KvMachine()
    for index in range(1, count + 1):
        apply(machine, index, Put(b"key/%06d" % index, bytes(value_bytes)))
    return machine


def test_a_restored_machine_has_the_same_digest_and_revision() -> None:
    """The snapshot carries everything that is state."""
    machine = filled(500)
    apply(machine, 501, Delete(b"key/000500"))
    copy = restored(machine.snapshot())
    assert copy.digest() == machine.digest()
    assert (copy.revision, len(copy)) == (501, 499)


def test_an_empty_machine_has_a_snapshot() -> None:
    """No keys is a state too."""
    assert restored(KvMachine().snapshot()).digest() == KvMachine().digest()


def test_the_digest_does_not_depend_on_how_the_state_came_about() -> None:
    """Same state, same digest: other orders of the same writes and keys that came and went leave no trace."""
    one, two = KvMachine(), KvMachine()
    apply(one, 1, Put(b"a", b"1"))
    apply(one, 2, Put(b"b", b"2"))
    apply(two, 2, Put(b"b", b"2"))
    apply(two, 1, Put(b"a", b"1"))
    for machine in (one, two):
        apply(machine, 9, Put(b"last", b""))
    assert one.digest() == two.digest()
    apply(two, 10, Put(b"a", b"1"))
    assert one.digest() != two.digest()


def test_a_snapshot_is_of_the_moment_of_the_call_while_writes_go_on() -> None:
    """Changed, deleted, created and recreated keys, before and behind the cursor, leave the copy as it was."""
    machine = filled(400)
    expected = machine.digest()
    snapshot = machine.snapshot()
    chunks: list[bytes] = []
    for step, chunk in enumerate(snapshot):
        chunks.append(chunk)
        index = 1000 + 10 * step
        for key in (1 + step, 200 + step, 400 - step):
            apply(machine, index, Put(b"key/%06d" % key, b"changed"))
            apply(machine, index + 1, Delete(b"key/%06d" % (key - 1)))
            apply(machine, index + 2, Put(b"key/%06d+" % key, b"new"))
        apply(machine, index + 3, Put(b"key/%06d" % (399 - step), b"recreated"))
        apply(machine, index + 4, Delete(b"key/%06d+" % (400 - step)))
    assert len(chunks) > 4
    assert restored(iter(chunks)).digest() == expected
    assert snapshot.kept == 0


def meddled(machine: KvMachine, rng: random.Random) -> list[bytes]:
    """Return the chunks of a snapshot between which random keys are put and deleted."""
    chunks: list[bytes] = []
    index = 10_000
    for chunk in machine.snapshot():
        chunks.append(chunk)
        for _ in range(rng.randrange(200)):
            index += 1
            key = b"key/%06d" % rng.randrange(1, 900) + rng.choice([b"", b"", b"+"])
            apply(machine, index, Delete(key) if rng.random() < 0.5 else Put(key, b"new" * rng.randrange(500)))
    return chunks


@pytest.mark.parametrize("seed", range(20))
def test_the_chunks_depend_only_on_the_state_at_the_call(seed: int) -> None:
    """What is applied while they are read leaves every byte, and every end of a chunk, as it was."""

    def machine() -> KvMachine:
        rng = random.Random(seed)
        made = KvMachine()
        for index in range(1, 600):
            apply(made, index, Put(b"key/%06d" % rng.randrange(1, 900), b"v" * rng.choice([10, 1000, 5000])))
        return made

    expected = list(machine().snapshot())
    assert len(expected) > 8
    found = meddled(machine(), random.Random(seed))
    assert [chunk for chunk in found if chunk] == expected


def test_many_new_keys_before_the_next_old_one_do_not_make_a_step_long() -> None:
    """An empty chunk comes between, and the others are as without them."""

    def machine() -> KvMachine:
        made = KvMachine()
        for index in range(1, 100):
            apply(made, index, Put(b"z%03d" % index, bytes(1000)))
        return made

    expected = list(machine().snapshot())
    changing = machine()
    snapshot = changing.snapshot()
    for index in range(3 * KEYS_PER_STEP):
        apply(changing, 1000 + index, Put(b"new/%06d" % index, b""))
    found = list(snapshot)
    assert found.count(b"") == 3
    assert [chunk for chunk in found if chunk] == expected


def test_deleted_keys_that_were_not_written_yet_are_in_the_snapshot() -> None:
    """All of the state may go while the snapshot is open."""
    machine = filled(300)
    expected = machine.digest()
    snapshot = machine.snapshot()
    for index in range(1, 301):
        apply(machine, 1000 + index, Delete(b"key/%06d" % index))
    assert restored(snapshot).digest() == expected
    assert len(machine) == 0


def test_an_open_snapshot_keeps_each_key_once_and_nothing_after_it_is_closed() -> None:
    """However many writes come, the extra memory is at most the size of the old state, and closing frees it."""
    machine = filled(50)
    snapshot = machine.snapshot()
    for index in range(1000, 2000):
        apply(machine, index, Put(b"key/%06d" % (1 + index % 50), b"x"))
    assert snapshot.kept == 50
    snapshot.close()
    apply(machine, 3000, Put(b"key/000001", b"x"))
    assert snapshot.kept == 0


def test_a_restore_leaves_an_open_snapshot_alone() -> None:
    """A snapshot that is being written when another one is installed still is the state of its call."""
    machine = filled(200)
    expected = machine.digest()
    snapshot = machine.snapshot()
    first = next(snapshot)
    machine.restore(list(filled(3).snapshot()))
    apply(machine, 999, Put(b"key/000200", b"x"))
    assert restored(iter([first, *snapshot])).digest() == expected


def test_chunks_are_about_64_kib_whatever_the_values_are() -> None:
    """A value of the largest size is cut as well."""
    machine = filled(500, value_bytes=300)
    apply(machine, 1000, Put(b"large", bytes(VALUE_BYTES_MAX)))
    chunks = list(machine.snapshot())
    assert max(map(len, chunks)) <= CHUNK_BYTES + SLACK_BYTES
    assert restored(iter(chunks)).digest() == machine.digest()


def test_chunks_may_be_cut_anywhere_on_the_way() -> None:
    """restore() takes a stream of bytes: it does not depend on where the chunks end."""
    machine = filled(5)
    data = b"".join(machine.snapshot())
    for size in (1, 3, 7, len(data)):
        copy = restored(data[start : start + size] for start in range(0, len(data), size))
        assert copy.digest() == machine.digest()


def _frames(*records: msgspec.Struct) -> Iterable[bytes]:
    return [encode_frame(record) for record in records]


_RECORD = KeyValue(b"k", b"v", 1, 1, 1)


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [b"\x00"],
        [b"\x00\x00\x00\x00"],
        [b"GET / HTTP/1.1\r\n\r\n"],
        _frames(KvBatch([_RECORD])),
        _frames(KvHeader(KV_FORMAT_VERSION + 1, 1, 0)),
        _frames(KvHeader(KV_FORMAT_VERSION, 1, 1)),
        _frames(KvHeader(KV_FORMAT_VERSION, 1, 0), KvBatch([_RECORD])),
        _frames(KvHeader(KV_FORMAT_VERSION, 1, 2), KvBatch([_RECORD, _RECORD])),
        _frames(KvHeader(KV_FORMAT_VERSION, 1, 1), KvBatch([_RECORD]), KvHeader(KV_FORMAT_VERSION, 1, 1)),
        _frames(KvHeader(KV_FORMAT_VERSION, 1, 0), Put(b"k", b"v")),
    ],
)
def test_a_snapshot_that_is_not_whole_is_refused_and_changes_nothing(chunks: list[bytes]) -> None:
    """restore() is all or nothing."""
    machine = filled(3)
    before = machine.digest()
    with pytest.raises(SerializationError):
        machine.restore(chunks)
    assert machine.digest() == before
    assert watch(machine, Changes(b"", 2)) is not None


def test_every_prefix_of_a_snapshot_is_refused() -> None:
    """Cut at any byte, a snapshot is recognised as cut."""
    data = b"".join(filled(3, value_bytes=5).snapshot())
    for end in range(len(data)):
        with pytest.raises(SerializationError):
            KvMachine().restore([data[:end]])


def test_a_restored_machine_says_that_older_changes_are_lost() -> None:
    """The watch history does not survive a snapshot: `lost_before` says so, and later changes arrive."""
    machine = restored(filled(4).snapshot())
    assert query(machine, Changes(b"", 2)) == ChangesResult([], 4, lost_before=4)
    assert watch(machine, Changes(b"", 4)) is None
    apply(machine, 5, Put(b"k", b"v"))
    answer = watch(machine, Changes(b"", 4))
    assert answer is not None
    assert ([change.revision for change in answer.changes], answer.lost_before) == ([5], 0)


def test_bytes_after_the_last_record_are_refused() -> None:
    """They begin a frame that never ends: something is missing, or does not belong here."""
    chunks = list(filled(3).snapshot())
    with pytest.raises(SerializationError, match="ends within a frame"):
        KvMachine().restore([*chunks, b"\0\0"])


def test_a_restored_machine_tells_no_changes_of_the_state_that_it_had() -> None:
    """They are not the changes that led to the state that it has now."""
    machine = filled(3)
    machine.restore(list(filled(4).snapshot()))
    assert query(machine, Changes(b"", 0)) == ChangesResult([], 4, lost_before=4)


def test_taking_a_snapshot_does_not_depend_on_how_much_there_is() -> None:
    """The call copies nothing: a hundred thousand keys take no millisecond, where a copy would take several."""
    machine = filled(100_000, value_bytes=10)
    fastest = min(_snapshot_seconds(machine) for _ in range(20))
    assert fastest < 0.001
    assert machine.query(encode(Get(b"key/000001")))


def _snapshot_seconds(machine: KvMachine) -> float:
    start = time.perf_counter()
    machine.snapshot()
    return time.perf_counter() - start
