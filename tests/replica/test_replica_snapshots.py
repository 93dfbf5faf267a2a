"""Snapshots: when they are taken, how they reach others, and what a crash between any two steps leaves."""

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from raftnode.config.settings import ReplicaSettings
from raftnode.core.errors import StorageError
from raftnode.core.messages import InstallSnapshotRequest, InstallSnapshotResponse
from raftnode.core.types import NodeRole
from raftnode.replica import snapshot_transfer as transfers
from raftnode.storage.snapshot_file import StoredSnapshot
from raftnode.wire import client as wire
from raftnode.wire.frame import encode_frame
from tests.support.filesystem import SimulatedCrash
from tests.support.replicas import (
    DATA,
    SETTINGS,
    Client,
    Cluster,
    Frame,
    add_learner,
    change,
    first_configuration,
    increment,
    local_value,
    put,
    remove,
)

COMPACT = replace(SETTINGS, snapshot_entries=20, snapshot_trailing=0)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send snapshots in many pieces."""
    monkeypatch.setattr(transfers, "CHUNK_BYTES", 50)


def fill(cluster: Cluster, client: Client, leader: int, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        assert isinstance(client.ask(leader, put(client, b"k%d" % number, b"v%d" % number)), wire.Written)


def trigger(client: Client, node: int) -> wire.SnapshotTaken:
    answer = client.ask(node, wire.TriggerSnapshot(client.next_id()))
    assert isinstance(answer, wire.SnapshotTaken), answer
    return answer


def lag(cluster: Cluster, client: Client, entries: int = 50) -> tuple[int, int]:
    """Stop a follower, go on without it until its entries are compacted; return (leader, follower), both stopped
    from talking no more."""
    leader = cluster.leader()
    cluster.settle()
    victim = cluster.followers(leader)[0]
    cluster.kill(victim)
    fill(cluster, client, leader, entries)
    assert cluster.replica(leader).node.log_snapshot_index > 10
    return leader, victim


def chunk_of(packet: Frame) -> InstallSnapshotRequest | None:
    message = packet.message
    return message if isinstance(message, InstallSnapshotRequest) else None


def test_a_snapshot_is_taken_on_request_and_listed() -> None:
    """On any node; a second one with nothing new says so."""
    cluster = Cluster()
    leader = cluster.leader()
    client = cluster.client()
    fill(cluster, client, leader, 5)
    cluster.settle()
    for node in (1, 2, 3):
        taken = trigger(client, node)
        assert taken.changed
        assert taken.snapshot.index == cluster.replica(node).node.last_applied
        assert taken.snapshot.voters == [1, 2, 3]
        assert not trigger(client, node).changed
        listed = client.ask(node, wire.ListSnapshots(client.next_id()))
        assert isinstance(listed, wire.SnapshotsResult)
        assert [found.index for found in listed.snapshots] == [taken.snapshot.index]
    fill(cluster, client, leader, 1, first=5)
    assert trigger(client, leader).changed


def test_a_node_with_nothing_applied_has_no_snapshot_to_take() -> None:
    """It says so, and does not fail."""
    cluster = Cluster()
    client = cluster.client()
    assert isinstance(client.ask(1, wire.TriggerSnapshot(client.next_id())), wire.Failed)


def test_snapshots_are_taken_by_entries_and_keep_the_trailing_ones() -> None:
    """Every `snapshot_entries`, and the log keeps `snapshot_trailing` entries before it."""
    cluster = Cluster(1, settings=ReplicaSettings(snapshot_entries=10, snapshot_bytes=0, snapshot_trailing=3))
    leader = cluster.leader()
    client = cluster.client()
    fill(cluster, client, leader, 9)
    status = cluster.replica(1).status()
    assert (status.snapshot_index, status.first_log_index) == (10, 8)
    fill(cluster, client, leader, 10)
    assert cluster.replica(1).status().snapshot_index == 20


def test_all_nodes_take_the_same_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the same entries, and equal to the byte up to the trailer, whatever each applied while it wrote them."""
    monkeypatch.setattr(transfers, "STEP_SECONDS", -1.0)
    cluster = Cluster(settings=replace(COMPACT, snapshot_entries=40), seed=7)
    client = cluster.client()
    leader = cluster.leader()
    cluster.network.delay = (0.0005, 0.02)
    for number in range(200):
        # Many at once: the nodes apply in batches of different sizes.
        key = b"k%d" % cluster.rng.randrange(60)
        client.send(leader, increment(client, b"n") if number % 5 == 0 else put(client, key, b"%d" % number * 2000))
        cluster.run_for(0.001)
    cluster.settle()
    cluster.run_for(1.0)
    for node in (1, 2, 3):
        assert cluster.nodes[node].event_types().count("snapshot.taken") == 5
    stores = [cluster.replica(node).snapshot_store.list() for node in (1, 2, 3)]
    assert [[stored.index for stored in store] for store in stores] == [[200, 160]] * 3
    for copies in zip(*stores, strict=True):
        files = {cluster.nodes[node].fs.contents(stored.path)[:-32] for node, stored in enumerate(copies, 1)}
        assert len(files) == 1
        assert len({stored.checksum for stored in copies}) == 1
        assert copies[0].size_bytes > 200_000


