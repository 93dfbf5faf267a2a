"""Feeds a target, and watches the memory."""

import gc
import random
import resource
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.mutation import mutate
from tests.fuzz.targets import Target

GROWTH_BYTES_MAX = 5 * 1024 * 1024
WARM_UP = 0.2
"""The part of the inputs before which nothing is measured: caches and the allocator fill up."""


class FuzzFailure(AssertionError):
    """A target raised what it does not promise, or kept memory. The message says how to see it again."""


@dataclass(frozen=True)
class Fed:
    """What feeding one target came to."""

    inputs: int
    growth_bytes: int


def feed(target: Target, inputs: int, seed: int) -> Fed:
    """Give a target mutated inputs. Raises FuzzFailure."""
    rng = random.Random(f"{seed}/{target.name}")
    before = 0
    for number in range(inputs):
        if number == int(inputs * WARM_UP):
            before = resident_bytes()
        data = mutate(rng, target.seeds)
        try:
            target.run(data)
        except Exception as error:
            raise FuzzFailure(
                f"{target.name}: input {number} of seed {seed} raised {type(error).__name__}: {error}\n"
                f"the input: {data[:400]!r}"
            ) from error
    growth = resident_bytes() - before
    if growth > GROWTH_BYTES_MAX:
        raise FuzzFailure(f"{target.name}: {inputs} inputs of seed {seed} left {growth} bytes more in memory")
    return Fed(inputs, growth)


def resident_bytes() -> int:
    """Return how much memory this process occupies, after what can be freed was freed."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
