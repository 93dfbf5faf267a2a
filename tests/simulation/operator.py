"""An operator who changes the members, hands leadership over and takes snapshots while everything fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from raftnode.core.membership import Configuration
from raftnode.replica.replica import Replica
from raftnode.wire import client as wire
from raftnode.wire.client import Answer, MemberAction, MemberOperation

if TYPE_CHECKING:
    from tests.simulation.world import World

MEMBERS_MAX = 7
JOINED_LATER = 0.4
"""The share of the added members that are set up only later."""
CAPACITIES = {MemberAction.ADD_LEARNER: "learner", MemberAction.ADD_OBSERVER: "observer"}


def _unread(replica: Replica) -> Iterator[wire.AnyRequest]:
    """Give the requests that have arrived at a node and that it has not looked at, or holds until there is a leader."""
    yield from (request for _, request in replica._client_inbox)
    yield from (held.request for held in replica.requests.parked)


class Operator:
    """Sends changes and does not wait: several may be under way, and most of the time one is refused for it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = world.rng
        self.client = world.cluster.client("operator")
        self.client.on_answer = self._on_answer
        self._additions = 0
        self._changes: dict[int, list[MemberOperation]] = {}
        self._transfers: set[int] = set()

    @property
    def idle(self) -> bool:
        """Whether no change is under way: none that waits for its answer, and none in a node that it hung up on."""
        return not any(request in self.client.waiting for request in self._changes) and not any(
            isinstance(request, wire.ChangeMembers)
            for node in self.world.running()
            for request in _unread(self.world.cluster.replica(node))
        )

    def configuration(self) -> Configuration | None:
        """Return the leader's configuration; None without a leader."""
        leader = self.world.cluster.leading()
        return None if leader is None else self.world.cluster.replica(leader).node.configuration

    def _ask(self, request: wire.AnyRequest) -> bool:
        leader = self.world.cluster.leading()
        if leader is None:
            return False
        self.client.send(leader, request)
        return True

    def change(self, *operations: MemberOperation) -> bool:
        """Ask the leader for one change; return whether there is a leader."""
        request = wire.ChangeMembers(self.client.next_id(), list(operations))
        self._changes[request.id] = list(operations)
        return self._ask(request)

    def snapshot(self) -> bool:
        """Take a snapshot on any node."""
        running = self.world.running()
        if running:
            self.client.send(self.rng.choice(running), wire.TriggerSnapshot(self.client.next_id()))
        return bool(running)

    def transfer(self) -> bool:
        """Transfer leadership to a voter, to any node, or to the one that the leader chooses."""
        configuration = self.configuration()
        if configuration is None:
            return False
        target = self.rng.choice([0, self.world.some_node(), *configuration.voters])
        return self._ask(wire.TransferLeadership(self.client.next_id(), target))

    def hang_up(self) -> bool:
        """Close the connection in the middle of a request; return whether there was one."""
        waits = bool(self.client.waiting)
        self.client.hang_up()
        return waits

    def _new(self, action: MemberAction) -> MemberOperation:
        self._additions += 1
        return MemberOperation(action, 0, f"x{self._additions}", f"10.0.1.{self._additions}:7000")

    def add(self) -> bool:
        """Add a learner; one that was added and never set up first."""
        return self._asks_who_is_missing() or (self._may_add() and self.change(self._new(MemberAction.ADD_LEARNER)))

    def add_observer(self) -> bool:
        """Add an observer; one that was added and never set up first."""
        return self._asks_who_is_missing() or (self._may_add() and self.change(self._new(MemberAction.ADD_OBSERVER)))

    def _asks_who_is_missing(self) -> bool:
        """Where a member has no machine yet, ask for the members, to set it up as they are then."""
        configuration = self.configuration()
        members = () if configuration is None else configuration.members()
        return any(node not in self.world.cluster.nodes for node in members) and self._ask(
            wire.GetStatus(self.client.next_id())
        )

    def _removes_rotten(self) -> bool:
        """Ask for the removal of a member whose disk is damaged, if there is one: nothing else is done before."""
        rotten = self.world.rotten_members()
        return bool(rotten) and self.change(MemberOperation(MemberAction.REMOVE, rotten[0]))

    def _may_add(self) -> bool:
        configuration = self.configuration()
        return configuration is not None and len(configuration.members()) < MEMBERS_MAX

    def promote(self) -> bool:
        """Give a learner its vote."""
        configuration = self.configuration()
        if configuration is None or not configuration.learners or self._removes_rotten():
            return False
        return self.change(MemberOperation(MemberAction.PROMOTE, self.rng.choice(configuration.learners)))

    def demote(self) -> bool:
        """Take a voter's vote."""
        configuration = self.configuration()
        if configuration is None or len(configuration.voters) < 3 or self._removes_rotten():
            return False
        return self.change(MemberOperation(MemberAction.DEMOTE, self.rng.choice(configuration.voters)))

    def remove(self) -> bool:
        """Remove a member; one whose disk is damaged first."""
        configuration = self.configuration()
        if configuration is None or self._removes_rotten():
            return False
        return self.change(MemberOperation(MemberAction.REMOVE, self.rng.choice(list(configuration.members()))))

    def replace(self) -> bool:
        """Promote a learner, remove a voter and perhaps add a learner in one change: through a joint configuration."""
        configuration = self.configuration()
        if configuration is None or not configuration.learners or self._removes_rotten():
            return False
        operations = [
            MemberOperation(MemberAction.PROMOTE, self.rng.choice(configuration.learners)),
            MemberOperation(MemberAction.REMOVE, self.rng.choice(configuration.voters)),
        ]
        if self._may_add() and self.rng.random() < 0.5:
            operations.append(self._new(MemberAction.ADD_LEARNER))
        asked = self.change(*operations)
        if asked:
            self._ask_in_the_joint_phase(tries=2000)
        return asked

    def _ask_in_the_joint_phase(self, tries: int) -> None:
        """Ask who is missing as soon as the change is in force: whoever is set up then meets two sets of voters."""
        configuration = self.configuration()
        if configuration is not None and configuration.joint:
            self._asks_who_is_missing()
        elif tries:
            self.world.cluster.clock.after(0.00025, self._ask_in_the_joint_phase, tries - 1)

    def _on_answer(self, answer: Answer) -> None:
        operations = self._changes.pop(answer.id, [])
        if isinstance(answer, wire.LeadershipTransferred) and answer.changed:
            self.world.happened["leadership transferred"] += 1
        if isinstance(answer, wire.SnapshotTaken) and answer.changed:
            self.world.happened["snapshot taken"] += 1
        if isinstance(answer, wire.StatusResult):
            self._join_later(answer.status)
        if not isinstance(answer, wire.MembersChanged) or not answer.changed:
            return
        if len(operations) > 1:
            self.world.happened["joint change made"] += 1
        for operation in operations:
            self.world.happened[f"{operation.action.value} made"] += 1
            capacity = CAPACITIES.get(operation.action)
            own = next((member.id for member in answer.members if member.name == operation.name), None)
            if capacity is None or own is None or own in self.world.cluster.nodes:
                continue
            if self.rng.random() >= JOINED_LATER:
                self.world.cluster.join(own, answer.members, capacity)

    def _join_later(self, status: wire.NodeStatus) -> None:
        """Set up the members that have no machine, whatever change is under way meanwhile."""
        for member in status.members:
            if member.kind in CAPACITIES.values() and member.id not in self.world.cluster.nodes:
                self.world.happened["joined later"] += 1
                self.world.happened["joined in a joint phase"] += status.joint
                self.world.cluster.join(member.id, status.members, member.kind)
