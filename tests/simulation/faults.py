"""What goes wrong. Each fault is a function of the world that says whether it found something to break."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from raftnode.core.errors import StorageError
from raftnode.core.types import NodeRole
from raftnode.storage.data_dir import DataDirError
from tests.support.filesystem import SECTOR_BYTES, Fault
from tests.support.replicas import DATA

if TYPE_CHECKING:
    from tests.simulation.world import World

WAL, SNAPSHOTS = f"{DATA}/wal/", f"{DATA}/snapshots/"


def power_loss(world: World) -> bool:
    """Machines lose power, sometimes all at once, and with it any part of what was not synced.

    Mostly in the middle of what they write next: between two turns there is nothing that is not synced.
    """
    running = world.running()
    for node in world.rng.sample(running, min(len(running), world.rng.choice([1, 1, 1, 2, 9]))):
        disk, kind = world.cluster.nodes[node].fs, world.rng.random()
        if kind < 0.2:
            world.cluster.crash(node)
        elif kind < 0.6:
            disk.crash_at = disk.changes + world.rng.choice([1, 1, 2, 2, 3, 4, 6, 9])
        else:
            disk.crash_at_bytes = SECTOR_BYTES + 1
    return bool(running)


def kill(world: World) -> bool:
    """A process dies; its machine keeps everything."""
    running = world.running()
    if running:
        world.cluster.kill(world.rng.choice(running))
    return bool(running)


def kill_leader(world: World) -> bool:
    """The leader's process dies."""
    leader = world.cluster.leading()
    if leader is not None:
        world.cluster.kill(leader)
    return leader is not None


def restart(world: World) -> bool:
    """A dead node's process starts again; now and then its machine loses power in the middle of that."""
    dead = world.dead()
    if dead:
        world.start(world.rng.choice(dead), power=world.rng.random() > 0.1)
    return bool(dead)


def isolate(world: World) -> bool:
    """A node is cut off from all others, both ways."""
    node = world.some_node()
    world.cluster.network.cut(node, *[other for other in world.cluster.nodes if other != node])
    return True


def partition(world: World) -> bool:
    """The nodes fall into two or three groups."""
    group = {node: world.rng.randrange(world.rng.choice([2, 2, 3])) for node in sorted(world.cluster.nodes)}
    for one in group:
        world.cluster.network.cut(one, *[other for other in group if group[other] != group[one]])
    return True


def partial_partition(world: World) -> bool:
    """Each pair of nodes may lose its link: rings, bridges and stars come out."""
    nodes = sorted(world.cluster.nodes)
    for one in nodes:
        world.cluster.network.cut(one, *[other for other in nodes if other > one and world.rng.random() < 0.4])
    return True


def one_way(world: World) -> bool:
    """Nothing passes from one node to another, or to all others; the other direction works."""
    source = world.some_node()
    everyone = [node for node in world.cluster.nodes if node != source]
    for target in everyone if world.rng.random() < 0.4 else [world.some_node()]:
        world.cluster.network.cut_one_way(source, target)
    return True


def lossy(world: World) -> bool:
    """Frames are lost."""
    world.cluster.network.loss = world.rng.choice([0.02, 0.1, 0.3])
    return True


def duplicating(world: World) -> bool:
    """Frames arrive twice."""
    world.cluster.network.duplication = world.rng.choice([0.05, 0.1, 0.3])
    return True


def slow_network(world: World) -> bool:
    """Frames take long, and overtake each other."""
    world.cluster.network.delay = world.rng.choice([(0.0005, 0.02), (0.001, 0.1), (0.0001, 0.3), (0.05, 0.05)])
    return True


def disconnect(world: World) -> bool:
    """A connection between two nodes breaks."""
    links = [(node.id, peer) for node in world.cluster.nodes.values() for peer, up in node.links.items() if up]
    if links:
        world.cluster.disconnect(*world.rng.choice(links))
    return bool(links)


def heal(world: World) -> bool:
    """The network is well again, and who was stopped goes on."""
    world.cluster.network.heal()
    for node in world.cluster.nodes:
        world.resume(node)
    return True


def pause(world: World) -> bool:
    """A process is stopped for a while, as by SIGSTOP."""
    node = world.some_node()
    world.cluster.nodes[node].paused = True
    world.cluster.clock.after(world.rng.choice([0.05, 0.3, 1.0]), world.resume, node)
    return True


def clock_jump(world: World) -> bool:
    """A machine's clocks jump: the monotonic one forward alone, the time of day in any direction."""
    world.cluster.nodes[world.some_node()].set_clock(
        jump=world.rng.choice([0.1, 0.5, 10.0]), wall_offset=world.rng.choice([-1e6, -5.0, 0.0, 5.0, 1e6])
    )
    return True


def clock_skew(world: World) -> bool:
    """A machine's clock goes too fast or too slow."""
    world.cluster.nodes[world.some_node()].set_clock(rate=world.rng.choice([0.5, 0.9, 1.1, 2.0]))
    return True


def slow_disk(world: World) -> bool:
    """Each fsync takes long for a while."""
    node = world.some_node()
    world.cluster.nodes[node].sync_seconds = world.rng.choice([0.005, 0.02, 0.2])
    world.cluster.clock.after(world.rng.choice([0.2, 1.0]), world.speed_up, node)
    return True


