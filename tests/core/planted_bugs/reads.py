"""Bugs in linearizable reads and leases."""

from collections.abc import Callable

from raftnode.core import reads, replication, transfer
from raftnode.core.progress import Progress
from raftnode.core.state import RaftState
from tests.core.planted_bugs.patches import after_restore, noticed_by
from tests.support.planted import Patch, replace


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


@noticed_by("rules_reads::test_a_round_that_was_never_sent_confirms_nothing")
def a_round_that_was_never_sent_confirms_reads(patch: Patch) -> None:
    real = replication.record_answer

    def record(state: RaftState, progress: Progress, round_: int, now: float) -> None:
        progress.acked_round = max(progress.acked_round, round_)
        real(state, progress, round_, now)
        reads.confirm(state)

    replace(patch, real, record)


@noticed_by("rules_reads::test_reads_are_aborted_when_the_leader_steps_down")
def a_deposed_leader_forgets_its_reads(patch: Patch) -> None:
    replace(patch, reads.abort, lambda state: state.reads.clear())


@noticed_by("rules_reads::test_a_leader_without_check_quorum_gives_up_reads_that_nobody_confirms")
def reads_that_nobody_confirms_are_kept(patch: Patch) -> None:
    replace(patch, reads.abort, lambda state: None)


@noticed_by("rules_reads::test_a_lease_counts_from_the_sending_and_not_from_the_answer")
def a_lease_counts_from_the_answer(patch: Patch) -> None:
    real = replication.record_answer

    def record(state: RaftState, progress: Progress, round_: int, now: float) -> None:
        state.round_times = type(state.round_times)((number, now) for number, _ in state.round_times)
        real(state, progress, round_, now)

    replace(patch, real, record)


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
