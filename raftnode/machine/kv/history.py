"""The recent changes of the key-value machine, for watches.

lost_before        since(after_revision)
    |                     |
----+--[ change  change  change  change ]   revisions grow to the right
    forgotten            kept
"""

from bisect import bisect_right
from operator import attrgetter
from typing import Final

from raftnode.wire.kv import Change

CHANGES_MAX: Final = 32_768
CHANGES_BYTES_MAX: Final = 16 * 1024 * 1024
CHANGE_OVERHEAD_BYTES: Final = 128
"""The approximate overhead of a kept change, without its key and value."""

SCANNED_MAX: Final = 4096
"""How many changes one query scans at most: this bounds its time even if no key matches."""

_revision = attrgetter("revision")


def change_bytes(change: Change) -> int:
    """Return about how much memory, and frame, `change` takes."""
    return len(change.key) + len(change.value or b"") + CHANGE_OVERHEAD_BYTES


class ChangeHistory:
    """The newest changes in order, bounded by count and by bytes. Not part of the machine's state.

    `lost_before` is the highest revision whose change may be forgotten, 0 for none.
    """

    def __init__(self, changes_max: int, bytes_max: int, lost_before: int = 0) -> None:
        self._changes_max = changes_max
        self._bytes_max = bytes_max
        self._changes: list[Change] = []
        self._first = 0
        self._bytes = 0
        self.lost_before = lost_before

    def __len__(self) -> int:
        return len(self._changes) - self._first

    def append(self, change: Change) -> None:
        """Keep `change`, whose revision is above all others."""
        self._changes.append(change)
        self._bytes += change_bytes(change)
        if self._bytes > self._bytes_max or len(self._changes) - self._first > self._changes_max:
            self._forget()

    def since(self, prefix: bytes, after_revision: int, limit: int, bytes_max: int) -> tuple[list[Change], int | None]:
        """Return the changes of keys with `prefix` after `after_revision`, oldest first, and where the scan ended.

        The end is the revision of the last change scanned, or None if all were. If any change matches within
        the scanned range, at least one is returned, whatever its size.
        """
        changes = self._changes
        start = bisect_right(changes, after_revision, lo=self._first, key=_revision)
        end = min(len(changes), start + SCANNED_MAX)
        found: list[Change] = []
        size = 0
        for position in range(start, end):
            change = changes[position]
            if not change.key.startswith(prefix):
                continue
            size += change_bytes(change)
            if found and (len(found) == limit or size > bytes_max):
                return found, changes[position - 1].revision
            found.append(change)
        return found, None if end == len(changes) else changes[end - 1].revision

    def _forget(self) -> None:
        changes, first = self._changes, self._first
        while first < len(changes) and (self._bytes > self._bytes_max or len(changes) - first > self._changes_max):
            self._bytes -= change_bytes(changes[first])
            self.lost_before = changes[first].revision
            changes[first] = _FORGOTTEN
            first += 1
        # Removing from the front of the list for each forgotten change would take linear time.
        if first > len(changes) // 2:
            del changes[:first]
            first = 0
        self._first = first


_FORGOTTEN: Final = Change(0, b"", None)