def test_a_snapshot_that_missed_its_turn_is_taken_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here one takes so long that two turns pass. The one after that is on time again."""
    cluster = Cluster(1, settings=ReplicaSettings(snapshot_entries=10, snapshot_bytes=0, snapshot_trailing=3))
    leader = cluster.leader()
    client = cluster.client()
    with monkeypatch.context() as slow:
        slow.setattr(transfers.SnapshotTaking, "step", lambda taking, clock: None)
        fill(cluster, client, leader, 32)
        assert cluster.replica(1).status().snapshot_index == 0
    fill(cluster, client, leader, 3)
    newest, *older = [stored.index for stored in cluster.replica(1).snapshot_store.list()]
    assert older == [10]
    assert 33 <= newest < 36
    fill(cluster, client, leader, 5)
    assert cluster.replica(1).status().snapshot_index == 40


def test_snapshots_are_taken_by_bytes() -> None:
    """After `snapshot_bytes` of applied commands."""
    cluster = Cluster(1, settings=ReplicaSettings(snapshot_entries=0, snapshot_bytes=10_000, snapshot_trailing=3))
    leader = cluster.leader()
    client = cluster.client()
    for _ in range(4):
        client.ask(leader, put(client, b"k", bytes(3000)))
    cluster.run_for(0.1)
    assert cluster.replica(1).status().snapshot_index == 5
    for count in (5, 5, 5, 9):
        client.ask(leader, put(client, b"k", bytes(3000)))
        cluster.run_for(0.1)
        assert cluster.replica(1).status().snapshot_index == count


def test_writes_go_on_while_a_snapshot_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds the state at its index, and the turns in between answer requests."""
    cluster = Cluster(1)
    leader = cluster.leader()
    client = cluster.client()
    for number in range(40):
        client.ask(leader, put(client, b"k%d" % number, bytes(20_000)))
    index = cluster.replica(1).node.last_applied
    monkeypatch.setattr(transfers, "STEP_SECONDS", 0.0)
    at = client.send(1, wire.TriggerSnapshot(client.next_id()))
    fill(cluster, client, leader, 3, first=100)
    assert client.answer(at) is None, "the snapshot was taken in one piece"
    cluster.run_until(lambda: client.answer(at))
    taken = client.answer(at)
    assert isinstance(taken, wire.SnapshotTaken)
    assert taken.snapshot.index == index
    cluster.crash(1, keep=lambda piece: False)
    cluster.restart(1)
    cluster.leader()
    assert local_value(cluster, 1, b"k102") == b"v102"


@pytest.mark.usefixtures("small_chunks")
def test_a_follower_behind_the_log_gets_a_snapshot_in_chunks() -> None:
    """Then the log goes on from it."""
    cluster = Cluster(settings=COMPACT)
    client = cluster.client()
    leader, victim = lag(cluster, client)
    chunks: list[int] = []
    cluster.network.drop = lambda packet: bool(
        (chunk := chunk_of(packet)) and chunks.append(chunk.offset)  # type: ignore[func-returns-value]
    )
    cluster.restart(victim)
    cluster.settle()
    assert len(chunks) > 5
    assert chunks == sorted(set(chunks)), "each chunk is sent once, in order"
    assert local_value(cluster, victim, b"k0") == b"v0"
    assert local_value(cluster, victim, b"k49") == b"v49"
    assert "snapshot.sent" in cluster.nodes[leader].event_types()


