"""What the log commands say about a data directory, without a node: also a damaged one. Nothing is ever changed."""

from pathlib import Path

import pytest

from raftnode.storage.segment import HEAD_BYTES
from tests.raftctl.conftest import Cli
from tests.raftctl.data_dirs import flip, make_data_dir, tree

SEGMENT = "wal/segment-000000000001.wal"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return make_data_dir(tmp_path / "n1")


def middle(data_dir: Path) -> int:
    """Return an offset in the middle of the batches of the log."""
    return HEAD_BYTES + ((data_dir / SEGMENT).stat().st_size - HEAD_BYTES) // 2


def test_a_range_says_what_is_known_to_be_committed(data_dir: Path, cli: Cli) -> None:
    """log range --data-dir: what the snapshot covers is committed; of the rest, files know nothing."""
    before = tree(data_dir)
    lines = cli(f"log range 1 99 --data-dir {data_dir}").out.splitlines()
    assert lines[0].split() == ["INDEX", "TERM", "KIND", "BYTES", "COMMITTED", "SUMMARY"]
    assert [line.split()[4] for line in lines[1:]] == ["yes"] * 6 + ["unknown"] * 6
    assert lines[1].split()[5:] == ["opens", "term", "1"]
    assert lines[4].endswith('put "app/k4" (7 bytes) [session 2 #2]')
    record = cli(f"log range 6 7 --data-dir {data_dir} -o json").json
    assert record["schema"] == "raftctl.log.range/1"
    assert (record["commit_index"], record["known_committed_index"]) == (None, 6)
    assert [entry["committed"] for entry in record["entries"]] == [True, None]
    assert tree(data_dir) == before


def test_tail_and_info_read_a_directory(data_dir: Path, cli: Cli) -> None:
    """log tail, log info: the same records as of a node, and what is known to be committed."""
    assert [e["index"] for e in cli(f"log tail -n 2 --data-dir {data_dir}").lines] == [11, 12]
    assert [e["committed"] for e in cli(f"log tail --from 6 --data-dir {data_dir} -o jsonl").lines][:2] == [True, None]
    (log,) = cli(f"log info --data-dir {data_dir} -o json").json["logs"]
    assert log == {
        "node": "n1",
        "id": 1,
        "state": "offline",
        "term": 2,
        "first_index": 1,
        "last_index": 12,
        "commit_index": None,
        "applied_index": None,
        "snapshot_index": 6,
        "snapshot_term": 1,
        "known_committed_index": 6,
        "damage": [],
    }
    assert cli(f"log info --data-dir {data_dir}").out.splitlines()[1].split() == [
        "n1",
        "2",
        "1",
        "12",
        "-",
        "-",
        "6",
        "1",
        "6",
    ]


def test_compacted_entries_are_exit_3_as_online(tmp_path: Path, cli: Cli) -> None:
    """log range: with the first index that is still there."""
    path = make_data_dir(tmp_path / "d", compact=4)
    got = cli(f"log range 2 8 --data-dir {path}")
    assert (got.code, got.out) == (3, "")
    assert "E_COMPACTED" in got.err
    assert "the first entry that is still there is 5" in got.err


@pytest.mark.parametrize("words", ["log tail -f", "log tail --node n1", "log range 1 2 --node n1"])
def test_what_needs_a_node_is_refused_with_a_directory(data_dir: Path, cli: Cli, words: str) -> None:
    """Before anything is read."""
    assert cli(f"{words} --data-dir {data_dir}").code == 2


@pytest.mark.parametrize("words", ["log range 1 2", "log tail", "log info", "log verify"])
def test_a_directory_that_is_none_is_exit_2(tmp_path: Path, cli: Cli, words: str) -> None:
    """Missing, or not a data directory."""
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "missing", tmp_path / "empty"):
        got = cli(f"{words} --data-dir {path}")
        assert got.code == 2
        assert "E_DATA_DIR" in got.err


def test_a_damaged_log_shows_what_is_before_the_damage(data_dir: Path, cli: Cli) -> None:
    """Entries before it are shown, with a note; a range that reaches into it is exit 3."""
    flip(data_dir / SEGMENT, middle(data_dir))
    got = cli(f"log range 1 3 --data-dir {data_dir}")
    assert (got.code, len(got.out.splitlines())) == (0, 4)
    assert "does not match its checksum" in got.err
    got = cli(f"log range 1 12 --data-dir {data_dir} -o jsonl")
    assert got.code == 3
    assert 3 <= len(got.lines) < 12
    assert "E_DAMAGED" in got.err


