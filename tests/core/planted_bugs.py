"""Bugs of the core: at least one for each of its rules, and the directed tests that must notice.

`python -m tests.support.planted_runner tests.core.planted_bugs` judges them.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from raftnode.core import (
    commit,
    election,
    membership,
    membership_changes,
    quorum,
    reads,
    replication,
    roles,
    snapshot,
    transfer,
)
from raftnode.core.config import RaftConfig
from raftnode.core.log import RaftLog
from raftnode.core.membership import ConfChange, Configuration
from raftnode.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    PreVoteRequest,
    PreVoteResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    TimeoutNowRequest,
)
from raftnode.core.node import RaftNode
from raftnode.core.progress import Progress, ProgressState
from raftnode.core.quorum import VoteResult
from raftnode.core.ready import Ready
from raftnode.core.state import RaftState
from raftnode.core.types import EntryKind, HardState, LogEntry, NodeId, NodeRole
from tests.support.planted import Patch, PlantedBugs, replace

BUGS = PlantedBugs("core")
noticed_by = BUGS.noticed_by
changed = msgspec.structs.replace

CAMPAIGNS = (NodeRole.PRE_CANDIDATE, NodeRole.CANDIDATE)


# Votes: what a voter grants.


def with_vote_request(patch: Patch, change: Callable[[RaftState, RequestVoteRequest], RequestVoteRequest]) -> None:
    """Let the vote's handler see a changed request, or a state that `change` has spoiled."""
    real = election.handle_request_vote

    def handle(state: RaftState, request: RequestVoteRequest) -> RequestVoteResponse:
        return real(state, change(state, request))

    replace(patch, real, handle)


def with_pre_vote(patch: Patch, change: Callable[[RaftState, PreVoteRequest], PreVoteRequest]) -> None:
    """Do the same for pre-votes."""
    real = election.handle_pre_vote

    def handle(state: RaftState, request: PreVoteRequest) -> PreVoteResponse:
        return real(state, change(state, request))

    replace(patch, real, handle)


@noticed_by("rules_votes::test_the_vote_is_granted_once_in_a_term")
def two_votes_in_one_term(patch: Patch) -> None:
    def forget(state: RaftState, request: RequestVoteRequest) -> RequestVoteRequest:
        state.voted_for = None
        return request

    with_vote_request(patch, forget)


@noticed_by("rules_votes::test_a_repeated_request_of_the_same_candidate_is_granted_again")
def a_repeated_request_is_refused(patch: Patch) -> None:
    real = election.handle_request_vote

    def handle(state: RaftState, request: RequestVoteRequest) -> RequestVoteResponse:
        if state.voted_for == request.candidate_id and state.current_term == request.term:
            return RequestVoteResponse(state.current_term, False)
        return real(state, request)

    replace(patch, real, handle)


@noticed_by("rules_votes::test_a_vote_in_a_past_term_is_refused_with_the_current_term")
def a_vote_in_a_past_term(patch: Patch) -> None:
    with_vote_request(patch, lambda state, request: changed(request, term=max(request.term, state.current_term)))


@noticed_by("rules_votes::test_a_higher_term_is_adopted_even_when_the_vote_is_refused")
def a_term_is_adopted_with_a_vote_only(patch: Patch) -> None:
    real = election.handle_request_vote

    def handle(state: RaftState, request: RequestVoteRequest) -> RequestVoteResponse:
        if not state.log.is_up_to_date(request.last_log_index, request.last_log_term):
            return RequestVoteResponse(state.current_term, False)
        return real(state, request)

    replace(patch, real, handle)


@noticed_by("rules_votes::test_logs_are_compared_by_term_first_and_then_by_index")
def logs_are_compared_by_index_first(patch: Patch) -> None:
    def compare(self: RaftLog, last_index: int, last_term: int) -> bool:
        return (last_index, last_term) >= (self.last_index, self.last_term)

    replace(patch, RaftLog.is_up_to_date, compare)


