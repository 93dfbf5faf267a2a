"""Frames: cut anywhere, bounded before anything is buffered, and refused where they are somebody else's."""

import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftnode.wire.client import Write
from raftnode.wire.frame import FRAME_BYTES_MAX, HELLO_BYTES_MAX, FrameDecoder, FrameError, encode_frame
from raftnode.wire.kv import VALUE_BYTES_MAX, Get, Put, encode

HTTP_REQUEST = b"GET /v2/keys HTTP/1.1\r\nHost: localhost\r\n\r\n"
TLS_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(range(190))


def _frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def test_a_frame_is_its_length_and_its_body() -> None:
    """4 bytes, big-endian, then as many bytes."""
    frame = encode_frame(Get(b"k"))
    assert frame == b"\x00\x00\x00\x05" + b"\x92\x01\xc4\x01k"
    assert FrameDecoder().feed(frame) == [b"\x92\x01\xc4\x01k"]


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=20), st.lists(st.integers(1, 700), max_size=30))
def test_frames_come_out_the_same_however_the_stream_is_cut(bodies: list[bytes], cuts: list[int]) -> None:
    """TCP keeps no boundaries: neither does the decoder need them."""
    stream = b"".join(map(_frame, bodies))
    decoder = FrameDecoder()
    found: list[bytes] = []
    position = 0
    for size in [*cuts, len(stream)]:
        found += decoder.feed(stream[position : position + size])
        position += size
    assert found == bodies
    assert decoder.pending_bytes == 0
    assert all(type(body) is bytes for body in found)


def test_a_stream_that_is_fed_byte_by_byte_gives_its_frames() -> None:
    """Each frame comes out with its last byte, not before."""
    decoder = FrameDecoder()
    for body in (b"x", b"y" * 300, b"z" * 4):
        frame = _frame(body)
        for byte in frame[:-1]:
            assert decoder.feed(bytes([byte])) == []
        assert decoder.pending_bytes == len(frame) - 1
        assert decoder.feed(frame[-1:]) == [body]


def test_a_large_frame_that_comes_in_pieces_is_put_together() -> None:
    """The largest value passes through, with what follows it in the same read."""
    frame = encode_frame(Write(1, 0, 0, 0, encode(Put(b"k" * 65536, bytes(VALUE_BYTES_MAX)))))
    stream = frame + _frame(b"next")
    decoder = FrameDecoder()
    found: list[bytes] = []
    for start in range(0, len(stream), 65536):
        found += decoder.feed(stream[start : start + 65536])
    assert found == [frame[4:], b"next"]


@pytest.mark.parametrize("length", [0, FRAME_BYTES_MAX + 1, 2**31, 2**32 - 1])
def test_an_impossible_length_is_refused_as_soon_as_it_is_there(length: int) -> None:
    """The fourth byte of the length is enough, and the error has the numbers."""
    decoder = FrameDecoder()
    header = length.to_bytes(4, "big")
    assert decoder.feed(header[:3]) == []
    with pytest.raises(FrameError, match=f"a frame of {length} bytes: the limit is {FRAME_BYTES_MAX}"):
        decoder.feed(header[3:])


def test_a_frame_of_exactly_the_limit_is_accepted() -> None:
    """The limit itself is allowed."""
    assert FrameDecoder(bytes_max=5).feed(_frame(b"12345")) == [b"12345"]
    with pytest.raises(FrameError):
        FrameDecoder(bytes_max=5).feed(_frame(b"123456"))


@pytest.mark.parametrize("first", [HTTP_REQUEST, TLS_HELLO, b"\xff" * 64, bytes(64)])
def test_another_protocol_is_recognised_by_its_first_bytes(first: bytes) -> None:
    """An HTTP request, a TLS hello and noise have an impossible length where ours is."""
    decoder = FrameDecoder(first_bytes_max=HELLO_BYTES_MAX)
    with pytest.raises(FrameError):
        decoder.feed(first)
    assert decoder.pending_bytes == 0


def test_the_first_frame_has_a_limit_of_its_own_and_the_next_ones_have_the_general_one() -> None:
    """Who has not yet said who they are occupies HELLO_BYTES_MAX at most, also with more in the same read."""
    decoder = FrameDecoder(first_bytes_max=10)
    assert decoder.feed(_frame(b"hello") + _frame(bytes(1000))) == [b"hello", bytes(1000)]
    with pytest.raises(FrameError, match="the limit is 10"):
        FrameDecoder(first_bytes_max=10).feed(_frame(bytes(11)))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32))
def test_noise_never_makes_the_decoder_hold_more_than_one_frame(seed: int) -> None:
    """Whatever comes, either it is refused or no more is held than an unfinished frame of the longest length."""
    noise = random.Random(seed)
    decoder = FrameDecoder(bytes_max=5000)
    try:
        for _ in range(200):
            size = noise.randrange(1, 500)
            data = noise.randbytes(size) if noise.random() < 0.1 else _frame(bytes(size))
            decoder.feed(data[: noise.randrange(1, len(data) + 1)])
            assert decoder.pending_bytes < 5000 + 4
    except FrameError:
        pass


def test_a_promised_length_takes_no_memory_before_the_bytes_come() -> None:
    """A header of the longest length costs nothing until its body arrives."""
    header = FRAME_BYTES_MAX.to_bytes(4, "big")
    tracemalloc.start()
    try:
        decoders = [FrameDecoder() for _ in range(100)]
        for decoder in decoders:
            decoder.feed(header + b"x")
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


def test_a_message_that_is_longer_than_a_frame_is_not_sent() -> None:
    """What the other side would refuse is refused here."""
    with pytest.raises(FrameError, match="over the limit"):
        encode_frame(Put(b"k", bytes(FRAME_BYTES_MAX)))
