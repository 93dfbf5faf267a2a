"""The key-value machine's commands, queries, limits and watch history."""

import pytest

from raftnode.machine.kv.history import SCANNED_MAX
from raftnode.machine.kv.machine import INTEGER_MAX, INTEGER_MIN, KvMachine
from raftnode.machine.protocol import CommandRefused, StateMachine
from raftnode.wire.frame import FRAME_BYTES_MAX, encode_frame
from raftnode.wire.kv import (
    ANSWER_BYTES_MAX,
    KEY_BYTES_MAX,
    LIST_ITEMS_MAX,
    VALUE_BYTES_MAX,
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
    KvCommand,
    KvQuery,
    List,
    ListResult,
    Put,
    PutResult,
    decode_result,
    encode,
)
from tests.machine.kv_calls import apply, query, watch


def test_the_machine_is_a_state_machine() -> None:
    """KvMachine stands wherever the StateMachine protocol is asked for."""
    machine: StateMachine = KvMachine()
    assert machine.digest() == KvMachine().digest()


def test_a_put_gives_the_log_index_as_revision_and_the_previous_one() -> None:
    """A revision is the log index of the entry that made the change; 0 stands for an absent key."""
    machine = KvMachine()
    assert apply(machine, 7, Put(b"k", b"one")) == PutResult(7, 0)
    assert apply(machine, 9, Put(b"k", b"two")) == PutResult(9, 7)
    assert query(machine, Get(b"k")) == GetResult(KeyValue(b"k", b"two", 7, 9, 2), 9)


def test_a_get_of_an_absent_key_is_no_item() -> None:
    """An absent key is an answer, not an error."""
    machine = KvMachine()
    apply(machine, 3, Put(b"other", b"v"))
    assert query(machine, Get(b"k")) == GetResult(None, 3)


@pytest.mark.parametrize(("expected", "holds"), [(None, True), (5, True), (0, False), (4, False)])
def test_a_put_of_an_existing_key_holds_to_its_expected_revision(expected: int | None, holds: bool) -> None:
    """With `expected_revision` the write happens only where the key's mod_revision is that."""
    machine = KvMachine()
    apply(machine, 5, Put(b"k", b"one"))
    result = apply(machine, 6, Put(b"k", b"two", expected))
    if holds:
        assert result == PutResult(6, 5)
        return
    current = KeyValue(b"k", b"one", 5, 5, 1)
    assert result == ConflictResult(f"the key's revision is 5; {expected} was expected", current)
    assert machine.revision == 5


def test_expected_revision_zero_creates_and_another_one_does_not() -> None:
    """Revision 0 is an absent key's."""
    machine = KvMachine()
    conflict = apply(machine, 1, Put(b"k", b"v", 1))
    assert conflict == ConflictResult("the key does not exist; revision 1 was expected", None)
    assert apply(machine, 2, Put(b"k", b"v", 0)) == PutResult(2, 0)


def test_compare_and_set_compares_the_value_and_none_is_absent() -> None:
    """The write happens only where the present value is the expected one."""
    machine = KvMachine()
    assert apply(machine, 1, CompareAndSet(b"k", b"", b"x")) == ConflictResult("the key does not exist", None)
    assert apply(machine, 2, CompareAndSet(b"k", None, b"")) == PutResult(2, 0)
    current = KeyValue(b"k", b"", 2, 2, 1)
    conflict = apply(machine, 3, CompareAndSet(b"k", None, b"x"))
    assert conflict == ConflictResult("the key has another value", current)
    assert apply(machine, 4, CompareAndSet(b"k", b"", b"x")) == PutResult(4, 2)


def test_a_delete_says_whether_there_was_something_to_delete() -> None:
    """Deleting an absent key is no error and no change: the revision stays."""
    machine = KvMachine()
    apply(machine, 1, Put(b"k", b"v"))
    assert apply(machine, 2, Delete(b"absent")) == DeleteResult(1, False)
    assert apply(machine, 3, Delete(b"k")) == DeleteResult(3, True)
    assert query(machine, Get(b"k")) == GetResult(None, 3)
    assert apply(machine, 4, Put(b"k", b"v")) == PutResult(4, 0)
    assert query(machine, Get(b"k")) == GetResult(KeyValue(b"k", b"v", 4, 4, 1), 4)


def test_a_delete_holds_to_its_expected_revision() -> None:
    """With `expected_revision` only that revision is deleted; 0 is true of an absent key."""
    machine = KvMachine()
    apply(machine, 1, Put(b"k", b"v"))
    assert isinstance(apply(machine, 2, Delete(b"k", 7)), ConflictResult)
    assert apply(machine, 3, Delete(b"k", 1)) == DeleteResult(3, True)
    assert apply(machine, 4, Delete(b"k", 0)) == DeleteResult(3, False)
    conflict = apply(machine, 5, Delete(b"k", 3))
    assert conflict == ConflictResult("the key does not exist; revision 3 was expected", None)


