"""The core's own speed, on one core of this machine: `python -m tests.benchmarks.core`.

- entries per second from propose to commit and delivery through three nodes in memory,
- what a long log adds to a proposal (a ratio; 1.0: nothing),
- what a tick of an idle node costs.
"""

import random
import time
from collections.abc import Callable

from raftnode import LogEntry, MemStorage, NodeRole, RaftConfig, RaftNode

BATCH = 100
DATA = b"x" * 256


class MemoryCluster:
    """Three nodes whose messages are plain calls."""

    def __init__(self, prefilled: int = 0) -> None:
        self.now = 0.0
        self.storages = {node: MemStorage() for node in (1, 2, 3)}
        for storage in self.storages.values():
            storage.append([LogEntry(0, index, b"") for index in range(1, prefilled + 1)])
        self.nodes = {node: self._make(node) for node in self.storages}
        while not any(raft.role is NodeRole.LEADER for raft in self.nodes.values()):
            self.now += 0.05
            for raft in self.nodes.values():
                raft.tick()
            self.exchange()
        self.leader = next(raft for raft in self.nodes.values() if raft.role is NodeRole.LEADER)

    def _make(self, node: int) -> RaftNode:
        config = RaftConfig(node_id=node, peers=[other for other in (1, 2, 3) if other != node])
        raft = RaftNode(config, self.storages[node], clock=lambda: self.now, rng=random.Random(node))
        raft.restore()
        return raft

    def exchange(self) -> None:
        """Carry messages until no node has any to send."""
        busy = True
        while busy:
            busy = False
            for node, raft in self.nodes.items():
                ready = raft.take_ready()
                if ready.is_empty():
                    continue
                busy = True
                if ready.hard_state is not None:
                    self.storages[node].save_hard_state(ready.hard_state)
                for peer, append in ready.messages:
                    raft.handle_append_entries_response(peer, self.nodes[peer].handle_append_entries(append))
                for peer, pre_vote in ready.pre_vote_requests:
                    raft.handle_pre_vote_response(peer, self.nodes[peer].handle_pre_vote(pre_vote))
                for peer, vote in ready.vote_requests:
                    raft.handle_request_vote_response(peer, self.nodes[peer].handle_request_vote(vote))
                if ready.committed_entries:
                    raft.advance_applied(ready.committed_entries[-1].index)

    def commit(self, batches: int) -> float:
        """Commit and deliver `batches` batches on every node; return the CPU seconds that it took."""
        started = time.process_time()
        for _ in range(batches):
            for _ in range(BATCH):
                self.leader.propose(DATA)
            self.exchange()
        seconds = time.process_time() - started
        assert all(raft.last_applied == self.leader.last_log_index for raft in self.nodes.values())
        return seconds


def entries_per_second() -> float:
    """Return how many entries a second go from propose to delivery on all three nodes."""
    cluster, batches = MemoryCluster(), 2000
    return batches * BATCH / cluster.commit(batches)


def long_log_ratio() -> float:
    """Return what a proposal costs on a log of 1,000,000 entries, divided by what it costs on one of 1,000.

    The two take turns, so that a busy machine slows both alike.
    """
    short, long = MemoryCluster(1_000), MemoryCluster(1_000_000)
    for cluster in (short, long):
        cluster.commit(50)
    times = [(short.commit(20), long.commit(20)) for _ in range(20)]
    return sum(b for _, b in times) / sum(a for a, _ in times)


def idle_tick_microseconds() -> tuple[float, float]:
    """Return what a tick with nothing to do costs on a follower and on a leader."""
    cluster = MemoryCluster()
    follower = next(raft for raft in cluster.nodes.values() if raft.role is NodeRole.FOLLOWER)
    return _microseconds(follower.tick), _microseconds(cluster.leader.tick)


def _microseconds(action: Callable[[], None], count: int = 200_000) -> float:
    started = time.process_time()
    for _ in range(count):
        action()
    return (time.process_time() - started) / count * 1e6


if __name__ == "__main__":
    rate = entries_per_second()
    print(f"propose to commit through three nodes, batches of {BATCH} x 256 bytes: {rate:,.0f} entries/s")
    print(f"a proposal with 1,000,000 entries in the log against 1,000: ratio {long_log_ratio():.2f}")
    print("a tick of an idle node: {:.2f} us (follower), {:.2f} us (leader)".format(*idle_tick_microseconds()))
