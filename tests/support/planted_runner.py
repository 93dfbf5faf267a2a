"""Judges planted bugs: which of the named tests notices each.

    python -m tests.support.planted_runner tests.core.planted_bugs            the whole list
    python -m tests.support.planted_runner tests.core.planted_bugs --name "half of the votes is enough"

The tests are collected once. First all of them run on the program as it is and must pass (`--no-baseline` leaves that
to a run of the whole suite). Then each bug is planted in a forked child, which runs its tests.
"""

import argparse
import contextlib
import gc
import importlib
import io
import json
import os
import signal
import subprocess
import sys
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from raftnode.core.errors import RaftError
from tests.support.planted import PlantedBug

ROOT = Path(__file__).resolve().parents[2]

SECONDS_MAX = 30
"""How long the tests of one bug may take."""

NO_BUG = "no bug"


@dataclass(frozen=True)
class Outcome:
    """What the tests of one bug did.

    `verdict` is "caught", "survived" (a test passed), or "broken" (a test failed for a wrong reason).
    """

    name: str
    verdict: str
    detail: str

    @property
    def expected(self) -> bool:
        """Whether this is what a good list gives: the program passes, and every bug is caught."""
        return self.verdict == ("survived" if self.name == NO_BUG else "caught")


class _Judge:
    """A pytest plugin that runs the collected tests once for each bug."""

    def __init__(self, bugs: Sequence[PlantedBug], seconds_max: int, *, baseline: bool) -> None:
        self.outcomes: list[Outcome] = []
        self._baseline = baseline
        self._bugs = bugs
        self._seconds_max = seconds_max
        self._items: dict[str, list[pytest.Item]] = defaultdict(list)
        self._noticed = self._broken = ""

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        for item in session.items:
            self._items[item.nodeid.partition("[")[0]].append(item)
        if self._baseline and not self._passes_as_it_is():
            return True
        gc.freeze()  # the children copy less of what the collector leaves alone
        self.outcomes += [self._judge_in_child(bug) for bug in self._bugs]
        return True

    def _passes_as_it_is(self) -> bool:
        outcome = self._judge(NO_BUG, list(self._items))
        passes = outcome.verdict == "survived"
        self.outcomes.append(outcome if passes else Outcome(NO_BUG, "broken", outcome.detail))
        return passes

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        """Tell a test that notices from one that fails for a wrong reason.

        A test notices with an assertion or one of Raft's errors, in its own body. Everything else (a NameError of the
        patch, a fixture that fails) any nonsense would cause as well.
        """
        if call.excinfo is not None:
            error = call.excinfo.value
            text = f"{item.nodeid}: {''.join(traceback.format_exception_only(error)).strip()}"
            if call.when == "call" and isinstance(error, (AssertionError, pytest.fail.Exception, RaftError)):
                self._noticed = self._noticed or text
            else:
                self._broken = self._broken or f"{text} (in {call.when})"
        return (yield)

    def _judge(self, name: str, tests: Sequence[str]) -> Outcome:
        details = []
        for test in tests:
            self._noticed = self._broken = ""
            for item in self._items[test]:
                item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
                if self._noticed and name != NO_BUG:
                    break
            if self._broken:
                return Outcome(name, "broken", self._broken)
            if not self._noticed and name != NO_BUG:
                return Outcome(name, "survived", f"{test} passed" if self._items[test] else f"there is no {test}")
            details.append(self._noticed)
        noticed = "; ".join(filter(None, details))
        return Outcome(name, "caught" if noticed else "survived", noticed or "every named test passed")

    def _judge_in_child(self, bug: PlantedBug) -> Outcome:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(self._seconds_max)
            try:
                bug.plant(pytest.MonkeyPatch())
                outcome = self._judge(bug.name, bug.tests)
            except BaseException as error:
                outcome = Outcome(bug.name, "broken", repr(error))
            with os.fdopen(writing, "w") as pipe:
                json.dump(asdict(outcome), pipe)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            answer = pipe.read()
        os.waitpid(child, 0)
        return Outcome(**json.loads(answer)) if answer else Outcome(bug.name, "broken", "its tests never end, or died")


def judge(bugs: Sequence[PlantedBug], seconds_max: int, *, baseline: bool) -> list[Outcome]:
    """Return what came of the program without a bug if `baseline`, and of each bug."""
    repeated = [name for name, count in Counter(bug.name for bug in bugs).items() if count > 1]
    if repeated:
        raise ValueError(f"two bugs have one name: {repeated}")
    judge = _Judge(bugs, seconds_max, baseline=baseline)
    tests = sorted({test for bug in bugs for test in bug.tests})
    options = ["--tb=no", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "timeout=0"]
    with contextlib.redirect_stdout(io.StringIO()):
        code = pytest.main([*options, *tests], plugins=[judge])
    if not judge.outcomes:
        judge.outcomes.append(Outcome(NO_BUG, "broken", f"the tests cannot be collected: pytest ends with {code!r}"))
    return judge.outcomes


def judge_apart(module: str, *options: str) -> list[Outcome]:
    """Judge a module's BUGS in an interpreter for that purpose, because it forks."""
    command = [sys.executable, "-m", __name__, module, "--json", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode in (0, 1), done.stderr
    return [Outcome(**json.loads(line)) for line in done.stdout.splitlines()]


def main() -> int:
    """Parse the arguments and judge."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {__spec__.name}", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("module", help="the module with BUGS, such as tests.core.planted_bugs")
    parser.add_argument("--name", help="only the bug of this name")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    parser.add_argument("--seconds", type=int, default=SECONDS_MAX, help="how long the tests of one bug may take")
    parser.add_argument("--no-baseline", dest="baseline", action="store_false", help="run no test without a bug")
    arguments = parser.parse_args()
    bugs: list[PlantedBug] = importlib.import_module(arguments.module).BUGS
    chosen = [bug for bug in bugs if arguments.name in (None, bug.name)]
    outcomes = judge(chosen, arguments.seconds, baseline=arguments.baseline)
    for outcome in outcomes:
        line = f"{outcome.verdict:9}{outcome.name}: {outcome.detail.splitlines()[0]}"
        print(json.dumps(asdict(outcome)) if arguments.json else line)
    return 0 if all(outcome.expected for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
