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
import random
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from raftnode.core.config import RaftConfig
from raftnode.core.errors import NotLeader, ProposalRejected
from raftnode.core.invariants import Observation, check, observe
from raftnode.core.membership import ConfChange, Configuration, make_configuration
from raftnode.core.messages import InstallSnapshotRequest, Message, RequestVoteResponse
from raftnode.core.node import RaftNode
from raftnode.core.ready import Ready
from raftnode.core.types import LogEntry, NodeId, NodeRole
from raftnode.testing import Clock, Disk, Letter, Network, Process

SNAPSHOT = b"0123456789"
CHUNK = 5
LIVENESS_SECONDS = 60.0


class SimulationError(AssertionError):
    """A property of the cluster does not hold."""


class Host(Process):
    """One node's process, disk and machine, and the clock on its wall."""

    chunk_bytes = CHUNK

    def __init__(self, simulator: "Simulator", config: RaftConfig, rate: float) -> None:
        super().__init__(config, clock=self.wall_clock, send=simulator.send, disk=Disk(simulator.on_durable))
        self.simulator = simulator
        self.rate = rate
        self.offset = 0.0
        self.applied = 0
        self.life = 0
        self.slow_disk = False
        self.paused = False
        self.held: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        """What came while it was paused."""
        self.seen: Observation | None = None
        self.floors: dict[int, int] = {}
        """For each read, what was delivered anywhere before it was asked for."""

    def wall_clock(self) -> float:
        """Return what the node takes for the time."""
        return self.simulator.clock.now * self.rate + self.offset

    def boot(self, rng: random.Random) -> RaftNode:
        """Start on what the disk holds."""
        self.life += 1
        self._rng = rng
        self.applied, self.seen = self.snapshot.index, None
        self.floors.clear()
        return self.start()

    def lose_power(self, keep: int) -> None:
        """Lose all but the first `keep` writes that were not synced."""
        self.crash(keep)
        self.life += 1
        self.held, self.paused = [], False

    def turn(self) -> Ready:
        simulator = self.simulator
        ready = super().turn()
        for read, index in ready.reads:
            simulator.read_confirmed(self, read, index)
        for read in ready.reads_aborted:
            self.floors.pop(read, None)
        simulator.check(self)
        return ready

    def begin_sync(self) -> None:
        simulator = self.simulator
        delay = 1.5 if self.slow_disk else 0.0005
        simulator.clock.after(simulator.rng.expovariate(1 / delay), simulator.sync, self, self.life)

    def sending(self, target: NodeId, message: Message) -> None:
        self.simulator.count_vote(self, target, message)

    def apply(self, entries: Sequence[LogEntry]) -> None:
        self.simulator.apply(self, entries)

    def machine_state(self) -> bytes:
        return SNAPSHOT

    def load_machine(self, state: bytes) -> None:
        if state:
            assert state == SNAPSHOT
            self.simulator.faults["snapshot installed"] += self.applied < self.snapshot.index
            self.applied = self.snapshot.index


class LateNetwork(Network[Letter]):
    """A network in which some packets take many times as long as most."""

    def travel_time(self) -> float:
        return self._rng.expovariate(1 / self.delay[1])


