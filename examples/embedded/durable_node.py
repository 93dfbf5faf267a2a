"""Step 3: a node with its log and its snapshots on a disk. `turn()` has all duties of `Ready`, in their order.

Run it twice with the same directory: the second run finds the words of the first.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from snapshots import Snapshots

from raftnode import InstallSnapshotRequest as Chunk
from raftnode import InstallSnapshotResponse as Answer
from raftnode import LogEntry, Message, NodeRole, RaftConfig, RaftNode, Ready, Wal


class DurableNode:
    """A node whose machine is a list of words. `send(peer, message)` may lose messages, but must not wait."""

    def __init__(self, config: RaftConfig, directory: Path, send: Callable[[int, Message], None]) -> None:
        self.send = send
        self.wal = Wal.open(directory / "wal")
        self.snapshots = Snapshots(directory / "snapshots")
        self.words, covered = self.snapshots.load()
        self.node = RaftNode(config, self.wal)
        self.node.restore(covered)  # the log after the snapshot is applied again
        self.responses: list[tuple[int, Message]] = []

    def receive(self, peer: int, message: Message) -> None:
        """Hand over a message of `peer`. What is to be sent because of it leaves with the next `turn()`."""
        if isinstance(message, Chunk):
            response: Message | None = self.snapshots.receive(self.node, message)
        else:
            response = self.node.step(peer, message)
        if isinstance(response, Answer) and response.installed:
            self.words, _ = self.snapshots.load()
        if isinstance(message, Answer) and self.node.role is NodeRole.LEADER:
            response = self.snapshots.next_chunk(self.node, message)
        if response is not None:
            self.responses.append((peer, response))

    def turn(self) -> None:
        """Do everything that the node wants done. Many messages may come before one turn: they share its fsync."""
        while not (ready := self.node.take_ready()).is_empty() or self.responses:
            at_once, after_save = ready.outgoing()
            for peer, message in at_once:  # 1
                self.send(peer, message)
            if ready.hard_state is not None:  # 2
                self.wal.save_hard_state(ready.hard_state)
            self.wal.sync()  # before this line nothing has left that promises anything
            responses, self.responses = self.responses, []
            for peer, message in after_save + responses:  # 3
                self.send(peer, message)
            for entry in ready.committed_entries:  # 4
                self.apply(entry)
                self.node.advance_applied(entry.index)
            self.finish(ready)  # 5

    def apply(self, entry: LogEntry) -> None:
        """Apply one committed entry to the machine."""
        if entry.is_command:
            self.words.append(entry.data)

    def finish(self, ready: Ready) -> None:
        """Do the rest: send a snapshot to those that need one, and take one from time to time."""
        for peer in ready.snapshots_needed:
            newest = self.snapshots.store.latest()
            if newest is not None:
                self.send(peer, self.snapshots.chunk(self.node, newest))
        if self.node.last_applied - self.node.log_snapshot_index >= 1000:
            self.snapshots.take(self.node, self.words)


if __name__ == "__main__":
    me = DurableNode(RaftConfig(node_id=1), Path(sys.argv[1]), send=lambda peer, message: None)
    me.node.election_deadline_override(0.0)  # it is the only voter, and need not wait
    me.node.tick()
    me.node.propose(b"word-%d" % me.node.last_log_index)
    me.turn()
    print(b" ".join(me.words).decode())
