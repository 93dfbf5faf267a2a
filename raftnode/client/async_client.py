"""The asyncio client, and its network."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from raftnode.client.errors import ConnectionFailed
from raftnode.client.fanout import Answers, Round
from raftnode.client.guard import ClusterGuard
from raftnode.client.operations import TIMEOUT_S, Operations
from raftnode.client.protocol import ClientProtocol
from raftnode.client.transport import Deadline, host_and_port, os_reason
from raftnode.wire.client import Answer, Failed, Request

T = TypeVar("T")


class AsyncClient(Operations):
    """`Client` for asyncio: the same operations with `await`, `list` and `watch` with `async for`.

        async with AsyncClient("10.0.0.1:7001,10.0.0.2:7001") as client:
            await client.put("greeting", "hello")

    Any number of operations may be under way at the same time; they share one connection to each node.
    """

    def __init__(
        self, endpoints: str | Sequence[str], *, cluster_id: str | None = None, timeout: float = TIMEOUT_S
    ) -> None:
        self._network = AsyncioNetwork(ClusterGuard(cluster_id or ""))
        super().__init__(endpoints, self._network, timeout)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection; what is under way fails."""
        self._network.close()


class AsyncioNetwork:
    """Connections in an asyncio event loop, one for each node, shared by all calls."""

    def __init__(self, guard: ClusterGuard) -> None:
        self.guard = guard
        self._links: dict[str, _Link] = {}
        self._dialing: dict[str, asyncio.Lock] = {}

    async def call(self, address: str, request: Request[T], deadline: Deadline, dial_s: float) -> T | Failed:
        """Put a request to one node, within `dial_s` for connecting to it. Raises ConnectionFailed."""
        link = await self._connect(address, self.guard, deadline.capped(dial_s))
        return await link.call(request, deadline)

    async def ask_all(
        self, round_: Round[T], request: Request[T] | Callable[[str], Request[T]], *, any_cluster: bool = False
    ) -> Answers[T]:
        """Ask the nodes of a round. The request may depend on the address. `any_cluster`: accept any cluster."""
        deadline = round_.deadline
        tasks: dict[asyncio.Task[T | Failed], str] = {}

        async def ask(address: str) -> T | Failed:
            wanted = request(address) if callable(request) else request
            if not any_cluster:
                return await self.call(address, wanted, deadline, deadline.remaining())
            link = await _dial(address, ClusterGuard(any_cluster=True), deadline)
            try:
                return await link.call(wanted, deadline)
            finally:
                link.close()

        try:
            while not round_.is_over:
                for address in round_.due():
                    tasks[asyncio.create_task(ask(address))] = address
                done, _ = await asyncio.wait(tasks, timeout=round_.wait_s, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    address = tasks.pop(task)
                    try:
                        round_.on_answer(address, task.result())
                    except ConnectionFailed as error:
                        round_.on_failure(error)
                round_.welcomed.update(address for address in round_.active if address in self._links)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return round_.end()

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)

    def lock(self) -> asyncio.Lock:
        """Return a lock for the tasks that share a dispatcher."""
        return asyncio.Lock()

    def close(self) -> None:
        """Close every connection; what is under way fails."""
        for link in list(self._links.values()):
            link.close()

    async def _connect(self, address: str, guard: ClusterGuard, deadline: Deadline) -> _Link:
        """Return the connection to a node, made if there is none. Raises ConnectionFailed."""
        if address not in self._links:
            async with self._dialing.setdefault(address, asyncio.Lock()):
                if address not in self._links:
                    link = await _dial(address, guard, deadline)
                    self._links[address] = link
                    link.on_close = lambda: self._links.pop(address, None)
        return self._links[address]


async def _dial(address: str, guard: ClusterGuard, deadline: Deadline) -> _Link:
    """Return a connection whose node has welcomed us. Raises ConnectionFailed."""
    host, port = host_and_port(address)
    link = _Link(address, guard)
    dialed = False
    try:
        async with asyncio.timeout(deadline.remaining()):
            await asyncio.get_running_loop().create_connection(lambda: link, host, port)
            await link.welcomed
        if link.has_ended:
            raise ConnectionFailed(address, "the node closed the connection")
        dialed = True
    except TimeoutError as error:
        raise ConnectionFailed(address, f"no answer in {deadline.seconds:.1f} s") from error
    except OSError as error:
        reason, refused = os_reason(error)
        raise ConnectionFailed(address, reason, refused=refused) from error
    finally:
        # Close it also if the caller was cancelled just as the node welcomed us: nothing else would.
        if not dialed:
            link.close()
    return link


class _Link(asyncio.Protocol):
    """One connection, and the futures that wait for its answers."""

    def __init__(self, address: str, guard: ClusterGuard) -> None:
        self.on_close: Callable[[], object] = lambda: None
        self.welcomed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._protocol = ClientProtocol(guard, address)
        self._transport: asyncio.Transport | None = None
        self.has_ended = False
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._flushing = False
        self._heard_at = time.monotonic()

    @property
    def is_welcomed(self) -> bool:
        return self._protocol.welcome is not None

    async def call(self, request: Request[T], deadline: Deadline) -> T | Failed:
        """Send a request and return its answer. Raises ConnectionFailed, Refused."""
        if self._transport is None:
            raise self._protocol.failure("the connection is closed")
        number = self._protocol.send(request)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._flush_soon()
        began = time.monotonic()
        try:
            async with asyncio.timeout(deadline.remaining()):
                return cast("T | Failed", await answer)
        except TimeoutError as error:
            failure = self._protocol.failure(f"no answer in {deadline.seconds:.1f} s")
            if self._heard_at < began:
                # Nothing arrived since: the node may have vanished, and a new connection finds out.
                self._fail(failure)
            raise failure from error
        finally:
            self._waiting.pop(number, None)
            self._protocol.forget(number)

    def close(self) -> None:
        """Close the connection; what is under way fails."""
        self._fail(self._protocol.failure("the connection was closed"))

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self.has_ended:
            self._transport.abort()
            return
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._heard_at = time.monotonic()
        try:
            answers = self._protocol.receive_data(data)
        except ConnectionFailed as error:
            self._fail(error)
            return
        if self.is_welcomed and not self.welcomed.done():
            self.welcomed.set_result(None)
        for answer in answers:
            waiting = self._waiting.get(answer.id)
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        reason = os_reason(exc)[0] if isinstance(exc, OSError) else "the node closed the connection"
        self._fail(self._protocol.failure(reason))

    # How it writes and ends.

    def _flush_soon(self) -> None:
        """Write when this turn of the event loop is over, together with whatever else is sent in it."""
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._transport is not None and (data := self._protocol.data_to_send()):
            self._transport.write(data)

    def _fail(self, error: ConnectionFailed) -> None:
        """End the connection, and every wait on it. Only the first call does anything."""
        if self.has_ended:
            return
        self.has_ended = True
        self.on_close()
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        if not self.welcomed.done():
            self.welcomed.set_exception(error)
            # If dialing was given up, nothing else retrieves the exception.
            self.welcomed.exception()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(error)
