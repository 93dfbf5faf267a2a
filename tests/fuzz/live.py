"""A node in this process that gets nonsense from peers and clients which speak the protocol."""

import random
from types import TracebackType

from raftnode.core.errors import InvariantError
from raftnode.wire.client import TriggerSnapshot, decode_request
from raftnode.wire.frame import FrameError
from raftnode.wire.peer import decode_message
from tests.support.replicas import Client, Cluster, SimulatedConnection, put

INPUTS_MAX = 500
"""The cluster is replaced after this many inputs, so that what a node was made to believe hides no later bug."""


class Listener(Client):
    """Takes any answer."""

    __hash__ = Client.__hash__

    def take(self, connection: SimulatedConnection, body: bytes) -> None:
        self.answers.clear()


class LiveReplica:
    """Three nodes, one of which receives the inputs and takes a turn after each."""

    def __enter__(self) -> "LiveReplica":
        self.reset()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self._cluster

    def reset(self) -> None:
        """Begin again, as at the beginning."""
        self._rng = random.Random(7)
        self._renew()

    def peer_message(self, body: bytes) -> None:
        """Let a peer send a frame's body. Only what would replace committed entries may stop the node."""
        try:
            message = decode_message(body)
        except FrameError:
            return
        self._cluster.replica(self._victim).receive_peer(self._rng.choice((1, 2, 3, 7)), message)
        try:
            self._turn()
        except InvariantError as error:
            if "would replace entry" not in str(error):
                raise
            self._renew()

    def client_request(self, body: bytes) -> None:
        """Let a client send a frame's body."""
        try:
            request = decode_request(body)
        except FrameError:
            return
        self._cluster.replica(self._victim).receive_client(self._connection, request)
        self._turn()

    def _turn(self) -> None:
        self._cluster.clock.now += 0.001
        self._cluster.replica(self._victim).turn()
        self._inputs += 1
        if self._inputs == INPUTS_MAX:
            self._renew()

    def _renew(self) -> None:
        self._inputs = 0
        self._cluster = Cluster(3, seed=self._rng.getrandbits(32))
        leader = self._cluster.leader()
        client = self._cluster.client()
        for number in range(10):
            client.ask(leader, put(client, b"k%d" % number))
        self._victim = self._rng.choice((leader, leader % 3 + 1))
        client.ask(self._victim, TriggerSnapshot(client.next_id()))
        self._connection = SimulatedConnection(Listener(self._cluster, "anybody"), self._victim, 0, 0)
