"""raftctl kv watch: a stream of changes."""

from typing import Annotated, Any, Final

from raftctl.cli.command import Arg, Opt, command
from raftctl.cli.context import CommandContext
from raftctl.cluster import Cluster
from raftctl.commands.kv.store import read
from raftctl.commands.kv.values import HEX, decode_key, key_record, kv_result, show_value
from raftctl.output.text import bytes_field, escape_bytes
from raftnode.client.transport import Deadline
from raftnode.wire import kv
from raftnode.wire.client import Watch

LONG_POLL_S: Final = 10.0


@command("kv watch", connects=True)
def watch(
    ctx: CommandContext,
    prefix: Annotated[str, Arg("PREFIX", "What the keys begin with; without it, all keys.")] = "",
    *,
    after: Annotated[int | None, Opt("--after", "Begin after this revision; without it, now.", "REVISION")] = None,
    hex_: Annotated[bool, HEX] = False,
) -> None:
    """Show changes of keys as they happen, until interrupted. --after resumes after a revision.

    Piped, each line is a JSON object. Changes that are no longer known are reported as a record with the schema
    raftctl.gap/1; then read the keys again. The command ends when its pipe is closed.

    Example: raftctl kv watch users/ --after 1042 -o jsonl
    """
    wanted = decode_key(prefix, hex_=hex_) if prefix else b""
    with ctx.cluster() as cluster:
        cluster.end_with(ctx.output.pipe)
        if after is None:
            now = read(cluster, kv.List(wanted, limit=1, keys_only=True), kv.ListResult, "linearizable")
            after = now.revision
        while True:
            after = _next(ctx, cluster, wanted, after, hex_=hex_)


def _next(ctx: CommandContext, cluster: Cluster, prefix: bytes, after: int, *, hex_: bool) -> int:
    """Wait for changes, print them, and return the revision to go on from."""
    cluster.deadline = Deadline(ctx.timeout + LONG_POLL_S)
    request = Watch(0, kv.encode(kv.Changes(prefix, after)), round(LONG_POLL_S * 1000))
    result = kv_result(cluster.call_any(request).result, kv.ChangesResult)
    if result.lost_before > after:
        ctx.output.emit_record(
            "gap",
            {"from": after + 1, "to": result.lost_before},
            f"-- changes up to revision {result.lost_before} are no longer known --",
        )
    show = bytes.hex if hex_ else escape_bytes
    for change in result.changes:
        words = [str(change.revision), "delete" if change.value is None else "put", show(change.key)]
        words += [] if change.value is None else [show_value(change.value, hex_=hex_)]
        ctx.output.emit_record("kv.change", _record(change), "  ".join(words), show(change.key))
    return max(after, result.through)


def _record(change: kv.Change) -> dict[str, Any]:
    value = {} if change.value is None else bytes_field("value", change.value)
    return {
        "revision": change.revision,
        "op": "delete" if change.value is None else "put",
        **key_record(change.key),
        **value,
    }
