"""One run: a cluster of real replicas, clients, an operator, and faults, all from one seed.

Every event is checked as it happens. tests/support/replicas.py: the core's invariants, one leader a term, nothing sent
before it is durable, the same commands in the same order on every machine. checks.py: every result, answer, commit,
snapshot and new leader against a reference model of the whole log. In the end everything is healed, and the cluster
has to come to rest: see `_recover` and `_check`.
"""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from raftnode.config.settings import ReplicaSettings
from raftnode.core.errors import StorageError
from raftnode.machine.kv.machine import KvMachine
from raftnode.machine.sessions.machine import SessionMachine
from raftnode.replica import snapshot_transfer as transfers
from raftnode.storage.data_dir import DataDirError
from raftnode.storage.filesystem import NoSpaceError
from raftnode.wire.entries import WriteEntry, decode_entry
from tests.simulation.checks import Checks
from tests.simulation.clients import HistoryClient
from tests.simulation.faults import FAULTS
from tests.simulation.history import Operation
from tests.simulation.linearizability import violations
from tests.simulation.operator import Operator
from tests.simulation.pipeline import Pipeliner
from tests.simulation.trace import Trace
from tests.simulation.watchers import Auditor, Onlooker, Watcher
from tests.support.filesystem import SimulatedCrash
from tests.support.replicas import Cluster, first_configuration

EVENTS = 8500
ELECTION_TIMEOUT_MAX = 0.3
REMOVAL_SECONDS = 0.1
"""How long the operator waits before it asks again for the removal of a damaged node."""
NANOSECONDS = 1_000_000_000


@contextmanager
def small_chunks() -> Iterator[None]:
    """Let a small snapshot travel in many chunks."""
    before = transfers.CHUNK_BYTES
    transfers.CHUNK_BYTES = 400  # type: ignore[misc]
    try:
        yield
    finally:
        transfers.CHUNK_BYTES = before  # type: ignore[misc]


