"""Real `raftnode` processes on loopback, in a temporary directory, that are gone when the test is over."""

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import tomli_w

from raftnode.client.fanout import ask_all
from raftnode.client.transport import Deadline
from raftnode.wire.client import GetStatus, NodeStatus

READY_SECONDS = 30.0
"""How long anything that the tests wait for may take on a busy machine."""


_reserved: list[socket.socket] = []


def free_ports(count: int) -> list[int]:
    """Return ports that the system chose, and that it gives to nobody else while this process lives.

    A socket stays bound to each, without listening: a node may bind it beside that, and no other test gets it.
    """
    found: list[int] = []
    for _ in range(count):
        holder = socket.socket()
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        _reserved.append(holder)
        found.append(holder.getsockname()[1])
    return found


@atexit.register
def _release_ports() -> None:
    for holder in _reserved:
        holder.close()


def python_module(*arguments: str) -> list[str]:
    """Return the command line that runs a module of this checkout with this interpreter."""
    return [sys.executable, "-m", *arguments]


class ProcessCluster:
    """Nodes named n1, n2, ... of one cluster, each a process of its own.

    `addresses` are where everybody else reaches the nodes, where that is not where they `listen`.
    """

    def __init__(
        self,
        path: Path,
        size: int = 3,
        settings: dict[str, dict[str, object]] | None = None,
        *,
        addresses: Sequence[str] = (),
        listen: Sequence[str] = (),
    ) -> None:
        self.path = path
        self.names = [f"n{number}" for number in range(1, size + 1)]
        addresses = addresses or [f"127.0.0.1:{port}" for port in free_ports(size)]
        self.addresses = dict(zip(self.names, addresses, strict=True))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        nodes = [
            {"id": number, "name": name, "address": self.addresses[name], "data_dir": str(self.data_dir(name))}
            for number, name in enumerate(self.names, 1)
        ]
        self.cluster_file = path / "cluster.toml"
        self.cluster_file.write_text(tomli_w.dumps({"cluster": {"name": "test"}, "node": nodes}))
        for number, name in enumerate(self.names):
            self._raftnode("format", "--cluster-file", str(self.cluster_file), "--name", name)
            own = (settings or {}) | ({"node": {"listen": listen[number]}} if listen else {})
            if own:
                (self.data_dir(name) / "node.toml").write_text(tomli_w.dumps(own))

    @property
    def endpoints(self) -> list[str]:
        """Where the nodes listen."""
        return list(self.addresses.values())

    def data_dir(self, name: str) -> Path:
        """Return a node's data directory."""
        return self.path / "data" / name

    def log_text(self, name: str) -> str:
        """Return what the node has written to its standard error, over all its runs."""
        file = self.path / f"{name}.log"
        return file.read_text() if file.exists() else ""

    def pid(self, name: str) -> int:
        """Return the process id of a running node."""
        return self._processes[name].pid

    def start(self, *names: str) -> None:
        """Start nodes that do not run; without names, all."""
        for name in names or self.names:
            with (self.path / f"{name}.log").open("ab") as log:
                self._processes[name] = subprocess.Popen(
                    python_module("raftnode.main", "run", "--data-dir", str(self.data_dir(name))),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )

    def kill(self, *names: str) -> None:
        """kill -9, and wait until the processes are gone."""
        for name in names or list(self._processes):
            self._processes[name].kill()
        for name in names or list(self._processes):
            self._processes.pop(name).wait()

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a node's process."""
        self._processes[name].send_signal(number)

    def stop(self, name: str) -> int:
        """SIGTERM; return the exit code."""
        process = self._processes.pop(name)
        process.terminate()
        return process.wait(READY_SECONDS)

    def wait_exit(self, name: str) -> int:
        """Wait until a node's process ends by itself; return its exit code."""
        return self._processes.pop(name).wait(READY_SECONDS)

    def join(self, name: str, *options: str) -> None:
        """Make the running cluster take in a new node, and format its data directory."""
        (port,) = free_ports(1)
        address = f"127.0.0.1:{port}"
        self._raftnode(
            "join",
            "--cluster",
            ",".join(self.endpoints),
            "--name",
            name,
            "--address",
            address,
            "--data-dir",
            str(self.data_dir(name)),
            *options,
        )
        self.names.append(name)
        self.addresses[name] = address

    def statuses(self) -> dict[str, NodeStatus]:
        """Return the status of every node that answers."""
        found = ask_all(self.endpoints, GetStatus(0), Deadline(5.0))
        return {answer.status.node_name: answer.status for answer in found.answers.values()}

    def wait_for(self, what: str, condition: Callable[[dict[str, NodeStatus]], bool]) -> dict[str, NodeStatus]:
        """Ask all nodes until `condition` holds of their statuses."""
        deadline = Deadline(READY_SECONDS)
        while True:
            statuses = self.statuses()
            if condition(statuses):
                return statuses
            if not deadline.pause():
                raise AssertionError(f"waited {READY_SECONDS:.0f} s in vain: {what}; {statuses}")

    def wait_leader(self, but: Sequence[str] = ()) -> str:
        """Wait until a node leads and a majority follows it; return its name."""

        def leaders(statuses: dict[str, NodeStatus]) -> list[str]:
            return [
                name
                for name, status in statuses.items()
                if status.role == "leader"
                and name not in but
                and 2 * sum(s.leader_id == status.node_id and s.term == status.term for s in statuses.values())
                > sum(m.kind == "voter" for m in status.members)
            ]

        return leaders(self.wait_for("a leader", lambda statuses: bool(leaders(statuses))))[0]

    def wait_follows(self, name: str) -> None:
        """Wait until a node answers and knows a leader."""
        self.wait_for(f"{name} knows a leader", lambda found: name in found and found[name].leader_id is not None)

    def wait_caught_up(self) -> None:
        """Wait until every running node has applied all that the leader has committed."""

        def equal(statuses: dict[str, NodeStatus]) -> bool:
            indexes = {(s.commit_index, s.applied_index) for s in statuses.values()}
            return len(statuses) == len(self._processes) and len(indexes) == 1

        self.wait_for("all nodes equal", equal)

    def raftctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the command line against this cluster."""
        environment = os.environ | {"RAFTCTL_ENDPOINTS": ",".join(self.endpoints)}
        return subprocess.run(
            python_module("raftctl.main", *arguments),
            check=check,
            capture_output=True,
            text=True,
            env=environment,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )

    def _raftnode(self, *arguments: str) -> None:
        done = subprocess.run(python_module("raftnode.main", *arguments), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def running_cluster(
    path: Path, size: int = 3, settings: dict[str, dict[str, object]] | None = None
) -> Iterator[ProcessCluster]:
    """Give a cluster with a leader; kill what still runs at the end."""
    cluster = ProcessCluster(path, size, settings)
    try:
        cluster.start()
        cluster.wait_leader()
        yield cluster
    finally:
        cluster.kill()
