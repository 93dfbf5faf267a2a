"""Ready: committed entries exactly once and in order, and what else it carries (DESIGN 3)."""

import pytest

from raftnode import RaftConfig, RaftNode
from raftnode.core.membership import SnapshotMeta
from raftnode.core.ready import Ready
from raftnode.core.types import HardState
from raftnode.testing import Clock, Disk, Stage
from tests.support.bench import Bench


def delivered(ready: Ready) -> list[int]:
    return [entry.index for entry in ready.committed_entries]


def test_committed_entries_come_exactly_once_also_before_they_are_applied() -> None:
    """Ready: a caller that applies later is not told again."""
    bench = Bench([1, 1, 1])
    bench.append(3, 1, [], commit=2)
    assert delivered(bench.node.take_ready()) == [1, 2]
    assert delivered(bench.node.take_ready()) == []
    bench.append(3, 1, [], commit=3)
    assert delivered(bench.node.take_ready()) == [3]
    bench.node.advance_applied(3)
    assert delivered(bench.node.take_ready()) == []


def test_entries_that_are_not_committed_are_not_delivered() -> None:
    """§5.3."""
    bench = Bench([1, 1, 1])
    bench.append(3, 1, [1], commit=1)
    assert delivered(bench.node.take_ready()) == [1]


def test_every_kind_of_entry_is_delivered() -> None:
    """The caller sees each index, so that it can count."""
    bench = Bench(term=1)
    bench.elect()
    bench.node.propose(b"x")
    bench.ack(2, 2)
    assert delivered(bench.node.take_ready()) == [1, 2]


def test_after_a_restart_the_first_later_commit_delivers_every_entry_after_the_snapshot() -> None:
    """`restore()`: the machine is rebuilt from the snapshot and the log, each entry once."""
    bench = Bench([1, 1, 1, 1], snapshot=(5, 1))
    bench.append(9, 1, [], commit=8)
    assert delivered(bench.ready()) == [6, 7, 8]
    bench.restart()
    assert delivered(bench.node.take_ready()) == []
    assert (bench.node.commit_index, bench.node.last_applied) == (5, 5)
    bench.append(9, 1, [], commit=9)
    assert delivered(bench.ready()) == [6, 7, 8, 9]


def test_a_machine_that_was_loaded_further_is_not_given_old_entries() -> None:
    """`restore(snapshot)`: the log may begin before the machine's snapshot."""
    bench = Bench([1] * 6, restore=False)
    bench.node.restore(SnapshotMeta(4, 1))
    bench.append(6, 1, [], commit=6)
    assert delivered(bench.ready()) == [5, 6]


def test_after_a_snapshot_delivery_goes_on_behind_it() -> None:
    """Ready: what a snapshot covers is not delivered."""
    bench = Bench([1, 1])
    bench.append(2, 1, [], commit=1)
    assert delivered(bench.ready()) == [1]
    bench.install(6, 1)
    assert delivered(bench.ready()) == []
    bench.append(6, 1, [1, 1], commit=8)
    assert delivered(bench.ready()) == [7, 8]


def test_a_compaction_takes_nothing_back_and_skips_nothing() -> None:
    """Ready: discarding the log's prefix is no delivery."""
    bench = Bench([1] * 5)
    bench.append(5, 1, [], commit=3)
    assert delivered(bench.ready()) == [1, 2, 3]
    bench.node.compact(2)
    bench.append(5, 1, [], commit=5)
    assert delivered(bench.ready()) == [4, 5]


def test_a_long_backlog_is_delivered_in_bounded_pieces() -> None:
    """`ready_bytes_max`: at least one entry at a time, none skipped."""
    bench = Bench([1] * 10, ready_bytes_max=10)
    bench.append(10, 1, [], commit=10)
    pieces = []
    while piece := delivered(bench.ready()):
        pieces.append(piece)
    assert [index for piece in pieces for index in piece] == list(range(1, 11))
    assert len(pieces) > 3


def test_entries_that_left_the_memory_are_delivered_from_the_storage() -> None:
    """The cache's budget changes nothing but the speed."""
    bench = Bench([1] * 3000, log_cache_bytes_max=100)
    bench.append(3000, 1, [], commit=3000)
    got: list[int] = []
    while piece := delivered(bench.ready()):
        got += piece
    assert got == list(range(1, 3001))


