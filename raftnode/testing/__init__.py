"""Tools for testing programs around `RaftNode`: simulated time, disks that lose unsynced writes, a network to cut, and
`Stage`, a cluster that a test directs. Deterministic: no threads, no sockets, no files, no sleeps.

    stage = Stage(3)
    stage.elect(1)
    stage.propose(b"x")
    stage.crash(1)                      # loses what was not synced
    stage.run(2.0)                      # seconds pass; another node leads
    assert stage.leader().node_id != 1

`check_log_storage()` checks your own storage against everything that `LogStorage` promises.
"""

from raftnode.testing.clock import Clock, Event
from raftnode.testing.conformance import check_log_storage
from raftnode.testing.disk import Disk
from raftnode.testing.network import Letter, Network, Packet
from raftnode.testing.process import Process
from raftnode.testing.stage import Stage

__all__ = ["Clock", "Disk", "Event", "Letter", "Network", "Packet", "Process", "Stage", "check_log_storage"]
