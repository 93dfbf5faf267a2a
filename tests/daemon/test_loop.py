"""The runtime's sockets, timers and signals, with a scripted replica and real loopback connections."""

import asyncio
import os
import random
import signal
import socket
import struct
from collections.abc import Coroutine

import pytest

from raftnode.config.settings import NodeSettings
from raftnode.core.errors import InvariantError, StorageError
from raftnode.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    RequestVoteRequest,
    TimeoutNowRequest,
)
from raftnode.daemon import connections, links
from raftnode.daemon.loop import new_event_loop
from raftnode.wire.client import ErrorCode, Failed, GetStatus, ReadResult, Write, decode_answer
from raftnode.wire.frame import FRAME_BYTES_MAX, encode_frame
from raftnode.wire.hello import PROTOCOL_VERSION, Hello, Rejected, Welcome, decode_hello, decode_hello_answer
from raftnode.wire.peer import decode_message
from tests.conftest import use_default_signals
from tests.replica.fakes import CLIENT_HELLO, CLUSTER, Node, Wire, running, until

LOOPS = {"asyncio": asyncio.new_event_loop, "best": new_event_loop}


@pytest.fixture(params=sorted(LOOPS))
def run(request: pytest.FixtureRequest) -> "Run":
    """Run a coroutine on asyncio's own loop, and on the fastest that is installed."""
    return Run(request.param)


class Run:
    def __init__(self, loop: str) -> None:
        self.loop = loop

    def __call__(self, main: Coroutine[object, object, None]) -> None:
        try:
            with asyncio.Runner(loop_factory=LOOPS[self.loop]) as runner:
                runner.run(main)
        finally:
            # uvloop leaves the handlers of a closed loop in place: a later test's SIGINT would go nowhere.
            use_default_signals()


async def client(node: Node) -> Wire:
    """Return a client's connection that was welcomed."""
    wire = await Wire.open(node.address, CLIENT_HELLO)
    body = await wire.body()
    assert body is not None
    assert isinstance(decode_hello_answer(body), Welcome)
    return wire


async def peer(node: Node, node_id: int, cluster: str = CLUSTER) -> tuple[Wire, Welcome | Rejected]:
    """Return a peer's connection and what it was told."""
    wire = await Wire.open(node.address, Hello(PROTOCOL_VERSION, cluster, node_id, f"i{node_id}", 1))
    body = await wire.body()
    assert body is not None
    return wire, decode_hello_answer(body)


def echo(node: Node) -> None:
    """Let each turn answer every request with its own id."""

    def answer_all() -> None:
        for handle, request in node.replica.requests:
            node.runtime.answer(handle, ReadResult(request.id, 0, b"x"))
        node.replica.requests.clear()

    node.replica.on_turn = answer_all


def test_pipelined_requests_are_handled_in_one_turn_and_all_answered(run: Run) -> None:
    """What arrives together is one batch: one turn, one write for the connection."""

    async def main() -> None:
        async with running() as node:
            wire = await client(node)
            echo(node)
            before = node.replica.turns
            wire.writer.write(b"".join(encode_frame(GetStatus(n)) for n in range(100)))
            got = [decode_answer(await wire.body() or b"").id for _ in range(100)]
            assert got == list(range(100))
            assert node.replica.turns - before <= 2
            await wire.close()
            await until(lambda: node.replica.gone)

    run(main())


@pytest.mark.parametrize(
    ("garbage", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "does not speak this protocol"),
        ((FRAME_BYTES_MAX + 1).to_bytes(4, "big"), "limit"),
        (b"\x00\x00\x00\x00", "limit"),
        (b"\x00\x00\x00\x03abc", "not a Hello"),
    ],
)
def test_what_is_not_the_protocol_closes_only_that_connection(run: Run, garbage: bytes, reason: str) -> None:
    """A malformed, oversized or foreign first frame: closed, counted, logged with address and reason."""

    async def main() -> None:
        async with running() as node:
            good = await client(node)
            bad = await Wire.open(node.address)
            bad.writer.write(garbage)
            assert await bad.body() is None
            assert node.replica.counters["frames_bad"] == 1
            assert "event=connection.closed remote=127.0.0.1:" in node.log_text.getvalue()
            assert reason in node.log_text.getvalue()
            echo(node)
            good.writer.write(encode_frame(GetStatus(7)))
            assert decode_answer(await good.body() or b"").id == 7
            await bad.close()
            await good.close()

    run(main())


