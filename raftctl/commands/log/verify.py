"""raftctl log verify: read all of a data directory and say what it holds, and whether it is whole."""

from typing import Annotated, Any

from raftctl.cli.command import Opt, command
from raftctl.cli.context import CommandContext
from raftctl.inspect.data_dir import members_record, storage_errors
from raftctl.output.report import Column, Report
from raftctl.output.text import escape_text, format_bytes
from raftnode.config.errors import ConditionFalse


@command("log verify")
def verify(
    ctx: CommandContext,
    *,
    data_dir: Annotated[str, Opt("--data-dir", "The data directory; a node may be running on it.", "DIR")],
) -> None:
    """Read all of a data directory (identity, log, snapshots) and say whether it is whole. It changes nothing.

    Damage is exit code 3, with file, byte, log index and what to do. A torn tail, which a crash or a write in
    progress leaves, is no damage: it was never acknowledged, and the next start cuts it.

    No lock is taken: a node may be running on the directory. In JSON, `damage` is a list of file, offset, index,
    reason and advice. raftnode-files(5) has the layout of the files.

    Example: raftctl log verify --data-dir demo/data/n1
    """
    with storage_errors():
        from msgspec import to_builtins

        from raftnode.storage.inspect import DataDirReader

        with DataDirReader(data_dir) as look:
            found = look.verify()
        record = {
            "ok": not found.damage,
            "data_dir": data_dir,
            "identity": None
            if found.identity is None
            else {
                "cluster_id": found.identity.cluster_id,
                "cluster_name": found.identity.cluster_name,
                "node_id": found.identity.node_id,
                "node_name": found.identity.node_name,
                "instance_id": found.identity.instance_id,
            },
            "boots": found.boots,
            "hard_state": {"term": found.hard_state.current_term, "voted_for": found.hard_state.voted_for},
            "log": {
                "first_index": found.first_index,
                "last_index": found.last_index,
                "entries": found.last_index - found.first_index + 1,
                "segments": found.segments,
                "terms": to_builtins(found.terms),
            },
            "snapshots": [
                {
                    "index": s.index,
                    "term": s.term,
                    "size_bytes": s.size_bytes,
                    "created_at": s.created_at,
                    "file": s.path,
                    "configuration": members_record(s.configuration),
                }
                for s in found.snapshots
            ],
            "torn_tail": to_builtins(found.torn_tail),
            "unfinished": found.unfinished,
            "damage": to_builtins(found.damage),
        }
    ctx.output.emit(
        Report(
            "log.verify",
            record,
            f"{escape_text(data_dir)}  {'DAMAGED' if record['damage'] else 'whole'}",
            [Column("WHAT"), Column("FOUND")],
            _rows(record),
            names=["damaged" if record["damage"] else "whole"],
        )
    )
    if found.damage:
        first = found.damage[0]
        raise ConditionFalse(
            f"{first.file} is damaged at byte {first.offset}"
            + (f" (log index {first.index})" if first.index else "")
            + (f", and {len(found.damage) - 1} more" if len(found.damage) > 1 else ""),
            first.reason,
            first.advice,
            code="E_DAMAGED",
        )


def _rows(record: dict[str, Any]) -> list[list[str | None]]:
    identity, state, log = record["identity"], record["hard_state"], record["log"]
    rows: list[list[str | None]] = [
        [
            "identity",
            None
            if identity is None
            else escape_text(
                f"{identity['node_name']} (id {identity['node_id']}) of cluster {identity['cluster_name']} "
                f"({identity['cluster_id']}), instance {identity['instance_id']}"
            ),
        ],
        ["starts", str(record["boots"])],
        [
            "hard state",
            f"term {state['term']}, " + ("no vote" if state["voted_for"] is None else f"vote for {state['voted_for']}"),
        ],
        [
            "log",
            f"entries {log['first_index']}..{log['last_index']} ({log['entries']}), segments {log['segments']}"
            if log["entries"]
            else f"no entries, the next is {log['last_index'] + 1}, segments {log['segments']}",
        ],
    ]
    rows += [["term", f"{t['term']}: entries {t['first_index']}..{t['last_index']}"] for t in log["terms"]]
    rows += [
        [
            "snapshot",
            f"index {s['index']}, term {s['term']}, {format_bytes(s['size_bytes'])}, "
            f"{s['created_at']}, {escape_text(s['file'])}",
        ]
        for s in record["snapshots"]
    ]
    if (tail := record["torn_tail"]) is not None:
        rows.append(
            [
                "note",
                f"torn tail: {tail['size_bytes']} bytes from byte {tail['offset']} of "
                f"{escape_text(tail['file'])} were never wholly written; the next start cuts them",
            ]
        )
    rows += [["note", f"never finished, counts for nothing: {escape_text(name)}"] for name in record["unfinished"]]
    for damage in record["damage"]:
        where = f", log index {damage['index']}" if damage["index"] else ""
        rows.append(["damage", escape_text(f"{damage['file']}, byte {damage['offset']}{where}: {damage['reason']}")])
    return rows
