"""Applies the mutants of `mutants.py`, each in a process of its own, and reports whether its tests noticed.

`python -m tests.server.mutant_runner` runs them all, `--name X` runs one. The source on disk is never changed: an
import hook gives the mutated text to the import system.
"""

import argparse
import contextlib
import io
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import pytest

from tests.core.mutant_runner import SECONDS_MAX, Outcome, _MutantFinder
from tests.server.mutants import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
CHILDREN = 2


def judge(mutant: Mutant) -> Outcome:
    """Run the named tests against the mutated source, in this process."""
    for name in [name for name in sys.modules if name.startswith(("raftnode", "tests."))]:
        del sys.modules[name]
    source = mutant.source()
    compile(source, mutant.file, "exec")
    sys.meta_path.insert(0, _MutantFinder(mutant.module, source, mutant.path))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = pytest.main(["-q", "-x", "--tb=line", "--no-header", "-p", "no:cacheprovider", *mutant.test_paths])
    verdicts = {pytest.ExitCode.TESTS_FAILED: "caught", pytest.ExitCode.OK: "survived"}
    return Outcome(mutant.name, verdicts.get(pytest.ExitCode(code), "broken"), printed.getvalue()[-400:])


def run(mutants: Sequence[Mutant]) -> Iterator[Outcome]:
    """Judge each mutant in a child of its own, a few at a time."""
    waiting = list(mutants)
    running: list[tuple[Mutant, int, int]] = []
    while waiting or running:
        while waiting and len(running) < CHILDREN:
            mutant = waiting.pop(0)
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                _judge_in_child(mutant, writing)
            os.close(writing)
            running.append((mutant, child, reading))
        mutant, child, reading = running.pop(0)
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
    parser = argparse.ArgumentParser(description="apply the mutants of the server and show whether tests notice each")
    parser.add_argument("--name", help="only the mutant of this name")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    survived = 0
    for outcome in run([mutant for mutant in MUTANTS if arguments.name in (None, mutant.name)]):
        survived += outcome.verdict != "caught"
        last = outcome.detail.strip().rpartition("\n")[2]
        line = f"{outcome.verdict:9}{outcome.name}: {last}"
        print(json.dumps(asdict(outcome)) if arguments.json else line, flush=True)
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
