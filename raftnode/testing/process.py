"""One node as a program runs it: its disk, its machine, and the duties of each `Ready`, in order."""

import random
from collections.abc import Callable, Sequence

from raftnode.core.config import RaftConfig
from raftnode.core.membership import SnapshotMeta
from raftnode.core.messages import InstallSnapshotRequest, InstallSnapshotResponse, Message
from raftnode.core.node import RaftNode
from raftnode.core.ready import Ready
from raftnode.core.types import EntryKind, LogEntry, NodeId, NodeRole
from raftnode.testing.disk import Disk

Send = Callable[[NodeId, NodeId, Message], None]
"""Sends a message: (source, target, message)."""


class Process:
    """A node's program, which can crash and start again on what its disk holds.

    The machine is the list of the commands that were applied; a program with another one overrides `apply()`,
    `machine_state()` and `load_machine()`. Everything is synced at the end of the turn that wrote it, unless
    `begin_sync()` is overridden to call `synced()` later.

    Attributes:
        config: The node's configuration.
        disk: Its disk, which survives a crash.
        snapshot: What the newest snapshot of the machine covers; it is durable.
        snapshot_data: That snapshot's content.
        machine: The commands that were applied.
        reads: Confirmed reads since the last start: the index that each may be served at, by id.
        reads_aborted: Ids of reads since the last start that were aborted.
        running: The node; None: it is down.
    """

    chunk_bytes = 1 << 20
    """A snapshot is sent in chunks of at most this size."""

    def __init__(
        self,
        config: RaftConfig,
        *,
        clock: Callable[[], float],
        send: Send,
        disk: Disk | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """A process that does not run yet: see `start()`."""
        self.config = config
        self.disk = disk if disk is not None else Disk()
        self.snapshot = SnapshotMeta()
        self.snapshot_data = b""
        self.machine: list[bytes] = []
        self.reads: dict[int, int] = {}
        self.reads_aborted: list[int] = []
        self.running: RaftNode | None = None
        self._clock = clock
        self._send = send
        self._rng = rng if rng is not None else random.Random(config.node_id)
        self._after_save: list[tuple[NodeId, Message]] = []
        self._syncing = False
        self._chunks = bytearray()

    @property
    def id(self) -> NodeId:
        """The node's id."""
        return self.config.node_id

    @property
    def node(self) -> RaftNode:
        """The node, which must be running."""
        assert self.running is not None, f"node {self.id} is down"
        return self.running

    # Start and crash.

    def start(self) -> RaftNode:
        """Start on what the disk holds: the newest snapshot, the log and the hard state."""
        self.running = node = RaftNode(self.config, self.disk, clock=self._clock, rng=self._rng)
        node.restore(self.snapshot)
        self.load_machine(self.snapshot_data)
        self.reads, self.reads_aborted = {}, []
        self._after_save, self._syncing, self._chunks = [], False, bytearray()
        return node

    def crash(self, keep: int = 0) -> None:
        """Lose the memory, and the unsynced writes but for the first `keep`."""
        self.running = None
        self.disk.crash(keep)

    # A turn.

    def receive(self, source: NodeId, message: Message) -> None:
        """Pass a message to the node, and take its turn."""
        node = self.node
        if isinstance(message, InstallSnapshotRequest):
            response: Message | None = self._receive_chunk(node, message)
        else:
            response = node.step(source, message)
            if isinstance(message, InstallSnapshotResponse):
                self._send_next_chunk(node, source, message)
        if response is not None:
            self._after_save.append((source, response))
        self.turn()

    def tick(self) -> None:
        """Tick the node, and take its turn."""
        self.node.tick()
        self.turn()

    def turn(self) -> Ready:
        """Take one `Ready`, do what it asks for, and return it."""
        node, disk = self.node, self.disk
        ready = node.take_ready()
        if ready.hard_state is not None:
            disk.save_hard_state(ready.hard_state)
        at_once, after_save = ready.outgoing()
        if disk.hard_state_unsynced:
            self._after_save += at_once
        else:
            self._send_all(at_once)
        self._after_save += after_save
        for peer in ready.snapshots_needed:
            self.send_snapshot(peer)
        if ready.committed_entries:
            self.apply(ready.committed_entries)
            node.advance_applied(ready.committed_entries[-1].index)
        self.reads.update(ready.reads)
        self.reads_aborted += ready.reads_aborted
        if not disk.unsynced:
            self._send_saved()
        elif not self._syncing:
            self._syncing = True
            self.begin_sync()
        return ready

    def begin_sync(self) -> None:
        """Begin to make the disk's writes durable, and call `synced()` when they are: by default at once."""
        self.synced()

    def synced(self) -> None:
        """Make everything durable, send what waited for it, and take the next turn."""
        self._syncing = False
        self.disk.sync()
        self._send_saved()
        self.node.on_storage_progress()
        self.turn()

    def sending(self, target: NodeId, message: Message) -> None:
        """Called with each message that waited for a save, before it leaves."""

    # The machine and its snapshots.

    def apply(self, entries: Sequence[LogEntry]) -> None:
        """Apply committed entries to the machine."""
        self.machine += [entry.data for entry in entries if entry.kind is EntryKind.COMMAND]

    def machine_state(self) -> bytes:
        """Return the machine's whole state."""
        return b"".join(b"%d:%s" % (len(command), command) for command in self.machine)

    def load_machine(self, state: bytes) -> None:
        """Replace the machine's state; empty: a new machine."""
        self.machine, rest = [], state
        while rest:
            size, rest = rest.split(b":", 1)
            self.machine.append(rest[: int(size)])
            rest = rest[int(size) :]

    def take_snapshot(self, trailing: int = 0) -> SnapshotMeta:
        """Take a snapshot of the machine as it is, and discard the log but for its last `trailing` entries."""
        node = self.node
        index = node.last_applied
        self.snapshot = SnapshotMeta(index, node.term_at(index), node.configuration_at(index))
        self.snapshot_data = self.machine_state()
        node.compact(max(0, index - trailing))
        return self.snapshot

    def send_snapshot(self, peer: NodeId, offset: int = 0) -> None:
        """Send `peer` a chunk of the newest snapshot."""
        chunk = self.snapshot_data[offset : offset + self.chunk_bytes]
        done = offset + len(chunk) >= len(self.snapshot_data)
        self._send(self.id, peer, self.node.snapshot_chunk(self.snapshot, offset, chunk, done))

    def _receive_chunk(self, node: RaftNode, request: InstallSnapshotRequest) -> Message:
        """Store a chunk that the node wants; store the whole snapshot before the node gets the last one."""
        if not node.wants_chunk(request):
            return node.handle_install_snapshot(request)
        del self._chunks[request.offset :]
        self._chunks += request.data
        if not request.done:
            return node.handle_install_snapshot(request)
        self.snapshot = SnapshotMeta(request.last_included_index, request.last_included_term, request.configuration)
        self.snapshot_data = bytes(self._chunks)
        response = node.handle_install_snapshot(request)
        if response.installed:
            self.load_machine(self.snapshot_data)
        return response

    def _send_next_chunk(self, node: RaftNode, peer: NodeId, response: InstallSnapshotResponse) -> None:
        wanted = response.last_included_index == self.snapshot.index and response.next_offset < len(self.snapshot_data)
        if wanted and node.role is NodeRole.LEADER and response.term == node.current_term:
            self.send_snapshot(peer, response.next_offset)

    def _send_all(self, messages: Sequence[tuple[NodeId, Message]]) -> None:
        for peer, message in messages:
            self._send(self.id, peer, message)

    def _send_saved(self) -> None:
        waiting, self._after_save = self._after_save, []
        for peer, message in waiting:
            self.sending(peer, message)
            self._send(self.id, peer, message)
