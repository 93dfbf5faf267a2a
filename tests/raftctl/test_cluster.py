"""raftctl cluster on this machine, with a small program in raftnode's place."""

import errno
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from raftctl.local import processes
from raftctl.local.cluster_files import load_cluster_file
from raftnode.config.errors import UsageError
from tests.raftctl.conftest import Cli
from tests.support.fake_node import make_status
from tests.support.fake_raftnode import FixedNode


@pytest.fixture(autouse=True)
def fake_raftnode(monkeypatch: pytest.MonkeyPatch) -> None:
    def command(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "tests.support.fake_raftnode", *arguments]

    monkeypatch.setattr("raftctl.commands.cluster.up.raftnode_command", command)


def free_ports(count: int) -> int:
    """Return the first of `count` neighboring ports that nobody listens at."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            base = int(probe.getsockname()[1])
        try:
            for port in range(base, base + count):
                socket.create_server(("127.0.0.1", port)).close()
        except (OSError, OverflowError):
            continue
        return base


@pytest.fixture
def made(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cluster that was initialized; what still runs in the end is killed."""
    started: list[processes.Child] = []

    def start(name: str, data_dir: str, command: Sequence[str]) -> processes.Child:
        started.append(processes.start_node(name, data_dir, command))
        return started[-1]

    monkeypatch.setattr("raftctl.commands.cluster.up.start_node", start)
    directory = tmp_path / "a demo"
    done = cli("cluster init --name demo", str(directory), "--base-port", str(free_ports(3)))
    assert done.code == 0, done.err
    yield directory / "cluster.toml"
    for child in started:
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)


def test_init_writes_the_file_and_formats_the_directories(made: Path) -> None:
    """cluster init: a random id, the names n1.., consecutive ports, data directories beside the file."""
    file = load_cluster_file(str(made))
    assert (file.name, len(file.id), [n.name for n in file.nodes]) == ("demo", 32, ["n1", "n2", "n3"])
    assert all(Path(n.data_path, "identity.json").exists() for n in file.nodes)
    assert not made.with_name("cluster.toml.part").exists()


def test_init_never_replaces_a_cluster(cli: Cli, made: Path) -> None:
    """Exit 6; with --if-not-exists it is changed false; data without a file is not touched either."""
    before = made.read_bytes()
    assert cli("cluster init", str(made.parent)).code == 6
    assert cli("cluster init --if-not-exists -o json", str(made.parent)).json["changed"] is False
    assert made.read_bytes() == before
    made.unlink()
    assert cli("cluster init", str(made.parent)).code == 6
    made.write_bytes(before)


def test_init_shows_first_what_it_would_do(cli: Cli, tmp_path: Path) -> None:
    """--dry-run makes nothing."""
    assert cli("cluster init --dry-run", str(tmp_path / "new")).code == 0
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("arguments", ["--nodes 0", "--nodes three", "--base-port 65535", "--name 'a b'"])
def test_init_refuses_numbers_and_names_that_cannot_be(cli: Cli, tmp_path: Path, arguments: str) -> None:
    """Exit 2, and nothing was made."""
    assert cli(f"cluster init {arguments}", str(tmp_path / "new")).code == 2
    assert not (tmp_path / "new").exists()


