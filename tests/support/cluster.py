"""Bare `RaftNode`s in memory for tests of the core: one node on a bench, or a cluster with a network to cut.

Time is a `Clock` that the test moves. Nothing here sleeps, opens a file or a socket.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from raftnode.core.config import RaftConfig
from raftnode.core.membership import Configuration, SnapshotMeta, make_configuration
from raftnode.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    PreVoteRequest,
    PreVoteResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    TimeoutNowRequest,
)
from raftnode.core.node import RaftNode
from raftnode.core.ready import Ready
from raftnode.core.storage import MemStorage
from raftnode.core.types import EntryKind, HardState, LogEntry, NodeId, NodeRole

Message = (
    AppendEntriesRequest | AppendEntriesResponse | InstallSnapshotRequest | InstallSnapshotResponse
    | PreVoteRequest | PreVoteResponse | RequestVoteRequest | RequestVoteResponse | TimeoutNowRequest
)  # fmt: skip


class Clock:
    """Seconds that move when a test says so."""

    def __init__(self, now: float = 100.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class SlowStorage(MemStorage):
    """Entries become stable only where the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.stable = 0

    @property
    def stable_index(self) -> int:
        return self.stable

    @property
    def end(self) -> int:
        """The last entry, durable or not."""
        return super().stable_index

    def append(self, entries: Sequence[LogEntry]) -> None:
        self._entries.extend(entries)


def entries(terms: Iterable[int], first: int = 1) -> list[LogEntry]:
    """Return command entries with these terms, from index `first` on; the data names index and term."""
    return [LogEntry(term, index, f"{index}@{term}".encode()) for index, term in enumerate(terms, first)]


def configuration_entry(
    term: int, index: int, voters: Iterable[NodeId], learners: Iterable[NodeId] = (), observers: Iterable[NodeId] = ()
) -> LogEntry:
    """Return a CONFIGURATION entry."""
    data = make_configuration(voters, learners, observers).encode()
    return LogEntry(term, index, data, EntryKind.CONFIGURATION)


