"""What must hold after every event, beside what the core checks of itself (raftnode/core/invariants.py).

Two things are known here that no node knows: what every entry came to, from a reference model that is fed with each
entry as the first node applies it, and which entries some node ever took for committed. Against them stand, at the
event at which each happens: every result of every machine, every answer to a client, every state that comes out of a
snapshot, every new leader's log, and every commit.
"""

from bisect import insort
from dataclasses import dataclass
from operator import itemgetter

from raftnode.core.membership import Configuration, decode_configuration
from raftnode.core.node import RaftNode
from raftnode.core.types import EntryKind, LogEntry, NodeRole
from raftnode.machine.kv.machine import KvMachine
from raftnode.machine.sessions.machine import Applied, Expired, Opened, Result, RuleBroken, SessionMachine
from raftnode.storage.snapshot_file import StoredSnapshot
from raftnode.wire import client as wire
from raftnode.wire.client import Answer
from tests.simulation.reference import EXPIRED, Reference, Reply, result_of
from tests.support.replicas import DATA, Cluster, Node, Observer

WAL = f"{DATA}/wal/"


@dataclass
class _Run:
    """What was seen of one run of a node's process. It stays when the process ends: its log is still on the disk."""

    core: RaftNode
    last: "_Run | None" = None
    """The run before it that knew what is on the disk: this one may end before it does."""
    commit_index: int = 0
    members_index: int | None = None
    """The commit index at which its members were looked at."""
    applied_index: int = 0
    revision: int = 0
    machine_index: int = 0
    """The last command that its machine applied, or the last entry that the snapshot covers that it came from."""
    restored_index: int = 0
    """Where its machine began: after the last entry that a snapshot covers, or at 0."""
    led_term: int = 0
    snapshot: StoredSnapshot | None = None


