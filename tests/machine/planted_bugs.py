"""Bugs of the key-value machine and of the sessions, and the directed tests that must notice.

`python -m tests.support.planted_runner tests.machine.planted_bugs` judges them. What changes a result or a snapshot's
contents is in tests/simulation/bugs.py.
"""

from raftnode.machine.kv import machine as kv
from raftnode.machine.kv.history import ChangeHistory
from raftnode.machine.sessions.machine import SessionMachine
from raftnode.machine.sessions.session import Session
from raftnode.wire.kv import Change, KvCommand
from tests.support.planted import Patch, PlantedBugs, replace

BUGS = PlantedBugs("machine")
noticed_by = BUGS.noticed_by


@noticed_by("sessions::test_a_write_beyond_the_window_is_refused_and_may_come_again")
def a_sessions_window_has_no_end(patch: Patch) -> None:
    patch.setattr(SessionMachine, "_too_early", lambda self, session, sequence: "")


@noticed_by("sessions::test_the_least_recently_used_session_is_forgotten_first")
def the_number_of_sessions_has_no_end(patch: Patch) -> None:
    patch.setattr(SessionMachine, "_forget_oldest", lambda self: None)


@noticed_by("sessions::test_a_snapshot_is_of_one_moment_for_sessions_and_machine_alike")
def a_snapshot_shares_its_sessions_with_later_writes(patch: Patch) -> None:
    def same(self: Session, generation: int) -> Session:
        self.generation = generation
        return self

    replace(patch, Session.copy, same)


@noticed_by("sessions::test_an_acknowledged_result_is_forgotten_and_its_repetition_is_expired")
def an_acknowledgement_closes_nothing(patch: Patch) -> None:
    replace(patch, Session.acknowledge, lambda self, sequence: 0)


@noticed_by("kv_snapshot::test_a_snapshot_is_of_the_moment_of_the_call_while_writes_go_on")
def a_snapshot_shares_its_records_with_later_writes(patch: Patch) -> None:
    patch.setattr(kv.KvMachine, "_tell_snapshot", lambda self, key, record: None)


@noticed_by("kv::test_a_command_over_a_limit_is_refused_with_the_numbers")
def a_command_has_no_limit(patch: Patch) -> None:
    def within(command: KvCommand) -> str:
        return ""

    patch.setattr(kv, "_over_limit", within)


@noticed_by("kv::test_the_history_forgets_by_count_and_says_what_is_lost")
def forgotten_changes_are_not_told(patch: Patch) -> None:
    real = ChangeHistory.append

    def append(self: ChangeHistory, change: Change) -> None:
        real(self, change)
        self.lost_before = 0

    replace(patch, real, append)


@noticed_by("kv::test_a_sum_outside_64_bits_changes_nothing")
def a_sum_has_no_limit(patch: Patch) -> None:
    patch.setattr(kv, "INTEGER_MAX", 1 << 100)
    patch.setattr(kv, "INTEGER_MIN", -(1 << 100))


@noticed_by("sessions::test_large_results_make_the_least_recently_used_sessions_go")
def results_weigh_nothing(patch: Patch) -> None:
    real = Session.remember

    def remember(self: Session, sequence: int, result: bytes) -> int:
        real(self, sequence, result)
        return 0

    replace(patch, real, remember)
