"""A replica's work on its snapshots: when one is taken, what arrives from a leader, and what is sent to members.

The pieces of this work are in `snapshot_transfer.py`. This module says when each begins, and what it means for the log.
"""

from collections.abc import Callable
from typing import Final, Protocol

from msgspec.structs import replace

from raftnode.config.settings import ReplicaSettings
from raftnode.core.errors import InvalidRequest, StorageError
from raftnode.core.messages import InstallSnapshotRequest, InstallSnapshotResponse
from raftnode.core.node import RaftNode
from raftnode.core.types import NodeId
from raftnode.machine.sessions.machine import SessionMachine
from raftnode.replica.directory import Directory
from raftnode.replica.events import EventLog, EventValue
from raftnode.replica.snapshot_transfer import SnapshotReceiving, SnapshotSending, SnapshotTaking
from raftnode.replica.timers import Timers
from raftnode.replica.transport import Transport
from raftnode.storage.filesystem import NoSpaceError
from raftnode.storage.snapshot_file import StoredSnapshot
from raftnode.storage.snapshots import SnapshotStore

RETRY_SECONDS: Final = 10.0
"""The least time between a snapshot that did not fit on the disk and the next try."""


class Outcomes(Protocol):
    """The results of the work on snapshots. Each is called once the fact is on the disk."""

    def snapshot_taken(self, stored: StoredSnapshot) -> None:
        """A snapshot of this node's state is whole and durable."""

    def snapshot_failed(self, reason: str) -> None:
        """A snapshot did not fit on the disk; it is tried again later."""

    def snapshot_installed(self, stored: StoredSnapshot) -> None:
        """A leader's snapshot is in force: the machine's state has to be loaded from it."""


