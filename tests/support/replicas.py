"""A deterministic cluster of real replicas: everything below the sockets is the daemon's own code.

    scripted client -> wire frame -> Replica -> Wal, SnapshotStore on a SimulatedFilesystem
                                        |
                       wire frame -> simulated network -> Replica ...

The clock knows everything that will happen: deliveries, turns, attempts to connect. `step()` does the next
of it, and checks afterwards what must hold after every event. The same seed gives the same run.
"""

import random
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

import msgspec

from raftnode.config.settings import ReplicaSettings
from raftnode.core.errors import InvariantError, StorageError
from raftnode.core.invariants import Observation, check, observe
from raftnode.core.membership import Configuration, make_configuration
from raftnode.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    PreVoteRequest,
)
from raftnode.core.types import NodeRole
from raftnode.daemon.join import members_configuration
from raftnode.machine.kv.history import CHANGES_MAX
from raftnode.machine.kv.machine import KvMachine
from raftnode.machine.sessions.machine import Applied, SessionMachine
from raftnode.machine.sessions.snapshot import SessionSnapshot
from raftnode.replica.events import EventLog
from raftnode.replica.replica import Replica
from raftnode.storage.data_dir import DataDir, format_data_dir
from raftnode.storage.snapshots import SnapshotStore
from raftnode.storage.wal import Wal
from raftnode.testing import Clock, Event, Network, Packet
from raftnode.wire import client as wire
from raftnode.wire.client import Answer, AnyRequest, Failed, decode_answer, decode_request
from raftnode.wire.frame import FrameDecoder, encode_frame
from raftnode.wire.hello import (
    PROTOCOL_VERSION,
    Hello,
    Rejected,
    Welcome,
    decode_hello,
    decode_hello_answer,
)
from raftnode.wire.kv import Get, GetResult, Increment, Put, decode_result, encode
from raftnode.wire.peer import PeerMessage, PeerRequest, PeerResponse, decode_message, encode_member_context
from tests.support.filesystem import SimulatedCrash, SimulatedFilesystem

CLUSTER_ID = "cluster-under-test"
DATA = "/data"
RECONNECT_SECONDS = 0.05
TIMER_SECONDS = 1e-9
DELAY_SECONDS = 0.0005
"""How long a frame takes, unless a test says otherwise."""
AT_ONCE_MAX = 5000
"""More events than that at one moment are a node that asks for turns and does nothing in them."""
SETTINGS = ReplicaSettings(snapshot_entries=0, snapshot_bytes=0, snapshot_trailing=5)


def address_of(node: int) -> str:
    """Return where node `node` listens."""
    return f"10.0.0.{node}:7000"


def first_configuration(voters: Iterable[int], learners: Iterable[int] = ()) -> Configuration:
    """Return a configuration of nodes named n1, n2, ... at their addresses."""
    voters, learners = list(voters), list(learners)
    contexts = {node: encode_member_context(f"n{node}", address_of(node)) for node in [*voters, *learners]}
    return make_configuration(voters, learners, (), contexts)


def unframe(frame: bytes) -> bytes:
    """Return the body of one whole frame."""
    (body,) = FrameDecoder().feed(frame)
    return body


@dataclass
class Frame(Packet):
    """One frame on its way. `response`: it goes back on the connection that its target dialed."""

    data: bytes
    response: bool
    boot: int
    """Which run of the target it is for: a connection does not outlive either end."""

    @property
    def message(self) -> PeerMessage:
        return decode_message(unframe(self.data))


class Observer:
    """Told of what a cluster does, in order to check it. This one checks nothing."""

    def started(self, node: "Node") -> None:
        """`node` has a process with an empty machine; it is about to load what the disk holds."""

    def applied(self, node: "Node", index: int, data: bytes, outcome: Applied) -> None:
        """`node`'s machine has applied a command."""

    def copied(self, node: "Node") -> None:
        """`node` begins to take a snapshot of its machine; the log that it covers is still there."""

    def restored(self, node: "Node") -> None:
        """`node`'s machine was replaced by what a snapshot holds."""

    def answers(self, node: "Node", answer: Answer) -> None:
        """`node` is about to give a client this answer."""

    def acted(self, node: "Node") -> None:
        """`node` has ended a turn, or heard of a connection."""

    def ends(self, node: "Node") -> None:
        """`node`'s process ends in the middle of one."""


