"""A full disk: nothing is acknowledged, nothing is lost, and the log goes on when there is room again."""

import errno
import random

import pytest

from raftnode.core.types import HardState
from raftnode.storage.wal import LogFullError, Wal
from tests.storage.script import WAL, entries, state_of
from tests.support.filesystem import Fault, SimulatedCrash, SimulatedFilesystem, crash_masks

ROOM_BYTES = 2000
FIRST = entries(1, 3, 1)
SECOND = entries(4, 40, 1)
THIRD = entries(41, 60, 2)


def fill(fs: SimulatedFilesystem) -> Wal:
    """Return a log whose first entries are durable, and whose next ones find no room."""
    wal = Wal.open(WAL, fs)
    wal.append(FIRST)
    wal.sync()
    wal.append(SECOND)
    with pytest.raises(LogFullError, match="No space left"):
        wal.sync()
    return wal


def test_what_finds_no_room_stays_staged_and_is_written_when_there_is_room() -> None:
    """Nothing counts as durable meanwhile; reads see it; nothing of it is written twice."""
    fs = SimulatedFilesystem(capacity_bytes=ROOM_BYTES)
    wal = fill(fs)
    assert wal.stable_index == 3
    assert wal.has_unsynced
    assert wal.load_entries(1, 40) == FIRST + SECOND
    with pytest.raises(LogFullError):
        wal.sync()
    fs.capacity_bytes = None
    wal.save_hard_state(HardState(2, 1))
    wal.append(THIRD)
    wal.sync()
    assert wal.stable_index == 60
    assert state_of(Wal.open(WAL, fs.crash())) == (HardState(2, 1), (0, 0), FIRST + SECOND + THIRD)


def test_what_finds_no_room_may_be_taken_back_instead() -> None:
    """Truncating the staged entries leaves less to write, which may fit."""
    fs = SimulatedFilesystem(capacity_bytes=ROOM_BYTES)
    wal = fill(fs)
    wal.truncate(4)
    wal.append(entries(4, 4, 2))
    wal.sync()
    assert state_of(Wal.open(WAL, fs.crash()))[2] == FIRST + entries(4, 4, 2)


def test_every_crash_point_of_a_full_disk_opens_with_all_that_was_synced() -> None:
    """A part of the failed write never shows as damage, nor beneath the write that follows it."""

    def run(fs: SimulatedFilesystem) -> int:
        """Return how many entries were synced when the power went."""
        synced = 0
        try:
            wal = Wal.open(WAL, fs)
            wal.append(FIRST)
            wal.sync()
            synced = 3
            wal.append(SECOND)
            with pytest.raises(LogFullError):
                wal.sync()
            fs.capacity_bytes = None
            wal.truncate(4)
            wal.append(entries(4, 60, 9))
            wal.sync()
            synced = 60
        except SimulatedCrash:
            pass
        return synced

    whole = SimulatedFilesystem(capacity_bytes=ROOM_BYTES)
    assert run(whole) == 60
    cases = 0
    for crash_at in range(1, whole.changes + 1):
        fs = SimulatedFilesystem(capacity_bytes=ROOM_BYTES)
        fs.crash_at = crash_at
        synced = run(fs)
        for keep in crash_masks(fs.unsynced(), random.Random(crash_at), exhaustive_max=10):
            disk = fs.crash(keep)
            disk.capacity_bytes = None
            found = state_of(Wal.open(WAL, disk))[2]
            assert found in ([], FIRST, FIRST + entries(4, 60, 9)), crash_at
            assert len(found) >= synced
            cases += 1
    assert cases > 100


@pytest.mark.parametrize("call", ["create", "pwrite"])
def test_a_segment_that_cannot_be_begun_for_want_of_room_grows_on(call: str) -> None:
    """What was synced counts although no new segment could be begun; the next sync begins it."""
    fs = SimulatedFilesystem()
    wal = Wal.open(WAL, fs, segment_bytes=500)
    wal.append(entries(1, 20, 1, 40))
    fs.faults.append(Fault(call, errno.ENOSPC, path="*.part"))
    wal.sync()
    assert fs.fired == [(call, f"{WAL}/segment-000000000002.wal.part")]
    assert wal.stable_index == 20
    assert [path for path in fs.files() if "segment" in path] == [f"{WAL}/segment-000000000001.wal"]
    wal.append(entries(21, 21, 1))
    wal.sync()
    assert len([path for path in fs.files() if "segment" in path]) == 2
    assert state_of(Wal.open(WAL, fs.crash(), 500))[2] == entries(1, 20, 1, 40) + entries(21, 21, 1)
