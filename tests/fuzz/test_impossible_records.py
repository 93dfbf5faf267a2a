"""Records of the log that no node writes, below right checksums: refused at the start, and reported offline."""

from dataclasses import replace
from unittest.mock import patch

import msgspec
import pytest

from raftnode.core.errors import StorageError
from raftnode.core.types import EntryKind, HardState, LogEntry, SnapshotPoint
from raftnode.storage.inspect import DataDirReader
from raftnode.storage.segment import Batch, WalDamaged
from tests.fuzz.sealing import sealed_batches
from tests.fuzz.stored import COMPACTED_TO, LAST, data_directory, disk, open_node
from tests.support.filesystem import SimulatedFilesystem
from tests.support.replicas import DATA

BEFORE = LAST - 1
"""The entry before the one that is replaced, which is of term 3."""


def log_that_ends_with(batch: Batch) -> SimulatedFilesystem:
    """Return a disk on which `batch` stands in the place of the last entry's, and nothing after it."""
    files = dict(data_directory())
    newest = max(path for path in files if path.endswith(".wal"))
    last = next(b for b in sealed_batches(files[newest]) if any(e.index == LAST for e in b.placed.batch.entries))
    cut = replace(last, whole=last.whole[: last.placed.offset + last.placed.size])
    files[newest] = cut.with_payload(msgspec.msgpack.encode(batch))
    return disk(files)


def entry(index: int, term: int = 3, data: bytes = b"", kind: EntryKind = EntryKind.NOOP) -> Batch:
    """Return a batch with one entry."""
    return Batch(None, 0, None, [LogEntry(term, index, data, kind)])


def damage_of(fs: SimulatedFilesystem) -> str:
    """Return what `raftctl log verify` reports first."""
    with patch("raftnode.storage.inspect.PAUSE_S", 0.0), DataDirReader(DATA, fs) as look:
        found = look.verify().damage
    return found[0].reason if found else ""


def test_the_place_takes_what_a_node_could_have_written() -> None:
    """The cases below fail because of what they say, and not because something else is wrong with the place."""
    fs = log_that_ends_with(entry(LAST))
    assert damage_of(fs) == ""
    replica, _ = open_node(fs)
    assert replica.node.last_log_index == LAST


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        (entry(LAST + 1), f"entry {LAST + 1} was found where {LAST} belongs"),
        (entry(BEFORE), f"entry {BEFORE} was found where {LAST} belongs"),
        (Batch(None, LAST + 1, None, []), f"a truncation at {LAST + 1} is outside"),
        (Batch(None, COMPACTED_TO, None, []), f"a truncation at {COMPACTED_TO} is outside"),
        (Batch(None, 0, SnapshotPoint(COMPACTED_TO - 1, 1), []), f"a compaction to {COMPACTED_TO - 1} is below"),
        (Batch(HardState(-1, None), 0, None, []), "the impossible number -1"),
        (Batch(None, 0, SnapshotPoint(2**63, 3), []), "the impossible number"),
        (entry(LAST, 2), f"entry {LAST} has term 2 after an entry of term 3"),
        (entry(LAST, 2**63), f"the impossible number {2**63}"),
        # A compaction says that a snapshot covers what it takes away: here none does.
        (Batch(None, 0, SnapshotPoint(LAST + 5, 3), []), f"the log begins after entry {LAST + 5}, and the newest"),
        (entry(LAST, 3, b"\xc1", EntryKind.CONFIGURATION), f"entry {LAST}: not a configuration"),
    ],
)
def test_an_impossible_record_is_refused_and_told(batch: Batch, reason: str) -> None:
    """Gaps, truncations and compactions of what is not there, and contents that are invalid, with the reason."""
    fs = log_that_ends_with(batch)
    assert reason in damage_of(fs)
    with pytest.raises(StorageError, match=reason):
        open_node(fs)


def test_a_term_that_falls_is_damage_with_its_file_and_place() -> None:
    """No node writes an entry of an earlier term after one of a later term (§5.3)."""
    fs = log_that_ends_with(entry(LAST, 2))
    with pytest.raises(WalDamaged) as failed:
        open_node(fs)
    assert failed.value.file.endswith(".wal")
    assert failed.value.index == LAST
    assert failed.value.offset > 0


def test_an_entry_of_a_term_that_was_not_recorded_makes_the_node_begin_in_that_term() -> None:
    """Nothing was answered in it and no vote was given, so a start is safe; the offline check reports it."""
    fs = log_that_ends_with(entry(LAST, 9))
    assert "its term is 9, above the hard state's" in damage_of(fs)
    replica, _ = open_node(fs)
    assert replica.node.current_term >= 9
