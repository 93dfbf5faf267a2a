"""How a replica reaches others: the daemon implements this with sockets, the simulation with a simulated network."""

from collections.abc import Hashable
from typing import Protocol

from raftnode.core.types import NodeId
from raftnode.wire.client import Answer
from raftnode.wire.peer import PeerRequest, PeerResponse


class Transport(Protocol):
    """How a replica sends to others. Nothing here blocks, and nothing here raises."""

    def send_request(self, peer: NodeId, message: PeerRequest) -> bool:
        """Send on the connection that was dialed to `peer`. False: it is down or full; the message is dropped."""

    def send_response(self, peer: NodeId, message: PeerResponse) -> None:
        """Send on the connection that was accepted from `peer`; dropped if it is gone."""

    def answer(self, client: Hashable, answer: Answer) -> None:
        """Answer a client; dropped if it is gone."""

    def set_members(self, addresses: dict[NodeId, str]) -> None:
        """Keep a connection to each of these other members, and no other."""
