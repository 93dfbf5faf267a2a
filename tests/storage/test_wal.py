"""The log without faults, and its answers to a failing disk."""

import errno
from pathlib import Path

import pytest

from raftnode.core.errors import LogCompacted, StorageError
from raftnode.core.storage import LogStorage
from raftnode.core.types import HardState, LogEntry
from raftnode.storage.filesystem import NoSpaceError
from raftnode.storage.segment import BATCH_BYTES
from raftnode.storage.wal import Wal
from tests.storage.script import SCRIPT, SEGMENT_BYTES, WAL, entries, state_of, states
from tests.support.filesystem import Fault, SimulatedFilesystem


def open_wal(fs: SimulatedFilesystem, segment_bytes: int = SEGMENT_BYTES) -> Wal:
    """Open the log of these tests."""
    return Wal.open(WAL, fs, segment_bytes)


def test_it_is_a_log_storage(tmp_path: Path) -> None:
    """The core asks for a LogStorage; the Wal is one on a real disk."""
    wal: LogStorage = Wal.open(tmp_path / "wal")
    assert isinstance(wal, LogStorage)


@pytest.mark.parametrize("real", [False, True], ids=["simulated", "real"])
def test_it_holds_what_a_log_in_memory_holds_staged_synced_and_reopened(tmp_path: Path, real: bool) -> None:
    """After each group of operations the log reads as MemStorage does: staged, synced, and opened again."""
    fs = None if real else SimulatedFilesystem()
    path = str(tmp_path / "wal") if real else WAL
    wal = Wal.open(path, fs, SEGMENT_BYTES)
    for group, expected in zip(SCRIPT, states()[1:], strict=True):
        for step in group:
            step(wal)
        assert state_of(wal) == expected
        wal.sync()
        assert state_of(wal) == expected
        wal.close()
        wal = Wal.open(path, fs, SEGMENT_BYTES)
        assert state_of(wal) == expected
        assert wal.stable_index == wal.last_index
        assert wal.recovery.cut is None


def test_a_segment_that_was_never_finished_is_removed_at_the_start() -> None:
    """It holds nothing, and would stay forever."""
    fs = SimulatedFilesystem()
    open_wal(fs).close()
    part = f"{WAL}/segment-000000000002.wal.part"
    fs.put(part, b"half a head")
    Wal.open(WAL, fs, read_only=True).close()
    assert fs.exists(part)
    open_wal(fs)
    assert not fs.exists(part)


def test_one_sync_is_one_write_and_one_fsync() -> None:
    """However much is staged, a sync costs one write and one fsync; without anything staged, nothing."""
    fs = SimulatedFilesystem()
    wal = open_wal(fs, 1 << 20)
    calls: list[str] = []
    fs.on_call = lambda call, path: calls.append(call)
    wal.append(entries(1, 50, 1))
    wal.save_hard_state(HardState(1, 1))
    wal.truncate(40)
    wal.append(entries(40, 60, 2))
    assert wal.has_unsynced
    wal.sync()
    assert calls == ["pwrite", "sync"]
    assert not wal.has_unsynced
    wal.sync()
    wal.save_hard_state(HardState(1, 1))
    wal.sync()
    assert calls == ["pwrite", "sync"]


def test_stable_index_moves_only_with_a_sync() -> None:
    """A leader counts itself up to what is durable (thesis 10.2.1)."""
    wal = open_wal(SimulatedFilesystem())
    wal.append(entries(1, 5, 1))
    assert (wal.stable_index, wal.last_index) == (0, 5)
    wal.sync()
    wal.truncate(3)
    assert wal.stable_index == 2
    wal.append(entries(3, 9, 2))
    assert wal.stable_index == 2
    wal.sync()
    assert wal.stable_index == 9
    wal.compact(20, 3)
    assert (wal.first_index, wal.last_index, wal.stable_index) == (21, 20, 20)


def test_entries_are_bounded_by_bytes_with_at_least_one() -> None:
    """`bytes_max` limits the data that is returned, across batches and staged entries alike."""
    wal = open_wal(SimulatedFilesystem())
    for first in (1, 4, 7):
        wal.append([LogEntry(1, i, b"x" * 100) for i in range(first, first + 3)])
        if first != 7:
            wal.sync()
    assert [e.index for e in wal.load_entries(2, 9, 350)] == [2, 3, 4]
    assert [e.index for e in wal.load_entries(5, 9, 10)] == [5]
    assert [e.index for e in wal.load_entries(5, 99)] == [5, 6, 7, 8, 9]
    assert wal.load_entries(5, 4) == []


def test_compacted_entries_cannot_be_read() -> None:
    """Reading below the first index says from where reading is possible."""
    wal = open_wal(SimulatedFilesystem())
    wal.append(entries(1, 5, 1))
    wal.sync()
    wal.compact(3, 1)
    with pytest.raises(LogCompacted) as caught:
        wal.load_entries(3, 5)
    assert caught.value.first_available == 4
    with pytest.raises(LogCompacted):
        wal.load_entries_after(2)
    assert [e.index for e in wal.load_entries_after(3)] == [4, 5]


