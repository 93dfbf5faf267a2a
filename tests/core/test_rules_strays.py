"""Answers that are none: of another group, of nobody, of another term or another round. They have no effect."""

from collections.abc import Callable

import msgspec
import pytest

from raftnode import (
    AppendEntriesResponse,
    InstallSnapshotResponse,
    NodeRole,
    PreVoteResponse,
    RequestVoteResponse,
)
from raftnode.core.messages import Response
from tests.support.bench import Bench

GROUP = 7


def pre_candidate() -> Bench:
    """Return a node that needs one more pre-vote for term 6."""
    bench = Bench([1], term=5, group_id=GROUP)
    bench.time_out()
    assert bench.node.role is NodeRole.PRE_CANDIDATE
    return bench


def candidate() -> Bench:
    """Return a node that needs one more vote in term 6."""
    bench = pre_candidate()
    bench.node.step(2, PreVoteResponse(5, True, GROUP, 6))
    bench.ready()
    assert (bench.node.role, bench.node.current_term) == (NodeRole.CANDIDATE, 6)
    return bench


def leader() -> Bench:
    """Return a leader of term 6 that needs one more acknowledgement of entry 2."""
    bench = candidate()
    bench.node.step(2, RequestVoteResponse(6, True, GROUP))
    bench.ready()
    assert bench.node.role is NodeRole.LEADER
    bench.node.read_index()
    bench.ready()
    return bench


def sending_a_snapshot() -> Bench:
    """Return a leader of term 6 that waits for node 2 to install a snapshot of entry 2."""
    bench = leader()
    bench.node.step(3, AppendEntriesResponse(6, True, 2, group_id=GROUP))
    bench.ready()
    bench.node.compact(2)
    bench.node.step(2, AppendEntriesResponse(6, False, 0, rejected_index=1, group_id=GROUP))
    assert bench.ready().snapshots_needed == [2]
    return bench


EFFECTIVE: dict[str, tuple[Callable[[], Bench], Response]] = {
    "a pre-vote": (pre_candidate, PreVoteResponse(5, True, GROUP, 6)),
    "a refused pre-vote": (pre_candidate, PreVoteResponse(5, False, GROUP, 6, "no")),
    "a pre-vote of a later term": (pre_candidate, PreVoteResponse(9, False, GROUP, 6)),
    "a vote": (candidate, RequestVoteResponse(6, True, GROUP)),
    "a refused vote": (candidate, RequestVoteResponse(6, False, GROUP, "no")),
    "a vote of a later term": (candidate, RequestVoteResponse(9, False, GROUP)),
    "an acknowledgement": (leader, AppendEntriesResponse(6, True, 2, round=2, group_id=GROUP)),
    "a refusal": (leader, AppendEntriesResponse(6, False, 0, rejected_index=1, group_id=GROUP)),
    "a refusal of a later term": (leader, AppendEntriesResponse(9, False, 0, group_id=GROUP)),
    "an installed snapshot": (sending_a_snapshot, InstallSnapshotResponse(6, 2, 5, True, GROUP)),
    "a snapshot's answer of a later term": (sending_a_snapshot, InstallSnapshotResponse(9, group_id=GROUP)),
}


def seen(bench: Bench) -> tuple[object, ...]:
    """Return everything that an answer could change."""
    return bench.node.status(), bench.node.take_ready()


@pytest.mark.parametrize("name", EFFECTIVE)
def test_these_answers_do_something(name: str) -> None:
    """Or the test below would show nothing."""
    prepare, response = EFFECTIVE[name]
    touched, untouched = prepare(), prepare()
    touched.node.step(2, response)
    assert seen(touched) != seen(untouched)


def of_a_past_term(response: Response) -> Response:
    """Return the same answer, as it was given to an earlier question."""
    if isinstance(response, PreVoteResponse):
        return msgspec.structs.replace(response, term=4, requested_term=5)
    if isinstance(response, RequestVoteResponse) and not response.vote_granted:
        # Why a voter refuses is shown to the operator, whichever term it is in.
        return msgspec.structs.replace(response, term=3, vote_granted=True)
    return msgspec.structs.replace(response, term=3)


STRAYS: dict[str, Callable[[Response], tuple[int, Response]]] = {
    "another group": lambda response: (2, msgspec.structs.replace(response, group_id=9)),
    "group 0": lambda response: (2, msgspec.structs.replace(response, group_id=0)),
    "nobody": lambda response: (44, response),
    "a past term": lambda response: (2, of_a_past_term(response)),
}


@pytest.mark.parametrize("name", EFFECTIVE)
@pytest.mark.parametrize("stray", STRAYS)
def test_a_stray_answer_has_no_effect(name: str, stray: str) -> None:
    """A node of group 7 became leader and committed on the answers of group 9."""
    prepare, response = EFFECTIVE[name]
    touched, untouched = prepare(), prepare()
    assert touched.node.step(*STRAYS[stray](response)) is None
    assert seen(touched) == seen(untouched)


@pytest.mark.parametrize("round_", [0, 1, 99])
def test_an_answer_of_another_round_confirms_no_read(round_: int) -> None:
    """It may be older than the read, or made up."""
    bench = leader()
    bench.node.step(3, AppendEntriesResponse(6, True, 2, round=2, group_id=GROUP))
    assert len(bench.ready().reads) == 1
    read = bench.node.read_index()
    bench.ready()
    bench.node.step(3, AppendEntriesResponse(6, True, 2, round=round_, group_id=GROUP))
    assert bench.ready().reads == []
    bench.node.step(3, AppendEntriesResponse(6, True, 2, round=3, group_id=GROUP))
    assert bench.ready().reads == [(read, 2)]
