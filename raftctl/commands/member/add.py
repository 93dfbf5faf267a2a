"""raftctl member add: a learner that catches up and is then promoted."""

from typing import Annotated, Final

from raftctl.cli.command import Arg, Opt, command
from raftctl.cli.context import Invocation
from raftctl.cluster import Cluster
from raftctl.commands.member.membership import (
    DRY_RUN,
    POLL_S,
    as_leader_sees,
    change_until,
    emit_change,
    emit_evaluation,
    in_each,
    led_view,
    propose,
    wait_everywhere,
)
from raftctl.local.contexts import split_address
from raftctl.view.cluster_view import Member, View
from raftnode.client.fanout import ask_all
from raftnode.client.transport import Deadline
from raftnode.config.errors import Conflict, OutcomeUnknown, Refused, UsageError
from raftnode.wire.client import GetStatus, MemberAction, MemberOperation

STRANGER_S: Final = 1.0
"""How long we wait to hear who listens at a new member's address; most often nobody does yet."""


@command("member add", connects=True, timeout=60.0)
def add(
    run: Invocation,
    name: Annotated[str, Arg("NAME", "The new member's name.")],
    *,
    address: Annotated[str, Opt("--address", "Where the new member listens.", "HOST:PORT")],
    learner: Annotated[bool, Opt("--learner", "Leave it a learner: do not promote it.")] = False,
    observer: Annotated[bool, Opt("--observer", "Add it as a permanent read-only copy.")] = False,
    dry_run: Annotated[bool, DRY_RUN] = False,
    wait: Annotated[
        bool,
        Opt(
            "--wait",
            "Wait until it has caught up, promote it and see that everywhere (the "
            "default). Without waiting it stays a learner.",
            negative="--no-wait",
        ),
    ] = True,
) -> None:
    """Add a member: first as a learner, then, when it has caught up, as a voter.

    A learner does not count for the quorum, so adding one never risks the cluster. The new node itself is
    started with raftnode join, before or after this command. Repeating the command goes on where it stands; a
    member that is already what was asked for is `changed: false`.

    Example: raftctl member add n4 --address 10.0.0.4:7001
    """
    if learner and observer:
        raise UsageError(
            "--learner and --observer exclude each other", "a member is one thing at a time", "leave one of them out"
        )
    split_address(address)
    first = MemberAction.ADD_OBSERVER if observer else MemberAction.ADD_LEARNER
    operation = MemberOperation(first, name=name, address=address)
    with run.cluster() as cluster:
        view = led_view(cluster)
        present = existing(view, name, address)
        if observer and present is not None and present.kind != "observer":
            raise Conflict(
                f"{name} is already a {present.kind}",
                "a member is one thing at a time",
                f"remove it first: raftctl member remove {name}",
            )
        if present is None:
            check_stranger(view, address)
        if dry_run:
            _evaluate(run, cluster, view, name, operation, present)
            return
        changed = False
        if present is None:
            changed = change_until(cluster, view, [operation], lambda view: existing(view, name, address) is not None)
        if learner or observer or not wait or (present is not None and present.kind == "voter"):
            view = _seen(run, cluster, name, address) if wait else led_view(cluster)
        else:
            view = _promote(run, cluster, name, address, added=changed)
            changed = True
    member = existing(view, name, address)
    kind = member.kind if member is not None else "observer" if observer else "learner"
    emit_change(
        run,
        "member.add",
        name,
        changed=changed,
        text=f"{name} at {address} is a {kind}",
        id=member.id if member else None,
        kind=kind,
        address=address,
    )


def existing(view: View, name: str, address: str) -> Member | None:
    """Return the member with this name and address. Raises Conflict where only one of the two is in use."""
    for member in view.members:
        if member.name == name and member.address == address:
            return member
    for member in view.members:
        if member.name == name or member.address == address:
            raise Conflict(
                f"{name} at {address} collides with a member",
                f"{member.name} (id {member.id}) is at {member.address}",
                "give another name or address, or remove that member first",
            )
    return None


def check_stranger(view: View, address: str) -> None:
    """Raise Refused where another cluster's, a removed or another member's node answers at a new member's address."""
    answer = ask_all([address], GetStatus(0), Deadline(STRANGER_S)).answers.get(address)
    if answer is None:
        return
    there = answer.status
    listens = f"node {there.node_name} of cluster {there.cluster_name} ({there.cluster_id}) listens there"
    if there.cluster_id != view.cluster_id:
        raise Refused(
            f"another cluster answers at {address}",
            f"{listens}; this is cluster {view.name} ({view.cluster_id})",
            "give the address at which the new node will listen",
        )
    if all(m.id != there.node_id for m in view.members):
        raise Refused(
            f"a node that is no longer a member still runs at {address}",
            f"{listens}, and its id is never used again",
            "stop it and move its data directory away; then give the new node an empty one",
        )
    if any(m.id == there.node_id and m.address != address for m in view.members):
        raise Refused(
            f"a member answers at {address} already", listens, "give the address at which the new node will listen"
        )


