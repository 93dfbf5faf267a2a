"""The data directory: identity, lock, instances, boots, and refusals that an operator can act on."""

import os
import random
import zlib
from pathlib import Path

import pytest

from raftnode.core.errors import StorageError
from raftnode.core.membership import make_configuration
from raftnode.storage.data_dir import DataDir, DataDirError, Identity, format_data_dir, read_identity
from raftnode.storage.filesystem import Filesystem
from raftnode.storage.wal import Wal
from tests.support.filesystem import Fault, SimulatedCrash, SimulatedFilesystem, crash_masks

DIRECTORY = "/disk/n1"


def make(path: str, fs: Filesystem | None = None) -> Identity:
    """Format a directory as node 1 of the cluster demo."""
    return format_data_dir(
        path,
        cluster_id="c0ffee",
        cluster_name="demo",
        node_id=1,
        node_name="n1",
        address="127.0.0.1:7001",
        capacity="voter",
        configuration=make_configuration([1, 2, 3], contexts={1: b"\x00\xff"}),
        fs=fs,
    )


def test_a_formatted_directory_tells_who_the_node_is(tmp_path: Path) -> None:
    """The identity is read back whole, from the real disk, with random and distinct instance ids."""
    first, second = make(str(tmp_path / "a b")), make(str(tmp_path / "n2"))
    assert read_identity(tmp_path / "a b") == first
    assert first.instance_id != second.instance_id
    with_lock = DataDir.open(tmp_path / "a b")
    assert with_lock.identity == first
    assert Wal.open(with_lock.wal_path).last_index == 0
    with_lock.close()


def test_a_locked_directory_names_the_process_that_holds_it(tmp_path: Path) -> None:
    """Two processes never share a directory; the lock ends with the first."""
    make(str(tmp_path / "n1"))
    first = DataDir.open(tmp_path / "n1")
    with pytest.raises(DataDirError, match=f"process {os.getpid()}") as caught:
        DataDir.open(tmp_path / "n1")
    assert "stop that process" in caught.value.advice
    assert read_identity(tmp_path / "n1") == first.identity
    first.close()
    first.close()
    DataDir.open(tmp_path / "n1").close()


def test_format_refuses_a_directory_that_holds_anything(tmp_path: Path) -> None:
    """An identity, a foreign file and a file in the way are each named; nothing is changed."""
    make(str(tmp_path / "n1"))
    with pytest.raises(DataDirError, match=r"belongs to node 1 \(n1\) of cluster demo"):
        make(str(tmp_path / "n1"))
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "notes.txt").write_text("mine")
    with pytest.raises(DataDirError, match=r"foreign file notes\.txt"):
        make(str(tmp_path / "foreign"))
    assert os.listdir(tmp_path / "foreign") == ["notes.txt"]
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirError, match="not a directory"):
        make(str(tmp_path / "file"))


def test_a_log_without_its_identity_is_not_formatted_over(tmp_path: Path) -> None:
    """Votes and entries of a lost identity are never mistaken for an unfinished format."""
    make(str(tmp_path))
    wal = Wal.open(tmp_path / "wal")
    wal.compact(1, 1)
    wal.sync()
    wal.close()
    (tmp_path / "identity.json").unlink()
    with pytest.raises(DataDirError, match="data in wal without identity"):
        make(str(tmp_path))


def test_missing_foreign_and_damaged_directories_are_told_apart(tmp_path: Path) -> None:
    """Each refusal says what is wrong with which directory and what to do."""
    with pytest.raises(DataDirError, match="does not exist"):
        DataDir.open(tmp_path / "none")
    with pytest.raises(DataDirError, match=r"not a data directory.*identity\.json"):
        DataDir.open(tmp_path)
    make(str(tmp_path))
    text = (tmp_path / "identity.json").read_bytes()
    (tmp_path / "identity.json").write_bytes(text.replace(b"demo", b"demi"))
    with pytest.raises(DataDirError, match="damaged") as caught:
        DataDir.open(tmp_path)
    assert "new member" in caught.value.advice


