"""The main view: raftctl status, wait and cluster health, and the pure functions under them."""

import socket
import time

import msgspec
import pytest

from raftctl.commands.wait import parse_comparison
from raftctl.output.table import align
from raftctl.view.cluster_view import build_view, find_member, status_report
from raftnode.config.errors import UsageError
from raftnode.wire.client import GetStatus, MemberStatus, StatusResult
from tests.raftctl.conftest import Cli
from tests.support.fake_node import SILENCE, FakeCluster, Reply, make_status

MEMBERS = [
    MemberStatus(1, "n1", "10.0.0.1:1", "voter"),
    MemberStatus(2, "n2", "10.0.0.2:1", "voter", 10484, 10486, "replicate", 100, False),
    MemberStatus(3, "n3", "10.0.0.3:1", "voter", 9120, 9121, "probe", 242_000, False),
]
LEADER = make_status(
    1,
    MEMBERS,
    role="leader",
    term=12,
    leader_id=1,
    leader_address="10.0.0.1:1",
    commit_index=10485,
    applied_index=10485,
    last_log_index=10485,
)
FOLLOWER = make_status(2, MEMBERS, term=12, leader_id=1, commit_index=10485, applied_index=10484)


def test_the_table_reads_as_documented() -> None:
    """A node that does not answer is down, with its numbers from the leader's view."""
    report = status_report(build_view([LEADER, FOLLOWER]), {})
    shown = [i for i, c in enumerate(report.columns) if not c.wide]
    header = [report.columns[i].name for i in shown]
    rows = [[row[i] or "-" for i in shown] for row in report.rows]
    assert [report.title, *align([header, *rows])] == [
        "cluster demo  DEGRADED  2/3 voters up, quorum 2, tolerates 0 more failures",
        "NAME  ID  ROLE    STATE    TERM  COMMIT  APPLIED  LAG  SEEN",
        "n1    1   leader  healthy  12    10485   10485    0    -",
        "n2    2   voter   healthy  12    10485   10484    1    0.1s",
        "n3    3   voter   down     -     9120    -        -    4m2s",
    ]


def test_health_follows_from_who_is_up() -> None:
    """healthy, degraded, no-leader and no-quorum, each with its reasons."""
    third = make_status(3, MEMBERS, term=12, leader_id=1, commit_index=10485, applied_index=10485)
    heard = [MEMBERS[0], MEMBERS[1], msgspec.structs.replace(MEMBERS[2], last_contact_ms=50)]
    leader = msgspec.structs.replace(LEADER, members=heard)
    assert build_view([leader, FOLLOWER, third]).health == "healthy"
    assert build_view([LEADER, FOLLOWER]).health == "degraded"
    lost = [msgspec.structs.replace(s, leader_id=None) for s in (FOLLOWER, third)]
    assert build_view(lost).health == "no-leader"
    alone = build_view([lost[0]])
    assert (alone.health, alone.voters_up, alone.quorum, alone.tolerates) == ("no-quorum", 1, 2, 0)


def test_a_cluster_without_a_leader_says_why() -> None:
    """Who asks for votes and who refuses them, who is silent and how, and whose log is the longest."""
    asking = msgspec.structs.replace(
        FOLLOWER,
        leader_id=None,
        role="candidate",
        last_log_index=10486,
        no_leader_reason=(
            "this node asks for votes in term 12: 1 of 3 granted, 2 needed; no answer from node 3; node 1 refused: its "
            "log ends at index 10485"
        ),
    )
    refusing = msgspec.structs.replace(
        LEADER,
        role="follower",
        leader_id=None,
        no_leader_reason="no leader was heard from; this node campaigns in 0.4 s",
    )
    view = build_view([asking, refusing], {"10.0.0.3:1"}, failures={"10.0.0.3:1": "connection refused"})
    assert view.health == "no-leader"
    assert view.reasons == (
        "no node leads",
        "n2 is electing",
        "n3 is down",
        "n3 at 10.0.0.3:1: connection refused",
        "n1: no leader was heard from; it campaigns in 0.4 s",
        "n2: it asks for votes in term 12: 1 of 3 granted, 2 needed; no answer from n3; n1 refused: its log ends at "
        "index 10485",
        "n2 has the longest log: it ends at entry 10486 (n1 10485)",
    )
    assert not any("n1:" in reason for reason in build_view([LEADER, FOLLOWER]).reasons)


def test_a_stale_leader_is_not_the_leader() -> None:
    """Two nodes say that they lead: the one in the highest term does."""
    new = msgspec.structs.replace(FOLLOWER, role="leader", term=13, leader_id=2)
    view = build_view([LEADER, new])
    assert view.leader is new


def test_a_silent_member_that_the_leader_hears_is_unreachable_not_down() -> None:
    """It counts as up, unless its address refuses: then nobody listens there."""
    heard = [MEMBERS[0], MEMBERS[1], msgspec.structs.replace(MEMBERS[2], last_contact_ms=50)]
    leader = msgspec.structs.replace(LEADER, members=heard)
    assert build_view([leader, FOLLOWER]).members[2].state == "unreachable"
    assert build_view([leader, FOLLOWER], {"10.0.0.3:1"}).members[2].state == "down"


