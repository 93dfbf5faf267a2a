"""Mutants of the program: the deep run's search for lines that no directed test looks at.

    python -m tests.support.mutation                  a sample of all mutants
    python -m tests.support.mutation --seed 7         another sample
    python -m tests.support.mutation --only core/log  the mutants of these modules

mutmut makes the mutants, in a copy of the checkout, and runs the directed tests that reach each mutated function. What
survives is printed as a diff. Some survivors change nothing that anyone can observe, or only a message's text, so the
run fails only where fewer are caught than `CAUGHT_MIN` demands.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from tests.support.scale import MUTANTS

ROOT = Path(__file__).resolve().parents[2]

MUTATED = (
    "raftnode/core/*.py",
    "raftnode/storage/*.py",
    "raftnode/machine/*.py",
    "raftnode/wire/*.py",
    "raftnode/replica/*.py",
    "raftnode/daemon/connections.py",
    "raftnode/daemon/loop.py",
)
"""fnmatch patterns: a star also stands for folders."""

LEFT_OUT = {
    "raftnode/core/node.py": "the method `status` hides the module of that name from a mutated class's annotations",
}

TESTS = ("core", "storage", "machine", "wire", "replica", "daemon")
"""The packages with directed tests."""

NO_DIRECTED_TESTS = (
    "tests/core/test_exploration.py",
    "tests/core/test_simulator.py",
    "tests/storage/test_wal_crash.py",
    "tests/storage/test_wal_random.py",
    "tests/machine/test_*_model.py",
    "tests/replica/test_replica_hostile.py",
)
"""Tests of many random operations: too slow to run for each mutant."""

PROCESSES = ("import subprocess", "from tests.support.processes")
"""What a file says whose tests start processes: a mutant does not get into these."""

CAUGHT_MIN = 0.75
"""The part of the sample that must be caught. Texts of messages are a large part of what survives."""

SURVIVED = "survived"
NO_TESTS = "no tests"


def directed_tests() -> list[str]:
    """Return the test files that are run for the mutants."""
    found = []
    for path in sorted(path for package in TESTS for path in (ROOT / "tests" / package).glob("test_*.py")):
        name, text = str(path.relative_to(ROOT)), path.read_text()
        if not any(fnmatch(name, slow) for slow in NO_DIRECTED_TESTS) and not any(word in text for word in PROCESSES):
            found.append(name)
    return found


def copy_checkout(target: Path) -> None:
    """Copy what the tests need, and tell mutmut what to do there."""
    ignored = shutil.ignore_patterns(".git", ".venv", "mutants", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info")
    shutil.copytree(ROOT, target, ignore=ignored)
    settings = {
        "source_paths": ["raftnode"],
        "only_mutate": list(MUTATED),
        "do_not_mutate": list(LEFT_OUT),
        "also_copy": ["raftctl", "examples", "man", "README.md"],
        "pytest_add_cli_args": ["-o", "timeout=0"],
        "pytest_add_cli_args_test_selection": directed_tests(),
    }
    with (target / "pyproject.toml").open("a") as file:
        file.write("\n[tool.mutmut]\n")
        for key, value in settings.items():
            file.write(f"{key} = {json.dumps(value)}\n")


class Mutmut:
    """mutmut in a copy of the checkout."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def run(self, *names: str) -> None:
        """Make the mutants where that is still to do, and judge these (patterns are allowed)."""
        self._call("run", "--max-children", "2", *names)

    def names(self) -> list[str]:
        """Return the names of all mutants, for example raftnode.core.quorum.x_vote_result__mutmut_3."""
        metas = sorted((self._directory / "mutants").rglob("*.py.meta"))
        return [name for meta in metas for name in json.loads(meta.read_text())["exit_code_by_key"]]

    def tested(self) -> set[str]:
        """Return the functions that a directed test reaches."""
        stats = json.loads((self._directory / "mutants" / "mutmut-stats.json").read_text())
        return {name for name, tests in stats["tests_by_mangled_function_name"].items() if tests}

    def verdicts(self) -> dict[str, str]:
        """Return what became of each mutant that was not killed."""
        lines = self._call("results").splitlines()
        return dict(line.strip().rsplit(": ", 1) for line in lines if ": " in line)

    def diff(self, name: str) -> str:
        """Return what a mutant changes."""
        lines = self._call("show", name).splitlines()
        changed = [line for line in lines if line.startswith(("+", "-")) and not line.startswith(("+++", "---"))]
        return "\n".join(changed)

    def _call(self, *arguments: str) -> str:
        command = [str(Path(sys.executable).with_name("mutmut")), *arguments]
        done = subprocess.run(command, cwd=self._directory, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"mutmut {arguments[0]} fails:\n{done.stdout[-5000:]}\n{done.stderr[-5000:]}")
        return done.stdout


def function_of(name: str) -> str:
    """Return the function that a mutant is of, as mutmut names it."""
    return name.rpartition("__mutmut_")[0]


def report(mutmut: Mutmut, sample: Sequence[str]) -> int:
    """Print what survived of `sample`; return the exit code."""
    verdicts = mutmut.verdicts()
    wrong = [name for name in sample if name in verdicts]
    for name in wrong:
        print(f"{verdicts[name]}: {name}\n{mutmut.diff(name)}\n", flush=True)
    caught = len(sample) - sum(verdicts[name] == SURVIVED for name in wrong)
    print(f"{caught} of {len(sample)} mutants are caught")
    return 0 if caught >= CAUGHT_MIN * len(sample) else 1


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {__spec__.name}", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mutants", type=int, default=MUTANTS, help=f"how many are drawn (default {MUTANTS})")
    parser.add_argument("--seed", type=int, default=1, help="which are drawn (default 1)")
    parser.add_argument("--only", default="", help="only modules of this path, such as core/log or storage")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="raftnode-mutants-") as directory:
        copy_checkout(Path(directory, "checkout"))
        mutmut = Mutmut(Path(directory, "checkout"))
        # The first call makes all mutants and finds out which tests reach which function.
        mutmut.run("raftnode.core.quorum.*")
        prefix = "raftnode." + arguments.only.replace("/", ".")
        every = [name for name in mutmut.names() if name.startswith(prefix)]
        tested = mutmut.tested()
        for function in sorted({function_of(name) for name in every} - tested):
            print(f"no directed test reaches {function}")
        reached = [name for name in every if function_of(name) in tested]
        sample = sorted(random.Random(arguments.seed).sample(reached, min(arguments.mutants, len(reached))))
        print(f"{len(every)} mutants, {len(reached)} in functions that directed tests reach, {len(sample)} drawn")
        mutmut.run(*sample)
        return report(mutmut, sample)


if __name__ == "__main__":
    sys.exit(main())
