"""The readers of frames and messages, and a running replica that receives them."""

import contextlib

from raftnode.core.membership import decode_configuration
from raftnode.wire.client import StatusResult, decode_answer, decode_request
from raftnode.wire.entries import decode_entry
from raftnode.wire.frame import FRAME_BYTES_MAX, HEADER_BYTES, HELLO_BYTES_MAX, FrameDecoder, FrameError
from raftnode.wire.hello import decode_hello, decode_hello_answer
from raftnode.wire.kv import decode_command, decode_query, decode_result
from raftnode.wire.peer import decode_member_context, decode_message, encode_member_context
from tests.fuzz.corpus import corpus
from tests.fuzz.live import LiveReplica
from tests.fuzz.target import Target, decoding


def wire_targets(live: LiveReplica) -> list[Target]:
    """Return every target of this room."""
    made = corpus()
    stream = [b"".join(len(body).to_bytes(4, "big") + body for body in made.requests[n : n + 4]) for n in range(40)]
    entry = decoding(decode_entry, decode_command, decode_query, decode_result, decode_configuration)
    statuses = [body for body in made.answers if isinstance(decode_answer(body), StatusResult)]
    assert statuses
    return [
        Target("frames", stream, _frames),
        Target("peer messages", made.peers, decoding(decode_message)),
        Target("requests", made.requests, decoding(decode_request)),
        Target("answers", made.answers, decoding(decode_answer)),
        Target("hellos", made.hellos, decoding(decode_hello, decode_hello_answer)),
        Target("entries", made.entries + made.requests, entry),
        Target("member contexts", [encode_member_context("n1", "10.0.0.1:7000")], decoding(decode_member_context)),
        Target("a replica and its peers", made.peers, live.peer_message, live.reset),
        Target("a replica and its clients", made.requests, live.client_request, live.reset),
    ]


def _frames(data: bytes) -> None:
    """Feed a stream in pieces: the same frames as at once, and never more held than a frame."""
    whole = FrameDecoder(first_bytes_max=HELLO_BYTES_MAX)
    expected: list[bytes] | None = None
    with contextlib.suppress(FrameError):
        expected = whole.feed(data)
    pieces = FrameDecoder(first_bytes_max=HELLO_BYTES_MAX)
    found: list[bytes] = []
    try:
        for start in range(0, len(data), 7):
            found += pieces.feed(data[start : start + 7])
            assert pieces.pending_bytes < FRAME_BYTES_MAX + HEADER_BYTES
    except FrameError:
        assert expected is None
    else:
        assert found == expected
