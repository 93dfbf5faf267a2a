"""The interface of a replicated state machine, so that another one can replace the key-value store."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from raftnode.core.errors import RaftError


class CommandRefused(RaftError):
    """A command that may not enter the log, or a query that cannot be answered. `too_large` if a size limit is why."""

    def __init__(self, reason: str, *, too_large: bool = False) -> None:
        self.too_large = too_large
        super().__init__(reason)


class StateMachine(Protocol):
    """A deterministic machine. The same commands at the same indexes give every node the same state and results.

    It uses no clock, no random numbers, no iteration order of hashes, and no state but its own.
    """

    def check(self, command: bytes) -> None:
        """Raise CommandRefused where `command` is malformed or over a limit. Called before it is proposed."""

    def apply(self, index: int, command: bytes) -> bytes:
        """Apply the committed command of log entry `index` and return its result.

        It never raises for bad input.
        """

    def evaluate(self, command: bytes) -> bytes:
        """Return the result that `apply` would give now, and change nothing. Raises CommandRefused as `check` does."""

    def query(self, query: bytes) -> bytes:
        """Answer a read from the present state. Raises CommandRefused."""

    def changes(self, query: bytes) -> bytes | None:
        """Answer a watch, or None where nothing has changed yet that it asks for. Raises CommandRefused."""

    def describe(self, command: bytes) -> str:
        """Return one printable line that says what `command` does. It never raises."""

    def snapshot(self) -> Iterator[bytes]:
        """Return the state at the moment of this call, in chunks of at most about 64 KiB.

        The caller may apply further commands between two chunks: what it gets stays the state at the call. It
        exhausts the iterator or calls its `close()`. One snapshot is open at a time.

        What the chunks hold, and where they end, depends on that state alone: the same on every node. An empty
        chunk adds nothing; it only lets the caller do other work where the next one takes long.
        """

    def restore(self, chunks: Iterable[bytes]) -> None:
        """Replace the whole state with a snapshot's.

        Reads `chunks` to their end, wherever they were cut on the way. Raises SerializationError, as the
        iterable itself may, and then leaves the state as it was.
        """

    def digest(self) -> bytes:
        """Return a hash of the whole state: equal on two nodes that applied the same entries."""
