"""Every planted bug is caught by the tests that it names, and the judge tells a good bug from a bad one."""

import pytest

from tests.support.planted import Patch, PlantedBugs
from tests.support.planted_runner import judge_apart
from tests.support.scale import SECONDS_MAX

pytestmark = pytest.mark.timeout(SECONDS_MAX)

MODULES = [f"tests.{package}.planted_bugs" for package in ("core", "storage", "machine", "replica")]


@pytest.mark.parametrize("module", MODULES)
def test_each_planted_bug_is_caught_by_its_tests(module: str) -> None:
    """A rule whose opposite nobody notices is not tested. That the tests pass without a bug shows the suite itself."""
    outcomes = judge_apart(module, "--no-baseline")
    assert outcomes
    wrong = [f"{outcome.verdict}: {outcome.name}: {outcome.detail}" for outcome in outcomes if not outcome.expected]
    assert not wrong, "\n".join(wrong)


# What the judge says of bugs that are none.

BUGS = PlantedBugs("core")
TEST = "rules_votes::test_a_single_voter_elects_itself"


@BUGS.noticed_by(TEST)
def a_bug_that_changes_nothing(patch: Patch) -> None:
    """Survives."""


@BUGS.noticed_by(TEST)
def a_patch_that_does_not_fit(patch: Patch) -> None:
    """Broken, and not caught."""
    patch.setattr("raftnode.core.node.RaftNode.tick", lambda: None)


@BUGS.noticed_by(TEST)
def a_patch_of_what_is_gone(patch: Patch) -> None:
    """Broken: whoever renamed the function has to adapt the bug."""
    patch.setattr("raftnode.core.node.RaftNode.tock", lambda: None)


@BUGS.noticed_by(TEST)
def a_program_that_never_ends(patch: Patch) -> None:
    """Broken: a test that would hang shows nothing."""

    def spin(self: object) -> None:
        while True:
            pass

    patch.setattr("raftnode.core.node.RaftNode.tick", spin)


@BUGS.noticed_by("rules_votes::test_a_majority_of_votes_elects_and_a_minority_does_not", TEST)
def a_bug_that_one_of_two_tests_notices(patch: Patch) -> None:
    """Survives: each named test has to notice."""
    patch.setattr("raftnode.core.election.handle_request_vote_response", lambda *arguments: None)


def test_the_judge_tells_bugs_that_are_caught_from_others() -> None:
    """A NameError of the patch is no proof that a test looks at the rule."""
    verdicts = {outcome.name: outcome.verdict for outcome in judge_apart(__name__, "--seconds", "1")}
    assert verdicts == {
        "no bug": "survived",
        "a bug that changes nothing": "survived",
        "a patch that does not fit": "broken",
        "a patch of what is gone": "broken",
        "a program that never ends": "broken",
        "a bug that one of two tests notices": "survived",
    }