def test_a_wiped_member_is_rejected_and_does_not_count_as_up() -> None:
    """It runs and answers us, but the others refuse it: it has no vote to give, so the tolerance is without it."""
    wiped = make_status(3, MEMBERS, term=0, role="pre_candidate", counters={"dials_rejected": 105})
    view = build_view([LEADER, FOLLOWER, wiped])
    assert (view.members[2].state, view.members[2].up) == ("rejected", False)
    assert (view.voters_up, view.tolerates, view.health) == (2, 0, "degraded")
    assert view.reasons == (
        "n3 is rejected: the others refuse it, because it was wiped or replaced; remove it, then run raftnode join",
    )


def test_a_wiped_member_is_rejected_also_while_nobody_leads() -> None:
    """Both have met rejections by then: the wiped one is the one whose log is empty though entries were committed."""
    wiped = make_status(3, MEMBERS, term=0, counters={"dials_rejected": 9})
    met = msgspec.structs.replace(FOLLOWER, leader_id=None, last_log_index=10485, counters={"dials_rejected": 3})
    view = build_view([met, wiped])
    assert [m.state for m in view.members] == ["down", "healthy", "rejected"]
    assert view.health == "no-quorum"


def test_a_member_that_the_leader_does_not_hear_and_that_does_not_follow_is_isolated_and_not_up() -> None:
    """A young leader has not heard from everyone yet, and whoever follows it is not cut off."""
    alone = make_status(3, MEMBERS, term=12)
    assert [(m.state, m.up) for m in build_view([LEADER, FOLLOWER, alone]).members][2] == ("isolated", False)
    follows = msgspec.structs.replace(alone, leader_id=1, applied_index=10485)
    assert build_view([LEADER, FOLLOWER, follows]).members[2].up
    young = msgspec.structs.replace(LEADER, uptime_ms=500)
    assert build_view([young, FOLLOWER, alone]).members[2].up


def test_a_member_is_named_by_name_id_or_address() -> None:
    """Rule 10; an id wins over a name that looks like one."""
    members = build_view([LEADER]).members
    assert [m.id for which in ("n2", "2", "10.0.0.2:1") for m in find_member(members, which)] == [2, 2, 2]
    assert find_member(members, "n9") == []


def test_status_asks_every_member_from_one_endpoint(cluster: FakeCluster, cli: Cli) -> None:
    """Addresses learned from an answer extend the endpoint list."""
    got = cli("status -o json -e", cluster.nodes[2].address)
    assert got.code == 0
    assert got.json["schema"] == "raftctl.status/1"
    assert got.json["health"] == "healthy"
    assert got.json["leader"]["name"] == "n1"
    assert [m["state"] for m in got.json["members"]] == ["healthy"] * 3
    assert got.json["unanswered"] == []
    assert set(got.json["members"][0]) == {
        "id",
        "name",
        "address",
        "kind",
        "role",
        "state",
        "term",
        "commit_index",
        "applied_index",
        "match_index",
        "lag",
        "seen_ms",
        "promotable",
        "version",
        "uptime_ms",
        "snapshot_index",
    }


def test_status_shows_a_stopped_node_as_down(cluster: FakeCluster, cli: Cli) -> None:
    """And still succeeds: the verdict is cluster health's."""
    cluster.stop(3)
    assert "n3    3   voter   down" in cli("status").out
    assert cli("cluster health").code == 3
    cluster.leader = 0
    assert cli("cluster health").code == 5
    assert cli("cluster health -o json").json["health"] == "no-leader"


def test_a_healthy_cluster_is_exit_0(cluster: FakeCluster, cli: Cli) -> None:
    """cluster health: the exit code is the verdict."""
    got = cli("cluster health")
    assert (got.code, got.out, got.err) == (0, "healthy\n", "")


def test_nobody_answering_is_exit_4(cli: Cli) -> None:
    """Every address is named with its reason."""
    got = cli("status -e 127.0.0.1:1,127.0.0.1:2")
    assert got.code == 4
    assert "127.0.0.1:1: connection refused" in got.err
    assert "127.0.0.1:2: connection refused" in got.err


def test_silent_nodes_cost_one_timeout_together(cluster: FakeCluster, cli: Cli) -> None:
    """Rule 11: all are asked at the same time under one deadline."""
    cluster.interfere = lambda node, request: SILENCE if node > 1 and isinstance(request, GetStatus) else None
    got = cli("status -o json --timeout 0.2s")
    assert got.code == 0
    assert len(got.json["unanswered"]) == 2


def test_wait_returns_when_every_condition_holds(cluster: FakeCluster, cli: Cli) -> None:
    """All given conditions at once, with the time that it took."""
    cli("kv put k v")
    got = cli("wait --leader --members 3 --voters 3 --applied-to 1 --lag '<10' --health healthy -o json")
    assert got.code == 0
    assert got.json["schema"] == "raftctl.wait/1"


