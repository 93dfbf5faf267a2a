"""Nodes that are not there: loopback servers that speak the wire protocol and answer as a test scripts it.

`FakeNode` is one server; its handler is given each request and returns the answer, HANG_UP or SILENCE.
`FakeCluster` is several of them over one in-memory store and one membership, without any consensus.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, Self

import msgspec

from raftnode.core.types import EntryKind, LogEntry
from raftnode.machine.kv.machine import KvMachine
from raftnode.wire import client as wire
from raftnode.wire.frame import FrameDecoder, encode_frame
from raftnode.wire.hello import PROTOCOL_VERSION, REJECT_CLUSTER, Hello, Rejected, Welcome, decode_hello

CLUSTER_ID: Final = "c0ffee"
HANG_UP: Final = "hang up"
SILENCE: Final = "silence"

Reply = wire.Answer | str
Handler = Callable[[Any], Reply]


class FakeNode:
    """A loopback server in threads. `requests` holds what it was asked, in order; `connections` counts who came."""

    def __init__(self, handler: Handler, *, node_id: int = 1, rejects: str = "", cluster_id: str = CLUSTER_ID) -> None:
        self.handler = handler
        self.requests: list[wire.AnyRequest] = []
        self.connections = 0
        self._welcome: Welcome | Rejected = (
            Rejected("cluster", rejects) if rejects else Welcome(PROTOCOL_VERSION, cluster_id, node_id, "instance")
        )
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._lock = threading.Lock()
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and hang up on everyone."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for sock in self._sockets:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=5)

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        with self._lock:
            return len(self._sockets)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._sockets.add(sock)
                self.connections += 1
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            bodies = self._bodies(sock)
            hello = next(bodies, None)
            if hello is not None:
                answer = self._answer_hello(decode_hello(hello))
                sock.sendall(encode_frame(answer))
                if isinstance(answer, Welcome):
                    self._converse(sock, bodies)
        with self._lock:
            self._sockets.discard(sock)

    def _answer_hello(self, hello: Hello) -> Welcome | Rejected:
        own = self._welcome
        if isinstance(own, Welcome) and hello.cluster_id not in ("", own.cluster_id):
            return Rejected(REJECT_CLUSTER, f"this is cluster {own.cluster_id}, not cluster {hello.cluster_id}")
        return own

    def _converse(self, sock: socket.socket, bodies: Iterator[bytes]) -> None:
        for body in bodies:
            request = wire.decode_request(body)
            self.requests.append(request)
            reply = self.handler(request)
            if reply == HANG_UP:
                return
            if not isinstance(reply, str):
                sock.sendall(encode_frame(msgspec.structs.replace(reply, id=request.id)))

    @staticmethod
    def _bodies(sock: socket.socket) -> Iterator[bytes]:
        decoder = FrameDecoder()
        while data := sock.recv(65536):
            yield from decoder.feed(data)


def make_status(node_id: int, members: list[wire.MemberStatus], **fields: Any) -> wire.NodeStatus:
    """Return a follower's status, with any field replaced."""
    own = next((m for m in members if m.id == node_id), None)
    status = wire.NodeStatus(
        cluster_id=CLUSTER_ID,
        cluster_name="demo",
        node_id=node_id,
        node_name=f"n{node_id}",
        address=own.address if own else "",
        instance_id=f"instance-{node_id}",
        version="0.1.0",
        role="follower",
        term=1,
        leader_id=None,
        leader_address="",
        commit_index=0,
        applied_index=0,
        first_log_index=1,
        last_log_index=0,
        snapshot_index=0,
        snapshot_term=0,
        configuration_index=0,
        joint=False,
        members=members,
        started_at="2026-11-23T03:10:12.677Z",
        uptime_ms=60_000,
        storage_state="ok",
    )
    return msgspec.structs.replace(status, **fields)


