"""How log entries and snapshots are shown to an operator."""

from raftnode.core.types import LogEntry
from raftnode.machine.sessions.machine import SessionMachine
from raftnode.storage.snapshot_file import StoredSnapshot
from raftnode.wire import describe
from raftnode.wire.client import SnapshotInfo


def describe_entry(entry: LogEntry, machine: SessionMachine) -> str:
    """Return one line that says what `entry` does."""
    return describe.describe_entry(entry, machine.describe)


def snapshot_info(stored: StoredSnapshot) -> SnapshotInfo:
    """Return a stored snapshot as the client protocol shows it."""
    return SnapshotInfo(
        stored.index,
        stored.term,
        stored.size_bytes,
        stored.created_at,
        stored.path.rpartition("/")[2],
        list(stored.configuration.voters),
    )
