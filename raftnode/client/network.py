"""How a `Dispatcher` reaches nodes."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from raftnode.client.fanout import Answers, Round
from raftnode.client.guard import ClusterGuard
from raftnode.client.transport import Deadline
from raftnode.wire.client import Failed, Request

T = TypeVar("T")


class Network(Protocol):
    """How a `Dispatcher` reaches nodes: blocking or in an event loop. It keeps its connections and uses them again."""

    guard: ClusterGuard

    async def call(self, address: str, request: Request[T], deadline: Deadline, dial_s: float) -> T | Failed:
        """Put a request to one node, within `dial_s` for connecting to it. Raises ConnectionFailed."""
        ...

    async def ask_all(
        self, round_: Round[T], request: Request[T] | Callable[[str], Request[T]], *, any_cluster: bool = False
    ) -> Answers[T]:
        """Ask the nodes of a round. The request may depend on the address. `any_cluster`: accept any cluster."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...

    def lock(self) -> AbstractAsyncContextManager[Any]:
        """Return a lock for the coroutines that share a dispatcher."""
        ...
