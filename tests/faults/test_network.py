"""Real processes on a network that delays, stalls, cuts and goes one way. Clients write all the time."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from raftnode.client.transport import Deadline
from tests.support.load import Load, load
from tests.support.processes import READY_SECONDS, ProcessCluster
from tests.support.proxy import Faults, ProxyNetwork, proxied_cluster
from tests.support.scale import FAULT_ROUNDS, SECONDS_MAX

NODES = (1, 2, 3)

pytestmark = [pytest.mark.processes, pytest.mark.timeout(SECONDS_MAX)]


def number(name: str) -> int:
    return int(name[1:])


def others(node: int) -> tuple[int, ...]:
    return tuple(other for other in NODES if other != node)


def delay_everything(faults: Faults, node: int) -> None:
    faults.delay.update({(a, b): 0.05 for a in NODES for b in NODES if a != b})


def stall_both_ways(faults: Faults, node: int) -> None:
    faults.isolate(node, others(node))


def block_what_it_sends(faults: Faults, node: int) -> None:
    faults.stalled |= {(node, other) for other in others(node)}


def block_what_it_hears(faults: Faults, node: int) -> None:
    faults.stalled |= {(other, node) for other in others(node)}


def refuse_its_connections(faults: Faults, node: int) -> None:
    faults.refused |= {(a, b) for a in NODES for b in NODES if node in (a, b)}


def stall_one_link(faults: Faults, node: int) -> None:
    other = others(node)[0]
    faults.stalled |= {(node, other), (other, node)}


Fault = Callable[[Faults, int], None]
# One that cannot send gets no heartbeat through; one that cannot hear has no quorum and steps down.
DEPOSING: dict[Fault, str] = {
    stall_both_ways: "stalled",
    block_what_it_sends: "stalled",
    block_what_it_hears: "stalled",
    refuse_its_connections: "refused",
}
FAULTS: dict[Fault, str] = {delay_everything: "delayed", stall_one_link: "stalled", **DEPOSING}
"""Each with what the proxies count when it is felt."""


@pytest.mark.parametrize("seed", range(FAULT_ROUNDS))
def test_no_fault_of_the_network_loses_or_doubles_a_write(tmp_path: Path, seed: int) -> None:
    """Each kind of fault hits the leader in turn: the cluster goes on, with another leader where this one is cut off.

    When it has healed, everybody is equal, and what was acknowledged is there, once.
    """
    rng = random.Random(seed)
    with proxied_cluster(tmp_path, seed=seed) as (cluster, network):
        with load(cluster.endpoints, tmp_path, seed=seed) as clients:
            for fault, felt in rng.sample(list(FAULTS.items()), len(FAULTS)):
                old, before = cluster.wait_leader(), network.faults.happened.copy()
                fault(network.faults, number(old))
                # A client that still asks the old leader gets the present value, or no answer.
                with clients.watched_through(cluster.addresses[old]):
                    if fault in DEPOSING:
                        cluster.wait_leader(but=[old])
                    clients.progress(10)
                assert network.faults.happened[felt] > before[felt], f"nothing was {felt}: {fault.__name__}"
                network.faults.heal()
                clients.progress(10)
                cut_connections(cluster, network, clients)
        cluster.wait_caught_up()
        assert all(cluster.stop(name) == 0 for name in list(cluster.names))


def cut_connections(cluster: ProcessCluster, network: ProxyNetwork, clients: Load) -> None:
    """Break connections of the leader to the others in the middle of a frame, as soon as they are there."""
    enough = network.faults.happened["cut"] + 2
    deadline = Deadline(READY_SECONDS)
    while network.faults.happened["cut"] < enough:
        leader = number(cluster.wait_leader())
        for other in others(leader):
            network.cut_in_frame(leader, other)
        clients.progress(1)
        assert deadline.pause(), "the leader sends nothing that could be cut"
