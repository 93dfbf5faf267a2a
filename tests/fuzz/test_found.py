"""What mutated inputs found, each with the smallest input that shows it."""

import fcntl
import zlib
from pathlib import Path

import msgspec
import pytest

from raftctl.inspect.data_dir import members_record
from raftctl.local.contexts import split_address
from raftctl.local.processes import running_pid
from raftnode.client.connection import Connection
from raftnode.client.errors import ConnectionFailed
from raftnode.client.fanout import ask_all
from raftnode.client.guard import ClusterGuard
from raftnode.client.transport import Deadline
from raftnode.config.errors import InternalError, UsageError
from raftnode.core.config import RaftConfig
from raftnode.core.errors import InvariantError, StorageError
from raftnode.core.membership import Configuration, make_configuration
from raftnode.core.node import RaftNode
from raftnode.core.storage import MemStorage
from raftnode.core.types import EntryKind, HardState, LogEntry, SnapshotPoint
from raftnode.storage.data_dir import DataDirError, format_data_dir, read_identity
from raftnode.storage.segment import HEAD_BYTES, Batch, BatchAt, SegmentHead, encode_group, encode_head
from raftnode.storage.wal import Wal, WalDamaged
from raftnode.wire.client import GetStatus, SessionOpened
from raftnode.wire.frame import encode_frame
from raftnode.wire.hello import PROTOCOL_VERSION, Welcome
from tests.fuzz.link_targets import PATIENCE_S, SayingNode
from tests.fuzz.sealing import SealedBatch
from tests.support.filesystem import SimulatedFile, SimulatedFilesystem

NOBODY = HardState()
HEAD = SegmentHead(1, bytes(8), 0, 0, SnapshotPoint(), NOBODY)
TOO_MUCH = 2**63


def open_log(head: SegmentHead, *batches: Batch) -> Wal:
    """Open a log of one segment, whose checksums are right."""
    fs = SimulatedFilesystem()
    fs.make_directory("/wal")
    fs.put("/wal/segment-000000000001.wal", encode_head(head) + b"".join(encode_group(batches, 1, head)))
    return Wal.open("/wal", fs)


@pytest.mark.parametrize(
    "head",
    [
        SegmentHead(1, bytes(8), -1, 0, SnapshotPoint(), NOBODY),
        SegmentHead(1, bytes(8), 0, -1, SnapshotPoint(), NOBODY),
        SegmentHead(1, bytes(8), 0, TOO_MUCH, SnapshotPoint(), NOBODY),
        SegmentHead(1, bytes(8), 0, 0, SnapshotPoint(-1, 0), NOBODY),
        SegmentHead(1, bytes(8), 0, 0, SnapshotPoint(0, -1), NOBODY),
        SegmentHead(1, bytes(8), 0, 0, SnapshotPoint(), HardState(-1, None)),
        SegmentHead(1, bytes(8), 0, 0, SnapshotPoint(), HardState(1, TOO_MUCH)),
        SegmentHead(1, bytes(8), 0, 0, SnapshotPoint(1, 1), NOBODY),
    ],
)
def test_a_segment_head_with_impossible_numbers_is_damage(head: SegmentHead) -> None:
    """Such as a last index below 0, which the index of the log cannot hold, or a compaction beyond the log's end."""
    with pytest.raises(WalDamaged, match="the segment's head is invalid"):
        open_log(head, Batch(None, 0, None, [LogEntry(1, head.last_index + 1, b"")]))


@pytest.mark.parametrize(
    "batch",
    [
        Batch(HardState(-1, None), 0, None, []),
        Batch(HardState(TOO_MUCH, None), 0, None, []),
        Batch(HardState(1, -1), 0, None, []),
        Batch(None, 0, SnapshotPoint(TOO_MUCH, 1), []),
        Batch(None, 0, SnapshotPoint(1, -1), []),
    ],
)
def test_a_record_with_impossible_numbers_is_damage(batch: Batch) -> None:
    """Terms, indexes and votes that no node writes, below a checksum that is right."""
    with pytest.raises(WalDamaged, match="the impossible number"):
        open_log(HEAD, batch)


