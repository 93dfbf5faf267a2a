"""A log to read from one end to the other, page by page: a member's committed entries, or a data directory's."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from raftctl.cli.command import Opt
from raftctl.cli.context import CommandContext
from raftctl.cluster import Cluster
from raftctl.commands.log.offline import check_first
from raftctl.inspect.data_dir import open_log
from raftctl.view.cluster_view import Member, View, find_one_member
from raftctl.view.take import take_view
from raftnode.client.transport import Deadline
from raftnode.config import data_files
from raftnode.config.errors import CommandError, InternalError, NotFound, Unreachable, UsageError
from raftnode.wire.client import GetLog, ListSnapshots, LogEntryView, LogResult

SURVEY_S: Final = 1.0
NO_INDEX: Final = 2**62


@dataclass(frozen=True)
class LogSource:
    """Where entries come from. The log is empty where `first_index` is above `last_index`."""

    node: str
    cluster_id: str | None
    first_index: int
    last_index: int
    committed_to: int
    """The last entry that is known to be committed."""
    snapshots: tuple[tuple[int, str], ...]
    """Each snapshot's last entry and when it was taken, newest first."""
    segments: tuple[tuple[str, int], ...] | None
    """The files of the log with their sizes; None of a member, which does not show them."""
    damage: CommandError | None
    """What hides a part of the log, if anything does."""
    read: Callable[[int, int], Iterator[LogEntryView]]
    """Gives the entries from one index to another, a page in memory at a time. Raises CommandError."""
    begins_at: Callable[[], int]
    """Asks for the first index again: entries may have been discarded since."""


@contextmanager
def log_source(ctx: CommandContext, node: str | None, data_dir: str | None) -> Iterator[LogSource]:
    """Give the log of a data directory, else of a member; without either, of the leader. Raises CommandError.

    --timeout is how long each page may take.
    """
    if data_dir is not None:
        if node is not None:
            raise UsageError(
                "--data-dir and --node exclude each other",
                "a data directory is read from files, without asking a node",
                "leave one of them out",
            )
        with _offline(data_dir) as source:
            yield source
        return
    with ctx.cluster() as cluster:
        view = take_view(cluster, SURVEY_S)
        member = _chosen(view, node)
        cluster.deadline = Deadline(ctx.timeout)
        end = _page(cluster, member.address, NO_INDEX, NO_INDEX)
        kept = cluster.call_any(ListSnapshots(0), member.address)
        yield LogSource(
            node=member.name,
            cluster_id=view.cluster_id,
            first_index=end.first_log_index,
            last_index=end.commit_index,
            committed_to=end.commit_index,
            snapshots=tuple((s.index, s.created_at) for s in kept.snapshots),
            segments=None,
            damage=None,
            read=lambda first, last: _pages(ctx, cluster, member.address, first, last),
            begins_at=lambda: _page(cluster, member.address, NO_INDEX, NO_INDEX).first_log_index,
        )


@contextmanager
def _offline(data_dir: str) -> Iterator[LogSource]:
    with open_log(data_dir) as log:

        def read(first: int, last: int) -> Iterator[LogEntryView]:
            check_first(log, first)
            yield from log.read(first, last)

        yield LogSource(
            node=log.node,
            cluster_id=log.cluster_id,
            first_index=log.first_index,
            last_index=log.last_index,
            committed_to=min(log.known_committed, log.last_index),
            snapshots=log.snapshots,
            segments=tuple(_segments(os.path.join(data_dir, data_files.WAL))),
            damage=log.damaged() if log.damage else None,
            read=read,
            begins_at=lambda: log.first_index,
        )


def _segments(directory: str) -> Iterator[tuple[str, int]]:
    try:
        with os.scandir(directory) as found:
            files = sorted((entry.name, entry.path) for entry in found if entry.name.endswith(".wal"))
    except OSError as error:
        raise UsageError(
            f"cannot list {directory}",
            error.strerror or str(error),
            "check the path and its permissions",
            code="E_FILE",
        ) from error
    for _, path in files:
        try:
            yield path, os.stat(path).st_size
        except FileNotFoundError:
            # A running node removed it, because a snapshot covers its entries.
            continue


def _chosen(view: View, node: str | None) -> Member:
    if node is not None:
        return find_one_member(view, node)
    answering = [m for m in view.members if m.status is not None]
    leading = [m for m in answering if m.role == "leader"]
    if not answering:
        raise Unreachable("no member answers", "; ".join(view.reasons), "see who is up: raftctl status")
    return (leading or answering)[0]


def _pages(ctx: CommandContext, cluster: Cluster, address: str, first: int, last: int) -> Iterator[LogEntryView]:
    while first <= last:
        cluster.deadline = Deadline(ctx.timeout)
        entries = _page(cluster, address, first, last).entries
        if not entries or entries[0].entry.index != first:
            raise InternalError(
                f"{address} gave no entry {first}",
                f"it said that it has the entries up to {last}",
                "repeat the command, or ask another member with --node",
            )
        yield from entries
        first = entries[-1].entry.index + 1


def _page(cluster: Cluster, address: str, first: int, last: int) -> LogResult:
    return cluster.call_any(GetLog(0, first, last), address)


def discarded(error: NotFound) -> bool:
    """Return whether entries are missing because a snapshot has taken their place."""
    return error.code == "E_COMPACTED"


NODE: Final = Opt("--node", "Ask this member; without it, the leader, or any node that answers.", "MEMBER")


def address_to_ask(cluster: Cluster, node: str | None) -> str:
    """Return the address of the member to ask; "" for any node that answers, the leader first."""
    view = take_view(cluster, 1.0)
    if node is not None:
        return find_one_member(view, node).address
    if view.leader is not None:
        cluster.start_at(view.leader.address)
    return ""


def refuse_node_offline(node: str | None) -> None:
    if node is not None:
        raise UsageError(
            "--data-dir and --node exclude each other",
            "a data directory is read from files, without asking a node",
            "leave one of them out",
        )