@noticed_by("rules_votes::test_logs_are_compared_by_term_first_and_then_by_index")
def logs_are_compared_by_term_and_index_one_by_one(patch: Patch) -> None:
    def compare(self: RaftLog, last_index: int, last_term: int) -> bool:
        return last_term >= self.last_term and last_index >= self.last_index

    replace(patch, RaftLog.is_up_to_date, compare)


@noticed_by("rules_votes::test_logs_are_compared_by_term_first_and_then_by_index")
def only_a_longer_log_gets_a_vote(patch: Patch) -> None:
    def compare(self: RaftLog, last_index: int, last_term: int) -> bool:
        return (last_term, last_index) > (self.last_term, self.last_index)

    replace(patch, RaftLog.is_up_to_date, compare)


@noticed_by("rules_votes::test_logs_are_compared_by_term_first_and_then_by_index")
def pre_votes_for_a_log_that_is_behind(patch: Patch) -> None:
    with_pre_vote(patch, lambda state, request: changed(request, last_log_term=10**6))


@noticed_by("rules_votes::test_stepping_down_within_a_term_keeps_the_vote")
def the_vote_is_forgotten_within_a_term(patch: Patch) -> None:
    real = roles.become_follower

    def follow(state: RaftState, term: int, leader_id: NodeId | None) -> None:
        real(state, term, leader_id)
        state.voted_for = None

    replace(patch, real, follow)


@noticed_by("rules_votes::test_the_vote_is_cleared_when_the_term_grows")
def the_vote_is_kept_into_the_next_term(patch: Patch) -> None:
    real = roles.become_follower

    def follow(state: RaftState, term: int, leader_id: NodeId | None) -> None:
        vote = state.voted_for
        real(state, term, leader_id)
        state.voted_for = vote

    replace(patch, real, follow)


@noticed_by("rules_votes::test_a_vote_within_the_known_term_is_persisted_too")
def a_vote_alone_is_not_persisted(patch: Patch) -> None:
    real = RaftNode.take_ready

    def take(self: RaftNode) -> Ready:
        ready = real(self)
        if (
            ready.hard_state is not None
            and ready.hard_state.current_term == self._storage.load_hard_state().current_term
        ):
            ready.hard_state = None
        return ready

    replace(patch, real, take)


@noticed_by(
    "rules_votes::test_the_vote_survives_a_restart",
    "rules_votes::test_term_and_vote_are_one_record_in_the_ready_that_precedes_the_answer",
)
def the_term_is_persisted_without_the_vote(patch: Patch) -> None:
    real = RaftNode.take_ready

    def take(self: RaftNode) -> Ready:
        ready = real(self)
        if ready.hard_state is not None:
            ready.hard_state = HardState(ready.hard_state.current_term, None)
        return ready

    replace(patch, real, take)


@noticed_by("rules_votes::test_no_vote_for_a_rival_of_the_leader_of_this_term")
def a_vote_for_a_rival_of_this_terms_leader(patch: Patch) -> None:
    def forget(state: RaftState, request: RequestVoteRequest) -> RequestVoteRequest:
        state.leader_id = None
        return request

    with_vote_request(patch, forget)


@noticed_by("rules_votes::test_learners_and_observers_never_grant")
def learners_and_observers_vote(patch: Patch) -> None:
    with_vote_request(patch, lambda state, request: changed(request, to_voter=True))


@noticed_by(
    "rules_votes::test_learners_and_observers_never_campaign",
    "rules_membership::test_a_node_that_was_removed_does_not_campaign_after_a_restart",
)
def nodes_without_a_vote_campaign(patch: Patch) -> None:
    patch.setattr(RaftState, "may_campaign", property(lambda self: True))


# Votes: what a candidate counts.


def counting_votes(patch: Patch, rule: Callable[[dict[NodeId, bool], Sequence[NodeId]], VoteResult]) -> None:
    """Let `rule` decide a ballot among voters. A ballot that nobody votes in is won."""
    replace(patch, quorum.vote_result, lambda votes, voters: rule(votes, voters) if voters else VoteResult.WON)


