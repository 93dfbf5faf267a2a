"""Many seeds over all cores, and what they came to together."""

import gc
import os
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context

from tests.simulation.faults import FAULTS
from tests.simulation.trace import Trace
from tests.simulation.world import EVENTS, World

BATCH = 4


@dataclass
class Summary:
    """What some seeds came to. Each failure names its seed and how to see it again."""

    seeds: int = 0
    events: int = 0
    operations: int = 0
    happened: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, other: "Summary") -> None:
        """Count `other` in."""
        self.seeds += other.seeds
        self.events += other.events
        self.operations += other.operations
        self.happened.update(other.happened)
        self.failures += other.failures

    def faults(self) -> dict[str, int]:
        """Return how often each kind of fault fired."""
        return {kind: self.happened[kind] for kind in (*FAULTS, *EFFECTS)}


EFFECTS = (
    "reordered", "lost", "duplicated", "delayed", "blocked", "blocked one way",
    "write lost", "write torn", "sync EIO", "pwrite EIO", "write ENOSPC", "slow fsync", "bit rot refused",
    "crashed", "killed", "restarted", "paused", "clock jumped", "turn by a skewed clock",
)  # fmt: skip
"""What the faults came to, counted where it happens: frames that arrived late, twice or after a later one, that met a
cut link or none; writes of which a crash left nothing, or some sectors; calls of the disk that failed; nodes that found
a flipped bit; processes that ended, began, or missed a turn."""


def run_seeds(seeds: Iterable[int], events: int = EVENTS) -> Summary:
    """Run some seeds in this process."""
    summary = Summary()
    for seed in seeds:
        summary.seeds += 1
        world = World(seed, events)
        # A world is small and gone soon: to look for garbage in it takes up to a tenth of the time.
        gc.disable()
        try:
            summary.happened.update(world.run())
        except Exception as error:
            summary.failures.append(report(seed, events, error))
        finally:
            gc.enable()
        summary.events += world.cluster.events
        summary.operations += len(world.history)
    return summary


def report(seed: int, events: int, error: Exception) -> str:
    """Return the report of a failed seed: how to reproduce it, the error, and the last events before it.

    The events come from a second run of the seed. If that one fails differently, or not at all, the report says so.
    """
    trace = Trace()
    again: Exception | None = None
    try:
        World(seed, events, trace).run()
    except Exception as found:
        again = found
    if again is None:
        verdict = "The replay ended well: this failure does not depend on the seed alone."
    elif (type(again), str(again)) != (type(error), str(error)):
        verdict = f"The replay failed in another way, which does not depend on the seed alone: {again!r}"
    else:
        verdict = "The replay failed in the same way."
    command = f"python -m tests.simulation --seed {seed} --events {events}"
    failure = "".join(traceback.format_exception(error))
    return "\n".join([command, failure, f"{verdict} Its last events:", *trace.last])


def run_everywhere(seeds: range, events: int = EVENTS) -> Iterator[Summary]:
    """Run seeds on all cores; give a summary for each few of them as they end."""
    batches = [seeds[at : at + BATCH] for at in range(0, len(seeds), BATCH)]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("fork")) as pool:
        for done in as_completed([pool.submit(run_seeds, batch, events) for batch in batches]):
            yield done.result()