@pytest.mark.usefixtures("small_chunks")
def test_a_new_learner_gets_a_snapshot() -> None:
    """Its log begins after it."""
    cluster = Cluster(settings=COMPACT)
    client = cluster.client()
    leader = cluster.leader()
    fill(cluster, client, leader, 50)
    added = client.ask(leader, change(client, add_learner(4)))
    assert isinstance(added, wire.MembersChanged)
    cluster.join(4, added.members)
    cluster.settle()
    assert local_value(cluster, 4, b"k0") == b"v0"
    assert cluster.replica(4).node.log_snapshot_index > 0


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("seed", range(5))
def test_a_transfer_goes_on_after_lost_doubled_and_reordered_chunks(seed: int) -> None:
    """Whatever the network does, the snapshot arrives whole."""
    cluster = Cluster(settings=COMPACT, seed=seed)
    client = cluster.client()
    _, victim = lag(cluster, client)
    cluster.restart(victim)
    cluster.network.delay = (0.0005, 0.01)
    cluster.network.duplication = 0.2
    cluster.network.loss = 0.1
    cluster.run_until(lambda: "snapshot.installed" in cluster.nodes[victim].event_types(), 120.0)
    cluster.network.heal()
    cluster.settle()
    assert local_value(cluster, victim, b"k49") == b"v49"


@pytest.mark.usefixtures("small_chunks")
def test_a_transfer_goes_on_where_it_was_after_a_reconnect() -> None:
    """The chunks that arrived are not sent again."""
    cluster = Cluster(settings=COMPACT)
    client = cluster.client()
    leader, victim = lag(cluster, client)
    sent: list[int] = []
    cut = [False]

    def look(packet: Frame) -> bool:
        chunk = chunk_of(packet)
        if chunk is None:
            return False
        sent.append(chunk.offset)
        if chunk.offset >= 500 and not cut[0]:
            cut[0] = True
            cluster.disconnect(leader, victim)
            return True
        return False

    cluster.network.drop = look
    cluster.restart(victim)
    cluster.settle()
    assert cut[0]
    assert sent.count(0) == sent.count(50) == 1
    assert sent.count(500) == 2


class HalfATransfer:
    """A follower that has the first bytes of a snapshot when its leader is gone: the third node leads next."""

    reached = 500

    def __init__(self) -> None:
        self.cluster = Cluster(settings=COMPACT)
        self.client = self.cluster.client()
        self.leader, self.victim = lag(self.cluster, self.client)
        self.cluster.settle()
        self.other = next(node for node in self.cluster.followers(self.leader) if node != self.victim)
        self.chunks: list[tuple[int, int, int]] = []
        """(source, offset, bytes) of each chunk that was sent."""

    def send_half(self) -> None:
        """Let the first leader send until `reached`; nothing beyond that leaves it."""
        cluster = self.cluster
        cluster.network.drop = self._look
        cluster.restart(self.victim)
        cluster.run_until(lambda: any(offset == self.reached for _, offset, _ in self.chunks))
        assert {source for source, _, _ in self.chunks} == {self.leader}

    def _look(self, packet: Frame) -> bool:
        chunk = chunk_of(packet)
        if chunk is None:
            return False
        self.chunks.append((packet.source, chunk.offset, len(chunk.data)))
        return packet.source == self.leader and chunk.offset >= self.reached

    def finish(self) -> list[tuple[int, int]]:
        """Go on without the first leader. Return the (offset, bytes) that the next one sent."""
        self.cluster.settle(60)
        assert self.cluster.leading() == self.other
        return [(offset, size) for source, offset, size in self.chunks if source == self.other]

    def newest_of(self, node: int) -> StoredSnapshot:
        """Return a node's newest snapshot."""
        found = self.cluster.replica(node).snapshots.newest
        assert found is not None
        return found


