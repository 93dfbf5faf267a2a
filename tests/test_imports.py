"""Who may import whom: the data goes one way, and the consensus core knows no clock, socket, file or log.

raftctl -> config, wire -> core <- machine, storage <- replica <- daemon <- main
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import raftnode
from raftctl.cli import registry

ROOT = Path(raftnode.__file__).parent.parent

OUTSIDE_WORLD = frozenset(
    {
        "asyncio",
        "concurrent",
        "contextvars",
        "datetime",
        "fcntl",
        "http",
        "io",
        "logging",
        "multiprocessing",
        "os",
        "pathlib",
        "sched",
        "secrets",
        "select",
        "selectors",
        "shutil",
        "signal",
        "socket",
        "socketserver",
        "ssl",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "urllib",
        "uuid",
        "zoneinfo",
    }
)
CLOCK_AND_DICE = frozenset({"time", "random"})
EVENT_LOOP = frozenset({"asyncio", "uvloop"})


@dataclass(frozen=True)
class Rule:
    """What the modules whose names begin with `prefix` may import of this project, and what of nobody.

    `lazily` may be imported inside functions only.
    """

    prefix: str
    own: frozenset[str]
    lazily: frozenset[str] = frozenset()
    forbidden: frozenset[str] = frozenset()


def _own(*names: str) -> frozenset[str]:
    return frozenset(f"raftnode.{name}" for name in names)


# The longest prefix that fits a module decides.
RULES = (
    Rule("raftnode", _own("core", "storage", "wire"), forbidden=OUTSIDE_WORLD | CLOCK_AND_DICE),
    Rule("raftnode.core", _own("core"), forbidden=OUTSIDE_WORLD | CLOCK_AND_DICE),
    # A clock and a generator are given to the core: these name their types and defaults.
    Rule("raftnode.core.config", _own("core"), forbidden=OUTSIDE_WORLD),
    Rule("raftnode.core.node", _own("core"), forbidden=OUTSIDE_WORLD),
    Rule("raftnode.core.state", _own("core"), forbidden=OUTSIDE_WORLD | {"time"}),
    Rule("raftnode.testing", _own("testing", "core"), forbidden=OUTSIDE_WORLD | {"time"}),
    Rule("raftnode.wire", _own("wire", "core"), forbidden=OUTSIDE_WORLD | CLOCK_AND_DICE),
    Rule("raftnode.machine", _own("machine", "wire", "core"), forbidden=OUTSIDE_WORLD | CLOCK_AND_DICE),
    Rule(
        "raftnode.storage", _own("storage", "config", "core"), forbidden=EVENT_LOOP | {"random", "socket", "threading"}
    ),
    Rule("raftnode.config", _own("config", "wire", "core"), forbidden=EVENT_LOOP),
    Rule("raftnode.client", _own("client", "wire", "core"), forbidden=EVENT_LOOP),
    Rule("raftnode.client.async_client", _own("client", "wire", "core")),
    # The simulation runs these with a clock, a network and a disk of its own.
    Rule(
        "raftnode.replica",
        _own("replica", "config", "machine", "storage", "wire", "core"),
        forbidden=EVENT_LOOP | {"os", "pathlib", "select", "selectors", "socket", "ssl", "threading", "time"},
    ),
    Rule("raftnode.daemon", _own("daemon", "client", "replica", "config", "machine", "storage", "wire", "core")),
    Rule("raftnode.main", _own("daemon", "config", "storage", "wire", "core")),
    Rule("raftctl", _own("wire", "config", "client") | {"raftctl"}, lazily=_own("storage"), forbidden=EVENT_LOOP),
)

# Of the clock and the generator the core may name only these, and call none but the generator's class.
NAMED = {"time": {"monotonic"}, "random": {"Random"}}
CALLED = {"time": set[str](), "random": {"Random"}}


@dataclass(frozen=True)
class Import:
    module: str
    line: int
    lazy: bool


def _imports(node: ast.AST, lazy: bool = False) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Import(names=names):
                for name in names:
                    yield Import(name.name, child.lineno, lazy)
            case ast.ImportFrom(module=module, names=names, level=0):
                for name in names:
                    yield Import(f"{module}.{name.name}", child.lineno, lazy)
            case ast.ImportFrom():
                yield Import("(relative)", child.lineno, lazy)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                yield from _imports(child, True)
            case _:
                yield from _imports(child, lazy)


def _package(module: str) -> str:
    """Return what a rule speaks of: `raftnode.wire`, `raftctl`, or somebody else's top name."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "raftnode" else parts[0]


def _rule_for(module: str) -> Rule:
    fitting = [rule for rule in RULES if module == rule.prefix or module.startswith(rule.prefix + ".")]
    return max(fitting, key=lambda rule: len(rule.prefix))


