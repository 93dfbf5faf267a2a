"""The TCP connections of one node: accepted ones, of peers and clients, and the ones it dials to its peers.

A connection turns bytes into messages and back and knows nothing of Raft. It reports to its `ConnectionHandler`, which
the runtime implements. A violation of the protocol closes only that connection.
"""

import asyncio
import os
import socket
from abc import abstractmethod
from typing import Final, Protocol, cast

import msgspec

from raftnode.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    PreVoteRequest,
    PreVoteResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    TimeoutNowRequest,
)
from raftnode.wire.client import Answer, AnyRequest, ErrorCode, Failed, decode_request
from raftnode.wire.frame import HELLO_BYTES_MAX, FrameDecoder, FrameError, encode_frame
from raftnode.wire.hello import Hello, Rejected, Welcome, decode_hello, decode_hello_answer
from raftnode.wire.peer import PeerMessage, PeerRequest, decode_message

HELLO_TIMEOUT: Final = 5.0
"""Seconds within which a new connection must send its Hello."""

PAUSE_BYTES: Final = 1024 * 1024
"""With this many unread outgoing bytes, reading from the connection pauses until the other side reads some."""

OUTGOING_BYTES_MAX: Final = 64 * 1024 * 1024
"""With this many unread outgoing bytes, the connection is closed: the other side is too slow."""

PEER_OUTGOING_BYTES_MAX: Final = 16 * 1024 * 1024
"""Above this, requests to a peer are dropped; Raft sends again what matters."""

REQUEST_BYTES_IN_FLIGHT_MAX: Final = 64 * 1024 * 1024
"""How many bytes of large requests a client may have unanswered before reading from it pauses."""

LARGE_REQUEST_BYTES: Final = 64 * 1024

_TO_FOLLOWER: Final = frozenset(
    {AppendEntriesRequest, RequestVoteRequest, PreVoteRequest, InstallSnapshotRequest, TimeoutNowRequest}
)
_FROM_FOLLOWER: Final = frozenset(
    {AppendEntriesResponse, RequestVoteResponse, PreVoteResponse, InstallSnapshotResponse}
)


class ConnectionHandler(Protocol):
    """What a connection reports to."""

    requests_in_flight_max: int

    def accepted_opened(self, connection: "Accepted") -> None: ...
    def accepted_hello(self, connection: "Accepted", hello: Hello) -> Welcome | Rejected: ...
    def accepted_closed(self, connection: "Accepted") -> None: ...
    def peer_messages(self, peer: int, messages: list[PeerMessage]) -> None: ...
    def client_requests(self, connection: "Accepted", requests: list[AnyRequest]) -> None: ...
    def dialed_answered(self, connection: "Dialed", answer: Welcome | Rejected) -> None: ...
    def dialed_closed(self, connection: "Dialed", error: Exception | None) -> None: ...
    def has_output(self, connection: "FramedConnection") -> None:
        """The connection has frames to write: call its `flush()` when this turn is over."""

    def connection_failed(self, connection: "FramedConnection", counter: str, reason: str) -> None:
        """Count and log that the connection is closed because of `reason`."""

    def on_fatal(self, error: Exception) -> None:
        """Stop the node: an exception that is not the connection's fault."""


