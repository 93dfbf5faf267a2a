"""A TCP proxy in front of a node, which does to its connections what networks do.

    peer or client  ->  FaultyProxy (the address that the members know)  ->  raftnode (node.listen)

The proxy reads the first frame of a connection, the Hello, and so knows who dialed. `faults` is asked for each
piece of data on its way, so that a change takes effect at once. One thread serves all connections of all proxies.
"""

import asyncio
import contextlib
import random
import threading
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from raftnode.wire.frame import HEADER_BYTES, HELLO_BYTES_MAX, FrameDecoder, FrameError
from raftnode.wire.hello import decode_hello
from tests.support.processes import ProcessCluster, free_ports

PIECE_BYTES = 64 * 1024
LOOK_SECONDS = 0.02
"""How often something that stands still looks whether it may go on."""

T = TypeVar("T")


@dataclass
class Faults:
    """What is wrong with the network. Nodes are numbers; (from, to) is a direction in which bytes travel.

    Clients are node 0, and nothing happens to them unless it is asked for.
    """

    delay: dict[tuple[int, int], float] = field(default_factory=dict)
    """Seconds that each piece of data waits."""
    stalled: set[tuple[int, int]] = field(default_factory=set)
    """Nothing is read: the sender's buffers fill up, and no connection breaks."""
    happened: dict[str, int] = field(default_factory=lambda: {"delayed": 0, "stalled": 0, "cut": 0, "refused": 0})
    refused: set[tuple[int, int]] = field(default_factory=set)
    """(who dials, whom): what is open breaks, and a new connection is closed at once."""

    def heal(self) -> None:
        """Make the network perfect again."""
        self.delay.clear()
        self.stalled.clear()
        self.refused.clear()

    def isolate(self, node: int, others: tuple[int, ...]) -> None:
        """Let nothing through between a node and the others, in both directions, without breaking a connection."""
        for other in others:
            self.stalled |= {(node, other), (other, node)}


class FaultyProxy:
    """The proxy of one node."""

    def __init__(self, network: "ProxyNetwork", node: int, target_port: int) -> None:
        self._network = network
        self._faults = network.faults
        self._node = node
        self._target_port = target_port
        self._server: asyncio.Server
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.cut_in_frame: set[int] = set()
        """Dialing nodes whose connection is to break in the middle of the next frame."""

    async def start(self) -> None:
        """Listen at a port that the system chooses."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close everything."""
        self._server.close()
        # One that was accepted just now has a task in the next round only; what is aborted ends in the one after that.
        await asyncio.sleep(0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, FrameError):
                await self._carry(reader, writer)
        finally:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        header = await reader.readexactly(HEADER_BYTES)
        size = int.from_bytes(header, "big")
        if size > HELLO_BYTES_MAX:
            raise FrameError("no Hello")
        body = await reader.readexactly(size)
        dialler = decode_hello(body).node_id
        if (dialler, self._node) in self._faults.refused:
            self._faults.happened["refused"] += 1
            return
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        try:
            there_writer.write(header + body)
            pumps = [
                asyncio.create_task(self._pump(reader, there_writer, dialler, self._node, dialler)),
                asyncio.create_task(self._pump(there_reader, writer, self._node, dialler, dialler)),
            ]
            try:
                done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                for pump in done:
                    pump.result()
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            there_writer.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: int, target: int, dialler: int
    ) -> None:
        """Carry one direction until an end is closed, or the connection is cut."""
        faults, way = self._faults, (source, target)
        frames = FrameDecoder()
        while data := await reader.read(PIECE_BYTES):
            if delay := faults.delay.get(way):
                faults.happened["delayed"] += 1
                await asyncio.sleep(delay)
            if way in faults.stalled:
                faults.happened["stalled"] += 1
            while way in faults.stalled:
                await asyncio.sleep(LOOK_SECONDS)
            if (dialler, self._node) in faults.refused:
                return
            if source == dialler and dialler in self.cut_in_frame:
                self.cut_in_frame.discard(dialler)
                await self._cut(writer, frames, data)
                return
            frames.feed(data)
            writer.write(data)
            await writer.drain()

    async def _cut(self, writer: asyncio.StreamWriter, frames: FrameDecoder, data: bytes) -> None:
        """Let a part of the last frame through, and not its end."""
        pending = frames.pending_bytes
        first_frame = HEADER_BYTES + 1 if pending == 0 else 1
        size = self._network.rng.randrange(first_frame, len(data)) if len(data) > first_frame else 0
        while size and not _ends_inside(frames, data[:size]):
            size -= 1
        writer.write(data[:size])
        await writer.drain()
        self._faults.happened["cut"] += 1
        # What was written must leave before the connection goes.
        writer.close()
        await writer.wait_closed()


def _ends_inside(frames: FrameDecoder, data: bytes) -> bool:
    """Whether a frame is incomplete where `data` ends."""
    trial = FrameDecoder()
    trial._buffer, trial._needed = bytearray(frames._buffer), frames._needed
    trial.feed(data)
    return trial.pending_bytes > 0


class ProxyNetwork:
    """A proxy before each node, run by one thread."""

    def __init__(self, target_ports: Mapping[int, int], seed: int = 0) -> None:
        self.faults = Faults()
        self.rng = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()
        self.proxies = {node: FaultyProxy(self, node, port) for node, port in target_ports.items()}
        for proxy in self.proxies.values():
            self._do(proxy.start())

    def cut_in_frame(self, dialler: int, target: int) -> None:
        """Break the connection that `dialler` keeps to `target` in the middle of the next frame that it sends."""
        self.proxies[target].cut_in_frame.add(dialler)

    def close(self) -> None:
        """Close every connection, and end the thread."""
        for proxy in self.proxies.values():
            self._do(proxy.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10.0)


@contextlib.contextmanager
def proxied_cluster(
    path: Path, size: int = 3, seed: int = 0, settings: dict[str, dict[str, object]] | None = None
) -> Iterator[tuple[ProcessCluster, ProxyNetwork]]:
    """Give a cluster with a leader whose nodes and clients meet only through proxies."""
    ports = free_ports(size)
    network = ProxyNetwork(dict(enumerate(ports, 1)), seed)
    try:
        addresses = [f"127.0.0.1:{network.proxies[node].port}" for node in range(1, size + 1)]
        listen = [f"127.0.0.1:{port}" for port in ports]
        cluster = ProcessCluster(path, size, settings, addresses=addresses, listen=listen)
        try:
            cluster.start()
            cluster.wait_leader()
            yield cluster, network
        finally:
            cluster.kill()
    finally:
        network.close()
