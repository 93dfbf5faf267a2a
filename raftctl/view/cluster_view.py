"""The cluster as its nodes' answers show it: pure, from `NodeStatus` values to what an operator reads."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from raftctl.output.report import Column, Report
from raftctl.output.text import escape_text, human_duration
from raftnode.client.fanout import Answers
from raftnode.config.errors import NotFound, UsageError
from raftnode.wire.client import MemberStatus, NodeStatus, StatusResult

FRESH_MS: Final = 3000
"""A member that the leader heard from within this time is up, also when it does not answer us."""

LAG_ENTRIES: Final = 1000
"""A member that is more entries behind is called lagging."""

HEALTHY: Final = "healthy"
REJECTED: Final = "rejected"
FOREIGN: Final = "foreign"

_NODE: Final = re.compile(r"\bnode (\d+)\b")

_EXPLAINED: Final = {
    REJECTED: "the others refuse it, because it was wiped or replaced; remove it, then run raftnode join",
    "isolated": "it runs, but the leader has no contact with it",
}
"""What a state means, where the word alone does not say it."""


class Member(NamedTuple):
    """One member, from its own answer where there is one, else from the leader's view."""

    id: int
    name: str
    address: str
    kind: str
    role: str
    """"leader", or what it is a member as: "voter", "learner", "observer", "outgoing"."""
    state: str
    up: bool
    term: int | None
    commit_index: int | None
    applied_index: int | None
    match_index: int | None
    lag: int | None
    """Committed entries that it has not applied."""
    seen_ms: int | None
    promotable: bool | None
    status: NodeStatus | None

    def record(self) -> dict[str, Any]:
        """Return the member as JSON."""
        status = self.status
        return {
            "id": self.id,
            "name": self.name,
            "address": self.address,
            "kind": self.kind,
            "role": self.role,
            "state": self.state,
            "term": self.term,
            "commit_index": self.commit_index,
            "applied_index": self.applied_index,
            "match_index": self.match_index,
            "lag": self.lag,
            "seen_ms": self.seen_ms,
            "promotable": self.promotable,
            "version": status.version if status else None,
            "uptime_ms": status.uptime_ms if status else None,
            "snapshot_index": status.snapshot_index if status else None,
        }


class View(NamedTuple):
    """The whole cluster at one moment."""

    cluster_id: str
    name: str
    health: str
    leader: NodeStatus | None
    members: tuple[Member, ...]
    voters: int
    voters_up: int
    quorum: int
    joint: bool
    commit_index: int
    reasons: tuple[str, ...]

    @property
    def tolerates(self) -> int:
        """How many more voters may fail before the quorum is lost; never below 0."""
        return max(0, self.voters_up - self.quorum)

    def record(self) -> dict[str, Any]:
        """Return the view as JSON, without its schema."""
        leader = self.leader
        return {
            "cluster": {"id": self.cluster_id, "name": self.name},
            "health": self.health,
            "leader": None
            if leader is None
            else {
                "id": leader.node_id,
                "name": leader.node_name,
                "address": leader.address,
                "term": leader.term,
            },
            "voters": self.voters,
            "voters_up": self.voters_up,
            "quorum": self.quorum,
            "tolerates": self.tolerates,
            "joint": self.joint,
            "commit_index": self.commit_index,
            "reasons": list(self.reasons),
            "members": [m.record() for m in self.members],
        }


class Silent(NamedTuple):
    """The addresses from which no status came, for a known reason: nobody listens, or another cluster answers."""

    refused: Collection[str] = ()
    foreign: Mapping[str, str] = {}
    failures: Mapping[str, str] = {}
    """Why no status came from an address."""


def build_view(
    statuses: Sequence[NodeStatus],
    refused: Collection[str] = (),
    foreign: Mapping[str, str] | None = None,
    failures: Mapping[str, str] | None = None,
) -> View:
    """Return the cluster as the answering nodes show it. At least one answered.

    At the addresses in `refused` nobody listens: a member there is down, whatever the leader heard a moment ago.
    At those in `foreign` another cluster answers. `failures` says of each address why no status came from there.
    """
    silent = Silent(refused, foreign or {}, failures or {})
    leader = find_leader(statuses)
    source = leader or max(statuses, key=lambda s: (s.configuration_index, s.term))
    own = {s.node_id: s for s in statuses}
    commit = max(s.commit_index for s in statuses)
    members = tuple(_member(m, own.get(m.id), leader, commit, silent) for m in source.members)
    voters = [m for m in members if m.kind == "voter"]
    up = sum(m.up for m in voters)
    quorum = len(voters) // 2 + 1
    health, reasons = _judge(leader, members, up, quorum, silent)
    return View(
        source.cluster_id,
        source.cluster_name,
        health,
        leader,
        members,
        len(voters),
        up,
        quorum,
        source.joint,
        commit,
        reasons,
    )


