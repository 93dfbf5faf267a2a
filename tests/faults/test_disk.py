"""Real processes whose disk fails, hangs, is full, is read-only or goes away."""

import shutil
from pathlib import Path

import pytest

from raftnode.client import Client
from raftnode.client.connection import Connection
from raftnode.client.errors import ConnectionFailed
from raftnode.client.guard import ClusterGuard
from raftnode.client.transport import Deadline
from raftnode.wire import kv
from raftnode.wire.client import ErrorCode, Failed, Write, Written
from tests.faults.disk import failing_fdatasync, set_read_only, small_disk
from tests.support.load import TOTAL, Load, load
from tests.support.processes import READY_SECONDS, ProcessCluster, running_cluster
from tests.support.scale import FAULT_ROUNDS, SECONDS_MAX

pytestmark = [pytest.mark.processes, pytest.mark.timeout(SECONDS_MAX)]


def failure_lines(cluster: ProcessCluster, name: str) -> list[str]:
    return [line for line in cluster.log_text(name).splitlines() if "node.failed" in line]


@pytest.mark.parametrize("round_number", range(FAULT_ROUNDS))
@pytest.mark.parametrize("leads", [True, False], ids=["leader", "follower"])
def test_a_node_whose_fsync_fails_ends_and_what_was_acknowledged_stays(
    tmp_path: Path, leads: bool, round_number: int
) -> None:
    """It exits non-zero with one line that names the file; the others go on; it restarts from what is durable."""
    with running_cluster(tmp_path) as cluster:
        with load(cluster.endpoints, tmp_path) as clients:
            clients.progress(20)
            leader = cluster.wait_leader()
            victim = leader if leads else next(name for name in cluster.names if name != leader)
            with failing_fdatasync(cluster.pid(victim), f"error=EIO:when={3 + 10 * round_number}+"):
                assert cluster.wait_exit(victim) == 1
            (line,) = failure_lines(cluster, victim)
            assert f"cannot fsync {cluster.data_dir(victim)}/wal/segment-" in line
            assert "Input/output error" in line
            assert "cause=storage" in line
            clients.progress(10)
            cluster.start(victim)
            cluster.wait_follows(victim)
            clients.progress(10)
        cluster.wait_caught_up()


def test_a_write_whose_fsync_failed_is_never_acknowledged(tmp_path: Path) -> None:
    """A cluster of one: the only disk fails, so the write has no answer; nothing says that it was done."""
    with running_cluster(tmp_path, size=1) as cluster:
        connection = Connection(cluster.endpoints[0], ClusterGuard())
        put = Write(0, 0, 1, 0, kv.encode(kv.Put(b"before", b"1")))
        assert isinstance(connection.call(put, Deadline(READY_SECONDS)), Written)
        with failing_fdatasync(cluster.pid("n1"), "error=EIO"):
            with pytest.raises(ConnectionFailed, match=r"closed the connection|reset by peer"):
                connection.call(Write(0, 0, 1, 0, kv.encode(kv.Put(b"unlucky", b"1"))), Deadline(READY_SECONDS))
            assert cluster.wait_exit("n1") == 1
        cluster.start("n1")
        cluster.wait_leader()
        with Client(cluster.endpoints, timeout=READY_SECONDS) as reader:
            found = reader.get(b"before")
            assert found is not None
            assert found.value == b"1"


def test_writes_go_on_when_the_leaders_disk_hangs(tmp_path: Path) -> None:
    """One fsync takes 6 s, which stops the leader: another node leads meanwhile, and nothing acknowledged is lost."""
    with running_cluster(tmp_path) as cluster:
        with load(cluster.endpoints, tmp_path) as clients:
            clients.progress(20)
            slow = cluster.wait_leader()
            with failing_fdatasync(cluster.pid(slow), "delay_enter=6000000:when=2"):
                clients.progress(20)
                cluster.wait_leader(but=[slow])
            clients.progress(20)
        cluster.wait_caught_up()