def test_wait_sees_a_leader_that_comes_later(cluster: FakeCluster, cli: Cli) -> None:
    """It asks again until the condition holds."""
    cluster.leader = 0

    def elect(_node: int, _request: object) -> None:
        if cluster.count(GetStatus) > 6:
            cluster.leader = 2

    cluster.interfere = elect
    assert cli("wait --leader").code == 0


def test_wait_says_what_was_missing_although_the_last_round_was_cut_short(cluster: FakeCluster, cli: Cli) -> None:
    """A member that never answers fills each round: at the timeout the others' answers still count, exit 3 not 4."""
    cluster.interfere = lambda node, request: SILENCE if node == 3 and isinstance(request, GetStatus) else None
    got = cli("wait --applied-to 99 --timeout 1.2s")
    assert got.code == 3
    assert "n1 has applied 0, not 99" in got.err


def test_a_change_that_is_not_seen_everywhere_in_time_names_who_lacks_it(
    cluster: FakeCluster, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 7, and never the text of a cluster that does not answer."""
    monkeypatch.setattr("raftctl.view.take.ROUND_S", 0.2)
    old = cluster.members

    def stay_behind(node: int, request: object) -> Reply | None:
        if node == 3 or not isinstance(request, GetStatus):
            return SILENCE if node == 3 else None
        if node == 2:
            return StatusResult(0, msgspec.structs.replace(cluster.status(2), members=old))
        return None

    cluster.interfere = stay_behind
    got = cli("member remove n3 --yes --timeout 1.2s")
    assert got.code == 7
    assert got.err.splitlines()[1] == "  not yet on n2"


def test_wait_with_no_time_looks_once(cluster: FakeCluster, cli: Cli) -> None:
    """--timeout 0 asks whether it is so now."""
    assert cli("wait --leader --timeout 0").code == 0
    cluster.leader = 0
    assert cli("wait --leader --timeout 0").code == 5


def test_a_silent_member_costs_little_once_the_leader_and_a_majority_have_answered(
    cluster: FakeCluster, cli: Cli
) -> None:
    """The leader knows how it is; the others' word is not waited for until the timeout."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        cluster.members = [*cluster.members, MemberStatus(4, "n4", address, "voter")]
        started = time.monotonic()
        got = cli("status -o json --timeout 30s")
        assert time.monotonic() - started < 10
    assert got.json["members"][3]["state"] == "unreachable"


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("--leader", 5),
        ("--members 4", 3),
        ("--applied-to 99", 3),
        ("--lag '>5'", 3),
        ("--health healthy", 3),
    ],
)
def test_wait_says_what_is_missing_at_the_timeout(cluster: FakeCluster, cli: Cli, condition: str, code: int) -> None:
    """Exit 3 for a condition that is false, 5 where a leader is what is missing."""
    cluster.leader = 0
    got = cli(f"wait {condition} --timeout 0.1s")
    assert got.code == code
    assert "still not true" in got.err


def test_wait_without_a_condition_is_a_usage_error(cluster: FakeCluster, cli: Cli) -> None:
    """Otherwise a script with an empty variable would go on at once."""
    assert cli("wait").code == 2


def test_wait_keeps_asking_while_nobody_answers(cli: Cli) -> None:
    """Nodes that are about to start are what one waits for; exit 4 only at the timeout."""
    assert cli("wait --leader --timeout 0.2s -e 127.0.0.1:1").code == 4


def test_a_comparison_reads_as_in_arithmetic() -> None:
    """The values of --lag."""
    assert [parse_comparison(text)(10) for text in ("<10", "<=10", "10", ">= 10", ">10")] == [
        False,
        True,
        True,
        True,
        False,
    ]
    with pytest.raises(UsageError):
        parse_comparison("few")


def test_a_leader_without_a_quorum_is_not_waited_for_in_vain(cluster: FakeCluster, cli: Cli) -> None:
    """wait --leader wants one that can commit: a leader that lost its voters steps down soon."""
    followers = {cluster.nodes[2].address, cluster.nodes[3].address}
    cluster.stop(2)
    cluster.stop(3)
    got = cli("wait --leader --timeout 0.1s")
    assert got.code == 5
    assert "n1 leads, but 1 voter is up and 2 are needed" in got.err
    assert all(address in cli("status -o json").out for address in followers)
    shown = cli("status")
    assert shown.out.splitlines()[0] == "cluster demo  NO QUORUM  1/3 voters up, quorum 2"
    assert shown.err.splitlines() == [
        "reason: 1 voter is up and 2 are needed",
        "reason: n2 is down",
        "reason: n3 is down",
    ]


def test_a_watch_without_a_pause_is_refused(cluster: FakeCluster, cli: Cli) -> None:
    """status --watch=0 would ask the nodes as fast as it can."""
    got = cli("status --watch=0")
    assert (got.code, got.out) == (2, "")
    assert cluster.count(GetStatus) == 0
