"""The files that the two programs read beside a node's data: settings, contexts, saved snapshots, locks.

And the commands that read a data directory, run whole in this process: only what has an exit code may come out.
"""

import contextlib
import fcntl
import io
import os
import shutil
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

import pytest

from raftctl.commands.kv.values import take_value
from raftctl.local.cluster_files import load_cluster_file
from raftctl.local.contexts import endpoint_sources
from raftctl.local.processes import Child, running_pid
from raftctl.main import dispatch
from raftctl.output.output import Output
from raftctl.view.cluster_view import status_report, view_of
from raftnode.client.fanout import Answers
from raftnode.config.cluster_file import ClusterFile
from raftnode.config.errors import CommandError
from raftnode.config.settings import NodeSettings, SettingsError
from raftnode.main import config_check
from raftnode.storage.filesystem import LockHeldError, RealFilesystem
from raftnode.wire.client import StatusResult, decode_answer
from raftnode.wire.frame import FrameError
from tests.fuzz.corpus import CLUSTER_TOML, corpus
from tests.fuzz.sealing import sealed_batches, sealed_snapshot, snapshot_blocks
from tests.fuzz.stored import COMPACTED_TO, data_directory
from tests.fuzz.target import Target
from tests.support.replicas import DATA

CONTEXTS = b"""current = "demo"
[contexts.demo]
endpoints = ["127.0.0.1:7001", "[::1]:7002"]
cluster_id = "3ab6f53f"
[contexts.other]
endpoints = ["node1.example:7001"]
"""
LOG_COMMANDS = (
    ("log", "range", str(COMPACTED_TO + 1), "99", "-o", "json"),
    ("log", "tail"),
    ("log", "info", "-o", "yaml"),
    ("log", "stats"),
    ("log", "export", str(COMPACTED_TO + 1), "99"),
)
ENVIRONMENT = (b"127.0.0.1:7001,[::1]:7002", b"demo", b"n1.example:65535", b" a:1 , b:2,")
LOG = b'ts=2026-11-23T03:10:12.677Z level=info node=n1 event=node.starting\nTraceback\n  File "x"\n' * 4


def command_targets(directory: Path) -> list[Target]:
    """Return every target of this room. The files are in `directory`."""
    made = corpus()
    statuses = [body for body in made.answers if isinstance(decode_answer(body), StatusResult)]
    return [
        Target("node.toml", made.node_toml, _file(directory / "node.toml", _settings_loader())),
        Target("cluster.toml", made.cluster_toml, _file(directory / "cluster.toml", _load_cluster_file)),
        Target("contexts.toml", [CONTEXTS], _contexts(directory / "contexts.toml")),
        Target("the environment", list(ENVIRONMENT), _environment(directory / "contexts of the environment.toml")),
        Target("LOCK", [b"4711\n", b"1"], _lock(directory)),
        Target("raftnode.log", [LOG], _file(directory / "raftnode.log", _read_log_tail)),
        Target("a value's file", [b"value"], _file(directory / "value", _take_value)),
        Target("statuses", statuses, _show_status),
        *_data_directory_commands(directory),
        *_snapshot_commands(directory),
    ]


