"""The key-value machine's commands, queries and results, as on the wire and in the log.

Keys and values are bytes. A revision is the log index of the entry that made the change, so revisions grow
over the whole store and are the same on every node. Revision 0 stands for "the key does not exist".
"""

from typing import Final

import msgspec

from raftnode.core.errors import SerializationError
from raftnode.wire.frame import decode_as

KEY_BYTES_MAX: Final = 64 * 1024
VALUE_BYTES_MAX: Final = 8 * 1024 * 1024
LIST_ITEMS_MAX: Final = 10_000
"""The most pairs that one List or Changes answer holds; ask again from where it ended."""
ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024
"""About the most bytes of keys and values in one List or Changes answer. The first pair is always in it."""
DESCRIBED_BYTES_MAX: Final = 80
"""The most bytes of a key or value in a description."""


class KeyValue(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A key's present state. `version` counts its writes since it was created (1 at creation)."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int


# Commands: log entries that change the machine.


class Put(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """Set `key` to `value`; with `expected_revision`, only if that is the key's mod_revision (0 for an absent key)."""

    key: bytes
    value: bytes
    expected_revision: int | None = None


class CompareAndSet(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """Set `key` to `value` only where its present value is `expected` (None: the key does not exist)."""

    key: bytes
    expected: bytes | None
    value: bytes


class Delete(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=3):
    """Remove `key`. With `expected_revision`: only where the key's mod_revision is that."""

    key: bytes
    expected_revision: int | None = None


class Increment(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=4):
    """Add `delta` to the integer at `key` (an absent key counts as 0); the value is ASCII digits, perhaps
    after a `-`.

    Neither the value nor the sum may leave the range of a signed 64-bit integer: that is a BadCommand.
    """

    key: bytes
    delta: int = 1


KvCommand = Put | CompareAndSet | Delete | Increment


# Queries: they read.


class Get(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """Read one key."""

    key: bytes


class List(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """Read the keys that begin with `prefix`, in byte order, from `start` on (empty: from the first)."""

    prefix: bytes
    start: bytes = b""
    limit: int = 1000
    keys_only: bool = False


class Changes(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=3):
    """Read the changes of keys that begin with `prefix` after revision `after_revision`, oldest first."""

    prefix: bytes
    after_revision: int
    limit: int = 1000


KvQuery = Get | List | Changes


# Results.


class PutResult(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """The write was applied. `previous_revision` is the mod_revision before it (0: the key was absent)."""

    revision: int
    previous_revision: int = 0


class DeleteResult(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """`deleted` is False where there was nothing to delete (not an error).

    `revision` is the machine's latest.
    """

    revision: int
    deleted: bool


class IncrementResult(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=3):
    """The integer after the increment."""

    revision: int
    value: int


class ConflictResult(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=4):
    """The condition did not hold; nothing changed. `current` is the key's state (None: absent)."""

    reason: str
    current: KeyValue | None


class GetResult(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=5):
    """`item` is None where the key does not exist. `revision` is the machine's latest."""

    item: KeyValue | None
    revision: int


class ListResult(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=6):
    """`more` says that a limit cut the list. With `keys_only` the values are empty.

    To continue, ask again with `start` just after the last key (that key followed by a zero byte).
    """

    items: list[KeyValue]
    more: bool
    revision: int


class Change(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One change: `value` is None for a deletion."""

    revision: int
    key: bytes
    value: bytes | None


class ChangesResult(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=7):
    """The changes up to revision `through`: go on with it as the next `after_revision`, also where `changes`
    is empty.

    `lost_before` is not 0 where changes after the asked revision and up to this one are no longer known: read
    the keys again, then go on from that reading's revision.
    """

    changes: list[Change]
    through: int
    lost_before: int = 0


class BadCommand(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=8):
    """The command cannot be applied (an increment of a value that is no integer); nothing changed."""

    reason: str


KvResult = (
    PutResult | DeleteResult | IncrementResult | ConflictResult | GetResult | ListResult | ChangesResult | BadCommand
)

_commands: msgspec.msgpack.Decoder[KvCommand] = msgspec.msgpack.Decoder(KvCommand)
_queries: msgspec.msgpack.Decoder[KvQuery] = msgspec.msgpack.Decoder(KvQuery)
_results: msgspec.msgpack.Decoder[KvResult] = msgspec.msgpack.Decoder(KvResult)
_encoder = msgspec.msgpack.Encoder()


def encode(value: KvCommand | KvQuery | KvResult) -> bytes:
    """Return a command, query or result as bytes."""
    return _encoder.encode(value)


def decode_command(data: bytes) -> KvCommand:
    """Return the command in `data`. Raises SerializationError; limits are checked by the machine."""
    return decode_as(_commands, data, "a key-value command")


def decode_query(data: bytes) -> KvQuery:
    """Return the query in `data`. Raises SerializationError."""
    return decode_as(_queries, data, "a key-value query")


def decode_result(data: bytes) -> KvResult:
    """Return the result in `data`. Raises SerializationError."""
    return decode_as(_results, data, "a key-value result")


def describe_command(command: bytes) -> str:
    """Return one printable line for an operator, such as `put "key" (256 bytes)`. It never raises."""
    try:
        parsed = decode_command(command)
    except SerializationError:
        return f"not a key-value command ({len(command)} bytes)"
    key = _printable(parsed.key)
    match parsed:
        case Put(value=value, expected_revision=None):
            return f"put {key} ({len(value)} bytes)"
        case Put(value=value, expected_revision=revision):
            return f"put {key} ({len(value)} bytes) if revision {revision}"
        case CompareAndSet(expected=None, value=value):
            return f"compare-and-set {key} ({len(value)} bytes) if absent"
        case CompareAndSet(expected=expected, value=value):
            return f"compare-and-set {key} ({len(value)} bytes) if {_printable(expected or b'')}"
        case Delete(expected_revision=None):
            return f"delete {key}"
        case Delete(expected_revision=revision):
            return f"delete {key} if revision {revision}"
        case Increment(delta=delta):
            return f"increment {key} by {delta}"


def _printable(text: bytes) -> str:
    """Return `text` in double quotes, with bytes that are not printable ASCII escaped, shortened if it is long."""
    # With a double quote in it, repr() uses single quotes, and escapes those.
    shown = repr(b'"' + text[:DESCRIBED_BYTES_MAX])[3:-1].replace('"', '\\"').replace("\\'", "'")
    return f'"{shown}"' + ("..." if len(text) > DESCRIBED_BYTES_MAX else "")
