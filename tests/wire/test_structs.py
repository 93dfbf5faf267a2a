"""Every struct of the wire: round trips, tags, compatible growth, and decoders that take any bytes."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftnode.core.errors import SerializationError
from raftnode.core.membership import decode_configuration
from raftnode.wire import client, hello, kv, peer
from raftnode.wire.frame import FrameDecoder, FrameError, encode_frame
from tests.wire.strategies import structs_of, values, wire_structs

DECODERS: list[Callable[[bytes], object]] = [
    hello.decode_hello,
    hello.decode_hello_answer,
    client.decode_request,
    client.decode_answer,
    kv.decode_command,
    kv.decode_query,
    kv.decode_result,
    peer.decode_message,
    peer.decode_member_context,
]


@pytest.mark.parametrize("struct", wire_structs(), ids=lambda struct: f"{struct.__module__}.{struct.__name__}")
def test_every_struct_survives_the_journey(struct: type[msgspec.Struct]) -> None:
    """Encoded as a frame, split off the stream and decoded, a value is equal to what it was."""
    decoder = msgspec.msgpack.Decoder(struct)

    @settings(max_examples=30, deadline=None)
    @given(values(struct))
    def journey(value: msgspec.Struct) -> None:
        (body,) = FrameDecoder().feed(encode_frame(value))
        assert decoder.decode(body) == value

    journey()


@pytest.mark.parametrize("struct", wire_structs(), ids=lambda struct: f"{struct.__module__}.{struct.__name__}")
def test_every_struct_is_an_array_and_may_grow_at_its_end(struct: type[msgspec.Struct]) -> None:
    """A newer program's additional last fields are ignored by an older one."""
    assert struct.__struct_config__.array_like

    @settings(max_examples=5, deadline=None)
    @given(values(struct))
    def grown(value: msgspec.Struct) -> None:
        fields = msgspec.msgpack.decode(msgspec.msgpack.encode(value), strict=False)
        assert isinstance(fields, list)
        data = msgspec.msgpack.encode([*fields, {"a later field": [1, 2]}])
        assert msgspec.msgpack.decode(data, type=struct) == value

    grown()


def test_no_two_frames_share_a_tag() -> None:
    """One port serves peers and clients: the tag alone says what a frame is."""
    everyone = [*hello.__dict__.values(), *client.__dict__.values(), *vars(peer).values()]
    tags = [
        (value.__struct_config__.tag, value)
        for value in {v for v in everyone if isinstance(v, type) and issubclass(v, msgspec.Struct)}
        if value.__struct_config__.tag is not None
    ]
    assert len({tag for tag, _ in tags}) == len(tags) > 30


def test_every_request_has_an_id_first_and_so_has_every_answer() -> None:
    """An answer is matched to its request by the first field."""
    for struct in structs_of(client):
        if struct.__struct_config__.tag is not None:
            assert struct.__struct_fields__[0] == "id"


@pytest.mark.parametrize(
    ("request_struct", "position"),
    [
        (client.Write(1, 1, 1, 0, b""), 2),
        (client.Watch(1, b"", 1), 3),
        (client.GetLog(1, 1, 2), 2),
        (client.GetLog(1, 1, 2), 5),
        (client.GetEvents(1), 4),
        (client.TransferLeadership(1), 2),
        (client.GetStatus(1), 1),
    ],
)
def test_a_negative_number_in_a_request_is_refused(request_struct: msgspec.Struct, position: int) -> None:
    """What is an id, an index, a count or a time in a request is never negative or above 2**63 - 1."""
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(request_struct))
    for number in (-1, -(2**63), 2**64 - 1):
        fields[position] = number
        with pytest.raises(FrameError, match="not a request"):
            client.decode_request(msgspec.msgpack.encode(fields))


@pytest.mark.parametrize("decode", DECODERS, ids=lambda decode: decode.__name__)
@pytest.mark.parametrize(
    "body",
    [
        b"\xc1",
        b"\x95\x01\x01\xa2\xff\xfe\x00\xa0",
        b"\x92\xa2\xff\xfe\xa0",
        b"\x97\x01\x01\xa0\x00\xa0\x00" + b"\x91" * 100_000,
        b"\x94" + b"\x91" * 100_000,
        b"\xdd\x7f\xff\xff\xff",
        b"\x98\x0a\x01\x01\x01\x01\xdd\x7f\xff\xff\xff",
        b"\x9a\x10\x01\x01\x01\x01\x00\xc6\xff\xff\xff\xff",
        b"\x9b\x10\x01\x01\x01\x01\x00\xc4\x00\xc2\x00\x97\xdd\x7f\xff\xff\xff",
    ],
)
def test_crafted_bytes_give_a_frame_error(decode: Callable[[bytes], object], body: bytes) -> None:
    """Text that is not UTF-8, deep nesting and promised lengths of gigabytes end as FrameError, at no cost."""
    with pytest.raises(FrameError):
        decode(body)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_give_a_value_or_a_frame_error(body: bytes) -> None:
    """No decoder raises anything else, whatever it is given."""
    for decode in DECODERS:
        _value_or_frame_error(decode, body)
    try:
        decode_configuration(body)
    except SerializationError:
        pass


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_mutated_messages_give_a_value_or_a_frame_error(data: st.DataObject) -> None:
    """A real message with bytes changed, cut, added or repeated goes through every decoder the same way."""
    struct = data.draw(st.sampled_from(wire_structs()))
    body = bytearray(encode_frame(data.draw(values(struct)))[4:])
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(body)))
        match data.draw(st.integers(0, 3)):
            case 0 if position < len(body):
                body[position] = data.draw(st.integers(0, 255))
            case 1:
                del body[position:]
            case 2:
                body[position:position] = data.draw(st.binary(min_size=1, max_size=9))
            case _:
                body += body[position:]
    for decode in DECODERS:
        _value_or_frame_error(decode, bytes(body))


def _value_or_frame_error(decode: Callable[[bytes], object], body: bytes) -> None:
    try:
        decode(body)
    except FrameError:
        pass
