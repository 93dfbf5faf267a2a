"""Rules 6 to 10: raftctl member, against scripted nodes."""

import io
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from raftnode.wire import client as wire
from raftnode.wire import kv
from tests.raftctl.conftest import Cli, interrupt_the_command
from tests.support.fake_node import HANG_UP, FakeCluster, Reply

ADDRESS = "127.0.0.1:9"


class Terminal(io.StringIO):
    """A standard input at which someone sits."""

    def isatty(self) -> bool:
        return True


def test_add_makes_a_learner_and_then_a_voter(cluster: FakeCluster, cli: Cli) -> None:
    """Rule 9. The node does not answer yet, so the command says what to run on the new machine."""
    got = cli("member add n4 --address", ADDRESS)
    assert got.code == 0
    assert got.out == f"changed: true  n4 at {ADDRESS} is a voter\n"
    kinds = [r.operations[0].action.value for r in cluster.nodes[1].requests if isinstance(r, wire.ChangeMembers)]
    assert kinds == ["add_learner", "promote"]


def test_add_repeated_is_changed_false(cluster: FakeCluster, cli: Cli) -> None:
    """Rule 6: what is already true succeeds."""
    cli("member add n4 --address", ADDRESS)
    again = cli("member add n4 -o json --address", ADDRESS).json
    assert (again["changed"], again["kind"]) == (False, "voter")


@pytest.mark.parametrize(("flag", "kind"), [("--learner", "learner"), ("--observer", "observer")])
def test_add_can_stop_at_a_learner_or_an_observer(cluster: FakeCluster, cli: Cli, flag: str, kind: str) -> None:
    """Then nothing is promoted."""
    assert cli(f"member add n4 -o json {flag} --address", ADDRESS).json["kind"] == kind


def test_add_goes_on_with_a_learner_that_is_there(cluster: FakeCluster, cli: Cli) -> None:
    """An interrupted addition is repeated with the same command."""
    cli("member add n4 --learner --address", ADDRESS)
    got = cli("member add n4 -o json --address", ADDRESS).json
    assert (got["changed"], got["kind"]) == (True, "voter")


def test_add_tells_how_to_start_the_new_node_and_gives_up_with_exit_7(cluster: FakeCluster, cli: Cli) -> None:
    """A learner that does not catch up in time is still in progress: exit 7 and how to go on."""
    members = cluster.members

    def never_promotable(node: int, request: Any) -> Reply | None:
        if isinstance(request, wire.GetStatus) and len(cluster.members) > len(members):
            status = cluster.status(node)
            listed = [
                msgspec.structs.replace(m, promotable=False, last_contact_ms=-1) if m.name == "n4" else m
                for m in status.members
            ]
            return wire.StatusResult(0, msgspec.structs.replace(status, members=listed))
        if isinstance(request, wire.ChangeMembers) and request.operations[0].action is wire.MemberAction.PROMOTE:
            return wire.Failed(0, wire.ErrorCode.REFUSED, "n4 has not caught up: it has entry 0 of 3")
        return None

    cluster.interfere = never_promotable
    got = cli("member add n4 --timeout 0.4s --address", ADDRESS)
    assert got.code == 7
    assert "raftnode join --cluster" in got.err
    assert f"raftctl member add n4 --address {ADDRESS}" in got.err


def test_a_dry_run_of_an_addition_under_way_says_what_would_happen(cluster: FakeCluster, cli: Cli) -> None:
    """A learner that is behind is no refusal: the command itself waits for it."""
    cli("member add n4 --learner --address", ADDRESS)

    def behind(node: int, request: Any) -> Reply | None:
        if isinstance(request, wire.GetStatus):
            status = cluster.status(node)
            listed = [
                msgspec.structs.replace(m, promotable=False, last_contact_ms=-1) if m.name == "n4" else m
                for m in status.members
            ]
            return wire.StatusResult(0, msgspec.structs.replace(status, members=listed))
        if isinstance(request, wire.ChangeMembers) and not request.force:
            return wire.Failed(0, wire.ErrorCode.REFUSED, "n4 has not caught up: it has entry 0 of 3")
        return None

    cluster.interfere = behind
    got = cli("member add n4 --dry-run --address", ADDRESS)
    assert got.code == 0
    assert "voters     3 -> 4" in got.out
    assert "n4 is a learner and is promoted when it has caught up: n4 has 0 of 0 entries, and does not " in got.err
    waits = cli("member add n4 --timeout 0.3s --address", ADDRESS)
    assert waits.code == 7
    assert "n4 does not answer yet; start it on its machine:\n  raftnode run --data-dir DIR\nor, " in waits.err


