"""Load for a leader: connections that keep a number of requests in flight each, all in one thread.

Each connection writes in a session of its own, as any client does, so that what is measured is what clients get.
"""

import selectors
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from raftctl.connection import Connection
from raftctl.failures import VERSIONS, failure_error
from raftctl.link import RECEIVE_BYTES, Deadline, LinkError, Pin
from raftnode.config.errors import CliError, InternalError, Unreachable
from raftnode.wire.client import Answer, AnyRequest, Failed, OpenSession, Read, SessionOpened, Write, decode_answer
from raftnode.wire.frame import FrameDecoder, FrameError, encode_frame
from raftnode.wire.kv import Delete, Get, Put, encode

PREFIX: Final = b"raftctl-bench/"
KEYS: Final = 1000
DEPTH: Final = 32
EACH_KEY_S: Final = 60.0
IDLE_S: Final = 10.0
"""How long the last answers may take."""


Maker = Callable[[int, int, int], AnyRequest]
"""Gives the request of a number, in a session, with the number up to which every answer is there."""


@dataclass
class Figures:
    """What was measured. Latencies in seconds, of the requests that were answered as they should be."""

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


class Client:
    """One connection, and its requests in flight by number; `total` of them at most, where that is given."""

    def __init__(self, sock: socket.socket, figures: Figures, depth: int, make: Maker, total: int = 0) -> None:
        self.socket = sock
        self.in_flight: dict[int, float] = {}
        self._figures = figures
        self._depth = depth
        self._make = make
        self._total = total
        self._decoder = FrameDecoder()
        self._session = 0
        self._count = 0
        self._pending = b""

    @property
    def wants_to_write(self) -> bool:
        return bool(self._pending)

    def begin(self, session: int) -> None:
        """Put the first requests on their way."""
        self._session = session
        self._send([self._next() for _ in range(self._depth)])

    def read(self, *, go_on: bool) -> None:
        """Take what has arrived; with `go_on`, a new request goes out for each answer. Raises CliError."""
        try:
            data = self.socket.recv(RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        if not data:
            raise ConnectionResetError("the node closed the connection")
        now = time.perf_counter()
        out: list[bytes] = []
        for body in self._decoder.feed(data):
            self._take(decode_answer(body), now)
            if go_on and (not self._total or self._count < self._total):
                out.append(self._next())
        self._send(out)

    def flush(self) -> None:
        """Write what the socket did not take before."""
        self._send([])

    def _take(self, answer: Answer, now: float) -> None:
        began = self.in_flight.pop(answer.id, None)
        if began is None:
            raise InternalError("a node answered what it was not asked", f"request {answer.id}", VERSIONS)
        if isinstance(answer, Failed):
            self._figures.errors += 1
        else:
            self._figures.latencies.append(now - began)

    def _next(self) -> bytes:
        self._count += 1
        number = self._count
        message = encode_frame(self._make(number, self._session, min(self.in_flight, default=number) - 1))
        self.in_flight[number] = time.perf_counter()
        return message

    def _send(self, messages: Iterable[bytes]) -> None:
        self._pending += b"".join(messages)
        if self._pending:
            try:
                self._pending = self._pending[self.socket.send(self._pending) :]
            except (BlockingIOError, InterruptedError):
                return


def writer(client: int, value: bytes) -> Maker:
    """Return how connection number `client` makes its writes."""
    return lambda number, session, done: Write(number, session, number, done, encode(Put(key(client + number), value)))


def reader(client: int) -> Maker:
    """Return how connection number `client` makes its linearizable reads."""
    return lambda number, _session, _done: Read(number, encode(Get(key(client + number))))


def run_load(
    address: str,
    pin: Pin,
    makers: list[Maker],
    *,
    depth: int,
    seconds: float,
    sessions: bool,
    report: Callable[[str], None],
) -> Figures:
    """Load the node at `address` with one connection for each maker. Raises CliError where it cannot be reached."""
    figures = Figures()
    with selectors.DefaultSelector() as selector:
        clients: list[Client] = []
        opened: list[int] = []
        try:
            for make in makers:
                sock, session = _open(address, pin, sessions=sessions)
                clients.append(Client(sock, figures, depth, make))
                selector.register(sock, selectors.EVENT_READ, clients[-1])
                opened.append(session)
            started = time.perf_counter()
            for client, session in zip(clients, opened, strict=True):
                client.begin(session)
                _watch(selector, client)
            _drive(selector, figures, started, seconds, report)
            figures.elapsed = time.perf_counter() - started
        finally:
            for client in clients:
                client.socket.close()
    figures.latencies.sort()
    return figures


def _open(address: str, pin: Pin, *, sessions: bool) -> tuple[socket.socket, int]:
    """Return a connected socket that does not block, and the session that was opened on it (0 for none)."""
    deadline = Deadline(IDLE_S)
    try:
        connection = Connection(address, deadline, pin)
        session = 0
        if sessions:
            answer = connection.call(OpenSession(0), deadline)
            if isinstance(answer, Failed):
                connection.close()
                raise failure_error(answer)
            assert isinstance(answer, SessionOpened), "OpenSession is answered by SessionOpened"
            session = answer.session
        return connection.detach(), session
    except LinkError as error:
        raise Unreachable(f"{address} does not answer", error.reason, "see which nodes do: raftctl status") from error


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
        for registered, events in selector.select(0.5):
            client = registered.data
            try:
                if events & selectors.EVENT_WRITE:
                    client.flush()
                if events & selectors.EVENT_READ:
                    client.read(go_on=time.perf_counter() < until)
            except (OSError, FrameError):
                # The node died, or was told to go: what was on its way counts as failed.
                figures.errors += len(client.in_flight)
                selector.unregister(client.socket)
                continue
            if not client.in_flight and not client.wants_to_write:
                selector.unregister(client.socket)
            else:
                _watch(selector, client)


def _watch(selector: selectors.BaseSelector, client: Client) -> None:
    events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.wants_to_write else 0)
    selector.modify(client.socket, events, client)


def each_key(make: Callable[[bytes], bytes], address: str, pin: Pin) -> None:
    """Have one write applied for every key that a benchmark uses, many in flight. Raises CliError."""
    figures = Figures()
    sock, _ = _open(address, pin, sessions=False)
    with sock, selectors.DefaultSelector() as selector:
        client = Client(sock, figures, DEPTH, lambda number, _s, _d: Write(number, 0, 0, 0, make(key(number))), KEYS)
        selector.register(sock, selectors.EVENT_READ, client)
        client.begin(0)
        _watch(selector, client)
        _drive(selector, figures, time.perf_counter(), EACH_KEY_S, lambda text: None)
    if figures.errors or len(figures.latencies) != KEYS:
        raise benchmark_failed(figures)


def put_each(value: bytes) -> Callable[[bytes], bytes]:
    """Return what gives every key a value, for `each_key`."""
    return lambda name: encode(Put(name, value))


def delete_each(name: bytes) -> bytes:
    """Return what removes a key, for `each_key`."""
    return encode(Delete(name))


def benchmark_failed(figures: Figures) -> CliError:
    """Return the error for a benchmark that got nowhere."""
    return Unreachable(
        "the requests of the benchmark failed",
        f"{figures.errors} failed, {len(figures.latencies)} were answered",
        "see how the cluster is: raftctl status",
    )
