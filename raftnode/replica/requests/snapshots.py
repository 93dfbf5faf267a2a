"""Clients' requests about snapshots: to take one, to list them, and to read one piece by piece."""

import zlib
from collections.abc import Callable, Hashable

from raftnode.replica.describe import snapshot_info
from raftnode.replica.requests.replies import Replies
from raftnode.replica.snapshots import Snapshots
from raftnode.replica.timers import Timers
from raftnode.storage.snapshot_file import StoredSnapshot
from raftnode.storage.snapshots import SnapshotStore
from raftnode.wire import client as wire
from raftnode.wire.client import (
    SNAPSHOT_LEASE_S,
    SNAPSHOT_PIECE_BYTES_MAX,
    ErrorCode,
    Failed,
    ReadSnapshot,
    SnapshotPiece,
)


class SnapshotFiles:
    """Reads pieces of stored snapshots. A snapshot that was read lately is pinned: a newer one does not remove it.

    No connection holds a lease: a client that comes back on another one continues where it was.
    """

    def __init__(self, store: SnapshotStore, clock: Callable[[], float], timers: Timers) -> None:
        self._store = store
        self._clock = clock
        self._alarm = timers.alarm(self.expire)
        self._leases: dict[tuple[int, int], tuple[StoredSnapshot, float]] = {}

    def read(self, request: ReadSnapshot) -> SnapshotPiece | Failed:
        """Answer a request for a piece. Raises StorageError where the disk fails."""
        stored = self._find(request.index, request.term)
        if stored is None:
            named = f"of index {request.index} and term {request.term}" if request.index else "at all"
            return Failed(request.id, ErrorCode.NOT_FOUND, f"this node has no snapshot {named}")
        if request.offset > stored.size_bytes:
            return Failed(
                request.id,
                ErrorCode.BAD_REQUEST,
                f"the snapshot has {stored.size_bytes} bytes: there are none from {request.offset}",
            )
        self._renew(stored)
        data = self._store.read_raw(stored, request.offset, min(request.bytes_max, SNAPSHOT_PIECE_BYTES_MAX))
        return SnapshotPiece(request.id, snapshot_info(stored), request.offset, data, zlib.crc32(data))

    def expire(self, now: float) -> None:
        """Let go of what was not read for a while."""
        for key, (stored, until) in list(self._leases.items()):
            if until <= now:
                del self._leases[key]
                self._store.unpin(stored)
        if self._leases:
            self._alarm.set(min(until for _, until in self._leases.values()))

    def _find(self, index: int, term: int) -> StoredSnapshot | None:
        if not index:
            return self._store.latest()
        if (index, term) in self._leases:
            return self._leases[index, term][0]
        return next((s for s in self._store.list() if (s.index, s.term) == (index, term)), None)

    def _renew(self, stored: StoredSnapshot) -> None:
        key = (stored.index, stored.term)
        if key not in self._leases:
            self._store.pin(stored)
        until = self._clock() + SNAPSHOT_LEASE_S
        self._leases[key] = (stored, until)
        self._alarm.set(until)


class SnapshotRequests:
    """The requests for a new snapshot that are not answered yet, and the reading of those that are there."""

    def __init__(self, *, snapshots: Snapshots, files: SnapshotFiles, store: SnapshotStore, replies: Replies) -> None:
        self._snapshots = snapshots
        self._files = files
        self._store = store
        self._replies = replies
        self._waiting: list[tuple[Hashable, int]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def trigger(self, client: Hashable, request: wire.TriggerSnapshot) -> None:
        """Have a snapshot taken, and answer when it is on the disk; with the newest one if nothing is new."""
        self._waiting.append((client, request.id))
        if self._snapshots.begin_taking() or not self._waiting:
            # Under way; or the disk is full, and every waiting request was answered.
            return
        self._waiting.pop()
        newest = self._snapshots.newest
        if newest is not None:
            self._replies.answer(client, wire.SnapshotTaken(request.id, False, snapshot_info(newest)))
        else:
            message = "there is no state to keep yet: nothing is applied, or this node only just joined"
            self._replies.fail(client, request.id, ErrorCode.REFUSED, message)

    def name_all(self, client: Hashable, request: wire.ListSnapshots) -> None:
        """Name the snapshots on this node's disk."""
        found = [snapshot_info(stored) for stored in self._store.list()]
        self._replies.answer(client, wire.SnapshotsResult(request.id, found))

    def read(self, client: Hashable, request: wire.ReadSnapshot) -> None:
        """Give a piece of a snapshot. Raises StorageError where the disk fails."""
        self._replies.answer(client, self._files.read(request))

    def taken(self, stored: StoredSnapshot) -> None:
        """Answer the requests for a snapshot."""
        for client, request_id in self._take_waiting():
            self._replies.answer(client, wire.SnapshotTaken(request_id, True, snapshot_info(stored)))

    def failed(self, reason: str) -> None:
        """Answer the requests for a snapshot: the disk is full."""
        for client, request_id in self._take_waiting():
            self._replies.fail(client, request_id, ErrorCode.NO_SPACE, reason)

    def installed(self) -> None:
        """Answer the requests for a snapshot: the leader's arrived first."""
        for client, request_id in self._take_waiting():
            self._replies.fail(client, request_id, ErrorCode.BUSY, "a snapshot from the leader arrived meanwhile")

    def close(self) -> None:
        """Answer everything that still waits: this node is stopping."""
        for client, request_id in self._take_waiting():
            self._replies.fail_stopping(client, request_id)

    def _take_waiting(self) -> list[tuple[Hashable, int]]:
        waiting, self._waiting = self._waiting, []
        return waiting