class RecordingMachine(SessionMachine):
    """The real machine of `node`, which also tells the cluster what it does."""

    def __init__(self, node: "Node") -> None:
        super().__init__(KvMachine(node.cluster.changes_max))
        self.node = node

    def apply(self, index: int, data: bytes) -> Applied:
        cluster = self.node.cluster
        cluster.note_applied(self.node, index, data)
        outcome = super().apply(index, data)
        cluster.observer.applied(self.node, index, data, outcome)
        return outcome

    def snapshot(self) -> SessionSnapshot:
        self.node.cluster.observer.copied(self.node)
        return super().snapshot()

    def restore(self, chunks: Iterable[bytes]) -> None:
        super().restore(chunks)
        self.node.cluster.observer.restored(self.node)


class Node:
    """One machine: its disk, and the process on it while it runs."""

    def __init__(self, cluster: "Cluster", node_id: int, fs: SimulatedFilesystem, settings: ReplicaSettings) -> None:
        self.cluster = cluster
        self.id = node_id
        self.fs = fs
        self.settings = settings
        self.snapshot_keep = 2
        self.replica: Replica | None = None
        self.storage: Wal | None = None
        self.failure: BaseException | None = None
        self.links: dict[int, bool] = {}
        """The members that this node dials, and whether they have welcomed it."""
        self.rejections: list[Rejected] = []
        self.journal: deque[tuple[str, object]] = deque(maxlen=20_000)
        """("sync", path), ("request", (peer, message)), ("response", ...), ("answer", answer), in order."""
        self.seen: Observation | None = None
        self.applied_index = 0
        self.paused = False
        self.sync_seconds = 0.0
        """How long each fsync holds up this process."""
        self._lag = self._busy_until = 0.0
        self._clock_rate = 1.0
        self._clock_at = (cluster.clock.now, cluster.clock.now)
        self._wall_offset = 0.0
        self._jumped = self._held_up = False
        self._boot = 0
        self._turn_at = float("inf")

    @property
    def running(self) -> Replica:
        """The replica, which must be running."""
        assert self.replica is not None, f"node {self.id} does not run: {self.failure}"
        return self.replica

    # The machine's clocks.

    def clock(self) -> float:
        """Return what this machine's monotonic clock shows."""
        there, here = self._clock_at
        return here + (self.cluster.clock.now - there) * self._clock_rate

    def wall_clock(self) -> float:
        """Return what this machine takes for the time of day."""
        return self.clock() + self._wall_offset

    def set_clock(self, *, rate: float = 1.0, jump: float = 0.0, wall_offset: float = 0.0) -> None:
        """Let both clocks go `rate` times as fast from now on, after a jump forward; set the time of day."""
        self._clock_at = (self.cluster.clock.now, self.clock() + jump)
        self._clock_rate = rate
        self._wall_offset = wall_offset
        self._jumped = jump > 0.0 and self.replica is not None
        self._turn_at = float("inf")
        self.schedule_turn(0.0)

    # The process.

    def start(self) -> None:
        """Start the process on what the disk holds. Raises StorageError and DataDirError as the daemon would."""
        assert self.replica is None
        self._boot += 1
        self.failure = self.seen = None
        self.links = {}
        self.fs.on_call = self._note_call
        data_dir = DataDir.open(DATA, self.fs)
        transport = _Transport(self, self._boot)
        wal = self.storage = Wal.open(data_dir.wal_path, self.fs, self.cluster.segment_bytes)
        replica = Replica(
            identity=data_dir.identity,
            settings=self.settings,
            storage=wal,
            snapshot_store=SnapshotStore(
                data_dir.snapshots_path, self.fs, self.snapshot_keep, wall_clock=self.wall_clock
            ),
            machine=RecordingMachine(self),
            transport=transport,
            events=EventLog(f"n{self.id}", self.id, data_dir.next_boot(), self.wall_clock),
            known_instances=data_dir.known_instances(),
            remember_instance=data_dir.remember_instance,
            clock=self.clock,
            wall_clock=self.wall_clock,
            rng=random.Random(self.cluster.rng.getrandbits(32)),
        )
        self.replica = replica
        self.cluster.observer.started(self)
        try:
            replica.start()
        except BaseException:
            self.replica = None
            raise
        self.cluster.effects["restarted"] += self._boot > 1
        self.applied_index = replica.node.last_applied
        self._lag = self._busy_until = 0.0
        self.schedule_turn(0.0)

    def stop_running(self, failure: BaseException | None = None) -> None:
        """The process is gone; its connections and its clients' requests with it."""
        self.replica = None
        self.failure = failure
        self._jumped = False
        self._turn_at = float("inf")
        self.cluster.process_gone(self)

    def schedule_turn(self, delay: float) -> None:
        """Have a turn in `delay` seconds at the latest."""
        when = self.cluster.clock.now + delay
        if when < self._turn_at and self.replica is not None:
            self._turn_at = when
            self.cluster.clock.at(when, self._turn, self._boot, when)

    def _turn(self, boot: int, when: float) -> None:
        if boot != self._boot or self._turn_at != when:
            return
        if self.paused:
            self.cluster.effects["paused"] += not self._held_up
            self._held_up = True
            return
        if self.cluster.clock.now < self._busy_until:
            self._turn_at = float("inf")
            self.schedule_turn(self._busy_until - self.cluster.clock.now)
            return
        self.turn()

    def turn(self) -> None:
        """Do one turn now, and the next one when it asks for it."""
        self._turn_at = float("inf")
        self.cluster.effects["clock jumped"] += self._jumped
        self.cluster.effects["turn by a skewed clock"] += self._clock_rate != 1.0
        self._jumped = self._held_up = False
        delays: list[float] = []
        self.guard(lambda replica: delays.append(replica.turn()))
        if delays:
            assert delays[0] >= 0
            self._busy_until = self.cluster.clock.now + self._lag
            # A timer rounds up, so that the node's clock has really come to the moment that it asked for.
            self.schedule_turn(delays[0] / self._clock_rate + TIMER_SECONDS * (delays[0] > 0))
        self._lag = 0.0

    def guard(self, action: Callable[[Replica], object]) -> None:
        """Call the replica; it ends where it says that it must, or where its machine loses power meanwhile."""
        if self.replica is None:
            return
        try:
            action(self.replica)
        except (StorageError, InvariantError, SimulatedCrash) as error:
            self.cluster.observer.ends(self)
            self.stop_running(error)
            if isinstance(error, InvariantError):
                raise
            return
        self.cluster.check_node(self)
        self.cluster.observer.acted(self)

    # What the tests look at.

    def event_types(self) -> list[str]:
        """Return the types of the events of this run, oldest first; none where it does not run."""
        return [] if self.replica is None else [r.type for r in self.replica.events.after("", limit=100_000)[0]]

    def _note_call(self, call: str, path: str) -> None:
        if call == "sync":
            self.journal.append(("sync", path))
            if self.sync_seconds:
                self.cluster.effects["slow fsync"] += 1
                self._lag += self.sync_seconds


