"""A simulated cluster of bare `RaftNode`s under every fault of network, disk, clock and process, from one seed.

`python -m tests.core.simulator --seed N --events M` replays a run exactly and prints what happened.

Everything is an event on one heap, in simulated time. After each event the node that acted is checked against
`raftnode.core.invariants`, and the cluster against the properties of figure 3 and of linearizable reads:

- one leader in a term; one vote of a node in a term;
- entries with the same index and term are equal, and so are the terms before them (log matching);
- a new leader has every entry that was delivered anywhere (leader completeness);
- every node delivers the same entry at an index, once and in order (state machine safety);
- a confirmed read covers every entry that was delivered before the read arrived.

At the end the network heals and everything runs: one leader must emerge, commit, and bring all members up to date.
"""

import argparse
import heapq
import random
import sys
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from raftnode.core.config import RaftConfig
from raftnode.core.errors import NotLeader, ProposalRejected
from raftnode.core.invariants import Observation, check, observe
from raftnode.core.membership import ConfChange, Configuration, SnapshotMeta, make_configuration
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
from raftnode.core.types import LogEntry, NodeId, NodeRole
from tests.support.cluster import Message
from tests.support.durable_storage import DurableStorage

SNAPSHOT = b"0123456789"
CHUNK = 5
LIVENESS_SECONDS = 60.0


class SimulationError(AssertionError):
    """A property of the cluster does not hold."""


@dataclass(frozen=True)
class Snapshot:
    """A machine's snapshot: durable at once, before the log is compacted to it."""

    index: int = 0
    term: int = 0
    configuration: Configuration | None = None


@dataclass
class Host:
    """One node's process, disk, clock and machine."""

    node_id: NodeId
    config: RaftConfig
    storage: DurableStorage
    rate: float
    offset: float = 0.0
    node: RaftNode | None = None
    snapshot: Snapshot = Snapshot()
    applied: int = 0
    life: int = 0
    pending: list[tuple[NodeId, Message]] = field(default_factory=list)
    syncing: bool = False
    slow_disk: bool = False
    paused: bool = False
    held: list[tuple[Callable[..., None], tuple[Any, ...]]] = field(default_factory=list)
    seen: Observation | None = None
    reads: dict[int, int] = field(default_factory=dict)


