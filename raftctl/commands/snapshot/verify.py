"""raftctl snapshot verify."""

from typing import Annotated

from raftctl.cli.command import command
from raftctl.cli.context import CommandContext
from raftctl.commands.snapshot.files import FILE, head_record, opened, read
from raftctl.output.report import Report
from raftctl.output.text import escape_text, format_bytes


@command("snapshot verify")
def verify(ctx: CommandContext, file: Annotated[str, FILE]) -> None:
    """Read all of a snapshot file and say whether it is whole. Damage is exit code 3, with the byte.

    Example: raftctl snapshot verify backup.snap
    """
    with opened(file, None) as (stored, chunks):
        contents = read(ctx, stored, chunks, 0, "/")
        record = {"ok": True, **head_record(stored), "keys": contents.total.keys, "sessions": contents.sessions}
    ctx.output.emit(
        Report(
            "snapshot.verify",
            record,
            f"{escape_text(file)}  whole: index {record['index']}, term {record['term']}, "
            f"{format_bytes(record['size_bytes'])}, {record['keys']} keys",
            names=["whole"],
        )
    )
