"""What a writer is told: done, not done, or unknown; and that a session's write happens once."""

from raftnode.config.settings import ReplicaSettings
from raftnode.core.messages import AppendEntriesRequest, AppendEntriesResponse
from raftnode.core.types import NodeRole
from raftnode.machine.sessions.machine import RESULTS_MAX
from raftnode.replica.requests.router import PARKED_BYTES_MAX
from raftnode.replica.requests.writes import UNCOMMITTED_BYTES_MAX
from raftnode.wire import client as wire
from raftnode.wire.client import NOT_DONE, UNKNOWN, ErrorCode
from raftnode.wire.kv import Put, encode
from tests.support.replicas import (
    SETTINGS,
    Client,
    Cluster,
    Frame,
    add_learner,
    address_of,
    change,
    failed,
    increment,
    local_value,
    put,
)


def isolate(cluster: Cluster, node: int) -> None:
    """Cut a node off from all others."""
    cluster.network.cut(node, *[other for other in cluster.nodes if other != node])


def open_session(cluster: Cluster, client: Client, leader: int) -> int:
    answer = client.ask(leader, wire.OpenSession(client.next_id()))
    assert isinstance(answer, wire.SessionOpened)
    return answer.session


def test_an_overwritten_entrys_writer_hears_that_it_did_not_happen() -> None:
    """The entry at its index was committed with another term: this write can never take effect."""
    cluster = Cluster(settings=ReplicaSettings(snapshot_entries=0, check_quorum=False))
    old = cluster.leader()
    client = cluster.client()
    isolate(cluster, old)
    at = client.send(old, put(client, b"lost"))
    new = cluster.leader(but=[old])
    client.ask(new, put(client, b"kept"))
    cluster.network.heal()
    cluster.run_until(lambda: client.answer(at))
    answer = failed(client.answer(at))
    assert (answer.code, answer.outcome) == (ErrorCode.OVERWRITTEN, NOT_DONE)
    cluster.settle()
    assert [local_value(cluster, node, b"lost") for node in (1, 2, 3)] == [None] * 3


def test_a_waiter_of_the_same_index_in_another_term_is_not_acknowledged() -> None:
    """Matched by index and term: the entry that is applied at its index is another client's."""
    cluster = Cluster(settings=ReplicaSettings(snapshot_entries=0, check_quorum=False))
    old = cluster.leader()
    mine, other = cluster.client(), cluster.client()
    isolate(cluster, old)
    first = [mine.send(old, put(mine, b"mine%d" % number)) for number in range(3)]
    new = cluster.leader(but=[old])
    for number in range(5):
        other.ask(new, put(other, b"other%d" % number))
    cluster.network.heal()
    cluster.run_until(lambda: all(mine.answer(at) for at in first))
    assert {failed(mine.answer(at)).code for at in first} == {ErrorCode.OVERWRITTEN}


def test_an_entry_that_was_replaced_and_not_committed_is_not_called_undone() -> None:
    """Its index was given to an entry that is not committed either: the old one may still win on another node.

    1 leads term 1 and appends a b c; only 2 hears it       1: a b c    2: a b c    3: -
    3 leads term 2; its no-op x reaches only 1              1: x        2: a b c    3: x
    3 dies; 1 leads term 3, appends its no-op y, and d e    1: x y d e  2: a b c
    1 dies; with 4 and 5, node 2 leads term 4 and commits a, b and c after all
    """
    cluster = Cluster(5)
    old = cluster.leader()
    cluster.settle()
    term = cluster.replica(old).node.current_term
    ally, rival, *rest = [node for node in cluster.nodes if node != old]
    client = cluster.client()
    heard_by = {term: ally, term + 1: old}

    def astray(packet: Frame) -> bool:
        message = packet.message
        if isinstance(message, AppendEntriesRequest):
            return heard_by.get(message.term, 0) != packet.target
        return (ally in (packet.source, packet.target) and message.term > term) or (
            packet.target == rival and (packet.source == old and isinstance(message, AppendEntriesResponse))
        )

    cluster.network.drop = astray
    written = [client.send(old, put(client, key)) for key in (b"a", b"b", b"c")]
    cluster.run_until(lambda: cluster.replica(ally).node.last_log_index == 4)
    for node in (ally, rival, *rest):
        cluster.replica(node).node.election_deadline_override(cluster.clock.now + 60)
    cluster.run_for(1.1)
    campaign(cluster, rival)
    cluster.run_until(lambda: cluster.replica(old).node.last_log_term == term + 1, 0.5)
    cluster.kill(rival)
    campaign(cluster, old)
    cluster.run_until(lambda: cluster.replica(old).node.role is NodeRole.LEADER, 0.5)
    assert cluster.replica(old).node.last_log_index == 3
    written += [client.send(old, put(client, key)) for key in (b"d", b"e")]
    cluster.nodes[old].turn()
    assert cluster.replica(old).node.last_log_index == 5
    answers = [client.answer(at) for at in written]
    cluster.kill(old)
    cluster.network.heal()
    campaign(cluster, ally)
    cluster.leader()
    cluster.settle()
    assert [local_value(cluster, ally, key) for key in (b"a", b"b", b"c")] == [b"v"] * 3
    for answer in answers:
        assert answer is None or failed(answer).outcome == UNKNOWN, answer


