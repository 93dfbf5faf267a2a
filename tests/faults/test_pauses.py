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
from tests.support.load import Writer, progress, writers
from tests.support.processes import READY_SECONDS, running_cluster

SCALE = int(os.environ.get("RAFT_TEST_SCALE", "1"))
PAUSE_SECONDS = 5.0

pytestmark = pytest.mark.processes


@pytest.mark.parametrize("round_number", range(SCALE))
def test_a_leader_that_stood_still_serves_no_stale_read(tmp_path: Path, round_number: int) -> None:
    """SIGSTOP of the leader for 5 s: another one leads; read through the old one at once, it never says what was."""
    with running_cluster(tmp_path) as cluster:
        with writers(4, cluster.endpoints) as clients:
            progress(clients, 5)
            old = cluster.wait_leader()
            connections = [Connection(cluster.addresses[old], Deadline(READY_SECONDS), Pin()) for _ in clients]
            cluster.signal(old, signal.SIGSTOP)
            try:
                resume_at = time.monotonic() + PAUSE_SECONDS
                # The others go on without it; and it stays away for so long that its own clock says nothing else.
                progress(clients, 5)
                time.sleep(max(0.0, resume_at - time.monotonic()))
                least = [client.acknowledged for client in clients]
            finally:
                cluster.signal(old, signal.SIGCONT)
            for client, connection, acknowledged in zip(clients, connections, least, strict=True):
                check_read(connection, client, acknowledged)
            progress(clients, 5)
        cluster.wait_caught_up()


def check_read(connection: Connection, client: Writer, least: int) -> None:
    """Read a counter: either its value is at least what was acknowledged before, or there is none."""
    try:
        answer = connection.call(Read(0, kv.encode(kv.Get(client.counter))), Deadline(READY_SECONDS))
    except LinkError:
        # The node may hang up on whoever waited for it; that is no answer, and so no stale one.
        return
    finally:
        connection.close()
    if isinstance(answer, Failed):
        return
    assert isinstance(answer, ReadResult), answer
    found = kv.decode_result(answer.result)
    assert isinstance(found, kv.GetResult), found
    assert found.item is not None
    assert int(found.item.value) >= least
