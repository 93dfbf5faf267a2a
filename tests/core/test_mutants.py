"""Each rule's opposite, applied to the core, is noticed by a directed test."""

import pytest

from tests.core.mutants import MUTANTS
from tests.support.mutant_runner import NO_MUTANT, Outcome, outcomes_of


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    """Judge all mutants once."""
    return outcomes_of("tests.core.mutants")


def test_the_named_tests_pass_without_a_mutant(outcomes: dict[str, Outcome]) -> None:
    """Otherwise they would catch anything."""
    assert outcomes[NO_MUTANT].verdict == "survived", outcomes[NO_MUTANT].detail


@pytest.mark.parametrize("name", [mutant.name for mutant in MUTANTS])
def test_a_mutant_is_caught_by_a_named_test(name: str, outcomes: dict[str, Outcome]) -> None:
    """Its old text occurs once; a named test fails with an assertion or a Raft error, and not of another kind."""
    assert outcomes[name].verdict == "caught", outcomes[name].detail