def test_any_flipped_bit_of_the_identity_is_found() -> None:
    """The file must be its content and checksum to the byte."""
    fs = SimulatedFilesystem()
    make(DIRECTORY, fs)
    path = f"{DIRECTORY}/identity.json"
    for bit in range(len(fs.contents(path)) * 8):
        fs.flip_bit(path, bit)
        with pytest.raises(DataDirError, match="damaged"):
            read_identity(DIRECTORY, fs)
        fs.flip_bit(path, bit)


def test_a_newer_format_asks_for_a_newer_program() -> None:
    """A later version's directory is not called damaged."""
    fs = SimulatedFilesystem()
    make(DIRECTORY, fs)
    content = b'{"format_version":2,"something":"new"}'
    fs.put(f"{DIRECTORY}/identity.json", b'{"checksum":"%08x","content":%s}\n' % (zlib.crc32(content), content))
    with pytest.raises(DataDirError, match=r"format 2.*newer one"):
        read_identity(DIRECTORY, fs)


@pytest.mark.parametrize("content", [b'{"format_version":1,"cluster_id":"\x90"}', b'{"x":' + b"[" * 5000])
def test_a_document_of_nonsense_under_a_right_checksum_is_refused(content: bytes) -> None:
    """Text that is not UTF-8, and nesting deeper than the interpreter's stack, are errors like all others."""
    fs = SimulatedFilesystem()
    make(DIRECTORY, fs)
    fs.put(f"{DIRECTORY}/identity.json", b'{"checksum":"%08x","content":%s}\n' % (zlib.crc32(content), content))
    with pytest.raises(DataDirError, match="is invalid"):
        read_identity(DIRECTORY, fs)


@pytest.mark.parametrize("lost", ["wal", "snapshots"])
def test_a_node_whose_log_was_removed_does_not_start(tmp_path: Path, lost: str) -> None:
    """Without its log a node has forgotten its votes: it must come back as a new member."""
    make(str(tmp_path))
    directory = tmp_path / lost
    for file in directory.iterdir():
        file.unlink()
    if lost == "wal":
        with pytest.raises(DataDirError, match="log is missing"):
            DataDir.open(tmp_path)
    directory.rmdir()
    with pytest.raises(DataDirError, match=f"{lost} is missing") as caught:
        DataDir.open(tmp_path)
    assert "new member" in caught.value.advice


def test_boots_and_instances_are_durable_when_they_are_returned() -> None:
    """The boot counter starts at 1 and never repeats; an instance is known after a power loss."""
    fs = SimulatedFilesystem()
    make(DIRECTORY, fs)
    for boot in (1, 2, 3):
        data_dir = DataDir.open(DIRECTORY, fs)
        assert data_dir.next_boot() == boot
        data_dir.remember_instance(boot + 1, f"instance {boot}")
        fs = fs.crash()
    assert DataDir.open(DIRECTORY, fs).known_instances() == {2: "instance 1", 3: "instance 2", 4: "instance 3"}


def test_what_a_start_finds_is_durable_from_then_on() -> None:
    """The process before may have died between a rename and the fsync of its directory."""
    fs = SimulatedFilesystem()
    make(DIRECTORY, fs)
    before = DataDir.open(DIRECTORY, fs)
    fs.faults.append(Fault("sync_directory", path=DIRECTORY))
    with pytest.raises(StorageError):
        before.remember_instance(2, "instance 2")
    after = fs.kill()
    assert DataDir.open(DIRECTORY, after).known_instances() == {2: "instance 2"}
    assert DataDir.open(DIRECTORY, after.crash(lambda piece: False)).known_instances() == {2: "instance 2"}


def test_every_crash_point_of_format_leaves_a_directory_that_can_be_formatted_or_used() -> None:
    """An interrupted format is repeated without help; one that returned is durable."""
    crash_at = 1
    while True:
        fs = SimulatedFilesystem()
        fs.crash_at = crash_at
        try:
            identity = make(DIRECTORY, fs)
        except SimulatedCrash:
            for keep in crash_masks(fs.unsynced(), random.Random(crash_at)):
                after = fs.crash(keep)
                if not after.exists(f"{DIRECTORY}/identity.json"):
                    make(DIRECTORY, after)
                DataDir.open(DIRECTORY, after)
            crash_at += 1
            continue
        break
    assert crash_at > 5
    assert read_identity(DIRECTORY, fs.crash()) == identity