class FakeCluster:
    """Nodes 1..count over one store and one membership. `leader` is 0 while nobody leads.

    `interfere` may be set to a function (node id, request) that gives a reply instead of the usual one, or None.
    """

    def __init__(self, count: int = 3, leader: int = 1, cluster_id: str = CLUSTER_ID) -> None:
        self.cluster_id = cluster_id
        self.machine = KvMachine()
        self.leader = leader
        self.term = 7
        self.log: list[wire.LogEntryView] = []
        self.first_log_index = 1
        self.events: list[wire.EventRecord] = []
        self.snapshots: dict[int, list[wire.SnapshotInfo]] = {}
        self.interfere: Callable[[int, Any], Reply | None] = lambda _node, _request: None
        self.results: dict[tuple[int, int], wire.Written] = {}
        self.sessions = 0
        self.nodes = {i: FakeNode(self._handler(i), node_id=i, cluster_id=cluster_id) for i in range(1, count + 1)}
        self.members = [wire.MemberStatus(i, f"n{i}", n.address, "voter") for i, n in self.nodes.items()]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes.values():
            node.close()

    @property
    def endpoints(self) -> str:
        """Every node's address, with commas."""
        return ",".join(n.address for n in self.nodes.values())

    def count(self, kind: type) -> int:
        """Return how many requests of this kind all nodes got."""
        return sum(isinstance(r, kind) for n in self.nodes.values() for r in n.requests)

    def stop(self, node_id: int) -> None:
        """End a node; if it leads, nobody does."""
        self.nodes[node_id].close()
        if self.leader == node_id:
            self.leader = 0

    def status(self, node_id: int) -> wire.NodeStatus:
        """Return what a node says about itself and the cluster."""
        leads = node_id == self.leader
        members = self.members
        if leads:
            members = [
                m
                if m.id == node_id
                else msgspec.structs.replace(
                    m,
                    match_index=len(self.log),
                    next_index=len(self.log) + 1,
                    progress="replicate",
                    last_contact_ms=120,
                    promotable=m.kind == "learner",
                )
                for m in members
            ]
        leader = next((m.address for m in self.members if m.id == self.leader), "")
        return make_status(
            node_id,
            members,
            role="leader" if leads else "follower",
            term=self.term,
            cluster_id=self.cluster_id,
            cluster_name="demo" if self.cluster_id == CLUSTER_ID else self.cluster_id,
            leader_id=self.leader or None,
            leader_address=leader,
            commit_index=len(self.log),
            applied_index=len(self.log),
            last_log_index=len(self.log),
            first_log_index=self.first_log_index,
        )

    def append(self, data: bytes, summary: str) -> int:
        """Put an entry into the log and return its index."""
        index = len(self.log) + 1
        self.log.append(wire.LogEntryView(LogEntry(self.term, index, data, EntryKind.COMMAND), summary))
        return index

    def _handler(self, node_id: int) -> Handler:
        def handle(request: Any) -> Reply:
            reply = self.interfere(node_id, request)
            return reply if reply is not None else self._answer(node_id, request)

        return handle

    def _answer(self, node_id: int, request: wire.AnyRequest) -> Reply:
        match request:
            case wire.GetStatus():
                return wire.StatusResult(0, self.status(node_id))
            case wire.GetLog():
                return self._read_log(request)
            case wire.GetEvents():
                return self._read_events(node_id, request)
            case wire.ListSnapshots():
                return wire.SnapshotsResult(0, self.snapshots.get(node_id, []))
            case wire.TriggerSnapshot():
                return self._snapshot(node_id)
            case wire.Watch():
                found = self.machine.changes(request.query)
                return SILENCE if found is None else wire.ReadResult(0, len(self.log), found)
            case wire.Read(consistency=wire.Consistency.LOCAL):
                return wire.ReadResult(0, len(self.log), self.machine.query(request.query))
        if node_id != self.leader:
            leader = next((m.address for m in self.members if m.id == self.leader), "")
            return wire.Failed(0, wire.ErrorCode.NOT_LEADER, "another node leads", leader_address=leader)
        return self._lead(request)

    def _lead(self, request: wire.AnyRequest) -> Reply:
        match request:
            case wire.OpenSession():
                self.sessions += 1
                return wire.SessionOpened(0, self.sessions)
            case wire.Write():
                return self._write(request)
            case wire.EvaluateWrite():
                return wire.ReadResult(0, len(self.log), self.machine.evaluate(request.command))
            case wire.Read():
                return wire.ReadResult(0, len(self.log), self.machine.query(request.query))
            case wire.ChangeMembers():
                return self._change(request)
            case wire.TransferLeadership():
                target = request.target or next(m.id for m in self.members if m.id != self.leader)
                changed = target != self.leader
                if changed and not request.dry_run:
                    self.leader, self.term = target, self.term + 1
                return wire.LeadershipTransferred(0, changed, target, self.term)
        raise AssertionError(f"no script for {request}")

    def _write(self, request: wire.Write) -> wire.Written:
        key = (request.session, request.sequence)
        if not request.session or key not in self.results:
            index = self.append(request.command, self.machine.describe(request.command))
            self.results[key] = wire.Written(0, index, self.machine.apply(index, request.command))
        return self.results[key]

    def _change(self, request: wire.ChangeMembers) -> wire.MembersChanged:
        before, members = self.members, list(self.members)
        for operation in request.operations:
            at = next((i for i, m in enumerate(members) if m.id == operation.node_id), None)
            match operation.action:
                case wire.MemberAction.REMOVE:
                    members = [m for m in members if m.id != operation.node_id]
                case wire.MemberAction.PROMOTE | wire.MemberAction.DEMOTE if at is not None:
                    kind = "voter" if operation.action is wire.MemberAction.PROMOTE else "learner"
                    members[at] = msgspec.structs.replace(members[at], kind=kind)
                case _:
                    kind = operation.action.value.removeprefix("add_")
                    members.append(
                        wire.MemberStatus(max(m.id for m in members) + 1, operation.name, operation.address, kind)
                    )
        if not request.dry_run:
            self.members = members
        old, new = (sum(m.kind == "voter" for m in each) for each in (before, members))
        return wire.MembersChanged(
            0,
            before != members,
            len(self.log),
            members,
            voters_before=old,
            voters_after=new,
            quorum_before=old // 2 + 1,
            quorum_after=new // 2 + 1,
            tolerates_before=(old - 1) // 2,
            tolerates_after=(new - 1) // 2,
        )

    def _read_log(self, request: wire.GetLog) -> Reply:
        if request.first < self.first_log_index:
            return wire.Failed(
                0, wire.ErrorCode.COMPACTED, f"entry {request.first} was compacted", detail=self.first_log_index
            )
        found = [e for e in self.log if request.first <= e.entry.index <= request.last][: request.entries_max]
        return wire.LogResult(0, found, len(self.log), self.first_log_index)

    def _read_events(self, node_id: int, request: wire.GetEvents) -> Reply:
        own = [e for e in self.events if e.node == f"n{node_id}" and e.cursor > request.cursor]
        if not own and request.wait_ms:
            return SILENCE
        return wire.EventsResult(0, own, own[-1].cursor if own else request.cursor)

    def _snapshot(self, node_id: int) -> wire.SnapshotTaken:
        kept = self.snapshots.setdefault(node_id, [])
        index = len(self.log)
        changed = not kept or kept[0].index < index
        if changed:
            kept.insert(0, wire.SnapshotInfo(index, self.term, 4096, "2026-11-23T03:10:12.677Z", f"{index}.snap", [1]))
        return wire.SnapshotTaken(0, changed, kept[0])
