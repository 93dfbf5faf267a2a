"""The first frame in each direction: who the sender is, and which cluster it belongs to."""

from typing import Annotated, Final

import msgspec

from raftnode.wire.frame import decode_as
from raftnode.wire.version import PROTOCOL_VERSION as PROTOCOL_VERSION


class Hello(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """The dialing side's first frame.

    A client has `node_id` 0 and may leave `cluster_id` empty to accept any cluster. A peer gives its node id,
    the random instance id of its data directory, and in `target_id` the node that it means to dial.
    """

    protocol_version: int
    cluster_id: str = ""
    node_id: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    instance_id: str = ""
    target_id: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0


class Welcome(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """The accepting side's first frame: the connection is open for requests."""

    protocol_version: int
    cluster_id: str
    node_id: int
    instance_id: str
    node_name: str = ""


class Rejected(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=3):
    """The accepting side refuses and closes.

    `code` is one of the REJECT_ constants; `reason` is for a person.
    """

    code: str
    reason: str


REJECT_VERSION: Final = "version"
REJECT_CLUSTER: Final = "cluster"
REJECT_NODE: Final = "node"
"""Another node answers at this address than the one that was dialed."""
REJECT_INSTANCE: Final = "instance"
"""A known node id with another data directory: the node was wiped, and must come back under a new id."""
REJECT_REMOVED: Final = "removed"
REJECT_PROTOCOL: Final = "protocol"
REJECT_BUSY: Final = "busy"
"""The node has reached its limit of client connections: try another node, or later."""

_hello = msgspec.msgpack.Decoder(Hello)
_answer: msgspec.msgpack.Decoder[Welcome | Rejected] = msgspec.msgpack.Decoder(Welcome | Rejected)


def decode_hello(body: bytes) -> Hello:
    """Return a dialing side's first frame. Raises FrameError."""
    return decode_as(_hello, body, "a Hello, which is the first frame")


def decode_hello_answer(body: bytes) -> Welcome | Rejected:
    """Return an accepting side's first frame. Raises FrameError."""
    return decode_as(_answer, body, "a Welcome or a Rejected, which is the first answer")
