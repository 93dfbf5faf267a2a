"""Snapshot files on their way to clients: a piece for each request, each kept for as long as it is being read."""

import zlib
from collections.abc import Callable

from raftnode.replica.describe import snapshot_info
from raftnode.storage.snapshots import SnapshotStore, StoredSnapshot
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

    No connection holds a lease: a client that comes back on another one goes on where it was.
    """

    def __init__(self, store: SnapshotStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
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

    def expire(self) -> None:
        """Let go of what was not read for a while. Called now and then; cheap where nothing is leased."""
        now = self._clock()
        for key, (stored, until) in list(self._leases.items()):
            if until <= now:
                del self._leases[key]
                self._store.unpin(stored)

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
        self._leases[key] = (stored, self._clock() + SNAPSHOT_LEASE_S)
