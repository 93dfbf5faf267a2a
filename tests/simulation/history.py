"""Histories of client operations, as JSON lines: one operation a line, in any order.

    {"client":"c1","key":"k0","op":"cas","arg":"b","expected":"a","output":true,"outcome":"ok",
     "call_ns":1000,"return_ns":2500}

| field | meaning |
| --- | --- |
| client | who asked; a client has one operation under way at a time |
| key | what it is about: each key is a register of its own, absent (null) at first |
| op | `put`, `get`, `delete`, `cas` or `incr` |
| arg | put and cas: the new value, a string. incr: what is added, an integer. Else null |
| expected | cas: the value that the key must have, or null where it must be absent. Else null |
| output | get: the value or null. delete and cas: whether it took effect. incr: the sum. put: null |
| outcome | `ok`: it happened, with that output. `fail`: it never happened. `unknown`: it may have, or may yet |
| call_ns | when it was asked, in nanoseconds of one clock for all clients |
| return_ns | when its answer came; null where none did. Of an operation that is not ok it says nothing |

An increment takes an absent key for 0 and leaves the sum's decimal digits as the value.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

OperationName = Literal["put", "get", "delete", "cas", "incr"]
Outcome = Literal["ok", "fail", "unknown"]


class Operation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One operation of one client; the module's docstring has the fields."""

    client: str
    key: str
    op: OperationName
    arg: str | int | None = None
    expected: str | None = None
    output: str | int | bool | None = None
    outcome: Outcome
    call_ns: int
    return_ns: int | None = None

    def __post_init__(self) -> None:
        if self.outcome == "ok" and (self.return_ns is None or self.return_ns < self.call_ns):
            raise ValueError(f"an operation that is ok returns after its call: {self.call_ns} to {self.return_ns}")
        wanted = {"put": str, "cas": str, "incr": int}.get(self.op, type(None))
        if not isinstance(self.arg, wanted) or isinstance(self.arg, bool):
            raise ValueError(f"{self.op} has the argument {self.arg!r}")


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Operation)


def write_history(operations: Iterable[Operation]) -> bytes:
    """Return the operations as JSON lines."""
    return _encoder.encode_lines(operations)


def read_history(data: bytes) -> list[Operation]:
    """Return the operations in JSON lines. Raises ValueError with the number of a line that is not one."""
    found: list[Operation] = []
    for number, line in enumerate(data.splitlines(), 1):
        try:
            found.append(_decoder.decode(line))
        except msgspec.DecodeError as error:
            raise ValueError(f"line {number}: {error}") from error
    return found
