"""raftctl kv list."""

from collections.abc import Iterator
from typing import Annotated, Any

from raftctl.cli.command import Arg, Opt, command
from raftctl.cli.context import CommandContext
from raftctl.cluster import Cluster
from raftctl.commands.kv.store import CONSISTENCY, read
from raftctl.commands.kv.values import (
    HEX,
    decode_key,
    key_record,
    pair_record,
    show_value,
)
from raftctl.output.report import Column, Report
from raftctl.output.text import escape_bytes
from raftnode.wire import kv


@command("kv list", connects=True)
def list_keys(
    ctx: CommandContext,
    prefix: Annotated[str, Arg("PREFIX", "What the keys begin with; without it, all keys.")] = "",
    *,
    limit: Annotated[int | None, Opt("--limit", "At most N keys.", "N")] = None,
    keys_only: Annotated[bool, Opt("--keys-only", "Without the values.")] = False,
    hex_: Annotated[bool, HEX] = False,
    consistency: Annotated[str, CONSISTENCY] = "linearizable",
) -> None:
    """List keys in byte order, with their values.

    A table shows at most the first 256 bytes of a value, then its length; JSON has all of it. More
    than a thousand keys are read in parts, each part at its own revision.

    Example: raftctl kv list users/ --limit 20
    """
    start = decode_key(prefix, hex_=hex_) if prefix else b""
    # If only the names are printed, the values are not fetched.
    bare = keys_only or ctx.output.format == "name"
    with ctx.cluster() as cluster:
        items = list(_pages(cluster, start, limit, consistency, keys_only=bare))
    show = bytes.hex if hex_ else escape_bytes
    columns = [
        Column("KEY"),
        *([] if keys_only else [Column("VALUE")]),
        Column("REVISION"),
        Column("VERSION", True),
    ]
    ctx.output.emit(
        Report(
            "kv.list",
            {"items": [_listed(item, keys_only=keys_only) for item in items]},
            columns=columns,
            rows=[
                [
                    show(i.key),
                    *([] if keys_only else [show_value(i.value, hex_=hex_)]),
                    str(i.mod_revision),
                    str(i.version),
                ]
                for i in items
            ],
            items="items",
            item_schema="kv.item",
            names=[show(i.key) for i in items],
        )
    )


def _listed(item: kv.KeyValue, *, keys_only: bool) -> dict[str, Any]:
    record = pair_record(item)
    if keys_only:
        record = {
            **key_record(item.key),
            **{k: v for k, v in record.items() if not k.startswith(("key", "value"))},
        }
    return record


def _pages(
    cluster: Cluster, prefix: bytes, limit: int | None, consistency: str, *, keys_only: bool
) -> Iterator[kv.KeyValue]:
    start, left = b"", limit
    while left is None or left > 0:
        query = kv.List(prefix, start, min(1000, left) if left is not None else 1000, keys_only)
        result = read(cluster, query, kv.ListResult, consistency)
        yield from result.items
        if not result.more or not result.items:
            return
        start = result.items[-1].key + b"\0"
        left = None if left is None else left - len(result.items)