def campaign(cluster: Cluster, node: int) -> None:
    """Let a node's election timeout pass now."""
    cluster.replica(node).node.election_deadline_override(cluster.clock.now)
    cluster.nodes[node].schedule_turn(0.0)


def test_a_write_that_no_quorum_takes_in_time_is_unknown() -> None:
    """It is in the log and may still be committed."""
    cluster = Cluster(settings=ReplicaSettings(snapshot_entries=0, check_quorum=False, request_timeout=1.0))
    leader = cluster.leader()
    client = cluster.client()
    isolate(cluster, leader)
    answer = failed(client.ask(leader, put(client, b"k")))
    assert (answer.code, answer.outcome) == (ErrorCode.TIMED_OUT, UNKNOWN)
    assert cluster.replica(leader).node.role is NodeRole.LEADER


def test_a_leader_that_steps_down_lets_no_writer_wait_for_long() -> None:
    """The entry may be replaced and nobody would tell: after an election timeout it is unknown."""
    cluster = Cluster()
    leader = cluster.leader()
    client = cluster.client()
    isolate(cluster, leader)
    at = client.send(leader, put(client, b"k"))
    cluster.run_until(lambda: cluster.replica(leader).node.role is not NodeRole.LEADER)
    stepped_down = cluster.clock.now
    cluster.run_until(lambda: client.answer(at))
    assert failed(client.answer(at)).outcome == UNKNOWN
    assert cluster.clock.now - stepped_down <= cluster.settings.election_timeout_max + 0.1


def test_a_write_that_a_snapshot_covers_is_unknown() -> None:
    """The old leader fell behind and takes a snapshot: what its entry became is not told."""
    cluster = Cluster(
        settings=ReplicaSettings(snapshot_entries=10, snapshot_trailing=0, check_quorum=False, request_timeout=60.0)
    )
    old = cluster.leader()
    mine, other = cluster.client(), cluster.client()
    isolate(cluster, old)
    at = mine.send(old, put(mine, b"mine"))
    new = cluster.leader(but=[old])
    for number in range(25):
        other.ask(new, put(other, b"k%d" % number))
    # The requests that were under way are lost: only a snapshot can help.
    cluster.network.heal()
    cluster.run_until(lambda: mine.answer(at))
    assert "snapshot.installed" in cluster.nodes[old].event_types()
    answer = failed(mine.answer(at))
    assert answer.outcome == UNKNOWN
    assert "snapshot" in answer.message


def test_a_session_increments_once_however_often_it_retries() -> None:
    """The same sequence at the same leader and at the next one: one increment."""
    cluster = Cluster()
    leader = cluster.leader()
    client = cluster.client()
    session = open_session(cluster, client, leader)
    answers = [client.ask(leader, increment(client, b"n", session, 1)) for _ in range(3)]
    cluster.kill(leader)
    new = cluster.leader()
    answers.append(client.ask(new, increment(client, b"n", session, 1)))
    assert len({wire_result(answer) for answer in answers}) == 1
    assert local_value(cluster, new, b"n") == b"1"


