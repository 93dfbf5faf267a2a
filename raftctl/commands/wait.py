"""raftctl wait: return when the cluster is as a script needs it."""

import operator
import re
from collections.abc import Callable
from typing import Annotated, Final

from raftctl.cli.command import Opt, command
from raftctl.cli.context import CommandContext
from raftctl.output.report import Report
from raftctl.output.text import human_duration
from raftctl.view.cluster_view import View, count_up
from raftctl.view.take import take_view
from raftnode.config.errors import CommandError, ConditionFalse, NoLeaderError, Unreachable, UsageError

POLL_S: Final = 0.1
ROUND_S: Final = 1.0
ONCE_S: Final = 0.5
"""How long the nodes have for their first answers, so that --timeout 0 still asks once."""

Condition = Callable[[View], str]
"""Says what is missing in a view; empty where the condition holds."""

_COMPARE: Final = {
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "==": operator.eq,
    ">": operator.gt,
    ">=": operator.ge,
}


@command("wait", connects=True, timeout=30.0)
def wait(
    ctx: CommandContext,
    *,
    leader: Annotated[bool, Opt("--leader", "Until a node leads, with a quorum of voters up.")] = False,
    members: Annotated[int | None, Opt("--members", "Until the cluster has N members and all are up.", "N")] = None,
    voters: Annotated[int | None, Opt("--voters", "Until the cluster has N voters and all are up.", "N")] = None,
    applied_to: Annotated[int | None, Opt("--applied-to", "Until every member has applied log index I.", "I")] = None,
    lag: Annotated[
        str | None, Opt("--lag", "Until every member's lag satisfies this, such as '<10'.", "COMPARISON")
    ] = None,
    health: Annotated[
        str | None,
        Opt(
            "--health",
            "Until the cluster's health is this.",
            "WORD",
            ("healthy", "degraded", "no-leader", "no-quorum"),
        ),
    ] = None,
) -> None:
    """Wait until every given condition holds at the same time, and show how long it took.

    With --leader, `-o name` prints the leader's name. The exit codes at the timeout are:

    - 3: A condition does not hold.
    - 4: No node answers.
    - 5: There is no leader.

    Example: raftctl wait --leader --voters 3 --timeout 10s
    """
    conditions = build_conditions(
        leader=leader, members=members, voters=voters, applied_to=applied_to, lag=lag, health=health
    )
    with ctx.cluster() as cluster:
        report_progress = ctx.progress()
        missing: CommandError | None = None
        at_least = ONCE_S
        while True:
            try:
                view = take_view(cluster, ROUND_S, at_least=at_least)
            except Unreachable as error:
                # A round that the timeout cut short does not undo what an earlier one showed.
                missing = missing or error
            else:
                missing = _missing(view, conditions, ctx.timeout, leader=leader)
                if missing is None:
                    break
            at_least = 0.0
            report_progress(f"still waiting: {missing.why or missing.what}")
            if not cluster.deadline.pause(POLL_S):
                raise missing
        waited = cluster.deadline.elapsed
    name = view.leader.node_name if view.leader is not None else None
    ctx.output.emit(
        Report(
            "wait",
            {"waited_ms": round(waited * 1000), "leader": name},
            f"true after {human_duration(waited)}",
            [],
            [],
            names=[name if leader and name is not None else "true"],
        )
    )


def _missing(view: View, conditions: list[Condition], timeout: float, *, leader: bool) -> CommandError | None:
    missing = [text for text in (condition(view) for condition in conditions) if text]
    if not missing:
        return None
    kind = NoLeaderError if leader and _leader_missing(view) else ConditionFalse
    return kind(f"still not true after {human_duration(timeout)}", "; ".join(missing), "look closer: raftctl status")


def build_conditions(
    *,
    leader: bool,
    members: int | None,
    voters: int | None,
    applied_to: int | None,
    lag: str | None,
    health: str | None,
) -> list[Condition]:
    """Return what must hold. Raises UsageError if no condition was given."""
    conditions: list[Condition] = []
    if leader:
        conditions.append(_leader_missing)
    if members is not None:
        conditions.append(lambda view: _count_up(view, "members", members))
    if voters is not None:
        conditions.append(lambda view: _count_up(view, "voters", voters))
    if applied_to is not None:
        conditions.append(
            lambda view: "; ".join(
                f"{m.name} has applied {'an unknown part' if m.applied_index is None else m.applied_index}, "
                f"not {applied_to}"
                for m in view.members
                if (m.applied_index or 0) < applied_to
            )
        )
    if lag is not None:
        holds = parse_comparison(lag)
        conditions.append(
            lambda view: "; ".join(
                f"{m.name} has lag {'unknown' if m.lag is None else m.lag}, not {lag}"
                for m in view.members
                if m.lag is None or not holds(m.lag)
            )
        )
    if health is not None:
        conditions.append(lambda view: "" if view.health == health else f"health is {view.health}, not {health}")
    if not conditions:
        raise UsageError("wait for what?", "no condition was given", "give one: raftctl wait --leader")
    return conditions


def _leader_missing(view: View) -> str:
    needed = f"{count_up(view.voters_up)} and {view.quorum} are needed" if view.voters_up < view.quorum else ""
    if view.leader is None:
        return f"no node leads: {needed}" if needed else "no node leads"
    if needed:
        return f"{view.leader.node_name} leads, but {needed}"
    return ""


def _count_up(view: View, noun: str, wanted: int) -> str:
    counted = [m for m in view.members if noun == "members" or m.kind == "voter"]
    up = sum(m.up for m in counted)
    if len(counted) == wanted == up:
        return ""
    return f"the cluster has {len(counted)} {noun}, {up} of them up, not {wanted}"


def parse_comparison(text: str) -> Callable[[int], bool]:
    """Return the test in "<10", "<= 10", ">5" or "10". Raises UsageError."""
    match = re.fullmatch(r"\s*(<=|>=|==|=|<|>)?\s*(\d+)\s*", text)
    if match is None:
        raise UsageError(
            f"--lag cannot be {text!r}", "it must be a comparison with a number of entries", "write --lag '<10'"
        )
    compare, bound = _COMPARE[match[1] or "="], int(match[2])
    return lambda value: bool(compare(value, bound))
