"""raftctl cluster verify: whether all members of a running cluster hold the same."""

from collections.abc import Sequence
from typing import Any, Final

from raftctl.cli.command import command
from raftctl.cli.context import CommandContext
from raftctl.cluster import Cluster
from raftctl.inspect.comparison import Comparison, Difference, Side
from raftctl.output.report import Column, Report
from raftctl.output.text import escape_text
from raftctl.view.cluster_view import FOREIGN, Member, View
from raftctl.view.take import view_with_leader
from raftnode.config.errors import CommandError, ConditionFalse, NoLeaderError, Unreachable
from raftnode.wire.client import NodeStatus

POLL_S: Final = 0.1
EQUAL, DIFFERS, UNCHECKED = "equal", "differs", "unchecked"


@command("cluster verify", connects=True, timeout=30.0)
def verify(ctx: CommandContext) -> None:
    """Check that all members hold the same configuration, log and keys.

    The members' cluster, configuration, term and instance are compared, then every log entry that all of them still
    have, up to what was committed at the start, then every key with its value and revisions: those also cover what
    the logs no longer have. Sessions are not compared, because nodes do not show them. A configuration's index is
    compared if both nodes still have the entry: a node that began with a snapshot has its configuration from there.

    The command only reads, and clients may go on writing: committed entries never change, and each member's keys
    are compared with the leader's, which are read before and after them.

    --timeout is how long the members have to reach the same state, and then how long each may take for its next
    page. The exit codes are:

    - 0: All are equal.
    - 3: Something differs. The output says who, and from which log entry or key on.
    - 4: A member could not be asked, or not to the end. It counts as unchecked, never as equal.
    - 5: There is no leader.

    The fields of the JSON are:

    - verdict: One of equal, different and unchecked.
    - differences: A list of objects with what (cluster_id, configuration, term, instance_id, log or keys), members,
      index, key and text.
    - log: The SHA-256 of the entries that were compared, if all are equal.
    - keys: The SHA-256 of the keys and the index at which they were read, unless keys changed while they were
      read.

    Example: raftctl cluster verify --timeout 1m
    """
    report = ctx.progress()
    with ctx.cluster() as cluster:
        view, target = _settle(ctx, cluster)
        view = _with_own_names(view)
        sides, differences = _sides(view, target)
        # While some caught up, the cluster went on: what all have by now is compared.
        target = min((r for m in view.members if (r := _reached(m)) >= target), default=target)
        comparison = Comparison(cluster, sides, ctx.timeout, report)
        comparison.differences.extend(differences)
        comparison.identify()
        comparison.compare_logs(max(m.status.first_log_index for m in view.members if m.status is not None), target)
        comparison.compare_keys()
    verdicts = {m.name: _verdict(m.name, comparison) for m in view.members}
    ctx.output.emit(_report(view, target, comparison, verdicts))
    error = _error(view, comparison, verdicts)
    if error is not None:
        raise error


def _settle(ctx: CommandContext, cluster: Cluster) -> tuple[View, int]:
    """Ask until all members agree and have applied what is committed now, or the time is over."""
    view = view_with_leader(cluster)
    assert view.leader is not None, "view_with_leader returns a view with a leader"
    target = view.leader.commit_index
    report = ctx.progress()
    while True:
        waiting = [text for m in view.members if (text := _unsettled(view, m, target))]
        if not waiting:
            return view, target
        report(f"still waiting: {'; '.join(waiting)}")
        if not cluster.deadline.pause(POLL_S):
            return view, target
        view = view_with_leader(cluster)


def _with_own_names(view: View) -> View:
    """Return the view with the id in place of a name that several members have, as commands take it, too."""
    names = [m.name for m in view.members]
    return view._replace(
        members=tuple(m._replace(name=str(m.id)) if names.count(m.name) > 1 else m for m in view.members)
    )


def _unsettled(view: View, member: Member, target: int) -> str:
    """Return what a member may still come to agree in; "" for nothing, or where it cannot be asked."""
    if member.status is None:
        return f"{member.name} does not answer" if member.up else ""
    return "; ".join(d.text for d in _state_differences(view, member)) or _behind(member, target)


