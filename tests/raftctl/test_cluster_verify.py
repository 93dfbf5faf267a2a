"""raftctl cluster verify: equal members are called equal, and a planted difference is found, whatever it is in."""

import itertools
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sortedcontainers import SortedList

from raftctl.inspect import comparison
from raftctl.inspect.comparison import Page, first_surplus
from raftnode.client.transport import Deadline
from raftnode.config.errors import NoLeaderError
from raftnode.core.types import EntryKind, LogEntry
from raftnode.machine.kv.machine import KvMachine
from raftnode.machine.kv.snapshot import KvSnapshot
from raftnode.storage.wal import Wal
from raftnode.wire import client as wire
from raftnode.wire import kv
from tests.raftctl.conftest import Cli
from tests.support.fake_node import CLUSTER_ID, FakeCluster, FakeNode, Reply
from tests.support.processes import running_cluster

Alter = Callable[[FakeCluster, Any], Reply | None]


def on(node_id: int, kind: type, alter: Alter) -> Callable[[FakeCluster], Callable[[int, Any], Reply | None]]:
    """Have one node answer this kind of request otherwise."""

    def plant(cluster: FakeCluster) -> Callable[[int, Any], Reply | None]:
        def interfere(node: int, request: Any) -> Reply | None:
            return alter(cluster, request) if node == node_id and isinstance(request, kind) else None

        return interfere

    return plant


def other_entry(index: int, **fields: Any) -> Alter:
    """Answer GetLog with another entry at this index."""

    def alter(cluster: FakeCluster, request: Any) -> Reply:
        answer = cluster._read_log(request)
        assert isinstance(answer, wire.LogResult)
        entries = [
            wire.LogEntryView(msgspec.structs.replace(v.entry, **fields), v.summary) if v.entry.index == index else v
            for v in answer.entries
        ]
        return msgspec.structs.replace(answer, entries=entries)

    return alter


Keys = dict[bytes, kv.KeyValue]


def other_keys(change: Callable[[Keys], Keys]) -> Alter:
    """Answer a local read from a store with other keys."""

    def alter(cluster: FakeCluster, request: Any) -> Reply:
        keys = change(dict(page_of(cluster.machine, 0).items))
        machine = KvMachine()
        machine.restore(KvSnapshot(cluster.machine.revision, keys, SortedList(keys)))
        return wire.ReadResult(0, len(cluster.log), machine.query(request.query))

    return alter


def replaced(keys: Keys, key: bytes, **fields: Any) -> Keys:
    """Return the keys with other fields of one."""
    return keys | {key: msgspec.structs.replace(keys[key], **fields)}


def without(keys: Keys, key: bytes) -> Keys:
    """Return the keys but one."""
    return {k: item for k, item in keys.items() if k != key}


