"""raftctl member remove."""

from typing import Annotated

from raftctl.cli.command import Opt, command
from raftctl.cli.context import CommandContext
from raftctl.cli.options import YES, confirm, require_yes
from raftctl.commands.member.membership import (
    ACCEPT,
    DRY_RUN,
    FORCE,
    WAIT,
    Checks,
    change_until,
    effect_text,
    emit_change,
    emit_evaluation,
    propose,
    wait_everywhere,
)
from raftctl.commands.member.turning import MEMBER
from raftctl.view.cluster_view import View, find_member, find_one_member
from raftctl.view.take import as_seen_by_each, view_with_leader
from raftnode.client.transport import Deadline
from raftnode.config.errors import NotFound
from raftnode.wire.client import MemberAction, MemberOperation


@command("member remove", connects=True, timeout=30.0)
def remove(
    ctx: CommandContext,
    member: Annotated[str, MEMBER],
    *,
    yes: Annotated[bool, YES] = False,
    if_exists: Annotated[bool, Opt("--if-exists", "Do not fail if there is no such member.")] = False,
    dry_run: Annotated[bool, DRY_RUN] = False,
    force: Annotated[bool, FORCE] = False,
    accept_quorum_loss: Annotated[str, ACCEPT] = "",
    wait: Annotated[bool, WAIT] = True,
) -> None:
    """Remove a member. Its id is never used again; its data stays on its disk.

    It asks first on a terminal, with what follows for quorum and tolerance; without a terminal it needs --yes.
    What would leave fewer voters that answer than a quorum is refused (exit code 6), also with --force.

    Example: raftctl member remove n4 --yes
    """
    require_yes(
        yes or dry_run,
        "removing a member needs --yes when there is no terminal to confirm on",
        f"raftctl member remove {member} --yes",
    )
    checks = Checks(force, accept_quorum_loss)
    with ctx.cluster() as cluster:
        view = view_with_leader(cluster)
        if if_exists and not find_member(view.members, member):
            emit_change(
                ctx,
                "member.remove",
                member,
                changed=False,
                text=f"there is no member {member}",
                **({"dry_run": True, "would_change": False} if dry_run else {}),
            )
            return
        found = find_one_member(view, member)
        operation = MemberOperation(MemberAction.REMOVE, node_id=found.id)
        if dry_run:
            emit_evaluation(
                ctx, "member.remove", found.name, propose(cluster, [operation], dry_run=True, checks=checks)
            )
            return
        if not yes:
            effect = propose(cluster, [operation], dry_run=True, checks=checks)
            leads = "; it leads, so another voter takes over" if found.role == "leader" else ""
            confirm(
                f"remove {found.name} (id {found.id}, {found.role}) from cluster {view.name}: "
                f"{effect_text(effect)}{leads}?"
            )
            cluster.deadline = Deadline(ctx.timeout)

        def gone(now: View) -> bool:
            return not now.joint and all(m.id != found.id for m in now.members)

        try:
            changed = change_until(cluster, view, [operation], gone, checks=checks)
        except NotFound:
            # Someone else removed it between our look and our proposal.
            changed = False
        if wait:
            wait_everywhere(ctx, cluster, as_seen_by_each(gone), f"the removal of {found.name}")
    emit_change(ctx, "member.remove", found.name, changed=changed, text=f"{found.name} is not a member", id=found.id)
