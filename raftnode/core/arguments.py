"""What a caller hands in is checked here, before anything changes: a mistake costs an exception and not the node.

The errors are ValueError and TypeError to the caller. They have types of their own, so that a node can tell them
from one that a storage or a clock raises half-way through a change, which stops it.
"""

import math

ID_MAX = 2**63 - 1


class InvalidArgument(ValueError):
    """An argument of the right type has a value that cannot be. Nothing was changed."""


class InvalidArgumentType(TypeError):
    """An argument has the wrong type. Nothing was changed."""


def check_index(name: str, value: object) -> int:
    """Return a log index (or a count of them), which is an int. Raises TypeError."""
    if type(value) is not int:
        raise InvalidArgumentType(f"{name} is {value!r}; it must be an int")
    return value


def check_node_id(name: str, value: object) -> int:
    """Return a node's id: an int from 1 on. Raises TypeError, ValueError."""
    found = check_index(name, value)
    if not 1 <= found <= ID_MAX:
        raise InvalidArgument(f"{name} is {found}; node ids are 1 to {ID_MAX}")
    return found


def check_seconds(name: str, value: object) -> float:
    """Return a time in seconds, which is a number. Raises TypeError, ValueError for NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidArgumentType(f"{name} is {value!r}; it must be a number of seconds")
    if math.isnan(value):
        raise InvalidArgument(f"{name} is NaN, which is no time")
    return value


def command_bytes(value: object) -> bytes:
    """Return a command as bytes of its own. Raises TypeError for anything but bytes, bytearray and memoryview."""
    if type(value) is bytes:
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise InvalidArgumentType(f"a command is bytes, bytearray or memoryview, not {type(value).__name__}")
