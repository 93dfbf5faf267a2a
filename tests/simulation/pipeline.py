"""A client that has many writes of one session under way at once, and counts at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raftnode.wire import client as wire
from raftnode.wire.client import Answer, ErrorCode, Failed
from raftnode.wire.kv import Increment, IncrementResult, decode_result, encode

if TYPE_CHECKING:
    from tests.simulation.world import World

RETRY_SECONDS = 0.06


class Pipeliner:
    """Sends bursts of increments of a counter of its own, and tries each one until it has its answer.

    Each is applied exactly once, in whatever order: so the answers are 1, 2, ... up to how many were asked for.
    """

    def __init__(self, world: World, name: str, key: str) -> None:
        self.world = world
        self.name = name
        self.key = key.encode()
        self.rng = world.rng
        self.client = world.cluster.client(name)
        self.client.on_answer = self._on_answer
        self.client.on_lost = self._on_lost
        self.done = False
        self._target = 1
        self._session = self._opening = 0
        self._last = 0
        self._sequences: dict[int, int] = {}
        """By request: the sequence that it is a try of."""
        self._open: set[int] = set()
        """The sequences without an answer."""
        self._results: list[int] = []
        world.cluster.clock.after(0.0, self._begin)

    def hang_up(self) -> None:
        """Close the connections; what is under way is lost."""
        under_way = list(self.client.waiting)
        self.client.hang_up()
        for request_id in under_way:
            self._on_lost(request_id)

    def check(self) -> None:
        """Check that every increment counted once."""
        assert sorted(self._results) == list(range(1, self._last + 1)), f"{self.name}: {self._last}, {self._results}"
        reference = self.world.checks.reference
        value = int(reference.value_at(self.key, reference.index) or b"0")
        assert value == self._last, f"{self.name}: {self._last} increments leave {value}"

    def _begin(self) -> None:
        self._opening = self.client.next_id()
        self.client.send(self._target, wire.OpenSession(self._opening))

    def _burst(self) -> None:
        if self.world.draining:
            self.done = True
            return
        for _ in range(self.rng.randint(1, 6)):
            self._last += 1
            self._open.add(self._last)
        for sequence in sorted(self._open):
            self._try(sequence)

    def _try(self, sequence: int) -> None:
        request = wire.Write(
            self.client.next_id(), self._session, sequence, min(self._open) - 1, encode(Increment(self.key))
        )
        self._sequences[request.id] = sequence
        self.client.send(self._target, request)

    def _on_answer(self, answer: Answer) -> None:
        match answer:
            case Failed():
                assert answer.code not in (ErrorCode.SESSION_EXPIRED, ErrorCode.BAD_REQUEST, ErrorCode.INTERNAL), answer
                known = answer.code is ErrorCode.NOT_LEADER and answer.leader_id in self.world.cluster.nodes
                self._target = answer.leader_id if known and answer.leader_id else self.world.some_node()
                self._again(answer.id)
            case wire.SessionOpened(id=self._opening):
                self._session = answer.session
                self._burst()
            case wire.Written():
                result = decode_result(answer.result)
                assert isinstance(result, IncrementResult), f"{self.name}: {result}"
                sequence = self._sequences.pop(answer.id)
                self.world.acknowledged(self.name, answer.index, self._session, sequence, encode(Increment(self.key)))
                self._results.append(result.value)
                self._open.remove(sequence)
                self.world.happened["pipelined: ok"] += 1
                if not self._open:
                    self.world.cluster.clock.after(self.rng.expovariate(1 / 0.4), self._burst)
            case _:
                raise AssertionError(f"{self.name}: an unexpected answer: {answer}")

    def _on_lost(self, request_id: int) -> None:
        self._target = self.world.some_node()
        self._again(request_id)

    def _again(self, request_id: int) -> None:
        if request_id == self._opening:
            self.world.cluster.clock.after(RETRY_SECONDS, self._begin)
        elif (sequence := self._sequences.pop(request_id, None)) is not None:
            self.world.happened["pipelined: retry"] += 1
            self.world.cluster.clock.after(RETRY_SECONDS, self._try, sequence)
