"""Step 4: clients. "ok" is said only of what is committed, and a read sees every write that was "ok" before it.

Run it with a directory: one node answers a few requests.
"""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from durable_node import DurableNode

from raftnode import ConfChange, LogEntry, Message, NodeRole, NotLeader, ProposalRejected, RaftConfig, Ready


class ClientsNode(DurableNode):
    """A node that answers clients. Each request is a future, which `turn()` sets when its outcome is known."""

    def __init__(self, config: RaftConfig, directory: Path, send: Callable[[int, Message], None]) -> None:
        super().__init__(config, directory, send)
        self.writes: dict[int, tuple[int, asyncio.Future[str]]] = {}  # by index: the term, and who waits
        self.reads: dict[int, asyncio.Future[str]] = {}  # by the id of read_index()
        self.confirmed: list[tuple[int, asyncio.Future[str]]] = []  # reads that wait until this index is applied
        self.promotions: dict[int, asyncio.Future[str]] = {}

    def ask(self, *words: str) -> asyncio.Future[str]:
        """Begin a request: `append WORD`, `read`, `add ID HOST:PORT` (a learner, promoted in time), or `status`."""
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        node = self.node
        try:
            match words:
                case ["append", word]:
                    self.writes[node.propose(word.encode())] = node.current_term, answer
                case ["read"]:
                    self.reads[node.read_index()] = answer
                case ["add", peer, address]:
                    node.propose_conf_change(ConfChange.add_learner(int(peer), address.encode()))
                    node.promote_when_caught_up(int(peer))
                    self.promotions[int(peer)] = answer
                case _:
                    answer.set_result(f"{node.role.value}; voters {node.configuration.voters}")
        except NotLeader as error:
            answer.set_result(f"not leader {error.leader_hint}")
        except ProposalRejected as error:
            answer.set_result(f"refused: {error}")
        return answer

    def apply(self, entry: LogEntry) -> None:
        super().apply(entry)
        term, answer = self.writes.pop(entry.index, (0, None))
        if answer is not None:  # another term: a later leader put another entry in this place
            answer.set_result("ok" if entry.term == term else "not done")

    def finish(self, ready: Ready) -> None:
        super().finish(ready)
        self.confirmed += [(index, self.reads.pop(read)) for read, index in ready.reads]
        for index, answer in self.confirmed:
            if index <= self.node.last_applied:
                answer.set_result("ok " + b" ".join(self.words).decode())
        self.confirmed = [read for read in self.confirmed if not read[1].done()]
        for read in ready.reads_aborted:
            self.reads.pop(read).set_result("not leader None")
        for outcome in ready.promotions:
            self.promotions.pop(outcome.peer).set_result("ok" if outcome.done else f"not done: {outcome.reason}")
        while self.writes and self.node.role is not NodeRole.LEADER:  # the next leader decides about these
            self.writes.popitem()[1][1].set_result("unknown")


async def main(directory: Path) -> None:
    me = ClientsNode(RaftConfig(node_id=1), directory, send=lambda peer, message: None)
    me.node.election_deadline_override(0.0)
    me.node.tick()
    for line in ("append one", "append two", "read", "status"):
        answer = me.ask(*line.split())
        me.turn()
        print(await answer)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
