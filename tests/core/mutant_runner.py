"""Applies the mutants of `mutants.py`, each in a process of its own, and reports which test noticed.

`python -m tests.core.mutant_runner` runs them all, `--name X` runs one. The source on disk is never changed: an
import hook gives the mutated text to the import system.
"""

import argparse
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NoReturn

import pytest

from tests.core.mutants import CORE, MUTANTS, Mutant

SECONDS_MAX = 30


@dataclass(frozen=True)
class Outcome:
    """What the named tests did: `verdict` is "caught", "survived", or "broken" (an error of another kind)."""

    name: str
    verdict: str
    detail: str


class _MutantFinder(importlib.abc.MetaPathFinder):
    """Gives the mutated text of one module to the import system."""

    def __init__(self, module: str, source: str, path: Path) -> None:
        self.module, self.source, self.path = module, source, path

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.module:
            return None
        return importlib.util.spec_from_loader(fullname, _MutantLoader(fullname, self.source, self.path))


class _MutantLoader(importlib.machinery.SourceFileLoader):
    def __init__(self, fullname: str, source: str, path: Path) -> None:
        super().__init__(fullname, str(path))
        self.source = source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.source, self.path, "exec", dont_inherit=True)


def cases(function: Callable[..., None]) -> Iterator[dict[str, Any]]:
    """Give the arguments of each case of a test: the product of its parametrize marks."""
    columns = []
    for mark in getattr(function, "pytestmark", []):
        if mark.name != "parametrize":
            continue
        names = mark.args[0]
        names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
        columns.append([dict(zip(names, [row] if len(names) == 1 else row, strict=True)) for row in mark.args[1]])
    for combination in itertools.product(*columns):
        yield {name: value for part in combination for name, value in part.items()}


def find_test(name: str) -> Callable[..., None]:
    """Return the function that "votes::test_x" names."""
    file, function = name.split("::")
    prefix = "" if file == "found_bugs" else "rules_"
    test: Callable[..., None] = getattr(importlib.import_module(f"tests.core.test_{prefix}{file}"), function)
    return test


def run_test(name: str) -> BaseException | None:
    """Run one test in all its cases; return the first failure."""
    test = find_test(name)
    for arguments in cases(test):
        try:
            test(**arguments)
        except (Exception, pytest.fail.Exception) as error:
            return error
    return None


def judge(mutant: Mutant) -> Outcome:
    """Run the named tests against the mutated core, in this process."""
    for name in [name for name in sys.modules if name.startswith(("raftnode", "tests."))]:
        del sys.modules[name]
    source = mutant.source()
    compile(source, mutant.file, "exec")
    sys.meta_path.insert(0, _MutantFinder(mutant.module, source, CORE / mutant.file))
    unexpected = ""
    for test in mutant.tests:
        error = run_test(test)
        raft_error = importlib.import_module("raftnode.core.errors").RaftError
        if isinstance(error, (AssertionError, pytest.fail.Exception, raft_error)):
            return Outcome(mutant.name, "caught", f"{test}: {type(error).__name__}")
        if error is not None:
            unexpected = f"{test}: {''.join(traceback.format_exception_only(error)).strip()}"
    return Outcome(mutant.name, "broken" if unexpected else "survived", unexpected or "every named test passed")


def run(mutants: Sequence[Mutant]) -> Iterator[Outcome]:
    """Judge each mutant in a child of its own."""
    for mutant in mutants:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            _judge_in_child(mutant, writing)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            answer = pipe.read()
        os.waitpid(child, 0)
        yield Outcome(**json.loads(answer)) if answer else Outcome(mutant.name, "broken", "it never ends, or died")


def _judge_in_child(mutant: Mutant, writing: int) -> NoReturn:
    signal.alarm(SECONDS_MAX)
    try:
        outcome = judge(mutant)
    except BaseException as error:
        outcome = Outcome(mutant.name, "broken", repr(error))
    with os.fdopen(writing, "w") as pipe:
        json.dump(asdict(outcome), pipe)
    os._exit(0)


def main() -> int:
    parser = argparse.ArgumentParser(description="apply the mutants of the core and show which test notices each")
    parser.add_argument("--name", help="only the mutant of this name")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    arguments = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if arguments.name in (None, mutant.name)]
    for test in {test for mutant in chosen for test in mutant.tests}:
        find_test(test)
    survived = 0
    for outcome in run(chosen):
        survived += outcome.verdict != "caught"
        line = f"{outcome.verdict:9}{outcome.name}: {outcome.detail}"
        print(json.dumps(asdict(outcome)) if arguments.json else line, flush=True)
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