def fill_up(path: Path) -> Path:
    """Write a file that takes all the room there is; return it."""
    ballast = path / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return ballast


def test_a_leader_without_room_serves_reads_says_so_and_catches_up(tmp_path: Path) -> None:
    """It refuses writes with no_space, or another node leads; with room again it has everything."""
    disk = tmp_path / "data" / "n1"
    with small_disk(disk, "16m"), running_cluster(tmp_path) as cluster:
        with load(cluster.endpoints, tmp_path, waits_for_room=True) as clients:
            clients.progress(20)
            lead_with(cluster, "n1")
            clients.progress(1)
            ballast = fill_up(disk)
            cluster.wait_for("n1 is full", lambda found: "n1" in found and found["n1"].storage_state == "full")
            check_full_node(cluster, clients)
            cluster.wait_leader(but=["n1"])
            clients.progress(20)
            assert "full" in cluster.raftctl("status", "-o", "json", check=False).stdout
            ballast.unlink()
            cluster.wait_for("n1 has room", lambda found: found["n1"].storage_state == "ok")
            clients.progress(10)
        cluster.wait_caught_up()
        cluster.kill()


def lead_with(cluster: ProcessCluster, name: str) -> None:
    """Hand leadership to a node, which another election may take away again at once."""
    deadline = Deadline(READY_SECONDS)
    while cluster.wait_leader() != name:
        cluster.raftctl("member", "transfer", name, check=False)
        assert not deadline.passed, f"{name} does not come to lead"


def check_full_node(cluster: ProcessCluster, clients: Load) -> None:
    """n1 answers a read from its own state, and takes no write: it says no_space, or that another leads."""
    connection = Connection(cluster.addresses["n1"], ClusterGuard())
    answer = connection.call(Write(0, 0, 1, 0, kv.encode(kv.Put(b"refused", b"1"))), Deadline(READY_SECONDS))
    assert isinstance(answer, Failed), answer
    assert answer.code in (ErrorCode.NO_SPACE, ErrorCode.NOT_LEADER, ErrorCode.NO_LEADER, ErrorCode.TIMED_OUT)
    got = cluster.raftctl("-e", cluster.addresses["n1"], "kv", "get", TOTAL, "--consistency", "local", "--raw")
    assert 0 < int(got.stdout) <= clients.total() + len(clients.clients)
    connection.close()


def test_a_read_only_disk_stops_the_start_with_a_clear_reason(tmp_path: Path) -> None:
    """The node does not begin to run; it names the file, and the others are not disturbed."""
    disk = tmp_path / "data" / "n1"
    with small_disk(disk, "16m"), running_cluster(tmp_path) as cluster:
        with load(cluster.endpoints, tmp_path, 2) as clients:
            assert cluster.stop("n1") == 0
            set_read_only(disk)
            cluster.start("n1")
            assert cluster.wait_exit("n1") != 0
            assert "Read-only file system" in cluster.log_text("n1")
            assert str(disk) in cluster.log_text("n1")
            clients.progress(10)
        cluster.kill()


def test_a_data_directory_that_goes_away_stops_the_node(tmp_path: Path) -> None:
    """The next file that it needs is not there: it ends with a line that names it; put back, it starts again."""
    settings: dict[str, dict[str, object]] = {"storage": {"segment_bytes": 1 << 16}}
    with running_cluster(tmp_path, settings=settings) as cluster, load(cluster.endpoints, tmp_path) as clients:
        clients.progress(20)
        victim = cluster.wait_leader()
        away = tmp_path / "away"
        shutil.move(cluster.data_dir(victim), away)
        for number in range(3):
            clients.put(f"big-{number}", "v" * 40_000)
        assert cluster.wait_exit(victim) == 1
        (line,) = failure_lines(cluster, victim)
        assert str(cluster.data_dir(victim)) in line
        assert "No such file or directory" in line
        shutil.move(away, cluster.data_dir(victim))
        cluster.start(victim)
        cluster.wait_follows(victim)
        clients.progress(10)
