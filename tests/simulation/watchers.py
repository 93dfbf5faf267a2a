"""Clients that only read: some follow the changes of keys, one lists keys and reads logs, events, status, snapshots.

Every answer is compared at once with the log as the checks know it.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import msgspec

from raftnode.core.types import EntryKind
from raftnode.machine.kv.machine import KvMachine
from raftnode.machine.sessions.machine import SessionMachine
from raftnode.storage.snapshot_file import SnapshotDamaged
from raftnode.storage.snapshots import SnapshotStore
from raftnode.wire import client as wire
from raftnode.wire.client import Answer, Consistency, ErrorCode, Failed
from raftnode.wire.kv import Changes, ChangesResult, List, ListResult, decode_result, encode
from tests.support.filesystem import SimulatedFilesystem

if TYPE_CHECKING:
    from tests.simulation.world import World

COPIES = "/copies"


class Onlooker:
    """Has one question under way at a time, and asks the next one a while after it was answered or lost."""

    def __init__(self, world: World, name: str, pause: float) -> None:
        self.world = world
        self.name = name
        self.rng = world.rng
        self.client = world.cluster.client(name)
        self.client.on_answer = self._on_answer
        self.client.on_lost = self._on_lost
        self.done = False
        self.node = 1
        self._pause = pause
        self._request = 0
        self._later()

    def hang_up(self) -> None:
        """Close the connections; what is under way is lost."""
        under_way = list(self.client.waiting)
        self.client.hang_up()
        for request_id in under_way:
            self._on_lost(request_id)

    def ask(self) -> wire.AnyRequest:
        """Return the next question, and set the node to ask."""
        raise NotImplementedError

    def check(self, answer: Answer) -> None:
        """Check the answer to the last question."""
        raise NotImplementedError

    def lose(self) -> None:
        """Called when the last question will not be answered."""

    def _next(self) -> None:
        if self.world.draining:
            self.done = True
            return
        request = self.ask()
        self._request = request.id
        self.client.send(self.node, request)

    def _on_answer(self, answer: Answer) -> None:
        if answer.id == self._request:
            self._request = 0
            self.check(answer)
            self._later()

    def _on_lost(self, request_id: int) -> None:
        if request_id == self._request:
            self._request = 0
            self.lose()
            self._later()

    def _later(self) -> None:
        self.world.cluster.clock.after(self.rng.expovariate(1 / self._pause), self._next)


class Watcher(Onlooker):
    """Follows the changes of keys with a prefix from node to node: in order, none left out and none twice.

    Where a node says that it no longer knows some, they go by; where it has no reason to say so, it is wrong.
    """

    def __init__(self, world: World, name: str, prefix: bytes) -> None:
        self._prefix = prefix
        self._after = 0
        self._limit = 1
        super().__init__(world, name, 0.2)

    def ask(self) -> wire.AnyRequest:
        self._limit = self.rng.choice([1, 3, 1000])
        query = encode(Changes(self._prefix, self._after, self._limit))
        return wire.Watch(self.client.next_id(), query, self.rng.choice([0, 50, 300]))

    def lose(self) -> None:
        self.node = self.world.some_node()

    def check(self, answer: Answer) -> None:
        assert isinstance(answer, wire.ReadResult), f"{self.name}: {answer}"
        result = decode_result(answer.result)
        assert isinstance(result, ChangesResult), f"{self.name}: {result}"
        reference = self.world.checks.reference
        if result.lost_before:
            self._check_loss(answer.applied_index, result.lost_before)
            self.world.happened["watch: lost changes reported"] += 1
        begin = max(self._after, result.lost_before)
        expected = reference.changes_between(begin, result.through, self._prefix)
        assert result.changes == expected, (
            f"{self.name}: after {begin} and up to {result.through} node {self.node} shows {result.changes}; the log "
            f"has {expected}"
        )
        if len(expected) < self._limit:
            # Nothing cut the answer short, so it goes as far as the node has come.
            reached = max(self._after, reference.revision_at(answer.applied_index))
            assert result.through == reached, f"{self.name}: a watch ends at {result.through}, and not at {reached}"
        self._after = result.through
        self.world.happened["watch: changes seen"] += len(expected)
        if self.rng.random() < 0.1:
            self.node = self.world.some_node()

    def _check_loss(self, applied_index: int, lost_before: int) -> None:
        """A node forgets what is older than its last changes, and what came to it inside a snapshot."""
        cluster, reference = self.world.cluster, self.world.checks.reference
        restored = self.world.checks.runs[self.node].restored_index
        changes = reference.changes_between(restored, applied_index)
        forgotten = len(changes) - cluster.changes_max
        allowed = changes[forgotten - 1].revision if forgotten > 0 else reference.revision_at(restored)
        assert self._after < lost_before <= allowed, (
            f"{self.name}: node {self.node} forgot the changes up to {lost_before}; after {self._after} it may have "
            f"forgotten those up to {allowed}"
        )


class Auditor(Onlooker):
    """Lists keys, and reads logs, events, status and whole snapshots of any node."""

    def __init__(self, world: World, name: str) -> None:
        self._question: wire.AnyRequest | None = None
        self._list = List(b"")
        self._events: dict[int, str] = {}
        self._snapshot: wire.SnapshotInfo | None = None
        self._bytes = b""
        super().__init__(world, name, 0.15)

    def ask(self) -> wire.AnyRequest:
        number = self.client.next_id()
        if self._snapshot is not None:
            self._question = wire.ReadSnapshot(
                number, self._snapshot.index, self._snapshot.term, len(self._bytes), self.rng.randint(300, 2000)
            )
            return self._question
        self.node = self.world.some_node()
        kind = self.rng.random()
        if kind < 0.1:
            prefix, start = self.rng.choice([b"", b"r", b"n0"]), self.rng.choice([b"", b"r1"])
            self._list = List(prefix, start, self.rng.choice([1, 2, 1000]), self.rng.random() < 0.3)
            self._question = wire.Read(number, encode(self._list), Consistency.LOCAL)
        elif kind < 0.4:
            first = self.rng.randint(1, max(self.world.checks.reference.index, 1) + 5)
            self._question = wire.GetLog(
                number,
                first,
                first + self.rng.randrange(60),
                self.rng.choice([0, 100]),
                self.rng.choice([3, 1000]),
                self.rng.choice([1, 500, 1_000_000]),
            )
        elif kind < 0.6:
            self._question = wire.GetStatus(number)
        elif kind < 0.8:
            self._question = wire.GetEvents(
                number, self._events.get(self.node, ""), "", self.rng.choice([3, 1000]), self.rng.choice([0, 100])
            )
        else:
            self._question = wire.ReadSnapshot(number, bytes_max=self.rng.randint(300, 2000))
        return self._question

    def lose(self) -> None:
        if self._snapshot is not None and self.rng.random() < 0.3:
            self._give_up_snapshot()

    def check(self, answer: Answer) -> None:
        match self._question, answer:
            case wire.Read(), wire.ReadResult():
                self._check_list(self._list, answer)
            case wire.GetLog() as question, (wire.LogResult() | Failed()):
                self._check_log(question, answer)
            case wire.GetStatus(), wire.StatusResult(status=status):
                self._check_status(status)
            case wire.GetEvents() as question, wire.EventsResult():
                self._check_events(question, answer)
            case wire.ReadSnapshot() as question, wire.SnapshotPiece():
                self._take_piece(question, answer)
            case wire.ReadSnapshot(), Failed(code=ErrorCode.NOT_FOUND):
                self._give_up_snapshot()
            case question, _:
                raise AssertionError(f"{self.name}: {answer} is no answer to {question}")

    # Keys.

    def _check_list(self, query: List, answer: wire.ReadResult) -> None:
        """The keys in order, as the log has them at the index that the answer names; `more` if there are others."""
        reference, index = self.world.checks.reference, answer.applied_index
        found = [
            record
            for key in reference.every_key()
            if key >= query.start
            and key.startswith(query.prefix)
            and (record := reference.record_at(key, index)) is not None
        ]
        items = found[: query.limit]
        if query.keys_only:
            items = [msgspec.structs.replace(record, value=b"") for record in items]
        expected = ListResult(items, len(found) > query.limit, reference.revision_at(index))
        result = decode_result(answer.result)
        assert result == expected, f"{self.name}: {query} at {index} is {result}; the log says {expected}"
        self.world.happened["list: read"] += 1

    # The log.

    def _check_log(self, question: wire.GetLog, answer: wire.LogResult | Failed) -> None:
        """Committed entries, from the first one asked for on; none only where none is committed there."""
        if isinstance(answer, Failed):
            assert answer.code is ErrorCode.COMPACTED, answer
            assert answer.detail > question.first, f"{self.name}: {answer} to {question}"
            self.world.happened["log: compacted"] += 1
            return
        entries = [view.entry for view in answer.entries]
        committed = self.world.checks.committed
        expected = [committed.get(index) for index in range(question.first, question.first + len(entries))]
        assert entries == expected, f"{self.name}: node {self.node} has the log {entries}, committed is {expected}"
        assert len(entries) <= min(question.entries_max, question.last - question.first + 1), f"{answer} to {question}"
        assert entries or answer.commit_index < question.first, f"{self.name}: nothing for {question}: {answer}"
        assert all(view.summary for view in answer.entries if view.entry.kind is EntryKind.COMMAND), answer
        self.world.happened["log: entries read"] += len(entries)

    # The status.

    def _check_status(self, status: wire.NodeStatus) -> None:
        """One node's numbers fit together, and what it says of a term's leader is true."""
        cluster = self.world.cluster
        assert status.node_id == self.node, status
        assert status.first_log_index - 1 <= status.snapshot_index <= status.applied_index, status
        assert status.applied_index <= status.commit_index <= status.last_log_index, status
        assert (status.role == "leader") == (status.leader_id == self.node), status
        if status.leader_id is not None:
            leader = cluster.leaders.get(status.term, status.leader_id)
            assert status.leader_id == leader, f"node {leader} led term {status.term}: {status}"
        committed = self.world.checks.committed
        at_commit = committed.get(status.commit_index)
        assert at_commit is None or at_commit.term <= status.term, status
        self.world.happened["status: read"] += 1

    # Events.

    def _check_events(self, question: wire.GetEvents, answer: wire.EventsResult) -> None:
        """Events follow one another without a gap, but for those that were said to be lost."""
        asked = _sequence(question.cursor) if question.cursor else None
        sequences = [_sequence(event.cursor) for event in answer.events]
        first = sequences[0] if sequences else _sequence(answer.cursor) + 1
        assert sequences == list(range(first, first + len(sequences))), f"{self.name}: events {sequences}"
        assert _sequence(answer.cursor) == (sequences[-1] if sequences else first - 1), answer
        if asked is not None and answer.lost >= 0:
            assert first == asked + 1 + answer.lost, f"{self.name}: after {asked} come {answer}"
        elif asked is not None:
            assert answer.events[0].type == "node.started", f"{self.name}: a run begins with {answer.events[0]}"
            self.world.happened["events: of the next run"] += 1
        assert all(event.node == f"n{self.node}" for event in answer.events), answer
        # An event about a log entry has the entry's term, which may be an old one.
        terms = [event.term for event in answer.events if not event.type.startswith("member.")]
        assert terms == sorted(terms), f"{self.name}: a term falls in {answer}"
        self._events[self.node] = answer.cursor
        self.world.happened["events: read"] += len(sequences)

    # Snapshots.

    def _take_piece(self, question: wire.ReadSnapshot, piece: wire.SnapshotPiece) -> None:
        """A piece is of the snapshot that was asked for, and where it was asked for."""
        assert self._snapshot is None or piece.snapshot == self._snapshot, f"{piece} after {self._snapshot}"
        assert piece.offset == question.offset == len(self._bytes), f"{question}: {piece}"
        assert zlib.crc32(piece.data) == piece.checksum, f"{self.name}: {piece} does not match its checksum"
        self._snapshot = piece.snapshot
        self._bytes += piece.data
        assert piece.data or len(self._bytes) == piece.snapshot.size_bytes, f"{question}: {piece}"
        if len(self._bytes) == piece.snapshot.size_bytes:
            self._check_snapshot(self._snapshot)
            self._snapshot, self._bytes = None, b""

    def _check_snapshot(self, snapshot: wire.SnapshotInfo) -> None:
        """What came in pieces is a whole snapshot, and its members, keys and sessions are those of the log there."""
        copy, checks = SimulatedFilesystem(), self.world.checks
        copy.make_directory(COPIES)
        copy.put(f"{COPIES}/{snapshot.file}", self._bytes)
        store = SnapshotStore(COPIES, copy, read_only=True)
        machine = SessionMachine(KvMachine())
        try:
            (stored,) = store.list()
            machine.restore(store.chunks(stored))
        except SnapshotDamaged:
            assert self.node in self.world.flipped, f"{self.name}: a snapshot of node {self.node} is damaged"
            self.world.happened["snapshot read: damaged"] += 1
            return
        assert (stored.index, stored.term) == (snapshot.index, snapshot.term), f"{stored} is sent as {snapshot}"
        checks.check_head(stored, f"{self.name}'s copy of node {self.node}'s snapshot")
        checks.check_machine(machine, stored.index, f"{self.name}'s copy of node {self.node}'s snapshot")
        self.world.happened["snapshot read: whole"] += 1

    def _give_up_snapshot(self) -> None:
        if self._snapshot is not None:
            self.world.happened["snapshot read: given up"] += 1
        self._snapshot, self._bytes = None, b""


def _sequence(cursor: str) -> int:
    return int(cursor.partition(":")[2])
