"""A failed seed is reported with everything that is needed to understand it."""

import itertools

import pytest

from tests.simulation.runs import Summary, run_seeds
from tests.simulation.trace import LAST_LINES
from tests.simulation.world import World
from tests.support.replicas import Cluster

EVENTS = 500


def fail_after(patch: pytest.MonkeyPatch, events: int) -> None:
    """Let every run fail after this many events."""
    real = Cluster.step

    def step(self: Cluster) -> None:
        real(self)
        if self.events >= events:
            raise AssertionError("no more")

    patch.setattr(Cluster, "step", step)


def test_a_failure_names_its_replay_and_shows_the_last_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to run anything to see what led to it."""
    fail_after(monkeypatch, 300)
    summary = run_seeds([7], EVENTS)
    (failure,) = summary.failures
    lines = failure.splitlines()
    assert lines[0] == "python -m tests.simulation --seed 7 --events 500"
    assert "AssertionError: no more" in failure
    assert "The replay failed in the same way. Its last events:" in failure
    numbers = [int(line.split()[0]) for line in lines[-LAST_LINES:]]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 300


def test_a_failure_that_comes_only_once_is_reported_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure that does not replay is a fault of the simulation, so the trace does not show its cause."""
    runs = itertools.count(1)

    def run(self: World) -> dict[str, int]:
        if next(runs) == 1:
            raise AssertionError("only once")
        return {}

    monkeypatch.setattr(World, "run", run)
    (failure,) = run_seeds([7], EVENTS).failures
    assert "AssertionError: only once" in failure
    assert "The replay ended well: this failure does not depend on the seed alone." in failure


def test_a_failure_that_differs_in_its_replay_is_reported_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """See above."""
    calls = itertools.count(1)

    def run(self: World) -> None:
        raise AssertionError(f"failure number {next(calls)}")

    monkeypatch.setattr(World, "run", run)
    (failure,) = run_seeds([7], EVENTS).failures
    assert "AssertionError: failure number 1" in failure
    assert "The replay failed in another way" in failure
    assert "failure number 2" in failure


def test_summaries_add_up() -> None:
    """What all cores came to is the sum of its parts."""
    one, two = Summary(seeds=1, events=10, operations=2), Summary(seeds=2, events=5, operations=1, failures=["x"])
    one.happened["lost"] = 3
    two.happened["lost"] = 4
    one.add(two)
    assert (one.seeds, one.events, one.operations, one.failures) == (3, 15, 3, ["x"])
    assert one.faults()["lost"] == 7
