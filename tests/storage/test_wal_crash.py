"""Every crash point of a script: whatever part of the unsynced writes survives, the log opens."""

import random

import pytest

from raftnode.core.errors import StorageError
from raftnode.core.types import HardState
from raftnode.storage import segment
from raftnode.storage.wal import Wal
from tests.storage.script import SCRIPT, SEGMENT_BYTES, WAL, LogState, entries, state_of, states
from tests.support.filesystem import Fault, SimulatedCrash, SimulatedFilesystem, crash_masks


def run_script(fs: SimulatedFilesystem) -> int:
    """Run the script until its end or the crash; return how many syncs had returned."""
    done = 0
    try:
        wal = Wal.open(WAL, fs, SEGMENT_BYTES)
        for group in SCRIPT:
            for step in group:
                step(wal)
            wal.sync()
            done += 1
    except SimulatedCrash:
        pass
    return done


def check_opens(fs: SimulatedFilesystem, allowed: list[LogState]) -> None:
    """The log opens with one of the allowed states, takes a further entry, and opens again."""
    wal = Wal.open(WAL, fs, SEGMENT_BYTES)
    found = state_of(wal)
    assert found in allowed
    hard_state = HardState(found[0].current_term + 1, 1)
    more = entries(wal.last_index + 1, wal.last_index + 1, 99)
    wal.save_hard_state(hard_state)
    wal.append(more)
    wal.sync()
    wal.close()
    again = Wal.open(WAL, fs.crash(), SEGMENT_BYTES)
    assert state_of(again) == (hard_state, found[1], found[2] + more)
    assert again.recovery.cut is None


@pytest.mark.parametrize("batch_bytes", [256 * 1024, 300], ids=["one batch", "several batches"])
def test_every_crash_point_opens_with_all_that_was_synced(batch_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each change of the disk the power goes; each choice of surviving sectors, lengths and names opens.

    The log holds what the last sync that returned left, or all of the one in progress: never a part of it.
    """
    monkeypatch.setattr(segment, "BATCH_BYTES", batch_bytes)
    expected = states()
    whole = SimulatedFilesystem()
    assert run_script(whole) == len(SCRIPT)
    cases = 0
    for crash_at in range(1, whole.changes + 1):
        fs = SimulatedFilesystem()
        fs.crash_at = crash_at
        done = run_script(fs)
        for keep in crash_masks(fs.unsynced(), random.Random(crash_at), exhaustive_max=12):
            check_opens(fs.crash(keep), expected[done : done + 2])
            cases += 1
    assert cases > 1500


def test_a_crash_while_a_torn_tail_is_cut_opens_too() -> None:
    """Recovery itself may be interrupted at every change, and again."""
    expected = states()
    fs = SimulatedFilesystem()
    run_script(fs)
    path = max(fs.files())
    torn = fs.contents(path)[:-3]
    crash_at = 1
    while True:
        disk = fs.crash(lambda piece: True)
        disk.put(path, torn)
        disk.crash_at = crash_at
        try:
            Wal.open(WAL, disk, SEGMENT_BYTES)
        except SimulatedCrash:
            for keep in crash_masks(disk.unsynced(), random.Random(crash_at)):
                check_opens(disk.crash(keep), expected[-2:-1])
            crash_at += 1
            continue
        break
    assert crash_at > 2


def test_what_is_found_after_a_kill_is_durable_from_then_on() -> None:
    """kill -9 leaves what was written and never synced: once a start has seen it, a power loss keeps it."""
    expected = states()
    for crash_at in range(1, 40):
        fs = SimulatedFilesystem()
        fs.crash_at = crash_at
        done = run_script(fs)
        disk = fs.kill()
        found = state_of(Wal.open(WAL, disk, SEGMENT_BYTES))
        assert found in expected[done : done + 2]
        assert state_of(Wal.open(WAL, disk.crash(), SEGMENT_BYTES)) == found


def test_what_is_found_after_a_failed_fsync_is_durable_from_then_on() -> None:
    """After a failed fsync the system takes the data for clean; the next start does not rely on it."""
    fs = SimulatedFilesystem()
    wal = Wal.open(WAL, fs)
    wal.append(entries(1, 3, 1))
    wal.sync()
    wal.append(entries(4, 6, 1))
    fs.faults.append(Fault("sync"))
    with pytest.raises(StorageError):
        wal.sync()
    disk = fs.kill()
    assert Wal.open(WAL, disk).stable_index == 6
    assert Wal.open(WAL, disk.crash()).stable_index == 6
