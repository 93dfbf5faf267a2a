"""Keeps a client from talking to two clusters."""

from raftnode.client.errors import ConnectionFailed
from raftnode.wire.hello import PROTOCOL_VERSION, REJECT_CLUSTER, Hello, Rejected, Welcome, decode_hello_answer


class ClusterGuard:
    """Admits the nodes of one cluster: the one with the given id, or that of the first node that welcomes us.

    An address in a member list may be wrong, or may have passed to another cluster. Without the guard, that
    cluster's answers would be taken for this one's, and writes would go there. All connections of a client share
    one guard. `any_cluster` admits every node, for finding out which cluster owns an address.
    """

    def __init__(self, cluster_id: str = "", *, any_cluster: bool = False) -> None:
        self.cluster_id = cluster_id
        self._any_cluster = any_cluster

    def hello(self) -> Hello:
        """Return the Hello to open a connection with: a node of another cluster then refuses."""
        return Hello(PROTOCOL_VERSION, self.cluster_id)

    def admit(self, address: str, body: bytes) -> Welcome:
        """Return a node's Welcome. Raises ConnectionFailed if it refuses or is another cluster's, and FrameError."""
        answer = decode_hello_answer(body)
        if isinstance(answer, Rejected):
            if answer.code == REJECT_CLUSTER and self.cluster_id:
                raise ConnectionFailed(address, f"another cluster answers there: {answer.reason}", foreign=True)
            raise ConnectionFailed(address, f"refused the connection: {answer.reason}")
        if self._any_cluster:
            return answer
        if self.cluster_id and answer.cluster_id != self.cluster_id:
            reason = f"another cluster answers there: this is cluster {answer.cluster_id}, not {self.cluster_id}"
            raise ConnectionFailed(address, reason, foreign=True)
        self.cluster_id = answer.cluster_id
        return answer
