"""Bugs in membership changes."""

from collections.abc import Callable, Sequence

from raftnode.core import commit, membership, membership_changes, roles, snapshot, transfer
from raftnode.core.membership import ConfChange, Configuration
from raftnode.core.messages import InstallSnapshotRequest, InstallSnapshotResponse
from raftnode.core.state import RaftState
from raftnode.core.types import NodeRole
from tests.core.planted_bugs.patches import after_restore, changed, noticed_by, with_install
from tests.support.planted import Patch, replace


def checking_changes(patch: Patch, check: Callable[[RaftState], None]) -> None:
    """Let `check` decide whether a membership change may be proposed."""
    replace(patch, membership_changes.check_proposable, check)


@noticed_by("rules_membership::test_no_change_before_an_entry_of_the_current_term_is_committed")
def a_change_before_an_entry_of_this_term(patch: Patch) -> None:
    real = membership_changes.check_proposable

    def check(state: RaftState) -> None:
        state.term_start_index = 0
        real(state)

    checking_changes(patch, check)


@noticed_by("rules_membership::test_one_change_is_uncommitted_at_a_time")
def two_uncommitted_changes(patch: Patch) -> None:
    checking_changes(patch, lambda state: None)


@noticed_by("rules_membership::test_a_truncated_configuration_is_rolled_back")
def a_truncated_change_stays_in_force(patch: Patch) -> None:
    replace(patch, commit.on_truncate, lambda state, index: None)


@noticed_by("rules_membership::test_a_rolled_back_promotion_makes_a_learner_again")
def a_rolled_back_change_leaves_the_role(patch: Patch) -> None:
    def take_back(state: RaftState, index: int) -> None:
        while len(state.configurations) > 1 and state.configurations[-1][0] >= index:
            state.configurations.pop()

    replace(patch, commit.on_truncate, take_back)


@noticed_by("rules_membership::test_a_follower_uses_a_configuration_when_it_is_appended")
def a_follower_waits_for_a_changes_commit(patch: Patch) -> None:
    real = commit.take_effect

    def take_effect(state: RaftState, index: int, configuration: Configuration) -> None:
        if state.role is NodeRole.LEADER:
            real(state, index, configuration)

    replace(patch, real, take_effect)


def applying_changes(patch: Patch, change: Callable[[Configuration, Configuration], Configuration]) -> None:
    """Let a change lead to `change(before, right result)`."""
    real = membership.apply_changes

    def apply(configuration: Configuration, changes: Sequence[ConfChange]) -> Configuration:
        return change(configuration, real(configuration, changes))

    replace(patch, real, apply)


@noticed_by("rules_membership::test_the_last_voter_stays")
def the_last_voter_goes(patch: Patch) -> None:
    real = membership.apply_changes

    def apply(configuration: Configuration, changes: Sequence[ConfChange]) -> Configuration:
        if [change.peer for change in changes] == list(configuration.voters):
            return configuration
        return real(configuration, changes)

    replace(patch, real, apply)


@noticed_by("rules_membership::test_several_votes_change_through_a_joint_phase")
def several_votes_change_at_once(patch: Patch) -> None:
    applying_changes(patch, lambda before, after: membership.leave_joint(after))


@noticed_by("rules_membership::test_a_demoted_voter_of_a_joint_change_becomes_a_learner_at_its_end")
def a_demoted_voter_loses_its_vote_at_once(patch: Patch) -> None:
    def demote(before: Configuration, after: Configuration) -> Configuration:
        outgoing = tuple(node for node in after.voters_outgoing if node not in after.learners_next)
        return changed(after, voters_outgoing=outgoing)

    applying_changes(patch, demote)


@noticed_by("rules_membership::test_the_leader_leaves_the_joint_phase_by_itself")
def the_joint_phase_never_ends(patch: Patch) -> None:
    real = commit.on_configuration_committed

    def go_on(state: RaftState) -> None:
        if not state.configuration.joint:
            real(state)

    replace(patch, real, go_on)


@noticed_by("rules_membership::test_a_leader_outside_the_new_voters_steps_down_when_the_change_is_committed")
def a_removed_leader_leads_on(patch: Patch) -> None:
    real = commit.on_configuration_committed

    def go_on(state: RaftState) -> None:
        if state.node_id in state.configuration.voters:
            real(state)

    replace(patch, real, go_on)


@noticed_by("rules_membership::test_a_leader_goes_on_until_its_own_removal_is_committed")
def a_removed_leader_leaves_at_once(patch: Patch) -> None:
    real = commit.on_changed

    def fit(state: RaftState) -> None:
        real(state)
        if state.role is NodeRole.LEADER and state.node_id not in state.configuration.voter_union():
            roles.become_follower(state, state.current_term, None)

    replace(patch, real, fit)


@noticed_by("rules_membership::test_a_leader_outside_the_new_voters_steps_down_when_the_change_is_committed")
def a_removed_leader_names_no_successor(patch: Patch) -> None:
    replace(patch, transfer.name_successor, lambda state: None)


@noticed_by("rules_membership::test_a_new_voter_without_contact_is_not_counted_as_silent_at_once")
def a_new_voter_is_silent_from_its_first_moment(patch: Patch) -> None:
    real = roles.sync_progress

    def sync(state: RaftState) -> None:
        known = set(state.progress)
        real(state)
        for peer in state.progress.keys() - known:
            state.progress[peer].last_contact = None

    replace(patch, real, sync)


@noticed_by(
    "rules_membership::test_a_restarted_node_takes_its_configuration_from_the_log",
    "rules_membership::test_a_restarted_node_takes_its_configuration_from_the_snapshot_next",
)
def a_restart_takes_the_members_of_the_format(patch: Patch) -> None:
    def forget(state: RaftState) -> None:
        state.configurations = [(state.configurations[-1][0], state.config.first_configuration())]

    after_restore(patch, forget)


@noticed_by("rules_membership::test_a_snapshot_brings_the_committed_configuration_and_resets_the_latest")
def the_members_in_a_snapshot_are_ignored(patch: Patch) -> None:
    with_install(patch, lambda state, request: changed(request, configuration=None))


@noticed_by("rules_membership::test_a_snapshot_brings_the_committed_configuration_and_resets_the_latest")
def a_snapshot_keeps_a_change_that_it_discards(patch: Patch) -> None:
    real = snapshot.handle_install

    def handle(state: RaftState, request: InstallSnapshotRequest) -> InstallSnapshotResponse:
        before = state.configurations[-1]
        response = real(state, request)
        if response.installed and before != state.configurations[-1]:
            state.configurations.append(before)
        return response

    replace(patch, real, handle)