def view_of(statuses: Sequence[NodeStatus], answers: Answers[StatusResult]) -> View:
    """Return the view that the answers, and the failures of the silent addresses, give."""
    failures = {address: failure.reason for address, failure in answers.failures.items()}
    return build_view(statuses, answers.not_listening, answers.foreign, failures)


def find_leader(statuses: Sequence[NodeStatus]) -> NodeStatus | None:
    """Return the node that leads: one that says so itself, in the highest term of all answers."""
    top = max((s.term for s in statuses), default=0)
    return next((s for s in statuses if s.role == "leader" and s.term == top), None)


def _member(
    listed: MemberStatus, own: NodeStatus | None, leader: NodeStatus | None, commit: int, silent: Silent
) -> Member:
    recent = listed.last_contact_ms is not None and 0 <= listed.last_contact_ms <= FRESH_MS
    heard = recent and listed.address not in silent.refused
    is_leader = leader is not None and leader.node_id == listed.id
    lag = max(0, commit - own.applied_index) if own is not None else None
    if own is not None:
        cut_off = not is_leader and not heard and _cut_off(own, leader, commit)
        state = cut_off or _state(own, lag or 0, is_leader=is_leader)
        up = not cut_off
    else:
        foreign = listed.address in silent.foreign
        state = FOREIGN if foreign else "unreachable" if heard else "down"
        up = heard and not foreign
    return Member(
        id=listed.id,
        name=listed.name or str(listed.id),
        address=listed.address,
        kind=listed.kind,
        role="leader" if is_leader else listed.kind,
        state=state,
        up=up,
        term=own.term if own else None,
        commit_index=own.commit_index if own else None,
        applied_index=own.applied_index if own else None,
        match_index=leader.last_log_index if is_leader and leader else listed.match_index,
        lag=lag,
        seen_ms=None if is_leader else listed.last_contact_ms,
        promotable=listed.promotable,
        status=own,
    )


def _cut_off(own: NodeStatus, leader: NodeStatus | None, commit: int) -> str:
    """Return the state of a node that answers us but has lost contact with the leader; "" if it has not.

    A node whose data directory was wiped is refused by the others. It counts as down: it can neither vote nor store.
    """
    dials_rejected = own.counters.get("dials_rejected", 0) > 0
    if leader is None:
        # Nodes that met the wiped one count rejections too; the wiped one has an empty log.
        return REJECTED if dials_rejected and commit > 0 and own.last_log_index == 0 else ""
    if leader.uptime_ms <= FRESH_MS or own.leader_id == leader.node_id:
        return ""
    return REJECTED if dials_rejected else "isolated"


def _state(own: NodeStatus, lag: int, *, is_leader: bool) -> str:
    if own.storage_state != "ok":
        return own.storage_state
    if is_leader:
        return HEALTHY
    if own.role in ("candidate", "pre_candidate"):
        return "electing"
    return "lagging" if lag > LAG_ENTRIES else HEALTHY


def _judge(
    leader: NodeStatus | None, members: Sequence[Member], up: int, quorum: int, silent: Silent
) -> tuple[str, tuple[str, ...]]:
    reasons = tuple(_reason(m, silent) for m in members if m.state != HEALTHY)
    if leader is None:
        reasons += tuple(_election_reasons(members, silent.failures))
    if up < quorum:
        return "no-quorum", (f"{count_up(up)} and {quorum} are needed", *reasons)
    if leader is None:
        return "no-leader", ("no node leads", *reasons)
    return ("degraded", reasons) if reasons else (HEALTHY, ())


