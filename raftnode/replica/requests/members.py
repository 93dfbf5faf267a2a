"""Clients' requests about members and leadership: what is under way, and how each ends.

A membership change and a transfer of leadership take a few turns. Both end with an answer: done, not done, or
unknown if this node can no longer tell. A change that waits for a learner to catch up is held before it
begins: as long as it is held, it has changed nothing.
"""

from collections.abc import Callable, Hashable, Iterable, Set
from dataclasses import dataclass
from typing import Final

from raftnode.config.settings import ReplicaSettings
from raftnode.core.errors import ProposalRejected
from raftnode.core.membership import Configuration
from raftnode.core.node import RaftNode
from raftnode.core.status import RaftStatus
from raftnode.core.types import LogEntry, NodeId
from raftnode.replica.directory import Directory
from raftnode.replica.durability import Durability
from raftnode.replica.member_plan import ChangeRefused, MemberUnknown, NotCaughtUp, Plan, member_statuses, plan_change
from raftnode.replica.requests.polls import WAIT_MS_MAX
from raftnode.replica.requests.replies import Replies, no_leader_reason
from raftnode.replica.timers import Timers
from raftnode.wire import client as wire
from raftnode.wire.client import UNKNOWN, ErrorCode

HARMLESS: Final = (wire.MemberAction.ADD_LEARNER, wire.MemberAction.ADD_OBSERVER)

TRANSFER_LAG_MAX: Final = 10_000
"""How many entries a voter may lack that is to lead. Nothing is written while it gets them."""

HELD_MAX: Final = 64
"""The changes that may be held at a time, since each is looked at in every turn; further ones are answered BUSY."""


@dataclass(slots=True)
class _Held:
    """A request that waits until it can be decided: for the voters to answer, then for a learner to catch up.

    `round`: the members were asked in it for a sign of life, at `asked_at`. `refusal` is why the request was not
    granted when it was last decided; empty: the voters may answer yet.
    """

    client: Hashable
    request: wire.ChangeMembers | wire.TransferLeadership
    deadline: float
    round: int
    asked_at: float
    refusal: str = ""


@dataclass(slots=True)
class _Change:
    """A membership change under way. It is done when the entry at `index` is applied with its term, or, where that
    opens a joint phase, when the configuration that ends it is applied.

    `changed` is False for a request that found its change made, but not committed yet.
    """

    client: Hashable
    request_id: int
    index: int
    term: int
    deadline: float
    plan: Plan
    changed: bool
    joint: bool = False


@dataclass(slots=True)
class _Transfer:
    """A leadership transfer under way."""

    client: Hashable
    request_id: int
    term: int
    target: NodeId
    deadline: float


