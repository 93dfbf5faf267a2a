"""Real processes that stand still and come back, not knowing that time has passed."""

import os
import signal
import time
from pathlib import Path

import pytest

from raftctl.connection import Connection
from raftctl.link import Deadline, LinkError, Pin
from raftnode.wire import kv
from raftnode.wire.client import Failed, Read, ReadResult
from tests.simulation.commands import output_of
from tests.simulation.history import Operation
from tests.support.load import CLIENTS, TOTAL, Load, load
from tests.support.processes import READY_SECONDS, running_cluster

SCALE = int(os.environ.get("RAFT_TEST_SCALE", "1"))
PAUSE_SECONDS = 5.0

pytestmark = pytest.mark.processes


@pytest.mark.parametrize("seed", range(SCALE))
def test_a_leader_that_stood_still_serves_no_stale_read(tmp_path: Path, seed: int) -> None:
    """SIGSTOP of the leader for 5 s: another one leads; read through the old one at once, it never says what was."""
    with running_cluster(tmp_path) as cluster:
        with load(cluster.endpoints, tmp_path, seed=seed) as clients:
            clients.progress(20)
            old = cluster.wait_leader()
            connections = [Connection(cluster.addresses[old], Deadline(READY_SECONDS), Pin()) for _ in range(CLIENTS)]
            cluster.signal(old, signal.SIGSTOP)
            try:
                resume_at = time.monotonic() + PAUSE_SECONDS
                # The others go on without it; and it stays away for so long that its own clock says nothing else.
                clients.progress(20)
                time.sleep(max(0.0, resume_at - time.monotonic()))
                least = clients.total()
            finally:
                cluster.signal(old, signal.SIGCONT)
            for number, connection in enumerate(connections):
                read_through(connection, f"late-{number}", clients, least)
            clients.progress(20)
        cluster.wait_caught_up()


def read_through(connection: Connection, name: str, clients: Load, least: int) -> None:
    """Read the total into the history: either at least what was acknowledged before, or there is no answer."""
    began = time.monotonic_ns()
    try:
        answer = connection.call(Read(0, kv.encode(kv.Get(TOTAL.encode()))), Deadline(READY_SECONDS))
    except LinkError:
        # The node may hang up on whoever waited for it; that is no answer, and so no stale one.
        return
    finally:
        connection.close()
    if isinstance(answer, Failed):
        return
    assert isinstance(answer, ReadResult), answer
    value = output_of("get", kv.decode_result(answer.result))
    clients.record(Operation(
        client=name, key=TOTAL, op="get", output=value, outcome="ok", call_ns=began, return_ns=time.monotonic_ns(),
    ))
    assert int(value or "0") >= least
