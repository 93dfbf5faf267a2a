"""`raftnode run`: opens a data directory and runs the node that lives in it."""

import asyncio
import errno
import gc
import random
import resource
import time
from pathlib import Path

from raftnode.config import data_files
from raftnode.config.errors import EXIT_INTERNAL, CommandError, ConflictError, InternalError, NotFound
from raftnode.config.settings import NodeSettings
from raftnode.core.errors import StorageError
from raftnode.daemon.log import LogWriter
from raftnode.daemon.loop import CONNECTIONS_RESERVED, Runtime, new_event_loop
from raftnode.machine.kv.machine import KvMachine
from raftnode.machine.sessions.machine import SessionMachine
from raftnode.replica.events import EventLog
from raftnode.replica.replica import Replica
from raftnode.storage.data_dir import DataDir, DataDirError
from raftnode.storage.format import data_dir_problem
from raftnode.storage.snapshots import SnapshotStore
from raftnode.storage.wal import Wal
from raftnode.wire.hello import PROTOCOL_VERSION, Hello


def run_node(data_path: Path, config: Path | None = None) -> int:
    """Run the node of the data directory until a signal ends it; return the process's exit code.

    Raises SettingsError, or CommandError, where it cannot start.
    """
    settings = NodeSettings.load(config or data_path / data_files.SETTINGS)
    data_dir = open_data_dir(data_path)
    try:
        log = LogWriter(
            data_dir.identity.node_name, level=settings.log_level, format=settings.log_format, wall_clock=time.time
        )
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(_serve(data_dir, settings, log))
    finally:
        data_dir.close()


def open_data_dir(path: Path) -> DataDir:
    """Open and lock the data directory. Raises CommandError."""
    if not path.exists():
        raise NotFound(
            f"there is no data directory {path}",
            "a node runs from a directory that was formatted for it",
            f"format it: raftnode format --cluster-file cluster.toml --name NAME --data-dir {path}",
            code="E_NO_DATA_DIR",
        )
    try:
        return DataDir.open(path)
    except DataDirError as error:
        raise data_dir_problem(error) from error
    except (StorageError, OSError) as error:
        raise ConflictError(
            f"cannot use the data directory {path}", str(error), "check its permissions and the disk", code="E_DATA_DIR"
        ) from error


async def _serve(data_dir: DataDir, settings: NodeSettings, log: LogWriter) -> int:
    identity = data_dir.identity
    listen = settings.listen or identity.address

    def hello(peer: int) -> Hello:
        return Hello(PROTOCOL_VERSION, identity.cluster_id, identity.node_id, identity.instance_id, peer)

    rng = random.Random()
    raise_file_limit(settings.connections_max + CONNECTIONS_RESERVED + 256)
    runtime = Runtime(node_id=identity.node_id, hello=hello, listen=listen, settings=settings, log=log, rng=rng)
    wal, snapshots, boot = open_storage(data_dir, settings)
    log.line(
        "info",
        "node.starting",
        cluster=identity.cluster_name,
        cluster_id=identity.cluster_id,
        node_id=identity.node_id,
        version=settings.replica.version,
        data_dir=data_dir.path,
        boot=boot,
    )
    events = EventLog(identity.node_name, identity.node_id, boot, time.time, sink=log.record)
    if wal.recovery.cut is not None:
        cut = wal.recovery.cut
        log.line("warn", "log.torn_tail_cut", file=cut.file, offset=cut.offset, bytes=cut.size_bytes)
    try:
        await runtime.listen()
    except OSError as error:
        wal.close()
        raise listen_problem(listen, error) from error
    replica = Replica(
        identity=identity,
        settings=settings.replica,
        storage=wal,
        snapshot_store=snapshots,
        machine=SessionMachine(KvMachine()),
        transport=runtime,
        events=events,
        known_instances=data_dir.known_instances(),
        remember_instance=data_dir.remember_instance,
        clock=time.monotonic,
        wall_clock=time.time,
        rng=rng,
    )
    runtime.handle_signals()
    tune_collector()
    try:
        await runtime.run(replica)
    except Exception:
        # The runtime has written the line that says why. Nothing staged may reach the disk now: do not close.
        return EXIT_INTERNAL
    wal.close()
    log.line("info", "node.stopped")
    return 0


def open_storage(data_dir: DataDir, settings: NodeSettings) -> tuple[Wal, SnapshotStore, int]:
    """Open the log and the snapshots, and count this start. Raises CommandError."""
    try:
        wal = Wal.open(data_dir.wal_path, segment_bytes=settings.segment_bytes)
        snapshots = SnapshotStore(
            data_dir.snapshots_path, keep=settings.snapshot_keep, cluster_id=data_dir.identity.cluster_id
        )
        return wal, snapshots, data_dir.next_boot()
    except StorageError as error:
        raise InternalError(
            f"cannot open the log and the snapshots in {data_dir.path}",
            str(error),
            f"the node did not start; look closer: raftctl log verify --data-dir {data_dir.path}",
            code="E_STORAGE",
        ) from error


def listen_problem(listen: str, error: OSError) -> CommandError:
    """Return the error for an address that the node cannot listen at."""
    if error.errno == errno.EADDRINUSE:
        return ConflictError(
            f"cannot listen at {listen}",
            "another process listens there already",
            f"stop it, or set node.listen in {data_files.SETTINGS}; find it with: ss -ltnp",
            code="E_ADDRESS_IN_USE",
        )
    return ConflictError(
        f"cannot listen at {listen}",
        error.strerror or str(error),
        "the address must be one of this machine; if members reach it through another, set node.listen in "
        f"{data_files.SETTINGS}",
        code="E_LISTEN",
    )


def raise_file_limit(needed: int) -> None:
    """Allow this process `needed` open files, or as many as the system lets it have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def tune_collector() -> None:
    """Keep the garbage collector from scanning objects that live as long as the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
