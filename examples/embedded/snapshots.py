"""Step 2: snapshots of the machine, so that the log does not grow forever: take, load, send and receive them.

Run it: one node takes a snapshot, and a follower that has nothing receives it in small chunks.
"""

from pathlib import Path
from tempfile import mkdtemp

from raftnode import InstallSnapshotRequest as Chunk
from raftnode import InstallSnapshotResponse as Answer
from raftnode import InvalidRequest, RaftNode, SnapshotMeta, SnapshotStore, StoredSnapshot
from raftnode.testing import Stage


class Snapshots:
    """The snapshots of one node. The machine is a list of words."""

    def __init__(self, path: Path, chunk_bytes: int = 1 << 20) -> None:
        self.store, self.chunk_bytes = SnapshotStore(path), chunk_bytes

    def load(self) -> tuple[list[bytes], SnapshotMeta]:
        """Return the newest machine, and what it covers, for `restore()`."""
        stored = self.store.latest()
        if stored is None:
            return [], SnapshotMeta()
        return b"".join(self.store.chunks(stored)).split(), stored.meta

    def take(self, node: RaftNode, words: list[bytes], keep: int = 100) -> None:
        """Take a snapshot of all that is applied; then discard the log, all but the last `keep` entries."""
        index = node.last_applied
        if node.knows_configuration_at(index):  # not if it has just joined
            writer = self.store.writer(index, node.term_at(index), node.configuration_at(index))
            for word in words:
                writer.write(word + b"\n")
            writer.finish()  # durable from here on, and only now may the log go
            node.compact(max(index - keep, node.log_snapshot_index))

    def chunk(self, node: RaftNode, stored: StoredSnapshot, offset: int = 0) -> Chunk:
        """Return a chunk of a snapshot, for a member in `Ready.snapshots_needed`. The node must lead."""
        data = self.store.read_raw(stored, offset, self.chunk_bytes)
        done = offset + len(data) == stored.size_bytes
        return node.snapshot_chunk(stored.meta, offset, data, done, stored.checksum)

    def next_chunk(self, node: RaftNode, answer: Answer) -> Chunk | None:
        """Return the chunk that an answer asks for, if it asks for one."""
        for stored in self.store.list():
            if stored.index == answer.last_included_index and answer.next_offset < stored.size_bytes:
                return self.chunk(node, stored, answer.next_offset)
        return None

    def receive(self, node: RaftNode, request: Chunk) -> Answer:
        """Store a chunk, then hand it to the node. Load the machine exactly if the answer says `installed`."""
        if node.wants_chunk(request):
            if request.offset == 0:
                self.receiver = self.store.receiver(request.last_included_index, request.last_included_term)
            try:
                self.receiver.write(request.offset, request.data)
                if request.done:
                    self.receiver.finish()  # durable before the node puts it in force
            except InvalidRequest:
                node.abort_incoming_snapshot()  # damaged on its way: begin again at offset 0
                raise
        return node.handle_install_snapshot(request)


if __name__ == "__main__":
    stage = Stage(3)  # three nodes on a simulated network
    leader = stage.elect(1)
    stage.isolate(3)
    stage.propose(b"one", b"two", b"three")
    here, there = Snapshots(Path(mkdtemp()), 50), Snapshots(Path(mkdtemp()))
    here.take(leader, stage.machines[1], keep=0)
    (newest,) = here.store.list()
    chunk: Chunk | None = here.chunk(leader, newest)
    while chunk is not None:
        answer = there.receive(stage.nodes[3], chunk)
        print(f"bytes {chunk.offset} to {answer.next_offset}, installed: {answer.installed}")
        chunk = here.next_chunk(leader, answer)
    print(there.load()[0])
