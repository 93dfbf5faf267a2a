"""Rule 18: every example in every --help is run as it is printed, one after the other, against a real cluster."""

import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from raftctl.cli import registry
from raftctl.cli import typer_app as app
from raftctl.local.cluster_files import load_cluster_file
from tests.raftctl.test_cluster import free_ports as neighbouring_ports
from tests.support.processes import READY_SECONDS, free_ports, python_module

ORDER = (
    "cluster init",
    "cluster up",
    "cluster list",
    "wait",
    "status",
    "cluster health",
    "cluster verify",
    "kv put",
    "kv get",
    "kv list",
    "kv incr",
    "kv cas",
    "kv delete",
    "kv watch",
    "log info",
    "log range",
    "log tail",
    "log stats",
    "log verify",
    "log export",
    "snapshot trigger",
    "snapshot list",
    "snapshot save",
    "snapshot verify",
    "snapshot inspect",
    "snapshot restore",
    "events list",
    "context set",
    "context use",
    "context show",
    "context list",
    "context delete",
    "config explain",
    "completion",
    "version",
    "member list",
    "member add",
    "member promote",
    "member demote",
    "events tail",
    "member transfer",
    "member remove",
    "member replace",
    "cluster bench",
    "cluster down",
)
STREAMS = {"status", "log tail", "kv watch", "events tail"}
"""These go on until they are interrupted."""


def examples(path: str) -> list[str]:
    """Return the lines of a command's example."""
    return [line.strip() for line in app.help_text(registry.load(path)).partition("Example:\n")[2].splitlines()]


class Shell:
    """A directory, a shell in it, and what the addresses in the examples stand for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.base = neighbouring_ports(3)
        self.new = ""
        """Where the member listens that the examples have at 10.0.0.4:7001."""
        (path / "bin").mkdir()
        script = path / "bin" / "raftctl"
        script.write_text(f'#!/bin/sh\nexec {shlex.join(python_module("raftctl"))} "$@"\n')
        script.chmod(0o755)
        endpoints = ",".join(f"127.0.0.1:{self.base + i}" for i in range(3))
        self.environment = os.environ | {
            "PATH": f"{path / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "RAFTCTL_ENDPOINTS": endpoints,
            "RAFTCTL_CONFIG": str(path / "contexts.toml"),
        }
        self.nodes: list[subprocess.Popen[bytes]] = []

    def here(self, line: str) -> str:
        """Return an example with this machine's addresses, and shorter."""
        for given, meant in (
            ("--base-port 7001", f"--base-port {self.base}"),
            ("10.0.0.1:7001", f"127.0.0.1:{self.base}"),
            ("10.0.0.2:7001", f"127.0.0.1:{self.base + 1}"),
            ("10.0.0.4:7001", self.new),
            ("--connections 100 --seconds 5", "--connections 10 --seconds 0.3"),
            ("--from 1042", "--from 1"),
            ("--after 1042", "--after 0"),
        ):
            line = line.replace(given, meant)
        return line

    def start(self, line: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            ["bash", "-c", line],
            cwd=self.path,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, line: str) -> str:
        """Run a line of shell, which must succeed, and return what it prints."""
        process = self.start(self.here(line))
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, f"{line}: exit code {process.returncode}\n{out}{err}"
        return out

    def interrupt(self, line: str) -> str:
        """Run a line until it prints a line, and interrupt it: exit code 130."""
        process = self.start(self.here(line))
        assert process.stdout is not None
        watchdog = threading.Timer(READY_SECONDS, process.kill)
        watchdog.start()
        first = process.stdout.readline()
        watchdog.cancel()
        os.killpg(process.pid, signal.SIGINT)
        rest, err = process.communicate(timeout=60)
        assert process.returncode == 130, f"{line}: exit code {process.returncode}\n{err}"
        return first + rest

    def join(self, name: str, directory: str) -> None:
        """Have a new node join as a learner, and start it."""
        (port,) = free_ports(1)
        self.new = f"127.0.0.1:{port}"
        raftnode = shlex.join(python_module("raftnode.main"))
        self.run(
            f"{raftnode} join --cluster $RAFTCTL_ENDPOINTS --name {name} --address {self.new} --data-dir {directory}"
        )
        words = python_module("raftnode.main", "run", "--data-dir", str(self.path / directory))
        with (self.path / f"{directory}.log").open("ab") as log:
            self.nodes.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log))


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path)
    try:
        yield made
    finally:
        if (tmp_path / "demo" / "cluster.toml").exists():
            made.run("raftctl cluster down -f demo/cluster.toml --kill --timeout 10s")
        for node in made.nodes:
            node.kill()
            node.wait(READY_SECONDS)


def prepare(shell: Shell, path: str) -> None:
    """Make what an example takes for granted."""
    match path:
        case "kv watch":
            shell.run("raftctl kv put users/1 anna")
        case "snapshot restore":
            (shell.path / "new").mkdir()
            text = (shell.path / "demo" / "cluster.toml").read_text()
            old = load_cluster_file(str(shell.path / "demo" / "cluster.toml")).id
            (shell.path / "new" / "cluster.toml").write_text(text.replace(old, "another"))
        case "member add":
            shell.join("n4", "first-n4")
        case "member replace":
            shell.join("n4", "second-n4")


@pytest.mark.processes
def test_every_example_works_as_printed(shell: Shell) -> None:
    """A user who types what the help says gets what it says; only addresses and durations are others here."""
    assert sorted(ORDER) == sorted(registry.COMMANDS)
    said: dict[str, str] = {}
    for path in ORDER:
        prepare(shell, path)
        for line in examples(path):
            assert f"raftctl {path}" in line
            said[path] = shell.interrupt(line) if path in STREAMS else shell.run(line)
    assert "  HEALTHY  3/3 voters up" in said["cluster up"]
    assert "  EQUAL  3 of 3 members" in said["cluster verify"]
    assert (shell.path / "file").read_text() == "hello"
    assert said["kv incr"] == "5\n"
    assert said["log stats"].startswith("n1  ")
    assert (shell.path / "new" / "data" / "n1" / "node.toml").exists()
    assert said["member add"].startswith(f"changed: true  n4 at {shell.new.partition(':')[0]}:")
    assert said["member promote"] == "changed: false  n4 is a voter\n"
    assert said["member replace"] == f"changed: true  n4 at {shell.new} is a voter in place of n3\n"
    assert '"errors":0' in said["cluster bench"]
    assert said["cluster down"].startswith("changed: true  stopped: ")
