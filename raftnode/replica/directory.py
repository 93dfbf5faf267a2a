"""Names and addresses of the members, as the newest configuration has them."""

from raftnode.core.node import RaftNode
from raftnode.core.types import NodeId
from raftnode.replica.member_plan import addresses, member_context
from raftnode.storage.data_dir import Identity


class Directory:
    """The names and addresses of one node's cluster."""

    def __init__(self, identity: Identity, node: RaftNode) -> None:
        self.identity = identity
        self._node = node

    @property
    def own_name(self) -> str:
        """The name of this node."""
        return self.identity.node_name

    def name_of(self, node: NodeId | None) -> str | None:
        """Return a member's name; its id as text if its name is not known; None for None."""
        if node is None:
            return None
        return member_context(self._node.configuration, node).name or str(node)

    def address_of(self, node: NodeId | None) -> str:
        """Return where a member listens; empty if that is not known."""
        if node is None:
            return ""
        if node == self.identity.node_id:
            return self.identity.address
        return member_context(self._node.configuration, node).address

    def others(self) -> dict[NodeId, str]:
        """Return where the other members listen, as far as that is known."""
        return addresses(self._node.configuration, self.identity.node_id)
