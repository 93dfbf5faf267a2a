"""Rules 12 and 16 of the command line, and a write's outcome: raftctl kv against scripted nodes."""

import base64
from pathlib import Path
from typing import Any

import pytest

from raftnode.wire import client as wire
from raftnode.wire import kv
from tests.raftctl.conftest import Cli, interrupt_the_command
from tests.support.fake_node import HANG_UP, SILENCE, FakeCluster, Reply


def test_a_value_that_was_put_is_read_back(cluster: FakeCluster, cli: Cli) -> None:
    """kv put says what changed; kv get prints the value and nothing else."""
    assert cli("kv put greeting hello -o json").json == {
        "schema": "raftctl.kv.put/1",
        "key": "greeting",
        "changed": True,
        "revision": 1,
        "previous_revision": 0,
    }
    got = cli("kv get greeting")
    assert (got.code, got.out, got.err) == (0, "hello\n", "")
    assert cli("kv get greeting --consistency local").out == "hello\n"
    assert cli("kv get greeting -o json").json == {
        "schema": "raftctl.kv.get/1",
        "key": "greeting",
        "value": "hello",
        "revision": 1,
        "create_revision": 1,
        "version": 1,
    }


def test_a_missing_key_is_exit_3_and_no_output(cluster: FakeCluster, cli: Cli) -> None:
    """Rule 16: a missing key is not an empty line."""
    got = cli("kv get nothing")
    assert (got.code, got.out) == (3, "")
    assert got.err.splitlines()[0] == "error: there is no key 'nothing'  [E_NOT_FOUND, exit 3]"


def test_bytes_come_back_escaped_raw_hex_or_base64(cluster: FakeCluster, cli: Cli, tmp_path: Path) -> None:
    """Rule 12: escaped in tables, base64 in JSON where it is no UTF-8, --raw and --hex as asked for."""
    value = b"\x00[red]\xff\n\\"
    (tmp_path / "value").write_bytes(value)
    assert cli("kv put bin --file", str(tmp_path / "value")).code == 0
    assert cli("kv get bin").out == "\\x00[red]\\xff\\n\\\\\n"
    assert cli("kv get 62696e --hex").out == value.hex() + "\n"
    assert base64.b64decode(cli("kv get bin -o json").json["value_b64"]) == value
    assert cli("kv get bin --raw --hex").code == 2


