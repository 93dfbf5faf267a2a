"""The data of a COMMAND entry: a session's opening, or a command for the state machine. The log, AppendEntries and
LogResult hold it in this form.
"""

from collections.abc import Callable
from typing import Annotated

import msgspec

from raftnode.core.errors import SerializationError
from raftnode.wire.frame import decode_as

Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class OpenEntry(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """Opens a session, whose id is the entry's log index."""


class WriteEntry(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """Carries a command for the inner machine. `session` 0 is no session."""

    session: Number
    sequence: Number
    acknowledged: Number
    command: bytes


_entries: msgspec.msgpack.Decoder[OpenEntry | WriteEntry] = msgspec.msgpack.Decoder(OpenEntry | WriteEntry)


def decode_entry(data: bytes) -> OpenEntry | WriteEntry:
    """Return what the data of a log entry holds. Raises SerializationError."""
    return decode_as(_entries, data, "an entry of the session machine")


def describe_data(data: bytes, describe_command: Callable[[bytes], str]) -> str:
    """Return one line about an entry's data for an operator; `describe_command` is the inner machine's.

    It never raises.
    """
    try:
        entry = decode_entry(data)
    except SerializationError:
        return f"not an entry of the session machine ({len(data)} bytes)"
    if isinstance(entry, OpenEntry):
        return "open session"
    what = describe_command(entry.command)
    return f"{what} [session {entry.session} #{entry.sequence}]" if entry.session else what
