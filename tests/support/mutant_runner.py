"""Applies a list of mutants, each in a process of its own, and reports which test noticed.

`python -m tests.support.mutant_runner tests.server.mutants` runs that module's list, `--name X` one of them. The
source on disk is never changed: an import hook gives the mutated text to the import system.

First the named tests run on the program as it is, all of them: what fails there could notice nothing.
"""

import argparse
import contextlib
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import NoReturn

import pytest

from tests.support.mutants import ROOT, Mutant

SECONDS_MAX = 30
"""How long the tests of one mutant may take."""

NO_MUTANT = "no mutant"


@dataclass(frozen=True)
class Outcome:
    """What the named tests did: `verdict` is "caught", "survived", or "broken" (they failed for a wrong reason)."""

    name: str
    verdict: str
    detail: str


class _MutantFinder(importlib.abc.MetaPathFinder):
    """Gives the mutated text of one module to the import system."""

    def __init__(self, mutant: Mutant) -> None:
        self.module, self.source, self.path = mutant.module, mutant.source(), mutant.path

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


class _Watcher:
    """Hears from pytest what the tests raised.

    A test notices with an assertion or an error of Raft's, and in its own body. Anything else (a NameError of the
    mutated text, a module that cannot be imported, a fixture that fails) would come from any nonsense.
    """

    def __init__(self) -> None:
        self.noticed = self.failed_otherwise = ""

    def pytest_exception_interact(self, node: pytest.Item | pytest.Collector, call: pytest.CallInfo[object]) -> None:
        assert call.excinfo is not None
        error = call.excinfo.value
        text = f"{node.nodeid}: {''.join(traceback.format_exception_only(error)).strip()}"
        # The tests' own: modules are imported anew for each mutant.
        raft_error = importlib.import_module("raftnode.core.errors").RaftError
        if call.when == "call" and isinstance(error, (AssertionError, pytest.fail.Exception, raft_error)):
            self.noticed = text
            node.session.shouldfail = "one test that notices is enough"
        else:
            self.failed_otherwise = f"{text} (in {call.when})"


def run_tests(name: str, test_paths: Sequence[str]) -> Outcome:
    """Run the tests in this process."""
    watcher = _Watcher()
    with contextlib.redirect_stdout(io.StringIO()):
        code = pytest.main(["--tb=no", "--assert=plain", "-p", "no:cacheprovider", *test_paths], plugins=[watcher])
    if watcher.noticed:
        return Outcome(name, "caught", watcher.noticed)
    if code == pytest.ExitCode.OK:
        return Outcome(name, "survived", "every named test passed")
    return Outcome(name, "broken", watcher.failed_otherwise or f"pytest ends with {code!r}")


def judge(mutant: Mutant) -> Outcome:
    """Run the named tests against the mutated source, in this process, which is of no use afterwards."""
    for name in [name for name in sys.modules if name.startswith(("raftnode", "tests."))]:
        del sys.modules[name]
    sys.meta_path.insert(0, _MutantFinder(mutant))
    return run_tests(mutant.name, mutant.test_paths)


def run(mutants: Sequence[Mutant]) -> Iterator[Outcome]:
    """Run the named tests without a mutant, which must survive; then judge each mutant in a child of its own."""
    yield run_tests(NO_MUTANT, sorted({path for mutant in mutants for path in mutant.test_paths}))
    # The children copy less of what the collector leaves alone.
    gc.freeze()
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


def outcomes_of(module: str) -> dict[str, Outcome]:
    """Judge a module's MUTANTS in an interpreter that forks a child for each; return what came of each."""
    command = [sys.executable, "-m", __name__, module, "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    found = [Outcome(**json.loads(line)) for line in done.stdout.splitlines()]
    assert done.returncode in (0, 1), done.stderr
    return {outcome.name: outcome for outcome in found}


def main() -> int:
    parser = argparse.ArgumentParser(description="apply mutants of the program and show which test notices each")
    parser.add_argument("module", help="where MUTANTS is, such as tests.core.mutants")
    parser.add_argument("--name", help="only the mutant of this name")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    arguments = parser.parse_args()
    mutants: list[Mutant] = importlib.import_module(arguments.module).MUTANTS
    repeated = [name for name, count in Counter(mutant.name for mutant in mutants).items() if count > 1]
    if repeated:
        parser.error(f"two mutants have one name: {repeated}")
    wrong = 0
    for outcome in run([mutant for mutant in mutants if arguments.name in (None, mutant.name)]):
        wrong += outcome.verdict != ("survived" if outcome.name == NO_MUTANT else "caught")
        line = f"{outcome.verdict:9}{outcome.name}: {outcome.detail.splitlines()[0]}"
        print(json.dumps(asdict(outcome)) if arguments.json else line, flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
