"""One node of an exploration: its state as a value, copied fast, and what one event does to it.

The real code runs here, on a copy. Times are fixed afterwards, so that states that differ in times only are the same.
"""

import random
from collections import deque
from collections.abc import Sequence
from typing import Any

from raftnode.core.config import RaftConfig
from raftnode.core.invariants import check, observe
from raftnode.core.log import RaftLog
from raftnode.core.membership import ConfChange, Configuration, SnapshotMeta
from raftnode.core.messages import InstallSnapshotRequest, InstallSnapshotResponse, Message
from raftnode.core.node import RaftNode
from raftnode.core.progress import Progress, ProgressState
from raftnode.core.ready import Ready
from raftnode.core.state import RaftState
from raftnode.core.storage import MemStorage
from raftnode.core.types import EntryKind, NodeId
from raftnode.testing import Clock, Disk

NODES: tuple[NodeId, ...] = (1, 2, 3)
NOW = 1000.0
FAR = 1e9

Event = tuple[Any, ...]
"""("receive", message id), ("timeout",), ("forget",), ("heartbeat",), ("propose",), ("crash",), ("sync",),
("compact",), ("read",), ("change", n), ("transfer", node)."""
Log = tuple[int, int, tuple[tuple[int, EntryKind, bytes], ...]]
"""(snapshot index, snapshot term, entries from there on as (term, kind, data))."""


class Host:
    """A node, its disk and its machine's last snapshot: (index, term, configuration)."""

    __slots__ = ("disk", "node", "snapshot")

    def __init__(self, node: RaftNode, disk: Disk, snapshot: tuple[int, int, Configuration] | None) -> None:
        self.node, self.disk, self.snapshot = node, disk, snapshot

    @property
    def state(self) -> RaftState:
        return self.node._state

    def copy(self) -> "Host":
        """Return a copy that shares only what never changes."""
        old, new = self.node._state, RaftState.__new__(RaftState)
        for name in RaftState.__slots__:
            value = getattr(old, name)
            kind = type(value)
            setattr(new, name, value.copy() if kind is list or kind is dict or kind is deque else value)
        disk = self.disk.copy()
        new.progress = {peer: _copy_progress(progress) for peer, progress in old.progress.items()}
        new.log = log = RaftLog.__new__(RaftLog)
        for name in RaftLog.__slots__:
            value = getattr(old.log, name)
            setattr(log, name, value.copy() if type(value) is list else value)
        log._storage = disk
        node = RaftNode.__new__(RaftNode)
        node.__dict__.update(self.node.__dict__)
        node._state, node._storage = new, disk
        return Host(node, disk, self.snapshot)


def _copy_progress(old: Progress) -> Progress:
    new = Progress.__new__(Progress)
    for name in Progress.__slots__:
        setattr(new, name, getattr(old, name))
    new.inflight = old.inflight.copy()
    return new


def node_key(host: Host) -> tuple[Any, ...]:
    """Return everything of a node that decides what it does next, save the times, which `settle_times()` fixed."""
    s, disk = host.state, host.disk
    progress = tuple(
        (p.peer, p.state.value, p.match_index, p.next_index, p.must_send, p.sent_commit, p.probe, p.unanswered,
         tuple(p.inflight), p.snapshot_index, p.acked_round, p.catch_up_target, p.caught_up)
        for _, p in sorted(s.progress.items())
    )  # fmt: skip
    return (
        s.role.value,
        s.current_term,
        s.voted_for,
        s.leader_id,
        s.leader_contact is None,
        s.commit_index,
        log_of(disk, disk.last_index),
        disk.stable_index,
        log_of(disk.durable, disk.durable.stable_index) if disk.unsynced else None,
        tuple((index, c.encode()) for index, c in s.configurations),
        tuple(sorted(s.ballot.items())),
        s.transfer_campaign,
        progress,
        s.term_start_index,
        s.round,
        s.round_wanted,
        s.transfer_target,
        s.transfer_sent,
        s.transfer_awaited,
        tuple(s.reads),
        s.incoming_snapshot,
        host.snapshot[:2] if host.snapshot else None,
    )


def log_of(disk: MemStorage, end: int) -> Log:
    """Return the log up to `end` as a value."""
    index, term = disk.snapshot_metadata()
    return index, term, tuple((e.term, e.kind, e.data) for e in disk.load_entries_after(index)[: max(end - index, 0)])


