"""Talks to a cluster with blocking sockets: ask every node at once, or find the leader and stay with it.

Three levels. `ask_all()` puts one request to many addresses under one deadline, so that dead ones cost one
timeout together. `Connection` is one conversation with one node. `Cluster` finds the leader, follows it when
it changes, and repeats what may be repeated until the deadline: a read always, a write because it carries a
session and a sequence number, so that the cluster applies it once however often it arrives.
"""

import enum
import errno
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from raftctl.errors import (
    CliError,
    InternalError,
    NoLeader,
    NotFound,
    OutcomeUnknown,
    Refused,
    Unreachable,
    UsageError,
)
from raftctl.settings import split_address
from raftnode.wire.client import (
    UNKNOWN,
    Answer,
    ErrorCode,
    Failed,
    GetStatus,
    NodeStatus,
    OpenSession,
    Request,
    SessionOpened,
    StatusResult,
    Write,
    Written,
    decode_answer,
)
from raftnode.wire.frame import FrameDecoder, FrameError, encode_frame
from raftnode.wire.hello import PROTOCOL_VERSION, Hello, Rejected, decode_hello_answer

ATTEMPT_S: Final = 2.0
"""How long one node may take over a request that can be repeated elsewhere."""

DIAL_S: Final = 1.0
"""How long one round of finding the leader may take."""

PAUSE_S: Final = 0.05
RECEIVE_BYTES: Final = 256 * 1024


class Deadline:
    """A moment on the monotonic clock."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._at = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds that are left; 0 when it has passed."""
        return max(0.0, self._at - time.monotonic())

    @property
    def passed(self) -> bool:
        return self.remaining() <= 0

    def capped(self, seconds: float) -> "Deadline":
        """Return a deadline in `seconds`, or this one if it comes first."""
        return Deadline(min(seconds, self.remaining()))

    def pause(self, seconds: float = PAUSE_S) -> bool:
        """Sleep, but not past the deadline. Returns whether time is left."""
        time.sleep(min(seconds, self.remaining()))
        return not self.passed


class LinkError(Exception):
    """A conversation with one node failed.

    `refused`: nobody listens there. `sent`: the request may have arrived.
    """

    def __init__(self, address: str, reason: str, *, refused: bool = False, sent: bool = False) -> None:
        self.address = address
        self.reason = reason
        self.refused = refused
        self.sent = sent
        super().__init__(f"{address}: {reason}")


def _os_reason(error: OSError) -> tuple[str, bool]:
    reason = error.strerror or str(error) or type(error).__name__
    return reason[:1].lower() + reason[1:], error.errno == errno.ECONNREFUSED


