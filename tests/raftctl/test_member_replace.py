"""raftctl member replace: one exchange of voters, resumable at every step; against scripted nodes and real ones."""

import json
import shlex
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from raftnode.wire import client as wire
from tests.raftctl.conftest import Cli
from tests.support.fake_node import HANG_UP, FakeCluster, Reply
from tests.support.processes import running_cluster

ADDRESS = "127.0.0.1:9"
REPLACE = f"member replace n3 n4 --address {ADDRESS} --yes"


def never_promotable(cluster: FakeCluster) -> Callable[[int, Any], Reply | None]:
    """Have every node say that nobody has caught up."""

    def interfere(node: int, request: Any) -> Reply | None:
        if isinstance(request, wire.GetStatus) and len(cluster.members) > 3:
            status = cluster.status(node)
            listed = [msgspec.structs.replace(m, promotable=False) for m in status.members]
            return wire.StatusResult(0, msgspec.structs.replace(status, members=listed))
        if isinstance(request, wire.ChangeMembers) and request.operations[0].action is wire.MemberAction.PROMOTE:
            return wire.Failed(0, wire.ErrorCode.REFUSED, "n4 has not caught up: it has entry 0 of 3")
        return None

    return interfere


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
    assert again == {
        "schema": "raftctl.member.replace/1",
        "member": "n4",
        "changed": False,
        "id": 4,
        "address": ADDRESS,
        "replaced": None,
        "done": True,
    }


@pytest.mark.parametrize(
    ("before", "proposed"),
    [
        ("member add n4 --learner", [["add_learner"], ["promote", "remove"]]),
        ("member add n4", [["add_learner"], ["promote"], ["promote", "remove"]]),
    ],
)
def test_it_goes_on_where_it_stands(cluster: FakeCluster, cli: Cli, before: str, proposed: list[list[str]]) -> None:
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

    cluster.interfere = never_promotable(cluster)
    got = cli(REPLACE + " --timeout 0.4s")
    assert got.code == 7
    assert REPLACE.split("replace", 1)[1].strip() in got.err
    assert [m.kind for m in cluster.members] == ["voter", "voter", "voter", "learner"]


def test_the_leader_is_asked_to_wait_and_does_so(cluster: FakeCluster, cli: Cli) -> None:
    """It shows the learner behind, holds the exchange and makes it: one look, and one request, not one each 100 ms."""
    behind = never_promotable(cluster)
    cluster.interfere = lambda node, request: behind(node, request) if isinstance(request, wire.GetStatus) else None
    assert cli(REPLACE).code == 0
    proposed = [r for node in cluster.nodes.values() for r in node.requests if isinstance(r, wire.ChangeMembers)]
    assert [(r.wait_ms, len(r.operations)) for r in proposed] == [(0, 1), (1000, 2)]
    assert cluster.count(wire.GetStatus) == 7


def test_a_held_exchange_whose_answer_is_lost_is_looked_up(cluster: FakeCluster, cli: Cli) -> None:
    """The membership itself says whether it was made: it is changed, and not proposed again."""
    behind = never_promotable(cluster)

    def apply_and_hang_up(node: int, request: Any) -> Reply | None:
        if isinstance(request, wire.ChangeMembers) and request.wait_ms:
            cluster._answer(node, request)
            return HANG_UP
        return behind(node, request) if isinstance(request, wire.GetStatus) else None

    cluster.interfere = apply_and_hang_up
    assert cli(REPLACE + " -o json").json["changed"] is True
    assert changes(cluster) == [["add_learner"], ["promote", "remove"]]


def test_a_removal_while_the_leader_waits_is_noticed(cluster: FakeCluster, cli: Cli) -> None:
    """By somebody else: a conflict, and no addition anew."""
    behind = never_promotable(cluster)

    def remove_meanwhile(node: int, request: Any) -> Reply | None:
        if isinstance(request, wire.ChangeMembers) and request.wait_ms:
            cluster.members = [m for m in cluster.members if m.name != "n4"]
            return wire.Failed(0, wire.ErrorCode.NOT_FOUND, "node 4 is not a member of this cluster")
        return behind(node, request)

    cluster.interfere = remove_meanwhile
    got = cli(REPLACE)
    assert got.code == 8
    assert "n4 was removed while it was catching up" in got.err


def test_without_waiting_only_what_can_be_done_now_is_done(cluster: FakeCluster, cli: Cli) -> None:
    """Rule 7, --no-wait: the addition, then what the repeated command can do; each says how to follow and go on."""
    cluster.interfere = never_promotable(cluster)
    got = cli(REPLACE + " --no-wait -o json")
    assert got.code == 0
    assert got.json == {
        "schema": "raftctl.member.replace/1",
        "member": "n4",
        "changed": True,
        "id": 4,
        "address": ADDRESS,
        "replaced": None,
        "done": False,
        "next": f"raftctl {REPLACE}",
    }
    assert changes(cluster) == [["add_learner"]]
    again = cli(REPLACE + " --no-wait")
    assert (
        again.out == "changed: false  n4 has 0 of 0 entries, and does not answer; n3 stays a voter until it has "
        "caught up\n"
    )
    assert "raftnode run --data-dir DIR" in again.err
    followed, _, go_on = again.err.splitlines()[-1].removeprefix("follow it: ").partition("; go on when its lag is ")
    assert followed == "raftctl status --watch"
    assert changes(cluster) == [["add_learner"]]
    cluster.interfere = lambda _node, _request: None
    done = cli(*split_command(go_on.partition(": ")[2]), "--no-wait", "-o", "json").json
    assert (done["changed"], done["done"], done["replaced"]) == (True, True, {"id": 3, "name": "n3"})
    assert changes(cluster) == [["add_learner"], ["promote", "remove"]]
    assert cli(REPLACE + " --no-wait -o json").json["changed"] is False


def split_command(text: str) -> list[str]:
    """Return the words of a command that a message gives, without the program's name."""
    program, *words = shlex.split(text)
    assert program == "raftctl"
    return words


def test_a_question_that_is_answered_late_costs_no_time(
    cluster: FakeCluster, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--timeout begins with the yes, as it does for member remove."""
    monkeypatch.setattr("sys.stdin", Slow(1.2))
    assert cli(REPLACE.replace("--yes", "--timeout 1s")).code == 0


class Slow:
    """A terminal at which somebody says yes after a while."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        threading.Event().wait(self._seconds)
        return "y\n"


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


@pytest.mark.processes
def test_a_replacement_in_steps_waits_for_nobody(tmp_path: Path) -> None:
    """With real processes and --no-wait: begun before the new node runs, and ended by the same command when it has
    caught up."""
    with running_cluster(tmp_path) as cluster:
        leader = cluster.wait_leader()
        old = next(name for name in cluster.names if name != leader)
        cluster.join("n4")
        words = shlex.split(f"member replace {old} n4 --address {cluster.addresses['n4']} --yes --no-wait -o json")
        begun = json.loads(cluster.raftctl(*words).stdout)
        assert (begun["changed"], begun["done"]) == (False, False)
        cluster.start("n4")
        cluster.wait_for(
            "n4 has caught up",
            lambda found: any(
                m.name == "n4" and m.promotable for s in found.values() if s.role == "leader" for m in s.members
            ),
        )
        ended = json.loads(cluster.raftctl(*words).stdout)
        assert (ended["changed"], ended["done"], ended["replaced"]["name"]) == (True, True, old)
        assert json.loads(cluster.raftctl(*words).stdout)["changed"] is False
