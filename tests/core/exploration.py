"""Every order of events in a small cluster, breadth first, until a bound: the shortest way to break a rule is found.

`python -m tests.core.exploration --states 1000000` explores on; the default is what the test runs.

A state is three nodes and the messages that were ever sent. A message stays deliverable forever: it may arrive
late, twice, in any order or never, which covers loss, duplication, delay and reordering at once. The other events are
election timeouts, heartbeats, proposals, crashes with a restart from what is durable, fsyncs, membership changes,
compactions, reads and transfers, as a scenario allows.

What makes it fast: a node is deterministic, so what an event does to one node's state is computed once, by the real
code, and remembered. A state of the cluster is then a few small numbers:

    site  = (a node's state, the messages for it)           interned, with the list of what can happen there
    state = site of 1, site of 2, site of 3, history        history: what was committed, who led which term

Time is not part of a state. An election timeout is an event that may come at any moment; a follower has heard from
its leader either recently or not, and an event makes "recently" pass.

After each event of a node `raftnode.core.invariants.check`, and in each state of the cluster: election safety, log
matching, state machine safety, that nothing committed is lost or changed, and leader completeness in its strongest
form: no node that lacks a committed entry could win an election now, by what is durable on a majority.
"""

import argparse
import sys
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from raftnode.core.errors import ProposalRejected, RaftError
from raftnode.core.membership import ConfChange, Configuration
from raftnode.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    Message,
)
from raftnode.core.types import EntryKind, LogEntry, NodeId, NodeRole
from tests.core.exploration_node import NODES, Event, Host, Log, NodeRunner, log_of, node_key
from tests.core.transcript import Seen, describe_changes, describe_message, look_at

BITS = 24
MASK = (1 << BITS) - 1

Command = tuple[Any, ...]
"""Of a scenario's start: ("elect", 1), ("deliver", 1, 2), ("lose",) or an event of a node: ("crash", 1)."""


class Violation(AssertionError):
    """A rule does not hold. The text tells the shortest way there as a story."""


class Broken(Exception):
    """A rule does not hold in the state that was just reached."""


FAILURES = (Broken, RaftError, AssertionError, ValueError, IndexError, KeyError)
"""What a broken rule may look like where the core or a check notices it."""


