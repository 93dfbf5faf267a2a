"""How snapshot files are read and shown."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from raftctl.cli.command import Arg
from raftctl.cli.context import CommandContext
from raftctl.inspect.data_dir import damaged, storage_errors
from raftctl.inspect.snapshot_contents import Contents, read_contents
from raftctl.output.progress import ProgressDisplay
from raftnode.config.errors import NotFound, UsageError
from raftnode.wire.frame import FrameError

FILE: Final = Arg("FILE", "A file that snapshot save wrote, or one of a data directory's.")


@contextmanager
def opened(file: str | None, data_dir: str | None) -> Iterator[tuple[Any, Iterator[bytes]]]:
    """Give a snapshot's head (a StoredSnapshot) and its checked chunks. Raises CommandError."""
    if (file is None) == (data_dir is None):
        raise UsageError(
            "give FILE or --data-dir",
            "neither was given" if file is None else "both were given",
            "write: raftctl snapshot inspect FILE, or: raftctl snapshot inspect --data-dir DIR",
        )
    with storage_errors():
        from raftnode.storage.filesystem import RealFilesystem
        from raftnode.storage.snapshot_file import read_chunks, read_head
        from raftnode.storage.snapshots import SnapshotStore

        fs = RealFilesystem()
        if file is not None:
            stored = read_head(file, fs)
        else:
            latest = SnapshotStore(f"{data_dir}/snapshots", fs, read_only=True).latest()
            if latest is None:
                raise NotFound(
                    f"{data_dir} holds no snapshot", "none was taken there yet", "take one: raftctl snapshot trigger"
                )
            stored = latest
        yield stored, read_chunks(stored, fs)


def read(ctx: CommandContext, stored: Any, chunks: Iterator[bytes], depth: int, separator: str) -> Contents:
    with ProgressDisplay("reading", stored.size_bytes, quiet=ctx.output.structured) as progress:
        try:
            return read_contents(chunks, depth, separator.encode(), progress.at)
        except FrameError as error:
            # Its checksums may be right: then another machine or a faulty program wrote it.
            raise damaged(
                stored.path,
                0,
                f"it is not a snapshot of the key-value store: {error}",
                "use another copy of the snapshot",
            ) from error


def head_record(stored: Any) -> dict[str, Any]:
    """Return the head of a StoredSnapshot as JSON."""
    return {
        "file": stored.path,
        "format_version": stored.format_version,
        "cluster_id": stored.cluster_id or None,
        "index": stored.index,
        "term": stored.term,
        "created_at": stored.created_at,
        "size_bytes": stored.size_bytes,
    }
