"""`raftnode join`: asks a running cluster to take a node in, and formats its data directory.

Each step may be repeated: the command first checks what has been done already.

    no data directory, not a member   ->  ask the leader to add it as a learner, then format
    no data directory, a member that never held data (a crash between the two steps)  ->  format
    a data directory of this name and address  ->  nothing to do
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from raftnode.client.blocking import BlockingNetwork, run
from raftnode.client.cluster import Dispatcher
from raftnode.client.errors import ClientError, NoLeader, Refused, WrongCluster
from raftnode.client.fanout import ask_all
from raftnode.client.guard import ClusterGuard
from raftnode.client.transport import Deadline
from raftnode.config import errors
from raftnode.config.errors import CommandError, ConflictError, Unreachable
from raftnode.core.membership import Configuration, make_configuration
from raftnode.storage.format import existing_identity, write_data_dir
from raftnode.wire.client import ChangeMembers, GetStatus, MemberAction, MemberOperation, MemberStatus, NodeStatus
from raftnode.wire.peer import encode_member_context

RETRY_PAUSE_S: Final = 0.2
LOOK_S: Final = 1.0
"""How long to wait for the cluster in order to compare it with an existing data directory."""


@dataclass(frozen=True)
class JoinRequest:
    """What the operator asked for. `endpoints` are nodes of the cluster, any that may be up."""

    endpoints: tuple[str, ...]
    name: str
    address: str
    data_dir: Path
    observer: bool = False
    timeout: float = 10.0

    @property
    def capacity(self) -> str:
        return "observer" if self.observer else "learner"


def join(request: JoinRequest) -> tuple[int, bool]:
    """Return (node id, whether anything was changed). Raises CommandError."""
    identity = existing_identity(request.data_dir)
    if identity is not None:
        _check_same(request, identity.cluster_id, identity.node_name, identity.address)
        return identity.node_id, False
    with contextlib.closing(BlockingNetwork(ClusterGuard())) as network:
        dispatcher = Dispatcher(request.endpoints, network)
        deadline = Deadline(request.timeout)
        while True:
            try:
                status, members = run(_ensure_member(request, dispatcher, deadline))
            except WrongCluster as error:
                raise _mixed(error) from error
            except Refused as error:
                raise _refused(request, error) from error
            except ClientError as error:
                # The nodes may not be up yet. If an answer was lost, the members show whether the change was made.
                if not deadline.pause(RETRY_PAUSE_S):
                    raise _gave_up(request, error) from error
            else:
                return _format(request, status, members), True


def _check_same(request: JoinRequest, cluster_id: str, name: str, address: str) -> None:
    """Refuse a directory of another node or, where the cluster answers, of another cluster."""
    if (name, address) != (request.name, request.address):
        raise ConflictError(
            f"{request.data_dir} is the data directory of another node",
            f"it belongs to {name} at {address}; asked for: {request.name} at {request.address}",
            "give the node its own --data-dir",
            code="E_DATA_DIR",
        )
    found = ask_all(request.endpoints, GetStatus(0), Deadline(LOOK_S), enough=lambda answers: bool(answers.answers))
    # The directory says that the node has joined; whether the cluster is up now does not change that.
    for endpoint, answer in found.answers.items():
        if answer.status.cluster_id != cluster_id:
            raise ConflictError(
                f"{request.data_dir} belongs to another cluster",
                f"it is of cluster {cluster_id}; {endpoint} is of {answer.status.cluster_name} "
                f"{answer.status.cluster_id}",
                "give the node a new --data-dir",
                code="E_DATA_DIR",
            )


async def _ensure_member(
    request: JoinRequest, dispatcher: Dispatcher, deadline: Deadline
) -> tuple[NodeStatus, Sequence[MemberStatus]]:
    """Return the leader's status and the members, this node among them.

    Raises CommandError where its name or address is another's, ClientError.
    """
    leader = await dispatcher.leader_status(deadline)
    for member in leader.members:
        if request.name == member.name or request.address == member.address:
            _check_resumable(request, member)
            return leader, leader.members
    action = MemberAction.ADD_OBSERVER if request.observer else MemberAction.ADD_LEARNER
    operation = MemberOperation(action, name=request.name, address=request.address)
    change = await dispatcher.call_leader(ChangeMembers(0, [operation]), deadline)
    return leader, change.members


def _check_resumable(request: JoinRequest, member: MemberStatus) -> None:
    if (request.name, request.address) != (member.name, member.address):
        raise ConflictError(
            f"the cluster has another member {member.name} at {member.address}",
            f"asked for: {request.name} at {request.address}; names and addresses belong to one member each",
            f"choose another one, or remove the member first: raftctl member remove {member.name}",
            code="E_MEMBER_EXISTS",
        )
    if member.kind != request.capacity or member.match_index:
        raise errors.RefusedError(
            f"{member.name} is a {member.kind} of the cluster, and {request.data_dir} is not formatted",
            "a member without the data directory in which it made promises cannot come back under its id",
            f"remove it, then repeat this command: raftctl member remove {member.name}",
            code="E_MEMBER_WIPED",
        )


def _format(request: JoinRequest, leader: NodeStatus, members: Sequence[MemberStatus]) -> int:
    own = next((m for m in members if m.name == request.name), None)
    if own is None:
        raise Unreachable(
            "the leader's answer lacks the new member",
            f"it named {', '.join(m.name for m in members)}",
            "repeat the command",
            code="E_PROTOCOL",
        )
    write_data_dir(
        request.data_dir,
        cluster_id=leader.cluster_id,
        cluster_name=leader.cluster_name,
        node_id=own.id,
        node_name=request.name,
        address=request.address,
        capacity=request.capacity,
        configuration=members_configuration(members),
    )
    return own.id


def members_configuration(members: Sequence[MemberStatus]) -> Configuration:
    """Return the configuration that lists `members`, with which a joining node finds the others."""
    ids: dict[str, list[int]] = {"voter": [], "learner": [], "observer": [], "outgoing": []}
    for member in members:
        ids[member.kind].append(member.id)
    contexts = {m.id: encode_member_context(m.name, m.address) for m in members}
    configuration = make_configuration(ids["voter"], ids["learner"], ids["observer"], contexts)
    if ids["outgoing"]:
        # In a joint phase the answer does not tell which voters are in both sets; a learner does not count votes.
        return replace(configuration, voters_outgoing=tuple(sorted(ids["outgoing"])))
    return configuration


def _refused(request: JoinRequest, error: Refused) -> CommandError:
    return errors.RefusedError(
        f"the cluster does not take {request.name} in",
        error.reason,
        "see the members: raftctl member list",
        code="E_REFUSED",
    )


def _mixed(error: WrongCluster) -> CommandError:
    found = "; ".join(f"{name} ({id_}) at {', '.join(addresses)}" for (name, id_), addresses in error.found.items())
    return errors.UsageError(
        "the endpoints belong to different clusters", found or error.reason, "name the nodes of one cluster: --cluster"
    )


def _gave_up(request: JoinRequest, error: ClientError) -> CommandError:
    asked = f"asked {', '.join(request.endpoints)} for {request.timeout:g} s"
    if isinstance(error, NoLeader):
        said = error.said or next((s.no_leader_reason for s in error.statuses if s.no_leader_reason), "none leads")
        return errors.NoLeaderError(
            f"the cluster has no leader that takes {request.name} in",
            said,
            f"{asked}; repeat the command when it has one",
            code="E_NO_LEADER",
        )
    return Unreachable(
        "cannot reach the cluster",
        str(error),
        f"{asked}; check --cluster, and that its nodes run",
        code="E_UNREACHABLE",
    )
