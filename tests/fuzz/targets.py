"""Everything that reads bytes which nobody vouches for. A target takes bytes and raises only where it found a bug."""

import contextlib
import re
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from raftnode.core.errors import SerializationError, StorageError
from raftnode.core.membership import decode_configuration
from raftnode.machine.kv import KvMachine
from raftnode.machine.sessions import SessionMachine
from raftnode.server.cluster_file import ClusterFile
from raftnode.server.settings import NodeSettings, SettingsError
from raftnode.storage.data_dir import DataDirError, read_boots, read_identity, read_instances
from raftnode.storage.snapshots import _BLOCK, _MAGIC, SnapshotRejected, SnapshotStore, _block_crc
from raftnode.storage.wal import Wal
from raftnode.wire.client import decode_answer, decode_request
from raftnode.wire.entries import decode_entry
from raftnode.wire.frame import FRAME_BYTES_MAX, HEADER_BYTES, HELLO_BYTES_MAX, FrameDecoder, FrameError
from raftnode.wire.hello import decode_hello, decode_hello_answer
from raftnode.wire.kv import decode_command, decode_query, decode_result
from raftnode.wire.peer import decode_peer_message
from tests.fuzz.corpus import corpus
from tests.fuzz.live import LiveReplica
from tests.support.filesystem import SimulatedFilesystem
from tests.support.replicas import DATA


@dataclass(frozen=True)
class Target:
    """A reader, and right bytes to begin with. `run` raises nothing but what no caller expects."""

    name: str
    seeds: list[bytes]
    run: Callable[[bytes], None]


def _frames(data: bytes) -> None:
    """Feed a stream in pieces: the same frames as at once, and never more held than a frame."""
    whole = FrameDecoder(first_bytes_max=HELLO_BYTES_MAX)
    pieces = FrameDecoder(first_bytes_max=HELLO_BYTES_MAX)
    try:
        expected = whole.feed(data)
    except FrameError:
        expected = None
    found: list[bytes] = []
    try:
        for start in range(0, len(data), 7):
            found += pieces.feed(data[start : start + 7])
            assert pieces.pending_bytes < FRAME_BYTES_MAX + HEADER_BYTES
    except FrameError:
        assert expected is None
    else:
        assert found == expected


def _decoding(*decoders: Callable[[bytes], object]) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        for decode in decoders:
            with contextlib.suppress(SerializationError):
                decode(data)

    return run


def _file(name: str, read: Callable[[SimulatedFilesystem], object]) -> Target:
    """Return the target that replaces one file of a data directory."""

    def run(data: bytes) -> None:
        fs = _disk()
        fs.put(path, data)
        with contextlib.suppress(StorageError, DataDirError):
            read(fs)

    path = next(path for path in corpus().files if name in path)
    return Target(path.removeprefix(f"{DATA}/"), [corpus().files[path]], run)


def _document(name: str, read: Callable[[SimulatedFilesystem], object]) -> Target:
    """Return the target that changes a document and makes its checksum right again, so that more of it is read."""
    plain = _file(name, read)
    head, found, content = plain.seeds[0].partition(b'"content":')
    assert found
    assert content.endswith(b"}\n")
    content = content[:-2]
    checksum = b"%08x" % zlib.crc32(content)
    assert checksum in head

    def run(data: bytes) -> None:
        plain.run(head.replace(checksum, b"%08x" % zlib.crc32(data)) + found + data + b"}\n")

    return Target(f"{plain.name}, with its checksum", [content], run)


def _disk() -> SimulatedFilesystem:
    fs = SimulatedFilesystem()
    for path, data in corpus().files.items():
        fs.make_directory(path.rpartition("/")[0])
        fs.put(path, data)
    return fs


def _read_wal(fs: SimulatedFilesystem) -> None:
    for read_only in (True, False):
        wal = Wal.open(f"{DATA}/wal", fs, read_only=read_only)
        for _ in wal.load_entries_after(wal.snapshot_metadata()[0]):
            pass
        wal.close()


def _read_snapshots(fs: SimulatedFilesystem) -> None:
    store = SnapshotStore(f"{DATA}/snapshots", fs)
    for stored in store.list():
        with contextlib.suppress(SerializationError):
            SessionMachine(KvMachine()).restore(store.chunks(stored))


