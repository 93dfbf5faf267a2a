"""Makes the data directory of a new cluster's node from a snapshot.

The new node begins where the snapshot ends, as if it had taken part in everything before:

    snapshots/   the same state, with the new cluster's members as its configuration
    wal/         no entries; compacted to the snapshot's (index, term), which is the log's end
    hard state   the snapshot's term, no vote: a later term follows with the first election

Every member of the new cluster is restored from the same file, so all logs end at the same point and any of
them may be elected. Everything is made in a `.part` directory beside the wanted one, and renamed when it is
durable: a directory that has its name is whole.
"""

import posixpath
import shutil
from collections.abc import Callable, Mapping
from os import fspath
from typing import Final

import msgspec

from raftnode.config import data_files
from raftnode.core.errors import StorageError
from raftnode.core.membership import make_configuration
from raftnode.core.types import HardState
from raftnode.storage.data_dir import DataDirError, Identity, format_data_dir
from raftnode.storage.filesystem import PART_SUFFIX, RealFilesystem, StrPath
from raftnode.storage.snapshot_file import StoredSnapshot, read_chunks
from raftnode.storage.snapshots import SnapshotStore
from raftnode.storage.wal import Wal

INDEX_MAX: Final = 2**62


def restore_data_dir(
    path: StrPath,
    source: StoredSnapshot,
    *,
    cluster_id: str,
    cluster_name: str,
    node_id: int,
    node_name: str,
    address: str,
    voters: Mapping[int, bytes],
    skip_indexes: int = 0,
    progress: Callable[[int], None] = lambda size: None,
) -> tuple[Identity, StoredSnapshot]:
    """Make a new data directory from `source`; return its identity and its snapshot.

    `voters` are the new cluster's members, each with its context. The log goes on `skip_indexes` after the
    snapshot's index. `progress` is called with how many bytes of state were written. Raises DataDirError where the path
    is taken, SnapshotDamaged, StorageError; then nothing is left behind.
    """
    fs, path = RealFilesystem(), posixpath.normpath(fspath(path))
    check_unused(path)
    index = source.index + skip_indexes
    if index > INDEX_MAX:
        raise ValueError(f"the log would begin after entry {index}: the limit is {INDEX_MAX}")
    configuration = make_configuration(voters, contexts=dict(voters))
    part = path + PART_SUFFIX
    _discard(part)
    try:
        identity = format_data_dir(
            part,
            cluster_id=cluster_id,
            cluster_name=cluster_name,
            node_id=node_id,
            node_name=node_name,
            address=address,
            capacity="voter",
            configuration=configuration,
            fs=fs,
        )
        store = SnapshotStore(posixpath.join(part, data_files.SNAPSHOTS), fs, cluster_id=cluster_id)
        writer = store.writer(index, source.term, configuration)
        for chunk in read_chunks(source, fs):
            writer.write(chunk)
            progress(writer.size_bytes)
        stored = writer.finish()
        wal = Wal.open(posixpath.join(part, data_files.WAL), fs)
        wal.save_hard_state(HardState(source.term, None))
        wal.compact(index, source.term)
        wal.sync()
        wal.close()
        check_unused(path)
        fs.rename(part, path)
        fs.sync_directory(posixpath.dirname(path) or ".")
    except BaseException:
        _discard(part)
        raise
    return identity, msgspec.structs.replace(stored, path=path + stored.path.removeprefix(part))


def check_unused(path: StrPath) -> None:
    """Raise DataDirError where something has this name already."""
    if RealFilesystem().exists(fspath(path)):
        raise DataDirError(fspath(path), "it exists already", "a directory is never restored over: choose another path")


def _discard(part: str) -> None:
    """Remove what an earlier attempt, or this one, left unfinished."""
    fs = RealFilesystem()
    if fs.exists(part):
        try:
            shutil.rmtree(part)
        except OSError as error:
            raise StorageError(f"cannot remove {part}: {error}") from error
