"""raftctl member replace: a new member takes the place of an old one, in one change of the voters."""

from collections.abc import Callable
from typing import Annotated, Any

from raftctl.cli.command import Arg, Opt, command
from raftctl.cli.context import CommandContext
from raftctl.cli.options import YES, confirm, require_yes
from raftctl.cluster import Cluster
from raftctl.commands.member.catch_up import (
    change_when_caught_up,
    check_stranger,
    existing,
    progress_text,
    start_hint,
)
from raftctl.commands.member.membership import (
    DRY_RUN,
    change_until,
    emit_change,
    emit_evaluation,
    propose,
    wait_everywhere,
)
from raftctl.local.contexts import check_member_address
from raftctl.view.cluster_view import Member, View, find_member, find_one_member
from raftctl.view.take import as_seen_by_each, view_with_leader
from raftnode.client.transport import Deadline
from raftnode.config.errors import ConflictError, RefusedError, UsageError
from raftnode.wire.client import MemberAction, MemberOperation


@command("member replace", connects=True, timeout=60.0)
def replace(
    ctx: CommandContext,
    old: Annotated[str, Arg("OLD", "The voter to replace: its name, id or address.")],
    new: Annotated[str, Arg("NEW", "The new member's name.")],
    *,
    address: Annotated[str, Opt("--address", "Where the new member listens.", "HOST:PORT")],
    yes: Annotated[bool, YES] = False,
    dry_run: Annotated[bool, DRY_RUN] = False,
    wait: Annotated[
        bool,
        Opt(
            "--wait",
            "Wait until it has caught up, exchange the two and see that everywhere (the default). Without waiting "
            "only what can be done now is done: repeat the command to go on.",
            negative="--no-wait",
        ),
    ] = True,
) -> None:
    """Put a new member in a voter's place: add it as a learner, let it catch up, then exchange the two at once.

    The old voter keeps its vote until the exchange, which is one change (joint consensus): the number of voters
    stays the same throughout. Repeating the command continues where it stopped, also after a timeout (exit code 7)
    or --no-wait, both of which print how to follow the progress. The new node itself is started with raftnode join,
    before or after this command. The command asks first on a terminal; without one it needs --yes.

    In JSON, `done` says whether the exchange was made; if it was not, `next` is the command that continues.

    Example: raftctl member replace n3 n4 --address 10.0.0.4:7001 --yes
    """
    check_member_address(address)
    again = f"raftctl member replace {old} {new} --address {address} --yes"
    require_yes(yes or dry_run, "replacing a member removes one, so without a terminal it needs --yes", again)
    with ctx.cluster() as cluster:
        view = view_with_leader(cluster)
        present = existing(view, new, address)
        leaver = _leaver(view, old, present)
        if dry_run:
            _evaluate(ctx, cluster, new, address, present, leaver)
            return
        if not yes and leaver is not None:
            confirm(
                f"replace {leaver.name} (id {leaver.id}, {leaver.role}) of cluster {view.name} by {new}: "
                f"{view.voters} voters, {view.voters_up} up?"
            )
            cluster.deadline = Deadline(ctx.timeout)
        added = False
        if present is None:
            check_stranger(view, address)
            addition = MemberOperation(MemberAction.ADD_LEARNER, name=new, address=address)
            added = change_until(cluster, view, [addition], lambda v: existing(v, new, address) is not None)

        def holds(joiner: Member) -> Callable[[View], bool]:
            return lambda now: _done(now, joiner.id, leaver)

        def operations(joiner: Member) -> list[MemberOperation]:
            return _exchange(joiner, leaver)

        if wait:
            member, changed = change_when_caught_up(ctx, cluster, new, address, operations, holds, again, added=added)
            wait_everywhere(ctx, cluster, as_seen_by_each(holds(member)), f"the exchange of {old} for {new}")
        else:
            now = view_with_leader(cluster)
            member = _joiner(now, new, address)
            if member.kind != "voter" and not member.promotable:
                _emit_begun(ctx, now, member, leaver, again, added=added)
                return
            changed = change_until(cluster, now, operations(member), holds(member))
    text = f"{new} at {address} is a voter" + (f" in place of {leaver.name}" if leaver is not None else "")
    emit_change(
        ctx,
        "member.replace",
        new,
        changed=changed or added,
        text=text,
        id=member.id,
        address=address,
        replaced=_named(leaver),
        done=True,
    )


def _joiner(view: View, new: str, address: str) -> Member:
    member = existing(view, new, address)
    if member is None:
        raise ConflictError(
            f"{new} was removed at once",
            "someone else changed the membership",
            "see who is a member: raftctl member list",
        )
    return member


def _emit_begun(
    ctx: CommandContext, view: View, member: Member, leaver: Member | None, again: str, *, added: bool
) -> None:
    """Say how far it is, and how to follow it and go on."""
    stays = f"; {leaver.name} stays a voter until it has caught up" if leaver is not None else ""
    if not member.up:
        ctx.note(start_hint(view, member.name, member.address, added=added))
    emit_change(
        ctx,
        "member.replace",
        member.name,
        changed=added,
        text=f"{progress_text(view, member)}{stays}",
        id=member.id,
        address=member.address,
        replaced=None,
        done=False,
        next=again,
    )
    ctx.note(f"follow it: raftctl status --watch; go on when its lag is small: {again}")


def _named(leaver: Member | None) -> dict[str, Any] | None:
    return None if leaver is None else {"id": leaver.id, "name": leaver.name}


def _leaver(view: View, old: str, present: Member | None) -> Member | None:
    """Return the voter to remove; None where it is gone already and the new member is there."""
    if present is not None and not find_member(view.members, old):
        return None
    leaver = find_one_member(view, old)
    if present is not None and present.id == leaver.id:
        raise UsageError(
            f"{leaver.name} cannot replace itself",
            "OLD and NEW are the same member",
            "give NEW another name and address",
        )
    if leaver.kind not in ("voter", "outgoing"):
        raise RefusedError(
            f"{leaver.name} is no voter",
            f"it is a {leaver.kind}, and replacing gives its vote to the new member",
            f"remove it, and add the other: raftctl member remove {leaver.name}",
        )
    if present is not None and present.kind == "observer":
        raise RefusedError(
            f"{present.name} is an observer",
            "an observer never has a vote",
            f"remove it first: raftctl member remove {present.name}",
        )
    return leaver


def _exchange(member: Member, leaver: Member | None) -> list[MemberOperation]:
    operations = [MemberOperation(MemberAction.PROMOTE, node_id=member.id)]
    if leaver is not None:
        operations.append(MemberOperation(MemberAction.REMOVE, node_id=leaver.id))
    return operations


def _done(view: View, joiner: int, leaver: Member | None) -> bool:
    kinds = {m.id: m.kind for m in view.members}
    return not view.joint and kinds.get(joiner) == "voter" and (leaver is None or leaver.id not in kinds)


def _evaluate(
    ctx: CommandContext, cluster: Cluster, new: str, address: str, present: Member | None, leaver: Member | None
) -> None:
    """Let the leader evaluate the exchange as if the new member had caught up."""
    if present is not None:
        operations = _exchange(present, leaver)
    else:
        assert leaver is not None, "one of the two is a member"
        operations = [
            MemberOperation(MemberAction.ADD_VOTER, name=new, address=address),
            MemberOperation(MemberAction.REMOVE, node_id=leaver.id),
        ]
    emit_evaluation(ctx, "member.replace", new, propose(cluster, operations, dry_run=True))
