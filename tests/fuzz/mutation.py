"""Changes bytes the way that finds bugs in readers: a few edits of something that was right.

The edits are values, so that two may make them: a random generator, for long runs, and hypothesis, which makes a
failing input small by leaving out edits and making the others smaller.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

INTERESTING = (
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\x90",
    b"\xc0",
    b"\xc1",
    b"\xdf\xff\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff",
    b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
    b"\xc6\xff\xff\xff\xff",
    b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
    b"[",
    b"{",
    b'"',
    b"\\ud800",
    b"-1",
    b"9",
    b"1e999",
    b"null",
    b"\n",
    b"=",
)
PIECE_BYTES_MAX = 64
RUN_MAX = 5000
"""More than the interpreter's stack depth and than the digits that int() reads, to find code that relies on either."""


@dataclass(frozen=True)
class Flip:
    """Turn one bit over. A place behind the end counts on from the beginning, here and below."""

    at: int
    bit: int

    def apply(self, data: bytearray) -> None:
        if data:
            data[self.at % len(data)] ^= 1 << self.bit


@dataclass(frozen=True)
class Replace:
    """Put `piece` where `size` bytes were: a deletion where it is empty, an insertion where `size` is 0."""

    at: int
    size: int
    piece: bytes

    def apply(self, data: bytearray) -> None:
        at = self.at % (len(data) + 1)
        data[at : at + self.size] = self.piece


@dataclass(frozen=True)
class Repeat:
    """Say `size` bytes again, so often."""

    at: int
    size: int
    times: int

    def apply(self, data: bytearray) -> None:
        at = self.at % (len(data) + 1)
        data[at:at] = data[at : at + self.size] * self.times


Edit = Flip | Replace | Repeat


def edited(data: bytes, edits: Iterable[Edit]) -> bytes:
    """Return `data` after the edits, one after the other."""
    changed = bytearray(data)
    for edit in edits:
        edit.apply(changed)
    return bytes(changed)


def mutate(rng: random.Random, corpus: Sequence[bytes]) -> bytes:
    """Return a member of `corpus` with a few changes or none, or now and then bytes at random."""
    if rng.random() < 0.02:
        return rng.randbytes(rng.randrange(200))
    data = rng.choice(corpus)
    count = rng.choice((0, 1, 1, 1, 1, 2, 3, 8))
    return edited(data, [random_edit(rng, len(data), corpus) for _ in range(count)])


def random_edit(rng: random.Random, length: int, corpus: Sequence[bytes]) -> Edit:
    """Return an edit for about `length` bytes; what it puts in may come from others of the corpus."""
    at = rng.randrange(length + 1)
    match rng.randrange(8):
        case 0 | 1:
            return Flip(at, rng.randrange(8))
        case 2:
            return Replace(at, 1, rng.randbytes(1))
        case 3:
            return Replace(at, rng.choice((1, 2, 4, 8, length)), b"")
        case 4:
            piece = rng.choice(INTERESTING)
            return Replace(at, rng.choice((0, len(piece))), piece)
        case 5:
            return Replace(at, rng.choice((0, 8, PIECE_BYTES_MAX)), random_piece(rng, corpus))
        case 6:
            return Repeat(at, rng.randrange(1, 33), 1)
        case _ if rng.random() < 0.05:
            return Replace(at, 0, rng.choice(INTERESTING)[:1] * rng.randrange(RUN_MAX))
        case _:
            return Repeat(at, 1, rng.randrange(1, 100))


def random_piece(rng: random.Random, corpus: Sequence[bytes]) -> bytes:
    """Return some bytes of a member of `corpus`."""
    other = rng.choice(corpus)
    begin = rng.randrange(len(other) + 1)
    return other[begin : begin + rng.randrange(1, PIECE_BYTES_MAX + 1)]
