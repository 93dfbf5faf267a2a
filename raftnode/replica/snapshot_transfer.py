"""Snapshots in motion: taken from the machine, sent to a member, received from a leader.

Each is a piece of work that advances a little in every turn, so that the node keeps up with everything else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from raftnode.core.membership import Configuration
from raftnode.core.messages import InstallSnapshotRequest, InstallSnapshotResponse
from raftnode.core.types import NodeId
from raftnode.machine.sessions.machine import SessionMachine
from raftnode.storage.snapshot_file import StoredSnapshot
from raftnode.storage.snapshots import SnapshotReceiver, SnapshotRejected, SnapshotStore, SnapshotWriter

CHUNK_BYTES: Final = 256 * 1024
"""What one InstallSnapshot message carries."""

STEP_SECONDS: Final = 0.005
"""How long one turn works on a snapshot that is being taken, so that requests do not wait for it."""

RESEND_SECONDS: Final = 1.0
"""After that long without an answer a chunk is sent again."""


class SnapshotTaking:
    """The state after entry `index`, on its way to the disk. `step()` until it gives the stored snapshot."""

    def __init__(
        self, store: SnapshotStore, machine: SessionMachine, index: int, term: int, configuration: Configuration
    ) -> None:
        self.index = index
        self._writer: SnapshotWriter = store.writer(index, term, configuration)
        self._chunks = machine.snapshot()

    def step(self, clock: Callable[[], float]) -> StoredSnapshot | None:
        """Write for about STEP_SECONDS. Return the snapshot when it is whole and durable. Raises StorageError."""
        until = clock() + STEP_SECONDS
        for chunk in self._chunks:
            self._writer.write(chunk)
            if clock() >= until:
                return None
        return self._writer.finish()

    def abort(self) -> None:
        """Give up and leave nothing behind."""
        self._chunks.close()
        self._writer.abort()


@dataclass(slots=True)
class SnapshotSending:
    """One snapshot on its way to one member: a chunk at a time, the next one when the last is answered."""

    peer: NodeId
    stored: StoredSnapshot
    bytes_per_second: int = 0
    """How fast to send at most; 0: as fast as the member answers."""
    offset: int = 0
    resend_at: float = 0.0
    """When the chunk at `offset` is to be sent, for the first time or again."""
    _next_at: float = 0.0

    def request(self, store: SnapshotStore, term: int, leader: NodeId, group: int) -> InstallSnapshotRequest:
        """Return the chunk at the present offset. Raises StorageError."""
        data = store.read_raw(self.stored, self.offset, CHUNK_BYTES)
        done = self.offset + len(data) >= self.stored.size_bytes
        return InstallSnapshotRequest(
            term,
            leader,
            self.stored.index,
            self.stored.term,
            self.offset,
            data,
            done,
            group,
            self.stored.configuration if done else None,
            checksum=self.stored.checksum,
        )

    @property
    def done(self) -> bool:
        """Whether the member has answered for every byte."""
        return self.offset >= self.stored.size_bytes

    def is_due(self, now: float) -> bool:
        """Whether the chunk at the present offset is to be sent now."""
        return now >= self.resend_at

    def sent(self, now: float) -> None:
        """Record that the chunk at the present offset has left."""
        self.resend_at = now + RESEND_SECONDS
        self._next_at = now + (CHUNK_BYTES / self.bytes_per_second if self.bytes_per_second else 0.0)

    def answered(self, response: InstallSnapshotResponse) -> bool:
        """Take an answer: go on where the member says. Return whether it was about this snapshot.

        An answer that asks for the chunk under way is a duplicate, or that chunk was lost: only the time to send
        it again decides, so that doubled answers do not double the stream.
        """
        if response.last_included_index != self.stored.index:
            return False
        wanted = min(response.next_offset, self.stored.size_bytes)
        if wanted != self.offset:
            self.offset, self.resend_at = wanted, self._next_at
        return True


class SnapshotReceiving:
    """The bytes of the snapshot that is arriving, if any. Which chunk is the next one is for the core to say."""

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store
        self._receiver: SnapshotReceiver | None = None

    def store(self, request: InstallSnapshotRequest) -> StoredSnapshot | None:
        """Store a chunk that the core wants; return the snapshot when it is whole and durable.

        Raises SnapshotRejected for bytes that are not a snapshot; StorageError. After either, nothing of it is left.
        """
        if request.offset == 0:
            self.abort()
            self._receiver = self._store.receiver(request.last_included_index, request.last_included_term)
        if self._receiver is None:
            raise SnapshotRejected(f"snapshot bytes from {request.offset}: what stands before them is not here")
        try:
            self._receiver.write(request.offset, request.data)
            if not request.done:
                return None
            stored = self._receiver.finish()
        except BaseException:
            # What arrived would keep the room that the next try needs.
            self.abort()
            raise
        self._receiver = None
        return stored

    def abort(self) -> None:
        """Forget what has arrived."""
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.abort()
