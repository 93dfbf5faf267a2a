"""No bytes make a reader raise what it does not promise, or keep memory; the long run is `python -m tests.fuzz`."""

import contextlib
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftnode.core.errors import SerializationError
from raftnode.wire.client import decode_answer, decode_request
from raftnode.wire.entries import decode_entry
from raftnode.wire.frame import FrameDecoder, FrameError
from raftnode.wire.hello import decode_hello, decode_hello_answer
from raftnode.wire.kv import decode_command, decode_query, decode_result
from raftnode.wire.peer import decode_peer_message
from tests.fuzz.run import FuzzFailure, feed
from tests.fuzz.targets import Target, targets

SCALE = int(os.environ.get("RAFT_TEST_SCALE", "1"))
INPUTS = 1000 * SCALE
SEED = 1

DECODERS = [
    decode_peer_message, decode_request, decode_answer, decode_hello, decode_hello_answer, decode_entry, decode_command,
    decode_query, decode_result,
]


def test_every_reader_takes_mutated_bytes() -> None:
    """Frames, messages, a live node, and every file: only the documented errors, and no growth of memory."""
    failures: list[str] = []
    with targets() as every:
        assert len({target.name for target in every}) == len(every) > 15
        for target in every:
            try:
                feed(target, INPUTS, SEED)
            except FuzzFailure as failure:
                failures.append(str(failure))
    assert not failures, "\n".join(failures)


@settings(max_examples=200 * SCALE, deadline=None)
@given(data=st.binary(max_size=300))
def test_no_decoder_raises_anything_but_its_error(data: bytes) -> None:
    """Bytes at random, which hypothesis makes small where it finds some."""
    for decode in DECODERS:
        with contextlib.suppress(SerializationError):
            decode(data)


@settings(max_examples=200 * SCALE, deadline=None)
@given(pieces=st.lists(st.binary(max_size=60), max_size=12))
def test_frames_do_not_depend_on_how_the_bytes_arrive(pieces: list[bytes]) -> None:
    """One stream in any pieces gives the same frames, or the same refusal."""
    whole = FrameDecoder(bytes_max=500)
    try:
        expected = whole.feed(b"".join(pieces))
    except FrameError:
        expected = None
    decoder, found = FrameDecoder(bytes_max=500), list[bytes]()
    try:
        for piece in pieces:
            found += decoder.feed(piece)
    except FrameError:
        assert expected is None
    else:
        assert found == expected


_kept: list[bytes] = []


def keep_everything(data: bytes) -> None:
    """A reader that forgets nothing."""
    _kept.append(data + bytes(4096))


def test_what_a_target_raises_or_keeps_is_found() -> None:
    """The check of the checks: an error that nobody promised, and a reader that keeps everything, both fail."""

    def raises(data: bytes) -> None:
        raise KeyError(data)

    with pytest.raises(FuzzFailure, match=r"input 0 of seed 1 raised KeyError"):
        feed(Target("raises", [b"x"], raises), 1, SEED)
    # In a process of its own: in this one, what other tests gave back would be taken first, and nothing would grow.
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        pytest.raises(FuzzFailure, match="bytes more in memory"),
    ):
        pool.submit(feed, Target("keeps", [bytes(4096)], keep_everything), 5000, SEED).result()
