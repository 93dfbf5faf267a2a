"""raftctl member add: a learner that catches up and is then promoted."""

from typing import Annotated

from raftctl.cli.command import Arg, Opt, command
from raftctl.cli.context import CommandContext
from raftctl.cluster import Cluster
from raftctl.commands.member.catch_up import change_when_caught_up, check_stranger, existing, is_kind, progress_text
from raftctl.commands.member.membership import (
    DRY_RUN,
    Checks,
    change_until,
    emit_change,
    emit_evaluation,
    propose,
    wait_everywhere,
)
from raftctl.local.contexts import check_member_address
from raftctl.view.cluster_view import Member, View
from raftctl.view.take import as_seen_by_each, view_with_leader
from raftnode.config.errors import ConflictError, UsageError
from raftnode.wire.client import MemberAction, MemberOperation


@command("member add", connects=True, timeout=60.0)
def add(
    ctx: CommandContext,
    name: Annotated[str, Arg("NAME", "The new member's name.")],
    *,
    address: Annotated[str, Opt("--address", "Where the new member listens.", "HOST:PORT")],
    learner: Annotated[bool, Opt("--learner", "Leave it a learner: do not promote it.")] = False,
    observer: Annotated[bool, Opt("--observer", "Add it as a permanent read-only copy.")] = False,
    dry_run: Annotated[bool, DRY_RUN] = False,
    wait: Annotated[
        bool,
        Opt(
            "--wait",
            "Wait until it has caught up, promote it and see that everywhere (the "
            "default). Without waiting it stays a learner.",
            negative="--no-wait",
        ),
    ] = True,
) -> None:
    """Add a member: first as a learner, then, when it has caught up, as a voter.

    A learner does not count for the quorum, so adding one never risks the cluster. The new node itself is started
    with raftnode join, before or after this command. Repeating the command continues where it stopped; if the
    member already is what was asked for, it reports `changed: false`.

    Example: raftctl member add n4 --address 10.0.0.4:7001
    """
    if learner and observer:
        raise UsageError(
            "--learner and --observer exclude each other",
            "a member is either a learner or an observer",
            "leave one of them out",
        )
    check_member_address(address)
    first = MemberAction.ADD_OBSERVER if observer else MemberAction.ADD_LEARNER
    operation = MemberOperation(first, name=name, address=address)
    with ctx.cluster() as cluster:
        view = view_with_leader(cluster)
        present = existing(view, name, address)
        if observer and present is not None and present.kind != "observer":
            raise ConflictError(
                f"{name} is already a {present.kind}",
                "a member is one thing at a time",
                f"remove it first: raftctl member remove {name}",
            )
        if not observer and present is not None and present.kind == "observer":
            raise ConflictError(
                f"{name} is already an observer",
                "an observer is a permanent read-only copy and never has a vote",
                f"remove it first: raftctl member remove {name}; then add a node with a new data directory",
            )
        if present is None:
            check_stranger(view, address)
        if dry_run:
            _evaluate(ctx, cluster, view, name, operation, present)
            return
        changed = False
        if present is None:
            changed = change_until(cluster, view, [operation], lambda view: existing(view, name, address) is not None)
        if learner or observer or not wait or (present is not None and present.kind == "voter"):
            view = _seen(ctx, cluster, name, address) if wait else view_with_leader(cluster)
        else:
            view = _promote(ctx, cluster, name, address, added=changed)
            changed = True
    member = existing(view, name, address)
    kind = member.kind if member is not None else "observer" if observer else "learner"
    emit_change(
        ctx,
        "member.add",
        name,
        changed=changed,
        text=f"{name} at {address} is a {kind}",
        id=member.id if member else None,
        kind=kind,
        address=address,
    )


def _evaluate(
    ctx: CommandContext, cluster: Cluster, view: View, name: str, operation: MemberOperation, present: Member | None
) -> None:
    if present is None:
        result = propose(cluster, [operation], dry_run=True)
        emit_evaluation(ctx, "member.add", name, result)
        if operation.action is MemberAction.ADD_LEARNER:
            ctx.note("the promotion that follows gives it a vote: the quorum is then counted over one voter more")
        return
    if present.kind == "learner" and operation.action is MemberAction.ADD_LEARNER:
        # Behind, it would be refused now; the command itself waits until it has caught up, and so asks later.
        promotion = MemberOperation(MemberAction.PROMOTE, node_id=present.id)
        result = propose(cluster, [promotion], dry_run=True, checks=Checks(force=not present.promotable))
        emit_evaluation(ctx, "member.add", name, result)
        if not present.promotable:
            ctx.note(f"{name} is a learner and is promoted when it has caught up: {progress_text(view, present)}")
        return
    emit_change(
        ctx,
        "member.add",
        name,
        changed=False,
        text=f"{name} is already a {present.kind}",
        dry_run=True,
        would_change=False,
    )


def _seen(ctx: CommandContext, cluster: Cluster, name: str, address: str) -> View:
    return wait_everywhere(
        ctx,
        cluster,
        as_seen_by_each(lambda view: existing(view, name, address) is not None),
        f"the addition of {name}",
    )


def _promote(ctx: CommandContext, cluster: Cluster, name: str, address: str, *, added: bool) -> View:
    """Wait until the learner has caught up, promote it, and wait until every member knows it as a voter.

    `added`: this command made it a member, so that raftnode join has not run yet.
    """
    again = f"raftctl member add {name} --address {address}"
    member, _ = change_when_caught_up(
        ctx,
        cluster,
        name,
        address,
        lambda joiner: [MemberOperation(MemberAction.PROMOTE, node_id=joiner.id)],
        lambda joiner: lambda v: is_kind(v, joiner.id, "voter"),
        again,
        added=added,
    )
    return wait_everywhere(
        ctx, cluster, as_seen_by_each(lambda v: is_kind(v, member.id, "voter")), f"the promotion of {name}"
    )
