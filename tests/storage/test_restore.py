"""A data directory made from a snapshot: whole under its name, or not there."""

from pathlib import Path

import pytest

from raftnode.core.membership import make_configuration
from raftnode.core.types import HardState
from raftnode.storage.data_dir import DataDirError, Identity
from raftnode.storage.restore import restore_data_dir
from raftnode.storage.snapshot_file import StoredSnapshot
from raftnode.storage.snapshots import SnapshotStore
from raftnode.storage.wal import Wal


def a_snapshot(directory: Path) -> StoredSnapshot:
    """Take a snapshot of entry 10 in another cluster."""
    writer = SnapshotStore(directory, cluster_id="old").writer(10, 3, make_configuration([7]))
    writer.write(b"state")
    writer.write(b"more of it")
    return writer.finish()


def restore(path: Path, source: StoredSnapshot, **more: object) -> tuple[Identity, StoredSnapshot]:
    """Make node 1 of a new cluster of two."""
    return restore_data_dir(
        path,
        source,
        cluster_id="new",
        cluster_name="demo",
        node_id=1,
        node_name="n1",
        address="127.0.0.1:7001",
        voters={1: b"", 2: b""},
        **more,  # type: ignore[arg-type]
    )


def test_a_restored_node_goes_on_after_the_snapshot(tmp_path: Path) -> None:
    """It has the state, the new members, and a log that ends where the snapshot does, in its term.

    What is returned is where it says that it is, and not where it was made.
    """
    source = a_snapshot(tmp_path / "old")
    _, stored = restore(tmp_path / "n1", source, skip_indexes=5)
    assert (stored.index, stored.term, stored.cluster_id) == (15, 3, "new")
    assert stored.configuration.voters == (1, 2)
    store = SnapshotStore(tmp_path / "n1" / "snapshots")
    assert store.latest() == stored
    assert list(store.chunks(stored)) == [b"state", b"more of it"]
    wal = Wal.open(tmp_path / "n1" / "wal")
    assert (wal.snapshot_metadata(), wal.last_index, wal.load_hard_state()) == ((15, 3), 15, HardState(3, None))
    wal.close()


def test_a_directory_is_never_restored_over(tmp_path: Path) -> None:
    """An empty one neither, and one that comes into being meanwhile neither."""
    source = a_snapshot(tmp_path / "old")
    (tmp_path / "n1").mkdir()
    with pytest.raises(DataDirError, match="exists already"):
        restore(tmp_path / "n1", source)
    with pytest.raises(DataDirError, match="exists already"):
        restore(tmp_path / "n2", source, progress=lambda size: (tmp_path / "n2").mkdir(exist_ok=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["n1", "n2", "old"]
    assert list((tmp_path / "n2").iterdir()) == []


def test_a_restore_that_fails_leaves_nothing_and_an_earlier_ones_rest_is_in_nobodys_way(tmp_path: Path) -> None:
    """The next attempt begins anew."""
    source = a_snapshot(tmp_path / "old")

    def give_up(size: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(tmp_path / "n1", source, progress=give_up)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    (tmp_path / "n1.part" / "wal").mkdir(parents=True)
    (tmp_path / "n1.part" / "wal" / "rest").write_bytes(b"x")
    restore(tmp_path / "n1", source)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["n1", "old"]
