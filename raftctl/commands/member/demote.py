"""raftctl member demote."""

from typing import Annotated

from raftctl.cli.command import command
from raftctl.cli.context import CommandContext
from raftctl.cli.options import YES
from raftctl.commands.member.membership import ACCEPT, DRY_RUN, FORCE, WAIT, Checks
from raftctl.commands.member.turning import MEMBER, turn
from raftnode.wire.client import MemberAction


@command("member demote", connects=True, timeout=30.0)
def demote(
    ctx: CommandContext,
    member: Annotated[str, MEMBER],
    *,
    yes: Annotated[bool, YES] = False,
    dry_run: Annotated[bool, DRY_RUN] = False,
    force: Annotated[bool, FORCE] = False,
    accept_quorum_loss: Annotated[str, ACCEPT] = "",
    wait: Annotated[bool, WAIT] = True,
) -> None:
    """Turn a voter into a learner. A learner stays one: `changed: false`.

    Example: raftctl member demote n3 --dry-run
    """
    turn(
        ctx,
        member,
        MemberAction.DEMOTE,
        "learner",
        Checks(force, accept_quorum_loss),
        yes=yes,
        dry_run=dry_run,
        wait=wait,
    )
