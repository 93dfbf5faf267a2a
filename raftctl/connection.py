"""One conversation with one node, over a blocking socket."""

import errno
import select
import socket

import msgspec

from raftctl.link import RECEIVE_BYTES, Deadline, LinkError, Pin, check_answer, os_reason, resolve
from raftnode.wire.client import Answer, AnyRequest, decode_answer
from raftnode.wire.frame import FrameDecoder, FrameError, encode_frame


class Connection:
    """One conversation with one node, one request at a time. Opened on construction; raises LinkError.

    `pin` says of which cluster the node must be. A wait ends with BrokenPipeError when nobody reads `pipe` any more.
    """

    def __init__(self, address: str, deadline: Deadline, pin: Pin, pipe: int | None = None) -> None:
        self.address = address
        self._pipe = pipe
        self._decoder = FrameDecoder()
        self._bodies: list[bytes] = []
        self._last_id = 0
        self._socket = _connect(address, deadline)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._send(encode_frame(pin.hello()), deadline, sent=False)
            self._welcome(pin, self._receive(deadline, sent=False))
        except BaseException:
            self.close()
            raise

    def _welcome(self, pin: Pin, body: bytes) -> None:
        try:
            pin.check(self.address, body)
        except FrameError as error:
            raise LinkError(self.address, f"does not speak this protocol: {error}") from error

    def call(self, request: AnyRequest, deadline: Deadline) -> Answer:
        """Send a request and return its answer. Raises LinkError, after which the connection is closed."""
        self._last_id += 1
        numbered = msgspec.structs.replace(request, id=self._last_id)
        try:
            self._send(encode_frame(numbered), deadline, sent=True)
            while True:
                answer = decode_answer(self._receive(deadline, sent=True))
                if answer.id == self._last_id:
                    check_answer(self.address, request, answer)
                    return answer
        except FrameError as error:
            self.close()
            raise LinkError(self.address, f"does not speak this protocol: {error}", sent=True) from error
        except BaseException:
            self.close()
            raise

    def _send(self, data: bytes, deadline: Deadline, *, sent: bool) -> None:
        try:
            self._socket.settimeout(max(deadline.remaining(), 0.001))
            self._socket.sendall(data)
        except OSError as error:
            raise LinkError(self.address, os_reason(error)[0], sent=sent) from error

    def _receive(self, deadline: Deadline, *, sent: bool) -> bytes:
        while not self._bodies:
            self._wait_for_data(deadline)
            try:
                self._socket.settimeout(max(deadline.remaining(), 0.001))
                data = self._socket.recv(RECEIVE_BYTES)
            except TimeoutError as error:
                raise LinkError(self.address, f"no answer in {deadline.seconds:.1f} s", sent=sent) from error
            except OSError as error:
                raise LinkError(self.address, os_reason(error)[0], sent=sent) from error
            if not data:
                raise LinkError(self.address, "the node closed the connection", sent=sent)
            try:
                self._bodies.extend(self._decoder.feed(data))
            except FrameError as error:
                raise LinkError(self.address, f"does not speak this protocol: {error}", sent=sent) from error
        return self._bodies.pop(0)

    def _wait_for_data(self, deadline: Deadline) -> None:
        """Return when something is there to read, or the deadline passes. Raises BrokenPipeError."""
        if self._pipe is None:
            return
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.register(self._pipe, 0)
        if any(found == self._pipe for found, _ in poll.poll(deadline.remaining() * 1000)):
            raise BrokenPipeError(errno.EPIPE, "nobody reads the output any more")

    def detach(self) -> socket.socket:
        """Return the socket, which blocks no more and now is the caller's. No answer may be outstanding."""
        self._socket.setblocking(False)
        return self._socket

    def close(self) -> None:
        """Close the socket. A second call does nothing."""
        self._socket.close()


def _connect(address: str, deadline: Deadline) -> socket.socket:
    """Return a blocking socket that is connected to the address. Raises LinkError."""
    last = OSError("the name stands for no address")
    for family, target in resolve(address):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(max(deadline.remaining(), 0.001))
            sock.connect(target)
        except OSError as error:
            sock.close()
            last = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    reason, refused = os_reason(last)
    raise LinkError(address, reason, refused=refused) from last
