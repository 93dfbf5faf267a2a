"""`Client` and `AsyncClient` against real nodes."""

import asyncio
from itertools import islice
from pathlib import Path

import pytest

from raftnode.client import AsyncClient, Change, Client
from tests.support.processes import READY_SECONDS, running_cluster

pytestmark = pytest.mark.processes


def test_a_client_goes_on_when_the_leader_is_killed(tmp_path: Path) -> None:
    """Each increment counts once, and the watch misses none of them."""
    with running_cluster(tmp_path) as cluster, Client(cluster.endpoints, timeout=READY_SECONDS) as client:
        stream = client.watch("n", after=0)
        assert [client.incr("n") for _ in range(3)] == [1, 2, 3]
        cluster.kill(cluster.wait_leader())
        assert [client.incr("n") for _ in range(3)] == [4, 5, 6]
        values = [change.value for change in islice(stream, 6) if isinstance(change, Change)]
        assert values == [b"1", b"2", b"3", b"4", b"5", b"6"]
        stream.close()
        item = client.get("n")
        assert item is not None
        assert item.value == b"6"
        assert {m.name for m in client.members()} == {"n1", "n2", "n3"}
        assert len(client.status()) == 2


def test_an_asyncio_client_has_many_writes_under_way_when_the_leader_is_killed(tmp_path: Path) -> None:
    """Every write is applied once."""
    with running_cluster(tmp_path) as cluster:

        async def story() -> None:
            async with AsyncClient(cluster.endpoints, timeout=READY_SECONDS) as client:
                await client.put("before", "1")
                sums = [asyncio.create_task(client.incr("n")) for _ in range(500)]
                await asyncio.sleep(0)
                await asyncio.to_thread(lambda: cluster.kill(cluster.wait_leader()))
                sums += [asyncio.create_task(client.incr("n")) for _ in range(500)]
                assert sorted(await asyncio.gather(*sums)) == list(range(1, 1001))

        asyncio.run(story())
