"""Changes bytes the way that finds bugs in readers: a few changes to something that was right."""

import random
from collections.abc import Sequence

INTERESTING = (
    b"\x00", b"\xff", b"\x7f", b"\x80", b"\x90", b"\xc0", b"\xc1", b"\xdf\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff",
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", b"\xc6\xff\xff\xff\xff",
    b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", b"[", b"{", b'"', b"\\ud800", b"-1", b"1e999", b"null", b"\n", b"=",
)
RUN_MAX = 5000
"""Longer than the interpreter's stack is deep: a run of brackets finds whoever recurses."""


def mutate(rng: random.Random, corpus: Sequence[bytes]) -> bytes:
    """Return a member of `corpus` with a few changes or none, or now and then bytes at random."""
    if rng.random() < 0.02:
        return rng.randbytes(rng.randrange(200))
    data = bytearray(rng.choice(corpus))
    for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 3, 8))):
        _change(rng, data, corpus)
    return bytes(data)


def _change(rng: random.Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    at = rng.randrange(len(data) + 1)
    match rng.randrange(9):
        case 0 | 1 if at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        case 2 if at < len(data):
            data[at] = rng.randrange(256)
        case 3:
            del data[at : at + rng.choice((1, 2, 4, 8, len(data)))]
        case 4:
            data[at:at] = rng.choice(INTERESTING)
        case 5:
            piece = rng.choice(INTERESTING)
            data[at : at + len(piece)] = piece
        case 6:
            other = rng.choice(corpus)
            begin = rng.randrange(len(other) + 1)
            data[at : at + rng.choice((0, 8, 64))] = other[begin : begin + rng.randrange(1, 65)]
        case 7:
            data[at:at] = data[at : at + rng.randrange(1, 33)]
        case 8 if rng.random() < 0.05:
            data[at:at] = rng.choice(INTERESTING)[:1] * rng.randrange(RUN_MAX)
