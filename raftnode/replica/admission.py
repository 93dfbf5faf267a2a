"""Whom this node accepts: the checks of the first frame in each direction."""

from collections.abc import Callable

from raftnode.core.membership import Configuration
from raftnode.core.types import NodeId
from raftnode.storage.data_dir import Identity
from raftnode.storage.filesystem import NoSpaceError
from raftnode.wire.hello import (
    PROTOCOL_VERSION,
    REJECT_BUSY,
    REJECT_CLUSTER,
    REJECT_INSTANCE,
    REJECT_NODE,
    REJECT_REMOVED,
    REJECT_VERSION,
    Hello,
    Rejected,
    Welcome,
)


class Admission:
    """Knows this node's identity, and which data directory each other node had when it was first met.

    A node id that comes with another data directory was wiped: it forgot votes and entries that it had promised
    to keep, so it may not come back under that id.
    """

    def __init__(
        self, identity: Identity, known_instances: dict[int, str], remember_instance: Callable[[int, str], None]
    ) -> None:
        self._identity = identity
        self._known = dict(known_instances)
        self._remember = remember_instance

    def check_hello(self, hello: Hello, committed: Configuration, latest: Configuration) -> Welcome | Rejected:
        """Answer the dialing side, a client or a peer, by the `committed` members and the `latest` in the log."""
        me = self._identity
        if hello.protocol_version != PROTOCOL_VERSION:
            return Rejected(
                REJECT_VERSION,
                f"protocol version {hello.protocol_version} is not known here; node {me.node_id} speaks version "
                f"{PROTOCOL_VERSION}",
            )
        if hello.node_id == 0:
            if hello.cluster_id not in ("", me.cluster_id):
                return self._other_cluster(hello.cluster_id)
            return self._welcome()
        if hello.cluster_id != me.cluster_id:
            return self._other_cluster(hello.cluster_id)
        if hello.target_id != me.node_id:
            return Rejected(REJECT_NODE, f"this is node {me.node_id} ({me.node_name}), not node {hello.target_id}")
        if hello.node_id == me.node_id:
            return Rejected(REJECT_NODE, f"node {hello.node_id} is this node itself: two data directories share an id")
        if hello.node_id <= committed.highest_id and hello.node_id not in committed.members():
            return Rejected(
                REJECT_REMOVED,
                f"node {hello.node_id} was removed from cluster {me.cluster_name}; to come back it joins as a new "
                "member with an empty data directory: raftnode join",
            )
        is_member = hello.node_id in committed.members() or hello.node_id in latest.members()
        return self._check_instance(hello.node_id, hello.instance_id, remember=is_member) or self._welcome()

    def check_welcome(self, peer: NodeId, welcome: Welcome) -> Rejected | None:
        """Say why the node that was dialed as `peer` is not it."""
        me = self._identity
        if welcome.protocol_version != PROTOCOL_VERSION:
            return Rejected(
                REJECT_VERSION,
                f"node {peer} speaks protocol version {welcome.protocol_version}; this node speaks version "
                f"{PROTOCOL_VERSION}",
            )
        if welcome.cluster_id != me.cluster_id:
            return self._other_cluster(welcome.cluster_id)
        if welcome.node_id != peer:
            return Rejected(REJECT_NODE, f"node {welcome.node_id} answers at the address of node {peer}")
        return self._check_instance(peer, welcome.instance_id, remember=True)

    def _check_instance(self, node: NodeId, instance: str, *, remember: bool) -> Rejected | None:
        """Refuse another data directory than the known one. A stranger's is not kept: anyone could fill the disk."""
        known = self._known.get(node)
        if known is None:
            if remember:
                try:
                    self._remember(node, instance)
                except NoSpaceError as error:
                    return Rejected(REJECT_BUSY, f"node {node} cannot be admitted now: {error}")
                self._known[node] = instance
            return None
        if known == instance:
            return None
        return Rejected(
            REJECT_INSTANCE,
            f"node {node} has the data directory {instance}, and had {known} before: it was wiped or replaced, and "
            f"must come back under a new id: remove it (raftctl member remove {node}), then raftnode join with an "
            "empty data directory",
        )

    def _welcome(self) -> Welcome:
        me = self._identity
        return Welcome(PROTOCOL_VERSION, me.cluster_id, me.node_id, me.instance_id, me.node_name)

    def _other_cluster(self, cluster_id: str) -> Rejected:
        me = self._identity
        return Rejected(
            REJECT_CLUSTER, f"this is cluster {me.cluster_id} ({me.cluster_name}), not cluster {cluster_id or '(none)'}"
        )
