"""The simulation notices a program that breaks its promises: each bug is planted, and a few seeds are enough."""

from collections.abc import Callable, Hashable

import pytest

from raftnode.core.types import HardState
from raftnode.machine.kv import KvMachine
from raftnode.machine.session import Session
from raftnode.machine.session_snapshot import SessionSnapshot, session_records
from raftnode.machine.sessions import SessionMachine
from raftnode.server.durability import Durability
from raftnode.server.requests import Requests
from raftnode.storage.wal import Wal
from raftnode.wire.client import Read
from raftnode.wire.kv import CompareAndSet, KvResult, Put
from raftnode.wire.snapshot import SessionHeader
from tests.simulation.world import World
from tests.support.filesystem import SimulatedFile

SEEDS_MAX = 60
Patch = pytest.MonkeyPatch


def a_read_without_a_barrier(patch: Patch) -> None:
    def serve_at_once(self: Requests, client: Hashable, request: Read, since: float) -> None:
        if self.leads(client, request):
            self.serve(client, request)

    patch.setattr(Requests, "_read", serve_at_once)


def a_result_that_is_forgotten(patch: Patch) -> None:
    patch.setattr(Session, "remember", lambda self, sequence, result: 0)


def sessions_left_out_of_the_snapshot(patch: Patch) -> None:
    def snapshot(self: SessionMachine) -> SessionSnapshot:
        return SessionSnapshot(SessionHeader.of(self._limits, 0), session_records([]), self.inner.snapshot())

    patch.setattr(SessionMachine, "snapshot", snapshot)


def a_log_that_is_not_synced(patch: Patch) -> None:
    real = SimulatedFile.sync

    def sync(self: SimulatedFile) -> None:
        if not self.path.endswith(".wal"):
            real(self)

    patch.setattr(SimulatedFile, "sync", sync)


def a_vote_that_is_not_saved(patch: Patch) -> None:
    def save(self: Wal, state: HardState) -> None:
        self._hard_state = state

    patch.setattr(Wal, "save_hard_state", save)


def promises_of_a_full_disk(patch: Patch) -> None:
    patch.setattr(Durability, "may_leave", lambda self, message: True)


def a_cas_that_always_succeeds(patch: Patch) -> None:
    def put(self: KvMachine, index: int, command: CompareAndSet) -> KvResult:
        return self._put(index, Put(command.key, command.value))

    patch.setattr(KvMachine, "_compare_and_set", put)


BUGS = [
    a_read_without_a_barrier, a_result_that_is_forgotten, sessions_left_out_of_the_snapshot, a_log_that_is_not_synced,
    a_vote_that_is_not_saved, promises_of_a_full_disk, a_cas_that_always_succeeds,
]  # fmt: skip


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_noticed(bug: Callable[[Patch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulation that passes everything shows nothing."""
    bug(monkeypatch)
    for seed in range(SEEDS_MAX):
        try:
            World(seed).run()
        except Exception as error:
            print(f"seed {seed}: {error!r}"[:500])
            return
    pytest.fail(f"{SEEDS_MAX} seeds noticed nothing")
