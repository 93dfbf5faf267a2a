"""Shared by the commands that ask nodes for their snapshots."""

from shlex import quote
from typing import Any, Final, TypeVar

from raftctl.cluster import Cluster, command_error
from raftctl.output.report import Column
from raftctl.output.text import escape_text, format_bytes
from raftctl.view.cluster_view import Member, View, find_one_member
from raftnode.client.errors import NoNodeAnswers, failed_error
from raftnode.config.errors import NoLeaderError, Unreachable
from raftnode.wire.client import (
    Request,
    SnapshotInfo,
)

T = TypeVar("T")


COLUMNS: Final = (
    Column("NODE"),
    Column("INDEX"),
    Column("TERM"),
    Column("SIZE"),
    Column("CREATED"),
    Column("FILE"),
    Column("VOTERS", True),
)


def choose(view: View, node: tuple[str, ...], *, all_: bool) -> list[Member]:
    if all_:
        return [m for m in view.members if m.status is not None]
    if node:
        return [find_one_member(view, which) for which in node]
    if view.leader is None:
        raise NoLeaderError(
            "no node leads",
            "; ".join(view.reasons),
            f"name a member that answers: raftctl snapshot trigger --node {quote(answering(view))}",
        )
    return [m for m in view.members if m.role == "leader"]


def answering(view: View) -> str:
    """Return the name of a member that answers; one did, or there would be no view."""
    return next((m.name for m in view.members if m.status is not None), "MEMBER")


def ask(cluster: Cluster, chosen: list[Member], request: Request[T]) -> dict[str, T]:
    """Ask these members and return every answer. Raises CommandError for one that fails or does not answer."""
    found = cluster.ask([m.address for m in chosen], request, cluster.deadline)
    if found.failures and not found.answers and not found.failed:
        raise command_error(NoNodeAnswers(found.failures))
    for member in chosen:
        failure = found.failures.get(member.address)
        if failure is not None:
            raise Unreachable(f"{member.name} does not answer", str(failure), "see who is up: raftctl status")
        if member.address in found.failed:
            raise command_error(failed_error(found.failed[member.address]))
    return found.answers


def snapshot_record(node: str, snapshot: SnapshotInfo) -> dict[str, Any]:
    """Return a snapshot as JSON."""
    return {
        "node": node,
        "index": snapshot.index,
        "term": snapshot.term,
        "size_bytes": snapshot.size_bytes,
        "created_at": snapshot.created_at,
        "file": snapshot.file,
        "voters": snapshot.voters,
    }


def row(node: str, snapshot: SnapshotInfo) -> list[str]:
    return [
        escape_text(node),
        str(snapshot.index),
        str(snapshot.term),
        format_bytes(snapshot.size_bytes),
        escape_text(snapshot.created_at),
        escape_text(snapshot.file),
        ",".join(map(str, snapshot.voters)),
    ]
