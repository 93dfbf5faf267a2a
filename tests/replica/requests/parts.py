"""What a part of the replica is built from, without a replica: a core, a clock, a desk, and the answers on it."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, cast

from raftnode import MemStorage, RaftConfig, RaftNode
from raftnode.config.settings import ReplicaSettings
from raftnode.core.membership import make_configuration
from raftnode.core.types import EntryKind, NodeId
from raftnode.machine.kv.machine import KvMachine
from raftnode.machine.sessions.machine import Applied, SessionMachine
from raftnode.replica.directory import Directory
from raftnode.replica.durability import Durability
from raftnode.replica.events import EventLog
from raftnode.replica.requests.replies import Replies
from raftnode.replica.timers import Timers
from raftnode.storage.data_dir import Identity
from raftnode.wire.client import Answer
from raftnode.wire.peer import PeerRequest, PeerResponse, encode_member_context

SETTINGS = ReplicaSettings(request_timeout=10.0, no_leader_timeout=3.0, election_timeout_max=2.0)


@dataclass
class Desk:
    """A transport that keeps what clients are told."""

    answers: list[tuple[Hashable, Answer]] = field(default_factory=list)

    def answer(self, client: Hashable, answer: Answer) -> None:
        self.answers.append((client, answer))

    def send_request(self, peer: NodeId, message: PeerRequest) -> bool:
        return True

    def send_response(self, peer: NodeId, message: PeerResponse) -> None:
        raise AssertionError("no peer has asked")

    def set_members(self, addresses: dict[NodeId, str]) -> None:
        raise AssertionError("a part does not set members")

    def take(self) -> list[tuple[Hashable, Answer]]:
        """Return the answers since the last call."""
        taken, self.answers = self.answers, []
        return taken


@dataclass
class Disk:
    """Stands for the durability of a log: all that the parts ask is whether there is room."""

    full: bool = False


class Parts:
    """A core of `voters` (this is node 1), and what the parts get handed in."""

    def __init__(self, voters: int = 1) -> None:
        self.now = 100.0
        self.settings = SETTINGS
        peers = tuple(range(2, voters + 1))
        self.node = RaftNode(RaftConfig(node_id=1, peers=peers), MemStorage(), clock=self.clock)
        self.node.restore()
        self.machine = SessionMachine(KvMachine())
        self.timers = Timers()
        self.connected = set(peers)
        self.desk = Desk()
        self.disk = Disk()
        contexts = {node: encode_member_context(f"n{node}", f"h{node}:1") for node in range(1, voters + 1)}
        configuration = make_configuration(list(range(1, voters + 1)), contexts=contexts)
        self.identity = Identity(1, "cluster", "demo", 1, "n1", "instance", "h1:1", "voter", configuration, "")
        self.directory = Directory(self.identity, self.node)
        self.replies = Replies(self.desk, self.directory)
        self.events = EventLog("n1", 1, 1, lambda: 0.0)

    def clock(self) -> float:
        """Return the time, which only `wait` moves."""
        return self.now

    def handed_in(self, *names: str) -> dict[str, Any]:
        """Return these keyword arguments for a part."""
        every = {name: getattr(self, name) for name in ("node", "machine", "settings", "replies", "timers", "events")}
        every |= {
            "connected": self.connected,
            "clock": self.clock,
            "directory": self.directory,
            "durability": cast(Durability, self.disk),
        }
        return {name: every[name] for name in names}

    def lead(self) -> None:
        """Let the only voter elect itself and apply what opens its term."""
        self.wait(5.0)
        self.node.tick()
        self.commit()

    def commit(self) -> list[tuple[Any, Applied | None]]:
        """Apply what is committed; return each entry with what it came to."""
        applied: list[tuple[Any, Applied | None]] = []
        while not (ready := self.node.take_ready()).is_empty():
            for entry in ready.committed_entries:
                command = entry.kind is EntryKind.COMMAND
                applied.append((entry, self.machine.apply(entry.index, entry.data) if command else None))
                self.node.advance_applied(entry.index)
        return applied

    def wait(self, seconds: float) -> None:
        """Let time pass, and ring what is due."""
        self.now += seconds
        self.timers.expire(self.now)
