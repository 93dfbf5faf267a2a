"""The readers of a data directory's files: as they stand on the disk, and below their checksums."""

import contextlib
import re
import zlib
from collections.abc import Callable

from raftnode.core.errors import SerializationError, StorageError
from raftnode.core.membership import decode_configuration
from raftnode.machine.kv.machine import KvMachine
from raftnode.machine.sessions.machine import SessionMachine
from raftnode.storage.data_dir import DataDirError, format_data_dir
from raftnode.storage.snapshots import SnapshotRejected, SnapshotStore
from tests.fuzz.corpus import corpus
from tests.fuzz.sealing import (
    SealedBatch,
    head_payload,
    sealed_batches,
    sealed_snapshot,
    snapshot_blocks,
    with_head,
)
from tests.fuzz.stored import data_directory, disk, read_everything
from tests.fuzz.target import Target, decoding
from tests.support.filesystem import SimulatedFilesystem
from tests.support.replicas import DATA, first_configuration

DOCUMENTS = ("identity.json", "instances.json", "boots.json")


def storage_targets() -> list[Target]:
    """Return every target of this room."""
    files = data_directory()
    segments = sorted(path for path in files if path.endswith(".wal"))
    (snapshot,) = (path for path in files if path.endswith(".snap"))
    return [
        _file("the newest segment", segments[-1]),
        _file("an older segment", segments[0]),
        *_below_log_checksums(segments),
        _file("a snapshot's file", snapshot),
        *_below_snapshot_checksums(snapshot),
        Target("a snapshot that arrives", [files[snapshot]], _receive(snapshot)),
        Target("a snapshot's state", _states(), _restore_machine),
        Target("stored configurations", _configurations(), decoding(decode_configuration)),
        *(_file(name, f"{DATA}/{name}") for name in DOCUMENTS),
        *(_document(f"{DATA}/{name}") for name in DOCUMENTS),
        Target("a directory to be formatted", [files[segments[0]]], _format_over),
    ]


def _file(name: str, path: str) -> Target:
    """Return the target that replaces one file of a data directory."""
    files = data_directory()
    return Target(name, [files[path]], lambda data: read_everything({**files, path: data}))


def _document(path: str) -> Target:
    """Return the target that changes a document and makes its checksum right again."""
    files = data_directory()
    head, found, content = files[path].partition(b'"content":')
    content = content.removesuffix(b"}\n")
    checksum = b"%08x" % zlib.crc32(content)
    assert checksum in head

    def run(data: bytes) -> None:
        sealed = head.replace(checksum, b"%08x" % zlib.crc32(data)) + found + data + b"}\n"
        read_everything({**files, path: sealed})

    return Target(f"{path.rpartition('/')[2]}, sealed", [content], run)


def _below_log_checksums(paths: list[str]) -> list[Target]:
    """Return the targets of records, batch headers and segment heads.

    The first byte of an input chooses which of them it replaces.
    """
    files = data_directory()
    places = [(path, batch) for path in paths for batch in sealed_batches(files[path])]
    assert len(paths) > 2
    assert len(places) < 256

    def batches(name: str, part: Callable[[SealedBatch], bytes], put: Callable[[SealedBatch, bytes], bytes]) -> Target:
        def run(data: bytes) -> None:
            path, batch = places[data[0] % len(places)] if data else places[0]
            read_everything({**files, path: put(batch, data[1:])})

        return Target(name, [bytes([n]) + part(batch) for n, (_, batch) in enumerate(places)], run)

    def run_head(data: bytes) -> None:
        path = paths[data[0] % len(paths)] if data else paths[0]
        read_everything({**files, path: with_head(files[path], data[1:])})

    heads = [bytes([n]) + head_payload(files[path]) for n, path in enumerate(paths)]
    return [
        batches("log records, sealed", lambda batch: batch.payload, SealedBatch.with_payload),
        batches("batch headers, sealed", lambda batch: batch.covered, SealedBatch.with_header),
        Target("segment heads, sealed", heads, run_head),
    ]


def _below_snapshot_checksums(path: str) -> list[Target]:
    """Return the targets that put another head, state or end into a snapshot: in a file, and as a peer sends it."""
    files = data_directory()
    blocks = snapshot_blocks(files[path])
    assert sealed_snapshot(blocks) == files[path]
    receive = _receive(path)

    def block_target(name: str, number: int) -> Target:
        def run(data: bytes) -> None:
            sealed = sealed_snapshot([*blocks[:number], data, *blocks[number:][1:]])
            read_everything({**files, path: sealed})
            receive(sealed)

        return Target(name, [blocks[number]], run)

    return [
        block_target("a snapshot's head, sealed", 0),
        block_target("a snapshot's first chunk, sealed", 1),
        block_target("a snapshot's time, sealed", len(blocks) - 1),
    ]


def _receive(path: str) -> Callable[[bytes], None]:
    """Return what takes in the snapshot of this file from a peer, in pieces."""
    index, term = (int(number) for number in re.findall(r"\d+", path))

    def run(data: bytes) -> None:
        fs = SimulatedFilesystem()
        fs.make_directory(f"{DATA}/snapshots")
        receiver = SnapshotStore(f"{DATA}/snapshots", fs).receiver(index, term)
        with contextlib.suppress(StorageError, SnapshotRejected):
            for start in range(0, len(data), 512):
                receiver.write(start, data[start : start + 512])
            receiver.finish()
        receiver.abort()

    return run


def _states() -> list[bytes]:
    """Return the states of machines in snapshots of a cluster that ran, whole and in chunks."""
    fs = disk(corpus().files)
    store = SnapshotStore(f"{DATA}/snapshots", fs)
    chunks = [chunk for stored in store.list() for chunk in store.chunks(stored)]
    return [b"".join(store.chunks(store.list()[0])), *chunks]


def _restore_machine(data: bytes) -> None:
    with contextlib.suppress(SerializationError):
        SessionMachine(KvMachine()).restore([data[at : at + 1000] for at in range(0, len(data), 1000)])


def _configurations() -> list[bytes]:
    return [first_configuration([1, 2, 3]).encode(), first_configuration([1], [2, 3]).encode()]


def _format_over(data: bytes) -> None:
    """Format a directory in which a log without an identity is left."""
    fs = disk({f"{DATA}/wal/segment-000000000001.wal": data})
    with contextlib.suppress(StorageError, DataDirError):
        format_data_dir(
            DATA,
            cluster_id="c",
            cluster_name="demo",
            node_id=1,
            node_name="n1",
            address="10.0.0.1:7000",
            capacity="voter",
            configuration=first_configuration([1]),
            fs=fs,
        )
