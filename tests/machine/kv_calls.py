"""Calls of a key-value machine in its decoded terms."""

from collections.abc import Iterator

from raftnode.machine.kv.machine import KvMachine
from raftnode.wire.kv import ChangesResult, KvCommand, KvQuery, KvResult, decode_result, encode


def apply(machine: KvMachine, index: int, command: KvCommand) -> KvResult:
    """Apply `command` as log entry `index`."""
    return decode_result(machine.apply(index, encode(command)))


def query(machine: KvMachine, question: KvQuery) -> KvResult:
    """Ask `question` of the present state."""
    return decode_result(machine.query(encode(question)))


def watch(machine: KvMachine, question: KvQuery) -> ChangesResult | None:
    """Ask for changes."""
    answer = machine.changes(encode(question))
    if answer is None:
        return None
    result = decode_result(answer)
    assert isinstance(result, ChangesResult)
    return result


def restored(chunks: Iterator[bytes]) -> KvMachine:
    """Return a new machine with the state of a snapshot."""
    machine = KvMachine()
    machine.restore(list(chunks))
    return machine
