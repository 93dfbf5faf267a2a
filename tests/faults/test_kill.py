"""Real processes, killed without a warning under a continuous load of writes."""

from pathlib import Path

import pytest

from raftctl.cluster import Cluster
from raftctl.link import Deadline
from tests.support.load import Writer
from tests.support.processes import READY_SECONDS, running_cluster

ROUNDS = 20
WRITERS = 4

pytestmark = pytest.mark.processes


def test_killing_any_node_twenty_times_loses_and_doubles_no_acknowledged_write(tmp_path: Path) -> None:
    """Every node in turn is killed with SIGKILL and restarted while clients write; then all is read back."""
    # Small limits, so that snapshots are taken and installed while nodes die.
    settings: dict[str, dict[str, object]] = {"snapshot": {"entries": 500, "trailing_entries": 50}}
    with running_cluster(tmp_path, settings=settings) as cluster:
        writers = [Writer(number, cluster.endpoints, 240.0) for number in range(WRITERS)]
        for writer in writers:
            writer.start()
        for round_number in range(ROUNDS):
            victim = cluster.names[round_number % len(cluster.names)]
            cluster.kill(victim)
            for writer in writers:
                # The others go on without it.
                writer.wait_acknowledged(writer.acknowledged + 2, READY_SECONDS)
            cluster.start(victim)
            cluster.wait_follows(victim)
            for writer in writers:
                writer.wait_acknowledged(writer.acknowledged + 1, READY_SECONDS)
        for writer in writers:
            writer.stop()
        with Cluster(cluster.endpoints, Deadline(READY_SECONDS)) as reader:
            for writer in writers:
                writer.check(reader)
        cluster.wait_caught_up()


def test_killing_all_nodes_at_once_loses_no_acknowledged_write(tmp_path: Path) -> None:
    """What a majority had fsynced survives the death of everybody."""
    with running_cluster(tmp_path) as cluster:
        writers = [Writer(number, cluster.endpoints, 120.0) for number in range(WRITERS)]
        for writer in writers:
            writer.start()
        for _ in range(2):
            for writer in writers:
                writer.wait_acknowledged(writer.acknowledged + 20, READY_SECONDS)
            cluster.kill()
            cluster.start()
            cluster.wait_leader()
        for writer in writers:
            writer.wait_acknowledged(writer.acknowledged + 1, READY_SECONDS)
            writer.stop()
        with Cluster(cluster.endpoints, Deadline(READY_SECONDS)) as reader:
            for writer in writers:
                writer.check(reader)
