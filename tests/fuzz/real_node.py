"""A real `raftnode` process that gets nonsense over its sockets from strangers, clients, and a peer.

    n1 and n2 are processes and have a quorum. n1 is fed. n3 never runs: this script speaks in its name to n1, and
    answers n1's dials at its address.

A peer that the cluster trusts can do what Raft does not guard against: acknowledge what it does not have, or demand
a term that no later one exceeds. So in n3's name only those frames go out that are refused, or that ask for votes, or
that promise nothing. What a trusted peer can do beyond that is for the target "a replica and its peers".
"""

import contextlib
import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import TracebackType

from raftnode.client.fanout import ask_all
from raftnode.client.transport import Deadline
from raftnode.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    PreVoteRequest,
    PreVoteResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    TimeoutNowRequest,
)
from raftnode.wire.client import (
    ChangeMembers,
    GetStatus,
    NodeStatus,
    TransferLeadership,
    decode_request,
)
from raftnode.wire.frame import HELLO_BYTES_MAX, FrameDecoder, FrameError, encode_frame
from raftnode.wire.hello import PROTOCOL_VERSION, Hello, Welcome, decode_hello, decode_hello_answer
from raftnode.wire.peer import decode_message
from tests.fuzz.corpus import body_of, corpus
from tests.fuzz.mutation import mutate
from tests.fuzz.run import GROWTH_BYTES_MAX, WARM_UP, Fed, FuzzFailure, resident_bytes
from tests.support.processes import ProcessCluster

NAME = "a real node"
PATIENCE_S = 20.0
FRAMES_MAX = 4
"""How many frames one connection brings."""
HALF_OPEN_MAX = 40
"""How many connections stay open that say nothing more."""
TERM_MAX = 1000
INSTANCE = "cd" * 16
SETTINGS: dict[str, dict[str, object]] = {
    "storage": {"log_cache_bytes": "1MiB", "segment_bytes": "1MiB"},
    "snapshot": {"entries": 2000, "trailing_entries": 100},
}
"""These bound what a node keeps of valid input, and the bounds are soon reached."""


def feed_real_node(path: Path, inputs: int, seed: int) -> Fed:
    """Feed a node `inputs` frames. Raises FuzzFailure if it dies, grows, or does not serve afterwards."""
    with real_node(path, seed) as node:
        return node.feed(inputs)


@contextlib.contextmanager
def real_node(path: Path, seed: int) -> Iterator["RealNode"]:
    """Give a node that waits to be fed. It and its companion are killed at the end."""
    cluster = ProcessCluster(path, 3, SETTINGS)
    try:
        cluster.start("n1", "n2")
        cluster.wait_leader()
        with RealNode(cluster, seed) as node:
            yield node
    finally:
        cluster.kill()


