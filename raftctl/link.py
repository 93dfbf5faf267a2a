"""What one conversation and a question to many have in common: deadlines, addresses, and who may answer."""

import errno
import socket
import time
from typing import Any, Final

from raftctl.local.contexts import split_address
from raftnode.wire import client as wire
from raftnode.wire.hello import PROTOCOL_VERSION, REJECT_CLUSTER, Hello, Rejected, decode_hello_answer

PAUSE_S: Final = 0.05
RECEIVE_BYTES: Final = 256 * 1024

_ANSWERED_BY: Final[dict[type[wire.AnyRequest], type[wire.Answer]]] = {
    wire.OpenSession: wire.SessionOpened,
    wire.Write: wire.Written,
    wire.Read: wire.ReadResult,
    wire.Watch: wire.ReadResult,
    wire.GetStatus: wire.StatusResult,
    wire.GetLog: wire.LogResult,
    wire.GetEvents: wire.EventsResult,
    wire.ChangeMembers: wire.MembersChanged,
    wire.TransferLeadership: wire.LeadershipTransferred,
    wire.TriggerSnapshot: wire.SnapshotTaken,
    wire.ListSnapshots: wire.SnapshotsResult,
    wire.ReadSnapshot: wire.SnapshotPiece,
}


class Deadline:
    """A moment on the monotonic clock."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._at = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds that are left; 0 when it has passed."""
        return max(0.0, self._at - time.monotonic())

    @property
    def elapsed(self) -> float:
        """The seconds since it was set."""
        return time.monotonic() - self._at + self.seconds

    @property
    def passed(self) -> bool:
        return self.remaining() <= 0

    def capped(self, seconds: float) -> "Deadline":
        """Return a deadline in `seconds`, or this one if it comes first."""
        return Deadline(min(seconds, self.remaining()))

    def pause(self, seconds: float = PAUSE_S) -> bool:
        """Sleep, but not past the deadline. Returns whether time is left."""
        time.sleep(min(seconds, self.remaining()))
        return not self.passed


class LinkError(Exception):
    """A conversation with one node failed.

    `refused`: nobody listens there. `sent`: the request may have arrived. `foreign`: another cluster answers there.
    """

    def __init__(
        self, address: str, reason: str, *, refused: bool = False, sent: bool = False, foreign: bool = False
    ) -> None:
        self.address = address
        self.reason = reason
        self.refused = refused
        self.sent = sent
        self.foreign = foreign
        super().__init__(f"{address}: {reason}")


class Pin:
    """Which cluster is spoken to: the one with the given id, or the first that welcomes us. No other is ever used.

    An address that the members name may be wrong, or may have passed to another cluster: without the pin, its
    answers would be taken for this cluster's, and writes would go there.
    """

    def __init__(self, cluster_id: str = "") -> None:
        self.cluster_id = cluster_id

    def hello(self) -> Hello:
        """Return what to greet a node with: one of another cluster then refuses."""
        return Hello(PROTOCOL_VERSION, self.cluster_id)

    def check(self, address: str, body: bytes) -> None:
        """Read a node's answer to the Hello. Raises LinkError where it refuses or is another cluster's, FrameError."""
        answer = decode_hello_answer(body)
        if isinstance(answer, Rejected):
            if answer.code == REJECT_CLUSTER and self.cluster_id:
                raise LinkError(address, f"another cluster answers there: {answer.reason}", foreign=True)
            raise LinkError(address, f"refused the connection: {answer.reason}")
        if self.cluster_id and answer.cluster_id != self.cluster_id:
            reason = f"another cluster answers there: this is cluster {answer.cluster_id}, not {self.cluster_id}"
            raise LinkError(address, reason, foreign=True)
        self.cluster_id = answer.cluster_id


class AnyCluster(Pin):
    """No pin: whoever answers is heard. For finding out whose an address is."""

    def check(self, address: str, body: bytes) -> None:
        """Read a node's answer to the Hello. Raises LinkError where it refuses, FrameError."""
        Pin().check(address, body)


def check_answer(address: str, request: wire.AnyRequest, answer: wire.Answer) -> None:
    """Raise LinkError unless this is an answer to this request: its own kind, or a failure."""
    if not isinstance(answer, (_ANSWERED_BY[type(request)], wire.Failed)):
        reason = f"does not speak this protocol: it answers a {type(request).__name__} with a {type(answer).__name__}"
        raise LinkError(address, reason, sent=True)


def os_reason(error: OSError) -> tuple[str, bool]:
    """Return why a socket failed, and whether that is because nobody listens."""
    reason = error.strerror or str(error) or type(error).__name__
    return reason[:1].lower() + reason[1:], error.errno == errno.ECONNREFUSED


def resolve(address: str) -> list[tuple[int, Any]]:
    """Return the families and socket addresses that an address stands for. Raises LinkError."""
    host, port = split_address(address)
    try:
        # As bytes, a plain name does not load the codec for international ones, which costs 2 ms.
        found = socket.getaddrinfo(host.encode() if host.isascii() else host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise LinkError(address, f"cannot resolve the name: {error.strerror or error}") from error
    return [(family, target) for family, _, _, _, target in found]