@noticed_by(
    "rules_votes::test_half_of_the_votes_is_no_majority",
    "rules_votes::test_a_majority_of_votes_elects_and_a_minority_does_not",
)
def half_of_the_votes_is_enough(patch: Patch) -> None:
    def half(votes: dict[NodeId, bool], voters: Sequence[NodeId]) -> VoteResult:
        granted = sum(votes.get(voter) is True for voter in voters)
        return VoteResult.WON if 2 * granted >= len(voters) - 1 else VoteResult.PENDING

    counting_votes(patch, half)


@noticed_by("rules_votes::test_a_refusal_is_not_a_vote")
def a_refusal_counts_as_a_vote(patch: Patch) -> None:
    real = quorum.vote_result
    counting_votes(patch, lambda votes, voters: real(dict.fromkeys(votes, True), voters))


@noticed_by("rules_votes::test_a_joint_election_needs_both_halves")
def a_joint_election_needs_the_incoming_half_only(patch: Patch) -> None:
    real = quorum.joint_vote_result
    replace(patch, real, lambda votes, members: real(votes, changed(members, voters_outgoing=())))


def with_vote_response(
    patch: Patch,
    change: Callable[[RaftState, NodeId, RequestVoteResponse], tuple[NodeId, RequestVoteResponse]],
) -> None:
    """Let the candidate count a changed answer, or that of another peer."""
    real = election.handle_request_vote_response

    def handle(state: RaftState, peer: NodeId, response: RequestVoteResponse) -> None:
        real(state, *change(state, peer, response))

    replace(patch, real, handle)


def silent_voter(state: RaftState, instead_of: NodeId) -> NodeId:
    """Return a voter that has not answered yet."""
    return next((voter for voter in state.configuration.voters if voter not in state.ballot), instead_of)


@noticed_by("rules_votes::test_votes_of_an_earlier_term_do_not_count")
def votes_of_an_earlier_term_count(patch: Patch) -> None:
    with_vote_response(
        patch, lambda state, peer, response: (peer, changed(response, term=max(response.term, state.current_term)))
    )


@noticed_by("rules_votes::test_votes_of_strangers_learners_and_observers_do_not_count")
def everybodys_votes_count(patch: Patch) -> None:
    def for_a_voter(
        state: RaftState, peer: NodeId, response: RequestVoteResponse
    ) -> tuple[NodeId, RequestVoteResponse]:
        return peer if peer in state.configuration.voters else silent_voter(state, peer), response

    with_vote_response(patch, for_a_voter)


@noticed_by("rules_votes::test_a_vote_that_arrives_twice_counts_once")
def a_vote_that_arrives_twice_counts_twice(patch: Patch) -> None:
    def for_another(
        state: RaftState, peer: NodeId, response: RequestVoteResponse
    ) -> tuple[NodeId, RequestVoteResponse]:
        return silent_voter(state, peer) if peer in state.ballot else peer, response

    with_vote_response(patch, for_another)


@noticed_by("rules_votes::test_a_vote_response_of_a_higher_term_ends_the_campaign")
def a_candidate_ignores_a_higher_term(patch: Patch) -> None:
    with_vote_response(
        patch, lambda state, peer, response: (peer, changed(response, term=min(response.term, state.current_term)))
    )


# Votes: pre-vote, and the protection of a leader that is alive.


@noticed_by("rules_votes::test_a_pre_vote_needs_a_majority_before_the_term_grows")
def no_pre_vote(patch: Patch) -> None:
    replace(patch, roles.become_pre_candidate, lambda state: roles.become_candidate(state))


@noticed_by("rules_votes::test_a_pre_vote_changes_nothing_on_either_side")
def a_pre_vote_adopts_the_term(patch: Patch) -> None:
    def adopt(state: RaftState, request: PreVoteRequest) -> PreVoteRequest:
        if request.term > state.current_term:
            roles.become_follower(state, request.term, None)
        return request

    with_pre_vote(patch, adopt)


