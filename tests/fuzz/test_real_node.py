"""A real node takes whatever arrives on its sockets: it refuses, counts, logs, and goes on serving."""

import socket
from pathlib import Path

import pytest

from raftnode.wire.frame import encode_frame
from raftnode.wire.hello import PROTOCOL_VERSION, Hello
from tests.fuzz.real_node import FRAMES_MAX, feed_real_node, frame_of, real_node, wait_hangup
from tests.fuzz.run import FuzzFailure
from tests.support.processes import running_cluster
from tests.support.scale import FAULT_ROUNDS, SECONDS_MAX

pytestmark = [pytest.mark.processes, pytest.mark.timeout(SECONDS_MAX)]

INPUTS = 400 * FAULT_ROUNDS
SEED = 1


def test_a_node_takes_nonsense_from_strangers_clients_and_a_peer(tmp_path: Path) -> None:
    """Wrong Hellos and frames in pieces, half-open connections, hang-ups: it lives, serves, counts, does not grow."""
    fed = feed_real_node(tmp_path, INPUTS, SEED)
    assert INPUTS <= fed.inputs < INPUTS + FRAMES_MAX


def test_a_node_that_does_not_count_or_is_gone_is_found(tmp_path: Path) -> None:
    """The check of the check: a refusal that the node did not count, and a node that is dead, both fail."""
    with real_node(tmp_path, SEED) as node:
        node.feed(20)
        node.refused["frames_bad"] += 1000
        with pytest.raises(FuzzFailure, match="refusals, and the node counted"):
            node.feed(1)
        node.cluster.kill("n1")
        with pytest.raises(FuzzFailure, match="refused"):
            node.feed(1)


def test_a_refused_frame_is_counted_and_told_with_its_reason(tmp_path: Path) -> None:
    """One bad frame: the node hangs up, counts one more, and one line of its log names the reason and the counter."""
    with running_cluster(tmp_path, 1) as cluster:
        host, _, port = cluster.addresses["n1"].rpartition(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(encode_frame(Hello(PROTOCOL_VERSION, "")) + frame_of(b"\xc1"))
            wait_hangup(connection)
        assert cluster.statuses()["n1"].counters["frames_bad"] == 1
        (line,) = [text for text in cluster.log_text("n1").splitlines() if "counter=frames_bad" in text]
        assert "event=connection.closed" in line
        assert 'reason="not a request: ' in line
