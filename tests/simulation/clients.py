"""Clients that ask for every kind of operation through the client protocol, and keep what they saw as a history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raftnode.wire import client as wire
from raftnode.wire.client import NOT_DONE, Answer, Consistency, ErrorCode, Failed
from raftnode.wire.kv import ConflictResult, Get, GetResult, decode_result, encode
from tests.simulation.commands import command_of, output_of
from tests.simulation.history import Operation, OperationName, Outcome

if TYPE_CHECKING:
    from tests.simulation.world import World

REGISTERS = ("r0", "r1", "r2")
COUNTERS = ("n0", "n1")
PADDINGS = (0, 0, 600, 1500)
"""How much longer a value is: a write of several sectors can be torn."""


@dataclass
class Pending:
    """The operation under way. `sequence` 0: outside the session."""

    op: OperationName
    key: str
    arg: str | int | None
    expected: str | None
    call_ns: int
    sequence: int
    command: bytes
    request: int = 0
    local: bool = False


class HistoryClient:
    """Has one operation under way at a time. Within its session it tries each write until it knows, or gives it up.

    A write outside the session is sent again only where the answer says that nothing happened.
    """

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.rng = world.rng
        self.client = world.cluster.client(name)
        self.client.on_answer = self._on_answer
        self.client.on_lost = self._on_lost
        self.done = False
        self._session = self._sequence = self._acknowledged = 0
        self._target = 1
        self._opening = 0
        self._pending: Pending | None = None
        self._values = 0
        self._seen: dict[str, str | None] = {}
        self._read_floor = 0
        world.cluster.clock.after(0.0, self._open)

    # Asking.

    def _open(self) -> None:
        self._opening = self.client.next_id()
        self.client.send(self._target, wire.OpenSession(self._opening))

    def _next(self) -> None:
        assert self._pending is None, f"{self.name} begins an operation in the middle of another"
        if self.world.draining:
            self.done = True
            return
        kind = self.rng.random()
        if kind < 0.45:
            key = self.rng.choice(REGISTERS)
            self._values += 1
            value = f"{self.name}.{self._values}" + "." * self.rng.choice(PADDINGS)
            which = self.rng.random()
            if which < 0.45:
                self._begin("put", key, value)
            elif which < 0.85:
                self._begin("cas", key, value, self._seen.get(key))
            else:
                self._begin("delete", key)
        elif kind < 0.7:
            self._begin("incr", self.rng.choice(COUNTERS), self.rng.choice([1, 1, 1, 5]))
        else:
            self._begin("get", self.rng.choice([*REGISTERS, *COUNTERS]), local=kind > 0.9)

    def _begin(
        self,
        op: OperationName,
        key: str,
        arg: str | int | None = None,
        expected: str | None = None,
        *,
        local: bool = False,
    ) -> None:
        sequence = 0
        if op != "get" and self.rng.random() < 0.75:
            self._sequence += 1
            sequence = self._sequence
        data = b"" if op == "get" else encode(command_of(op, key, arg, expected))
        self._pending = Pending(op, key, arg, expected, self.world.now_ns(), sequence, data, local=local)
        self._try()

    def _try(self) -> None:
        pending = self._pending
        if pending is None:
            return
        pending.request = self.client.next_id()
        if pending.op != "get":
            session = self._session if pending.sequence else 0
            request: wire.AnyRequest = wire.Write(
                pending.request, session, pending.sequence or 1, self._acknowledged if session else 0, pending.command
            )
        else:
            self._read_floor = self.world.acknowledged_index
            consistency = Consistency.LOCAL if pending.local else Consistency.LINEARIZABLE
            request = wire.Read(pending.request, encode(Get(pending.key.encode())), consistency)
            if pending.local:
                self._target = self.world.some_node()
        self.client.send(self._target, request)

    def hang_up(self) -> None:
        """Close the connections; what is under way is lost."""
        under_way = list(self.client.waiting)
        self.client.hang_up()
        for request_id in under_way:
            self._on_lost(request_id)

    # Answers.

    def _on_answer(self, answer: Answer) -> None:
        if isinstance(answer, Failed):
            self._on_failure(answer)
        elif answer.id == self._opening:
            assert isinstance(answer, wire.SessionOpened), answer
            self._session, self._opening = answer.session, 0
            self._later(self._next)
        elif self._pending is not None and answer.id == self._pending.request:
            match answer:
                case wire.Written():
                    self._on_written(self._pending, answer)
                case wire.ReadResult():
                    self._on_read(self._pending, answer)
                case _:
                    raise AssertionError(f"an unexpected answer: {answer}")

    def _on_written(self, pending: Pending, answer: wire.Written) -> None:
        session = self._session if pending.sequence else 0
        self.world.acknowledged(self.name, answer.index, session, pending.sequence or 1, pending.command)
        if pending.sequence:
            self._acknowledged = pending.sequence
        result = decode_result(answer.result)
        output = output_of(pending.op, result)
        if isinstance(result, ConflictResult):
            self._seen[pending.key] = None if result.current is None else result.current.value.decode()
        self._finish("ok", output)

    def _on_read(self, pending: Pending, answer: wire.ReadResult) -> None:
        result = decode_result(answer.result)
        assert isinstance(result, GetResult), result
        assert result.revision <= answer.applied_index, f"{self.name}: {answer} has the revision {result.revision}"
        value = None if result.item is None else result.item.value.decode()
        self._check_read(pending.key.encode(), answer.applied_index, result)
        if pending.local:
            self.world.happened["local read"] += 1
            self._pending = None
            self._later(self._next)
            return
        assert answer.applied_index >= self._read_floor, (
            f"{self.name}: a linearizable read at {answer.applied_index}, after a write was acknowledged at "
            f"{self._read_floor}"
        )
        self._seen[pending.key] = value
        self._finish("ok", value)

    def _check_read(self, key: bytes, applied_index: int, result: GetResult) -> None:
        """A read of any kind shows exactly the state that the log gives at the index that it names."""
        reference = self.world.checks.reference
        expected = GetResult(reference.record_at(key, applied_index), reference.revision_at(applied_index))
        assert result == expected, f"{self.name}: a read at {applied_index} is {result}; the log says {expected}"

    def _on_failure(self, answer: Failed) -> None:
        pending = self._pending
        if answer.id != self._opening and (pending is None or answer.id != pending.request):
            return
        assert answer.code not in (ErrorCode.SESSION_EXPIRED, ErrorCode.BAD_REQUEST, ErrorCode.INTERNAL), answer
        if answer.code is ErrorCode.NOT_LEADER and answer.leader_id in self.world.cluster.nodes:
            self._target = answer.leader_id
            self.world.happened["redirect"] += 1
        else:
            self._target = self.world.some_node()
        self._again(sure=answer.outcome == NOT_DONE)

    def _on_lost(self, request_id: int) -> None:
        if request_id == self._opening or (self._pending is not None and request_id == self._pending.request):
            self._target = self.world.some_node()
            self._again(sure=False)

    def _again(self, *, sure: bool) -> None:
        """Try again what failed, or give it up. `sure`: this try had no effect."""
        if self._opening:
            self._later(self._open, 0.03)
            return
        pending = self._pending
        assert pending is not None
        pending.request = 0
        reads = pending.op == "get"
        once = not pending.sequence and not reads
        if once and not sure:
            self._finish("unknown")
        elif self.rng.random() < 0.03:
            # Of an earlier try of a session's write nothing is known, whatever this one's answer says.
            self.world.happened["given up"] += 1
            self._finish("fail" if reads or once else "unknown")
        else:
            self.world.happened["retry"] += 1
            self._later(self._try, 0.03)

    def _finish(self, outcome: Outcome, output: str | int | bool | None = None) -> None:
        pending = self._pending
        assert pending is not None
        self._pending = None
        self.world.happened[f"{pending.op}: {outcome}"] += 1
        self.world.history.append(
            Operation(
                client=self.name,
                key=pending.key,
                op=pending.op,
                arg=pending.arg,
                expected=pending.expected,
                output=output,
                outcome=outcome,
                call_ns=pending.call_ns,
                return_ns=self.world.now_ns(),
            )
        )
        self._later(self._next)

    def _later(self, action: Callable[[], None], delay: float = 0.0) -> None:
        self.world.cluster.clock.after(delay or self.rng.expovariate(1 / 0.02), action)
