"""Rule 14 and what reads without changing: raftctl log, snapshot and events, against scripted nodes."""

import subprocess
import sys
from typing import Any

import msgspec
import pytest

from raftctl.commands.events.sources import parse_since
from raftnode.config.errors import UsageError
from raftnode.wire import client as wire
from tests.raftctl.conftest import Cli, interrupt_the_command
from tests.support.fake_node import SILENCE, FakeCluster, Reply


def fill(cluster: FakeCluster, count: int) -> None:
    """Put entries into the log."""
    for number in range(1, count + 1):
        cluster.append(b"data", f"put [bold]key{number}[/bold]")


def test_range_shows_entries_and_never_reads_markup(cluster: FakeCluster, cli: Cli) -> None:
    """log range: both ends included, beyond the commit index it ends there; brackets stay (rule 3)."""
    fill(cluster, 5)
    got = cli("log range 4 20")
    assert got.out.splitlines()[1:] == [
        "4      7     command  4      put [bold]key4[/bold]",
        "5      7     command  4      put [bold]key5[/bold]",
    ]
    record = cli("log range 1 5 -o json").json
    assert [e["index"] for e in record["entries"]] == [1, 2, 3, 4, 5]
    assert record["commit_index"] == 5
    assert cli("log range 2 3 -o name --node n2").out == "2\n3\n"


def test_a_range_beyond_the_end_says_where_the_log_ends(cluster: FakeCluster, cli: Cli) -> None:
    """An empty table alone would leave one guessing."""
    fill(cluster, 5)
    got = cli("log range 900 990")
    assert (got.code, got.err) == (0, "the log ends at entry 5: nothing after it is committed\n")
    assert cli("log range 4 5").err == ""


def test_a_range_is_read_in_parts(cluster: FakeCluster, cli: Cli) -> None:
    """A node answers with as much as it wants to; the command asks for the rest."""
    fill(cluster, 9)

    def two_at_a_time(node: int, request: Any) -> Reply | None:
        if isinstance(request, wire.GetLog) and request.entries_max > 2:
            return cluster._answer(node, msgspec.structs.replace(request, entries_max=2))
        return None

    cluster.interfere = two_at_a_time
    assert cli("log range 1 9 -o name").out.split() == [str(n) for n in range(1, 10)]


def test_a_compacted_range_is_exit_3_with_the_first_available(cluster: FakeCluster, cli: Cli) -> None:
    """log range: the error has the number."""
    fill(cluster, 5)
    cluster.first_log_index = 4
    got = cli("log range 1 5")
    assert got.code == 3
    assert "E_COMPACTED" in got.err
    assert "the first entry that is still there is 4" in got.err


@pytest.mark.parametrize("words", ["log range 0 3", "log range 5 3", "log range one 3"])
def test_a_range_that_is_none_is_exit_2(cluster: FakeCluster, cli: Cli, words: str) -> None:
    """Before anything is sent."""
    assert cli(words).code == 2


def test_tail_shows_the_last_entries(cluster: FakeCluster, cli: Cli) -> None:
    """log tail: the last ten, or -n; one JSON object a line when piped."""
    fill(cluster, 30)
    assert [r["index"] for r in cli("log tail").lines] == list(range(21, 31))
    assert [r["index"] for r in cli("log tail -n 2").lines] == [29, 30]
    assert [r["index"] for r in cli("log tail --from 28 -o jsonl").lines] == [28, 29, 30]


def test_tail_follows_and_reports_a_gap(cluster: FakeCluster, cli: Cli) -> None:
    """log tail -f: discarded entries are a record, never silence; control-c ends it with 130."""
    fill(cluster, 8)
    cluster.first_log_index = 7

    def interrupt_at_the_end(_node: int, request: Any) -> Reply | None:
        if isinstance(request, wire.GetLog) and request.first == 9:
            interrupt_the_command()
            return SILENCE
        return None

    cluster.interfere = interrupt_at_the_end
    got = cli("log tail -f --from 3")
    assert got.code == 130
    assert got.lines[0] == {"schema": "raftctl.gap/1", "from": 3, "to": 6}
    assert [r["index"] for r in got.lines[1:]] == [7, 8]


def test_info_shows_every_log(cluster: FakeCluster, cli: Cli) -> None:
    """log info: a member that is down has no numbers."""
    fill(cluster, 3)
    cluster.stop(2)
    logs = cli("log info -o json").json["logs"]
    assert [log.get("last_index") for log in logs] == [3, None, 3]
    assert cli("log info").code == 0


def test_snapshots_are_taken_and_listed(cluster: FakeCluster, cli: Cli) -> None:
    """snapshot trigger: changed false where nothing is new; snapshot list: of all members."""
    fill(cluster, 3)
    assert cli("snapshot trigger -o json").json["changed"] is True
    assert cli("snapshot trigger -o json").json["changed"] is False
    assert cli("snapshot trigger --node n2 --node n3 -o name").out == "n2:3\nn3:3\n"
    assert cli("snapshot trigger --all -o json").json["changed"] is False
    assert [s["node"] for s in cli("snapshot list -o json").json["snapshots"]] == ["n1", "n2", "n3"]
    assert cli("snapshot list --node n2").out.splitlines()[1].split()[:3] == ["n2", "3", "7"]


def test_a_snapshot_on_a_dead_member_is_exit_4(cluster: FakeCluster, cli: Cli) -> None:
    """And one without a leader needs --node."""
    cluster.stop(2)
    assert cli("snapshot trigger --node n2").code == 4
    cluster.leader = 0
    assert cli("snapshot trigger").code == 5