def test_a_flood_of_bad_connections_is_counted_but_logged_once(run: Run) -> None:
    """One line a minute for a host and reason: a broken client cannot fill the disk with log lines."""

    async def main() -> None:
        async with running() as node:
            for _ in range(20):
                bad = await Wire.open(node.address)
                bad.writer.write(b"\x00\x00\x00\x00")
                assert await bad.body() is None
                await bad.close()
            assert node.replica.counters["frames_bad"] == 20
            assert node.log_text.getvalue().count("connection.closed") == 1

    run(main())


def test_a_frame_may_arrive_byte_by_byte(run: Run) -> None:
    """TCP has no messages: a frame in many pieces is one request."""

    async def main() -> None:
        async with running() as node:
            wire = await client(node)
            echo(node)
            for byte in encode_frame(GetStatus(3)):
                wire.writer.write(bytes([byte]))
                await wire.writer.drain()
                await asyncio.sleep(0)
            assert decode_answer(await wire.body() or b"").id == 3
            await wire.close()

    run(main())


def test_a_connection_that_says_no_hello_is_closed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever connects must say who it is within a deadline."""
    monkeypatch.setattr(connections, "HELLO_TIMEOUT", 0.05)

    async def main() -> None:
        async with running() as node:
            silent = await Wire.open(node.address)
            assert await silent.body() is None
            assert node.replica.counters["hellos_missing"] == 1
            await silent.close()

    run(main())


def test_a_client_over_the_limit_is_told_so(run: Run) -> None:
    """The number of clients is bounded; the one too many gets a reason, the others stay."""

    async def main() -> None:
        async with running(settings=NodeSettings(connections_max=1)) as node:
            first = await client(node)
            second = await Wire.open(node.address, CLIENT_HELLO)
            answer = decode_hello_answer(await second.body() or b"")
            assert isinstance(answer, Rejected)
            assert answer.code == "busy"
            assert await second.body() is None
            await first.close()
            await second.close()
            await until(lambda: node.replica.gone)
            third = await client(node)
            await third.close()

    run(main())


async def read_in_part(node: Node, size: int, least: int, below: int) -> None:
    """Send 30 writes of `size` bytes: from `least` to `below` of them are read, and all when answers begin to come."""
    wire = await client(node)
    for n in range(30):
        wire.writer.write(encode_frame(Write(n, 0, 0, 0, b"x" * size)))
    await until(lambda: len(node.replica.requests) >= least)
    seen = -1
    while seen != len(node.replica.requests):
        seen = len(node.replica.requests)
        await asyncio.sleep(0.05)
    assert least <= seen < below
    echo(node)
    node.replica.delay = 0.001
    node.runtime._schedule_turn()
    got = [decode_answer(await wire.body() or b"").id for _ in range(30)]
    assert got == list(range(30))
    await wire.close()


def test_reading_pauses_while_too_many_requests_wait(run: Run) -> None:
    """Backpressure: a connection has only so many requests in flight, and goes on when they are answered."""

    async def main() -> None:
        async with running(settings=NodeSettings(requests_in_flight_max=10)) as node:
            await read_in_part(node, 60_000, 10, 20)

    run(main())


def test_reading_pauses_while_large_requests_wait(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few of them are as much as many small ones."""
    monkeypatch.setattr(connections, "REQUEST_BYTES_IN_FLIGHT_MAX", 1024 * 1024)

    async def main() -> None:
        async with running() as node:
            await read_in_part(node, 512 * 1024, 2, 10)

    run(main())


