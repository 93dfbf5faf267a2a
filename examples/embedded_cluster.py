"""Three Raft nodes in one process, driven by hand: no threads, no sockets, no waiting. Run it: it prints the log."""

import random

from raftnode import MemStorage, NodeRole, RaftConfig, RaftNode

IDS = (1, 2, 3)


class Cluster:
    """Moves time forward and carries the messages. A real embedder has a disk and a network in these places."""

    def __init__(self) -> None:
        self.now = 0.0
        self.storages = {node: MemStorage() for node in IDS}
        self.applied: dict[int, list[bytes]] = {node: [] for node in IDS}
        self.nodes = {node: self.make(node) for node in IDS}

    def make(self, node: int) -> RaftNode:
        config = RaftConfig(node_id=node, peers=[other for other in IDS if other != node])
        made = RaftNode(config, self.storages[node], clock=lambda: self.now, rng=random.Random(node))
        made.restore()
        return made

    def act(self, node: int) -> bool:
        """Do what one node wants, in the order that `Ready` asks for."""
        raft, ready = self.nodes[node], self.nodes[node].take_ready()
        if ready.hard_state is not None:
            self.storages[node].save_hard_state(ready.hard_state)
        for peer, append in ready.messages:
            raft.handle_append_entries_response(peer, self.nodes[peer].handle_append_entries(append))
        for peer, pre_vote in ready.pre_vote_requests:
            raft.handle_pre_vote_response(peer, self.nodes[peer].handle_pre_vote(pre_vote))
        for peer, vote in ready.vote_requests:
            raft.handle_request_vote_response(peer, self.nodes[peer].handle_request_vote(vote))
        for entry in ready.committed_entries:
            self.applied[node].append(entry.data)
            raft.advance_applied(entry.index)
        return not ready.is_empty()

    def run(self, seconds: float) -> None:
        """Let `seconds` pass in steps of 50 ms."""
        for _ in range(round(seconds / 0.05)):
            self.now += 0.05
            for raft in self.nodes.values():
                raft.tick()
            while any(self.act(node) for node in IDS):
                pass


cluster = Cluster()
cluster.run(3.0)
leader = next(raft for raft in cluster.nodes.values() if raft.role is NodeRole.LEADER)
for word in (b"one", b"two", b"three"):
    leader.propose(word)
cluster.run(0.2)
for node, log in cluster.applied.items():
    print(f"node {node} applied {log}")