class Bench:
    """One node on a bench: number 1 of 1, 2, 3, unless told otherwise. Its hard state is saved as it asks."""

    def __init__(
        self,
        terms: Iterable[int] = (),
        *,
        term: int | None = None,
        voted_for: NodeId | None = None,
        snapshot: tuple[int, int] = (0, 0),
        storage: MemStorage | None = None,
        log: Sequence[LogEntry] | None = None,
        node_id: NodeId = 1,
        peers: Sequence[NodeId] = (2, 3),
        restore: bool = True,
        **options: Any,
    ) -> None:
        self.clock = Clock()
        self.storage = storage if storage is not None else MemStorage()
        if snapshot != (0, 0):
            self.storage.compact(*snapshot)
        content = list(log) if log is not None else entries(terms, snapshot[0] + 1)
        if content:
            self.storage.append(content)
        last_term = content[-1].term if content else snapshot[1]
        if storage is None or term is not None:
            self.storage.save_hard_state(HardState(last_term if term is None else term, voted_for))
        self.config = RaftConfig(node_id=node_id, peers=peers, **options)
        self.node = self.boot()
        if restore:
            self.node.restore()

    def boot(self) -> RaftNode:
        """Return a new node over the same storage, not restored."""
        return RaftNode(self.config, self.storage, clock=self.clock, rng=random.Random(7))

    def restart(self) -> RaftNode:
        """Take the node down and start it again from its storage."""
        self.node = self.boot()
        self.node.restore()
        return self.node

    def ready(self) -> Ready:
        """Take a Ready, save its hard state and apply what it delivers."""
        ready = self.node.take_ready()
        if ready.hard_state is not None:
            self.storage.save_hard_state(ready.hard_state)
        if ready.committed_entries:
            self.node.advance_applied(ready.committed_entries[-1].index)
        return ready

    def log(self) -> list[tuple[int, int]]:
        """Return (index, term) of every stored entry."""
        start = self.storage.snapshot_metadata()[0]
        return [(entry.index, entry.term) for entry in self.storage.load_entries_after(start)]

    # As other nodes would speak to it.

    def append(
        self, prev: int, prev_term: int, terms: Iterable[int] = (), *, term: int | None = None,
        leader: NodeId = 2, commit: int = 0, log: Sequence[LogEntry] | None = None,
    ) -> AppendEntriesResponse:  # fmt: skip
        """Deliver an AppendEntries of `leader`, by default of the node's term."""
        content = list(log) if log is not None else entries(terms, prev + 1)
        return self.node.handle_append_entries(
            AppendEntriesRequest(self.term_or(term), leader, prev, prev_term, content, commit)
        )

    def ask_vote(
        self, candidate: NodeId, last: tuple[int, int], *, term: int | None = None, transfer: bool = False
    ) -> RequestVoteResponse:
        """Deliver a RequestVote of a candidate whose log ends at `last`, an (index, term)."""
        return self.node.handle_request_vote(
            RequestVoteRequest(self.term_or(term), candidate, *last, leadership_transfer=transfer)
        )

    def ask_pre_vote(self, candidate: NodeId, last: tuple[int, int], *, term: int) -> PreVoteResponse:
        """Deliver a PreVote for `term`."""
        return self.node.handle_pre_vote(PreVoteRequest(term, candidate, *last))

    def vote(self, peer: NodeId, granted: bool = True, *, term: int | None = None) -> None:
        """Deliver `peer`'s answer to a RequestVote."""
        self.node.handle_request_vote_response(peer, RequestVoteResponse(self.term_or(term), granted))

    def pre_vote(self, peer: NodeId, granted: bool = True, *, requested: int | None = None) -> None:
        """Deliver `peer`'s answer to a PreVote."""
        asked = self.node.current_term + 1 if requested is None else requested
        self.node.handle_pre_vote_response(peer, PreVoteResponse(self.node.current_term, granted, requested_term=asked))

    def ack(self, peer: NodeId, index: int, *, term: int | None = None, round_: int = 0) -> None:
        """Deliver `peer`'s word that its log matches up to `index`."""
        self.node.handle_append_entries_response(
            peer, AppendEntriesResponse(self.term_or(term), True, index, round=round_)
        )

    def reject(
        self, peer: NodeId, last: int, *, rejected: int = 0, hint: tuple[int, int] = (0, 0), term: int | None = None
    ) -> None:
        """Deliver `peer`'s refusal: its log ends at `last`."""
        self.node.handle_append_entries_response(
            peer,
            AppendEntriesResponse(
                self.term_or(term), False, last, rejected_index=rejected, conflict_index=hint[0], conflict_term=hint[1]
            ),
        )

    def install(
        self, index: int, term: int, *, leader: NodeId = 2, leader_term: int | None = None, offset: int = 0,
        data: bytes = b"state", done: bool = True, configuration: Configuration | None = None,
        checksum: int = 0,
    ) -> InstallSnapshotResponse:  # fmt: skip
        """Deliver a snapshot's chunk."""
        return self.node.handle_install_snapshot(
            InstallSnapshotRequest(
                self.term_or(leader_term),
                leader,
                index,
                term,
                offset,
                data,
                done,
                configuration=configuration,
                checksum=checksum,
            )
        )

    def snapshot_installed(self, peer: NodeId, index: int) -> None:
        """Deliver `peer`'s word that a snapshot is in force there."""
        self.node.handle_install_snapshot_response(
            peer, InstallSnapshotResponse(self.node.current_term, index, 0, True)
        )

    def term_or(self, term: int | None) -> int:
        return self.node.current_term if term is None else term

    # Stories that many tests begin with.

    def time_out(self) -> Ready:
        """Let the election timeout pass; return what the node then sends."""
        self.clock.advance(self.config.election_timeout_max + 0.1)
        self.node.tick()
        return self.ready()

    def campaign(self) -> Ready:
        """Bring the node to a candidacy, past its pre-vote."""
        ready = self.time_out()
        for peer in self.node.peers:
            if self.node.role is NodeRole.PRE_CANDIDATE:
                self.pre_vote(peer)
                ready = self.ready()
        return ready

    def elect(self, voters: Sequence[NodeId] | None = None) -> Ready:
        """Make the node leader by the votes of `voters` (all peers). Its opening entry is not acknowledged yet."""
        self.campaign()
        for peer in self.node.peers if voters is None else voters:
            self.vote(peer)
        assert self.node.role is NodeRole.LEADER
        return self.ready()

    def lead(self) -> int:
        """Elect the node, let every peer acknowledge its opening entry, and return that entry's index."""
        self.elect()
        index = self.node.last_log_index
        for peer in self.node.peers:
            self.ack(peer, index)
        self.ready()
        assert self.node.commit_index == index
        return index

    def heartbeat(self) -> Ready:
        """Let one heartbeat interval pass."""
        self.clock.advance(self.config.heartbeat_interval)
        self.node.tick()
        return self.ready()


