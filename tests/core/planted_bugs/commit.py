"""Bugs in what is committed."""

from collections.abc import Callable, Sequence

from raftnode.core import commit, quorum, roles
from raftnode.core.log import RaftLog
from raftnode.core.membership import Configuration
from raftnode.core.messages import AppendEntriesRequest, AppendEntriesResponse
from raftnode.core.state import RaftState
from raftnode.core.types import EntryKind, LogEntry, NodeId, NodeRole
from tests.core.planted_bugs.patches import changed, noticed_by, with_append, with_append_response
from tests.support.planted import Patch, replace


@noticed_by("rules_append::test_the_commit_index_moves_to_at_most_the_last_entry_that_the_request_proves")
def a_follower_commits_more_than_the_request_proves(patch: Patch) -> None:
    def commit_all(
        state: RaftState, request: AppendEntriesRequest, response: AppendEntriesResponse
    ) -> AppendEntriesResponse:
        if response.success:
            commit.advance_commit(state, min(request.leader_commit, state.log.last_index))
        return response

    with_append(patch, after=commit_all)


@noticed_by("rules_append::test_the_commit_index_follows_the_leaders_and_never_moves_back")
def the_commit_index_moves_back(patch: Patch) -> None:
    def move(state: RaftState, index: int) -> None:
        state.commit_index = index

    replace(patch, commit.advance_commit, move)


@noticed_by("rules_commit::test_an_entry_of_an_earlier_term_is_not_committed_by_counting")
def entries_of_an_earlier_term_are_committed_by_counting(patch: Patch) -> None:
    real = commit.update_commit

    def update(state: RaftState) -> None:
        if state.role is NodeRole.LEADER:
            matches = [progress.match_index for progress in state.progress.values()]
            ranked = sorted([*matches, state.log.stable_index], reverse=True)
            commit.advance_commit(state, ranked[len(ranked) // 2])
        real(state)

    replace(patch, real, update)


@noticed_by(
    "rules_commit::test_a_leader_counts_itself_only_up_to_what_is_durable",
    "rules_commit::test_a_single_voter_commits_only_what_is_durable",
)
def a_leader_counts_what_is_not_durable(patch: Patch) -> None:
    patch.setattr(RaftLog, "stable_index", property(lambda log: log.last_index))


def counting(patch: Patch, members: Callable[[Configuration], Configuration]) -> None:
    """Let the commit index be counted among the voters of `members(configuration)`."""
    real = quorum.quorum_value
    replace(patch, real, lambda of, configuration: real(of, members(configuration)))


@noticed_by("rules_commit::test_acknowledgements_of_learners_observers_and_strangers_commit_nothing")
def learners_and_observers_count(patch: Patch) -> None:
    def rule(of: Callable[[NodeId], float], configuration: Configuration) -> float:
        ranked = sorted((of(node) for node in configuration.members()), reverse=True)
        return ranked[len(configuration.voters) // 2]

    replace(patch, quorum.quorum_value, rule)


@noticed_by("rules_commit::test_four_voters_need_three")
def half_of_the_voters_commits(patch: Patch) -> None:
    def half(of: Callable[[NodeId], float], configuration: Configuration) -> float:
        return sorted(of(voter) for voter in configuration.voters)[len(configuration.voters) // 2]

    replace(patch, quorum.quorum_value, half)


@noticed_by(
    "rules_commit::test_a_joint_configuration_commits_with_a_majority_of_both_halves",
    "rules_reads::test_a_read_counts_both_halves_of_a_joint_configuration",
    "rules_progress::test_check_quorum_counts_both_halves_of_a_joint_configuration",
)
def one_half_of_a_joint_configuration_decides(patch: Patch) -> None:
    counting(patch, lambda configuration: changed(configuration, voters_outgoing=()))


@noticed_by("rules_commit::test_a_removed_leader_stops_counting_itself_at_once")
def a_removed_leader_counts_itself(patch: Patch) -> None:
    real = commit.update_commit

    def update(state: RaftState) -> None:
        index, configuration = state.configurations[-1]
        voters = tuple(sorted({*configuration.voters, state.node_id}))
        state.configurations[-1] = index, changed(configuration, voters=voters)
        try:
            real(state)
        finally:
            state.configurations[-1] = index, configuration

    replace(patch, real, update)


@noticed_by(
    "rules_commit::test_commit_is_evaluated_again_when_the_membership_shrinks",
    "rules_commit::test_commit_is_evaluated_again_when_a_replicated_change_shrinks_it",
)
def a_shrunk_membership_commits_nothing(patch: Patch) -> None:
    def fit(state: RaftState) -> None:
        if state.role is NodeRole.LEADER:
            roles.sync_progress(state)
        else:
            roles.settle_passive_role(state)

    replace(patch, commit.on_changed, fit)


@noticed_by("rules_commit::test_a_new_leader_opens_its_term_with_an_empty_entry")
def no_entry_opens_the_term(patch: Patch) -> None:
    real = RaftLog.append

    def append(self: RaftLog, entries: Sequence[LogEntry]) -> None:
        real(self, [entry for entry in entries if entry.kind is not EntryKind.NOOP])

    replace(patch, real, append)


@noticed_by("rules_commit::test_nothing_above_what_the_leader_owns_is_committed")
def an_acknowledgement_beyond_the_log_is_believed(patch: Patch) -> None:
    with_append_response(
        patch,
        lambda state, response: changed(response, last_log_index=min(response.last_log_index, state.log.last_index)),
    )
