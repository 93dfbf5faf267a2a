"""Log entries and configurations in one line, for operators."""

from collections.abc import Callable

from raftnode.core.errors import SerializationError
from raftnode.core.membership import Configuration, decode_configuration
from raftnode.core.types import EntryKind, LogEntry, NodeId
from raftnode.wire.peer import decode_member_context


def describe_entry(entry: LogEntry, describe_data: Callable[[bytes], str]) -> str:
    """Return one line that says what `entry` does; `describe_data` is for the data of commands."""
    match entry.kind:
        case EntryKind.COMMAND:
            return describe_data(entry.data)
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
        "voters": configuration.voters,
        "outgoing": configuration.voters_outgoing,
        "learners": configuration.learners,
        "observers": configuration.observers,
    }
    return "; ".join(
        f"{group} {', '.join(_name(configuration, node) for node in nodes)}" for group, nodes in groups.items() if nodes
    )


def _name(configuration: Configuration, node: NodeId) -> str:
    return decode_member_context(configuration.contexts.get(node)).name or str(node)
