"""One request to many nodes at once, under one deadline: silent nodes cost one timeout together, not one each.

`Round` decides whom to ask and when to stop waiting; it does no I/O. `ask_all` drives it over sockets.
"""

from __future__ import annotations

import errno
import select
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar, cast

from raftnode.client.connection import Connection
from raftnode.client.errors import ConnectionFailed
from raftnode.client.guard import ClusterGuard
from raftnode.client.transport import Deadline
from raftnode.wire.client import Failed, Request

GRACE_S: Final = 0.4
"""Grace period for silent nodes once enough have answered.

A distant node needs two round trips before its first byte arrives; after that it has the whole deadline.
"""

HEAD_START_S: Final = 0.05
"""How long to wait for the first address alone, if its answer may be enough."""

LOOK_S: Final = 0.05
"""How often to check `enough` while nothing arrives."""

T = TypeVar("T")


class Answers(Generic[T]):
    """The results: for every address an answer, a `Failed`, or the reason why neither came."""

    def __init__(self, failures: Iterable[ConnectionFailed] = ()) -> None:
        self.answers: dict[str, T] = {}
        self.failed: dict[str, Failed] = {}
        self.failures = {failure.address: failure for failure in failures}

    @property
    def not_listening(self) -> set[str]:
        """The addresses where nobody listens."""
        return {address for address, failure in self.failures.items() if failure.refused}

    @property
    def foreign(self) -> dict[str, str]:
        """The addresses where another cluster answers, each with the reason it gave."""
        return {address: failure.reason for address, failure in self.failures.items() if failure.foreign}

    def is_settled(self, address: str) -> bool:
        """Return whether the address has answered or failed."""
        return address in self.answers or address in self.failed or address in self.failures


