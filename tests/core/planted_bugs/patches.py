"""The list of the core's bugs, and what several of them patch."""

from collections.abc import Callable
from typing import Any

import msgspec

from raftnode.core import election, replication, snapshot
from raftnode.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    PreVoteRequest,
    PreVoteResponse,
    RequestVoteRequest,
    RequestVoteResponse,
)
from raftnode.core.node import RaftNode
from raftnode.core.state import RaftState
from raftnode.core.types import NodeId
from tests.support.planted import Patch, PlantedBugs, replace

BUGS = PlantedBugs("core")
noticed_by = BUGS.noticed_by
changed = msgspec.structs.replace


def with_vote_request(patch: Patch, change: Callable[[RaftState, RequestVoteRequest], RequestVoteRequest]) -> None:
    """Let the vote's handler see a changed request, or a state that `change` has spoiled."""
    real = election.handle_request_vote

    def handle(state: RaftState, request: RequestVoteRequest) -> RequestVoteResponse:
        return real(state, change(state, request))

    replace(patch, real, handle)


def with_pre_vote(patch: Patch, change: Callable[[RaftState, PreVoteRequest], PreVoteRequest]) -> None:
    """Do the same for pre-votes."""
    real = election.handle_pre_vote

    def handle(state: RaftState, request: PreVoteRequest) -> PreVoteResponse:
        return real(state, change(state, request))

    replace(patch, real, handle)


def with_append(
    patch: Patch,
    before: Callable[[RaftState, AppendEntriesRequest], AppendEntriesRequest] = lambda state, request: request,
    after: Callable[[RaftState, AppendEntriesRequest, AppendEntriesResponse], AppendEntriesResponse] = (
        lambda state, request, response: response
    ),
) -> None:
    """Let the follower see a changed request, or give a changed answer."""
    real = replication.handle_append_entries

    def handle(state: RaftState, request: AppendEntriesRequest) -> AppendEntriesResponse:
        request = before(state, request)
        return after(state, request, real(state, request))

    replace(patch, real, handle)


def with_append_response(
    patch: Patch, change: Callable[[RaftState, AppendEntriesResponse], AppendEntriesResponse]
) -> None:
    """Let the leader see a changed answer."""
    real = replication.handle_append_entries_response

    def handle(state: RaftState, peer: NodeId, response: AppendEntriesResponse) -> None:
        real(state, peer, change(state, response))

    replace(patch, real, handle)


def with_install(
    patch: Patch,
    before: Callable[[RaftState, InstallSnapshotRequest], InstallSnapshotRequest] = lambda state, request: request,
    after: Callable[[RaftState, InstallSnapshotResponse], None] = lambda state, response: None,
) -> None:
    """Let the follower see a changed chunk, or spoil what it did with it."""
    real = snapshot.handle_install

    def handle(state: RaftState, request: InstallSnapshotRequest) -> InstallSnapshotResponse:
        response = real(state, before(state, request))
        after(state, response)
        return response

    replace(patch, real, handle)


def after_restore(patch: Patch, spoil: Callable[[RaftState], None]) -> None:
    """Change what a restart found."""
    real = RaftNode.restore

    def restore(self: RaftNode, *arguments: Any, **options: Any) -> None:
        real(self, *arguments, **options)
        spoil(self._state)

    patch.setattr(RaftNode, "restore", restore)
