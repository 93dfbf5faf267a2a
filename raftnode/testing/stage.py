"""A cluster of bare nodes in memory, which a test directs."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from raftnode.core.config import RaftConfig
from raftnode.core.membership import Configuration, make_configuration
from raftnode.core.messages import Message
from raftnode.core.node import RaftNode
from raftnode.core.types import NodeId, NodeRole
from raftnode.testing.clock import Clock
from raftnode.testing.network import Letter, Network
from raftnode.testing.process import Process

STEP_SECONDS = 0.05
"""How often each node ticks while time passes."""


class Stage:
    """Nodes 1 to `size`, started on empty disks, on one clock and one network.

    Nothing happens by itself: `settle()` delivers messages until none is in flight, `run()` lets time pass.

    Attributes:
        clock: The time.
        network: What carries the messages: cut it, lose or hold packets.
        first: The members at the beginning.
        options: Settings of every node's `RaftConfig`.
        processes: Each node's program, by id.
        delivered: Every message that has arrived, in order.
    """

    def __init__(self, size: int = 3, *, first: Configuration | None = None, **options: Any) -> None:
        """`first`: other members than voters 1 to `size`. `options`: of every node's `RaftConfig`."""
        self.clock = Clock()
        self.network: Network[Letter] = Network(self.clock, self._deliver)
        self.first = first if first is not None else make_configuration(range(1, size + 1))
        self.options = options
        self.processes: dict[NodeId, Process] = {}
        self.delivered: list[Letter] = []
        for node in self.first.members():
            self.add(node)

    # Members.

    def config_of(self, node: NodeId) -> RaftConfig:
        """Return the configuration with which `node` starts; one that is not a first member starts as a learner."""
        first = self.first
        return RaftConfig(
            node_id=node,
            peers=[n for n in first.voters if n != node],
            learners=[n for n in first.learners if n != node],
            observers=[n for n in first.observers if n != node],
            starts_as_learner=node in first.learners or node not in first.members(),
            starts_as_observer=node in first.observers,
            **self.options,
        )

    def make_process(self, node: NodeId) -> Process:
        """Return the program that `node` runs."""
        return Process(self.config_of(node), clock=self.clock, send=self.send, rng=random.Random(node))

    def add(self, node: NodeId) -> RaftNode:
        """Start `node` on an empty disk. The cluster knows of it when a leader adds it."""
        process = self.processes[node] = self.make_process(node)
        return process.start()

    def crash(self, node: NodeId, keep: int = 0) -> None:
        """Crash `node`: it loses its memory, and its unsynced writes but for the first `keep`."""
        self.processes[node].crash(keep)

    def restart(self, node: NodeId) -> RaftNode:
        """Start `node` on what its disk holds."""
        return self.processes[node].start()

    @property
    def nodes(self) -> dict[NodeId, RaftNode]:
        """The nodes that are running."""
        return {node: process.running for node, process in self.processes.items() if process.running is not None}

    @property
    def machines(self) -> dict[NodeId, list[bytes]]:
        """The commands that each node has applied."""
        return {node: process.machine for node, process in self.processes.items()}

    def leader(self) -> RaftNode:
        """Return the leader of the highest term. Raises AssertionError if nobody leads."""
        leaders = [node for node in self.nodes.values() if node.role is NodeRole.LEADER]
        assert leaders, "nobody leads"
        return max(leaders, key=lambda node: node.current_term)

    # Messages.

    def send(self, source: NodeId, target: NodeId, message: Message) -> None:
        """Send a message over the network."""
        self.network.send(Letter(source, target, message))

    def isolate(self, *group: NodeId) -> None:
        """Block all messages between `group` and the others."""
        for node in group:
            self.network.cut(node, *(other for other in self.processes if other not in group))

    def heal(self) -> None:
        """Make the network perfect again: see `Network.heal()`."""
        self.network.heal()

    def settle(self) -> None:
        """Do what each `Ready` asks for and deliver messages until none is in flight.

        Packets that the network holds stay held. Raises AssertionError if the messages never end.
        """
        for _ in range(20_000):
            for process in self._awake():
                process.turn()
            if self.clock.next_time() > self.clock.now:
                return
            self.clock.advance(0.0)
        raise AssertionError("the messages never end")

    # Time.

    def run(self, seconds: float) -> None:
        """Let `seconds` pass: tick each node every STEP_SECONDS, and deliver messages."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.advance(STEP_SECONDS)
            for process in self._awake():
                process.tick()
            self.settle()

    def until(self, holds: Callable[[], object], seconds: float = 20.0) -> None:
        """Let time pass until `holds()`. Raises AssertionError after `seconds`."""
        end = self.clock.now + seconds
        while not holds():
            assert self.clock.now < end, "the condition never held"
            self.run(STEP_SECONDS)

    def elect(self, node: NodeId) -> RaftNode:
        """Let `node` campaign now, before the others, and return it as leader. Raises AssertionError if it loses."""
        raft = self.processes[node].node
        self.clock.advance(raft.config.election_timeout_min)
        for other, its in self.nodes.items():
            wait = 0.0 if other == node else its.config.election_timeout_max
            its.election_deadline_override(self.clock.now + wait)
        self.processes[node].tick()
        self.settle()
        assert raft.role is NodeRole.LEADER, raft.status()
        return raft

    def propose(self, *commands: bytes) -> int:
        """Propose commands to the leader, deliver all messages, and return the last one's index."""
        leader = self.leader()
        index = max(leader.propose(command) for command in commands)
        self.settle()
        return index

    def _awake(self) -> Sequence[Process]:
        return [self.processes[node] for node in sorted(self.nodes)]

    def _deliver(self, letter: Letter) -> bool:
        process = self.processes.get(letter.target)
        if process is None or process.running is None:
            return False
        self.delivered.append(letter)
        process.receive(letter.source, letter.message)
        return True