@noticed_by("rules_votes::test_a_pre_vote_is_refused_while_a_leader_is_alive")
def a_pre_vote_against_a_leader_that_is_alive(patch: Patch) -> None:
    def forget(state: RaftState, request: PreVoteRequest) -> PreVoteRequest:
        state.leader_contact = None
        return request

    with_pre_vote(patch, forget)


@noticed_by(
    "rules_votes::test_a_live_leader_is_not_deposed_by_a_vote_request",
    "rules_votes::test_a_removed_node_cannot_disturb_the_cluster",
)
def a_leader_that_is_alive_is_not_protected(patch: Patch) -> None:
    with_vote_request(patch, lambda state, request: changed(request, leadership_transfer=True))


@noticed_by(
    "rules_votes::test_a_leadership_transfer_passes_the_protection",
    "rules_interface::test_a_transfer_in_a_cluster_moves_the_leadership_without_a_timeout",
)
def a_transfer_does_not_pass_the_protection(patch: Patch) -> None:
    with_vote_request(patch, lambda state, request: changed(request, leadership_transfer=False))


# Append.


def with_append(
    patch: Patch,
    before: Callable[[RaftState, AppendEntriesRequest], AppendEntriesRequest] = lambda state, request: request,
    after: Callable[[RaftState, AppendEntriesRequest, AppendEntriesResponse], AppendEntriesResponse] = (
        lambda state, request, response: response
    ),
) -> None:
    """Let the follower see a changed request, or give a changed answer."""
    real = replication.handle_append_entries

    def handle(state: RaftState, request: AppendEntriesRequest) -> AppendEntriesResponse:
        request = before(state, request)
        return after(state, request, real(state, request))

    replace(patch, real, handle)


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


# Commit.


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


def with_append_response(
    patch: Patch, change: Callable[[RaftState, AppendEntriesResponse], AppendEntriesResponse]
) -> None:
    """Let the leader see a changed answer."""
    real = replication.handle_append_entries_response

    def handle(state: RaftState, peer: NodeId, response: AppendEntriesResponse) -> None:
        real(state, peer, change(state, response))

    replace(patch, real, handle)


@noticed_by("rules_commit::test_nothing_above_what_the_leader_owns_is_committed")
def an_acknowledgement_beyond_the_log_is_believed(patch: Patch) -> None:
    with_append_response(
        patch,
        lambda state, response: changed(response, last_log_index=min(response.last_log_index, state.log.last_index)),
    )


# Progress.


@noticed_by(
    "rules_commit::test_acknowledgements_of_another_term_count_for_nothing",
    "rules_reads::test_an_answer_of_an_earlier_term_confirms_nothing",
)
def acknowledgements_of_an_earlier_term_count(patch: Patch) -> None:
    with_append_response(patch, lambda state, response: changed(response, term=max(response.term, state.current_term)))


@noticed_by("rules_progress::test_a_response_of_a_higher_term_deposes_the_leader")
def a_leader_ignores_a_higher_term(patch: Patch) -> None:
    with_append_response(patch, lambda state, response: changed(response, term=min(response.term, state.current_term)))


@noticed_by("rules_progress::test_match_only_grows")
def match_falls(patch: Patch) -> None:
    real = Progress.acknowledged

    def acknowledged(self: Progress, index: int) -> bool:
        grows = real(self, index)
        self.match_index = index
        return grows

    replace(patch, real, acknowledged)


def on_refusal(patch: Patch, rule: Callable[[Progress, int, int], bool]) -> None:
    """Let `rule` record a refusal."""
    replace(patch, Progress.rejected, rule)


@noticed_by("rules_progress::test_next_stays_above_match")
def next_falls_below_match(patch: Patch) -> None:
    real = Progress.rejected

    def rejected(self: Progress, rejected_index: int, next_hint: int) -> bool:
        news = real(self, rejected_index, next_hint)
        if news:
            self.next_index = max(1, min(self.next_index, next_hint))
        return news

    on_refusal(patch, rejected)


@noticed_by("rules_progress::test_a_refusal_older_than_what_matches_changes_nothing")
def an_old_refusal_counts(patch: Patch) -> None:
    real = Progress.rejected
    on_refusal(patch, lambda self, rejected_index, next_hint: real(self, 0, next_hint))


