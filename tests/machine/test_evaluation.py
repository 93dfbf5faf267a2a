"""What a write would come to is what it comes to, and asking changes nothing."""

import random
from typing import Any

import msgspec
import pytest

from raftnode.machine.kv.machine import KvMachine
from raftnode.machine.protocol import CommandRefused
from raftnode.machine.sessions.machine import SessionMachine
from raftnode.wire import kv
from raftnode.wire.kv import KEY_BYTES_MAX


@pytest.mark.parametrize("seed", range(30))
def test_the_evaluation_is_what_the_store_then_answers(seed: int) -> None:
    """But for the new revision; and the state, its history and its next snapshot are the same as before."""
    chance = random.Random(seed)
    machine = KvMachine()
    values = [b"", b"1", b"-3", b"abc", b"9223372036854775807", b"99999999999999999999"]
    for index in range(1, 120):
        key, value = b"k%d" % chance.randrange(3), chance.choice(values)
        expected = chance.choice([None, 0, chance.randrange(index)])
        commands: list[kv.KvCommand] = [
            kv.Put(key, value, expected),
            kv.Delete(key, expected),
            kv.Increment(key, chance.choice([0, 1, -5, 2**62])),
            kv.CompareAndSet(key, chance.choice([None, *values]), value),
        ]
        command = kv.encode(chance.choice(commands))
        before = look_at(machine)
        said = kv.decode_result(machine.evaluate(command))
        assert look_at(machine) == before
        real = kv.decode_result(machine.apply(index, command))
        assert without_revision(said) == without_revision(real)
        if isinstance(said, kv.PutResult | kv.DeleteResult | kv.IncrementResult):
            assert said.revision == before[0]


def look_at(machine: KvMachine) -> tuple[int, bytes, bytes | None]:
    """Return everything that a change would change: the revision, the state, and what watches see."""
    return machine.revision, b"".join(machine.snapshot()), machine.changes(kv.encode(kv.Changes(b"", 0)))


def without_revision(result: kv.KvResult) -> dict[str, Any]:
    """Return what a result says, but for the store's revision."""
    return {"type": type(result)} | {k: v for k, v in msgspec.structs.asdict(result).items() if k != "revision"}


@pytest.mark.parametrize("command", [b"", b"nonsense", kv.encode(kv.Put(b"k" * (KEY_BYTES_MAX + 1), b""))])
def test_what_may_not_enter_the_log_is_not_evaluated_either(command: bytes) -> None:
    """The same refusal as that of a write."""
    machine = SessionMachine(KvMachine())
    with pytest.raises(CommandRefused) as written:
        machine.check_write(0, 1, 0, command)
    with pytest.raises(CommandRefused) as evaluated:
        machine.evaluate(command)
    assert str(written.value) == str(evaluated.value)
    assert written.value.too_large == evaluated.value.too_large
