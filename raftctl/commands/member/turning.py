"""What promoting and demoting share."""

from typing import Final

from raftctl.cli.command import Arg
from raftctl.cli.context import CommandContext
from raftctl.cli.options import confirm, require_yes
from raftctl.commands.member.catch_up import is_kind
from raftctl.commands.member.membership import (
    Checks,
    change_until,
    effect_text,
    emit_change,
    emit_evaluation,
    propose,
    wait_everywhere,
)
from raftctl.view.cluster_view import View, find_one_member
from raftctl.view.take import as_seen_by_each, view_with_leader
from raftnode.client.transport import Deadline
from raftnode.config.errors import RefusedError
from raftnode.wire.client import MemberAction, MemberOperation

MEMBER: Final = Arg("MEMBER", "The member's name, id or address.")


def turn(
    ctx: CommandContext,
    which: str,
    action: MemberAction,
    kind: str,
    checks: Checks,
    *,
    yes: bool,
    dry_run: bool,
    wait: bool,
) -> None:
    if checks:
        require_yes(
            yes or dry_run,
            f"to {action.value} a member without the checks needs --yes when there is no terminal to confirm on",
            "see what it would do with --dry-run; then give --yes",
        )
    schema = f"member.{action.value}"
    with ctx.cluster() as cluster:
        now = view_with_leader(cluster)
        found = find_one_member(now, which)
        if found.kind == "observer":
            raise RefusedError(
                f"{found.name} is an observer",
                "an observer never has a vote",
                f"remove it and add it again: raftctl member remove {found.name}",
            )
        operation = MemberOperation(action, node_id=found.id)
        if dry_run:
            if found.kind == kind:
                emit_change(
                    ctx,
                    schema,
                    found.name,
                    changed=False,
                    text=f"{found.name} is already a {kind}",
                    dry_run=True,
                    would_change=False,
                )
                return
            emit_evaluation(ctx, schema, found.name, propose(cluster, [operation], dry_run=True, checks=checks))
            return

        def holds(view: View) -> bool:
            return is_kind(view, found.id, kind)

        if checks and not yes and found.kind != kind:
            effect = propose(cluster, [operation], dry_run=True, checks=checks)
            confirm(f"{action.value} {found.name} (id {found.id}) of cluster {now.name}: {effect_text(effect)}?")
            cluster.deadline = Deadline(ctx.timeout)
        changed = change_until(cluster, now, [operation], holds, checks=checks)
        if wait:
            wait_everywhere(ctx, cluster, as_seen_by_each(holds), f"{found.name} as a {kind}")
    emit_change(ctx, schema, found.name, changed=changed, text=f"{found.name} is a {kind}", id=found.id, kind=kind)
