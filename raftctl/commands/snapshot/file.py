"""raftctl snapshot inspect and verify: of a saved file, or of a data directory's newest snapshot."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

from raftctl.cli.command import Arg, Opt, command
from raftctl.cli.context import Invocation
from raftctl.inspect.data_dir import DATA_DIR, damaged, members_record, storage_told
from raftctl.inspect.snapshot_contents import Contents, Weight, read_contents
from raftctl.output.progress import Progress
from raftctl.output.report import Column, Report
from raftctl.output.text import bytes_field, escape_bytes, escape_text, format_bytes
from raftnode.config.errors import NotFound, UsageError
from raftnode.wire.frame import FrameError

FILE: Final = Arg("FILE", "A file that snapshot save wrote, or one of a data directory's.")


@command("snapshot inspect")
def inspect(
    run: Invocation,
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
            f"a depth of {depth}, {limit} prefixes and the separator {separator!r} cannot be",
            "--depth and --limit are at least 0, and --separator is not empty",
            "leave them out for 1, 50 and '/'",
        )
    with opened(file, data_dir) as (stored, chunks):
        contents = _read(run, stored, chunks, depth, separator)
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
    run.output.emit(
        Report(
            "snapshot.inspect",
            record,
            _title(record),
            [Column(c) for c in ("PREFIX", "KEYS", "BYTES", "KEY BYTES", "VALUE BYTES")],
            [*rows, ["(all)", *_weight_row(contents.total)]],
            names=[escape_bytes(p) for p, _ in heaviest[:limit]],
        )
    )


@command("snapshot verify")
def verify(run: Invocation, file: Annotated[str, FILE]) -> None:
    """Read all of a snapshot file and say whether it is whole. Damage is exit code 3, with the byte.

    Example: raftctl snapshot verify backup.snap
    """
    with opened(file, None) as (stored, chunks):
        contents = _read(run, stored, chunks, 0, "/")
        record = {"ok": True, **head_record(stored), "keys": contents.total.keys, "sessions": contents.sessions}
    run.output.emit(
        Report(
            "snapshot.verify",
            record,
            f"{escape_text(file)}  whole: index {record['index']}, term {record['term']}, "
            f"{format_bytes(record['size_bytes'])}, {record['keys']} keys",
            names=["whole"],
        )
    )


@contextmanager
def opened(file: str | None, data_dir: str | None) -> Iterator[tuple[Any, Iterator[bytes]]]:
    """Give a snapshot's head (a StoredSnapshot) and its checked chunks. Raises CliError."""
    if (file is None) == (data_dir is None):
        raise UsageError(
            "give FILE or --data-dir",
            "neither was given" if file is None else "both were given",
            "write: raftctl snapshot inspect FILE, or: raftctl snapshot inspect --data-dir DIR",
        )
    with storage_told():
        from raftnode.storage.filesystem import RealFilesystem
        from raftnode.storage.snapshots import SnapshotStore, read_chunks, read_head

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


def _read(run: Invocation, stored: Any, chunks: Iterator[bytes], depth: int, separator: str) -> Contents:
    with Progress("reading", stored.size_bytes, quiet=run.output.structured) as progress:
        try:
            return read_contents(chunks, depth, separator.encode(), progress.at)
        except FrameError as error:
            # Its checksums may be right: then it is of another machine, or of a program with a bug.
            raise damaged(
                stored.path, 0, f"it is no snapshot of the key-value store: {error}", "use another copy of the snapshot"
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
