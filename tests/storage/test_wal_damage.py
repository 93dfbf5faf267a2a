"""Torn or damaged: what the log does with a file that is not what was written."""

import struct
import zlib

import pytest

from raftnode.core.errors import StorageError
from raftnode.core.types import HardState, LogEntry
from raftnode.storage.segment import HEAD_BYTES, SECTOR_BYTES, Batch, decode_head, encode_group
from raftnode.storage.wal import Wal, WalDamaged
from tests.storage.script import WAL, LogState, entries, state_of
from tests.support.filesystem import SimulatedFilesystem

SEGMENT = WAL + "/segment-000000000001.wal"


def small_log(*groups: list[LogEntry], seed: int = 0) -> tuple[SimulatedFilesystem, list[LogState], list[int]]:
    """Write groups of entries, a sync each. Return the disk, and the log's state and file size after each."""
    fs = SimulatedFilesystem(seed)
    wal = Wal.open(WAL, fs)
    states, ends = [state_of(wal)], [HEAD_BYTES]
    for number, group in enumerate(groups):
        wal.save_hard_state(HardState(number + 1, 2))
        wal.append(group)
        wal.sync()
        states.append(state_of(wal))
        ends.append(len(fs.contents(SEGMENT)))
    wal.close()
    return fs, states, ends


def mixed_log() -> tuple[SimulatedFilesystem, list[LogState], list[int]]:
    """Return a log with batches of several sizes, one of them mostly zeros."""
    return small_log(
        entries(1, 2, 1, 40),
        [LogEntry(2, 3, bytes(700))],
        entries(4, 5, 3, 80),
        [],
        [LogEntry(4, 6, b"\x00" * 120 + b"\x01" + bytes(100))],
        [LogEntry(5, 7, b"q" * 90)],
    )


def reopened(fs: SimulatedFilesystem, data: bytes) -> Wal:
    """Open the log with its only segment replaced."""
    fs.put(SEGMENT, data)
    return Wal.open(WAL, fs, read_only=True)


@pytest.mark.parametrize("filler", [b"", b"\0", b"\0" * 1000], ids=["short", "one zero", "zeros"])
def test_a_log_cut_at_any_byte_opens_with_every_whole_sync(filler: bytes) -> None:
    """A file that ends early, or in zeros, was never wholly written: what was synced before is all there."""
    fs, states, ends = mixed_log()
    data = fs.contents(SEGMENT)
    for size in range(HEAD_BYTES, len(data)):
        wal = reopened(fs, data[:size] + filler)
        whole = sum(end <= size for end in ends) - 1
        # A byte that is zero anyway may be missing without a loss.
        assert state_of(wal) in states[whole : whole + 2], size
        if state_of(wal) == states[whole] and size + len(filler) > ends[whole]:
            assert wal.recovery.cut is not None
            assert wal.recovery.cut.offset == ends[whole]
            assert wal.recovery.cut.size_bytes == size + len(filler) - ends[whole]


