"""raftctl kv incr."""

from typing import Annotated

from raftctl.cli.command import Arg, Opt, command
from raftctl.cli.context import CommandContext
from raftctl.commands.kv.store import DRY_RUN, outcome, write
from raftctl.commands.kv.values import (
    decode_key,
)
from raftctl.output.report import Report
from raftctl.output.text import escape_bytes
from raftnode.wire import kv


@command("kv incr", connects=True)
def incr(
    ctx: CommandContext,
    key: Annotated[str, Arg("KEY", "The key; an absent one counts as 0.")],
    *,
    by: Annotated[int, Opt("--by", "How much to add; may be negative.", "N")] = 1,
    hex_: Annotated[bool, Opt("--hex", "The key is given in hexadecimal.")] = False,
    dry_run: Annotated[bool, DRY_RUN] = False,
) -> None:
    """Add to the decimal number at a key and print the new number.

    Example: raftctl kv incr visits --by 5
    """
    name = decode_key(key, hex_=hex_)
    result = write(ctx, kv.Increment(name, by), kv.IncrementResult, dry_run=dry_run)
    text = f"; the number would be {result.value}" if dry_run else ""
    record, title = outcome(name, changes=True, dry_run=dry_run, revision=result.revision, text=text)
    ctx.output.emit(
        Report(
            "kv.incr",
            {**record, "value": result.value},
            title if dry_run else str(result.value),
            names=[escape_bytes(name)],
        )
    )