@noticed_by("rules_progress::test_one_probe_is_in_flight_however_many_rejections_arrive")
def every_refusal_sends_a_probe(patch: Patch) -> None:
    real = Progress.rejected

    def rejected(self: Progress, rejected_index: int, next_hint: int) -> bool:
        news = real(self, rejected_index, next_hint)
        self.probe = None
        return news

    on_refusal(patch, rejected)


@noticed_by("rules_progress::test_the_way_back_over_a_long_conflict_does_not_grow_with_its_length")
def the_way_back_is_one_entry_at_a_time(patch: Patch) -> None:
    real = Progress.rejected
    on_refusal(patch, lambda self, rejected_index, next_hint: real(self, rejected_index, rejected_index))


@noticed_by(
    "rules_progress::test_the_window_of_messages_is_bounded", "rules_progress::test_the_window_of_bytes_is_bounded"
)
def the_window_has_no_end(patch: Patch) -> None:
    real = Progress.window_is_open
    replace(patch, real, lambda self: self.state is ProgressState.REPLICATE or real(self))


@noticed_by("rules_progress::test_an_observers_window_is_its_own_and_its_answers_release_it")
def observers_have_the_window_of_voters(patch: Patch) -> None:
    real = roles.sync_progress

    def sync(state: RaftState) -> None:
        real(state)
        for progress in state.progress.values():
            progress.inflight_messages_max = state.config.inflight_messages_max

    replace(patch, real, sync)


@noticed_by("rules_progress::test_after_a_snapshot_is_acknowledged_next_is_its_index_plus_one")
def after_a_snapshot_next_stays_where_it_was(patch: Patch) -> None:
    real = Progress.snapshot_acknowledged

    def acknowledged(self: Progress, index: int) -> bool:
        following = self.next_index
        news = real(self, index)
        self.next_index = following
        return news

    replace(patch, real, acknowledged)


@noticed_by("rules_progress::test_a_snapshot_answer_that_is_not_installed_proves_nothing")
def a_chunk_counts_as_the_whole_snapshot(patch: Patch) -> None:
    real = snapshot.handle_install_response

    def handle(state: RaftState, peer: NodeId, response: InstallSnapshotResponse) -> None:
        real(state, peer, changed(response, installed=True))

    replace(patch, real, handle)


@noticed_by("rules_progress::test_a_learner_that_has_acknowledged_nothing_has_not_caught_up")
def nothing_of_nothing_is_caught_up(patch: Patch) -> None:
    real = Progress.measure_catch_up

    def measure(self: Progress, last_index: int, now: float, round_seconds_max: float) -> None:
        real(self, last_index, now, round_seconds_max)
        self.caught_up = self.caught_up or self.match_index == 0

    replace(patch, real, measure)


@noticed_by("rules_progress::test_a_learner_whose_round_took_too_long_has_not_caught_up")
def a_catch_up_round_may_take_any_time(patch: Patch) -> None:
    real = Progress.measure_catch_up
    replace(patch, real, lambda self, last_index, now, round_seconds_max: real(self, last_index, now, math.inf))


def before_a_leaders_tick(patch: Patch, spoil: Callable[[RaftState, float], None]) -> None:
    """Change the state before the leader's periodic work."""
    real = replication.tick

    def tick(state: RaftState, now: float) -> None:
        spoil(state, now)
        real(state, now)

    replace(patch, real, tick)


@noticed_by("rules_progress::test_a_leader_whose_quorum_is_silent_steps_down")
def a_leader_without_a_quorum_leads_on(patch: Patch) -> None:
    def hear(state: RaftState, now: float) -> None:
        for progress in state.progress.values():
            progress.last_contact = now

    before_a_leaders_tick(patch, hear)


@noticed_by("rules_progress::test_a_leader_whose_storage_is_stuck_steps_down")
def a_leader_with_a_stuck_disk_leads_on(patch: Patch) -> None:
    def progress(state: RaftState, now: float) -> None:
        state.stable_at = now

    before_a_leaders_tick(patch, progress)


