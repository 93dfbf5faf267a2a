"""Real processes that stand still and come back, not knowing that time has passed."""

import contextlib
import signal
import time
from pathlib import Path

import pytest

from raftnode.client.connection import Connection
from raftnode.client.errors import ConnectionFailed
from raftnode.client.guard import ClusterGuard
from raftnode.client.transport import Deadline
from raftnode.wire import kv
from raftnode.wire.client import Read
from tests.support.load import CLIENTS, TOTAL, Load, load
from tests.support.processes import READY_SECONDS, ProcessCluster
from tests.support.proxy import proxied_cluster
from tests.support.scale import FAULT_ROUNDS, SECONDS_MAX

PAUSE_SECONDS = 5.0

pytestmark = [pytest.mark.processes, pytest.mark.timeout(SECONDS_MAX)]


@pytest.mark.parametrize("cut_off", [False, True], ids=["reached", "cut off"])
@pytest.mark.parametrize("seed", range(FAULT_ROUNDS))
def test_a_leader_that_stood_still_serves_no_stale_read(tmp_path: Path, seed: int, cut_off: bool) -> None:
    """SIGSTOP of the leader for 5 s: another one leads. What the old one reads first when it wakes are reads.

    Where it is cut off, too, nobody tells it that time has passed and another one leads.
    """
    with proxied_cluster(tmp_path, seed=seed) as (cluster, network):
        with load(cluster.endpoints, tmp_path, seed=seed) as clients:
            clients.progress(20)
            old = cluster.wait_leader()
            reads = [EarlyRead(cluster.addresses[old]) for _ in range(CLIENTS)]
            if cut_off:
                number = int(old[1:])
                network.faults.isolate(number, tuple(other for other in (1, 2, 3) if other != number))
            stand_still(cluster, old, clients, reads)
            for at, read in enumerate(reads):
                read.check(f"late-{at}", clients)
            network.faults.heal()
            clients.progress(20)
        cluster.wait_caught_up()


def stand_still(cluster: ProcessCluster, name: str, clients: Load, reads: list["EarlyRead"]) -> None:
    """Stop a node for PAUSE_SECONDS; before it goes on, the reads are there."""
    cluster.signal(name, signal.SIGSTOP)
    try:
        resume_at = time.monotonic() + PAUSE_SECONDS
        # The others go on without it; and it stays away for so long that its own clock says nothing else.
        clients.progress(20)
        time.sleep(max(0.0, resume_at - time.monotonic()))
        for read in reads:
            read.ask(clients.total())
    finally:
        cluster.signal(name, signal.SIGCONT)


class EarlyRead:
    """A read of the total that lies in its node's socket before the node looks for it."""

    def __init__(self, address: str) -> None:
        self._connection = Connection(address, ClusterGuard())
        self._connection.open(Deadline(READY_SECONDS))
        self._number = self._least = self._began = 0

    def ask(self, least: int) -> None:
        """Send it; `least` increments are acknowledged."""
        self._least, self._began = least, time.monotonic_ns()
        self._number = self._connection.send(Read(0, kv.encode(kv.Get(TOTAL.encode()))))
        self._connection.flush()

    def check(self, name: str, clients: Load) -> None:
        """Take the answer into the history: it counts at least what was acknowledged before, or there is none."""
        with contextlib.closing(self._connection):
            try:
                answer = self._connection.wait_for(self._number, Deadline(READY_SECONDS))
            except ConnectionFailed:
                # The node may close the connection of a waiting client; that is no answer, and so no stale one.
                return
        value = clients.heard(name, self._began, answer)
        assert value is None or int(value) >= self._least
