"""The real and the simulated disk answer one script alike; the simulated one loses what it may."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from raftnode.core.errors import StorageError
from raftnode.storage.filesystem import (
    File,
    Filesystem,
    LockHeldError,
    MissingFileError,
    NoSpaceError,
    RealFilesystem,
    read_whole,
    storage_error,
    write_atomically,
)
from tests.support.filesystem import Fault, SimulatedFilesystem


def make_filesystem(kind: str, tmp_path: Path) -> tuple[Filesystem, str]:
    """Return a filesystem and a directory in it."""
    if kind == "real":
        return RealFilesystem(), str(tmp_path)
    fs = SimulatedFilesystem()
    fs.make_directory("/top")
    return fs, "/top"


def run_script(fs: Filesystem, top: str) -> list[object]:
    """Use every call; return everything that can be seen."""
    seen: list[object] = []
    fs.make_directory(f"{top}/a/b")
    fs.make_directory(f"{top}/a/b")
    file = fs.create(f"{top}/a/x")
    file.pwrite(b"hello world", 0)
    file.pwrite(b"far", 20)
    seen += [file.pread(100, 0), file.pread(5, 6), file.pread(5, 22), file.pread(5, 50), file.size()]
    file.sync()
    file.truncate(4)
    seen += [file.pread(100, 0), file.size()]
    file.truncate(6)
    seen.append(file.pread(100, 0))
    file.close()
    file.close()
    fs.rename(f"{top}/a/x", f"{top}/a/y")
    fs.sync_directory(f"{top}/a")
    seen += [fs.list_directory(f"{top}/a"), fs.exists(f"{top}/a/x"), fs.exists(f"{top}/a/y")]
    seen += [fs.is_directory(f"{top}/a/b"), fs.is_directory(f"{top}/a/y"), fs.is_directory(f"{top}/none")]
    write_atomically(fs, f"{top}/a/y", b"new")
    seen += [read_whole(fs, f"{top}/a/y"), fs.list_directory(f"{top}/a")]
    reader = fs.open(f"{top}/a/y")
    fs.remove(f"{top}/a/y")
    seen += [reader.pread(10, 0), fs.list_directory(f"{top}/a")]
    for attempt in (
        lambda: reader.pwrite(b"x", 0),
        lambda: fs.open(f"{top}/a/y"),
        lambda: fs.remove(f"{top}/a/y"),
        lambda: fs.rename(f"{top}/a/y", f"{top}/a/z"),
        lambda: fs.list_directory(f"{top}/none"),
        lambda: fs.create(f"{top}/none/x"),
    ):
        with pytest.raises(StorageError) as caught:
            attempt()
        seen += [type(caught.value), str(caught.value).replace(top, "")]
    lock = fs.lock(f"{top}/LOCK", "me")
    with pytest.raises(LockHeldError) as held:
        fs.lock(f"{top}/LOCK", "you")
    seen.append(held.value.holder)
    lock.release()
    fs.lock(f"{top}/LOCK", "you").release()
    seen.append(len(fs.entropy(8)))
    return seen


def test_the_real_and_the_simulated_disk_answer_alike(tmp_path: Path) -> None:
    """One script of every call gives the same on both."""
    real = run_script(*make_filesystem("real", tmp_path))
    simulated = run_script(*make_filesystem("simulated", tmp_path))
    assert real == simulated


def test_errors_carry_the_file_and_the_reason_and_a_full_disk_its_own_type() -> None:
    """ENOSPC and EDQUOT are NoSpaceError, ENOENT is MissingFileError, the rest StorageError."""
    for number, kind in (
        (errno.ENOSPC, NoSpaceError),
        (errno.EDQUOT, NoSpaceError),
        (errno.ENOENT, MissingFileError),
        (errno.EIO, StorageError),
    ):
        error = storage_error("write to", "/data/x", OSError(number, "whatever"))
        assert type(error) is kind
        assert str(error) == f"cannot write to /data/x: {os.strerror(number)}"


def test_what_the_system_reads_and_writes_in_parts_is_put_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short count is not the end: the rest is asked for."""
    pread, pwrite = os.pread, os.pwrite
    monkeypatch.setattr(os, "pread", lambda descriptor, size, at: pread(descriptor, min(size, 3), at))
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, at: pwrite(descriptor, bytes(data)[:4], at))
    file = RealFilesystem().create(str(tmp_path / "x"))
    file.pwrite(b"hello world", 0)
    assert file.size() == 11
    assert file.pread(100, 0) == b"hello world"
    file.close()


@pytest.mark.parametrize(
    ("call", "action"),
    [
        ("fdatasync", lambda file: file.sync()),
        ("pwrite", lambda file: file.pwrite(b"x", 0)),
        ("pread", lambda file: file.pread(1, 0)),
        ("ftruncate", lambda file: file.truncate(0)),
    ],
)
def test_no_failure_of_the_disk_goes_unnoticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, action: Callable[[File], object]
) -> None:
    """Whichever call it is, the caller hears of it."""

    def fail(*arguments: object) -> None:
        raise OSError(errno.EIO, "as told")

    file = RealFilesystem().create(str(tmp_path / "x"))
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(StorageError, match="Input/output error"):
        action(file)
    file.close()


def test_a_real_full_disk_is_recognised() -> None:
    """/dev/full answers every write with ENOSPC."""
    file = RealFilesystem().open("/dev/full", writable=True)
    with pytest.raises(NoSpaceError, match="/dev/full: No space left"):
        file.pwrite(b"x", 0)
    file.close()


def test_a_crash_loses_unsynced_data_names_and_lengths_in_any_combination() -> None:
    """The simulated disk keeps exactly the pieces that were asked for."""
    fs = SimulatedFilesystem()
    fs.make_directory("/d")
    file = fs.create("/d/f")
    file.pwrite(b"a" * 100, 0)
    file.sync()
    assert fs.crash().files() == []
    fs._dead = False
    fs.sync_directory("/d")
    assert fs.crash().contents("/d/f") == b"a" * 100
    fs._dead = False
    file.pwrite(b"b" * 1000, 100)
    assert fs.unsynced() == 4
    assert fs.crash(lambda piece: piece == 0).contents("/d/f") == b"a" * 100 + bytes(1000)
    assert fs.crash(lambda piece: piece == 1).contents("/d/f") == b"a" * 100 + b"b" * 412
    assert fs.crash(lambda piece: piece == 2).contents("/d/f") == b"a" * 100 + bytes(412) + b"b" * 512
    assert fs.kill().contents("/d/f") == b"a" * 100 + b"b" * 1000


def test_data_of_a_failed_fsync_never_becomes_durable() -> None:
    """As on Linux: a second fsync that succeeds says nothing about what the first one lost."""
    fs = SimulatedFilesystem()
    fs.make_directory("/d")
    file = fs.create("/d/f")
    fs.sync_directory("/d")
    file.pwrite(b"lost", 0)
    fs.faults.append(Fault("sync", path="/d/*"))
    with pytest.raises(StorageError, match="Input/output error"):
        file.sync()
    file.sync()
    assert file.pread(4, 0) == b"lost"
    assert fs.crash(lambda piece: True).contents("/d/f") == b""
    assert fs.fired == [("sync", "/d/f")]
