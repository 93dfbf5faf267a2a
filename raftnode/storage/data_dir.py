"""A node's data directory: its identity, a lock, its log and its snapshots.

    identity.json    written once by `format_data_dir`: cluster, node, first configuration, random instance id
    instances.json   the instance id under which each other node was first seen
    boots.json       how often the node was started
    LOCK             flock(2) of the running process, with its process id
    wal/ snapshots/  the log and the snapshots

Each JSON file carries a checksum of its content and is replaced as a whole.
"""

import os
import posixpath
import time
import zlib
from collections.abc import Callable
from os import fspath
from typing import Final, TypeVar

import msgspec

from raftnode.config import data_files
from raftnode.config.times import rfc3339
from raftnode.core.errors import RaftError, SerializationError, StorageError
from raftnode.core.membership import Configuration, check_configuration
from raftnode.storage.filesystem import (
    PART_SUFFIX,
    Filesystem,
    Lock,
    LockHeldError,
    RealFilesystem,
    StrPath,
    read_whole,
    write_atomically,
)
from raftnode.storage.wal import Wal

FORMAT_VERSION: Final = 1
CAPACITIES: Final = ("voter", "learner", "observer")

_NEW_MEMBER: Final = (
    "remove this node from the cluster and bring it back as a new member, under a new id and with an empty "
    "data directory"
)


class DataDirError(RaftError):
    """A data directory cannot be used. `reason` says why, `advice` what to do."""

    def __init__(self, path: str, reason: str, advice: str) -> None:
        self.path = path
        self.reason = reason
        self.advice = advice
        super().__init__(f"data directory {path}: {reason}; {advice}")


class Identity(msgspec.Struct, frozen=True):
    """A node's identity, which never changes in its data directory.

    `address` is the "host:port" at which others reach it. `configuration` is the cluster's first one:
    it holds until the log or a snapshot brings a later one.
    """

    format_version: int
    cluster_id: str
    cluster_name: str
    node_id: int
    node_name: str
    instance_id: str
    address: str
    capacity: str
    configuration: Configuration
    created_at: str


def format_data_dir(
    path: StrPath,
    *,
    cluster_id: str,
    cluster_name: str,
    node_id: int,
    node_name: str,
    address: str,
    capacity: str,
    configuration: Configuration,
    fs: Filesystem | None = None,
    instance_id: str | None = None,
    wall_clock: Callable[[], float] = time.time,
) -> Identity:
    """Make a node's data directory. Raises DataDirError where anything is in it already."""
    if capacity not in CAPACITIES:
        raise ValueError(f"capacity is {capacity!r}: it is one of {', '.join(CAPACITIES)}")
    fs, path = fs or RealFilesystem(), fspath(path)
    _check_unused(fs, path)
    identity = Identity(
        FORMAT_VERSION,
        cluster_id,
        cluster_name,
        node_id,
        node_name,
        instance_id or fs.entropy(16).hex(),
        address,
        capacity,
        configuration,
        rfc3339(wall_clock()),
    )
    fs.make_directory(path)
    fs.make_directory(posixpath.join(path, data_files.SNAPSHOTS))
    # The first segment is made now: from here on a missing log is a lost log, never a new one.
    Wal.open(posixpath.join(path, data_files.WAL), fs).close()
    _write_document(fs, posixpath.join(path, data_files.IDENTITY), identity)
    return identity


