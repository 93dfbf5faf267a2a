"""The raftnode command: exit codes, the three-line errors, and what may be repeated."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from raftnode.config.errors import CommandError
from raftnode.core.membership import Configuration
from raftnode.daemon.run import open_data_dir
from raftnode.main import main
from raftnode.storage.data_dir import DataDir, read_identity
from raftnode.wire.client import (
    Answer,
    AnyRequest,
    ChangeMembers,
    ErrorCode,
    Failed,
    GetStatus,
    MemberAction,
    MembersChanged,
    MemberStatus,
    NodeStatus,
    StatusResult,
    decode_request,
)
from raftnode.wire.frame import FrameDecoder, encode_frame
from raftnode.wire.hello import PROTOCOL_VERSION, Welcome
from tests.support import fake_node

ROOT = Path(__file__).parents[2]


class Command:
    """Runs raftnode in this process; keeps what it printed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        self.out = ""
        self.err = ""

    def __call__(self, *arguments: str | Path) -> int:
        self._monkeypatch.setattr(sys, "argv", ["raftnode", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as exit:
            code = int(exit.code or 0)
        self.out, self.err = self._capsys.readouterr()
        assert "Traceback" not in self.err
        return code


@pytest.fixture
def raftnode(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture
def cluster_file(tmp_path: Path) -> Path:
    file = tmp_path / "cluster.toml"
    nodes = "".join(
        f'[[node]]\nid = {n}\nname = "n{n}"\naddress = "127.0.0.1:{7000 + n}"\ndata_dir = "data/n{n}"\n'
        for n in (1, 2, 3)
    )
    file.write_text(f'[cluster]\nname = "demo"\n{nodes}')
    return file


def assert_problem(command: Command, code: str, *said: str) -> None:
    """Standard error holds the three lines with this code and texts; standard output nothing."""
    lines = command.err.splitlines()
    assert len(lines) == 3
    assert re.fullmatch(rf"error: .*  \[{code}, exit \d+\]", lines[0])
    assert lines[1].startswith("  ")
    assert lines[2].startswith("  ")
    for text in said:
        assert text in command.err
    assert command.out == ""


def test_format_writes_the_identity_and_a_commented_node_toml(
    raftnode: Command, cluster_file: Path, tmp_path: Path
) -> None:
    """The first configuration lists all nodes of the file as voters; the settings file changes nothing."""
    assert raftnode("format", "--cluster-file", cluster_file, "--name", "n2") == 0
    assert "changed: true" in raftnode.err
    identity = read_identity(tmp_path / "data" / "n2")
    assert (identity.node_id, identity.node_name, identity.capacity) == (2, "n2", "voter")
    assert identity.configuration.voters == (1, 2, 3)
    assert raftnode("config", "check", "--data-dir", tmp_path / "data" / "n2") == 0
    assert 'raft.heartbeat_interval = "100ms"  # default' in raftnode.out


def test_format_may_be_repeated(raftnode: Command, cluster_file: Path, tmp_path: Path) -> None:
    """The same identity again succeeds, says so, and changes no byte; a missing node.toml comes back."""
    data_dir = tmp_path / "d"
    command = ("format", "--cluster-file", cluster_file, "--name", "n1", "--data-dir", data_dir)
    assert raftnode(*command) == 0
    before = (data_dir / "identity.json").read_bytes()
    (data_dir / "node.toml").unlink()
    assert raftnode(*command) == 0
    assert "changed: false" in raftnode.err
    assert (data_dir / "identity.json").read_bytes() == before
    assert (data_dir / "node.toml").exists()


def test_format_keeps_a_node_toml_that_was_there_first(raftnode: Command, cluster_file: Path, tmp_path: Path) -> None:
    """A machine's set-up may write the settings before it formats: they stay as they are."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "node.toml").write_text('[log]\nformat = "json"\n')
    assert raftnode("format", "--cluster-file", cluster_file, "--name", "n1", "--data-dir", tmp_path / "d") == 0
    assert (tmp_path / "d" / "node.toml").read_text() == '[log]\nformat = "json"\n'


def test_format_never_touches_another_nodes_directory(raftnode: Command, cluster_file: Path, tmp_path: Path) -> None:
    """Another node's, another cluster's and a stranger's directory are refused by name."""
    data_dir = tmp_path / "d"
    raftnode("format", "--cluster-file", cluster_file, "--name", "n1", "--data-dir", data_dir)
    assert raftnode("format", "--cluster-file", cluster_file, "--name", "n2", "--data-dir", data_dir) == 8
    assert_problem(raftnode, "E_DATA_DIR", str(data_dir), "voter 1 (n1")
    cluster_file.write_text(cluster_file.read_text().replace("demo", "other"))
    assert raftnode("format", "--cluster-file", cluster_file, "--name", "n1", "--data-dir", data_dir) == 8
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    (stranger / "letter.txt").write_text("dear")
    assert raftnode("format", "--cluster-file", cluster_file, "--name", "n1", "--data-dir", stranger) == 8
    assert_problem(raftnode, "E_DATA_DIR", "letter.txt")


def test_format_names_what_is_missing(raftnode: Command, cluster_file: Path, tmp_path: Path) -> None:
    """An unknown node, a missing file and a wrong key each get their own answer."""
    assert raftnode("format", "--cluster-file", cluster_file, "--name", "n9") == 3
    assert_problem(raftnode, "E_NO_NODE", "n1, n2, n3")
    assert raftnode("format", "--cluster-file", tmp_path / "none.toml", "--name", "n1") == 2
    assert_problem(raftnode, "E_SETTINGS", "none.toml", "there is no such file")
    cluster_file.write_text(cluster_file.read_text().replace("id = 2", "id = 1"))
    assert raftnode("format", "--cluster-file", cluster_file, "--name", "n1") == 2
    assert_problem(raftnode, "E_SETTINGS", "node[2].id", "node[1] has the same")


def test_a_path_where_a_file_stands_is_refused(raftnode: Command, cluster_file: Path, tmp_path: Path) -> None:
    """The data directory is a directory, and so is what it stands in."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        assert raftnode("format", "--cluster-file", cluster_file, "--name", "n1", "--data-dir", path) == 8
        assert_problem(raftnode, "E_DATA_DIR", str(path))


def test_config_check_names_file_key_value_and_rule(raftnode: Command, tmp_path: Path) -> None:
    """Exit 2 without a traceback."""
    file = tmp_path / "node.toml"
    file.write_text('[raft]\nheartbeat_interval = "3s"\n')
    assert raftnode("config", "check", "--config", file) == 2
    assert_problem(raftnode, "E_SETTINGS", str(file), 'raft.heartbeat_interval = "3s"', "at most half")
    file.write_text('[raft]\nheartbeat_interval = "30ms"\n')
    assert raftnode("config", "check", "--config", file) == 0
    assert f'raft.heartbeat_interval = "30ms"  # {file}' in raftnode.out
    assert raftnode("config", "check", "--config", tmp_path / "none.toml") == 2
    assert raftnode("config", "check") == 2


def test_version_and_help(raftnode: Command) -> None:
    """Both go to standard output and succeed."""
    assert raftnode("--version") == 0
    assert re.fullmatch(r"raftnode \d+\.\d+\.\d+\n", raftnode.out)
    for command in ((), ("format",), ("run",), ("join",), ("config", "check")):
        assert raftnode(*command, "--help") == 0
        assert not command or "Example: raftnode " in raftnode.out


def test_every_command_and_option_is_in_the_manual() -> None:
    """raftnode(8) and the command line name the same things."""
    import typer

    from raftnode.main import app

    page = (ROOT / "man" / "raftnode.8").read_text().replace("\\-", "-")
    root = typer.main.get_command(app)
    commands = dict(root.commands)  # type: ignore[attr-defined]
    commands["config check"] = commands.pop("config").commands["check"]
    for name, command in commands.items():
        assert f".SS raftnode {name}\n" in page
        for parameter in command.params:
            for option in parameter.opts:
                assert option == "--help" or option in page, f"{name} {option}"


def test_run_without_a_data_directory_says_how_to_make_one(raftnode: Command, tmp_path: Path) -> None:
    """Missing: exit 3. A directory that is no data directory: exit 8."""
    assert raftnode("run", "--data-dir", tmp_path / "none") == 3
    assert_problem(raftnode, "E_NO_DATA_DIR", "raftnode format")
    assert raftnode("run", "--data-dir", tmp_path) == 8
    assert_problem(raftnode, "E_DATA_DIR", "identity.json")


def test_run_refuses_a_data_directory_that_is_locked(raftnode: Command, cluster_file: Path, tmp_path: Path) -> None:
    """Two processes on one directory would destroy it: the second one names the first."""
    raftnode("format", "--cluster-file", cluster_file, "--name", "n1", "--data-dir", tmp_path / "d")
    held = DataDir.open(tmp_path / "d")
    try:
        with pytest.raises(CommandError) as caught:
            open_data_dir(tmp_path / "d")
        assert f"process {os.getpid()}" in caught.value.why
    finally:
        held.close()


def test_run_refuses_a_wrong_setting(raftnode: Command, cluster_file: Path, tmp_path: Path) -> None:
    """Nothing is opened before the settings are right."""
    raftnode("format", "--cluster-file", cluster_file, "--name", "n1", "--data-dir", tmp_path / "d")
    (tmp_path / "d" / "node.toml").write_text("[snapshot]\nkeep = 0\n")
    assert raftnode("run", "--data-dir", tmp_path / "d") == 2
    assert_problem(raftnode, "E_SETTINGS", "snapshot.keep = 0", "at least 1")


def test_run_names_a_port_that_is_in_use(raftnode: Command, cluster_file: Path, tmp_path: Path) -> None:
    """Exit 8 with the address."""
    raftnode("format", "--cluster-file", cluster_file, "--name", "n1", "--data-dir", tmp_path / "d")
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        (tmp_path / "d" / "node.toml").write_text(f'[node]\nlisten = "{address}"\n')
        assert raftnode("run", "--data-dir", tmp_path / "d") == 8
    assert f"error: cannot listen at {address}  [E_ADDRESS_IN_USE, exit 8]" in raftnode.err


def test_run_names_an_address_of_another_machine(raftnode: Command, cluster_file: Path, tmp_path: Path) -> None:
    """An address that is not this machine's cannot be listened at."""
    raftnode("format", "--cluster-file", cluster_file, "--name", "n1", "--data-dir", tmp_path / "d")
    (tmp_path / "d" / "node.toml").write_text('[node]\nlisten = "192.0.2.1:7001"\n')
    assert raftnode("run", "--data-dir", tmp_path / "d") == 8
    assert "cannot listen at 192.0.2.1:7001  [E_LISTEN, exit 8]" in raftnode.err


@pytest.mark.processes
def test_a_single_node_runs_leads_and_stops_on_sigterm(raftnode: Command, cluster_file: Path, tmp_path: Path) -> None:
    """The real program: listens, leads alone, exits 0, and its log says so."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = f'[cluster]\nname = "one"\n[[node]]\nid = 1\nname = "n1"\naddress = "127.0.0.1:{port}"\n'
    cluster_file.write_text(text)
    data_dir = tmp_path / "d"
    raftnode("format", "--cluster-file", cluster_file, "--name", "n1", "--data-dir", data_dir)
    log_file = tmp_path / "log"
    with log_file.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "raftnode.main", "run", "--data-dir", str(data_dir)], cwd=ROOT, stderr=log
        )
    try:
        wait_until(lambda: "event=leader.changed" in log_file.read_text() or process.poll() is not None)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
    assert [
        event
        for event in ("node.starting", "node.listening", "node.stopping", "node.stopped")
        if f"event={event}" not in log_file.read_text()
    ] == []


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until `condition()` holds; fails after 15 s."""
    pause = threading.Event()
    for _ in range(1500):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("waited 15 s in vain")


class FakeCluster:
    """A leader that speaks the client protocol: node 1 of "demo", and whoever is added."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.cluster_id = "c1"
        self.role = "leader"
        self.leader_address = self.address
        self.members = [MemberStatus(1, "n1", self.address, "voter", 5, 6)]
        self.changes: list[ChangeMembers] = []
        self.fail_next: list[Failed] = []
        self.close_after_change = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, contextlib.suppress(ConnectionError):
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        decoder = FrameDecoder()
        welcomed = False
        while data := connection.recv(65536):
            for body in decoder.feed(data):
                if not welcomed:
                    welcomed = True
                    connection.sendall(encode_frame(Welcome(PROTOCOL_VERSION, self.cluster_id, 1, "i1", "n1")))
                    continue
                answer = self._answer(decode_request(body))
                if answer is None:
                    return
                connection.sendall(encode_frame(answer))

    def _answer(self, request: AnyRequest) -> Answer | None:
        if isinstance(request, GetStatus):
            return StatusResult(request.id, self._status())
        assert isinstance(request, ChangeMembers)
        if self.fail_next:
            return replace(self.fail_next.pop(0), id=request.id)
        self.changes.append(request)
        (operation,) = request.operations
        kind = "observer" if operation.action is MemberAction.ADD_OBSERVER else "learner"
        self.members.append(MemberStatus(4, operation.name, operation.address, kind, 0, 1))
        if self.close_after_change:
            self.close_after_change = False
            return None
        return MembersChanged(request.id, True, 9, self.members, 1, 1, 1, 1, 0, 0)

    def _status(self) -> NodeStatus:
        return NodeStatus(
            cluster_id=self.cluster_id,
            cluster_name="demo",
            node_id=1,
            node_name="n1",
            address=self.address,
            instance_id="i1",
            version="0",
            role=self.role,
            term=1,
            leader_id=1,
            leader_address=self.leader_address,
            commit_index=5,
            applied_index=5,
            first_log_index=1,
            last_log_index=5,
            snapshot_index=0,
            snapshot_term=0,
            configuration_index=1,
            joint=False,
            members=self.members,
            started_at="",
            uptime_ms=0,
            storage_state="ok",
        )


@pytest.fixture
def fake_cluster() -> Iterator[FakeCluster]:
    cluster = FakeCluster()
    yield cluster
    cluster.close()


@pytest.fixture
def join(raftnode: Command, fake_cluster: FakeCluster, tmp_path: Path) -> Callable[..., int]:
    """Run the usual join command with further options."""

    def run(*more: str) -> int:
        return raftnode(
            "join",
            "--cluster",
            fake_cluster.address,
            "--name",
            "n4",
            "--address",
            "127.0.0.1:7004",
            "--data-dir",
            tmp_path / "d4",
            "--timeout",
            "2",
            *more,
        )

    return run


def test_join_makes_a_learner_and_its_data_directory(
    raftnode: Command, join: Callable[..., int], fake_cluster: FakeCluster, tmp_path: Path
) -> None:
    """The id is the leader's choice; the configuration lists the members of its answer."""
    assert join() == 0
    assert "joined as node 4" in raftnode.err
    assert "changed: true" in raftnode.err
    identity = read_identity(tmp_path / "d4")
    assert (identity.cluster_id, identity.node_id, identity.capacity) == ("c1", 4, "learner")
    assert identity.configuration.voters == (1,)
    assert identity.configuration.learners == (4,)
    assert (tmp_path / "d4" / "node.toml").exists()


def test_join_as_an_observer(join: Callable[..., int], tmp_path: Path) -> None:
    """--observer asks for a permanent read-only copy."""
    assert join("--observer") == 0
    identity = read_identity(tmp_path / "d4")
    assert identity.capacity == "observer"
    assert isinstance(identity.configuration, Configuration)
    assert identity.configuration.observers == (4,)


def test_join_may_be_repeated_also_while_the_cluster_is_down(
    raftnode: Command, join: Callable[..., int], fake_cluster: FakeCluster, tmp_path: Path
) -> None:
    """A script that runs join before run at every boot works."""
    assert join() == 0
    assert join() == 0
    assert "changed: false" in raftnode.err
    assert len(fake_cluster.changes) == 1
    assert (
        raftnode(
            "join",
            "--cluster",
            "127.0.0.1:1",
            "--name",
            "n4",
            "--address",
            "127.0.0.1:7004",
            "--data-dir",
            tmp_path / "d4",
        )
        == 0
    )


def test_join_goes_on_after_a_crash_between_its_steps(
    join: Callable[..., int], fake_cluster: FakeCluster, tmp_path: Path
) -> None:
    """The cluster knows the member, the directory is not there: it gets the id that the member has."""
    fake_cluster.members.append(MemberStatus(6, "n4", "127.0.0.1:7004", "learner", 0, 1))
    assert join() == 0
    assert fake_cluster.changes == []
    assert read_identity(tmp_path / "d4").node_id == 6


def test_join_finds_out_what_became_of_a_change_whose_answer_was_lost(
    join: Callable[..., int], fake_cluster: FakeCluster, tmp_path: Path
) -> None:
    """The connection breaks after the change: the command looks, and does not add the member twice."""
    fake_cluster.close_after_change = True
    assert join() == 0
    assert len(fake_cluster.changes) == 1
    assert read_identity(tmp_path / "d4").node_id == 4


def test_join_waits_for_a_busy_leader_and_gives_up_on_a_refusal(
    raftnode: Command, join: Callable[..., int], fake_cluster: FakeCluster, tmp_path: Path
) -> None:
    """What may pass is tried again; what a safety check forbids is told at once."""
    fake_cluster.fail_next = [Failed(2, ErrorCode.BUSY, "another change is in progress")]
    assert join() == 0
    fake_cluster.members.pop()
    fake_cluster.fail_next = [Failed(2, ErrorCode.REFUSED, "nine members are enough")]
    assert (
        raftnode(
            "join",
            "--cluster",
            fake_cluster.address,
            "--name",
            "n5",
            "--address",
            "127.0.0.1:7005",
            "--data-dir",
            tmp_path / "d5",
        )
        == 6
    )
    assert_problem(raftnode, "E_REFUSED", "nine members are enough")


@pytest.mark.parametrize(
    ("member", "exit_code", "code"),
    [
        (MemberStatus(2, "n4", "127.0.0.1:7009", "voter", 0, 1), 8, "E_MEMBER_EXISTS"),
        (MemberStatus(2, "n2", "127.0.0.1:7004", "voter", 0, 1), 8, "E_MEMBER_EXISTS"),
        (MemberStatus(2, "n4", "127.0.0.1:7004", "voter", 5, 6), 6, "E_MEMBER_WIPED"),
        (MemberStatus(2, "n4", "127.0.0.1:7004", "voter", 0, 1), 6, "E_MEMBER_WIPED"),
        (MemberStatus(2, "n4", "127.0.0.1:7004", "learner", 3, 4), 6, "E_MEMBER_WIPED"),
        (MemberStatus(2, "n4", "127.0.0.1:7004", "observer", 0, 1), 6, "E_MEMBER_WIPED"),
    ],
)
def test_join_takes_over_nobodys_name_address_or_past(
    raftnode: Command,
    join: Callable[..., int],
    fake_cluster: FakeCluster,
    tmp_path: Path,
    member: MemberStatus,
    exit_code: int,
    code: str,
) -> None:
    """A wiped member comes back under a new id only: its old promises are lost."""
    fake_cluster.members.append(member)
    assert join() == exit_code
    assert_problem(raftnode, code)
    assert not (tmp_path / "d4").exists()


def test_join_refuses_a_directory_of_another_node_or_cluster(
    raftnode: Command, join: Callable[..., int], fake_cluster: FakeCluster, tmp_path: Path
) -> None:
    """A formatted directory belongs to one node of one cluster."""
    assert join() == 0
    assert (
        raftnode(
            "join",
            "--cluster",
            fake_cluster.address,
            "--name",
            "n5",
            "--address",
            "127.0.0.1:7005",
            "--data-dir",
            tmp_path / "d4",
        )
        == 8
    )
    assert_problem(raftnode, "E_DATA_DIR", "n4 at 127.0.0.1:7004")
    fake_cluster.cluster_id = "c2"
    assert join() == 8
    assert_problem(raftnode, "E_DATA_DIR", "c1", "c2")


def test_join_refuses_endpoints_of_two_clusters(raftnode: Command, tmp_path: Path) -> None:
    """Neither of them is asked to take the node in."""
    with fake_node.FakeCluster() as one, fake_node.FakeCluster(cluster_id="beef") as other:
        endpoints = f"{one.endpoints},{other.endpoints}"
        where = ("--name", "n9", "--address", "127.0.0.1:7009", "--data-dir", tmp_path / "d9")
        assert raftnode("join", "--cluster", endpoints, *where) == 2
        assert_problem(raftnode, "E_USAGE", "c0ffee", "beef")
        assert one.count(ChangeMembers) == other.count(ChangeMembers) == 0
    assert not (tmp_path / "d9").exists()


def test_join_without_a_leader_fails_in_time(
    raftnode: Command, join: Callable[..., int], fake_cluster: FakeCluster
) -> None:
    """Exit 5 where nodes answer and none leads; exit 4 where none answers."""
    fake_cluster.role, fake_cluster.leader_address = "follower", ""
    assert join("--timeout", "0.5") == 5
    assert_problem(raftnode, "E_NO_LEADER", fake_cluster.address)
    assert (
        raftnode(
            "join",
            "--cluster",
            "127.0.0.1:1,127.0.0.1:2",
            "--name",
            "n4",
            "--address",
            "127.0.0.1:7004",
            "--data-dir",
            "d",
            "--timeout",
            "0.5",
        )
        == 4
    )
    assert_problem(raftnode, "E_UNREACHABLE", "127.0.0.1:1, 127.0.0.1:2")


@pytest.mark.parametrize(
    ("option", "value"), [("--cluster", "here"), ("--cluster", ","), ("--address", "h"), ("--name", "a b")]
)
def test_join_checks_its_options(raftnode: Command, tmp_path: Path, option: str, value: str) -> None:
    """Exit 2 before anything is asked."""
    options = {"--cluster": "127.0.0.1:1", "--name": "n4", "--address": "127.0.0.1:7004"} | {option: value}
    flat = [part for pair in options.items() for part in pair]
    assert raftnode("join", *flat, "--data-dir", tmp_path / "d") == 2
    assert option in raftnode.err


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("", "a command is missing"),
        ("jion", "no such command 'jion'"),
        ("join", "missing option '--cluster'"),
        ("run --frob", "no such option: --frob"),
        ("config", "a command is missing"),
        ("join --cluster a:1 --name n4 --address a:2 --data-dir d --timeout 2x", "invalid value for --timeout: '2x'"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_three_lines(raftnode: Command, words: str, what: str) -> None:
    """As every other error: what, why, and what to do next, with exit code 2."""
    assert raftnode(*words.split()) == 2
    first, second, third = raftnode.err.splitlines()[-3:]
    assert first.startswith(f"error: {what}")
    assert first.endswith("[E_USAGE, exit 2]")
    assert second.startswith("  usage: raftnode")
    assert third.startswith("  see: raftnode")


def test_help_may_be_asked_for_with_h(raftnode: Command) -> None:
    """As with raftctl."""
    assert raftnode("-h") == 0
    assert "Run one node" in raftnode.out
    assert raftnode("join", "-h") == 0
