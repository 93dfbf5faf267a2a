"""The mutant runner tells a rule that a test holds from nonsense that any test would stumble over."""

import pytest

from tests.support.mutant_runner import NO_MUTANT, Outcome, outcomes_of
from tests.support.mutants import Mutant

VOTES = ("core/rules_votes::test_half_of_the_votes_is_no_majority",)
CHUNKS = ("server/replica_snapshots::test_a_new_learner_gets_a_snapshot",)
QUORUM = "    quorum = len(voters) // 2 + 1\n"

MUTANTS = [
    Mutant("caught", "core/quorum.py", QUORUM, "    quorum = (len(voters) + 1) // 2\n", VOTES),
    Mutant("survived", "core/quorum.py", QUORUM, "    quorum = 1 + len(voters) // 2\n", VOTES),
    Mutant("broken: a name is unknown", "core/quorum.py", QUORUM, "    quorum = unknown\n", VOTES),
    Mutant("broken: no module has that name", "core/quorum.py", "import enum\n", "import raftnode.enum\n", VOTES),
    Mutant("broken: it is no Python", "core/quorum.py", "import enum\n", "import\n", VOTES),
    Mutant("broken: a fixture fails", "server/transfers.py", "CHUNK_BYTES: Final", "BYTES: Final", CHUNKS),
]


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    """Judge all once."""
    return outcomes_of(__name__)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_only_an_assertion_or_a_raft_error_in_the_test_itself_counts(
    mutant: Mutant, outcomes: dict[str, Outcome]
) -> None:
    """Each of these has its verdict for a name."""
    outcome = outcomes[mutant.name]
    assert outcome.verdict == mutant.name.partition(":")[0], outcome.detail


def test_the_named_tests_run_without_a_mutant_first(outcomes: dict[str, Outcome]) -> None:
    """So that what fails anyway is seen."""
    assert next(iter(outcomes)) == NO_MUTANT
    assert outcomes[NO_MUTANT].verdict == "survived"
