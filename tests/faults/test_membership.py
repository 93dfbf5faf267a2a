"""Members come and go while clients write to real processes."""

import subprocess
import time
from pathlib import Path

import pytest

from raftnode.wire.client import NodeStatus
from tests.support.load import Load, load
from tests.support.processes import ProcessCluster, running_cluster
from tests.support.scale import FAULT_ROUNDS, SECONDS_MAX

REPLACED_SECONDS_MAX = 10.0
SMALL_SNAPSHOTS: dict[str, dict[str, object]] = {"snapshot": {"entries": 500, "trailing_entries": 50}}

pytestmark = [pytest.mark.processes, pytest.mark.timeout(SECONDS_MAX)]


def kinds(statuses: dict[str, NodeStatus], leader: str) -> dict[str, str]:
    return {member.name: member.kind for member in statuses[leader].members}


def wait_applied(cluster: ProcessCluster, name: str, index: int) -> None:
    """Wait until a node has applied everything up to `index`."""
    cluster.wait_for(f"{name} has applied {index}", lambda found: name in found and found[name].applied_index >= index)


def leaves(cluster: ProcessCluster, name: str) -> None:
    """Remove a member, and end its process."""
    done = cluster.raftctl("member", "remove", name, "--yes")
    assert done.stdout.startswith("changed: true"), done
    cluster.kill(name)
    del cluster.addresses[name]
    cluster.names.remove(name)


def comes(cluster: ProcessCluster, name: str, *options: str) -> None:
    """Make the cluster take in a new node as a learner (or `--observer`), and start it."""
    cluster.join(name, *options)
    cluster.start(name)


def votes(cluster: ProcessCluster, name: str) -> None:
    """Take in a new node, and give it a vote as soon as it has caught up."""
    comes(cluster, name)
    done = cluster.raftctl("member", "add", name, "--address", cluster.addresses[name])
    assert done.stdout.startswith("changed: true"), done


@pytest.mark.parametrize("seed", range(FAULT_ROUNDS))
def test_members_come_and_go_under_load_and_no_write_is_lost_or_doubled(tmp_path: Path, seed: int) -> None:
    """Add a learner, promote it, add an observer, remove the leader, a follower and the observer; clients go on."""
    with running_cluster(tmp_path, settings=SMALL_SNAPSHOTS) as cluster:
        with load(cluster.endpoints, tmp_path, seed=seed) as clients:
            exchange_two_voters(cluster, clients)
        cluster.wait_caught_up()


def exchange_two_voters(cluster: ProcessCluster, clients: Load) -> None:
    """Replace two of the first three voters one step at a time, with an observer there for a while."""
    observer = "n6"
    for name in ("n4", "n5"):
        votes(cluster, name)
        clients.progress(10)
    comes(cluster, observer, "--observer")
    wait_applied(cluster, observer, cluster.statuses()[cluster.wait_leader()].commit_index)
    leaves(cluster, cluster.wait_leader())
    clients.progress(10)
    leader = cluster.wait_leader()
    leaves(cluster, next(name for name in cluster.names if name not in (leader, observer)))
    clients.progress(10)
    assert kinds(cluster.statuses(), leader)[observer] == "observer"
    leaves(cluster, observer)
    clients.progress(10)
    leader = cluster.wait_leader()
    assert sorted(kinds(cluster.statuses(), leader).values()) == ["voter"] * 3


@pytest.mark.parametrize("killed_leads", [True, False], ids=["leader", "follower"])
def test_a_killed_node_is_replaced_under_load_in_ten_seconds(tmp_path: Path, killed_leads: bool) -> None:
    """From `raftnode join` until the new member votes and has all that was written; no client's session fails."""
    with running_cluster(tmp_path, settings=SMALL_SNAPSHOTS) as cluster:
        with load(cluster.endpoints, tmp_path) as clients:
            for _ in range(FAULT_ROUNDS):
                clients.progress(300)
            leader = cluster.wait_leader()
            victim = leader if killed_leads else next(name for name in cluster.names if name != leader)
            cluster.kill(victim)
            clients.progress(10)
            began = time.monotonic()
            comes(cluster, "n4")
            done = replace(cluster, victim, "n4")
            assert done.stdout.startswith("changed: true"), done
            leader = cluster.wait_leader()
            wait_applied(cluster, "n4", cluster.statuses()[leader].commit_index)
            took = time.monotonic() - began
            print(f"the replacement took {took:.2f} s")
            members = kinds(cluster.statuses(), leader)
            assert members == dict.fromkeys({*cluster.names} - {victim}, "voter")
            clients.progress(10)
        cluster.wait_caught_up()
        assert took < REPLACED_SECONDS_MAX, f"the replacement took {took:.1f} s"


def replace(cluster: ProcessCluster, old: str, new: str) -> subprocess.CompletedProcess[str]:
    return cluster.raftctl("member", "replace", old, new, "--address", cluster.addresses[new], "--yes")
