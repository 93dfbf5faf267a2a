"""Disks that fail on purpose: strace in front of fdatasync, and small file systems in memory, where there are any."""

import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

ATTACH_SECONDS = 10.0


@contextlib.contextmanager
def failing_fdatasync(pid: int, fault: str) -> Iterator[None]:
    """Let every fdatasync of a running process go wrong as strace's `inject` says, such as `error=EIO:when=3`.

    The process is not strace's child: it goes on, or ends, as if it were not traced.
    """
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    tracer = subprocess.Popen(
        [
            "strace",
            "-f",
            "-p",
            str(pid),
            "-e",
            "trace=fdatasync",
            "-e",
            f"inject=fdatasync:{fault}",
            "-e",
            "signal=none",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tracer.stderr is not None
    # Whatever strace prints must be read, or the traced process would wait for it.
    drain = threading.Thread(target=tracer.stderr.read, daemon=True)
    try:
        first = tracer.stderr.readline()
        if "ptrace" in first:
            pytest.skip(f"strace may not trace here: {first.strip()}")
        assert "attached" in first, first
        drain.start()
        yield
    finally:
        tracer.terminate()
        tracer.wait(ATTACH_SECONDS)
        if drain.ident is not None:
            drain.join()
        tracer.stderr.close()


@contextlib.contextmanager
def small_disk(path: Path, size: str) -> Iterator[None]:
    """Mount a file system in memory of `size` bytes (`4m`) at `path`, and unmount it at the end."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    path.mkdir(parents=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(path)], capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(f"cannot mount a small file system: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


def set_read_only(path: Path) -> None:
    """Turn a mounted file system read-only. Nobody may have a file of it open for writing."""
    subprocess.run(["mount", "-o", "remount,ro", str(path)], check=True)
