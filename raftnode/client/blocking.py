"""The blocking network: what a `Dispatcher` does happens before the call returns."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, TypeVar

from raftnode.client import fanout
from raftnode.client.connection import Connection
from raftnode.client.fanout import Answers, Round
from raftnode.client.guard import ClusterGuard
from raftnode.client.transport import Deadline
from raftnode.wire.client import Failed, Request

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine over a `BlockingNetwork`, which never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise RuntimeError("a coroutine over a blocking network waits for an event loop")


class BlockingNetwork:
    """Blocking connections, one for each node, kept for as long as they can be used.

    If set, every wait ends with BrokenPipeError once the reader of `pipe` has closed it.
    """

    def __init__(self, guard: ClusterGuard) -> None:
        self.guard = guard
        self.pipe: int | None = None
        self._kept: dict[str, Connection] = {}

    async def call(self, address: str, request: Request[T], deadline: Deadline, dial_s: float) -> T | Failed:
        """Put a request to one node, within `dial_s` for connecting to it. Raises ConnectionFailed."""
        connection = self._kept.pop(address, None)
        if connection is not None and not connection.is_idle():
            connection.close()
            connection = None
        if connection is None:
            connection = Connection(address, self.guard)
            connection.open(deadline.capped(dial_s), self.pipe)
        answer = connection.call(request, deadline, self.pipe)
        self._kept[address] = connection
        return answer

    async def ask_all(
        self, round_: Round[T], request: Request[T] | Callable[[str], Request[T]], *, any_cluster: bool = False
    ) -> Answers[T]:
        """Ask the nodes of a round. The request may depend on the address. `any_cluster`: accept any cluster."""
        guard, kept = (None, None) if any_cluster else (self.guard, self._kept)
        return fanout.run_round(round_, request, guard=guard, kept=kept, pipe=self.pipe)

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)

    def lock(self) -> _NoLock:
        """Return a lock that is always free: one thing happens at a time."""
        return _NoLock()

    def close(self) -> None:
        """Close every connection. A second call does nothing."""
        for connection in self._kept.values():
            connection.close()
        self._kept.clear()


class _NoLock:
    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        pass


def iterate(stream: AsyncGenerator[T, None]) -> Generator[T, None, None]:
    """Give the items of a stream over a `BlockingNetwork`."""
    try:
        while True:
            try:
                item = run(_next(stream))
            except StopAsyncIteration:
                return
            yield item
    finally:
        run(stream.aclose())


async def _next(stream: AsyncGenerator[T, None]) -> T:
    return await anext(stream)
