"""Rules 1, 4 and 5: exit codes and errors of the whole program."""

import ast
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from raftctl.client_errors import explain
from raftctl.main import run
from raftnode.client.errors import failed_error
from raftnode.config import errors
from raftnode.wire.client import UNKNOWN, ErrorCode, Failed
from tests.raftctl.conftest import Cli
from tests.support.fake_node import FakeCluster, FakeNode

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        (ErrorCode.NOT_LEADER, 5),
        (ErrorCode.NO_LEADER, 5),
        (ErrorCode.TIMED_OUT, 5),
        (ErrorCode.OVERWRITTEN, 5),
        (ErrorCode.BUSY, 5),
        (ErrorCode.BAD_REQUEST, 2),
        (ErrorCode.TOO_LARGE, 2),
        (ErrorCode.SESSION_EXPIRED, 7),
        (ErrorCode.REFUSED, 6),
        (ErrorCode.NOT_FOUND, 3),
        (ErrorCode.COMPACTED, 3),
        (ErrorCode.NO_SPACE, 6),
        (ErrorCode.SHUTTING_DOWN, 5),
        (ErrorCode.INTERNAL, 1),
    ],
)
def test_every_refusal_of_a_node_has_its_exit_code(code: ErrorCode, exit_code: int) -> None:
    """Rule 4: nothing that failed exits 0."""
    assert explain(failed_error(Failed(1, code, "text"))).exit_code == exit_code


def test_every_code_of_the_protocol_is_covered() -> None:
    """A new code may not fall through."""
    assert all(explain(failed_error(Failed(1, code, "text"))).exit_code for code in ErrorCode)
    assert explain(failed_error(Failed(1, ErrorCode.TIMED_OUT, "text", UNKNOWN))).exit_code == 7


def test_an_error_is_three_lines(cli: Cli) -> None:
    """Rule 5: what with its code, why with the numbers, what to do next; standard output stays empty."""
    got = cli("status -e 127.0.0.1:1")
    assert got.out == ""
    first, second, third = got.err.splitlines()
    assert first == "error: no node answers  [E_UNREACHABLE, exit 4]"
    assert second.startswith("  127.0.0.1:1: ")
    assert third.startswith("  check ")


@pytest.mark.parametrize("form", ["-o json", "-ojson", "--output=json", "--output jsonl"])
def test_with_json_the_error_is_json(cli: Cli, form: str) -> None:
    """Rule 5, also for a command line that is invalid."""
    record = json.loads(cli(f"status -e 127.0.0.1:1 {form}").err)
    assert (record["schema"], record["code"], record["exit"]) == ("raftctl.error/1", "E_UNREACHABLE", 4)
    assert json.loads(cli(f"status --bogus {form}").err)["code"] == "E_USAGE"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "kv",
        "kv fly",
        "fly",
        "kv get",
        "kv get k -o xml",
        "kv get k --timeout soon",
        "kv get k -e nonsense",
        "kv get k -e ::1:7001",
    ],
)
def test_a_command_line_that_makes_no_sense_is_exit_2(cli: Cli, line: str) -> None:
    """And says so on standard error only."""
    got = cli(line)
    assert (got.code, got.out) == (2, "")
    assert "E_USAGE, exit 2]" in got.err


def test_help_is_exit_0_on_standard_output(cli: Cli) -> None:
    """Asked for, help is data."""
    got = cli("kv get --help")
    assert got.code == 0
    assert "Example:\n    raftctl kv get greeting" in got.out