# Ready.


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


def after_restore(patch: Patch, spoil: Callable[[RaftState], None]) -> None:
    """Change what a restart found."""
    real = RaftNode.restore

    def restore(self: RaftNode, *arguments: Any, **options: Any) -> None:
        real(self, *arguments, **options)
        spoil(self._state)

    patch.setattr(RaftNode, "restore", restore)


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


# Reads.


def around_confirm(patch: Patch, before: Callable[[RaftState], None]) -> None:
    """Change the state before reads are confirmed."""
    real = reads.confirm

    def confirm(state: RaftState) -> None:
        before(state)
        real(state)

    replace(patch, real, confirm)


@noticed_by("rules_reads::test_no_read_before_an_entry_of_this_term_is_committed")
def a_read_before_an_entry_of_this_term(patch: Patch) -> None:
    def forget(state: RaftState) -> None:
        state.term_start_index = 0

    around_confirm(patch, forget)


@noticed_by(
    "rules_reads::test_a_read_waits_for_a_quorum_that_answers_after_it_arrived",
    "rules_reads::test_a_deposed_leader_never_confirms_a_read",
)
def a_read_without_a_quorum(patch: Patch) -> None:
    def acknowledge(state: RaftState) -> None:
        for progress in state.progress.values():
            progress.acked_round = state.round

    around_confirm(patch, acknowledge)


@noticed_by("rules_reads::test_a_round_that_was_sent_before_the_read_confirms_nothing")
def a_round_from_before_the_read_confirms_it(patch: Patch) -> None:
    real = reads.request

    def request(state: RaftState) -> int:
        read_id = real(state)
        if state.reads:
            state.reads[-1] = (read_id, state.round)
        return read_id

    replace(patch, real, request)


@noticed_by("rules_reads::test_reads_are_aborted_when_the_leader_steps_down")
def a_deposed_leader_forgets_its_reads(patch: Patch) -> None:
    replace(patch, reads.abort, lambda state: state.reads.clear())


@noticed_by("rules_reads::test_a_leader_without_check_quorum_gives_up_reads_that_nobody_confirms")
def reads_that_nobody_confirms_are_kept(patch: Patch) -> None:
    replace(patch, reads.abort, lambda state: None)


@noticed_by("rules_reads::test_a_lease_counts_from_the_sending_and_not_from_the_answer")
def a_lease_counts_from_the_answer(patch: Patch) -> None:
    real = replication.heard_from

    def hear(state: RaftState, progress: Progress, round_: int, now: float) -> None:
        state.round_times = type(state.round_times)((number, now) for number, _ in state.round_times)
        real(state, progress, round_, now)

    replace(patch, real, hear)


@noticed_by("rules_reads::test_no_lease_once_a_transfer_was_sent")
def a_lease_goes_on_during_a_transfer(patch: Patch) -> None:
    real = transfer.proceed

    def proceed(state: RaftState) -> None:
        real(state)
        state.lease_blocked = False

    replace(patch, real, proceed)


@noticed_by("rules_reads::test_a_restarted_node_honours_a_lease_that_it_may_have_promised")
def a_restart_forgets_a_promised_lease(patch: Patch) -> None:
    def forget(state: RaftState) -> None:
        state.leader_contact = None

    after_restore(patch, forget)


# Membership.


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


def with_install(
    patch: Patch,
    before: Callable[[RaftState, InstallSnapshotRequest], InstallSnapshotRequest] = lambda state, request: request,
    after: Callable[[RaftState, InstallSnapshotResponse], None] = lambda state, response: None,
) -> None:
    """Let the follower see a changed chunk, or spoil what it did with it."""
    real = snapshot.handle_install

    def handle(state: RaftState, request: InstallSnapshotRequest) -> InstallSnapshotResponse:
        response = real(state, before(state, request))
        after(state, response)
        return response

    replace(patch, real, handle)


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


# Snapshots.


