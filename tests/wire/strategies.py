"""Hypothesis strategies for the wire's structs, made from their declared types."""

import enum
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect as mi

from raftnode.core import membership, messages, types
from raftnode.wire import client, hello, kv, peer

WIRE_MODULES = (hello, client, kv, peer, messages, membership, types)


def structs_of(module: ModuleType) -> list[type[msgspec.Struct]]:
    """Return the structs that `module` itself defines."""
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, msgspec.Struct) and value.__module__ == module.__name__
    ]


def wire_structs() -> list[type[msgspec.Struct]]:
    """Return every struct that travels."""
    return [struct for module in WIRE_MODULES for struct in structs_of(module)]


def values(struct: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Return a strategy for instances of `struct` with any field values of the declared types."""
    return _strategy(mi.type_info(struct))


def _strategy(info: mi.Type) -> st.SearchStrategy[Any]:
    return _STRATEGIES[type(info)](info)


def _integers(info: mi.IntType) -> st.SearchStrategy[int]:
    low = -(2**63) if info.ge is None else info.ge
    high = 2**63 - 1 if info.le is None else info.le
    return st.integers(low, high)


def _enum(info: mi.EnumType) -> st.SearchStrategy[enum.Enum]:
    return st.sampled_from(list(info.cls))


def _struct(info: mi.StructType) -> st.SearchStrategy[msgspec.Struct]:
    return st.builds(info.cls, *(_strategy(field.type) for field in info.fields))


_STRATEGIES: dict[type[mi.Type], Callable[[Any], st.SearchStrategy[Any]]] = {
    mi.IntType: _integers,
    mi.FloatType: lambda info: st.floats(allow_nan=False),
    mi.BoolType: lambda info: st.booleans(),
    mi.NoneType: lambda info: st.none(),
    mi.StrType: lambda info: st.text(max_size=20),
    mi.BytesType: lambda info: st.binary(max_size=40),
    mi.EnumType: _enum,
    mi.ListType: lambda info: st.lists(_strategy(info.item_type), max_size=4),
    mi.VarTupleType: lambda info: st.lists(_strategy(info.item_type), max_size=4).map(tuple),
    mi.DictType: lambda info: st.dictionaries(_strategy(info.key_type), _strategy(info.value_type), max_size=3),
    mi.UnionType: lambda info: st.one_of([_strategy(kind) for kind in info.types]),
    mi.StructType: _struct,
}
