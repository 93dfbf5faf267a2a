"""Real processes, killed without a warning while clients read and write."""

import random
from pathlib import Path

import pytest

from tests.support.load import load
from tests.support.processes import running_cluster
from tests.support.scale import FAULT_ROUNDS, KILLS, SECONDS_MAX

SEED = 1

pytestmark = [pytest.mark.processes, pytest.mark.timeout(SECONDS_MAX)]


@pytest.mark.parametrize("seed", range(SEED, SEED + FAULT_ROUNDS))
def test_killing_random_nodes_loses_and_doubles_nothing(tmp_path: Path, seed: int) -> None:
    """Again and again one or two of three nodes get SIGKILL under load, some of them again while they start."""
    rng = random.Random(seed)
    # Small limits, so that snapshots are taken and installed while nodes die.
    settings: dict[str, dict[str, object]] = {"snapshot": {"entries": 500, "trailing_entries": 50}}
    with running_cluster(tmp_path, settings=settings) as cluster:
        with load(cluster.endpoints, tmp_path, seed=seed) as clients:
            for _ in range(KILLS):
                victims = rng.sample(cluster.names, rng.choice((1, 1, 1, 2)))
                cluster.kill(*victims)
                if len(victims) == 1:
                    # The others go on without it.
                    clients.progress(2)
                cluster.start(*victims)
                if rng.random() < 0.2:
                    cluster.kill(victims[0])
                    cluster.start(victims[0])
                for victim in victims:
                    cluster.wait_follows(victim)
                clients.progress(2)
        cluster.wait_caught_up()


@pytest.mark.parametrize("seed", range(SEED, SEED + FAULT_ROUNDS))
def test_killing_all_nodes_at_once_loses_and_doubles_nothing(tmp_path: Path, seed: int) -> None:
    """What a majority had fsynced survives the death of everybody."""
    with running_cluster(tmp_path) as cluster:
        with load(cluster.endpoints, tmp_path, seed=seed) as clients:
            for _ in range(3):
                clients.progress(20)
                cluster.kill()
                cluster.start()
                cluster.wait_leader()
            clients.progress(5)
        cluster.wait_caught_up()
