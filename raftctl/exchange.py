"""One request to many nodes at once, under one deadline, so that dead ones cost one timeout together."""

import errno
import os
import selectors
import socket
from collections.abc import Callable, Iterable
from typing import Any, Final

from raftctl.link import RECEIVE_BYTES, AnyCluster, Deadline, LinkError, Pin, check_answer, os_reason, resolve
from raftnode.wire.client import Answer, AnyRequest, decode_answer
from raftnode.wire.frame import FrameDecoder, FrameError, encode_frame

GRACE_S: Final = 0.4
"""How long nodes that have not said a word are still waited for when the answers so far suffice.

A node on the other side of the world needs two round trips to say one; after that it has the whole deadline.
"""

LOOK_S: Final = 0.05
"""How often `enough` is asked while nothing comes."""


class Asked:
    """What came back: an answer or a reason for every address."""

    def __init__(self, failures: Iterable[LinkError] = ()) -> None:
        self.answers: dict[str, Answer] = {}
        self.failures = {failure.address: failure for failure in failures}

    @property
    def refused(self) -> set[str]:
        """The addresses where nobody listens."""
        return {address for address, failure in self.failures.items() if failure.refused}

    @property
    def foreign(self) -> dict[str, str]:
        """The addresses where another cluster answers, with what it said."""
        return {address: failure.reason for address, failure in self.failures.items() if failure.foreign}

    def settled(self, address: str) -> bool:
        """Return whether the address has answered or failed."""
        return address in self.answers or address in self.failures


def ask_all(
    addresses: Iterable[str],
    request: AnyRequest | Callable[[str], AnyRequest],
    deadline: Deadline,
    *,
    pin: Pin | None = None,
    more: Callable[[Answer], Iterable[str]] | None = None,
    enough: Callable[[Asked], bool] | None = None,
    suffices: Callable[[Asked], bool] | None = None,
    pipe: int | None = None,
) -> Asked:
    """Put `request` to all addresses at the same time and return what came by the deadline.

    The request may be a function of the address. `more` gives further addresses that an answer names. `enough`
    ends the wait at once, and may look at the clock; `suffices` ends it GRACE_S later, for nodes that have not
    said a word. Without a `pin`, nodes of any cluster are heard. Raises BrokenPipeError when nobody reads `pipe`
    any more.
    """
    with selectors.DefaultSelector() as selector:
        if pipe is not None:
            selector.register(pipe, selectors.EVENT_READ)
        round_ = _Round(selector, request, pin or AnyCluster(), more)
        try:
            round_.begin(addresses)
            round_.run(deadline, enough, suffices)
        finally:
            round_.close(deadline)
    return round_.asked


class _Exchange:
    """One request to one address, driven by a selector."""

    def __init__(self, address: str, request: AnyRequest, pin: Pin) -> None:
        self.address = address
        self.welcomed = False
        self.socket: socket.socket | None = None
        self._pin = pin
        self._pending = encode_frame(pin.hello())
        self._asked = request
        self._request = encode_frame(request)
        self._decoder = FrameDecoder()
        self._targets: list[tuple[int, Any]] = []

    def start(self) -> None:
        """Resolve the name and begin to connect. Raises LinkError."""
        self._targets = resolve(self.address)
        self._next_target()

    def _next_target(self) -> None:
        family, target = self._targets.pop(0)
        self.close()
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = self.socket.connect_ex(target)
        if code not in (0, errno.EINPROGRESS):
            self._failed(OSError(code, errno.errorcode.get(code, "connect")))

    def _failed(self, error: OSError) -> None:
        if self._targets and not self.welcomed:
            self._next_target()
            return
        reason, refused = os_reason(error)
        raise LinkError(self.address, reason, refused=refused, sent=self.welcomed) from error

    def advance(self) -> Answer | None:
        """Write and read what is possible now. Returns the answer when it is there. Raises LinkError."""
        assert self.socket is not None, "an exchange that was started has a socket"
        code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._failed(OSError(code, os.strerror(code)))
            return None
        try:
            if self._pending:
                self._pending = self._pending[self.socket.send(self._pending) :]
            data = self.socket.recv(RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            self._failed(error)
            return None
        if not data:
            raise LinkError(self.address, "the node closed the connection", sent=self.welcomed)
        return self._take(data)

    def _take(self, data: bytes) -> Answer | None:
        try:
            for body in self._decoder.feed(data):
                if self.welcomed:
                    answer = decode_answer(body)
                    check_answer(self.address, self._asked, answer)
                    return answer
                self._pin.check(self.address, body)
                self.welcomed = True
                self._pending += self._request
        except FrameError as error:
            raise LinkError(self.address, f"does not speak this protocol: {error}") from error
        return None

    @property
    def events(self) -> int:
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._pending else 0)

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None


