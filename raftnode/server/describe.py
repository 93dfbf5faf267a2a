"""How log entries and snapshots are shown to an operator."""

from raftnode.core.errors import SerializationError
from raftnode.core.membership import Configuration, decode_configuration
from raftnode.core.types import EntryKind, LogEntry, NodeId
from raftnode.machine.sessions import SessionMachine
from raftnode.server.members import member_context
from raftnode.storage.snapshots import StoredSnapshot
from raftnode.wire.client import SnapshotInfo


def describe_entry(entry: LogEntry, machine: SessionMachine) -> str:
    """Return one line that tells what `entry` does."""
    match entry.kind:
        case EntryKind.COMMAND:
            return machine.describe(entry.data)
        case EntryKind.NOOP:
            return f"opens term {entry.term}"
        case EntryKind.CONFIGURATION:
            try:
                return describe_configuration(decode_configuration(entry.data))
            except SerializationError as error:
                return str(error)


def describe_configuration(configuration: Configuration) -> str:
    """Return one line that names the members."""
    groups = {
        "voters": configuration.voters, "outgoing": configuration.voters_outgoing,
        "learners": configuration.learners, "observers": configuration.observers,
    }
    return "; ".join(
        f"{group} {', '.join(_name(configuration, node) for node in nodes)}" for group, nodes in groups.items() if nodes
    )


def snapshot_info(stored: StoredSnapshot) -> SnapshotInfo:
    """Return a stored snapshot as the client protocol shows it."""
    return SnapshotInfo(
        stored.index, stored.term, stored.size_bytes, stored.created_at, stored.path.rpartition("/")[2],
        list(stored.configuration.voters),
    )


def _name(configuration: Configuration, node: NodeId) -> str:
    return member_context(configuration, node).name or str(node)
