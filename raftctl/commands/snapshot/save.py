"""raftctl snapshot save: copy a node's snapshot into a file, whole or not at all."""

import hashlib
import os
import zlib
from collections.abc import Iterator
from itertools import chain
from shlex import quote
from typing import Annotated, Final

from raftctl.cli.command import Arg, Opt, command
from raftctl.cli.context import CommandContext
from raftctl.cluster import Cluster
from raftctl.commands.snapshot.nodes import answering
from raftctl.inspect.data_dir import storage_errors
from raftctl.output.progress import ProgressDisplay
from raftctl.output.report import Report
from raftctl.output.text import escape_text, format_bytes
from raftctl.view.cluster_view import View, find_one_member
from raftctl.view.take import take_view
from raftnode.client.transport import Deadline
from raftnode.config.errors import (
    ConflictError,
    InternalError,
    NoLeaderError,
    NotFound,
    RefusedError,
    Unreachable,
    UsageError,
)
from raftnode.wire.client import (
    ListSnapshots,
    ReadSnapshot,
    SnapshotInfo,
    SnapshotPiece,
    TriggerSnapshot,
)

PIECE_BYTES: Final = 512 * 1024


@command("snapshot save", connects=True, timeout=60.0)
def save(
    ctx: CommandContext,
    file: Annotated[str, Arg("FILE", "The file to write.")],
    *,
    from_: Annotated[
        str | None, Opt("--from", "Take it from this member; without it, from the leader.", "MEMBER")
    ] = None,
    existing: Annotated[bool, Opt("--existing", "Save the newest existing one instead of taking one.")] = False,
    force: Annotated[bool, Opt("--force", "Replace FILE where it exists.")] = False,
    dry_run: Annotated[bool, Opt("--dry-run", "Say what would be saved, and save nothing.")] = False,
) -> None:
    """Copy a snapshot of the cluster's state into a file: a backup that snapshot restore makes a cluster from.

    A new snapshot is taken first. The copy continues where it was when the connection breaks; --timeout is how long
    it may go without progress. The copy is written to FILE.part, which is renamed to FILE once it is complete,
    checked and on the disk. The output has index, term, size and the SHA-256 of the file.

    Example: raftctl snapshot save backup.snap
    """
    if os.path.lexists(file) and not force:
        raise RefusedError(
            f"{file} exists already",
            "a backup is not written over another one",
            "give another name, or --force",
            code="E_EXISTS",
        )
    directory = os.path.dirname(file) or "."
    if not os.access(directory, os.W_OK | os.X_OK):
        # Checked before a snapshot is taken for nothing.
        raise UsageError(
            f"cannot write {file}",
            f"{directory} is not a directory you can write to",
            "give a name in a directory that can be written",
            code="E_FILE",
        )
    with ctx.cluster() as cluster:
        name, address = _source(take_view(cluster, 1.0), from_, file)
        if dry_run:
            _would_save(ctx, cluster, name, address, file, existing=existing)
            return
        index = term = 0
        if not existing:
            cluster.deadline = Deadline(ctx.timeout)
            taken = cluster.call_any(TriggerSnapshot(0), address)
            index, term = taken.snapshot.index, taken.snapshot.term
        snapshot, sha256 = _copy(ctx, cluster, address, ReadSnapshot(0, index, term, 0, PIECE_BYTES), file)
    ctx.output.emit(
        Report(
            "snapshot.save",
            {
                "changed": True,
                "file": file,
                "node": name,
                "index": snapshot.index,
                "term": snapshot.term,
                "size_bytes": snapshot.size_bytes,
                "sha256": sha256,
                "created_at": snapshot.created_at,
            },
            f"changed: true  saved {escape_text(file)}: index {snapshot.index}, term {snapshot.term}, "
            f"{format_bytes(snapshot.size_bytes)}, from {escape_text(name)}\nsha256 {sha256}",
            names=[file],
        )
    )


def _would_save(ctx: CommandContext, cluster: Cluster, name: str, address: str, file: str, *, existing: bool) -> None:
    """Say what the member would give. Raises NotFound where it has no snapshot and must not take one."""
    kept = cluster.call_any(ListSnapshots(0), address)
    if existing and not kept.snapshots:
        raise NotFound(
            f"{name} keeps no snapshot",
            "none was taken there yet",
            "have one taken: raftctl snapshot save without --existing",
        )
    index = kept.snapshots[0].index if existing else None
    what = f"its snapshot of entry {index}" if existing else "a new snapshot"
    ctx.output.emit(
        Report(
            "snapshot.save",
            {"changed": False, "dry_run": True, "would_change": True, "file": file, "node": name, "index": index},
            f"changed: false  would save {escape_text(file)}: {what}, from {escape_text(name)}",
            names=[file],
        )
    )


