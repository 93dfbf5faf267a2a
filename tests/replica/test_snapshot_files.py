"""Snapshot files in pieces: each piece is the file's own bytes, and what is being read stays."""

import zlib

from raftnode.core.membership import make_configuration
from raftnode.replica.requests.snapshots import SnapshotFiles
from raftnode.replica.timers import Timers
from raftnode.storage.snapshots import SnapshotStore
from raftnode.wire.client import (
    SNAPSHOT_LEASE_S,
    SNAPSHOT_PIECE_BYTES_MAX,
    ErrorCode,
    Failed,
    ReadSnapshot,
    SnapshotPiece,
)
from tests.support.filesystem import SimulatedFilesystem


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def setup() -> tuple[SnapshotStore, SnapshotFiles, Clock]:
    store, clock = SnapshotStore("/snapshots", SimulatedFilesystem(0), keep=1, wall_clock=lambda: 1.0), Clock()
    return store, SnapshotFiles(store, clock, Timers()), clock


def take(store: SnapshotStore, index: int, size: int = 3000) -> None:
    writer = store.writer(index, 1, make_configuration([1]))
    writer.write(bytes([index]) * size)
    writer.finish()


def piece(files: SnapshotFiles, index: int = 0, offset: int = 0, bytes_max: int = 1000) -> SnapshotPiece:
    answer = files.read(ReadSnapshot(7, index, int(index > 0), offset, bytes_max))
    assert isinstance(answer, SnapshotPiece), answer
    assert (answer.id, answer.offset, answer.checksum) == (7, offset, zlib.crc32(answer.data))
    return answer


def failure(files: SnapshotFiles, request: ReadSnapshot) -> ErrorCode:
    answer = files.read(request)
    assert isinstance(answer, Failed)
    return answer.code


def test_the_pieces_are_the_file() -> None:
    """Put together they are what read_raw gives; the newest is the default; behind the end there is nothing."""
    store, files, _ = setup()
    take(store, 5)
    whole, first = b"", piece(files)
    while len(whole) < first.snapshot.size_bytes:
        whole += piece(files, 5, len(whole)).data
    stored = store.latest()
    assert stored is not None
    assert whole == store.read_raw(stored, 0, 10_000)
    assert piece(files, 5, len(whole)).data == b""
    assert failure(files, ReadSnapshot(1, 5, 1, len(whole) + 1)) is ErrorCode.BAD_REQUEST


def test_a_piece_is_bounded() -> None:
    """Whatever is asked for, one answer does not hold up the node."""
    store, files, _ = setup()
    take(store, 5, 2 * SNAPSHOT_PIECE_BYTES_MAX)
    assert len(piece(files, bytes_max=10**9).data) == SNAPSHOT_PIECE_BYTES_MAX


def test_what_is_not_there_is_not_found() -> None:
    """No snapshot at all, or not that one."""
    store, files, _ = setup()
    assert failure(files, ReadSnapshot(1)) is ErrorCode.NOT_FOUND
    take(store, 5)
    assert failure(files, ReadSnapshot(1, 4, 1)) is ErrorCode.NOT_FOUND
    assert failure(files, ReadSnapshot(1, 5, 2)) is ErrorCode.NOT_FOUND


def test_a_snapshot_stays_while_it_is_read_and_goes_afterwards() -> None:
    """A newer one removes it only after a lease without a piece; each piece renews it."""
    store, files, clock = setup()
    take(store, 5)
    piece(files, 5)
    take(store, 6)
    for _ in range(3):
        clock.now += SNAPSHOT_LEASE_S * 0.9
        files.expire(clock())
        piece(files, 5, 1000)
    assert [stored.index for stored in store.list()] == [6, 5]
    clock.now += SNAPSHOT_LEASE_S
    files.expire(clock())
    assert [stored.index for stored in store.list()] == [6]
    assert failure(files, ReadSnapshot(1, 5, 1)) is ErrorCode.NOT_FOUND
    assert piece(files, 6).snapshot.index == 6