def failing_disk(world: World) -> bool:
    """One of the next writes or fsyncs fails."""
    running = world.running()
    if running:
        call = world.rng.choice(["sync", "pwrite"])
        world.cluster.nodes[world.rng.choice(running)].fs.faults.append(
            Fault(call, errno.EIO, path=f"{DATA}/*", skip=world.rng.randrange(2))
        )
    return bool(running)


def full_disk(world: World) -> bool:
    """A disk has little room left, or none, for a while."""
    node = world.some_node()
    disk = world.cluster.nodes[node].fs
    used = sum(len(disk.contents(path)) for path in disk.files())
    disk.capacity_bytes = used + world.rng.choice([0, 100, 3000])
    world.cluster.clock.after(world.rng.choice([0.2, 0.5, 1.5]), world.make_room, node)
    return True


def bit_rot(world: World) -> bool:
    """A bit flips in a file of a node that does not run: the node refuses to start.

    For good where the others can do without it: then it is replaced. Elsewhere, and seldom, for one reading alone.
    """
    lasting = _expendable(world)
    if not lasting and world.rng.random() > 0.03:
        return False
    victim = world.rng.choice(lasting or [node for node in sorted(world.cluster.nodes) if node not in world.rotten])
    if world.cluster.nodes[victim].replica is not None:
        world.cluster.kill(victim)
    world.power_off(victim)
    disk = world.cluster.nodes[victim].fs
    data = [path for path in disk.files() if path.startswith((WAL, SNAPSHOTS)) and path.endswith((".wal", ".snap"))]
    path = world.rng.choice(data)
    bit = world.rng.randrange(len(disk.contents(path)) * 8)
    disk.flip_bit(path, bit)
    world.flipped.add(victim)
    try:
        world.boot(victim)
    except (StorageError, DataDirError):
        world.happened["bit rot refused"] += 1
        if lasting:
            world.happened["bit rot for good"] += 1
            world.rotten.add(victim)
        else:
            world.cluster.kill(victim)
            world.cluster.nodes[victim].fs.flip_bit(path, bit)
    else:
        # It was in what no start reads: the rest of a file that was made in advance, an older snapshot.
        world.happened["bit rot without effect"] += 1
    return True


def _expendable(world: World) -> list[int]:
    """Return the nodes without whose entries the others can go on, whatever change is under way.

    One damaged member at a time, and a voter only where all the others are there and agree about the members.
    """
    cluster = world.cluster
    leader = cluster.leading()
    if leader is None or world.rotten_members() or not world.operator.idle:
        return []
    core = cluster.replica(leader).node
    configuration, members = core.configuration, core.configuration.members()
    if len(configuration.voters) < 3 or configuration.joint or not core.status().configuration_committed:
        return []
    nodes = cluster.nodes.values()
    agreed = not any(node.paused for node in nodes) and all(
        member in cluster.nodes
        and (replica := cluster.nodes[member].replica) is not None
        and replica.node.configuration == configuration
        for member in members
    )
    intact = [node.id for node in nodes if node.id != leader and node.id not in world.rotten]
    return [node for node in intact if agreed or node not in configuration.voters]


def hang_up(world: World) -> bool:
    """A client closes its connection in the middle of a request."""
    waiting = [client for client in world.clients if client.client.waiting]
    if waiting:
        world.rng.choice(waiting).hang_up()
    return bool(waiting)


def leader_cut_off(world: World) -> bool:
    """The leader is alone, and does not know yet."""
    leaders = [node for node in world.running() if world.cluster.replica(node).node.role is NodeRole.LEADER]
    for leader in leaders:
        world.cluster.network.cut(leader, *[other for other in world.cluster.nodes if other != leader])
    return bool(leaders)


FAULTS: dict[str, tuple[int, Callable[[World], bool]]] = {
    "power loss": (15, power_loss),
    "kill": (5, kill),
    "kill the leader": (14, kill_leader),
    "restart": (60, restart),
    "isolate": (6, isolate),
    "leader cut off": (12, leader_cut_off),
    "partition": (6, partition),
    "partial partition": (6, partial_partition),
    "one way": (6, one_way),
    "lossy": (6, lossy),
    "duplicating": (6, duplicating),
    "slow network": (6, slow_network),
    "disconnect": (6, disconnect),
    "heal": (75, heal),
    "pause": (8, pause),
    "clock jump": (6, clock_jump),
    "clock skew": (6, clock_skew),
    "slow disk": (6, slow_disk),
    "failing disk": (17, failing_disk),
    "full disk": (7, full_disk),
    "bit rot": (130, bit_rot),
    "hang up": (6, hang_up),
    "add": (24, lambda world: world.operator.add()),
    "add observer": (16, lambda world: world.operator.add_observer()),
    "promote": (50, lambda world: world.operator.promote()),
    "demote": (120, lambda world: world.operator.demote()),
    "remove": (18, lambda world: world.operator.remove()),
    "replace": (60, lambda world: world.operator.replace()),
    "transfer": (20, lambda world: world.operator.transfer()),
    "snapshot": (8, lambda world: world.operator.snapshot()),
    "operator hangs up": (90, lambda world: world.operator.hang_up()),
}
"""Each kind with its weight."""