def other_status(**fields: Any) -> Alter:
    """Answer GetStatus with other values."""
    return lambda cluster, _request: wire.StatusResult(0, msgspec.structs.replace(cluster.status(3), **fields))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits twice and then no more, as if the time were over. So no outcome depends on how fast the machine is."""
    real, pauses = Deadline.pause, itertools.count(1)
    monkeypatch.setattr(Deadline, "pause", lambda self, *seconds: real(self, *seconds) and next(pauses) < 3)


@pytest.fixture
def written(cluster: FakeCluster, cli: Cli) -> FakeCluster:
    """Three nodes that hold twelve keys."""
    for number in range(12):
        assert cli(f"kv put k{number:02d} v").code == 0
    return cluster


def test_members_that_hold_the_same_are_equal(written: FakeCluster, cli: Cli) -> None:
    """Exit 0, with what was compared and its digests; -o name is the verdict."""
    got = cli("cluster verify -o json")
    assert (got.code, got.err) == (0, "")
    record = got.json
    assert record["schema"] == "raftctl.cluster.verify/1"
    assert (record["verdict"], record["index"], record["differences"]) == ("equal", 12, [])
    assert (record["log"]["first"], record["log"]["last"]) == (1, 12)
    assert (record["keys"]["count"], record["keys"]["index"]) == (12, 12)
    assert len(record["log"]["sha256"]) == len(record["keys"]["sha256"]) == 64
    assert {m["verdict"] for m in record["members"]} == {"equal"}
    assert set(record["members"][0]) == {
        "id",
        "name",
        "address",
        "role",
        "verdict",
        "unchecked_because",
        "term",
        "commit_index",
        "applied_index",
        "configuration_index",
        "instance_id",
    }
    assert cli("cluster verify -o name").out == "equal\n"
    first, log, keys, header, *rows = cli("cluster verify").out.splitlines()
    assert first == "cluster demo  EQUAL  3 of 3 members are checked and equal up to entry 12"
    assert "entries 1 to 12, sha256 " in log
    assert "12 at entry 12, sha256 " in keys
    assert header.split()[:4] == ["NAME", "ID", "ROLE", "VERDICT"]
    assert [row.split()[:4] for row in rows] == [
        ["n1", "1", "leader", "equal"],
        ["n2", "2", "voter", "equal"],
        ["n3", "3", "voter", "equal"],
    ]


@pytest.mark.parametrize("page", [1, 5, 1000])
@pytest.mark.parametrize("fields", [{"data": b"other"}, {"term": 6}, {"kind": EntryKind.NOOP}])
def test_another_entry_on_one_member_is_found(
    written: FakeCluster, cli: Cli, monkeypatch: pytest.MonkeyPatch, page: int, fields: dict[str, Any]
) -> None:
    """Exit 3: which member, from which index on, and what to do; on whatever page it is."""
    monkeypatch.setattr(comparison, "LOG_PAGE", page)
    written.interfere = on(3, wire.GetLog, other_entry(8, **fields))(written)
    got = cli("cluster verify -o json")
    assert got.code == 3
    (difference,) = got.json["differences"]
    assert (difference["what"], difference["members"], difference["index"]) == ("log", ["n3"], 8)
    assert [m["verdict"] for m in got.json["members"]] == ["equal", "equal", "differs"]
    assert got.json["log"]["sha256"] is None
    assert '"code":"E_DIFFERENT"' in got.err
    told = cli("cluster verify")
    assert told.err.splitlines()[0] == "error: n3 differs from the other members  [E_DIFFERENT, exit 3]"
    assert "look at both: raftctl log range 8 8 --node n3; raftctl log range 8 8 --node n1. " in told.err
    assert "raftctl member replace n3 NEW --address HOST:PORT --yes" in told.err
    assert cli("log range 8 8 --node n3").code == 0


def test_a_leader_that_differs_from_most_is_the_one_that_differs(written: FakeCluster, cli: Cli) -> None:
    """What most hold is what counts; the leader's entry where none is held by more."""
    written.interfere = on(1, wire.GetLog, other_entry(2, data=b"x"))(written)
    assert cli("cluster verify -o json").json["differences"][0]["members"] == ["n1"]


@pytest.mark.parametrize("page", [1, 5, 1000])
@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("k03", lambda keys: replaced(keys, b"k03", value=b"w")),
        ("k03", lambda keys: replaced(keys, b"k03", version=2)),
        ("k03", lambda keys: without(keys, b"k03")),
        ("k02x", lambda keys: keys | {b"k02x": kv.KeyValue(b"k02x", b"v", 3, 3, 1)}),
    ],
)
def test_another_key_on_one_member_is_found(
    written: FakeCluster, cli: Cli, monkeypatch: pytest.MonkeyPatch, page: int, key: str, change: Any
) -> None:
    """Exit 3, with the first key, also where the logs are equal: another value, version, a lost or surplus key."""
    monkeypatch.setattr(comparison, "KEYS_PAGE", page)
    written.interfere = on(2, wire.Read, other_keys(change))(written)
    got = cli("cluster verify -o json")
    assert got.code == 3
    (difference,) = got.json["differences"]
    assert (difference["what"], difference["members"], difference["key"]) == ("keys", ["n2"], key)