def event(node: int, number: int, kind: str = "leader.changed") -> wire.EventRecord:
    """Return an event of a node, at second `number`."""
    return wire.EventRecord(
        f"{node}:{number}", f"2026-11-23T03:10:0{number}.000Z", f"n{node}", kind, 7, {"from": None, "to": "[n1]"}
    )


def test_events_of_all_nodes_are_merged_by_time(cluster: FakeCluster, cli: Cli) -> None:
    """events list: oldest first, each with its node's cursor."""
    cluster.events = [event(1, 1), event(2, 2), event(1, 3)]
    assert [e["cursor"] for e in cli("events list -o jsonl").lines] == ["1:1", "2:2", "1:3"]
    assert cli("events list -n 1").out.splitlines()[1] == (
        "2026-11-23T03:10:03.000Z  n1    7     leader.changed  from=null to=[n1]"
    )
    assert cli("events list --since 2026-11-23T03:10:02Z -o name").out == "2:2\n1:3\n"
    assert cli("events list --since 1:1 --node n1 -o name").out == "1:3\n"


def test_a_since_that_is_none_of_the_three_says_what_it_may_be(cluster: FakeCluster, cli: Cli) -> None:
    """A duration, a time or a cursor."""
    got = cli("events list --since yesterday")
    assert got.code == 2
    assert "write 10m, 2026-11-23T03:10:00Z, or a cursor such as 1:4411" in got.err


@pytest.mark.parametrize("form", ["-o table", "-o wide"])
def test_a_form_that_was_asked_for_is_kept_when_piped(cluster: FakeCluster, cli: Cli, form: str) -> None:
    """JSON is what a pipe gets unless -o says something else; a table has its header."""
    fill(cluster, 2)
    cluster.events = [event(1, 1), event(2, 2)]
    lines = cli(f"log tail {form}").out.splitlines()
    assert lines[-1].split() == ["2", "7", "command", "4", "put", "[bold]key2[/bold]"]
    assert cli(f"events tail {form}").out.splitlines() == [
        "TIME                      NODE  TERM  TYPE            DATA",
        "2026-11-23T03:10:01.000Z  n1    7     leader.changed  from=null to=[n1]",
        "2026-11-23T03:10:02.000Z  n2    7     leader.changed  from=null to=[n1]",
    ]
    assert cli(f"status {form}").out.startswith("cluster demo  HEALTHY")
    assert cli("log tail -o name").out == "1\n2\n"
    assert cli("events tail -o name").out == "1:1\n2:2\n"


@pytest.mark.parametrize("words", ["kv watch", "events tail -f", "log tail -f"])
def test_a_stream_ends_when_nobody_reads_it_any_more(cluster: FakeCluster, words: str) -> None:
    """At once and quietly, not with the next change, which may never come."""
    program = "import sys; from raftctl.main import main; sys.argv[1:] = sys.argv[1:]; main()"
    with subprocess.Popen(
        [sys.executable, "-c", program, *words.split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as stream:
        assert stream.stdout is not None
        assert stream.stderr is not None
        stream.stdout.close()
        try:
            assert stream.wait(8) == 0
        finally:
            stream.kill()
        assert stream.stderr.read() == b""


def test_a_narrow_terminal_breaks_no_time(cluster: FakeCluster, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 3: what a person copies stays in one piece, and the terminal breaks the line."""
    monkeypatch.setenv("COLUMNS", "40")
    cluster.events = [event(1, 1)]
    assert "2026-11-23T03:10:01.000Z" in cli("events list --color always").out


def test_events_tail_follows_every_node(cluster: FakeCluster, cli: Cli) -> None:
    """events tail -f: what comes is printed as it comes; control-c ends it."""
    cluster.events = [event(1, 1)]
    once = iter([True])  # a second interruption would meet the command while it closes its connections
    shown: set[int] = set()

    def grow_then_interrupt(node: int, request: Any) -> Reply | None:
        if isinstance(request, wire.GetEvents) and request.wait_ms:
            if len(cluster.events) == 1:
                cluster.events.append(event(2, 2))
            elif request.cursor == "2:2" or shown:
                # Not before every node has its connection: an interrupted dial leaves a socket to the collector.
                shown.add(node)
                if len(shown) == 3 and next(once, False):
                    interrupt_the_command()
        return None

    cluster.interfere = grow_then_interrupt
    got = cli("events tail -f")
    assert got.code == 130
    assert [(r["schema"], r["cursor"]) for r in got.lines] == [("raftctl.event/1", "1:1"), ("raftctl.event/1", "2:2")]


def test_lost_events_are_a_record(cluster: FakeCluster, cli: Cli) -> None:
    """Rule 14: a gap is reported, never silent."""

    def lose(_node: int, request: Any) -> Reply | None:
        if isinstance(request, wire.GetEvents):
            return wire.EventsResult(0, [], request.cursor, 4)
        return None

    cluster.interfere = lose
    assert cli("events tail --since 1:1 --node n1").lines == [{"schema": "raftctl.gap/1", "node": "n1", "lost": 4}]
    assert cli("events list --since 1:1 --node n1 -o json").json["gaps"] == [{"node": "n1", "lost": 4}]


def test_since_is_a_duration_a_time_or_a_cursor() -> None:
    """A cursor needs the node that it is of."""
    assert parse_since("2026-11-23T00:00:00Z", None) == ("", 1795392000.0)
    assert parse_since("1:44", "n1") == ("1:44", 0.0)
    for wrong in ("1:44", "2026-99-99T00", "soon"):
        with pytest.raises(UsageError):
            parse_since(wrong, None)