class _Transport:
    """What one run of a replica speaks through."""

    def __init__(self, node: Node, boot: int) -> None:
        self._node, self._boot = node, boot
        self._cluster = node.cluster

    def send_request(self, peer: int, message: PeerRequest) -> bool:
        if not self._node.links.get(peer):
            return False
        self._send(peer, message, response=False)
        return True

    def send_response(self, peer: int, message: PeerResponse) -> None:
        other = self._cluster.nodes.get(peer)
        if other is not None and other.links.get(self._node.id):
            self._send(peer, message, response=True)

    def _send(self, peer: int, message: PeerMessage, *, response: bool) -> None:
        assert self._node._boot == self._boot, "a replica that has ended still speaks"
        self._check_durable(message)
        self._node.journal.append(("response" if response else "request", (peer, message)))
        boot = self._cluster.nodes[peer]._boot
        frame = Frame(self._node.id, peer, encode_frame(message), response, boot)
        if self._node._lag:
            self._cluster.clock.after(self._node._lag, self._cluster.network.send, frame)
        else:
            self._cluster.network.send(frame)

    def _check_durable(self, message: PeerMessage) -> None:
        """Check that what this message promises is on the disk: the term always, and all but a leader's entries."""
        wal = self._node.storage
        assert wal is not None
        match message:
            case AppendEntriesRequest() | InstallSnapshotRequest():
                durable = True
            case AppendEntriesResponse(success=True, term=term, last_log_index=last):
                # Of an older term they may be others than those that the disk has by now.
                durable = last <= wal.stable_index and term == wal.load_hard_state().current_term
            case AppendEntriesResponse() | InstallSnapshotResponse(installed=False):
                durable = True
            case _:
                durable = not wal.has_unsynced
        assert durable, f"node {self._node.id} sends {message} before its fsync"
        assert wal._staged_hard_state is None, f"node {self._node.id} sends {message} before its term is durable"
        if not isinstance(message, PreVoteRequest):
            term = wal.load_hard_state().current_term
            assert term >= message.term, f"node {self._node.id} of the durable term {term} sends {message}"

    def answer(self, client: Hashable, answer: Answer) -> None:
        assert isinstance(client, SimulatedConnection)
        self._node.journal.append(("answer", answer))
        self._cluster.observer.answers(self._node, answer)
        body = unframe(encode_frame(answer))
        if self._node._lag:
            self._cluster.clock.after(self._node._lag, self._answer_later, client, body)
        else:
            client.client.take(client, body)

    def _answer_later(self, connection: "SimulatedConnection", body: bytes) -> None:
        if self._node.replica is not None and self._node._boot == self._boot:
            connection.client.take(connection, body)

    def set_members(self, addresses: dict[int, str]) -> None:
        links = self._node.links
        for peer in list(links):
            if peer not in addresses:
                del links[peer]
        for peer in addresses:
            if peer not in links:
                links[peer] = False
                self._cluster.clock.after(0.0, self._cluster.dial, self._node, peer, self._boot)


