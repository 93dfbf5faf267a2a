"""Messages from peers: to the core, or to the work on snapshots, and the responses that wait for durability."""

from collections.abc import Callable, MutableMapping
from typing import Final

from msgspec.structs import replace

from raftnode.core.errors import GroupNotFound, InvalidRequest
from raftnode.core.messages import AppendEntriesRequest, InstallSnapshotRequest, InstallSnapshotResponse
from raftnode.core.node import RaftNode
from raftnode.core.types import NodeId
from raftnode.replica.directory import Directory
from raftnode.replica.durability import Durability
from raftnode.replica.events import EventLog
from raftnode.replica.snapshots import Snapshots
from raftnode.wire.peer import PeerMessage, PeerResponse

REFUSED: Final = "peer_messages_refused"


class Peers:
    """Handles what peers send. `heard` says when each last sent anything, whatever the term and this node's role."""

    def __init__(
        self,
        *,
        node: RaftNode,
        durability: Durability,
        snapshots: Snapshots,
        events: EventLog,
        directory: Directory,
        counters: MutableMapping[str, int],
        heard: MutableMapping[NodeId, float],
        clock: Callable[[], float],
    ) -> None:
        self._node = node
        self._durability = durability
        self._snapshots = snapshots
        self._events = events
        self._directory = directory
        self._counters = counters
        self._heard = heard
        self._clock = clock

    def handle(self, messages: list[tuple[NodeId, PeerMessage]], responses: list[tuple[NodeId, PeerResponse]]) -> None:
        """Handle what arrived, and add the responses. What a peer may not send is refused, counted and recorded."""
        now, heard = self._clock(), self._heard
        for peer, message in messages:
            heard[peer] = now
            try:
                response = self._dispatch(peer, message)
            except (InvalidRequest, GroupNotFound) as error:
                self._refused(peer, message, error)
            else:
                if response is not None:
                    responses.append((peer, response))

    def _dispatch(self, peer: NodeId, message: PeerMessage) -> PeerResponse | None:
        match message:
            case AppendEntriesRequest() if self._durability.full and message.entries:
                # No room: follow the leader, and leave its entries for later.
                message = replace(message, entries=[])
            case InstallSnapshotRequest():
                return None if self._durability.full else self._snapshots.handle_chunk(message)
            case InstallSnapshotResponse():
                self._snapshots.handle_answer(peer, message)
                return None
        return self._node.step(peer, message)

    def _refused(self, peer: NodeId, message: PeerMessage, error: Exception) -> None:
        self._counters[REFUSED] = self._counters.get(REFUSED, 0) + 1
        self._events.emit(
            "peer.refused",
            self._node.current_term,
            peer=self._directory.name_of(peer),
            message=type(message).__name__,
            reason=str(error),
        )
