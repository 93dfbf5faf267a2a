"""Real data directories and snapshot files for the commands that read them."""

from pathlib import Path

from raftnode.core.membership import Configuration, make_configuration
from raftnode.core.types import EntryKind, HardState, LogEntry
from raftnode.machine.kv.machine import KvMachine
from raftnode.machine.sessions.machine import SessionMachine, encode_open_session, encode_write
from raftnode.storage.data_dir import format_data_dir
from raftnode.storage.snapshot_file import StoredSnapshot
from raftnode.storage.snapshots import SnapshotStore
from raftnode.storage.wal import Wal
from raftnode.wire.kv import Put, encode
from raftnode.wire.peer import encode_member_context

OLD_CLUSTER = "0ld-c1u5ter"


def configuration() -> Configuration:
    """Return three voters, n1 to n3."""
    return make_configuration(
        [1, 2, 3], contexts={i: encode_member_context(f"n{i}", f"127.0.0.1:700{i}") for i in (1, 2, 3)}
    )


def log_entries(count: int) -> list[LogEntry]:
    """Return a log: a leader's first entry, a session, then writes in it; the last third is of term 2."""
    entries = [LogEntry(1, 1, b"", EntryKind.NOOP), LogEntry(1, 2, encode_open_session())]
    for index in range(3, count + 1):
        command = encode(Put(b"app/k%d" % (index % 5) if index % 3 else b"plain", b"value %d" % index))
        entries.append(LogEntry(1 if index <= count * 2 // 3 else 2, index, encode_write(2, index - 2, 0, command)))
    return entries


def make_data_dir(path: Path, *, entries: int = 12, snapshot: int = 6, compact: int = 0) -> Path:
    """Format a data directory of n1 with a log and, unless `snapshot` is 0, the snapshot after that entry."""
    format_data_dir(
        path,
        cluster_id=OLD_CLUSTER,
        cluster_name="demo",
        node_id=1,
        node_name="n1",
        address="127.0.0.1:7001",
        capacity="voter",
        configuration=configuration(),
    )
    log = log_entries(entries)
    wal = Wal.open(path / "wal")
    wal.save_hard_state(HardState(2, 3))
    for entry in log:
        wal.append([entry])
        wal.sync()
    if snapshot:
        make_snapshot(path / "snapshots", log[:snapshot])
    if compact:
        wal.compact(compact, log[compact - 1].term)
        wal.sync()
    wal.close()
    return path


def make_snapshot(directory: Path, log: list[LogEntry], cluster_id: str = OLD_CLUSTER) -> StoredSnapshot:
    """Store the snapshot of the state after all of `log`."""
    machine = SessionMachine(KvMachine())
    for entry in log:
        if entry.kind is EntryKind.COMMAND:
            machine.apply(entry.index, entry.data)
    writer = SnapshotStore(directory, cluster_id=cluster_id).writer(log[-1].index, log[-1].term, configuration())
    for chunk in machine.snapshot():
        writer.write(chunk)
    return writer.finish()


def tree(path: Path) -> dict[str, bytes]:
    """Return every file under `path`, so that a test sees that nothing was changed."""
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def flip(path: Path, offset: int) -> None:
    """Flip one bit of a file."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 4
    path.write_bytes(bytes(data))
