"""What snapshots and long logs cost a node: `python -m tests.benchmarks.storage`.

- the longest turn of a node that holds 1,000,000 keys, while it takes a snapshot under writes,
- the resident memory of a node process after 1,000,000 entries of 256 bytes, with automatic snapshots,
- opening a log of 1,000,000 entries, and reading any 1,000 of them.
"""

import asyncio
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Hashable
from pathlib import Path

from raftnode import LogEntry
from raftnode.config.settings import ReplicaSettings
from raftnode.core.membership import make_configuration
from raftnode.core.types import NodeId
from raftnode.daemon.loop import new_event_loop
from raftnode.machine.kv.machine import KvMachine
from raftnode.machine.sessions.machine import SessionMachine
from raftnode.replica.events import EventLog
from raftnode.replica.replica import Replica
from raftnode.storage.data_dir import format_data_dir
from raftnode.storage.snapshots import SnapshotStore
from raftnode.storage.wal import Wal
from raftnode.wire import kv
from raftnode.wire.client import Answer, SnapshotTaken, TriggerSnapshot, Write
from raftnode.wire.peer import PeerRequest, PeerResponse
from tests.benchmarks.throughput import run_case
from tests.support.processes import running_cluster

KEYS = 1_000_000
ENTRIES = 1_000_000
VALUE = b"x" * 256


class NoPeers:
    """The transport of a node that is alone; keeps its client's answers."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []

    def send_request(self, peer: NodeId, message: PeerRequest) -> bool:
        return False

    def send_response(self, peer: NodeId, message: PeerResponse) -> None:
        raise AssertionError("a node that is alone has nobody to answer")

    def answer(self, client: Hashable, answer: Answer) -> None:
        self.answers.append(answer)

    def set_members(self, addresses: dict[NodeId, str]) -> None:
        assert not addresses


def lonely_replica(folder: Path, settings: ReplicaSettings) -> tuple[Replica, NoPeers]:
    """Return a replica that is its own quorum, and leads."""
    identity = format_data_dir(
        folder,
        cluster_id="benchmark",
        cluster_name="benchmark",
        node_id=1,
        node_name="n1",
        address="127.0.0.1:1",
        capacity="voter",
        configuration=make_configuration([1]),
    )
    transport = NoPeers()
    replica = Replica(
        identity=identity,
        settings=settings,
        storage=Wal.open(folder / "wal"),
        snapshot_store=SnapshotStore(folder / "snapshots"),
        machine=SessionMachine(KvMachine()),
        transport=transport,
        events=EventLog("n1", 1, 1, time.time),
        known_instances={},
        remember_instance=lambda node, instance: None,
        clock=time.monotonic,
        wall_clock=time.time,
        rng=random.Random(1),
    )
    replica.start()
    replica.node.election_deadline_override(0.0)
    replica.turn()
    return replica, transport


def longest_turn(folder: Path) -> tuple[float, float, float]:
    """Return (longest turn without a snapshot, longest turn during one, seconds that the snapshot took)."""
    replica, transport = lonely_replica(folder, ReplicaSettings(snapshot_entries=0, snapshot_bytes=0))
    write = iter(range(10**9))

    def turn(keys: int) -> float:
        for _ in range(keys):
            number = next(write)
            command = kv.encode(kv.Put(b"key-%09d" % (number % KEYS), VALUE))
            replica.receive_client("client", Write(number, 0, 0, 0, command))
        started = time.perf_counter()
        replica.turn()
        return time.perf_counter() - started

    for _ in range(KEYS // 1000):
        turn(1000)
    transport.answers.clear()
    quiet = max(turn(20) for _ in range(500))
    replica.receive_client("client", TriggerSnapshot(-1))
    longest, started = 0.0, time.perf_counter()
    while not any(isinstance(answer, SnapshotTaken) for answer in transport.answers):
        transport.answers.clear()
        longest = max(longest, turn(20))
    return quiet, longest, time.perf_counter() - started


def resident_megabytes() -> tuple[float, float]:
    """Return the resident memory now and at its highest of a leader that took ENTRIES writes, in MB."""
    with tempfile.TemporaryDirectory() as folder, running_cluster(Path(folder), size=1) as cluster:
        leader = cluster.wait_leader()
        written = 0
        while written < ENTRIES:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(run_case(cluster.addresses[leader], "put", 10, 100, 3.0))
            written = cluster.statuses()[leader].applied_index
        lines = Path(f"/proc/{cluster.pid(leader)}/status").read_text().splitlines()
        sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith(("VmRSS", "VmHWM"))}
        return sizes["VmRSS"] / 1024, sizes["VmHWM"] / 1024


OPEN_LOG = """
import random, resource, sys, time
from raftnode.storage.wal import Wal
started = time.perf_counter()
wal = Wal.open(sys.argv[1])
opened = time.perf_counter() - started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
worst = 0.0
for _ in range(100):
    first = random.randrange(1, wal.last_index - 1000)
    started = time.perf_counter()
    assert len(wal.load_entries(first, first + 999)) == 1000
    worst = max(worst, time.perf_counter() - started)
print(f"open a log of {wal.last_index:,} entries: {opened:.2f} s, peak {peak:.0f} MB; "
      f"the slowest of 100 reads of 1,000 entries: {worst * 1000:.1f} ms")
"""


def long_log(folder: Path) -> str:
    """Write a long log in batches of 100; return what a new process measures of it."""
    wal = Wal.open(folder)
    for first in range(1, ENTRIES + 1, 100):
        wal.append([LogEntry(1, index, VALUE) for index in range(first, first + 100)])
        wal.sync()
    wal.close()
    return subprocess.run(
        [sys.executable, "-c", OPEN_LOG, str(folder)], capture_output=True, text=True, check=True
    ).stdout.strip()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        print(long_log(Path(place) / "log"), flush=True)
        quiet, longest, seconds = longest_turn(Path(place) / "node")
        print(
            f"longest turn at {KEYS:,} keys: {quiet * 1000:.1f} ms without a snapshot, {longest * 1000:.1f} ms during "
            f"one that took {seconds:.1f} s",
            flush=True,
        )
    print(
        "resident memory of a node after {:,} writes of 256 bytes: {:.0f} MB now, {:.0f} MB at its highest".format(
            ENTRIES, *resident_megabytes()
        )
    )
