"""A Raft consensus toolkit: the deterministic core `RaftNode`, and the parts of the `raftnode` daemon around it.

To embed Raft, begin with `RaftNode`, `RaftConfig` and `Ready`. `Wal` and `SnapshotStore` keep a node's log and
snapshots on a disk; any other `LogStorage` will do. `encode_message()` and `decode_message()` are for messages on their
way. `raftnode.testing` has simulated clocks, disks, networks and clusters.

The public names are loaded on first use (PEP 562), so that `import raftnode.wire` does not load the server.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raftnode.core.config import RaftConfig as RaftConfig
    from raftnode.core.errors import GroupNotFound as GroupNotFound
    from raftnode.core.errors import InvalidRequest as InvalidRequest
    from raftnode.core.errors import InvalidState as InvalidState
    from raftnode.core.errors import InvariantError as InvariantError
    from raftnode.core.errors import LogCompacted as LogCompacted
    from raftnode.core.errors import NotLeader as NotLeader
    from raftnode.core.errors import ProposalRejected as ProposalRejected
    from raftnode.core.errors import RaftError as RaftError
    from raftnode.core.errors import SerializationError as SerializationError
    from raftnode.core.errors import ShutdownError as ShutdownError
    from raftnode.core.errors import StorageError as StorageError
    from raftnode.core.errors import TransportError as TransportError
    from raftnode.core.membership import ChangeKind as ChangeKind
    from raftnode.core.membership import ConfChange as ConfChange
    from raftnode.core.membership import Configuration as Configuration
    from raftnode.core.membership import SnapshotMeta as SnapshotMeta
    from raftnode.core.membership import make_configuration as make_configuration
    from raftnode.core.messages import AppendEntriesRequest as AppendEntriesRequest
    from raftnode.core.messages import AppendEntriesResponse as AppendEntriesResponse
    from raftnode.core.messages import InstallSnapshotRequest as InstallSnapshotRequest
    from raftnode.core.messages import InstallSnapshotResponse as InstallSnapshotResponse
    from raftnode.core.messages import Message as Message
    from raftnode.core.messages import PreVoteRequest as PreVoteRequest
    from raftnode.core.messages import PreVoteResponse as PreVoteResponse
    from raftnode.core.messages import Request as Request
    from raftnode.core.messages import RequestVoteRequest as RequestVoteRequest
    from raftnode.core.messages import RequestVoteResponse as RequestVoteResponse
    from raftnode.core.messages import Response as Response
    from raftnode.core.messages import TimeoutNowRequest as TimeoutNowRequest
    from raftnode.core.node import RaftNode as RaftNode
    from raftnode.core.ready import Outgoing as Outgoing
    from raftnode.core.ready import PromotionOutcome as PromotionOutcome
    from raftnode.core.ready import Ready as Ready
    from raftnode.core.ready import TransferOutcome as TransferOutcome
    from raftnode.core.status import PeerStatus as PeerStatus
    from raftnode.core.status import RaftStatus as RaftStatus
    from raftnode.core.storage import ConfigurationStorage as ConfigurationStorage
    from raftnode.core.storage import LogStorage as LogStorage
    from raftnode.core.storage import MemStorage as MemStorage
    from raftnode.core.types import EntryKind as EntryKind
    from raftnode.core.types import HardState as HardState
    from raftnode.core.types import LogEntry as LogEntry
    from raftnode.core.types import NodeRole as NodeRole
    from raftnode.storage.snapshot_file import StoredSnapshot as StoredSnapshot
    from raftnode.storage.snapshots import SnapshotStore as SnapshotStore
    from raftnode.storage.wal import Wal as Wal
    from raftnode.wire.peer import decode_message as decode_message
    from raftnode.wire.peer import encode_message as encode_message

__version__ = "0.1.0"

_HOMES = {
    "raftnode.core.config": ("RaftConfig",),
    "raftnode.core.errors": (
        "GroupNotFound",
        "InvalidRequest",
        "InvalidState",
        "InvariantError",
        "LogCompacted",
        "NotLeader",
        "ProposalRejected",
        "RaftError",
        "SerializationError",
        "ShutdownError",
        "StorageError",
        "TransportError",
    ),
    "raftnode.core.membership": ("ChangeKind", "ConfChange", "Configuration", "SnapshotMeta", "make_configuration"),
    "raftnode.core.messages": (
        "AppendEntriesRequest",
        "AppendEntriesResponse",
        "InstallSnapshotRequest",
        "InstallSnapshotResponse",
        "Message",
        "PreVoteRequest",
        "PreVoteResponse",
        "Request",
        "RequestVoteRequest",
        "RequestVoteResponse",
        "Response",
        "TimeoutNowRequest",
    ),
    "raftnode.core.node": ("RaftNode",),
    "raftnode.core.ready": ("Outgoing", "PromotionOutcome", "Ready", "TransferOutcome"),
    "raftnode.core.status": ("PeerStatus", "RaftStatus"),
    "raftnode.core.storage": ("ConfigurationStorage", "LogStorage", "MemStorage"),
    "raftnode.core.types": ("EntryKind", "HardState", "LogEntry", "NodeRole"),
    "raftnode.storage.snapshot_file": ("StoredSnapshot",),
    "raftnode.storage.snapshots": ("SnapshotStore",),
    "raftnode.storage.wal": ("Wal",),
    "raftnode.wire.peer": ("decode_message", "encode_message"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME_OF)]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
