"""Step 5: messages over TCP, for server.py. One connection each way. What is lost is lost: Raft sends it again."""

import asyncio
from collections.abc import AsyncIterator, Callable

from raftnode import Message, SerializationError, decode_message, encode_message

BYTES_MAX = 64 << 20
"""The longest message that is accepted: a length is not to be trusted."""
Address = tuple[str, int]


def parse_address(text: str) -> Address:
    """Return "host:port" as a pair."""
    host, _, port = text.rpartition(":")
    return host, int(port)


async def read_messages(reader: asyncio.StreamReader) -> AsyncIterator[Message]:
    """Give the messages on a connection, until it ends. Raises SerializationError for bytes that are none."""
    while length := await reader.read(1):
        size = int.from_bytes(length + await reader.readexactly(3), "big")
        if size > BYTES_MAX:
            raise SerializationError(f"a message of {size} bytes")
        yield decode_message(await reader.readexactly(size))


class Network:
    """Sends messages to other nodes, each in a task of its own: `send()` never waits."""

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        hello: bytes,
        address_of: Callable[[int], Address],
        unreachable: Callable[[int], None],
    ) -> None:
        """`hello` is the first line on each connection; `unreachable(peer)` is called when one breaks."""
        self.tasks, self.hello, self.address_of, self.unreachable = tasks, hello, address_of, unreachable
        self.queues: dict[int, asyncio.Queue[bytes]] = {}

    def send(self, peer: int, message: Message) -> None:
        """Send, or drop the message if the peer does not keep up."""
        if peer not in self.queues:
            self.queues[peer] = asyncio.Queue(1000)
            self.tasks.create_task(self.carry(peer, self.queues[peer]))
        if not self.queues[peer].full():
            self.queues[peer].put_nowait(encode_message(message))

    async def carry(self, peer: int, queue: asyncio.Queue[bytes]) -> None:
        """Send what is queued, and connect again whenever the connection breaks."""
        while True:
            try:
                _, writer = await asyncio.open_connection(*self.address_of(peer))
                writer.write(self.hello)
                while True:
                    data = await queue.get()
                    writer.write(len(data).to_bytes(4, "big") + data)
                    await writer.drain()
            except (OSError, KeyError):  # down, or no member any longer
                self.unreachable(peer)
                await asyncio.sleep(0.1)
                while not queue.empty():
                    queue.get_nowait()  # old news: the node makes new messages
