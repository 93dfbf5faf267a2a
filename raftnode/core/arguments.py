"""Checks of what a caller passes in, made before anything changes, so that a mistake does not stop the node.

Callers see ValueError and TypeError. A node recognizes these subclasses: the same error from a storage or a clock, in
the middle of a change, stops it.
"""

import math

ID_MAX = 2**63 - 1


class InvalidArgument(ValueError):
    """An argument of the right type has an invalid value. Nothing was changed."""


class InvalidArgumentType(TypeError):
    """An argument has the wrong type. Nothing was changed."""


def check_index(name: str, value: object) -> int:
    """Return a log index (or a count of them), which is an int. Raises TypeError."""
    if type(value) is not int:
        raise InvalidArgumentType(f"{name} is {value!r}; it must be an int")
    return value


def check_node_id(name: str, value: object) -> int:
    """Return a node's id: an int from 1 to ID_MAX. Raises TypeError, ValueError."""
    found = check_index(name, value)
    if not 1 <= found <= ID_MAX:
        raise InvalidArgument(f"{name} is {found}; node ids are 1 to {ID_MAX}")
    return found


def check_seconds(name: str, value: object) -> float:
    """Return a time in seconds, which is a number. Raises TypeError, ValueError for NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidArgumentType(f"{name} is {value!r}; it must be a number of seconds")
    if math.isnan(value):
        raise InvalidArgument(f"{name} is NaN; it must be a number of seconds")
    return value


def command_bytes(value: object) -> bytes:
    """Return bytes, or a copy of a bytearray or memoryview, as bytes. Raises TypeError for anything else."""
    if type(value) is bytes:
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise InvalidArgumentType(f"a command is bytes, bytearray or memoryview, not {type(value).__name__}")
