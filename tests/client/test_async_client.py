"""`AsyncClient` against scripted nodes. What it shares with `Client` is tested there."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from raftnode.client import AsyncClient, Change, Conflict, NotDone, OutcomeUnknown
from raftnode.client.async_client import AsyncioNetwork
from raftnode.client.errors import NoNodeAnswers, WrongCluster
from raftnode.client.guard import ClusterGuard
from raftnode.client.transport import Deadline
from raftnode.wire import client as wire
from raftnode.wire import kv
from raftnode.wire.hello import Welcome
from tests.support.fake_node import HANG_UP, SILENCE, FakeCluster, Reply


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 30.0))


def test_every_operation() -> None:
    """The same as `Client`'s, awaited."""

    async def story() -> None:
        with FakeCluster() as nodes:
            async with AsyncClient(nodes.endpoints) as client:
                assert await client.put("a", "one") == kv.PutResult(1, 0)
                item = await client.get("a")
                assert item is not None
                assert item.value == b"one"
                assert await client.cas("a", "one", "two") is True
                assert await client.incr("n", 2) == 2
                assert [i.key async for i in client.list()] == [b"a", b"n"]
                with pytest.raises(Conflict):
                    await client.delete("a", expected_revision=9)
                assert await client.delete("a") is True
                assert [m.name for m in await client.members()] == ["n1", "n2", "n3"]
                assert len(await client.status()) == 3
                assert (await client.call(wire.ListSnapshots(0))).snapshots == []
                async for change in client.watch("a", after=0):
                    assert change == Change(1, b"a", b"one")
                    break

    run(story())


def test_many_writes_at_once_share_a_connection_and_a_session() -> None:
    """Each is applied once, also where the connection breaks under them."""

    async def story() -> None:
        with FakeCluster(leader=2) as nodes:
            lost: list[Any] = []

            def interfere(node: int, request: Any) -> Reply | None:
                if isinstance(request, wire.Write) and request.sequence == 20 and not lost:
                    lost.append(request)
                    nodes._answer(node, request)
                    return HANG_UP
                return None

            nodes.interfere = interfere
            async with AsyncClient(nodes.endpoints) as client:
                sums = await asyncio.gather(*(client.incr("n") for _ in range(100)))
                assert sorted(sums) == list(range(1, 101))
            assert nodes.count(wire.OpenSession) == 1
            assert nodes.nodes[2].connections == 2
            assert lost

    run(story())


def test_a_write_without_an_answer_is_unknown_and_others_go_on() -> None:
    """One deadline for each operation; a late answer disturbs nothing."""

    async def story() -> None:
        with FakeCluster() as nodes:
            nodes.interfere = lambda _node, request: (
                SILENCE if isinstance(request, wire.Write) and b"silent" in request.command else None
            )
            async with AsyncClient(nodes.endpoints, timeout=0.5) as client:
                silent = asyncio.create_task(client.put("silent", "v"))
                await client.put("k", "v")
                with pytest.raises(OutcomeUnknown):
                    await silent
                await client.put("k", "w")

    run(story())


def test_a_cancelled_operation_leaves_the_connection_usable() -> None:
    """Its answer is dropped when it comes."""

    async def story() -> None:
        with FakeCluster() as nodes:
            nodes.interfere = lambda _node, request: SILENCE if isinstance(request, wire.Watch) else None
            async with AsyncClient(nodes.endpoints) as client:
                await client.put("k", "v")
                watching = asyncio.create_task(anext(client.watch(after=5)))
                while not nodes.count(wire.Watch):
                    await asyncio.sleep(0.001)
                watching.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await watching
                assert (await client.put("k", "w")).previous_revision == 1
            assert nodes.nodes[1].connections == 1

    run(story())


def test_failures_are_the_same_as_the_blocking_clients() -> None:
    """No leader, nobody there, two clusters."""

    async def story() -> None:
        with FakeCluster() as nodes, FakeCluster(cluster_id="beef") as others:
            async with AsyncClient(f"{nodes.endpoints},{others.endpoints}") as client:
                with pytest.raises(WrongCluster):
                    await client.put("k", "v")
            nodes.leader = 0
            async with AsyncClient(nodes.endpoints, timeout=0.3) as client:
                with pytest.raises(NotDone, match="no leader"):
                    await client.put("k", "v")
            endpoints = nodes.endpoints
        async with AsyncClient(endpoints) as client:
            with pytest.raises(NoNodeAnswers):
                await client.get("k")

    run(story())


def test_a_caller_that_gives_up_at_the_moment_of_the_welcome_leaves_no_connection_behind() -> None:
    """The connection is welcomed, and nobody has it: it is closed, and not left to the collector."""

    class Interrupting(ClusterGuard):
        def admit(self, address: str, body: bytes) -> Welcome:
            calling.cancel()
            return super().admit(address, body)

    calling: asyncio.Task[Any]

    async def story() -> None:
        nonlocal calling
        with FakeCluster() as nodes:
            network = AsyncioNetwork(Interrupting())
            question = network.call(nodes.nodes[1].address, wire.GetStatus(0), Deadline(5.0), 5.0)
            calling = asyncio.create_task(question)
            with pytest.raises(asyncio.CancelledError):
                await calling
            async with asyncio.timeout(5.0):
                while nodes.nodes[1].open_connections:
                    await asyncio.sleep(0.01)
            assert nodes.nodes[1].connections == 1

    run(story())
