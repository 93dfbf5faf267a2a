"""A simulated disk behind `raftnode.storage.filesystem.Filesystem`, for one machine.

What is written is seen at once and durable only after `sync()`; a name only after `sync_directory()`. A power loss
(`crash`) keeps any part of what was not synced: each 512-byte sector of a write, a file's new length, a truncation, a
new, renamed or removed name is one piece, and the caller says which pieces survive. `kill` ends the process alone: the
machine keeps everything, and what was not synced may still be lost in a later crash.

A failed `sync()` behaves as Linux does: the data stays visible and never becomes durable, and a second
`sync()` that succeeds does not change that.
"""

import errno
import posixpath
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch

from raftnode.storage.filesystem import LockHeldError, storage_error

SECTOR_BYTES = 512


class SimulatedCrash(BaseException):
    """The machine stopped here: a BaseException, which no code under test takes for an error of its own."""


@dataclass
class Fault:
    """Makes calls fail: those named `call` on a path that matches, after `skip` of them, `count` times."""

    call: str
    error: int = errno.EIO
    path: str = "*"
    skip: int = 0
    count: int = 1


@dataclass(frozen=True)
class _Write:
    offset: int
    data: bytes


@dataclass(frozen=True)
class _Extend:
    size: int


@dataclass(frozen=True)
class _Truncate:
    size: int


_Change = _Write | _Extend | _Truncate


@dataclass
class _Inode:
    content: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    pending: list[_Change] = field(default_factory=list)


@dataclass(frozen=True)
class _NameChange:
    """One change of a directory: `removed` goes away, and `added` gets `inode`."""

    removed: str | None
    added: str | None
    inode: _Inode | None


