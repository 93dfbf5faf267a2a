"""A node's log read from its data directory, without the node: while it runs, when it does not, or when it cannot.

Nothing is locked and nothing is changed. The files do not say what is committed: only what a snapshot
covers is certain to be.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from raftctl.cli.command import Opt
from raftnode.config.errors import CommandError, ConditionFalse, UsageError
from raftnode.wire.client import LogEntryView

DATA_DIR: Final = Opt("--data-dir", "Read this data directory instead of asking a node; it may be in use.", "DIR")


@dataclass(frozen=True)
class OfflineLog:
    """What a data directory says about its log. The log is empty where `first_index` is above `last_index`."""

    data_dir: str
    node: str
    id: int | None
    cluster_id: str | None
    term: int
    first_index: int
    last_index: int
    snapshot_index: int
    snapshot_term: int
    snapshots: tuple[tuple[int, str], ...]
    """Each snapshot's last entry and when it was taken, newest first."""
    compacted_to: int
    """Entries up to here were discarded because a snapshot covers them."""
    damage: tuple[str, ...]
    read: Callable[[int, int], Iterator[LogEntryView]]
    """Gives the entries from one index to another that are there. Raises CommandError."""

    @property
    def known_committed(self) -> int:
        """The last entry that the files prove to be committed."""
        return self.snapshot_index

    def committed(self, index: int) -> bool | None:
        """Return True where an entry is known to be committed, None where that is not known."""
        return True if index <= self.known_committed else None

    def damaged(self) -> CommandError:
        """Return the error for what the damage hides."""
        return ConditionFalse(
            "the log is damaged before the entries that were asked for",
            "; ".join(self.damage),
            f"see all of it: raftctl log verify --data-dir {self.data_dir}",
            code="E_DAMAGED",
        )


@contextmanager
def open_log(data_dir: str) -> Iterator[OfflineLog]:
    """Read a data directory's log. Raises UsageError if it is not a data directory."""
    with storage_errors():
        from raftnode.storage.inspect import DataDirReader
        from raftnode.wire.describe import describe_entry
        from raftnode.wire.entries import describe_data
        from raftnode.wire.kv import describe_command

        def describe(data: bytes) -> str:
            return describe_data(data, describe_command)

        with DataDirReader(data_dir) as look:

            def read(first: int, last: int) -> Iterator[LogEntryView]:
                with storage_errors():
                    for entry in look.entries(first, last):
                        yield LogEntryView(entry, describe_entry(entry, describe))

            newest = look.snapshots[0] if look.snapshots else None
            identity = look.identity
            yield OfflineLog(
                data_dir=data_dir,
                node=identity.node_name if identity else "?",
                id=identity.node_id if identity else None,
                cluster_id=identity.cluster_id if identity else None,
                term=look.wal.load_hard_state().current_term,
                first_index=look.wal.readable_from,
                last_index=look.wal.last_index,
                snapshot_index=newest.index if newest else 0,
                snapshot_term=newest.term if newest else 0,
                snapshots=tuple((s.index, s.created_at) for s in look.snapshots),
                compacted_to=look.wal.first_index - 1,
                damage=tuple(f"{d.file}, byte {d.offset}: {d.reason}" for d in look.damage),
                read=read,
            )


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn what raftnode.storage raises into errors of the command line."""
    from raftnode.storage.inspect import DataDirError, SnapshotDamaged, StorageError, WalDamaged

    try:
        yield
    except DataDirError as error:
        raise UsageError(
            f"cannot use the data directory {error.path}", error.reason, error.advice, code="E_DATA_DIR"
        ) from error
    except WalDamaged as error:
        raise damaged(error.file, error.offset, error.reason, error.advice) from error
    except SnapshotDamaged as error:
        raise damaged(error.file, error.offset, error.reason, "use another copy of the snapshot") from error
    except StorageError as error:
        raise UsageError(
            str(error), "the operating system reported it", "check the path and its permissions", code="E_FILE"
        ) from error


def damaged(file: str, offset: int, reason: str, advice: str) -> ConditionFalse:
    """Return the error for a file that is not what was written."""
    return ConditionFalse(f"{file} is damaged at byte {offset}", reason, advice, code="E_DAMAGED")


def committed_word(known: bool | None) -> str:
    """Return what stands in a table for `OfflineLog.committed`."""
    return "yes" if known else "unknown"


def members_record(configuration: Any) -> dict[str, Any]:
    """Return a Configuration as JSON, with each member's name and address."""
    from raftnode.wire.frame import FrameError
    from raftnode.wire.peer import MemberContext, decode_member_context

    def member(node: int) -> dict[str, Any]:
        try:
            context = decode_member_context(configuration.contexts.get(node))
        except FrameError:
            # The core carries any bytes: a member without a name is shown by its id, as nodes do.
            context = MemberContext("", "")
        return {"id": node, "name": context.name, "address": context.address}

    groups = ("voters", "voters_outgoing", "learners", "learners_next", "observers")
    return {group: [member(node) for node in getattr(configuration, group)] for group in groups}