class Snapshots:
    """The newest snapshot on the disk, and those that are on their way. Any call may raise StorageError."""

    def __init__(
        self,
        *,
        node: RaftNode,
        machine: SessionMachine,
        store: SnapshotStore,
        transport: Transport,
        settings: ReplicaSettings,
        clock: Callable[[], float],
        directory: Directory,
        events: EventLog,
        timers: Timers,
        outcomes: Outcomes,
    ) -> None:
        self._node = node
        self._machine = machine
        self._store = store
        self._transport = transport
        self._settings = settings
        self._clock = clock
        self._directory = directory
        self._events = events
        self._outcomes = outcomes
        self._send_alarm = timers.alarm(self._send_due)
        self._retry_alarm = timers.alarm(self._retry)
        self._closed = False
        self.has_work = True
        """Whether `advance_taking()` may have something to do."""
        self.newest: StoredSnapshot | None = None
        """The newest snapshot on this node's disk."""
        self.bytes_since = 0
        """How many bytes of commands were applied since the newest one."""
        self._bytes_covered = 0
        """How much of it is in the snapshot that is being taken."""
        self._not_before = 0.0
        self._taking: SnapshotTaking | None = None
        self._sending: dict[NodeId, SnapshotSending] = {}
        self._receiving = SnapshotReceiving(self._store)

    def open(self) -> StoredSnapshot | None:
        """Find the newest snapshot. Called once, before anything else."""
        self.newest = self._store.latest()
        return self.newest

    def close(self) -> None:
        """Give up the snapshot that is being taken, and take no other: this node is stopping."""
        self._closed = True
        self.stop_taking()

    @property
    def sending_to(self) -> tuple[NodeId, ...]:
        """The members that a snapshot is being sent to."""
        return tuple(self._sending)

    # Taking.

    def begin_taking(self) -> bool:
        """Begin to take a snapshot of what is applied. Return whether one is under way now.

        None is where nothing new is applied, where the members at that entry are not known yet, or without room.
        """
        if self._taking is not None:
            return True
        node = self._node
        index = node.last_applied
        if (self.newest is not None and self.newest.index >= index) or index == 0:
            return False
        if not node.knows_configuration_at(index):
            # It joined, and has not reached its own addition in the log; a snapshot must name the members.
            return False
        try:
            self._taking = SnapshotTaking(
                self._store, self._machine, index, node.term_at(index), node.configuration_at(index)
            )
        except NoSpaceError as error:
            self._taking_failed(error)
            return False
        self._bytes_covered = self.bytes_since
        self.has_work = True
        return True

    def take_at(self, index: int) -> None:
        """Begin the snapshot that every node takes after entry `index`, which is applied.

        At the same indexes all nodes write the same bytes: what one of them began to send another can finish.
        """
        self._node.advance_applied(index)
        if self._may_take():
            self.begin_taking()

    def advance_taking(self) -> bool:
        """Work on the snapshot that is being taken, or begin one that is due. Return whether one is under way."""
        self.has_work = self._advance_taking()
        return self.has_work

    def _advance_taking(self) -> bool:
        if self._taking is None and (not self._is_due() or not self.begin_taking()):
            return False
        assert self._taking is not None
        node = self._node
        try:
            stored = self._taking.step(self._clock)
        except NoSpaceError as error:
            self._taking_failed(error)
            return False
        if stored is None:
            return True
        self._taking = None
        self._not_before = 0.0
        self.bytes_since -= self._bytes_covered
        self.newest = stored
        keep_from = stored.index - self._settings.snapshot_trailing
        if keep_from > node.log_snapshot_index:
            node.compact(keep_from)
        begins = node.log_snapshot_index + 1
        self._emit("snapshot.taken", index=stored.index, size_bytes=stored.size_bytes, log_begins=begins)
        self._outcomes.snapshot_taken(stored)
        return True

    def _taking_failed(self, error: NoSpaceError) -> None:
        """Give up a snapshot that does not fit on the disk: the log continues, and it is tried again later."""
        self.stop_taking()
        self._not_before = self._clock() + RETRY_SECONDS
        self._retry_alarm.set(self._not_before)
        self._emit("snapshot.failed", reason=str(error))
        self._outcomes.snapshot_failed(str(error))

    def _retry(self, now: float) -> None:
        self.has_work = True

    def _may_take(self) -> bool:
        return not self._closed and self._clock() >= self._not_before

    def _is_due(self) -> bool:
        """Whether to take a snapshot wherever the log is: after many bytes, or where `take_at` missed its turn.

        It misses one while another is under way. After one that failed the next does not wait for its turn.
        """
        if not self._may_take():
            return False
        settings = self._settings
        covered = 0 if self.newest is None else self.newest.index
        entries = self._node.last_applied - covered
        periods = 1 if self._not_before else 2
        return bool(
            (settings.snapshot_entries and entries >= periods * settings.snapshot_entries)
            or (settings.snapshot_bytes and self.bytes_since >= settings.snapshot_bytes)
        )

    def stop_taking(self) -> None:
        """Give up the snapshot that is being taken, if any."""
        if self._taking is not None:
            self._taking.abort()
            self._taking = None

    # Receiving.

    def handle_chunk(self, request: InstallSnapshotRequest) -> InstallSnapshotResponse:
        """Store the chunk first: the core puts a snapshot in force only when it is durable here."""
        node = self._node
        stored = self._store_chunk(request) if node.wants_chunk(request) else None
        if stored is not None:
            # The bytes were checked, the message's own copy was not.
            request = replace(request, configuration=stored.configuration)
        response = node.handle_install_snapshot(request)
        if not node.snapshot_arriving:
            self._receiving.abort()
        if stored is not None and response.installed:
            self._install(stored)
        return response

    def _store_chunk(self, request: InstallSnapshotRequest) -> StoredSnapshot | None:
        """Store the chunk; return the snapshot once it is whole. Raises InvalidRequest where that cannot be done.

        A chunk that was not stored is not counted either: the leader is asked for the snapshot from its beginning.
        """
        try:
            return self._receiving.store(request)
        except InvalidRequest:
            self._node.abort_incoming_snapshot()
            raise
        except NoSpaceError as error:
            self._node.abort_incoming_snapshot()
            raise InvalidRequest(f"there is no room for the snapshot of entry {request.last_included_index}") from error

    def _install(self, stored: StoredSnapshot) -> None:
        self.stop_taking()
        self.newest = stored
        self.bytes_since = 0
        self._outcomes.snapshot_installed(stored)
        self._emit("snapshot.installed", index=stored.index, size_bytes=stored.size_bytes)

    # Sending.

    def start_sending(self, peer: NodeId) -> None:
        """Send the newest snapshot to a member, unless one is under way to it."""
        if peer in self._sending:
            return
        if self.newest is None:
            raise StorageError("the log was compacted, and there is no snapshot to send")
        self._store.pin(self.newest)
        self._sending[peer] = SnapshotSending(peer, self.newest, self._settings.snapshot_send_rate)
        self._send_alarm.set(self._clock())
        self._emit(
            "snapshot.sending",
            peer=self._directory.name_of(peer),
            index=self.newest.index,
            size_bytes=self.newest.size_bytes,
        )

    def stop_sending(self) -> None:
        """Stop sending to all members: this node no longer leads."""
        for peer in list(self._sending):
            self._end_sending(peer)

    def members_changed(self) -> None:
        """Stop sending to nodes that are no longer members."""
        members = self._node.configuration.members()
        for peer in [peer for peer in self._sending if peer not in members]:
            self._end_sending(peer)

    def _send_due(self, now: float) -> None:
        """Send the chunks that are due."""
        node = self._node
        for peer, sending in list(self._sending.items()):
            if sending.is_due(now):
                sending.sent(now)
                self._transport.send_request(
                    peer, sending.request(self._store, node.current_term, node.node_id, node.group_id)
                )
        if self._sending:
            self._send_alarm.set(min(sending.resend_at for sending in self._sending.values()))

    def handle_answer(self, peer: NodeId, response: InstallSnapshotResponse) -> None:
        """Learn what a member has of the snapshot that is sent to it."""
        self._node.handle_install_snapshot_response(peer, response)
        sending = self._sending.get(peer)
        if sending is None or not sending.answered(response):
            return
        if response.installed or sending.done:
            # Done without "installed": the member had everything that the snapshot holds.
            self._emit(
                "snapshot.sent",
                peer=self._directory.name_of(peer),
                index=sending.stored.index,
                size_bytes=sending.stored.size_bytes,
            )
            self._end_sending(peer)
        else:
            self._send_alarm.set(sending.resend_at)

    def _end_sending(self, peer: NodeId) -> None:
        self._store.unpin(self._sending.pop(peer).stored)

    def _emit(self, event: str, **data: EventValue) -> None:
        self._events.emit(event, self._node.current_term, **data)
