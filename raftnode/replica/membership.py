"""The members according to the applied entries: whom to admit, and which changes to report."""

from raftnode.core.membership import Configuration, decode_configuration
from raftnode.core.types import LogEntry
from raftnode.replica.events import EventLog
from raftnode.replica.member_plan import describe_changes, member_context
from raftnode.storage.data_dir import Identity


class AppliedMembers:
    """The newest applied configuration. Unlike the core's, it is committed and never rolled back."""

    def __init__(self, identity: Identity, events: EventLog) -> None:
        self.configuration: Configuration = identity.configuration
        self._identity = identity
        self._events = events
        self._is_known = identity.capacity == "voter"

    def load(self, configuration: Configuration) -> None:
        """Take a snapshot's configuration."""
        self.configuration = configuration
        self._is_known = self._is_known or self._identity.node_id in configuration.members()

    def apply(self, entry: LogEntry) -> Configuration:
        """Apply a configuration entry, emit an event for each member that it changes, and return its configuration."""
        before, after = self.configuration, decode_configuration(entry.data)
        self.load(after)
        # Changes from before a joining node's own addition are not reported.
        news = describe_changes(before, after) if self._is_known else []
        for event, node, kind in news:
            known = member_context(after if event != "member.removed" else before, node)
            self._events.emit(
                event,
                entry.term,
                member=known.name or str(node),
                id=node,
                kind=kind,
                address=known.address,
                index=entry.index,
            )
        return after