def test_a_client_that_does_not_read_is_closed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for a slow client is bounded: it is closed, counted and logged."""
    monkeypatch.setattr(connections, "OUTGOING_BYTES_MAX", 1024 * 1024)

    async def main() -> None:
        async with running() as node:
            wire = await client(node)
            for n in range(8):
                wire.writer.write(encode_frame(GetStatus(n)))
            await until(lambda: len(node.replica.requests) == 8)

            def answer_much() -> None:
                for handle, request in node.replica.requests:
                    node.runtime.answer(handle, ReadResult(request.id, 0, bytes(4 * 1024 * 1024)))
                node.replica.requests.clear()

            node.replica.on_turn = answer_much
            node.runtime._schedule_turn()
            await until(lambda: node.replica.counters["clients_slow"] == 1)
            await until(lambda: node.replica.gone)
            await wire.close()

    run(main())


def test_an_answer_too_large_for_a_frame_becomes_an_error(run: Run) -> None:
    """The client hears TOO_LARGE and keeps its connection."""

    async def main() -> None:
        async with running() as node:
            wire = await client(node)
            wire.writer.write(encode_frame(GetStatus(5)))
            await until(lambda: node.replica.requests)
            node.runtime.answer(node.replica.requests[0][0], ReadResult(5, 0, bytes(FRAME_BYTES_MAX)))
            node.runtime._schedule_turn()
            answer = decode_answer(await wire.body() or b"")
            assert isinstance(answer, Failed)
            assert (answer.id, answer.code) == (5, ErrorCode.TOO_LARGE)
            await wire.close()

    run(main())


def test_answers_for_a_client_that_is_gone_are_dropped(run: Run) -> None:
    """The replica may answer later than the client stays."""

    async def main() -> None:
        async with running() as node:
            wire = await client(node)
            wire.writer.write(encode_frame(GetStatus(5)))
            await until(lambda: node.replica.requests)
            handle = node.replica.requests[0][0]
            await wire.close()
            await until(lambda: node.replica.gone == [handle])
            node.runtime.answer(handle, ReadResult(5, 0, b""))

    run(main())


def test_two_nodes_talk_both_ways(run: Run) -> None:
    """Requests leave on the dialed connection, responses on the accepted one."""

    async def main() -> None:
        async with running(1) as one, running(2) as two:
            one.runtime.set_members({2: two.address})
            await until(lambda: one.replica.connected == [2])
            request = AppendEntriesRequest(1, 1, 0, 0, [], 0)
            assert one.runtime.send_request(2, request)
            await until(lambda: two.replica.messages)
            assert two.replica.messages == [(1, request)]
            response = AppendEntriesResponse(1, True, 0)
            two.replica.on_turn = lambda: two.runtime.send_response(1, response)
            two.runtime._schedule_turn()
            await until(lambda: one.replica.messages)
            assert one.replica.messages[0] == (2, response)
            assert not two.runtime.send_request(1, TimeoutNowRequest(1, 2))

    run(main())


def test_a_request_leaves_before_the_turn_that_made_it_ends(run: Run) -> None:
    """A leader's entries travel while it writes its own disk (thesis 10.2.1), whichever event loop runs."""

    async def main() -> None:
        async with running(1) as one:
            arrived: list[bytes] = []
            listener = await asyncio.start_server(lambda r, w: held.append(Wire(r, w)), "127.0.0.1", 0)
            held: list[Wire] = []
            port = listener.sockets[0].getsockname()[1]
            one.runtime.set_members({2: f"127.0.0.1:{port}"})
            await until(lambda: held)
            wire = held[0]
            assert decode_hello(await wire.body() or b"").target_id == 2
            wire.writer.write(encode_frame(Welcome(PROTOCOL_VERSION, CLUSTER, 2, "i2")))
            await until(lambda: one.replica.connected)
            raw = wire.writer.get_extra_info("socket")

            def send_and_look() -> None:
                one.runtime.send_request(2, RequestVoteRequest(1, 1, 0, 0))
                arrived.append(os.read(raw.fileno(), 1000))
                one.replica.on_turn = lambda: None

            one.replica.on_turn = send_and_look
            one.runtime._schedule_turn()
            await until(lambda: arrived)
            assert decode_message(arrived[0][4:]) == RequestVoteRequest(1, 1, 0, 0)
            await wire.close()
            listener.close()

    run(main())


