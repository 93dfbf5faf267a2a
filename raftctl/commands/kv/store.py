"""How the kv commands read and write the store, and show what a write did."""

from typing import Any, TypeVar

from raftctl.cli.command import Opt
from raftctl.cli.context import CommandContext
from raftctl.cluster import Cluster
from raftctl.commands.kv.values import (
    key_record,
    kv_result,
)
from raftctl.output.report import Report
from raftctl.output.text import escape_bytes
from raftnode.wire import kv
from raftnode.wire.client import Consistency, EvaluateWrite, Read

R = TypeVar("R")

CONSISTENCY = Opt(
    "--consistency",
    "linearizable (never stale) or local (any node's own state).",
    "WORD",
    ("linearizable", "local"),
)

DRY_RUN = Opt("--dry-run", "Show what it would do, by a linearizable read, and write nothing.")
EXPECTED = Opt("--expected-revision", "Only if the key is at this revision (0: it does not exist).", "N")


def read(cluster: Cluster, query: kv.KvQuery, expected: type[R], consistency: str) -> R:
    """Ask the store. Raises CommandError."""
    return kv_result(cluster.call(Read(0, kv.encode(query), Consistency(consistency))).result, expected)


def write(ctx: CommandContext, change: kv.KvCommand, expected: type[R], *, dry_run: bool) -> R:
    """Write, or let the leader evaluate the write; return its result. Raises CommandError."""
    command = kv.encode(change)
    with ctx.cluster() as cluster:
        result = cluster.call(EvaluateWrite(0, command)).result if dry_run else cluster.write(command).result
    return kv_result(result, expected, change.key)


def outcome(
    key: bytes, *, changes: bool, dry_run: bool, revision: int, text: str, **numbers: int
) -> tuple[dict[str, Any], str]:
    """Return what a write did, or would do, as JSON and as a line."""
    record: dict[str, Any] = {**key_record(key), "changed": changes and not dry_run, "revision": revision, **numbers}
    if not dry_run:
        return record, f"changed: {'true' if changes else 'false'}  revision {revision}"
    record |= {"dry_run": True, "would_change": changes}
    return record, (
        f"changed: false  would change: {'true' if changes else 'false'}{text}\n  by a linearizable read "
        f"at revision {revision}; another write may still come first"
    )


def emit(
    ctx: CommandContext, schema: str, key: bytes, *, changes: bool, dry_run: bool, revision: int, **numbers: int
) -> None:
    """Print what a write did, or would do."""
    record, title = outcome(key, changes=changes, dry_run=dry_run, revision=revision, text="", **numbers)
    ctx.output.emit(Report(schema, record, title, names=[escape_bytes(key)]))
