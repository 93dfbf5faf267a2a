"""raftctl log export: a range of the log as JSON lines, complete and with a checksum."""

import hashlib
import os
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final

from raftctl.cli.command import Arg, Opt, command
from raftctl.cli.context import CommandContext
from raftctl.commands.log.source import LogSource, log_source
from raftctl.inspect.data_dir import DATA_DIR
from raftctl.output.formats import json_text, with_schema
from raftctl.output.report import Report
from raftctl.output.text import escape_text
from raftnode.config.errors import NotFound, RefusedError, UsageError
from raftnode.wire.client import LogEntryView

CHUNK_BYTES: Final = 256 * 1024
"""How much is gathered before it is written."""

NODE: Final = Opt(
    "--node", "Take it from this member; without it, from the leader, or any node that answers.", "MEMBER"
)
STANDARD_OUTPUT: Final = "-"

Write = Callable[[bytes], object]


@command("log export", connects=True, timeout=30.0)
def export(
    ctx: CommandContext,
    lo: Annotated[int, Arg("LO", "The first index.")],
    hi: Annotated[int, Arg("HI", "The last index; beyond the log's end, it ends there.")],
    *,
    file: Annotated[str, Opt("--file", "The file to write; - is standard output.", "FILE")] = STANDARD_OUTPUT,
    force: Annotated[bool, Opt("--force", "Replace FILE where it exists.")] = False,
    node: Annotated[str | None, NODE] = None,
    data_dir: Annotated[str | None, DATA_DIR] = None,
    dry_run: Annotated[bool, Opt("--dry-run", "Say what would be written, and write nothing.")] = False,
) -> None:
    """Write the log entries LO to HI, both included, as JSON lines.

    - first line: The cluster's id, the first and last index and their count (schema "raftctl.log.export/1").
    - each entry: Its index, term, kind and its bytes in base64 (data_b64).
    - last line: The SHA-256 of all bytes before it and the last entry that is known to be committed (schema
      "raftctl.log.export.end/1").

    Of two members whose entries are equal, the lines before the last are equal. To check an export, compare
    the last line with the output of `head -n -1 FILE | sha256sum`. One page is in memory at a time, and
    --timeout is how long it may take. The export is written to FILE.part, which is renamed to FILE once it
    is complete and on the disk.

    A member exports committed entries only. With --data-dir, only the entries that a snapshot covers are known to
    be committed. If entry LO was compacted, or does not exist yet, the exit code is 3.

    Example: raftctl log export 1 1000 --file entries.jsonl
    """
    if not 1 <= lo <= hi:
        raise UsageError(
            f"{lo} to {hi} is not a range of the log",
            "a range starts at 1 or later and does not end before it starts",
            "see where the log begins and ends: raftctl log info",
        )
    _check_output(ctx, file, force=force)
    with log_source(ctx, node, data_dir) as source:
        last = min(hi, source.last_index)
        if lo > last:
            if source.damage is not None:
                raise source.damage
            raise NotFound(
                f"there is no entry {lo} yet",
                f"the log of {source.node} ends at entry {source.last_index}",
                "see where the log begins and ends: raftctl log info",
            )
        head = {"cluster_id": source.cluster_id, "first": lo, "last": last, "count": last - lo + 1}
        if dry_run:
            next(source.read(lo, lo), None)
            sha256 = None
        elif file == STANDARD_OUTPUT:
            sha256 = _write(ctx, source, head, ctx.output.emit_bytes)
        else:
            sha256 = _write_file(ctx, source, head, file)
        if hi > last and source.damage is not None:
            raise source.damage
    if hi > last:
        ctx.note(f"the log of {source.node} ends at entry {last}: nothing after it is in the export")
    if sha256 is None or file != STANDARD_OUTPUT:
        _emit(ctx, source, head, file, sha256)


