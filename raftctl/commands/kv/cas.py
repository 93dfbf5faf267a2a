"""raftctl kv cas."""

from typing import Annotated

from raftctl.cli.command import Arg, Opt, command
from raftctl.cli.context import CommandContext
from raftctl.commands.kv.store import DRY_RUN, emit, write
from raftctl.commands.kv.values import (
    FILE,
    HEX_IN,
    decode_key,
    decode_text,
    take_value,
)
from raftnode.config.errors import UsageError
from raftnode.wire import kv


@command("kv cas", connects=True)
def cas(
    ctx: CommandContext,
    key: Annotated[str, Arg("KEY", "The key.")],
    expected: Annotated[str | None, Arg("EXPECTED", "The value that the key must have.")] = None,
    value: Annotated[str | None, Arg("VALUE", "The value to set; or give --file.")] = None,
    *,
    absent: Annotated[bool, Opt("--absent", "The key must not exist; leave EXPECTED out.")] = False,
    file: Annotated[str | None, FILE] = None,
    hex_: Annotated[bool, HEX_IN] = False,
    dry_run: Annotated[bool, DRY_RUN] = False,
) -> None:
    """Set a key only if its present value is EXPECTED, or if it is absent. Otherwise exit code 8.

    Example: raftctl kv cas lock --absent held
      raftctl kv cas lock held free
    """
    name = decode_key(key, hex_=hex_)
    if absent:
        if expected is not None and value is not None:
            raise UsageError(
                "--absent takes no EXPECTED", f"{expected!r} was given", "write: raftctl kv cas KEY --absent VALUE"
            )
        value, expected = expected, None
    elif expected is None:
        raise UsageError(
            "give the EXPECTED value, or --absent",
            "neither was given",
            "write: raftctl kv cas KEY EXPECTED VALUE, or: raftctl kv cas KEY --absent VALUE",
        )
    content = take_value(value, file, hex_=hex_)
    wanted = None if expected is None else decode_text(expected, hex_=hex_, what="expected value")
    result = write(ctx, kv.CompareAndSet(name, wanted, content), kv.PutResult, dry_run=dry_run)
    emit(
        ctx,
        "kv.cas",
        name,
        changes=True,
        dry_run=dry_run,
        revision=result.revision,
        previous_revision=result.previous_revision,
    )
