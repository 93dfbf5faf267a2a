"""The simulated disk keeps what was synced, and after a crash any number of the first writes that were not."""

from collections.abc import Callable

import pytest

from raftnode import HardState, MemStorage
from raftnode.testing import Disk
from tests.support.bench import entries


def content(storage: MemStorage) -> tuple[object, ...]:
    """Return everything that a storage holds."""
    index, term = storage.snapshot_metadata()
    return index, term, [(e.index, e.term) for e in storage.load_entries_after(index)], storage.load_hard_state()


def test_a_crash_loses_what_was_not_synced() -> None:
    """Entries, term and vote."""
    disk = Disk()
    disk.append(entries([1, 1]))
    disk.save_hard_state(HardState(1, 2))
    disk.sync()
    kept = content(disk)
    disk.append(entries([2], first=3))
    disk.save_hard_state(HardState(2, 3))
    assert (disk.stable_index, disk.last_index, disk.unsynced, disk.hard_state_unsynced) == (2, 3, 2, True)
    disk.crash()
    assert content(disk) == kept
    assert (disk.stable_index, disk.last_index, disk.unsynced, disk.hard_state_unsynced) == (2, 2, 0, False)


@pytest.mark.parametrize("keep", range(6))
def test_a_crash_keeps_the_first_writes_in_the_order_of_the_calls(keep: int) -> None:
    """And what is kept is durable from then on."""
    disk = Disk()
    disk.append(entries([1, 1, 1]))
    disk.sync()
    states = [content(disk)]
    writes: tuple[Callable[[], None], ...] = (
        lambda: disk.truncate(3),
        lambda: disk.append(entries([2, 2], first=3)),
        lambda: disk.save_hard_state(HardState(2)),
        lambda: disk.compact(2, 1),
        lambda: disk.compact(9, 2),
    )
    for write in writes:
        write()
        states.append(content(disk))
    disk.crash(keep)
    assert content(disk) == states[keep]
    disk.crash()
    assert content(disk) == states[keep]


def test_what_is_cut_off_is_not_stable_any_longer() -> None:
    """`stable_index` falls with a truncation: what takes the place of old entries is not durable yet."""
    disk = Disk()
    disk.append(entries([1, 1, 1]))
    disk.sync()
    disk.truncate(2)
    disk.append(entries([2, 2], first=2))
    assert disk.stable_index == 1
    disk.sync()
    assert disk.stable_index == 3


def test_a_copy_is_a_disk_that_shares_nothing() -> None:
    """Neither what is durable nor what is not."""
    disk = Disk()
    disk.append(entries([1]))
    copy = disk.copy()
    disk.append(entries([1], first=2))
    disk.sync()
    copy.crash(1)
    assert (copy.last_index, disk.last_index) == (1, 2)


def test_entries_are_reported_when_they_become_durable() -> None:
    """Together with the term of the entry before them."""
    seen: list[tuple[int, list[int]]] = []
    disk = Disk(lambda term, found: seen.append((term, [e.index for e in found])))
    disk.append(entries([1, 2]))
    assert seen == []
    disk.sync()
    disk.append(entries([3], first=3))
    disk.crash(keep=1)
    assert seen == [(0, [1, 2]), (2, [3])]