def _check_module(module: str, tree: ast.Module) -> Iterator[str]:
    rule = _rule_for(module)
    for found in _imports(tree):
        package = _package(found.module)
        where = f"{module}:{found.line}"
        if package == "(relative)":
            yield f"{where} imports relatively"
        elif package in {"raftnode.__version__", "raftnode"}:
            continue
        elif package.split(".")[0] in {"raftnode", "raftctl"}:
            if package not in rule.own and not (found.lazy and package in rule.lazily):
                yield f"{where} imports {package}"
        elif package in rule.forbidden:
            yield f"{where} imports {package}"
    if module.startswith("raftnode.core."):
        yield from _check_clock_and_dice(module, tree)


def _check_clock_and_dice(module: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=attribute)):
                if name in CALLED and attribute not in CALLED[name]:
                    yield f"{module}:{node.lineno} calls {name}.{attribute}"
            case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                if name in NAMED and attribute not in NAMED[name]:
                    yield f"{module}:{node.lineno} uses {name}.{attribute}"
            case ast.ImportFrom(module=name) if name in NAMED:
                yield f"{module}:{node.lineno} imports a name from {name}"


def violations(root: Path) -> list[str]:
    """Return what in the packages under `root` breaks a rule."""
    found: list[str] = []
    for package in ("raftnode", "raftctl"):
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found += _check_module(module, ast.parse(path.read_bytes(), str(path)))
    return found


def _module_names(root: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for package in ("raftnode", "raftctl"):
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _arrows(root: Path) -> dict[str, set[str]]:
    """Return what each module imports of this project: at the top, inside functions, and for types only."""
    modules = _module_names(root)
    arrows: dict[str, set[str]] = {}
    for name, path in modules.items():
        targets: set[str] = set()
        for found in _imports(ast.parse(path.read_bytes(), str(path))):
            module = found.module
            while module and module not in modules:
                module = module.rpartition(".")[0]
            targets.add(module)
        # A package's __init__ names its modules for whoever imports the package; nobody inside imports it.
        arrows[name] = targets - {name, "", "raftnode", "raftctl"}
    return arrows


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Return every group of modules that import each other, directly or through others (Tarjan's algorithm)."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        numbers[module] = lowest[module] = len(numbers)
        stack.append(module)
        for target in sorted(arrows.get(module, ())):
            if target not in numbers:
                visit(target)
                lowest[module] = min(lowest[module], lowest[target])
            elif target in stack:
                lowest[module] = min(lowest[module], numbers[target])
        if lowest[module] == numbers[module]:
            at = stack.index(module)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for module in sorted(arrows):
        if module not in numbers:
            visit(module)
    return found


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Arrows point down only, those inside functions and behind TYPE_CHECKING included."""
    assert circles(_arrows(ROOT)) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("from raftctl.b import x", "from raftctl.a import y"),
        ("from raftctl import b", "def f():\n    import raftctl.a"),
        ("from raftctl.b import x", "if TYPE_CHECKING:\n    from raftctl.c import y"),
    ],
)
def test_a_planted_circle_is_found(tmp_path: Path, first: str, second: str) -> None:
    """At the top, inside a function, behind TYPE_CHECKING, and through a third module."""
    (tmp_path / "raftctl").mkdir()
    (tmp_path / "raftnode").mkdir()
    for name, source in (("a", first), ("b", second), ("c", "from raftctl.a import z"), ("d", "import raftctl.a")):
        (tmp_path / "raftctl" / f"{name}.py").write_text(source)
    (found,) = circles(_arrows(tmp_path))
    assert {"raftctl.a", "raftctl.b"} <= set(found)
    assert "raftctl.d" not in found


def test_command_modules_do_not_import_each_other() -> None:
    """A verb's module is nobody's library: what two verbs need stands in their group's shared module or in a street."""
    commands = {f"raftctl.commands.{entry.partition(':')[0]}" for entry in registry.COMMANDS.values()}
    arrows = _arrows(ROOT)
    found = {(name, target) for name in arrows for target in arrows[name] if target in commands}
    assert found == set()


def test_every_module_imports_only_what_its_room_may() -> None:
    """The core imports nothing above it, and so on upwards; the rules are the table above."""
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("file", "source", "violation"),
    [
        ("raftnode/core/log.py", "from raftnode.wire import frame", "imports raftnode.wire"),
        ("raftnode/core/log.py", "import raftnode.storage.wal", "imports raftnode.storage"),
        ("raftnode/core/log.py", "from raftnode import replica", "imports raftnode.replica"),
        ("raftnode/core/log.py", "from ..wire import frame", "imports relatively"),
        ("raftnode/core/log.py", "import os.path", "imports os"),
        ("raftnode/core/log.py", "def f():\n    import logging", "imports logging"),
        ("raftnode/core/log.py", "import time", "imports time"),
        ("raftnode/core/log.py", "if x:\n    from datetime import datetime", "imports datetime"),
        ("raftnode/core/node.py", "import time\nx = time.time()", "calls time.time"),
        ("raftnode/core/node.py", "import time\nx = time.monotonic()", "calls time.monotonic"),
        ("raftnode/core/node.py", "import time\nf = time.time_ns", "uses time.time_ns"),
        ("raftnode/core/node.py", "import random\nx = random.random()", "calls random.random"),
        ("raftnode/core/node.py", "from random import choice", "imports a name from random"),
        ("raftnode/wire/frame.py", "from raftnode.machine.kv.machine import KvMachine", "imports raftnode.machine"),
        ("raftnode/wire/frame.py", "import asyncio", "imports asyncio"),
        ("raftnode/machine/kv/machine.py", "from raftnode.storage import wal", "imports raftnode.storage"),
        ("raftnode/machine/kv/machine.py", "import time", "imports time"),
        ("raftnode/storage/wal.py", "from raftnode.wire import frame", "imports raftnode.wire"),
        ("raftnode/storage/wal.py", "import asyncio", "imports asyncio"),
        ("raftnode/replica/replica.py", "import socket", "imports socket"),
        ("raftnode/replica/replica.py", "import time", "imports time"),
        ("raftnode/daemon/loop.py", "import raftctl.output.output", "imports raftctl"),
        ("raftnode/__init__.py", "from raftnode.replica import replica", "imports raftnode.replica"),
        ("raftctl/cluster.py", "from raftnode.core.types import LogEntry", "imports raftnode.core"),
        ("raftctl/cluster.py", "from raftnode.storage import wal", "imports raftnode.storage"),
        ("raftctl/cluster.py", "async def f():\n    import asyncio", "imports asyncio"),
        ("raftctl/commands/kv.py", "class C:\n    from raftnode.replica import x", "imports raftnode.replica"),
    ],
)
def test_the_checker_catches_a_planted_violation(tmp_path: Path, file: str, source: str, violation: str) -> None:
    """A check that cannot fail proves nothing: each kind of breach is found where it is planted."""
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(source)
    assert any(violation in found for found in violations(tmp_path))


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("raftnode/core/node.py", "import random, time\ndef f(clock=time.monotonic): return random.Random()"),
        ("raftnode/core/log.py", "from bisect import bisect\nfrom raftnode.core import types"),
        ("raftctl/commands/log/log.py", "def f():\n    from raftnode.storage import wal"),
        ("raftctl/commands/version.py", "from raftnode import __version__\nfrom raftnode.wire import hello"),
        ("raftnode/daemon/loop.py", "import asyncio, time\nfrom raftnode.machine import kv"),
    ],
)
def test_the_checker_lets_pass_what_is_allowed(tmp_path: Path, file: str, source: str) -> None:
    """Nor may it find what is not there."""
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(source)
    assert violations(tmp_path) == []