def test_the_hard_state_is_told_when_it_changes_and_only_then() -> None:
    """Ready.hard_state: None where nothing is to be persisted."""
    bench = Bench([1])
    assert bench.node.take_ready().hard_state is None
    bench.append(1, 1, [], term=3)
    assert bench.node.take_ready().hard_state == HardState(3, None)
    bench.append(1, 1, [], term=3)
    assert bench.node.take_ready().hard_state is None


def test_an_empty_ready_says_so() -> None:
    """`is_empty()`."""
    bench = Bench([1])
    assert bench.node.take_ready().is_empty()
    bench.append(1, 1, [], commit=1)
    assert not bench.node.take_ready().is_empty()
    bench.time_out()
    assert bench.node.take_ready().is_empty()
    bench.clock.advance(3)
    bench.node.tick()
    assert not bench.node.take_ready().is_empty()


def test_a_caller_that_stops_at_an_empty_ready_has_saved_everything() -> None:
    """An only voter sends nothing for a proposal. A Ready that said so too left it unsaved, and never committed."""
    disk, clock = Disk(), Clock()
    node = RaftNode(RaftConfig(node_id=1), disk, clock=clock)
    node.restore()

    def turn() -> list[int]:
        found: list[int] = []
        while not (ready := node.take_ready()).is_empty():
            if ready.hard_state is not None:
                disk.save_hard_state(ready.hard_state)
            disk.sync()
            found += delivered(ready)
        assert not disk.unsynced
        return found

    clock.advance(3)
    node.tick()
    assert turn() == [1]
    node.propose(b"x")
    assert turn() == [2]
    node.advance_applied(2)
    node.compact(2)
    assert turn() == []


@pytest.mark.parametrize("index", [3, 99, 0])
def test_applied_is_never_above_commit_and_never_goes_back(index: int) -> None:
    """`advance_applied`: ValueError."""
    bench = Bench([1, 1, 1])
    bench.append(3, 1, [], commit=2)
    bench.node.take_ready()
    bench.node.advance_applied(1)
    with pytest.raises(ValueError, match="applied index"):
        bench.node.advance_applied(index)
    assert bench.node.last_applied == 1
    bench.node.advance_applied(1)
    bench.node.advance_applied(2)
    assert bench.node.last_applied == 2


def test_every_node_of_a_cluster_applies_the_same_commands_once() -> None:
    """State machine safety (figure 3), with a restart and a snapshot in between."""
    stage = Stage(3)
    leader = stage.elect(1)
    for i in range(20):
        leader.propose(str(i).encode())
    stage.settle()
    stage.processes[2].take_snapshot()
    stage.restart(2)
    for i in range(20, 40):
        leader.propose(str(i).encode())
    stage.run(1.0)
    expected = [str(i).encode() for i in range(40)]
    assert all(machine == expected for machine in stage.machines.values())


def test_a_leaders_entries_may_leave_at_once_and_everything_else_after_the_save() -> None:
    """Thesis 10.2.1: a leader writes to its disk while its followers do; a promise follows the disk."""
    bench = Bench()
    ready = bench.campaign()
    assert ready.hard_state is not None
    assert ready.outgoing() == ([], ready.vote_requests)
    assert [peer for peer, _ in ready.vote_requests] == [2, 3]
    bench.vote(2)
    bench.vote(3)
    ready = bench.ready()
    assert [peer for peer, _ in ready.messages] == [2, 3]
    assert ready.outgoing() == (ready.messages, [])
    bench.ack(2, 1)
    bench.ready()
    bench.node.transfer_leadership(2)
    ready = bench.ready()
    assert [peer for peer, _ in ready.timeout_now] == [2]
    assert ready.outgoing() == (ready.messages, ready.timeout_now)


def test_all_of_a_ready_waits_for_its_hard_state() -> None:
    """Entries of a term that the disk does not know yet would be of nobody's term after a crash."""
    bench = Bench(peers=())
    bench.node.add_learner(4)
    bench.clock.advance(3)
    bench.node.tick()
    ready = bench.node.take_ready()
    assert ready.hard_state is not None
    assert [peer for peer, _ in ready.messages] == [4]
    assert ready.outgoing() == ([], ready.messages)
    pre_votes = Bench().time_out()
    assert pre_votes.pre_vote_requests
    assert pre_votes.outgoing() == ([], pre_votes.pre_vote_requests)
