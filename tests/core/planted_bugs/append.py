"""Bugs in what a follower stores and acknowledges."""

from raftnode.core import membership, replication, roles
from raftnode.core.membership import Configuration
from raftnode.core.messages import AppendEntriesRequest, AppendEntriesResponse
from raftnode.core.state import RaftState
from raftnode.core.types import EntryKind, NodeId, NodeRole
from tests.core.planted_bugs.patches import changed, noticed_by, with_append
from tests.support.planted import Patch, replace

CAMPAIGNS = (NodeRole.PRE_CANDIDATE, NodeRole.CANDIDATE)


@noticed_by("rules_append::test_a_delayed_or_duplicated_request_never_shortens_a_matching_log")
def a_delayed_request_shortens_the_log(patch: Patch) -> None:
    def cut(state: RaftState, request: AppendEntriesRequest, response: AppendEntriesResponse) -> AppendEntriesResponse:
        end = request.prev_log_index + len(request.entries)
        if response.success and request.entries and end < state.log.last_index:
            state.log.truncate(end + 1)
        return response

    with_append(patch, after=cut)


@noticed_by("rules_append::test_a_gap_is_refused_before_anything_changes")
def a_gap_is_acknowledged(patch: Patch) -> None:
    def acknowledge(
        state: RaftState, request: AppendEntriesRequest, response: AppendEntriesResponse
    ) -> AppendEntriesResponse:
        return changed(response, success=response.success or request.prev_log_index > state.log.last_index)

    with_append(patch, after=acknowledge)


@noticed_by("rules_append::test_a_previous_entry_of_another_term_is_refused_before_anything_changes")
def the_previous_entry_may_have_any_term(patch: Patch) -> None:
    def same_term(state: RaftState, request: AppendEntriesRequest) -> AppendEntriesRequest:
        return changed(request, prev_log_term=state.log.term_at(request.prev_log_index) or request.prev_log_term)

    with_append(patch, before=same_term)


@noticed_by("rules_append::test_a_request_of_a_past_term_is_refused_with_the_current_term")
def a_past_leader_is_obeyed(patch: Patch) -> None:
    with_append(patch, lambda state, request: changed(request, term=max(request.term, state.current_term)))


@noticed_by("rules_append::test_the_answer_never_claims_more_than_the_request_proved")
def the_whole_log_is_claimed(patch: Patch) -> None:
    def claim(
        state: RaftState, request: AppendEntriesRequest, response: AppendEntriesResponse
    ) -> AppendEntriesResponse:
        return changed(response, last_log_index=state.log.last_index)

    with_append(patch, after=claim)


@noticed_by(
    "rules_append::test_entries_at_or_below_the_snapshot_are_skipped",
    "rules_append::test_a_previous_index_below_the_snapshot_is_a_match_at_the_commit_index",
)
def a_request_from_below_the_snapshot_is_refused(patch: Patch) -> None:
    def refuse(
        state: RaftState, request: AppendEntriesRequest, response: AppendEntriesResponse
    ) -> AppendEntriesResponse:
        return changed(response, success=response.success and request.prev_log_index >= state.log.snapshot_index)

    with_append(patch, after=refuse)


@noticed_by("rules_append::test_a_previous_index_below_the_snapshot_is_a_match_at_the_commit_index")
def below_the_snapshot_the_request_alone_counts(patch: Patch) -> None:
    def claim(
        state: RaftState, request: AppendEntriesRequest, response: AppendEntriesResponse
    ) -> AppendEntriesResponse:
        return changed(response, last_log_index=request.prev_log_index + len(request.entries))

    with_append(patch, after=claim)


@noticed_by("rules_append::test_a_committed_entry_is_never_truncated")
def a_committed_entry_is_truncated(patch: Patch) -> None:
    real = replication.handle_append_entries

    def handle(state: RaftState, request: AppendEntriesRequest) -> AppendEntriesResponse:
        committed, state.commit_index = state.commit_index, 0
        try:
            return real(state, request)
        finally:
            state.commit_index = max(state.commit_index, committed)

    replace(patch, real, handle)


@noticed_by("rules_append::test_a_leader_never_obeys_another_leader_of_its_own_term")
def a_leader_obeys_another_of_its_own_term(patch: Patch) -> None:
    def obey(state: RaftState, request: AppendEntriesRequest) -> AppendEntriesRequest:
        if state.role is NodeRole.LEADER and request.term == state.current_term:
            roles.become_follower(state, request.term, request.leader_id)
        return request

    with_append(patch, before=obey)


@noticed_by("rules_append::test_a_campaign_ends_when_a_leader_of_the_same_term_appears")
def a_candidate_ignores_the_leader_of_its_term(patch: Patch) -> None:
    real = replication.follow

    def follow(state: RaftState, term: int, leader_id: NodeId) -> None:
        if state.role not in CAMPAIGNS or term > state.current_term:
            real(state, term, leader_id)

    replace(patch, real, follow)


@noticed_by("rules_append::test_hearing_from_the_leader_postpones_the_election")
def a_leaders_message_does_not_postpone_the_election(patch: Patch) -> None:
    real = replication.follow

    def follow(state: RaftState, term: int, leader_id: NodeId) -> None:
        deadline = state.election_deadline
        real(state, term, leader_id)
        state.election_deadline = deadline

    replace(patch, real, follow)


@noticed_by("rules_append::test_malformed_entries_are_refused_before_anything_changes")
def entries_are_not_checked(patch: Patch) -> None:
    def check(request: AppendEntriesRequest) -> list[tuple[int, Configuration]]:
        configurations = [entry for entry in request.entries if entry.kind is EntryKind.CONFIGURATION]
        return [(entry.index, membership.decode_configuration(entry.data)) for entry in configurations]

    replace(patch, replication.check_entries, check)
