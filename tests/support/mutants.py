"""A mutant: the program with one of its rules broken, and the tests that must notice.

Each package of tests has its list of them in `mutants.py`; `mutant_runner.py` applies them.
"""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Mutant:
    """`old` occurs once in raftnode/`file`; with `new` in its place one of `tests` must fail.

    A test is named "storage/wal::test_x" for tests/storage/test_wal.py::test_x.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def module(self) -> str:
        """The module that the file is."""
        return f"raftnode.{self.file.removesuffix('.py').replace('/', '.')}"

    @property
    def path(self) -> Path:
        """Where the source is."""
        return ROOT / "raftnode" / self.file

    @property
    def test_paths(self) -> list[str]:
        """The tests as pytest names them."""
        parts = [test.replace("/", "/test_", 1).split("::") for test in self.tests]
        return [f"tests/{file}.py::{function}" for file, function in parts]

    def source(self) -> str:
        """Return the mutated source. Raises ValueError unless the old text occurs exactly once."""
        text = self.path.read_text()
        if text.count(self.old) != 1:
            raise ValueError(f"mutant {self.name}: its old text occurs {text.count(self.old)} times in {self.file}")
        return text.replace(self.old, self.new)


class MutantList(list[Mutant]):
    """The mutants of one package: files and tests that name no package are its own."""

    def __init__(self, package: str) -> None:
        super().__init__()
        self._package = package

    def add(self, name: str, file: str, old: str, new: str, *tests: str) -> None:
        """Add a mutant; see `Mutant` for what its parts are."""
        self.append(Mutant(name, self._whole(file), old, new, tuple(self._whole(test) for test in tests)))

    def _whole(self, name: str) -> str:
        return name if "/" in name else f"{self._package}/{name}"
