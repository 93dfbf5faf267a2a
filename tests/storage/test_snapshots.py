"""Snapshots: whole or not there, checked to the bit, kept and received."""

import random
import zlib

import pytest

from raftnode.core.errors import StorageError
from raftnode.core.membership import make_configuration
from raftnode.storage.filesystem import NoSpaceError
from raftnode.storage.snapshot_file import BLOCK, MAGIC, SnapshotDamaged, StoredSnapshot, block_crc
from raftnode.storage.snapshots import SnapshotRejected, SnapshotStore
from tests.support.filesystem import Fault, SimulatedCrash, SimulatedFilesystem, crash_masks

PATH = "/disk/snapshots"
CONFIGURATION = make_configuration([1, 2, 3], [4], contexts={1: b"n1"})
CHUNKS = [b"first " * 20, b"second", bytes(700)]


def open_store(fs: SimulatedFilesystem, path: str = PATH, keep: int = 2) -> SnapshotStore:
    """Open a store whose clock stands still."""
    return SnapshotStore(path, fs, keep, wall_clock=lambda: 1_700_000_000.25)


def write(store: SnapshotStore, index: int, term: int = 3, chunks: list[bytes] | None = None) -> StoredSnapshot:
    """Write a snapshot."""
    writer = store.writer(index, term, CONFIGURATION)
    for chunk in CHUNKS if chunks is None else chunks:
        writer.write(chunk)
    return writer.finish()


def test_a_snapshot_is_found_again_with_all_it_carries() -> None:
    """Index, term, configuration, time and the machine's chunks, also after a power loss."""
    fs = SimulatedFilesystem()
    stored = write(open_store(fs), 10)
    assert (stored.index, stored.term, stored.configuration) == (10, 3, CONFIGURATION)
    assert stored.created_at == "2023-11-14T22:13:20.250Z"
    store = open_store(fs.crash())
    assert store.latest() == stored
    assert store.list() == [stored]
    assert list(store.chunks(stored)) == CHUNKS
    store.verify(stored)


def test_an_unfinished_snapshot_never_counts() -> None:
    """A `.part` file is not listed, and the next start removes it."""
    fs = SimulatedFilesystem()
    store = open_store(fs)
    assert store.latest() is None
    writer = store.writer(10, 3, CONFIGURATION)
    writer.write(b"x")
    receiver = store.receiver(11, 3)
    assert store.list() == []
    assert len(fs.files()) == 2
    after = fs.kill()
    assert open_store(after).list() == []
    assert after.files() == []
    assert receiver.next_offset == 0


def test_a_snapshot_that_is_found_after_a_kill_is_durable_from_then_on() -> None:
    """The log may be compacted up to a snapshot that a start has listed: a power loss must not take it away."""
    fs = SimulatedFilesystem()
    store = open_store(fs)
    fs.faults.append(Fault("sync_directory"))
    with pytest.raises(StorageError):
        write(store, 10)
    disk = fs.kill()
    assert open_store(disk).latest() is not None
    assert open_store(disk.crash()).latest() is not None


def test_abort_leaves_nothing_and_is_harmless_after_finish() -> None:
    """Giving up removes the part; a finished snapshot stays."""
    fs = SimulatedFilesystem()
    store = open_store(fs)
    writer = store.writer(10, 3, CONFIGURATION)
    writer.write(b"x")
    writer.abort()
    assert fs.files() == []
    with pytest.raises(StorageError, match="given up"):
        writer.write(b"y")
    writer = store.writer(10, 3, CONFIGURATION)
    writer.finish()
    writer.abort()
    assert len(store.list()) == 1


def test_only_the_newest_are_kept_and_a_pinned_one_stays() -> None:
    """`keep` newest stay; a transfer's snapshot stays until it is unpinned as often as it was pinned."""
    fs = SimulatedFilesystem()
    store = open_store(fs)
    pinned = write(store, 1)
    store.pin(pinned)
    store.pin(pinned)
    for index in (2, 3, 4):
        write(store, index)
    assert [s.index for s in store.list()] == [4, 3, 1]
    store.unpin(pinned)
    assert store.read_raw(pinned, 0, 8) == b"raftsnap"
    store.unpin(pinned)
    assert [s.index for s in store.list()] == [4, 3]


