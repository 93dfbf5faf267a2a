"""A network between simulated nodes, which can be cut, and can lose, hold, delay and duplicate packets."""

import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from raftnode.core.messages import Message
from raftnode.core.types import NodeId
from raftnode.testing.clock import Clock

DELAYED_SECONDS = 0.05
"""A packet that takes longer, between nodes that are a fraction of a millisecond apart, is delayed."""


@dataclass
class Packet:
    """Something on its way from one node to another.

    Attributes:
        source: The node that sent it.
        target: The node that it is sent to.
        number: Its number among all packets of the network, from 1; a copy has the same one.
        sent_at: When it was sent, in seconds of the network's clock.
    """

    source: NodeId
    target: NodeId
    number: int = field(default=0, kw_only=True)
    sent_at: float = field(default=0.0, kw_only=True)


@dataclass
class Letter(Packet):
    """One message between bare nodes.

    Attributes:
        message: The message.
    """

    message: Message


P = TypeVar("P", bound=Packet)


class Network(Generic[P]):
    """Carries packets between nodes: each arrives once, in order, after `delay` seconds, unless a test sets otherwise.

    Attributes:
        delay: The shortest and the longest time that a packet takes, in seconds. If they differ, packets overtake
            each other.
        loss: The fraction of the packets that is lost: 0.0 to 1.0.
        duplication: The fraction of the packets that arrives twice: 0.0 to 1.0.
        blocked: (source, target) pairs between which packets vanish.
        drop: Called with each packet that is sent; True: it vanishes.
        hold: Called with each packet that is sent; True: it waits in `held` until `release()`.
        held: The packets that wait.
        happened: How many packets were "blocked", "blocked one way", "held", "lost", "delivered". Of the delivered
            ones, how many were "reordered" (one that left later had arrived before), "delayed" (they took longer than
            DELAYED_SECONDS), and "duplicated" (a copy had arrived before).
    """

    def __init__(
        self,
        clock: Clock,
        deliver: Callable[[P], bool],
        *,
        delay: tuple[float, float] = (0.0, 0.0),
        rng: random.Random | None = None,
    ) -> None:
        """`deliver(packet)` passes a packet to its target, and returns whether that was up to receive it."""
        self._clock = clock
        self._deliver = deliver
        self._rng = rng if rng is not None else random.Random(0)
        self.delay = self._usual_delay = delay
        self.loss = 0.0
        self.duplication = 0.0
        self.blocked: set[tuple[NodeId, NodeId]] = set()
        self.drop: Callable[[P], bool] = lambda packet: False
        self.hold: Callable[[P], bool] = lambda packet: False
        self.held: deque[P] = deque()
        self.happened: Counter[str] = Counter()
        self._count = 0
        self._newest: dict[tuple[NodeId, NodeId], int] = {}
        self._copied: dict[int, bool] = {}

    def cut(self, one: NodeId, *others: NodeId) -> None:
        """Block all packets between `one` and `others`, in both directions."""
        for other in others:
            self.blocked |= {(one, other), (other, one)}

    def cut_one_way(self, source: NodeId, target: NodeId) -> None:
        """Block all packets from `source` to `target`; the other direction works."""
        self.blocked.add((source, target))

    def heal(self) -> None:
        """Make the network perfect again, and send on what was held."""
        self.blocked.clear()
        self.loss = self.duplication = 0.0
        self.delay = self._usual_delay
        self.drop = lambda packet: False
        self.release()

    def release(self) -> None:
        """Stop holding packets, and send on what was held."""
        self.hold = lambda packet: False
        held, self.held = self.held, deque()
        for packet in held:
            self._travel(packet)

    def send(self, packet: P) -> None:
        """Send a packet, which may be carried, blocked, held or lost."""
        self._count += 1
        packet.number, packet.sent_at = self._count, self._clock.now
        if self._is_blocked(packet) or self.drop(packet):
            self.happened["blocked"] += 1
        elif self.hold(packet):
            self.happened["held"] += 1
            self.held.append(packet)
        elif self.loss and self._rng.random() < self.loss:
            self.happened["lost"] += 1
        else:
            self._travel(packet)
            if self.duplication and self._rng.random() < self.duplication:
                self._copied[packet.number] = False
                self._travel(packet)

    def travel_time(self) -> float:
        """Return how long the next packet takes, in seconds."""
        return self._rng.uniform(*self.delay)

    def arrive(self, packet: P) -> bool:
        """Deliver a packet now, unless its way is blocked. Return whether it was received."""
        if self._is_blocked(packet):
            self.happened["blocked"] += 1
            return False
        if not self._deliver(packet):
            return False
        self.happened["delivered"] += 1
        self._count_effects(packet)
        return True

    def _is_blocked(self, packet: P) -> bool:
        way = (packet.source, packet.target)
        if way not in self.blocked:
            return False
        self.happened["blocked one way"] += way[::-1] not in self.blocked
        return True

    def _travel(self, packet: P) -> None:
        self._clock.after(self.travel_time(), self.arrive, packet)

    def _count_effects(self, packet: P) -> None:
        way, number = (packet.source, packet.target), packet.number
        newest = self._newest.get(way, 0)
        self.happened["reordered"] += number < newest
        self._newest[way] = max(newest, number)
        self.happened["delayed"] += self._clock.now - packet.sent_at > DELAYED_SECONDS
        if number in self._copied:
            self.happened["duplicated"] += self._copied[number]
            self._copied[number] = True