def test_an_increment_counts_from_zero_and_keeps_ascii_digits() -> None:
    """An absent key counts as 0 and the value is readable text."""
    machine = KvMachine()
    assert apply(machine, 1, Increment(b"n")) == IncrementResult(1, 1)
    assert apply(machine, 2, Increment(b"n", -43)) == IncrementResult(2, -42)
    assert query(machine, Get(b"n")) == GetResult(KeyValue(b"n", b"-42", 1, 2, 2), 2)


@pytest.mark.parametrize("value", [b"", b" 1", b"1\n", b"+1", b"1_0", b"0x1", b"1.0", b"--1", "٣".encode(), b"9" * 20])
def test_an_increment_of_what_is_no_integer_changes_nothing(value: bytes) -> None:
    """Only ASCII digits, perhaps after a minus, are an integer: not all that Python would read as one."""
    machine = KvMachine()
    apply(machine, 1, Put(b"n", value))
    assert isinstance(apply(machine, 2, Increment(b"n")), BadCommand)
    assert query(machine, Get(b"n")) == GetResult(KeyValue(b"n", value, 1, 1, 1), 1)


@pytest.mark.parametrize(("start", "delta"), [(INTEGER_MAX, 1), (INTEGER_MIN, -1), (INTEGER_MAX, INTEGER_MAX)])
def test_a_sum_outside_64_bits_changes_nothing(start: int, delta: int) -> None:
    """A counter stays a signed 64-bit integer, so that the result can always be sent."""
    machine = KvMachine()
    apply(machine, 1, Put(b"n", b"%d" % start))
    assert isinstance(apply(machine, 2, Increment(b"n", delta)), BadCommand)
    assert machine.revision == 1


@pytest.mark.parametrize(
    ("command", "too_large", "numbers"),
    [
        (Put(b"", b"v"), False, "empty"),
        (Delete(b""), False, "empty"),
        (Put(b"k" * (KEY_BYTES_MAX + 1), b"v"), True, "65537 bytes; the limit is 65536"),
        (Increment(b"k" * (KEY_BYTES_MAX + 1)), True, "65537 bytes; the limit is 65536"),
        (Put(b"k", bytes(VALUE_BYTES_MAX + 1)), True, "8388609 bytes; the limit is 8388608"),
        (CompareAndSet(b"k", None, bytes(VALUE_BYTES_MAX + 1)), True, "8388609 bytes; the limit is 8388608"),
    ],
)
def test_a_command_over_a_limit_is_refused_with_the_numbers(command: KvCommand, too_large: bool, numbers: str) -> None:
    """check() keeps such a command out of the log; if one gets there anyway, apply() changes nothing."""
    machine = KvMachine()
    with pytest.raises(CommandRefused, match=numbers) as refusal:
        machine.check(encode(command))
    assert refusal.value.too_large is too_large
    before = machine.digest()
    assert not isinstance(apply(machine, 1, command), PutResult | IncrementResult)
    assert machine.digest() == before


def test_the_largest_pair_is_accepted_and_every_answer_with_it_fits_in_a_frame() -> None:
    """A key of 64 KiB and a value of 8 MiB are within the limits, and their answers still fit in a frame."""
    machine = KvMachine()
    for last in b"ab":
        command = Put(b"k" * (KEY_BYTES_MAX - 1) + bytes([last]), bytes(VALUE_BYTES_MAX))
        machine.check(encode(command))
        assert isinstance(apply(machine, last, command), PutResult)
    for question in (Get(command.key), List(b"k"), Changes(b"", 0)):
        answer = machine.query(encode(question))
        assert VALUE_BYTES_MAX < len(answer) < FRAME_BYTES_MAX - 4096
    result = query(machine, List(b"k"))
    assert isinstance(result, ListResult)
    assert result.more
    assert len(encode_frame(result)) < FRAME_BYTES_MAX


@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff" * 9, b"\x92\x01", encode(Get(b"k"))])
def test_bytes_that_are_no_command_are_refused_and_never_stop_apply(data: bytes) -> None:
    """Committed data that cannot be decoded has a result, the same on every node, and changes nothing."""
    machine = KvMachine()
    with pytest.raises(CommandRefused):
        machine.check(data)
    assert decode_result(machine.apply(1, data)) == BadCommand("these bytes are not a key-value command")
    assert machine.digest() == KvMachine().digest()