def _reached(member: Member) -> int:
    """Return up to which entry a member has committed and applied its log; -1 for one that does not answer."""
    status = member.status
    return -1 if status is None else min(status.commit_index, status.applied_index)


def _behind(member: Member, target: int) -> str:
    reached = _reached(member)
    return f"{member.name} has applied {reached} of the {target} entries" if reached < target else ""


def _state_differences(view: View, member: Member) -> list[Difference]:
    """Return in what a member's own status differs from the leader's."""
    leader, status = view.leader, member.status
    assert leader is not None, "view_with_leader returns a view with a leader"
    assert status is not None, "only members that answer are asked"
    found = []
    if status.term != leader.term:
        text = f"{member.name} is in term {status.term}, {leader.node_name} leads in term {leader.term}"
        found.append(Difference("term", (member.name,), text))
    if _membership(status) != _membership(leader):
        found.append(
            Difference(
                "configuration",
                (member.name,),
                f"{member.name} knows other members than "
                f"{leader.node_name}: see raftctl member list -e {member.address}",
            )
        )
    elif _entries_differ(status, leader):
        text = (
            f"{member.name} has the configuration of entry {status.configuration_index}, {leader.node_name} "
            f"that of entry {leader.configuration_index}"
        )
        found.append(Difference("configuration", (member.name,), text, index=status.configuration_index))
    return found


def _membership(status: NodeStatus) -> tuple[Any, ...]:
    return (status.joint, sorted((m.id, m.name, m.address, m.kind) for m in status.members))


def _entries_differ(status: NodeStatus, leader: NodeStatus) -> bool:
    """Return whether two nodes have their configurations from different entries of the log.

    A node that began with a snapshot has the snapshot's: only entries that both still have can be compared.
    """
    both_have = max(status.first_log_index, leader.first_log_index)
    return (
        status.configuration_index != leader.configuration_index
        and min(status.configuration_index, leader.configuration_index) >= both_have
    )


def _sides(view: View, target: int) -> tuple[list[Side], list[Difference]]:
    """Return the members to compare, the leader first, and what the statuses alone tell."""
    differences: list[Difference] = []
    sides = []
    for member in sorted(view.members, key=lambda m: m.role != "leader"):
        side = Side(member.id, member.name, member.address)
        sides.append(side)
        if member.status is None:
            side.unchecked = f"it is {member.state}"
            if member.state == FOREIGN:
                text = f"another cluster answers at {member.address}, the address of {member.name}"
                differences.append(Difference("cluster_id", (member.name,), text))
        else:
            side.unchecked = _behind(member, target)
            differences += _state_differences(view, member)
    instances: dict[str, list[str]] = {}
    for member in view.members:
        if member.status is not None:
            instances.setdefault(member.status.instance_id, []).append(member.name)
    for instance, names in instances.items():
        if len(names) > 1:
            text = f"{', '.join(names)} are all instance {instance}: one data directory is a copy of another"
            differences.append(Difference("instance_id", tuple(names), text))
    return sides, differences


def _verdict(name: str, comparison: Comparison) -> str:
    if any(name in d.members for d in comparison.differences):
        return DIFFERS
    return UNCHECKED if any(s.unchecked for s in comparison.sides if s.name == name) else EQUAL


