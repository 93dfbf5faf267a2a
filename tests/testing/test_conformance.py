"""`check_log_storage()` passes the storages that are sound, and names the rule that a broken one breaks."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import mkdtemp

import pytest

from raftnode import Configuration, HardState, LogEntry, MemStorage, StorageError, Wal
from raftnode.testing import Disk, check_log_storage
from tests.support.filesystem import SimulatedFilesystem

KEPT = (0, 1, 2, 99)
"""How many writes that were not synced a crash keeps."""


def crashing(keep: int) -> Callable[[Disk], Disk]:
    """Return what crashes a disk, and keeps so many writes."""

    def crash(disk: Disk) -> Disk:
        disk.crash(keep)
        return disk

    return crash


def test_a_storage_in_memory_passes() -> None:
    """It is a ConfigurationStorage in which everything is durable at once."""
    check_log_storage(MemStorage, reopen=lambda storage: storage)


@pytest.mark.parametrize("keep", KEPT)
def test_the_simulated_disk_passes(keep: int) -> None:
    """However much of what was not synced a crash leaves."""
    check_log_storage(Disk, sync=Disk.sync, reopen=crashing(keep))


def test_the_write_ahead_log_passes_when_its_process_dies(tmp_path: Path) -> None:
    """On a real disk: what was staged is lost."""

    def reopen(wal: Wal) -> Wal:
        wal.close()
        return Wal.open(wal.path)

    check_log_storage(lambda: Wal.open(mkdtemp(dir=tmp_path)), sync=Wal.sync, reopen=reopen)


def test_the_write_ahead_log_passes_when_the_power_fails() -> None:
    """On a simulated disk, in small segments: what was not fsynced is lost, names of files included."""
    disks: dict[int, SimulatedFilesystem] = {}

    def start(fs: SimulatedFilesystem) -> Wal:
        wal = Wal.open("/wal", fs, 200)
        disks[id(wal)] = fs
        return wal

    check_log_storage(
        lambda: start(SimulatedFilesystem()), sync=Wal.sync, reopen=lambda wal: start(disks[id(wal)].crash())
    )


class AppendOverwrites(MemStorage):
    """Puts new entries in the place of the last one."""

    def append(self, entries: Sequence[LogEntry]) -> None:
        del self._entries[-1:]
        self._entries += entries


class AppendForgetsKinds(MemStorage):
    """Keeps every entry as a command."""

    def append(self, entries: Sequence[LogEntry]) -> None:
        super().append([LogEntry(entry.term, entry.index, entry.data) for entry in entries])


class TruncateKeepsOne(MemStorage):
    """Keeps the entry at the index."""

    def truncate(self, index: int) -> None:
        super().truncate(index + 1)


class TruncateForgetsToLower(Disk):
    """Counts entries as durable that took the place of those that were."""

    def truncate(self, index: int) -> None:
        stable = self._stable
        super().truncate(index)
        self._stable = stable


class CompactKeepsOne(MemStorage):
    """Keeps the entry at the index."""

    def compact(self, index: int, term: int, configuration: Configuration | None = None) -> None:
        kept = self._entries[index - self._snapshot[0] - 1 :]
        super().compact(index, term, configuration)
        self._entries = kept


class CompactDoesNotRestart(MemStorage):
    """Compacts no further than its log goes."""

    def compact(self, index: int, term: int, configuration: Configuration | None = None) -> None:
        super().compact(min(index, self.stable_index), term, configuration)


class CompactForgetsMembers(MemStorage):
    """Claims to keep the members at the snapshot point."""

    def snapshot_configuration(self) -> Configuration | None:
        return None


class CompactIsNotWritten(Disk):
    """Loses in a crash that the log was compacted."""

    def compact(self, index: int, term: int, configuration: Configuration | None = None) -> None:
        MemStorage.compact(self, index, term, configuration)


class VoteForgotten(MemStorage):
    """Keeps the term alone."""

    def save_hard_state(self, state: HardState) -> None:
        super().save_hard_state(HardState(state.current_term))


class HardStateNotWritten(Disk):
    """Loses the term and the vote in a crash."""

    def save_hard_state(self, state: HardState) -> None:
        MemStorage.save_hard_state(self, state)


class LoadLeavesTheLastOut(MemStorage):
    """Takes `last` for the end that is not included."""

    def load_entries(self, first: int, last: int, bytes_max: int | None = None) -> list[LogEntry]:
        return super().load_entries(first, last - 1, bytes_max)


class LoadIgnoresBytes(MemStorage):
    """Returns more than there is room for."""

    def load_entries(self, first: int, last: int, bytes_max: int | None = None) -> list[LogEntry]:
        return super().load_entries(first, last)


class LoadReturnsNothing(MemStorage):
    """Returns no entry where the first does not fit: whoever waits for it waits forever."""

    def load_entries(self, first: int, last: int, bytes_max: int | None = None) -> list[LogEntry]:
        found = super().load_entries(first, last, bytes_max)
        return [] if bytes_max is not None and found and len(found[0].data) > bytes_max else found


class LoadAfterIncludes(MemStorage):
    """Gives the entry at the index too."""

    def load_entries_after(self, index: int) -> list[LogEntry]:
        return super().load_entries_after(max(index - 1, self._snapshot[0]))


class StableCountsStaged(Disk):
    """Takes for durable what was only written."""

    @property
    def stable_index(self) -> int:
        return self.last_index


class StableBeyondTheEnd(MemStorage):
    """Counts one too many."""

    @property
    def stable_index(self) -> int:
        return super().stable_index + 1


class StableStays(Disk):
    """Does not know that it synced."""

    @property
    def stable_index(self) -> int:
        return 0


class HardStateOvertakes(Disk):
    """Lets a crash keep the hard state, and lose log writes that came before it."""

    def save_hard_state(self, state: HardState) -> None:
        MemStorage.save_hard_state(self, state)
        self.durable.save_hard_state(state)


class ShowsWhatIsNotDurable(Disk):
    """Shows after one crash what it loses in the next: it does not fsync what it finds."""

    def crash(self, keep: int = 0) -> None:
        if keep and self._unsynced:
            self._unsynced = []
            self.later = MemStorage()
            self.later._show(self.durable)
            self.durable._show(self)
            self._stable = self.last_index
        else:
            self.durable._show(getattr(self, "later", self.durable))
            super().crash(keep)


BROKEN: Iterable[tuple[type[MemStorage], str]] = (
    (AppendOverwrites, r"append\(\) adds its entries after the last one"),
    (AppendForgetsKinds, r"append\(\) .*: entry 1 has a different kind"),
    (TruncateKeepsOne, r"truncate\(index\) discards the entries from index on"),
    (
        TruncateForgetsToLower,
        r"truncate\(index\) lowers stable_index below index at once: it is 5\n.*truncate\(3",
    ),
    (CompactKeepsOne, r"compact\(index, term\) discards the entries up to index"),
    (CompactDoesNotRestart, r"above the end the log restarts: snapshot_metadata\(\) is \(2, 2\), not \(9, 2\)"),
    (CompactForgetsMembers, r"compact\(index, term\) .*: snapshot_configuration\(\) is None"),
    (CompactIsNotWritten, r"what was made durable survives a crash: snapshot_metadata\(\) is \(0, 0\), not \(2, 1\)"),
    (VoteForgotten, r"save_hard_state\(\) keeps the term and the vote"),
    (HardStateNotWritten, r"what was made durable survives a crash: load_hard_state\(\) is .*\nafter .*, a crash$"),
    (LoadLeavesTheLastOut, r"load_entries\(first, last\) returns"),
    (LoadIgnoresBytes, r"load_entries\(\) with bytes_max .*: 2 entries of \d+ bytes for bytes_max=0"),
    (LoadReturnsNothing, r"load_entries\(\) with bytes_max returns at least one entry"),
    (LoadAfterIncludes, r"load_entries_after\(index\) returns every entry above index"),
    (StableCountsStaged, r"every entry up to stable_index is durable as it is in the log"),
    (StableBeyondTheEnd, r"stable_index is not above the last entry"),
    (StableStays, r"stable_index is the last entry once everything is durable: it is 0"),
    (HardStateOvertakes, r"calls become durable in order"),
    (ShowsWhatIsNotDurable, r"what is found after a crash survives the next one"),
)


@pytest.mark.parametrize(("broken", "rule"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_a_broken_storage_is_told_which_rule_it_breaks(broken: type[MemStorage], rule: str) -> None:
    """Together with what is wrong, and the calls that led to it."""
    with pytest.raises(AssertionError, match=rule):  # noqa: PT012
        if issubclass(broken, Disk):
            for keep in KEPT:
                check_log_storage(broken, sync=Disk.sync, reopen=crashing(keep))
        else:
            check_log_storage(broken, reopen=lambda storage: storage)


def test_a_storage_that_another_run_has_used_is_noticed() -> None:
    """`factory()` makes a new one each time."""
    used = MemStorage()
    with pytest.raises(AssertionError, match=r"a new storage is empty: load_hard_state\(\) is .*\nafter no call"):
        check_log_storage(lambda: used)


def test_an_error_of_the_storage_comes_through_with_the_calls_before_it() -> None:
    """It may be what the storage's author needs to see."""

    class Failing(MemStorage):
        def truncate(self, index: int) -> None:
            raise StorageError("no")

    with pytest.raises(StorageError, match="no") as raised:
        check_log_storage(Failing)
    assert raised.value.__notes__[0].startswith("after append(1 of term 1, 2 of term 1")
