"""Reads: never stale where that was promised, and never left unanswered."""

from dataclasses import replace

from raftnode.config.settings import ReplicaSettings
from raftnode.core.messages import AppendEntriesResponse, PreVoteRequest
from raftnode.core.types import NodeRole
from raftnode.wire import client as wire
from raftnode.wire.client import NOT_DONE, Consistency, ErrorCode
from raftnode.wire.kv import Increment, IncrementResult, decode_result, encode
from tests.support.replicas import SETTINGS, Cluster, Frame, failed, get, put, value_of


def isolate(cluster: Cluster, node: int) -> None:
    """Cut a node off from all others."""
    cluster.network.cut(node, *[other for other in cluster.nodes if other != node])


def test_a_linearizable_read_sees_every_acknowledged_write() -> None:
    """At the leader, also right after it was elected."""
    cluster = Cluster()
    leader = cluster.leader()
    client = cluster.client()
    client.ask(leader, put(client, b"k", b"1"))
    cluster.kill(leader)
    cluster.run_until(lambda: any(n.replica and n.replica.node.role is NodeRole.LEADER for n in cluster.nodes.values()))
    new = next(n.id for n in cluster.nodes.values() if n.replica and n.replica.node.role is NodeRole.LEADER)
    assert value_of(client.ask(new, get(client, b"k"))) == b"1"


def test_a_read_waits_until_an_entry_of_the_term_is_committed() -> None:
    """Before that a new leader may not know the latest committed entries (§8)."""
    cluster = Cluster()
    acknowledges = AppendEntriesResponse
    cluster.network.hold = lambda packet: (
        isinstance(packet.message, acknowledges) and packet.message.last_log_index > 0 and packet.message.success
    )
    cluster.run_until(lambda: any(n.running.node.role is NodeRole.LEADER for n in cluster.nodes.values()))
    leader = next(n.id for n in cluster.nodes.values() if n.running.node.role is NodeRole.LEADER)
    client = cluster.client()
    at = client.send(leader, get(client, b"k"))
    cluster.run_for(0.3)
    assert cluster.replica(leader).node.commit_index == 0
    assert client.answer(at) is None
    cluster.network.release()
    cluster.run_until(lambda: client.answer(at), 1.0)
    assert value_of(client.answer(at)) is None


def test_a_deposed_leader_serves_no_stale_read() -> None:
    """It still believes that it leads, and another leader has committed since: no quorum confirms it any longer."""
    cluster = Cluster(settings=ReplicaSettings(snapshot_entries=0, check_quorum=False, request_timeout=60.0))
    old = cluster.leader()
    client = cluster.client()
    client.ask(old, put(client, b"k", b"old"))
    isolate(cluster, old)
    new = cluster.leader(but=[old])
    client.ask(new, put(client, b"k", b"new"))
    assert cluster.replica(old).node.role is NodeRole.LEADER
    at = client.send(old, get(client, b"k"))
    cluster.run_for(3.0)
    assert client.answer(at) is None
    assert value_of(client.ask(old, get(client, b"k", Consistency.LOCAL))) == b"old"
    cluster.network.heal()
    cluster.run_until(lambda: client.answer(at))
    answer = failed(client.answer(at))
    assert (answer.code, answer.leader_id) == (ErrorCode.NOT_LEADER, new)


def test_acknowledgements_from_before_the_read_confirm_nothing() -> None:
    """What was under way when the read arrived says nothing about who leads afterwards."""
    cluster = Cluster()
    leader = cluster.leader()
    cluster.settle()
    client = cluster.client()
    cluster.network.hold = lambda packet: isinstance(packet.message, AppendEntriesResponse)
    cluster.run_for(0.15)
    assert cluster.network.held
    isolate(cluster, leader)
    at = client.send(leader, get(client, b"k"))
    cluster.nodes[leader].turn()
    early = list(cluster.network.held)
    cluster.network.held.clear()
    for packet in early:
        cluster.replica(leader).receive_peer(packet.source, packet.message)
    cluster.run_for(0.2)
    assert client.answer(at) is None


