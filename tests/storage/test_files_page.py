"""raftnode-files(5) is enough to read a data directory: a small reader, written from the page alone, reads real ones.

The reader takes its offsets and sizes from the tables on the page, so that a wrong number there fails here.
"""

import base64
import hashlib
import json
import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

import raftnode
from raftnode.core import membership, types
from raftnode.core.membership import Configuration, make_configuration
from raftnode.core.types import EntryKind, HardState, LogEntry
from raftnode.machine.kv.machine import KvMachine
from raftnode.machine.sessions.machine import SessionMachine, encode_open_session, encode_write
from raftnode.storage import data_dir, segment, snapshot_file, wal
from raftnode.storage.data_dir import DataDir, Identity, format_data_dir
from raftnode.storage.snapshots import SnapshotStore
from raftnode.storage.wal import Wal
from raftnode.wire import entries, kv
from raftnode.wire import snapshot as contents
from raftnode.wire.kv import Put, encode
from tests.wire.strategies import structs_of

PAGE = Path(raftnode.__file__).parent.parent / "man" / "raftnode-files.5"
CONFIGURATION = make_configuration([1, 2, 3], contexts={1: b"one", 2: b"two", 3: b"three"})
CODES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q"}


def page() -> str:
    """Return the page without its fonts and escapes."""
    return re.sub(r"\\f[BIR]", "", PAGE.read_text()).replace("\\-", "-")


def table(heading: str) -> struct.Struct:
    """Return the layout in the first table under a heading, whose offsets must fit to its sizes."""
    text = page().split(f"\n{heading}\n", 1)[1]
    rows = re.findall(r"^ +(\d+) +(u8|u16|u32|u64|\d+)  ", text.split(".RE", 1)[0], re.MULTILINE)
    layout = "<"
    for offset, size in rows:
        assert struct.calcsize(layout) == int(offset), f"{heading}: offset {offset}"
        layout += CODES.get(size) or f"{size}s"
    return struct.Struct(layout)


class PageReader:
    """Reads files as the page says, with nothing of raftnode's."""

    def read_log(self, directory: Path) -> tuple[dict[int, list[Any]], list[Any], list[Any]]:
        """Return the entries by index, the hard state, and what was discarded."""
        log: dict[int, list[Any]] = {}
        hard_state: list[Any] = []
        discarded: list[Any] = []
        for number, path in enumerate(sorted(directory.glob("segment-*.wal"))):
            head, batches = self.read_segment(path.read_bytes())
            assert path.name == f"segment-{head[0]:012d}.wal"
            if number == 0:
                discarded, hard_state = head[4], head[5]
            assert [discarded, hard_state] == head[4:6]
            for state, truncate, snapshot, appended in batches:
                hard_state = state or hard_state
                if truncate:
                    log = {index: entry for index, entry in log.items() if index < truncate}
                if snapshot:
                    log = {index: entry for index, entry in log.items() if index > snapshot[0]}
                    discarded = snapshot
                log.update({entry[1]: entry for entry in appended})
        return log, hard_state, discarded

    def read_segment(self, data: bytes) -> tuple[list[Any], list[Any]]:
        layout = table(".SS The head of a segment")
        magic, version, length, crc = layout.unpack_from(data)
        body = data[layout.size : layout.size + length]
        assert (magic, version) == (b"raftwal\n", 1)
        assert crc == zlib.crc32(data[8:14] + body)
        assert not any(data[layout.size + length : 512])
        head = msgspec.msgpack.decode(body)
        salt, write = head[1], head[2]
        layout = table(".SS A batch")
        batches, offset, expected = [], 512, 0
        while offset < len(data):
            magic, mask, remaining, length, number, payload_crc, header_crc = layout.unpack_from(data, offset)
            payload = data[offset + layout.size : offset + layout.size + length]
            assert magic == bytes.fromhex("B79D")
            assert header_crc == zlib.crc32(data[offset : offset + 21], zlib.crc32(salt))
            assert payload_crc == zlib.crc32(payload)
            assert data[offset + layout.size + length] == 0xE5
            if not expected:
                write += 1
            assert number == write
            expected = remaining
            if mask:
                pattern = hashlib.blake2b(salt + bytes([mask]), digest_size=64).digest()
                payload = bytes(b ^ pattern[i % 64] for i, b in enumerate(payload))
            batches.append(msgspec.msgpack.decode(payload))
            offset += layout.size + length + 1
        return head, batches

    def read_end(self, data: bytes) -> tuple[int, bytes]:
        """Return a snapshot's checksum and time from its last bytes."""
        layout = table("So every file ends with these 40 bytes:")
        assert layout.size == 40
        zero, checksum, length, crc, time = layout.unpack(data[-layout.size :])
        assert (zero, length, crc) == (0, 24, zlib.crc32(data[-32:-28] + time, checksum))
        return checksum, time

    def read_snapshot(self, data: bytes) -> tuple[list[Any], list[Any], list[Any]]:
        """Return the head, the sessions' records and the keys' records."""
        assert data[:8] == b"raftsnap"
        layout = table("A block:")
        offset, crc, payloads = 8, zlib.crc32(b"raftsnap"), []
        while offset < len(data):
            length, found = layout.unpack_from(data, offset)
            payload = data[offset + layout.size : offset + layout.size + length]
            crc = zlib.crc32(data[offset : offset + 4] + payload, crc)
            assert crc == found
            payloads.append(payload)
            offset += layout.size + length
        assert payloads[-2:] == [b"", self.read_end(data)[1]]
        header, *parts = self.frames(b"".join(payloads[1:-1]))
        assert header[:2] == [1, 1]
        assert parts.pop() == [4, sum(part[0] == 3 for part in parts)]
        sessions = [record for part in parts if part[0] == 2 for record in part[1]]
        store, *batches = self.frames(b"".join(part[1] for part in parts if part[0] == 3))
        keys = [record for batch in batches for record in batch[1]]
        assert store[:2] == [1, 1]
        assert store[3] == len(keys)
        assert header[3] == sum(record[0] == 1 for record in sessions)
        return msgspec.msgpack.decode(payloads[0]), sessions, keys

    def frames(self, data: bytes) -> list[Any]:
        found, offset = [], 0
        while offset < len(data):
            length = int.from_bytes(data[offset : offset + 4], "big")
            found.append(msgspec.msgpack.decode(data[offset + 4 : offset + 4 + length]))
            offset += 4 + length
        return found

    def read_json(self, path: Path) -> Any:
        text = path.read_bytes()
        content = text[len(b'{"checksum":"00000000","content":') : -2]
        assert text == b'{"checksum":"%08x","content":' % zlib.crc32(content) + content + b"}\n"
        return json.loads(content)