@dataclass(frozen=True)
class SimulatedConnection:
    """A client's `number`th connection to one run of a node."""

    client: "Client"
    node: int
    boot: int
    number: int


@dataclass
class Client:
    """A scripted client: sends any request to any node, and keeps every answer."""

    cluster: "Cluster"
    name: str
    answers: dict[int, list[Answer]] = field(default_factory=dict)
    waiting: dict[int, SimulatedConnection] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    """Requests whose node died before it answered."""
    on_answer: Callable[[Answer], None] = lambda answer: None
    on_lost: Callable[[int], None] = lambda request_id: None
    _count: int = 0
    _hang_ups: int = 0

    def __hash__(self) -> int:
        return hash(self.name)

    def next_id(self) -> int:
        """Return a request id that was not used before."""
        self._count += 1
        return self._count

    def send(self, node: int, request: AnyRequest) -> int:
        """Send a request, encoded and decoded as on the wire; return its id."""
        target = self.cluster.nodes[node]
        connection = SimulatedConnection(self, node, target._boot, self._hang_ups)
        if target.replica is None:
            self.lost.add(request.id)
            self.cluster.clock.after(0.001, self.on_lost, request.id)
            return request.id
        self.waiting[request.id] = connection
        target.replica.receive_client(connection, decode_request(unframe(encode_frame(request))))
        target.schedule_turn(0.0)
        return request.id

    def take(self, connection: SimulatedConnection, body: bytes) -> None:
        """Take an answer. A request has one. One to a connection that was closed is dropped, as sockets do."""
        answer = decode_answer(body)
        if connection.number < self._hang_ups and answer.id in self.lost:
            return
        assert answer.id not in self.answers, f"{self.name}: request {answer.id} is answered twice"
        assert self.waiting.pop(answer.id, None) == connection, f"{self.name}: {answer} to nobody's request"
        self.answers[answer.id] = [answer]
        self.on_answer(answer)

    def hang_up(self) -> None:
        """Close every connection. What was asked there is no longer answered; the next request opens new ones."""
        gone = dict.fromkeys(self.waiting.values())
        self._hang_ups += 1
        self.lost |= set(self.waiting)
        self.waiting.clear()
        for connection in gone:
            replica = self.cluster.nodes[connection.node].replica
            if replica is not None:
                replica.client_gone(connection)

    def answer(self, request_id: int) -> Answer | None:
        """Return a request's answer, if it has come."""
        found = self.answers.get(request_id)
        return found[0] if found else None

    def ask(self, node: int, request: AnyRequest, timeout: float = 30.0) -> Answer:
        """Send a request and run the cluster until it is answered."""
        request_id = self.send(node, request)
        self.cluster.run_until(lambda: request_id in self.answers, timeout, f"an answer to {request}")
        return self.answers[request_id][0]

    def disconnected(self, node: int) -> None:
        """Learn that a node's process is gone."""
        for request_id in [at for at, there in self.waiting.items() if there.node == node]:
            del self.waiting[request_id]
            self.lost.add(request_id)
            self.on_lost(request_id)


