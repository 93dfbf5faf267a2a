"""A node's life: nothing before `restore()`, one `restore()`, and no call after a change that did not end."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from raftnode import (
    ConfChange,
    HardState,
    InvalidState,
    LogEntry,
    MemStorage,
    NodeRole,
    RaftConfig,
    RaftNode,
    ShutdownError,
    SnapshotMeta,
)
from raftnode.core.membership import make_configuration
from raftnode.testing import Clock, Stage
from tests.core.test_step import MESSAGES
from tests.support.bench import Bench, configuration_entry, entries

ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "abort_incoming_snapshot": (),
    "add_learner": (4,),
    "add_observer": (4,),
    "add_peer": (4,),
    "advance_applied": (1,),
    "cancel_transfer": (),
    "compact": (1,),
    "configuration_at": (1,),
    "election_deadline_override": (1.0,),
    "is_learner_peer": (2,),
    "knows_configuration_at": (1,),
    "log_entries_range": (1, 1),
    "log_entries_within": (1, 1, 100),
    "match_index_for": (2,),
    "next_deadline": (),
    "on_leader_unreachable": (),
    "on_storage_progress": (),
    "probe_members": (),
    "promote_learner": (4,),
    "promote_self_to_voter": (),
    "promote_when_caught_up": (4,),
    "propose": (b"x",),
    "propose_batch": ([b"x"],),
    "propose_conf_change": (ConfChange.add_learner(4),),
    "read_index": (),
    "remove_learner": (4,),
    "remove_observer": (4,),
    "remove_peer": (2,),
    "report_snapshot_failed": (2,),
    "report_unreachable": (2,),
    "snapshot_chunk": (SnapshotMeta(1, 1, make_configuration([1])), 0, b"", True),
    "status": (),
    "take_ready": (),
    "term_at": (1,),
    "tick": (),
    "transfer_leadership": (2,),
}


def calls() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Give every public method but `restore()`, with arguments that are right."""
    for name, _ in inspect.getmembers(RaftNode, inspect.isfunction):
        if name.startswith("_") or name == "restore":
            continue
        if name == "step" or name.startswith("handle_") or name == "wants_chunk":
            for message in MESSAGES:
                kind = type(message).__name__
                words = "".join(f"_{c.lower()}" if c.isupper() else c for c in kind)
                if name == "step":
                    yield name, (2, message)
                elif name == f"handle{words.removesuffix('_request')}":
                    yield name, (message,) if kind.endswith("Request") else (2, message)
                elif name == "wants_chunk" and kind == "InstallSnapshotRequest":
                    yield name, (message,)
        else:
            yield name, ARGUMENTS[name]


@pytest.mark.parametrize(("name", "arguments"), list(calls()))
def test_nothing_is_answered_before_restore(name: str, arguments: tuple[Any, ...]) -> None:
    """A node that knew nothing of its disk granted a vote of a term in which it had voted for another."""
    bench = Bench([1, 1], term=5, voted_for=2, restore=False)
    with pytest.raises(InvalidState, match="restore\\(\\) comes before"):
        getattr(bench.node, name)(*arguments)
    bench.node.restore()
    assert (bench.node.current_term, bench.node.voted_for, bench.node.last_log_index) == (5, 2, 2)


def test_a_second_restore_is_refused_and_changes_nothing() -> None:
    """It made a running leader a follower, and delivered entries again."""
    bench = Bench(term=1)
    bench.lead()
    before = bench.node.status()
    for snapshot in (None, SnapshotMeta()):
        with pytest.raises(InvalidState, match="restored already"):
            bench.node.restore(snapshot)
    assert bench.node.status() == before
    assert bench.node.take_ready().committed_entries == []


def test_an_argument_that_cannot_be_leaves_the_node_as_it_was() -> None:
    """The caller may hand over the right one."""
    bench = Bench([1], restore=False)
    with pytest.raises(TypeError):
        bench.node.restore((3, 1, None))  # type: ignore[arg-type]
    with pytest.raises(InvalidState):
        bench.node.tick()
    bench.node.restore()
    bench.node.tick()