def run_command(*arguments: str) -> None:
    """Run a command of raftctl as its main() does, and accept the exits that the command chooses itself."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), contextlib.suppress(CommandError):
        dispatch(arguments)


def _file(path: Path, read: Callable[[Path], object]) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        path.write_bytes(data)
        read(path)

    return run


def _settings_loader() -> Callable[[Path], None]:
    # One for all inputs, as a process has: typer keeps every standard output that it ever wrote to.
    out = io.StringIO()

    def load(path: Path) -> None:
        out.seek(0)
        out.truncate()
        with contextlib.suppress(SettingsError), contextlib.redirect_stdout(out):
            NodeSettings.load(path)
            config_check(path)

    return load


def _load_cluster_file(path: Path) -> None:
    with contextlib.suppress(SettingsError):
        ClusterFile.load(path).configuration().encode()
    with contextlib.suppress(CommandError):
        load_cluster_file(str(path))


def _read_log_tail(path: Path) -> None:
    Child("n1", 0, str(path), log_offset=7).log_tail()


def _take_value(path: Path) -> None:
    assert take_value(None, str(path), hex_=False) == path.read_bytes()


def _contexts(path: Path) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        path.write_bytes(data)
        with patch.dict(os.environ, {"RAFTCTL_CONFIG": str(path)}):
            run_command("context", "list", "-o", "yaml")
            run_command("config", "explain")

    return run


def _environment(path: Path) -> Callable[[bytes], None]:
    """Return what puts a text into each variable that raftctl reads. No variable holds a zero byte."""
    path.write_bytes(CONTEXTS)

    def run(data: bytes) -> None:
        text = os.fsdecode(data.replace(b"\0", b""))
        for name in ("RAFTCTL_ENDPOINTS", "RAFTCTL_CONTEXT"):
            with contextlib.suppress(CommandError):
                endpoint_sources((), None, {"RAFTCTL_CONFIG": str(path), name: text})

    return run


def _lock(directory: Path) -> Callable[[bytes], None]:
    """Return what looks for the process that holds a lock, whatever that wrote."""
    path = directory / "LOCK"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        with path.open("rb") as held, contextlib.suppress(CommandError):
            fcntl.flock(held, fcntl.LOCK_EX)
            with pytest.raises(LockHeldError):
                RealFilesystem().lock(str(path), "another")
            pid = running_pid(str(directory))
            assert pid is not None
            assert 0 < pid < 2**31, f"{pid} cannot be a process"

    return run


def _show_status(data: bytes) -> None:
    with contextlib.suppress(FrameError):
        answer = decode_answer(data)
        if isinstance(answer, StatusResult):
            report = status_report(view_of([answer.status], Answers()), {})
            out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
            with contextlib.redirect_stdout(out):
                for form in ("table", "json", "yaml"):
                    Output(form).emit(report)


def _data_directory_commands(directory: Path) -> Sequence[Target]:
    """Return the targets of `raftctl log ... --data-dir`: a segment, its records and a time below checksums."""
    files = data_directory()
    for path, data in files.items():
        place = directory / path.removeprefix("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    root = str(directory / DATA.removeprefix("/"))
    segments = sorted(path for path in files if path.endswith(".wal"))
    (snapshot,) = (path for path in files if path.endswith(".snap"))
    places = [(path, batch) for path in segments for batch in sealed_batches(files[path])]
    blocks = snapshot_blocks(files[snapshot])

    def look(path: str, data: bytes) -> None:
        place = directory / path.removeprefix("/")
        place.write_bytes(data)
        run_command("log", "verify", "--data-dir", root)
        # One more, always the same one for the same input: all of them would be five times as slow.
        run_command(*LOG_COMMANDS[zlib.crc32(data) % len(LOG_COMMANDS)], "--data-dir", root)
        place.write_bytes(files[path])

    def look_at_record(data: bytes) -> None:
        path, batch = places[data[0] % len(places) if data else 0]
        look(path, batch.with_payload(data[1:]))

    def look_at_time(data: bytes) -> None:
        look(snapshot, sealed_snapshot([*blocks[:-1], data]))

    sealed = [bytes([n]) + batch.payload for n, (_, batch) in enumerate(places)]
    return [
        Target("raftctl log, of a segment", [files[segments[-1]]], lambda data: look(segments[-1], data)),
        Target("raftctl log, of sealed records", sealed, look_at_record),
        Target("raftctl log, of a snapshot's sealed time", [blocks[-1]], look_at_time),
    ]


def _snapshot_commands(directory: Path) -> Sequence[Target]:
    """Return the targets of saved snapshots: as they stand, and their heads and states below checksums."""
    files = data_directory()
    whole = next(data for path, data in files.items() if path.endswith(".snap"))
    blocks = snapshot_blocks(whole)
    saved = directory / "saved.snap"
    cluster_file = directory / "new.toml"
    cluster_file.write_bytes(CLUSTER_TOML)
    restored = directory / "restored"

    def look(data: bytes) -> None:
        saved.write_bytes(data)
        run_command("snapshot", "inspect", str(saved))
        run_command("snapshot", "verify", str(saved), "-o", "json")
        run_command(
            "snapshot", "restore", str(saved), "-f", str(cluster_file), "--name", "n1", "--data-dir", str(restored)
        )
        assert not Path(f"{restored}.part").exists()
        if restored.exists():
            shutil.rmtree(restored)

    def look_at_head(head: bytes) -> None:
        look(sealed_snapshot([head, *blocks[1:]]))

    def look_at_state(state: bytes) -> None:
        look(sealed_snapshot([blocks[0], state, *blocks[-2:]]))

    return [
        Target("raftctl snapshot", [whole], look),
        Target("raftctl snapshot, of a sealed head", [blocks[0]], look_at_head),
        Target("raftctl snapshot, of a sealed state", [b"".join(blocks[1:-2])], look_at_state),
    ]