@pytest.mark.parametrize(
    "question", [b"", b"\x93\x09", Get(b""), Get(b"k" * 65537), List(b"", limit=0), Changes(b"", 0, limit=-1)]
)
def test_a_query_that_makes_no_sense_is_refused(question: KvQuery | bytes) -> None:
    """query() and changes() raise CommandRefused and nothing else."""
    data = question if isinstance(question, bytes) else encode(question)
    for ask in (KvMachine().query, KvMachine().changes):
        with pytest.raises(CommandRefused):
            ask(data)


def test_a_list_has_the_prefix_in_byte_order_from_start_on() -> None:
    """Byte order, whatever the order of writing; `start` before the prefix begins at the prefix."""
    machine = KvMachine()
    for index, key in enumerate([b"b/2", b"a", b"b/\xff", b"b/1", b"c", b"b0", b"b/"], start=1):
        apply(machine, index, Put(key, b"v"))

    def keys(question: List) -> list[bytes]:
        result = query(machine, question)
        assert isinstance(result, ListResult)
        return [item.key for item in result.items]

    assert keys(List(b"b/")) == [b"b/", b"b/1", b"b/2", b"b/\xff"]
    assert keys(List(b"b/", start=b"a")) == [b"b/", b"b/1", b"b/2", b"b/\xff"]
    assert keys(List(b"b/", start=b"b/1\x00")) == [b"b/2", b"b/\xff"]
    assert keys(List(b"b/", start=b"c")) == []
    assert keys(List(b"")) == [b"a", b"b/", b"b/1", b"b/2", b"b/\xff", b"b0", b"c"]
    apply(machine, 8, Delete(b"b/1"))
    assert keys(List(b"b/")) == [b"b/", b"b/2", b"b/\xff"]


def test_a_list_that_is_cut_goes_on_just_after_the_last_key() -> None:
    """`more` says that a limit cut the list; asking again from the last key + NUL loses and repeats nothing."""
    machine = KvMachine()
    for index in range(1, 26):
        apply(machine, index, Put(b"k%02d" % index, b"v"))
    found: list[bytes] = []
    start = b""
    while True:
        result = query(machine, List(b"k", start=start, limit=10))
        assert isinstance(result, ListResult)
        found += [item.key for item in result.items]
        if not result.more:
            break
        assert len(result.items) == 10
        start = found[-1] + b"\x00"
    assert found == [b"k%02d" % index for index in range(1, 26)]


def test_a_list_of_keys_only_has_revisions_and_no_values() -> None:
    """`keys_only` leaves out the values and keeps the rest."""
    machine = KvMachine()
    apply(machine, 4, Put(b"k", b"value"))
    assert query(machine, List(b"", keys_only=True)) == ListResult([KeyValue(b"k", b"", 4, 4, 1)], False, 4)


def test_a_list_is_bounded_in_items_whatever_limit_is_asked() -> None:
    """No limit of a client's makes an answer longer than LIST_ITEMS_MAX."""
    machine = KvMachine()
    for index in range(1, LIST_ITEMS_MAX + 3):
        apply(machine, index, Put(b"%06d" % index, b""))
    result = query(machine, List(b"", limit=10**9))
    assert isinstance(result, ListResult)
    assert (len(result.items), result.more) == (LIST_ITEMS_MAX, True)


def test_a_list_is_bounded_in_bytes() -> None:
    """A list of large values is cut before it outgrows a frame."""
    machine = KvMachine()
    for index in range(1, 5):
        apply(machine, index, Put(b"%d" % index, bytes(3 * 1024 * 1024)))
    answer = machine.query(encode(List(b"")))
    assert len(answer) <= ANSWER_BYTES_MAX
    result = decode_result(answer)
    assert isinstance(result, ListResult)
    assert (len(result.items), result.more) == (2, True)


def test_changes_tell_writes_and_deletions_of_the_prefix_in_order() -> None:
    """A watch gets each change once, oldest first, and the revision to continue from."""
    machine = KvMachine()
    apply(machine, 1, Put(b"a/1", b"x"))
    apply(machine, 2, Put(b"b", b"y"))
    apply(machine, 4, Increment(b"a/n"))
    apply(machine, 5, Delete(b"a/1"))
    apply(machine, 6, Delete(b"a/1"))
    everything = [Change(1, b"a/1", b"x"), Change(4, b"a/n", b"1"), Change(5, b"a/1", None)]
    assert watch(machine, Changes(b"a/", 0)) == ChangesResult(everything, 5)
    assert watch(machine, Changes(b"a/", 1)) == ChangesResult(everything[1:], 5)
    assert watch(machine, Changes(b"a/", 0, limit=2)) == ChangesResult(everything[:2], 4)
    assert watch(machine, Changes(b"a/", 4)) == ChangesResult(everything[2:], 5)


