"""The client's protocol without sockets: bytes in, answers out."""

import pytest

from raftnode.client.errors import ConnectionFailed, Refused
from raftnode.client.guard import ClusterGuard
from raftnode.client.protocol import ClientProtocol
from raftnode.wire.client import (
    Answer,
    ErrorCode,
    Failed,
    GetStatus,
    OpenSession,
    Read,
    ReadResult,
    SessionOpened,
    Write,
    Written,
    decode_request,
)
from raftnode.wire.frame import FRAME_BYTES_MAX, FrameDecoder, encode_frame
from raftnode.wire.hello import PROTOCOL_VERSION, Hello, Rejected, Welcome, decode_hello

WELCOME = encode_frame(Welcome(PROTOCOL_VERSION, "c1", 1, "instance", "n1"))


def welcomed(guard: ClusterGuard | None = None) -> ClientProtocol:
    """Return a protocol that has said Hello and was welcomed."""
    protocol = ClientProtocol(guard or ClusterGuard(), "n1:7001")
    protocol.data_to_send()
    assert protocol.receive_data(WELCOME) == []
    return protocol


def sent(protocol: ClientProtocol) -> list[object]:
    """Return the requests in what is to be sent now."""
    return [decode_request(body) for body in FrameDecoder().feed(protocol.data_to_send())]


def test_the_first_bytes_are_a_hello_and_requests_wait_for_the_welcome() -> None:
    """Nothing reaches a node before it is known to be of the right cluster."""
    protocol = ClientProtocol(ClusterGuard("c1"), "n1:7001")
    protocol.send(GetStatus(0))
    (hello,) = FrameDecoder().feed(protocol.data_to_send())
    assert decode_hello(hello) == Hello(PROTOCOL_VERSION, "c1")
    assert protocol.data_to_send() == b""
    protocol.receive_data(WELCOME)
    assert protocol.welcome is not None
    assert protocol.welcome.node_name == "n1"
    assert sent(protocol) == [GetStatus(1)]
    assert protocol.data_to_send() == b""


def test_answers_come_in_any_order_and_in_any_pieces() -> None:
    """Several requests are in flight; the id says which is answered."""
    protocol = welcomed()
    ids = [protocol.send(request) for request in (OpenSession(0), Read(0, b"q"), OpenSession(0))]
    assert ids == [1, 2, 3]
    assert protocol.in_flight == 3
    data = encode_frame(ReadResult(2, 9, b"r")) + encode_frame(SessionOpened(3, 7)) + encode_frame(SessionOpened(1, 6))
    answers: list[Answer] = []
    for at in range(len(data)):
        answers += protocol.receive_data(data[at : at + 1])
    assert answers == [ReadResult(2, 9, b"r"), SessionOpened(3, 7), SessionOpened(1, 6)]
    assert protocol.in_flight == 0


def test_a_request_may_bring_its_own_id_which_is_not_given_twice() -> None:
    """A caller that numbers its requests itself, as a benchmark does, keeps its numbers."""
    protocol = welcomed()
    assert protocol.send(GetStatus(5)) == 5
    assert protocol.send(GetStatus(0)) == 6
    with pytest.raises(ValueError, match="request 5 is in flight"):
        protocol.send(GetStatus(5))
    assert sent(protocol) == [GetStatus(5), GetStatus(6)]


def test_a_failure_answers_every_request() -> None:
    """A node may refuse anything."""
    protocol = welcomed()
    protocol.send(Write(0, 0, 1, 0, b"c"))
    failed = Failed(1, ErrorCode.BUSY, "too much")
    assert protocol.receive_data(encode_frame(failed)) == [failed]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Written(1, 9, b""), "it answers a OpenSession with a Written"),
        (SessionOpened(2, 7), "it answers request 2, which is not open"),
        (SessionOpened(0, 7), "it answers request 0, which is not open"),
    ],
)
def test_what_is_no_answer_to_an_open_request_ends_the_connection(answer: Answer, reason: str) -> None:
    """A node that answers something else does not speak this protocol."""
    protocol = welcomed()
    protocol.send(OpenSession(0))
    with pytest.raises(ConnectionFailed, match=reason) as raised:
        protocol.receive_data(encode_frame(answer))
    assert raised.value.sent


