"""raftctl snapshot inspect."""

from typing import Annotated, Any

from raftctl.cli.command import Opt, command
from raftctl.cli.context import CommandContext
from raftctl.commands.snapshot.files import FILE, head_record, opened, read
from raftctl.inspect.data_dir import DATA_DIR, members_record
from raftctl.inspect.snapshot_contents import Weight
from raftctl.output.report import Column, Report
from raftctl.output.text import bytes_field, escape_bytes, escape_text, format_bytes
from raftnode.config.errors import UsageError


@command("snapshot inspect")
def inspect(
    ctx: CommandContext,
    file: Annotated[str | None, FILE] = None,
    *,
    data_dir: Annotated[str | None, DATA_DIR] = None,
    depth: Annotated[int, Opt("--depth", "How many parts of a key make its prefix.", "N")] = 1,
    separator: Annotated[str, Opt("--separator", "What ends a part of a key.", "TEXT")] = "/",
    limit: Annotated[int, Opt("-n/--limit", "Show the N heaviest prefixes, and the others as one.", "N")] = 50,
) -> None:
    """Show what a snapshot holds: index, term, members, counts of keys and sessions, and sizes by key prefix.

    With --data-dir, the newest snapshot there is read. All of it is read, and damage is exit code 3. The prefix of
    a key ends with its N-th separator, or with its last one if it has fewer.

    Example: raftctl snapshot inspect backup.snap --depth 2
    """
    if depth < 0 or limit < 0 or not separator:
        raise UsageError(
            f"invalid --depth {depth}, --limit {limit} or --separator {separator!r}",
            "--depth and --limit must be at least 0, and --separator must not be empty",
            "leave them out for 1, 50 and '/'",
        )
    with opened(file, data_dir) as (stored, chunks):
        contents = read(ctx, stored, chunks, depth, separator)
        heaviest = sorted(contents.prefixes.items(), key=lambda item: (-item[1].total_bytes, item[0]))
        others = Weight()
        for _, weight in heaviest[limit:]:
            others.add(weight)
        record = {
            **head_record(stored),
            "configuration": members_record(stored.configuration),
            "revision": contents.revision,
            "keys": contents.total.keys,
            "key_bytes": contents.total.key_bytes,
            "value_bytes": contents.total.value_bytes,
            "sessions": contents.sessions,
            "results": contents.results,
            "result_bytes": contents.result_bytes,
            "prefixes": [{**bytes_field("prefix", p), **_weight_record(w)} for p, w in heaviest[:limit]],
            "others": {"prefixes": len(heaviest[limit:]), **_weight_record(others)},
        }
    rows = [[escape_bytes(p) or "(no prefix)", *_weight_row(w)] for p, w in heaviest[:limit]]
    if heaviest[limit:]:
        rows.append([f"({len(heaviest[limit:])} others)", *_weight_row(others)])
    ctx.output.emit(
        Report(
            "snapshot.inspect",
            record,
            _title(record),
            [Column(c) for c in ("PREFIX", "KEYS", "BYTES", "KEY BYTES", "VALUE BYTES")],
            [*rows, ["(all)", *_weight_row(contents.total)]],
            names=[escape_bytes(p) for p, _ in heaviest[:limit]],
        )
    )


def _title(record: dict[str, Any]) -> str:
    voters = ", ".join(
        f"{m['name'] or m['id']} at {m['address']}" if m["address"] else str(m["id"])
        for m in record["configuration"]["voters"]
    )
    return "\n".join(
        (
            f"snapshot {escape_text(record['file'])}",
            f"  index      {record['index']}, term {record['term']}, taken {escape_text(record['created_at'])}",
            f"  cluster    {escape_text(record['cluster_id'] or 'not recorded')}; voters {escape_text(voters)}",
            f"  size       {format_bytes(record['size_bytes'])} ({record['size_bytes']} bytes), format "
            f"{record['format_version']}",
            f"  contents   {record['keys']} keys, revision {record['revision']}, {record['sessions']} sessions",
        )
    )


def _weight_record(weight: Weight) -> dict[str, int]:
    return {
        "keys": weight.keys,
        "bytes": weight.total_bytes,
        "key_bytes": weight.key_bytes,
        "value_bytes": weight.value_bytes,
    }


def _weight_row(weight: Weight) -> list[str]:
    return [str(weight.keys), str(weight.total_bytes), str(weight.key_bytes), str(weight.value_bytes)]
