"""What every test of raftctl needs: a clean environment, a scripted cluster, and a way to run a command."""

import json
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from raftctl.main import run
from tests.support.fake_node import FakeCluster


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The output, read as one JSON object."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The output, read as one JSON object a line."""
        return [json.loads(line) for line in self.out.splitlines()]


Cli = Callable[..., Outcome]


def interrupt_the_command() -> None:
    """Interrupt the command that runs in the main thread, as control-c does."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RAFTCTL_ENDPOINTS", "RAFTCTL_CONTEXT", "NO_COLOR", "RAFTCTL_DEBUG", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAFTCTL_CONFIG", str(tmp_path / "contexts.toml"))


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs one command line in this process: `cli("kv get", "key")`."""

    def call(command: str, *arguments: str) -> Outcome:
        capsys.readouterr()
        code = run([*shlex.split(command), *arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """Three scripted nodes, which RAFTCTL_ENDPOINTS names."""
    with FakeCluster() as nodes:
        monkeypatch.setenv("RAFTCTL_ENDPOINTS", nodes.endpoints)
        yield nodes
