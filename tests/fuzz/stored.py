"""A data directory whose log holds a record of every kind, in several segments, and from which a node starts."""

import functools
import random
from unittest.mock import patch

from raftnode.core.errors import InvariantError, StorageError
from raftnode.core.membership import make_configuration
from raftnode.core.types import EntryKind, HardState, LogEntry
from raftnode.machine.kv.machine import KvMachine
from raftnode.machine.sessions.machine import SessionMachine, encode_open_session, encode_write
from raftnode.replica.events import EventLog
from raftnode.replica.replica import Replica
from raftnode.storage.data_dir import DataDir, DataDirError, format_data_dir
from raftnode.storage.inspect import DataDirReader
from raftnode.storage.snapshots import SnapshotStore
from raftnode.storage.wal import Wal
from raftnode.wire.kv import Put, encode
from tests.support.filesystem import SimulatedFilesystem
from tests.support.replicas import CLUSTER_ID, DATA, SETTINGS, address_of, first_configuration

SEGMENT_BYTES = 1000
SNAPSHOT_AT = 20
COMPACTED_TO = 14
LAST = 28


@functools.cache
def data_directory() -> dict[str, bytes]:
    """Return the files of the directory by their paths."""
    fs = SimulatedFilesystem()
    format_data_dir(
        DATA,
        cluster_id=CLUSTER_ID,
        cluster_name="demo",
        node_id=1,
        node_name="n1",
        address=address_of(1),
        capacity="voter",
        configuration=first_configuration([1, 2, 3]),
        fs=fs,
        wall_clock=lambda: 1.7e9,
    )
    data_dir = DataDir.open(DATA, fs)
    data_dir.remember_instance(2, "cd" * 16)
    data_dir.next_boot()
    _write_log(fs)
    data_dir.close()
    return {path: fs.contents(path) for path in fs.files()}


def _write_log(fs: SimulatedFilesystem) -> None:
    wal = Wal.open(f"{DATA}/wal", fs, SEGMENT_BYTES)
    wal.save_hard_state(HardState(1, 1))
    wal.append([LogEntry(1, 1, b"", EntryKind.NOOP), LogEntry(1, 2, encode_open_session())])
    wal.sync()
    for index in range(3, 19):
        wal.append([_entry(1, index)])
        wal.sync()
    # Another leader replaces the end, changes the members, and writes what must be masked.
    wal.save_hard_state(HardState(3, 2))
    wal.truncate(16)
    wal.append([LogEntry(3, 16, b"", EntryKind.NOOP), _configuration(3, 17), _entry(3, 18, bytes(200))])
    wal.sync()
    with patch("raftnode.storage.segment.BATCH_BYTES", 100):
        wal.append([_entry(3, index, b"x" * 90) for index in range(19, 23)])
        wal.sync()
    _write_snapshot(fs, list(wal.load_entries_after(0))[:SNAPSHOT_AT])
    wal.compact(COMPACTED_TO, 1)
    for index in range(23, LAST + 1):
        wal.append([_entry(3, index)])
        wal.sync()
    wal.save_hard_state(HardState(4, None))
    wal.sync()
    wal.close()


def _entry(term: int, index: int, value: bytes = b"value") -> LogEntry:
    return LogEntry(term, index, encode_write(2, index - 2, index - 3, encode(Put(b"a/k%d" % (index % 5), value))))


def _configuration(term: int, index: int) -> LogEntry:
    first = first_configuration([1, 2, 3], [4])
    configuration = make_configuration([1, 2, 3], [4], [5], first.contexts)
    return LogEntry(term, index, configuration.encode(), EntryKind.CONFIGURATION)


def _write_snapshot(fs: SimulatedFilesystem, entries: list[LogEntry]) -> None:
    machine = SessionMachine(KvMachine())
    for entry in entries:
        if entry.kind is EntryKind.COMMAND:
            machine.apply(entry.index, entry.data)
    store = SnapshotStore(f"{DATA}/snapshots", fs, cluster_id=CLUSTER_ID, wall_clock=lambda: 1.7e9)
    writer = store.writer(entries[-1].index, entries[-1].term, first_configuration([1, 2, 3], [4]))
    for chunk in machine.snapshot():
        writer.write(chunk)
    writer.finish()


def disk(files: dict[str, bytes]) -> SimulatedFilesystem:
    """Return a disk with these files."""
    fs = SimulatedFilesystem()
    for path, data in files.items():
        fs.make_directory(path.rpartition("/")[0])
        fs.put(path, data)
    return fs


class _Deaf:
    """A transport that drops everything."""

    def send_request(self, peer: int, message: object) -> bool:
        return False

    def send_response(self, peer: int, message: object) -> None:
        return

    def answer(self, client: object, answer: object) -> None:
        return

    def set_members(self, addresses: dict[int, str]) -> None:
        return


def read_everything(files: dict[str, bytes]) -> None:
    """Look at a data directory as `raftctl log` does, then start a node from it."""
    fs = disk(files)
    look_at(fs)
    start_node(fs)


def look_at(fs: SimulatedFilesystem) -> None:
    """Read all that is there, offline. Damage is reported, and never raised."""
    try:
        look = DataDirReader(DATA, fs)
    except DataDirError:
        return
    with look:
        look.verify()


def start_node(fs: SimulatedFilesystem) -> bool:
    """Start a node. Return whether it started: it says why not in one of three ways."""
    try:
        replica, wal = open_node(fs)
    except (StorageError, DataDirError, InvariantError):
        return False
    _check_log(replica, wal)
    return True


def open_node(fs: SimulatedFilesystem) -> tuple[Replica, Wal]:
    """Return a node that has started from a disk and had a turn, and its log. Raises as the daemon's parts do."""
    data_dir = DataDir.open(DATA, fs)
    wal = Wal.open(data_dir.wal_path, fs, SEGMENT_BYTES)
    replica = Replica(
        identity=data_dir.identity,
        settings=SETTINGS,
        storage=wal,
        snapshot_store=SnapshotStore(data_dir.snapshots_path, fs),
        machine=SessionMachine(KvMachine()),
        transport=_Deaf(),
        events=EventLog("n1", 1, data_dir.next_boot(), lambda: 1.7e9),
        known_instances=data_dir.known_instances(),
        remember_instance=data_dir.remember_instance,
        clock=lambda: 1.0,
        wall_clock=lambda: 1.7e9,
        rng=random.Random(1),
    )
    replica.start()
    replica.turn()
    return replica, wal


def _check_log(replica: Replica, wal: Wal) -> None:
    """A log that a node took is one that a node could have written."""
    index, term = wal.snapshot_metadata()
    for entry in wal.load_entries_after(index):
        assert entry.index == index + 1, f"entry {entry.index} follows {index}"
        assert entry.term >= term, f"entry {entry.index} has term {entry.term} after {term}"
        index, term = entry.index, entry.term
    assert replica.node.last_log_index == index
    assert replica.node.current_term >= term