def test_raw_writes_the_bytes_and_no_line_end(
    cluster: FakeCluster, capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    """--raw is for files: every byte as it was put."""
    from raftctl.main import run

    value = bytes(range(256))
    (tmp_path / "value").write_bytes(value)
    assert run(["kv", "put", "bin", "--file", str(tmp_path / "value")]) == 0
    capsysbinary.readouterr()
    assert run(["kv", "get", "bin", "--raw"]) == 0
    assert capsysbinary.readouterr().out == value


def test_a_delete_of_nothing_is_exit_3_unless_that_is_fine(cluster: FakeCluster, cli: Cli) -> None:
    """kv delete: --if-exists turns the error into changed false."""
    cli("kv put k v")
    assert cli("kv delete k -o json").json["changed"] is True
    assert cli("kv delete k").code == 3
    assert cli("kv delete k --if-exists -o json").json["changed"] is False


def test_a_condition_that_does_not_hold_is_exit_8(cluster: FakeCluster, cli: Cli) -> None:
    """kv cas and --expected-revision: a conflict changes nothing and says what is there."""
    assert cli("kv cas lock --absent held").code == 0
    assert cli("kv cas lock --absent held").code == 8
    assert cli("kv cas lock held free").code == 0
    conflict = cli("kv cas lock held free -o json")
    assert conflict.code == 8
    assert '"code":"E_CONFLICT"' in conflict.err
    assert cli("kv put lock x --expected-revision 1").code == 8
    assert cli("kv get lock").out == "free\n"


def test_incr_prints_the_new_number(cluster: FakeCluster, cli: Cli) -> None:
    """kv incr: an absent key counts as 0; a value that is no number is a usage error."""
    assert cli("kv incr visits").out == "1\n"
    assert cli("kv incr visits --by -5").out == "-4\n"
    cli("kv put word abc")
    assert cli("kv incr word").code == 2


def test_list_gives_keys_of_a_prefix_in_order(cluster: FakeCluster, cli: Cli) -> None:
    """kv list: byte order, --limit, --keys-only, one object a line with jsonl."""
    for key in ("a/2", "a/1", "b"):
        cli("kv put", key, "v")
    assert [i["key"] for i in cli("kv list a/ -o json").json["items"]] == ["a/1", "a/2"]
    assert cli("kv list --keys-only -o name").out == "a/1\na/2\nb\n"
    assert [i["schema"] for i in cli("kv list --limit 2 -o jsonl").lines] == ["raftctl.kv.item/1"] * 2
    assert cli("kv list a/").out.splitlines() == ["KEY  VALUE  REVISION", "a/1  v      2", "a/2  v      1"]


def test_a_long_value_is_shown_by_its_beginning_and_its_length(cluster: FakeCluster, cli: Cli, tmp_path: Path) -> None:
    """A table is for reading; JSON has the whole value, and names need none."""
    (tmp_path / "value").write_bytes(b"x" * 8 * 1024 * 1024)
    assert cli("kv put big --file", str(tmp_path / "value")).code == 0
    assert cli("kv list").out.splitlines()[1].split("  ")[:2] == ["big", "x" * 256 + "... (8388608 bytes)"]
    assert len(cli("kv list -o json").json["items"][0]["value"]) == 8 * 1024 * 1024
    assert cli("kv list -o name").out == "big\n"
    asked = [kv.decode_query(r.query) for r in cluster.nodes[1].requests if isinstance(r, wire.Read)]
    assert [q.keys_only for q in asked if isinstance(q, kv.List)] == [False, False, True]


def test_an_empty_value_is_not_shown_as_a_dash(cluster: FakeCluster, cli: Cli) -> None:
    """A dash is a value too."""
    cli("kv put a", "")
    cli("kv put b -- -")
    assert [line.split() for line in cli("kv list").out.splitlines()[1:]] == [["a", "1"], ["b", "-", "2"]]


def test_the_next_step_after_a_refusal_names_the_key(cluster: FakeCluster, cli: Cli) -> None:
    """As it is typed in a shell, in hexadecimal where it cannot be typed."""
    cli("kv put 'my key' abc")
    assert "raftctl kv get 'my key' -o json" in cli("kv put 'my key' x --expected-revision 9").err
    assert "see what is there: raftctl kv get 'my key' -o json" in cli("kv incr 'my key'").err
    cli("kv put ff00 00 --hex")
    assert "raftctl kv get ff00 --hex -o json" in cli("kv cas ff00 01 02 --hex").err
    cli("kv put -- -k v")
    assert "raftctl kv get -o json -- -k" in cli("kv cas -- -k a b").err


def test_watch_streams_changes_until_it_is_interrupted(cluster: FakeCluster, cli: Cli) -> None:
    """kv watch: one JSON object a line when piped, resumable by revision; control-c is exit 130."""
    cli("kv put w/1 one")
    cli("kv delete w/1")

    def stop_after_the_first(_node: int, request: Any) -> Reply | None:
        if isinstance(request, wire.Watch) and cluster.count(wire.Watch) > 1:
            interrupt_the_command()
            return SILENCE
        return None

    cluster.interfere = stop_after_the_first
    got = cli("kv watch w/ --after 0")
    assert got.code == 130
    assert got.lines == [
        {"schema": "raftctl.kv.change/1", "revision": 1, "op": "put", "key": "w/1", "value": "one"},
        {"schema": "raftctl.kv.change/1", "revision": 2, "op": "delete", "key": "w/1"},
    ]


def test_a_write_whose_answer_is_lost_is_applied_once(cluster: FakeCluster, cli: Cli) -> None:
    """A retry repeats session and sequence, so that an increment counts once."""
    lost: list[Any] = []

    def lose_the_first_answer(node: int, request: Any) -> Reply | None:
        if isinstance(request, wire.Write) and not lost:
            lost.append(request)
            cluster._answer(node, request)
            return HANG_UP
        return None

    cluster.interfere = lose_the_first_answer
    assert cli("kv incr visits").out == "1\n"
    assert cluster.count(wire.Write) == 2


def test_a_write_whose_answer_is_lost_before_the_disk_is_full_is_not_called_refused(
    cluster: FakeCluster, cli: Cli
) -> None:
    """The first try may be in the log of the full leader: it is tried again until the end, and unknown then."""
    tries: list[Any] = []

    def lose_the_first_then_be_full(_node: int, request: Any) -> Reply | None:
        if not isinstance(request, wire.Write):
            return None
        tries.append(request)
        return HANG_UP if len(tries) == 1 else wire.Failed(0, wire.ErrorCode.NO_SPACE, "the disk of n1 is full")

    cluster.interfere = lose_the_first_then_be_full
    got = cli("kv put key value --timeout 0.5s")
    assert (got.code, "E_UNKNOWN" in got.err) == (7, True)
    assert len(tries) > 2


def test_a_write_without_an_answer_in_time_is_exit_7(cluster: FakeCluster, cli: Cli) -> None:
    """An outcome that cannot be known is neither success nor a plain failure."""
    cluster.interfere = lambda _node, request: HANG_UP if isinstance(request, wire.Write) else None
    got = cli("kv put k v --timeout 0.3s")
    assert got.code == 7
    assert "E_UNKNOWN" in got.err


def test_a_write_with_no_leader_is_exit_5_in_time(cluster: FakeCluster, cli: Cli) -> None:
    """No leader within the timeout: nothing was done, and the script may try again. It says who is down."""
    cluster.leader = 0
    cluster.stop(2)
    cluster.stop(3)
    got = cli("kv put k v --timeout 0.3s")
    assert got.code == 5
    assert "1 voter is up and 2 are needed; n2 is down; n3 is down" in got.err


def test_a_session_that_the_cluster_forgot_is_opened_again(cluster: FakeCluster, cli: Cli) -> None:
    """Every try was refused, so the write may be sent in a new session."""
    refused: list[Any] = []

    def expire_the_first(_node: int, request: Any) -> Reply | None:
        if isinstance(request, wire.Write) and not refused:
            refused.append(request)
            return wire.Failed(0, wire.ErrorCode.SESSION_EXPIRED, "the session is not known", wire.UNKNOWN)
        return None

    cluster.interfere = expire_the_first
    assert cli("kv put k v").code == 0
    assert cluster.sessions == 2


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["kv", "put", "k"], "E_USAGE"),
        (["kv", "put", "", "v"], "E_USAGE"),
        (["kv", "put", "k" * 65537, "v"], "E_TOO_LARGE"),
        (["kv", "put", "k", "--file", "/nonexistent/file"], "E_USAGE"),
        (["kv", "put", "xyz", "00", "--hex"], "E_USAGE"),
        (["kv", "put", "k", "v", "--expected-revision", "one"], "E_USAGE"),
        (["kv", "cas", "k"], "E_USAGE"),
    ],
)
def test_input_that_makes_no_sense_is_exit_2(cluster: FakeCluster, cli: Cli, arguments: list[str], code: str) -> None:
    """A usage error is known before anything is sent."""
    command, *rest = arguments
    got = cli(command, *rest)
    assert got.code == 2
    assert code in got.err
    assert cluster.count(wire.Write) == 0


def test_a_value_over_the_limit_is_refused_before_it_is_sent(cluster: FakeCluster, cli: Cli, tmp_path: Path) -> None:
    """8 MiB is the limit; a larger file is not read to its end."""
    (tmp_path / "big").write_bytes(b"x" * (8 * 1024 * 1024 + 1))
    got = cli("kv put k --file", str(tmp_path / "big"))
    assert got.code == 2
    assert "E_TOO_LARGE" in got.err
    assert "the value has more than 8388608 bytes" in got.err
