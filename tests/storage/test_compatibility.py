"""A data directory that 0.1.0 wrote is opened, shown and continued by this version."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from raftnode.client import Client
from tests.support.processes import free_ports, python_module

OLD = Path(__file__).parent / "data_0_1_0"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a folder with a copy of the directory, under the name that 0.1.0 printed."""
    shutil.copytree(OLD / "n1", tmp_path / "n1")
    return tmp_path


def raftctl(folder: Path, *arguments: str) -> str:
    """Run raftctl in a folder and return what it prints. It must succeed."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = python_module("raftctl.main", *arguments)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("file", "arguments"),
    [
        ("export.jsonl", "log export 29 42 --data-dir n1"),
        ("verify.json", "log verify --data-dir n1 -o json"),
        ("inspect.json", "snapshot inspect --data-dir n1 -o json"),
    ],
)
def test_a_directory_of_0_1_0_is_read_as_0_1_0_read_it(copy: Path, file: str, arguments: str) -> None:
    """Identity, hard state, every entry and the snapshot, to the byte."""
    assert raftctl(copy, *arguments.split()) == (OLD / file).read_text()


@pytest.fixture
def address(copy: Path) -> Iterator[str]:
    """Run a node on the copy; return where it listens. Its address of old is another machine's business now."""
    (port,) = free_ports(1)
    with (copy / "n1" / "node.toml").open("a") as settings:
        settings.write(f'\n[node]\nlisten = "127.0.0.1:{port}"\n')
    command = [sys.executable, "-m", "raftnode.main", "run", "--data-dir", str(copy / "n1")]
    with (copy / "n1.log").open("wb") as log, subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log) as node:
        try:
            raftctl(copy, "wait", "--leader", "--timeout", "30s", "-e", f"127.0.0.1:{port}")
            yield f"127.0.0.1:{port}"
        finally:
            node.terminate()
    assert node.returncode == 0, (copy / "n1.log").read_text()


@pytest.mark.processes
def test_a_node_of_0_1_0_goes_on_with_what_it_had(copy: Path, address: str) -> None:
    """Every key with its revisions, then new writes on top, and the observer is still a member."""
    assert raftctl(copy, "kv", "list", "-o", "json", "-e", address) == (OLD / "keys.json").read_text()
    with Client(address) as client:
        assert client.incr("visits") == 7
        assert client.cas("lock", "me", "you")
        assert [(m.name, m.kind) for m in client.members()] == [("n1", "voter"), ("obs", "observer")]
    record = json.loads(raftctl(copy, "log", "verify", "--data-dir", "n1", "-o", "json"))
    assert (record["ok"], record["boots"], record["log"]["first_index"]) == (True, 2, 29)
