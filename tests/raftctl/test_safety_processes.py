"""Real nodes: what a mistyped address and a wiped data directory look like, and that neither is taken for healthy."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from raftnode.client.transport import Deadline
from tests.support.processes import READY_SECONDS, ProcessCluster, running_cluster

pytestmark = pytest.mark.processes


def status(cluster: ProcessCluster) -> Any:
    """Return what raftctl status says."""
    return json.loads(cluster.raftctl("status", "-o", "json").stdout)


def test_a_member_address_of_another_cluster_mixes_nothing(tmp_path: Path) -> None:
    """raftctl refuses to add it; added by a leader that did not know better, it is never read or written."""
    demo_dir, other_dir = tmp_path / "demo", tmp_path / "other"
    demo_dir.mkdir()
    other_dir.mkdir()
    with running_cluster(demo_dir) as demo, running_cluster(other_dir, size=1) as other:
        stranger = other.addresses["n1"]
        demo.raftctl("kv", "put", "who", "demo")
        other.raftctl("kv", "put", "who", "other")
        refused = demo.raftctl("member", "add", "o1", "--address", stranger, check=False)
        assert refused.returncode == 6
        assert f"another cluster answers at {stranger}" in refused.stderr

        other.kill("n1")
        demo.raftctl("member", "add", "o1", "--address", stranger, "--no-wait")
        other.start("n1")
        other.wait_leader()
        for number in range(5):
            demo.raftctl("kv", "put", "who", f"demo {number}")
            assert demo.raftctl("kv", "get", "who", "--consistency", "local").stdout.startswith("demo")
        assert other.raftctl("kv", "get", "who").stdout == "other\n"
        assert [m["state"] for m in status(demo)["members"] if m["name"] == "o1"] == ["foreign"]
        mixed = demo.raftctl("kv", "put", "who", "x", "-e", ",".join([*demo.endpoints, *other.endpoints]), check=False)
        assert mixed.returncode == 2
        demo.raftctl("member", "remove", "o1", "--yes")


def test_a_voter_with_a_wiped_data_directory_counts_as_down(tmp_path: Path) -> None:
    """The others refuse it, so it cannot vote: the status must not promise that one more failure is survived."""
    with running_cluster(tmp_path) as cluster:
        cluster.raftctl("wait", "--health", "healthy")
        victim = next(name for name in cluster.names if name != cluster.wait_leader())
        cluster.kill(victim)
        shutil.rmtree(cluster.data_dir(victim))
        cluster._raftnode("format", "--cluster-file", str(cluster.cluster_file), "--name", victim)
        cluster.start(victim)
        deadline = Deadline(READY_SECONDS)
        while {m["name"]: m["state"] for m in status(cluster)["members"]}[victim] != "rejected":
            assert deadline.pause(), status(cluster)
        found = status(cluster)
        assert (found["voters_up"], found["tolerates"], found["health"]) == (2, 0, "degraded")


def test_the_last_voter_cannot_be_removed_and_that_is_said_at_once(tmp_path: Path) -> None:
    """Waiting would not help: exit 6, long before the timeout."""
    with running_cluster(tmp_path, size=1) as cluster:
        deadline = Deadline(20.0)
        got = cluster.raftctl("member", "remove", "n1", "--yes", check=False)
        assert got.returncode == 6
        assert not deadline.passed
