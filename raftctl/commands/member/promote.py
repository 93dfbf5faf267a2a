"""raftctl member promote."""

from typing import Annotated

from raftctl.cli.command import command
from raftctl.cli.context import CommandContext
from raftctl.cli.options import YES
from raftctl.commands.member.membership import ACCEPT, DRY_RUN, FORCE, WAIT, Checks
from raftctl.commands.member.turning import MEMBER, turn
from raftnode.wire.client import MemberAction


@command("member promote", connects=True, timeout=30.0)
def promote(
    ctx: CommandContext,
    member: Annotated[str, MEMBER],
    *,
    yes: Annotated[bool, YES] = False,
    dry_run: Annotated[bool, DRY_RUN] = False,
    force: Annotated[bool, FORCE] = False,
    accept_quorum_loss: Annotated[str, ACCEPT] = "",
    wait: Annotated[bool, WAIT] = True,
) -> None:
    """Give a learner that has caught up a vote. A voter stays one: `changed: false`.

    Example: raftctl member promote n4
    """
    turn(
        ctx,
        member,
        MemberAction.PROMOTE,
        "voter",
        Checks(force, accept_quorum_loss),
        yes=yes,
        dry_run=dry_run,
        wait=wait,
    )