def read_identity(path: StrPath, fs: Filesystem | None = None) -> Identity:
    """Return a data directory's identity. Raises DataDirError; the directory need not be locked."""
    fs, path = fs or RealFilesystem(), fspath(path)
    if not fs.is_directory(path):
        there = "it is not a directory" if fs.exists(path) else "it does not exist"
        raise DataDirError(path, there, "check the path, or make it with `raftnode format`")
    file = posixpath.join(path, data_files.IDENTITY)
    if not fs.exists(file):
        raise DataDirError(
            path,
            f"it is not a data directory: it has no {data_files.IDENTITY}",
            "check the path, or make it with `raftnode format`",
        )
    content = _read_content(fs, path, data_files.IDENTITY)
    version = _decode(path, data_files.IDENTITY, content, _Version).format_version
    if version != FORMAT_VERSION:
        raise DataDirError(
            path,
            f"{data_files.IDENTITY} has format {version}, and this program reads {FORMAT_VERSION}",
            "run the version of raftnode that wrote it, or a newer one",
        )
    identity = _decode(path, data_files.IDENTITY, content, Identity)
    if reason := _impossible(identity):
        raise DataDirError(path, f"{data_files.IDENTITY} is invalid: {reason}", _NEW_MEMBER)
    return identity


def read_instances(path: StrPath, fs: Filesystem | None = None) -> dict[int, str]:
    """Return each other node's instance id, as far as one was seen. Raises DataDirError; no lock is needed."""
    return _read_document(fs or RealFilesystem(), fspath(path), data_files.INSTANCES, dict[int, str], {})


def read_boots(path: StrPath, fs: Filesystem | None = None) -> int:
    """Return how often the node was started. Raises DataDirError; no lock is needed."""
    return _read_document(fs or RealFilesystem(), fspath(path), data_files.BOOTS, int, 0)


class DataDir:
    """A data directory that this process has locked. Open it with `DataDir.open`."""

    def __init__(self, path: str, fs: Filesystem, lock: Lock, identity: Identity) -> None:
        self._fs = fs
        self._lock = lock
        self._instances = read_instances(path, fs)
        self.path = path
        self.identity = identity
        self.wal_path = posixpath.join(path, data_files.WAL)
        self.snapshots_path = posixpath.join(path, data_files.SNAPSHOTS)

    @classmethod
    def open(cls, path: StrPath, fs: Filesystem | None = None) -> "DataDir":
        """Lock a data directory and read its identity. Raises DataDirError."""
        fs, path = fs or RealFilesystem(), fspath(path)
        read_identity(path, fs)
        try:
            lock = fs.lock(posixpath.join(path, data_files.LOCK), f"{os.getpid()}\n")
        except LockHeldError as error:
            raise DataDirError(
                path,
                f"it is in use by process {error.holder or '(unknown)'}",
                "stop that process first, or use another directory",
            ) from error
        try:
            data_dir = cls(path, fs, lock, read_identity(path, fs))
            data_dir._check_log()
            # A process that died after a rename may leave names that are visible but not durable.
            fs.sync_directory(path)
        except BaseException:
            lock.release()
            raise
        return data_dir

    def known_instances(self) -> dict[int, str]:
        """Return each other node's instance id, as far as one was seen."""
        return dict(self._instances)

    def remember_instance(self, node_id: int, instance_id: str) -> None:
        """Keep a node's instance id. It is durable when this returns."""
        if self._instances.get(node_id) != instance_id:
            instances = {**self._instances, node_id: instance_id}
            _write_document(self._fs, posixpath.join(self.path, data_files.INSTANCES), instances)
            self._instances = instances

    def next_boot(self) -> int:
        """Count one more start, durably, and return its number: 1 at the first."""
        boots = read_boots(self.path, self._fs) + 1
        _write_document(self._fs, posixpath.join(self.path, data_files.BOOTS), boots)
        return boots

    def close(self) -> None:
        """Release the lock. Harmless when repeated."""
        self._lock.release()

    def _check_log(self) -> None:
        for name in (data_files.WAL, data_files.SNAPSHOTS):
            if not self._fs.is_directory(posixpath.join(self.path, name)):
                raise DataDirError(self.path, f"its directory {name} is missing", _NEW_MEMBER)
        if not any(name.endswith(".wal") for name in self._fs.list_directory(self.wal_path)):
            raise DataDirError(self.path, f"its log is missing: {data_files.WAL} holds no segment", _NEW_MEMBER)


