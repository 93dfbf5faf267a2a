"""raftctl kv put."""

from typing import Annotated

from raftctl.cli.command import Arg, command
from raftctl.cli.context import CommandContext
from raftctl.commands.kv.store import DRY_RUN, EXPECTED, emit, write
from raftctl.commands.kv.values import (
    FILE,
    HEX_IN,
    decode_key,
    take_value,
)
from raftnode.wire import kv


@command("kv put", connects=True)
def put(
    ctx: CommandContext,
    key: Annotated[str, Arg("KEY", "The key.")],
    value: Annotated[str | None, Arg("VALUE", "The value; or give --file.")] = None,
    *,
    file: Annotated[str | None, FILE] = None,
    hex_: Annotated[bool, HEX_IN] = False,
    expected_revision: Annotated[int | None, EXPECTED] = None,
    dry_run: Annotated[bool, DRY_RUN] = False,
) -> None:
    """Set a key to a value, and print the new revision.

    A condition that does not hold is exit code 8; an outcome that cannot be known in time is exit code 7.

    Example: raftctl kv put greeting hello
    """
    name = decode_key(key, hex_=hex_)
    content = take_value(value, file, hex_=hex_)
    result = write(ctx, kv.Put(name, content, expected_revision), kv.PutResult, dry_run=dry_run)
    emit(
        ctx,
        "kv.put",
        name,
        changes=True,
        dry_run=dry_run,
        revision=result.revision,
        previous_revision=result.previous_revision,
    )
