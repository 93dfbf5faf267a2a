"""The one door to the disk for everything in `raftnode.storage`.

The storage code uses only what `Filesystem` and `File` offer, so that tests put a simulated disk behind it.
Every OSError leaves here as a StorageError that names the action, the file and the system's reason.
"""

import errno
import fcntl
import os
import posixpath
from collections.abc import Callable
from typing import Final, Protocol

from raftnode.core.errors import StorageError

PART_SUFFIX: Final = ".part"
"""Ends the name of a file that is being written. Such a file counts for nothing; a start removes it."""

StrPath = str | os.PathLike[str]


class NoSpaceError(StorageError):
    """The disk or the quota is full. What was being written is not on the disk."""


class MissingFileError(StorageError):
    """The file or directory does not exist."""


class LockHeldError(StorageError):
    """Another process holds the lock; `holder` is what it wrote into the lock file."""

    def __init__(self, path: str, holder: str) -> None:
        self.path = path
        self.holder = holder
        super().__init__(f"{path} is locked by {holder or 'another process'}")


class File(Protocol):
    """An open file. What was written is durable once `sync()` has returned."""

    @property
    def path(self) -> str:
        """The path that it was opened at."""

    def pread(self, size: int, offset: int) -> bytes:
        """Return `size` bytes from `offset`; fewer only where the file ends."""

    def pwrite(self, data: bytes, offset: int) -> None:
        """Write all of `data` at `offset`."""

    def sync(self) -> None:
        """Make the contents and the length durable. A failure is final: a second call proves nothing."""

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes. Durable after `sync()`."""

    def size(self) -> int:
        """Return the length in bytes."""

    def close(self) -> None:
        """Close the file. Harmless when repeated."""


class Lock(Protocol):
    """An exclusive lock that this process holds until `release()` or its end."""

    def release(self) -> None:
        """Release the lock. Harmless when repeated."""


class Filesystem(Protocol):
    """Files and directories. A new, renamed or removed name is durable after `sync_directory()` of its directory.

    Every method raises StorageError; NoSpaceError and MissingFileError where they apply.
    """

    def create(self, path: str) -> File:
        """Open a new, empty file for reading and writing; an old one of that name is emptied."""

    def open(self, path: str, *, writable: bool = False) -> File:
        """Open an existing file."""

    def exists(self, path: str) -> bool:
        """Return whether the name is there."""

    def is_directory(self, path: str) -> bool:
        """Return whether the name is a directory."""

    def list_directory(self, path: str) -> list[str]:
        """Return the names in a directory, sorted."""

    def make_directory(self, path: str) -> None:
        """Make a directory and its missing parents, durably. Harmless where it exists."""

    def rename(self, source: str, target: str) -> None:
        """Give a file another name in its directory, atomically; an old `target` is replaced."""

    def remove(self, path: str) -> None:
        """Remove a file."""

    def sync_directory(self, path: str) -> None:
        """Make a directory's names durable."""

    def lock(self, path: str, holder: str) -> Lock:
        """Lock a file exclusively, making it where it is missing, and write `holder` in it.

        Raises LockHeldError at once where another process has it.
        """

    def entropy(self, size: int) -> bytes:
        """Return `size` random bytes: the disk's only other input from the system."""


