"""A second opinion about what the log means: sessions and keys in plain dicts, and every past state kept.

It shares the structs of the wire with the product, which are the protocol, and none of the machines' code. It knows
no limits: a run of the simulation comes nowhere near them.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass
from operator import itemgetter
from typing import Literal

from raftnode.wire.entries import OpenEntry, WriteEntry, decode_entry
from raftnode.wire.kv import (
    BadCommand,
    Change,
    CompareAndSet,
    ConflictResult,
    Delete,
    DeleteResult,
    Increment,
    IncrementResult,
    KeyValue,
    KvCommand,
    KvResult,
    Put,
    PutResult,
    decode_command,
    decode_result,
)


@dataclass(frozen=True)
class Reply:
    """What the client that proposed an entry gets: the number of its session, a result, or that it has expired.

    The simulation proposes nothing that is refused.
    """

    kind: Literal["session", "result", "expired", "refused"]
    result: KvResult | int | None = None


EXPIRED = Reply("expired")

Sessions = dict[int, tuple[int, dict[int, KvResult]]]
"""By session: up to where it is acknowledged, and the result of each later sequence. The inner dicts never change."""


def result_of(data: bytes) -> KvResult:
    """Return a result without the words in it, which are for people."""
    match decode_result(data):
        case ConflictResult(current=current):
            return ConflictResult("", current)
        case BadCommand():
            return BadCommand("")
        case result:
            return result


class Reference:
    """What the entries up to `index` came to, and what each of the states before was."""

    def __init__(self) -> None:
        self.index = 0
        self.replies: dict[int, Reply] = {}
        """What applying each entry gives."""
        self.changes: list[Change] = []
        self._records: dict[bytes, KeyValue] = {}
        self._sessions: Sessions = {}
        self._past_records: defaultdict[bytes, list[tuple[int, KeyValue | None]]] = defaultdict(list)
        self._past_sessions: list[tuple[int, Sessions]] = [(0, {})]
        self._revisions: list[int] = []

    # The past.

    def every_key(self) -> list[bytes]:
        """Return every key that ever had a value."""
        return sorted(self._past_records)

    def record_at(self, key: bytes, index: int) -> KeyValue | None:
        """Return a key's record after the entry at `index`."""
        past = self._past_records.get(key, [])
        position = bisect_right(past, index, key=itemgetter(0))
        return past[position - 1][1] if position else None

    def value_at(self, key: bytes, index: int) -> bytes | None:
        """Return a key's value after the entry at `index`."""
        record = self.record_at(key, index)
        return None if record is None else record.value

    def revision_at(self, index: int) -> int:
        """Return the revision of the last change up to `index`."""
        position = bisect_right(self._revisions, index)
        return self._revisions[position - 1] if position else 0

    def changes_between(self, after: int, through: int, prefix: bytes = b"") -> list[Change]:
        """Return the changes of keys with `prefix` after the revision `after` and up to `through`."""
        found = self.changes[bisect_right(self._revisions, after) : bisect_right(self._revisions, through)]
        return [change for change in found if change.key.startswith(prefix)]

    def sessions_at(self, index: int) -> Sessions:
        """Return the sessions after the entry at `index`."""
        return self._past_sessions[bisect_right(self._past_sessions, index, key=itemgetter(0)) - 1][1]

    def index_before(self, index: int) -> int:
        """Return the entry that was applied before the one at `index`; 0 where it was the first."""
        return self._past_sessions[bisect_left(self._past_sessions, index, key=itemgetter(0)) - 1][0]

    # The present.

    def apply(self, index: int, data: bytes) -> Reply:
        """Apply the next entry."""
        assert index > self.index, f"entry {index} comes after {self.index}"
        entry = decode_entry(data)
        reply = self.replies[index] = self._apply(index, entry)
        self.index = index
        self._past_sessions.append((index, self._sessions.copy()))
        return reply

    def _apply(self, index: int, entry: OpenEntry | WriteEntry) -> Reply:
        if isinstance(entry, OpenEntry):
            self._sessions[index] = (0, {})
            return Reply("session", index)
        if entry.session == 0:
            return Reply("result", self._change(index, decode_command(entry.command)))
        if entry.session not in self._sessions:
            return EXPIRED
        acknowledged, results = self._sessions[entry.session]
        acknowledged = max(acknowledged, entry.acknowledged)
        results = {sequence: result for sequence, result in results.items() if sequence > acknowledged}
        if entry.sequence > acknowledged and entry.sequence not in results:
            results[entry.sequence] = self._change(index, decode_command(entry.command))
        self._sessions[entry.session] = (acknowledged, results)
        return Reply("result", results[entry.sequence]) if entry.sequence in results else EXPIRED

    def _change(self, index: int, command: KvCommand) -> KvResult:
        record = self._records.get(command.key)
        match command:
            case Put(key=key, value=value, expected_revision=None):
                return self._put(index, key, value)
            case CompareAndSet(key=key, expected=expected, value=value):
                if expected != (None if record is None else record.value):
                    return ConflictResult("", record)
                return self._put(index, key, value)
            case Increment(key=key, delta=delta):
                total = int(b"0" if record is None else record.value) + delta
                self._put(index, key, str(total).encode())
                return IncrementResult(index, total)
            case Delete(key=key, expected_revision=None):
                if record is None:
                    return DeleteResult(self.revision_at(index), False)
                self._set(index, key, None)
                return DeleteResult(index, True)
            case _:
                raise NotImplementedError(f"nobody in the simulation asks for {command}")

    def _put(self, index: int, key: bytes, value: bytes) -> PutResult:
        old = self._records.get(key)
        if old is None:
            self._set(index, key, KeyValue(key, value, index, index, 1))
            return PutResult(index, 0)
        self._set(index, key, KeyValue(key, value, old.create_revision, index, old.version + 1))
        return PutResult(index, old.mod_revision)

    def _set(self, index: int, key: bytes, record: KeyValue | None) -> None:
        if record is None:
            del self._records[key]
        else:
            self._records[key] = record
        self._past_records[key].append((index, record))
        self.changes.append(Change(index, key, None if record is None else record.value))
        self._revisions.append(index)
