"""How a `Dispatcher` reaches nodes."""

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from raftnode.client.fanout import Answers
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
        self,
        addresses: Iterable[str],
        request: Request[T] | Callable[[str], Request[T]],
        deadline: Deadline,
        *,
        any_cluster: bool = False,
        more: Callable[[T], Iterable[str]] | None = None,
        enough: Callable[[Answers[T]], bool] | None = None,
        suffices: Callable[[Answers[T]], bool] | None = None,
        refers: Callable[[T], str] | None = None,
        head_start: float = 0.0,
    ) -> Answers[T]:
        """Put a request to many nodes, as `fanout.Round` says. `any_cluster`: whatever cluster they are of."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...

    def lock(self) -> AbstractAsyncContextManager[Any]:
        """Return a lock for the coroutines that share a dispatcher."""
        ...
