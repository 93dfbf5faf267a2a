"""Bugs of the replica's parts that no simulated fault reveals, and the directed tests that must notice.

`python -m tests.support.planted_runner tests.replica.planted_bugs` judges them. What clients are told, what leaves
before it is durable, and snapshots under way are in tests/simulation/bugs.py.
"""

from collections.abc import Hashable

import msgspec

from raftnode.core.membership import Configuration
from raftnode.core.node import RaftNode
from raftnode.core.status import RaftStatus
from raftnode.core.types import NodeId
from raftnode.replica import member_plan
from raftnode.replica.admission import Admission
from raftnode.replica.events import EventLog
from raftnode.replica.member_plan import Tolerance
from raftnode.replica.requests.members import MemberRequests
from raftnode.replica.requests.replies import Replies
from raftnode.replica.requests.snapshots import SnapshotFiles
from raftnode.replica.requests.writes import EntryWaiters
from raftnode.wire.client import NOT_DONE, UNKNOWN, Answer, ChangeMembers, EventRecord, Failed
from raftnode.wire.hello import Hello, Rejected, Welcome
from tests.support.planted import Patch, PlantedBugs, replace

BUGS = PlantedBugs("replica")
noticed_by = BUGS.noticed_by
changed = msgspec.structs.replace


# Who may speak.


@noticed_by(
    "admission::test_a_wiped_node_is_refused_under_its_old_id",
    "admission::test_a_node_that_was_wiped_is_shut_out_of_a_running_cluster",
)
def a_wiped_node_is_welcome(patch: Patch) -> None:
    patch.setattr(Admission, "_check_instance", lambda self, node, instance, *, remember: None)


@noticed_by(
    "admission::test_a_removed_node_is_refused_and_told_how_to_come_back",
    "admission::test_a_removed_node_is_shut_out_of_a_running_cluster",
)
def a_removed_node_is_welcome(patch: Patch) -> None:
    real = Admission.check_hello

    def check(self: Admission, hello: Hello, committed: Configuration, latest: Configuration) -> Welcome | Rejected:
        return real(self, hello, changed(committed, highest_id=0), latest)

    replace(patch, real, check)


@noticed_by("admission::test_an_uncommitted_removal_refuses_nobody")
def an_uncommitted_removal_shuts_out(patch: Patch) -> None:
    real = Admission.check_hello

    def check(self: Admission, hello: Hello, committed: Configuration, latest: Configuration) -> Welcome | Rejected:
        return real(self, hello, latest, latest)

    replace(patch, real, check)


@noticed_by("admission::test_a_client_of_another_cluster_or_version_is_refused")
def a_client_of_another_cluster_is_welcome(patch: Patch) -> None:
    real = Admission.check_hello

    def check(self: Admission, hello: Hello, committed: Configuration, latest: Configuration) -> Welcome | Rejected:
        return real(self, changed(hello, cluster_id="") if hello.node_id == 0 else hello, committed, latest)

    replace(patch, real, check)


@noticed_by("admission::test_whoever_answers_at_a_peers_address_is_checked")
def any_node_may_answer_for_a_peer(patch: Patch) -> None:
    real = Admission.check_welcome

    def check(self: Admission, peer: NodeId, welcome: Welcome) -> Rejected | None:
        return real(self, peer, changed(welcome, node_id=peer))

    replace(patch, real, check)


# Members.


@noticed_by(
    "member_plan::test_a_removal_is_allowed_where_those_up_still_make_a_quorum",
    "member_plan::test_a_voter_that_nobody_heard_from_may_not_cost_the_quorum",
    "replica_members::test_a_removal_that_would_lose_the_quorum_is_refused",
)
def every_voter_counts_as_up(patch: Patch) -> None:
    def tolerance(configuration: Configuration, up: set[NodeId]) -> Tolerance:
        return Tolerance(len(configuration.voters), len(configuration.voters))

    patch.setattr(member_plan, "_tolerance", tolerance)


@noticed_by(
    "member_plan::test_a_promotion_needs_a_learner_that_caught_up",
    "replica_members::test_a_learner_that_has_not_caught_up_is_not_promoted",
)
def a_learner_is_promoted_before_it_caught_up(patch: Patch) -> None:
    patch.setattr(member_plan, "_require_caught_up", lambda node, configuration, status: None)


@noticed_by("replica_members::test_a_held_promotion_of_a_client_that_is_gone_is_not_made")
def a_held_change_outlives_its_client(patch: Patch) -> None:
    replace(patch, MemberRequests.forget, lambda self, client: None)


