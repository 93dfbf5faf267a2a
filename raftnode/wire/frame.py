"""Bytes to frames and back: a 4-byte big-endian length, then one MessagePack array with a type tag.

Sans-I/O: `FrameDecoder.feed()` takes whatever arrived and gives the complete frames' bodies. A length is
checked before anything is buffered for it, so that a foreign peer cannot make this process allocate memory.
"""

import struct
from typing import Final, TypeVar

import msgspec

from raftnode.core.errors import SerializationError

FRAME_BYTES_MAX: Final = 16 * 1024 * 1024
"""The longest body that is accepted, in bytes: room for the largest value (8 MiB) and its surroundings."""

HELLO_BYTES_MAX: Final = 4096
"""The longest body that is accepted as the first frame, before the other side has identified itself."""

HEADER_BYTES: Final = 4

T = TypeVar("T")

_length = struct.Struct(">I")
_pack_length = _length.pack
_unpack_length = _length.unpack_from
_encoder = msgspec.msgpack.Encoder()


class FrameError(SerializationError):
    """These bytes are not a frame of this protocol. The connection they came from must be closed."""


class FrameDecoder:
    """Splits a byte stream into frame bodies. After a FrameError the stream is unusable.

    `bytes_max` is the longest body that is accepted, and `first_bytes_max` the longest first one (None for the
    same limit). An accepting side passes HELLO_BYTES_MAX, so that a stranger cannot make it buffer more than that.
    """

    __slots__ = ("_buffer", "_bytes_max", "_limit", "_needed")

    def __init__(self, bytes_max: int = FRAME_BYTES_MAX, first_bytes_max: int | None = None) -> None:
        self._bytes_max = bytes_max
        self._limit = bytes_max if first_bytes_max is None else first_bytes_max
        self._buffer = bytearray()
        self._needed = HEADER_BYTES

    def feed(self, data: bytes) -> list[bytes]:
        """Return the bodies that are complete now, in order. Raises FrameError on an impossible length.

        Bodies that came before the impossible length in the same `data` are dropped with it, as if the
        connection had broken before they arrived. Between calls, what is buffered is less than one
        frame of the greatest length.
        """
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._needed:
                return []
            data = bytes(self._buffer)
            self._buffer.clear()
        bodies: list[bytes] = []
        start, end = HEADER_BYTES, len(data)
        needed = HEADER_BYTES
        while start <= end:
            (length,) = _unpack_length(data, start - HEADER_BYTES)
            if not 0 < length <= self._limit:
                raise FrameError(
                    f"a frame of {length} bytes: the limit is {self._limit} and the least is 1; "
                    "the other side does not speak this protocol"
                )
            stop = start + length
            if stop > end:
                needed = HEADER_BYTES + length
                break
            bodies.append(data[start:stop])
            self._limit = self._bytes_max
            start = stop + HEADER_BYTES
        self._needed = needed
        self._buffer += data[start - HEADER_BYTES :]
        return bodies

    @property
    def pending_bytes(self) -> int:
        """How many bytes of an incomplete frame are held."""
        return len(self._buffer)


def encode_frame(message: msgspec.Struct) -> bytes:
    """Return `message` as one frame. Raises FrameError where its body is longer than FRAME_BYTES_MAX."""
    body = _encoder.encode(message)
    length = len(body)
    if length > FRAME_BYTES_MAX:
        raise FrameError(f"a frame of {length} bytes is over the limit of {FRAME_BYTES_MAX}")
    return _pack_length(length) + body


def decode_as(decoder: "msgspec.msgpack.Decoder[T]", data: bytes, what: str) -> T:
    """Return what `decoder` reads from untrusted bytes. Raises FrameError, which names `what`.

    msgspec answers a text that is not UTF-8 with UnicodeDecodeError and a deeply nested surplus field with
    RecursionError: neither may reach a caller that expects this package's errors.
    """
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError(f"not {what}: {error}") from error
