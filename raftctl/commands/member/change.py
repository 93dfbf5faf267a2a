"""raftctl member promote, demote and remove."""

import sys
from typing import Annotated, Final

from raftctl.cli.command import Arg, Opt, command
from raftctl.cli.context import Invocation
from raftctl.commands.member.add import is_kind
from raftctl.commands.member.membership import (
    DRY_RUN,
    FORCE,
    WAIT,
    change_until,
    emit_change,
    emit_evaluation,
    in_each,
    led_view,
    propose,
    the_member,
    wait_everywhere,
)
from raftctl.view.cluster_view import View, find_member
from raftnode.client.transport import Deadline
from raftnode.config.errors import NotFound, Refused, UsageError
from raftnode.wire.client import MemberAction, MemberOperation, MembersChanged

MEMBER: Final = Arg("MEMBER", "The member's name, id or address.")
YES: Final = Opt("-y/--yes", "Do not ask.")


@command("member promote", connects=True, timeout=30.0)
def promote(
    run: Invocation,
    member: Annotated[str, MEMBER],
    *,
    dry_run: Annotated[bool, DRY_RUN] = False,
    force: Annotated[bool, FORCE] = False,
    wait: Annotated[bool, WAIT] = True,
) -> None:
    """Give a learner that has caught up a vote. A voter stays one: `changed: false`.

    Example: raftctl member promote n4
    """
    _turn(run, member, MemberAction.PROMOTE, "voter", dry_run=dry_run, force=force, wait=wait)


@command("member demote", connects=True, timeout=30.0)
def demote(
    run: Invocation,
    member: Annotated[str, MEMBER],
    *,
    dry_run: Annotated[bool, DRY_RUN] = False,
    force: Annotated[bool, FORCE] = False,
    wait: Annotated[bool, WAIT] = True,
) -> None:
    """Turn a voter into a learner. A learner stays one: `changed: false`.

    Example: raftctl member demote n3 --dry-run
    """
    _turn(run, member, MemberAction.DEMOTE, "learner", dry_run=dry_run, force=force, wait=wait)


def _turn(
    run: Invocation, which: str, action: MemberAction, kind: str, *, dry_run: bool, force: bool, wait: bool
) -> None:
    schema = f"member.{action.value}"
    with run.cluster() as cluster:
        now = led_view(cluster)
        found = the_member(now, which)
        if found.kind == "observer":
            raise Refused(
                f"{found.name} is an observer",
                "an observer never has a vote",
                f"remove it and add it again: raftctl member remove {found.name}",
            )
        operation = MemberOperation(action, node_id=found.id)
        if dry_run:
            if found.kind == kind:
                emit_change(
                    run,
                    schema,
                    found.name,
                    changed=False,
                    text=f"{found.name} is already a {kind}",
                    dry_run=True,
                    would_change=False,
                )
                return
            emit_evaluation(run, schema, found.name, propose(cluster, [operation], dry_run=True, force=force))
            return

        def holds(view: View) -> bool:
            return is_kind(view, found.id, kind)

        changed = change_until(cluster, now, [operation], holds, force=force)
        if wait:
            wait_everywhere(run, cluster, in_each(holds), f"{found.name} as a {kind}")
    emit_change(run, schema, found.name, changed=changed, text=f"{found.name} is a {kind}", id=found.id, kind=kind)


@command("member remove", connects=True, timeout=30.0)
def remove(
    run: Invocation,
    member: Annotated[str, MEMBER],
    *,
    yes: Annotated[bool, YES] = False,
    if_exists: Annotated[bool, Opt("--if-exists", "A member that is not there is no error.")] = False,
    dry_run: Annotated[bool, DRY_RUN] = False,
    force: Annotated[bool, FORCE] = False,
    wait: Annotated[bool, WAIT] = True,
) -> None:
    """Remove a member. Its id is never used again; its data stays on its disk.

    It asks first on a terminal, with what follows for quorum and tolerance; without a terminal it needs --yes.
    What would cost the cluster its quorum is refused (exit code 6).

    Example: raftctl member remove n4 --yes
    """
    if not (yes or dry_run or sys.stdin.isatty()):
        raise UsageError(
            "removing a member needs --yes where nobody can be asked",
            "standard input is not a terminal",
            f"raftctl member remove {member} --yes",
        )
    with run.cluster() as cluster:
        view = led_view(cluster)
        if if_exists and not find_member(view.members, member):
            emit_change(
                run,
                "member.remove",
                member,
                changed=False,
                text=f"there is no member {member}",
                **({"dry_run": True, "would_change": False} if dry_run else {}),
            )
            return
        found = the_member(view, member)
        operation = MemberOperation(MemberAction.REMOVE, node_id=found.id)
        if dry_run:
            emit_evaluation(run, "member.remove", found.name, propose(cluster, [operation], dry_run=True, force=force))
            return
        if not yes:
            effect = propose(cluster, [operation], dry_run=True, force=force)
            ask(
                f"remove {found.name} (id {found.id}, {found.role}) from cluster {view.name}: "
                f"{effect_text(effect, leads=found.role == 'leader')}?"
            )
            cluster.deadline = Deadline(run.timeout)

        def gone(now: View) -> bool:
            return not now.joint and all(m.id != found.id for m in now.members)

        try:
            changed = change_until(cluster, view, [operation], gone, force=force)
        except NotFound:
            # Someone else removed it between our look and our proposal.
            changed = False
        if wait:
            wait_everywhere(run, cluster, in_each(gone), f"the removal of {found.name}")
    emit_change(run, "member.remove", found.name, changed=changed, text=f"{found.name} is not a member", id=found.id)


def effect_text(effect: MembersChanged, *, leads: bool) -> str:
    """Return what a removal does to the voters, from what the leader says of it."""
    text = (
        f"voters {effect.voters_before} -> {effect.voters_after}, quorum {effect.quorum_before} -> "
        f"{effect.quorum_after}, tolerates {effect.tolerates_before} -> {effect.tolerates_after} more failures"
    )
    return f"{text}; it leads, so another voter takes over" if leads else text


def ask(question: str) -> None:
    """Ask the person at the terminal. Raises UsageError unless the answer is yes."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("not confirmed", "nothing was changed", "answer y, or give --yes")