@noticed_by("rules_snapshot::test_a_snapshot_never_goes_back")
def a_snapshot_goes_back(patch: Patch) -> None:
    real = snapshot.handle_install

    def handle(state: RaftState, request: InstallSnapshotRequest) -> InstallSnapshotResponse:
        response = real(state, request)
        if request.done and request.last_included_index < state.commit_index:
            state.commit_index = state.applied_index = request.last_included_index
        return response

    replace(patch, real, handle)


@noticed_by("rules_snapshot::test_the_suffix_is_discarded_where_the_term_differs")
def entries_behind_a_snapshot_of_another_term_stay(patch: Patch) -> None:
    real = RaftLog.install

    def install(self: RaftLog, index: int, term: int) -> bool:
        return real(self, index, self.term_at(index) or term)

    replace(patch, real, install)


@noticed_by("rules_snapshot::test_the_suffix_is_kept_where_the_entry_at_the_snapshot_has_its_term")
def entries_behind_a_snapshot_never_stay(patch: Patch) -> None:
    real = RaftLog.install

    def install(self: RaftLog, index: int, term: int) -> bool:
        if self.snapshot_index < index <= self.last_index:
            self.truncate(index)
        return real(self, index, term)

    replace(patch, real, install)


@noticed_by("rules_ready::test_after_a_snapshot_delivery_goes_on_behind_it")
def the_entry_after_a_snapshot_is_skipped(patch: Patch) -> None:
    def skip(state: RaftState, response: InstallSnapshotResponse) -> None:
        state.delivered_index += response.installed

    with_install(patch, after=skip)


@noticed_by("rules_snapshot::test_compaction_discards_only_what_is_applied")
def what_is_not_applied_is_compacted(patch: Patch) -> None:
    real = snapshot.compact

    def compact(state: RaftState, index: int) -> None:
        state.applied_index = max(state.applied_index, index)
        real(state, index)

    replace(patch, real, compact)


# Transfer and priority.


@noticed_by("rules_interface::test_a_transfer_waits_until_the_target_has_every_entry")
def a_transfer_does_not_wait_for_the_log(patch: Patch) -> None:
    real = transfer.proceed

    def proceed(state: RaftState) -> None:
        if state.transfer_target in state.progress:
            state.progress[state.transfer_target].match_index = state.log.last_index
        real(state)

    replace(patch, real, proceed)


@noticed_by("rules_interface::test_proposals_are_refused_during_a_transfer_and_taken_after_its_deadline")
def a_transfer_has_no_deadline(patch: Patch) -> None:
    replace(patch, transfer.expire, lambda state, now: None)


@noticed_by("rules_interface::test_a_timeout_now_of_a_past_term_is_ignored")
def a_past_leader_asks_for_a_campaign(patch: Patch) -> None:
    real = election.handle_timeout_now

    def handle(state: RaftState, request: TimeoutNowRequest) -> None:
        real(state, changed(request, term=max(request.term, state.current_term)))

    replace(patch, real, handle)


@noticed_by("rules_leadership::test_a_node_with_priority_zero_never_leads")
def a_node_of_priority_zero_campaigns(patch: Patch) -> None:
    patch.setattr(RaftState, "may_campaign", property(lambda self: self.has_vote))


# Configuration, and an end that is an end.


@noticed_by("rules_config::test_a_configuration_that_cannot_work_names_the_field")
def settings_that_cannot_work_are_taken(patch: Patch) -> None:
    patch.setattr(RaftConfig, "__post_init__", lambda self: None)


@noticed_by(
    "rules_interface::test_a_storage_error_stops_the_node", "rules_append::test_a_committed_entry_is_never_truncated"
)
def a_node_goes_on_after_a_failure(patch: Patch) -> None:
    patch.setattr(RaftNode, "_failure", property(lambda self: None, lambda self, error: None), raising=False)


@noticed_by("rules_interface::test_group_ids_route_requests")
def another_groups_requests_are_served(patch: Patch) -> None:
    real = RaftNode.handle_timeout_now

    def handle(self: RaftNode, request: TimeoutNowRequest) -> None:
        real(self, changed(request, group_id=self.group_id))

    replace(patch, real, handle)