def _evaluate(
    run: Invocation, cluster: Cluster, view: View, name: str, operation: MemberOperation, present: Member | None
) -> None:
    if present is None:
        result = propose(cluster, [operation], dry_run=True)
        emit_evaluation(run, "member.add", name, result)
        if operation.action is MemberAction.ADD_LEARNER:
            run.note("the promotion that follows gives it a vote: the quorum is then counted over one voter more")
        return
    if present.kind == "learner" and operation.action is MemberAction.ADD_LEARNER:
        # Behind, it would be refused now; the command itself waits until it has caught up, and so asks later.
        promotion = MemberOperation(MemberAction.PROMOTE, node_id=present.id)
        result = propose(cluster, [promotion], dry_run=True, force=not present.promotable)
        emit_evaluation(run, "member.add", name, result)
        if not present.promotable:
            run.note(f"{name} is a learner and is promoted when it has caught up: {progress_text(view, present)}")
        return
    emit_change(
        run,
        "member.add",
        name,
        changed=False,
        text=f"{name} is already a {present.kind}",
        dry_run=True,
        would_change=False,
    )


def _seen(run: Invocation, cluster: Cluster, name: str, address: str) -> View:
    return wait_everywhere(
        run,
        cluster,
        in_each(lambda view: existing(view, name, address) is not None),
        f"the addition of {name}",
    )


def _promote(run: Invocation, cluster: Cluster, name: str, address: str, *, added: bool) -> View:
    """Wait until the learner has caught up, promote it, and wait until every member knows it as a voter.

    `added`: this command made it a member, so that raftnode join has not run yet.
    """
    again = f"raftctl member add {name} --address {address}"
    view, member = await_catch_up(run, cluster, name, address, again, added=added)
    promotion = MemberOperation(MemberAction.PROMOTE, node_id=member.id)
    change_until(cluster, view, [promotion], lambda v: is_kind(v, member.id, "voter"))
    return wait_everywhere(run, cluster, in_each(lambda v: is_kind(v, member.id, "voter")), f"the promotion of {name}")


def await_catch_up(
    run: Invocation, cluster: Cluster, name: str, address: str, again: str, *, added: bool
) -> tuple[View, Member]:
    """Return the member when it has caught up, or is a voter, as the leader shows it.

    Raises OutcomeUnknown, which names `again`.
    """
    report = run.progress()
    hinted = False
    while True:
        view = as_leader_sees(cluster)
        member = existing(view, name, address)
        if member is None:
            raise Conflict(
                f"{name} was removed while it was catching up",
                "someone else changed the membership",
                "see who is a member: raftctl member list",
            )
        if member.kind == "voter" or member.promotable:
            return view, member
        if not member.up and not hinted:
            hinted = True
            run.note(start_hint(view, name, address, added=added))
        waiting = progress_text(view, member)
        report(f"catching up: {waiting}")
        if not cluster.deadline.pause(POLL_S):
            raise OutcomeUnknown(
                f"{name} is a learner and had not caught up within {run.timeout:g} s",
                waiting,
                f"follow it: raftctl status --watch; repeat the command to go on: {again}",
                code="E_TIMEOUT",
            )


def is_kind(view: View, node_id: int, kind: str) -> bool:
    """Return whether the member is of this kind, and no membership change is half done."""
    return not view.joint and any(m.id == node_id and m.kind == kind for m in view.members)


def progress_text(view: View, member: Member) -> str:
    """Return how far a learner is."""
    silent = "" if member.up else ", and does not answer"
    return f"{member.name} has {member.match_index or 0} of {view.commit_index} entries{silent}"


def start_hint(view: View, name: str, address: str, *, added: bool) -> str:
    """Return what starts the new node on its machine."""
    there = ",".join(m.address for m in view.members if m.up and m.address != address)
    join = f"  raftnode join --cluster {there} --name {name} --address {address} --data-dir DIR\n"
    start = "  raftnode run --data-dir DIR"
    if added:
        return f"{name} does not answer yet; on its machine run:\n{join}{start}"
    return (
        f"{name} does not answer yet; start it on its machine:\n{start}\n"
        f"or, where it has not joined yet:\n{join}{start}"
    )