def write_at_every_read(cluster: FakeCluster, planted: Alter | None = None) -> Callable[[int, Any], Reply | None]:
    """Change keys between any two readings: no two members are ever read at the same entry."""
    chance = random.Random(5)

    def interfere(node: int, request: Any) -> Reply | None:
        if not isinstance(request, wire.Read):
            return None
        key = b"k%02d" % chance.randrange(4, 20)
        command = kv.encode(kv.Delete(key) if chance.random() < 0.4 else kv.Put(key, b"%d" % chance.randrange(9)))
        cluster.machine.apply(cluster.append(command, "a write"), command)
        return planted(cluster, request) if planted is not None and node == 3 else None

    return interfere


def test_writes_that_go_on_are_no_difference(written: FakeCluster, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each member is read between two readings of the leader; there is then no digest of one moment."""
    monkeypatch.setattr(comparison, "KEYS_PAGE", 3)
    written.interfere = write_at_every_read(written)
    got = cli("cluster verify -o json")
    assert (got.code, got.json["verdict"]) == (0, "equal")
    assert (got.json["keys"]["index"], got.json["keys"]["sha256"]) == (None, None)
    assert "read while they changed" in cli("cluster verify").out


def test_a_difference_is_found_while_writes_go_on(written: FakeCluster, cli: Cli) -> None:
    """A key that nobody writes differs on one member."""
    lost = other_keys(lambda keys: without(keys, b"k01"))
    written.interfere = write_at_every_read(written, lost)
    got = cli("cluster verify -o json")
    assert got.code == 3
    assert [(d["members"], d["key"]) for d in got.json["differences"]] == [(["n3"], "k01")]


def page_of(machine: KvMachine, applied: int) -> Page:
    """Return all keys of a machine."""
    result = kv.decode_result(machine.query(kv.encode(kv.List(b""))))
    assert isinstance(result, kv.ListResult)
    return Page(applied, {item.key: item for item in result.items}, None)


@pytest.mark.parametrize("seed", range(40))
def test_a_sandwiched_reading_differs_exactly_where_something_was_planted(seed: int) -> None:
    """Equal machines at three moments never differ; a changed, lost or surplus key that is not overwritten always."""
    chance = random.Random(seed)
    leader, member = KvMachine(), KvMachine()
    pages: list[Page] = []
    for index in range(1, 100):
        key = b"k%d" % chance.randrange(12)
        command = kv.encode(kv.Delete(key) if chance.random() < 0.3 else kv.Put(key, b"%d" % chance.randrange(3)))
        for machine in (leader, member):
            machine.apply(index, command)
        if index in (50, 60, 70):
            pages.append(page_of(member if index == 60 else leader, index))
    before, between, after = pages
    assert first_surplus(before, between, None) is None
    assert first_surplus(between, after, None) is None
    still = [i for k, i in after.items.items() if i.mod_revision <= 50]
    items = dict(between.items)
    for item in still:
        assert first_surplus(Page(60, without(items, item.key), None), after, None) == item.key
        assert first_surplus(before, Page(60, replaced(items, item.key, value=b"?"), None), None) == item.key
    for revision in (7, 99):
        surplus = Page(60, items | {b"zz": kv.KeyValue(b"zz", b"", revision, revision, 1)}, None)
        assert first_surplus(before, surplus, None) == b"zz"
    assert first_surplus(before, surplus, b"k9") is None


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"term": 6}, "term"),
        ({"configuration_index": 4}, "configuration"),
        ({"members": []}, "configuration"),
        ({"joint": True}, "configuration"),
        ({"instance_id": "instance-1"}, "instance_id"),
    ],
)
def test_what_the_statuses_tell_is_compared(written: FakeCluster, cli: Cli, fields: dict[str, Any], what: str) -> None:
    """Exit 3: a term or a configuration that stays another one, a copied data directory."""

    def interfere(node: int, request: Any) -> Reply | None:
        if not isinstance(request, wire.GetStatus):
            return None
        values = {"configuration_index": 2} | (fields if node == 3 else {})
        return wire.StatusResult(0, msgspec.structs.replace(written.status(node), **values))

    written.interfere = interfere
    got = cli("cluster verify -o json")
    assert got.code == 3
    (difference,) = got.json["differences"]
    assert difference["what"] == what
    assert "n3" in difference["members"]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("index", "first"), [(0, 1), (9, 10), (12, 13)])
def test_a_node_that_began_with_a_snapshot_has_its_configuration_from_there(
    written: FakeCluster, cli: Cli, index: int, first: int
) -> None:
    """The same members under the snapshot's index are no difference: the entry is in no log any longer."""
    written.interfere = on(3, wire.GetStatus, other_status(configuration_index=index, first_log_index=first))(written)
    assert cli("cluster verify").code == 0


def test_what_settles_within_the_timeout_is_no_difference(written: FakeCluster, cli: Cli) -> None:
    """A member that is a moment behind is waited for."""
    asked: list[Any] = []

    def behind_at_first(cluster: FakeCluster, request: Any) -> Reply:
        asked.append(request)
        late = {"applied_index": 3, "term": 6} if len(asked) < 3 else {}
        return other_status(**late)(cluster, request)  # type: ignore[return-value]  # it always answers

    written.interfere = on(3, wire.GetStatus, behind_at_first)(written)
    assert cli("cluster verify").code == 0
    assert len(asked) >= 3


def test_what_all_have_when_the_last_has_caught_up_is_compared(written: FakeCluster, cli: Cli) -> None:
    """The cluster goes on while a member is waited for, and may discard what was committed in the beginning."""
    asked = Counter[int]()

    def interfere(node: int, request: Any) -> Reply | None:
        if not isinstance(request, wire.GetStatus):
            return None
        asked[node] += 1
        if asked[node] > 2 or node == 2:
            return None
        if node == 3:
            return other_status(applied_index=3)(written, request)
        for _ in range(20):
            written.append(b"more", "a write")
        written.first_log_index = len(written.log) - 3
        return None

    written.interfere = interfere
    record = cli("cluster verify -o json").json
    assert record["verdict"] == "equal"
    assert 12 < record["log"]["first"] <= record["log"]["last"] == record["index"]


@pytest.mark.usefixtures("impatient")
def test_a_member_that_stays_behind_is_unchecked(written: FakeCluster, cli: Cli) -> None:
    """Exit 4: it is not called equal."""
    written.interfere = on(3, wire.GetStatus, other_status(applied_index=3))(written)
    got = cli("cluster verify -o json")
    assert got.code == 4
    assert got.json["verdict"] == "unchecked"
    assert [m["verdict"] for m in got.json["members"]] == ["equal", "equal", "unchecked"]
    assert got.json["members"][2]["unchecked_because"] == "n3 has applied 3 of the 12 entries"
    assert '"code":"E_UNCHECKED"' in got.err


def test_a_member_that_is_down_is_unchecked(written: FakeCluster, cli: Cli) -> None:
    """Exit 4, at once; the others are compared nevertheless, and a difference among them is exit 3."""
    written.stop(3)
    got = cli("cluster verify")
    assert got.code == 4
    assert got.out.startswith("cluster demo  UNCHECKED  2 of 3 members are checked and equal up to entry 12\n")
    assert "n3: it is down" in got.err
    written.interfere = on(2, wire.GetLog, other_entry(2, data=b"x"))(written)
    got = cli("cluster verify")
    assert got.code == 3
    assert "not checked: n3: it is down" in got.err


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("kind", "answer", "reason"),
    [
        (wire.GetLog, wire.Failed(0, wire.ErrorCode.INTERNAL, "the disk said no"), "the disk said no"),
        (wire.GetLog, wire.LogResult(0, [], 12, 1), "that do not begin at 1"),
        (wire.GetLog, wire.LogResult(0, [wire.LogEntryView(LogEntry(7, 2, b""), "")], 12, 1), "that do not begin at 1"),
        (wire.GetLog, wire.Failed(0, wire.ErrorCode.COMPACTED, "gone", detail=1), "gone"),
        (wire.GetLog, wire.Failed(0, wire.ErrorCode.BUSY, "later"), "busy"),
        (wire.Read, wire.ReadResult(0, 12, b"\xc1"), "key-value result"),
        (wire.Read, wire.ReadResult(0, 12, kv.encode(kv.BadCommand("no"))), "no list of its keys"),
        (wire.Read, wire.Failed(0, wire.ErrorCode.BAD_REQUEST, "no such query"), "no such query"),
    ],
)
def test_a_member_that_cannot_be_read_to_the_end_is_unchecked(
    written: FakeCluster, cli: Cli, kind: type, answer: wire.Answer, reason: str
) -> None:
    """Exit 4, with the reason: nothing that was not compared counts as equal."""
    written.interfere = on(2, kind, lambda _cluster, _request: answer)(written)
    got = cli("cluster verify -o json")
    assert got.code == 4
    assert [m["verdict"] for m in got.json["members"]] == ["equal", "unchecked", "equal"]
    assert reason in got.json["members"][1]["unchecked_because"]


