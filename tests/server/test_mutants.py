"""Each rule's opposite, applied to the server, the storage or the machine, is noticed by a directed test."""

import pytest

from tests.server.mutants import MUTANTS
from tests.support.mutant_runner import NO_MUTANT, Outcome, outcomes_of
from tests.support.mutants import Mutant


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    """Judge all mutants once."""
    return outcomes_of("tests.server.mutants")


def test_the_mutants_have_names_of_their_own() -> None:
    """A name says which rule was broken."""
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert len(MUTANTS) >= 60


def test_the_named_tests_pass_without_a_mutant(outcomes: dict[str, Outcome]) -> None:
    """Otherwise they would catch anything."""
    assert outcomes[NO_MUTANT].verdict == "survived", outcomes[NO_MUTANT].detail


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_caught_by_a_named_test(mutant: Mutant, outcomes: dict[str, Outcome]) -> None:
    """Its old text occurs once; a named test fails with an assertion or a Raft error, and not of another kind."""
    mutant.source()
    outcome = outcomes[mutant.name]
    assert outcome.verdict == "caught", outcome.detail
