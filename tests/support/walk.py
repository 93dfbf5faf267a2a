"""A random walk of whole nodes under faults, with clients and an operator that retry, and what must hold at its end.

Everything follows from the seed. `Walk(seed).run()` returns how often each kind of fault fired, or raises.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from raftnode.core.errors import StorageError
from raftnode.server.settings import ReplicaSettings
from raftnode.wire import client as wire
from raftnode.wire.client import NOT_DONE, UNKNOWN, Answer, ErrorCode, Failed, MemberAction, MemberOperation
from tests.support.filesystem import Fault
from tests.support.replicas import Client, Cluster, get, increment, local_value


class Incrementer:
    """Increments a key of its own in a session, one at a time, and retries each until it knows.

    In between it reads, and increments other keys once outside any session.
    """

    def __init__(self, walk: "Walk", name: str) -> None:
        self.walk = walk
        self.key = name.encode()
        self.client = walk.cluster.client(name)
        self.client.on_answer = self._on_answer
        self.client.on_lost = self._on_lost
        self.session = 0
        self.sequence = 0
        self.acknowledged = 0
        self.done = False
        self._target = 1
        self._doing: Callable[[], None] = self._open
        self._current = 0
        self._read_floor = 0
        self._once = 0
        walk.cluster.scheduler.after(0.0, self._open)

    def _send(self, request: wire.Request) -> None:
        self._current = request.id
        self.client.send(self._target, request)

    def _open(self) -> None:
        self._doing = self._open
        self._send(wire.OpenSession(self.client.next_id()))

    def _next(self) -> None:
        if self.walk.draining:
            self.done = True
            return
        kind = self.walk.rng.random()
        if kind < 0.6:
            self.sequence += 1
            self._increment()
        elif kind < 0.85:
            self._read()
        else:
            self._increment_once()

    def _increment(self) -> None:
        self._doing = self._increment
        self._send(increment(self.client, self.key, self.session, self.sequence, self.acknowledged))

    def _read(self) -> None:
        self._doing = self._read
        self._read_floor = self.walk.acknowledged_index
        self._send(get(self.client, self.key))

    def _increment_once(self) -> None:
        """A write that is sent once: what its answer says must be true in the end."""
        self._doing = self._next
        self._once += 1
        key = self.key + b"-%d" % self._once
        self.walk.once[key] = UNKNOWN
        self._send(increment(self.client, key))

    def _on_answer(self, answer: Answer) -> None:
        if answer.id != self._current:
            return
        match answer:
            case wire.SessionOpened(session=session):
                self.session = session
            case wire.Written(index=index):
                self.walk.happened["write"] += 1
                self.walk.acknowledged_index = max(self.walk.acknowledged_index, index)
                if self._doing == self._increment:
                    self.acknowledged = self.sequence
                else:
                    self.walk.once[self.key + b"-%d" % self._once] = "done"
            case wire.ReadResult(applied_index=applied):
                self.walk.happened["read"] += 1
                assert applied >= self._read_floor, (
                    f"{self.client.name}: a linearizable read at {applied}, after a write was acknowledged at "
                    f"{self._read_floor}"
                )
            case Failed():
                self._on_failure(answer)
                return
            case _:
                raise AssertionError(f"an unexpected answer: {answer}")
        self._later(self._next, self.walk.rng.expovariate(1 / 0.02))

    def _on_failure(self, answer: Failed) -> None:
        self.walk.happened[f"failed: {answer.code.value}"] += 1
        assert answer.code is not ErrorCode.SESSION_EXPIRED, answer
        if self._doing == self._next:
            self.walk.once[self.key + b"-%d" % self._once] = answer.outcome
        if answer.leader_id in self.walk.cluster.nodes:
            self._target = answer.leader_id
        else:
            self._target = self.walk.some_node()
        self._later(self._doing, 0.03)

    def _on_lost(self, request_id: int) -> None:
        if request_id == self._current:
            self._target = self.walk.some_node()
            self._later(self._doing, 0.05)

    def _later(self, action: Callable[[], None], delay: float) -> None:
        self._current = 0
        self.walk.cluster.scheduler.after(delay, action)


@dataclass
class Expectation:
    """What the operator does next with the members."""

    name: str
    address: str


class Walk:
    """One run: `events` events with faults, then everything is healed and checked."""

    def __init__(self, seed: int, events: int = 2000) -> None:
        self.seed = seed
        self.events = events
        self.rng = random.Random(seed)
        settings = ReplicaSettings(
            election_timeout_min=0.15, election_timeout_max=0.3, heartbeat_interval=0.03,
            snapshot_entries=self.rng.choice([0, 15, 40]), snapshot_bytes=self.rng.choice([0, 2000]),
            snapshot_trailing=self.rng.choice([0, 3, 20]), request_timeout=1.0, no_leader_timeout=0.5,
            check_quorum=self.rng.random() < 0.8,
        )
        voters = self.rng.choice([1, 2, 3, 3, 3, 3, 3, 4, 5])
        self.cluster = Cluster(voters, seed=seed, settings=settings, segment_bytes=4096)
        self.happened: Counter[str] = Counter()
        self.acknowledged_index = 0
        self.once: dict[bytes, str] = {}
        self.draining = False
        self._pause_between_faults = self.rng.choice([0.05, 0.1, 0.3, 0.6])
        self._additions = 0
        self._operator: Client = self.cluster.client("operator")
        self._operator.on_answer = self._on_operators_answer
        self._pending_join: dict[int, Expectation] = {}
        self._clients = [Incrementer(self, f"c{number}") for number in range(3)]
        self._faults: list[tuple[int, Callable[[], None]]] = [
            (6, self._crash), (4, self._kill), (14, self._restart), (5, self._isolate), (4, self._cut_pair),
            (3, self._cut_one_way), (8, self._heal), (4, self._make_lossy), (3, self._make_slow), (3, self._disconnect),
            (3, self._pause), (4, self._snapshot), (3, self._transfer), (2, self._fail_disk), (5, self._add),
            (8, self._promote), (4, self._remove), (2, self._hang_up),
        ]

    def some_node(self) -> int:
        """Return any node, running or not."""
        return self.rng.choice(sorted(self.cluster.nodes))

    def run(self) -> Counter[str]:
        """Walk, heal and check. Raises AssertionError or InvariantError with the seed."""
        try:
            self._schedule_fault()
            for _ in range(self.events):
                self.cluster.step()
            self._recover()
            self._check()
        except Exception as error:
            error.add_note(f"seed {self.seed}: {self.cluster.describe()}")
            raise
        self.happened.update(self.cluster.network.happened)
        self.happened["term with a leader"] += len(self.cluster.leaders)
        return self.happened

    # Faults.

    def _schedule_fault(self) -> None:
        self.cluster.scheduler.after(self.rng.expovariate(1 / self._pause_between_faults), self._fault)

    def _fault(self) -> None:
        if self.draining:
            return
        weights = [weight for weight, _ in self._faults]
        (_, action), = self.rng.choices(self._faults, weights)
        action()
        self._schedule_fault()

    def _running(self) -> list[int]:
        return [node.id for node in self.cluster.nodes.values() if node.replica is not None]

    def _count(self, what: str) -> None:
        self.happened[what] += 1

    def _crash(self) -> None:
        for node in self.rng.sample(self._running(), min(len(self._running()), self.rng.choice([1, 1, 1, 2, 5]))):
            self.cluster.crash(node)
            self._count("power loss")

    def _kill(self) -> None:
        if running := self._running():
            self.cluster.kill(self.rng.choice(running))
            self._count("kill")

    def _restart(self) -> None:
        dead = [node for node in self.cluster.nodes.values() if node.replica is None]
        if dead:
            self._start(self.rng.choice(dead).id)
            self._count("restart")

    def _start(self, node: int) -> None:
        found = self.cluster.nodes[node]
        if isinstance(found.failure, StorageError):
            # A disk whose fsync failed may show what it does not have: only a reboot tells.
            self.cluster.crash(node)
        found.fs.faults.clear()
        found.paused = False
        found.start()
        self.happened["start from a snapshot"] += found.running.newest_snapshot is not None

    def _isolate(self) -> None:
        node = self.some_node()
        self.cluster.network.cut(node, *[other for other in self.cluster.nodes if other != node])
        self._count("isolate")

    def _cut_pair(self) -> None:
        self.cluster.network.cut(self.some_node(), self.some_node())
        self._count("cut")

    def _cut_one_way(self) -> None:
        self.cluster.network.cut_one_way(self.some_node(), self.some_node())
        self._count("cut one way")

    def _heal(self) -> None:
        self.cluster.network.heal()
        for node in self.cluster.nodes.values():
            self._resume(node.id)
        self._count("heal")

    def _make_lossy(self) -> None:
        self.cluster.network.loss = self.rng.choice([0.02, 0.1, 0.3])
        self.cluster.network.duplication = self.rng.choice([0.0, 0.1, 0.3])
        self._count("lossy")

    def _make_slow(self) -> None:
        self.cluster.network.delay = self.rng.choice([(0.0005, 0.02), (0.001, 0.1), (0.0001, 0.3)])
        self._count("slow and reordering")

    def _disconnect(self) -> None:
        self.cluster.disconnect(self.some_node(), self.some_node())
        self._count("disconnect")

    def _pause(self) -> None:
        node = self.some_node()
        self.cluster.nodes[node].paused = True
        self.cluster.scheduler.after(self.rng.choice([0.05, 0.3, 1.0]), partial(self._resume, node))
        self._count("pause")

    def _resume(self, node: int) -> None:
        found = self.cluster.nodes[node]
        if found.paused:
            found.paused = False
            found._turn_at = float("inf")
            found.schedule_turn(0.0)

    def _fail_disk(self) -> None:
        disk = self.cluster.nodes[self.some_node()].fs
        disk.faults.append(Fault(self.rng.choice(["sync", "pwrite"]), path="/data/*", skip=self.rng.randrange(4)))
        self._count("disk error")

    def _hang_up(self) -> None:
        self._operator.hang_up()
        self._count("hang up")

    # The operator.

    def _ask(self, request: wire.Request) -> None:
        if running := self._running():
            self._operator.send(self.cluster.leading() or self.rng.choice(running), request)

    def _snapshot(self) -> None:
        if running := self._running():
            self._operator.send(self.rng.choice(running), wire.TriggerSnapshot(self._operator.next_id()))
            self._count("snapshot")

    def _transfer(self) -> None:
        self._ask(wire.TransferLeadership(self._operator.next_id(), self.rng.choice([0, self.some_node()])))
        self._count("transfer")

    def _change(self, *operations: MemberOperation) -> int:
        request = wire.ChangeMembers(self._operator.next_id(), list(operations))
        self._ask(request)
        return request.id

    def _add(self) -> None:
        leader = self.cluster.leading()
        if leader is None or len(self.cluster.replica(leader).node.configuration.members()) >= 6:
            return
        self._additions += 1
        new = Expectation(f"x{self._additions}", f"10.0.1.{self._additions}:7000")
        request_id = self._change(MemberOperation(MemberAction.ADD_LEARNER, 0, new.name, new.address))
        self._pending_join[request_id] = new
        self._count("add")

    def _promote(self) -> None:
        leader = self.cluster.leading()
        if leader is not None and (learners := self.cluster.replica(leader).node.configuration.learners):
            self._change(MemberOperation(MemberAction.PROMOTE, self.rng.choice(learners)))
            self._count("promote")

    def _remove(self) -> None:
        leader = self.cluster.leading()
        if leader is None:
            return
        members = list(self.cluster.replica(leader).node.configuration.members())
        chosen = self.rng.sample(members, min(len(members), self.rng.choice([1, 1, 2])))
        self._change(*[MemberOperation(MemberAction.REMOVE, node) for node in chosen])
        self._count("remove")

    def _on_operators_answer(self, answer: Answer) -> None:
        expected = self._pending_join.pop(answer.id, None)
        if expected is None or not isinstance(answer, wire.MembersChanged):
            return
        own = next((member.id for member in answer.members if member.name == expected.name), None)
        if own is not None and own not in self.cluster.nodes:
            self.cluster.join(own, answer.members)
            self._count("join")
        if answer.changed:
            self._count("member changed")

    # The end.

    def _recover(self) -> None:
        """Heal everything, and let every client come to its end: that it does is the liveness of the cluster."""
        self.draining = True
        self.cluster.network.heal()
        for node in list(self.cluster.nodes.values()):
            node.fs.faults.clear()
            if node.replica is None:
                self._start(node.id)
            self._resume(node.id)
        self.cluster.run_until(lambda: all(client.done for client in self._clients), 60.0, "the clients' end")
        self.cluster.run_for(2.0)
        for client in self.cluster.clients:
            assert not client.waiting, f"{client.name} was never answered: {client.waiting}"

    def _check(self) -> None:
        """Check that all members are equal, and that everything happened as often as the clients were told."""
        cluster = self.cluster
        leader = cluster.leader()
        members = cluster.replica(leader).node.configuration.members()
        goal = cluster.replica(leader).node.last_log_index
        present = [node for node in members if node in cluster.nodes]
        cluster.run_until(
            lambda: all(cluster.replica(node).node.last_applied >= goal for node in present), 60.0, "agreement"
        )
        at = {cluster.replica(node).node.last_applied for node in present}
        assert len(at) == 1, at
        assert len({cluster.replica(node).machine.digest() for node in present}) == 1, "two machines differ"
        for client in self._clients:
            counted = int(local_value(cluster, leader, client.key) or b"0")
            assert counted == client.acknowledged == client.sequence, (client.key, counted, client.sequence)
        for key, outcome in self.once.items():
            counted = int(local_value(cluster, leader, key) or b"0")
            allowed = {"done": (1,), NOT_DONE: (0,), UNKNOWN: (0, 1)}[outcome]
            assert counted in allowed, f"{key!r} was {outcome} and counts {counted}"