class SimulatedFile:
    """An open file of a SimulatedFilesystem."""

    def __init__(self, fs: "SimulatedFilesystem", path: str, inode: _Inode, *, writable: bool) -> None:
        self._fs = fs
        self._path = path
        self._inode = inode
        self._writable = writable
        self._open = True

    @property
    def path(self) -> str:
        return self._path

    def pread(self, size: int, offset: int) -> bytes:
        self._enter("pread", "read")
        return bytes(self._inode.content[offset : offset + size])

    def pwrite(self, data: bytes, offset: int) -> None:
        with_error = self._enter_write()
        room = self._fs.room_bytes()
        growth = offset + len(data) - len(self._inode.content)
        if room is not None and growth > room:
            with_error = with_error or errno.ENOSPC
            self._fs.effects["write ENOSPC"] += with_error == errno.ENOSPC
            data = data[: max(len(data) - (growth - room), 0)]
        elif with_error:
            data = data[: len(data) // 2]
        if data:
            change = _Write(offset, bytes(data))
            _apply(self._inode.content, change)
            self._inode.pending.append(change)
        if with_error:
            raise storage_error("write to", self._path, OSError(with_error, ""))
        self._fs.after_change(len(data))

    def sync(self) -> None:
        try:
            self._enter("sync", "fsync")
        except SimulatedCrash:
            raise
        except Exception:
            self._inode.pending.clear()
            raise
        for change in self._inode.pending:
            _apply(self._inode.durable, change)
        self._inode.pending.clear()

    def truncate(self, size: int) -> None:
        self._enter("truncate", "truncate")
        change = _Truncate(size)
        _apply(self._inode.content, change)
        self._inode.pending.append(change)
        self._fs.after_change()

    def size(self) -> int:
        self._enter("size", "read the size of")
        return len(self._inode.content)

    def close(self) -> None:
        self._open = False

    def _enter(self, call: str, action: str) -> None:
        if not self._open:
            raise storage_error(action, self._path, OSError(errno.EBADF, ""))
        if call in ("sync", "truncate") and not self._writable:
            raise storage_error(action, self._path, OSError(errno.EINVAL, ""))
        self._fs.enter(call, self._path, action)

    def _enter_write(self) -> int | None:
        if not self._open or not self._writable:
            raise storage_error("write to", self._path, OSError(errno.EBADF, ""))
        return self._fs.enter_write(self._path)


class SimulatedLock:
    """A lock that ends with the process that took it."""

    def __init__(self, locks: dict[str, str], path: str) -> None:
        self._locks = locks
        self._path = path
        self._held = True

    def release(self) -> None:
        if self._held:
            self._held = False
            del self._locks[self._path]


class SimulatedFilesystem:
    """Files in memory that can fail and be lost as those on a disk.

    `faults` are consulted at every call, `on_call(call, path)` is told of each one before it happens (to
    charge time for a slow disk, or to count), `crash_at` stops the machine at that many changes from the
    beginning, and `crash_at_bytes` in the first write of at least so many bytes.
    """

    def __init__(self, seed: int = 0, *, capacity_bytes: int | None = None) -> None:
        self.rng = random.Random(seed)
        self.capacity_bytes = capacity_bytes
        self.faults: list[Fault] = []
        self.fired: list[tuple[str, str]] = []
        """Which faults really happened: (call, path)."""
        self.effects: Counter[str] = Counter()
        """What faults and crashes came to: see `_count_losses`, and "sync EIO" and the like for a fault of a call.
        It goes on over crashes and kills."""
        self.on_call: Callable[[str, str], None] | None = None
        self.changes = 0
        self.crash_at: int | None = None
        self.crash_at_bytes: int | None = None
        self._names: dict[str, _Inode] = {}
        self._durable_names: dict[str, _Inode] = {}
        self._name_changes: list[_NameChange] = []
        self._directories: set[str] = {"/"}
        self._locks: dict[str, str] = {}
        self._dead = False

    # The Filesystem protocol

    def create(self, path: str) -> SimulatedFile:
        self.enter("create", path, "create")
        self._require_parent("create", path)
        inode = _Inode()
        self._change_name(_NameChange(None, path, inode))
        return SimulatedFile(self, path, inode, writable=True)

    def open(self, path: str, *, writable: bool = False) -> SimulatedFile:
        self.enter("open", path, "open")
        return SimulatedFile(self, path, self._find("open", path), writable=writable)

    def exists(self, path: str) -> bool:
        self.enter("exists", path, "look for")
        return path in self._names or path in self._directories

    def is_directory(self, path: str) -> bool:
        self.enter("is_directory", path, "look for")
        return path in self._directories

    def list_directory(self, path: str) -> list[str]:
        self.enter("list_directory", path, "list")
        if path not in self._directories:
            raise storage_error("list", path, OSError(errno.ENOENT, ""))
        inside = [name for name in (*self._names, *self._directories) if name != "/"]
        return sorted(posixpath.basename(name) for name in inside if posixpath.dirname(name) == path)

    def make_directory(self, path: str) -> None:
        self.enter("make_directory", path, "make the directory")
        while path not in self._directories:
            if path in self._names:
                raise storage_error("make the directory", path, OSError(errno.EEXIST, ""))
            self._directories.add(path)
            path = posixpath.dirname(path)
        self.after_change()

    def rename(self, source: str, target: str) -> None:
        self.enter("rename", source, "rename")
        self._change_name(_NameChange(source, target, self._find("rename", source)))

    def remove(self, path: str) -> None:
        self.enter("remove", path, "remove")
        self._find("remove", path)
        self._change_name(_NameChange(path, None, None))

    def sync_directory(self, path: str) -> None:
        self.enter("sync_directory", path, "fsync the directory")
        later: list[_NameChange] = []
        for change in self._name_changes:
            if posixpath.dirname(change.added or change.removed or "") == path:
                _rename(self._durable_names, change)
            else:
                later.append(change)
        self._name_changes = later

    def lock(self, path: str, holder: str) -> SimulatedLock:
        self.enter("lock", path, "lock")
        if path in self._locks:
            raise LockHeldError(path, self._locks[path].strip())
        if path not in self._names:
            self.create(path).close()
        self._locks[path] = holder
        return SimulatedLock(self._locks, path)

    def entropy(self, size: int) -> bytes:
        return self.rng.randbytes(size)

    # What happens to the machine

    def unsynced(self) -> int:
        """Return how many pieces a crash would decide about."""
        return sum(1 for _ in self._pieces())

    def crash(self, keep: Callable[[int], bool] = lambda piece: False) -> "SimulatedFilesystem":
        """Lose the power; return the disk as the next start finds it. `keep(i)` says whether piece i survived.

        This object itself keeps its state, so that another `crash` of it with other pieces can be asked for.
        """
        self._dead = True
        after = SimulatedFilesystem(self.rng.getrandbits(32), capacity_bytes=self.capacity_bytes)
        copies = {id(inode): bytearray(inode.durable) for inode in self._inodes()}
        names = dict(self._durable_names)
        pieces = list(self._pieces())
        kept = [keep(number) for number in range(len(pieces))]
        after.effects = self.effects
        self._count_losses(kept)
        for (inode, change), survives in zip(pieces, kept, strict=True):
            if not survives:
                continue
            if isinstance(change, _NameChange):
                _rename(names, change)
            else:
                assert inode is not None
                _apply(copies[id(inode)], change)
        fresh = {key: _Inode(bytearray(data), data) for key, data in copies.items()}
        after._names = {path: fresh[id(inode)] for path, inode in names.items()}
        after._durable_names = dict(after._names)
        after._directories = set(self._directories)
        return after

    def kill(self) -> "SimulatedFilesystem":
        """End the process; return the disk for the next one. Nothing is lost, and nothing more is durable."""
        self._dead = True
        after = SimulatedFilesystem(self.rng.getrandbits(32), capacity_bytes=self.capacity_bytes)
        after.effects = self.effects
        after._names, after._durable_names = self._names, self._durable_names
        after._name_changes, after._directories = self._name_changes, self._directories
        return after

    def flip_bit(self, path: str, bit: int) -> None:
        """Change one bit of a file, on the disk and in what is read."""
        inode = self._names[path]
        for data in (inode.content, inode.durable):
            if bit // 8 < len(data):
                data[bit // 8] ^= 1 << bit % 8

    def contents(self, path: str) -> bytes:
        """Return a file's bytes as they are read."""
        return bytes(self._names[path].content)

    def put(self, path: str, data: bytes) -> None:
        """Put a durable file in place, as if it had always been there."""
        inode = _Inode(bytearray(data), bytearray(data))
        self._names[path] = self._durable_names[path] = inode

    def files(self) -> list[str]:
        """Return every file's path, sorted."""
        return sorted(self._names)

    def all_synced(self, path: str) -> bool:
        """Whether everything that was written to the files below `path` is durable."""
        return not any(inode.pending for name, inode in self._names.items() if name.startswith(path))

    # For the files

    def enter(self, call: str, path: str, action: str) -> None:
        """Account for one call. Raises what a fault asks for, and SimulatedCrash once stopped."""
        error = self._fault(call, path)
        if error:
            raise storage_error(action, path, OSError(error, ""))
        if call in ("sync", "sync_directory"):
            self.after_change()

    def enter_write(self, path: str) -> int | None:
        """Account for one write, and return the error that it shall end with."""
        return self._fault("pwrite", path)

    def after_change(self, size_bytes: int = 0) -> None:
        """Count one change, a write of `size_bytes` or another, and stop the machine where that was asked for."""
        self.changes += 1
        if self.changes == self.crash_at or (self.crash_at_bytes is not None and size_bytes >= self.crash_at_bytes):
            self._dead = True
            raise SimulatedCrash

    def room_bytes(self) -> int | None:
        """Return how many more bytes fit, or None without a limit."""
        if self.capacity_bytes is None:
            return None
        return max(self.capacity_bytes - sum(len(inode.content) for inode in self._names.values()), 0)

    def _fault(self, call: str, path: str) -> int | None:
        if self._dead:
            raise SimulatedCrash
        if self.on_call is not None:
            self.on_call(call, path)
        for fault in self.faults:
            if fault.call != call or not fault.count or not fnmatch(path, fault.path):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            fault.count -= 1
            self.fired.append((call, path))
            self.effects[f"{call} {errno.errorcode[fault.error]}"] += 1
            return fault.error
        return None

    def _change_name(self, change: _NameChange) -> None:
        _rename(self._names, change)
        self._name_changes.append(change)
        self.after_change()

    def _find(self, action: str, path: str) -> _Inode:
        if path not in self._names:
            raise storage_error(action, path, OSError(errno.ENOENT, ""))
        return self._names[path]

    def _require_parent(self, action: str, path: str) -> None:
        if posixpath.dirname(path) not in self._directories:
            raise storage_error(action, path, OSError(errno.ENOENT, ""))

    def _inodes(self) -> Iterator[_Inode]:
        seen: set[int] = set()
        named = [change.inode for change in self._name_changes if change.inode is not None]
        for inode in (*self._durable_names.values(), *self._names.values(), *named):
            if id(inode) not in seen:
                seen.add(id(inode))
                yield inode

    def _count_losses(self, kept: list[bool]) -> None:
        """Count a crash with anything to decide about, and of it the writes and names that were lost or torn.

        A write is lost where none of its sectors survives, and torn where some do and others do not.
        """
        position = 0
        for inode in self._inodes():
            for change in inode.pending:
                if not isinstance(change, _Write):
                    position += 1
                    continue
                sectors = sum(1 for _ in _sectors(change))
                survived = sum(kept[position + 1 : position + 1 + sectors])
                self.effects["write torn" if 0 < survived < sectors else "write lost"] += survived < sectors
                position += 1 + sectors
        self.effects["name lost"] += kept[position:].count(False)
        self.effects["crash with unsynced writes"] += position > 0

    def _pieces(self) -> Iterator[tuple[_Inode | None, _Change | _NameChange]]:
        for inode in self._inodes():
            for change in inode.pending:
                if isinstance(change, _Write):
                    yield inode, _Extend(change.offset + len(change.data))
                    for piece in _sectors(change):
                        yield inode, piece
                else:
                    yield inode, change
        for name_change in self._name_changes:
            yield None, name_change


def crash_masks(pieces: int, rng: random.Random, exhaustive_max: int = 6) -> Iterator[Callable[[int], bool]]:
    """Give choices of surviving pieces: all where there are few, else the telling ones and random ones."""
    if pieces <= exhaustive_max:
        for mask in range(1 << pieces):
            yield lambda piece, mask=mask: bool(mask >> piece & 1)  # type: ignore[misc]
        return
    yield lambda piece: False
    yield lambda piece: True
    for at in range(pieces):
        yield lambda piece, at=at: piece != at  # type: ignore[misc]
        yield lambda piece, at=at: piece < at  # type: ignore[misc]
        yield lambda piece, at=at: piece >= at  # type: ignore[misc]
    for _ in range(64):
        bits = rng.getrandbits(pieces)
        yield lambda piece, bits=bits: bool(bits >> piece & 1)  # type: ignore[misc]


def _sectors(write: _Write) -> Iterator[_Write]:
    begin, end = write.offset, write.offset + len(write.data)
    while begin < end:
        after = min(begin - begin % SECTOR_BYTES + SECTOR_BYTES, end)
        yield _Write(begin, write.data[begin - write.offset : after - write.offset])
        begin = after


def _apply(data: bytearray, change: _Change) -> None:
    match change:
        case _Write(offset, new):
            if len(data) < offset:
                data.extend(bytes(offset - len(data)))
            data[offset : offset + len(new)] = new
        case _Extend(size):
            data.extend(bytes(max(size - len(data), 0)))
        case _Truncate(size):
            del data[size:]
            data.extend(bytes(size - len(data)))


def _rename(names: dict[str, _Inode], change: _NameChange) -> None:
    if change.removed is not None:
        names.pop(change.removed, None)
    if change.added is not None:
        assert change.inode is not None
        names[change.added] = change.inode
