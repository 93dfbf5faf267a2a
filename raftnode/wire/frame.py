"""Bytes to frames and back: a 4-byte big-endian length, then one MessagePack array with a type tag.

Sans-I/O: `FrameDecoder.feed()` takes whatever arrived and gives the complete frames' bodies. A length is checked
before anything is buffered for it, so that a foreign peer cannot make this process allocate memory.
"""

from typing import Final

import msgspec

from raftnode.core.errors import SerializationError

FRAME_BYTES_MAX: Final = 16 * 1024 * 1024
"""The longest body that is accepted, in bytes: room for the largest value (8 MiB) and its surroundings."""

HEADER_BYTES: Final = 4


class FrameError(SerializationError):
    """These bytes are not a frame of this protocol. The connection they came from must be closed."""


class FrameDecoder:
    """Splits a byte stream into frame bodies. After a FrameError the stream has no more meaning."""

    __slots__ = ("_buffer", "_bytes_max")

    def __init__(self, bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._buffer = bytearray()
        self._bytes_max = bytes_max

    def feed(self, data: bytes) -> list[bytes]:
        """Return the bodies that are complete now, in order. Raises FrameError on an impossible length."""
        buffer = self._buffer
        buffer += data
        bodies: list[bytes] = []
        position, end = 0, len(buffer)
        try:
            while end - position >= HEADER_BYTES:
                length = int.from_bytes(buffer[position : position + HEADER_BYTES], "big")
                if not 0 < length <= self._bytes_max:
                    raise FrameError(
                        f"a frame of {length} bytes: the limit is {self._bytes_max} and the least is 1; "
                        "the other side does not speak this protocol"
                    )
                start = position + HEADER_BYTES
                if end - start < length:
                    break
                position = start + length
                bodies.append(bytes(buffer[start:position]))
        finally:
            del buffer[:position]
        return bodies

    @property
    def pending_bytes(self) -> int:
        """How many bytes of an incomplete frame are held."""
        return len(self._buffer)


_encoder = msgspec.msgpack.Encoder()


def encode_frame(message: msgspec.Struct) -> bytes:
    """Return `message` as one frame. Raises FrameError where its body is longer than FRAME_BYTES_MAX."""
    buffer = bytearray(HEADER_BYTES)
    _encoder.encode_into(message, buffer, HEADER_BYTES)
    length = len(buffer) - HEADER_BYTES
    if length > FRAME_BYTES_MAX:
        raise FrameError(f"a frame of {length} bytes is over the limit of {FRAME_BYTES_MAX}")
    buffer[:HEADER_BYTES] = length.to_bytes(HEADER_BYTES, "big")
    return bytes(buffer)
