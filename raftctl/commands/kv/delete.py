"""raftctl kv delete."""

from typing import Annotated

from raftctl.cli.command import Arg, Opt, command
from raftctl.cli.context import CommandContext
from raftctl.commands.kv.store import DRY_RUN, EXPECTED, emit, write
from raftctl.commands.kv.values import (
    decode_key,
)
from raftctl.output.text import escape_bytes
from raftnode.config.errors import NotFound
from raftnode.wire import kv


@command("kv delete", connects=True)
def delete(
    ctx: CommandContext,
    key: Annotated[str, Arg("KEY", "The key.")],
    *,
    if_exists: Annotated[bool, Opt("--if-exists", "Do not fail if the key does not exist.")] = False,
    expected_revision: Annotated[int | None, EXPECTED] = None,
    hex_: Annotated[bool, Opt("--hex", "The key is given in hexadecimal.")] = False,
    dry_run: Annotated[bool, DRY_RUN] = False,
) -> None:
    """Remove a key. A missing key is exit code 3, or `changed: false` with --if-exists.

    Example: raftctl kv delete greeting --if-exists
    """
    name = decode_key(key, hex_=hex_)
    result = write(ctx, kv.Delete(name, expected_revision), kv.DeleteResult, dry_run=dry_run)
    if not result.deleted and not if_exists:
        raise NotFound(
            f"there is no key {escape_bytes(name)!r}",
            f"at revision {result.revision}",
            "if that is fine, give --if-exists",
        )
    emit(ctx, "kv.delete", name, changes=result.deleted, dry_run=dry_run, revision=result.revision)
