"""Step 1: one node, in memory. It elects itself, commits what is proposed, and hands it over to be applied.

Run it: it prints what it applied, and the state of the machine.
"""

from raftnode import LogEntry, MemStorage, RaftConfig, RaftNode

machine: dict[str, str] = {}
"""The state machine: a dictionary that every node builds from the same commands, in the same order."""


def apply(entry: LogEntry) -> None:
    """Apply one committed entry. Not every entry is a command: a leader begins its term with an empty one."""
    print(entry.index, entry.kind.name, entry.data)
    if entry.is_command:
        key, _, value = entry.data.decode().partition("=")
        machine[key] = value


now = 0.0  # the node has no clock of its own: this program says what time it is
storage = MemStorage()
node = RaftNode(RaftConfig(node_id=1), storage, clock=lambda: now)
node.restore()  # always first


def turn() -> None:
    """Do all that the node wants done, in the order that `Ready` lists. There are no other nodes to send to."""
    while not (ready := node.take_ready()).is_empty():
        if ready.hard_state is not None:
            storage.save_hard_state(ready.hard_state)
        for entry in ready.committed_entries:
            apply(entry)
            node.advance_applied(entry.index)


now = node.next_deadline()  # its election timeout
node.tick()
turn()
for command in (b"color=blue", b"size=3", b"color=green"):
    node.propose(command)
turn()
print(machine)
