"""What a peer may not send: gaps, falling terms, impossible numbers, broken configurations."""

import msgspec
import pytest

import raftnode
from raftnode.core.membership import Configuration, make_configuration
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
from raftnode.core.types import EntryKind, LogEntry
from raftnode.wire.frame import HEADER_BYTES, FrameDecoder, FrameError, encode_frame
from raftnode.wire.peer import (
    INDEX_MAX,
    MemberContext,
    PeerMessage,
    decode_member_context,
    decode_message,
    encode_member_context,
    encode_message,
)

CONFIGURATION = make_configuration([1, 2, 3], learners=[4], contexts={1: b"x"})
GOOD: list[PeerMessage] = [
    AppendEntriesRequest(5, 1, 0, 0, [], 0),
    AppendEntriesRequest(
        5,
        1,
        10,
        3,
        [
            LogEntry(3, 11, b"a"),
            LogEntry(4, 12, b"", EntryKind.NOOP),
            LogEntry(5, 13, CONFIGURATION.encode(), EntryKind.CONFIGURATION),
        ],
        9,
        2,
        7,
    ),
    AppendEntriesResponse(5, False, 10, 1, 12, 9, 2, 0),
    RequestVoteRequest(5, 2, 10, 4),
    RequestVoteResponse(5, True),
    PreVoteRequest(5, 2, 0, 0),
    PreVoteResponse(4, False, requested_term=5),
    InstallSnapshotRequest(5, 1, 10, 4, 0, b"data", False, configuration=CONFIGURATION, checksum=2**32 - 1),
    InstallSnapshotResponse(5, 10, 4),
    TimeoutNowRequest(5, 1),
]


def _decode(message: msgspec.Struct) -> PeerMessage:
    (body,) = FrameDecoder().feed(encode_frame(message))
    return decode_message(body)


@pytest.mark.parametrize("message", GOOD, ids=lambda message: type(message).__name__)
def test_a_sound_message_passes(message: PeerMessage) -> None:
    """Every kind of message that the core sends is accepted as it is."""
    assert _decode(message) == message


@pytest.mark.parametrize("message", GOOD, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_from_its_bytes_and_from_no_others(message: PeerMessage) -> None:
    """Whatever its group. What is cut short, or anything else, is a SerializationError, which `raftnode` names."""
    of_a_group = msgspec.structs.replace(message, group_id=7)
    data = raftnode.encode_message(of_a_group)
    assert raftnode.decode_message(data) == of_a_group
    assert encode_frame(of_a_group)[HEADER_BYTES:] == data
    for wrong in (b"", data[:-1], data + b"x", b"text", data[::-1]):
        with pytest.raises(raftnode.SerializationError):
            raftnode.decode_message(wrong)


def test_what_is_no_message_does_not_become_bytes() -> None:
    """An entry is inside a message, and is none."""
    with pytest.raises(TypeError, match="LogEntry is not a message"):
        encode_message(LogEntry(1, 1, b""))  # type: ignore[arg-type]


@pytest.mark.parametrize("message", GOOD, ids=lambda message: type(message).__name__)
def test_a_number_that_is_negative_or_beyond_63_bits_is_refused(message: PeerMessage) -> None:
    """Terms, indexes, offsets, rounds, groups and node ids: none may come in with an impossible value."""
    for name in message.__struct_fields__:
        if type(getattr(message, name)) is int:
            for number in (-1, -(2**63), INDEX_MAX + 1):
                with pytest.raises(FrameError):
                    _decode(msgspec.structs.replace(message, **{name: number}))


@pytest.mark.parametrize(
    "message",
    [
        AppendEntriesRequest(5, 0, 0, 0, [], 0),
        RequestVoteRequest(5, 0, 0, 0),
        PreVoteRequest(5, 0, 0, 0),
        InstallSnapshotRequest(5, 0, 1, 1, 0, b"", True),
        TimeoutNowRequest(5, 0),
    ],
)
def test_node_0_leads_and_asks_for_nothing(message: PeerMessage) -> None:
    """Node ids are positive."""
    with pytest.raises(FrameError, match="impossible"):
        _decode(message)


@pytest.mark.parametrize(
    "message",
    [
        AppendEntriesRequest(5, 1, 10, 6, [], 0),
        AppendEntriesRequest(5, 1, 0, 3, [], 0),
        AppendEntriesRequest(5, 1, INDEX_MAX, 3, [LogEntry(3, INDEX_MAX + 1, b"")], 0),
        RequestVoteRequest(5, 2, 10, 6),
        RequestVoteRequest(5, 2, 0, 1),
        PreVoteRequest(5, 2, 10, 6),
        InstallSnapshotRequest(5, 1, 10, 6, 0, b"", True),
        InstallSnapshotRequest(5, 1, 10, 4, INDEX_MAX, b"x", True),
        InstallSnapshotRequest(5, 1, 10, 4, 0, b"x", True, checksum=2**32),
    ],
)
def test_a_position_that_no_log_has_is_refused(message: PeerMessage) -> None:
    """An entry's term is at most its sender's, the log's beginning has no term, and nothing passes 2**63 - 1."""
    with pytest.raises(FrameError):
        _decode(message)


@pytest.mark.parametrize(
    "configuration",
    [
        Configuration(),
        Configuration((3, 1)),
        Configuration((1, 1)),
        Configuration((0, 1)),
        Configuration((1, 2), learners=(2,)),
        Configuration((1, 2), observers=(-3,)),
    ],
)
def test_a_snapshot_with_a_broken_configuration_is_refused(configuration: Configuration) -> None:
    """Without a voter, unsorted, with a node twice or in two capacities, or with an impossible node."""
    with pytest.raises(FrameError, match="a snapshot's configuration"):
        _decode(InstallSnapshotRequest(5, 1, 10, 4, 0, b"", True, configuration=configuration))


def test_a_member_context_is_a_name_and_an_address() -> None:
    """What the server keeps for a member in the configuration; missing, both are empty."""
    context = MemberContext("n1", "127.0.0.1:7001")
    assert decode_member_context(encode_member_context("n1", "127.0.0.1:7001")) == context
    assert decode_member_context(None) == decode_member_context(b"") == MemberContext("", "")
    with pytest.raises(FrameError):
        decode_member_context(b"\xff")