def test_any_flipped_bit_in_a_snapshot_is_found() -> None:
    """Every bit, one at a time: the head when it is listed, the rest when it is read."""
    fs = SimulatedFilesystem()
    store = open_store(fs)
    stored = write(store, 10, chunks=[b"chunk one", bytes(30), b"three"])
    for bit in range(stored.size_bytes * 8):
        fs.flip_bit(stored.path, bit)
        with pytest.raises(SnapshotDamaged) as caught:
            store.verify(stored)
        assert caught.value.file == stored.path
        assert 0 <= caught.value.offset <= stored.size_bytes
        fs.flip_bit(stored.path, bit)
    store.verify(stored)


def test_a_shortened_lengthened_or_renamed_snapshot_is_damaged() -> None:
    """Each cut, anything behind the end, and a file under another's name."""
    fs = SimulatedFilesystem()
    store = open_store(fs)
    stored = write(store, 10)
    data = fs.contents(stored.path)
    for size in range(len(data)):
        fs.put(stored.path, data[:size])
        with pytest.raises(SnapshotDamaged):
            store.verify(stored)
    fs.put(stored.path, data + b"\0")
    with pytest.raises(SnapshotDamaged, match="follows the end"):
        store.verify(stored)
    fs.put(stored.path, data)
    fs.rename(stored.path, stored.path.replace("10-", "11-"))
    with pytest.raises(SnapshotDamaged, match="index 10"):
        store.list()


def test_another_snapshot_in_the_place_of_one_is_damage() -> None:
    """Whole as it is: a reader that began with one file does not go on with another."""
    fs = SimulatedFilesystem()
    store = open_store(fs)
    stored = write(store, 10)
    other = write(open_store(fs, "/disk/other"), 10, chunks=[b"another state"])
    fs.put(stored.path, fs.contents(other.path))
    with pytest.raises(SnapshotDamaged, match="another snapshot than before"):
        store.verify(stored)


def test_a_lost_doubled_or_exchanged_block_is_damage() -> None:
    """Each block's checksum continues the one before it."""
    fs = SimulatedFilesystem()
    store = open_store(fs)
    stored = write(store, 10, chunks=[b"aaaa", b"bbbb"])
    data = fs.contents(stored.path)
    end, tail = data[-40:], data[:-40]
    first, second, head = tail[-24:-12], tail[-12:], tail[:-24]
    for blocks in ([first, end], [first, first, second, end], [second, first, end]):
        fs.put(stored.path, head + b"".join(blocks))
        with pytest.raises(SnapshotDamaged):
            store.verify(stored)


def test_what_differs_between_two_nodes_is_only_the_trailer() -> None:
    """Taken at other times, the files are equal to the byte up to their last 32, and so are their checksums."""
    fs = SimulatedFilesystem()
    one = write(open_store(fs), 10)
    other = write(SnapshotStore("/disk/other", fs, wall_clock=lambda: 1_800_000_000.0), 10)
    changed = write(SnapshotStore("/disk/third", fs, wall_clock=lambda: 1_800_000_000.0), 10, chunks=[b"x"])
    assert one.created_at != other.created_at
    assert fs.contents(one.path)[:-32] == fs.contents(other.path)[:-32]
    assert one.checksum == other.checksum != changed.checksum


def test_a_trailer_that_is_no_time_is_refused_though_its_checksum_is_right() -> None:
    """A peer may send anything."""
    fs = SimulatedFilesystem()
    store = open_store(fs)
    stored = write(store, 10)
    data = fs.contents(stored.path)
    for trailer in (b"\xff" * 24, b"2023", b""):
        length = len(trailer).to_bytes(4, "little")
        crc = zlib.crc32(trailer, zlib.crc32(length, stored.checksum)).to_bytes(4, "little")
        forged = data[:-32] + length + crc + trailer
        fs.put(stored.path, forged)
        with pytest.raises(SnapshotDamaged, match="its end is invalid"):
            store.list()
        with pytest.raises(SnapshotDamaged, match="its trailer is not a time"):
            store.verify(stored)
        with pytest.raises(SnapshotRejected, match="its trailer is not a time"):
            receive(open_store(fs, "/disk/other"), forged)


