"""How the machines write a snapshot: frames of raftnode.wire.frame, cut into chunks at any byte."""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from raftnode.core.errors import SerializationError
from raftnode.wire.frame import FrameDecoder, encode_frame

CHUNK_BYTES: Final = 64 * 1024
"""About the longest chunk that a snapshot gives, and how much one batch of records holds."""
SLACK_BYTES: Final = 4096
"""How much longer a chunk may be, so that what is wrapped once more is not cut into a long and a tiny
piece."""


def frame_chunks(record: msgspec.Struct) -> Iterator[bytes]:
    """Give `record` as one frame, in chunks of at most about CHUNK_BYTES."""
    frame = encode_frame(record)
    if len(frame) <= CHUNK_BYTES + SLACK_BYTES:
        yield frame
        return
    view = memoryview(frame)
    for start in range(0, len(frame), CHUNK_BYTES):
        yield bytes(view[start : start + CHUNK_BYTES])


def read_frames(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Give the frames' bodies, wherever the chunks were cut.

    Raises SerializationError where the last is cut off.
    """
    decoder = FrameDecoder()
    for chunk in chunks:
        yield from decoder.feed(chunk)
    if decoder.pending_bytes:
        raise SerializationError(f"a snapshot ends within a frame, after {decoder.pending_bytes} bytes of it")