@noticed_by("replica_members::test_a_held_promotion_is_refused_at_its_deadline")
def a_held_change_ignores_its_deadline(patch: Patch) -> None:
    real = MemberRequests._take

    def take(self: MemberRequests, client: Hashable, request: ChangeMembers, wait_s: float) -> None:
        real(self, client, request, wait_s + 3600 if wait_s else wait_s)

    replace(patch, real, take)


@noticed_by(
    "replica_evidence::test_a_voter_that_died_a_moment_ago_does_not_count",
    "replica_evidence::test_a_transfer_to_a_voter_that_does_not_answer_is_refused_and_writes_go_on",
)
def who_was_heard_from_before_the_request_counts(patch: Patch) -> None:
    def answering(self: MemberRequests, held: object, status: RaftStatus, awaited: object) -> set[int]:
        return {peer.peer for peer in status.peers if (peer.last_contact or 0.0) < 2.0} | {status.node_id}

    replace(patch, MemberRequests._answering, answering)


# What clients are told.


def with_failures(patch: Patch, outcome: str, instead_of: str) -> None:
    """Tell a failed request's outcome wrong."""
    real = Replies.answer

    def answer(self: Replies, client: Hashable, answer: Answer) -> None:
        if isinstance(answer, Failed) and answer.outcome == instead_of:
            answer = changed(answer, outcome=outcome)
        real(self, client, answer)

    replace(patch, real, answer)


@noticed_by(
    "replica_writes::test_a_write_that_no_quorum_takes_in_time_is_unknown",
    "replica_writes::test_a_write_that_a_snapshot_covers_is_unknown",
    "replica_writes::test_an_entry_that_was_replaced_and_not_committed_is_not_called_undone",
    "replica_writes::test_an_unknown_session_is_told_so",
    "replica_members::test_a_change_without_a_quorum_is_unknown_in_the_end",
    "replica_members::test_a_change_that_a_snapshot_covers_is_unknown",
    "requests_shutdown::test_every_request_is_answered_before_the_end",
)
def an_unknown_outcome_is_called_undone(patch: Patch) -> None:
    with_failures(patch, NOT_DONE, instead_of=UNKNOWN)


@noticed_by(
    "replica_writes::test_an_overwritten_entrys_writer_hears_that_it_did_not_happen",
    "replica_writes::test_a_write_that_its_session_refuses_did_not_happen",
)
def what_did_not_happen_is_called_unknown(patch: Patch) -> None:
    with_failures(patch, UNKNOWN, instead_of=NOT_DONE)


@noticed_by("replica_writes::test_a_leader_that_steps_down_lets_no_writer_wait_for_long")
def the_writers_of_a_deposed_leader_wait_to_the_end(patch: Patch) -> None:
    replace(patch, EntryWaiters.cap_deadlines, lambda self, deadline: None)


@noticed_by("replica_members::test_a_dry_run_changes_nothing_and_says_what_would_be")
def a_dry_run_is_a_real_one(patch: Patch) -> None:
    real = MemberRequests.change
    replace(patch, real, lambda self, client, request: real(self, client, changed(request, dry_run=False)))


@noticed_by("replica_members::test_the_successor_is_the_voter_that_is_the_furthest_along_and_up")
def any_voter_is_named_as_the_successor(patch: Patch) -> None:
    def first(self: MemberRequests) -> NodeId | None:
        return min(self._node.peers)

    replace(patch, MemberRequests.best_successor, first)


@noticed_by("requests_shutdown::test_a_leader_hands_over_before_it_ends")
def a_stopping_leader_hands_over_to_nobody(patch: Patch) -> None:
    replace(patch, RaftNode.transfer_leadership, lambda self, peer: None)


# Events, and snapshot files for clients.


@noticed_by("events::test_events_that_were_dropped_are_counted")
def lost_events_are_not_counted(patch: Patch) -> None:
    real = EventLog.after

    def after(
        self: EventLog, cursor: str, types_glob: str = "", limit: int = 1000
    ) -> tuple[list[EventRecord], str, int]:
        found, position, _ = real(self, cursor, types_glob, limit)
        return found, position, 0

    replace(patch, real, after)


@noticed_by("snapshot_files::test_a_snapshot_stays_while_it_is_read_and_goes_afterwards")
def a_snapshot_that_was_read_is_kept_for_ever(patch: Patch) -> None:
    replace(patch, SnapshotFiles.expire, lambda self, now: None)
