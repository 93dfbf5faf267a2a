"""Clients that read and write without pause, and one history of all that they were told.

Four clients by default, each with a thread, a session and random operations on keys that all share. Most writes go
through the session: the client tries them until it knows, and anything else than a result is a failure. The others go
outside of it, once, and may end as unknown. In the end everything is read back into the history, which must be
linearizable, and the increments of `TOTAL`, all of which are known, are counted exactly.
"""

import contextlib
import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from raftnode.client import Client
from raftnode.client.blocking import BlockingNetwork, run
from raftnode.client.cluster import Dispatcher
from raftnode.client.connection import Connection
from raftnode.client.errors import ConnectionFailed, NoLeader, OutcomeUnknown, Refused
from raftnode.client.guard import ClusterGuard
from raftnode.client.transport import Deadline
from raftnode.wire import kv
from raftnode.wire.client import Answer, Failed, Read, ReadResult, Write
from tests.simulation.commands import command_of, output_of
from tests.simulation.history import Operation, OperationName, Outcome, write_history
from tests.simulation.linearizability import violations

OPERATION_SECONDS = 30.0
"""How long one operation may take, whatever goes wrong meanwhile."""
ONCE_SECONDS = 2.0
"""How long a write outside the session is waited for, which nobody tries again."""
CLIENTS = 4
TOTAL = "total"
EPOCH_OPERATIONS = 500
"""After so many the clients go on with new keys: few unknown writes are left that a key's later reads could show."""


@dataclass(frozen=True)
class Step:
    """What a client does next. `in_session`: until its result is known; each write takes effect once."""

    op: OperationName
    key: str
    arg: str | int | None = None
    expected: str | None = None
    in_session: bool = True


class LoadClient(threading.Thread):
    """One client. `acknowledged` counts its operations of known result; `problem` says what went wrong."""

    def __init__(self, load: "Load", number: int, rng: random.Random) -> None:
        super().__init__(name=f"client-{number}", daemon=True)
        self.acknowledged = 0
        self.problem = ""
        self._load = load
        self._rng = rng
        self._written = 0
        self._seen: dict[str, str | None] = {}
        self._session = 0

    def run(self) -> None:
        try:
            with contextlib.closing(BlockingNetwork(ClusterGuard())) as network:
                dispatcher = Dispatcher(self._load.endpoints, network)
                while not self._load.stopping.is_set():
                    self._do(dispatcher, self._choose())
        except Exception as error:
            self.problem = f"{self.name}: {type(error).__name__}: {error}"
        self._load.wake()

    def _choose(self) -> Step:
        rng, epoch = self._rng, self._load.epoch
        register = f"register-{rng.randrange(3)}/{epoch}"
        counter = f"counter-{rng.randrange(2)}/{epoch}"
        in_session = rng.random() < 0.75
        self._written += 1
        value = f"{self.name}.{self._written}"
        match rng.choices(("put", "cas", "delete", "incr", "total", "own", "get"), (20, 15, 5, 15, 10, 10, 25))[0]:
            case "put":
                return Step("put", register, value, in_session=in_session)
            case "cas":
                return Step("cas", register, value, self._seen.get(register), in_session=in_session)
            case "delete":
                return Step("delete", register, in_session=in_session)
            case "incr":
                return Step("incr", counter, rng.choice((1, 1, 5)), in_session=in_session)
            case "total":
                return Step("incr", TOTAL, 1)
            case "own":
                return Step("put", f"{self.name}/{self._written}", value, in_session=in_session)
            case _:
                return Step("get", rng.choice((register, counter, TOTAL)))

    def _do(self, dispatcher: Dispatcher, step: Step) -> None:
        deadline = Deadline(OPERATION_SECONDS if step.in_session else ONCE_SECONDS)
        began = time.monotonic_ns()
        outcome: Outcome = "ok"
        output: str | int | bool | None = None
        try:
            result = self._ask(dispatcher, step, deadline)
            output = output_of(step.op, result)
        except OutcomeUnknown:
            if step.in_session:
                raise
            outcome = "unknown"
        except NoLeader:
            if step.in_session:
                raise
            outcome = "fail"
        except Refused:
            if not self._load.waits_for_room:
                raise
            outcome = "fail"
            deadline.pause()
        else:
            self._remember(step, result)
        self._load.record(
            Operation(
                client=self.name,
                key=step.key,
                op=step.op,
                arg=step.arg,
                expected=step.expected,
                output=output,
                outcome=outcome,
                call_ns=began,
                return_ns=time.monotonic_ns(),
            )
        )
        if outcome == "ok":
            self.acknowledged += 1
            self._load.wake()

    def _ask(self, dispatcher: Dispatcher, step: Step, deadline: Deadline) -> kv.KvResult:
        if step.op == "get":
            read = Read(0, kv.encode(kv.Get(step.key.encode())))
            return kv.decode_result(run(dispatcher.call(read, deadline)).result)
        command = kv.encode(command_of(step.op, step.key, step.arg, step.expected))
        if not step.in_session:
            written = run(dispatcher.call(Write(0, 0, 1, 0, command), deadline))
            return kv.decode_result(written.result)
        written = run(dispatcher.write(command, deadline))
        self._session = self._session or dispatcher.session
        assert dispatcher.session == self._session, "the session was lost"
        return kv.decode_result(written.result)

    def _remember(self, step: Step, result: kv.KvResult) -> None:
        """Keep a register's value, which the next cas expects."""
        match result:
            case kv.ConflictResult(current=item) | kv.GetResult(item=item):
                self._seen[step.key] = None if item is None else item.value.decode()


