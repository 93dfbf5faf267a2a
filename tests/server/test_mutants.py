"""Each rule's opposite, applied to the server, the storage or the machine, is noticed by a directed test."""

import json
import subprocess
import sys

import pytest

from tests.core.mutant_runner import Outcome
from tests.server.mutant_runner import ROOT
from tests.server.mutants import MUTANTS, Mutant


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    """Judge all mutants in one interpreter that forks a child for each."""
    command = [sys.executable, "-m", "tests.server.mutant_runner", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    found = [Outcome(**json.loads(line)) for line in done.stdout.splitlines()]
    assert len(found) == len(MUTANTS), done.stderr
    return {outcome.name: outcome for outcome in found}


def test_the_mutants_have_names_of_their_own() -> None:
    """A name says which rule was broken."""
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_caught_by_a_named_test(mutant: Mutant, outcomes: dict[str, Outcome]) -> None:
    """Its old text occurs once, and a named test fails; that the tests pass on the server as it is, they show
    themselves."""
    mutant.source()
    outcome = outcomes[mutant.name]
    assert outcome.verdict == "caught", outcome.detail
