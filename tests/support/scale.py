"""How much the random tests do: in the default run, and in the deep one (`tests/run --deep`). All of it stands here.

The default run covers every rule in minutes. The deep run repeats the same tests with more seeds, states and inputs,
and adds mutants (tests/support/mutation.py).
"""

import os
from typing import TypeVar

DEEP = os.environ.get("RAFT_TEST_DEEP", "") == "1"


T = TypeVar("T")


def scaled(default: T, deep: T) -> T:
    """Return what this run takes."""
    return deep if DEEP else default


SIMULATION_SEEDS = scaled(125, 4500)
"""Whole nodes under random faults (tests/simulation): 5,000 events and a healing each."""

FAULT_COUNT_MIN = scaled(150, 5_000)
"""How often each kind of fault has to fire in these seeds."""

EFFECT_COUNT_MIN = scaled(20, 1000)
"""How often each of the rarer things that faults and clients aim at has to come about."""

CORE_SIMULATION_SEEDS = scaled(100, 6250)
"""Cores under random faults (tests/core/simulator.py): 8,000 events each."""

EXPLORED_STATES = scaled(620_000, 11_000_000)
"""States of small clusters of cores, in every order of events (tests/core/exploration.py)."""

FUZZ_INPUTS = scaled(80, 2000)
"""Mutated inputs for each reader of bytes (tests/fuzz)."""

FUZZ_EXAMPLES = scaled(600, 6000)
"""Edits by hypothesis, over all readers."""

WAL_SEEDS = scaled(150, 1500)
"""Random operations and power losses of one log (tests/storage/test_wal_random.py)."""

FAULT_ROUNDS = scaled(1, 10)
"""How long or how often the tests of real programs (tests/faults, tests/fuzz) inject their faults, as a factor."""

KILLS = scaled(20, 50)
"""How many times one round of tests/faults/test_kill.py kills nodes."""

DEATH_SECONDS = scaled((0.5,), (0.05, 0.3, 0.5, 1.0, 1.5, 2.5, 4.0, 6.0))
"""When after a voter's death an operator's commands are tried (tests/faults/test_evidence.py)."""

MUTANTS = 1000
"""Mutants that the deep run draws from all that mutmut makes."""

SECONDS_MAX = scaled(600, 6 * 3600)
"""The time limit of a test that runs seeds. Every other test has the limit in pyproject.toml."""
