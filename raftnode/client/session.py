"""A session's writes, numbered so that each is applied once however often it is sent (thesis 6.3)."""

from typing import Final

from raftnode.wire.client import Write

WRITES_AHEAD_MAX: Final = 1024
"""How far a session's writes may be ahead of the oldest one that has no answer."""


class WriteSession:
    """The writes of one session that have no answer yet."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._last = 0
        self._open: set[int] = set()

    @property
    def is_full(self) -> bool:
        """Whether another write would be too far ahead of the oldest one."""
        return self._last - self._acknowledged >= WRITES_AHEAD_MAX

    @property
    def _acknowledged(self) -> int:
        return min(self._open, default=self._last + 1) - 1

    def begin(self, command: bytes) -> Write:
        """Return the session's next write. It is open until `end()`."""
        self._last += 1
        self._open.add(self._last)
        return Write(0, self.number, self._last, self._acknowledged, command)

    def end(self, write: Write) -> None:
        """Note that this write needs no more answers: later writes acknowledge past it."""
        self._open.discard(write.sequence)
