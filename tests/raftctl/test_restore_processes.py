"""A cluster that is gone comes back from its backup: real processes, from the first write to the last reading."""

import shutil
from pathlib import Path

import pytest

from raftctl.commands.snapshot.save import PIECE_BYTES
from raftnode.wire.client import NodeStatus
from tests.raftctl.conftest import Cli
from tests.support.processes import ProcessCluster, running_cluster

pytestmark = pytest.mark.processes


def all_up(cluster: ProcessCluster, statuses: dict[str, NodeStatus]) -> bool:
    """Return whether the three nodes follow one leader and have applied the same."""
    known = {(s.leader_id, s.term, s.applied_index) for s in statuses.values()}
    return len(statuses) == 3 and len(known) == 1 and None not in {s.leader_id for s in statuses.values()}


def write(cluster: ProcessCluster, key: str, value: str) -> None:
    cluster.raftctl("kv", "put", key, value)


def test_a_destroyed_cluster_is_restored_with_its_values(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Write, save, destroy, restore three nodes, start, read; the log goes on; an old member cannot come in."""
    file = tmp_path / "backup.snap"
    (tmp_path / "old").mkdir()
    with running_cluster(tmp_path / "old") as old:
        monkeypatch.setenv("RAFTCTL_ENDPOINTS", ",".join(old.endpoints))
        for number in range(5):
            write(old, f"app/k{number}", f"value {number}")
        (tmp_path / "big").write_bytes(b"x" * 3 * PIECE_BYTES)
        assert cli(f"kv put big --file {tmp_path / 'big'}").code == 0
        cli("kv incr counter --by 41")
        leader = old.wait_leader()
        assert cli("wait --leader -o name").out == f"{leader}\n"
        for command in ("log verify", "log range 1 4", "log tail", "log info"):
            assert cli(f"{command} --data-dir {old.data_dir(leader)}").code == 0, "while the node runs"
        saved = cli(f"snapshot save {file} -o json").json
        assert saved["size_bytes"] == file.stat().st_size > 3 * PIECE_BYTES
        online = cli("log range 1 6 -o json").json["entries"]
        write(old, "after", "the backup")
    offline = cli(f"log range 1 6 --data-dir {old.data_dir('n1')} -o json").json["entries"]
    assert [{**e, "committed": None} for e in online] == [{**e, "committed": None} for e in offline]
    one = tmp_path / "kept"
    shutil.copytree(old.data_dir("n1"), one)
    shutil.rmtree(tmp_path / "old" / "data")
    restore_and_read(old, tmp_path, file, one, cli, monkeypatch, saved["index"])


def restore_and_read(
    old: ProcessCluster, tmp_path: Path, file: Path, kept: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, index: int
) -> None:
    """Restore at the addresses of the old cluster, where its last member then tries to come in."""
    text = old.cluster_file.read_text()
    old.cluster_file.write_text(text.replace("[cluster]", '[cluster]\nid = "restored"'))
    for name in old.names:
        assert cli(f"snapshot restore {file} -f {old.cluster_file} --name {name}").code == 0
    old.start("n2", "n3")
    try:
        old.wait_leader()
        # The old n1, from before the backup was put back: same address, same node id, another cluster.
        restored = old.data_dir("n1").rename(tmp_path / "restored-n1")
        kept.rename(old.data_dir("n1"))
        old.start("n1")
        refusal = "this is cluster restored (test), not"
        old.wait_for("the old member is refused", lambda _: refusal in old.log_text("n1"))
        old.kill("n1")
        shutil.rmtree(old.data_dir("n1"))
        restored.rename(old.data_dir("n1"))
        old.start("n1")
        old.wait_for("the restored nodes agree", lambda statuses: all_up(old, statuses))
        assert cli("kv get app/k3 --raw").out == "value 3"
        assert len(cli("kv get big --raw").out) == 3 * PIECE_BYTES
        assert cli("kv get after").code == 3
        assert cli("kv incr counter -o json").json["value"] == 42
        entries = cli(f"log range {index + 1} {index + 9} -o json").json["entries"]
        assert (entries[0]["index"], entries[0]["kind"]) == (index + 1, "noop")
        assert cli(f"log range {index} {index}").code == 3
        assert {s.cluster_id for s in old.statuses().values()} == {"restored"}
    finally:
        old.kill()
