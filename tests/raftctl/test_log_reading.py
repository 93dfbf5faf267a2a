"""raftctl log stats and log export: all of a log, of a node or of a directory, a page of it in memory at a time."""

import base64
import hashlib
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raftctl.inspect.log_statistics import Statistics, operation, rates
from raftctl.main import run
from raftnode.core.types import EntryKind, LogEntry
from raftnode.storage.wal import Wal
from raftnode.wire import client as wire
from raftnode.wire.client import LogEntryView
from tests.raftctl.conftest import Cli, Outcome
from tests.raftctl.data_dirs import OLD_CLUSTER, flip, log_entries, make_data_dir, make_snapshot, tree
from tests.raftctl.test_offline import SEGMENT, middle
from tests.support.fake_node import CLUSTER_ID, FakeCluster, Reply


@pytest.fixture
def logged(cluster: FakeCluster) -> FakeCluster:
    """Three nodes with the log of `log_entries`."""
    cluster.log = [LogEntryView(entry, f"entry {entry.index}") for entry in log_entries(12)]
    return cluster


def checked(got: Outcome) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    """Return an export's first line, its entries and its last line, when its checksum is right."""
    head, *entries, end = got.lines
    body = got.out.encode()[: -len(got.out.splitlines()[-1]) - 1]
    assert hashlib.sha256(body).hexdigest() == end["sha256"]
    assert (head["schema"], end["schema"]) == ("raftctl.log.export/1", "raftctl.log.export.end/1")
    assert head["count"] == end["count"] == len(entries) == head["last"] - head["first"] + 1
    assert [e["index"] for e in entries] == list(range(head["first"], head["last"] + 1))
    return head, entries, end


def test_an_export_has_every_byte_and_a_checksum(logged: FakeCluster, cli: Cli) -> None:
    """The first line says what follows; the last has the SHA-256 of all before it."""
    got = cli("log export 2 11")
    assert (got.code, got.err) == (0, "")
    head, entries, end = checked(got)
    assert (head["cluster_id"], head["first"], head["last"]) == (CLUSTER_ID, 2, 11)
    assert end["committed_to"] == 11
    for entry, expected in zip(entries, log_entries(12)[1:11], strict=True):
        assert entry["schema"] == "raftctl.log.export.entry/1"
        assert entry["kind"] == expected.kind.name.lower()
        assert (entry["term"], base64.b64decode(entry["data_b64"])) == (expected.term, expected.data)


def test_a_node_and_its_directory_export_the_same_lines(logged: FakeCluster, cli: Cli, tmp_path: Path) -> None:
    """Up to the last line, which says what is known to be committed."""
    path = make_data_dir(tmp_path / "n1")
    logged.cluster_id = OLD_CLUSTER
    online, offline = cli("log export 1 12"), cli(f"log export 1 12 --data-dir {path}")
    assert (checked(online)[2]["committed_to"], checked(offline)[2]["committed_to"]) == (12, 6)
    assert offline.out.splitlines()[:-1] == online.out.splitlines()[:-1]


def test_an_export_beyond_the_end_ends_there_and_says_so(logged: FakeCluster, cli: Cli, tmp_path: Path) -> None:
    """HI is clamped; with nothing at all it is exit 3."""
    got = cli("log export 10 99")
    assert checked(got)[0]["last"] == 12
    assert got.err == "the log of n1 ends at entry 12: nothing after it is in the export\n"
    for where in ("", f"--data-dir {make_data_dir(tmp_path / 'n1')}"):
        got = cli(f"log export 13 99 {where}")
        assert (got.code, got.out) == (3, "")
        assert "ends at entry 12" in got.err


def test_an_export_to_a_file_is_whole_or_not_there(logged: FakeCluster, cli: Cli, tmp_path: Path) -> None:
    """The same lines as on standard output; never over a file that is there; nothing is left of one that fails."""
    file = tmp_path / "out.jsonl"
    dry = cli(f"log export 1 12 --file {file} --dry-run -o json").json
    assert (dry["changed"], dry["dry_run"], dry["count"], dry["sha256"]) == (False, True, 12, None)
    assert list(tmp_path.iterdir()) == []
    record = cli(f"log export 1 12 --file {file} -o json").json
    assert (record["schema"], record["changed"], record["count"]) == ("raftctl.log.export.done/1", True, 12)
    assert file.read_text() == cli("log export 1 12").out
    assert record["sha256"] == json.loads(file.read_text().splitlines()[-1])["sha256"]
    assert cli(f"log export 1 5 --file {file}").code == 6
    assert cli(f"log export 1 5 --file {file} --force").out.startswith("changed: true  wrote entries 1 to 5 of n1")
    assert cli(f"log export 1 5 --file {tmp_path}/no/where").code == 2

    def fail_later(_node: int, request: Any) -> Reply | None:
        if isinstance(request, wire.GetLog) and request.first > 1:
            return wire.Failed(0, wire.ErrorCode.INTERNAL, "the disk said no")
        return cut_pages(logged)(_node, request)

    logged.interfere = fail_later
    assert cli(f"log export 1 12 --file {tmp_path}/other --timeout 0.5s").code == 1
    assert list(tmp_path.iterdir()) == [file]