def _report(view: View, target: int, comparison: Comparison, verdicts: dict[str, str]) -> Report:
    values = set(verdicts.values())
    verdict = "different" if DIFFERS in values else UNCHECKED if UNCHECKED in values else EQUAL
    reasons = {s.name: s.unchecked for s in comparison.sides}
    log, keys = comparison.log, comparison.keys
    # What only some members hold is not worth remembering as the cluster's.
    log_sha256 = log.digest.hexdigest() if verdict == EQUAL and log.first <= log.last else None
    keys_sha256 = keys.digest.hexdigest() if verdict == EQUAL and keys.exact else None
    record = {
        "verdict": verdict,
        "cluster": {"id": view.cluster_id, "name": view.name},
        "index": target,
        "log": {"first": log.first, "last": log.last, "sha256": log_sha256},
        "keys": {"count": keys.count, "index": keys.index, "sha256": keys_sha256},
        "differences": [d.record() for d in comparison.differences],
        "members": [_member_record(m, verdicts[m.name], reasons[m.name]) for m in view.members],
    }
    equal = sum(v == EQUAL for v in verdicts.values())
    lines = [
        f"cluster {escape_text(view.name)}  {verdict.upper()}  {equal} of {len(view.members)} members are checked "
        f"and equal up to entry {target}"
    ]
    if verdict == EQUAL:
        lines += [
            f"  log   entries {log.first} to {log.last}, sha256 {log_sha256}"
            if log_sha256
            else f"  log   no entry up to {target} is left in all logs: a snapshot has taken their place",
            f"  keys  {keys.count}"
            + (f" at entry {keys.index}, sha256 {keys_sha256}" if keys_sha256 else ", read while they changed"),
        ]
    return Report(
        "cluster.verify",
        record,
        "\n".join(lines),
        [Column(c) for c in ("NAME", "ID", "ROLE", "VERDICT", "TERM", "COMMIT", "APPLIED", "CONFIGURATION")]
        + [Column("INSTANCE", wide=True)],
        [_row(m, verdicts[m.name]) for m in view.members],
        names=[verdict],
    )


def _member_record(member: Member, verdict: str, reason: str) -> dict[str, Any]:
    status = member.status
    return {
        "id": member.id,
        "name": member.name,
        "address": member.address,
        "role": member.role,
        "verdict": verdict,
        "unchecked_because": reason or None,
        "term": status.term if status else None,
        "commit_index": status.commit_index if status else None,
        "applied_index": status.applied_index if status else None,
        "configuration_index": status.configuration_index if status else None,
        "instance_id": status.instance_id if status else None,
    }


def _row(member: Member, verdict: str) -> list[str | None]:
    status = member.status
    numbers: Sequence[Any] = (
        (None,) * 5
        if status is None
        else (status.term, status.commit_index, status.applied_index, status.configuration_index, status.instance_id)
    )
    return [
        escape_text(member.name),
        str(member.id),
        member.role,
        verdict,
        *(None if n is None else escape_text(str(n)) for n in numbers),
    ]


def _error(view: View, comparison: Comparison, verdicts: dict[str, str]) -> CommandError | None:
    unchecked = [f"{s.name}: {s.unchecked}" for s in comparison.sides if s.unchecked]
    if comparison.differences:
        names = [n for n, v in verdicts.items() if v == DIFFERS]
        told = [d.text for d in comparison.differences] + [f"not checked: {text}" for text in unchecked]
        return ConditionFalse(
            f"{', '.join(names)} {'differ' if len(names) > 1 else 'differs'} from the other members",
            "; ".join(told),
            _next_step(view, comparison.differences[-1]),
            code="E_DIFFERENT",
        )
    if unchecked:
        names = [n for n, v in verdicts.items() if v == UNCHECKED]
        kind = Unreachable if view.voters_up >= view.quorum else NoLeaderError
        return kind(
            f"not every member could be checked: {', '.join(names)}",
            "; ".join(unchecked),
            "see who is up: raftctl status; then repeat: raftctl cluster verify",
            code="E_UNCHECKED",
        )
    return None


def _next_step(view: View, difference: Difference) -> str:
    """Return what an operator does first about a difference."""
    name = difference.members[0]
    member = next(m for m in view.members if m.name == name)
    voter = member.kind == "voter"
    new = (
        f"raftctl member replace {name} NEW --address HOST:PORT --yes"
        if voter
        else f"raftctl member remove {name} --yes, then raftnode join on an empty data directory"
    )
    match difference.what:
        case "log":
            other = next(m.name for m in view.members if m.name not in difference.members)
            look = f"raftctl log range {difference.index} {difference.index} --node"
            return (
                f"look at both: {look} {name}; {look} {other}. Keep the data directory of {name}, and put a new "
                f"member in its place: {new}"
            )
        case "keys":
            return f"keep the data directory of {name}, and put a new member in its place: {new}"
        case "instance_id" | "cluster_id":
            return f"stop the node that has no business there: raftctl member list -o wide; or: {new}"
        case _:
            return f"it may still catch up: raftctl wait --lag '<1'; see raftctl events list --node {name}"
