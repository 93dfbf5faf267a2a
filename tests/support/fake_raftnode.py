"""A program in raftnode's place, for the tests of `raftctl cluster`: it formats, locks, answers and ends.

    python -m tests.support.fake_raftnode format --cluster-file F --name N
    python -m tests.support.fake_raftnode run --data-dir D

A file `broken` in the data directory makes `run` fail with a line of text, and `stubborn` makes it ignore SIGTERM.
"""

import fcntl
import json
import os
import signal
import socket
import sys
import threading
import tomllib
from pathlib import Path

from raftnode.wire import client as wire
from raftnode.wire.hello import PROTOCOL_VERSION, Welcome
from tests.support.fake_node import FakeNode, make_status


class FixedNode(FakeNode):
    """A FakeNode at an address that is given."""

    def __init__(self, address: str, status: wire.NodeStatus) -> None:
        host, _, port = address.rpartition(":")
        self.handler = lambda _request: wire.StatusResult(0, status)
        self.requests = []
        self._welcome = Welcome(PROTOCOL_VERSION, status.cluster_id, status.node_id, "instance")
        self._listener = socket.create_server((host, int(port)))
        self._sockets = set()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()


def format_node(cluster_file: str, name: str) -> None:
    """Make the data directory of a node in a cluster file."""
    path = Path(cluster_file)
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    nodes, cluster_id = content["node"], content["cluster"]["id"]
    own = next(n for n in nodes if n["name"] == name)
    data_dir = path.parent / own["data_dir"]
    data_dir.mkdir(parents=True)
    setup = json.dumps({"own": own, "nodes": nodes, "cluster_id": cluster_id})
    (data_dir / "node.json").write_text(setup, encoding="utf-8")


def run_node(data_dir: Path) -> None:
    """Hold the lock and answer until SIGTERM."""
    if (data_dir / "broken").exists():
        sys.exit("the disk is on fire")
    lock = (data_dir / "LOCK").open("a+")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    done = threading.Event()
    stubborn = (data_dir / "stubborn").exists()
    signal.signal(signal.SIGTERM, lambda *_: None if stubborn else done.set())
    setup = json.loads((data_dir / "node.json").read_text(encoding="utf-8"))
    members = [
        wire.MemberStatus(n["id"], n["name"], n["address"], "voter", last_contact_ms=None if n["id"] == 1 else 5)
        for n in setup["nodes"]
    ]
    own = setup["own"]
    status = make_status(
        own["id"],
        members,
        role="leader" if own["id"] == 1 else "follower",
        leader_id=1,
        leader_address=members[0].address,
        cluster_id=setup["cluster_id"],
    )
    with FixedNode(own["address"], status):
        done.wait()
    lock.close()


if __name__ == "__main__":
    if sys.argv[1] == "format":
        format_node(sys.argv[3], sys.argv[5])
    else:
        run_node(Path(sys.argv[3]))