class Simulator:
    """One run. Deterministic: the seed is its only input."""

    def __init__(self, seed: int, *, trace: bool = False) -> None:
        self.seed = seed
        self.rng = rng = random.Random(seed)
        self.now = 0.0
        self.events = 0
        self.heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self.sequence = 0
        self.tracing = trace
        self.trace: deque[str] = deque(maxlen=100_000)
        self.faults: Counter[str] = Counter()
        self.healed = False
        # The network's manners, from a calm to a wild one.
        self.drop, self.duplicate = rng.choice([(0.0, 0.0), (0.02, 0.02), (0.1, 0.05), (0.25, 0.1)])
        self.delay_mean = rng.choice([0.002, 0.01, 0.05])
        self.fault_rate = rng.choice([1.0, 4.0, 12.0])
        self.blocked: set[tuple[NodeId, NodeId]] = set()
        # What is true of the cluster.
        self.truth: list[LogEntry] = []
        self.written: dict[tuple[int, int], tuple[bytes, int]] = {}
        self.leaders: dict[int, NodeId] = {}
        self.votes: dict[tuple[NodeId, int], NodeId] = {}
        self.proposed = 0
        self.reads_confirmed = 0
        self.lease = rng.random() < 0.25
        self.hosts = {node: self._make_host(node) for node in self._members()}
        for host in self.hosts.values():
            self._boot(host)
        self.at(0.5, self._nemesis)
        self.at(0.01, self._client)

    def _members(self) -> list[NodeId]:
        voters = self.rng.choice([1, 2, 3, 3, 4, 5, 5])
        learners, observers = self.rng.randint(0, 1), self.rng.randint(0, 1)
        ids = list(range(1, voters + learners + observers + 1))
        self.first = make_configuration(ids[:voters], ids[voters : voters + learners], ids[voters + learners :])
        return list(range(1, max(len(ids), 3, self.rng.randint(len(ids), 7)) + 1))

    def _make_host(self, node: NodeId) -> Host:
        first, rng = self.first, self.rng
        known = node in first.members()
        config = RaftConfig(
            node_id=node,
            peers=[n for n in first.voters if n != node] if known else [],
            learners=[n for n in first.learners if n != node] if known else [],
            observers=[n for n in first.observers if n != node] if known else [],
            starts_as_learner=node in first.learners or not known,
            starts_as_observer=node in first.observers,
            joined=not known,
            election_timeout_min=0.3,
            election_timeout_max=0.6,
            heartbeat_interval=0.05,
            pre_vote=self.seed % 3 != 0,
            lease_reads=self.lease,
            append_entries_max=self.seed % 4 * 7 + 1,
            append_bytes_max=200,
            inflight_messages_max=4,
            observer_inflight_messages_max=2,
            ready_bytes_max=300,
            log_cache_bytes_max=100,
            commit_broadcast_delay=rng.choice([0.0, 0.005]),
            priority=rng.choice([1.0, 1.0, 1.0, 0.6]),
        )
        storage = DurableStorage(self._on_durable)
        # A lease trusts clocks to drift by less than a tenth; without one they may jump as well.
        return Host(node, config, storage, rate=rng.uniform(0.96, 1.04))

    # The heap.

    def at(self, delay: float, action: Callable[..., None], *arguments: Any) -> None:
        """Do `action` after `delay` seconds."""
        self.sequence += 1
        heapq.heappush(self.heap, (self.now + delay, self.sequence, action, arguments))

    def step(self) -> None:
        """Do the next event."""
        self.now, _, action, arguments = heapq.heappop(self.heap)
        self.events += 1
        action(*arguments)

    def run(self, events: int) -> None:
        """Run `events` events, then heal everything and demand progress."""
        try:
            for _ in range(events):
                self.step()
            self._demand_liveness()
        except Exception as error:
            raise SimulationError(
                f"seed {self.seed}, event {self.events}: {type(error).__name__}: {error}\n"
                f"replay: python -m tests.core.simulator --seed {self.seed} --events {events}"
            ) from error

    def say(self, text: str) -> None:
        self.trace.append(f"{self.now:9.4f} {text}")

    # A node's life.

    def _boot(self, host: Host) -> None:
        host.life += 1
        node = RaftNode(
            host.config,
            host.storage,
            clock=lambda: self.now * host.rate + host.offset,
            rng=random.Random(self.rng.getrandbits(32)),
        )
        snapshot = host.snapshot
        node.restore(SnapshotMeta(snapshot.index, snapshot.term, snapshot.configuration))
        host.node, host.applied, host.seen = node, snapshot.index, None
        host.reads.clear()
        if self.tracing:
            self.say(
                f"n{host.node_id} starts in term {node.current_term}, log {node.log_snapshot_index}+"
                f"..{node.last_log_index}, snapshot {snapshot.index}"
            )
        self._turn(host)
        self.at(self.rng.uniform(0, 0.05), self._tick, host, host.life)

    def _crash(self, host: Host) -> None:
        if host.node is None:
            return
        host.storage.crash(self.rng)
        host.node, host.life = None, host.life + 1
        host.pending, host.held, host.syncing, host.paused = [], [], False, False
        if self.tracing:
            self.say(f"n{host.node_id} crashes; its disk has {host.storage.snapshot_metadata()}..{host.storage.end}")

    def _tick(self, host: Host, life: int) -> None:
        if host.life != life or host.node is None:
            return
        if host.paused:
            host.held.append((self._tick, (host, life)))
            return
        host.node.tick()
        self._turn(host)
        self.at(self.rng.uniform(0.02, 0.08), self._tick, host, life)

    def _turn(self, host: Host) -> None:
        """Do what the node wants: send, stage, sync, apply; then check it."""
        node, storage = host.node, host.storage
        assert node is not None
        ready = node.take_ready()
        if ready.hard_state is not None:
            storage.save_hard_state(ready.hard_state)
        pending = host.pending
        if storage.hard_state_staged:
            pending.extend(ready.messages)
        else:
            for peer, message in ready.messages:
                self._send(host.node_id, peer, message)
        pending.extend(ready.vote_requests)
        pending.extend(ready.pre_vote_requests)
        pending.extend(ready.timeout_now)
        for peer in ready.snapshots_needed:
            self._send_snapshot(host, peer, 0)
        if ready.committed_entries:
            self._apply(host, ready.committed_entries)
        for read, index in ready.reads:
            self._read_confirmed(host, read, index)
        for read in ready.reads_aborted:
            host.reads.pop(read, None)
        if storage.staged:
            if not host.syncing:
                host.syncing = True
                delay = 1.5 if host.slow_disk else 0.0005
                self.at(self.rng.expovariate(1 / delay), self._sync, host, host.life)
        elif pending:
            self._release(host)
        self._check(host)

    def _sync(self, host: Host, life: int) -> None:
        if host.life != life or host.node is None:
            return
        if host.paused:
            host.held.append((self._sync, (host, life)))
            return
        host.syncing = False
        host.storage.sync()
        self._release(host)
        host.node.on_storage_progress()
        self._turn(host)

    def _release(self, host: Host) -> None:
        pending, host.pending = host.pending, []
        for peer, message in pending:
            if type(message) is RequestVoteResponse and message.vote_granted:
                before = self.votes.setdefault((host.node_id, message.term), peer)
                self._require(before == peer, f"n{host.node_id} votes for {before} and {peer} in term {message.term}")
            self._send(host.node_id, peer, message)

    def _apply(self, host: Host, entries: Sequence[LogEntry]) -> None:
        truth = self.truth
        for entry in entries:
            self._require(
                entry.index == host.applied + 1, f"n{host.node_id} is given entry {entry.index} after {host.applied}"
            )
            host.applied = entry.index
            if entry.index > len(truth):
                truth.append(entry)
            elif truth[entry.index - 1] != entry:
                self._require(False, f"n{host.node_id} applies {entry}, another node {truth[entry.index - 1]}")
        assert host.node is not None
        host.node.advance_applied(host.applied)

    # The network.

    def _send(self, source: NodeId, target: NodeId, message: Message) -> None:
        rng = self.rng
        if target not in self.hosts:
            return
        if (source, target) in self.blocked or (self.drop and rng.random() < self.drop):
            self.faults["lost"] += 1
            return
        self.at(rng.expovariate(1 / self.delay_mean), self._deliver, source, target, message)
        if self.duplicate and rng.random() < self.duplicate:
            self.faults["duplicated"] += 1
            self.at(rng.expovariate(0.2 / self.delay_mean), self._deliver, source, target, message)

    def _deliver(self, source: NodeId, target: NodeId, message: Message) -> None:
        host = self.hosts[target]
        node = host.node
        if node is None:
            return
        if host.paused:
            host.held.append((self._deliver, (source, target, message)))
            return
        if self.tracing:
            self.say(f"n{source} -> n{target} {message}")
        answer = _HANDLERS[type(message)](self, host, node, source, message)
        if answer is not None:
            host.pending.append((source, answer))
        self._turn(host)

    def _on_chunk(
        self, host: Host, node: RaftNode, source: NodeId, message: InstallSnapshotRequest
    ) -> InstallSnapshotResponse:
        before = node.commit_index
        if message.done and message.last_included_index > host.snapshot.index:
            # Durable before the core hears of it; it holds committed entries whoever sent it.
            host.snapshot = Snapshot(message.last_included_index, message.last_included_term, message.configuration)
        answer = node.handle_install_snapshot(message)
        if answer.installed and before < message.last_included_index:
            self.faults["snapshot installed"] += 1
            host.applied = message.last_included_index
        return answer

    def _on_chunk_answer(self, host: Host, node: RaftNode, source: NodeId, message: InstallSnapshotResponse) -> None:
        node.handle_install_snapshot_response(source, message)
        waiting = not message.installed and message.last_included_index == host.snapshot.index
        if waiting and node.role is NodeRole.LEADER and message.term == node.current_term:
            self._send_snapshot(host, source, message.next_offset)

    def _send_snapshot(self, host: Host, peer: NodeId, offset: int) -> None:
        node, snapshot = host.node, host.snapshot
        assert node is not None
        data = SNAPSHOT[offset : offset + CHUNK]
        self._send(
            host.node_id,
            peer,
            InstallSnapshotRequest(
                node.current_term,
                host.node_id,
                snapshot.index,
                snapshot.term,
                offset,
                data,
                offset + len(data) >= len(SNAPSHOT),
                configuration=snapshot.configuration,
                checksum=self.seed % 2,
            ),
        )

    # What must hold.

    def _require(self, holds: bool, what: str) -> None:
        if not holds:
            raise SimulationError(what)

    def _on_durable(self, before: int, entries: Sequence[LogEntry]) -> None:
        written = self.written
        for entry in entries:
            key = (entry.index, entry.term)
            known = written.get(key)
            if known is None:
                written[key] = (entry.data, before)
            elif known != (entry.data, before):
                self._require(False, f"entry {key} is {known} in one log and {(entry.data, before)} in another")
            before = entry.term

    def _check(self, host: Host) -> None:
        node = host.node
        assert node is not None
        current = observe(node)
        check(host.seen, current)
        # A lone voter elects itself before its vote is on the disk. Until then nothing leaves it, and a crash undoes
        # the term with everything in it.
        durable = host.storage.disk.load_hard_state().current_term >= current.term
        if current.role is NodeRole.LEADER and durable:
            term = current.term
            if term not in self.leaders:
                self.leaders[term] = host.node_id
                self._check_completeness(host, node)
                if self.tracing:
                    self.say(f"n{host.node_id} leads term {term}")
            elif self.leaders[term] != host.node_id:
                self._require(False, f"term {term} has two leaders, {self.leaders[term]} and {host.node_id}")
        host.seen = current

    def _check_completeness(self, host: Host, node: RaftNode) -> None:
        last = len(self.truth)
        if not last or self.truth[-1].term >= node.current_term or last <= node.log_snapshot_index:
            return
        has = node.last_log_index >= last and node.term_at(last) == self.truth[-1].term
        self._require(has, f"n{host.node_id} leads term {node.current_term} without the committed entry {last}")

    def _read_confirmed(self, host: Host, read: int, index: int) -> None:
        floor = host.reads.pop(read)
        self.reads_confirmed += 1
        self._require(index >= floor, f"n{host.node_id} confirms a read at {index}; {floor} was acknowledged before it")

    # Clients and the one who breaks things.

    def _client(self) -> None:
        self.at(self.rng.expovariate(60.0), self._client)
        for host in self.hosts.values():
            node = host.node
            if node is None or host.paused or node.role is not NodeRole.LEADER:
                continue
            try:
                if self.rng.random() < 0.3:
                    floor = len(self.truth)
                    host.reads[node.read_index()] = floor
                else:
                    self.proposed += 1
                    node.propose(b"%d" % self.proposed)
            except (NotLeader, ProposalRejected):
                pass
            self._turn(host)

    def _nemesis(self) -> None:
        if self.healed:
            return
        rng = self.rng
        self.at(rng.expovariate(self.fault_rate), self._nemesis)
        host = self.hosts[rng.choice(sorted(self.hosts))]
        action, weight = zip(*_FAULTS, strict=True)
        chosen = rng.choices(action, weight)[0]
        if chosen(self, host):
            name = chosen.__name__.strip("_").replace("_", " ")
            self.faults[name] += 1
            if self.tracing:
                self.say(f"-- {name} n{host.node_id}")

    def _crash_and_restart(self, host: Host) -> bool:
        if host.node is None:
            return False
        self._crash(host)
        self.at(self.rng.expovariate(4.0), self._restart, host)
        return True

    def _restart(self, host: Host) -> None:
        if host.node is None:
            self._boot(host)

    def _crash_everyone(self, host: Host) -> bool:
        for other in self.hosts.values():
            self._crash_and_restart(other)
        return True

    def _pause(self, host: Host) -> bool:
        if host.node is None or host.paused:
            return False
        host.paused = True
        self.at(self.rng.expovariate(1.5), self._resume, host, host.life)
        return True

    def _resume(self, host: Host, life: int) -> None:
        if host.life != life or not host.paused:
            return
        host.paused = False
        held, host.held = host.held, []
        for action, arguments in held:
            self.at(0.0, action, *arguments)

    def _jump_clock(self, host: Host) -> bool:
        if self.lease:
            return False
        host.offset += self.rng.choice([0.2, 1.0, 5.0, 3600.0])
        return True

    def _partition(self, host: Host) -> bool:
        nodes = sorted(self.hosts)
        group = set(self.rng.sample(nodes, self.rng.randint(1, len(nodes) - 1)))
        self.blocked = {(a, b) for a in nodes for b in nodes if (a in group) != (b in group)}
        return True

    def _isolate_the_leader(self, host: Host) -> bool:
        """Leave it a minority: where logs and terms part."""
        leader = self._leader()
        if leader is None:
            return False
        me = leader[0].node_id
        others = sorted(set(self.hosts) - {me})
        group = {me, *self.rng.sample(others, min(self.rng.randint(0, 2), len(others)))}
        self.blocked = {(a, b) for a in self.hosts for b in self.hosts if (a in group) != (b in group)}
        return True

    def _crash_the_leader(self, host: Host) -> bool:
        leader = self._leader()
        return leader is not None and self._crash_and_restart(leader[0])

    def _one_way_partition(self, host: Host) -> bool:
        outward = self.rng.random() < 0.5
        me = host.node_id
        self.blocked |= {(me, n) if outward else (n, me) for n in self.hosts if n != me}
        return True

    def _cut_a_link(self, host: Host) -> bool:
        other = self.rng.choice(sorted(self.hosts))
        self.blocked |= {(host.node_id, other), (other, host.node_id)}
        return True

    def _heal_network(self, host: Host) -> bool:
        self.blocked = set()
        return True

    def _slow_disk(self, host: Host) -> bool:
        host.slow_disk = not host.slow_disk
        return True

    def _take_snapshot(self, host: Host) -> bool:
        node = host.node
        if node is None or host.paused or host.applied <= host.snapshot.index:
            return False
        index = host.applied
        if not node.knows_configuration_at(index):
            return False
        host.snapshot = Snapshot(index, node.term_at(index), node.configuration_at(index))
        node.compact(max(0, index - self.rng.choice([0, 0, 3, 20])))
        self._turn(host)
        return True

    def _leader(self) -> tuple[Host, RaftNode] | None:
        found = None
        for host in self.hosts.values():
            node = host.node
            if node is None or host.paused or node.role is not NodeRole.LEADER:
                continue
            if found is None or node.current_term > found[1].current_term:
                found = (host, node)
        return found

    def _change_members(self, host: Host) -> bool:
        leader = self._leader()
        if leader is None:
            return False
        at, node = leader
        count = self.rng.choice([1, 1, 2, 3])
        chosen = self.rng.sample(sorted(self.hosts), min(count, len(self.hosts)))
        changes = [self._change_of(node.configuration, n) for n in chosen]
        try:
            node.propose_conf_change(changes)
        except ProposalRejected:
            return False
        finally:
            self._turn(at)
        if node.configuration.joint:
            self.faults["joint change"] += 1
        return True

    def _promote_when_caught_up(self, host: Host) -> bool:
        leader = self._leader()
        if leader is None or not leader[1].learners:
            return False
        leader[1].promote_when_caught_up(self.rng.choice(leader[1].learners))
        return True

    def _change_of(self, configuration: Configuration, node: NodeId) -> ConfChange:
        if node in configuration.voters:
            return self.rng.choice((ConfChange.demote, ConfChange.remove))(node)
        if node in configuration.learners:
            return self.rng.choice((ConfChange.promote, ConfChange.promote, ConfChange.remove))(node)
        if node in configuration.observers:
            return self.rng.choice((ConfChange.add_learner, ConfChange.remove))(node)
        return self.rng.choice((ConfChange.add_voter, ConfChange.add_learner, ConfChange.add_observer))(node)

    def _transfer(self, host: Host) -> bool:
        leader = self._leader()
        if leader is None:
            return False
        try:
            leader[1].transfer_leadership(host.node_id)
        except ProposalRejected:
            return False
        finally:
            self._turn(leader[0])
        return True

    # The end.

    def _demand_liveness(self) -> None:
        self.healed = True
        self.blocked, self.drop, self.duplicate = set(), 0.0, 0.0
        self.delay_mean = 0.002
        for host in self.hosts.values():
            host.slow_disk = False
            self._resume(host, host.life)
            self._restart(host)
        end = self.now + LIVENESS_SECONDS
        goal = None
        while self.now < end:
            self.step()
            if self.events % 50 == 0:
                leader = self._leader()
                if goal is None and leader is not None and leader[1].commit_index >= leader[1].term_start_index:
                    goal = len(self.truth) + 20
                if goal is not None and leader is not None and self._caught_up(leader[1], goal):
                    return
        self._require(False, f"no progress after the network healed: {self._summary()}")

    def _caught_up(self, leader: RaftNode, goal: int) -> bool:
        members = leader.configuration.members()
        return not leader.configuration.joint and all(self.hosts[n].applied >= goal for n in members)

    def _summary(self) -> str:
        return "; ".join(
            f"n{h.node_id} {h.node.role.value} term {h.node.current_term} log {h.node.last_log_index}@"
            f"{h.node.last_log_term} commit {h.node.commit_index} applied {h.applied} "
            f"{h.node.configuration.voters}|{h.node.configuration.voters_outgoing}|{h.node.configuration.learners}"
            for h in self.hosts.values()
            if h.node is not None
        )