class FramedConnection(asyncio.Protocol):
    """What both kinds of connection share: framing, one write a turn, and bounds on what is buffered."""

    _transport: asyncio.Transport

    def __init__(self, handler: ConnectionHandler) -> None:
        self.handler = handler
        self.remote = "?"
        self.is_open = False
        self._decoder = FrameDecoder(first_bytes_max=HELLO_BYTES_MAX)
        self._frames: list[bytes] = []
        self._fd = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=PAUSE_BYTES)
        self.is_open = True
        endpoint = transport.get_extra_info("socket")
        self._fd = endpoint.fileno()
        self.remote = _address_text(transport.get_extra_info("peername"))
        _set_tcp(endpoint, TCP_NODELAY=1, TCP_KEEPIDLE=60, TCP_KEEPINTVL=10, TCP_KEEPCNT=3)

    def watch_closely(self) -> None:
        """Notice within seconds that a peer's machine is gone, even while nothing is sent."""
        endpoint = self._transport.get_extra_info("socket")
        _set_tcp(endpoint, TCP_KEEPIDLE=5, TCP_KEEPINTVL=2, TCP_KEEPCNT=3, TCP_USER_TIMEOUT=10_000)

    def data_received(self, data: bytes) -> None:
        if not self.is_open:
            return
        try:
            bodies = self._decoder.feed(data)
            if bodies:
                self.on_frames(bodies)
        except FrameError as error:
            self.fail("frames_bad", str(error))
        except Exception as error:
            self.handler.on_fatal(error)

    @abstractmethod
    def on_frames(self, bodies: list[bytes]) -> None:
        """Handle the frames that arrived. Raises FrameError where the connection must be closed."""

    def send(self, message: msgspec.Struct) -> None:
        """Write `message` when this turn ends, together with whatever else goes there."""
        if not self.is_open:
            return
        if not self._frames:
            self.handler.has_output(self)
        self._frames.append(encode_frame(message))

    def send_now(self, message: msgspec.Struct) -> None:
        """Give `message` to the kernel at once: the other side works on it while this turn writes to disk.

        The socket is written to directly where nothing is queued before it, because an event loop may keep a
        write back until the turn is over (uvloop does).
        """
        frame = encode_frame(message)
        self.flush()
        if not self.is_open:
            return
        written = 0
        if self._transport.get_write_buffer_size() == 0:
            try:
                written = os.write(self._fd, frame)
            except BlockingIOError:
                written = 0
            except OSError:
                self._transport.abort()
                return
        if written < len(frame):
            self._transport.write(frame[written:] if written else frame)

    def flush(self) -> None:
        """Write the frames of this turn in one go."""
        frames, self._frames = self._frames, []
        if not frames or not self.is_open:
            return
        self._transport.write(frames[0] if len(frames) == 1 else b"".join(frames))
        if self._transport.get_write_buffer_size() > OUTGOING_BYTES_MAX:
            self.fail("clients_slow", f"over {OUTGOING_BYTES_MAX} bytes wait for the other side to read them")

    @property
    def unsent_bytes(self) -> int:
        """How many bytes wait for the other side."""
        return self._transport.get_write_buffer_size() if self.is_open else 0

    def fail(self, counter: str, reason: str) -> None:
        """Close at once, with a counted and logged reason."""
        if not self.is_open:
            return
        self.handler.connection_failed(self, counter, reason)
        self.abort()

    def abort(self) -> None:
        """Close at once; what was not written is lost."""
        self.is_open = False
        if self._fd >= 0:
            self._transport.abort()

    def close(self) -> None:
        """Close after what was sent so far is written."""
        if self.is_open:
            self.flush()
        if self.is_open:
            self.is_open = False
            self._transport.close()


