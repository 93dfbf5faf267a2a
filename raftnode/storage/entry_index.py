"""Where each entry of the log is on the disk: four compact arrays with one row for each batch of entries.

A row's entries reach from its first index to the one before the next row's. A truncation inside a batch only
shortens its row: the batch's later entries stay in the file and are never read again.
"""

from array import array
from bisect import bisect_left, bisect_right
from typing import NamedTuple


class Place(NamedTuple):
    """A batch's place, and the index of its first entry."""

    first: int
    segment: int
    offset: int
    size: int


class EntryIndex:
    """Finds the batch that holds an entry, in 24 bytes of memory a batch."""

    __slots__ = ("_firsts", "_offsets", "_segments", "_sizes")

    def __init__(self) -> None:
        self._firsts = array("Q")
        self._segments = array("I")
        self._offsets = array("Q")
        self._sizes = array("I")

    def __len__(self) -> int:
        return len(self._firsts)

    def add(self, first: int, segment: int, offset: int, size: int) -> None:
        """Add a batch of entries that begins at index `first`, above every row."""
        self._firsts.append(first)
        self._segments.append(segment)
        self._offsets.append(offset)
        self._sizes.append(size)

    def find(self, index: int) -> tuple[Place, int | None]:
        """Return the place of the batch that holds `index`, and the first index of the next batch or None."""
        row = bisect_right(self._firsts, index) - 1
        if row < 0:
            raise IndexError(index)
        following = self._firsts[row + 1] if row + 1 < len(self._firsts) else None
        return Place(self._firsts[row], self._segments[row], self._offsets[row], self._sizes[row]), following

    def truncate(self, index: int) -> None:
        """Forget the entries from `index` on."""
        self._delete(bisect_left(self._firsts, index), len(self._firsts))

    def compact(self, index: int) -> None:
        """Forget the batches whose entries are all at or below `index`, which is not above the last entry."""
        self._delete(0, max(bisect_right(self._firsts, index + 1) - 1, 0))

    def clear(self) -> None:
        """Forget every entry."""
        self._delete(0, len(self._firsts))

    def first_index(self) -> int:
        """Return the lowest index that a row holds."""
        return self._firsts[0]

    def first_segment(self) -> int | None:
        """Return the lowest segment that holds an entry."""
        return self._segments[0] if self._segments else None

    def _delete(self, begin: int, end: int) -> None:
        for column in (self._firsts, self._segments, self._offsets, self._sizes):
            del column[begin:end]