def as_list(entry: LogEntry) -> list[Any]:
    return [entry.term, entry.index, entry.data, int(entry.kind)]


def test_a_reader_written_from_the_page_reads_a_real_log(tmp_path: Path) -> None:
    """Several segments, a truncation, a compaction, masked zeros, a write of several batches."""
    written = Wal.open(tmp_path, segment_bytes=200_000)
    written.save_hard_state(HardState(1, 2))
    written.append([LogEntry(1, 1, b"", EntryKind.NOOP)])
    written.append([LogEntry(1, 2, CONFIGURATION.encode(), EntryKind.CONFIGURATION)])
    written.sync()
    written.append([LogEntry(1, index, bytes(300) + b"%d" % index) for index in range(3, 2000)])
    written.sync()
    written.append([LogEntry(1, index, b"x" * 90) for index in range(2000, 6000)])
    written.sync()
    written.truncate(5990)
    written.save_hard_state(HardState(4, None))
    written.append([LogEntry(4, 5990, b"after")])
    written.sync()
    written.compact(1000, 1)
    written.sync()
    assert len(list(tmp_path.glob("*.wal"))) > 1
    log, hard_state, discarded = PageReader().read_log(tmp_path)
    assert [log[index] for index in sorted(log)] == [as_list(entry) for entry in written.load_entries(1001, 5990)]
    assert (hard_state, discarded) == ([4, None], [1000, 1])
    written.close()


