"""The protocol between nodes: the core's messages, one a frame, with their types and ranges checked.

Each node dials every other node once and sends its requests on that connection. The answers come back on it.
"""

from typing import Final, TypeAlias

import msgspec

from raftnode.core import messages
from raftnode.core.errors import SerializationError
from raftnode.core.membership import Configuration, check_configuration
from raftnode.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    PreVoteRequest,
    PreVoteResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    TimeoutNowRequest,
)
from raftnode.wire.frame import FrameError, decode_as

# What the core calls requests and responses; clients have others.
PeerRequest: TypeAlias = messages.Request
PeerResponse: TypeAlias = messages.Response
PeerMessage: TypeAlias = messages.Message

INDEX_MAX: Final = 2**63 - 1
CHECKSUM_MAX: Final = 2**32 - 1

_decoder: msgspec.msgpack.Decoder[PeerMessage] = msgspec.msgpack.Decoder(PeerMessage)
_encoder = msgspec.msgpack.Encoder()


def encode_message(message: PeerMessage) -> bytes:
    """Return `message` as bytes for another node, which `decode_message()` turns back into an equal message.

    The bytes do not say where they end: on a stream, send their length first. `raftnode` itself sends them in frames,
    see raftnode-protocol(7). Raises TypeError for anything that is not a message.
    """
    if not isinstance(message, PeerMessage):
        raise TypeError(f"{type(message).__name__} is not a message between Raft nodes")
    return _encoder.encode(message)


def decode_message(body: bytes) -> PeerMessage:
    """Return the message that `encode_message()` turned into `body`, with all types and ranges checked.

    The message may be of any Raft group: `group_id` says which node of a process to hand it to. `RaftNode` checks what
    only it can know, for example that entries follow each other. Raises SerializationError for bytes that are not a
    message: close the connection that they came from.
    """
    message = decode_as(_decoder, body, "a peer message")
    if not 0 <= message.term <= INDEX_MAX:
        raise FrameError(f"{type(message).__name__} has the impossible term {message.term}")
    _check_numbers(message, message.group_id)
    match message:
        case AppendEntriesRequest():
            _check_append(message)
        case AppendEntriesResponse():
            _check_numbers(
                message,
                message.last_log_index,
                message.round,
                message.rejected_index,
                message.conflict_index,
                message.conflict_term,
            )
        case RequestVoteRequest() | PreVoteRequest():
            _check_position(message, message.last_log_index, message.last_log_term, message.term)
            _check_node(message, message.candidate_id)
        case InstallSnapshotRequest():
            _check_position(message, message.last_included_index, message.last_included_term, message.term)
            _check_numbers(message, message.offset + len(message.data), message.offset, message.round)
            _check_node(message, message.leader_id)
            if not 0 <= message.checksum <= CHECKSUM_MAX:
                raise FrameError(f"{type(message).__name__} has the impossible checksum {message.checksum}")
            if message.configuration is not None:
                _check_configuration(message.configuration)
        case InstallSnapshotResponse():
            _check_numbers(message, message.last_included_index, message.next_offset, message.round)
        case TimeoutNowRequest():
            _check_node(message, message.leader_id)
        case PreVoteResponse():
            _check_numbers(message, message.requested_term)
        case RequestVoteResponse():
            pass
    return message


def _check_append(request: AppendEntriesRequest) -> None:
    """Check everything but the entries themselves: that they continue the log is for the core to check."""
    _check_numbers(request, request.leader_commit, request.round, request.prev_log_index + len(request.entries))
    _check_node(request, request.leader_id)
    _check_position(request, request.prev_log_index, request.prev_log_term, request.term)


def _check_position(message: PeerMessage, index: int, term: int, term_max: int) -> None:
    """Raise FrameError unless (index, term) can be a log entry, or the log's beginning, which is (0, 0)."""
    _check_numbers(message, index, term)
    if term > term_max:
        raise FrameError(f"{type(message).__name__} of term {term_max} has an entry of the later term {term}")
    if term and not index:
        raise FrameError(f"{type(message).__name__} gives the log's beginning the term {term}")


def _check_configuration(configuration: Configuration) -> None:
    try:
        check_configuration(configuration)
    except SerializationError as error:
        raise FrameError(f"a snapshot's configuration: {error}") from error


def _check_numbers(message: PeerMessage, *numbers: int) -> None:
    for number in numbers:
        if not 0 <= number <= INDEX_MAX:
            raise FrameError(f"{type(message).__name__} has the impossible number {number}")


def _check_node(message: PeerMessage, node_id: int) -> None:
    if not 0 < node_id <= INDEX_MAX:
        raise FrameError(f"{type(message).__name__} of the impossible node {node_id}")


class MemberContext(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A member's name and listen address, which the server keeps in the configuration's opaque context."""

    name: str
    address: str


_contexts = msgspec.msgpack.Decoder(MemberContext)


def encode_member_context(name: str, address: str) -> bytes:
    """Return the context of a ConfChange for a member `name` that listens at `address` ("host:port")."""
    return msgspec.msgpack.encode(MemberContext(name, address))


def decode_member_context(data: bytes | None) -> MemberContext:
    """Return a member's name and address; both empty where `data` is missing. Raises FrameError."""
    if not data:
        return MemberContext("", "")
    return decode_as(_contexts, data, "a member's context")