def transfer(source: SnapshotStore, stored: StoredSnapshot, target: SnapshotStore, step: int) -> StoredSnapshot:
    """Move a snapshot's raw bytes from one store to the other."""
    receiver = target.receiver(stored.index, stored.term, stored.size_bytes)
    while data := source.read_raw(stored, receiver.next_offset, step):
        receiver.write(receiver.next_offset, data)
    return receiver.finish()


def receive(target: SnapshotStore, data: bytes) -> StoredSnapshot:
    """Take in a file's bytes at once as the snapshot of index 10 and term 3."""
    receiver = target.receiver(10, 3)
    receiver.write(0, data)
    return receiver.finish()


def test_own_and_received_snapshots_of_one_index_do_not_mix() -> None:
    """A follower may take its own while the leader sends one of the same entry: the first to end stays."""
    fs = SimulatedFilesystem()
    source, target = open_store(fs), open_store(fs, "/disk/other")
    stored = write(source, 10, chunks=[b"theirs" * 50])
    data = fs.contents(stored.path)
    receiver = target.receiver(10, 3)
    receiver.write(0, data[:100])
    writer = target.writer(10, 3, CONFIGURATION)
    writer.write(b"own" * 30)
    receiver.write(100, data[100:])
    first = receiver.finish()
    assert writer.finish() == first
    assert list(target.chunks(first)) == [b"theirs" * 50]
    again = target.receiver(10, 3)
    target.receiver(10, 3).abort()
    again.abort()
    assert [path for path in fs.files() if path.startswith("/disk/other")] == [first.path]


@pytest.mark.parametrize("step", [1, 7, 100, 10_000])
def test_a_received_snapshot_is_the_senders_byte_for_byte(step: int) -> None:
    """Whatever the size of the pieces."""
    fs = SimulatedFilesystem()
    source, target = open_store(fs), open_store(fs, "/disk/other")
    stored = write(source, 10)
    received = transfer(source, stored, target, step)
    assert fs.contents(received.path) == fs.contents(stored.path)
    assert target.latest() == received
    assert list(target.chunks(received)) == CHUNKS


def test_repeated_and_overlapping_pieces_are_skipped_and_a_gap_is_refused() -> None:
    """A transfer that goes on after a lost connection may send again what had arrived."""
    fs = SimulatedFilesystem()
    source, target = open_store(fs), open_store(fs, "/disk/other")
    stored = write(source, 10)
    data = fs.contents(stored.path)
    receiver = target.receiver(10, 3)
    receiver.write(0, data[:50])
    receiver.write(0, data[:50])
    receiver.write(20, data[20:80])
    assert receiver.next_offset == 80
    with pytest.raises(SnapshotRejected, match="next expected are from 80"):
        receiver.write(81, data[81:])
    assert receiver.next_offset == 80
    receiver.write(80, data[80:])
    assert receiver.finish().index == 10


def test_a_received_snapshot_with_any_wrong_byte_is_rejected_and_leaves_nothing() -> None:
    """A peer's damaged or wrong file is the peer's fault: nothing of it stays, and this node goes on."""
    fs = SimulatedFilesystem()
    source, target = open_store(fs), open_store(fs, "/disk/other")
    data = fs.contents(write(source, 10, chunks=[b"abc"]).path)
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(SnapshotRejected):
            receive(target, changed)
    for index, term in ((11, 3), (10, 4)):
        with pytest.raises(SnapshotRejected, match="index 10, term 3"):
            target.receiver(index, term).write(0, data)
    short = target.receiver(10, 3)
    short.write(0, data[:-1])
    with pytest.raises(SnapshotRejected, match="ends early"):
        short.finish()
    assert target.list() == []
    assert [path for path in fs.files() if path.startswith("/disk/other")] == []