class World:
    """`World(seed).run()` returns how often each thing happened, or raises what was wrong with the seed in it."""

    def __init__(self, seed: int, events: int = EVENTS, trace: Trace | None = None) -> None:
        self.seed = seed
        self.events = events
        self.rng = random.Random(seed)
        settings = ReplicaSettings(
            election_timeout_min=0.15,
            election_timeout_max=ELECTION_TIMEOUT_MAX,
            heartbeat_interval=0.03,
            snapshot_entries=self.rng.choice([0, 15, 40]),
            snapshot_bytes=self.rng.choice([0, 2000]),
            snapshot_trailing=self.rng.choice([0, 3, 20]),
            request_timeout=1.0,
            no_leader_timeout=0.5,
            check_quorum=self.rng.random() < 0.8,
            log_cache_bytes=self.rng.choice([300, 1_000_000, 1_000_000]),
        )
        voters = self.rng.choice([1, 2, 3, 3, 3, 3, 4, 5, 5])
        self.cluster = Cluster(
            voters, seed=seed, settings=settings, segment_bytes=4096, changes_max=self.rng.choice([10, 100, 10_000])
        )
        self.checks = Checks(self.cluster, first_configuration(range(1, voters + 1)))
        self.trace = trace
        if trace is not None:
            trace.follow(self.cluster)
        self.happened: Counter[str] = Counter()
        self.history: list[Operation] = []
        self.acknowledged_index = 0
        self.draining = False
        self.rotten: set[int] = set()
        """Nodes whose files are damaged: they never start again."""
        self.flipped: set[int] = set()
        """Nodes in whose files a bit flipped, noticed or not."""
        self.operator: Operator = Operator(self)
        self.pipeliner = Pipeliner(self, "pipeliner", "p0")
        self.clients: list[HistoryClient | Onlooker | Pipeliner] = [
            *(HistoryClient(self, f"c{number}") for number in range(1, 5)),
            self.pipeliner,
            Watcher(self, "watcher of all", b""),
            Watcher(self, "watcher of registers", b"r"),
            Auditor(self, "auditor"),
        ]
        self._remove_again_at = 0.0
        self._pause_between_faults = self.rng.choice([0.007, 0.013, 0.025])

    # What faults and clients look at.

    def now_ns(self) -> int:
        """Return the simulated time."""
        return round(self.cluster.clock.now * NANOSECONDS)

    def some_node(self) -> int:
        """Return any node, running or not."""
        return self.rng.choice(sorted(self.cluster.nodes))

    def running(self) -> list[int]:
        """Return the nodes whose process runs."""
        return [node.id for node in self.cluster.nodes.values() if node.replica is not None]

    def dead(self) -> list[int]:
        """Return the nodes that could be started."""
        return [node.id for node in self.cluster.nodes.values() if node.replica is None and node.id not in self.rotten]

    def rotten_members(self) -> list[int]:
        """Return the members that can never come back, as the leader knows the members: all, without a leader."""
        configuration = self.operator.configuration()
        return sorted(node for node in self.rotten if configuration is None or node in configuration.members())

    def acknowledged(self, client: str, index: int, session: int, sequence: int, command: bytes) -> None:
        """Note that a client's write was acknowledged at `index`, and check that it is there."""
        self.acknowledged_index = max(self.acknowledged_index, index)
        applied = self.cluster.applied.get(index)
        assert applied is not None, f"{client}: {index} is acknowledged, but no node has applied it"
        entry = decode_entry(applied)
        assert isinstance(entry, WriteEntry), entry
        found = (entry.session, entry.sequence, entry.command)
        assert found == (session, sequence, command), f"{client}: another command is at {index}: {found}"

    # What faults do.

    def start(self, node: int, *, power: bool = True) -> None:
        """Start a node, whose files are whole. Without `power` it fails somewhere in the middle of the start."""
        try:
            self.boot(node, power=power)
        except SimulatedCrash:
            self.happened["crash in a start"] += 1
            self.cluster.crash(node)
        except (StorageError, DataDirError) as error:
            raise AssertionError(f"node {node} refuses to start, and nothing damaged its files: {error}") from error

    def boot(self, node: int, *, power: bool = True) -> None:
        """Start a node. Raises StorageError and DataDirError where it refuses."""
        found = self.cluster.nodes[node]
        if isinstance(found.failure, NoSpaceError):
            self.happened["end for lack of room"] += 1
        elif isinstance(found.failure, StorageError):
            self.happened["disk error"] += 1
        self.power_off(node)
        found.fs.faults.clear()
        found.fs.capacity_bytes = None
        found.paused = False
        if not power:
            found.fs.crash_at = found.fs.changes + self.rng.randint(1, 12)
        found.start()
        self.happened["start from a snapshot"] += found.running.snapshots.newest is not None

    def power_off(self, node: int) -> None:
        """Let a machine that lost power in the middle of a write, or whose disk failed, come to rest.

        A disk whose fsync failed may show what it does not have: only a reboot shows what it has.
        """
        failure = self.cluster.nodes[node].failure
        if isinstance(failure, SimulatedCrash) or (
            isinstance(failure, StorageError) and not isinstance(failure, NoSpaceError)
        ):
            self.cluster.crash(node)

    def resume(self, node: int) -> None:
        """Let a stopped process go on."""
        found = self.cluster.nodes[node]
        if found.paused:
            found.paused = False
            found._turn_at = float("inf")
            found.schedule_turn(0.0)

    def speed_up(self, node: int) -> None:
        """Let a disk be fast again."""
        self.cluster.nodes[node].sync_seconds = 0.0

    def make_room(self, node: int) -> None:
        """Let a disk have room again."""
        found = self.cluster.nodes[node]
        if found.replica is not None and found.replica.durability.full:
            self.happened["out of room"] += 1
        found.fs.capacity_bytes = None

    # The run.

    def run(self) -> Counter[str]:
        """Run, heal and check."""
        try:
            with small_chunks():
                self._schedule_fault()
                for _ in range(self.events):
                    self.cluster.step()
                self._recover()
                self._check()
        except Exception as error:
            error.add_note(f"seed {self.seed}: {self.cluster.describe()}")
            raise
        self.happened.update(self.cluster.network.happened)
        self.happened.update(self.cluster.effects)
        for node in self.cluster.nodes.values():
            self.happened.update(node.fs.effects)
        self.happened["term with a leader"] += len(self.cluster.leaders)
        return self.happened

    def _schedule_fault(self) -> None:
        self.cluster.clock.after(self.rng.expovariate(1 / self._pause_between_faults), self._fault)

    def _fault(self) -> None:
        if self.draining:
            return
        (kind,) = self.rng.choices(list(FAULTS), [weight for weight, _ in FAULTS.values()])
        if FAULTS[kind][1](self):
            self.happened[kind] += 1
            if self.trace is not None:
                self.trace.note(self.cluster, f"FAULT {kind}")
        self._schedule_fault()

    def _recover(self) -> None:
        """Heal everything. A leader comes within 10 election timeouts, and everyone gets an answer."""
        self.draining = True
        self.cluster.network.heal()
        for node in list(self.cluster.nodes.values()):
            node.fs.faults.clear()
            node.fs.crash_at = node.fs.crash_at_bytes = None
            self.make_room(node.id)
            self.speed_up(node.id)
            node.set_clock()
            if node.id in self.dead():
                self.start(node.id)
            self.resume(node.id)
        self.cluster.run_until(self._is_led, 10 * ELECTION_TIMEOUT_MAX, "a leader")
        self.cluster.run_until(lambda: all(client.done for client in self.clients), 60.0, "the clients' end")
        self.cluster.run_until(self._without_rotten_members, 60.0, "the removal of a damaged node")
        self.cluster.run_for(2.0)
        for client in self.cluster.clients:
            asked = {request: connection.node for request, connection in client.waiting.items()}
            assert not asked, f"{client.name} was never answered what it asked these nodes: {asked}"

    def _is_led(self) -> bool:
        """Whether a node leads and a quorum follows it: one that was deposed without its knowledge is no leader."""
        leader = self.cluster.leading()
        if leader is None:
            return False
        core = self.cluster.replica(leader).node
        known = {node: self.cluster.replica(node).node for node in self.running()}
        following = {
            node
            for node, other in known.items()
            if (other.leader_id, other.current_term) == (leader, core.current_term)
        }
        halves = (core.configuration.voters, core.configuration.voters_outgoing)
        return all(2 * len(following & {*half}) > len(half) for half in halves if half)

    def _without_rotten_members(self) -> bool:
        if self.rotten_members():
            # A leader whose disk is still full refuses at once, and would at once be asked again, without end.
            if self.operator.idle and self.cluster.clock.now >= self._remove_again_at:
                self._remove_again_at = self.cluster.clock.now + REMOVAL_SECONDS
                self.operator.remove()
            return False
        return True

    def _check(self) -> None:
        """Check that all members are equal at one index, and that the log and the history explain every answer."""
        cluster = self.cluster
        leader = cluster.leader()
        goal = cluster.replica(leader).node.last_log_index
        assert goal >= self.acknowledged_index, "an acknowledged entry is gone"
        members = [node for node in cluster.replica(leader).node.configuration.members() if node in cluster.nodes]
        cluster.run_until(
            lambda: all(cluster.replica(node).node.last_applied >= goal for node in members), 60.0, "agreement"
        )
        at = {cluster.replica(node).node.last_applied for node in members}
        assert len(at) == 1, f"the members have applied up to {at}"
        model = SessionMachine(KvMachine())
        for index, data in sorted(cluster.applied.items()):
            model.apply(index, data)
        self.checks.check_machine(model, goal, "the log, applied anew,")
        for node in members:
            assert cluster.replica(node).machine.digest() == model.digest(), f"node {node} differs from its log"
        self.pipeliner.check()
        wrong = violations(self.history)
        assert not wrong, "\n".join(map(str, wrong))