def test_an_unexpected_exception_is_one_short_error(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 1 and no traceback; RAFTCTL_DEBUG=1 shows it."""

    def fail(*_: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("raftctl.main.run_command", fail)
    got = cli("version")
    assert got.code == 1
    assert got.err.startswith("error: unexpected RuntimeError: boom  [E_INTERNAL, exit 1]")
    monkeypatch.setenv("RAFTCTL_DEBUG", "1")
    with pytest.raises(RuntimeError):
        run(["version"])


def test_a_refused_connection_names_the_reason(cli: Cli) -> None:
    """A node that rejects the Hello says why."""
    with FakeNode(lambda _request: "", rejects="wrong cluster") as node:
        got = cli("status -e", node.address)
    assert got.code == 4
    assert "refused the connection: wrong cluster" in got.err


def test_a_closed_pipe_ends_quietly() -> None:
    """Rule 14: `raftctl ... | head -1` leaves no message."""
    script = f"{shlex.quote(sys.executable)} -c 'from raftctl.main import main; main()' completion words '' | true"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_output_that_cannot_be_written_is_not_exit_0() -> None:
    """Rule 4: a full disk under standard output is a failure."""
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "raftctl.main", "version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[:2] == [
        "error: cannot write to standard output  [E_OUTPUT, exit 1]",
        "  No space left on device",
    ]


def test_a_closed_standard_output_is_a_plain_error() -> None:
    """Nothing is done: the first socket would take the closed descriptor's place."""
    script = f"{shlex.quote(sys.executable)} -m raftctl.main version >&-"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: standard output is closed  [E_OUTPUT, exit 1]")


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("--version", "version"),
        ("-h", "--help"),
        ("help", "--help"),
        ("help kv get", "kv get --help"),
        ("kv get -h", "kv get --help"),
        ("kv -h", "kv --help"),
        ("-o json --version", "version -o json"),
    ],
)
def test_help_and_version_may_be_asked_for_as_elsewhere(cli: Cli, line: str, plain: str) -> None:
    """What other tools take is not an error here."""
    got = cli(line)
    assert got == cli(plain)
    assert got.code == 0
    assert got.out


def test_version_says_the_protocol_too(cli: Cli) -> None:
    """version -o json, and -o name for the number alone."""
    record = cli("version -o json").json
    assert record["schema"] == "raftctl.version/1"
    assert record["protocol"] == 1
    assert cli("version -o name").out.strip() == record["version"]


def test_completion_gives_a_script_for_each_shell(cli: Cli) -> None:
    """The scripts ask raftctl itself for words."""
    for shell in ("bash", "zsh", "fish"):
        assert "raftctl completion words" in cli(f"completion {shell}").out
    assert cli("completion csh").code == 2


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("kv g", ["get"]),
        ("stat", ["status"]),
        ("kv get --ra", ["--raw"]),
        ("status -o j", ["json", "jsonl"]),
        ("cluster '' ", ["bench", "down", "health", "init", "list", "up", "verify"]),
        ("nothing ''", []),
        ("kv get k", []),
    ],
)
def test_completion_knows_the_command_table(cli: Cli, words: str, found: list[str]) -> None:
    """Words, options and their values."""
    assert cli(f"completion words -- {words}").out.split() == found


def test_every_error_class_has_a_documented_exit_code() -> None:
    """The tree and the table of codes agree."""
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.CommandError)]
    assert {c.exit_code for c in classes} == {1, 2, 3, 4, 5, 6, 7, 8}


def test_the_bash_script_is_valid(tmp_path: Path, cli: Cli) -> None:
    """bash itself reads it."""
    script = tmp_path / "raftctl.bash"
    script.write_text(cli("completion bash").out, encoding="utf-8")
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_reads_go_on_while_a_node_is_down(cluster: FakeCluster, cli: Cli) -> None:
    """A dead endpoint in the list costs nothing."""
    cli("kv put k v")
    cluster.stop(2)
    assert cli("kv get k").out == "v\n"


ERRORS = {name for name, c in vars(errors).items() if isinstance(c, type) and issubclass(c, errors.CommandError)}


def told(call: ast.Call) -> list[bool]:
    """Return which of what, why and next step an error in the source has: each is given, and is not empty."""
    return [not (isinstance(given, ast.Constant) and not given.value) for given in call.args]


@pytest.mark.parametrize("file", sorted((ROOT / "raftctl").rglob("*.py")), ids=lambda file: file.name)
def test_every_error_says_what_why_and_what_to_do_next(file: Path) -> None:
    """Rule 5: the constructor asks for all three, and none of them is the empty text."""
    calls = [
        node
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {*ERRORS, "SessionLost"}
    ]
    assert [call.lineno for call in calls if told(call) != [True] * 3] == []
