"""What tests of programs around `RaftNode` need: simulated time, disks that lose what was not synced, a network to
cut, and a `Stage` on which nodes play under a test's direction. Deterministic: no thread, no socket, no file, no sleep.

    stage = Stage(3)
    stage.elect(1)
    stage.propose(b"x")
    stage.crash(1)                      # loses what was not synced
    stage.run(2.0)                      # seconds pass; another node leads
    assert stage.leader().node_id != 1

`check_log_storage()` holds a storage of your own against all that `LogStorage` promises.
"""

from raftnode.testing.clock import Clock, Event
from raftnode.testing.conformance import check_log_storage
from raftnode.testing.disk import Disk
from raftnode.testing.network import Letter, Network, Packet
from raftnode.testing.process import Process
from raftnode.testing.stage import Stage

__all__ = ["Clock", "Disk", "Event", "Letter", "Network", "Packet", "Process", "Stage", "check_log_storage"]