class MemberRequests:
    """The membership changes and transfers of leadership that are not answered yet."""

    def __init__(
        self,
        *,
        node: RaftNode,
        durability: Durability,
        settings: ReplicaSettings,
        clock: Callable[[], float],
        replies: Replies,
        directory: Directory,
        timers: Timers,
        connected: Set[NodeId],
    ) -> None:
        """`connected`: the members to which this node has a connection now."""
        self._node = node
        self._connected = connected
        self._evidence_s = settings.election_timeout_min / 2
        self._durability = durability
        self._settings = settings
        self._clock = clock
        self._replies = replies
        self._directory = directory
        self._alarm = timers.alarm(self.expire)
        self._held: list[_Held] = []
        self._changes: list[_Change] = []
        self._transfers: list[_Transfer] = []

    def __len__(self) -> int:
        return len(self._held) + len(self._changes) + len(self._transfers)

    @property
    def holding(self) -> bool:
        """Whether a membership change waits for a learner to catch up."""
        return bool(self._held)

    @property
    def changing(self) -> bool:
        """Whether a membership change is under way."""
        return bool(self._changes)

    @property
    def transferring(self) -> bool:
        """Whether a transfer of leadership is under way."""
        return bool(self._transfers)

    # Changes.

    def change(self, client: Hashable, request: wire.ChangeMembers) -> None:
        """Change the members, or answer why not; otherwise the answer comes when the change is committed.

        With `wait_ms` it is held first while a learner that gets a vote has not caught up.
        """
        self._take(client, request, min(request.wait_ms, WAIT_MS_MAX) / 1000)

    def retry(self) -> None:
        """Decide again about the held changes: only while this node leads, and before it saves the turn's log."""
        held, self._held = self._held, []
        for each in held:
            self._decide(each)

    def forget(self, client: Hashable) -> None:
        """Drop the held changes of a client that is gone: it would not learn that they were made."""
        self._held = [held for held in self._held if held.client != client]

    def close(self) -> None:
        """Answer the held changes: what they wait for may not come in time."""
        held, self._held = self._held, []
        for each in held:
            self._replies.fail_stopping(each.client, each.request.id)

    def _take(self, client: Hashable, request: wire.ChangeMembers | wire.TransferLeadership, wait_s: float) -> None:
        """Ask the members for a sign of life, and decide about the request at once or when they have answered."""
        if len(self._held) >= HELD_MAX:
            message = f"{len(self._held)} requests about members wait already"
            self._replies.fail(client, request.id, ErrorCode.BUSY, message)
            return
        now = self._clock()
        self._decide(_Held(client, request, now + wait_s, self._node.probe_members(), now))

    def _decide(self, held: _Held) -> None:
        """Do what the request asks for, refuse it, or go on holding it."""
        if isinstance(held.request, wire.ChangeMembers):
            self._decide_change(held, held.request)
        else:
            self._decide_transfer(held, held.request)

    def _answering(self, held: _Held, status: RaftStatus, awaited: Iterable[NodeId]) -> set[NodeId] | None:
        """Return the nodes that have answered since the request arrived; None while more of `awaited` may.

        What was heard before proves nothing: a voter that died a moment ago was heard from a moment ago. A voter
        without a connection is not waited for.
        """
        now = self._clock()
        if now - held.asked_at > 2 * self._evidence_s:
            held.round, held.asked_at = self._node.probe_members(), now
        answering = {peer.peer for peer in status.peers if peer.acked_round >= held.round} | {status.node_id}
        missing = (self._connected & set(awaited)) - answering
        if not missing or now >= held.asked_at + self._evidence_s:
            return answering
        self._hold(held, held.asked_at + self._evidence_s)
        return None

    def _hold(self, held: _Held, until: float) -> None:
        self._held.append(held)
        self._alarm.set(until)

    def _decide_change(self, held: _Held, request: wire.ChangeMembers) -> None:
        client = held.client
        if self._durability.full:
            self._replies.fail_no_space(client, request.id)
            return
        node, status = self._node, self._node.status()
        # Additions without a vote risk nothing; but an evaluation says how many more voters may fail.
        risky = request.dry_run or any(operation.action not in HARMLESS for operation in request.operations)
        answering = self._answering(held, status, status.configuration.voter_union() if risky else ())
        if answering is None:
            return
        try:
            plan = plan_change(
                request.operations,
                status,
                answering,
                force=request.force,
                accept_quorum_loss=self._accepts_quorum_loss(request),
            )
        except MemberUnknown as error:
            self._replies.fail(client, request.id, ErrorCode.NOT_FOUND, str(error))
            return
        except (ChangeRefused, ProposalRejected) as error:
            may_wait = isinstance(error, NotCaughtUp) and not request.dry_run
            if may_wait and self._clock() < held.deadline:
                held.refusal = str(error)
                self._hold(held, held.deadline)
                return
            # A change is invalid to the core now: later perhaps, while the last one is in its joint phase.
            later = isinstance(error, ProposalRejected) and error.temporary
            self._replies.fail(client, request.id, ErrorCode.BUSY if later else ErrorCode.REFUSED, str(error))
            return
        if request.dry_run or (not plan.changes and status.configuration_committed and not plan.target.joint):
            self._answer_change(client, request.id, plan, plan.target, node.commit_index, changed=bool(plan.changes))
            return
        index = status.configuration_index
        if plan.changes:
            try:
                index = node.propose_conf_change(plan.changes)
            except ProposalRejected as error:
                self._replies.fail(client, request.id, ErrorCode.BUSY, error.reason)
                return
        deadline = self._clock() + self._settings.request_timeout
        committed_joint = not plan.changes and status.configuration_committed
        # The entry of a committed one may be compacted already; only its end is waited for.
        term = node.current_term if committed_joint else node.term_at(index)
        self._alarm.set(deadline)
        self._changes.append(
            _Change(client, request.id, index, term, deadline, plan, bool(plan.changes), committed_joint)
        )

    def entry_applied(self, entry: LogEntry) -> None:
        """Answer the membership changes whose log entry was replaced by another leader's committed `entry`."""
        waiting: list[_Change] = []
        for change in self._changes:
            if change.joint or change.index != entry.index or change.term == entry.term:
                waiting.append(change)
            else:
                self._replies.fail(
                    change.client,
                    change.request_id,
                    ErrorCode.OVERWRITTEN,
                    "another leader took over: the members did not change",
                )
        self._changes = waiting

    def configuration_applied(self, entry: LogEntry, configuration: Configuration) -> None:
        """Answer the membership changes that `entry` completes."""
        waiting: list[_Change] = []
        for change in self._changes:
            if change.joint or (change.index, change.term) == (entry.index, entry.term):
                change.joint = configuration.joint
                if not change.joint:
                    self._answer_change(
                        change.client,
                        change.request_id,
                        change.plan,
                        configuration,
                        entry.index,
                        changed=change.changed,
                    )
                    continue
            waiting.append(change)
        self._changes = waiting

    def _answer_change(
        self, client: Hashable, request_id: int, plan: Plan, configuration: Configuration, index: int, *, changed: bool
    ) -> None:
        members = member_statuses(self._node.status(), configuration)
        self._replies.answer(
            client,
            wire.MembersChanged(
                request_id,
                changed,
                index,
                members,
                plan.before.voters,
                plan.after.voters,
                plan.before.quorum,
                plan.after.quorum,
                plan.before.tolerates,
                plan.after.tolerates,
            ),
        )

    # Leadership.

    def _best_of(self, status: RaftStatus, answering: set[NodeId]) -> NodeId | None:
        """Return the voter that is the furthest along of those that answer; None if there is none."""
        voters = answering.intersection(status.configuration.voters)
        able = [peer for peer in status.peers if peer.peer in voters]
        return max(able, key=lambda peer: (peer.match_index, -peer.peer)).peer if able else None

    def _unfit_reason(self, status: RaftStatus, target: NodeId, answering: set[NodeId]) -> str:
        """Return why `target` could not take over at once; empty if it can."""
        peer = next(peer for peer in status.peers if peer.peer == target)
        name = self._directory.name_of(target)
        has = f"it has entry {peer.match_index} of {status.last_log_index}"
        if target not in answering:
            return f"{name} does not answer: not within {self._evidence_s:g} s, and {has}"
        lag = status.last_log_index - peer.match_index
        if peer.progress == "snapshot" or lag > TRANSFER_LAG_MAX:
            return f"{name} is {lag} entries behind: {has}"
        return ""

    def best_successor(self) -> NodeId | None:
        """Return the voter that is the furthest along and was heard from lately; None if there is none."""
        status, limit = self._node.status(), self._settings.election_timeout_max
        lately = {p.peer for p in status.peers if p.last_contact is not None and p.last_contact < limit}
        return self._best_of(status, lately.intersection(self._connected))

    def transfer(self, client: Hashable, request: wire.TransferLeadership) -> None:
        """Hand the leadership over; the answer comes when another node leads, or this one still does.

        A target that cannot take over at once is refused before anybody's write waits for it.
        """
        self._take(client, request, 0.0)

    def _accepts_quorum_loss(self, request: wire.ChangeMembers) -> bool:
        """Whether the operator gives up the quorum knowingly. Raises ChangeRefused for another cluster's name."""
        given, name = request.accept_quorum_loss, self._directory.identity.cluster_name
        if given and given != name:
            raise ChangeRefused(f"the loss of the quorum was accepted for cluster {given!r}; this is {name!r}")
        return bool(given)

    def _decide_transfer(self, held: _Held, request: wire.TransferLeadership) -> None:
        client, node, status = held.client, self._node, self._node.status()
        awaited = [request.target] if request.target else status.configuration.voters
        answering = self._answering(held, status, awaited)
        if answering is None:
            return
        target = request.target or self._best_of(status, answering)
        if target is None:
            self._replies.fail(client, request.id, ErrorCode.REFUSED, "no other voter answers")
            return
        changed = target != node.node_id
        if changed and target not in node.configuration.members():
            self._replies.fail(
                client, request.id, ErrorCode.NOT_FOUND, f"node {target} is not a member of this cluster"
            )
            return
        if changed and target not in node.configuration.voters:
            self._replies.fail(
                client, request.id, ErrorCode.REFUSED, f"node {target} is not a voter, so it cannot lead"
            )
            return
        reason = self._unfit_reason(status, target, answering) if changed else ""
        if reason:
            self._replies.fail(client, request.id, ErrorCode.REFUSED, reason)
            return
        if request.dry_run or not changed:
            self._replies.answer(client, wire.LeadershipTransferred(request.id, changed, target, node.current_term))
            return
        try:
            node.transfer_leadership(target)
        except ProposalRejected as error:
            self._replies.fail(client, request.id, ErrorCode.REFUSED, error.reason)
            return
        deadline = self._clock() + self._settings.request_timeout
        self._alarm.set(deadline)
        self._transfers.append(_Transfer(client, request.id, node.current_term, target, deadline))

    # Deadlines and shutdown.

    def snapshot_installed(self, index: int) -> None:
        """Answer the changes whose entries, up to `index`, came inside a snapshot."""
        gone, self._changes = (
            [c for c in self._changes if c.index <= index],
            [c for c in self._changes if c.index > index],
        )
        for change in gone:
            self._replies.fail(
                change.client,
                change.request_id,
                ErrorCode.TIMED_OUT,
                f"this node fell behind and took a snapshot that covers entry {change.index}",
                UNKNOWN,
            )

    def leadership_lost(self, deadline: float) -> None:
        """Cap the deadlines of changes whose entries the next leader may overwrite; held ones are not made here."""
        held, self._held = self._held, []
        for each in held:
            leader = self._node.leader_id
            if leader is None:
                self._replies.fail(each.client, each.request.id, ErrorCode.NO_LEADER, no_leader_reason(self._node))
            else:
                self._replies.redirect(each.client, each.request.id, leader)
        for change in self._changes:
            change.deadline = min(change.deadline, deadline)
        self._set_alarm()

    def expire(self, now: float) -> None:
        """Answer the changes and the transfers whose deadline has passed."""
        self._expire_held(now)
        self._expire_changes(now)
        self.look_at_transfers()
        self._set_alarm()

    def _set_alarm(self) -> None:
        now = self._clock()
        ends = [change.deadline for change in self._changes] + [transfer.deadline for transfer in self._transfers]
        ends += [held.deadline if held.refusal else held.asked_at + self._evidence_s for held in self._held]
        # A transfer that the core has not ended yet may outlive its deadline: the core's own comes then.
        deadline = min((end for end in ends if end > now), default=None)
        if deadline is not None:
            self._alarm.set(deadline)

    def look_at_transfers(self) -> None:
        """Answer the transfers that came to an end. Called at the end of each turn while one is under way."""
        now = self._clock()
        node, me = self._node, self._directory.own_name
        waiting: list[_Transfer] = []
        for transfer in self._transfers:
            client, request_id, leader = transfer.client, transfer.request_id, node.leader_id
            under_way = (node.current_term, node.transfer_target) == (transfer.term, transfer.target)
            if under_way or (leader is None and now < transfer.deadline):
                waiting.append(transfer)
            elif leader is None:
                self._replies.fail(
                    client,
                    request_id,
                    ErrorCode.TIMED_OUT,
                    f"{me} no longer leads, and no leader was heard from in time",
                    UNKNOWN,
                )
            elif leader == node.node_id:
                target = self._directory.name_of(transfer.target)
                self._replies.fail(
                    client, request_id, ErrorCode.REFUSED, f"{target} did not take over in time; {me} still leads"
                )
            else:
                self._replies.answer(client, wire.LeadershipTransferred(request_id, True, leader, node.current_term))
        self._transfers = waiting

    def _expire_held(self, now: float) -> None:
        overdue = [held for held in self._held if held.refusal and held.deadline <= now]
        self._held = [held for held in self._held if held not in overdue]
        for held in overdue:
            self._replies.fail(held.client, held.request.id, ErrorCode.REFUSED, held.refusal)

    def _expire_changes(self, now: float) -> None:
        overdue = [change for change in self._changes if change.deadline <= now]
        for change in overdue:
            self._changes.remove(change)
            self._replies.fail(
                change.client,
                change.request_id,
                ErrorCode.TIMED_OUT,
                f"the membership change at index {change.index} was not committed in time; it still may be",
                UNKNOWN,
            )

    def fail_all(self) -> None:
        """Answer everything that still waits: this node is stopping."""
        self.close()
        waiting: list[_Change | _Transfer] = [*self._changes, *self._transfers]
        self._changes, self._transfers = [], []
        for request in waiting:
            self._replies.fail_stopping(request.client, request.request_id, UNKNOWN)
