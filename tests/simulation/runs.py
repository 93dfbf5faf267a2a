"""Many seeds over all cores, and what they came to together."""

import os
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context

from tests.simulation.faults import FAULTS
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


EFFECTS = ("lost", "duplicated", "blocked", "slow fsync")
"""What the faults of the network and of slow disks came to; the rest is counted as itself."""


def run_seeds(seeds: Iterable[int], events: int = EVENTS) -> Summary:
    """Run some seeds in this process."""
    summary = Summary()
    for seed in seeds:
        summary.seeds += 1
        world = World(seed, events)
        try:
            summary.happened.update(world.run())
        except Exception:
            replay = f"python -m tests.simulation --seed {seed} --events {events}"
            summary.failures.append(f"{replay}\n{traceback.format_exc()}")
        summary.events += world.cluster.events
        summary.operations += len(world.history)
    return summary


def run_everywhere(seeds: range, events: int = EVENTS) -> Iterator[Summary]:
    """Run seeds on all cores; give a summary for each few of them as they end."""
    batches = [seeds[at : at + BATCH] for at in range(0, len(seeds), BATCH)]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("fork")) as pool:
        for done in as_completed([pool.submit(run_seeds, batch, events) for batch in batches]):
            yield done.result()
