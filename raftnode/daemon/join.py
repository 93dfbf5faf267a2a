"""`raftnode join`: asks a running cluster to take a node in, and formats its data directory.

Each step may be repeated: the command asks first what is already so.

    no data directory, not a member   ->  ask the leader to add it as a learner, then format
    no data directory, a member that never held data (a crash between the two steps)  ->  format
    a data directory of this name and address  ->  nothing to do
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from raftnode.config.errors import CliError, Conflict, NoLeader, Refused, Unreachable
from raftnode.core.errors import TransportError
from raftnode.core.membership import Configuration, make_configuration
from raftnode.daemon.admin import RequestFailed, ask
from raftnode.storage.format import existing_identity, write_data_dir
from raftnode.wire.client import (
    ChangeMembers,
    ErrorCode,
    GetStatus,
    MemberAction,
    MemberOperation,
    MembersChanged,
    MemberStatus,
    NodeStatus,
    StatusResult,
)
from raftnode.wire.peer import encode_member_context

RETRY_PAUSE = 0.2
_LATER = (
    ErrorCode.NO_LEADER,
    ErrorCode.NOT_LEADER,
    ErrorCode.BUSY,
    ErrorCode.OVERWRITTEN,
    ErrorCode.SHUTTING_DOWN,
    ErrorCode.TIMED_OUT,
)


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
    """Return (node id, whether anything was changed). Raises CliError."""
    identity = existing_identity(request.data_dir)
    if identity is not None:
        _check_same(request, identity.cluster_id, identity.node_name, identity.address)
        return identity.node_id, False
    deadline = time.monotonic() + request.timeout
    trouble: Exception = TransportError("no endpoint was asked")
    while True:
        try:
            status = _leader_status(request, deadline)
            members = _ensure_member(request, status, deadline)
        except (TransportError, RequestFailed) as error:
            trouble = error
        else:
            return _format(request, status, members), True
        if isinstance(trouble, RequestFailed) and trouble.failed.code not in _LATER:
            raise _refused(request, trouble)
        if time.monotonic() + RETRY_PAUSE >= deadline:
            raise _gave_up(request, trouble)
        time.sleep(RETRY_PAUSE)


def _check_same(request: JoinRequest, cluster_id: str, name: str, address: str) -> None:
    """Refuse a directory of another node or, where the cluster answers, of another cluster."""
    if (name, address) != (request.name, request.address):
        raise Conflict(
            f"{request.data_dir} is the data directory of another node",
            f"it belongs to {name} at {address}; asked for: {request.name} at {request.address}",
            "give the node its own --data-dir",
            code="E_DATA_DIR",
        )
    for endpoint in request.endpoints:
        try:
            status = _status(endpoint, 1.0)
        except (TransportError, RequestFailed):
            # The directory says that the node has joined; whether the cluster is up now does not change it.
            continue
        if status.cluster_id != cluster_id:
            raise Conflict(
                f"{request.data_dir} belongs to another cluster",
                f"it is of cluster {cluster_id}; {endpoint} is of {status.cluster_name} {status.cluster_id}",
                "give the node a new --data-dir",
                code="E_DATA_DIR",
            )
        return


def _status(address: str, timeout: float) -> NodeStatus:
    return ask(address, GetStatus(1), StatusResult, timeout=timeout).status


def _leader_status(request: JoinRequest, deadline: float) -> NodeStatus:
    """Return the leader's own status, found through any endpoint. Raises TransportError, or RequestFailed."""
    trouble = TransportError("no endpoint was given")
    for endpoint in request.endpoints:
        timeout = min(3.0, max(0.1, deadline - time.monotonic()))
        try:
            status = _status(endpoint, timeout)
            if status.role == "leader":
                return status
            if not status.leader_address:
                reason = status.no_leader_reason or "it may be electing one"
                trouble = TransportError(f"{endpoint} knows no leader: {reason}")
                continue
            leader = _status(status.leader_address, timeout)
        except TransportError as error:
            trouble = error
            continue
        if leader.role == "leader":
            return leader
        trouble = TransportError(f"{status.leader_address} does not lead any more")
    raise trouble


def _ensure_member(request: JoinRequest, leader: NodeStatus, deadline: float) -> Sequence[MemberStatus]:
    """Return the members, this node among them. Raises CliError where its name or address is another's."""
    for member in leader.members:
        if request.name == member.name or request.address == member.address:
            _check_resumable(request, member)
            return leader.members
    action = MemberAction.ADD_OBSERVER if request.observer else MemberAction.ADD_LEARNER
    operation = MemberOperation(action, name=request.name, address=request.address)
    timeout = max(0.1, deadline - time.monotonic())
    change = ask(leader.address, ChangeMembers(2, [operation]), MembersChanged, timeout=timeout)
    return change.members


def _check_resumable(request: JoinRequest, member: MemberStatus) -> None:
    if (request.name, request.address) != (member.name, member.address):
        raise Conflict(
            f"the cluster has another member {member.name} at {member.address}",
            f"asked for: {request.name} at {request.address}; names and addresses belong to one member each",
            f"choose another one, or remove the member first: raftctl member remove {member.name}",
            code="E_MEMBER_EXISTS",
        )
    if member.kind != request.capacity or member.match_index:
        raise Refused(
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
        # Between two voter sets: who is in both is not told, and a learner does not count them.
        return replace(configuration, voters_outgoing=tuple(sorted(ids["outgoing"])))
    return configuration


def _refused(request: JoinRequest, error: RequestFailed) -> CliError:
    return Refused(
        f"the cluster does not take {request.name} in",
        error.failed.message,
        "see the members: raftctl member list",
        code="E_REFUSED",
    )


def _gave_up(request: JoinRequest, trouble: Exception) -> CliError:
    asked = ", ".join(request.endpoints)
    if isinstance(trouble, RequestFailed) or "leader" in str(trouble):
        return NoLeader(
            f"the cluster has no leader that takes {request.name} in",
            str(trouble),
            f"asked {asked} for {request.timeout:g} s; repeat the command when it has one",
            code="E_NO_LEADER",
        )
    return Unreachable(
        "cannot reach the cluster",
        str(trouble),
        f"asked {asked} for {request.timeout:g} s; check --cluster, and that its nodes run",
        code="E_UNREACHABLE",
    )