def _receive_snapshot(path: str) -> Callable[[bytes], None]:
    """Take in the snapshot of this file from a peer, in pieces."""
    index, term = (int(number) for number in re.findall(r"\d+", path))
    return lambda data: _receive(data, index, term)


def _receive(data: bytes, index: int, term: int) -> None:
    fs = SimulatedFilesystem()
    fs.make_directory(f"{DATA}/snapshots")
    receiver = SnapshotStore(f"{DATA}/snapshots", fs).receiver(index, term)
    with contextlib.suppress(StorageError, SnapshotRejected):
        for start in range(0, len(data), 512):
            receiver.write(start, data[start : start + 512])
        receiver.finish()
    receiver.abort()


def _resealed_head(path: str) -> Target:
    """Return the target that changes a snapshot's head, makes its checksum right again, and has a peer send it."""
    whole = corpus().files[path]
    begin = len(_MAGIC) + _BLOCK.size
    length, _ = _BLOCK.unpack_from(whole, len(_MAGIC))
    receive = _receive_snapshot(path)

    def run(head: bytes) -> None:
        receive(_MAGIC + _BLOCK.pack(len(head), _block_crc(head, zlib.crc32(_MAGIC))) + head)

    return Target("a snapshot's head", [whole[begin : begin + length]], run)


def _resealed_snapshot() -> Target:
    """Return the target that restores a machine from changed bytes, as if every checksum were right."""
    fs = _disk()
    store = SnapshotStore(f"{DATA}/snapshots", fs)
    chunks = [chunk for stored in store.list() for chunk in store.chunks(stored)]
    whole = b"".join(list(store.chunks(store.list()[0])))

    def run(data: bytes) -> None:
        with contextlib.suppress(SerializationError):
            SessionMachine(KvMachine()).restore([data[at : at + 1000] for at in range(0, len(data), 1000)])

    return Target("a snapshot's contents", [whole, *chunks], run)


def _toml(load: Callable[[Path], object], path: Path) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.suppress(SettingsError):
            load(path)

    return run


@contextlib.contextmanager
def targets() -> Iterator[list[Target]]:
    """Give every target. The readers of settings have a directory of their own while this lasts."""
    made = corpus()
    stream = [b"".join(len(body).to_bytes(4, "big") + body for body in made.requests[n : n + 4]) for n in range(40)]
    bodies = made.entries + made.requests
    snapshot = next(path for path in made.files if path.endswith(".snap"))
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        live = stack.enter_context(LiveReplica())
        yield [
            Target("frames", stream, _frames),
            Target("peer messages", made.peers, _decoding(decode_peer_message)),
            Target("requests", made.requests, _decoding(decode_request)),
            Target("answers", made.answers, _decoding(decode_answer)),
            Target("hellos", made.hellos, _decoding(decode_hello, decode_hello_answer)),
            Target("entries", bodies, _decoding(
                decode_entry, decode_command, decode_query, decode_result, decode_configuration
            )),
            Target("replica: peers", made.peers, live.peer_message),
            Target("replica: clients", made.requests, live.client_request),
            _file("/wal/", _read_wal),
            _file(".snap", _read_snapshots),
            Target("a snapshot that arrives", [made.files[snapshot]], _receive_snapshot(snapshot)),
            _resealed_head(snapshot),
            _resealed_snapshot(),
            _file("identity.json", lambda fs: read_identity(DATA, fs)),
            _file("instances.json", lambda fs: read_instances(DATA, fs)),
            _file("boots.json", lambda fs: read_boots(DATA, fs)),
            _document("identity.json", lambda fs: read_identity(DATA, fs)),
            _document("instances.json", lambda fs: read_instances(DATA, fs)),
            _document("boots.json", lambda fs: read_boots(DATA, fs)),
            Target("node.toml", made.node_toml, _toml(NodeSettings.load, Path(directory, "node.toml"))),
            Target("cluster.toml", made.cluster_toml, _toml(ClusterFile.load, Path(directory, "cluster.toml"))),
        ]