class RealNode:
    """What feeds n1 of a running cluster."""

    def __init__(self, cluster: ProcessCluster, seed: int) -> None:
        self.cluster = cluster
        self.refused = Counter[str]()
        """How many connections n1 had to close because of what they sent, by the counter that shows it."""
        self._seed = seed
        self._rng = random.Random(f"{seed}/{NAME}")
        self._cluster_id = self._status().cluster_id
        self._half_open: list[socket.socket] = []
        host, _, port = cluster.addresses["n1"].rpartition(":")
        self._address = (host, int(port))
        self._responder = Responder(cluster.addresses["n3"], self._cluster_id, random.Random(self._rng.random()))

    def __enter__(self) -> "RealNode":
        self._responder.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._responder.stop()
        for half in self._half_open:
            half.close()

    def feed(self, inputs: int) -> Fed:
        """Give n1 its frames; then check that it lives, serves, has not grown, and counted what it refused."""
        began, fed, before = time.monotonic(), 0, 0
        try:
            while fed < inputs:
                if not before and fed >= inputs * WARM_UP:
                    before = self._resident()
                fed += self._rng.choice((self._stranger, self._client, self._client, self._peer))()
            growth = self._resident() - before
            self._check_service()
            self._check_counted()
        except (AssertionError, OSError) as error:
            last = self.cluster.log_text("n1")[-1500:]
            raise FuzzFailure(f"{NAME}: after {fed} inputs of seed {self._seed}: {error}\nits log: {last}") from error
        if growth > GROWTH_BYTES_MAX:
            raise FuzzFailure(f"{NAME}: {fed} inputs of seed {self._seed} left {growth} bytes more in memory")
        return Fed(NAME, fed, time.monotonic() - began, growth)

    # Who speaks.

    def _stranger(self) -> int:
        """Say a wrong Hello, or none."""
        if self._rng.random() < 0.1:
            self._leave_half_open(self._connect())
            return 1
        hello = mutate(self._rng, corpus().hellos)
        self._speak(self._connect(), frame_of(hello), counter_of_hello(hello, self._cluster_id))
        return 1

    def _client(self) -> int:
        """Say Hello as a client, then send mutated requests."""
        bodies = [body for body in self._bodies(corpus().requests) if is_harmless_request(body)]
        return self._converse(Hello(PROTOCOL_VERSION, ""), bodies, refuses_request)

    def _peer(self) -> int:
        """Say Hello as n3, then send mutated messages."""
        hello = Hello(PROTOCOL_VERSION, self._cluster_id, 3, INSTANCE, 1)
        bodies = [body for body in self._bodies(corpus().peers) if is_harmless_message(body)]
        return self._converse(hello, bodies, refuses_message)

    def _bodies(self, seeds: list[bytes]) -> list[bytes]:
        return [mutate(self._rng, seeds) for _ in range(self._rng.randint(1, FRAMES_MAX))]

    def _converse(self, hello: Hello, bodies: list[bytes], refuses: Callable[[bytes], bool]) -> int:
        connection = self._connect()
        connection.sendall(encode_frame(hello))
        answer = decode_hello_answer(read_frame(connection))
        assert isinstance(answer, Welcome), answer
        bad = next((number for number, body in enumerate(bodies, 1) if refuses(body)), 0)
        sent = bodies[: bad or None]
        self._speak(connection, b"".join(map(frame_of, sent)), "frames_bad" if bad else "")
        return max(len(sent), 1)

    # How they speak.

    def _speak(self, connection: socket.socket, data: bytes, counter: str) -> None:
        """Send `data` in pieces. Where it must be refused, wait until the node hangs up; else leave in some way."""
        with contextlib.suppress(ConnectionError):
            for piece in pieces_of(self._rng, data):
                connection.sendall(piece)
        if counter:
            wait_hangup(connection)
            self.refused[counter] += 1
            connection.close()
            return
        match self._rng.randrange(4):
            case 0:
                self._leave_half_open(connection)
            case 1:
                connection.close()
            case _:
                hang_up(connection)

    def _leave_half_open(self, connection: socket.socket) -> None:
        """Say the beginning of a frame, and no more."""
        with contextlib.suppress(ConnectionError):
            connection.sendall(struct.pack(">I", self._rng.randrange(1, HELLO_BYTES_MAX)) + self._rng.randbytes(3))
        self._half_open.append(connection)
        if len(self._half_open) > HALF_OPEN_MAX:
            hang_up(self._half_open.pop(self._rng.randrange(HALF_OPEN_MAX)))

    def _connect(self) -> socket.socket:
        connection = socket.create_connection(self._address, timeout=PATIENCE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    # What must hold.

    def _status(self) -> NodeStatus:
        address = self.cluster.addresses["n1"]
        answer = ask_all([address], GetStatus(0), Deadline(PATIENCE_S)).answers.get(address)
        assert answer is not None, "n1 does not answer"
        return answer.status

    def _resident(self) -> int:
        self._status()
        return resident_bytes(self.cluster.pid("n1"))

    def _check_service(self) -> None:
        """A correct client writes and reads through the present leader."""
        self._responder.stop()
        self.cluster.wait_leader()
        done = self.cluster.raftctl("kv", "put", "after", "all this", "--timeout", "20s", check=False)
        assert done.returncode == 0, done.stderr
        got = self.cluster.raftctl("kv", "get", "after", "--raw", "--timeout", "20s", check=False)
        assert got.stdout == "all this", got

    def _check_counted(self) -> None:
        """Every refused connection is counted, and the log says why, with the counter's name."""
        counters = self._status().counters
        for counter, least in self.refused.items():
            assert counters.get(counter, 0) >= least, f"{least} refusals, and the node counted {counters}"
        log = self.cluster.log_text("n1")
        assert not self.refused["frames_bad"] or re.search(
            r'level=warn .*event=connection\.closed remote=127\.0\.0\.1:\d+ reason="not .*" counter=frames_bad', log
        )
        assert not self.refused["hellos_rejected"] or "event=connection.rejected" in log
        assert "Traceback" not in log
        assert "event=loop.error" not in log


class Responder:
    """Listens at n3's address and answers every connection with a Welcome and mutated responses."""

    def __init__(self, address: str, cluster_id: str, rng: random.Random) -> None:
        self._rng = rng
        host, _, port = address.rpartition(":")
        self._listener = socket.create_server((host, int(port)), reuse_port=False)
        self._welcome = body_of(Welcome(PROTOCOL_VERSION, cluster_id, 3, INSTANCE, "n3"))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._stopped = False

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Be gone. Harmless when repeated."""
        if not self._stopped:
            self._stopped = True
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._thread.join(PATIENCE_S)

    def _serve(self) -> None:
        while True:
            try:
                dialed, _ = self._listener.accept()
            except OSError:
                return
            with dialed, contextlib.suppress(OSError, FrameError):
                dialed.settimeout(PATIENCE_S)
                decode_hello(read_frame(dialed))
                for piece in pieces_of(self._rng, self._answer()):
                    dialed.sendall(piece)
                hang_up(dialed)

    def _answer(self) -> bytes:
        if self._rng.random() < 0.3:
            return frame_of(mutate(self._rng, [self._welcome, *corpus().hellos]))
        bodies = [mutate(self._rng, corpus().peers) for _ in range(self._rng.randrange(FRAMES_MAX))]
        return b"".join(map(frame_of, [self._welcome, *filter(is_harmless_response, bodies)]))


def counter_of_hello(hello: bytes, cluster_id: str) -> str:
    """Return which counter of the node counts the refusal of this Hello, or nothing if it must be accepted."""
    if len(hello) > HELLO_BYTES_MAX or fails(decode_hello, hello):
        return "frames_bad"
    said = decode_hello(hello)
    right = said.protocol_version == PROTOCOL_VERSION and said.cluster_id in ("", cluster_id) and not said.node_id
    return "" if right else "hellos_rejected"


def refuses_request(body: bytes) -> bool:
    """Return whether a node must hang up on a client that sends this."""
    return fails(decode_request, body)


def refuses_message(body: bytes) -> bool:
    """Return whether a node must hang up on n3, if that sends this as a request."""
    if fails(decode_message, body):
        return True
    match decode_message(body):
        case AppendEntriesRequest(leader_id=3) | InstallSnapshotRequest(leader_id=3) | TimeoutNowRequest(leader_id=3):
            return False
        case RequestVoteRequest(candidate_id=3) | PreVoteRequest(candidate_id=3):
            return False
        case _:
            return True


def fails(decode: Callable[[bytes], object], body: bytes) -> bool:
    """Return whether a frame with this body is refused; one without a body always is."""
    if not body:
        return True
    try:
        decode(body)
    except FrameError:
        return True
    return False


def is_harmless_request(body: bytes) -> bool:
    """Return whether the cluster stays as it is, whatever this does: who is a member and who leads is not changed."""
    return refuses_request(body) or not isinstance(decode_request(body), ChangeMembers | TransferLeadership)


def is_harmless_message(body: bytes) -> bool:
    """Return whether n3 may send this: it is refused, or asks for a vote, or is of a leader that is long gone."""
    if refuses_message(body):
        return True
    message = decode_message(body)
    if isinstance(message, AppendEntriesRequest | InstallSnapshotRequest):
        return message.term == 0
    return message.term <= TERM_MAX


def is_harmless_response(body: bytes) -> bool:
    """Return whether n3 may answer this: it is refused, or promises nothing."""
    if fails(decode_message, body):
        return True
    message = decode_message(body)
    match message:
        case AppendEntriesResponse(success=True):
            return False
        case RequestVoteResponse(vote_granted=True) | PreVoteResponse(vote_granted=True) | InstallSnapshotResponse():
            return False
        case _:
            return message.term <= TERM_MAX


def frame_of(body: bytes) -> bytes:
    """Return a body behind its length, whatever it is."""
    return struct.pack(">I", len(body)) + body


def pieces_of(rng: random.Random, data: bytes) -> list[bytes]:
    """Cut a stream at random."""
    cuts = sorted({0, len(data), *(rng.randrange(len(data) + 1) for _ in range(rng.randrange(4)))})
    return [data[begin:end] for begin, end in pairwise(cuts)]


def read_frame(connection: socket.socket) -> bytes:
    """Return the first frame that comes; of what follows nothing is kept."""
    decoder = FrameDecoder()
    while True:
        data = connection.recv(65536)
        if not data:
            raise ConnectionError("hung up before a frame was complete")
        if bodies := decoder.feed(data):
            return bodies[0]


def wait_hangup(connection: socket.socket) -> None:
    """Read until the other side is gone. Raises TimeoutError where it stays."""
    with contextlib.suppress(ConnectionError):
        while connection.recv(65536):
            pass


def hang_up(connection: socket.socket) -> None:
    """Be gone at once: what was on its way is lost."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