class Checks(Observer):
    """Follows a cluster from its first event on."""

    def __init__(self, cluster: Cluster, first: Configuration) -> None:
        self.cluster = cluster
        self.reference = Reference()
        self.committed: dict[int, LogEntry] = {}
        """Every entry that any node took for committed."""
        self._configurations: list[tuple[int, Configuration]] = [(0, first)]
        self._last_of_term: dict[int, int] = {}
        self._acknowledged: dict[int, Answer] = {}
        self.runs: dict[int, _Run] = {node.id: _Run(node.running.node) for node in cluster.nodes.values()}
        cluster.observer = self

    def configuration_at(self, index: int) -> Configuration:
        """Return the members in force at a committed entry."""
        return next(configuration for at, configuration in reversed(self._configurations) if at <= index)

    # Machines.

    def started(self, node: Node) -> None:
        """A new process begins with nothing."""
        last = self.runs.get(node.id)
        if last is not None and not last.core._restored:
            last = last.last
        if last is not None:
            last.last = None
        self.runs[node.id] = _Run(node.running.node, last)

    def restored(self, node: Node) -> None:
        """A state out of a snapshot is what the log says for the last entry that it covers."""
        replica, run = node.running, self.runs[node.id]
        # At a start the core has nothing applied yet; later on it has taken over the snapshot before the machine has.
        at_start = 0 if replica.snapshots.newest is None else replica.snapshots.newest.index
        run.machine_index = run.restored_index = max(at_start, run.core.last_applied)
        self.check_machine(replica.machine, run.restored_index, f"node {node.id}, from a snapshot,")

    def copied(self, node: Node) -> None:
        """What a snapshot covers may be gone from the log when the turn ends."""
        self._note_committed(node)

    def applied(self, node: Node, index: int, data: bytes, outcome: Applied) -> None:
        """Every machine applies every command in order, and has the reference's result."""
        reference, run = self.reference, self.runs[node.id]
        if index > reference.index:
            reference.apply(index, data)
        expected, found = reference.replies.get(index), reply_of(outcome)
        assert expected is not None, f"node {node.id} applies a command at {index}, where the others have none"
        before, run.machine_index = run.machine_index, index
        assert reference.index_before(index) <= before, (
            f"node {node.id} applies {index} after {before}, and has skipped {reference.index_before(index)}"
        )
        assert found == expected, f"node {node.id} applies entry {index} with {found}, not {expected}"

    def check_machine(self, machine: SessionMachine, index: int, whose: str) -> None:
        """A machine's keys and sessions are those of the reference after the entry at `index`."""
        assert isinstance(machine.inner, KvMachine)
        for key in sorted({*machine.inner._records, *self.reference.every_key()}):
            found, expected = machine.inner._records.get(key), self.reference.record_at(key, index)
            assert found == expected, f"{whose} has {found} at {index}, and the log says {expected}"
        sessions = {
            session.id: (session.acknowledged, {at: result_of(data) for at, data in session.results.items()})
            for session in machine._sessions.values()
        }
        expected_sessions = self.reference.sessions_at(index)
        assert sessions == expected_sessions, (
            f"{whose} has the sessions {sessions} at {index}, and the log says {expected_sessions}"
        )

    # Nodes.

    def acted(self, node: Node) -> None:
        """Look at a node after each event in which it took part."""
        replica, run = node.running, self.runs[node.id]
        core = run.core
        self._note_committed(node)
        if core.commit_index != run.members_index:
            self._check_members(node, run)
        if core.last_applied != run.applied_index:
            self._check_applied(node, run)
        self._check_new_leader(node, run)
        if replica.snapshots.newest is not run.snapshot and replica.snapshots.newest is not None:
            run.snapshot = replica.snapshots.newest
            self.check_head(replica.snapshots.newest, f"node {node.id}'s snapshot")

    def ends(self, node: Node) -> None:
        """Also who leads for a moment only, and dies, has to have what was committed: its entries may have left."""
        self._check_new_leader(node, self.runs[node.id])

    def _check_new_leader(self, node: Node, run: _Run) -> None:
        if run.core.role is NodeRole.LEADER and run.core.current_term != run.led_term:
            run.led_term = run.core.current_term
            for index in self._last_of_term.values():
                self._check_leader(node, self.committed[index])

    def _note_committed(self, node: Node) -> None:
        """All nodes agree about every committed entry, whatever its kind; who leads a later term has it."""
        run = self.runs[node.id]
        core = run.core
        if core.commit_index <= run.commit_index:
            return
        first = max(run.commit_index, core.log_snapshot_index) + 1
        run.commit_index = core.commit_index
        new: LogEntry | None = None
        for entry in core.log_entries_range(first, core.commit_index):
            known = self.committed.setdefault(entry.index, entry)
            assert known == entry, f"node {node.id} commits {entry}, and {known} was committed there"
            if known is entry:
                new = entry
                self._last_of_term[entry.term] = max(entry.index, self._last_of_term.get(entry.term, 0))
                if entry.kind is EntryKind.CONFIGURATION:
                    insort(self._configurations, (entry.index, decode_configuration(entry.data)), key=itemgetter(0))
        if new is not None:
            for other in self.cluster.nodes.values():
                if other.replica is not None and other.replica.node.role is NodeRole.LEADER:
                    self._check_leader(other, new)

    def _check_leader(self, node: Node, entry: LogEntry) -> None:
        """Leader completeness (§5.4.3): a leader of a later term than a committed entry's has that entry."""
        core = node.running.node
        if core.current_term > entry.term:
            assert holds(core, entry.index, entry.term), (
                f"node {node.id} leads term {core.current_term} without the committed entry {entry.index} of term "
                f"{entry.term}"
            )

    def _check_members(self, node: Node, run: _Run) -> None:
        """Also after a restart or a snapshot a node knows who the members were at its commit index."""
        run.members_index = index = run.core.commit_index
        if run.core.knows_configuration_at(index):
            found, expected = run.core.configuration_at(index), self.configuration_at(index)
            assert found == expected, f"node {node.id} has the members {found} at {index}, which were {expected}"

    def _check_applied(self, node: Node, run: _Run) -> None:
        """What counts as applied was applied, the revision never falls, and is the same everywhere."""
        core, machine = run.core, node.running.machine
        assert isinstance(machine.inner, KvMachine)
        for index in range(run.applied_index + 1, core.last_applied + 1):
            entry = self.committed.get(index)
            assert entry is None or entry.kind is not EntryKind.COMMAND or index in self.reference.replies, (
                f"node {node.id} counts entry {index} as applied, but no node has applied it"
            )
        before, run.applied_index, run.revision = run.revision, core.last_applied, machine.inner.revision
        assert run.revision >= before, f"node {node.id}'s revision fell from {before} to {run.revision}"
        expected = self.reference.revision_at(core.last_applied)
        assert run.revision == expected, (
            f"node {node.id} has the revision {run.revision} at {core.last_applied}, and the log says {expected}"
        )

    def check_head(self, stored: StoredSnapshot, whose: str) -> None:
        """A snapshot names the last entry that it covers, and the members that were in force there."""
        entry = self.committed.get(stored.index)
        assert entry is not None, f"{whose} covers {stored.index}, which no node has committed"
        assert entry.term == stored.term, f"{whose} ends with term {stored.term}; entry {stored.index} has {entry.term}"
        expected = self.configuration_at(stored.index)
        assert stored.configuration == expected, (
            f"{whose} at {stored.index} has the members {stored.configuration}, which were {expected}"
        )

    # Answers.

    def answers(self, node: Node, answer: Answer) -> None:
        """Before a client gets an answer about an entry, a quorum has it on its disks."""
        self._note_committed(node)
        match answer:
            case wire.Written(index=index):
                self._check_durable(node, index)
                self._check_reply(index, Reply("result", result_of(answer.result)), answer)
            case wire.SessionOpened(session=index):
                self._check_durable(node, index)
                self._check_reply(index, Reply("session", index), answer)
            case _:
                pass

    def _check_reply(self, index: int, reply: Reply, answer: Answer) -> None:
        """One request is answered for each entry, with the outcome of that entry."""
        assert index not in self._acknowledged, (
            f"entry {index} is acknowledged twice: {self._acknowledged[index]}, {answer}"
        )
        self._acknowledged[index] = answer
        expected = self.reference.replies.get(index)
        assert reply == expected, f"entry {index} is answered with {reply}, not {expected}"

    def _check_durable(self, node: Node, index: int) -> None:
        """The members may have changed since the commit, once: a quorum of the latest or of those before has it."""
        core = node.running.node
        term = self.committed[index].term
        latest = core._state.configurations[-2:]
        assert any(self._on_quorum(configuration, index, term) for _, configuration in latest), (
            f"node {node.id} acknowledges entry {index}, which is not on the disks of a quorum of {latest}"
        )

    def _on_quorum(self, configuration: Configuration, index: int, term: int) -> bool:
        halves = [half for half in (configuration.voters, configuration.voters_outgoing) if half]
        return all(2 * sum(self._has_durable(node, index, term) for node in half) > len(half) for half in halves)

    def _has_durable(self, node_id: int, index: int, term: int) -> bool:
        """Whether an entry is on a node's disk, as far as the node said before it died, if it is dead."""
        node, run = self.cluster.nodes.get(node_id), self.runs.get(node_id)
        if run is not None and not run.core._restored:
            run = run.last
        if node is None or run is None or node.storage is None:
            return False
        synced = node.replica is None or node.fs.all_synced(WAL)
        return synced and node.storage.stable_index >= index and holds(run.core, index, term)


def holds(core: RaftNode, index: int, term: int) -> bool:
    """Whether a node's log has the entry `index` of `term`, or a snapshot in its place."""
    if index <= core.log_snapshot_index:
        return True
    return index <= core.last_log_index and core.term_at(index) == term


def reply_of(outcome: Applied) -> Reply:
    """Return a machine's outcome in the form of the reference's replies."""
    match outcome:
        case Opened(session=session):
            return Reply("session", session)
        case Result(result=data):
            return Reply("result", result_of(data))
        case Expired():
            return EXPIRED
        case RuleBroken():
            return Reply("refused")