def _reason(member: Member, silent: Silent) -> str:
    if member.state == FOREIGN:
        return f"{member.name} is not at {member.address}: {silent.foreign[member.address]}"
    explained = _EXPLAINED.get(member.state)
    return f"{member.name} is {member.state}" + (f": {explained}" if explained else "")


def _election_reasons(members: Sequence[Member], failures: Mapping[str, str]) -> Iterator[str]:
    """Give why nobody leads: how nodes are silent, what the others say of it, and which voter has the longest log."""
    for member in members:
        if member.status is None and member.address in failures:
            yield f"{member.name} at {member.address}: {failures[member.address]}"
    names = {str(member.id): member.name for member in members}
    answering = [(member, member.status) for member in members if member.status is not None]
    for member, status in answering:
        if status.no_leader_reason:
            text = _NODE.sub(lambda found: names.get(found[1], found[0]), status.no_leader_reason)
            yield f"{member.name}: {text.replace('this node', 'it')}"
    logs = {member.name: status.last_log_index for member, status in answering if member.kind == "voter"}
    if len(logs) > 1 and len(set(logs.values())) > 1:
        longest = max(logs, key=lambda name: logs[name])
        others = ", ".join(f"{name} {end}" for name, end in logs.items() if name != longest)
        yield f"{longest} has the longest log: it ends at entry {logs[longest]} ({others})"


def count_up(voters: int) -> str:
    """Return "1 voter is up", "2 voters are up"."""
    return "1 voter is up" if voters == 1 else f"{voters} voters are up"


def find_member(members: Sequence[Member], which: str) -> list[Member]:
    """Return the members that `which` names: by id, by name or by address."""
    by_id = [m for m in members if str(m.id) == which]
    return by_id or [m for m in members if which in (m.name, m.address)]


STATUS_COLUMNS: Final = (
    Column("NAME"),
    Column("ID"),
    Column("ROLE"),
    Column("STATE"),
    Column("TERM"),
    Column("COMMIT"),
    Column("APPLIED"),
    Column("LAG"),
    Column("SEEN"),
    Column("ADDRESS", wide=True),
    Column("MATCH", wide=True),
    Column("SNAPSHOT", wide=True),
    Column("VERSION", wide=True),
    Column("UPTIME", wide=True),
)


def status_report(view: View, failures: Mapping[str, str]) -> Report:
    """Return the status table and its JSON. `failures`: the silent addresses, with the reason."""
    word = view.health.upper().replace("-", " ")
    title = f"cluster {escape_text(view.name)}  {word}  {view.voters_up}/{view.voters} voters up, quorum {view.quorum}"
    if view.voters_up >= view.quorum:
        more = "failure" if view.tolerates == 1 else "failures"
        title += f", tolerates {view.tolerates} more {more}"
    if view.joint:
        title += ", membership change in progress"
    return Report(
        schema="status",
        data={
            **view.record(),
            "unanswered": [{"endpoint": a, "reason": r} for a, r in sorted(failures.items())],
        },
        title=title,
        columns=STATUS_COLUMNS,
        rows=[_row(m) for m in view.members],
        names=[m.name for m in view.members],
    )


def _row(member: Member) -> list[str | None]:
    status = member.status
    seen = member.seen_ms
    known = seen is not None and seen >= 0
    commit = member.commit_index if status is not None else member.match_index if known else None
    return [
        escape_text(member.name),
        str(member.id),
        member.role,
        member.state,
        _number(member.term),
        _number(commit),
        _number(member.applied_index),
        _number(member.lag),
        None if seen is None else "never" if seen < 0 else human_duration(seen / 1000),
        escape_text(member.address),
        _number(member.match_index),
        _number(status.snapshot_index) if status else None,
        escape_text(status.version) if status else None,
        human_duration(status.uptime_ms / 1000) if status else None,
    ]


def _number(value: int | None) -> str | None:
    return None if value is None else str(value)


def find_one_member(view: View, which: str) -> Member:
    """Return the one member that `which` names. Raises NotFound, or UsageError where it names several."""
    found = find_member(view.members, which)
    if not found:
        names = ", ".join(m.name for m in view.members)
        raise NotFound(f"there is no member {which!r}", f"the cluster has: {names}", "see: raftctl member list")
    if len(found) > 1:
        raise UsageError(f"{which!r} names {len(found)} members", ", ".join(f"id {m.id}" for m in found), "give the id")
    return found[0]