class _Version(msgspec.Struct):
    format_version: int


def _impossible(identity: Identity) -> str | None:
    """Return why no node can have this identity although the checksum is right; None if one can."""
    if identity.node_id < 1 or identity.capacity not in CAPACITIES:
        return f"it is of a {identity.capacity!r} with the node id {identity.node_id}"
    configuration = identity.configuration
    try:
        check_configuration(configuration)
    except SerializationError as error:
        return str(error)
    # It may be joint: a node that joins in the middle of a change gets both sets of voters.
    both = {*configuration.voters_outgoing} & {*configuration.learners, *configuration.observers}
    return f"a configuration lists a node in two capacities: {sorted(both)}" if both else None


def _check_unused(fs: Filesystem, path: str) -> None:
    """Raise DataDirError unless the directory is missing, empty, or left by a format that did not finish."""
    if not fs.exists(path):
        return
    if not fs.is_directory(path):
        raise DataDirError(path, "it is not a directory", "choose another path")
    names = fs.list_directory(path)
    if data_files.IDENTITY in names:
        try:
            owner = read_identity(path, fs)
            text = f"it already belongs to node {owner.node_id} ({owner.node_name}) of cluster {owner.cluster_name}"
        except DataDirError as error:
            text = f"it already holds {data_files.IDENTITY}, which cannot be read: {error.reason}"
        raise DataDirError(path, text, "use it as it is, or choose another directory")
    for name in names:
        # node.toml is not data: an operator may put it there before formatting.
        if name not in (
            data_files.IDENTITY + PART_SUFFIX,
            data_files.WAL,
            data_files.SNAPSHOTS,
            data_files.SETTINGS,
            "lost+found",
        ):
            raise DataDirError(path, f"it holds the foreign file {name}", "move it away, or choose another directory")
    for name in (data_files.WAL, data_files.SNAPSHOTS):
        directory = posixpath.join(path, name)
        if name in names and fs.is_directory(directory) and not _log_untouched(fs, directory):
            raise DataDirError(
                path,
                f"it holds data in {name} without {data_files.IDENTITY}",
                "bring back its identity.json from where it was moved, or choose another directory",
            )


def _log_untouched(fs: Filesystem, directory: str) -> bool:
    """Return whether a directory holds at most the empty log that an unfinished format leaves."""
    names = fs.list_directory(directory)
    if not all(name.startswith("segment-") for name in names):
        return False
    if not names:
        return True
    wal = Wal.open(directory, fs, read_only=True)
    try:
        return wal.last_index == 0 and wal.load_hard_state().current_term == 0
    finally:
        wal.close()


def _write_document(fs: Filesystem, path: str, value: object) -> None:
    content = msgspec.json.encode(value)
    write_atomically(fs, path, _ENVELOPE % zlib.crc32(content) + content + b"}\n")


_T = TypeVar("_T")


def _read_document(fs: Filesystem, path: str, name: str, kind: type[_T], default: _T) -> _T:
    if not fs.exists(posixpath.join(path, name)):
        return default
    return _decode(path, name, _read_content(fs, path, name), kind)


def _read_content(fs: Filesystem, path: str, name: str) -> bytes:
    """Return a document's content, whose checksum is right, byte for byte."""
    try:
        data = read_whole(fs, posixpath.join(path, name))
    except StorageError as error:
        raise DataDirError(path, str(error), "check the permissions and the disk") from error
    content = data[len(_ENVELOPE % 0) : -2]
    if data != _ENVELOPE % zlib.crc32(content) + content + b"}\n":
        raise DataDirError(path, f"{name} is damaged: it does not match its checksum", _NEW_MEMBER)
    return content


def _decode(path: str, name: str, content: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DataDirError(path, f"{name} is invalid: {error}", _NEW_MEMBER) from error


_ENVELOPE: Final = b'{"checksum":"%08x","content":'