class NodeRunner:
    """Runs the real code: one event on a copy of one node."""

    def __init__(
        self, options: dict[str, Any], *, slow_disk: bool, keep_rounds: bool, changes: Sequence[Sequence[ConfChange]]
    ) -> None:
        self.slow_disk, self.keep_rounds, self.changes = slow_disk, keep_rounds, changes
        self.clock = Clock(NOW)
        self.configs = {
            node: RaftConfig(node_id=node, peers=[n for n in NODES if n != node], **options) for node in NODES
        }

    def fresh(self, node: NodeId) -> Host:
        return self._boot(node, Disk(), None)

    def run(self, host: Host, event: Event, message: Message | None, source: NodeId) -> tuple[
        Host, list[tuple[NodeId, Message]], list[Ready]
    ]:  # fmt: skip
        """Return the node after `event`, what it sent and the Readys it gave. Raises where a rule is broken."""
        before = observe(host.node)
        new = host.copy()
        new, replies = self._do(new, event, message, source)
        sent, readies = self._turn(new, replies)
        settle_times(new.state, self.clock.now, keep_rounds=self.keep_rounds)
        self.clock.now = NOW
        check(None if event[0] == "crash" else before, observe(new.node))
        return new, sent, readies

    def _boot(self, node: NodeId, disk: Disk, snapshot: tuple[int, int, Configuration] | None) -> Host:
        raft = RaftNode(self.configs[node], disk, clock=self.clock, rng=random.Random(0))
        raft.restore(SnapshotMeta() if snapshot is None else SnapshotMeta(*snapshot))
        host = Host(raft, disk, snapshot)
        settle_times(host.state, NOW, keep_rounds=False)
        return host

    def _do(
        self, host: Host, event: Event, message: Message | None, source: NodeId
    ) -> tuple[Host, list[tuple[NodeId, Message]]]:
        node, state = host.node, host.state
        match event[0]:
            case "receive":
                assert message is not None
                reply = self._receive(host, message, source)
                return host, [] if reply is None else [(source, reply)]
            case "timeout":
                self.clock.now = NOW + 2 * node.config.election_timeout_max
                node.election_deadline_override(NOW)
                state.heartbeat_deadline = NOW
                node.tick()
            case "forget":
                state.leader_contact = None
            case "heartbeat":
                state.heartbeat_deadline = NOW
                node.tick()
            case "propose":
                node.propose(b"x")
            case "sync":
                host.disk.sync()
                node.on_storage_progress()
            case "read":
                node.read_index()
            case "compact":
                index = node.last_applied
                host.snapshot = (index, node.term_at(index), node.configuration_at(index))
                node.compact(index)
            case "change":
                node.propose_conf_change(self.changes[event[1]])
            case "transfer":
                node.transfer_leadership(event[1])
            case "crash":
                host.disk.crash()
                return self._boot(node.node_id, host.disk, host.snapshot), []
        return host, []

    def _receive(self, host: Host, message: Message, source: NodeId) -> Message | None:
        node = host.node
        before = node.commit_index
        reply = node.step(source, message)
        installed = isinstance(reply, InstallSnapshotResponse) and reply.installed
        if isinstance(message, InstallSnapshotRequest) and installed and before < message.last_included_index:
            assert message.configuration is not None
            host.snapshot = (message.last_included_index, message.last_included_term, message.configuration)
        return reply

    def _turn(
        self, host: Host, replies: list[tuple[NodeId, Message]]
    ) -> tuple[list[tuple[NodeId, Message]], list[Ready]]:
        """Do what Readys say. A leader's requests may leave before its entries are durable, nothing else may."""
        node, disk = host.node, host.disk
        sent: list[tuple[NodeId, Message]] = list(replies)
        readies = []
        while not (ready := node.take_ready()).is_empty() or (replies and disk.unsynced):
            readies.append(ready)
            at_once, after_save = ready.outgoing()
            sent += at_once + after_save
            if ready.hard_state is not None:
                disk.save_hard_state(ready.hard_state)
            if replies or after_save or ready.hard_state is not None or not self.slow_disk:
                disk.sync()
                node.on_storage_progress()
            for peer in ready.snapshots_needed:
                assert host.snapshot is not None
                index, term, configuration = host.snapshot
                sent.append(
                    (
                        peer,
                        InstallSnapshotRequest(
                            node.current_term,
                            node.node_id,
                            index,
                            term,
                            0,
                            b"",
                            True,
                            configuration=configuration,
                            round=host.state.round,
                        ),
                    )
                )
            if ready.committed_entries:
                node.advance_applied(ready.committed_entries[-1].index)
        return sent, readies


def settle_times(state: RaftState, now: float, *, keep_rounds: bool) -> None:
    """Make states that differ in times only the same. Without reads the rounds of heartbeats decide nothing."""
    fresh = state.leader_contact is not None and now - state.leader_contact < state.config.election_timeout_min
    guarded = state.config.check_quorum or state.config.pre_vote
    state.leader_contact = NOW if fresh and guarded and state.leader_id is not None else None
    state.election_deadline = state.heartbeat_deadline = FAR
    state.transfer_deadline = NOW + state.config.election_timeout_max
    state.stable_at, state.stable_seen, state.stable_counted = NOW, -1, -1
    state.refusals = {}
    state.commit_broadcast_deadline = None
    if not keep_rounds:
        state.round = 0
    for progress in state.progress.values():
        progress.last_contact = progress.catch_up_started = NOW
        progress.snapshot_due = FAR if progress.state is ProgressState.SNAPSHOT else NOW
        if not keep_rounds:
            progress.acked_round = 0
