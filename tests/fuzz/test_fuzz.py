"""No bytes make a reader raise what it does not promise, or keep memory; the long run is `python -m tests.fuzz`."""

import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from raftnode.wire.frame import FrameDecoder, FrameError
from tests.fuzz.edits import inputs
from tests.fuzz.run import FuzzFailure, feed, feed_all
from tests.fuzz.target import Target
from tests.fuzz.targets import targets
from tests.support.scale import FUZZ_EXAMPLES, FUZZ_INPUTS, SECONDS_MAX

pytestmark = pytest.mark.timeout(SECONDS_MAX)

SEED = 1


@pytest.fixture(scope="module")
def every() -> Iterator[dict[str, Target]]:
    """Give every target by its name."""
    with targets() as found:
        named = {target.name: target for target in found}
        assert len(named) == len(found)
        yield named


def test_every_reader_takes_mutated_bytes(every: dict[str, Target]) -> None:
    """Frames, messages, a live node, and every file: only the documented errors, and no growth of memory."""
    assert len(every) > 40
    _, failures = feed_all(every.values(), FUZZ_INPUTS, SEED, lambda fed: None)
    assert not failures, "\n".join(map(str, failures))


@settings(max_examples=FUZZ_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_edits_of_right_bytes_make_a_reader_fail(every: dict[str, Target], data: st.DataObject) -> None:
    """The same targets and seeds, edited by hypothesis, which makes the edits few and small where it finds some."""
    target = every[data.draw(st.sampled_from(sorted(every)), "target")]
    target.reset()
    for given_bytes in data.draw(inputs(target), "inputs"):
        target.run(given_bytes)


def test_hypothesis_makes_a_failing_input_small() -> None:
    """The check of the check: of a reader that fails on one byte, nothing else is shown that was put in."""
    planted = Target("planted", [bytes(range(100)), b"\x05" * 50], lambda data: None)
    (found,) = find(
        inputs(planted),
        lambda given: any(b"\xc1" in data for data in given),
        random=random.Random(SEED),
        settings=settings(max_examples=2000, deadline=None, database=None, suppress_health_check=list(HealthCheck)),
    )
    assert max(found.replace(b"\xc1", b"", 1), default=0) < 100, found


@settings(max_examples=FUZZ_EXAMPLES // 3, deadline=None)
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


def forget_everything(data: bytes) -> None:
    """A reader that keeps nothing."""


def failures_of(*kept: bool) -> list[str]:
    """Feed readers, some of which keep everything, and return what is said of them and of all together."""
    readers = {True: keep_everything, False: forget_everything}
    every = [Target(f"reader {n}", [bytes(4096)], readers[keeps]) for n, keeps in enumerate(kept)]
    return [str(failure) for failure in feed_all(every, 500, SEED, lambda fed: None)[1]]


def test_what_a_target_raises_or_keeps_is_found() -> None:
    """The checks themselves work: an undocumented error fails, and so does a reader that keeps everything."""

    def raises(data: bytes) -> None:
        raise KeyError(data)

    with pytest.raises(FuzzFailure, match=r"input 0 of seed 1 raised KeyError"):
        feed(Target("raises", [b"x"], raises), 5, SEED)
    # In processes of their own: in this one, what other tests gave back would be taken first, and nothing would grow.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        with pytest.raises(FuzzFailure, match="bytes more in memory"):
            pool.submit(feed, Target("keeps", [bytes(4096)], keep_everything), 5000, SEED).result()
        # Three that keep a little each are found by what they come to together.
        assert [text.partition(" left ")[0] for text in pool.submit(failures_of, True, False, True).result()] == [
            "all targets together"
        ]
