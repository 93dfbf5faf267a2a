"""Feeds targets, and watches the memory: of each one by itself, and of the process over all of them."""

import ctypes
import gc
import random
import resource
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.mutation import mutate
from tests.fuzz.target import Target

GROWTH_BYTES_MAX = 5 * 1024 * 1024
WARM_UP = 0.2
"""The part of the inputs before which nothing is measured: caches and the allocator fill up."""


_libc = ctypes.CDLL(None)


class FuzzFailure(AssertionError):
    """A target raised what it does not promise, or kept memory. The message says how to see it again."""


@dataclass(frozen=True)
class Fed:
    """What feeding one target came to, the warm-up included except in the memory."""

    name: str
    inputs: int
    seconds: float
    growth_bytes: int


class Feeder:
    """Gives one target its mutated inputs, in as many parts as is wished."""

    def __init__(self, target: Target, seed: int) -> None:
        self.target = target
        self.fed = 0
        self.seconds = 0.0
        self._seed = seed
        self._rng = random.Random(f"{seed}/{target.name}")

    def feed(self, inputs: int) -> int:
        """Give the next inputs; return by how many bytes the process has grown. Raises FuzzFailure."""
        before, began = resident_bytes(), time.monotonic()
        for _ in range(inputs):
            data = mutate(self._rng, self.target.seeds)
            try:
                self.target.run(data)
            except Exception as error:
                raise FuzzFailure(
                    f"{self.target.name}: input {self.fed} of seed {self._seed} raised "
                    f"{type(error).__name__}: {error}\nthe input: {data[:2000]!r}"
                ) from error
            self.fed += 1
        self.seconds += time.monotonic() - began
        return resident_bytes() - before


def feed(target: Target, inputs: int, seed: int) -> Fed:
    """Give one target mutated inputs. Raises FuzzFailure."""
    feeder = Feeder(target, seed)
    feeder.feed(int(inputs * WARM_UP))
    return _measured(feeder, inputs)


def feed_all(
    every: Iterable[Target], inputs_each: int, seed: int, tell: Callable[[Fed | FuzzFailure], None]
) -> tuple[int, list[FuzzFailure]]:
    """Warm up and feed every target, calling `tell` for each. Return the total growth in bytes, and what failed."""
    failures: list[FuzzFailure] = []
    warm: list[Feeder] = []

    def note(failure: FuzzFailure) -> None:
        failures.append(failure)
        tell(failure)

    for target in every:
        feeder = Feeder(target, seed)
        try:
            feeder.feed(int(inputs_each * WARM_UP))
        except FuzzFailure as failure:
            note(failure)
        else:
            warm.append(feeder)
    before = resident_bytes()
    for feeder in warm:
        try:
            tell(_measured(feeder, inputs_each))
        except FuzzFailure as failure:
            note(failure)
    growth = resident_bytes() - before
    if growth > GROWTH_BYTES_MAX:
        note(FuzzFailure(f"all targets together left {growth} bytes more in memory"))
    return growth, failures


def _measured(feeder: Feeder, inputs: int) -> Fed:
    growth = feeder.feed(inputs - feeder.fed)
    if growth > GROWTH_BYTES_MAX:
        raise FuzzFailure(f"{feeder.target.name}: {inputs} inputs left {growth} bytes more in memory")
    return Fed(feeder.target.name, feeder.fed, feeder.seconds, growth)


def resident_bytes(pid: int | str = "self") -> int:
    """Return how much memory a process occupies. This process first gives back what is no longer used.

    Without that, pages which the allocator keeps for later would count, and their number depends on chance.
    """
    if pid == "self":
        gc.collect()
        _libc.malloc_trim(0)
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
