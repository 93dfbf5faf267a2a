"""Sends the answers to requests."""

from collections.abc import Hashable

from raftnode.core.node import RaftNode
from raftnode.core.types import NodeId
from raftnode.machine.protocol import CommandRefused
from raftnode.replica.directory import Directory
from raftnode.replica.transport import Transport
from raftnode.wire.client import NOT_DONE, Answer, ErrorCode, Failed


class Replies:
    """Answers clients. Every request gets exactly one of these calls."""

    def __init__(self, transport: Transport, directory: Directory) -> None:
        self._transport = transport
        self._directory = directory

    def answer(self, client: Hashable, answer: Answer) -> None:
        """Give a client its answer."""
        self._transport.answer(client, answer)

    def fail(self, client: Hashable, request_id: int, code: ErrorCode, message: str, outcome: str = NOT_DONE) -> None:
        """Answer that a request failed; `outcome` says whether it may have taken effect nevertheless."""
        self.answer(client, Failed(request_id, code, message, outcome))

    def fail_stopping(self, client: Hashable, request_id: int, outcome: str = NOT_DONE) -> None:
        """Answer that this node is shutting down."""
        self.fail(client, request_id, ErrorCode.SHUTTING_DOWN, "this node is shutting down", outcome)

    def fail_no_space(self, client: Hashable, request_id: int) -> None:
        """Answer that this leader's disk has no room for an entry."""
        message = f"the disk of {self._directory.own_name}, which leads, is full: free some room"
        self.fail(client, request_id, ErrorCode.NO_SPACE, message)

    def refuse_command(self, client: Hashable, request_id: int, error: CommandRefused) -> None:
        """Answer that the state machine does not take a command or a query."""
        code = ErrorCode.TOO_LARGE if error.too_large else ErrorCode.BAD_REQUEST
        self.fail(client, request_id, code, str(error))

    def redirect(self, client: Hashable, request_id: int, leader: NodeId) -> None:
        """Redirect a client to the leader."""
        directory = self._directory
        message = f"{directory.own_name} does not lead; {directory.name_of(leader)} does"
        address = directory.address_of(leader)
        self.answer(client, Failed(request_id, ErrorCode.NOT_LEADER, message, NOT_DONE, leader, address))


def no_leader_reason(node: RaftNode) -> str:
    """Return why no leader is known."""
    return node.status().no_leader_reason or "no leader answered in time"
