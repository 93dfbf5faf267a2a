"""`step()`: one door for every message, which leads to the handler of its type."""

from typing import get_args, get_type_hints

import pytest

from raftnode import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    GroupNotFound,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    NodeRole,
    PreVoteRequest,
    PreVoteResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    TimeoutNowRequest,
)
from raftnode.core.messages import Message
from tests.support.bench import Bench, entries

MESSAGES: tuple[Message, ...] = (
    AppendEntriesRequest(2, 2, 1, 1, entries([2], first=2), 1),
    RequestVoteRequest(2, 2, 1, 1),
    PreVoteRequest(2, 2, 1, 1),
    InstallSnapshotRequest(2, 2, 5, 2, 0, b"state", True),
    TimeoutNowRequest(1, 2),
    AppendEntriesResponse(2, False, 0),
    RequestVoteResponse(2, False),
    PreVoteResponse(2, False, requested_term=2),
    InstallSnapshotResponse(2),
)


def test_each_kind_of_message_is_among_these() -> None:
    """A new one is not forgotten."""
    kinds = {kind for union in get_args(Message) for kind in (get_args(union) or (union,))}
    assert {type(message) for message in MESSAGES} == kinds


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_does_and_returns_what_its_handler_does_and_returns(message: Message) -> None:
    """The handlers stay for who knows what arrives."""
    name = "".join(f"_{c.lower()}" if c.isupper() else c for c in type(message).__name__)
    handler = f"handle{name.removesuffix('_request')}"
    stepped, handled = (Bench([1], voted_for=1) for _ in range(2))
    response = stepped.node.step(2, message)
    arguments = (2, message) if name.endswith("response") else (message,)
    assert response == getattr(handled.node, handler)(*arguments)
    assert stepped.node.status() == handled.node.status()
    assert (response is not None) == (name.endswith("request") and not name.startswith("_timeout"))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_handler_takes_its_own_messages_only(message: Message) -> None:
    """A message at the wrong door, or none at all, is the caller's mistake, and the node goes on."""
    bench = Bench([1])
    before = bench.node.status()
    for name, handler in vars(type(bench.node)).items():
        if name.startswith("handle_") or name == "wants_chunk":
            arguments = (2,) if name.endswith("response") else ()
            kind = get_type_hints(handler)["response" if arguments else "request"]
            for wrong in (None, "message", message):
                if type(wrong) is not kind:
                    with pytest.raises(TypeError, match=kind.__name__):
                        getattr(bench.node, name)(*arguments, wrong)
    assert bench.node.status() == before


def test_a_vote_that_comes_through_the_door_counts() -> None:
    """And so does its sender."""
    bench = Bench()
    bench.campaign()
    bench.node.step(3, RequestVoteResponse(bench.node.current_term, True))
    assert bench.node.role is NodeRole.LEADER


def test_what_is_no_message_is_a_type_error() -> None:
    """And the node goes on; so it does after a message that its handler refuses."""
    bench = Bench([1])
    with pytest.raises(TypeError, match="str is not a message"):
        bench.node.step(2, "vote for me")  # type: ignore[arg-type]
    with pytest.raises(GroupNotFound):
        bench.node.step(2, RequestVoteRequest(2, 2, 1, 1, group_id=7))
    assert bench.node.step(2, RequestVoteRequest(2, 2, 1, 1)) == RequestVoteResponse(2, True)