def wire_result(answer: wire.Answer) -> bytes:
    assert isinstance(answer, wire.Written), answer
    return answer.result


def test_a_retry_is_known_to_a_node_that_learnt_the_session_from_a_snapshot() -> None:
    """Sessions and results are in the snapshot, and survive a restart of every node."""
    cluster = Cluster(settings=ReplicaSettings(snapshot_entries=0, snapshot_trailing=0))
    leader = cluster.leader()
    client = cluster.client()
    session = open_session(cluster, client, leader)
    client.ask(leader, increment(client, b"n", session, 1))
    cluster.settle()
    for node in (1, 2, 3):
        assert isinstance(client.ask(node, wire.TriggerSnapshot(client.next_id())), wire.SnapshotTaken)
    for node in (1, 2, 3):
        cluster.crash(node, keep=lambda piece: False)
    for node in (1, 2, 3):
        cluster.restart(node)
        assert cluster.replica(node).node.last_applied > 0
    leader = cluster.leader()
    client.ask(leader, increment(client, b"n", session, 1))
    assert local_value(cluster, leader, b"n") == b"1"


def test_followers_learn_of_a_commit_at_once() -> None:
    """Not with the next heartbeat: a local read elsewhere sees an acknowledged write soon."""
    cluster = Cluster()
    leader = cluster.leader()
    cluster.settle()
    cluster.run_for(0.105)
    client = cluster.client()
    client.ask(leader, put(client, b"k"))
    cluster.run_for(0.01)
    assert [local_value(cluster, node, b"k") for node in (1, 2, 3)] == [b"v"] * 3


def test_a_write_that_its_session_refuses_did_not_happen() -> None:
    """It runs too far ahead of what the client has acknowledged: it may come again."""
    cluster = Cluster()
    leader = cluster.leader()
    client = cluster.client()
    session = open_session(cluster, client, leader)
    answer = failed(client.ask(leader, increment(client, b"n", session, RESULTS_MAX + 1)))
    assert (answer.code, answer.outcome) == (ErrorCode.BAD_REQUEST, NOT_DONE)
    assert local_value(cluster, leader, b"n") is None


def test_an_unknown_session_is_told_so() -> None:
    """Whether an earlier try took effect cannot be known any longer."""
    cluster = Cluster()
    leader = cluster.leader()
    client = cluster.client()
    answer = failed(client.ask(leader, increment(client, b"n", 77, 1)))
    assert (answer.code, answer.outcome) == (ErrorCode.SESSION_EXPIRED, UNKNOWN)


def test_a_follower_names_the_leader_and_its_address() -> None:
    """The client goes there next; nothing happened here."""
    cluster = Cluster()
    leader = cluster.leader()
    client = cluster.client()
    cluster.settle()
    for follower in cluster.followers(leader):
        for request in (
            put(client, b"k"),
            wire.OpenSession(client.next_id()),
            change(client, add_learner(4)),
            wire.TransferLeadership(client.next_id()),
        ):
            answer = failed(client.ask(follower, request))
            assert (answer.code, answer.outcome, answer.leader_id, answer.leader_address) == (
                ErrorCode.NOT_LEADER,
                NOT_DONE,
                leader,
                address_of(leader),
            )


def test_without_a_leader_a_request_fails_in_time_and_says_why() -> None:
    """Not at once: an election may be under way. Not never."""
    cluster = Cluster()
    leader = cluster.leader()
    survivor, second = cluster.followers(leader)
    cluster.kill(leader)
    cluster.kill(second)
    client = cluster.client()
    cluster.run_for(5.0)
    begun = cluster.clock.now
    answer = failed(client.ask(survivor, put(client, b"k")))
    assert (answer.code, answer.outcome) == (ErrorCode.NO_LEADER, NOT_DONE)
    assert 2.9 < cluster.clock.now - begun < 3.2
    assert "vote" in answer.message or "campaign" in answer.message or "answer" in answer.message, answer.message


