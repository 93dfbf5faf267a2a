"""raftctl snapshot save, inspect, verify and restore: a copy is whole or is not there, and damage is always told."""

import errno
import hashlib
import json
import shlex
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from raftctl.inspect.snapshot_contents import prefix_of
from raftctl.local.processes import raftnode_command
from raftctl.output.progress import progress_text
from raftnode.storage.data_dir import DataDir, read_identity
from raftnode.storage.snapshots import SnapshotStore
from raftnode.storage.wal import Wal
from raftnode.wire import client as wire
from tests.raftctl.conftest import Cli
from tests.raftctl.data_dirs import OLD_CLUSTER, flip, log_entries, make_data_dir, make_snapshot
from tests.support.fake_node import HANG_UP, FakeCluster, Reply

NEW_CLUSTER = """
[cluster]
name = "again"
id = "{id}"
[[node]]
id = 1
name = "m1"
address = "127.0.0.1:8001"
data_dir = "m1"
[[node]]
id = 2
name = "m2"
address = "127.0.0.1:8002"
data_dir = "m2"
"""


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """A snapshot file after entry 60."""
    return Path(make_snapshot(tmp_path / "store", log_entries(60)).path)


@pytest.fixture
def cluster_file(tmp_path: Path) -> Path:
    """A new cluster's file."""
    path = tmp_path / "cluster.toml"
    path.write_text(NEW_CLUSTER.format(id="new-cluster"))
    return path


class SnapshotNode:
    """Serves one snapshot file, a piece of 100 bytes at a time; `spoil` may change an answer."""

    def __init__(self, path: Path) -> None:
        self.data = path.read_bytes()
        self.info = wire.SnapshotInfo(60, 2, len(self.data), "2026-11-23T03:10:12.677Z", path.name, [1])
        self.offsets: list[int] = []
        self.spoil: Callable[[wire.SnapshotPiece], Reply] = lambda piece: piece

    def __call__(self, _node: int, request: Any) -> Reply | None:
        match request:
            case wire.TriggerSnapshot():
                return wire.SnapshotTaken(0, True, self.info)
            case wire.ReadSnapshot():
                self.offsets.append(request.offset)
                data = self.data[request.offset : request.offset + 100]
                return self.spoil(wire.SnapshotPiece(0, self.info, request.offset, data, zlib.crc32(data)))
        return None


@pytest.fixture
def node(cluster: FakeCluster, snapshot: Path) -> SnapshotNode:
    """Every node of the scripted cluster serves the snapshot."""
    served = SnapshotNode(snapshot)
    cluster.interfere = served
    return served


def test_save_writes_the_file_and_says_what_it_is(
    cluster: FakeCluster, node: SnapshotNode, tmp_path: Path, cli: Cli
) -> None:
    """snapshot save: taken anew, copied in pieces, checked; index, term, size, sha256."""
    file = tmp_path / "b.snap"
    record = cli(f"snapshot save {file} -o json").json
    assert file.read_bytes() == node.data
    assert record == {
        "schema": "raftctl.snapshot.save/1",
        "changed": True,
        "file": str(file),
        "node": "n1",
        "index": 60,
        "term": 2,
        "size_bytes": len(node.data),
        "sha256": hashlib.sha256(node.data).hexdigest(),
        "created_at": node.info.created_at,
    }
    assert node.offsets == list(range(0, len(node.data), 100))
    assert cluster.count(wire.TriggerSnapshot) == 1
    assert not (tmp_path / "b.snap.part").exists()


def test_save_takes_what_is_there_from_the_named_member(
    cluster: FakeCluster, node: SnapshotNode, tmp_path: Path, cli: Cli
) -> None:
    """snapshot save --existing --from: no new one is made; a member that does not exist is exit 3."""
    assert cli(f"snapshot save {tmp_path / 'b'} --existing --from n2 -o json").json["node"] == "n2"
    assert cluster.count(wire.TriggerSnapshot) == 0
    assert all(isinstance(r, wire.GetStatus) for r in cluster.nodes[1].requests)
    assert cli(f"snapshot save {tmp_path / 'c'} --from n9").code == 3
    cluster.leader = 0
    assert cli(f"snapshot save {tmp_path / 'c'}").code == 5


def test_save_never_writes_over_a_file_unasked(node: SnapshotNode, tmp_path: Path, cli: Cli) -> None:
    """snapshot save: exit 6, or --force."""
    file = tmp_path / "b.snap"
    file.write_text("precious")
    got = cli(f"snapshot save {file}")
    assert (got.code, file.read_text()) == (6, "precious")
    assert "E_EXISTS" in got.err
    assert cli(f"snapshot save {file} --force").code == 0
    assert file.read_bytes() == node.data


