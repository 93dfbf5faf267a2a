"""raftctl member transfer: hand leadership over."""

from typing import Annotated

from raftctl.cli.command import Arg, command
from raftctl.cli.context import CommandContext
from raftctl.commands.member.membership import DRY_RUN, WAIT, emit_change, wait_everywhere
from raftctl.view.cluster_view import find_one_member
from raftctl.view.take import POLL_S, view_with_leader
from raftnode.config.errors import NoLeaderError, RefusedError, UnknownOutcomeError
from raftnode.wire.client import TransferLeadership


@command("member transfer", connects=True, timeout=30.0)
def transfer(
    ctx: CommandContext,
    member: Annotated[str | None, Arg("MEMBER", "The voter to lead; without it, the most up-to-date one.")] = None,
    *,
    dry_run: Annotated[bool, DRY_RUN] = False,
    wait: Annotated[bool, WAIT] = True,
) -> None:
    """Hand leadership to a voter. If it leads already, it reports `changed: false`.

    Example: raftctl member transfer n2
    """
    with ctx.cluster() as cluster:
        view = view_with_leader(cluster)
        assert view.leader is not None, "view_with_leader returns a view with a leader"
        before = view.leader
        target = find_one_member(view, member) if member is not None else None
        if target is not None and target.kind != "voter":
            raise RefusedError(
                f"{target.name} is a {target.kind}",
                "only a voter can lead",
                f"promote it first: raftctl member promote {target.name}",
            )
        if target is not None and target.id == before.node_id:
            emit_change(
                ctx,
                "member.transfer",
                target.name,
                changed=False,
                text=f"{target.name} leads",
                leader_id=target.id,
                term=before.term,
                dry_run=dry_run,
            )
            return
        request = TransferLeadership(0, target.id if target else 0, dry_run)
        try:
            answer = cluster.call_leader(request)
        except (UnknownOutcomeError, NoLeaderError):
            # The old leader's answer is easily lost when it steps down: what counts is which node leads now.
            cluster.deadline.pause(POLL_S)
            leader = view_with_leader(cluster).leader
            assert leader is not None, "view_with_leader returns a view with a leader"
            if leader.node_id == before.node_id or (target is not None and leader.node_id != target.id):
                raise
            leader_id, term, changed = leader.node_id, leader.term, True
        else:
            leader_id, term, changed = answer.leader_id, answer.term, answer.changed
        name = next((m.name for m in view.members if m.id == leader_id), str(leader_id))
        if dry_run:
            emit_change(
                ctx,
                "member.transfer",
                name,
                changed=False,
                dry_run=True,
                would_change=changed,
                text=f"would change: {'true' if changed else 'false'}; {name} would lead",
                leader_id=leader_id,
                term=term,
            )
            return
        if wait:
            wait_everywhere(
                ctx, cluster, lambda s: s.term > term or s.leader_id == leader_id, f"the leadership of {name}"
            )
    emit_change(
        ctx,
        "member.transfer",
        name,
        changed=changed,
        text=f"{name} leads in term {term}",
        leader_id=leader_id,
        term=term,
    )
