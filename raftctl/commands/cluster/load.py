"""Load for a leader: connections that keep a number of requests in flight each, all in one thread.

Each connection writes in its own session, as every client does, so that the figures are what clients get.
"""

import contextlib
import selectors
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from raftctl.cluster import command_error
from raftnode.client.connection import Connection
from raftnode.client.errors import ClientError, ConnectionFailed, failed_error
from raftnode.client.guard import ClusterGuard
from raftnode.client.transport import Deadline
from raftnode.config.errors import CommandError, Unreachable
from raftnode.wire.client import Failed, OpenSession, Read, Request, Write
from raftnode.wire.kv import Delete, Get, Put, encode

PREFIX: Final = b"raftctl-bench/"
KEYS: Final = 1000
DEPTH: Final = 32
EACH_KEY_S: Final = 60.0
IDLE_S: Final = 10.0
"""How long to wait for the last answers."""


Maker = Callable[[int, int, int], Request[Any]]
"""Returns the request with a number, for a session; the third argument is the number up to which all are answered."""


@dataclass
class Figures:
    """What was measured. Latencies are in seconds, of the requests that succeeded."""

    latencies: list[float] = field(default_factory=list)
    errors: int = 0
    elapsed: float = 0.0

    def percentile_ms(self, share: float) -> float:
        """Return the latency that this share of the requests did not exceed, in milliseconds; 0 without any."""
        if not self.latencies:
            return 0.0
        return round(self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * share))] * 1000, 3)

    @property
    def per_second(self) -> float:
        return round(len(self.latencies) / self.elapsed, 1) if self.elapsed else 0.0


def key(number: int) -> bytes:
    """Return one of the keys that a benchmark uses."""
    return PREFIX + b"%03d" % (number % KEYS)


class LoadConnection:
    """One connection that keeps `depth` requests in flight; it sends `total` in all, or without end if that is 0."""

    def __init__(self, connection: Connection, figures: Figures, depth: int, make: Maker, total: int = 0) -> None:
        self.connection = connection
        self.in_flight: dict[int, float] = {}
        self._figures = figures
        self._depth = depth
        self._make = make
        self._total = total
        self._session = 0
        self._count = 0

    def begin(self, session: int) -> None:
        """Send the first requests."""
        self._session = session
        for _ in range(self._depth):
            self._send_next()
        self.connection.flush()

    def advance(self, *, go_on: bool) -> None:
        """Take what has arrived; with `go_on`, send a request for each answer. Raises ConnectionFailed."""
        answers = self.connection.advance()
        now = time.perf_counter()
        for answer in answers:
            began = self.in_flight.pop(answer.id)
            if isinstance(answer, Failed):
                self._figures.errors += 1
            else:
                self._figures.latencies.append(now - began)
            if go_on and (not self._total or self._count < self._total):
                self._send_next()
        if answers:
            self.connection.flush()

    def _send_next(self) -> None:
        self._count += 1
        number = self._count
        self.connection.send(self._make(number, self._session, min(self.in_flight, default=number) - 1))
        self.in_flight[number] = time.perf_counter()


def writer(client: int, value: bytes) -> Maker:
    """Return how connection number `client` makes its writes."""
    return lambda number, session, done: Write(number, session, number, done, encode(Put(key(client + number), value)))


def reader(client: int) -> Maker:
    """Return how connection number `client` makes its linearizable reads."""
    return lambda number, _session, _done: Read(number, encode(Get(key(client + number))))