def cut_pages(cluster: FakeCluster) -> Callable[[int, Any], Reply | None]:
    """Have a node answer two entries at a time."""

    def interfere(_node: int, request: Any) -> Reply | None:
        if isinstance(request, wire.GetLog) and request.first <= len(cluster.log):
            found = cluster.log[request.first - 1 : request.first + 1]
            return wire.LogResult(0, found, len(cluster.log), cluster.first_log_index)
        return None

    return interfere


@pytest.mark.parametrize("words", ["log export 1 12", "log stats -o json"])
def test_the_log_of_a_node_is_read_in_pages(logged: FakeCluster, cli: Cli, words: str) -> None:
    """A node gives as much as it likes: the next request goes on from there, at the same member."""
    whole = cli(words)
    logged.interfere = cut_pages(logged)
    assert cli(f"{words} --node n2") == Outcome(whole.code, whole.out.replace('"n1"', '"n2"'), whole.err)
    asked = [r.first for r in logged.nodes[2].requests if isinstance(r, wire.GetLog)]
    assert asked[-6:] == [1, 3, 5, 7, 9, 11]


def test_entries_that_a_snapshot_has_replaced_are_exit_3(logged: FakeCluster, cli: Cli, tmp_path: Path) -> None:
    """With a command that reads what is left, and works."""
    logged.first_log_index = 5
    got = cli("log export 1 12")
    assert got.code == 3
    assert "raftctl log tail --from 5" in got.err
    assert [e["index"] for e in cli("log tail --from 5").lines] == list(range(5, 13))
    path = make_data_dir(tmp_path / "a dir", compact=4)
    got = cli("log export 1 12 --data-dir", str(path))
    assert got.code == 3
    advice = got.err.splitlines()[-1].partition("raftctl ")[2]
    assert [e["index"] for e in cli(advice).lines] == list(range(5, 13))


@pytest.mark.parametrize(
    "words",
    [
        "log export 0 4",
        "log export 5 4",
        "log export 1 2 --data-dir x --node n1",
        "log export 1 2 -o yaml",
        "log stats -n -1",
        "log stats --data-dir x --node n1",
    ],
)
def test_what_makes_no_sense_is_exit_2(logged: FakeCluster, cli: Cli, words: str) -> None:
    """Before anything is read."""
    got = cli(words)
    assert (got.code, got.out, len(got.err.splitlines())) == (2, "", 3)
    assert logged.count(wire.GetLog) == 0


def test_statistics_count_by_kind_operation_and_term(logged: FakeCluster, cli: Cli, tmp_path: Path) -> None:
    """log stats: the same of a node and of its directory, whose files are counted as well."""
    record = cli("log stats -o json").json
    entries = log_entries(12)
    size = sum(len(e.data) for e in entries)
    assert (record["schema"], record["node"], record["entries"], record["bytes"]) == (
        "raftctl.log.stats/1",
        "n1",
        12,
        size,
    )
    assert record["kinds"] == [
        {"kind": "noop", "entries": 1, "bytes": 0, "first_index": 1, "last_index": 1},
        {"kind": "command", "entries": 11, "bytes": size, "first_index": 2, "last_index": 12},
    ]
    assert [(o["operation"], o["entries"]) for o in record["operations"]] == [("open session", 1), ("put", 10)]
    assert [(t["term"], t["first_index"], t["last_index"]) for t in record["terms"]] == [(1, 1, 8), (2, 9, 12)]
    assert [b["bytes"] for b in record["biggest"]] == sorted((len(e.data) for e in entries), reverse=True)[:5]
    assert record["segments"] is None
    path = make_data_dir(tmp_path / "n1")
    before = tree(path)
    offline = cli(f"log stats --data-dir {path} -o json").json
    same = ("entries", "bytes", "kinds", "operations", "terms", "first_index", "last_index")
    assert {k: offline[k] for k in same} == {k: record[k] for k in same}
    assert offline["committed_to"] == 6
    assert offline["segments"] == [{"file": str(path / SEGMENT), "size_bytes": (path / SEGMENT).stat().st_size}]
    assert cli("log stats -n 0 -o json").json["biggest"] == []
    table = cli(f"log stats --data-dir {path} -n 1").out.splitlines()
    assert table[0].startswith("n1  12 entries, 1 to 12, ")
    assert table[1].startswith("  files  1 segment, ")
    assert table[2].split() == ["WHAT", "ENTRIES", "BYTES", "SHARE", "FIRST", "LAST", "SUMMARY"]
    assert [line.split("  ")[0] for line in table[3:]] == [
        "all",
        "kind command",
        "kind noop",
        "operation put",
        "operation open session",
        "term 1",
        "term 2",
        "entry 10",
    ]
    assert tree(path) == before


