"""The key-value store: a dict of records, their keys in order, and a short history for watches.

A write of an existing key touches the dict only; the ordered keys change where a key appears or goes.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from sortedcontainers import SortedList

from raftnode.core.errors import SerializationError
from raftnode.machine.kv.history import CHANGES_BYTES_MAX, CHANGES_MAX, ChangeHistory
from raftnode.machine.kv.snapshot import RECORD_OVERHEAD_BYTES, KvSnapshot, read_snapshot
from raftnode.machine.protocol import CommandRefused
from raftnode.machine.stream import read_frames
from raftnode.wire.kv import (
    ANSWER_BYTES_MAX,
    KEY_BYTES_MAX,
    LIST_ITEMS_MAX,
    VALUE_BYTES_MAX,
    BadCommand,
    Change,
    Changes,
    ChangesResult,
    CompareAndSet,
    ConflictResult,
    Delete,
    DeleteResult,
    Get,
    GetResult,
    Increment,
    IncrementResult,
    KeyValue,
    KvCommand,
    KvQuery,
    KvResult,
    List,
    ListResult,
    Put,
    PutResult,
    decode_command,
    decode_query,
    describe_command,
    encode,
)

INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**63 - 1
_INTEGER: Final = re.compile(rb"-?[0-9]{1,19}\Z")

# Sessions remember results, so they are state, and must not contain texts that depend on a library's version.
_NOT_A_COMMAND: Final = encode(BadCommand("these bytes are not a key-value command"))


class KvMachine:
    """A StateMachine over the commands and queries of raftnode.wire.kv.

    `revision` is the log index of the last command that changed something. The history that answers watches
    is bounded by `changes_max` and `changes_bytes_max`. It is not part of the state, and a restore empties it.
    """

    def __init__(self, changes_max: int = CHANGES_MAX, changes_bytes_max: int = CHANGES_BYTES_MAX) -> None:
        self._changes_max = changes_max
        self._changes_bytes_max = changes_bytes_max
        self._records: dict[bytes, KeyValue] = {}
        self._keys: SortedList[bytes] = SortedList()
        self._revision = 0
        self._history = ChangeHistory(changes_max, changes_bytes_max)
        self._snapshot: KvSnapshot | None = None
        self._handlers: dict[type, Callable[[int, Any, bool], KvResult]] = {
            Put: self._put,
            CompareAndSet: self._compare_and_set,
            Delete: self._delete,
            Increment: self._increment,
        }

    @property
    def revision(self) -> int:
        """The revision of the newest change, 0 for none."""
        return self._revision

    def __len__(self) -> int:
        return len(self._records)

    def check(self, command: bytes) -> None:
        """Raise CommandRefused where `command` is malformed or over a limit."""
        try:
            parsed = decode_command(command)
        except SerializationError as error:
            raise CommandRefused(str(error)) from error
        if reason := _over_limit(parsed):
            raise CommandRefused(reason, too_large=bool(parsed.key))

    def apply(self, index: int, command: bytes) -> bytes:
        """Apply the command of log entry `index` and return its result: an encoded KvResult."""
        try:
            parsed = decode_command(command)
        except SerializationError:
            return _NOT_A_COMMAND
        return encode(self._handlers[type(parsed)](index, parsed, True))

    def evaluate(self, command: bytes) -> bytes:
        """Return the result that `apply` would give now, at the present revision. Raises CommandRefused."""
        self.check(command)
        parsed = decode_command(command)
        return encode(self._handlers[type(parsed)](self._revision, parsed, False))

    def query(self, query: bytes) -> bytes:
        """Answer a Get, a List or a Changes at once. Raises CommandRefused."""
        match _checked_query(query):
            case Get(key=key):
                return encode(GetResult(self._records.get(key), self._revision))
            case List() as listing:
                return encode(self._list(listing))
            case Changes() as changes:
                return encode(self._changes(changes))

    def changes(self, query: bytes) -> bytes | None:
        """Answer a Changes, or None where nothing that it asks for has happened yet.

        Raises CommandRefused.
        """
        parsed = _checked_query(query)
        if not isinstance(parsed, Changes):
            raise CommandRefused(f"only Changes can be watched, not {type(parsed).__name__}")
        if parsed.after_revision >= self._revision:
            return None
        result = self._changes(parsed)
        # Nothing was found, but not everything was scanned: say how far, so that the next watch starts there.
        idle = not result.changes and not result.lost_before and result.through == self._revision
        return None if idle else encode(result)

    def describe(self, command: bytes) -> str:
        """Return one line for an operator, such as `put "key" (256 bytes)`."""
        return describe_command(command)

    def snapshot(self) -> KvSnapshot:
        """Return the state at this call, in chunks, in constant time.

        Replaces a snapshot that is still open.
        """
        self._snapshot = KvSnapshot(self._revision, self._records, self._keys)
        return self._snapshot

    def restore(self, chunks: Iterable[bytes]) -> None:
        """Replace the state with a snapshot's.

        Raises SerializationError and then leaves everything as it was.
        """
        revision, records = read_snapshot(read_frames(chunks))
        self._keys = SortedList(records)
        self._records = records
        self._revision = revision
        self._history = ChangeHistory(self._changes_max, self._changes_bytes_max, lost_before=revision)
        # An open snapshot keeps the records and keys that it began with, and these no longer change.
        self._snapshot = None

    def digest(self) -> bytes:
        """Return a hash of the records and the revision, independent of their history. Reads the whole state."""
        state = hashlib.blake2b(digest_size=32)
        for chunk in KvSnapshot(self._revision, self._records, self._keys):
            state.update(chunk)
        return state.digest()

    # The effect of each command. Without `commit` nothing changes, and `index` is the current revision.

    def _put(self, index: int, command: Put, commit: bool) -> KvResult:
        if reason := _over_limit(command):
            return BadCommand(reason)
        record = self._records.get(command.key)
        expected = command.expected_revision
        if expected is not None and (conflict := _revision_conflict(record, expected)):
            return conflict
        return self._store(index, command.key, command.value, record, commit)

    def _compare_and_set(self, index: int, command: CompareAndSet, commit: bool) -> KvResult:
        if reason := _over_limit(command):
            return BadCommand(reason)
        record = self._records.get(command.key)
        if command.expected != (None if record is None else record.value):
            reason = "the key does not exist" if record is None else "the key has another value"
            return ConflictResult(reason, record)
        return self._store(index, command.key, command.value, record, commit)

    def _increment(self, index: int, command: Increment, commit: bool) -> KvResult:
        if reason := _over_limit(command):
            return BadCommand(reason)
        record = self._records.get(command.key)
        text = b"0" if record is None else record.value
        if not _INTEGER.match(text):
            return BadCommand(f"the value is not a decimal integer of at most 19 digits ({len(text)} bytes)")
        number = int(text) + command.delta
        if not INTEGER_MIN <= number <= INTEGER_MAX:
            return BadCommand(f"the sum {number} is outside the range of a signed 64-bit integer")
        self._store(index, command.key, b"%d" % number, record, commit)
        return IncrementResult(index, number)

    def _delete(self, index: int, command: Delete, commit: bool) -> KvResult:
        key = command.key
        record = self._records.get(key)
        expected = command.expected_revision
        if expected is not None and (conflict := _revision_conflict(record, expected)):
            return conflict
        if record is None:
            return DeleteResult(self._revision, False)
        if not commit:
            return DeleteResult(index, True)
        self._tell_snapshot(key, record)
        del self._records[key]
        self._keys.remove(key)
        self._revision = index
        self._history.append(Change(index, key, None))
        return DeleteResult(index, True)

    def _store(self, index: int, key: bytes, value: bytes, record: KeyValue | None, commit: bool) -> PutResult:
        if not commit:
            return PutResult(index, 0 if record is None else record.mod_revision)
        if self._snapshot is not None:
            self._tell_snapshot(key, record)
        previous = 0
        if record is None:
            self._keys.add(key)
            self._records[key] = KeyValue(key, value, index, index, 1)
        else:
            key = record.key  # the equal bytes that are kept already
            previous = record.mod_revision
            self._records[key] = KeyValue(key, value, record.create_revision, index, record.version + 1)
        self._revision = index
        self._history.append(Change(index, key, value))
        return PutResult(index, previous)

    def _tell_snapshot(self, key: bytes, record: KeyValue | None) -> None:
        if self._snapshot is not None and not self._snapshot.keep(key, record):
            self._snapshot = None

    def _list(self, query: List) -> ListResult:
        limit = min(query.limit, LIST_ITEMS_MAX)
        items: list[KeyValue] = []
        size = 0
        for key in self._keys.irange(max(query.prefix, query.start)):
            if not key.startswith(query.prefix):
                break
            record = self._records[key]
            if query.keys_only:
                record = KeyValue(key, b"", record.create_revision, record.mod_revision, record.version)
            size += len(key) + len(record.value) + RECORD_OVERHEAD_BYTES
            if items and (len(items) == limit or size > ANSWER_BYTES_MAX):
                return ListResult(items, True, self._revision)
            items.append(record)
        return ListResult(items, False, self._revision)

    def _changes(self, query: Changes) -> ChangesResult:
        lost = self._history.lost_before
        limit = min(query.limit, LIST_ITEMS_MAX)
        found, looked_to = self._history.since(query.prefix, query.after_revision, limit, ANSWER_BYTES_MAX)
        through = max(query.after_revision, self._revision) if looked_to is None else looked_to
        return ChangesResult(found, through, lost if lost > query.after_revision else 0)


def _checked_query(data: bytes) -> KvQuery:
    try:
        query = decode_query(data)
    except SerializationError as error:
        raise CommandRefused(str(error)) from error
    match query:
        case Get(key=key):
            if reason := _key_over_limit(key):
                raise CommandRefused(reason, too_large=bool(key))
        case List(limit=limit) | Changes(limit=limit):
            if limit < 1:
                raise CommandRefused(f"the limit is {limit}; the least is 1")
    return query


def _over_limit(command: KvCommand) -> str:
    """Return which limit `command` exceeds, or "". The limits are part of the machine, so they never differ by node."""
    key = command.key
    if not 0 < len(key) <= KEY_BYTES_MAX:
        return _key_over_limit(key)
    if isinstance(command, (Put, CompareAndSet)) and len(command.value) > VALUE_BYTES_MAX:
        return f"the value has {len(command.value)} bytes; the limit is {VALUE_BYTES_MAX}"
    return ""


def _key_over_limit(key: bytes) -> str:
    if not key:
        return "the key is empty"
    if len(key) > KEY_BYTES_MAX:
        return f"the key has {len(key)} bytes; the limit is {KEY_BYTES_MAX}"
    return ""


def _revision_conflict(record: KeyValue | None, expected: int) -> ConflictResult | None:
    actual = 0 if record is None else record.mod_revision
    if actual == expected:
        return None
    if record is None:
        return ConflictResult(f"the key does not exist; revision {expected} was expected", None)
    return ConflictResult(f"the key's revision is {actual}; {expected} was expected", record)