def test_a_name_or_address_in_use_is_a_conflict(cluster: FakeCluster, cli: Cli) -> None:
    """One name, one address, one member."""
    assert cli("member add n2 --address", ADDRESS).code == 8
    assert cli("member add n9 --address", cluster.nodes[2].address).code == 8


def test_a_dry_run_changes_nothing_and_shows_the_arithmetic(cluster: FakeCluster, cli: Cli) -> None:
    """Rule 6: voters, quorum and tolerance, before and after."""
    got = cli("member remove n3 --dry-run -o json").json
    assert got == {
        "schema": "raftctl.member.remove/1",
        "member": "n3",
        "changed": False,
        "dry_run": True,
        "would_change": True,
        "voters": {"before": 3, "after": 2},
        "quorum": {"before": 2, "after": 2},
        "tolerates": {"before": 1, "after": 0},
    }
    assert cli("member add n4 --dry-run --address", ADDRESS).code == 0
    assert cli("member demote n3 --dry-run").code == 0
    assert cli("member promote n3 --dry-run -o json").json["would_change"] is False
    assert cli("member transfer n3 --dry-run -o json").json["would_change"] is True
    assert len(cluster.members) == 3
    assert cluster.leader == 1


def test_remove_needs_yes_where_nobody_can_be_asked(
    cluster: FakeCluster, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 8: exit 2 at once, and nothing was asked of the cluster."""
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert cli("member remove n3").code == 2
    assert cluster.count(wire.GetStatus) == 0


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, 2), ("\n", 2, 3), ("", 2, 3)])
def test_remove_asks_on_a_terminal(
    cluster: FakeCluster, cli: Cli, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, left: int
) -> None:
    """Rule 8: the question names the effect; anything but yes is no."""
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    got = cli("member remove n3")
    assert got.code == code
    assert (
        "remove n3 (id 3, voter) from cluster demo: voters 3 -> 2, quorum 2 -> 2, tolerates 1 -> 0 more failures?"
    ) in got.err
    assert len(cluster.members) == left


def test_the_question_says_that_the_leader_is_to_be_removed(
    cluster: FakeCluster, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leadership moves then."""
    monkeypatch.setattr("sys.stdin", Terminal("\n"))
    assert "more failures; it leads, so another voter takes over?" in cli("member remove n1").err


def test_a_removal_that_would_be_refused_is_not_asked_about(
    cluster: FakeCluster, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leader evaluates it first: exit 6 at once, before the question."""
    cluster.interfere = lambda _node, request: (
        wire.Failed(0, wire.ErrorCode.REFUSED, "node 1 is the last voter")
        if isinstance(request, wire.ChangeMembers)
        else None
    )
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    got = cli("member remove n3")
    assert got.code == 6
    assert "[y/N]" not in got.err


def test_remove_of_a_stranger_is_exit_3_unless_that_is_fine(cluster: FakeCluster, cli: Cli) -> None:
    """--if-exists makes it changed false."""
    assert cli("member remove n9 --yes").code == 3
    assert cli("member remove n9 --yes --if-exists -o json").json["changed"] is False


def test_a_refusal_carries_the_servers_arithmetic(cluster: FakeCluster, cli: Cli) -> None:
    """Rule 9: exit 6, in three lines."""
    text = "the cluster would lose its quorum: now 3 voters, 2 up, quorum 2; after: 2 voters, 1 up, quorum 2"
    cluster.interfere = lambda _node, request: (
        wire.Failed(0, wire.ErrorCode.REFUSED, text) if isinstance(request, wire.ChangeMembers) else None
    )
    got = cli("member remove n2 --yes")
    assert got.code == 6
    assert got.err.splitlines() == [
        "error: the cluster would lose its quorum  [E_QUORUM, exit 6]",
        "  now 3 voters, 2 up, quorum 2; after: 2 voters, 1 up, quorum 2",
        "  see who is up: raftctl status; bring a voter back first",
    ]


def test_a_change_whose_answer_is_lost_is_looked_up(cluster: FakeCluster, cli: Cli) -> None:
    """The membership itself says whether it was made: the command goes on without a second proposal."""

    def apply_and_hang_up(node: int, request: Any) -> Reply | None:
        if isinstance(request, wire.ChangeMembers):
            cluster._answer(node, request)
            return HANG_UP
        return None

    cluster.interfere = apply_and_hang_up
    assert cli("member remove n3 --yes -o json").json["changed"] is True
    assert cluster.count(wire.ChangeMembers) == 1


def test_demote_and_promote_turn_a_member_and_back(cluster: FakeCluster, cli: Cli) -> None:
    """By id and by address as well; a second time is changed false."""
    assert cli("member demote 3 -o json").json["changed"] is True
    assert cli("member demote 3 -o json").json["changed"] is False
    assert cli("member promote -o json", cluster.nodes[3].address).json["changed"] is True
    assert cli("member promote n3 -o json").json["changed"] is False


def test_transfer_hands_over_and_is_idempotent(cluster: FakeCluster, cli: Cli) -> None:
    """member transfer: the target leads afterwards."""
    assert cli("member transfer n2 -o json").json == {
        "schema": "raftctl.member.transfer/1",
        "member": "n2",
        "changed": True,
        "leader_id": 2,
        "term": 8,
    }
    assert cli("member transfer n2 -o json").json["changed"] is False
    assert cli("member transfer").code == 0
    assert cluster.leader != 2


def test_transfer_to_a_learner_is_refused(cluster: FakeCluster, cli: Cli) -> None:
    """Only a voter can lead."""
    cli("member demote n3")
    assert cli("member transfer n3").code == 6


def test_list_names_every_member(cluster: FakeCluster, cli: Cli) -> None:
    """member list: ids are the same text in every format."""
    assert cli("member list -o name").out == "n1\nn2\nn3\n"
    assert [m["schema"] for m in cli("member list -o jsonl").lines] == ["raftctl.member/1"] * 3
    assert cli("member list -o wide").out.splitlines()[0].split() == [
        "NAME",
        "ID",
        "KIND",
        "ADDRESS",
        "STATE",
        "INSTANCE",
        "VERSION",
    ]


def test_an_ambiguous_name_is_an_error(cluster: FakeCluster, cli: Cli) -> None:
    """Rule 10: the id decides."""
    cluster.members = [msgspec.structs.replace(m, name="same") if m.id > 1 else m for m in cluster.members]
    got = cli("member demote same")
    assert got.code == 2
    assert "give the id" in got.err


def test_a_change_with_no_leader_is_exit_5(cluster: FakeCluster, cli: Cli) -> None:
    """Within the timeout, and nothing was proposed."""
    cluster.leader = 0
    assert cli("member demote n3 --timeout 0.3s").code == 5
    assert cluster.count(wire.ChangeMembers) == 0


def test_a_change_gives_a_cluster_without_a_leader_a_few_seconds_and_says_who_is_down(
    cluster: FakeCluster, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the change's own timeout of half a minute, and with the reason that status has."""
    monkeypatch.setattr("raftctl.view.take.LEADER_S", 0.2)
    cluster.leader = 0
    cluster.stop(2)
    cluster.stop(3)
    got = cli("member remove n3 --yes")
    assert got.code == 5
    assert "1 voter is up and 2 are needed; n2 is down; n3 is down" in got.err


def test_endpoints_of_two_clusters_are_refused(cluster: FakeCluster, cli: Cli) -> None:
    """A typing mistake in an endpoint list must not mix two clusters into one view."""
    with FakeCluster(1, cluster_id="other") as stranger:
        lists = (f"{cluster.endpoints},{stranger.endpoints}", f"{stranger.endpoints},{cluster.endpoints}")
        for command in (
            "member list",
            "status",
            "kv put k v",
            "kv get k",
            "kv get k --consistency local",
            "wait --leader",
            "member remove n3 --yes",
        ):
            for endpoints in lists:
                got = cli(command, "-e", endpoints)
                assert got.code == 2, command
                assert f"demo (c0ffee) at {cluster.nodes[1].address}, " in got.err
                assert f"other (other) at {stranger.nodes[1].address}" in got.err
        assert cluster.count(wire.Write) + stranger.count(wire.Write) == 0
        assert cluster.count(wire.ChangeMembers) + stranger.count(wire.ChangeMembers) == 0


def test_a_member_address_at_which_another_cluster_answers_is_never_used(cluster: FakeCluster, cli: Cli) -> None:
    """The address is learned from the members: it is shown as foreign, neither read nor written, and can be removed."""
    with FakeCluster(1, cluster_id="other") as stranger:
        stranger.machine.apply(1, kv.encode(kv.Put(b"who", b"other")))
        mistyped = wire.MemberStatus(4, "o1", stranger.nodes[1].address, "learner")
        cluster.members = [*cluster.members, mistyped]
        assert cli("kv put who demo").code == 0
        for _ in range(5):
            assert cli("kv get who --consistency local").out == "demo\n"
            assert cli("kv put who demo").code == 0
        assert stranger.count(wire.Write) + stranger.count(wire.Read) == 0
        shown = cli("status -o json").json
        assert [m["state"] for m in shown["members"]] == ["healthy"] * 3 + ["foreign"]
        assert "another cluster answers there: this is cluster other, not " in cli("status").err
        assert cli("member remove o1 --yes").code == 0


def test_a_cluster_id_that_was_given_is_the_only_one_that_is_spoken_to(cluster: FakeCluster, cli: Cli) -> None:
    """By flag or by context: also where every endpoint is of one other cluster."""
    assert cli("kv put k v --cluster-id c0ffee").code == 0
    got = cli("kv put k v --cluster-id other")
    assert got.code == 2
    assert "the endpoints do not belong to cluster other" in got.err
    assert cli("context set demo --cluster-id other -e", cluster.endpoints).code == 0
    assert cli("kv put k v --context demo").code == 2
    assert cli("context set demo --cluster-id c0ffee -e", cluster.endpoints).code == 0
    assert cli("kv put k v --context demo").code == 0
    assert cli("context show demo -o json").json["cluster_id"] == "c0ffee"
    assert cluster.count(wire.Write) == 2


def test_add_refuses_an_address_at_which_someone_else_answers(cluster: FakeCluster, cli: Cli) -> None:
    """One mistyped address would make a stranger a member: exit 6, naming its cluster, and nothing is proposed."""
    with FakeCluster(1, cluster_id="other") as stranger:
        for more in ("", "--dry-run", "--no-wait"):
            got = cli(f"member add o1 {more} --address", stranger.nodes[1].address)
            assert got.code == 6
            assert "node n1 of cluster other (other) listens there; this is cluster demo (c0ffee)" in got.err
    assert cluster.count(wire.ChangeMembers) == 0


def test_a_removed_member_that_still_runs_is_told_from_a_new_one(cluster: FakeCluster, cli: Cli) -> None:
    """Its id is never used again: the new node would wait in vain for the address."""
    assert cli("member remove n3 --yes").code == 0
    got = cli(f"member add n3 --address {cluster.nodes[3].address} --no-wait")
    assert got.code == 6
    assert got.err.splitlines()[0].startswith("error: a node that is no longer a member still runs at")
    assert [m.name for m in cluster.members] == ["n1", "n2"]
    cluster.nodes[3].close()
    assert cli(f"member add n3 --address {cluster.nodes[3].address} --no-wait").code == 0


def test_an_observer_is_not_turned_into_a_voter(cluster: FakeCluster, cli: Cli) -> None:
    """It is permanent: the command ends at once, instead of waiting for what never comes."""
    cli("member add n4 --observer --address", ADDRESS)
    changes = cluster.count(wire.ChangeMembers)
    for flag in ("", "--learner", "--dry-run"):
        got = cli(f"member add n4 {flag} --address", ADDRESS)
        assert got.code == 8
        assert "n4 is already an observer" in got.err
        assert "raftctl member remove n4" in got.err
    assert cluster.count(wire.ChangeMembers) == changes


def lost_quorum(request: Any) -> Reply | None:
    """Answer as a leader whose other voter does not answer: an evaluation shows the loss, a change is refused."""
    if not isinstance(request, wire.ChangeMembers):
        return None
    if request.accept_quorum_loss == "demo":
        return wire.MembersChanged(0, True, 9, [], 3, 2, 2, 2, 0, -1)
    return wire.Failed(0, wire.ErrorCode.REFUSED, "the cluster would lose its quorum: now 3 voters")


@pytest.mark.parametrize("command", ["remove n2", "demote n2", "promote n4"])
def test_force_asks_first_and_needs_yes_without_a_terminal(cluster: FakeCluster, cli: Cli, command: str) -> None:
    """And so does what gives up the quorum."""
    cli("member add n4 --learner --address", ADDRESS)
    changes = cluster.count(wire.ChangeMembers)
    for option in ("--force", "--accept-quorum-loss demo"):
        got = cli(f"member {command} {option}")
        assert got.code == 2
        assert "--yes" in got.err
    assert cluster.count(wire.ChangeMembers) == changes


@pytest.mark.parametrize("command", ["remove n2", "demote n2"])
def test_a_quorum_is_given_up_by_the_clusters_name_only(cluster: FakeCluster, cli: Cli, command: str) -> None:
    """Not by --force --yes, and a dry run calls it by its name."""
    cluster.interfere = lambda node, request: lost_quorum(request)
    for options in ("--yes", "--force --yes", "--force --dry-run", "--accept-quorum-loss other --yes"):
        got = cli(f"member {command} {options}")
        assert got.code == 6, options
        assert "would lose its quorum" in got.err
    got = cli(f"member {command} --accept-quorum-loss demo --dry-run")
    assert got.code == 0
    assert "tolerates  0 -> NO QUORUM (1 too few)" in got.out
    assert "more failures" not in got.out


def behind(cluster: FakeCluster, then: Callable[[], None]) -> Callable[[int, Any], Reply | None]:
    """Return answers of a leader whose learner n4 does not catch up; `then` happens when it is asked for the vote."""

    def interfere(node: int, request: Any) -> Reply | None:
        if isinstance(request, wire.GetStatus):
            status = cluster.status(node)
            listed = [
                msgspec.structs.replace(m, promotable=False, match_index=0) if m.name == "n4" else m
                for m in status.members
            ]
            return wire.StatusResult(0, msgspec.structs.replace(status, members=listed))
        if isinstance(request, wire.ChangeMembers) and request.operations[0].action is wire.MemberAction.PROMOTE:
            then()
            return wire.Failed(0, wire.ErrorCode.REFUSED, "n4 has not caught up: it has entry 0 of 3")
        return None

    return interfere


@pytest.mark.parametrize("end", ["no leader", "no node"])
@pytest.mark.parametrize("seconds", [0.3, 0.5, 1.3])
def test_a_deadline_ends_an_addition_with_what_was_known_last(
    cluster: FakeCluster, cli: Cli, end: str, seconds: float
) -> None:
    """Whatever moment it strikes, and whoever leads then: the learner was added, so it is exit 7."""

    gone = threading.Event()
    answers = behind(cluster, gone.set)

    def interfere(node: int, request: Any) -> Reply | None:
        if not gone.is_set():
            return answers(node, request)
        cluster.leader = 0
        return HANG_UP if end == "no node" else None

    cluster.interfere = interfere
    got = cli(f"member add n4 --timeout {seconds}s --address", ADDRESS)
    assert got.code == 7, got.err
    assert "last known: n4 has 0 of" in got.err
    assert f"raftctl member add n4 --address {ADDRESS}" in got.err


def test_an_interrupted_addition_says_what_it_leaves_behind(cluster: FakeCluster, cli: Cli) -> None:
    """A learner, and the two ways to go on from there."""
    cluster.interfere = behind(cluster, interrupt_the_command)
    got = cli("member add n4 --timeout 20s --address", ADDRESS)
    assert got.code == 130
    assert "n4 stays a learner" in got.err
    assert f"raftctl member add n4 --address {ADDRESS}" in got.err
    assert "raftctl member remove n4" in got.err


@pytest.mark.parametrize("address", ["0.0.0.0:7001", "[::]:7001"])
@pytest.mark.parametrize("command", ["add n4", "replace n3 n4 --yes"])
def test_no_member_is_at_all_interfaces(cluster: FakeCluster, cli: Cli, command: str, address: str) -> None:
    """Exit 2, before anybody is asked."""
    got = cli(f"member {command} --address", address)
    assert got.code == 2
    assert f"no member can be at {address}" in got.err
    assert cluster.count(wire.ChangeMembers) == 0
