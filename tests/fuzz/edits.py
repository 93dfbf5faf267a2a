"""What hypothesis draws: the edits of mutation.py, for a target's own seeds."""

from hypothesis import strategies as st

from tests.fuzz.mutation import INTERESTING, PIECE_BYTES_MAX, RUN_MAX, Edit, Flip, Repeat, Replace, edited
from tests.fuzz.target import Target

EDITS_MAX = 5
INPUTS_MAX = 3
PLACE_MAX = 20_000
"""No seed is longer; a place behind a seed's end counts on from its beginning."""


def edits(seeds: list[bytes]) -> st.SearchStrategy[Edit]:
    """Return one edit: a flip, a deletion, an insertion, a splice from another seed, or a repetition."""
    place = st.integers(0, PLACE_MAX)
    size = st.integers(0, PIECE_BYTES_MAX)
    splice = st.builds(_slice, st.sampled_from(seeds), place, size)
    run = st.builds(lambda piece, times: piece[:1] * times, st.sampled_from(INTERESTING), st.integers(1, RUN_MAX))
    piece = st.one_of(st.just(b""), st.sampled_from(INTERESTING), st.binary(max_size=8), splice, run)
    return st.one_of(
        st.builds(Flip, place, st.integers(0, 7)),
        st.builds(Replace, place, size, piece),
        st.builds(Repeat, place, size, st.integers(1, 20)),
    )


def inputs(target: Target) -> st.SearchStrategy[list[bytes]]:
    """Return some inputs for a target, one after the other: what one did may show only with the next."""
    one = st.builds(edited, st.sampled_from(target.seeds), st.lists(edits(target.seeds), max_size=EDITS_MAX))
    return st.lists(one, min_size=1, max_size=INPUTS_MAX)


def _slice(data: bytes, at: int, size: int) -> bytes:
    at %= len(data) + 1
    return data[at : at + size]
