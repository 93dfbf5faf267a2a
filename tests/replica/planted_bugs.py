"""Bugs of the replica's parts that no simulated fault reveals, and the directed tests that must notice.

`python -m tests.support.planted_runner tests.replica.planted_bugs` judges them. What clients are told, what leaves
before it is durable, and snapshots under way are in tests/simulation/bugs.py.
"""

import msgspec

from raftnode.core.membership import Configuration
from raftnode.core.types import NodeId
from raftnode.replica import member_plan
from raftnode.replica.admission import Admission
from raftnode.replica.events import EventLog
from raftnode.replica.member_plan import Tolerance
from raftnode.replica.requests.snapshot_files import SnapshotFiles
from raftnode.wire.client import EventRecord
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
    replace(patch, SnapshotFiles.expire, lambda self: None)