_FAULTS: tuple[tuple[Callable[[Simulator, Host], bool], int], ...] = (
    (Simulator._crash_and_restart, 12), (Simulator._crash_everyone, 1), (Simulator._pause, 5),
    (Simulator._isolate_the_leader, 8), (Simulator._crash_the_leader, 8),
    (Simulator._jump_clock, 3), (Simulator._partition, 6), (Simulator._one_way_partition, 3),
    (Simulator._cut_a_link, 4), (Simulator._heal_network, 20), (Simulator._slow_disk, 3),
    (Simulator._take_snapshot, 15), (Simulator._change_members, 30), (Simulator._transfer, 6),
    (Simulator._promote_when_caught_up, 4),
)  # fmt: skip

_HANDLERS: dict[type[Any], Callable[[Simulator, Host, RaftNode, NodeId, Any], Message | None]] = {
    AppendEntriesRequest: lambda sim, host, node, source, m: node.handle_append_entries(m),
    AppendEntriesResponse: lambda sim, host, node, source, m: node.handle_append_entries_response(source, m),
    RequestVoteRequest: lambda sim, host, node, source, m: node.handle_request_vote(m),
    RequestVoteResponse: lambda sim, host, node, source, m: node.handle_request_vote_response(source, m),
    PreVoteRequest: lambda sim, host, node, source, m: node.handle_pre_vote(m),
    PreVoteResponse: lambda sim, host, node, source, m: node.handle_pre_vote_response(source, m),
    TimeoutNowRequest: lambda sim, host, node, source, m: node.handle_timeout_now(m),
    InstallSnapshotRequest: lambda sim, host, node, source, m: sim._on_chunk(host, node, source, m),
    InstallSnapshotResponse: lambda sim, host, node, source, m: sim._on_chunk_answer(host, node, source, m),
}


def main() -> int:
    parser = argparse.ArgumentParser(description="replay one simulated run of the core and print what happened")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--last", type=int, default=300, help="how many lines of the trace to print (0: all)")
    arguments = parser.parse_args()
    simulator = Simulator(arguments.seed, trace=True)
    failure = None
    try:
        simulator.run(arguments.events)
    except SimulationError as error:
        failure = error
    for line in list(simulator.trace)[-arguments.last :]:
        print(line)
    print(
        f"{simulator.events} events, {len(simulator.truth)} entries delivered, {simulator.reads_confirmed} reads, "
        f"{len(simulator.leaders)} terms with a leader; {dict(simulator.faults)}"
    )
    if failure is not None:
        print(failure, file=sys.stderr)
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
