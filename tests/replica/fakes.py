"""A scripted replica, and a runtime around it on a port that the system chose."""

import asyncio
import io
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager

from raftnode.config.settings import NodeSettings
from raftnode.daemon.log import LogWriter
from raftnode.daemon.loop import Runtime
from raftnode.wire.client import AnyRequest
from raftnode.wire.frame import FrameDecoder, encode_frame
from raftnode.wire.hello import PROTOCOL_VERSION, REJECT_CLUSTER, Hello, Rejected, Welcome
from raftnode.wire.peer import PeerMessage

CLUSTER = "c1"


class FakeReplica:
    """Keeps what it is given; `on_turn` says what a turn does. It welcomes everybody of its cluster."""

    def __init__(self, node_id: int) -> None:
        self.node_id = node_id
        self.requests: list[tuple[Hashable, AnyRequest]] = []
        self.messages: list[tuple[int, PeerMessage]] = []
        self.gone: list[Hashable] = []
        self.connected: list[int] = []
        self.disconnected: list[int] = []
        self.counters: Counter[str] = Counter()
        self.turns = 0
        self.delay = 60.0
        self.on_turn: Callable[[], None] = lambda: None
        self.on_start: Callable[[], None] = lambda: None
        self.refuse_welcome = False
        self.shutting_down = False
        self.may_stop = True

    def start(self) -> None:
        self.on_start()

    def check_hello(self, hello: Hello) -> Welcome | Rejected:
        if hello.node_id and hello.cluster_id != CLUSTER:
            return Rejected(REJECT_CLUSTER, f"this is cluster {CLUSTER}")
        return Welcome(PROTOCOL_VERSION, CLUSTER, self.node_id, f"i{self.node_id}", f"n{self.node_id}")

    def check_welcome(self, peer: int, welcome: Welcome) -> Rejected | None:
        return Rejected(REJECT_CLUSTER, "refused by the dialing side") if self.refuse_welcome else None

    def receive_peer(self, peer: int, message: PeerMessage) -> None:
        self.messages.append((peer, message))

    def receive_client(self, client: Hashable, request: AnyRequest) -> None:
        self.requests.append((client, request))

    def client_gone(self, client: Hashable) -> None:
        self.gone.append(client)

    def peer_connected(self, peer: int) -> None:
        self.connected.append(peer)

    def peer_disconnected(self, peer: int) -> None:
        self.disconnected.append(peer)

    def turn(self) -> float:
        self.turns += 1
        self.on_turn()
        return self.delay

    def count(self, name: str) -> None:
        self.counters[name] += 1

    def begin_shutdown(self) -> None:
        self.shutting_down = True

    @property
    def shutdown_ready(self) -> bool:
        return self.shutting_down and self.may_stop


class Node:
    """A runtime with its fake replica and its log."""

    def __init__(self, node_id: int, settings: NodeSettings) -> None:
        self.replica = FakeReplica(node_id)
        self.log_text = io.StringIO()
        self.runtime = Runtime(
            node_id=node_id,
            hello=lambda peer: Hello(PROTOCOL_VERSION, CLUSTER, node_id, f"i{node_id}", peer),
            listen="127.0.0.1:0",
            settings=settings,
            log=LogWriter(f"n{node_id}", level="debug", wall_clock=lambda: 0.0, stream=self.log_text),
            rng=random.Random(node_id),
        )

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.runtime.port}"


@asynccontextmanager
async def running(node_id: int = 1, settings: NodeSettings | None = None) -> AsyncIterator[Node]:
    """Run a node for the length of a `with`; at its end it stops in order, unless it has failed already."""
    node = Node(node_id, settings or NodeSettings())
    await node.runtime.listen()
    task = asyncio.create_task(node.runtime.run(node.replica))
    await until(lambda: node.replica.turns > 0 or task.done())
    try:
        yield node
    finally:
        if not task.done():
            node.replica.may_stop = True
            node.runtime.stop()
        async with asyncio.timeout(10):
            await asyncio.wait([task])
        if task.exception() is not None and node.log_text.getvalue().count("node.failed") != 1:
            raise AssertionError(f"failed without its line: {task.exception()!r}")


async def until(condition: Callable[[], object]) -> None:
    """Wait until `condition()` holds; fails after 10 s."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


class Wire:
    """The other end of a connection, by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._decoder = FrameDecoder()
        self._bodies: list[bytes] = []

    @classmethod
    async def open(cls, address: str, hello: Hello | None = None) -> "Wire":
        """Connect, and where `hello` is given say it."""
        host, _, port = address.rpartition(":")
        wire = cls(*await asyncio.open_connection(host, int(port)))
        if hello is not None:
            wire.writer.write(encode_frame(hello))
        return wire

    async def body(self) -> bytes | None:
        """Return the next frame's body, or None where the other side has closed."""
        async with asyncio.timeout(10):
            while not self._bodies:
                try:
                    data = await self.reader.read(65536)
                except ConnectionError:
                    return None
                if not data:
                    return None
                self._bodies += self._decoder.feed(data)
        return self._bodies.pop(0)

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            pass


CLIENT_HELLO = Hello(PROTOCOL_VERSION)