class Round(Generic[T]):
    """One request to many addresses: which to ask now, and how long to wait. Its caller does the asking.

    `more` gives further addresses that an answer names. `enough` ends the round at once, and may look at the clock;
    `suffices` ends it GRACE_S later, unless a node has welcomed us that still owes its answer.

    With `head_start` the first address is asked alone for that long, then the one that its answer `refers` to
    ("": none), and so on. All are asked as soon as one fails, or refers to none, and the answers are not `enough`.
    """

    def __init__(
        self,
        addresses: Iterable[str],
        deadline: Deadline,
        *,
        more: Callable[[T], Iterable[str]] | None = None,
        enough: Callable[[Answers[T]], bool] | None = None,
        suffices: Callable[[Answers[T]], bool] | None = None,
        refers: Callable[[T], str] | None = None,
        head_start: float = 0.0,
    ) -> None:
        self.deadline = deadline
        self.answers: Answers[T] = Answers()
        self.active: dict[str, None] = {}
        """The addresses that were asked and have not answered."""
        self.welcomed: set[str] = set()
        """Those whose node has said who it is. The caller adds to it."""
        self._waiting = dict.fromkeys(addresses)
        self._known = set(self._waiting)
        self._more = more
        self._enough = enough
        self._suffices = suffices
        self._refers = refers
        self._grace: Deadline | None = None
        self._alone = Deadline(head_start) if head_start and len(self._waiting) > 1 else None
        self._next = next(iter(self._waiting), "")
        """The address to ask alone next."""

    def due(self) -> list[str]:
        """Return the addresses to ask now; each is returned once."""
        if self._alone is not None and not self._alone.passed and (self.active or self._next in self._waiting):
            due = [] if self.active else [self._next]
        else:
            self._alone = None
            due = list(self._waiting)
        for address in due:
            del self._waiting[address]
            self.active[address] = None
        return due

    def on_answer(self, address: str, answer: T | Failed) -> None:
        """Take a node's answer."""
        del self.active[address]
        if isinstance(answer, Failed):
            self.answers.failed[address] = answer
            return
        self.answers.answers[address] = answer
        if self._refers is not None:
            self._next = self._refers(answer)
        if self._more is not None:
            for named in self._more(answer):
                if named not in self._known:
                    self._known.add(named)
                    self._waiting[named] = None

    def on_failure(self, failure: ConnectionFailed) -> None:
        """Take the reason why no answer comes from a node."""
        del self.active[failure.address]
        self.answers.failures[failure.address] = failure

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to wait for."""
        if not self.active and not self._waiting:
            return True
        if self.deadline.passed or (self._enough is not None and self._enough(self.answers)):
            return True
        if self._grace is None and self._suffices is not None and self._suffices(self.answers):
            self._grace = self.deadline.capped(GRACE_S)
        return self._in_grace and self._grace is not None and self._grace.passed

    @property
    def _in_grace(self) -> bool:
        return self._grace is not None and not any(address in self.welcomed for address in self.active)

    @property
    def wait_s(self) -> float:
        """How long to wait for an answer before `is_over` and `due()` are asked again, in seconds."""
        until = self._grace if self._in_grace and self._grace is not None else self.deadline
        return min(until.remaining(), LOOK_S if self._alone is None else min(LOOK_S, self._alone.remaining()))

    def end(self) -> Answers[T]:
        """Give up on the nodes that have not answered, and return what came."""
        for address in self.active:
            reason = f"no answer in {self.deadline.elapsed:.1f} s"
            self.answers.failures[address] = ConnectionFailed(address, reason, sent=True)
        self.active.clear()
        return self.answers


def ask_all(
    addresses: Iterable[str],
    request: Request[T],
    deadline: Deadline,
    *,
    enough: Callable[[Answers[T]], bool] | None = None,
) -> Answers[T]:
    """Put `request` to nodes of any cluster at the same time, and return what came by the deadline."""
    return run_round(Round(addresses, deadline, enough=enough), request)


def run_round(
    round_: Round[T],
    request: Request[T] | Callable[[str], Request[T]],
    *,
    guard: ClusterGuard | None = None,
    kept: dict[str, Connection] | None = None,
    pipe: int | None = None,
) -> Answers[T]:
    """Ask the nodes of a round, and return what came until it was over.

    The request may be a function of the address. `kept` has the connections to use again, by address, and gets
    those that can be. Without a `guard`, nodes of any cluster are asked. Raises BrokenPipeError once the reader of
    `pipe` has closed it.
    """
    driver = _Driver(round_, guard or ClusterGuard(any_cluster=True), kept, pipe)
    try:
        driver.run(request)
    finally:
        driver.close()
    return round_.end()


class _Driver(Generic[T]):
    """The connections of one round."""

    def __init__(
        self, round_: Round[T], guard: ClusterGuard, kept: dict[str, Connection] | None, pipe: int | None
    ) -> None:
        self._round = round_
        self._guard = guard
        self._kept = kept
        self._pipe = pipe
        self._open: dict[str, Connection] = {}
        # Not `selectors`: loading that module takes longer than a typical round.
        self._poll = select.poll()
        self._watched: dict[int, Connection] = {}
        if pipe is not None:
            self._poll.register(pipe, 0)

    def run(self, request: Request[T] | Callable[[str], Request[T]]) -> None:
        """Ask until the round is over."""
        round_ = self._round
        while not round_.is_over:
            due = round_.due()
            for address in due:
                self._ask(address, request(address) if callable(request) else request)
            if due:
                # A failure to dial may have ended the round.
                continue
            for descriptor, _ in self._poll.poll(round_.wait_s * 1000):
                if descriptor == self._pipe:
                    raise BrokenPipeError(errno.EPIPE, "the reader of the output has closed it")
                connection = self._watched.get(descriptor)
                if connection is not None:
                    self._advance(connection)

    def _ask(self, address: str, request: Request[T]) -> None:
        connection = None if self._kept is None else self._kept.pop(address, None)
        if connection is not None and not connection.is_idle():
            connection.close()
            connection = None
        try:
            if connection is None:
                connection = Connection(address, self._guard)
                self._open[address] = connection
                connection.send(request)
                connection.start()
            else:
                self._open[address] = connection
                connection.send(request)
                connection.flush()
        except ConnectionFailed as error:
            self._fail(error)
        else:
            self._watch(connection)

    def _advance(self, connection: Connection) -> None:
        self._forget(connection)
        try:
            answers = connection.advance()
        except ConnectionFailed as error:
            self._fail(error)
            return
        if connection.is_welcomed:
            self._round.welcomed.add(connection.address)
        if not answers:
            self._watch(connection)
            return
        del self._open[connection.address]
        if self._kept is not None:
            self._kept[connection.address] = connection
        else:
            connection.close()
        self._round.on_answer(connection.address, cast("T | Failed", answers[0]))

    def _fail(self, error: ConnectionFailed) -> None:
        self._open.pop(error.address).close()
        self._round.on_failure(error)

    def _watch(self, connection: Connection) -> None:
        assert connection.socket is not None, "a connection that was started has a socket"
        descriptor = connection.socket.fileno()
        self._watched[descriptor] = connection
        self._poll.register(descriptor, select.POLLIN | (select.POLLOUT if connection.wants_to_write else 0))

    def _forget(self, connection: Connection) -> None:
        """Stop watching a connection before its socket may change."""
        assert connection.socket is not None, "a connection that was started has a socket"
        descriptor = connection.socket.fileno()
        del self._watched[descriptor]
        self._poll.unregister(descriptor)

    def close(self) -> None:
        """Hang up on every node that has not answered."""
        for connection in self._open.values():
            connection.close()
