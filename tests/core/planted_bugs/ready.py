"""Bugs in what a Ready delivers, in the leader hint, in the settings, and at the end."""

from collections.abc import Callable

from raftnode.core import roles
from raftnode.core.config import RaftConfig
from raftnode.core.messages import TimeoutNowRequest
from raftnode.core.node import RaftNode
from raftnode.core.ready import Ready
from raftnode.core.state import RaftState
from raftnode.core.types import HardState, NodeId
from tests.core.planted_bugs.patches import after_restore, changed, noticed_by
from tests.support.planted import Patch, replace


def around_ready(
    patch: Patch, before: Callable[[RaftNode], None] | None = None, after: Callable[[RaftNode], None] | None = None
) -> None:
    """Change the node before or after it makes a Ready."""
    real = RaftNode.take_ready

    def take(self: RaftNode) -> Ready:
        if before is not None:
            before(self)
        ready = real(self)
        if after is not None:
            after(self)
        return ready

    replace(patch, real, take)


@noticed_by("rules_ready::test_committed_entries_come_exactly_once_also_before_they_are_applied")
def entries_come_until_they_are_applied(patch: Patch) -> None:
    def take_back(node: RaftNode) -> None:
        node._state.delivered_index = node.last_applied

    around_ready(patch, before=take_back)


@noticed_by("rules_ready::test_entries_that_are_not_committed_are_not_delivered")
def entries_come_before_they_are_committed(patch: Patch) -> None:
    real = RaftNode.take_ready

    def take(self: RaftNode) -> Ready:
        state = self._state
        committed, state.commit_index = state.commit_index, state.log.last_index
        try:
            return real(self)
        finally:
            state.commit_index = committed

    replace(patch, real, take)


@noticed_by("rules_ready::test_a_long_backlog_is_delivered_in_bounded_pieces")
def what_a_ready_leaves_out_never_comes(patch: Patch) -> None:
    def skip(node: RaftNode) -> None:
        node._state.delivered_index = node.commit_index

    around_ready(patch, after=skip)


@noticed_by("rules_ready::test_a_machine_that_was_loaded_further_is_not_given_old_entries")
def a_restart_delivers_what_the_machine_has(patch: Patch) -> None:
    def go_back(state: RaftState) -> None:
        state.delivered_index = state.log.snapshot_index

    after_restore(patch, go_back)


@noticed_by("rules_ready::test_applied_is_never_above_commit_and_never_goes_back")
def anything_may_be_applied(patch: Patch) -> None:
    def advance(self: RaftNode, index: int) -> None:
        self._state.applied_index = index

    replace(patch, RaftNode.advance_applied, advance)


@noticed_by("rules_ready::test_the_hard_state_is_told_when_it_changes_and_only_then")
def the_hard_state_comes_in_every_ready(patch: Patch) -> None:
    def forget(node: RaftNode) -> None:
        node._state.last_hard_state = HardState(-1, None)

    around_ready(patch, before=forget)


# The leader hint.


@noticed_by("rules_interface::test_after_a_step_down_the_leader_hint_is_not_this_node")
def a_deposed_leader_names_itself(patch: Patch) -> None:
    real = roles.become_follower

    def follow(state: RaftState, term: int, leader_id: NodeId | None) -> None:
        before = state.leader_id
        real(state, term, leader_id)
        state.leader_id = leader_id or before

    replace(patch, real, follow)


# Configuration, and an end that is an end.


@noticed_by("rules_config::test_a_configuration_that_cannot_work_names_the_field")
def settings_that_cannot_work_are_taken(patch: Patch) -> None:
    patch.setattr(RaftConfig, "__post_init__", lambda self: None)


@noticed_by(
    "rules_interface::test_a_storage_error_stops_the_node", "rules_append::test_a_committed_entry_is_never_truncated"
)
def a_node_goes_on_after_a_failure(patch: Patch) -> None:
    patch.setattr(RaftNode, "_note_failure", lambda self, error: None)


@noticed_by("rules_interface::test_group_ids_route_requests")
def another_groups_requests_are_served(patch: Patch) -> None:
    real = RaftNode.handle_timeout_now

    def handle(self: RaftNode, request: TimeoutNowRequest) -> None:
        real(self, changed(request, group_id=self.group_id))

    replace(patch, real, handle)