def test_statistics_begin_anew_where_entries_went_meanwhile(logged: FakeCluster, cli: Cli) -> None:
    """What is counted is one log: never the beginning of one and the end of another."""
    cut = cut_pages(logged)

    def compact_at_five(node: int, request: Any) -> Reply | None:
        if isinstance(request, wire.GetLog) and request.first == 5 and logged.first_log_index == 1:
            logged.first_log_index = 8
            return None
        return cut(node, request)

    logged.interfere = compact_at_five
    record = cli("log stats -o json").json
    assert record["entries"] == 5
    assert record["terms"][0] == {
        "term": 1,
        "entries": 1,
        "bytes": len(log_entries(12)[7].data),
        "first_index": 8,
        "last_index": 8,
    }


def test_an_empty_log_has_statistics_too(cluster: FakeCluster, cli: Cli) -> None:
    """Nothing is counted, and nothing is divided by it."""
    got = cli("log stats")
    assert got.code == 0
    assert got.out.startswith("n1  0 entries, the next is 1\n")


def test_a_damaged_log_is_counted_up_to_the_damage_and_exit_3(cli: Cli, tmp_path: Path) -> None:
    """log stats, log export --data-dir: what is whole, and then that it is not all."""
    path = make_data_dir(tmp_path / "n1")
    flip(path / SEGMENT, middle(path))
    got = cli(f"log stats --data-dir {path} -o json")
    assert got.code == 3
    whole = got.json["entries"]
    assert 0 < whole < 12
    assert '"code":"E_DAMAGED"' in got.err
    assert cli(f"log export 1 {whole} --data-dir {path}").code == 0
    got = cli(f"log export 1 12 --data-dir {path}")
    assert (got.code, len(checked(got)[1])) == (3, whole)
    assert cli(f"log export 12 12 --data-dir {path}").code == 3


def test_the_rate_is_the_one_between_snapshots(cli: Cli, tmp_path: Path) -> None:
    """Entries have no times; a clock that was set back, or a time that is none, tells nothing."""
    assert rates([(300, "2026-11-23T03:00:30.000Z"), (100, "2026-11-23T03:00:10.000Z")])[0] == (
        101,
        300,
        "2026-11-23T03:00:10.000Z",
        "2026-11-23T03:00:30.000Z",
        10.0,
    )
    assert rates([(100, "2026-11-23T03:00:10.000Z"), (300, "2026-11-23T03:00:10.000Z")]) == []
    assert rates([(100, "2026-11-23T03:00:10.000Z"), (300, "2026-11-23T03:00:00.000Z"), (400, "noon")]) == []
    path = make_data_dir(tmp_path / "n1")
    make_snapshot(path / "snapshots", log_entries(9))
    (rate,) = cli(f"log stats --data-dir {path} -o json").json["rates"]
    assert (rate["first_index"], rate["last_index"]) == (7, 9)
    assert rate["entries_per_second"] > 0
    assert " entries/s from entry 7 to 9, " in cli(f"log stats --data-dir {path}").out


def test_the_biggest_entries_are_kept_without_their_data() -> None:
    """Of two as big, the earlier; in any order of sizes."""
    found = Statistics(2)
    for index, size in enumerate([3, 9, 1, 9, 2], 1):
        found.add(LogEntryView(LogEntry(1, index, b"x" * size), "s"))
    assert [(b["index"], b["bytes"]) for b in found.biggest] == [(2, 9), (4, 9)]
    assert operation(b"\xc1") == "other"


@pytest.mark.parametrize("words", ["log stats", "log export 1 200 --file {out}"])
def test_a_log_larger_than_the_memory_is_read(tmp_path: Path, words: str) -> None:
    """What is in memory at once is a small part of 20 MB of log."""
    path = make_data_dir(tmp_path / "n1", entries=2, snapshot=0)
    wal = Wal.open(path / "wal")
    for index in range(3, 201):
        wal.append([LogEntry(2, index, bytes(100_000), EntryKind.COMMAND)])
        wal.sync()
    wal.close()
    line = [*words.format(out=tmp_path / "out").split(), "--data-dir", str(path)]
    assert run(["log", "info", "--data-dir", str(path)]) == 0
    tracemalloc.start()
    try:
        assert run(line) == 0
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6_000_000