def test_verify_tells_everything_about_a_whole_directory(tmp_path: Path, cli: Cli) -> None:
    """log verify: identity, hard state, entries and terms, snapshots; a leftover .part is a note."""
    path = make_data_dir(tmp_path / "d", compact=4)
    (path / "snapshots" / "x.snap.1.part").write_bytes(b"half")
    before = tree(path)
    record = cli(f"log verify --data-dir {path} -o json").json
    assert record["schema"] == "raftctl.log.verify/1"
    assert record["ok"] is True
    assert record["identity"]["node_name"] == "n1"
    assert record["hard_state"] == {"term": 2, "voted_for": 3}
    assert record["log"] == {
        "first_index": 5,
        "last_index": 12,
        "entries": 8,
        "segments": 1,
        "terms": [{"term": 1, "first_index": 5, "last_index": 8}, {"term": 2, "first_index": 9, "last_index": 12}],
    }
    assert [(s["index"], s["term"]) for s in record["snapshots"]] == [(6, 1)]
    assert record["snapshots"][0]["configuration"]["voters"][1] == {"id": 2, "name": "n2", "address": "127.0.0.1:7002"}
    assert (record["torn_tail"], record["damage"], len(record["unfinished"])) == (None, [], 1)
    got = cli(f"log verify --data-dir {path}")
    assert got.code == 0
    assert "entries 5..12 (8)" in got.out
    assert cli(f"log verify --data-dir {path} -o name").out == "whole\n"
    assert tree(path) == before


def test_a_torn_tail_is_a_note_and_exit_0(data_dir: Path, cli: Cli) -> None:
    """log verify: with file, offset and bytes; it stays where it is."""
    path = data_dir / SEGMENT
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"\xb7\x9d\0\0")
    before = tree(data_dir)
    record = cli(f"log verify --data-dir {data_dir} -o json").json
    assert record["ok"] is True
    assert record["torn_tail"] == {"file": str(path), "offset": size, "size_bytes": 4}
    got = cli(f"log verify --data-dir {data_dir}")
    assert got.code == 0
    assert f"torn tail: 4 bytes from byte {size} of {path}" in got.out
    assert tree(data_dir) == before


def test_damage_in_the_log_is_exit_3_with_file_byte_and_index(data_dir: Path, cli: Cli) -> None:
    """log verify: and what to do."""
    offset = middle(data_dir)
    flip(data_dir / SEGMENT, offset)
    got = cli(f"log verify --data-dir {data_dir} -o json")
    assert got.code == 3
    (damage,) = got.json["damage"]
    assert damage["file"] == str(data_dir / SEGMENT)
    assert offset - 120 < damage["offset"] <= offset
    assert damage["index"] == got.json["log"]["last_index"] + 1
    assert "new member" in damage["advice"]
    assert got.json["ok"] is False
    assert '"code":"E_DAMAGED"' in got.err
    assert "damage" in cli(f"log verify --data-dir {data_dir}").out


def test_each_other_damage_is_told(tmp_path: Path, cli: Cli) -> None:
    """log verify: identity, a snapshot, a snapshot that is gone, a segment that is gone, a log that is gone."""

    def told(name: str) -> str:
        got = cli(f"log verify --data-dir {tmp_path / name} -o json")
        assert got.code == 3
        return " / ".join(f"{damage['file']}: {damage['reason']}" for damage in got.json["damage"])

    flip(make_data_dir(tmp_path / "identity") / "identity.json", 60)
    assert "identity.json is damaged" in told("identity")
    (snapshot,) = (make_data_dir(tmp_path / "snapshot") / "snapshots").iterdir()
    flip(snapshot, snapshot.stat().st_size - 60)
    assert "a block does not match its checksum" in told("snapshot")
    (snapshot,) = (make_data_dir(tmp_path / "cover", compact=5) / "snapshots").iterdir()
    snapshot.unlink()
    assert "the log begins after entry 5, and the newest whole snapshot covers only entry 0" in told("cover")
    (make_data_dir(tmp_path / "log") / SEGMENT).unlink()
    assert "the log is missing" in told("log")
    (make_data_dir(tmp_path / "boots") / "boots.json").write_text("{}")
    assert "boots.json is damaged" in told("boots")
    (make_data_dir(tmp_path / "head") / SEGMENT).write_bytes(b"x" * 700)
    assert "the segment's head does not match its checksum" in told("head")


def test_every_flipped_bit_of_a_directory_is_told(tmp_path: Path, cli: Cli) -> None:
    """log verify: one bit in every byte of the log and the snapshot; none is taken for a torn tail."""
    from raftnode.storage import inspect as examine

    path = make_data_dir(tmp_path / "d", entries=4, snapshot=3)
    (snapshot,) = (path / "snapshots").iterdir()
    for file in (path / SEGMENT, snapshot):
        for offset in range(file.stat().st_size):
            flip(file, offset)
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(examine, "PAUSE_S", 0.0)
                assert cli(f"log verify --data-dir {path} -o json").code == 3, f"{file}, byte {offset}"
            flip(file, offset)
    assert cli(f"log verify --data-dir {path}").code == 0