@dataclass(frozen=True)
class Scenario:
    """What may happen, and within which bounds. `start` leads to the first state."""

    name: str
    start: tuple[Command, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    term_max: int = 3
    entries_max: int = 3
    crashes: int = 0
    slow_disk: bool = False
    compactions: int = 0
    reads: int = 0
    heartbeats: int = 0
    changes: tuple[tuple[ConfChange, ...], ...] = ()
    transfers: int = 0

    @property
    def budget(self) -> tuple[int, ...]:
        """How often each of `BUDGET` may happen."""
        return (self.crashes, self.compactions, self.reads, 1 if self.changes else 0, self.transfers, self.heartbeats)


BUDGET = ("crash", "compact", "read", "change", "transfer", "heartbeat")

LEADER_1: tuple[Command, ...] = (("elect", 1),)
# Node 1 led term 1 and node 3 led term 2; each has an entry 1 that reached nobody.
RIVALS: tuple[Command, ...] = (
    ("timeout", 1), ("deliver", 1, 2), ("deliver", 2, 1), ("lose",),
    ("timeout", 3), ("timeout", 3), ("deliver", 3, 2), ("deliver", 2, 3), ("lose",),
    ("crash", 1), ("crash", 3), ("timeout", 1), ("lose",),
)  # fmt: skip

# Node 3 led term 1 and has two entries that reached nobody. Node 1 leads term 2, has committed another entry 1 with
# node 2, has discarded it, and has sent a snapshot to node 3.
SNAPSHOT_SENT: tuple[Command, ...] = (
    ("timeout", 3), ("deliver", 3, 2), ("deliver", 2, 3), ("propose", 3), ("lose",),
    ("timeout", 1), ("timeout", 1), ("deliver", 1, 2), ("deliver", 2, 1), ("deliver", 1, 2), ("deliver", 2, 1),
    ("compact", 1), ("lose",), ("heartbeat", 1),
)  # fmt: skip

# Without the messages that carry nothing but a commit index: the next entries carry it.
QUIET: dict[str, Any] = {"commit_broadcast_delay": 1.0}
PLAIN = QUIET | {"pre_vote": False, "check_quorum": False}
SCENARIOS = (
    Scenario("elections", options=PLAIN, entries_max=0),
    Scenario("elections and crashes", options=PLAIN, term_max=2, entries_max=2, crashes=1),
    Scenario("a leader with a committed entry", LEADER_1, PLAIN),
    Scenario("entries of two terms in conflict", RIVALS, PLAIN | {"append_entries_max": 1}, term_max=4),
    Scenario("commit indexes by themselves", LEADER_1, PLAIN | {"commit_broadcast_delay": 0.0}, term_max=2),
    Scenario("pre-vote, check-quorum and a transfer", LEADER_1, QUIET, term_max=2, transfers=1, heartbeats=1),
    Scenario("slow disks", LEADER_1, PLAIN, term_max=2, slow_disk=True, crashes=2),
    Scenario("snapshots", LEADER_1, PLAIN, term_max=2, compactions=1),
    Scenario("a snapshot for a node with other entries", SNAPSHOT_SENT, PLAIN, compactions=1),
    Scenario("a read", LEADER_1, PLAIN, term_max=2, entries_max=2, reads=1, heartbeats=2),
    Scenario(
        "membership changes", LEADER_1, PLAIN, entries_max=2,
        changes=((ConfChange.remove(3),), (ConfChange.remove(2), ConfChange.remove(3)), (ConfChange.demote(1),)),
    ),
)  # fmt: skip


# The cluster.


@dataclass(frozen=True)
class Effect:
    """What one event did to one node."""

    event: Event
    after: int
    sent: tuple[tuple[int, int], ...]
    """(position of the target, message id)."""
    delivered: tuple[tuple[int, LogEntry], ...]
    leads: tuple[int, NodeId] | None
    """(term, node) where the node became leader."""
    reads: tuple[tuple[int, int], ...]
    number: int


@dataclass(frozen=True)
class History:
    """What has happened and may not be taken back; what is left of the budget."""

    committed: tuple[LogEntry, ...] = ()
    leaders: tuple[tuple[int, NodeId], ...] = ()
    budget: tuple[int, ...] = ()
    read_floor: int = -1
    """While a read waits: how much was committed when it arrived."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the cluster's rules need to know of one node's state."""

    log: Log
    durable: Log
    stands: tuple[tuple[Log, Configuration], ...]
    """The logs and configurations that it may campaign with: as it is, and after a crash."""
    commit: int


class Explorer:
    """Breadth-first exploration of one scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.runner = NodeRunner(
            scenario.options, slow_disk=scenario.slow_disk, keep_rounds=bool(scenario.reads), changes=scenario.changes
        )
        self.hosts: list[Host] = []
        self.facts: list[Facts] = []
        self.host_ids: dict[tuple[Any, ...], int] = {}
        self.messages: list[tuple[int, int, Message]] = []
        self.message_ids: dict[tuple[int, int, bytes], int] = {}
        self.inboxes: list[frozenset[int]] = []
        self.inbox_ids: dict[frozenset[int], int] = {}
        self.sites: list[tuple[int, int]] = []
        self.site_ids: dict[tuple[int, int], int] = {}
        self.site_effects: list[list[Effect] | None] = []
        self.effects: dict[tuple[int, Event], Effect | None] = {}
        self.effect_list: list[Effect] = []
        self.arrivals: dict[tuple[int, int], int] = {}
        self.histories: list[History] = []
        self.history_ids: dict[History, int] = {}
        self.next_histories: dict[tuple[int, int], int] = {}
        self.checked: set[tuple[int, ...]] = set()
        # The states: number -> key, and how each was reached.
        self.keys: list[int] = []
        self.seen: set[int] = set()
        self.parents = array("q")
        self.moves = array("q")
        self.head = 0
        self.transitions = 0

    # Interning.

    def host_id(self, position: int, host: Host) -> int:
        key = (position, *node_key(host))
        found = self.host_ids.get(key)
        if found is None:
            found = self.host_ids[key] = len(self.hosts)
            self.hosts.append(host)
            self.facts.append(_facts(host))
        return found

    def message_id(self, source: int, target: int, message: Message) -> int:
        if not self.scenario.reads and isinstance(
            message,
            AppendEntriesRequest | AppendEntriesResponse | InstallSnapshotRequest | InstallSnapshotResponse,
        ):
            message = msgspec.structs.replace(message, round=0)
        key = (source, target, msgspec.msgpack.encode(message))
        found = self.message_ids.get(key)
        if found is None:
            found = self.message_ids[key] = len(self.messages)
            self.messages.append((source, target, message))
        return found

    def inbox_id(self, messages: frozenset[int]) -> int:
        found = self.inbox_ids.get(messages)
        if found is None:
            found = self.inbox_ids[messages] = len(self.inboxes)
            self.inboxes.append(messages)
        return found

    def site_id(self, host: int, inbox: int) -> int:
        key = (host, inbox)
        found = self.site_ids.get(key)
        if found is None:
            found = self.site_ids[key] = len(self.sites)
            self.sites.append(key)
            self.site_effects.append(None)
        return found

    def history_id(self, history: History) -> int:
        found = self.history_ids.get(history)
        if found is None:
            found = self.history_ids[history] = len(self.histories)
            self.histories.append(history)
        return found

    # What can happen.

    def events_of(self, host_id: int) -> Iterator[Event]:
        """Give what a node may do by itself."""
        scenario, host = self.scenario, self.hosts[host_id]
        state, node = host.state, host.node
        if state.role is NodeRole.LEADER:
            if scenario.heartbeats:
                yield ("heartbeat",)
            if state.log.last_index < scenario.entries_max:
                yield ("propose",)
            if scenario.reads:
                yield ("read",)
            if state.config.check_quorum or state.transfer_target is not None:
                yield ("timeout",)
            for number in range(len(scenario.changes)):
                yield ("change", number)
            if scenario.transfers:
                yield from (("transfer", peer) for peer in node.peers)
        elif state.current_term < scenario.term_max and state.may_campaign:
            yield ("timeout",)
        if state.leader_contact is not None:
            yield ("forget",)
        if host.disk.unsynced:
            yield ("sync",)
        if scenario.compactions and node.last_applied > node.log_snapshot_index:
            yield ("compact",)
        if scenario.crashes:
            yield ("crash",)

    def effects_at(self, site: int) -> list[Effect]:
        """Return what may happen at a site and changes something."""
        found = self.site_effects[site]
        if found is None:
            host, inbox = self.sites[site]
            events: list[Event] = list(self.events_of(host))
            events += [("receive", message) for message in sorted(self.inboxes[inbox])]
            found = [effect for event in events if (effect := self.effect(host, event)) is not None]
            self.site_effects[site] = found
        return found

    def effect(self, host_id: int, event: Event) -> Effect | None:
        """Return what `event` does to a node: computed once. None where it does nothing."""
        key = (host_id, event)
        if key in self.effects:
            return self.effects[key]
        host = self.hosts[host_id]
        position = NODES.index(host.node.node_id)
        message, source = None, 0
        if event[0] == "receive":
            sender, _, message = self.messages[event[1]]
            source = NODES[sender]
        try:
            new, sent, readies = self.runner.run(host, event, message, source)
        except ProposalRejected:
            self.effects[key] = None
            return None
        after = self.host_id(position, new)
        effect = Effect(
            event, after,
            tuple(sorted({(NODES.index(peer), self.message_id(position, NODES.index(peer), m)) for peer, m in sent})),
            tuple((entry.index, entry) for ready in readies for entry in ready.committed_entries),
            self._new_leader(host, new), tuple(read for ready in readies for read in ready.reads),
            len(self.effect_list),
        )  # fmt: skip
        nothing = after == host_id and not (effect.sent or effect.delivered or effect.reads)
        self.effect_list.append(effect)
        self.effects[key] = None if nothing else effect
        return self.effects[key]

    @staticmethod
    def _new_leader(before: Host, after: Host) -> tuple[int, NodeId] | None:
        old, new = before.node, after.node
        if new.role is NodeRole.LEADER and (old.role, old.current_term) != (new.role, new.current_term):
            return new.current_term, new.node_id
        return None

    def next_history(self, history_id: int, effect: Effect) -> int:
        """Return the history after an effect, -1 where the budget does not allow it. Raises Broken."""
        key = (history_id, effect.number)
        found = self.next_histories.get(key)
        if found is None:
            found = self.next_histories[key] = self._next_history(self.histories[history_id], effect)
        return found

    def _next_history(self, history: History, effect: Effect) -> int:
        budget = history.budget
        if effect.event[0] in BUDGET:
            place = BUDGET.index(effect.event[0])
            if not budget[place]:
                return -1
            budget = (*budget[:place], budget[place] - 1, *budget[place + 1 :])
        committed, leaders, floor = history.committed, history.leaders, history.read_floor
        for index, entry in effect.delivered:
            if index == len(committed) + 1:
                committed = (*committed, entry)
            elif index > len(committed) or committed[index - 1] != entry:
                raise Broken(f"a node delivers {entry} where {committed[index - 1 : index]} was committed before")
        if effect.leads is not None:
            if effect.leads[0] in dict(leaders):
                raise Broken(
                    f"two leaders in term {effect.leads[0]}: {dict(leaders)[effect.leads[0]]} and {effect.leads[1]}"
                )
            leaders = tuple(sorted((*leaders, effect.leads)))
        if effect.event[0] == "read":
            floor = len(history.committed)
        for _, index in effect.reads:
            if index < floor:
                raise Broken(f"a read is confirmed at {index}, and {floor} was committed before it arrived")
        if effect.reads:
            floor = -1
        return self.history_id(History(committed, leaders, budget, floor))

    # The rules of the cluster.

    def check_cluster(self, hosts: Sequence[int], history: History) -> None:
        """Raise Broken unless the rules hold of these nodes together."""
        facts = [self.facts[host] for host in hosts]
        committed = history.committed
        for a, b in ((0, 1), (0, 2), (1, 2)):
            _check_log_matching(facts[a].log, facts[b].log)
        for node, fact in zip(NODES, facts, strict=True):
            start, term, _ = fact.log
            if start and committed[start - 1].term != term:
                raise Broken(
                    f"node {node}'s log begins after {start}@{term}, and {start}@{committed[start - 1].term} "
                    "was committed"
                )
            for index in range(fact.log[0] + 1, fact.commit + 1):
                entry = committed[index - 1]
                if _entry_at(fact.log, index) != (entry.term, entry.kind, entry.data):
                    raise Broken(f"node {node} has lost entry {index}, which is committed there")
            for log, configuration in fact.stands:
                lost = next((e for e in committed if not _holds(log, e)), None)
                if lost is not None and _could_win(log, configuration, [f.durable for f in facts]):
                    raise Broken(
                        f"entry {lost.index}@{lost.term} is committed, and node {node}, which lacks it, could "
                        "win an election now"
                    )

    # Exploring.

    def first_state(self) -> tuple[list[int], list[int], int]:
        """Return the first state (nodes, inboxes, history), after the scenario's start."""
        hosts = [self.host_id(position, self.runner.fresh(node)) for position, node in enumerate(NODES)]
        inboxes = [frozenset[int]()] * len(NODES)
        history = self.history_id(History(budget=tuple(100 for _ in self.scenario.budget)))

        def act(position: int, event: Event) -> None:
            nonlocal history
            effect = self.effect(hosts[position], event)
            if effect is None:
                return
            history = self.next_history(history, effect)
            hosts[position] = effect.after
            for target, message in effect.sent:
                inboxes[target] = inboxes[target] | {message}

        def deliver(source: int, target: int) -> None:
            for message in sorted(inboxes[target]):
                if self.messages[message][0] == source:
                    inboxes[target] = inboxes[target] - {message}
                    act(target, ("receive", message))

        for verb, *nodes in self.scenario.start:
            at = [NODES.index(node) for node in nodes]
            if verb == "deliver":
                deliver(*at)
            elif verb == "lose":
                inboxes = [frozenset[int]()] * len(NODES)
            elif verb == "elect":
                act(at[0], ("timeout",))
                while any(inboxes):
                    for source in range(len(NODES)):
                        for target in range(len(NODES)):
                            deliver(source, target)
                    for position in range(len(NODES)):
                        if self.hosts[hosts[position]].disk.unsynced:
                            act(position, ("sync",))
            else:
                act(at[0], (verb,))
        begun = replace(self.histories[history], budget=self.scenario.budget)
        return hosts, [self.inbox_id(inbox) for inbox in inboxes], self.history_id(begun)

    def explore(self, states_max: int) -> int:
        """Visit at most `states_max` states; return how many. Raises Violation with the shortest story."""
        if not self.keys:
            try:
                hosts, inboxes, history = self.first_state()
            except FAILURES as error:
                raise Violation(f"{self.scenario.name}, on the way to its first state: {error}") from error
            sites = [self.site_id(host, inbox) for host, inbox in zip(hosts, inboxes, strict=True)]
            self._add(_pack(sites, history), -1, 0)
        while self.head < len(self.keys) and len(self.keys) < states_max:
            number, self.head = self.head, self.head + 1
            self._expand(number, states_max)
        return len(self.keys)

    @property
    def exhausted(self) -> bool:
        """Whether every state within the bounds was visited."""
        return bool(self.keys) and self.head >= len(self.keys)

    @property
    def depth(self) -> int:
        """The number of events that led to the last state: breadth first, no state is further away."""
        return len(self._moves_to(len(self.keys) - 1))

    def _moves_to(self, number: int) -> list[tuple[int, Event]]:
        moves: list[tuple[int, Event]] = []
        while self.parents[number] >= 0:
            move = self.moves[number]
            moves.append((move & 3, self.effect_list[move >> 2].event))
            number = self.parents[number]
        return moves[::-1]

    def _add(self, key: int, parent: int, move: int) -> None:
        self.seen.add(key)
        self.keys.append(key)
        self.parents.append(parent)
        self.moves.append(move)

    def _expand(self, number: int, states_max: int) -> None:
        sites, history = _unpack(self.keys[number])
        seen = self.seen
        for position, site in enumerate(sites):
            inbox = self.sites[site][1]
            try:
                effects = self.effects_at(site)
            except FAILURES:
                effects = self._failing_effects(number, position, site)
            for effect in effects:
                self.transitions += 1
                try:
                    after = self.next_history(history, effect)
                    if after < 0:
                        continue
                    new = list(sites)
                    new[position] = self.site_id(effect.after, inbox)
                    for target, message in effect.sent:
                        new[target] = self._arrive(new[target], message)
                    key = _pack(new, after)
                    if key in seen:
                        continue
                    self._check_state(new, after)
                except Broken as broken:
                    raise self._violation(number, position, effect.event, str(broken)) from broken
                self._add(key, number, effect.number << 2 | position)
                if len(self.keys) >= states_max:
                    return

    def _arrive(self, site: int, message: int) -> int:
        key = (site, message)
        found = self.arrivals.get(key)
        if found is None:
            host, inbox = self.sites[site]
            found = self.site_id(host, self.inbox_id(self.inboxes[inbox] | {message}))
            self.arrivals[key] = found
        return found

    def _check_state(self, sites: Sequence[int], history_id: int) -> None:
        hosts = [self.sites[site][0] for site in sites]
        key = (*hosts, history_id)
        if key not in self.checked:
            self.check_cluster(hosts, self.histories[history_id])
            self.checked.add(key)

    # Telling.

    def _failing_effects(self, number: int, position: int, site: int) -> list[Effect]:
        host, inbox = self.sites[site]
        for event in [*self.events_of(host), *(("receive", message) for message in sorted(self.inboxes[inbox]))]:
            try:
                self.effect(host, event)
            except FAILURES as error:
                raise self._violation(number, position, event, f"{type(error).__name__}: {error}") from error
        raise AssertionError("an event failed once and not again")

    def _violation(self, number: int, position: int, event: Event, what: str) -> Violation:
        moves = [*self._moves_to(number), (position, event)]
        return Violation("\n".join([f"{self.scenario.name}: {what}", "", *self._tell(moves)]))

    def _tell(self, moves: Iterable[tuple[int, Event]]) -> list[str]:
        """Return a way through the states as a story."""
        hosts, _, _ = self.first_state()
        lines = [_tell_log(node, self.hosts[host]) for node, host in zip(NODES, hosts, strict=True)]
        for position, event in moves:
            node = NODES[position]
            lines.append(self._tell_event(node, event))
            before = self.hosts[hosts[position]]
            try:
                effect = self.effect(hosts[position], event)
            except FAILURES:
                break
            if effect is None:
                continue
            hosts[position] = effect.after
            after = self.hosts[effect.after]
            changes = describe_changes(node, _look(before), _look(after), after.disk)
            lines += [f"    {text}" for text in changes]
            for target, message in effect.sent:
                lines.append(f"    {node} -> {NODES[target]}  {describe_message(self.messages[message][2])}")
        return lines

    def _tell_event(self, node: NodeId, event: Event) -> str:
        match event:
            case ("receive", message):
                source, _, content = self.messages[message]
                return f"{NODES[source]} => {node}  {describe_message(content)}"
            case ("change", number):
                changes = ", ".join(f"{c.kind.value} {c.peer}" for c in self.scenario.changes[number])
                return f"{node} is asked to change the members: {changes}"
            case ("transfer", peer):
                return f"{node} is asked to hand over to {peer}"
            case (verb,):
                return f"{node}: {WORDS[verb]}"
        raise AssertionError(event)


WORDS = {
    "timeout": "the election timeout passes",
    "forget": "the last word from its leader is longer ago than the least election timeout",
    "heartbeat": "a heartbeat is due",
    "propose": "a client proposes",
    "crash": "a crash and a restart",
    "sync": "its log is durable",
    "compact": "a snapshot, and the log is discarded up to it",
    "read": "a client asks for a read",
}


def _look(host: Host) -> Seen:
    return look_at(host.node, host.disk)


def _tell_log(node: NodeId, host: Host) -> str:
    seen = _look(host)
    terms = " ".join(str(term) for _, term in seen.log) or "empty"
    return f"{node} is {seen.role.value} in term {seen.term}, log {terms}, commit {seen.commit}"


def _facts(host: Host) -> Facts:
    disk, state = host.disk, host.state
    log, durable = log_of(disk, disk.last_index), log_of(disk, disk.stable_index)
    stands = [(log, state.configuration)]
    if durable != log:
        stands.append((durable, state.configuration_at(disk.stable_index)))
    return Facts(log, durable, tuple(stands), state.commit_index)


def _entry_at(log: Log, index: int) -> tuple[int, EntryKind, bytes] | None:
    start, _, entries = log
    return entries[index - start - 1] if start < index <= start + len(entries) else None


def _end(log: Log) -> tuple[int, int]:
    """Return (last term, last index): what votes compare."""
    start, term, entries = log
    return (entries[-1][0] if entries else term), start + len(entries)


def _holds(log: Log, entry: LogEntry) -> bool:
    if entry.index <= log[0]:
        return True
    return _entry_at(log, entry.index) == (entry.term, entry.kind, entry.data)


def _check_log_matching(a: Log, b: Log) -> None:
    """Where two logs have an entry of the same index and term, they are the same up to there."""
    last = min(_end(a)[1], _end(b)[1])
    first = max(a[0], b[0]) + 1
    same = [index for index in range(first, last + 1) if _term_at(a, index) == _term_at(b, index)]
    for index in range(first, max(same, default=0) + 1):
        if _entry_at(a, index) != _entry_at(b, index):
            raise Broken(f"two logs agree on the term of entry {max(same)} and differ at {index}")


def _term_at(log: Log, index: int) -> int:
    entry = _entry_at(log, index)
    return entry[0] if entry is not None else -1


def _could_win(log: Log, configuration: Configuration, durable: Sequence[Log]) -> bool:
    """Whether a majority of every half has logs that are no more up to date (5.4.1)."""
    ends = {node: _end(other) for node, other in zip(NODES, durable, strict=True)}

    def majority(voters: tuple[NodeId, ...]) -> bool:
        return 2 * sum(_end(log) >= ends[voter] for voter in voters) > len(voters)

    halves = [half for half in (configuration.voters, configuration.voters_outgoing) if half]
    return all(majority(half) for half in halves)


def _pack(sites: Sequence[int], history: int) -> int:
    a, b, c = sites
    return ((a << BITS | b) << BITS | c) << BITS | history


def _unpack(key: int) -> tuple[tuple[int, int, int], int]:
    return (key >> 3 * BITS, key >> 2 * BITS & MASK, key >> BITS & MASK), key & MASK


# Running.


@dataclass(frozen=True)
class Outcome:
    """How far the exploration of one scenario went."""

    name: str
    states: int
    transitions: int
    node_states: int
    depth: int
    exhausted: bool
    seconds: float

    def line(self) -> str:
        extent = "all of them" if self.exhausted else "more exist"
        return (
            f"{self.name:45} {self.states:9,} states ({extent}), {self.transitions:11,} transitions, "
            f"{self.depth:3} events deep, {self.node_states:6,} states of a node, {self.seconds:6.1f} s"
        )


def explore_all(
    states: int, scenarios: Sequence[Scenario] = SCENARIOS, tell: Callable[[str], None] = lambda line: None
) -> list[Outcome]:
    """Visit about `states` distinct states, shared among the scenarios; what one does not use goes to the next."""
    outcomes = []
    left = states
    for done, scenario in enumerate(scenarios):
        started = time.perf_counter()
        explorer = Explorer(scenario)
        share = -(-left // (len(scenarios) - done))
        visited = explorer.explore(share)
        left -= visited
        outcome = Outcome(
            scenario.name,
            visited,
            explorer.transitions,
            len(explorer.hosts),
            explorer.depth,
            explorer.exhausted,
            time.perf_counter() - started,
        )
        outcomes.append(outcome)
        tell(outcome.line())
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(description="explore every order of events in a cluster of three nodes")
    parser.add_argument("--states", type=int, default=100_000, help="how many distinct states to visit")
    parser.add_argument("--scenario", help="only the scenario of this name")
    arguments = parser.parse_args()
    chosen = [scenario for scenario in SCENARIOS if arguments.scenario in (None, scenario.name)]
    started = time.perf_counter()
    try:
        outcomes = explore_all(arguments.states, chosen, lambda line: print(line, flush=True))
    except Violation as violation:
        print(violation)
        return 1
    total = sum(outcome.states for outcome in outcomes)
    print(f"{total:,} distinct states in {time.perf_counter() - started:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
