"""A small blocking client, for the commands of raftnode that ask a running cluster."""

import socket
from collections.abc import Callable
from typing import TypeVar

import msgspec

from raftnode.core.errors import TransportError
from raftnode.wire.address import parse_address
from raftnode.wire.client import Answer, AnyRequest, Failed, decode_answer
from raftnode.wire.frame import FrameDecoder, FrameError, encode_frame
from raftnode.wire.hello import PROTOCOL_VERSION, Hello, Rejected, decode_hello_answer

T = TypeVar("T", bound=msgspec.Struct)


class RequestFailed(Exception):
    """A node answered `Failed`."""

    def __init__(self, failed: Failed) -> None:
        self.failed = failed
        super().__init__(failed.message)


def ask(address: str, request: AnyRequest, expected: type[T], *, timeout: float, cluster_id: str = "") -> T:
    """Send one request to the node at `address` and return its answer.

    `timeout` bounds each wait for the network, in seconds. Raises TransportError where the node cannot be
    reached or does not answer as it should, and RequestFailed with its refusal.
    """
    answer = _exchange(address, request, timeout, cluster_id)
    if isinstance(answer, Failed):
        raise RequestFailed(answer)
    if not isinstance(answer, expected):
        raise TransportError(f"{address} answered a {type(request).__name__} with a {type(answer).__name__}")
    return answer


def _exchange(address: str, request: AnyRequest, timeout: float, cluster_id: str) -> Answer:
    try:
        host, port = parse_address(address)
        with socket.create_connection((host, port), timeout=timeout) as connection:
            read = _reader(connection)
            connection.sendall(encode_frame(Hello(PROTOCOL_VERSION, cluster_id)))
            welcome = decode_hello_answer(read())
            if isinstance(welcome, Rejected):
                raise TransportError(f"{address} refuses the connection: {welcome.reason}")
            connection.sendall(encode_frame(request))
            return decode_answer(read())
    except TimeoutError as error:
        raise TransportError(f"{address} did not answer within {timeout:g} s") from error
    except (OSError, ValueError, FrameError) as error:
        raise TransportError(f"{address}: {error}") from error


def _reader(connection: socket.socket) -> Callable[[], bytes]:
    decoder = FrameDecoder()
    bodies: list[bytes] = []

    def read() -> bytes:
        while not bodies:
            data = connection.recv(65536)
            if not data:
                raise ConnectionError("the node closed the connection")
            bodies.extend(decoder.feed(data))
        return bodies.pop(0)

    return read
