"""The tutorial in examples/embedded: each step runs, is short, and the last one loses nothing under kill -9."""

import random
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import free_ports

TUTORIAL = Path(__file__).parents[2] / "examples" / "embedded"
SECONDS = 60.0
"""How long anything may take."""


def run_step(name: str, *arguments: str) -> list[str]:
    """Run a step to its end; return the lines that it printed."""
    done = subprocess.run(
        [sys.executable, str(TUTORIAL / name), *arguments], capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_each_step_is_short_and_in_the_list() -> None:
    """At most eighty lines a file; README.md beside them says what each shows."""
    steps = sorted(TUTORIAL.glob("*.py"))
    assert [step.name for step in steps if len(step.read_text().splitlines()) > 80] == []
    listed = re.findall(r"^\d\. \[(\w+\.py)\]", (TUTORIAL / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == [step.name for step in steps]


def test_one_node_applies_what_it_committed() -> None:
    """Step 1."""
    assert run_step("one_node.py") == [
        "1 NOOP b''",
        "2 COMMAND b'color=blue'",
        "3 COMMAND b'size=3'",
        "4 COMMAND b'color=green'",
        "{'color': 'green', 'size': '3'}",
    ]


def test_a_snapshot_is_sent_in_chunks_and_installed_with_the_last() -> None:
    """Step 2."""
    lines = run_step("snapshots.py")
    assert [line.endswith("installed: True") for line in lines[:-1]] == [False, False, True]
    assert lines[-1] == "[b'one', b'two', b'three']"


def test_a_durable_node_finds_what_it_had(tmp_path: Path) -> None:
    """Step 3: entry 2 is the first run's word, and entry 4 the second's, after each term's first entry."""
    assert run_step("durable_node.py", str(tmp_path)) == ["word-1"]
    assert run_step("durable_node.py", str(tmp_path)) == ["word-1 word-3"]


def test_clients_read_what_they_wrote(tmp_path: Path) -> None:
    """Step 4."""
    assert run_step("clients.py", str(tmp_path)) == ["ok", "ok", "ok one two", "leader; voters (1,)"]


class Cluster:
    """The servers of the last step, and a client that finds the leader."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.addresses = [f"127.0.0.1:{port}" for port in free_ports(4)]
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        for node in (1, 2, 3):
            self.start(node)

    def start(self, node: int) -> None:
        """Start a node on its directory."""
        addresses = [*self.addresses[:3], self.addresses[3]] if node == 4 else self.addresses[:3]
        command = [sys.executable, str(TUTORIAL / "server.py"), str(node), str(self.path / str(node)), *addresses]
        with (self.path / f"{node}.log").open("ab") as log:
            self.processes[node] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self, *nodes: int) -> None:
        """Kill -9."""
        for node in nodes:
            self.processes[node].kill()
        for node in nodes:
            self.processes[node].wait()

    def ask(self, node: int, line: str) -> str:
        """Send a line to a node; return its answer, or "unknown" if there is none."""
        host, port = self.addresses[node - 1].split(":")
        try:
            with socket.create_connection((host, int(port)), 5.0) as connection:
                connection.sendall(line.encode() + b"\n")
                return connection.makefile().readline().strip() or "unknown"
        except OSError:
            return "unknown"

    def done(self, line: str) -> str:
        """Ask one node after the other until one answers "ok"; return that answer."""
        deadline = time.monotonic() + SECONDS
        for node in self.nodes():
            answer = self.ask(node, line)
            if answer.startswith("ok"):
                return answer
            assert time.monotonic() < deadline, f"{line}: {answer}"
            time.sleep(0.02)
        raise AssertionError("unreachable")

    def nodes(self) -> Iterator[int]:
        while True:
            yield from sorted(self.processes)


class Writer(threading.Thread):
    """Appends words until it is told to stop, and remembers those that were acknowledged."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        super().__init__(daemon=True)
        self.cluster, self.prefix = cluster, name
        self.acknowledged: list[str] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        node, count = 1, 0
        while not self.stopping.is_set():
            word = f"{self.prefix}-{count}"
            count += 1
            answer = self.cluster.ask(node, f"append {word}")
            if answer == "ok":
                self.acknowledged.append(word)
            else:
                node = node % 3 + 1
                self.stopping.wait(0.02)


def survive(path: Path, kills: int, rng: random.Random, *, wipe: bool = False) -> int:
    """Kill nodes under writes, every second time all of them, then add a fourth. Return how many words were
    acknowledged: none of them is lost, unless `wipe` empties the disks of those that are killed."""
    cluster = Cluster(path)
    writers = [Writer(cluster, f"w{number}") for number in range(4)]
    try:
        cluster.done("append first")
        for writer in writers:
            writer.start()
        for number in range(kills):
            before = sum(len(writer.acknowledged) for writer in writers)
            deadline = time.monotonic() + SECONDS
            while sum(len(writer.acknowledged) for writer in writers) < before + 20:
                assert time.monotonic() < deadline, "nothing is acknowledged any longer"
                time.sleep(0.01)
            nodes = (1, 2, 3) if number % 2 else (rng.choice((1, 2, 3)),)
            cluster.kill(*nodes)
            for node in nodes:
                if wipe:
                    shutil.rmtree(path / str(node), ignore_errors=True)
                cluster.start(node)
        cluster.start(4)
        cluster.done(f"add 4 {cluster.addresses[3]}")
        cluster.kill(rng.choice((1, 2, 3)))
        for writer in writers:
            writer.stopping.set()
        for writer in writers:
            writer.join(SECONDS)
        words = cluster.done("read").split()[1:]
    finally:
        for process in cluster.processes.values():
            process.kill()
            process.wait()
    acknowledged = [word for writer in writers for word in writer.acknowledged]
    assert set(acknowledged) <= set(words), "acknowledged words were lost"
    for writer in writers:
        own = [word for word in words if word.startswith(f"{writer.prefix}-") and word in set(writer.acknowledged)]
        assert own == writer.acknowledged
    return len(acknowledged)


@pytest.mark.processes
def test_the_cluster_survives_kill_9_and_a_learner_becomes_a_voter(tmp_path: Path) -> None:
    """Steps 5 and 6: what was acknowledged is read back, in order, also from a cluster with a fourth voter."""
    assert survive(tmp_path, 2, random.Random(1)) >= 40


@pytest.mark.processes
def test_a_cluster_that_forgets_is_found_out(tmp_path: Path) -> None:
    """So the check above can fail."""
    with pytest.raises(AssertionError, match="acknowledged words were lost"):
        survive(tmp_path, 2, random.Random(1), wipe=True)