def _source(view: View, which: str | None, file: str) -> tuple[str, str]:
    if which is not None:
        member = find_one_member(view, which)
        return member.name, member.address
    if view.leader is None:
        raise NoLeaderError(
            "no node leads",
            "; ".join(view.reasons),
            f"name a member that answers: raftctl snapshot save {quote(file)} --from {quote(answering(view))}",
        )
    return view.leader.node_name, view.leader.address


def _copy(
    ctx: CommandContext, cluster: Cluster, address: str, request: ReadSnapshot, file: str
) -> tuple[SnapshotInfo, str]:
    """Write FILE.part, check it as a snapshot, and give it its name. Leaves nothing behind when it fails."""
    part = f"{file}.part"
    digest = hashlib.sha256()
    try:
        with open(part, "wb") as out:
            pieces = _pieces(ctx, cluster, address, request)
            first = next(pieces)
            with ProgressDisplay("saving", first.snapshot.size_bytes, quiet=ctx.output.structured) as progress:
                for piece in chain([first], pieces):
                    out.write(piece.data)
                    digest.update(piece.data)
                    progress.at(piece.offset + len(piece.data))
            out.flush()
            os.fsync(out.fileno())
        _check(part, first.snapshot)
        os.replace(part, file)
        _sync_directory(os.path.dirname(file) or ".")
    except BaseException as error:
        if os.path.lexists(part):
            os.unlink(part)
        if isinstance(error, OSError):
            raise UsageError(
                f"cannot write {file}",
                error.strerror or str(error),
                "give a name in a directory that can be written",
                code="E_FILE",
            ) from error
        raise
    return first.snapshot, digest.hexdigest()


def _pieces(ctx: CommandContext, cluster: Cluster, address: str, request: ReadSnapshot) -> Iterator[SnapshotPiece]:
    """Give a snapshot file's pieces in order, over as many connections as that takes."""
    snapshot: SnapshotInfo | None = None
    offset = 0
    while snapshot is None or offset < snapshot.size_bytes:
        if snapshot is not None:
            request = ReadSnapshot(0, snapshot.index, snapshot.term, offset, PIECE_BYTES)
        piece = _ask(ctx, cluster, address, request)
        snapshot = snapshot or piece.snapshot
        if piece.snapshot != snapshot:
            raise ConflictError(
                "the node has another snapshot of this index now", f"its file was {snapshot.file}", "repeat the command"
            )
        if piece.offset != offset or not piece.data or zlib.crc32(piece.data) != piece.checksum:
            raise InternalError(
                f"{address} sent a bad piece of the snapshot",
                f"at byte {offset} of {snapshot.file}",
                "repeat the command, or save from another member with --from",
            )
        offset += len(piece.data)
        yield piece


def _ask(ctx: CommandContext, cluster: Cluster, address: str, request: ReadSnapshot) -> SnapshotPiece:
    """Ask until the piece is there, for as long as the command may go without progress."""
    patience = Deadline(ctx.timeout)
    while True:
        cluster.deadline = Deadline(max(patience.remaining(), 0.001))
        try:
            return cluster.call_any(request, address)
        except Unreachable:
            # It may be restarting: the copy continues where it was.
            if request.offset == 0 or not patience.pause():
                raise
            continue


def _check(part: str, expected: SnapshotInfo) -> None:
    """Read the copy as a restore would. Raises CommandError."""
    with storage_errors():
        from raftnode.storage.filesystem import RealFilesystem
        from raftnode.storage.snapshot_file import read_chunks, read_head

        fs = RealFilesystem()
        stored = read_head(part, fs)
        for _ in read_chunks(stored, fs):
            pass
        found = (stored.index, stored.term, stored.size_bytes)
    if found != (expected.index, expected.term, expected.size_bytes):
        raise InternalError(
            "the copy is another snapshot than the one announced",
            f"{found}, not {expected}",
            "repeat the command, or save from another member with --from",
        )


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
