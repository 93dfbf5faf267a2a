"""The raftnode processes on this machine: start, find by their data directory's lock, stop.

A node holds an exclusive flock on `LOCK` in its data directory for as long as it lives and writes its process id there.
A process id counts only while the lock is held, so that a stale file never gets an unrelated process killed.
"""

import fcntl
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from raftnode.config import data_files
from raftnode.config.errors import InternalError, UsageError

LOG_FILE: Final = "raftnode.log"
LOG_TAIL_LINES: Final = 8
PID_MAX: Final = 2**31 - 1
"""A lock file with anything else names no process to signal; 0 would be this process group."""


def raftnode_command(*arguments: str) -> list[str]:
    """Return the command line that runs raftnode with this Python."""
    return [sys.executable, "-m", "raftnode.main", *arguments]


def running_pid(data_dir: str) -> int | None:
    """Return the process that holds the data directory's lock; None where nobody does.

    Raises InternalError where the lock is held and no process id can be read.
    """
    path = os.path.join(data_dir, data_files.LOCK)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(
            f"cannot open {path}", error.strerror or str(error), "check the path and its permissions"
        ) from error
    try:
        if not _held(descriptor):
            return None
        words = os.read(descriptor, 64).split()
        if _held(descriptor) and words and words[0].isdigit() and 0 < int(words[0]) <= PID_MAX:
            return int(words[0])
    finally:
        os.close(descriptor)
    if not lock_held(data_dir):
        return None
    raise InternalError(
        f"{path} is locked, but holds no process id",
        "a node writes it as soon as it starts",
        "try again; else see who holds it: fuser -v " + path,
    )


def lock_held(data_dir: str) -> bool:
    """Return whether a process holds the data directory's lock."""
    try:
        descriptor = os.open(os.path.join(data_dir, data_files.LOCK), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return _held(descriptor)
    finally:
        os.close(descriptor)


def _held(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def send_signal(data_dir: str, number: signal.Signals) -> int | None:
    """Signal the process that holds the data directory's lock; return its id, or None where nobody does."""
    pid = running_pid(data_dir)
    if pid is None:
        return None
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return None
    except PermissionError as error:
        raise UsageError(
            f"process {pid} in {data_dir} belongs to another user",
            str(error),
            "repeat the command as that user, or as root",
        ) from error
    return pid


@dataclass
class Child:
    """A node that this command started: it goes on when the command ends."""

    name: str
    pid: int
    log_path: str
    log_offset: int
    exit_code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code if the process has ended."""
        if self.exit_code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.exit_code = os.waitstatus_to_exitcode(status)
        return self.exit_code

    def log_tail(self) -> list[str]:
        """Return the last lines that this process logged."""
        with open(self.log_path, "rb") as file:
            file.seek(self.log_offset)
            text = file.read().decode("utf-8", "replace")
        return text.splitlines()[-LOG_TAIL_LINES:]


def start_node(name: str, data_dir: str, command: Sequence[str]) -> Child:
    """Start a node in a new session, its output appended to `raftnode.log` in its data directory."""
    log_path = os.path.join(data_dir, LOG_FILE)
    try:
        descriptor = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise UsageError(
            f"cannot write {log_path}",
            error.strerror or str(error),
            "was the data directory formatted? raftnode format, or raftctl cluster init",
        ) from error
    try:
        offset = os.fstat(descriptor).st_size
        pid = os.posix_spawn(
            command[0],
            list(command),
            os.environ,
            setsid=True,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, descriptor, 1),
                (os.POSIX_SPAWN_DUP2, descriptor, 2),
            ],
        )
    finally:
        os.close(descriptor)
    return Child(name, pid, log_path, offset)


POLL_S: Final = 0.05