def test_no_more_is_read_than_the_file_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch header may promise 4 GiB: that is damage, or a torn tail, and not a reason to ask for the memory."""
    batch = SealedBatch(
        encode_head(HEAD) + encode_group([Batch(NOBODY, 0, None, [])], 1, HEAD)[0],
        HEAD,
        BatchAt(Batch(NOBODY, 0, None, []), HEAD_BYTES, 100),
        1,
        0,
    )
    covered = bytearray(batch.covered)
    covered[5:9] = b"\xff" * 4
    fs = SimulatedFilesystem()
    fs.make_directory("/wal")
    fs.put("/wal/segment-000000000001.wal", batch.with_header(bytes(covered)))
    asked: list[int] = []
    pread = SimulatedFile.pread

    def note(file: SimulatedFile, size: int, offset: int) -> bytes:
        asked.append(size)
        return pread(file, size, offset)

    monkeypatch.setattr(SimulatedFile, "pread", note)
    assert Wal.open("/wal", fs, read_only=True).recovery.cut is not None
    assert max(asked) < 1 << 21, "about a window of a MiB"


def restore(*entries: LogEntry) -> None:
    """Restore a node from a log."""
    storage = MemStorage()
    storage.append(entries)
    RaftNode(RaftConfig(1), storage).restore()


def test_a_stored_log_whose_terms_go_back_stops_the_node() -> None:
    """Terms never fall along a log (§5.3): no node could have written this one."""
    with pytest.raises(InvariantError, match="entry 2 of term 1 after term 2"):
        restore(LogEntry(2, 1, b""), LogEntry(1, 2, b""))


def test_a_stored_configuration_that_makes_no_sense_stops_the_node_as_a_bad_disk_does() -> None:
    """It is reported as a storage error with the entry's index, and not as a bug."""
    with pytest.raises(StorageError, match="the stored entry 1: not a configuration"):
        restore(LogEntry(1, 1, b"\xc1", EntryKind.CONFIGURATION))


@pytest.mark.parametrize("said", [b"SSH-2.0-x\r\n", b"\0\0\0\0"])
def test_a_client_that_meets_another_protocol_says_so(said: bytes) -> None:
    """Whatever listens there: the conversation fails with a reason, before the Welcome as after it."""
    with SayingNode() as node:
        for before in (b"", encode_frame(Welcome(PROTOCOL_VERSION, "c", 1, "i"))):
            node.says = before + said
            with pytest.raises(ConnectionFailed, match="does not speak this protocol"):
                Connection(node.address, ClusterGuard()).call(GetStatus(0), Deadline(PATIENCE_S))


def test_an_answer_to_another_request_is_refused() -> None:
    """A node that answers GetStatus with SessionOpened does not follow the protocol."""
    with SayingNode() as node:
        node.says = encode_frame(Welcome(PROTOCOL_VERSION, "c", 1, "i")) + encode_frame(SessionOpened(1, 7))
        with pytest.raises(ConnectionFailed, match="answers a GetStatus with a SessionOpened"):
            Connection(node.address, ClusterGuard()).call(GetStatus(0), Deadline(PATIENCE_S))
        failure = ask_all([node.address], GetStatus(1), Deadline(PATIENCE_S)).failures[node.address]
        assert "answers a GetStatus with a SessionOpened" in failure.reason


def test_a_port_of_thousands_of_digits_is_no_address() -> None:
    """int() refuses to read it, but the error that the user sees is about the address."""
    with pytest.raises(UsageError, match="is not an address"):
        split_address("n1:" + "9" * 5000)


@pytest.mark.parametrize("holder", ["0", "9" * 30, ""])
def test_a_lock_file_without_a_possible_process_names_none(tmp_path: Path, holder: str) -> None:
    """A signal to process 0 would go to this command's own group, and no process has a number that long."""
    lock = tmp_path / "LOCK"
    lock.write_text(holder)
    with lock.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(InternalError, match="holds no process id"):
            running_pid(str(tmp_path))


def test_a_member_whose_context_cannot_be_read_is_shown_by_its_id() -> None:
    """Its name and address are of no concern to the log or the snapshot that is looked at."""
    (member,) = members_record(make_configuration([1], contexts={1: b"\xc1"}))["voters"]
    assert member == {"id": 1, "name": "", "address": ""}


@pytest.mark.parametrize(
    "identity",
    [
        {"node_id": 0},
        {"capacity": "king"},
        {"configuration": Configuration()},
        {"configuration": Configuration(voters=(1,), learners=(1,))},
        {"configuration": Configuration(voters=(1,), voters_outgoing=(2,), learners=(2,))},
    ],
)
def test_an_identity_of_no_possible_node_is_refused(identity: dict[str, object]) -> None:
    """Below a right checksum too: the directory is refused, with what to do."""
    fs = SimulatedFilesystem()
    made = format_data_dir(
        "/data",
        cluster_id="c",
        cluster_name="demo",
        node_id=1,
        node_name="n1",
        address="10.0.0.1:7000",
        capacity="voter",
        configuration=make_configuration([1]),
        fs=fs,
    )
    content = msgspec.json.encode(msgspec.structs.replace(made, **identity))
    fs.put("/data/identity.json", b'{"checksum":"%08x","content":%s}\n' % (zlib.crc32(content), content))
    with pytest.raises(DataDirError, match=r"identity\.json is invalid"):
        read_identity("/data", fs)
