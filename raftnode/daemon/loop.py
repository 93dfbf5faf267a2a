"""The daemon around one replica: sockets, timers, signals. All real I/O and time is here.

    data_received -> receive_peer / receive_client  (queues)
    one turn()    -> everything that arrived is handled, written, answered
    after it      -> one write for each connection that has output

One port serves peers and clients. Each node dials each other member and sends its requests there; what it
sends on a connection that it accepted are answers. A replica that raises has lost its disk or found a bug:
the daemon writes one line and stops, without sending anything more.
"""

import asyncio
import random
import signal
import time
from collections.abc import Callable, Hashable
from typing import Final, Protocol

from raftnode.config.settings import NodeSettings
from raftnode.daemon.connections import Accepted, Dialed, FramedConnection
from raftnode.daemon.links import PeerLink
from raftnode.daemon.log import LogWriter, Repeats, log_failure
from raftnode.wire.address import parse_address
from raftnode.wire.client import Answer, AnyRequest
from raftnode.wire.hello import REJECT_BUSY, Hello, Rejected, Welcome
from raftnode.wire.peer import PeerMessage, PeerRequest, PeerResponse

CONNECTIONS_RESERVED: Final = 128
"""Accepted connections above the clients' limit: of peers, and of those that have not sent a Hello yet."""

DRAIN_TIMEOUT: Final = 2.0
"""Seconds that a stopping node gives its clients to read their last answers."""


class HostedReplica(Protocol):
    """What the runtime needs from a replica."""

    def start(self) -> None: ...
    def check_hello(self, hello: Hello) -> Welcome | Rejected: ...
    def check_welcome(self, peer: int, welcome: Welcome) -> Rejected | None: ...
    def receive_peer(self, peer: int, message: PeerMessage) -> None: ...
    def receive_client(self, client: Hashable, request: AnyRequest) -> None: ...
    def client_gone(self, client: Hashable) -> None: ...
    def peer_connected(self, peer: int) -> None: ...
    def peer_disconnected(self, peer: int) -> None: ...
    def turn(self) -> float: ...
    def count(self, name: str) -> None: ...
    def begin_shutdown(self) -> None: ...
    @property
    def shutdown_ready(self) -> bool: ...