def _loaded_by(statement: str) -> set[str]:
    """Return the modules that a new interpreter has loaded after `statement`."""
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


WIRE_MODULES = ["raftnode.wire", *(f"raftnode.wire.{path.stem}" for path in (ROOT / "raftnode/wire").glob("[!_]*.py"))]


@pytest.mark.parametrize("module", sorted(WIRE_MODULES))
def test_the_wire_loads_neither_an_event_loop_nor_the_rooms_above(module: str) -> None:
    """What a small client imports stays small."""
    loaded = _loaded_by(f"import {module}")
    assert module in loaded
    assert not loaded & {"asyncio", "uvloop", "socket", "logging", "typer", "rich"}
    above = ("raftnode.replica", "raftnode.daemon", "raftnode.storage", "raftnode.machine", "raftnode.core.node")
    assert not [name for name in loaded if name.startswith(above)]


def test_the_blocking_client_loads_neither_an_event_loop_nor_the_rooms_above() -> None:
    """It is for small scripts; asyncio comes with `AsyncClient` only."""
    loaded = _loaded_by("from raftnode.client import Client; Client('127.0.0.1:1').close()")
    assert not loaded & {"asyncio", "uvloop", "logging", "typer", "rich", "ssl", "dataclasses"}
    above = (
        "raftctl",
        "raftnode.replica",
        "raftnode.daemon",
        "raftnode.storage",
        "raftnode.machine",
        "raftnode.config",
    )
    assert not [name for name in loaded if name.startswith(above)]
    assert "asyncio" in _loaded_by("from raftnode.client import AsyncClient")


def test_the_package_itself_loads_nothing_until_it_is_asked() -> None:
    """`import raftnode` is free; its names come when they are used."""
    loaded = _loaded_by("import raftnode")
    assert {name for name in loaded if name.startswith("raftnode")} == {"raftnode"}
    assert "raftnode.core.types" in _loaded_by("import raftnode; raftnode.LogEntry")
