"""What promoting and demoting share."""

from typing import Final

from raftctl.cli.command import Arg
from raftctl.cli.context import CommandContext
from raftctl.commands.member.catch_up import is_kind
from raftctl.commands.member.membership import change_until, emit_change, emit_evaluation, propose, wait_everywhere
from raftctl.view.cluster_view import View, find_one_member
from raftctl.view.take import as_seen_by_each, view_with_leader
from raftnode.config.errors import RefusedError
from raftnode.wire.client import MemberAction, MemberOperation

MEMBER: Final = Arg("MEMBER", "The member's name, id or address.")


def turn(
    ctx: CommandContext, which: str, action: MemberAction, kind: str, *, dry_run: bool, force: bool, wait: bool
) -> None:
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
            emit_evaluation(ctx, schema, found.name, propose(cluster, [operation], dry_run=True, force=force))
            return

        def holds(view: View) -> bool:
            return is_kind(view, found.id, kind)

        changed = change_until(cluster, now, [operation], holds, force=force)
        if wait:
            wait_everywhere(ctx, cluster, as_seen_by_each(holds), f"{found.name} as a {kind}")
    emit_change(ctx, schema, found.name, changed=changed, text=f"{found.name} is a {kind}", id=found.id, kind=kind)