class Runtime:
    """Runs one replica. Implements `Transport` for the replica and `ConnectionHandler` for its connections."""

    def __init__(
        self,
        *,
        node_id: int,
        hello: Callable[[int], Hello],
        listen: str,
        settings: NodeSettings,
        log: LogWriter,
        rng: random.Random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.requests_in_flight_max = settings.requests_in_flight_max
        self.log = log
        self._node_id = node_id
        self._hello = hello
        self._listen = listen
        self._connections_max = settings.connections_max
        self._rng = rng
        self._clock = clock
        self._repeats = Repeats(clock)
        self._replica: HostedReplica
        self._loop: asyncio.AbstractEventLoop
        self._finished: asyncio.Future[None]
        self._server: asyncio.Server | None = None
        self._links: dict[int, PeerLink] = {}
        self._accepted: set[Accepted] = set()
        self._accepted_peers: dict[int, Accepted] = {}
        self._clients = 0
        self._with_output: list[FramedConnection] = []
        self._turn_soon = False
        self._timer: asyncio.TimerHandle | None = None
        self._started = False
        self._stopping = False
        self._stopped = False

    @property
    def port(self) -> int:
        """The port that this node listens on, which the system chose where the settings said 0."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def listen(self) -> None:
        """Bind the port. Raises OSError where it is in use or the address is not of this machine."""
        self._loop = asyncio.get_running_loop()
        self._finished = self._loop.create_future()
        host, port = split_listen(self._listen)
        self._server = await self._loop.create_server(
            lambda: Accepted(self, self._loop), host, port, backlog=1024, start_serving=False
        )

    async def run(self, replica: HostedReplica) -> None:
        """Serve until `stop()` has finished. Raises what the replica raised: the node must end then."""
        assert self._server is not None
        self._replica = replica
        self._loop.set_exception_handler(self._on_loop_error)
        try:
            replica.start()
        except Exception as error:
            self.on_fatal(error)
        else:
            self._started = True
            await self._server.start_serving()
            self.log.line("info", "node.listening", address=self._listen, port=self.port)
        self._schedule_turn()
        try:
            await self._finished
        finally:
            await self._hang_up()

    def stop(self) -> None:
        """Begin to stop: a leader hands over first. Called again: stop now."""
        if self._stopping:
            self._finish(None)
            return
        self._stopping = True
        self.log.line("info", "node.stopping")
        assert self._server is not None
        self._server.close()
        try:
            self._replica.begin_shutdown()
        except Exception as error:
            self.on_fatal(error)
        self._schedule_turn()

    def handle_signals(self) -> None:
        """Stop on SIGTERM and SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.stop)

    # The turn.

    def _schedule_turn(self) -> None:
        if not self._turn_soon and not self._stopped:
            self._turn_soon = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_soon = False
        if self._stopped:
            return
        try:
            delay = self._replica.turn()
            done = self._stopping and self._replica.shutdown_ready
        except Exception as error:
            self.on_fatal(error)
            return
        self._flush()
        if done:
            self._finish(None)
        elif delay <= 0:
            self._schedule_turn()
        else:
            self._arm_timer(delay)

    def _flush(self) -> None:
        connections, self._with_output = self._with_output, []
        for connection in connections:
            connection.flush()

    def _arm_timer(self, delay: float) -> None:
        """Run a turn within `delay` seconds. An earlier timer is kept: an early turn is harmless."""
        when = self._loop.time() + delay
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._schedule_turn()

    def _finish(self, error: Exception | None) -> None:
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        if self._finished.done():
            return
        if error is None:
            self._finished.set_result(None)
        else:
            self._finished.set_exception(error)

    async def _hang_up(self) -> None:
        """Close every connection: after flushing if the node stops in order, at once if it failed."""
        assert self._server is not None
        self._server.close()
        failed = self._finished.done() and self._finished.exception() is not None
        links = [link.stop(at_once=failed) for link in self._links.values()]
        for connection in list(self._accepted):
            if failed:
                connection.abort()
            else:
                connection.close()
        deadline = self._loop.time() + (0 if failed else DRAIN_TIMEOUT)
        while self._accepted and self._loop.time() < deadline:
            await asyncio.sleep(0.01)
        for connection in list(self._accepted):
            connection.abort()
        await asyncio.gather(*links, return_exceptions=True)
        # Transports close on the loop's next turn.
        await asyncio.sleep(0)

    # The replica's Transport.

    def send_request(self, peer: int, message: PeerRequest) -> bool:
        """Send on the connection dialed to `peer`; False if there is none or it is full."""
        link = self._links.get(peer)
        return link is not None and link.connection is not None and link.connection.request(message)

    def send_response(self, peer: int, message: PeerResponse) -> None:
        """Send on the connection accepted from `peer`; dropped where it is gone."""
        connection = self._accepted_peers.get(peer)
        if connection is not None:
            connection.send(message)

    def answer(self, client: Hashable, answer: Answer) -> None:
        """Send a client its answer; dropped where it is gone."""
        assert isinstance(client, Accepted)
        client.answer(answer)

    def set_members(self, addresses: dict[int, str]) -> None:
        """Keep a connection to each of these nodes, and to no other."""
        for peer in list(self._links):
            if addresses.get(peer) != self._links[peer].address:
                self._links.pop(peer).stop()
        for peer, address in addresses.items():
            if peer not in self._links and peer != self._node_id:
                self._links[peer] = PeerLink(self, peer, address, hello=self._hello, log=self.log, rng=self._rng)

    # The ConnectionHandler of its connections.

    def accepted_opened(self, connection: Accepted) -> None:
        self._accepted.add(connection)
        if len(self._accepted) > self._connections_max + CONNECTIONS_RESERVED:
            connection.fail("connections_refused", "too many connections are open")

    def accepted_hello(self, connection: Accepted, hello: Hello) -> Welcome | Rejected:
        answer = self._replica.check_hello(hello)
        if isinstance(answer, Welcome) and hello.node_id == 0:
            if self._clients >= self._connections_max:
                answer = Rejected(REJECT_BUSY, f"{self._clients} clients are connected, which is the limit")
            else:
                self._clients += 1
        if isinstance(answer, Rejected):
            self._replica.count("hellos_rejected")
            self._warn_once(
                "connection.rejected", connection.remote, answer.reason, code=answer.code, peer=hello.node_id
            )
        elif hello.node_id:
            self._take_over(hello.node_id, connection)
        return answer

    def _take_over(self, peer: int, connection: Accepted) -> None:
        """Answer `peer` on `connection` from now on."""
        old = self._accepted_peers.pop(peer, None)
        self._accepted_peers[peer] = connection
        if old is not None:
            old.abort()
        link = self._links.get(peer)
        if link is not None:
            link.redial_now()

    def accepted_closed(self, connection: Accepted) -> None:
        self._accepted.discard(connection)
        if connection.peer == 0:
            self._clients -= 1
            if not self._stopped:
                self._call(lambda: self._replica.client_gone(connection))
        elif connection.peer and self._accepted_peers.get(connection.peer) is connection:
            del self._accepted_peers[connection.peer]

    def peer_messages(self, peer: int, messages: list[PeerMessage]) -> None:
        if self._stopped:
            return
        for message in messages:
            self._replica.receive_peer(peer, message)
        self._schedule_turn()

    def client_requests(self, connection: Accepted, requests: list[AnyRequest]) -> None:
        if self._stopped:
            return
        for request in requests:
            self._replica.receive_client(connection, request)
        self._schedule_turn()

    def dialed_answered(self, connection: Dialed, answer: Welcome | Rejected) -> None:
        link = self._links.get(connection.peer)
        if link is None or link.connection is not connection:
            connection.abort()
            return
        refusal = answer
        if isinstance(answer, Welcome):
            verdict = self._replica.check_welcome(connection.peer, answer)
            if verdict is None:
                connection.ready = True
                link.on_welcome()
                self._replica.peer_connected(connection.peer)
                self._schedule_turn()
                return
            refusal = verdict
        assert isinstance(refusal, Rejected)
        self._replica.count("dials_rejected")
        link.note_failure(f"{refusal.code}: {refusal.reason}")
        connection.abort()

    def dialed_closed(self, connection: Dialed, error: Exception | None) -> None:
        link = self._links.get(connection.peer)
        if link is not None:
            link.closed(connection, error)
        if connection.ready and not self._stopped:
            self._call(lambda: self._replica.peer_disconnected(connection.peer))
            self._schedule_turn()

    def has_output(self, connection: FramedConnection) -> None:
        self._with_output.append(connection)

    def connection_failed(self, connection: FramedConnection, counter: str, reason: str) -> None:
        self._replica.count(counter)
        self._warn_once("connection.closed", connection.remote, reason, counter=counter)

    def on_fatal(self, error: Exception) -> None:
        """Stop the node: the replica raised."""
        if not self._stopped:
            log_failure(self.log, error, started=self._started)
        self._finish(error)

    def _call(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            self.on_fatal(error)

    def _warn_once(self, event: str, remote: str, reason: str, **fields: object) -> None:
        """Log what a remote host can repeat at will: at most one line a minute for each host and reason."""
        held = self._repeats.allow((event, remote.rpartition(":")[0], reason))
        if held is not None:
            more = {"repeated": held} if held else {}
            self.log.line("warn", event, remote=remote, reason=reason, **fields, **more)

    def _on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """Log what went wrong inside the event loop, such as running out of file descriptors in accept()."""
        held = self._repeats.allow(("loop", str(context.get("message")), repr(context.get("exception"))))
        if held is not None:
            self.log.line(
                "error",
                "loop.error",
                message=context.get("message"),
                error=repr(context.get("exception")),
                repeated=held,
            )


def split_listen(listen: str) -> tuple[str, int]:
    """Return (host, port) of an address to listen at. Here the port may be 0, for the system to choose."""
    if listen.endswith(":0"):
        return parse_address(listen[:-1] + "1")[0], 0
    return parse_address(listen)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return uvloop's event loop where the extra `raftctl[speed]` is installed, else asyncio's."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
