"""One client's session: which of its writes are closed, and the results of those that are not."""

from typing import Final

RESULT_OVERHEAD_BYTES: Final = 128
"""The approximate overhead of a remembered result, without its bytes."""


class Session:
    """One client's open writes. `generation` is the snapshot before which it last was copied."""

    __slots__ = ("acknowledged", "bytes", "generation", "id", "results")

    def __init__(self, session_id: int, acknowledged: int = 0, generation: int = 0) -> None:
        self.id = session_id
        self.acknowledged = acknowledged
        self.generation = generation
        self.results: dict[int, bytes] = {}
        self.bytes = 0

    def copy(self, generation: int) -> "Session":
        """Return an equal session that belongs to `generation`."""
        session = Session(self.id, self.acknowledged, generation)
        session.results = self.results.copy()
        session.bytes = self.bytes
        return session

    def remember(self, sequence: int, result: bytes) -> int:
        """Keep the result of a write, and return by how many bytes the session grew."""
        self.results[sequence] = result
        size = len(result) + RESULT_OVERHEAD_BYTES
        self.bytes += size
        return size

    def acknowledge(self, sequence: int) -> int:
        """Close the sequences up to `sequence`, and return by how many bytes the session shrank."""
        results = self.results
        # A client may acknowledge any number at once: the cost is bounded by the remembered results.
        if sequence - self.acknowledged < len(results):
            closed = [s for s in range(self.acknowledged + 1, sequence + 1) if s in results]
        else:
            closed = [s for s in results if s <= sequence]
        size = 0
        for s in closed:
            size += len(results.pop(s)) + RESULT_OVERHEAD_BYTES
        self.acknowledged = sequence
        self.bytes -= size
        return size
