"""raftctl member promote."""

from typing import Annotated

from raftctl.cli.command import command
from raftctl.cli.context import CommandContext
from raftctl.commands.member.membership import (
    DRY_RUN,
    FORCE,
    WAIT,
)
from raftctl.commands.member.turning import MEMBER, turn
from raftnode.wire.client import MemberAction


@command("member promote", connects=True, timeout=30.0)
def promote(
    ctx: CommandContext,
    member: Annotated[str, MEMBER],
    *,
    dry_run: Annotated[bool, DRY_RUN] = False,
    force: Annotated[bool, FORCE] = False,
    wait: Annotated[bool, WAIT] = True,
) -> None:
    """Give a learner that has caught up a vote. A voter stays one: `changed: false`.

    Example: raftctl member promote n4
    """
    turn(ctx, member, MemberAction.PROMOTE, "voter", dry_run=dry_run, force=force, wait=wait)