def test_a_peer_that_was_dialed_sends_responses_only(run: Run) -> None:
    """Its requests come on the connection that it dials itself, where it says who it is."""

    async def main() -> None:
        async with running(1) as one:
            held: list[Wire] = []
            listener = await asyncio.start_server(lambda r, w: held.append(Wire(r, w)), "127.0.0.1", 0)
            one.runtime.set_members({2: f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"})
            await until(lambda: held)
            wire = held[0]
            assert await wire.body()
            wire.writer.write(encode_frame(Welcome(PROTOCOL_VERSION, CLUSTER, 2, "i2")))
            await until(lambda: one.replica.connected)
            wire.writer.write(encode_frame(AppendEntriesResponse(1, True, 0)))
            wire.writer.write(encode_frame(RequestVoteRequest(1, 2, 0, 0)))
            wire.writer.write(encode_frame(AppendEntriesResponse(2, True, 0)))
            await until(lambda: one.replica.counters["frames_bad"] or len(one.replica.messages) > 1)
            assert {type(message) for _, message in one.replica.messages} <= {AppendEntriesResponse}
            assert one.replica.counters["frames_bad"] == 1
            assert await wire.body() is None
            await wire.close()
            listener.close()

    run(main())


def test_a_lost_peer_is_dialed_again(run: Run) -> None:
    """The peer comes back: the connection too. The replica hears of both; each trouble is logged once."""

    async def main() -> None:
        async with running(1) as one:
            async with running(2) as two:
                port = two.runtime.port
                one.runtime.set_members({2: two.address})
                await until(lambda: one.replica.connected == [2])
            await until(lambda: one.replica.disconnected == [2])
            assert not one.runtime.send_request(2, TimeoutNowRequest(1, 1))
            again = Node(2, NodeSettings(listen=None))
            again.runtime._listen = f"127.0.0.1:{port}"
            await again.runtime.listen()
            task = asyncio.create_task(again.runtime.run(again.replica))
            await until(lambda: one.replica.connected == [2, 2])
            again.runtime.stop()
            await task
            assert one.log_text.getvalue().count("connect") < 20

    run(main())


def test_members_that_are_dropped_are_hung_up(run: Run) -> None:
    """set_members says whom to dial: nobody else keeps a dialed connection."""

    async def main() -> None:
        async with running(1) as one, running(2) as two:
            one.runtime.set_members({2: two.address})
            await until(lambda: one.replica.connected == [2])
            one.runtime.set_members({})
            await until(lambda: one.replica.disconnected == [2])
            assert not one.runtime.send_request(2, TimeoutNowRequest(1, 1))

    run(main())


def test_a_peer_of_another_cluster_is_refused_and_logged_once(run: Run) -> None:
    """The accepting side gives the reason; a peer that keeps trying does not fill the log."""

    async def main() -> None:
        async with running() as node:
            for _ in range(5):
                wire, answer = await peer(node, 2, cluster="other")
                assert isinstance(answer, Rejected)
                assert await wire.body() is None
                await wire.close()
            assert node.replica.counters["hellos_rejected"] == 5
            assert node.log_text.getvalue().count("connection.rejected") == 1

    run(main())


def test_a_welcome_that_the_replica_refuses_ends_the_connection(run: Run) -> None:
    """The dialing side checks whom it has reached; a reason that stays the same is logged once."""

    async def main() -> None:
        async with running(1) as one, running(2) as two:
            one.replica.refuse_welcome = True
            one.runtime.set_members({2: two.address})
            await until(lambda: one.replica.counters["dials_rejected"] >= 3)
            assert one.replica.connected == []
            assert one.log_text.getvalue().count("refused by the dialing side") == 1

    run(main())


@pytest.mark.parametrize(
    "message",
    [
        AppendEntriesResponse(1, True, 0),
        AppendEntriesRequest(1, 3, 0, 0, [], 0),
        RequestVoteRequest(1, 3, 0, 0),
        TimeoutNowRequest(1, 3),
    ],
)
def test_a_peer_speaks_only_for_itself_and_in_its_direction(run: Run, message: AppendEntriesRequest) -> None:
    """A response on a connection for requests, or another node's name in a request, is a bad frame."""

    async def main() -> None:
        async with running() as node:
            wire, answer = await peer(node, 2)
            assert isinstance(answer, Welcome)
            wire.writer.write(encode_frame(message))
            assert await wire.body() is None
            assert node.replica.counters["frames_bad"] == 1
            assert node.replica.messages == []
            await wire.close()

    run(main())


def test_a_peer_whose_machine_vanished_is_noticed_within_seconds(run: Run) -> None:
    """The kernel probes an idle peer connection and gives up on unanswered data after 10 s, on both ends."""

    async def main() -> None:
        async with running(1) as one, running(2) as two:
            one.runtime.set_members({2: two.address})
            await until(lambda: one.replica.connected == [2])
            dialed = one.runtime._links[2].connection
            accepted = two.runtime._accepted_peers[1]
            assert dialed is not None
            for connection in (dialed, accepted):
                endpoint = connection._transport.get_extra_info("socket")
                assert endpoint.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                assert endpoint.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000
                idle, pause, probes = (
                    endpoint.getsockopt(socket.IPPROTO_TCP, option)
                    for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
                )
                assert idle + pause * probes <= 15

    run(main())


def test_connections_that_are_reset_at_once_leave_nothing_behind(run: Run) -> None:
    """A port scanner costs neither memory nor log lines of errors."""

    async def main() -> None:
        async with running() as node:
            for _ in range(100):
                raw = socket.create_connection(("127.0.0.1", node.runtime.port))
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                raw.close()
                await asyncio.sleep(0)
            good = await client(node)
            await until(lambda: len(node.runtime._accepted) == 1)
            assert "error" not in node.log_text.getvalue()
            await good.close()

    run(main())


def test_random_bytes_close_connections_and_nothing_else(run: Run) -> None:
    """Any garbage, after a good Hello too, is refused; the node goes on serving."""

    async def main() -> None:
        rng = random.Random(7)
        async with running() as node:
            for turn in range(60):
                wire = await Wire.open(node.address)
                if turn % 3 == 1:
                    wire.writer.write(encode_frame(CLIENT_HELLO))
                elif turn % 3 == 2:
                    wire.writer.write(encode_frame(Hello(PROTOCOL_VERSION, CLUSTER, 2, "i2", 1)))
                body = bytearray(encode_frame(GetStatus(turn)))
                body[4:] = rng.randbytes(rng.randrange(1, 200))
                body[:4] = (len(body) - 4).to_bytes(4, "big")
                wire.writer.write(bytes(body))
                while await wire.body() is not None:
                    pass
                await wire.close()
            assert node.replica.counters["frames_bad"] == 60
            assert node.replica.messages == []
            good = await client(node)
            await good.close()

    run(main())


def test_a_peers_new_connection_replaces_its_old_one(run: Run) -> None:
    """A half-open connection is no longer answered once its peer has come back."""

    async def main() -> None:
        async with running() as node:
            old, _ = await peer(node, 2)
            new, _ = await peer(node, 2)
            assert await old.body() is None
            node.replica.on_turn = lambda: node.runtime.send_response(2, AppendEntriesResponse(1, True, 0))
            node.runtime._schedule_turn()
            assert decode_message(await new.body() or b"") == AppendEntriesResponse(1, True, 0)
            await old.close()
            await new.close()

    run(main())


@pytest.mark.parametrize("error", [StorageError("EIO"), InvariantError("commit"), ValueError("bug")])
def test_a_replica_that_raises_in_a_turn_stops_the_node(run: Run, error: Exception) -> None:
    """One line says why; nothing more is sent to clients or peers; run() raises."""

    async def main() -> None:
        node = Node(1, NodeSettings())
        await node.runtime.listen()
        task = asyncio.create_task(node.runtime.run(node.replica))
        await until(lambda: node.replica.turns)
        wire = await client(node)

        def answer_then_fail() -> None:
            for handle, request in node.replica.requests:
                node.runtime.answer(handle, ReadResult(request.id, 0, b"never sent"))
            if node.replica.requests:
                raise error

        node.replica.on_turn = answer_then_fail
        wire.writer.write(encode_frame(GetStatus(1)))
        assert await wire.body() is None
        with pytest.raises(type(error)):
            await task
        lines = [line for line in node.log_text.getvalue().splitlines() if "node.failed" in line]
        assert len(lines) == 1
        assert str(error) in lines[0]
        await wire.close()

    run(main())


def test_a_replica_that_raises_while_it_starts_stops_the_node(run: Run) -> None:
    """A damaged log found by start() never serves a connection; no other start is advised, which would find it, too."""

    async def main() -> None:
        node = Node(1, NodeSettings())

        def fail() -> None:
            raise StorageError("wal/00000001.log is damaged at 17")

        node.replica.on_start = fail
        await node.runtime.listen()
        with pytest.raises(StorageError):
            await node.runtime.run(node.replica)
        assert "damaged at 17" in node.log_text.getvalue()
        assert "look closer: raftctl log verify" in node.log_text.getvalue()
        assert "start the node again" not in node.log_text.getvalue()

    run(main())


def test_sigterm_runs_turns_until_the_replica_is_ready_to_stop(run: Run) -> None:
    """A leader hands over first: turns go on, new connections are refused, answers still leave."""

    async def main() -> None:
        node = Node(1, NodeSettings())
        await node.runtime.listen()
        node.runtime.handle_signals()
        node.replica.may_stop = False
        node.replica.delay = 0.001
        task = asyncio.create_task(node.runtime.run(node.replica))
        await until(lambda: node.replica.turns)
        wire = await client(node)
        address = node.address
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: node.replica.shutting_down)
        echo(node)
        wire.writer.write(encode_frame(GetStatus(9)))
        assert decode_answer(await wire.body() or b"").id == 9
        with pytest.raises(OSError):
            await Wire.open(address)
        node.replica.may_stop = True
        await task
        assert await wire.body() is None
        await wire.close()

    run(main())


def test_the_timer_gives_a_turn_when_the_replica_asked_for_it(run: Run) -> None:
    """Without any traffic turns follow the delays that the replica returned."""

    async def main() -> None:
        async with running() as node:
            node.replica.delay = 0.001
            node.runtime._schedule_turn()
            before = node.replica.turns
            await until(lambda: node.replica.turns > before + 20)

    run(main())


def test_reconnect_pauses_are_bounded() -> None:
    """A restarted peer is found again well within a few seconds."""
    assert links.RECONNECT_FIRST < links.RECONNECT_MAX <= 2.0