@pytest.mark.parametrize(
    ("options", "role"),
    [
        ({}, NodeRole.FOLLOWER),
        ({"starts_as_learner": True}, NodeRole.LEARNER),
        ({"starts_as_observer": True}, NodeRole.OBSERVER),
    ],
)
def test_the_capacity_shows_in_the_role_from_the_start(options: dict[str, Any], role: NodeRole) -> None:
    """Before `restore()` and after it."""
    bench = Bench(restore=False, **options)
    assert bench.node.role is role
    bench.node.restore()
    assert (bench.node.role, bench.node.status().role) == (role, role)


class Failing(MemStorage):
    """A storage in which one method raises once, after it did its work."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = ""
        self.error: BaseException = OSError(5, "Input/output error")

    def _fail(self, method: str) -> None:
        if self.fails == method:
            self.fails = ""
            raise self.error

    def append(self, entries: Sequence[LogEntry]) -> None:
        super().append(entries)
        self._fail("append")

    def truncate(self, index: int) -> None:
        super().truncate(index)
        self._fail("truncate")

    def compact(self, index: int, term: int, configuration: Any = None) -> None:
        super().compact(index, term, configuration)
        self._fail("compact")

    def load_entries_after(self, index: int) -> list[LogEntry]:
        self._fail("load_entries_after")
        return super().load_entries_after(index)


CHANGES: dict[str, Callable[[Bench], object]] = {
    "append": lambda bench: bench.append(2, 1, [2], term=2),
    "truncate": lambda bench: bench.append(1, 1, [2], term=2),
    "compact": lambda bench: bench.node.compact(1),
}


@pytest.mark.parametrize(
    "error", [OSError(5, "Input/output error"), ValueError("a bug"), KeyboardInterrupt()], ids=repr
)
@pytest.mark.parametrize("method", CHANGES)
def test_any_exception_in_the_middle_of_a_change_stops_the_node(method: str, error: BaseException) -> None:
    """The storage may have done its work or not: as after a StorageError nobody knows."""
    storage = Failing()
    bench = Bench([1, 1], storage=storage, term=1)
    bench.append(2, 1, [], commit=1)
    bench.ready()
    storage.fails, storage.error = method, error
    with pytest.raises(type(error)):
        CHANGES[method](bench)
    for call in (bench.node.tick, bench.node.take_ready, lambda: bench.ask_vote(2, (9, 9), term=9)):
        with pytest.raises(ShutdownError, match=type(error).__name__):
            call()
    assert bench.node.status().last_log_index >= 1


def test_a_storage_that_cannot_be_read_stops_the_restore_for_good() -> None:
    """Half of a log is not a log."""
    storage = Failing()
    storage.fails = "load_entries_after"
    bench = Bench(storage=storage, restore=False)
    with pytest.raises(OSError, match="Input/output"):
        bench.node.restore()
    with pytest.raises(ShutdownError):
        bench.node.restore()


# The members survive a restart, whichever way the log begins.


class Bare:
    """A storage of an embedder that keeps no members."""

    def __init__(self, storage: MemStorage) -> None:
        self._storage = storage

    def __getattr__(self, name: str) -> Any:
        if name == "snapshot_configuration":
            raise AttributeError(name)
        return getattr(self._storage, name)

    def compact(self, index: int, term: int) -> None:
        """As the protocol has it."""
        self._storage.compact(index, term)


def node_with_four_members(storage: Any) -> RaftNode:
    """Return a leader of 1, 2, 3 that added voter 4 and compacted its log behind that."""
    node = RaftNode(RaftConfig(1, peers=(2, 3)), storage, clock=Clock())
    node.restore()
    bench = Bench()
    bench.node, bench.storage = node, storage
    bench.append(
        0, 0, log=[*entries([1]), configuration_entry(1, 2, (1, 2, 3, 4)), *entries([1], first=3)], term=1, commit=3
    )
    bench.ready()
    assert node.peers == (2, 3, 4)
    node.compact(3)
    return node


def restarted(storage: Any, snapshot: SnapshotMeta | None = None) -> RaftNode:
    """Return the node after a restart."""
    node = RaftNode(RaftConfig(1, peers=(2, 3)), storage, clock=Clock())
    node.restore(snapshot)
    return node


FOUR = make_configuration((1, 2, 3, 4))


def test_the_members_come_from_the_snapshot_point_after_a_compaction() -> None:
    """With (2, 3) in force instead of (2, 3, 4) two majorities need not meet."""
    storage = MemStorage()
    node_with_four_members(storage)
    assert restarted(storage).configuration == FOUR
    assert restarted(storage, SnapshotMeta(3, 1)).configuration == FOUR
    assert restarted(storage, SnapshotMeta(3, 1, FOUR)).configuration == FOUR


def test_a_storage_that_keeps_no_members_needs_them_at_restore() -> None:
    """No guess takes their place, and the right call works afterwards."""
    storage = Bare(MemStorage())
    node_with_four_members(storage)
    for snapshot in (None, SnapshotMeta(3, 1)):
        node = RaftNode(RaftConfig(1, peers=(2, 3)), storage, clock=Clock())
        with pytest.raises(ValueError, match=r"SnapshotMeta\(index, term, configuration\)"):
            node.restore(snapshot)
        node.restore(SnapshotMeta(3, 1, FOUR))
        assert node.configuration == FOUR


def test_a_snapshot_that_the_log_does_not_hold_brings_its_members() -> None:
    """A crash came between the snapshot and the log."""
    for storage in (MemStorage(), Bare(MemStorage())):
        node_with_four_members(storage)
        node = RaftNode(RaftConfig(1, peers=(2, 3)), storage, clock=Clock())
        with pytest.raises(ValueError, match="without its members"):
            node.restore(SnapshotMeta(9, 2))
        node.restore(SnapshotMeta(9, 2, FOUR))
        assert (node.configuration, node.log_snapshot_index, node.last_applied) == (FOUR, 9, 9)


def test_a_vote_of_the_past_is_not_given_again() -> None:
    """Term and vote are those of the disk."""
    storage = MemStorage()
    storage.save_hard_state(HardState(5, 2))
    assert (restarted(storage).current_term, restarted(storage).voted_for) == (5, 2)


def test_a_removed_node_learns_it_as_a_fact() -> None:
    """Once in a Ready, and in every status from then on; until the change is committed it may be taken back."""
    bench = Bench([1], term=1)
    bench.append(1, 1, log=[configuration_entry(1, 2, (2, 3))], term=1, commit=1)
    assert not bench.ready().removed
    assert not bench.node.status().removed
    bench.append(2, 1, [], term=1, commit=2)
    assert bench.node.status().removed
    assert "removed by the change at entry 2" in bench.node.status().no_leader_reason or bench.node.leader_id == 2
    ready = bench.node.take_ready()
    assert ready.removed
    assert not ready.is_empty()
    assert not bench.ready().removed
    assert bench.restart().status().removed is False, "what is committed is not known after a restart"


def test_a_node_that_waits_to_be_added_was_not_removed() -> None:
    """The members of the past, which the log tells it first, never held it."""
    stage = Stage(3)
    leader = stage.elect(1)
    leader.propose_conf_change(ConfChange.add_observer(5))
    stage.settle()
    stage.add(4)
    leader.propose_conf_change(ConfChange.add_learner(4))
    seen = []
    for _ in range(20):
        stage.run(0.05)
        seen.append(stage.nodes[4].status().removed)
    assert (any(seen), stage.nodes[4].role, stage.nodes[4].commit_index) == (False, NodeRole.LEARNER, 3)