@pytest.mark.usefixtures("small_chunks")
def test_the_next_leader_goes_on_with_a_transfer_where_the_last_one_stopped() -> None:
    """Its snapshot of the same entry is the same file: after one chunk, to ask, it sends only what is missing."""
    half = HalfATransfer()
    size = half.newest_of(half.other).size_bytes
    assert half.newest_of(half.other).checksum == half.newest_of(half.leader).checksum
    half.send_half()
    half.cluster.kill(half.leader)
    sent = half.finish()
    assert sent[:2] == [(0, 50), (half.reached, 50)]
    assert sum(count for _, count in sent) == 50 + size - half.reached
    assert local_value(half.cluster, half.victim, b"k0") == b"v0"
    assert local_value(half.cluster, half.victim, b"k49") == b"v49"
    assert half.cluster.nodes[half.victim].event_types().count("snapshot.installed") == 1


@pytest.mark.usefixtures("small_chunks")
def test_a_transfer_goes_on_after_leadership_was_handed_over() -> None:
    """The old leader stops sending, and the new one has the rest."""
    half = HalfATransfer()
    half.send_half()
    answer = half.client.ask(half.leader, wire.TransferLeadership(half.client.next_id(), half.other), timeout=3.0)
    assert isinstance(answer, wire.LeadershipTransferred)
    assert half.finish()[:2] == [(0, 50), (half.reached, 50)]
    assert local_value(half.cluster, half.victim, b"k49") == b"v49"
    assert not half.cluster.replica(half.leader).snapshots.sending_to


@pytest.mark.usefixtures("small_chunks")
def test_the_next_leader_begins_anew_where_its_snapshot_is_another() -> None:
    """The chunks of two files are not mixed."""
    half = HalfATransfer()
    assert trigger(half.client, half.other).changed
    size = half.newest_of(half.other).size_bytes
    half.send_half()
    half.cluster.kill(half.leader)
    sent = half.finish()
    assert [offset for offset, _ in sent] == list(range(0, size, 50))
    assert local_value(half.cluster, half.victim, b"k49") == b"v49"


@pytest.mark.usefixtures("small_chunks")
def test_a_mixture_of_two_snapshots_of_one_name_is_found_and_the_transfer_begins_again() -> None:
    """Should a leader have another file than its checksum says, nothing of the mixture is put in force."""
    half = HalfATransfer()
    told = half.newest_of(half.other)
    store = half.cluster.replica(half.other).snapshot_store
    chunks = [chunk.replace(b"v10", b"w10") for chunk in store.chunks(told)]
    half.cluster.nodes[half.other].fs.remove(told.path)
    writer = store.writer(told.index, told.term, told.configuration)
    for chunk in chunks:
        writer.write(chunk)
    assert writer.finish().checksum != told.checksum
    half.send_half()
    half.cluster.kill(half.leader)
    sent = half.finish()
    assert [offset for offset, _ in sent[:2]] == [0, half.reached]
    assert [offset for offset, _ in sent].count(0) == 2
    assert "peer.refused" in half.cluster.nodes[half.victim].event_types()
    assert local_value(half.cluster, half.victim, b"k10") == b"w10"
    assert local_value(half.cluster, half.victim, b"k49") == b"v49"


@pytest.mark.usefixtures("small_chunks")
def test_damage_on_the_way_is_found_and_the_transfer_begins_again() -> None:
    """Nothing of it is put in force, and the node goes on."""
    cluster = Cluster(settings=COMPACT)
    client = cluster.client()
    _, victim = lag(cluster, client)
    damaged: list[Frame] = []

    def damage(packet: Frame) -> bool:
        chunk = chunk_of(packet)
        if chunk is not None and chunk.offset == 600 and not damaged:
            damaged.append(packet)
            flipped = bytes([chunk.data[0] ^ 1]) + chunk.data[1:]
            packet.data = encode_frame(msgspec.structs.replace(chunk, data=flipped))
        return False

    cluster.network.drop = damage
    cluster.restart(victim)
    cluster.settle()
    assert damaged
    assert local_value(cluster, victim, b"k49") == b"v49"
    assert "peer.refused" in cluster.nodes[victim].event_types()


@pytest.mark.usefixtures("small_chunks")
def test_the_snapshot_that_is_being_sent_stays_while_newer_ones_are_taken() -> None:
    """It is pinned until it has arrived, and removed afterwards."""
    cluster = Cluster(settings=COMPACT)
    client = cluster.client()
    leader, victim = lag(cluster, client)
    cluster.network.drop = lambda packet: bool((chunk := chunk_of(packet)) and chunk.offset >= 500)
    cluster.restart(victim)
    cluster.run_for(0.2)
    fill(cluster, client, leader, 70, first=100)
    store = cluster.replica(leader).snapshot_store
    assert len(store.list()) == 3
    cluster.network.heal()
    cluster.settle(60)
    assert local_value(cluster, victim, b"k169") == b"v169"
    assert len(store.list()) == 2