def test_a_watch_of_nothing_new_waits() -> None:
    """changes() is None where nothing happened that it asks for, also for a revision that is still to come."""
    machine = KvMachine()
    assert watch(machine, Changes(b"", 0)) is None
    apply(machine, 3, Put(b"k", b"v"))
    assert watch(machine, Changes(b"", 3)) is None
    assert watch(machine, Changes(b"", 99)) is None
    assert watch(machine, Changes(b"other", 0)) is None
    assert query(machine, Changes(b"other", 0)) == ChangesResult([], 3)
    assert query(machine, Changes(b"", 99)) == ChangesResult([], 99)


def test_only_changes_can_be_watched() -> None:
    """A Get is no watch."""
    with pytest.raises(CommandRefused, match="only Changes"):
        KvMachine().changes(encode(Get(b"k")))


def test_the_history_forgets_by_count_and_says_what_is_lost() -> None:
    """`lost_before` is the newest revision that may be missing, and 0 where nothing that was asked for is."""
    machine = KvMachine(changes_max=3)
    for index in range(1, 21):
        apply(machine, index, Put(b"k", b"%d" % index))
    kept = [Change(index, b"k", b"%d" % index) for index in (18, 19, 20)]
    assert watch(machine, Changes(b"", 0)) == ChangesResult(kept, 20, lost_before=17)
    assert watch(machine, Changes(b"", 16)) == ChangesResult(kept, 20, lost_before=17)
    assert watch(machine, Changes(b"", 17)) == ChangesResult(kept, 20)
    assert watch(machine, Changes(b"other", 3)) == ChangesResult([], 20, lost_before=17)


def test_the_history_forgets_by_bytes() -> None:
    """Large values do not keep more memory than the budget, not even one that is larger than all of it."""
    machine = KvMachine(changes_bytes_max=1000)
    for index in range(1, 6):
        apply(machine, index, Put(b"k", bytes(300)))
    result = watch(machine, Changes(b"", 0))
    assert result is not None
    assert [change.revision for change in result.changes] == [4, 5]
    assert result.lost_before == 3
    apply(machine, 6, Put(b"k", bytes(5000)))
    assert watch(machine, Changes(b"", 0)) == ChangesResult([], 6, lost_before=6)


def test_changes_are_bounded_in_bytes_and_the_first_one_always_fits() -> None:
    """A watcher that is behind by more than a frame gets the changes in pieces."""
    machine = KvMachine(changes_bytes_max=64 * 1024 * 1024)
    for index in range(1, 4):
        apply(machine, index, Put(b"k", bytes(VALUE_BYTES_MAX)))
    result = watch(machine, Changes(b"", 0))
    assert result is not None
    assert ([change.revision for change in result.changes], result.through) == ([1], 1)


def test_a_watch_of_a_rare_prefix_looks_at_a_bounded_number_of_changes() -> None:
    """If all scanned changes are of other keys, an empty answer says how far, so that nothing is scanned twice."""
    machine = KvMachine()
    for index in range(1, SCANNED_MAX + 3):
        apply(machine, index, Put(b"common", b""))
    apply(machine, SCANNED_MAX + 3, Put(b"rare", b""))
    assert watch(machine, Changes(b"rare", 0)) == ChangesResult([], SCANNED_MAX)
    assert watch(machine, Changes(b"rare", SCANNED_MAX)) == ChangesResult(
        [Change(SCANNED_MAX + 3, b"rare", b"")], SCANNED_MAX + 3
    )


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (Put(b"user/1", b"abc"), 'put "user/1" (3 bytes)'),
        (Put(b"k", b"", 7), 'put "k" (0 bytes) if revision 7'),
        (CompareAndSet(b"k", None, b"x"), 'compare-and-set "k" (1 bytes) if absent'),
        (CompareAndSet(b"k", b"o'\"", b"x"), 'compare-and-set "k" (1 bytes) if "o\'\\""'),
        (Delete(b"\x1b[31m\n"), 'delete "\\x1b[31m\\n"'),
        (Delete(b"k", 0), 'delete "k" if revision 0'),
        (Increment(b"n", -2), 'increment "n" by -2'),
        (Delete(b"k" * 100), f'delete "{"k" * 80}"...'),
    ],
)
def test_a_command_is_described_in_one_printable_line(command: KvCommand, line: str) -> None:
    """describe() is safe to print on a terminal whatever the bytes are, and short."""
    assert KvMachine().describe(encode(command)) == line


def test_data_that_is_no_command_is_described_too() -> None:
    """describe() never raises."""
    assert KvMachine().describe(b"\xc1") == "not a key-value command (1 bytes)"