def test_a_reader_written_from_the_page_reads_a_real_snapshot(tmp_path: Path) -> None:
    """Sessions with results, and enough keys for many blocks."""
    machine = SessionMachine(KvMachine())
    machine.apply(1, encode_open_session())
    for sequence in range(1, 400):
        command = encode(Put(b"key/%03d" % (sequence % 300), b"v" * sequence * 3))
        machine.apply(1 + sequence, encode_write(1, sequence, sequence // 2, command))
    store = SnapshotStore(tmp_path, wall_clock=lambda: 1_700_000_000.25, cluster_id="c1")
    writer = store.writer(400, 7, CONFIGURATION)
    for chunk in machine.snapshot():
        writer.write(chunk)
    stored = writer.finish()
    assert Path(stored.path).name == f"snapshot-{400:020d}-{7:020d}.snap"
    data = Path(stored.path).read_bytes()
    head, sessions, keys = PageReader().read_snapshot(data)
    assert head == [1, 400, 7, CONFIGURATION.encode(), "c1"]
    assert PageReader().read_end(data) == (stored.checksum, b"2023-11-14T22:13:20.250Z")
    assert sessions[0] == [1, 1, 199]
    assert [record[1] for record in sessions[1:]] == list(range(200, 400))
    assert sorted(record[0] for record in keys) == sorted(b"key/%03d" % n for n in range(300))
    assert next(record for record in keys if record[0] == b"key/007") == [b"key/007", b"v" * 921, 8, 308, 2]


def test_a_reader_written_from_the_page_reads_the_json_files(tmp_path: Path) -> None:
    """The checksum is over the content's own bytes."""
    identity = format_data_dir(
        tmp_path / "d",
        cluster_id="c1",
        cluster_name="demo",
        node_id=2,
        node_name="n2",
        address="127.0.0.1:1",
        capacity="voter",
        configuration=CONFIGURATION,
    )
    opened = DataDir.open(tmp_path / "d")
    opened.next_boot()
    opened.remember_instance(3, "abc")
    opened.close()
    read = PageReader().read_json
    content = read(tmp_path / "d" / "identity.json")
    assert (content["cluster_id"], content["instance_id"]) == ("c1", identity.instance_id)
    assert content["configuration"][5] == {"1": base64.b64encode(b"one").decode(), "2": "dHdv", "3": "dGhyZWU="}
    assert read(tmp_path / "d" / "boots.json") == 1
    assert read(tmp_path / "d" / "instances.json") == {"3": "abc"}


FILE_STRUCTS: list[tuple[str, type[msgspec.Struct]]] = [
    *((struct.__name__, struct) for module in (entries, contents) for struct in structs_of(module)),
    *((struct.__name__, struct) for struct in (segment.SegmentHead, segment.Batch, types.HardState)),
    *((struct.__name__, struct) for struct in (types.SnapshotPoint, types.LogEntry, Configuration, kv.KeyValue)),
    ("SnapshotHead", snapshot_file.SnapshotHead),
]


@pytest.mark.parametrize(("name", "found"), FILE_STRUCTS, ids=[name for name, _ in FILE_STRUCTS])
def test_every_struct_of_the_files_is_on_the_page(name: str, found: type[msgspec.Struct]) -> None:
    """With its tag, its fields in order, and how many of them have defaults."""
    tag = found.__struct_config__.tag
    heading = name if tag is None else f"{tag} {name}"
    entry = re.search(rf"^\.B {re.escape(heading)}\n\[(.*?)\]\n\.br$", page(), re.MULTILINE | re.DOTALL)
    assert entry is not None, f"no entry for {heading}"
    fields = [field.strip() for field in entry.group(1).split(",\n")]
    first = [] if tag is None else [str(tag)]
    assert [field.split()[0] for field in fields] == [*first, *found.__struct_fields__]
    required = [field for field in fields[len(first) :] if " = " not in field]
    assert len(required) == len(fields) - len(first) - len(found.__struct_defaults__)


def test_the_page_describes_no_struct_that_is_not_in_the_files() -> None:
    """What was removed from the files leaves the page."""
    described = re.findall(r"^\.B (?:\d+ )?([A-Z]\w+)\n\[", page(), re.MULTILINE)
    assert sorted(described) == sorted(name for name, _ in FILE_STRUCTS)


def test_the_numbers_on_the_page_are_those_of_the_code() -> None:
    """A format that changes in the code changes on the page."""
    versions = (
        data_dir.FORMAT_VERSION,
        segment.FORMAT_VERSION,
        snapshot_file.FORMAT_VERSION,
        contents.SESSIONS_FORMAT_VERSION,
        contents.KV_FORMAT_VERSION,
    )
    assert set(versions) == {1}
    text = re.sub(r"\s+", " ", page())
    for sentence in (
        "There are five format versions, all 1",
        f"The first {segment.HEAD_BYTES} bytes",
        f"from offset {segment.HEAD_BYTES} without a gap",
        f"{segment.SECTOR_BYTES}-byte sectors",
        f"with {len(segment.ZERO_RUN)} zero bytes in a row",
        f"salt {segment.SALT_BYTES} random bytes",
        f"after {wal.SEGMENT_BYTES // 2**20} MiB",
        f"at most {snapshot_file.CHUNK_BYTES_MAX}",
    ):
        assert sentence in text, sentence
    for field in Identity.__struct_fields__:
        assert re.search(rf"^\.BR? .*\b{field}\b", page(), re.MULTILINE), field
    for capacity in data_dir.CAPACITIES:
        assert f'"{capacity}"' in text
    assert [int(kind) for kind in (EntryKind.COMMAND, EntryKind.NOOP, EntryKind.CONFIGURATION)] == [0, 1, 2]
    assert membership.Configuration.__struct_fields__[5] == "contexts"


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_the_page_formats_without_a_warning() -> None:
    """Plain man(7)."""
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z", str(PAGE)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