def test_a_request_is_answered_once() -> None:
    """A second answer is none."""
    protocol = welcomed()
    protocol.send(OpenSession(0))
    protocol.receive_data(encode_frame(SessionOpened(1, 7)))
    with pytest.raises(ConnectionFailed, match="request 1, which is not open"):
        protocol.receive_data(encode_frame(SessionOpened(1, 8)))


def test_the_answer_to_a_forgotten_request_is_dropped_once() -> None:
    """Its caller gave up; the connection stays usable."""
    protocol = welcomed()
    protocol.send(OpenSession(0))
    protocol.forget(1)
    protocol.forget(1)
    assert protocol.in_flight == 0
    with pytest.raises(ValueError, match="request 1 is in flight"):
        protocol.send(OpenSession(1))
    assert protocol.receive_data(encode_frame(SessionOpened(1, 7))) == []
    with pytest.raises(ConnectionFailed, match="request 1, which is not open"):
        protocol.receive_data(encode_frame(SessionOpened(1, 7)))


@pytest.mark.parametrize("data", [b"SSH-2.0-x\r\n", b"\0\0\0\0", encode_frame(GetStatus(1)), b"\0\0\0\1\xc1"])
@pytest.mark.parametrize("is_welcomed", [False, True])
def test_another_protocol_is_called_so(data: bytes, is_welcomed: bool) -> None:
    """Before the Welcome nothing was sent; after it, a request may have arrived."""
    protocol = welcomed() if is_welcomed else ClientProtocol(ClusterGuard(), "n1:7001")
    protocol.send(GetStatus(0))
    with pytest.raises(ConnectionFailed, match="n1:7001: does not speak this protocol") as raised:
        protocol.receive_data(data)
    assert raised.value.sent == is_welcomed


@pytest.mark.parametrize("is_welcomed", [False, True])
def test_the_end_of_the_connection_says_whether_a_request_may_have_arrived(is_welcomed: bool) -> None:
    """It decides whether a write that must not happen twice may be sent again."""
    protocol = welcomed() if is_welcomed else ClientProtocol(ClusterGuard(), "n1:7001")
    protocol.send(GetStatus(0))
    with pytest.raises(ConnectionFailed, match="the node closed the connection") as raised:
        protocol.receive_data(b"")
    assert raised.value.sent == is_welcomed


def test_a_request_that_fits_no_frame_is_refused_and_the_connection_stays() -> None:
    """Nothing was sent of it."""
    protocol = welcomed()
    with pytest.raises(Refused, match="over the limit") as raised:
        protocol.send(Write(0, 0, 1, 0, bytes(FRAME_BYTES_MAX)))
    assert raised.value.code is ErrorCode.TOO_LARGE
    protocol.send(GetStatus(0))
    assert sent(protocol) == [GetStatus(1)]


def test_the_first_cluster_that_answers_is_the_only_one() -> None:
    """All connections share the guard, so that a wrong address in a member list reaches no other cluster."""
    guard = ClusterGuard()
    welcomed(guard)
    assert guard.cluster_id == "c1"
    other = ClientProtocol(guard, "n9:7001")
    (hello,) = FrameDecoder().feed(other.data_to_send())
    assert decode_hello(hello).cluster_id == "c1"
    with pytest.raises(ConnectionFailed, match="another cluster answers there: this is cluster c2, not c1") as raised:
        other.receive_data(encode_frame(Welcome(PROTOCOL_VERSION, "c2", 1, "instance")))
    assert raised.value.foreign
    assert not raised.value.sent


@pytest.mark.parametrize(
    ("cluster_id", "code", "foreign"), [("c1", "cluster", True), ("", "cluster", False), ("c1", "busy", False)]
)
def test_a_node_that_rejects_the_hello_says_why(cluster_id: str, code: str, foreign: bool) -> None:
    """It is another cluster's only where a cluster was named."""
    protocol = ClientProtocol(ClusterGuard(cluster_id), "n1:7001")
    with pytest.raises(ConnectionFailed, match="because") as raised:
        protocol.receive_data(encode_frame(Rejected(code, "because")))
    assert raised.value.foreign == foreign


def test_a_guard_for_any_cluster_keeps_none() -> None:
    """For finding out which cluster owns an address."""
    guard = ClusterGuard(any_cluster=True)
    welcomed(guard)
    other = ClientProtocol(guard, "n9:7001")
    other.receive_data(encode_frame(Welcome(PROTOCOL_VERSION, "c2", 1, "instance")))
    assert guard.cluster_id == ""
