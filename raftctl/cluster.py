"""The cluster as commands use it: blocking, under one deadline, with errors for the user."""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from raftnode.client.blocking import BlockingNetwork, run
from raftnode.client.cluster import Dispatcher
from raftnode.client.errors import ClientError, NoNodeAnswers
from raftnode.client.fanout import Answers, Round
from raftnode.client.guard import ClusterGuard
from raftnode.client.transport import Deadline
from raftnode.config.errors import CommandError
from raftnode.wire.client import NodeStatus, Request, StatusResult, Written

T = TypeVar("T")


class Cluster:
    """A cluster, known by some of its addresses. Every call has until `deadline`, and raises CommandError.

    `cluster_id` is the id that the user gave; without it, the first node that answers decides.
    """

    def __init__(self, endpoints: Sequence[str], deadline: Deadline, cluster_id: str = "") -> None:
        self.deadline = deadline
        self._network = BlockingNetwork(ClusterGuard(cluster_id))
        self._dispatcher = Dispatcher(endpoints, self._network)

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept connections."""
        self._network.close()

    def end_with(self, pipe: int | None) -> None:
        """End every wait with BrokenPipeError once the reader of `pipe` has closed it; for commands that only print."""
        self._network.pipe = pipe

    def ask(
        self,
        addresses: Iterable[str],
        request: Request[T] | Callable[[str], Request[T]],
        deadline: Deadline,
        *,
        enough: Callable[[Answers[T]], bool] | None = None,
    ) -> Answers[T]:
        """Put a request to these nodes of the cluster at the same time. No answer is no error."""
        return _run(self._network.ask_all(Round(addresses, deadline, enough=enough), request))

    def statuses(
        self, patience: float | None = None, *, at_least: float = 0.0
    ) -> tuple[list[NodeStatus], Answers[StatusResult]]:
        """Return the status of every node that answers, once each. Raises Unreachable where none does.

        The answers may take until the deadline, or `patience` seconds, but always `at_least` that many.
        """
        left = self.deadline.remaining()
        deadline = Deadline(max(at_least, left if patience is None else min(patience, left)))
        found = _run(self._dispatcher.survey(deadline))
        statuses = {a.status.node_id: a.status for a in found.answers.values()}
        if not statuses:
            raise command_error(NoNodeAnswers(found.failures))
        return [statuses[i] for i in sorted(statuses)], found

    def leader_status(self) -> NodeStatus:
        """Return the leader's status, whichever node leads by the deadline."""
        return _run(self._dispatcher.leader_status(self.deadline))

    def call_leader(self, request: Request[T]) -> T:
        """Put a request to the leader, whichever node that is by the deadline, and return its answer."""
        return _run(self._dispatcher.call_leader(request, self.deadline))

    def start_at(self, address: str) -> None:
        """Try this address first, for what any node answers."""
        self._dispatcher.start_at(address)

    def call_any(self, request: Request[T], address: str = "") -> T:
        """Put a request that any node can answer to one that is up, or to the one at `address`."""
        if address:
            return _run(self._dispatcher.call_node(address, request, self.deadline), address)
        return _run(self._dispatcher.call_any(request, self.deadline))

    def call(self, request: Request[T]) -> T:
        """Put a request to the leader, or to any node if every node can answer it."""
        return _run(self._dispatcher.call(request, self.deadline))

    def write(self, command: bytes) -> Written:
        """Have the state machine apply `command` exactly once."""
        return _run(self._dispatcher.write(command, self.deadline))


def _run(coroutine: Coroutine[Any, Any, T], address: str = "") -> T:
    """Return the result of a call; `address` is the one node that was asked. Raises CommandError."""
    try:
        return run(coroutine)
    except ClientError as error:
        raise command_error(error, address) from error


def command_error(error: ClientError, address: str = "") -> CommandError:
    """Return the error for the user; `address` is the one node that was asked."""
    from raftctl.client_errors import explain

    return explain(error, address)