def test_a_request_that_waited_for_a_leader_is_redirected_when_there_is_one() -> None:
    """As soon as a leader is known, not at the deadline."""
    cluster = Cluster()
    client = cluster.client()
    asked = {node: client.send(node, put(client, b"k%d" % node)) for node in (1, 2, 3)}
    leader = cluster.leader()
    cluster.run_until(lambda: all(client.answer(at) for at in asked.values()), 0.3)
    for node, at in asked.items():
        answer = client.answer(at)
        if node == leader:
            assert isinstance(answer, wire.Written)
        else:
            assert failed(answer).leader_id == leader


def test_a_lone_node_answers_a_request_that_waited_for_it_without_delay() -> None:
    """It becomes leader within a turn; the request must not wait for the next heartbeat."""
    cluster = Cluster(1)
    client = cluster.client()
    at = client.send(1, put(client, b"k"))
    cluster.run_until(lambda: cluster.leading())
    cluster.run_until(lambda: client.answer(at), 0.01)
    assert isinstance(client.answer(at), wire.Written)


def test_too_much_under_way_is_refused_as_busy() -> None:
    """Bytes that wait for a quorum are bounded, in one turn and over many; nothing of a refused write happens."""
    cluster = Cluster(settings=ReplicaSettings(snapshot_entries=0, check_quorum=False, request_timeout=0.5))
    leader = cluster.leader()
    client = cluster.client()
    isolate(cluster, leader)
    megabyte = bytes(1024 * 1024)
    limit = UNCOMMITTED_BYTES_MAX // len(megabyte)
    sent = [
        client.send(leader, wire.Write(client.next_id(), 0, 1, 0, encode(Put(b"k", megabyte))))
        for _ in range(limit + 8)
    ]
    cluster.run_for(0.1)
    busy = [at for at in sent if (answer := client.answer(at)) and failed(answer).code is ErrorCode.BUSY]
    assert len(busy) in (7, 8, 9)
    # The first have timed out; their entries still wait in the log, and still count.
    cluster.run_for(1.0)
    assert failed(client.ask(leader, put(client, b"k"))).code is ErrorCode.BUSY
    cluster.network.heal()
    cluster.settle()
    assert isinstance(client.ask(cluster.leader(), put(client, b"k")), wire.Written)


def test_requests_that_wait_for_a_leader_are_bounded() -> None:
    """Without a leader nothing is taken beyond a bound in bytes."""
    cluster = Cluster()
    cluster.kill(2)
    cluster.kill(3)
    client = cluster.client()
    megabyte = bytes(1024 * 1024)
    sent = [
        client.send(1, wire.Write(client.next_id(), 0, 1, 0, encode(Put(b"k", megabyte))))
        for _ in range(PARKED_BYTES_MAX // len(megabyte) + 4)
    ]
    cluster.run_for(0.1)
    busy = [at for at in sent if (answer := client.answer(at)) and failed(answer).code is ErrorCode.BUSY]
    assert len(busy) in (3, 4, 5)
    cluster.run_for(4.0)
    assert all(client.answer(at) for at in sent)


def test_a_bad_command_is_refused_before_the_log() -> None:
    """It costs no entry."""
    cluster = Cluster()
    leader = cluster.leader()
    client = cluster.client()
    last = cluster.replica(leader).node.last_log_index
    answer = failed(client.ask(leader, wire.Write(client.next_id(), 0, 1, 0, b"rubbish")))
    assert answer.code is ErrorCode.BAD_REQUEST
    answer = failed(client.ask(leader, wire.Write(client.next_id(), 0, 1, 0, encode(Put(bytes(70_000), b"v")))))
    assert answer.code is ErrorCode.TOO_LARGE
    assert cluster.replica(leader).node.last_log_index == last
    assert SETTINGS.request_timeout > 0


def test_a_long_log_is_applied_in_pieces_after_a_restart() -> None:
    """One turn applies about a megabyte: a node that starts answers its leader and its clients meanwhile."""
    cluster = Cluster(1)
    cluster.leader()
    client = cluster.client()
    for _ in range(5000):
        client.send(1, put(client, b"k", bytes(1024)))
    cluster.run_until(lambda: len(client.answers) == 5000)
    cluster.kill(1)
    cluster.restart(1)
    node = cluster.replica(1).node
    steps: list[int] = []
    while node.last_applied < 5000:
        before = node.last_applied
        cluster.step()
        steps.append(node.last_applied - before)
    assert max(steps) < 1500
