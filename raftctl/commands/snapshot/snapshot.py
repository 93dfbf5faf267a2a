"""raftctl snapshot trigger and list."""

from shlex import quote
from typing import Annotated, Any, Final, TypeVar

from raftctl.cli.command import Opt, command
from raftctl.cli.context import Invocation
from raftctl.cluster import Cluster, command_error
from raftctl.commands.member.membership import the_member
from raftctl.output.report import Column, Report
from raftctl.output.text import escape_text, format_bytes
from raftctl.view.cluster_view import Member, View
from raftctl.view.survey import take_view
from raftnode.client.errors import NoNodeAnswers, failed_error
from raftnode.config.errors import NoLeader, Unreachable
from raftnode.wire.client import (
    ListSnapshots,
    Request,
    SnapshotInfo,
    TriggerSnapshot,
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


@command("snapshot trigger", connects=True, timeout=60.0)
def trigger(
    run: Invocation,
    *,
    node: Annotated[
        tuple[str, ...],
        Opt("--node", "On this member; may be repeated. Without it, on the leader.", "MEMBER"),
    ] = (),
    all_: Annotated[bool, Opt("--all", "On every member that is up.")] = False,
    dry_run: Annotated[bool, Opt("--dry-run", "Say where a snapshot would be taken, and take none.")] = False,
) -> None:
    """Take a snapshot now, and return when it is durable. Nothing new since the last one is `changed: false`.

    Example: raftctl snapshot trigger --node n2
    """
    with run.cluster() as cluster:
        view = take_view(cluster, 1.0)
        chosen = _chosen(view, node, all_=all_)
        if dry_run:
            _would_trigger(run, chosen)
            return
        found = _ask(cluster, chosen, TriggerSnapshot(0))
    taken = [(m, found[m.address]) for m in chosen]
    changed = any(a.changed for _, a in taken)
    run.output.emit(
        Report(
            "snapshot.trigger",
            {
                "changed": changed,
                "snapshots": [{**snapshot_record(m.name, a.snapshot), "changed": a.changed} for m, a in taken],
            },
            f"changed: {'true' if changed else 'false'}",
            COLUMNS,
            [_row(m.name, a.snapshot) for m, a in taken],
            names=[f"{m.name}:{a.snapshot.index}" for m, a in taken],
        )
    )


def _would_trigger(run: Invocation, chosen: list[Member]) -> None:
    """Say which members have applied something since their newest snapshot. Raises Unreachable."""
    found = []
    for member in chosen:
        status = member.status
        if status is None:
            raise Unreachable(
                f"{member.name} does not answer", f"it is {member.state}", "see who is up: raftctl status"
            )
        found.append((member.name, status.applied_index, status.applied_index > status.snapshot_index))
    names = [name for name, _, changes in found if changes]
    run.output.emit(
        Report(
            "snapshot.trigger",
            {
                "changed": False,
                "dry_run": True,
                "would_change": bool(names),
                "snapshots": [{"node": n, "index": i, "would_change": c} for n, i, c in found],
            },
            f"changed: false  would take a snapshot on: {', '.join(map(escape_text, names)) or 'no member'}",
            names=names,
        )
    )


def _chosen(view: View, node: tuple[str, ...], *, all_: bool) -> list[Member]:
    if all_:
        return [m for m in view.members if m.status is not None]
    if node:
        return [the_member(view, which) for which in node]
    if view.leader is None:
        raise NoLeader(
            "no node leads",
            "; ".join(view.reasons),
            f"name a member that answers: raftctl snapshot trigger --node {quote(answering(view))}",
        )
    return [m for m in view.members if m.role == "leader"]


@command("snapshot list", connects=True)
def list_snapshots(
    run: Invocation,
    *,
    node: Annotated[
        tuple[str, ...], Opt("--node", "Of this member; may be repeated. Without it, of all.", "MEMBER")
    ] = (),
) -> None:
    """List the snapshots that the members keep, newest first.

    Example: raftctl snapshot list -o wide
    """
    with run.cluster() as cluster:
        view = take_view(cluster, 1.0)
        chosen = _chosen(view, node, all_=not node)
        found = _ask(cluster, chosen, ListSnapshots(0))
    snapshots = [(m.name, s) for m in chosen for s in found[m.address].snapshots]
    for member in view.members:
        if not node and member.status is None:
            run.note(f"{member.name} does not answer: its snapshots are not listed")
    run.output.emit(
        Report(
            "snapshot.list",
            {"snapshots": [snapshot_record(n, s) for n, s in snapshots]},
            columns=COLUMNS,
            rows=[_row(n, s) for n, s in snapshots],
            items="snapshots",
            item_schema="snapshot",
            names=[f"{n}:{s.index}" for n, s in snapshots],
        )
    )


def answering(view: View) -> str:
    """Return the name of a member that answers; one did, or there would be no view."""
    return next((m.name for m in view.members if m.status is not None), "MEMBER")


def _ask(cluster: Cluster, chosen: list[Member], request: Request[T]) -> dict[str, T]:
    """Ask these members and return every answer. Raises CliError for one that fails or does not answer."""
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


def _row(node: str, snapshot: SnapshotInfo) -> list[str]:
    return [
        escape_text(node),
        str(snapshot.index),
        str(snapshot.term),
        format_bytes(snapshot.size_bytes),
        escape_text(snapshot.created_at),
        escape_text(snapshot.file),
        ",".join(map(str, snapshot.voters)),
    ]
