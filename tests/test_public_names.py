"""What `help()` says of the names that a program imports: all of them, and all of their fields."""

import ast
import dataclasses
import enum
import inspect
import re
import textwrap
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import msgspec
import pytest

import raftnode
import raftnode.testing

MODULES = (raftnode, raftnode.testing)
CLASSES = [value for module in MODULES for name in module.__all__ if inspect.isclass(value := getattr(module, name))]


def own_doc(value: Any) -> str:
    """Return what help() shows of a value, without what Python itself generates for a dataclass or a NamedTuple."""
    doc = inspect.getdoc(value) or ""
    return "" if re.match(r"\w+\(.*\)( -> None)?$", doc, re.DOTALL) and "\n" not in doc else doc


def members(cls: type) -> Iterator[tuple[str, Any]]:
    """Give the methods and properties that this project's classes define, `__init__` included."""
    for base in cls.__mro__:
        if base.__module__.startswith("raftnode"):
            for name, value in vars(base).items():
                called = inspect.isroutine(value) or isinstance(value, property | classmethod | staticmethod)
                if called and not name.startswith("_"):
                    yield name, getattr(cls, name)


def fields(cls: type) -> set[str]:
    """Return a class's public fields: declared ones, an enumeration's members, and what `__init__` assigns."""
    if issubclass(cls, enum.Enum):
        return set(cls.__members__)
    if issubclass(cls, msgspec.Struct):
        return set(cls.__struct_fields__)
    if dataclasses.is_dataclass(cls):
        return {field.name for field in dataclasses.fields(cls)}
    if hasattr(cls, "_fields"):
        return set(cls._fields)
    found: set[str] = set()
    for base in cls.__mro__:
        if base.__module__.startswith("raftnode") and "__init__" in vars(base):
            tree = ast.parse(textwrap.dedent(inspect.getsource(vars(base)["__init__"])))
            found |= {name for node in ast.walk(tree) for name in assigned(node)}
    return {name for name in found if not name.startswith("_")} - {
        name for base in cls.__mro__ for name in vars(base) if isinstance(vars(base)[name], property)
    }


def assigned(node: ast.AST) -> list[str]:
    """Return [x] for the `self.x` of an assignment to it."""
    match node:
        case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
            return [name]
    return []


def explained(cls: type) -> set[str]:
    """Return the fields that the list `Attributes:` of a class's docstring explains, in its bases' too."""
    docs = [inspect.cleandoc(base.__doc__ or "") for base in cls.__mro__ if base.__module__.startswith("raftnode")]
    lists = [found[1] for doc in docs for found in re.finditer(r"^Attributes:\n((?:    .*\n?)+)", doc, re.MULTILINE)]
    return {name for text in lists for name in re.findall(r"^    (\w+): \S", text, re.MULTILINE)}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_name_that_a_module_gives_is_there_and_has_a_docstring(module: ModuleType) -> None:
    """Names of types that are unions (`Message`) have no docstring in Python."""
    unions = {"Message", "Request", "Response"}
    values = {name: getattr(module, name) for name in module.__all__ if not name.startswith("__")}
    assert [name for name, value in values.items() if name not in unions and not own_doc(value)] == []


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_method_and_every_field_of_a_public_class_is_explained(cls: type) -> None:
    """Where `help()` shows it: a docstring under a field is only seen by those who read the source."""
    assert sorted({name for name, value in members(cls) if not own_doc(value)}) == []
    assert sorted(fields(cls) - explained(cls)) == []


def test_an_explanation_that_is_missing_is_noticed() -> None:
    """Of a field, in each kind of class, and of a method."""

    @dataclasses.dataclass
    class Point:
        """A point.

        Attributes:
            x: To the right.
        """

        x: int
        y: int

    class Plain:
        """Nothing."""

        def __init__(self) -> None:
            self.seen, self._hidden = 1, 2

        def undocumented(self) -> None:
            pass

    Point.__module__ = Plain.__module__ = "raftnode.planted"
    assert fields(Point) - explained(Point) == {"y"}
    assert fields(Plain) - explained(Plain) == {"seen"}
    assert [name for name, value in members(Plain) if not own_doc(value)] == ["undocumented"]