def test_save_goes_on_where_it_was_when_the_connection_breaks(node: SnapshotNode, tmp_path: Path, cli: Cli) -> None:
    """snapshot save: only the piece whose answer was lost is asked for again."""
    broken: list[int] = []

    def hang_up_once(piece: wire.SnapshotPiece) -> Reply:
        if piece.offset in (200, 300) and piece.offset not in broken:
            broken.append(piece.offset)
            return HANG_UP
        return piece

    node.spoil = hang_up_once
    file = tmp_path / "b.snap"
    assert cli(f"snapshot save {file}").code == 0
    assert file.read_bytes() == node.data
    assert node.offsets[:7] == [0, 100, 200, 200, 300, 300, 400]


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda piece: msgspec.structs.replace(piece, data=piece.data[:-1] + b"?"), 1),
        (
            lambda piece: msgspec.structs.replace(
                piece, data=piece.data[:-1] + b"?", checksum=zlib.crc32(piece.data[:-1] + b"?")
            ),
            3,
        ),
        (lambda piece: wire.Failed(0, wire.ErrorCode.NOT_FOUND, "gone"), 3),
        (lambda piece: msgspec.structs.replace(piece, snapshot=wire.SnapshotInfo(61, 2, 1, "", "", [])), 8),
    ],
)
def test_a_copy_that_fails_leaves_nothing_behind(
    node: SnapshotNode, tmp_path: Path, cli: Cli, spoil: Callable[[wire.SnapshotPiece], Reply], code: int
) -> None:
    """snapshot save: a bad piece, damage that the node's own disk has, a snapshot that goes: no file, no .part."""
    node.spoil = lambda piece: spoil(piece) if piece.offset == 300 else piece
    assert cli(f"snapshot save {tmp_path / 'b.snap'} --timeout 2s").code == code
    assert not list(tmp_path.glob("b.snap*"))


def test_inspect_counts_and_weighs_by_prefix(snapshot: Path, tmp_path: Path, cli: Cli) -> None:
    """snapshot inspect: index, term, members, keys, sessions, and sizes by key prefix."""
    record = cli(f"snapshot inspect {snapshot} -o json").json
    assert (record["index"], record["term"], record["format_version"]) == (60, 2, 1)
    assert record["cluster_id"] == OLD_CLUSTER
    assert [m["name"] for m in record["configuration"]["voters"]] == ["n1", "n2", "n3"]
    assert (record["keys"], record["sessions"], record["results"], record["revision"]) == (6, 1, 58, 60)
    assert [(p["prefix"], p["keys"]) for p in record["prefixes"]] == [("app/", 5), ("", 1)]
    assert record["prefixes"][0]["bytes"] == 5 * (len("app/k0") + len("value 55"))
    assert record["key_bytes"] + record["value_bytes"] == sum(p["bytes"] for p in record["prefixes"])
    limited = cli(f"snapshot inspect {snapshot} --limit 1 -o json").json
    assert limited["others"] == {"prefixes": 1, "keys": 1, "bytes": 13, "key_bytes": 5, "value_bytes": 8}
    got = cli(f"snapshot inspect {snapshot} --separator k").out
    assert "index      60, term 2" in got
    assert [line.split()[:2] for line in got.splitlines()[6:]] == [["app/k", "5"], ["(no", "prefix)"], ["(all)", "6"]]
    data_dir = make_data_dir(tmp_path / "d")
    assert cli(f"snapshot inspect --data-dir {data_dir} -o json").json["index"] == 6
    assert cli(f"snapshot inspect --data-dir {make_data_dir(tmp_path / 'none', snapshot=0)}").code == 3


def test_inspect_needs_one_source(snapshot: Path, cli: Cli) -> None:
    """A file or a data directory; a missing file is exit 2."""
    assert cli("snapshot inspect").code == 2
    assert cli(f"snapshot inspect {snapshot} --data-dir x").code == 2
    assert cli(f"snapshot inspect {snapshot}.not-there").code == 2
    assert cli(f"snapshot inspect {snapshot} --depth -1").code == 2


@pytest.mark.parametrize(
    ("key", "depth", "prefix"),
    [
        (b"a/b/c", 0, b""),
        (b"a/b/c", 1, b"a/"),
        (b"a/b/c", 2, b"a/b/"),
        (b"a/b/c", 9, b"a/b/"),
        (b"plain", 1, b""),
        (b"/x", 1, b"/"),
        (b"//x", 2, b"//"),
    ],
)
def test_a_prefix_ends_with_a_separator(key: bytes, depth: int, prefix: bytes) -> None:
    """As du(1) does: what has fewer parts counts for the deepest one it has."""
    assert prefix_of(key, depth, b"/") == prefix


