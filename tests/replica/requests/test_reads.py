"""Reads alone: one barrier for those that wait, and an answer from a state that has everything up to it."""

from raftnode.replica.requests.reads import Reads
from raftnode.wire import client as wire
from raftnode.wire.client import ErrorCode
from raftnode.wire.kv import Get, encode
from tests.replica.requests.parts import Parts

HANDED_IN = ("node", "machine", "settings", "clock", "replies", "timers")
READ = wire.Read(7, encode(Get(b"k")))


def test_reads_that_arrive_together_share_a_barrier() -> None:
    """And are answered when it is confirmed and its index applied, not before."""
    parts = Parts()
    parts.lead()
    reads = Reads(**parts.handed_in(*HANDED_IN))
    reads.add("a", READ, parts.now)
    reads.add("b", READ, parts.now)
    reads.open_barrier()
    (barrier,) = reads.barriers
    reads.confirmed([(barrier, parts.node.last_applied + 1)])
    assert parts.desk.take() == []
    assert reads.wait_for_entries
    parts.node.propose(b"")
    parts.commit()
    reads.confirmed([])
    assert [client for client, _ in parts.desk.take()] == ["a", "b"]
    assert len(reads) == 0


def test_an_aborted_barrier_sends_its_reads_round_again_with_their_old_deadline() -> None:
    """A node that keeps losing the leadership does not hold them forever."""
    parts = Parts()
    parts.lead()
    reads = Reads(**parts.handed_in(*HANDED_IN))
    reads.add("a", READ, parts.now)
    for _ in range(4):
        reads.open_barrier()
        (barrier,) = reads.barriers
        reads.aborted([barrier])
        parts.wait(2.4)
    assert parts.desk.take() == []
    parts.wait(1.0)
    ((client, answer),) = parts.desk.take()
    assert client == "a"
    assert isinstance(answer, wire.Failed)
    assert answer.code is ErrorCode.NO_LEADER


def test_a_node_that_ends_answers_reads_that_wait_for_a_leader() -> None:
    """Nobody will lead here in time."""
    parts = Parts(voters=3)
    reads = Reads(**parts.handed_in(*HANDED_IN))
    reads.add("a", READ, parts.now)
    reads.open_barrier()
    assert parts.desk.take() == [], "no leader is known: it waits"
    reads.close()
    reads.open_barrier()
    ((_, answer),) = parts.desk.take()
    assert isinstance(answer, wire.Failed)
    assert answer.code is ErrorCode.SHUTTING_DOWN
