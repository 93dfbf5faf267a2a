"""Shared by the networks: deadlines, addresses, and the reasons why sockets fail."""

from __future__ import annotations

import errno
import socket
import time
from typing import Any, Final

from raftnode.client.errors import ConnectionFailed
from raftnode.wire.address import parse_address

PAUSE_S: Final = 0.05
RECEIVE_BYTES: Final = 256 * 1024


class Deadline:
    """A moment on the monotonic clock. `seconds` is how far away it was when it was set."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._at = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds that are left; 0 when it has passed."""
        return max(0.0, self._at - time.monotonic())

    @property
    def elapsed(self) -> float:
        """The seconds since it was set."""
        return time.monotonic() - self._at + self.seconds

    @property
    def passed(self) -> bool:
        return self.remaining() <= 0

    def capped(self, seconds: float) -> Deadline:
        """Return a deadline in `seconds`, or this one if it comes first."""
        return Deadline(min(seconds, self.remaining()))

    def pause(self, seconds: float = PAUSE_S) -> bool:
        """Sleep, but not past the deadline. Returns whether time is left."""
        time.sleep(min(seconds, self.remaining()))
        return not self.passed


def host_and_port(address: str) -> tuple[str, int]:
    """Return host and port of an address. Raises ConnectionFailed."""
    try:
        return parse_address(address)
    except ValueError as error:
        raise ConnectionFailed(address, f"an address {error}") from error


def resolve(address: str) -> list[tuple[int, Any]]:
    """Return the families and socket addresses that an address stands for. Raises ConnectionFailed."""
    host, port = host_and_port(address)
    try:
        # As bytes, a plain name does not load the codec for international ones, which costs 2 ms.
        found = socket.getaddrinfo(host.encode() if host.isascii() else host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConnectionFailed(address, f"cannot resolve the name: {error.strerror or error}") from error
    return [(family, target) for family, _, _, _, target in found]


def os_reason(error: OSError) -> tuple[str, bool]:
    """Return why a socket failed, and whether that is because nobody listens."""
    reason = error.strerror or str(error) or type(error).__name__
    return reason[:1].lower() + reason[1:], error.errno == errno.ECONNREFUSED
