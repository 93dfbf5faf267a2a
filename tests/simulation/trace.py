"""A run as text: one line an event, and a hash of all lines."""

import hashlib
from collections import deque
from collections.abc import Callable

from raftnode.core.messages import AppendEntriesRequest, InstallSnapshotRequest
from raftnode.testing import Event
from tests.support.replicas import Client, Cluster, Frame, Node

LINE_CHARACTERS_MAX = 200
LAST_LINES = 80


class Trace:
    """Follows a cluster; `emit` gets each line. `last` keeps the last ones."""

    def __init__(self, emit: Callable[[str], None] = lambda line: None) -> None:
        self._emit = emit
        self._hash = hashlib.sha256()
        self.last: deque[str] = deque(maxlen=LAST_LINES)

    @property
    def digest(self) -> str:
        """The hash of all lines so far."""
        return self._hash.hexdigest()

    def follow(self, cluster: Cluster) -> None:
        """Write a line for each event of `cluster` from now on."""
        cluster.on_event = lambda event: self.note(cluster, _event(event))

    def note(self, cluster: Cluster, text: str) -> None:
        """Write a line about something that happens now."""
        line = f"{cluster.events:7} {cluster.clock.now:12.6f} {text}"
        self._hash.update(line.encode() + b"\n")
        self.last.append(line[:LINE_CHARACTERS_MAX])
        self._emit(line[:LINE_CHARACTERS_MAX])


def _event(event: Event) -> str:
    function, arguments = event
    owner = getattr(function, "__self__", None)
    subject = f"{_word(owner)} " if isinstance(owner, Node | Client) or hasattr(owner, "name") else ""
    name = function.__name__.strip("_").replace("_", " ")
    state = f" | {_state(owner)}" if isinstance(owner, Node) else ""
    return f"{subject}{name} {' '.join(map(_word, arguments))}{state}"


def _state(node: Node) -> str:
    if node.replica is None:
        return "down"
    core = node.replica.node
    return (
        f"{core.role.value} term {core.current_term} log {core.log_snapshot_index + 1}..{core.last_log_index} "
        f"commit {core.commit_index} applied {core.last_applied}"
    )


def _word(value: object) -> str:
    match value:
        case Frame(source, target):
            return f"n{source}>n{target} {_message(value)}"
        case Node():
            return f"n{value.id}"
        case float():
            return f"{value:.6f}"
        case int() | str() | bytes():
            return str(value)
        case _:
            return str(getattr(value, "name", type(value).__name__))


def _message(packet: Frame) -> str:
    message = packet.message
    if isinstance(message, AppendEntriesRequest):
        return (
            f"AppendEntries(term {message.term}, {len(message.entries)} after {message.prev_log_index}, "
            f"commit {message.leader_commit})"
        )
    if isinstance(message, InstallSnapshotRequest):
        return f"InstallSnapshot(term {message.term}, index {message.last_included_index}, byte {message.offset})"
    return str(message)
