"""Rule 6: every command that changes something says with --dry-run what it would do, and does nothing."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from raftctl.cli import registry
from raftnode.wire import client as wire
from tests.raftctl.conftest import Cli
from tests.raftctl.data_dirs import tree
from tests.support.fake_node import FakeCluster

READS = {
    "status",
    "wait",
    "version",
    "completion",
    "config explain",
    "context list",
    "context show",
    "cluster list",
    "cluster health",
    "cluster verify",
    "member list",
    "log range",
    "log tail",
    "log info",
    "log verify",
    "log stats",
    "snapshot list",
    "snapshot inspect",
    "snapshot verify",
    "events list",
    "events tail",
    "kv get",
    "kv list",
    "kv watch",
}
"""The commands that change nothing: every other one has --dry-run."""


@pytest.mark.parametrize("path", sorted(registry.COMMANDS))
def test_every_command_that_changes_something_has_a_dry_run(path: str) -> None:
    """A new command is in the list above, or takes --dry-run."""
    params = [p.name for p in registry.load(path).own_params]
    assert ("dry_run" in params) == (path not in READS)


def test_the_list_of_reading_commands_has_no_other() -> None:
    """So that a command which goes is struck off."""
    assert set(registry.COMMANDS) >= READS


@pytest.mark.parametrize(
    ("words", "record"),
    [
        ("kv put number 8", {"would_change": True, "previous_revision": 2}),
        ("kv put new 8", {"would_change": True, "previous_revision": 0}),
        ("kv put number 8 --expected-revision 2", {"would_change": True, "previous_revision": 2}),
        ("kv cas number 7 8", {"would_change": True, "previous_revision": 2}),
        ("kv cas new --absent 8", {"would_change": True, "previous_revision": 0}),
        ("kv delete number", {"would_change": True}),
        ("kv delete new --if-exists", {"would_change": False}),
        ("kv incr number --by -9", {"would_change": True, "value": -2}),
        ("kv incr new", {"would_change": True, "value": 1}),
    ],
)
def test_a_write_is_evaluated_against_a_linearizable_read(
    cluster: FakeCluster, cli: Cli, words: str, record: dict[str, Any]
) -> None:
    """It says so, and nothing is written; the record has what the write would have had."""
    cli("kv put word abc")
    cli("kv put number 7")
    written = cluster.count(wire.Write)
    got = cli(f"{words} --dry-run -o json").json
    assert got | record | {"changed": False, "dry_run": True, "revision": 2} == got
    assert cluster.count(wire.Write) == written
    assert cluster.count(wire.EvaluateWrite) == 1
    first, second = cli(f"{words} --dry-run").out.splitlines()
    assert first.startswith(f"changed: false  would change: {'true' if record['would_change'] else 'false'}")
    assert second == "  by a linearizable read at revision 2; another write may still come first"
    real = cli(f"{words} -o json").json
    assert real["changed"] == record["would_change"]
    assert {k: v for k, v in real.items() if k not in ("changed", "revision")} == {
        k: v for k, v in got.items() if k not in ("changed", "revision", "dry_run", "would_change")
    }


@pytest.mark.parametrize(
    "words",
    [
        "kv put number 8 --expected-revision 9",
        "kv put new 8 --expected-revision 9",
        "kv cas number 9 8",
        "kv cas new 9 8",
        "kv cas number --absent 8",
        "kv delete number --expected-revision 9",
        "kv delete new",
        "kv incr word",
        "kv incr number --by 9223372036854775807",
    ],
)
def test_what_a_write_would_be_refused_is_refused_in_a_dry_run(cluster: FakeCluster, cli: Cli, words: str) -> None:
    """With the same error and exit code."""
    cli("kv put word abc")
    cli("kv put number 7")
    dry, real = cli(f"{words} --dry-run"), cli(words)
    assert (dry.code, dry.out, dry.err) == (real.code, real.out, real.err)
    assert dry.code in (2, 3, 8)


def test_the_contexts_stay_as_they_are(cli: Cli, tmp_path: Path) -> None:
    """context set, use, delete: whether anything would change."""

    def would(words: str) -> bool:
        before = tree(tmp_path)
        got = cli(f"{words} --dry-run -o json").json
        assert (got["changed"], got["dry_run"], tree(tmp_path)) == (False, True, before)
        assert f"would change: {'true' if got['would_change'] else 'false'}" in cli(f"{words} --dry-run").out
        return bool(got["would_change"])

    assert would("context set a -e x:1")
    cli("context set a -e x:1")
    cli("context set b -e x:2")
    assert not would("context set a -e x:1")
    assert would("context use b")
    assert not would("context use a")
    assert would("context delete a")
    assert not would("context delete c --if-exists")
    assert cli("context delete c --dry-run").code == 3
    assert cli("context use c --dry-run").code == 3


def test_no_snapshot_is_taken(cluster: FakeCluster, cli: Cli) -> None:
    """snapshot trigger: which members have anything new."""
    cli("kv put a b")
    got = cli("snapshot trigger --all --dry-run -o json").json
    assert (got["changed"], got["would_change"]) == (False, True)
    assert got["snapshots"] == [{"node": f"n{i}", "index": 1, "would_change": True} for i in (1, 2, 3)]
    cluster.interfere = lambda node, request: (
        wire.StatusResult(0, msgspec.structs.replace(cluster.status(node), snapshot_index=1))
        if isinstance(request, wire.GetStatus)
        else None
    )
    assert cli("snapshot trigger --dry-run").out == "changed: false  would take a snapshot on: no member\n"
    cluster.stop(3)
    assert cli("snapshot trigger --node n3 --dry-run").code == 4
    assert cluster.count(wire.TriggerSnapshot) == 0


def test_no_backup_is_made(cluster: FakeCluster, cli: Cli, tmp_path: Path) -> None:
    """snapshot save: from whom, and what; a file that is there is refused as it would be."""
    file = tmp_path / "b.snap"
    got = cli(f"snapshot save {file} --dry-run -o json").json
    assert (got["changed"], got["would_change"], got["node"], got["index"]) == (False, True, "n1", None)
    assert cli(f"snapshot save {file} --existing --dry-run").code == 3
    cli("kv put a b")
    cli("snapshot trigger")
    assert cli(f"snapshot save {file} --existing --dry-run").out == (
        f"changed: false  would save {file}: its snapshot of entry 1, from n1\n"
    )
    assert cluster.count(wire.ReadSnapshot) == 0
    file.touch()
    assert cli(f"snapshot save {file} --dry-run").code == 6


def test_nothing_is_measured(cluster: FakeCluster, cli: Cli) -> None:
    """cluster bench: which leader, and what it would write."""
    got = cli("cluster bench --connections 10 --depth 3 --dry-run -o json").json
    assert (got["changed"], got["leader"], got["in_flight"], got["keys"]) == (False, "n1", 30, 1000)
    assert cluster.count(wire.Write) == 0
    assert "raftctl-bench/" in cli("cluster bench --dry-run").out


def test_a_removal_that_is_done_is_dry_too(cluster: FakeCluster, cli: Cli) -> None:
    """member remove --if-exists: the record says that it is a dry run."""
    got = cli("member remove n9 --if-exists --dry-run -o json").json
    assert (got["changed"], got["dry_run"], got["would_change"]) == (False, True, False)
