"""Makes durable what the core staged, and decides what may be sent while the disk is full.

A node on a full disk goes on as far as it can without promising anything: it leads and sends heartbeats, follows,
serves reads; it takes no writes and stores no entries. Every other failure of the disk ends it.
"""

from collections.abc import Callable
from typing import Final

from raftnode.core.types import HardState
from raftnode.replica.timers import Timers
from raftnode.storage.wal import LogFullError, Wal
from raftnode.wire.peer import PeerResponse

RETRY_SECONDS: Final = 1.0
"""How long a node waits for room before it tries to write again."""


class Durability:
    """One node's log as the replica writes it. `on_change` is called when the disk becomes full or has room again."""

    def __init__(
        self, storage: Wal, clock: Callable[[], float], timers: Timers, on_change: Callable[[bool, str], None]
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._on_change = on_change
        self._retry_at = 0.0
        # It only starts a turn, which writes again.
        self._alarm = timers.alarm(lambda now: None)
        self.full = False
        """Whether the last write failed because the disk was full."""

    @property
    def hard_state_durable(self) -> bool:
        """Whether the term and the vote are on the disk: before that nothing of this term may leave."""
        return self._storage.hard_state_durable

    @property
    def wants_sync(self) -> bool:
        """Whether `sync()` has something to write, and may try."""
        return self._storage.has_unsynced and not (self.full and self._clock() < self._retry_at)

    def save_hard_state(self, state: HardState) -> None:
        """Stage the term and the vote."""
        self._storage.save_hard_state(state)

    def sync(self) -> bool:
        """Write and fsync once what is staged. Return whether all of it is durable.

        False: the disk has no room, and what is staged waits. Raises StorageError: the node must end.
        """
        if not self.wants_sync:
            return not self._storage.has_unsynced
        try:
            self._storage.sync()
        except LogFullError as error:
            self._retry_at = self._clock() + RETRY_SECONDS
            self._alarm.set(self._retry_at)
            if not self.full:
                self.full = True
                self._on_change(True, str(error))
            return False
        if self.full:
            self.full = False
            self._on_change(False, "")
        return True

    def may_leave(self, response: PeerResponse) -> bool:
        """Return whether everything that `response` promises is on the disk. A node without room promises no vote.

        Entries that a later request of the same turn replaced are not acknowledged: only the leader of a later term
        replaces any, so no acknowledgement of a past term leaves.
        """
        storage, promised = self._storage, response.promised_index
        if not storage.hard_state_durable:
            return False
        if promised is None:
            return not storage.has_unsynced
        return promised <= storage.stable_index and response.term >= storage.load_hard_state().current_term