def run_load(
    address: str,
    guard: ClusterGuard,
    makers: list[Maker],
    *,
    depth: int,
    seconds: float,
    sessions: bool,
    report: Callable[[str], None],
) -> Figures:
    """Load the node at `address` with one connection for each maker. Raises CommandError where it cannot be reached."""
    figures = Figures()
    with _explained(), selectors.DefaultSelector() as selector:
        clients: list[LoadConnection] = []
        opened: list[int] = []
        try:
            for make in makers:
                connection, session = _open(address, guard, sessions=sessions)
                clients.append(LoadConnection(connection, figures, depth, make))
                opened.append(session)
            started = time.perf_counter()
            for client, session in zip(clients, opened, strict=True):
                client.begin(session)
                _watch(selector, client)
            _drive(selector, figures, started, seconds, report)
            figures.elapsed = time.perf_counter() - started
        finally:
            for client in clients:
                client.connection.close()
    figures.latencies.sort()
    return figures


def _open(address: str, guard: ClusterGuard, *, sessions: bool) -> tuple[Connection, int]:
    """Return a connection, and the session that was opened on it (0 for none). Raises ClientError."""
    deadline = Deadline(IDLE_S)
    connection = Connection(address, guard)
    connection.open(deadline)
    opened = connection.call(OpenSession(0), deadline) if sessions else None
    if isinstance(opened, Failed):
        connection.close()
        raise failed_error(opened)
    return connection, 0 if opened is None else opened.session


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turn the client library's errors into those that the user sees."""
    try:
        yield
    except ClientError as error:
        raise command_error(error) from error


def _drive(
    selector: selectors.BaseSelector, figures: Figures, started: float, seconds: float, report: Callable[[str], None]
) -> None:
    """Answer what comes until the time is over and everything in flight is answered, or lost."""
    until = started + seconds
    while selector.get_map():
        now = time.perf_counter()
        if now >= until + IDLE_S:
            figures.errors += sum(len(registered.data.in_flight) for registered in selector.get_map().values())
            return
        report(f"{now - started:.0f} s: {len(figures.latencies)} requests answered, {figures.errors} failed")
        for registered, _ in selector.select(0.5):
            client: LoadConnection = registered.data
            try:
                client.advance(go_on=time.perf_counter() < until)
            except ConnectionFailed:
                # The node died or is stopping: requests in flight count as failed.
                figures.errors += len(client.in_flight)
                selector.unregister(registered.fileobj)
                client.connection.close()
                continue
            if not client.in_flight:
                selector.unregister(registered.fileobj)
            else:
                _watch(selector, client, registered.events)


def _watch(selector: selectors.BaseSelector, client: LoadConnection, watched: int = 0) -> None:
    """Wait for what the connection waits for. `watched` is what is waited for already (0: nothing)."""
    connection = client.connection
    assert connection.socket is not None, "the connection is open"
    events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.wants_to_write else 0)
    if not watched:
        selector.register(connection.socket, events, client)
    elif events != watched:
        selector.modify(connection.socket, events, client)


def each_key(make: Callable[[bytes], bytes], address: str, guard: ClusterGuard) -> None:
    """Have one write applied for every key that a benchmark uses, many in flight. Raises CommandError."""
    figures = Figures()
    with _explained(), selectors.DefaultSelector() as selector:
        connection, _ = _open(address, guard, sessions=False)
        client = LoadConnection(
            connection, figures, DEPTH, lambda number, _s, _d: Write(number, 0, 0, 0, make(key(number))), KEYS
        )
        try:
            client.begin(0)
            _watch(selector, client)
            _drive(selector, figures, time.perf_counter(), EACH_KEY_S, lambda text: None)
        finally:
            connection.close()
    if figures.errors or len(figures.latencies) != KEYS:
        raise benchmark_failed(figures)


def put_each(value: bytes) -> Callable[[bytes], bytes]:
    """Return what gives every key a value, for `each_key`."""
    return lambda name: encode(Put(name, value))


def delete_each(name: bytes) -> bytes:
    """Return what removes a key, for `each_key`."""
    return encode(Delete(name))


def benchmark_failed(figures: Figures) -> CommandError:
    """Return the error for a benchmark whose requests failed."""
    return Unreachable(
        "the requests of the benchmark failed",
        f"{figures.errors} failed, {len(figures.latencies)} were answered",
        "see how the cluster is: raftctl status",
    )