def test_verify_finds_every_flipped_byte_and_every_cut(snapshot: Path, cli: Cli) -> None:
    """snapshot verify: exit 3 with the byte, wherever the damage is, and for a file that ends early or goes on."""
    assert cli(f"snapshot verify {snapshot} -o json").json["ok"] is True
    assert "whole: index 60" in cli(f"snapshot verify {snapshot}").out
    data = snapshot.read_bytes()
    for offset in range(len(data)):
        flip(snapshot, offset)
        got = cli(f"snapshot verify {snapshot} -o json")
        assert got.code == 3, f"byte {offset}"
        assert "is damaged at byte" in json.loads(got.err)["error"]
        flip(snapshot, offset)
    for size in range(0, len(data), 7):
        snapshot.write_bytes(data[:size])
        assert cli(f"snapshot verify {snapshot}").code == 3, f"cut to {size}"
    snapshot.write_bytes(data + b"\0")
    assert cli(f"snapshot verify {snapshot}").code == 3


def test_restore_makes_a_new_clusters_directory(snapshot: Path, cluster_file: Path, tmp_path: Path, cli: Cli) -> None:
    """snapshot restore: new id and members; the log begins after the snapshot; its term, no vote; its sessions."""
    record = cli(f"snapshot restore {snapshot} -f {cluster_file} --name m2 -o json").json
    path = tmp_path / "m2"
    assert record["data_dir"] == str(path)
    assert record["sha256"] == hashlib.sha256(snapshot.read_bytes()).hexdigest()
    assert (record["first_log_index"], record["cluster"]["id"]) == (61, "new-cluster")
    identity = read_identity(path)
    assert (identity.cluster_id, identity.node_id, identity.node_name) == ("new-cluster", 2, "m2")
    assert identity.configuration.voters == (1, 2)
    DataDir.open(path).close()
    wal = Wal.open(path / "wal")
    assert (wal.snapshot_metadata(), wal.last_index) == ((60, 2), 60)
    assert (wal.load_hard_state().current_term, wal.load_hard_state().voted_for) == (2, None)
    wal.close()
    restored = SnapshotStore(path / "snapshots").latest()
    assert restored is not None
    assert (restored.index, restored.term, restored.cluster_id) == (60, 2, "new-cluster")
    assert restored.configuration == identity.configuration
    old, new = (cli(f"snapshot inspect {file} -o json").json for file in (snapshot, restored.path))
    for field in ("keys", "sessions", "results", "revision", "prefixes"):
        assert old[field] == new[field]
    assert cli(f"log verify --data-dir {path}").code == 0
    cli(f"snapshot restore {snapshot} -f {cluster_file} --name m1 -o json")
    assert read_identity(tmp_path / "m1").instance_id != identity.instance_id
    assert not list(tmp_path.glob("*.part"))


def test_a_restored_log_may_go_on_further_ahead(snapshot: Path, cluster_file: Path, tmp_path: Path, cli: Cli) -> None:
    """snapshot restore --skip-indexes: numbers that the old cluster gave away are not given again."""
    cli(f"snapshot restore {snapshot} -f {cluster_file} --name m1 --skip-indexes 1000000")
    wal = Wal.open(tmp_path / "m1" / "wal")
    assert wal.snapshot_metadata() == (1_000_060, 2)
    wal.close()
    assert cli(f"log verify --data-dir {tmp_path / 'm1'}").code == 0
    assert cli(f"snapshot restore {snapshot} -f {cluster_file} --name m2 --skip-indexes -1").code == 2


def test_a_dry_run_of_restore_checks_and_makes_nothing(
    snapshot: Path, cluster_file: Path, tmp_path: Path, cli: Cli
) -> None:
    """snapshot restore --dry-run: damage is found too."""
    before = sorted(tmp_path.iterdir())
    assert cli(f"snapshot restore {snapshot} -f {cluster_file} --name m1 --dry-run -o json").json["changed"] is False
    flip(snapshot, snapshot.stat().st_size - 20)
    assert cli(f"snapshot restore {snapshot} -f {cluster_file} --name m1 --dry-run").code == 3
    assert sorted(tmp_path.iterdir()) == before


