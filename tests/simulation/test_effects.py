"""What the histogram counts really happened: each counter against one effect that is made by hand."""

import errno

import pytest

from raftnode.core.errors import StorageError
from raftnode.storage.filesystem import NoSpaceError
from tests.simulation.faults import disconnect, hang_up
from tests.simulation.world import World
from tests.support.filesystem import SECTOR_BYTES, Fault, SimulatedCrash, SimulatedFile, SimulatedFilesystem
from tests.support.replicas import Cluster


def written(*sizes: int, **limits: int) -> tuple[SimulatedFilesystem, SimulatedFile]:
    """Return a disk with one file, into which this much was written and not synced."""
    fs = SimulatedFilesystem(**limits)
    file = fs.create("/file")
    file.sync()
    fs.sync_directory("/")
    at = 0
    for size in sizes:
        file.pwrite(b"x" * size, at)
        at += size
    return fs, file


def test_a_crash_counts_the_writes_of_which_nothing_is_left_as_lost() -> None:
    """The file's new length is a piece of its own, and no part of a write."""
    fs, _ = written(100, 3 * SECTOR_BYTES)
    after = fs.crash(lambda piece: piece == 0)
    assert after.effects == {"write lost": 2, "name lost": 0, "crash with unsynced writes": 1}


def test_a_crash_counts_a_write_as_torn_where_some_of_its_sectors_survive() -> None:
    """Pieces: the length, then three sectors."""
    fs, _ = written(3 * SECTOR_BYTES)
    after = fs.crash(lambda piece: piece == 2)
    assert after.effects["write torn"] == 1
    assert not after.effects["write lost"]


@pytest.mark.parametrize("synced", [True, False])
def test_a_crash_that_takes_nothing_counts_nothing(synced: bool) -> None:
    """Neither where everything survives, nor where everything was synced."""
    fs, file = written(3 * SECTOR_BYTES)
    if synced:
        file.sync()
    after = fs.crash(lambda piece: not synced)
    assert not after.effects["write torn"] + after.effects["write lost"] + after.effects["name lost"]
    assert after.effects["crash with unsynced writes"] == (not synced)


def test_a_crash_counts_lost_names() -> None:
    """A file that was made and whose directory was not synced."""
    fs = SimulatedFilesystem()
    fs.create("/file").close()
    assert fs.crash().effects["name lost"] == 1


def test_a_failed_call_is_counted_when_it_fails() -> None:
    """Not when it was asked for: the node may never make the call. The counts go on over a kill."""
    fs, file = written(10)
    fs.faults += [Fault("sync"), Fault("pwrite", errno.EIO)]
    assert not fs.effects["sync EIO"]
    with pytest.raises(StorageError):
        file.sync()
    with pytest.raises(StorageError):
        file.pwrite(b"y", 0)
    assert fs.kill().effects == {"sync EIO": 1, "pwrite EIO": 1}


def test_a_write_without_room_is_counted() -> None:
    """And one that fits is not."""
    fs, file = written(10, capacity_bytes=15)
    assert not fs.effects
    with pytest.raises(NoSpaceError):
        file.pwrite(b"x" * 10, 10)
    assert fs.effects["write ENOSPC"] == 1


def test_power_fails_in_the_first_large_write() -> None:
    """What was written before is there, and the large write is one that a crash decides about."""
    fs, file = written(10)
    file.sync()
    fs.crash_at_bytes = SECTOR_BYTES + 1
    file.pwrite(b"y" * SECTOR_BYTES, 10)
    file.sync()
    with pytest.raises(SimulatedCrash):
        file.pwrite(b"z" * (SECTOR_BYTES + 1), 0)
    assert not fs.all_synced("/file")
    assert fs.crash().contents("/file") == b"x" * 10 + b"y" * SECTOR_BYTES


def test_processes_and_clocks_are_counted_when_a_node_feels_it() -> None:
    """A pause that nothing fell into, and a jump of a machine whose process is down, are none."""
    cluster = Cluster(3)
    leader = cluster.leader()
    idle, victim = cluster.followers(leader)
    before = dict(cluster.effects)
    cluster.nodes[idle].paused = True
    cluster.nodes[idle].paused = False
    cluster.nodes[victim].paused = True
    cluster.run_for(0.5)
    cluster.nodes[victim].paused = False
    cluster.nodes[victim].set_clock(rate=2.0, jump=1.0)
    cluster.run_for(0.1)
    cluster.kill(victim)
    cluster.nodes[victim].set_clock(jump=1.0)
    cluster.crash(victim)
    cluster.restart(victim)
    cluster.run_for(0.1)
    felt = {kind: count - before.get(kind, 0) for kind, count in cluster.effects.items()}
    assert felt.pop("turn by a skewed clock") > 1
    assert {kind: count for kind, count in felt.items() if count} == {
        "paused": 1,
        "clock jumped": 1,
        "killed": 1,
        "restarted": 1,
    }


def test_a_connection_that_is_not_there_does_not_break() -> None:
    """Neither one between nodes, nor one on which nobody asked anything: such faults do not count."""
    world = World(1)
    assert not disconnect(world)
    assert not hang_up(world)
    assert not world.operator.hang_up()
    world.cluster.leader()
    world.operator.snapshot()
    assert disconnect(world)
    assert hang_up(world)
    assert world.operator.hang_up()


def test_a_leader_whom_nobody_follows_is_no_leader() -> None:
    """In the end a quorum has to follow: one that leads on, because it knows no better, is not enough."""
    world = World(1)
    cluster = world.cluster
    leader = cluster.leader()
    cluster.run_until(world._is_led, 1.0, "followers")
    for node in cluster.followers(leader):
        cluster.kill(node)
    assert cluster.leading() == leader
    assert not world._is_led()
