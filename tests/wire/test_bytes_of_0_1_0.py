"""The bytes of the wire are those of 0.1.0, which wrote `data/structs_0_1_0.json`: one value of each of its structs.

Since then structs may have gained fields at their end, and enums may have gained members. Nothing else may differ.
"""

import importlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from raftnode.core.membership import ChangeKind
from raftnode.core.types import EntryKind
from raftnode.wire.client import Consistency, ErrorCode, MemberAction

KEPT = json.loads((Path(__file__).parent / "data" / "structs_0_1_0.json").read_text())
RENAMED = {
    "raftnode.core.types.SnapshotMeta": "raftnode.core.types.SnapshotPoint",
    "raftnode.wire.kv.Conflict": "raftnode.wire.kv.ConflictResult",
}
ENUMS = (ChangeKind, EntryKind, Consistency, MemberAction, ErrorCode)


def _struct(name: str) -> type[msgspec.Struct]:
    module, _, struct = RENAMED.get(name, name).rpartition(".")
    found: type[msgspec.Struct] = getattr(importlib.import_module(module), struct)
    return found


@pytest.mark.parametrize("name", KEPT["structs"])
def test_a_struct_of_0_1_0_is_read_and_written_with_the_same_bytes(name: str) -> None:
    """Each field has its place, its type and its tag: read by this program and written again, nothing differs."""
    struct, fields, data = _struct(name), KEPT["structs"][name]["fields"], bytes.fromhex(KEPT["structs"][name]["bytes"])
    assert list(struct.__struct_fields__[: len(fields)]) == fields
    assert _written(msgspec.msgpack.decode(data, type=struct), data) == data


def _written(value: msgspec.Struct, like: bytes) -> bytes:
    """Return the encoding of `value` without the fields that came after those in `like`."""
    items: list[Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(value), strict=False)
    return msgspec.msgpack.encode(items[: len(msgspec.msgpack.decode(like, strict=False))])


def test_the_members_of_the_enums_of_0_1_0_keep_their_values() -> None:
    """What an older program sends is known to this one."""
    assert {enum.__name__ for enum in ENUMS} == set(KEPT["enums"])
    for enum in ENUMS:
        assert set(KEPT["enums"][enum.__name__]) <= {member.value for member in enum}