def _resolve(address: str) -> list[tuple[int, Any]]:
    """Return the families and socket addresses that an address stands for. Raises LinkError."""
    host, port = split_address(address)
    try:
        # As bytes, a plain name does not load the codec for international ones, which costs 2 ms.
        found = socket.getaddrinfo(host.encode() if host.isascii() else host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise LinkError(address, f"cannot resolve the name: {error.strerror or error}") from error
    return [(family, target) for family, _, _, _, target in found]


def _connect(address: str, deadline: Deadline) -> socket.socket:
    """Return a blocking socket that is connected to the address. Raises LinkError."""
    last = OSError("the name stands for no address")
    for family, target in _resolve(address):
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
    reason, refused = _os_reason(last)
    raise LinkError(address, reason, refused=refused) from last


def _check_welcome(address: str, body: bytes) -> None:
    answer = decode_hello_answer(body)
    if isinstance(answer, Rejected):
        raise LinkError(address, f"refused the connection: {answer.reason}")


class _Exchange:
    """One request to one address, driven by the selector of `ask_all`."""

    def __init__(self, address: str, request: Request) -> None:
        self.address = address
        self._pending = encode_frame(Hello(PROTOCOL_VERSION))
        self._request = encode_frame(request)
        self._decoder = FrameDecoder()
        self._welcomed = False
        self._targets: list[tuple[int, Any]] = []
        self.socket: socket.socket | None = None

    def start(self) -> None:
        """Resolve the name and begin to connect. Raises LinkError."""
        self._targets = _resolve(self.address)
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
        if self._targets and not self._welcomed:
            self._next_target()
            return
        reason, refused = _os_reason(error)
        raise LinkError(self.address, reason, refused=refused, sent=self._welcomed) from error

    def advance(self) -> Answer | None:
        """Write and read what is possible now. Returns the answer when it is there. Raises LinkError."""
        assert self.socket is not None, "an exchange that was started has a socket"
        code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._failed(OSError(code, _strerror(code)))
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
            raise LinkError(self.address, "the node closed the connection", sent=self._welcomed)
        return self._take(data)

    def _take(self, data: bytes) -> Answer | None:
        try:
            for body in self._decoder.feed(data):
                if self._welcomed:
                    return decode_answer(body)
                _check_welcome(self.address, body)
                self._welcomed = True
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


def _strerror(code: int) -> str:
    from os import strerror

    return strerror(code)


class Asked:
    """What came back: an answer or a reason for every address."""

    def __init__(self, failures: Iterable[LinkError] = ()) -> None:
        self.answers: dict[str, Answer] = {}
        self.failures = {failure.address: failure for failure in failures}

    @property
    def refused(self) -> set[str]:
        """The addresses where nobody listens."""
        return {address for address, failure in self.failures.items() if failure.refused}


def ask_all(
    addresses: Iterable[str],
    request: Request | Callable[[str], Request],
    deadline: Deadline,
    *,
    more: Callable[[Answer], Iterable[str]] | None = None,
    enough: Callable[[Asked], bool] | None = None,
) -> Asked:
    """Put `request` to all addresses at the same time and return what came by the deadline.

    The request may be a function of the address. `more` gives further addresses that an answer names;
    `enough` ends the wait early.
    """
    asked = Asked()
    known: set[str] = set()
    with selectors.DefaultSelector() as selector:
        active: dict[str, _Exchange] = {}

        def begin(batch: Iterable[str]) -> None:
            for address in batch:
                if address not in known:
                    known.add(address)
                    exchange = active[address] = _Exchange(address, request(address) if callable(request) else request)
                    settle(exchange, exchange.start)

        def settle(exchange: _Exchange, step: Callable[[], Answer | None]) -> None:
            before = exchange.socket
            try:
                answer = step()
            except LinkError as error:
                asked.failures[exchange.address] = error
                answer = None
                done = True
            else:
                done = answer is not None
            if before is not None and (done or exchange.socket is not before):
                _forget(selector, before)
            if done:
                exchange.close()
                del active[exchange.address]
            elif exchange.socket is not None:
                _watch(selector, exchange)
            if answer is not None:
                asked.answers[exchange.address] = answer
                if more is not None:
                    begin(more(answer))

        try:
            begin(addresses)
            while active and not deadline.passed and not (enough is not None and enough(asked)):
                for key, _ in selector.select(deadline.remaining()):
                    exchange = key.data
                    if exchange.address in active:
                        settle(exchange, exchange.advance)
        finally:
            for exchange in active.values():
                exchange.close()
        for address in active:
            asked.failures[address] = LinkError(address, f"no answer in {deadline.seconds:.1f} s", sent=True)
    return asked


def _watch(selector: selectors.BaseSelector, exchange: _Exchange) -> None:
    assert exchange.socket is not None, "only an open socket is watched"
    try:
        selector.modify(exchange.socket, exchange.events, exchange)
    except KeyError:
        selector.register(exchange.socket, exchange.events, exchange)


def _forget(selector: selectors.BaseSelector, sock: socket.socket) -> None:
    for key in list(selector.get_map().values()):
        if key.fileobj is sock:
            selector.unregister(sock)


class Connection:
    """One conversation with one node, one request at a time. Opened on construction; raises LinkError."""

    def __init__(self, address: str, deadline: Deadline) -> None:
        self.address = address
        self._decoder = FrameDecoder()
        self._bodies: list[bytes] = []
        self._last_id = 0
        self._socket = _connect(address, deadline)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._send(encode_frame(Hello(PROTOCOL_VERSION)), deadline, sent=False)
            self._welcome(self._receive(deadline, sent=False))
        except BaseException:
            self.close()
            raise

    def _welcome(self, body: bytes) -> None:
        try:
            _check_welcome(self.address, body)
        except FrameError as error:
            raise LinkError(self.address, f"does not speak this protocol: {error}") from error

    def call(self, request: Request, deadline: Deadline) -> Answer:
        """Send a request and return its answer. Raises LinkError, after which the connection is closed."""
        self._last_id += 1
        numbered = msgspec.structs.replace(request, id=self._last_id)
        try:
            self._send(encode_frame(numbered), deadline, sent=True)
            while True:
                answer = decode_answer(self._receive(deadline, sent=True))
                if answer.id == self._last_id:
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
            raise LinkError(self.address, _os_reason(error)[0], sent=sent) from error

    def _receive(self, deadline: Deadline, *, sent: bool) -> bytes:
        while not self._bodies:
            try:
                self._socket.settimeout(max(deadline.remaining(), 0.001))
                data = self._socket.recv(RECEIVE_BYTES)
            except TimeoutError as error:
                raise LinkError(self.address, f"no answer in {deadline.seconds:.1f} s", sent=sent) from error
            except OSError as error:
                raise LinkError(self.address, _os_reason(error)[0], sent=sent) from error
            if not data:
                raise LinkError(self.address, "the node closed the connection", sent=sent)
            self._bodies.extend(self._decoder.feed(data))
        return self._bodies.pop(0)

    def close(self) -> None:
        """Close the socket. A second call does nothing."""
        self._socket.close()


class Repeat(enum.Enum):
    """What may be done when a request's answer is lost."""

    FREELY = enum.auto()
    """It changes nothing, or nothing that matters: send it again."""
    ONCE_APPLIED = enum.auto()
    """It carries a session: send it again, but without an answer in the end its outcome is unknown."""
    NEVER = enum.auto()
    """Its outcome is unknown at once; the caller looks at what became of it."""


_LATER: Final = frozenset(
    {
        ErrorCode.NO_LEADER,
        ErrorCode.BUSY,
        ErrorCode.OVERWRITTEN,
        ErrorCode.TIMED_OUT,
        ErrorCode.SHUTTING_DOWN,
    }
)


class Cluster:
    """A cluster, known by some of its addresses; more are learned from what its nodes say."""

    def __init__(self, endpoints: Sequence[str], deadline: Deadline) -> None:
        self.endpoints = list(endpoints)
        self.deadline = deadline
        self._known = dict.fromkeys(endpoints)
        self._connection: Connection | None = None
        self._leader_hint = ""
        self._answered = False
        self._session = 0
        self._sequence = 0

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def survey(self, patience: float | None = None, *, enough: Callable[[Asked], bool] | None = None) -> Asked:
        """Ask every known member, and those that they name, for its status. No answer is no error."""
        deadline = self.deadline if patience is None else self.deadline.capped(patience)
        asked = ask_all(self._known, GetStatus(1), deadline, more=self._learn, enough=enough)
        self._answered = self._answered or bool(asked.answers)
        return asked

    def statuses(self, patience: float | None = None) -> tuple[list[NodeStatus], Asked]:
        """Return the status of every node that answers, once each. Raises Unreachable where none does."""
        asked = self.survey(patience)
        found = {a.status.node_id: a.status for a in asked.answers.values() if isinstance(a, StatusResult)}
        if not found:
            raise unreachable(asked)
        clusters = {s.cluster_id: s.cluster_name for s in found.values()}
        if len(clusters) > 1:
            raise UsageError(
                "the endpoints belong to different clusters",
                ", ".join(f"{name} ({cluster})" for cluster, name in clusters.items()),
                "name the endpoints of one cluster",
            )
        return [found[i] for i in sorted(found)], asked

    def _learn(self, answer: Answer) -> list[str]:
        if not isinstance(answer, StatusResult):
            return []
        addresses = [m.address for m in answer.status.members if m.address]
        self._known.update(dict.fromkeys(addresses))
        return addresses

    def call_leader(self, request: Request, repeat: Repeat = Repeat.FREELY) -> Answer:
        """Put a request to the leader, whoever that is by the deadline, and return its answer.

        Raises Unreachable, NoLeader, OutcomeUnknown, or what the leader's refusal means.
        """
        doubtful = ""
        last: Failed | None = None
        while True:
            connection = self._to_leader(doubtful, last)
            limit = self.deadline if repeat is Repeat.NEVER else self.deadline.capped(ATTEMPT_S)
            try:
                answer = connection.call(request, limit)
            except LinkError as error:
                self.close()
                if repeat is Repeat.NEVER:
                    raise unknown(str(error)) from error
                if repeat is Repeat.ONCE_APPLIED:
                    doubtful = str(error)
                self._pause(doubtful, last)
                continue
            if not isinstance(answer, Failed):
                return answer
            last = answer
            if answer.outcome == UNKNOWN and answer.code is not ErrorCode.SESSION_EXPIRED:
                if repeat is Repeat.NEVER:
                    raise unknown(answer.message)
                doubtful = answer.message if repeat is Repeat.ONCE_APPLIED else ""
            elif answer.code is ErrorCode.NOT_LEADER:
                self.close()
                self._leader_hint = answer.leader_address
                if answer.leader_address:
                    continue
            elif answer.code not in _LATER:
                raise failure_error(answer, doubtful)
            elif answer.code is ErrorCode.SHUTTING_DOWN:
                self.close()
            self._pause(doubtful, last)

    def start_at(self, address: str) -> None:
        """Try this address first, for what any node answers."""
        self._leader_hint = address

    def call_any(self, request: Request, wait_s: float = 0.0, address: str = "") -> Answer:
        """Put a request that any node answers to one that is there, and return the answer.

        `wait_s` is how long the node itself may wait; `address` asks that node alone. Raises as `call_leader`
        does.
        """
        while True:
            connection = self._to_node(address) if address else self._to_any()
            try:
                answer = connection.call(request, Deadline(wait_s + ATTEMPT_S))
            except LinkError:
                self.close()
                self._pause("", None)
                continue
            if not isinstance(answer, Failed):
                return answer
            if answer.code not in _LATER:
                raise failure_error(answer)
            self.close()
            self._pause("", answer)

    def write(self, command: bytes) -> Written:
        """Have the state machine apply `command` exactly once. Raises as `call_leader` does."""
        for attempt in (1, 2):
            if not self._session:
                opened = self.call_leader(OpenSession(0))
                assert isinstance(opened, SessionOpened), "OpenSession is answered by SessionOpened"
                self._session, self._sequence = opened.session, 0
            self._sequence += 1
            request = Write(0, self._session, self._sequence, self._sequence - 1, command)
            try:
                answer = self.call_leader(request, Repeat.ONCE_APPLIED)
            except SessionLost:
                # Every try of this write was answered, by a refusal: it may be sent again in a new session.
                self._session = 0
                if attempt == 2:
                    raise
                continue
            assert isinstance(answer, Written), "Write is answered by Written"
            return answer
        raise AssertionError("the second attempt returns or raises")

    def _to_leader(self, doubtful: str, last: Failed | None) -> Connection:
        if self._connection is not None:
            return self._connection
        while True:
            address = self._leader_hint or self._find_leader()
            self._leader_hint = ""
            if address:
                try:
                    self._connection = Connection(address, self.deadline.capped(DIAL_S))
                except LinkError:
                    address = ""
                else:
                    return self._connection
            self._pause(doubtful, last)

    def _to_node(self, address: str) -> Connection:
        if self._connection is not None and self._connection.address == address:
            return self._connection
        self.close()
        while True:
            try:
                self._connection = Connection(address, self.deadline.capped(DIAL_S))
            except LinkError as error:
                if error.refused or not self.deadline.pause():
                    raise Unreachable(
                        f"{address} does not answer", error.reason, "see which nodes do: raftctl status"
                    ) from error
            else:
                return self._connection

    def _to_any(self) -> Connection:
        if self._connection is None and self._leader_hint:
            try:
                self._connection = Connection(self._leader_hint, self.deadline.capped(DIAL_S))
            except LinkError:
                # It was only a preference; the survey below finds another node.
                self._leader_hint = ""
        while self._connection is None:
            asked = self.survey(DIAL_S, enough=lambda a: bool(a.answers))
            for address in asked.answers:
                try:
                    self._connection = Connection(address, self.deadline.capped(DIAL_S))
                except LinkError:
                    continue
                break
            else:
                self._check_reachable(asked)
                self._pause("", None)
        return self._connection

    def _find_leader(self) -> str:
        asked = self.survey(DIAL_S, enough=lambda a: _leader_itself(a) != "")
        self._check_reachable(asked)
        return _leader_itself(asked) or _leader_as_told(asked)

    def _check_reachable(self, asked: Asked) -> None:
        """Give up at once where every address refuses and none ever answered: waiting would not help."""
        if not self._answered and asked.failures and all(f.refused for f in asked.failures.values()):
            raise unreachable(asked)

    def _pause(self, doubtful: str, last: Failed | None) -> None:
        if self.deadline.pause():
            return
        if doubtful:
            raise unknown(doubtful)
        if not self._answered:
            raise unreachable(Asked(LinkError(a, "no answer") for a in self._known))
        why = last.message if last is not None else "nodes answer, but none leads and none knows who does"
        raise NoLeader(
            f"no leader took the request within {self.deadline.seconds:g} s",
            why,
            "see who is up: raftctl status; wait for one: raftctl wait --leader",
        )


def _statuses(asked: Asked) -> list[tuple[str, NodeStatus]]:
    return [(address, a.status) for address, a in asked.answers.items() if isinstance(a, StatusResult)]


def _leader_itself(asked: Asked) -> str:
    """Return where a node was reached that says it leads, in the highest term of all that answered."""
    found = _statuses(asked)
    top = max((s.term for _, s in found), default=0)
    return next((address for address, s in found if s.role == "leader" and s.term == top), "")


def _leader_as_told(asked: Asked) -> str:
    told = [(s.term, s.leader_address) for _, s in _statuses(asked) if s.leader_address]
    return max(told, default=(0, ""))[1]


class SessionLost(OutcomeUnknown):
    """The cluster forgot the session before it answered any try of the write."""


def unreachable(asked: Asked) -> Unreachable:
    """Return the error for "nobody answered"."""
    why = "; ".join(f"{f.address}: {f.reason}" for f in asked.failures.values())
    return Unreachable(
        "no node answers",
        why or "no address was given",
        "check that the nodes run and that the addresses are right: raftctl config explain",
    )


def unknown(why: str) -> OutcomeUnknown:
    """Return the error for "it may have happened"."""
    return OutcomeUnknown(
        "the outcome is unknown: the change may have been made, or may still be",
        why,
        "look whether it is there before trying again",
    )


def failure_error(failed: Failed, doubtful: str = "") -> CliError:
    """Return what a node's refusal means to the user."""
    message = failed.message
    match failed.code:
        case ErrorCode.REFUSED:
            what, _, why = message.partition(": ")
            if "quorum" in what:
                return Refused(what, why, "see who is up: raftctl status; bring a voter back first", code="E_QUORUM")
            return Refused(what, why, "look at the cluster: raftctl status")
        case ErrorCode.NOT_FOUND:
            return NotFound(message)
        case ErrorCode.COMPACTED:
            return NotFound(
                message,
                f"the first entry that is still there is {failed.detail}",
                f"read from there: raftctl log range {failed.detail} ...",
                code="E_COMPACTED",
            )
        case ErrorCode.BAD_REQUEST:
            return UsageError(message)
        case ErrorCode.TOO_LARGE:
            return UsageError(message, code="E_TOO_LARGE")
        case ErrorCode.NO_SPACE:
            return Refused(
                message,
                "the node's disk is full; reads still work",
                "free some space on it",
                code="E_NO_SPACE",
            )
        case ErrorCode.SESSION_EXPIRED:
            return unknown(f"{message}; before that: {doubtful}") if doubtful else SessionLost(message)
        case ErrorCode.INTERNAL:
            return InternalError(f"the node failed: {message}", "", "its log says more")
        case (
            ErrorCode.NOT_LEADER
            | ErrorCode.NO_LEADER
            | ErrorCode.BUSY
            | ErrorCode.OVERWRITTEN
            | ErrorCode.TIMED_OUT
            | ErrorCode.SHUTTING_DOWN
        ):
            return unknown(message) if failed.outcome == UNKNOWN else NoLeader(message)
