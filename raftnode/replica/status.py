"""Everything that an operator may ask about one node, as one value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from raftnode.config.settings import ReplicaSettings
from raftnode.config.times import rfc3339
from raftnode.core.node import RaftNode
from raftnode.core.types import NodeId
from raftnode.replica.directory import Directory
from raftnode.replica.durability import Durability
from raftnode.replica.member_plan import NEVER_MS, member_statuses
from raftnode.replica.snapshots import Snapshots
from raftnode.wire.client import MemberStatus, NodeStatus


@dataclass(frozen=True, slots=True)
class StatusReport:
    """Builds a node's status from its parts. `heard` says when each peer last sent anything, whatever its term."""

    node: RaftNode
    settings: ReplicaSettings
    directory: Directory
    durability: Durability
    snapshots: Snapshots
    counters: Mapping[str, int]
    heard: Mapping[NodeId, float]
    clock: Callable[[], float]
    started: float
    started_wall: float

    def __call__(self) -> NodeStatus:
        """Return the status as it is now."""
        core, identity, newest = self.node.status(), self.directory.identity, self.snapshots.newest
        return NodeStatus(
            cluster_id=identity.cluster_id,
            cluster_name=identity.cluster_name,
            node_id=identity.node_id,
            node_name=identity.node_name,
            address=identity.address,
            instance_id=identity.instance_id,
            version=self.settings.version,
            role=core.role.value,
            term=core.current_term,
            leader_id=core.leader_id,
            leader_address=self.directory.address_of(core.leader_id),
            commit_index=core.commit_index,
            applied_index=core.applied_index,
            first_log_index=core.first_log_index,
            last_log_index=core.last_log_index,
            snapshot_index=0 if newest is None else newest.index,
            snapshot_term=0 if newest is None else newest.term,
            configuration_index=core.configuration_index,
            joint=core.configuration.joint,
            members=[self._with_contact(member) for member in member_statuses(core, core.configuration)],
            started_at=rfc3339(self.started_wall),
            uptime_ms=round((self.clock() - self.started) * 1000),
            storage_state="full" if self.durability.full else "ok",
            no_leader_reason=core.no_leader_reason,
            counters=dict(self.counters),
        )

    def _with_contact(self, member: MemberStatus) -> MemberStatus:
        """Fill in a contact from an earlier term if the core has not heard from the member in this one."""
        heard = self.heard.get(member.id)
        if member.last_contact_ms != NEVER_MS or heard is None:
            return member
        return replace(member, last_contact_ms=round((self.clock() - heard) * 1000))