def test_compaction_removes_whole_segments_and_keeps_the_vote() -> None:
    """Segments are removed once a durable compaction covers them; the hard state in them survives."""
    fs = SimulatedFilesystem()
    wal = open_wal(fs)
    wal.save_hard_state(HardState(7, 3))
    wal.sync()
    for i in range(1, 31):
        wal.append(entries(i, i, 7, 400))
        wal.sync()
    before = fs.files()
    wal.compact(28, 7)
    assert fs.files() == before
    wal.sync()
    assert len(fs.files()) < len(before) / 3
    wal.close()
    wal = open_wal(fs)
    assert wal.load_hard_state() == HardState(7, 3)
    assert [e.index for e in wal.load_entries_after(28)] == [29, 30]


def test_a_large_sync_is_split_so_that_one_entry_is_cheap_to_read() -> None:
    """A batch holds at most `BATCH_BYTES` of data, and the whole sync still counts all or nothing."""
    fs = SimulatedFilesystem()
    wal = open_wal(fs, 1 << 30)
    wal.append([LogEntry(1, i, b"v" * 1000) for i in range(1, 2001)])
    wal.sync()
    assert wal.load_entries(1500, 1500)[0].index == 1500
    sizes = [wal._index.find(i)[0].size for i in range(1, 2001, 100)]
    assert max(sizes) < BATCH_BYTES * 1.1
    data = fs.contents(f"{WAL}/segment-000000000001.wal")
    fs.put(f"{WAL}/segment-000000000001.wal", data[:-10])
    again = open_wal(fs, 1 << 30)
    assert again.last_index == 0
    assert again.recovery.cut is not None


def test_a_read_only_log_changes_nothing_and_sees_the_same() -> None:
    """Another process's log can be looked at: no cut, no removal, no lock."""
    fs = SimulatedFilesystem()
    wal = open_wal(fs)
    wal.append(entries(1, 3, 1))
    wal.sync()
    path = f"{WAL}/segment-000000000001.wal"
    fs.put(path, fs.contents(path) + bytes(100))
    before = fs.changes
    look = Wal.open(WAL, fs, read_only=True)
    assert [e.index for e in look.load_entries_after(0)] == [1, 2, 3]
    assert look.recovery.cut is not None
    look.append(entries(4, 4, 1))
    with pytest.raises(StorageError, match="reading only"):
        look.sync()
    assert fs.changes == before


@pytest.mark.parametrize("call", ["pwrite", "sync"])
def test_after_a_failed_write_or_fsync_every_call_fails_and_nothing_is_retried(call: str) -> None:
    """An fsync that failed once proves nothing the second time: the log is finished."""
    fs = SimulatedFilesystem()
    wal = open_wal(fs)
    wal.append(entries(1, 3, 1))
    wal.sync()
    fs.faults.append(Fault(call))
    wal.append(entries(4, 6, 1))
    with pytest.raises(StorageError, match=r"segment-000000000001\.wal: Input/output error"):
        wal.sync()
    assert wal.stable_index == 3
    calls: list[str] = []
    fs.on_call = lambda name, path: calls.append(name)
    for attempt in (
        wal.sync,
        lambda: wal.append(entries(7, 7, 1)),
        lambda: wal.truncate(2),
        lambda: wal.compact(1, 1),
        lambda: wal.save_hard_state(HardState(9, 9)),
        lambda: wal.load_entries(1, 1),
        lambda: wal.load_entries_after(0),
    ):
        with pytest.raises(StorageError, match="takes no more calls"):
            attempt()
    assert calls == []
    again = open_wal(fs.crash(lambda piece: True))
    assert again.last_index in (3, 6)
    assert state_of(again)[2][:3] == entries(1, 3, 1)


def test_a_full_disk_is_told_apart_and_nothing_synced_is_lost() -> None:
    """ENOSPC is a NoSpaceError, before anything is acknowledged; the log opens with what was durable."""
    fs = SimulatedFilesystem(capacity_bytes=2000)
    wal = open_wal(fs)
    wal.append(entries(1, 3, 1))
    wal.sync()
    wal.append(entries(4, 40, 1))
    with pytest.raises(NoSpaceError, match="No space left"):
        wal.sync()
    assert wal.stable_index == 3
    again = open_wal(fs.kill())
    assert state_of(again)[2] == entries(1, 3, 1)


@pytest.mark.parametrize("error", [errno.EIO, errno.EROFS])
def test_a_failing_roll_or_removal_stops_the_log(error: int) -> None:
    """Each call of a segment's creation and removal may fail; what was synced stays."""
    for call in ("create", "rename", "sync_directory", "remove"):
        fs = SimulatedFilesystem()
        wal = open_wal(fs)
        wal.append(entries(1, 20, 1, 400))
        fs.faults.append(Fault(call, error))
        wal_failed = False
        try:
            wal.sync()
            wal.compact(20, 1)
            wal.sync()
        except StorageError:
            wal_failed = True
        assert wal_failed, call
        with pytest.raises(StorageError):
            wal.sync()
        fs.faults.clear()
        assert open_wal(fs.kill()).last_index == 20


def test_append_refuses_a_gap_and_truncate_refuses_the_compacted() -> None:
    """A caller's mistake is refused before anything is staged."""
    wal = open_wal(SimulatedFilesystem())
    wal.append(entries(1, 3, 1))
    for first in (3, 5):
        with pytest.raises(StorageError, match="ends at 3"):
            wal.append(entries(first, first, 1))
    wal.compact(2, 1)
    with pytest.raises(StorageError, match="begins after 2"):
        wal.truncate(2)
    assert wal.last_index == 3
