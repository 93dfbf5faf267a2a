"""Three Raft nodes in one process, driven by hand: no threads, no sockets, no waiting. Run it: it prints the log."""

import random
from collections import deque

from raftnode import Message, NodeRole, RaftConfig, RaftNode
from raftnode.testing import Disk

IDS = (1, 2, 3)


class Cluster:
    """Moves time forward and carries the messages. A real program has a clock, a disk and a network in these places."""

    def __init__(self, disks: dict[int, Disk]) -> None:
        self.now, self.disks = 0.0, disks
        self.mail: deque[tuple[int, int, Message]] = deque()
        self.nodes: dict[int, RaftNode] = {}
        self.responses: dict[int, list[tuple[int, Message]]] = {}
        self.applied: dict[int, list[bytes]] = {}
        for node in IDS:
            self.start(node)

    def start(self, node: int) -> None:
        """Start a node on what its disk holds: nothing, or what is left after a crash."""
        config = RaftConfig(node_id=node, peers=[other for other in IDS if other != node])
        raft = RaftNode(config, self.disks[node], clock=lambda: self.now, rng=random.Random(node))
        raft.restore()
        self.nodes[node], self.responses[node], self.applied[node] = raft, [], []

    def act(self, node: int) -> bool:
        """Do what one node wants done, in the order that `Ready` lists. Return whether it wanted anything."""
        raft, disk, ready = self.nodes[node], self.disks[node], self.nodes[node].take_ready()
        at_once, after_save = ready.outgoing()
        # 1. Send `outgoing().at_once`.
        self.send(node, at_once)
        # 2. Save `hard_state`, if any, and make it and the log durable: one write, one fsync.
        if ready.hard_state is not None:
            disk.save_hard_state(ready.hard_state)
        disk.sync()
        # 3. Send `outgoing().after_save`, and the responses that `step()` returned.
        responses, self.responses[node] = self.responses[node], []
        self.send(node, after_save + responses)
        # 4. Apply `committed_entries`, in order, and call `advance_applied()`.
        for entry in ready.committed_entries:
            if entry.is_command:
                self.applied[node].append(entry.data)
            raft.advance_applied(entry.index)
        # 5. Act on the rest: this program asks for no reads and takes no snapshots.
        return not ready.is_empty()

    def send(self, node: int, messages: list[tuple[int, Message]]) -> None:
        self.mail += [(node, peer, message) for peer, message in messages]

    def settle(self) -> None:
        """Act and deliver until nothing is left to do."""
        while any(self.act(node) for node in IDS) or self.mail:
            for _ in range(len(self.mail)):
                source, target, message = self.mail.popleft()
                response = self.nodes[target].step(source, message)
                if response is not None:
                    self.responses[target].append((source, response))

    def run(self, seconds: float) -> None:
        """Let `seconds` pass in steps of 50 ms."""
        for _ in range(round(seconds / 0.05)):
            self.now += 0.05
            for raft in self.nodes.values():
                raft.tick()
            self.settle()


if __name__ == "__main__":
    cluster = Cluster({node: Disk() for node in IDS})
    cluster.run(3.0)
    leader = next(raft for raft in cluster.nodes.values() if raft.role is NodeRole.LEADER)
    leader.propose_batch([b"one", b"two", b"three"])
    cluster.run(0.2)
    for node, log in cluster.applied.items():
        print(f"node {node} applied {log}")
