"""raftctl member replace: one exchange of voters, resumable at every step; against scripted nodes and real ones."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from raftnode.wire import client as wire
from tests.raftctl.conftest import Cli
from tests.support.fake_node import FakeCluster, Reply
from tests.support.processes import running_cluster

ADDRESS = "127.0.0.1:9"
REPLACE = f"member replace n3 n4 --address {ADDRESS} --yes"


def changes(cluster: FakeCluster) -> list[list[str]]:
    """Return the operations of each change that was proposed."""
    return [
        [operation.action.value for operation in request.operations]
        for request in cluster.nodes[1].requests
        if isinstance(request, wire.ChangeMembers)
    ]


def test_the_old_voter_goes_in_the_change_that_promotes_the_new_one(cluster: FakeCluster, cli: Cli) -> None:
    """Rule 9: a learner first; then one change with both, so that there is never a voter more or less."""
    got = cli(REPLACE)
    assert (got.code, got.out) == (0, f"changed: true  n4 at {ADDRESS} is a voter in place of n3\n")
    assert changes(cluster) == [["add_learner"], ["promote", "remove"]]
    assert [(m.name, m.kind) for m in cluster.members] == [("n1", "voter"), ("n2", "voter"), ("n4", "voter")]


def test_a_repeated_replacement_is_changed_false(cluster: FakeCluster, cli: Cli) -> None:
    """Rule 6: the old one is gone and the new one is there."""
    cli(REPLACE)
    again = cli(REPLACE + " -o json").json
    assert again == {"schema": "raftctl.member.replace/1", "member": "n4", "changed": False, "id": 4,
                     "address": ADDRESS, "replaced": None}


@pytest.mark.parametrize(("before", "proposed"), [
    ("member add n4 --learner", [["add_learner"], ["promote", "remove"]]),
    ("member add n4", [["add_learner"], ["promote"], ["promote", "remove"]]),
])
def test_it_goes_on_where_it_stands(
    cluster: FakeCluster, cli: Cli, before: str, proposed: list[list[str]]
) -> None:
    """After an interruption the same command takes the remaining steps; a promotion that is made is not made again."""
    cli(f"{before} --address {ADDRESS}")
    assert cli(REPLACE).code == 0
    assert changes(cluster) == proposed
    assert [m.name for m in cluster.members] == ["n1", "n2", "n4"]


def test_a_dry_run_evaluates_the_exchange(cluster: FakeCluster, cli: Cli) -> None:
    """Rule 6: the leader says what it would come to, and nothing changes; no question is asked."""
    got = cli(REPLACE.replace("--yes", "--dry-run -o json")).json
    assert (got["voters"], got["would_change"], got["changed"]) == ({"before": 3, "after": 3}, True, False)
    assert len(cluster.members) == 3


def test_what_makes_no_sense_is_refused_before_anything_changes(cluster: FakeCluster, cli: Cli) -> None:
    """Rule 8: no terminal and no --yes; an unknown member, a learner, itself."""
    assert cli(REPLACE.replace("--yes", "")).code == 2
    assert cli(REPLACE.replace("n3", "n9")).code == 3
    assert cli(f"member replace n3 n3 --yes --address {cluster.nodes[3].address}").code == 2
    assert changes(cluster) == []
    cli("member add n5 --learner --address 127.0.0.1:8")
    assert cli(REPLACE.replace("n3", "n5")).code == 6
    assert cli(f"member replace n3 n2 --yes --address {ADDRESS}").code == 8


def test_a_member_that_does_not_catch_up_is_exit_7_and_how_to_go_on(cluster: FakeCluster, cli: Cli) -> None:
    """Rule 7: the old voter is still one."""

    def never(node: int, request: Any) -> Reply | None:
        if isinstance(request, wire.GetStatus) and len(cluster.members) > 3:
            status = cluster.status(node)
            listed = [msgspec.structs.replace(m, promotable=False) for m in status.members]
            return wire.StatusResult(0, msgspec.structs.replace(status, members=listed))
        return None

    cluster.interfere = never
    got = cli(REPLACE + " --timeout 0.4s")
    assert got.code == 7
    assert REPLACE.split("replace", 1)[1].strip() in got.err
    assert [m.kind for m in cluster.members] == ["voter", "voter", "voter", "learner"]


@pytest.mark.processes
def test_the_leader_itself_is_replaced(tmp_path: Path) -> None:
    """With real processes: the leader leaves, the new member votes, and what was written is still there."""
    with running_cluster(tmp_path) as cluster:
        cluster.raftctl("kv", "put", "key", "value")
        leader = cluster.wait_leader()
        cluster.join("n4")
        cluster.start("n4")
        done = cluster.raftctl("member", "replace", leader, "n4", "--address", cluster.addresses["n4"], "--yes")
        assert done.stdout.startswith("changed: true")
        new = cluster.wait_leader(but=[leader])
        members = cluster.statuses()[new].members
        assert {m.name for m in members} == {*cluster.names} - {leader}
        assert {m.kind for m in members} == {"voter"}
        assert cluster.raftctl("kv", "get", "key", "--raw").stdout == "value"
