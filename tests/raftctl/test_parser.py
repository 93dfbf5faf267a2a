"""Rule 17: the fast parser reads what typer reads, and leaves the rest to it."""

from typing import Any

import pytest
import typer
from typer.exceptions import TyperException

from raftctl.cli import registry
from raftctl.cli import typer_app as app
from raftctl.cli.command import Command, RawValue
from raftctl.cli.parser import fill_bare, leading_options, parse


def by_typer(path: str, words: list[str]) -> dict[str, Any]:
    """Return what typer makes of a command line. Raises TyperException."""
    seen: list[dict[str, Any]] = []

    def keep(command: Command, raw: dict[str, RawValue]) -> None:
        seen.append(command.bind(raw))

    group = typer.main.get_command(app.build(keep))
    group.main([*path.split(), *words], prog_name="raftctl", standalone_mode=False)
    return seen[0]


@pytest.mark.parametrize(
    "line",
    [
        "kv get|key",
        "kv get|key --raw -o json",
        "kv get|-ojson key",
        "kv get|--output=json -- -key",
        "kv get|key --consistency local --timeout 1.5s -e a:1 -e b:2,c:3",
        "kv put|key value",
        "kv put|key --file -",
        "kv put|key -- --value",
        "kv put|key value --expected-revision 0",
        "kv put|key -",
        "kv incr|key --by -5",
        "status|",
        "status|-o json --color never",
        "status|--watch=5s",
        "wait|--leader --lag <10 --members 3",
        "wait|--timeout=2s --health healthy",
        "version|-o yaml",
        "completion|words kv ge",
        "completion|bash",
        "cluster up|-f demo/cluster.toml --node n1 --node n2 --no-wait",
        "cluster up|--wait --cluster-file=x",
        "member remove|n4 -y --dry-run",
        "log range|1 20",
        "log tail|-f -n 3",
        "events list|--type member.*",
        "snapshot trigger|--all",
        "context set|prod -e a:1 --use",
        "cluster init|dir --nodes 5 --base-port 9000",
    ],
)
def test_both_parsers_read_a_command_line_the_same(line: str) -> None:
    """One table drives the fast path and typer."""
    path, _, rest = line.partition("|")
    words = rest.split()
    command = registry.load(path)
    raw = parse(command, words)
    assert raw is not None
    assert command.bind(raw) == by_typer(path, words)


@pytest.mark.parametrize(
    "line",
    [
        "kv get|",
        "kv get|a b",
        "kv get|a --bogus",
        "kv get|a --timeout",
        "kv get|a --raw=yes",
        "wait|--leader=x",
        "log range|1",
        "version|extra",
        "member add|n4",
        "kv get|a -x",
    ],
)
def test_what_the_fast_path_does_not_understand_typer_refuses(line: str) -> None:
    """The fast path gives None, and typer says what is wrong."""
    path, _, rest = line.partition("|")
    assert parse(registry.load(path), rest.split()) is None
    with pytest.raises(TyperException):
        by_typer(path, rest.split())


def test_a_bare_watch_gets_its_value() -> None:
    """`--watch` stands for `--watch=2s`, but not behind `--`."""
    status = registry.load("status")
    assert fill_bare(status, ["--watch", "-o", "json"]) == ["--watch=2s", "-o", "json"]
    assert fill_bare(status, ["--", "--watch"]) == ["--", "--watch"]


def test_common_options_may_stand_before_the_command() -> None:
    """As in other tools: raftctl -o json -e a:1 status."""
    assert leading_options(["-o", "json", "-ea:1", "--timeout=1s", "status", "-o", "x"]) == (
        ["-o", "json", "-ea:1", "--timeout=1s"],
        ["status", "-o", "x"],
    )
