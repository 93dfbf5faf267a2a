"""What a write would do: the store's rules, applied to a key as a linearizable read shows it."""

import re
from typing import Final, TypeVar

from raftctl.cli.context import Invocation
from raftctl.commands.kv.read import read
from raftctl.commands.kv.values import kv_result
from raftnode.wire import kv

INTEGER: Final = re.compile(rb"-?[0-9]{1,19}\Z")
INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**63 - 1

R = TypeVar("R")


def would(run: Invocation, change: kv.KvCommand, expected: type[R]) -> R:
    """Return what `change` would give now; its revision is the one that was read. Raises as the write would."""
    with run.cluster() as cluster:
        found = read(cluster, kv.Get(change.key), kv.GetResult, "linearizable")
    return kv_result(kv.encode(evaluate(change, found.item, found.revision)), expected, change.key)


def evaluate(change: kv.KvCommand, item: kv.KeyValue | None, revision: int) -> kv.KvResult:
    """Return the result of a command for a key that is `item` (None: absent), in a store at `revision`."""
    match change:
        case kv.Put(expected_revision=expected) | kv.Delete(expected_revision=expected) if (
            expected is not None and expected != (item.mod_revision if item else 0)
        ):
            if item is None:
                return kv.Conflict(f"the key does not exist; revision {expected} was expected", None)
            return kv.Conflict(f"the key's revision is {item.mod_revision}; {expected} was expected", item)
        case kv.CompareAndSet(expected=value) if value != (item.value if item else None):
            return kv.Conflict("the key has another value" if item else "the key does not exist", item)
        case kv.Put() | kv.CompareAndSet():
            return kv.PutResult(revision, item.mod_revision if item else 0)
        case kv.Delete():
            return kv.DeleteResult(revision, item is not None)
        case kv.Increment(delta=delta):
            text = item.value if item else b"0"
            if not INTEGER.match(text):
                return kv.BadCommand(f"the value is not a decimal integer of at most 19 digits ({len(text)} bytes)")
            number = int(text) + delta
            if not INTEGER_MIN <= number <= INTEGER_MAX:
                return kv.BadCommand(f"the sum {number} is outside the range of a signed 64-bit integer")
            return kv.IncrementResult(revision, number)
