"""What a caller hands in is checked before anything changes: a mistake costs an exception, and not the node."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from raftnode import ConfChange, MemStorage, NodeRole, RaftConfig, RaftNode
from tests.support.bench import Bench


@pytest.mark.parametrize(
    "data",
    [b"a", bytearray(b"a"), memoryview(b"a"), memoryview(b"xax")[1:2]],
    ids=["bytes", "bytearray", "view", "part"],
)
def test_a_command_is_bytes_bytearray_or_memoryview(data: Any) -> None:
    """The log keeps bytes of its own: what the caller does to its buffer later changes nothing."""
    bench = Bench(term=1)
    bench.lead()
    index = bench.node.propose(data)
    assert bench.node.propose_batch([data, b"b"]) == index + 1
    if isinstance(data, bytearray):
        data[0] = ord("z")
    stored = bench.storage.load_entries(index, index + 2)
    assert [(entry.data, type(entry.data)) for entry in stored] == [(b"a", bytes), (b"a", bytes), (b"b", bytes)]


TAKE_A_PEER = (
    "add_learner",
    "add_observer",
    "add_peer",
    "promote_learner",
    "remove_learner",
    "remove_observer",
    "remove_peer",
    "report_snapshot_failed",
    "report_unreachable",
)


def _call(name: str, value: object) -> Callable[[RaftNode], object]:
    return lambda node: getattr(node, name)(value)


WRONG: dict[str, Callable[[RaftNode], object]] = {
    "propose text": lambda node: node.propose("text"),  # type: ignore[arg-type]
    "propose None": lambda node: node.propose(None),  # type: ignore[arg-type]
    "propose a number": lambda node: node.propose(5),  # type: ignore[arg-type]
    "propose a list": lambda node: node.propose([1, 2]),  # type: ignore[arg-type]
    "propose of no kind": lambda node: node.propose(b"a", "noop"),  # type: ignore[arg-type]
    "a batch of bytes": lambda node: node.propose_batch(b"abc"),  # type: ignore[arg-type]
    "a batch of text": lambda node: node.propose_batch("abc"),  # type: ignore[arg-type]
    "a batch with None": lambda node: node.propose_batch([b"a", None]),  # type: ignore[list-item]
    "a batch with text": lambda node: node.propose_batch([b"a", "b"]),  # type: ignore[list-item]
    "a batch of nothing": lambda node: node.propose_batch([]),
    "no batch": lambda node: node.propose_batch(None),  # type: ignore[arg-type]
    "no change": lambda node: node.propose_conf_change("add_learner 4"),  # type: ignore[arg-type]
    "a change of text": lambda node: node.propose_conf_change(ConfChange("add_learner", 4)),  # type: ignore[arg-type]
    "a change of nobody": lambda node: node.propose_conf_change(ConfChange.add_learner("4")),  # type: ignore[arg-type]
    "a context of text": lambda node: node.propose_conf_change(ConfChange.add_learner(4, "n4")),  # type: ignore[arg-type]
    "applied text": lambda node: node.advance_applied("1"),  # type: ignore[arg-type]
    "applied NaN": lambda node: node.advance_applied(math.nan),  # type: ignore[arg-type]
    "compact text": lambda node: node.compact("1"),  # type: ignore[arg-type]
    "compact half an entry": lambda node: node.compact(0.5),  # type: ignore[arg-type]
    "a deadline of NaN": lambda node: node.election_deadline_override(math.nan),
    "a deadline of text": lambda node: node.election_deadline_override("soon"),  # type: ignore[arg-type]
    "no deadline": lambda node: node.election_deadline_override(None),  # type: ignore[arg-type]
    "a range of text": lambda node: node.log_entries_range("1", 2),  # type: ignore[arg-type]
    "a range without an end": lambda node: node.log_entries_range(1, None),  # type: ignore[arg-type]
    "a transfer to text": lambda node: node.transfer_leadership("2"),  # type: ignore[arg-type]
    "a promotion of 0": lambda node: node.promote_when_caught_up(0),
    **{f"{name} {value!r}": _call(name, value) for name in TAKE_A_PEER for value in ("4", None, 4.0, True, 0, -1)},
}


@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG)
def test_a_wrong_argument_changes_nothing_and_the_node_goes_on(call: Callable[[RaftNode], object]) -> None:
    """A text was committed and made the log unreadable; a None killed the node at the next proposal."""
    bench = Bench(term=1)
    bench.lead()
    before, log = bench.node.status(), bench.log()
    with pytest.raises((TypeError, ValueError)):
        call(bench.node)
    assert (bench.node.status(), bench.log()) == (before, log)
    index = bench.node.propose(b"next")
    bench.ack(2, index)
    assert [entry.data for entry in bench.ready().committed_entries] == [b"next"]


@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG)
def test_a_wrong_argument_is_one_on_a_follower_too(call: Callable[[RaftNode], object]) -> None:
    """And does not hide behind NotLeader."""
    bench = Bench([1])
    with pytest.raises((TypeError, ValueError)):
        call(bench.node)
    assert bench.node.role is NodeRole.FOLLOWER


@pytest.mark.parametrize(
    "options",
    [
        {"node_id": "1"},
        {"node_id": 0},
        {"node_id": -1},
        {"node_id": 1.0},
        {"node_id": True},
        {"node_id": None},
        {"node_id": 2**63},
        {"peers": ("2",)},
        {"peers": (0,)},
        {"learners": (None,)},
        {"observers": (-2,)},
        {"group_id": "0"},
        {"group_id": 1.5},
        {"group_id": -1},
        {"election_timeout_min": math.nan},
        {"election_timeout_max": math.nan},
        {"election_timeout_max": math.inf},
        {"election_timeout_max": "2"},
        {"heartbeat_interval": math.nan},
        {"heartbeat_interval": None},
        {"commit_broadcast_delay": math.nan},
        {"commit_broadcast_delay": math.inf},
        {"catch_up_timeout": math.nan},
        {"priority": math.nan},
        {"clock_drift_max": math.nan},
        {"append_entries_max": 1.5},
        {"inflight_bytes_max": "many"},
    ],
    ids=repr,
)
def test_a_configuration_that_cannot_be_is_refused(options: dict[str, Any]) -> None:
    """By its constructor, and by the node's where somebody went around that."""
    with pytest.raises((TypeError, ValueError), match=next(iter(options))):
        RaftConfig(**{"node_id": 1, "peers": (2, 3), **options})
    config = RaftConfig(1, peers=(2, 3))
    for name, value in options.items():
        object.__setattr__(config, name, value)
    with pytest.raises((TypeError, ValueError)):
        RaftNode(config, MemStorage())