def test_restore_refuses_what_would_mix_or_overwrite(
    snapshot: Path, cluster_file: Path, tmp_path: Path, cli: Cli
) -> None:
    """snapshot restore: the old cluster's id, no id, an unknown node, an existing directory, a damaged file."""
    restore = f"snapshot restore {snapshot} -f {cluster_file} --name m1"
    cluster_file.write_text(NEW_CLUSTER.format(id=OLD_CLUSTER))
    got = cli(restore)
    assert got.code == 6
    assert "E_SAME_CLUSTER" in got.err
    cluster_file.write_text(NEW_CLUSTER.replace('id = "{id}"', "", 1))
    assert cli(restore).code == 2
    cluster_file.write_text(NEW_CLUSTER.format(id="new-cluster"))
    assert cli(restore.replace("m1", "m9")).code == 3
    (tmp_path / "m1").mkdir()
    got = cli(restore)
    assert got.code == 6
    assert "E_EXISTS" in got.err
    flip(snapshot, snapshot.stat().st_size - 20)
    assert cli(f"{restore} --data-dir {tmp_path / 'other'}").code == 3
    assert not list(tmp_path.glob("other*"))
    assert list((tmp_path / "m1").iterdir()) == []


def test_restore_takes_a_snapshot_that_does_not_name_its_cluster(tmp_path: Path, cluster_file: Path, cli: Cli) -> None:
    """snapshot restore: with a warning, because nothing can be compared."""
    file = make_snapshot(tmp_path / "old", log_entries(9), cluster_id="").path
    got = cli(f"snapshot restore {file} -f {cluster_file} --name m1")
    assert got.code == 0
    assert "does not name its cluster" in got.err


def test_restore_leaves_the_settings_that_format_leaves(
    snapshot: Path, cluster_file: Path, tmp_path: Path, cli: Cli
) -> None:
    """snapshot restore: the same node.toml to edit."""
    words = ("format", "--cluster-file", str(cluster_file), "--name", "m1", "--data-dir", str(tmp_path / "formatted"))
    subprocess.run(raftnode_command(*words), check=True, capture_output=True)
    assert cli(f"snapshot restore {snapshot} -f {cluster_file} --name m1").code == 0
    left = (tmp_path / "m1" / "node.toml").read_text()
    assert left == (tmp_path / "formatted" / "node.toml").read_text()
    assert "#" in left


def test_a_restore_that_cannot_leave_settings_says_so(
    snapshot: Path, cluster_file: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """snapshot restore: the directory is whole, and the failure is told."""

    def refuse(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("raftnode.storage.format.leave_template", refuse)
        got = cli(f"snapshot restore {snapshot} -f {cluster_file} --name m1")
    assert got.code == 1
    assert "is restored and whole, but has no node.toml" in got.err
    assert "No space left on device" in got.err
    assert cli(f"log verify --data-dir {tmp_path / 'm1'}").code == 0


def test_an_unfinished_restore_is_begun_again(snapshot: Path, cluster_file: Path, tmp_path: Path, cli: Cli) -> None:
    """snapshot restore: what a killed one left under .part counts for nothing."""
    (tmp_path / "m1.part" / "wal").mkdir(parents=True)
    (tmp_path / "m1.part" / "identity.json").write_text("half")
    assert cli(f"snapshot restore {snapshot} -f {cluster_file} --name m1").code == 0
    assert not (tmp_path / "m1.part").exists()


def test_progress_is_a_share_an_amount_and_a_speed() -> None:
    """Rule 15: with a bar on a terminal, without one elsewhere."""
    assert progress_text("saving", 512, 1024, 2.0) == "saving: 50%, 512 B of 1.0 KiB, 256 B/s"
    assert progress_text("saving", 512, 1024, 2.0, cells=4) == "saving: [##..] 50%, 512 B of 1.0 KiB, 256 B/s"
    assert progress_text("saving", 0, 0, 0.0) == "saving: 100%, 0 B of 0 B, 0 B/s"


@pytest.mark.parametrize("words", ["snapshot trigger", "snapshot save {out}"])
def test_without_a_leader_a_member_that_answers_is_named(
    cluster: FakeCluster, cli: Cli, tmp_path: Path, words: str
) -> None:
    """The advice works: it names none that is down."""
    cluster.leader = 0
    cluster.stop(1)
    got = cli(words.format(out=shlex.quote(str(tmp_path / "a file"))))
    assert got.code == 5
    advice = got.err.splitlines()[-1].partition(": raftctl ")[2]
    assert shlex.split(advice)[-1] == "n2"
    assert cli(f"{advice} --dry-run").code == 0


def test_a_backup_that_cannot_be_written_takes_no_snapshot(cluster: FakeCluster, cli: Cli, tmp_path: Path) -> None:
    """snapshot save: known before the cluster does any work for it."""
    got = cli(f"snapshot save {tmp_path}/no/where")
    assert (got.code, cluster.count(wire.TriggerSnapshot)) == (2, 0)