class Onlooker(threading.Thread):
    """Reads `TOTAL` through one node again and again, and takes each answer into the history.

    A refusal or a broken connection is no answer. `problem` says what else went wrong.
    """

    def __init__(self, load: "Load", address: str) -> None:
        super().__init__(name=f"onlooker-{address}", daemon=True)
        self.problem = ""
        self._load = load
        self._address = address
        self._over = threading.Event()

    def run(self) -> None:
        try:
            while not self._over.is_set():
                self._look()
        except Exception as error:
            self.problem = f"{self.name}: {type(error).__name__}: {error}"

    def finish(self) -> None:
        """Look no more."""
        self._over.set()
        self.join()
        assert not self.problem, self.problem

    def _look(self) -> None:
        try:
            with contextlib.closing(Connection(self._address, ClusterGuard())) as connection:
                while not self._over.is_set():
                    began = time.monotonic_ns()
                    answer = connection.call(Read(0, kv.encode(kv.Get(TOTAL.encode()))), Deadline(ONCE_SECONDS))
                    self._load.heard(self.name, began, answer)
                    if isinstance(answer, Failed):
                        Deadline(ONCE_SECONDS).pause()
        except ConnectionFailed:
            Deadline(ONCE_SECONDS).pause()


class Load:
    """All clients, and the history of what they were told."""

    def __init__(
        self, endpoints: Sequence[str], clients: int = CLIENTS, seed: int = 0, *, waits_for_room: bool = False
    ) -> None:
        self.endpoints = list(endpoints)
        self.waits_for_room = waits_for_room
        """Whether a refusal is no failure, because a disk is full on purpose."""
        self.history: list[Operation] = []
        self.stopping = threading.Event()
        self._changed = threading.Condition()
        self.clients = [LoadClient(self, number, random.Random(f"{seed}/{number}")) for number in range(clients)]

    @property
    def epoch(self) -> int:
        """The number of the keys that are in use now."""
        return len(self.history) // EPOCH_OPERATIONS

    def start(self) -> None:
        """Let the clients begin."""
        for client in self.clients:
            client.start()

    def stop(self) -> None:
        """Let each client finish what it does, and end."""
        self.stopping.set()
        for client in self.clients:
            client.join()

    def record(self, operation: Operation) -> None:
        """Take an operation into the history."""
        with self._changed:
            self.history.append(operation)

    def wake(self) -> None:
        """Let whoever waits look again."""
        with self._changed:
            self._changed.notify_all()

    def total(self) -> int:
        """Return how many increments of `TOTAL` were acknowledged so far."""
        with self._changed:
            return sum(o.key == TOTAL and o.op == "incr" and o.outcome == "ok" for o in self.history)

    def heard(self, name: str, began: int, answer: Answer) -> str | None:
        """Take the answer to a read of `TOTAL` that began at `began` into the history, unless it is a refusal.

        Return the value.
        """
        if isinstance(answer, Failed):
            return None
        assert isinstance(answer, ReadResult), answer
        value = output_of("get", kv.decode_result(answer.result))
        assert value is None or isinstance(value, str)
        self.record(
            Operation(
                client=name,
                key=TOTAL,
                op="get",
                output=value,
                outcome="ok",
                call_ns=began,
                return_ns=time.monotonic_ns(),
            )
        )
        return value

    @contextlib.contextmanager
    def watched_through(self, address: str) -> Iterator[None]:
        """Meanwhile read `TOTAL` all the time through one node, whatever it takes itself for."""
        onlooker = Onlooker(self, address)
        onlooker.start()
        try:
            yield
        finally:
            onlooker.finish()

    def put(self, key: str, value: str) -> None:
        """Write once beside the clients, and take it into the history."""
        began = time.monotonic_ns()
        with Client(self.endpoints, timeout=OPERATION_SECONDS) as client:
            client.put(key, value)
        self.record(
            Operation(
                client="test",
                key=key,
                op="put",
                arg=value,
                outcome="ok",
                call_ns=began,
                return_ns=time.monotonic_ns(),
            )
        )

    def progress(self, operations: int = 1, seconds: float = OPERATION_SECONDS) -> None:
        """Wait until each client has had so many more operations acknowledged."""
        goals = [(client, client.acknowledged + operations) for client in self.clients]

        def reached() -> bool:
            return self._failed() or all(client.acknowledged >= goal for client, goal in goals)

        with self._changed:
            done = self._changed.wait_for(reached, seconds)
        self._check_clients()
        missing = {client.name: goal - client.acknowledged for client, goal in goals if client.acknowledged < goal}
        assert done, f"after {seconds:g} s these clients still wait for so many of {operations} operations: {missing}"

    def _failed(self) -> bool:
        return any(client.problem for client in self.clients)

    def _check_clients(self) -> None:
        problems = [client.problem for client in self.clients if client.problem]
        assert not problems, "\n".join(problems)

    def check(self, history_file: Path) -> None:
        """Read everything back, and check what all were told. Writes the history where that fails."""
        try:
            self._check()
        except Exception as error:
            history_file.write_bytes(write_history(self.history))
            error.add_note(f"the history is in {history_file}")
            raise

    def _check(self) -> None:
        self._check_clients()
        with Client(self.endpoints, timeout=OPERATION_SECONDS) as reader:
            found = self._read_back(reader)
        wrong = [str(violation) for violation in violations(self.history)]
        unasked = found.keys() - {operation.key for operation in self.history}
        wrong += [f"key {key!r} is there, and nobody ever wrote it" for key in sorted(unasked)]
        total = self.total()
        if int(found.get(TOTAL, "0")) != total:
            wrong.append(f"{total} increments of {TOTAL!r} were acknowledged, and it is {found.get(TOTAL)}")
        assert not wrong, "\n".join(wrong)
        unknown = sum(operation.outcome == "unknown" for operation in self.history)
        print(f"{len(self.history)} operations, {unknown} of them of unknown outcome; {TOTAL} is {total}")

    def _read_back(self, reader: Client) -> dict[str, str]:
        """Read all pairs, and take a read of each key into the history; return what was found."""
        began = time.monotonic_ns()
        found = {item.key.decode(): item.value.decode() for item in reader.list()}
        ended = time.monotonic_ns()
        for key in sorted({operation.key for operation in self.history}):
            self.record(
                Operation(
                    client=f"reader of {key}",
                    key=key,
                    op="get",
                    output=found.get(key),
                    outcome="ok",
                    call_ns=began,
                    return_ns=ended,
                )
            )
        return found


@contextlib.contextmanager
def load(
    endpoints: Sequence[str], path: Path, clients: int = CLIENTS, *, seed: int = 0, waits_for_room: bool = False
) -> Iterator[Load]:
    """Give clients at work; at the end they stop, and everything that they were told is checked.

    A history with something wrong is left in `path`.
    """
    running = Load(endpoints, clients, seed, waits_for_room=waits_for_room)
    running.start()
    try:
        yield running
    except BaseException:
        # Without waiting: the cluster of a test that has failed may answer nothing any longer.
        running.stopping.set()
        raise
    running.stop()
    running.check(path / "history.jsonl")
