"""One bare `RaftNode` on a bench, for tests of the core: the test plays its peers and moves its clock."""

import random
from collections.abc import Iterable, Sequence
from typing import Any

from raftnode.core.config import RaftConfig
from raftnode.core.membership import Configuration, make_configuration
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
from raftnode.core.ready import Ready
from raftnode.core.storage import MemStorage
from raftnode.core.types import EntryKind, HardState, LogEntry, NodeId, NodeRole
from raftnode.testing import Clock


def entries(terms: Iterable[int], first: int = 1) -> list[LogEntry]:
    """Return command entries with these terms, from index `first` on; the data names index and term."""
    return [LogEntry(term, index, f"{index}@{term}".encode()) for index, term in enumerate(terms, first)]


def configuration_entry(
    term: int, index: int, voters: Iterable[NodeId], learners: Iterable[NodeId] = (), observers: Iterable[NodeId] = ()
) -> LogEntry:
    """Return a CONFIGURATION entry."""
    data = make_configuration(voters, learners, observers).encode()
    return LogEntry(term, index, data, EntryKind.CONFIGURATION)


class Bench:
    """One node on a bench: number 1 of 1, 2, 3, unless told otherwise. Its hard state is saved as it asks."""

    def __init__(
        self,
        terms: Iterable[int] = (),
        *,
        term: int | None = None,
        voted_for: NodeId | None = None,
        snapshot: tuple[int, int] = (0, 0),
        storage: MemStorage | None = None,
        log: Sequence[LogEntry] | None = None,
        node_id: NodeId = 1,
        peers: Sequence[NodeId] = (2, 3),
        restore: bool = True,
        **options: Any,
    ) -> None:
        self.clock = Clock()
        self.storage = storage if storage is not None else MemStorage()
        if snapshot != (0, 0):
            self.storage.compact(*snapshot)
        content = list(log) if log is not None else entries(terms, snapshot[0] + 1)
        if content:
            self.storage.append(content)
        last_term = content[-1].term if content else snapshot[1]
        if storage is None or term is not None:
            self.storage.save_hard_state(HardState(last_term if term is None else term, voted_for))
        self.config = RaftConfig(node_id=node_id, peers=peers, **options)
        self.node = self.boot()
        if restore:
            self.node.restore()

    def boot(self) -> RaftNode:
        """Return a new node over the same storage, not restored."""
        return RaftNode(self.config, self.storage, clock=self.clock, rng=random.Random(7))

    def restart(self) -> RaftNode:
        """Take the node down and start it again from its storage."""
        self.node = self.boot()
        self.node.restore()
        return self.node

    def ready(self) -> Ready:
        """Take a Ready, save its hard state and apply what it delivers."""
        ready = self.node.take_ready()
        if ready.hard_state is not None:
            self.storage.save_hard_state(ready.hard_state)
        if ready.committed_entries:
            self.node.advance_applied(ready.committed_entries[-1].index)
        return ready

    def log(self) -> list[tuple[int, int]]:
        """Return (index, term) of every stored entry."""
        start = self.storage.snapshot_metadata()[0]
        return [(entry.index, entry.term) for entry in self.storage.load_entries_after(start)]

    # As other nodes would speak to it.

    def append(
        self, prev: int, prev_term: int, terms: Iterable[int] = (), *, term: int | None = None,
        leader: NodeId = 2, commit: int = 0, log: Sequence[LogEntry] | None = None,
    ) -> AppendEntriesResponse:  # fmt: skip
        """Deliver an AppendEntries of `leader`, by default of the node's term."""
        content = list(log) if log is not None else entries(terms, prev + 1)
        return self.node.handle_append_entries(
            AppendEntriesRequest(self.term_or(term), leader, prev, prev_term, content, commit)
        )

    def ask_vote(
        self, candidate: NodeId, last: tuple[int, int], *, term: int | None = None, transfer: bool = False
    ) -> RequestVoteResponse:
        """Deliver a RequestVote of a candidate whose log ends at `last`, an (index, term)."""
        return self.node.handle_request_vote(
            RequestVoteRequest(self.term_or(term), candidate, *last, leadership_transfer=transfer)
        )

    def ask_pre_vote(self, candidate: NodeId, last: tuple[int, int], *, term: int) -> PreVoteResponse:
        """Deliver a PreVote for `term`."""
        return self.node.handle_pre_vote(PreVoteRequest(term, candidate, *last))

    def vote(self, peer: NodeId, granted: bool = True, *, term: int | None = None) -> None:
        """Deliver `peer`'s answer to a RequestVote."""
        self.node.handle_request_vote_response(peer, RequestVoteResponse(self.term_or(term), granted))

    def pre_vote(self, peer: NodeId, granted: bool = True, *, requested: int | None = None) -> None:
        """Deliver `peer`'s answer to a PreVote."""
        asked = self.node.current_term + 1 if requested is None else requested
        self.node.handle_pre_vote_response(peer, PreVoteResponse(self.node.current_term, granted, requested_term=asked))

    def ack(self, peer: NodeId, index: int, *, term: int | None = None, round_: int = 0) -> None:
        """Deliver `peer`'s word that its log matches up to `index`."""
        self.node.handle_append_entries_response(
            peer, AppendEntriesResponse(self.term_or(term), True, index, round=round_)
        )

    def reject(
        self, peer: NodeId, last: int, *, rejected: int = 0, hint: tuple[int, int] = (0, 0), term: int | None = None
    ) -> None:
        """Deliver `peer`'s refusal: its log ends at `last`."""
        self.node.handle_append_entries_response(
            peer,
            AppendEntriesResponse(
                self.term_or(term), False, last, rejected_index=rejected, conflict_index=hint[0], conflict_term=hint[1]
            ),
        )

    def install(
        self, index: int, term: int, *, leader: NodeId = 2, leader_term: int | None = None, offset: int = 0,
        data: bytes = b"state", done: bool = True, configuration: Configuration | None = None,
        checksum: int = 0,
    ) -> InstallSnapshotResponse:  # fmt: skip
        """Deliver a snapshot's chunk."""
        return self.node.handle_install_snapshot(
            InstallSnapshotRequest(
                self.term_or(leader_term),
                leader,
                index,
                term,
                offset,
                data,
                done,
                configuration=configuration,
                checksum=checksum,
            )
        )

    def snapshot_installed(self, peer: NodeId, index: int) -> None:
        """Deliver `peer`'s word that a snapshot is in force there."""
        self.node.handle_install_snapshot_response(
            peer, InstallSnapshotResponse(self.node.current_term, index, 0, True)
        )

    def term_or(self, term: int | None) -> int:
        return self.node.current_term if term is None else term

    # Stories that many tests begin with.

    def time_out(self) -> Ready:
        """Let the election timeout pass; return what the node then sends."""
        self.clock.advance(self.config.election_timeout_max + 0.1)
        self.node.tick()
        return self.ready()

    def campaign(self) -> Ready:
        """Bring the node to a candidacy, past its pre-vote."""
        ready = self.time_out()
        for peer in self.node.peers:
            if self.node.role is NodeRole.PRE_CANDIDATE:
                self.pre_vote(peer)
                ready = self.ready()
        return ready

    def elect(self, voters: Sequence[NodeId] | None = None) -> Ready:
        """Make the node leader by the votes of `voters` (all peers). Its opening entry is not acknowledged yet."""
        self.campaign()
        for peer in self.node.peers if voters is None else voters:
            self.vote(peer)
        assert self.node.role is NodeRole.LEADER
        return self.ready()

    def lead(self) -> int:
        """Elect the node, let every peer acknowledge its opening entry, and return that entry's index."""
        self.elect()
        index = self.node.last_log_index
        for peer in self.node.peers:
            self.ack(peer, index)
        self.ready()
        assert self.node.commit_index == index
        return index

    def heartbeat(self) -> Ready:
        """Let one heartbeat interval pass."""
        self.clock.advance(self.config.heartbeat_interval)
        self.node.tick()
        return self.ready()


def option(name: str) -> Any:
    """Return keyword arguments that switch one option of `RaftConfig` on."""
    return {name: True}
