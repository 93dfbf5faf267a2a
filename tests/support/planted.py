"""Planted bugs: the program with one of its rules broken, and the tests that must notice.

A bug is a function that patches the program's behavior, so it survives every rewrite that keeps a function's name
and meaning. Each package of tests has a list of bugs in `planted_bugs.py`; `planted_runner.py` judges them.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from types import FunctionType, ModuleType
from typing import TypeVar

import pytest

F = TypeVar("F", bound=Callable[..., object])

Patch = pytest.MonkeyPatch


@dataclass(frozen=True)
class PlantedBug:
    """`plant` breaks one rule; each test in `tests` must fail while it does."""

    plant: Callable[[Patch], None]
    tests: tuple[str, ...]

    @property
    def name(self) -> str:
        """What is broken, in words."""
        return self.plant.__name__.replace("_", " ")


class PlantedBugs(list[PlantedBug]):
    """The bugs of one package. Its tests are named "rules_votes::test_x" for tests/<package>/test_rules_votes.py."""

    def __init__(self, package: str) -> None:
        super().__init__()
        self._package = package

    def noticed_by(self, *tests: str) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
        """Register the decorated function as a bug that each of `tests` must notice."""

        def register(plant: Callable[[Patch], None]) -> Callable[[Patch], None]:
            self.append(PlantedBug(plant, tuple(self._node_id(test) for test in tests)))
            return plant

        return register

    def _node_id(self, test: str) -> str:
        file, _, function = test.partition("::")
        return f"tests/{self._package}/test_{file}.py::{function}"


def replace(patch: Patch, real: F, by: F) -> None:
    """Put `by` in the place of the function or method `real`, in every module that refers to it by name."""
    assert isinstance(real, FunctionType)
    owner, _, name = real.__qualname__.rpartition(".")
    if owner:
        patch.setattr(reduce(getattr, owner.split("."), sys.modules[real.__module__]), name, by)
        return
    for module in _modules():
        for name, value in list(vars(module).items()):
            if value is real:
                patch.setattr(module, name, by)


def _modules() -> list[ModuleType]:
    return [module for name, module in sys.modules.items() if name.startswith(("raftnode.", "tests."))]
