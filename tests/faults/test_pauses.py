"""Real processes that stand still and come back, not knowing that time has passed."""

import signal
import socket
import time
from pathlib import Path

import pytest

from raftctl.connection import Connection
from raftctl.link import Deadline, Pin
from raftnode.wire import kv
from raftnode.wire.client import Read, decode_answer
from raftnode.wire.frame import FrameDecoder, encode_frame
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
        self._socket: socket.socket = Connection(address, Deadline(READY_SECONDS), Pin()).detach()
        self._socket.settimeout(READY_SECONDS)
        self._least = self._began = 0

    def ask(self, least: int) -> None:
        """Send it; `least` increments are acknowledged."""
        self._least, self._began = least, time.monotonic_ns()
        self._socket.sendall(encode_frame(Read(1, kv.encode(kv.Get(TOTAL.encode())))))

    def check(self, name: str, clients: Load) -> None:
        """Take the answer into the history: it counts at least what was acknowledged before, or there is none."""
        decoder, bodies = FrameDecoder(), list[bytes]()
        with self._socket:
            while not bodies:
                try:
                    data = self._socket.recv(4096)
                except ConnectionError:
                    data = b""
                if not data:
                    # The node may hang up on whoever waited for it; that is no answer, and so no stale one.
                    return
                bodies = decoder.feed(data)
        value = clients.heard(name, self._began, decode_answer(bodies[0]))
        assert value is None or int(value) >= self._least