@pytest.mark.usefixtures("impatient")
def test_a_leader_that_goes_while_keys_are_read_is_unchecked_and_the_others_compared(
    written: FakeCluster, cli: Cli
) -> None:
    """Another member takes its place as what is compared with."""
    busy = wire.Failed(0, wire.ErrorCode.BUSY, "later")
    written.interfere = on(1, wire.Read, lambda _cluster, _request: busy)(written)
    got = cli("cluster verify -o json")
    assert got.code == 4
    assert [m["verdict"] for m in got.json["members"]] == ["unchecked", "equal", "equal"]
    assert got.json["keys"]["count"] == 12


def test_without_a_leader_it_is_exit_5(cluster: FakeCluster, cli: Cli) -> None:
    """And 4 where nobody answers."""
    cluster.leader = 0
    assert cli("cluster verify --timeout 0.3s").code == NoLeaderError.exit_code
    for node in (1, 2, 3):
        cluster.stop(node)
    assert cli("cluster verify --timeout 0.3s").code == 4


def test_no_node_is_compared_in_the_place_of_another(written: FakeCluster, cli: Cli) -> None:
    """A member whose address leads to another node is unchecked, although both answer somewhere."""
    written.members[2] = msgspec.structs.replace(written.members[2], address=written.nodes[2].address)
    got = cli("cluster verify -o json")
    assert got.code == 4
    assert [m["verdict"] for m in got.json["members"]].count("unchecked") == 1
    written.members[1] = msgspec.structs.replace(written.members[1], address=written.nodes[3].address)
    got = cli("cluster verify -o json")
    assert [m["unchecked_because"] for m in got.json["members"]] == [
        None,
        f"node 3 answers at its address {written.nodes[3].address}",
        f"node 2 answers at its address {written.nodes[2].address}",
    ]


