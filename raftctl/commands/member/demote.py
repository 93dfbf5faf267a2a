"""raftctl member demote."""

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


@command("member demote", connects=True, timeout=30.0)
def demote(
    ctx: CommandContext,
    member: Annotated[str, MEMBER],
    *,
    dry_run: Annotated[bool, DRY_RUN] = False,
    force: Annotated[bool, FORCE] = False,
    wait: Annotated[bool, WAIT] = True,
) -> None:
    """Turn a voter into a learner. A learner stays one: `changed: false`.

    Example: raftctl member demote n3 --dry-run
    """
    turn(ctx, member, MemberAction.DEMOTE, "learner", dry_run=dry_run, force=force, wait=wait)