def _check_output(ctx: CommandContext, file: str, *, force: bool) -> None:
    if file == STANDARD_OUTPUT:
        if ctx.output.format in ("wide", "yaml", "name"):
            raise UsageError(
                f"an export cannot be printed as {ctx.output.format}",
                "an export is always JSON lines",
                "leave -o out, or give --file FILE",
            )
    elif os.path.lexists(file) and not force:
        raise RefusedError(
            f"{file} exists already",
            "an export is not written over another file",
            "give another name, or --force",
            code="E_EXISTS",
        )


def _write(ctx: CommandContext, source: LogSource, head: dict[str, Any], write: Write) -> str:
    """Write all lines and return the checksum that the last one has. Raises CommandError."""
    digest = hashlib.sha256()
    report = ctx.progress()
    pending = bytearray()
    lines = _lines(source, head)
    for number, line in enumerate(lines):
        pending += line
        if len(pending) >= CHUNK_BYTES:
            digest.update(pending)
            write(bytes(pending))
            pending.clear()
            report(f"exported {number} of {head['count']} entries")
    digest.update(pending)
    sha256 = digest.hexdigest()
    end = {"count": head["count"], "sha256": sha256, "committed_to": min(source.committed_to, head["last"])}
    write(bytes(pending) + _line("log.export.end", end))
    return sha256


def _lines(source: LogSource, head: dict[str, Any]) -> Iterator[bytes]:
    yield _line("log.export", head)
    expected = head["first"]
    for view in source.read(head["first"], head["last"]):
        assert view.entry.index == expected, "a log has no gap"
        expected += 1
        yield _line("log.export.entry", _record(view))
    if expected <= head["last"]:
        # A running node replaced the end of its log, or a snapshot covers it now.
        raise NotFound(
            f"entry {expected} disappeared while the log was read",
            f"the log of {source.node} changes",
            "repeat the command",
        )


def _record(view: LogEntryView) -> dict[str, Any]:
    entry = view.entry
    return {
        "index": entry.index,
        "term": entry.term,
        "kind": entry.kind.name.lower(),
        "data_b64": b64encode(entry.data).decode("ascii"),
    }


def _line(schema: str, record: dict[str, Any]) -> bytes:
    return json_text(with_schema(schema, record)).encode() + b"\n"


def _write_file(ctx: CommandContext, source: LogSource, head: dict[str, Any], file: str) -> str:
    """Write FILE.part, and give it its name when it is on the disk. Leaves nothing behind when it fails."""
    part = f"{file}.part"
    try:
        with open(part, "wb") as out:
            sha256 = _write(ctx, source, head, out.write)
            out.flush()
            os.fsync(out.fileno())
        os.replace(part, file)
        descriptor = os.open(os.path.dirname(file) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException as error:
        if os.path.lexists(part):
            os.unlink(part)
        if isinstance(error, OSError):
            raise UsageError(
                f"cannot write {file}", error.strerror or str(error), "give a name that can be written", code="E_FILE"
            ) from error
        raise
    return sha256


def _emit(ctx: CommandContext, source: LogSource, head: dict[str, Any], file: str, sha256: str | None) -> None:
    changed = sha256 is not None
    committed_to = min(source.committed_to, head["last"])
    what = f"entries {head['first']} to {head['last']} of {escape_text(source.node)}, {head['count']} of them"
    lines = [
        f"changed: {'true' if changed else 'false'}  {'wrote' if changed else 'would write'} {what}, to "
        f"{'standard output' if file == STANDARD_OUTPUT else escape_text(file)}"
    ]
    if committed_to < head["last"]:
        lines.append(f"  only those up to entry {committed_to} are known to be committed")
    if changed:
        lines.append(f"sha256 {sha256}")
    ctx.output.emit(
        Report(
            "log.export.done",
            {
                "changed": changed,
                **({} if changed else {"dry_run": True}),
                "file": file,
                "node": source.node,
                **head,
                "committed_to": committed_to,
                "sha256": sha256,
            },
            "\n".join(lines),
            names=[file],
        )
    )