@pytest.mark.usefixtures("small_chunks")
def test_a_member_that_is_removed_is_sent_no_more_of_a_snapshot() -> None:
    """And the snapshot is kept for it no longer."""
    cluster = Cluster(settings=COMPACT)
    client = cluster.client()
    leader, victim = lag(cluster, client)
    cluster.network.drop = lambda packet: bool((chunk := chunk_of(packet)) and chunk.offset >= 500)
    cluster.restart(victim)
    cluster.run_for(0.2)
    assert cluster.replica(leader).snapshots.sending_to
    assert isinstance(client.ask(leader, change(client, remove(victim), force=True)), wire.MembersChanged)
    fill(cluster, client, leader, 70, first=100)
    assert len(cluster.replica(leader).snapshot_store.list()) == 2
    assert not cluster.replica(leader).snapshots.sending_to


@pytest.mark.usefixtures("small_chunks")
def test_the_members_of_a_snapshot_are_those_in_its_file() -> None:
    """The last chunk's message names them too; but only the file's bytes have a checksum."""
    cluster = Cluster(settings=COMPACT)
    client = cluster.client()
    _, victim = lag(cluster, client)

    def forge(packet: Frame) -> bool:
        chunk = chunk_of(packet)
        if chunk is not None and chunk.done:
            packet.data = encode_frame(msgspec.structs.replace(chunk, configuration=first_configuration([1, 2, 3, 4])))
        return False

    cluster.network.drop = forge
    cluster.restart(victim)
    cluster.run_until(lambda: "snapshot.installed" in cluster.nodes[victim].event_types())
    assert cluster.replica(victim).node.configuration.members() == (1, 2, 3)