def test_init_that_fails_leaves_nothing_behind(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Why the disk refused is in the error, and the command can be repeated."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("raftnode.storage.format.format_data_dir", refuse)
    got = cli("cluster init", str(tmp_path / "new"))
    assert got.code == 1
    assert "no space" in got.err
    assert os.listdir(tmp_path / "new") == []


def test_up_starts_what_does_not_run_and_down_stops_it(cli: Cli, made: Path) -> None:
    """Both are idempotent: a second time is changed false."""
    up = cli("cluster up -o json -f", str(made)).json
    assert (up["changed"], up["started"], up["status"]["health"]) == (True, ["n1", "n2", "n3"], "healthy")
    again = cli("cluster up -o json -f", str(made)).json
    assert (again["changed"], again["running"]) == (False, ["n1", "n2", "n3"])
    endpoints = ",".join(n.address for n in load_cluster_file(str(made)).nodes)
    assert cli("cluster up -f", str(made)).err == f"export RAFTCTL_ENDPOINTS={endpoints}\n"
    listed = cli("cluster list -o json -f", str(made)).json["nodes"]
    assert all(n["running"] for n in listed)
    assert cli("cluster down --dry-run -o json -f", str(made)).json["would_stop"] == ["n1", "n2", "n3"]
    assert cli("cluster down -o json --node n2 -f", str(made)).json["stopped"] == ["n2"]
    assert cli("cluster up --dry-run -o json -f", str(made)).json["would_start"] == ["n2"]
    assert cli("cluster down -o json -f", str(made)).json["stopped"] == ["n1", "n3"]
    assert cli("cluster down -o json -f", str(made)).json["changed"] is False


def test_a_node_that_ends_at_start_is_reported_with_its_log(cli: Cli, made: Path) -> None:
    """The last lines of raftnode.log are the reason."""
    (made.parent / "data" / "n2" / "broken").touch()
    got = cli("cluster up -f", str(made))
    assert got.code == 1
    assert "n2 ended with exit code 1" in got.err
    assert "the disk is on fire" in got.err


def test_a_stranger_at_a_nodes_address_is_reported(cli: Cli, made: Path) -> None:
    """The same node id in another cluster is not the node."""
    own = load_cluster_file(str(made)).nodes[0]
    status = make_status(own.id, [], cluster_name="other")
    with FixedNode(own.address, status):
        got = cli("cluster up --node n1 --timeout 5s -f", str(made))
    assert got.code == 1
    assert "node 1 of cluster other" in got.err or "n1 ended with exit code" in got.err


def test_a_node_that_does_not_stop_is_killed_only_on_request(cli: Cli, made: Path) -> None:
    """cluster down: exit 7 at the timeout; --kill is explicit."""
    (made.parent / "data" / "n1" / "stubborn").touch()
    assert cli("cluster up -f", str(made), "--node", "n1").code == 0
    got = cli("cluster down --timeout 0.2s -f", str(made))
    assert got.code == 7
    assert "n1" in got.err
    assert cli("cluster down --timeout 0.1s --kill -o json -f", str(made)).json["killed"] == ["n1"]


def test_a_stale_process_id_is_never_signalled(tmp_path: Path) -> None:
    """Only who holds the lock is believed to be the node."""
    (tmp_path / "LOCK").write_text(f"{os.getpid()}\n", encoding="utf-8")
    assert processes.running_pid(str(tmp_path)) is None
    assert processes.send_signal(str(tmp_path), signal.SIGKILL) is None
    with (tmp_path / "LOCK").open("r") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert processes.running_pid(str(tmp_path)) == os.getpid()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must be a section [cluster]"),
        ("[cluster]\nname = 'a'", "at least one [[node]]"),
        ("[cluster]\nname = 1\n[[node]]\nid = 1\nname = 'a'\naddress = 'h:1'\ndata_dir = 'd'", "cluster.name"),
        ("[cluster]\nname = 'a'\n[[node]]\nid = 'x'\nname = 'a'\naddress = 'h:1'\ndata_dir = 'd'", "node[1].id"),
        ("[cluster]\nname = 'a'\n[[node]]\nid = 1\nname = 'a'\naddress = 'h'\ndata_dir = 'd'", "node[1].address"),
        ("[cluster]\nname = 'a'\n[[node]]\nid = 1\nname = 'a'\naddress = 'h:1'", "node[1].data_dir"),
        ("not toml", "is not TOML"),
    ],
)
def test_a_bad_cluster_file_names_the_file_and_the_key(tmp_path: Path, text: str, reason: str) -> None:
    """Exit 2 and no traceback."""
    path = tmp_path / "cluster.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load_cluster_file(str(path))
    assert str(path) in caught.value.what
    assert reason in f"{caught.value.what} {caught.value.why}"


def test_a_cluster_file_that_is_not_there(cli: Cli, tmp_path: Path) -> None:
    """And a node that is not in it."""
    assert cli("cluster up -f", str(tmp_path / "cluster.toml")).code == 2
