"""The connections that a node keeps to its peers, redialed after growing pauses."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Final

from raftnode.daemon.connections import ConnectionHandler, Dialed
from raftnode.daemon.log import LogWriter
from raftnode.wire.address import parse_address
from raftnode.wire.hello import Hello

RECONNECT_FIRST: Final = 0.05
RECONNECT_MAX: Final = 1.0
"""Seconds between two attempts to reach a peer: doubled from the first to the last, with jitter."""

CONNECT_TIMEOUT: Final = 3.0


class PeerLink:
    """Keeps one connection to a peer: dials, and redials after growing pauses."""

    def __init__(
        self,
        handler: ConnectionHandler,
        peer: int,
        address: str,
        *,
        hello: Callable[[int], Hello],
        log: LogWriter,
        rng: random.Random,
    ) -> None:
        self.address = address
        self.connection: Dialed | None = None
        self._handler, self._peer = handler, peer
        self._hello, self._log, self._rng = hello, log, rng
        self._pause = RECONNECT_FIRST
        self._failure = ""
        self._wake = asyncio.Event()
        self._gone = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._keep_connected())

    def stop(self, *, at_once: bool = False) -> "asyncio.Task[None]":
        """Close for good; `at_once`: without flushing."""
        self._task.cancel()
        connection, self.connection = self.connection, None
        if connection is not None:
            if at_once:
                connection.abort()
            else:
                connection.close()
        return self._task

    def redial_now(self) -> None:
        """Redial now: the peer has just connected to us, so it is up."""
        self._pause = RECONNECT_FIRST
        self._wake.set()

    def on_welcome(self) -> None:
        """Note that the peer accepts this node."""
        self._pause = RECONNECT_FIRST
        self._failure = ""
        self._log.line("debug", "peer.welcomed", peer=self._peer, address=self.address)

    def closed(self, connection: Dialed, error: Exception | None) -> None:
        """Note that the connection ended."""
        if connection is self.connection:
            self.connection = None
            self._gone.set()
            if connection.ready:
                self.note_failure(f"connection lost: {error}" if error else "connection closed by the peer")

    def note_failure(self, reason: str) -> None:
        """Log why the peer cannot be reached, once for as long as the reason stays the same."""
        if reason != self._failure:
            self._failure = reason
            self._log.line("warn", "peer.unreachable", peer=self._peer, address=self.address, reason=reason)

    async def _keep_connected(self) -> None:
        while True:
            self._gone.clear()
            if await self._dial():
                await self._gone.wait()
            self._wake.clear()
            pause = self._pause * self._rng.uniform(0.5, 1.0)
            self._pause = min(self._pause * 2, RECONNECT_MAX)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def _dial(self) -> bool:
        """Open a connection and say Hello. What follows arrives at the handler. Return whether it is open."""
        connection = Dialed(self._handler, self._peer, self._hello(self._peer))
        self.connection = connection
        try:
            host, port = parse_address(self.address)
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await asyncio.get_running_loop().create_connection(lambda: connection, host, port)
        except TimeoutError:
            self.note_failure(f"no connection within {CONNECT_TIMEOUT:g} s")
        except (OSError, ValueError) as error:
            self.note_failure(str(error))
        else:
            return True
        self.connection = None
        return False
