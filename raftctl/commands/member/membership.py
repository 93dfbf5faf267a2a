"""What the member commands share: find a member, propose a change, and wait until it is true everywhere."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from raftctl.cli.command import Opt
from raftctl.cli.context import CommandContext
from raftctl.cluster import Cluster
from raftctl.output.report import Report
from raftctl.view.cluster_view import View, view_of
from raftctl.view.take import POLL_S, ROUND_S, view_with_leader
from raftnode.config.errors import CommandError, NoLeaderError, UnknownOutcomeError, Unreachable
from raftnode.wire.client import ChangeMembers, MemberOperation, MembersChanged, NodeStatus

DRY_RUN: Final = Opt("--dry-run", "Let the leader evaluate the change, and change nothing.")
WAIT: Final = Opt("--wait", "Wait until it is true on every member that is up (the default).", negative="--no-wait")
FORCE: Final = Opt("--force", "Skip the check of lag. It asks first on a terminal; without one it needs --yes.")
ACCEPT: Final = Opt(
    "--accept-quorum-loss",
    "Make the change even if fewer voters than a quorum answer afterwards: nothing can be written then. NAME is the "
    "cluster's name.",
    "NAME",
)


@dataclass(frozen=True, slots=True)
class Checks:
    """The checks that an operator gives up: that of lag, and that of the quorum by the cluster's name."""

    force: bool = False
    accept_quorum_loss: str = ""

    def __bool__(self) -> bool:
        return self.force or bool(self.accept_quorum_loss)


ALL_CHECKS: Final = Checks()


def propose(
    cluster: Cluster,
    operations: Sequence[MemberOperation],
    *,
    dry_run: bool = False,
    checks: Checks = ALL_CHECKS,
    wait_s: float = 0.0,
) -> MembersChanged:
    """Put a change to the leader, who may hold it for `wait_s` seconds until a learner has caught up.

    Raises CommandError; UnknownOutcomeError where the answer was lost.
    """
    return cluster.call_leader(
        ChangeMembers(0, list(operations), dry_run, checks.force, round(wait_s * 1000), checks.accept_quorum_loss)
    )


def change_until(
    cluster: Cluster,
    view: View,
    operations: Sequence[MemberOperation],
    holds: Callable[[View], bool],
    *,
    checks: Checks = ALL_CHECKS,
) -> bool:
    """Propose `operations`, as one change, until it is so, and return whether this changed anything.

    `view` is what the leader showed last. A lost answer is no reason to give up: the membership itself says whether
    the change was made.
    """
    lost: UnknownOutcomeError | None = None
    while True:
        try:
            if holds(view if lost is None else view_with_leader(cluster)):
                return lost is not None
            return propose(cluster, operations, checks=checks).changed
        except UnknownOutcomeError as error:
            lost = error
        except (NoLeaderError, Unreachable):
            # Once a proposal was sent, it is no longer true that nothing was done.
            if lost is None:
                raise
        if not cluster.deadline.pause(POLL_S):
            assert lost is not None, "every other way out has been taken"
            raise lost


def wait_everywhere(ctx: CommandContext, cluster: Cluster, holds: Callable[[NodeStatus], bool], what: str) -> View:
    """Return the view when `holds` of every member that answers. Raises UnknownOutcomeError in the end."""
    report = ctx.progress()
    waiting = ""
    last: CommandError | None = None
    while True:
        try:
            statuses, asked = cluster.statuses(ROUND_S)
        except Unreachable as error:
            # A round that the timeout cut short does not undo what an earlier one showed.
            last, waiting = error, waiting or error.what
        else:
            view = view_of(statuses, asked)
            members = {m.id: m.name for m in view.members}
            behind = [members[s.node_id] for s in statuses if s.node_id in members and not holds(s)]
            if view.leader is not None and not behind:
                return view
            waiting = f"not yet on {', '.join(behind)}" if behind else "no node leads"
        report(f"still waiting: {what}: {waiting}")
        if not cluster.deadline.pause(POLL_S):
            raise UnknownOutcomeError(
                f"{what} was not seen on every member within {ctx.timeout:g} s",
                waiting,
                "it may still come true: raftctl member list",
                code="E_TIMEOUT",
            ) from last


def emit_change(ctx: CommandContext, schema: str, member: str, *, changed: bool, text: str, **more: Any) -> None:
    """Print what a change did."""
    ctx.output.emit(
        Report(
            schema,
            {"member": member, "changed": changed, **more},
            f"changed: {'true' if changed else 'false'}  {text}",
            names=[member],
        )
    )


def emit_evaluation(ctx: CommandContext, schema: str, member: str, result: MembersChanged) -> None:
    """Print what a change would do, as the leader evaluated it."""
    data = {
        "member": member,
        "changed": False,
        "dry_run": True,
        "would_change": result.changed,
        "voters": {"before": result.voters_before, "after": result.voters_after},
        "quorum": {"before": result.quorum_before, "after": result.quorum_after},
        "tolerates": {"before": result.tolerates_before, "after": result.tolerates_after},
    }
    text = (
        f"changed: false  would change: {'true' if result.changed else 'false'}\n"
        f"  voters     {result.voters_before} -> {result.voters_after}\n"
        f"  quorum     {result.quorum_before} -> {result.quorum_after}\n"
        f"  tolerates  {tolerance_text(result)}"
    )
    ctx.output.emit(Report(schema, data, text, names=[member]))


def effect_text(effect: MembersChanged) -> str:
    """Return what a change does to the voters, from what the leader says of it."""
    return (
        f"voters {effect.voters_before} -> {effect.voters_after}, quorum {effect.quorum_before} -> "
        f"{effect.quorum_after}, tolerates {tolerance_text(effect)}"
    )


def tolerance_text(effect: MembersChanged) -> str:
    """Return how many more voters may fail before and after a change; a lost quorum is not a number of failures."""
    before, after = (
        str(number) if number >= 0 else f"NO QUORUM ({-number} too few)"
        for number in (effect.tolerates_before, effect.tolerates_after)
    )
    return f"{before} -> {after}" + (" more failures" if effect.tolerates_after >= 0 else "")