class Simulator:
    """One run. Deterministic: the seed is its only input."""

    def __init__(self, seed: int, *, trace: bool = False) -> None:
        self.seed = seed
        self.rng = rng = random.Random(seed)
        self.clock = Clock(0.0)
        self.events = 0
        self.tracing = trace
        self.trace: deque[str] = deque(maxlen=100_000)
        self.healed = False
        # The network's manners, from a calm to a wild one.
        self.network = LateNetwork(self.clock, self._deliver, rng=rng)
        self.faults = self.network.happened
        self.network.loss, self.network.duplication = rng.choice([(0.0, 0.0), (0.02, 0.02), (0.1, 0.05), (0.25, 0.1)])
        self.network.delay = (0.0, rng.choice([0.002, 0.01, 0.05]))
        self.fault_rate = rng.choice([1.0, 4.0, 12.0])
        # What is true of the cluster.
        self.truth: list[LogEntry] = []
        self.written: dict[tuple[int, int], tuple[bytes, int]] = {}
        self.leaders: dict[int, NodeId] = {}
        self.observers_ever: set[NodeId] = set()
        self.votes: dict[tuple[NodeId, int], NodeId] = {}
        self.proposed = 0
        self.reads_confirmed = 0
        self.lease = rng.random() < 0.25
        self.hosts = {node: self._make_host(node) for node in self._members()}
        for host in self.hosts.values():
            self._boot(host)
        self.clock.after(0.5, self._nemesis)
        self.clock.after(0.01, self._client)

    def _members(self) -> list[NodeId]:
        voters = self.rng.choice([1, 2, 3, 3, 4, 5, 5])
        learners, observers = self.rng.randint(0, 1), self.rng.randint(0, 1)
        ids = list(range(1, voters + learners + observers + 1))
        self.observers_ever.update(ids[voters + learners :])
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
        # A lease trusts clocks to drift by less than a tenth; without one they may jump as well.
        return Host(self, config, rate=rng.uniform(0.96, 1.04))

    def step(self) -> None:
        """Do the next event."""
        self.events += 1
        self.clock.step()

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
        self.trace.append(f"{self.clock.now:9.4f} {text}")

    # A node's life.

    def _boot(self, host: Host) -> None:
        node = host.boot(random.Random(self.rng.getrandbits(32)))
        if self.tracing:
            self.say(
                f"n{host.id} starts in term {node.current_term}, log {node.log_snapshot_index}+"
                f"..{node.last_log_index}, snapshot {host.snapshot.index}"
            )
        host.turn()
        self.clock.after(self.rng.uniform(0, 0.05), self._tick, host, host.life)

    def _crash(self, host: Host) -> None:
        if host.running is None:
            return
        host.lose_power(self.rng.randint(0, host.disk.unsynced))
        if self.tracing:
            self.say(f"n{host.id} crashes; its disk has {host.disk.snapshot_metadata()}..{host.disk.last_index}")

    def _tick(self, host: Host, life: int) -> None:
        if host.life != life or host.running is None:
            return
        if host.paused:
            host.held.append((self._tick, (host, life)))
            return
        host.tick()
        self.clock.after(self.rng.uniform(0.02, 0.08), self._tick, host, life)

    def sync(self, host: Host, life: int) -> None:
        """End the sync that one life of `host` began."""
        if host.life != life or host.running is None:
            return
        if host.paused:
            host.held.append((self.sync, (host, life)))
            return
        host.synced()

    def apply(self, host: Host, entries: Sequence[LogEntry]) -> None:
        """Check what a machine is given: the same entries everywhere, once and in order."""
        truth = self.truth
        for entry in entries:
            self._require(
                entry.index == host.applied + 1, f"n{host.id} is given entry {entry.index} after {host.applied}"
            )
            host.applied = entry.index
            if entry.index > len(truth):
                truth.append(entry)
            elif truth[entry.index - 1] != entry:
                self._require(False, f"n{host.id} applies {entry}, another node {truth[entry.index - 1]}")

    # The network.

    def send(self, source: NodeId, target: NodeId, message: Message) -> None:
        """Hand a message to the network."""
        if target not in self.hosts:
            return
        if isinstance(message, InstallSnapshotRequest):
            message = msgspec.structs.replace(message, checksum=self.seed % 2)
        self.network.send(Letter(source, target, message))

    def _deliver(self, letter: Letter) -> bool:
        host = self.hosts[letter.target]
        if host.running is None:
            return False
        if host.paused:
            host.held.append((self._receive, (host, letter)))
        else:
            self._receive(host, letter)
        return True

    def _receive(self, host: Host, letter: Letter) -> None:
        if host.paused:
            host.held.append((self._receive, (host, letter)))
        elif host.running is not None:
            if self.tracing:
                self.say(f"n{letter.source} -> n{letter.target} {letter.message}")
            host.receive(letter.source, letter.message)

    # What must hold.

    def _require(self, holds: bool, what: str) -> None:
        if not holds:
            raise SimulationError(what)

    def on_durable(self, before: int, entries: Sequence[LogEntry]) -> None:
        """Check entries that reach a disk: log matching."""
        written = self.written
        for entry in entries:
            key = (entry.index, entry.term)
            known = written.get(key)
            if known is None:
                written[key] = (entry.data, before)
            elif known != (entry.data, before):
                self._require(False, f"entry {key} is {known} in one log and {(entry.data, before)} in another")
            before = entry.term

    def count_vote(self, host: Host, target: NodeId, message: Message) -> None:
        """Check that a vote which leaves is the only one of its node in its term."""
        if type(message) is RequestVoteResponse and message.vote_granted:
            before = self.votes.setdefault((host.id, message.term), target)
            self._require(before == target, f"n{host.id} votes for {before} and {target} in term {message.term}")

    def check(self, host: Host) -> None:
        """Check a node after its turn: its invariants, and what is true of leaders."""
        node = host.node
        current = observe(node)
        check(host.seen, current)
        # A lone voter elects itself before its vote is on the disk. Until then nothing leaves it, and a crash undoes
        # the term with everything in it.
        durable = host.disk.durable.load_hard_state().current_term >= current.term
        if current.role is NodeRole.LEADER and durable:
            term = current.term
            if term not in self.leaders:
                self.leaders[term] = host.id
                self._check_completeness(host, node)
                if self.tracing:
                    self.say(f"n{host.id} leads term {term}")
            elif self.leaders[term] != host.id:
                self._require(False, f"term {term} has two leaders, {self.leaders[term]} and {host.id}")
        host.seen = current

    def _check_completeness(self, host: Host, node: RaftNode) -> None:
        last = len(self.truth)
        if not last or self.truth[-1].term >= node.current_term or last <= node.log_snapshot_index:
            return
        has = node.last_log_index >= last and node.term_at(last) == self.truth[-1].term
        self._require(has, f"n{host.id} leads term {node.current_term} without the committed entry {last}")

    def read_confirmed(self, host: Host, read: int, index: int) -> None:
        """Check that a read covers what was delivered before it was asked for."""
        floor = host.floors.pop(read)
        self.reads_confirmed += 1
        self._require(index >= floor, f"n{host.id} confirms a read at {index}; {floor} was acknowledged before it")

    # Clients and the one who breaks things.

    def _client(self) -> None:
        self.clock.after(self.rng.expovariate(60.0), self._client)
        for host in self.hosts.values():
            node = host.running
            if node is None or host.paused or node.role is not NodeRole.LEADER:
                continue
            try:
                if self.rng.random() < 0.3:
                    floor = len(self.truth)
                    host.floors[node.read_index()] = floor
                else:
                    self.proposed += 1
                    node.propose(b"%d" % self.proposed)
            except (NotLeader, ProposalRejected):
                pass
            host.turn()

    def _nemesis(self) -> None:
        if self.healed:
            return
        rng = self.rng
        self.clock.after(rng.expovariate(self.fault_rate), self._nemesis)
        host = self.hosts[rng.choice(sorted(self.hosts))]
        action, weight = zip(*_FAULTS, strict=True)
        chosen = rng.choices(action, weight)[0]
        if chosen(self, host):
            name = chosen.__name__.strip("_").replace("_", " ")
            self.faults[name] += 1
            if self.tracing:
                self.say(f"-- {name} n{host.id}")

    def _crash_and_restart(self, host: Host) -> bool:
        if host.running is None:
            return False
        self._crash(host)
        self.clock.after(self.rng.expovariate(4.0), self._restart, host)
        return True

    def _restart(self, host: Host) -> None:
        if host.running is None:
            self._boot(host)

    def _crash_everyone(self, host: Host) -> bool:
        for other in self.hosts.values():
            self._crash_and_restart(other)
        return True

    def _pause(self, host: Host) -> bool:
        if host.running is None or host.paused:
            return False
        host.paused = True
        self.clock.after(self.rng.expovariate(1.5), self._resume, host, host.life)
        return True

    def _resume(self, host: Host, life: int) -> None:
        if host.life != life or not host.paused:
            return
        host.paused = False
        held, host.held = host.held, []
        for action, arguments in held:
            self.clock.after(0.0, action, *arguments)

    def _jump_clock(self, host: Host) -> bool:
        if self.lease:
            return False
        host.offset += self.rng.choice([0.2, 1.0, 5.0, 3600.0])
        return True

    def _partition(self, host: Host) -> bool:
        nodes = sorted(self.hosts)
        group = set(self.rng.sample(nodes, self.rng.randint(1, len(nodes) - 1)))
        self.network.blocked = {(a, b) for a in nodes for b in nodes if (a in group) != (b in group)}
        return True

    def _isolate_the_leader(self, host: Host) -> bool:
        """Leave it a minority: where logs and terms part."""
        leader = self._leader()
        if leader is None:
            return False
        me = leader[0].id
        others = sorted(set(self.hosts) - {me})
        group = {me, *self.rng.sample(others, min(self.rng.randint(0, 2), len(others)))}
        self.network.blocked = {(a, b) for a in self.hosts for b in self.hosts if (a in group) != (b in group)}
        return True

    def _crash_the_leader(self, host: Host) -> bool:
        leader = self._leader()
        return leader is not None and self._crash_and_restart(leader[0])

    def _one_way_partition(self, host: Host) -> bool:
        outward = self.rng.random() < 0.5
        me = host.id
        self.network.blocked |= {(me, n) if outward else (n, me) for n in self.hosts if n != me}
        return True

    def _cut_a_link(self, host: Host) -> bool:
        other = self.rng.choice(sorted(self.hosts))
        self.network.blocked |= {(host.id, other), (other, host.id)}
        return True

    def _heal_network(self, host: Host) -> bool:
        self.network.blocked = set()
        return True

    def _slow_disk(self, host: Host) -> bool:
        host.slow_disk = not host.slow_disk
        return True

    def _take_snapshot(self, host: Host) -> bool:
        node = host.running
        if node is None or host.paused or host.applied <= host.snapshot.index:
            return False
        index = host.applied
        if not node.knows_configuration_at(index):
            return False
        host.take_snapshot(self.rng.choice([0, 0, 3, 20]))
        host.turn()
        return True

    def _leader(self) -> tuple[Host, RaftNode] | None:
        found = None
        for host in self.hosts.values():
            node = host.running
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
            at.turn()
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
            return ConfChange.remove(node)
        add = self.rng.choice((ConfChange.add_voter, ConfChange.add_learner, ConfChange.add_observer))
        if add == ConfChange.add_observer or node in self.observers_ever:
            # An observer never votes, also where it has not heard yet that it became something else.
            self.observers_ever.add(node)
            return ConfChange.add_observer(node)
        return add(node)

    def _transfer(self, host: Host) -> bool:
        leader = self._leader()
        if leader is None:
            return False
        try:
            leader[1].transfer_leadership(host.id)
        except ProposalRejected:
            return False
        finally:
            leader[0].turn()
        return True

    # The end.

    def _demand_liveness(self) -> None:
        self.healed = True
        self.network.heal()
        self.network.delay = (0.0, 0.002)
        for host in self.hosts.values():
            host.slow_disk = False
            self._resume(host, host.life)
            self._restart(host)
        end = self.clock.now + LIVENESS_SECONDS
        goal = None
        while self.clock.now < end:
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
            f"n{h.id} {h.node.role.value} term {h.node.current_term} log {h.node.last_log_index}@"
            f"{h.node.last_log_term} commit {h.node.commit_index} applied {h.applied} "
            f"{h.node.configuration.voters}|{h.node.configuration.voters_outgoing}|{h.node.configuration.learners}"
            for h in self.hosts.values()
            if h.running is not None
        )


_FAULTS: tuple[tuple[Callable[[Simulator, Host], bool], int], ...] = (
    (Simulator._crash_and_restart, 12), (Simulator._crash_everyone, 1), (Simulator._pause, 5),
    (Simulator._isolate_the_leader, 8), (Simulator._crash_the_leader, 8),
    (Simulator._jump_clock, 3), (Simulator._partition, 6), (Simulator._one_way_partition, 3),
    (Simulator._cut_a_link, 4), (Simulator._heal_network, 20), (Simulator._slow_disk, 3),
    (Simulator._take_snapshot, 15), (Simulator._change_members, 30), (Simulator._transfer, 6),
    (Simulator._promote_when_caught_up, 4),
)  # fmt: skip


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