def test_members_of_one_name_are_told_apart_by_their_ids(written: FakeCluster, cli: Cli) -> None:
    """Rule 10: commands take the id as well."""
    written.members[1] = msgspec.structs.replace(written.members[1], name="n3")
    written.interfere = on(3, wire.GetLog, other_entry(8, data=b"x"))(written)
    got = cli("cluster verify -o json")
    assert [(m["name"], m["verdict"]) for m in got.json["members"]] == [
        ("n1", "equal"),
        ("2", "equal"),
        ("3", "differs"),
    ]
    assert "raftctl log range 8 8 --node 3" in got.err


def test_another_cluster_at_a_members_address_is_a_difference(written: FakeCluster, cli: Cli) -> None:
    """Exit 3: the cluster ids differ, and nothing of the stranger is compared."""
    with FakeNode(lambda _request: "", cluster_id="another") as stranger:
        written.members[2] = msgspec.structs.replace(written.members[2], address=stranger.address)
        got = cli(f"cluster verify -e {written.nodes[1].address} --cluster-id {CLUSTER_ID} -o json")
    assert got.code == 3
    assert [(d["what"], d["members"]) for d in got.json["differences"]] == [("cluster_id", ["n3"])]


def test_entries_that_are_discarded_meanwhile_are_left_out(written: FakeCluster, cli: Cli) -> None:
    """The log is compared from where every member still has it; the keys cover what was before."""

    def compact(cluster: FakeCluster, _request: Any) -> Reply | None:
        cluster.first_log_index = 5
        return None

    written.interfere = on(2, wire.GetLog, compact)(written)
    got = cli("cluster verify -o json")
    assert (got.code, got.json["log"]["first"]) == (0, 5)
    whole = cli("cluster verify -o json").json
    assert whole["log"] == got.json["log"]
    written.first_log_index = 13
    written.interfere = lambda _node, _request: None
    got = cli("cluster verify")
    assert got.code == 0
    assert "no entry up to 12 is left in all logs" in got.out


