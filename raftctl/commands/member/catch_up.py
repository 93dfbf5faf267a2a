"""How a new member is found, catches up, and is shown while it does."""

from collections.abc import Callable, Sequence
from typing import Final

from raftctl.cli.context import CommandContext
from raftctl.cluster import Cluster
from raftctl.commands.member.membership import change_until, propose
from raftctl.view.cluster_view import Member, View
from raftctl.view.take import POLL_S, as_leader_sees
from raftnode.client.fanout import ask_all
from raftnode.client.transport import Deadline
from raftnode.config.errors import (
    ConflictError,
    NoLeaderError,
    NotFound,
    RefusedError,
    UnknownOutcomeError,
    Unreachable,
)
from raftnode.wire.address import same_address
from raftnode.wire.client import GetStatus, MemberOperation

STRANGER_S: Final = 1.0
"""How long to wait for an answer from a new member's address, where usually nothing listens yet."""
SLICE_S: Final = 1.0
"""How long the leader is asked to wait at a time, so that progress is shown in between."""
ANSWER_S: Final = 0.2
"""What is left before the deadline for the answer of a leader that has waited in vain."""


def existing(view: View, name: str, address: str) -> Member | None:
    """Return the member with this name and address. Raises ConflictError where only one of the two is in use."""
    for member in view.members:
        if member.name == name and same_address(member.address, address):
            return member
    for member in view.members:
        if member.name == name or same_address(member.address, address):
            raise ConflictError(
                f"{name} at {address} collides with a member",
                f"{member.name} (id {member.id}) is at {member.address}",
                "give another name or address, or remove that member first",
            )
    return None


def check_stranger(view: View, address: str) -> None:
    """Raise RefusedError if a node of another cluster, a removed one or another member answers at the address."""
    answer = ask_all([address], GetStatus(0), Deadline(STRANGER_S)).answers.get(address)
    if answer is None:
        return
    there = answer.status
    listens = f"node {there.node_name} of cluster {there.cluster_name} ({there.cluster_id}) listens there"
    if there.cluster_id != view.cluster_id:
        raise RefusedError(
            f"another cluster answers at {address}",
            f"{listens}; this is cluster {view.name} ({view.cluster_id})",
            "give the address at which the new node will listen",
        )
    if all(m.id != there.node_id for m in view.members):
        raise RefusedError(
            f"a node that is no longer a member still runs at {address}",
            f"{listens}, and its id is never used again",
            "stop it and move its data directory away; then give the new node an empty one",
        )
    if any(m.id == there.node_id and m.address != address for m in view.members):
        raise RefusedError(
            f"a member answers at {address} already", listens, "give the address at which the new node will listen"
        )


def change_when_caught_up(
    ctx: CommandContext,
    cluster: Cluster,
    name: str,
    address: str,
    operations: Callable[[Member], Sequence[MemberOperation]],
    holds: Callable[[Member], Callable[[View], bool]],
    again: str,
    *,
    added: bool,
) -> tuple[Member, bool]:
    """Make a change that gives the member a vote, once it has caught up. Return it, and whether this changed anything.

    The leader itself waits, for SLICE_S at a time: in between we look how far the member is, and whether it is one
    still. A node of 0.1.0 refuses at once, and then this polls. Raises UnknownOutcomeError, which names `again`.
    """
    report = ctx.progress()
    waiting = ""
    lost: UnknownOutcomeError | None = None
    try:
        while True:
            view = as_leader_sees(cluster)
            member = existing(view, name, address)
            if member is None:
                raise ConflictError(
                    f"{name} was removed while it was catching up",
                    "someone else changed the membership",
                    "see who is a member: raftctl member list",
                )
            if member.kind == "voter" or member.promotable:
                changed = change_until(cluster, view, operations(member), holds(member))
                return member, changed or lost is not None
            if not member.up and not waiting:
                ctx.note(start_hint(view, name, address, added=added))
            waiting = progress_text(view, member)
            report(f"catching up: {waiting}")
            wait = Deadline(max(0.0, min(SLICE_S, cluster.deadline.remaining() - ANSWER_S)))
            if not wait.passed:
                try:
                    return member, propose(cluster, operations(member), wait_s=wait.seconds).changed
                except UnknownOutcomeError as error:
                    lost = error
                except (NotFound, RefusedError):
                    # Not caught up yet, or something that the next look shows, or that is asked again when it has.
                    pass
            if not cluster.deadline.pause(min(POLL_S, wait.remaining()) if wait.seconds else POLL_S):
                raise _unfinished(ctx, name, waiting, again)
    except (NoLeaderError, Unreachable) as error:
        # Once a proposal was sent, it is no longer true that nothing was done; nor is it once the learner was added.
        if lost is not None:
            raise lost from None
        if added or waiting or cluster.deadline.passed:
            raise _unfinished(ctx, name, waiting or error.what, again) from error
        raise
    except KeyboardInterrupt:
        ctx.note(
            f"{name} stays a learner; repeat the command to go on: {again}; or remove it: raftctl member remove {name}"
        )
        raise


def _unfinished(ctx: CommandContext, name: str, last_known: str, again: str) -> UnknownOutcomeError:
    """Return the error of a command whose time ran out before the member had caught up."""
    return UnknownOutcomeError(
        f"{name} is a learner and had not caught up within {ctx.timeout:g} s",
        f"last known: {last_known}",
        f"follow it: raftctl status --watch; repeat the command to go on: {again}",
        code="E_TIMEOUT",
    )


def is_kind(view: View, node_id: int, kind: str) -> bool:
    """Return whether the member is of this kind, and no membership change is half done."""
    return not view.joint and any(m.id == node_id and m.kind == kind for m in view.members)


def progress_text(view: View, member: Member) -> str:
    """Return how far a learner is."""
    silent = "" if member.up else ", and does not answer"
    return f"{member.name} has {member.match_index or 0} of {view.commit_index} entries{silent}"


def start_hint(view: View, name: str, address: str, *, added: bool) -> str:
    """Return what starts the new node on its machine."""
    there = ",".join(m.address for m in view.members if m.up and m.address != address)
    join = f"  raftnode join --cluster {there} --name {name} --address {address} --data-dir DIR\n"
    start = "  raftnode run --data-dir DIR"
    if added:
        return f"{name} does not answer yet; on its machine run:\n{join}{start}"
    return (
        f"{name} does not answer yet; start it on its machine:\n{start}\n"
        f"or, where it has not joined yet:\n{join}{start}"
    )
