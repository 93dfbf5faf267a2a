"""raftctl kv get."""

from typing import Annotated

from raftctl.cli.command import Arg, command
from raftctl.cli.context import CommandContext
from raftctl.commands.kv.store import CONSISTENCY, read
from raftctl.commands.kv.values import (
    HEX,
    RAW,
    decode_key,
    pair_record,
    read_only_one_of,
)
from raftctl.output.report import Column, Report
from raftctl.output.text import escape_bytes
from raftnode.config.errors import NotFound
from raftnode.wire import kv


@command("kv get", connects=True)
def get(
    ctx: CommandContext,
    key: Annotated[str, Arg("KEY", "The key.")],
    *,
    raw: Annotated[bool, RAW] = False,
    hex_: Annotated[bool, HEX] = False,
    consistency: Annotated[str, CONSISTENCY] = "linearizable",
) -> None:
    """Print a key's value. A missing key is exit code 3.

    The value is escaped, so that it is one line; --raw writes its bytes and nothing else.

    Example: raftctl kv get greeting --raw >file
    """
    read_only_one_of(raw=raw, hex_=hex_)
    wanted = decode_key(key, hex_=hex_)
    with ctx.cluster() as cluster:
        result = read(cluster, kv.Get(wanted), kv.GetResult, consistency)
    item = result.item
    if item is None:
        raise NotFound(
            f"there is no key {escape_bytes(wanted)!r}",
            f"at revision {result.revision}",
            "see which there are: raftctl kv list --keys-only",
        )
    if raw:
        ctx.output.emit_bytes(item.value)
        return
    shown = item.value.hex() if hex_ else escape_bytes(item.value)
    if ctx.output.format == "table":
        ctx.output.emit_text(shown)
        return
    ctx.output.emit(
        Report(
            "kv.get",
            pair_record(item),
            columns=[
                Column("KEY"),
                Column("VALUE"),
                Column("REVISION"),
                Column("CREATED"),
                Column("VERSION"),
            ],
            rows=[
                [
                    escape_bytes(item.key),
                    shown,
                    str(item.mod_revision),
                    str(item.create_revision),
                    str(item.version),
                ]
            ],
            names=[escape_bytes(item.key)],
        )
    )
