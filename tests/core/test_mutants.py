"""Each rule's opposite, applied to the core, is noticed by a directed test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.core.mutant_runner import Outcome, run_test
from tests.core.mutants import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    """Judge all mutants in one interpreter that forks a child for each."""
    command = [sys.executable, "-m", "tests.core.mutant_runner", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    found = [Outcome(**json.loads(line)) for line in done.stdout.splitlines()]
    assert len(found) == len(MUTANTS), done.stderr
    return {outcome.name: outcome for outcome in found}


def test_the_mutants_have_names_of_their_own() -> None:
    """A name says which rule was broken."""
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert len(MUTANTS) >= 60


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_caught_by_a_named_test(mutant: Mutant, outcomes: dict[str, Outcome]) -> None:
    """Its old text occurs once; a named test fails with an assertion or a Raft error, and not of another kind."""
    mutant.source()
    outcome = outcomes[mutant.name]
    assert outcome.verdict == "caught", outcome.detail


@pytest.mark.parametrize("test", sorted({test for mutant in MUTANTS for test in mutant.tests}))
def test_the_named_test_passes_on_the_core_as_it_is(test: str) -> None:
    """Otherwise it would catch anything."""
    assert run_test(test) is None
