"""What an operation of a history is in the protocol of the key-value store, and what its result comes to."""

from raftnode.wire.kv import (
    CompareAndSet,
    ConflictResult,
    Delete,
    DeleteResult,
    GetResult,
    Increment,
    IncrementResult,
    KvCommand,
    KvResult,
    Put,
    PutResult,
)
from tests.simulation.history import OperationName


def command_of(op: OperationName, key: str, arg: str | int | None = None, expected: str | None = None) -> KvCommand:
    """Return the command that asks for a write. Raises ValueError for a read, or an argument that does not fit."""
    match op, arg:
        case "put", str():
            return Put(key.encode(), arg.encode())
        case "cas", str():
            return CompareAndSet(key.encode(), None if expected is None else expected.encode(), arg.encode())
        case "delete", None:
            return Delete(key.encode())
        case "incr", int():
            return Increment(key.encode(), arg)
    raise ValueError(f"{op} with the argument {arg!r} is no write")


def output_of(op: OperationName, result: KvResult) -> str | int | bool | None:
    """Return an operation's output for its history. Raises AssertionError for the result of another operation."""
    match op, result:
        case "put", PutResult():
            return None
        case "cas", PutResult():
            return True
        case "cas", ConflictResult():
            return False
        case "delete", DeleteResult(deleted=deleted):
            return deleted
        case "incr", IncrementResult(value=value):
            return value
        case "get", GetResult(item=item):
            return None if item is None else item.value.decode()
    raise AssertionError(f"{op} has the result {result}")
