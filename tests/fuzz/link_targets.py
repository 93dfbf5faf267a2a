"""The clients' side of a socket: whatever a node says, its client gives up with a reason."""

import contextlib
import socket
import threading
from types import TracebackType

import msgspec

from raftctl.commands.cluster.load import run_load, writer
from raftnode.client.connection import Connection
from raftnode.client.errors import ConnectionFailed
from raftnode.client.fanout import ask_all
from raftnode.client.guard import ClusterGuard
from raftnode.client.protocol import ClientProtocol
from raftnode.client.transport import Deadline
from raftnode.config.errors import CommandError
from raftnode.wire.client import GetStatus, OpenSession, decode_answer
from raftnode.wire.frame import encode_frame
from raftnode.wire.hello import PROTOCOL_VERSION, Rejected, Welcome
from tests.fuzz.corpus import corpus
from tests.fuzz.target import Target

PATIENCE_S = 5.0


class SayingNode:
    """A node that says the same to everybody and hangs up."""

    def __enter__(self) -> "SayingNode":
        self.says = b""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE_S)

    def _serve(self) -> None:
        while True:
            try:
                heard, _ = self._listener.accept()
            except OSError:
                return
            with heard, contextlib.suppress(OSError):
                heard.settimeout(PATIENCE_S)
                heard.sendall(self.says)
                heard.shutdown(socket.SHUT_WR)
                while heard.recv(65536):
                    pass


def link_targets(node: SayingNode) -> list[Target]:
    """Return every target of this room: each reads what `node` says."""
    welcome = encode_frame(Welcome(PROTOCOL_VERSION, "c", 1, "ab" * 16, "n1"))
    answers = [msgspec.structs.replace(decode_answer(body), id=1) for body in corpus().answers]
    spoken = [welcome + encode_frame(answer) for answer in answers]
    spoken.append(encode_frame(Rejected("cluster", "this is another cluster")))

    def protocol_alone(data: bytes) -> None:
        protocol = ClientProtocol(ClusterGuard(), "n1:7001")
        protocol.send(GetStatus(0))
        with contextlib.suppress(ConnectionFailed):
            for answer in protocol.receive_data(data):
                assert answer.id == 1

    def one_node(data: bytes) -> None:
        node.says = data
        deadline = Deadline(PATIENCE_S)
        connection = Connection(node.address, ClusterGuard())
        with contextlib.suppress(ConnectionFailed), contextlib.closing(connection):
            assert connection.call(GetStatus(0), deadline).id == 1

    def many_nodes(data: bytes) -> None:
        node.says = data
        asked = ask_all([node.address], GetStatus(0), Deadline(PATIENCE_S))
        assert asked.is_settled(node.address)

    def bench(data: bytes) -> None:
        node.says = data
        with contextlib.suppress(CommandError):
            run_load(
                node.address,
                ClusterGuard(),
                [writer(1, b"x")],
                depth=2,
                seconds=0.0,
                sessions=True,
                report=lambda text: None,
            )

    assert OpenSession(1).id == 1
    return [
        Target("the client's protocol", spoken, protocol_alone),
        Target("a node, to a client", spoken, one_node),
        Target("nodes, to a client", spoken, many_nodes),
        Target("a node, to raftctl bench", spoken, bench),
    ]
