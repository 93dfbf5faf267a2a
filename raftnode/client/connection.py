"""A connection to one node over a non-blocking socket."""

from __future__ import annotations

import errno
import os
import select
import socket
from typing import Any, TypeVar, cast

from raftnode.client.guard import ClusterGuard
from raftnode.client.protocol import ClientProtocol
from raftnode.client.transport import RECEIVE_BYTES, Deadline, os_reason, resolve
from raftnode.wire.client import Answer, Failed, Request

T = TypeVar("T")


class Connection:
    """A connection to one node. Its owner drives it: `start()`, then `advance()` whenever the socket is ready.

    `call()` does both for one request. After a ConnectionFailed it must be closed. It may be kept and used again for
    as long as `is_idle()`.
    """

    def __init__(self, address: str, guard: ClusterGuard) -> None:
        self.address = address
        self.socket: socket.socket | None = None
        self._protocol = ClientProtocol(guard, address)
        self._pending = b""
        self._connected = False
        self._targets: list[tuple[int, Any]] = []

    @property
    def is_welcomed(self) -> bool:
        """Whether the node has said who it is."""
        return self._protocol.welcome is not None

    @property
    def in_flight(self) -> int:
        """How many requests have no answer yet."""
        return self._protocol.in_flight

    @property
    def wants_to_write(self) -> bool:
        """Whether to call `advance()` also when the socket becomes writable."""
        return bool(self._pending) or not self._connected

    def start(self) -> None:
        """Resolve the name and begin to connect. Raises ConnectionFailed."""
        self._targets = resolve(self.address)
        self._dial_next()

    def _dial_next(self) -> None:
        family, target = self._targets.pop(0)
        self.close()
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = self.socket.connect_ex(target)
        if code not in (0, errno.EINPROGRESS):
            self._fail(OSError(code, os.strerror(code)))

    def _fail(self, error: OSError) -> None:
        """Dial the name's next address, if there is one. Raises ConnectionFailed."""
        if self._targets and not self._connected:
            self._dial_next()
            return
        reason, refused = os_reason(error)
        raise self._protocol.failure(reason, refused=refused) from error

    def open(self, deadline: Deadline, pipe: int | None = None) -> None:
        """Connect, and wait for the node's Welcome. Raises as `call` does."""
        try:
            self.start()
            while not self.is_welcomed:
                self._wait(deadline, pipe)
                self.advance()
        except BaseException:
            self.close()
            raise

    def send(self, request: Request[Any]) -> int:
        """Queue a request and return its id; `advance()` sends it. Raises as `ClientProtocol.send` does."""
        return self._protocol.send(request)

    def advance(self) -> list[Answer]:
        """Write and read what is possible now, and return the answers that came. Raises ConnectionFailed."""
        assert self.socket is not None, "a connection is started before it is driven"
        if not self._connected:
            code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self._fail(OSError(code, os.strerror(code)))
                return []
        try:
            self._flush(self.socket)
            data = self.socket.recv(RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError as error:
            # A socket that is still connecting says so instead of blocking.
            if error.errno != errno.ENOTCONN or self._connected:
                self._fail(error)
            return []
        answers = self._protocol.receive_data(data)
        self.flush()
        return answers

    def flush(self) -> None:
        """Write what the socket takes now. Raises ConnectionFailed."""
        if self.socket is None:
            return
        try:
            self._flush(self.socket)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._fail(error)

    def _flush(self, sock: socket.socket) -> None:
        self._pending += self._protocol.data_to_send()
        while self._pending:
            self._pending = self._pending[sock.send(self._pending) :]
            self._connected = True

    def call(self, request: Request[T], deadline: Deadline, pipe: int | None = None) -> T | Failed:
        """Send a request, connecting first where that is needed, and return its answer.

        A wait ends with BrokenPipeError once the reader of `pipe` has closed it. Raises ConnectionFailed, Refused; the
        connection is closed then.
        """
        try:
            number = self.send(request)
            if self.socket is None:
                self.start()
            else:
                self.flush()
        except BaseException:
            self.close()
            raise
        return cast("T | Failed", self.wait_for(number, deadline, pipe))

    def wait_for(self, number: int, deadline: Deadline, pipe: int | None = None) -> Answer:
        """Return the answer to the request with this id; others are dropped. Raises as `call` does."""
        try:
            while True:
                self._wait(deadline, pipe)
                for answer in self.advance():
                    if answer.id == number:
                        return answer
        except BaseException:
            self.close()
            raise

    def _wait(self, deadline: Deadline, pipe: int | None) -> None:
        """Return when the socket is ready. Raises ConnectionFailed at the deadline, BrokenPipeError."""
        assert self.socket is not None, "a connection is started before it is driven"
        poll = select.poll()
        poll.register(self.socket, select.POLLIN | (select.POLLOUT if self.wants_to_write else 0))
        if pipe is not None:
            poll.register(pipe, 0)
        ready = poll.poll(deadline.remaining() * 1000)
        if any(found == pipe for found, _ in ready):
            raise BrokenPipeError(errno.EPIPE, "the reader of the output has closed it")
        if not ready:
            raise self._protocol.failure(f"no answer in {deadline.seconds:.1f} s")

    def is_idle(self) -> bool:
        """Return whether the connection can be used for another request: it is open, and no request is unanswered."""
        if self.socket is None or self.in_flight or not self.is_welcomed:
            return False
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        # Unrequested input means that the connection was closed, or that the node breaks the protocol.
        return not poll.poll(0)

    def close(self) -> None:
        """Close the socket. A second call does nothing."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None