class _Round:
    """Every exchange of one question, and what they have brought so far."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        request: AnyRequest | Callable[[str], AnyRequest],
        pin: Pin,
        more: Callable[[Answer], Iterable[str]] | None,
    ) -> None:
        self.asked = Asked()
        self._selector = selector
        self._request = request
        self._pin = pin
        self._more = more
        self._known: set[str] = set()
        self._active: dict[str, _Exchange] = {}

    def begin(self, addresses: Iterable[str]) -> None:
        """Dial the addresses that were not dialled yet."""
        for address in addresses:
            if address not in self._known:
                self._known.add(address)
                request = self._request(address) if callable(self._request) else self._request
                exchange = self._active[address] = _Exchange(address, request, self._pin)
                self._step(exchange, exchange.start)

    def run(
        self,
        deadline: Deadline,
        enough: Callable[[Asked], bool] | None,
        suffices: Callable[[Asked], bool] | None,
    ) -> None:
        """Drive the exchanges until all have ended, the deadline passes, or what came is enough."""
        grace: Deadline | None = None
        while self._active and not deadline.passed and not (enough is not None and enough(self.asked)):
            if grace is None and suffices is not None and suffices(self.asked):
                grace = deadline.capped(GRACE_S)
            waiting = deadline
            if grace is not None and not any(e.welcomed for e in self._active.values()):
                waiting = grace
            if waiting.passed:
                return
            for key, _ in self._selector.select(min(waiting.remaining(), LOOK_S)):
                if key.data is None:
                    raise BrokenPipeError(errno.EPIPE, "nobody reads the output any more")
                exchange: _Exchange = key.data
                if exchange.address in self._active:
                    self._step(exchange, exchange.advance)

    def close(self, deadline: Deadline) -> None:
        """Hang up on every node that has not answered."""
        for exchange in self._active.values():
            exchange.close()
            reason = f"no answer in {deadline.elapsed:.1f} s"
            self.asked.failures[exchange.address] = LinkError(exchange.address, reason, sent=True)

    def _step(self, exchange: _Exchange, step: Callable[[], Answer | None]) -> None:
        before = exchange.socket
        try:
            answer = step()
        except LinkError as error:
            self.asked.failures[exchange.address] = error
            answer = None
            done = True
        else:
            done = answer is not None
        if before is not None and (done or exchange.socket is not before):
            self._forget(before)
        if done:
            exchange.close()
            del self._active[exchange.address]
        elif exchange.socket is not None:
            self._watch(exchange, exchange.socket)
        if answer is not None:
            self.asked.answers[exchange.address] = answer
            if self._more is not None:
                self.begin(self._more(answer))

    def _watch(self, exchange: _Exchange, sock: socket.socket) -> None:
        try:
            self._selector.modify(sock, exchange.events, exchange)
        except KeyError:
            self._selector.register(sock, exchange.events, exchange)

    def _forget(self, sock: socket.socket) -> None:
        for key in list(self._selector.get_map().values()):
            if key.fileobj is sock:
                self._selector.unregister(sock)