class Cluster:
    """Nodes 1 to `voters`, formatted and running, and the world around them."""

    def __init__(
        self,
        voters: int = 3,
        *,
        seed: int = 0,
        settings: ReplicaSettings = SETTINGS,
        segment_bytes: int = 64 * 1024,
        changes_max: int = CHANGES_MAX,
    ) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.clock = Clock(1000.0)
        self.network: Network[Frame] = Network(
            self.clock, self._deliver, delay=(DELAY_SECONDS, DELAY_SECONDS), rng=self.rng
        )
        self.settings = settings
        self.segment_bytes = segment_bytes
        self.changes_max = changes_max
        """How many changes each machine keeps for watches."""
        self.observer = Observer()
        self.nodes: dict[int, Node] = {}
        self.clients: list[Client] = []
        self.applied: dict[int, bytes] = {}
        """What the machines applied at each index: the same on every node."""
        self.leaders: dict[int, int] = {}
        """Who led each term."""
        self.events = 0
        self.effects: Counter[str] = Counter()
        """What faults of processes and clocks came to; those of the network and the disks count for themselves."""
        self.on_event: Callable[[Event], None] | None = None
        """Told of each event before it happens."""
        self._events_at_once = 0
        configuration = first_configuration(range(1, voters + 1))
        for node in range(1, voters + 1):
            self.format(node, configuration, "voter")
        for found in self.nodes.values():
            found.start()

    # Building.

    def format(self, node: int, configuration: Configuration, capacity: str) -> Node:
        """Make a machine with a data directory; it is not started yet."""
        fs = SimulatedFilesystem(self.rng.getrandbits(32))
        format_data_dir(
            DATA,
            cluster_id=CLUSTER_ID,
            cluster_name="demo",
            node_id=node,
            node_name=f"n{node}",
            address=address_of(node),
            capacity=capacity,
            configuration=configuration,
            fs=fs,
            wall_clock=self.clock,
        )
        made = self.nodes[node] = Node(self, node, fs, self.settings)
        return made

    def join(self, node: int, members: list[wire.MemberStatus], capacity: str = "learner") -> Node:
        """Format and start a node as `raftnode join` does, from the leader's answer."""
        made = self.format(node, members_configuration(members), capacity)
        made.start()
        return made

    def client(self, name: str = "") -> Client:
        """Return a new client."""
        made = Client(self, name or f"client {len(self.clients) + 1}")
        self.clients.append(made)
        return made

    # Life and death.

    def crash(self, node: int, keep: Callable[[int], bool] | None = None) -> None:
        """The machine loses power: `keep(i)` says which pieces that were not synced survive (default: at random)."""
        found = self.nodes[node]
        self.effects["crashed"] += found.replica is not None or isinstance(found.failure, SimulatedCrash)
        choose = random.Random(self.rng.getrandbits(32))
        found.fs = found.fs.crash(keep or (lambda piece: choose.random() < 0.5))
        found.stop_running()

    def kill(self, node: int) -> None:
        """The process dies; the machine keeps everything that it wrote."""
        found = self.nodes[node]
        self.effects["killed"] += found.replica is not None
        found.fs = found.fs.kill()
        found.stop_running()

    def restart(self, node: int) -> None:
        """Start a dead node's process again."""
        self.nodes[node].start()

    def process_gone(self, node: Node) -> None:
        """Break the connections of a process that ended."""
        node.links = {}
        for client in self.clients:
            client.disconnected(node.id)
        for other in self.nodes.values():
            if other.replica is not None and other.links.get(node.id):
                other.links[node.id] = False
                self.clock.after(0.001, self._hear_of_end, other, other._boot, node.id)

    def disconnect(self, source: int, target: int) -> None:
        """Break the connection that `source` dialed to `target`; it dials again."""
        node = self.nodes[source]
        if node.links.get(target):
            node.links[target] = False
            self._hear_of_end(node, node._boot, target)

    def _hear_of_end(self, node: Node, boot: int, peer: int) -> None:
        if node._boot == boot and node.replica is not None:
            node.guard(lambda replica: replica.peer_disconnected(peer))
            node.schedule_turn(0.0)
            self.clock.after(RECONNECT_SECONDS, self.dial, node, peer, boot)

    def dial(self, node: Node, peer: int, boot: int) -> None:
        """Try to connect, with the Hello and its answer as on the wire; try again later where it fails."""
        if node._boot != boot or node.replica is None or peer not in node.links or node.links[peer]:
            return
        if not self._shake_hands(node, node.replica, peer):
            self.clock.after(RECONNECT_SECONDS, self.dial, node, peer, boot)

    def _shake_hands(self, node: Node, replica: Replica, peer: int) -> bool:
        other = self.nodes.get(peer)
        blocked = self.network.blocked & {(node.id, peer), (peer, node.id)}
        if other is None or other.replica is None or blocked or node.paused or other.paused:
            return False
        me = replica.identity
        hello = decode_hello(
            unframe(encode_frame(Hello(PROTOCOL_VERSION, me.cluster_id, me.node_id, me.instance_id, peer)))
        )
        answers: list[Welcome | Rejected] = []
        other.guard(lambda there: answers.append(there.check_hello(hello)))
        if not answers:
            return False
        answer = decode_hello_answer(unframe(encode_frame(answers[0])))
        if isinstance(answer, Rejected):
            node.rejections.append(answer)
            return False
        verdicts: list[Rejected | None] = []
        node.guard(lambda here: verdicts.append(here.check_welcome(peer, answer)))
        if verdicts != [None]:
            node.rejections += [verdict for verdict in verdicts if verdict is not None]
            return False
        node.links[peer] = True
        node.guard(lambda here: here.peer_connected(peer))
        node.schedule_turn(0.0)
        return True

    def _deliver(self, frame: Frame) -> bool:
        target = self.nodes[frame.target]
        if target.replica is None or target._boot != frame.boot:
            return False
        target.replica.receive_peer(frame.source, frame.message)
        target.schedule_turn(0.0)
        return True

    # Time.

    def step(self) -> None:
        """Let the next thing happen."""
        self.events += 1
        before = self.clock.now
        event = self.clock.pop()
        self._events_at_once = self._events_at_once + 1 if self.clock.now == before else 0
        assert self._events_at_once < AT_ONCE_MAX, f"a node spins: time stands still (seed {self.seed})"
        if self.on_event is not None:
            self.on_event(event)
        event.happen()

    def run_for(self, seconds: float) -> None:
        """Let everything happen that falls into the next `seconds`."""
        until = self.clock.now + seconds
        while self.clock.next_time() <= until:
            self.step()
        self.clock.now = until

    def run_until(self, condition: Callable[[], object], timeout: float = 30.0, what: str = "a condition") -> None:
        """Run until `condition()`; fail after `timeout` simulated seconds."""
        until = self.clock.now + timeout
        while not condition():
            if self.clock.next_time() > until:
                raise AssertionError(f"{what} did not come within {timeout:g} s (seed {self.seed}): {self.describe()}")
            self.step()

    # Looking.

    def leader(self, but: Iterable[int] = ()) -> int:
        """Run until a leader has committed an entry of its term; return it."""
        self.run_until(lambda: self.leading(but), what="a leader")
        found = self.leading(but)
        assert found is not None
        return found

    def leading(self, but: Iterable[int] = ()) -> int | None:
        """Return the node that leads the highest term and has committed an entry of it, if any."""
        excluded = set(but)
        found = [
            (replica.node.current_term, node.id)
            for node in self.nodes.values()
            if (replica := node.replica) is not None
            and replica.node.role is NodeRole.LEADER
            and replica.node.commit_index >= replica.node.term_start_index
            and node.id not in excluded
        ]
        return max(found)[1] if found else None

    def followers(self, leader: int) -> list[int]:
        """Return the other running nodes."""
        return [node.id for node in self.nodes.values() if node.id != leader and node.replica is not None]

    def replica(self, node: int) -> Replica:
        """Return a running node's replica."""
        return self.nodes[node].running

    def settle(self, timeout: float = 30.0) -> None:
        """Run until all running nodes have applied all that the leader has."""

        def equal() -> bool:
            leader = self.leading()
            if leader is None:
                return False
            goal = self.replica(leader).node.last_log_index
            return all(n.replica is None or n.replica.node.last_applied == goal for n in self.nodes.values())

        self.run_until(equal, timeout, "agreement")

    def describe(self) -> str:
        """Return one line about every node."""
        lines: list[str] = []
        for node in self.nodes.values():
            if node.replica is None:
                lines.append(f"n{node.id}: down ({node.failure!r})")
            else:
                core = node.replica.node
                lines.append(
                    f"n{node.id}: {core.role.value} term {core.current_term} log {core.log_snapshot_index + 1}.."
                    f"{core.last_log_index} commit {core.commit_index} applied {core.last_applied} links {node.links}"
                )
        return "; ".join(lines)

    # What must hold after every event.

    def check_node(self, node: Node) -> None:
        """Check what must hold of `node` now and compared with before; and that terms have one leader."""
        assert node.replica is not None
        seen = observe(node.replica.node)
        if seen != node.seen:
            check(node.seen, seen)
            node.seen = seen
        assert node.storage is not None
        # Where its disk is full, a lone voter may lead a term that no disk knows yet: it has told nobody, and a
        # crash undoes it.
        if seen.role is NodeRole.LEADER and node.storage._staged_hard_state is None:
            leader = self.leaders.setdefault(seen.term, node.id)
            assert leader == node.id, f"nodes {leader} and {node.id} both lead term {seen.term}"

    def note_applied(self, node: Node, index: int, data: bytes) -> None:
        """Check that every machine applies the same commands, in order."""
        if node.replica is not None and node.replica.node.last_applied > node.applied_index:
            node.applied_index = node.replica.node.last_applied
        assert index > node.applied_index, f"node {node.id} applies {index} after {node.applied_index}"
        node.applied_index = index
        known = self.applied.setdefault(index, data)
        assert known == data, f"node {node.id} applies another command at {index} than the others"


