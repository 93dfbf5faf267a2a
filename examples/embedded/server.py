"""Step 6: a replicated list of words, over TCP, that survives kill -9. Nodes 1 to 3 vote; more may join.

    python server.py ID DIRECTORY ADDRESS...     host:port of nodes 1, 2 and 3, and last of this one if it joins

Clients connect to any node and send requests, a line each: `append WORD`, `read`, `add ID HOST:PORT`, `status`. They
get a line for each: "ok", "not done", "not leader N" (ask node N), or "unknown" (it may be done, or become so).
"""

import asyncio
import contextlib
import sys
from pathlib import Path

from clients import ClientsNode
from network import Network, parse_address, read_messages

from raftnode import RaftConfig, RaftError


class Server:
    """One node in one asyncio task, `drive()`. All others only hand over what has arrived."""

    def __init__(self, config: RaftConfig, directory: Path, tasks: asyncio.TaskGroup) -> None:
        network = Network(tasks, b"node %d\n" % config.node_id, self.address_of, self.unreachable)
        self.me = ClientsNode(config, directory, network.send)
        self.news = asyncio.Event()

    def address_of(self, peer: int) -> tuple[str, int]:
        """Return where a member listens: its context in the configuration, which is replicated."""
        return parse_address(self.me.node.configuration.contexts[peer].decode())

    def unreachable(self, peer: int) -> None:
        self.me.node.report_unreachable(peer)

    async def drive(self) -> None:
        """Turn when something has arrived, or the node's time has come. An error here ends the process."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self.me.node.next_deadline()):
                    await self.news.wait()
            self.news.clear()
            self.me.node.tick()
            self.me.turn()  # no await in it: nobody else calls the node meanwhile

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection, of another node or of a client; its first line says which."""
        try:
            while words := (await reader.readline()).decode().split():
                if words[0] == "node":
                    async for message in read_messages(reader):
                        self.me.receive(int(words[1]), message)
                        self.news.set()
                else:
                    answer = self.me.ask(*words)
                    self.news.set()
                    writer.write(f"{await answer}\n".encode())
        except (OSError, EOFError, ValueError, RaftError) as error:
            print(f"a connection is closed: {error}", file=sys.stderr)
        finally:
            writer.close()


async def main(node_id: int, directory: Path, addresses: list[str]) -> None:
    joins = node_id > 3
    config = RaftConfig(
        node_id=node_id,
        peers=[voter for voter in (1, 2, 3) if voter != node_id],
        starts_as_learner=joins,
        joined=joins,  # the members of today are not those at the beginning of the log
        contexts={voter: addresses[voter - 1].encode() for voter in (1, 2, 3)},
    )
    async with asyncio.TaskGroup() as tasks:
        server = Server(config, directory, tasks)
        await asyncio.start_server(server.serve, *parse_address(addresses[-1 if joins else node_id - 1]))
        await tasks.create_task(server.drive())


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
