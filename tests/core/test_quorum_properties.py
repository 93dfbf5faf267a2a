"""quorum.py against counting by hand, and configurations whose majorities must meet (§5.3, §6, thesis 4.1)."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from raftnode.core.errors import ProposalRejected
from raftnode.core.membership import (
    ConfChange,
    Configuration,
    apply_changes,
    decode_configuration,
    leave_joint,
    make_configuration,
)
from raftnode.core.quorum import VoteResult, joint_vote_result, quorum_value, vote_result

nodes = st.integers(1, 7)
voter_sets = st.sets(nodes, min_size=1, max_size=7)
matches = st.dictionaries(nodes, st.integers(0, 5), max_size=7)
ballots = st.dictionaries(nodes, st.booleans(), max_size=7)
KINDS = (
    ConfChange.add_voter,
    ConfChange.add_learner,
    ConfChange.add_observer,
    ConfChange.promote,
    ConfChange.demote,
    ConfChange.remove,
)
changes = st.lists(st.builds(lambda kind, peer: kind(peer), st.sampled_from(KINDS), nodes), min_size=1, max_size=4)


def majority(count: int, voters: set[int]) -> bool:
    return 2 * count > len(voters)


@given(matches, voter_sets)
def test_the_committed_index_is_the_highest_that_a_majority_has(match: dict[int, int], voters: set[int]) -> None:
    """§5.3, by counting for each index."""
    reached = [i for i in range(6) if majority(sum(match.get(v, 0) >= i for v in voters), voters)]
    configuration = Configuration(voters=tuple(sorted(voters)))
    assert quorum_value(lambda voter: match.get(voter, 0), configuration) == max(reached)


@given(matches, voter_sets, st.sets(nodes, max_size=7))
def test_a_joint_value_needs_a_majority_of_each_half(match: dict[int, int], new: set[int], old: set[int]) -> None:
    """§6, by counting for each index in each half."""
    configuration = Configuration(voters=tuple(sorted(new)), voters_outgoing=tuple(sorted(old)))
    halves = [half for half in (new, old) if half]
    reached = [i for i in range(6) if all(majority(sum(match.get(v, 0) >= i for v in h), h) for h in halves)]
    assert quorum_value(lambda voter: match.get(voter, 0), configuration) == max(reached)


@given(ballots, voter_sets)
def test_a_ballot_agrees_with_counting(ballot: dict[int, bool], voters: set[int]) -> None:
    """§5.2: won with a majority, lost when no majority can come any longer."""
    yes = sum(ballot.get(v) is True for v in voters)
    no = sum(ballot.get(v) is False for v in voters)
    result = vote_result(ballot, voters)
    assert (result is VoteResult.WON) == majority(yes, voters)
    assert (result is VoteResult.LOST) == (not majority(len(voters) - no, voters))


@given(ballots, voter_sets, st.sets(nodes, max_size=7))
def test_a_joint_ballot_is_won_where_both_halves_are(ballot: dict[int, bool], new: set[int], old: set[int]) -> None:
    """§6: and lost where one is."""
    configuration = Configuration(voters=tuple(sorted(new)), voters_outgoing=tuple(sorted(old)))
    halves = [vote_result(ballot, half) for half in (new, old) if half]
    result = joint_vote_result(ballot, configuration)
    assert (result is VoteResult.WON) == all(half is VoteResult.WON for half in halves)
    assert (result is VoteResult.LOST) == any(half is VoteResult.LOST for half in halves)


def quorums(configuration: Configuration) -> list[set[int]]:
    """Return every least set of voters that may decide."""
    members = configuration.voter_union()
    halves = [set(half) for half in (configuration.voters, configuration.voters_outgoing) if half]
    found: list[set[int]] = []
    for size in range(1, len(members) + 1):
        for chosen in map(set, combinations(members, size)):
            if all(majority(len(chosen & half), half) for half in halves) and not any(q <= chosen for q in found):
                found.append(chosen)
    return found


def assert_they_meet(one: Configuration, other: Configuration) -> None:
    theirs = quorums(other)
    for quorum in quorums(one):
        assert all(quorum & their for their in theirs), (one, other)


@given(
    st.permutations(range(1, 8)), st.integers(1, 4), st.integers(0, 2), st.integers(0, 1),
    st.lists(changes, min_size=1, max_size=4),
)  # fmt: skip
def test_the_majorities_of_consecutive_configurations_meet(
    order: list[int], voters: int, learners: int, observers: int, steps: list[list[ConfChange]]
) -> None:
    """Thesis 4.1, §6: otherwise two leaders could be elected in one term."""
    passive = order[voters:]
    configuration = make_configuration(order[:voters], passive[:learners], passive[learners : learners + observers])
    for step in steps:
        try:
            following = apply_changes(configuration, step)
        except ProposalRejected:
            continue
        assert following.joint == (len(set(configuration.voters) ^ set(following.voters)) > 1)
        assert_they_meet(configuration, following)
        assert_it_is_whole(following)
        if following.joint:
            assert following.voters_outgoing == configuration.voters
            left = leave_joint(following)
            assert not left.joint
            assert_they_meet(following, left)
            assert_it_is_whole(left)
            following = left
        assert following.highest_id >= configuration.highest_id
        configuration = following


def assert_it_is_whole(configuration: Configuration) -> None:
    """Sorted, a voter at least, nobody in two capacities; and it survives its encoding."""
    groups = (configuration.voters, configuration.learners, configuration.observers)
    everyone = [node for group in groups for node in group]
    assert configuration.voters
    assert len(everyone) == len(set(everyone))
    assert all(list(group) == sorted(group) for group in groups)
    assert set(configuration.learners_next) <= set(configuration.voters_outgoing) - set(configuration.voters)
    assert set(configuration.contexts) <= set(configuration.members())
    assert decode_configuration(configuration.encode()) == configuration
