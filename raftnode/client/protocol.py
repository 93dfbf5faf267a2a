"""The client's side of one connection, without any I/O: bytes in, answers out.

    protocol = ClientProtocol(guard, "10.0.0.1:7001")
    protocol.send(GetStatus(0))          # any number of requests, at any time
    sock.sendall(protocol.data_to_send())
    for answer in protocol.receive_data(sock.recv(65536)):
        ...                              # answer.id is what send() returned

The first bytes to send are the Hello. Requests are held back until the node's Welcome has arrived and the guard
admits its cluster: nothing reaches a node of another cluster. Call `data_to_send()` after every `send()` and
`receive_data()`. Answers come in any order; each is checked to be an answer to its request. After an exception the
connection is unusable and must be closed.
"""

from __future__ import annotations

from typing import Any

import msgspec

from raftnode.client.errors import ConnectionFailed, Refused
from raftnode.client.guard import ClusterGuard
from raftnode.wire.client import ANSWERED_BY, Answer, ErrorCode, Failed, Request, decode_answer
from raftnode.wire.frame import FrameDecoder, FrameError, encode_frame
from raftnode.wire.hello import Welcome


class ClientProtocol:
    """One connection's requests in flight. `address` is only for the text of errors."""

    def __init__(self, guard: ClusterGuard, address: str) -> None:
        self.address = address
        self.welcome: Welcome | None = None
        self._guard = guard
        self._decoder = FrameDecoder()
        self._outgoing = [encode_frame(guard.hello())]
        self._held: list[bytes] = []
        self._in_flight: dict[int, type[Request[Any]]] = {}
        self._forgotten: set[int] = set()
        self._last_id = 0

    @property
    def in_flight(self) -> int:
        """How many requests have no answer yet, without those that were forgotten."""
        return len(self._in_flight)

    def send(self, request: Request[Any]) -> int:
        """Queue a request and return its id. One with id 0 gets the next free id.

        Raises Refused where it is too large for a frame, ValueError where its id is in flight already.
        """
        number = request.id
        if not number:
            number = self._last_id + 1
            request = msgspec.structs.replace(request, id=number)
        if number in self._in_flight or number in self._forgotten:
            raise ValueError(f"request {number} is in flight already")
        try:
            frame = encode_frame(request)
        except FrameError as error:
            raise Refused(str(error), ErrorCode.TOO_LARGE) from error
        if number > self._last_id:
            self._last_id = number
        self._in_flight[number] = type(request)
        (self._held if self.welcome is None else self._outgoing).append(frame)
        return number

    def forget(self, number: int) -> None:
        """Drop the answer to a request when it comes: its caller has given up."""
        if self._in_flight.pop(number, None) is not None:
            self._forgotten.add(number)

    def data_to_send(self) -> bytes:
        """Return the bytes to send now, each once."""
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        return data

    def receive_data(self, data: bytes) -> list[Answer]:
        """Return the answers that are complete now. No data: the node closed the connection.

        Raises ConnectionFailed; its `sent` says whether a request in flight may have arrived.
        """
        if not data:
            raise self.failure("the node closed the connection")
        answers: list[Answer] = []
        try:
            for body in self._decoder.feed(data):
                if self.welcome is None:
                    self.welcome = self._guard.admit(self.address, body)
                    self._outgoing += self._held
                    self._held.clear()
                    continue
                answer = decode_answer(body)
                request = self._in_flight.pop(answer.id, None)
                if request is not None and (type(answer) is ANSWERED_BY[request] or type(answer) is Failed):
                    answers.append(answer)
                else:
                    self._drop(answer, request)
        except FrameError as error:
            raise self.failure(f"does not speak this protocol: {error}") from error
        return answers

    def _drop(self, answer: Answer, request: type[Request[Any]] | None) -> None:
        """Drop the answer to a request that was forgotten. Raises ConnectionFailed for any other."""
        if request is not None:
            raise self.failure(
                f"does not speak this protocol: it answers a {request.__name__} with a {type(answer).__name__}"
            )
        if answer.id not in self._forgotten:
            raise self.failure(f"does not speak this protocol: it answers request {answer.id}, which is not open")
        self._forgotten.remove(answer.id)

    def failure(self, reason: str, *, refused: bool = False) -> ConnectionFailed:
        """Return the error for a connection that failed for this reason."""
        return ConnectionFailed(self.address, reason, refused=refused, sent=self.welcome is not None)
