"""A snapshot's chunks, one at a time: sent, answered, and stored in order."""

import pytest

from raftnode.core.config import RaftConfig
from raftnode.core.membership import make_configuration
from raftnode.core.messages import InstallSnapshotRequest, InstallSnapshotResponse
from raftnode.core.node import RaftNode
from raftnode.core.storage import MemStorage
from raftnode.replica.snapshot_transfer import SnapshotReceiving, SnapshotSending
from raftnode.storage.snapshot_file import StoredSnapshot
from raftnode.storage.snapshots import SnapshotRejected, SnapshotStore
from tests.support.filesystem import SimulatedFilesystem

CHUNK = 40


def a_snapshot() -> tuple[SnapshotStore, StoredSnapshot]:
    """Return a snapshot of entry 10, and where it is."""
    store = SnapshotStore("/theirs", SimulatedFilesystem(0), wall_clock=lambda: 1.0)
    writer = store.writer(10, 2, make_configuration([1, 2, 3]))
    writer.write(b"state " * 50)
    return store, writer.finish()


def chunks_of(store: SnapshotStore, stored: StoredSnapshot) -> list[InstallSnapshotRequest]:
    """Return the chunks that a leader sends."""
    return [
        InstallSnapshotRequest(
            3,
            1,
            stored.index,
            stored.term,
            offset,
            store.read_raw(stored, offset, CHUNK),
            offset + CHUNK >= stored.size_bytes,
            checksum=stored.checksum,
        )
        for offset in range(0, stored.size_bytes, CHUNK)
    ]


def test_chunks_out_of_order_are_left_aside_and_cost_nothing() -> None:
    """One that came too early or twice is not stored; what has arrived stays, and the next one goes on from it."""
    store, stored = a_snapshot()
    chunks = chunks_of(store, stored)
    own = SnapshotStore("/own", SimulatedFilesystem(1))
    receiving = SnapshotReceiving(own)
    node = RaftNode(RaftConfig(2, peers=(1, 3)), MemStorage())
    node.restore()

    def receive(chunk: InstallSnapshotRequest) -> StoredSnapshot | None:
        found = receiving.store(chunk) if node.wants_chunk(chunk) else None
        node.handle_install_snapshot(chunk)
        return found

    for number, chunk in enumerate(chunks[:-1]):
        assert node.wants_chunk(chunk)
        assert receive(chunk) is None
        assert not node.wants_chunk(chunks[number // 2])
        assert receive(chunks[number // 2]) is None
        if number + 2 < len(chunks):
            assert receive(chunks[number + 2]) is None
    received = receive(chunks[-1])
    assert received is not None
    assert received.checksum == stored.checksum
    own.verify(received)


def test_a_chunk_whose_beginning_is_lost_is_refused() -> None:
    """Bytes are never put where others are missing."""
    store, stored = a_snapshot()
    own = SnapshotStore("/own", SimulatedFilesystem(1))
    receiving = SnapshotReceiving(own)
    first, second, *_ = chunks_of(store, stored)
    receiving.store(first)
    receiving.abort()
    with pytest.raises(SnapshotRejected, match="not here"):
        receiving.store(second)


def test_an_answer_about_another_snapshot_moves_nothing() -> None:
    """It is of an earlier transfer to the same member."""
    store, stored = a_snapshot()
    sending = SnapshotSending(2, stored)
    sending.sent(5.0)
    assert not sending.answered(InstallSnapshotResponse(3, 9, CHUNK))
    assert not sending.answered(InstallSnapshotResponse(3, 9, 0, installed=True))
    assert sending.request(store, 3, 1, 0).offset == 0
    assert sending.answered(InstallSnapshotResponse(3, 10, CHUNK))
    assert sending.request(store, 3, 1, 0).offset == CHUNK
