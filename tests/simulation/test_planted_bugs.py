"""The simulation notices a program that breaks its promises: each bug is planted, and a few seeds are enough."""

import re

import pytest

from raftnode.core.errors import InvariantError
from tests.simulation.bugs import BUGS, Bug
from tests.simulation.world import World
from tests.support.scale import SECONDS_MAX

pytestmark = pytest.mark.timeout(SECONDS_MAX)

SEEDS_MAX = 60
EVENTS = 5000


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.plant.__name__)
def test_a_planted_bug_is_noticed_by_its_check(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulation that passes everything shows nothing; nor does one that fails for a reason of its own."""
    bug.plant(monkeypatch)
    seed, said = first_noticed(bug.first_seed)
    print(f"seed {seed}: {said}"[:500])
    assert re.search(bug.noticed, said), f"seed {seed}, noticed by another check: {said}"


def first_noticed(first_seed: int) -> tuple[int, str]:
    """Return the first seed that a check ends, and what the check says. An error of another kind passes through."""
    for seed in range(first_seed, first_seed + SEEDS_MAX):
        try:
            World(seed, EVENTS).run()
        except (AssertionError, InvariantError) as error:
            return seed, str(error)
    raise LookupError(f"{SEEDS_MAX} seeds noticed nothing")


def test_each_bug_has_a_name_of_its_own() -> None:
    """A name says which promise is broken."""
    assert len({bug.plant.__name__ for bug in BUGS}) == len(BUGS)
