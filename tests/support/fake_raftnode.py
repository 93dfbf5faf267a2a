"""A program in raftnode's place, for the tests of `raftctl cluster`: it locks, answers and ends.

    python -m tests.support.fake_raftnode run --data-dir D

A file `broken` in the data directory makes `run` fail with a line of text, and `stubborn` makes it ignore SIGTERM.
"""

import fcntl
import os
import signal
import socket
import sys
import threading
from pathlib import Path

from raftnode.config.cluster_file import ClusterFile
from raftnode.wire import client as wire
from raftnode.wire.hello import PROTOCOL_VERSION, Welcome
from tests.support.fake_node import FakeNode, make_status


class FixedNode(FakeNode):
    """A FakeNode at an address that is given."""

    def __init__(self, address: str, status: wire.NodeStatus) -> None:
        host, _, port = address.rpartition(":")
        self.handler = lambda _request: wire.StatusResult(0, status)
        self.requests = []
        self.connections = 0
        self._welcome = Welcome(PROTOCOL_VERSION, status.cluster_id, status.node_id, "instance")
        self._listener = socket.create_server((host, int(port)))
        self._sockets = set()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()


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
    cluster = ClusterFile.load(data_dir.parent.parent / "cluster.toml")
    members = [
        wire.MemberStatus(n.id, n.name, n.address, "voter", last_contact_ms=None if n.id == 1 else 5)
        for n in cluster.nodes
    ]
    own = next(n for n in cluster.nodes if n.data_path == str(data_dir))
    status = make_status(
        own.id,
        members,
        role="leader" if own.id == 1 else "follower",
        leader_id=1,
        leader_address=members[0].address,
        cluster_id=cluster.id,
    )
    with FixedNode(own.address, status):
        done.wait()
    lock.close()


if __name__ == "__main__":
    run_node(Path(sys.argv[3]))