def test_a_read_without_a_quorum_fails_in_time() -> None:
    """A leader that is cut off answers at the latest at the request's deadline."""
    cluster = Cluster(settings=ReplicaSettings(snapshot_entries=0, check_quorum=False, request_timeout=1.0))
    leader = cluster.leader()
    client = cluster.client()
    isolate(cluster, leader)
    answer = failed(client.ask(leader, get(client, b"k"), timeout=1.2))
    assert answer.code is ErrorCode.NO_LEADER


def let_lead_in_vain(cluster: Cluster, node: int) -> None:
    """From now on no other node campaigns, and no answer about the log reaches this one."""
    cluster.network.drop = lambda packet: (
        packet.source != node and isinstance(packet.message, (AppendEntriesResponse, PreVoteRequest))
    )


def test_a_read_has_one_deadline_however_often_the_leadership_comes_and_goes() -> None:
    """One node alone can win, and hears no follower's answer: it leads and steps down again and again."""
    settings = replace(SETTINGS, request_timeout=20.0, no_leader_timeout=60.0)
    cluster = Cluster(settings=settings)
    leader = cluster.leader()
    cluster.settle()
    term = cluster.replica(leader).node.current_term
    let_lead_in_vain(cluster, leader)
    client = cluster.client()
    answer = failed(client.ask(leader, get(client, b"k"), timeout=20.01))
    assert cluster.replica(leader).node.current_term >= term + 2
    assert (answer.code, answer.outcome) == (ErrorCode.NO_LEADER, NOT_DONE)


def test_the_time_that_a_read_waited_for_a_leader_counts() -> None:
    """Its deadline is counted from its arrival."""
    cluster = Cluster(settings=replace(SETTINGS, request_timeout=5.0, no_leader_timeout=4.0))
    cluster.leader()
    cluster.settle()
    cluster.kill(2)
    cluster.kill(3)
    cluster.run_until(lambda: cluster.replica(1).node.leader_id is None)
    client = cluster.client()
    at = client.send(1, get(client, b"k"))
    cluster.run_for(3.0)
    let_lead_in_vain(cluster, 1)
    cluster.restart(2)
    cluster.run_until(lambda: cluster.replica(1).node.role is NodeRole.LEADER, 0.99)
    cluster.run_for(1.98 - 0.99)
    assert client.answer(at) is None
    cluster.run_until(lambda: client.answer(at), 1.02)
    assert failed(client.answer(at)).code is ErrorCode.NO_LEADER


def test_a_read_of_a_leader_that_steps_down_waits_no_longer_for_the_next_one_than_any_request() -> None:
    """`no_leader_timeout` holds for it too."""
    cluster = Cluster(settings=replace(SETTINGS, request_timeout=60.0, no_leader_timeout=3.0))
    leader = cluster.leader()
    client = cluster.client()
    isolate(cluster, leader)
    at = client.send(leader, get(client, b"k"))
    cluster.run_until(lambda: cluster.replica(leader).node.role is not NodeRole.LEADER)
    cluster.run_for(2.99)
    assert client.answer(at) is None
    cluster.run_for(0.02)
    assert failed(client.answer(at)).code is ErrorCode.NO_LEADER


def test_a_confirmed_read_that_is_not_applied_in_time_fails() -> None:
    """Its deadline holds to the end."""
    cluster = Cluster()
    leader = cluster.leader()
    client = cluster.client()
    at = client.send(leader, get(client, b"k"))
    replica = cluster.replica(leader)
    inbox, replica._client_inbox = replica._client_inbox, []
    replica.requests.handle(inbox)
    (barrier,) = replica.requests.reads.barriers
    replica.requests.reads.confirmed([(barrier, replica.node.last_applied + 1)])
    cluster.run_for(cluster.settings.request_timeout - 0.01)
    assert client.answer(at) is None
    cluster.run_for(0.02)
    answer = failed(client.answer(at))
    assert (answer.code, answer.outcome) == (ErrorCode.TIMED_OUT, NOT_DONE)