@pytest.mark.parametrize("received", [False, True])
def test_every_crash_point_leaves_the_old_snapshots_or_the_new_one(received: bool) -> None:
    """The power goes at each change while a snapshot is written or received: what is listed is whole."""
    origin = SimulatedFilesystem()
    remote = open_store(origin, "/remote")
    sent = write(remote, 30)
    raw = origin.contents(sent.path)

    def run(fs: SimulatedFilesystem) -> bool:
        try:
            store = open_store(fs)
            if received:
                receiver = store.receiver(30, 3)
                receiver.write(0, raw[:400])
                receiver.write(400, raw[400:])
                receiver.finish()
            else:
                write(store, 30)
        except SimulatedCrash:
            return False
        return True

    before = SimulatedFilesystem()
    old = [write(open_store(before), index) for index in (10, 20)]
    crash_at = 1
    while True:
        fs = before.crash()
        fs.crash_at = crash_at
        if run(fs):
            break
        for keep in crash_masks(fs.unsynced(), random.Random(crash_at)):
            store = open_store(fs.crash(keep))
            found = store.list()
            for stored in found:
                store.verify(stored)
            indexes = [stored.index for stored in found]
            assert indexes[:2] in ([20, 10], [30, 20])
        crash_at += 1
    assert crash_at > 8
    assert [stored.index for stored in open_store(fs.crash()).list()] == [30, 20]
    assert len(old) == 2


@pytest.mark.parametrize("call", ["create", "pwrite", "sync", "rename", "sync_directory"])
def test_a_disk_error_while_writing_is_told_and_the_old_snapshot_stays(call: str) -> None:
    """EIO at any call is a StorageError with the file; the latest snapshot is still the old one."""
    fs = SimulatedFilesystem()
    store = open_store(fs)
    write(store, 10)
    fs.faults.append(Fault(call))
    with pytest.raises(StorageError, match=r"/disk/snapshots.*Input/output error"):
        write(store, 20)
    latest = open_store(fs.crash()).latest()
    assert latest is not None
    assert latest.index == 10


def test_a_full_disk_is_told_apart_and_abort_frees_the_space() -> None:
    """ENOSPC while a snapshot is written does not touch the one before."""
    fs = SimulatedFilesystem(capacity_bytes=3000)
    store = open_store(fs)
    write(store, 10)
    writer = store.writer(20, 3, CONFIGURATION)
    with pytest.raises(NoSpaceError):
        writer.write(b"x" * 5000)
    writer.abort()
    latest = store.latest()
    assert latest is not None
    store.verify(latest)
    assert latest.index == 10
    assert len(fs.files()) == 1


@pytest.mark.parametrize("ending", [b"\xa1\x90", b"\xa1c" + b"\x91" * 5000], ids=["not UTF-8", "nesting"])
def test_a_head_of_nonsense_under_a_right_checksum_is_rejected(ending: bytes) -> None:
    """What a peer sends never ends the node: a head may be whole and hold what is no text, or nest without end."""
    fields = 5 if len(ending) == 2 else 6
    head = bytes([0x90 + fields, 1, 5, 1, 0xC4, 0]) + ending
    data = MAGIC + BLOCK.pack(len(head), block_crc(head, zlib.crc32(MAGIC))) + head
    receiver = open_store(SimulatedFilesystem()).receiver(5, 1)
    with pytest.raises(SnapshotRejected, match="is invalid"):
        receiver.write(0, data)


def test_a_head_with_an_unreadable_configuration_is_rejected_at_once() -> None:
    """The rest is not taken in: what members a snapshot has must be known when it is put in force."""
    head = b"\x94\x01\x05\x01\xc4\x03\xff\xff\xff"
    data = MAGIC + BLOCK.pack(len(head), block_crc(head, zlib.crc32(MAGIC))) + head
    receiver = open_store(SimulatedFilesystem()).receiver(5, 1)
    with pytest.raises(SnapshotRejected, match="its head is invalid"):
        receiver.write(0, data)