def test_any_flipped_bit_is_damage_and_never_a_torn_tail() -> None:
    """Each bit of the file, the head, the lengths and the last batch included: the log refuses to open."""
    fs, _, ends = mixed_log()
    data = fs.contents(SEGMENT)
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(WalDamaged) as caught:
            reopened(fs, bytes(changed))
        error = caught.value
        assert error.file == SEGMENT
        if bit // 8 >= HEAD_BYTES:
            assert error.offset == max(end for end in ends if end <= bit // 8)
            assert error.advice in str(error)


@pytest.mark.parametrize("size", [600, 2000])
def test_a_flipped_bit_in_a_last_entry_of_zeros_is_damage(size: int) -> None:
    """Zeros that were written look like a disk that was never written, unless they are stored masked."""
    fs, states, ends = small_log(entries(1, 1, 1), [LogEntry(1, 2, bytes(size))])
    data = fs.contents(SEGMENT)
    for bit in range(ends[1] * 8, len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(WalDamaged):
            reopened(fs, bytes(changed))
    assert state_of(reopened(fs, data)) == states[2]


def test_an_earlier_segment_that_lost_its_last_vote_is_damage() -> None:
    """A segment's head repeats what came before: an end that is missing at a batch's edge is noticed too."""
    fs = SimulatedFilesystem()
    wal = Wal.open(WAL, fs, 700)
    wal.append(entries(1, 1, 1, 100))
    wal.sync()
    end = len(fs.contents(SEGMENT))
    wal.save_hard_state(HardState(5, 3))
    while len(fs.files()) == 1:
        wal.save_hard_state(HardState(wal.load_hard_state().current_term + 1, 3))
        wal.sync()
    wal.close()
    fs.put(SEGMENT, fs.contents(SEGMENT)[:end])
    with pytest.raises(WalDamaged, match="continues from"):
        Wal.open(WAL, fs, 700)


def test_a_flipped_bit_in_an_earlier_segment_is_damage() -> None:
    """Only the last segment can be torn: in an earlier one everything must be there, its end included."""
    fs = SimulatedFilesystem()
    wal = Wal.open(WAL, fs, 600)
    for i in range(1, 4):
        wal.append(entries(i, i, 1, 150))
        wal.sync()
    wal.close()
    data = fs.contents(SEGMENT)
    for bit in range(0, len(data) * 8, 3):
        fs.flip_bit(SEGMENT, bit)
        with pytest.raises(WalDamaged):
            Wal.open(WAL, fs, 600)
        fs.flip_bit(SEGMENT, bit)
    for size in (HEAD_BYTES, len(data) - 1):
        fs.put(SEGMENT, data[:size])
        with pytest.raises(WalDamaged):
            Wal.open(WAL, fs, 600)
    fs.put(SEGMENT, data)
    assert Wal.open(WAL, fs, 600).last_index == 3


@pytest.mark.parametrize("blank_from", range(HEAD_BYTES, HEAD_BYTES + 3 * SECTOR_BYTES, SECTOR_BYTES))
def test_a_sector_that_is_lost_under_a_later_sync_is_damage(blank_from: int) -> None:
    """Zeros are a torn tail only at the end: a later sync proves that the sector had been durable."""
    fs, _, _ = small_log(*([LogEntry(1, i, b"d" * 300)] for i in range(1, 8)))
    data = bytearray(fs.contents(SEGMENT))
    data[blank_from : blank_from + SECTOR_BYTES] = bytes(SECTOR_BYTES)
    with pytest.raises(WalDamaged):
        reopened(fs, bytes(data))


def test_a_value_that_looks_like_the_log_is_not_taken_for_it() -> None:
    """A stored copy of another log, in a torn tail, is not evidence of a later sync."""
    other, _, _ = small_log(*(entries(i, i, 9) for i in range(1, 6)), seed=1)
    copy = other.contents(SEGMENT)[HEAD_BYTES:]
    fs, states, ends = small_log(entries(1, 1, 1), [LogEntry(1, 2, copy)])
    data = bytearray(fs.contents(SEGMENT))
    boundary = ends[1] + SECTOR_BYTES - ends[1] % SECTOR_BYTES
    data[ends[1] : boundary] = bytes(boundary - ends[1])
    wal = reopened(fs, bytes(data))
    assert state_of(wal) == states[1]


@pytest.mark.parametrize(("sync", "index"), [(4, 4), (2, 4), (3, 5), (3, 3)])
def test_a_whole_batch_that_does_not_follow_is_damage(sync: int, index: int) -> None:
    """Its checksums are right; but two writes and three entries are before it, not what it says."""
    fs, _, _ = small_log(entries(1, 2, 1), entries(3, 3, 1))
    data = fs.contents(SEGMENT)
    group = [Batch(None, 0, None, [LogEntry(1, index, b"x")])]
    forged = data + encode_group(group, sync, decode_head(data[:HEAD_BYTES], SEGMENT))[0]
    with pytest.raises(WalDamaged, match="was found where") as caught:
        reopened(fs, forged)
    assert caught.value.offset == len(data)


def test_a_missing_segment_is_named() -> None:
    """A gap between segments that no snapshot covers is refused, with the segment's name."""
    fs = SimulatedFilesystem()
    wal = Wal.open(WAL, fs, 600)
    for i in range(1, 5):
        wal.append(entries(i, i, 1, 150))
        wal.sync()
    wal.close()
    for missing in (1, 2, 3):
        copy = fs.crash()
        name = f"segment-{missing:012d}.wal"
        copy.remove(f"{WAL}/{name}")
        with pytest.raises(WalDamaged, match=rf"{name}.*missing"):
            Wal.open(WAL, copy, 600)


def test_damage_after_opening_is_found_when_the_entry_is_read() -> None:
    """A bit that flips while the node runs is found by the read, which returns nothing wrong."""
    fs, _, ends = small_log(entries(1, 3, 1), entries(4, 6, 1))
    wal = Wal.open(WAL, fs)
    fs.flip_bit(SEGMENT, (ends[1] + 60) * 8)
    assert len(wal.load_entries(1, 3)) == 3
    with pytest.raises(WalDamaged) as caught:
        wal.load_entries(4, 6)
    assert (caught.value.file, caught.value.offset, caught.value.index) == (SEGMENT, ends[1], 4)


def test_a_newer_format_is_not_called_damage() -> None:
    """A log of a later version says so, and what to do."""
    fs, _, _ = small_log(entries(1, 1, 1))
    data = bytearray(fs.contents(SEGMENT))
    _, length, _ = struct.unpack_from("<HII", data, 8)
    covered = struct.pack("<HI", 2, length) + bytes(data[18 : 18 + length])
    struct.pack_into("<HII", data, 8, 2, length, zlib.crc32(covered))
    with pytest.raises(StorageError, match=r"format 2.*newer one"):
        reopened(fs, bytes(data))


def test_a_torn_tail_is_cut_from_the_file_and_the_log_goes_on() -> None:
    """After the cut the next sync is where the torn one was."""
    fs, states, ends = small_log(entries(1, 3, 1), entries(4, 6, 1))
    data = fs.contents(SEGMENT)
    fs.put(SEGMENT, data[:-5])
    wal = Wal.open(WAL, fs)
    assert state_of(wal) == states[1]
    assert len(fs.contents(SEGMENT)) == ends[1]
    wal.append(entries(4, 5, 2))
    wal.sync()
    wal.close()
    wal = Wal.open(WAL, fs)
    assert wal.recovery.cut is None
    assert wal.last_index == 5