class Cluster:
    """Nodes 1..n on one clock, with a network that delivers in order and can be cut.

    Each node's machine is the list of its delivered commands. A snapshot is that list.
    """

    def __init__(self, size: int = 3, *, first: Configuration | None = None, **options: Any) -> None:
        self.clock = Clock()
        self.options = options
        self.first = first if first is not None else make_configuration(range(1, size + 1))
        self.storages: dict[NodeId, MemStorage] = {}
        self.nodes: dict[NodeId, RaftNode] = {}
        self.applied: dict[NodeId, list[bytes]] = {}
        self.reads: dict[NodeId, dict[int, int]] = {}
        self.aborted: dict[NodeId, list[int]] = {}
        self.snapshots: dict[NodeId, tuple[int, int, list[bytes], Configuration]] = {}
        self.cut_links: set[tuple[NodeId, NodeId]] = set()
        self.queue: deque[tuple[NodeId, NodeId, Message]] = deque()
        self.delivered: list[tuple[NodeId, NodeId, Message]] = []
        for node in self.first.members():
            self.add(node)

    def config_of(self, node: NodeId) -> RaftConfig:
        first = self.first
        known = node in first.members()
        return RaftConfig(
            node_id=node,
            peers=[n for n in first.voters if n != node],
            learners=[n for n in first.learners if n != node],
            observers=[n for n in first.observers if n != node],
            starts_as_learner=node in first.learners or not known,
            starts_as_observer=node in first.observers,
            **self.options,
        )

    def add(self, node: NodeId) -> RaftNode:
        """Start a node with an empty log; one that the first configuration does not name is a learner."""
        self.storages[node] = MemStorage()
        return self.restart(node)

    def restart(self, node: NodeId) -> RaftNode:
        """Start `node` from its storage and its last snapshot."""
        config = self.config_of(node)
        raft = RaftNode(config, self.storages[node], clock=self.clock, rng=random.Random(node))
        snapshot = self.snapshots.get(node)
        if snapshot is None:
            raft.restore()
            self.applied[node] = []
        else:
            raft.restore(SnapshotMeta(snapshot[0], snapshot[1], snapshot[3]))
            self.applied[node] = list(snapshot[2])
        self.nodes[node] = raft
        self.reads[node], self.aborted[node] = {}, []
        return raft

    def stop(self, node: NodeId) -> None:
        del self.nodes[node]

    def isolate(self, *group: NodeId) -> None:
        """Cut every link between `group` and the others, both ways."""
        for a in self.storages:
            for b in self.storages:
                if (a in group) != (b in group):
                    self.cut_links.add((a, b))

    def heal(self) -> None:
        self.cut_links.clear()

    def take(self, node: NodeId) -> Ready:
        """Take one Ready and do as it says."""
        raft = self.nodes[node]
        ready = raft.take_ready()
        if ready.hard_state is not None:
            self.storages[node].save_hard_state(ready.hard_state)
        for messages in (ready.messages, ready.vote_requests, ready.pre_vote_requests, ready.timeout_now):
            self.queue.extend((node, peer, message) for peer, message in messages)
        for peer in ready.snapshots_needed:
            self._send_snapshot(node, peer)
        for entry in ready.committed_entries:
            if entry.kind is EntryKind.COMMAND:
                self.applied[node].append(entry.data)
        if ready.committed_entries:
            raft.advance_applied(ready.committed_entries[-1].index)
        self.reads[node].update(ready.reads)
        self.aborted[node].extend(ready.reads_aborted)
        return ready

    def snapshot(self, node: NodeId) -> int:
        """Take a snapshot of the machine and compact the log to it. Return its index."""
        raft = self.nodes[node]
        index = raft.last_applied
        entry = raft.log_entries_range(index, index)[0]
        self.snapshots[node] = (index, entry.term, list(self.applied[node]), raft.configuration_at(index))
        raft.compact(index)
        return index

    def settle(self, messages_max: int = 20_000) -> None:
        """Deliver messages until none is under way."""
        for _ in range(messages_max):
            for node in sorted(self.nodes):
                self.take(node)
            if not self.queue:
                return
            while self.queue:
                source, target, message = self.queue.popleft()
                if (source, target) not in self.cut_links and target in self.nodes:
                    self.delivered.append((source, target, message))
                    self._handle(source, target, message)
        raise AssertionError("the messages never end")

    def run(self, seconds: float, step: float = 0.05) -> None:
        """Let time pass."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.advance(step)
            for node in sorted(self.nodes):
                self.nodes[node].tick()
            self.settle()

    def elect(self, node: NodeId) -> RaftNode:
        """Make `node` leader of its cluster now."""
        self.clock.advance(self.nodes[node].config.election_timeout_min)
        for other, raft in self.nodes.items():
            soon = self.clock.now if other == node else self.clock.now + 1.5
            raft.election_deadline_override(soon)
        self.nodes[node].tick()
        self.settle()
        assert self.nodes[node].role is NodeRole.LEADER, self.nodes[node].status()
        return self.nodes[node]

    def leader(self) -> RaftNode:
        """Return the leader of the highest term."""
        leaders = [raft for raft in self.nodes.values() if raft.role is NodeRole.LEADER]
        assert leaders, "nobody leads"
        return max(leaders, key=lambda raft: raft.current_term)

    def until(self, holds: Callable[[], bool], seconds: float = 20.0) -> None:
        """Let time pass until `holds()`."""
        end = self.clock.now + seconds
        while not holds():
            assert self.clock.now < end, "the condition never held"
            self.run(0.05)

    def _send_snapshot(self, node: NodeId, peer: NodeId) -> None:
        index, term, machine, configuration = self.snapshots[node]
        raft = self.nodes[node]
        data = b"\0".join(machine)
        self.queue.append(
            (
                node,
                peer,
                InstallSnapshotRequest(
                    raft.current_term, node, index, term, 0, data, True, configuration=configuration
                ),
            )
        )

    def _handle(self, source: NodeId, target: NodeId, message: Message) -> None:
        raft = self.nodes[target]
        answer: Message | None = None
        match message:
            case AppendEntriesRequest():
                answer = raft.handle_append_entries(message)
            case AppendEntriesResponse():
                raft.handle_append_entries_response(source, message)
            case RequestVoteRequest():
                answer = raft.handle_request_vote(message)
            case RequestVoteResponse():
                raft.handle_request_vote_response(source, message)
            case PreVoteRequest():
                answer = raft.handle_pre_vote(message)
            case PreVoteResponse():
                raft.handle_pre_vote_response(source, message)
            case TimeoutNowRequest():
                raft.handle_timeout_now(message)
            case InstallSnapshotRequest():
                before = raft.commit_index
                reply = answer = raft.handle_install_snapshot(message)
                if reply.installed and before < message.last_included_index:
                    self._load(target, message)
            case InstallSnapshotResponse():
                raft.handle_install_snapshot_response(source, message)
        if answer is not None:
            self.queue.append((target, source, answer))

    def _load(self, node: NodeId, message: InstallSnapshotRequest) -> None:
        machine = message.data.split(b"\0") if message.data else []
        configuration = message.configuration or self.first
        self.applied[node] = machine
        self.snapshots[node] = (message.last_included_index, message.last_included_term, list(machine), configuration)


def option(name: str) -> Any:
    """Return keyword arguments that switch one option of `RaftConfig` on."""
    return {name: True}