def test_a_local_read_is_answered_by_any_node_at_once() -> None:
    """From its own state, also without a leader."""
    cluster = Cluster()
    leader = cluster.leader()
    client = cluster.client()
    client.ask(leader, put(client, b"k"))
    cluster.settle()
    isolate(cluster, 1)
    cluster.run_for(5.0)
    answer = client.ask(1, get(client, b"k", Consistency.LOCAL), timeout=0.01)
    assert value_of(answer) == b"v"


def test_a_follower_redirects_a_linearizable_read() -> None:
    """Only the leader can have it confirmed."""
    cluster = Cluster()
    leader = cluster.leader()
    cluster.settle()
    client = cluster.client()
    answer = failed(client.ask(cluster.followers(leader)[0], get(client, b"k")))
    assert (answer.code, answer.leader_id) == (ErrorCode.NOT_LEADER, leader)


def test_reads_of_one_turn_share_one_round() -> None:
    """A hundred reads cost the messages of one."""
    cluster = Cluster()
    leader = cluster.leader()
    cluster.settle()
    cluster.run_for(0.05)
    client = cluster.client()
    sent: list[Frame] = []
    cluster.network.drop = lambda packet: bool(sent.append(packet))  # type: ignore[func-returns-value]
    asked = [client.send(leader, get(client, b"k")) for _ in range(100)]
    cluster.run_until(lambda: all(client.answer(at) for at in asked), 0.1)
    assert len(sent) <= 8


def test_a_malformed_query_is_refused() -> None:
    """It costs nobody else anything."""
    cluster = Cluster(1)
    cluster.leader()
    client = cluster.client()
    for consistency in Consistency:
        answer = failed(client.ask(1, wire.Read(client.next_id(), b"rubbish", consistency)))
        assert answer.code is ErrorCode.BAD_REQUEST
    assert failed(client.ask(1, wire.Watch(client.next_id(), b"rubbish", 1000))).code is ErrorCode.BAD_REQUEST


def test_a_confirmed_read_waits_until_its_index_is_applied() -> None:
    """A quorum confirmed the barrier, and the machine is not there yet: the answer would be stale."""
    cluster = Cluster()
    leader = cluster.leader()
    client = cluster.client()
    client.ask(leader, put(client, b"k"))
    waiting = cluster.replica(leader).requests
    at = client.send(leader, get(client, b"k"))
    replica = cluster.replica(leader)
    inbox, replica._client_inbox = replica._client_inbox, []
    waiting.handle(inbox)
    (barrier,) = waiting.reads.barriers
    waiting.reads.confirmed([(barrier, replica.node.last_applied + 1)])
    assert client.answer(at) is None
    client.ask(leader, put(client, b"k", b"2"))
    assert value_of(client.answer(at)) == b"2"


def test_a_write_is_evaluated_by_the_leader_behind_a_barrier_and_not_done() -> None:
    """A follower redirects; the answer is the write's, at the present revision, and nothing enters the log."""
    cluster = Cluster()
    leader = cluster.leader()
    client = cluster.client()
    client.ask(leader, put(client, b"k", b"7"))
    replica = cluster.replica(leader)
    last, revision = replica.node.last_log_index, replica.node.last_applied
    question = wire.EvaluateWrite(client.next_id(), encode(Increment(b"k", 3)))
    answer = client.ask(leader, question)
    assert isinstance(answer, wire.ReadResult)
    assert decode_result(answer.result) == IncrementResult(revision, 10)
    assert value_of(client.ask(leader, get(client, b"k"))) == b"7"
    assert replica.node.last_log_index == last
    other = wire.EvaluateWrite(client.next_id(), encode(Increment(b"k", 3)))
    assert failed(client.ask(cluster.followers(leader)[0], other)).code is ErrorCode.NOT_LEADER
    cluster.network.cut(leader, *cluster.followers(leader))
    at = client.send(leader, wire.EvaluateWrite(client.next_id(), encode(Increment(b"k", 3))))
    cluster.run_for(0.1)
    assert client.answer(at) is None, "a leader that cannot prove that it leads has answered"
