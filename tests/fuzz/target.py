"""What a target is. Those that exist are in targets.py."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from raftnode.core.errors import SerializationError


def _nothing() -> None:
    return


@dataclass(frozen=True)
class Target:
    """A reader, and right bytes to begin with. `run` raises nothing but what no caller expects.

    `reset` forgets what earlier inputs did to it, where it remembers anything.
    """

    name: str
    seeds: list[bytes]
    run: Callable[[bytes], object]
    reset: Callable[[], None] = _nothing


def decoding(*decoders: Callable[[bytes], object]) -> Callable[[bytes], None]:
    """Return what feeds decoders, which may raise SerializationError."""

    def run(data: bytes) -> None:
        for decode in decoders:
            with contextlib.suppress(SerializationError):
                decode(data)

    return run