def test_where_all_that_was_to_be_compared_is_discarded_meanwhile_later_entries_are(
    written: FakeCluster, cli: Cli
) -> None:
    """On a busy cluster the log moves on while it is read: what all have by then is compared, and differs or not."""

    def move_on(cluster: FakeCluster, _request: Any) -> Reply | None:
        if len(cluster.log) == 12:
            for _ in range(18):
                cluster.append(b"later", "a write")
            cluster.first_log_index = 20
        return None

    written.interfere = on(2, wire.GetLog, move_on)(written)
    got = cli("cluster verify -o json")
    assert (got.code, got.json["log"]["first"], got.json["log"]["last"]) == (0, 20, 30)
    written.interfere = on(3, wire.GetLog, other_entry(25, data=b"x"))(written)
    assert cli("cluster verify -o json").json["differences"][0]["index"] == 25


def test_a_log_that_is_discarded_faster_than_it_is_read_is_not_chased_for_ever(written: FakeCluster, cli: Cli) -> None:
    """--timeout is how long a member may take for its next page; without one it was not checked."""

    def run_away(cluster: FakeCluster, request: wire.GetLog) -> Reply:
        for _ in range(2):
            cluster.append(b"later", "a write")
        cluster.first_log_index = len(cluster.log)
        return wire.Failed(0, wire.ErrorCode.COMPACTED, "compacted", detail=request.first + 1)

    written.interfere = on(2, wire.GetLog, run_away)(written)
    got = cli("cluster verify --timeout 300ms -o json")
    assert got.code == 4
    assert got.json["members"][1]["unchecked_because"] == "for 0.3 s it discarded its log faster than it could be read"
    assert got.json["verdict"] == "unchecked"


@pytest.mark.processes
def test_a_real_cluster_is_equal_until_an_entry_is_changed_on_one_disk(tmp_path: Path) -> None:
    """Equal while clients write; then one member's log gets other bytes under the same term, which Raft cannot see."""
    with running_cluster(tmp_path) as cluster:
        cluster.raftctl("kv", "put", "first", "true")
        load = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "raftctl.main",
                "cluster",
                "bench",
                "--connections",
                "4",
                "--seconds",
                "2",
                "-e",
                cluster.endpoints[0],
            ],
            stdout=subprocess.DEVNULL,
        )
        try:
            done = cluster.raftctl("cluster", "verify")
            assert "  EQUAL  3 of 3 members are checked and equal" in done.stdout
        finally:
            assert load.wait(60) == 0
        leader = cluster.wait_leader()
        victim = next(name for name in cluster.names if name != leader)
        cluster.raftctl("snapshot", "trigger", "--all")
        assert cluster.stop(victim) == 0
        cluster.start(victim)
        cluster.wait_follows(victim)
        done = cluster.raftctl("cluster", "verify")
        assert "  EQUAL  3 of 3 members are checked and equal" in done.stdout, "also one that began with a snapshot"
        assert cluster.stop(victim) == 0
        index = falsify(cluster.data_dir(victim) / "wal")
        cluster.start(victim)
        cluster.wait_follows(victim)
        done = cluster.raftctl("cluster", "verify", check=False)
    assert done.returncode == 3, done.stdout + done.stderr
    assert f"{victim} differs from the other members" in done.stderr
    assert f"entry {index}: " in done.stderr


def falsify(path: Path) -> int:
    """Put other data under the term and index of a command in the middle of a log; return its index."""
    wal = Wal.open(path)
    entries = list(wal.load_entries_after(wal.first_index - 1))
    commands = [e for e in entries if e.kind is EntryKind.COMMAND and b"true" in e.data]
    chosen = commands[0]
    wal.truncate(chosen.index)
    wal.append(
        [
            msgspec.structs.replace(chosen, data=chosen.data.replace(b"true", b"lies")),
            *(e for e in entries if e.index > chosen.index),
        ]
    )
    wal.sync()
    wal.close()
    return chosen.index
