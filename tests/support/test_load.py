"""The clients under load notice a cluster that lies to them, and take no fault of the network for a lie."""

import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from raftnode.wire import client as wire
from raftnode.wire import kv
from tests.simulation.history import read_history
from tests.support.fake_node import HANG_UP, FakeCluster, Reply
from tests.support.load import CLIENTS, TOTAL, load

OPERATIONS = 60
LIE_AT = 20
"""From which request of a kind on one is answered with a lie: there is something to lie about by then."""

Handler = Callable[[wire.AnyRequest], Reply]


def lying(cluster: FakeCluster, kind: type, lie: Callable[[Any, Handler], Reply | None]) -> None:
    """Let the leader ask `lie` about each request of a kind from the LIE_AT-th on, until it lied once."""
    lock = threading.RLock()
    seen, done = [0], [False]

    def honest(request: wire.AnyRequest) -> Reply:
        return cluster._answer(1, request)

    def interfere(_node: int, request: Any) -> Reply:
        with lock:
            if isinstance(request, kind) and not done[0]:
                seen[0] += 1
                reply = lie(request, honest) if seen[0] >= LIE_AT else None
                if reply is not None:
                    done[0] = True
                    return reply
            return honest(request)

    cluster.interfere = interfere


def a_lost_write(request: wire.Write, honest: Handler) -> Reply | None:
    command = kv.decode_command(request.command)
    if not isinstance(command, kv.Put) or not command.key.startswith(b"client-"):
        return None
    return wire.Written(0, 1, kv.encode(kv.PutResult(1)))


def a_doubled_increment(request: wire.Write, honest: Handler) -> Reply | None:
    if not isinstance(kv.decode_command(request.command), kv.Increment):
        return None
    first = honest(request)
    honest(wire.Write(0, 0, 1, 0, request.command))
    return first


def a_value_from_nowhere(request: wire.Read, honest: Handler) -> Reply | None:
    query = kv.decode_query(request.query)
    if not isinstance(query, kv.Get) or query.key == TOTAL.encode():
        return None
    return wire.ReadResult(0, 1, kv.encode(kv.GetResult(kv.KeyValue(query.key, b"7", 1, 1, 1), 1)))


def a_value_from_long_ago(request: wire.Read, honest: Handler) -> Reply | None:
    query = kv.decode_query(request.query)
    if not isinstance(query, kv.Get) or query.key != TOTAL.encode():
        return None
    answer = honest(request)
    assert isinstance(answer, wire.ReadResult)
    now = kv.decode_result(answer.result)
    assert isinstance(now, kv.GetResult)
    if now.item is None or int(now.item.value) <= CLIENTS + 1:
        return None
    return wire.ReadResult(0, 1, kv.encode(kv.GetResult(kv.KeyValue(query.key, b"1", 1, 1, 1), 1)))


def a_key_that_is_gone_in_the_end(request: wire.Read, honest: Handler) -> Reply | None:
    if not isinstance(kv.decode_query(request.query), kv.List):
        return None
    answer = honest(request)
    assert isinstance(answer, wire.ReadResult)
    result = kv.decode_result(answer.result)
    assert isinstance(result, kv.ListResult)
    kept = [item for item in result.items if item.key != result.items[0].key]
    return wire.ReadResult(0, answer.applied_index, kv.encode(kv.ListResult(kept, result.more, result.revision)))


def a_key_that_nobody_wrote(request: wire.Write, honest: Handler) -> Reply | None:
    honest(wire.Write(0, 0, 1, 0, kv.encode(kv.Put(b"nobody", b"1"))))
    return honest(request)


def a_session_that_is_gone(request: wire.Write, honest: Handler) -> Reply | None:
    # Not to a client's first write: it would open another session, and could not know of one before.
    if not request.session or request.sequence < 2:
        return None
    return wire.Failed(0, wire.ErrorCode.SESSION_EXPIRED, "the session is not known")


LIES: list[tuple[type, Callable[[Any, Handler], Reply | None], str]] = [
    (wire.Write, a_lost_write, "is not linearizable"),
    (wire.Write, a_doubled_increment, "is not linearizable"),
    (wire.Read, a_value_from_nowhere, "is not linearizable"),
    (wire.Read, a_value_from_long_ago, "key 'total' is not linearizable"),
    (wire.Read, a_key_that_is_gone_in_the_end, "key 'client-.*' is not linearizable"),
    (wire.Write, a_key_that_nobody_wrote, "key 'nobody' is there, and nobody ever wrote it"),
    (wire.Write, a_session_that_is_gone, "the session was lost"),
]


@pytest.mark.parametrize(("kind", "lie", "message"), LIES, ids=lambda value: getattr(value, "__name__", ""))
def test_a_lie_is_noticed_and_its_history_kept(
    tmp_path: Path, kind: type, lie: Callable[[Any, Handler], Reply | None], message: str
) -> None:
    """One lie among hundreds of true answers is enough."""
    with FakeCluster(count=1) as cluster:
        lying(cluster, kind, lie)
        with (
            pytest.raises(AssertionError, match=message),
            load(cluster.endpoints.split(","), tmp_path) as clients,
        ):
            clients.progress(OPERATIONS)
    if lie is not a_session_that_is_gone:
        assert read_history((tmp_path / "history.jsonl").read_bytes()) == clients.history


def test_answers_that_are_lost_are_no_lies(tmp_path: Path) -> None:
    """Hung up on after the write was done, a client tries again in its session, or takes the outcome for unknown."""
    lock, count = threading.Lock(), [0]
    with FakeCluster(count=1) as cluster:

        def interfere(_node: int, request: Any) -> Reply:
            with lock:
                reply = cluster._answer(1, request)
                count[0] += isinstance(request, wire.Write)
                return HANG_UP if isinstance(request, wire.Write) and count[0] % 10 == 0 else reply

        cluster.interfere = interfere
        with load(cluster.endpoints.split(","), tmp_path) as clients:
            clients.progress(3 * OPERATIONS)
    assert clients.total() > OPERATIONS
    assert any(operation.outcome == "unknown" for operation in clients.history)
    assert not (tmp_path / "history.jsonl").exists()
    for client in {operation.client for operation in clients.history}:
        own = [operation for operation in clients.history if operation.client == client]
        for before, after in pairwise(own):
            assert before.return_ns is not None
            assert before.return_ns <= after.call_ns, f"{client} has two operations under way"