def storage_error(action: str, path: str, error: OSError) -> StorageError:
    """Return the StorageError for an OSError: `NoSpaceError` where the disk or quota is full."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    text = f"cannot {action} {path}: {reason}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpaceError(text)
    if error.errno == errno.ENOENT:
        return MissingFileError(text)
    return StorageError(text)


class RealFile:
    """A File of the operating system."""

    __slots__ = ("_descriptor", "_path")

    def __init__(self, path: str, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @property
    def path(self) -> str:
        return self._path

    def pread(self, size: int, offset: int) -> bytes:
        try:
            data = os.pread(self._descriptor, size, offset)
            if len(data) == size or not data:
                return data
            parts = [data]
            got = len(data)
            while got < size and (data := os.pread(self._descriptor, size - got, offset + got)):
                parts.append(data)
                got += len(data)
        except OSError as error:
            raise storage_error("read", self._path, error) from error
        return b"".join(parts)

    def pwrite(self, data: bytes, offset: int) -> None:
        try:
            written = os.pwrite(self._descriptor, data, offset)
            # A short count is the system's way to say that the rest did not fit; asking again gives the
            # reason.
            while written < len(data):
                written += os.pwrite(self._descriptor, memoryview(data)[written:], offset + written)
        except OSError as error:
            raise storage_error("write to", self._path, error) from error

    def sync(self) -> None:
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise storage_error("fsync", self._path, error) from error

    def truncate(self, size: int) -> None:
        try:
            os.ftruncate(self._descriptor, size)
        except OSError as error:
            raise storage_error("truncate", self._path, error) from error

    def size(self) -> int:
        try:
            return os.fstat(self._descriptor).st_size
        except OSError as error:
            raise storage_error("read the size of", self._path, error) from error

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            try:
                os.close(descriptor)
            except OSError as error:
                raise storage_error("close", self._path, error) from error


class RealLock:
    """A flock(2) on an open file. The system gives it back when the process ends, however it ends."""

    __slots__ = ("_file",)

    def __init__(self, file: RealFile) -> None:
        self._file = file

    def release(self) -> None:
        self._file.close()


class RealFilesystem:
    """The operating system's files."""

    def create(self, path: str) -> RealFile:
        return self._open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, "create")

    def open(self, path: str, *, writable: bool = False) -> RealFile:
        return self._open(path, os.O_RDWR if writable else os.O_RDONLY, "open")

    def _open(self, path: str, flags: int, action: str) -> RealFile:
        try:
            return RealFile(path, os.open(path, flags | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise storage_error(action, path, error) from error

    def exists(self, path: str) -> bool:
        return os.path.lexists(path)

    def is_directory(self, path: str) -> bool:
        return os.path.isdir(path)

    def list_directory(self, path: str) -> list[str]:
        try:
            return sorted(os.listdir(path))
        except OSError as error:
            raise storage_error("list", path, error) from error

    def make_directory(self, path: str) -> None:
        parent = posixpath.dirname(posixpath.abspath(path))
        if not os.path.isdir(parent):
            self.make_directory(parent)
        if not os.path.isdir(path):
            self._call("make the directory", path, lambda: os.mkdir(path, 0o700))
        # Also if it exists: the process that made it may have died before it was durable.
        self.sync_directory(parent)

    def rename(self, source: str, target: str) -> None:
        self._call("rename", source, lambda: os.replace(source, target))

    def remove(self, path: str) -> None:
        self._call("remove", path, lambda: os.remove(path))

    def _call(self, action: str, path: str, call: Callable[[], None]) -> None:
        try:
            call()
        except OSError as error:
            raise storage_error(action, path, error) from error

    def sync_directory(self, path: str) -> None:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise storage_error("fsync the directory", path, error) from error

    def lock(self, path: str, holder: str) -> RealLock:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise storage_error("open", path, error) from error
        file = RealFile(path, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.truncate(0)
            file.pwrite(holder.encode(), 0)
        except BlockingIOError as error:
            owner = file.pread(200, 0).decode("utf-8", "replace").strip()
            file.close()
            raise LockHeldError(path, owner) from error
        except OSError as error:
            file.close()
            raise storage_error("lock", path, error) from error
        except StorageError:
            file.close()
            raise
        return RealLock(file)

    def entropy(self, size: int) -> bytes:
        return os.urandom(size)


def read_whole(fs: Filesystem, path: str) -> bytes:
    """Return a small file's contents."""
    file = fs.open(path)
    try:
        return file.pread(file.size(), 0)
    finally:
        file.close()


def write_atomically(fs: Filesystem, path: str, data: bytes) -> None:
    """Replace a small file durably: at every moment either the old contents or the new are there, whole."""
    part = path + PART_SUFFIX
    file = fs.create(part)
    try:
        file.pwrite(data, 0)
        file.sync()
    finally:
        file.close()
    fs.rename(part, path)
    fs.sync_directory(posixpath.dirname(path) or ".")