class Accepted(FramedConnection):
    """A connection that was opened to this node: a peer's requests, or a client's."""

    def __init__(self, handler: ConnectionHandler, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(handler)
        self.peer: int | None = None
        """The peer's node id, 0 for a client, None before its Hello."""
        self._loop = loop
        self._in_flight = 0
        self._large: dict[int, int] = {}
        self._large_bytes = 0
        self._write_full = False
        self._reading = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._deadline = self._loop.call_later(HELLO_TIMEOUT, self._no_hello)
        self.handler.accepted_opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._deadline.cancel()
        self.handler.accepted_closed(self)

    def _no_hello(self) -> None:
        if self.peer is None:
            self.fail("hellos_missing", f"no Hello within {HELLO_TIMEOUT:g} s")

    def on_frames(self, bodies: list[bytes]) -> None:
        if self.peer is None:
            self._take_hello(bodies.pop(0))
        if not self.is_open or not bodies:
            return
        if self.peer:
            self._take_peer(self.peer, bodies)
        else:
            self._take_requests(bodies)

    def _take_hello(self, body: bytes) -> None:
        hello = decode_hello(body)
        answer = self.handler.accepted_hello(self, hello)
        self.send(answer)
        if isinstance(answer, Rejected):
            self.close()
            return
        self._deadline.cancel()
        self.peer = hello.node_id
        if self.peer:
            self.watch_closely()
        self.flush()

    def _take_peer(self, peer: int, bodies: list[bytes]) -> None:
        messages = [decode_message(body) for body in bodies]
        for message in messages:
            if type(message) not in _TO_FOLLOWER:
                raise FrameError(f"{type(message).__name__} on a connection for requests")
            sender = getattr(message, "leader_id", None) or getattr(message, "candidate_id", None)
            if sender != peer:
                raise FrameError(f"{type(message).__name__} in the name of node {sender} from node {peer}")
        self.handler.peer_messages(peer, messages)

    def _take_requests(self, bodies: list[bytes]) -> None:
        requests: list[AnyRequest] = []
        for body in bodies:
            request = decode_request(body)
            if len(body) >= LARGE_REQUEST_BYTES:
                self._large[request.id] = self._large.get(request.id, 0) + len(body)
                self._large_bytes += len(body)
            requests.append(request)
        self._in_flight += len(requests)
        self._apply_backpressure()
        self.handler.client_requests(self, requests)

    def answer(self, answer: Answer) -> None:
        """Send a client its answer. One that is too long for a frame becomes a TOO_LARGE failure."""
        if not self.is_open:
            return
        self._in_flight -= 1
        if self._large:
            self._large_bytes -= self._large.pop(answer.id, 0)
        try:
            self.send(answer)
        except FrameError as error:
            reason = f"the answer is too large: {error}; ask for less"
            self.send(Failed(answer.id, ErrorCode.TOO_LARGE, reason))
        if not self._reading:
            self._apply_backpressure()

    def pause_writing(self) -> None:
        self._write_full = True
        self._apply_backpressure()

    def resume_writing(self) -> None:
        self._write_full = False
        self._apply_backpressure()

    def _apply_backpressure(self) -> None:
        """Read from a client only while it reads its answers and has few enough requests unanswered."""
        if not self.is_open or self.peer != 0:
            return
        busy = (
            self._write_full
            or self._in_flight >= self.handler.requests_in_flight_max
            or self._large_bytes >= REQUEST_BYTES_IN_FLIGHT_MAX
        )
        if busy == self._reading:
            self._reading = not busy
            if busy:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()


class Dialed(FramedConnection):
    """A connection that this node opened to a peer: its requests leave here, responses come back."""

    def __init__(self, handler: ConnectionHandler, peer: int, hello: Hello) -> None:
        super().__init__(handler)
        self.peer = peer
        self.ready = False
        """The peer has welcomed this node."""
        self._hello = hello

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.watch_closely()
        self._deadline = asyncio.get_running_loop().call_later(HELLO_TIMEOUT, self._no_welcome)
        self.send_now(self._hello)

    def _no_welcome(self) -> None:
        if not self.ready:
            self.fail("welcomes_missing", f"no answer to this node's Hello within {HELLO_TIMEOUT:g} s")

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._deadline.cancel()
        self.handler.dialed_closed(self, exc)

    def on_frames(self, bodies: list[bytes]) -> None:
        if not self.ready:
            self.handler.dialed_answered(self, decode_hello_answer(bodies.pop(0)))
        if not bodies or not self.is_open:
            return
        messages = [decode_message(body) for body in bodies]
        for message in messages:
            if type(message) not in _FROM_FOLLOWER:
                raise FrameError(f"{type(message).__name__} on a connection for responses")
        self.handler.peer_messages(self.peer, messages)

    def request(self, request: PeerRequest) -> bool:
        """Send at once. Returns False, and sends nothing, if the peer is not ready or does not keep up."""
        if not self.ready or not self.is_open or self.unsent_bytes > PEER_OUTGOING_BYTES_MAX:
            return False
        self.send_now(request)
        return True


def _set_tcp(endpoint: socket.socket, **options: int) -> None:
    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in options.items():
        endpoint.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _address_text(peername: object) -> str:
    if isinstance(peername, tuple) and len(peername) >= 2:
        host, port = peername[0], peername[1]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return "?"