def failed(answer: Answer | None) -> Failed:
    """Return `answer`, which must be a failure."""
    assert isinstance(answer, Failed), answer
    return answer


def fields(answer: Answer | None) -> dict[str, object]:
    """Return an answer's fields, for a comparison that reads well."""
    assert answer is not None
    return msgspec.structs.asdict(answer)


def put(client: Client, key: bytes, value: bytes = b"v") -> wire.Write:
    """Return a put outside any session."""
    return wire.Write(client.next_id(), 0, 1, 0, encode(Put(key, value)))


def increment(client: Client, key: bytes, session: int = 0, sequence: int = 1, acknowledged: int = 0) -> wire.Write:
    """Return an increment, in a session or outside any."""
    return wire.Write(client.next_id(), session, sequence, acknowledged, encode(Increment(key)))


def get(client: Client, key: bytes, consistency: wire.Consistency = wire.Consistency.LINEARIZABLE) -> wire.Read:
    """Return a read of one key."""
    return wire.Read(client.next_id(), encode(Get(key)), consistency)


def change(client: Client, *operations: wire.MemberOperation, dry_run: bool = False, force: bool = False) -> AnyRequest:
    """Return a membership change."""
    return wire.ChangeMembers(client.next_id(), list(operations), dry_run, force)


def add_learner(node: int) -> wire.MemberOperation:
    """Return the operation that adds n<node>, which must be the next free id, as a learner."""
    return wire.MemberOperation(wire.MemberAction.ADD_LEARNER, 0, f"n{node}", address_of(node))


def promote(node: int) -> wire.MemberOperation:
    """Return the operation that gives a learner its vote."""
    return wire.MemberOperation(wire.MemberAction.PROMOTE, node)


def remove(node: int) -> wire.MemberOperation:
    """Return the operation that removes a member."""
    return wire.MemberOperation(wire.MemberAction.REMOVE, node)


def value_of(answer: Answer | None) -> bytes | None:
    """Return the value in the answer to a `get`."""
    assert isinstance(answer, wire.ReadResult), answer
    result = decode_result(answer.result)
    assert isinstance(result, GetResult)
    return None if result.item is None else result.item.value


def local_value(cluster: Cluster, node: int, key: bytes) -> bytes | None:
    """Return what a node's own machine has under `key`."""
    result = decode_result(cluster.replica(node).machine.query(encode(Get(key))))
    assert isinstance(result, GetResult)
    return None if result.item is None else result.item.value