def test_an_arriving_snapshot_ends_one_that_is_being_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is older, and the machine that it is of is gone. Whoever asked for it is told to ask again."""
    cluster = Cluster(settings=COMPACT)
    client = cluster.client()
    leader = cluster.leader()
    cluster.settle()
    victim, other = cluster.followers(leader)
    replica = cluster.replica(victim)
    assert replica.snapshots.begin_taking()

    def step(clock: Callable[[], float]) -> None:
        """It takes forever."""
        cluster.clock.now += 0.001

    monkeypatch.setattr(replica.snapshots._taking, "step", step)
    at = client.send(victim, wire.TriggerSnapshot(client.next_id()))
    cluster.nodes[victim].turn()
    cluster.network.cut(victim, leader, other)
    fill(cluster, client, leader, 50)
    cluster.network.heal()
    cluster.run_until(lambda: "snapshot.installed" in cluster.nodes[victim].event_types())
    cluster.run_until(lambda: client.answer(at), 0.1)
    answer = client.answer(at)
    assert isinstance(answer, wire.Failed)
    assert answer.code is wire.ErrorCode.BUSY
    cluster.settle()
    assert replica.snapshots.newest is not None
    assert replica.snapshots.newest.index >= 20
    assert not [path for path in cluster.nodes[victim].fs.files() if path.endswith(".part")]


@pytest.mark.usefixtures("small_chunks")
def test_an_older_snapshots_straggler_does_not_put_a_hole_into_a_newer_one() -> None:
    """The core and the disk agree on what has arrived: a late chunk of a covered snapshot starts both anew.

    Otherwise the core could put a snapshot in force of which the disk lacks bytes.
    """
    cluster = Cluster(settings=COMPACT)
    client = cluster.client()
    leader, victim = lag(cluster, client)
    replica_term = cluster.replica(leader).node.current_term
    straggled = [0]

    def straggler(packet: Frame) -> bool:
        chunk = chunk_of(packet)
        if chunk is not None and chunk.offset in (300, 500) and straggled[0] < 2:
            straggled[0] += 1
            cluster.replica(victim).receive_peer(
                leader, InstallSnapshotRequest(replica_term, leader, 1, 1, 0, b"x", False)
            )
        return False

    cluster.network.drop = straggler
    cluster.restart(victim)
    cluster.settle(60)
    assert straggled[0] == 2
    assert local_value(cluster, victim, b"k49") == b"v49"
    cluster.crash(victim, keep=lambda piece: False)
    cluster.restart(victim)
    cluster.settle()
    assert local_value(cluster, victim, b"k0") == b"v0"


@pytest.mark.usefixtures("small_chunks")
def test_a_final_chunk_without_the_others_is_never_put_in_force() -> None:
    """Whoever sends it, and whatever the core was told before."""
    cluster = Cluster(settings=COMPACT)
    client = cluster.client()
    leader, victim = lag(cluster, client)
    held: list[Frame] = []

    def keep(packet: Frame) -> bool:
        chunk = chunk_of(packet)
        if chunk is None:
            return False
        held.append(packet)
        return chunk.offset >= 600

    cluster.network.drop = keep
    cluster.restart(victim)
    cluster.run_for(0.3)
    # The disk's part is lost behind the core's back.
    replica = cluster.replica(victim)
    replica.snapshots._receiving.abort()
    first = held[0].message
    assert isinstance(first, InstallSnapshotRequest)
    last = msgspec.structs.replace(first, offset=600, data=b"rest", done=True, configuration=replica.node.configuration)
    before = replica.node.commit_index
    replica.receive_peer(leader, last)
    cluster.nodes[victim].turn()
    assert replica.node.commit_index == before
    cluster.network.heal()
    cluster.settle(60)
    assert local_value(cluster, victim, b"k49") == b"v49"


def install_and_crash_at(change_number: int, keep: Callable[[int], bool]) -> bool:
    """Let a follower's machine lose power at a change of its disk while it installs a snapshot over a log that
    conflicts or is short; restart it. Return whether the crash came in time."""
    cluster = Cluster(settings=COMPACT)
    client = cluster.client()
    leader, victim = lag(cluster, client, 30)
    cluster.restart(victim)
    disk = cluster.nodes[victim].fs
    disk.crash_at = disk.changes + change_number
    cluster.run_until(
        lambda: cluster.nodes[victim].replica is None or "snapshot.installed" in cluster.nodes[victim].event_types()
    )
    disk.crash_at = None
    crashed = isinstance(cluster.nodes[victim].failure, SimulatedCrash)
    if cluster.nodes[victim].replica is None:
        cluster.nodes[victim].fs = disk.crash(keep)
        cluster.restart(victim)
    cluster.settle()
    assert local_value(cluster, victim, b"k29") == b"v29"
    assert cluster.leading() == leader
    return crashed


@pytest.mark.parametrize("keep", [lambda piece: False, lambda piece: True, lambda piece: piece % 2 == 0])
def test_a_crash_at_any_point_of_an_install_is_recovered(keep: Callable[[int], bool]) -> None:
    """The snapshot newer than the log, or the log newer than the snapshot: each state opens and goes on."""
    crashed = [install_and_crash_at(number, keep) for number in range(1, 30)]
    assert crashed[0]
    assert not crashed[-1], "the walk over the crash points did not reach the end"


@pytest.mark.parametrize("keep", [lambda piece: False, lambda piece: True, lambda piece: piece % 2 == 0])
def test_a_crash_at_any_point_of_taking_a_snapshot_is_recovered(keep: Callable[[int], bool]) -> None:
    """The log is cut only when the snapshot is durable."""
    number, crashed = 0, True
    while crashed:
        number += 1
        cluster = Cluster(1, settings=SETTINGS)
        client = cluster.client()
        fill(cluster, client, cluster.leader(), 12)
        disk = cluster.nodes[1].fs
        disk.crash_at = disk.changes + number
        client.send(1, wire.TriggerSnapshot(client.next_id()))
        cluster.run_for(0.02)
        crashed = cluster.nodes[1].replica is None
        if not crashed:
            cluster.nodes[1].stop_running()
        cluster.nodes[1].fs = disk.crash(keep)
        cluster.restart(1)
        cluster.leader()
        assert local_value(cluster, 1, b"k11") == b"v11"
    assert number > 5


def test_a_conflicting_log_gives_way_to_the_snapshot_at_the_start() -> None:
    """A crash came between the snapshot and the log: the log's entry at its index is of another term.

    log        1 2 3 4(t1) 5(t1)
    snapshot         4(t2)
    """
    cluster = Cluster(1)
    client = cluster.client()
    fill(cluster, client, cluster.leader(), 4)
    taken = trigger(client, 1)
    replica = cluster.replica(1)
    stored = replica.snapshots.newest
    assert stored is not None
    writer = replica.snapshot_store.writer(stored.index, stored.term + 1, stored.configuration)
    for chunk in replica.snapshot_store.chunks(stored):
        writer.write(chunk)
    writer.finish()
    cluster.kill(1)
    cluster.restart(1)
    node = cluster.replica(1).node
    assert (node.last_log_index, node.last_log_term) == (taken.snapshot.index, stored.term + 1)
    cluster.leader()
    assert local_value(cluster, 1, b"k3") == b"v3"


def test_a_missing_snapshot_is_refused() -> None:
    """The log begins after entries that only the snapshot had: this node cannot know its state."""
    cluster = Cluster(1, settings=replace(COMPACT))
    client = cluster.client()
    fill(cluster, client, cluster.leader(), 45)
    cluster.kill(1)
    disk = cluster.nodes[1].fs
    for path in [path for path in disk.files() if path.startswith(f"{DATA}/snapshots/")]:
        disk.remove(path)
    with pytest.raises(StorageError, match="is missing"):
        cluster.restart(1)


def test_a_damaged_snapshot_is_refused_at_the_start() -> None:
    """With its file and the place."""
    cluster = Cluster(1, settings=COMPACT)
    client = cluster.client()
    fill(cluster, client, cluster.leader(), 45)
    cluster.kill(1)
    disk = cluster.nodes[1].fs
    newest = max(path for path in disk.files() if path.endswith(".snap"))
    disk.flip_bit(newest, 8 * 200)
    with pytest.raises(StorageError, match=r"snapshot-.* is damaged at byte"):
        cluster.restart(1)


def test_a_stale_chunk_of_a_past_term_changes_nothing() -> None:
    """Not on the disk either."""
    cluster = Cluster()
    leader = cluster.leader()
    cluster.settle()
    victim = cluster.followers(leader)[0]
    replica = cluster.replica(victim)
    for term, done in ((0, False), (1, True)):
        replica.receive_peer(leader, InstallSnapshotRequest(term, leader, 99, 0, 0, b"raftsnap", done))
        cluster.nodes[victim].turn()
        assert cluster.nodes[victim].replica is not None
        assert not [path for path in cluster.nodes[victim].fs.files() if "snapshot-" in path]
    assert replica.node.role is NodeRole.FOLLOWER


def test_a_doubled_answer_does_not_double_the_stream() -> None:
    """Each chunk that is answered twice is followed by one next chunk."""
    stored = StoredSnapshot(10, 1, first_configuration([1]), 1000, "", "/x", 0)
    sending = transfers.SnapshotSending(2, stored)
    sending.sent(now=5.0)
    answer = InstallSnapshotResponse(1, 10, 300)
    assert sending.answered(answer)
    assert sending.is_due(5.1)
    sending.sent(now=5.1)
    assert sending.answered(answer)
    assert not sending.is_due(5.2)
    assert sending.is_due(5.1 + transfers.RESEND_SECONDS)


@pytest.mark.parametrize("rate", [0, 500])
def test_a_snapshot_is_sent_no_faster_than_its_rate_allows(rate: int, small_chunks: None) -> None:
    """`snapshot.send_rate`: chunks of 50 bytes at 500 bytes a second leave a tenth of a second apart."""
    cluster = Cluster(settings=replace(SETTINGS, snapshot_send_rate=rate, snapshot_trailing=0))
    client = cluster.client()
    leader = cluster.leader()
    lagging, _ = cluster.followers(leader)
    cluster.kill(lagging)
    fill(cluster, client, leader, 20)
    size = trigger(client, leader).snapshot.size_bytes
    cluster.restart(lagging)
    cluster.run_until(lambda: "snapshot.sending" in cluster.nodes[leader].event_types(), 10.0, "the first chunk")
    began = cluster.clock.now
    cluster.run_until(lambda: "snapshot.installed" in cluster.nodes[lagging].event_types(), 60.0, "the last chunk")
    seconds = cluster.clock.now - began
    assert seconds >= (size / 50 - 2) / 10 if rate else seconds < 1.0
