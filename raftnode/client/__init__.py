"""The client library: everything that speaks to a cluster goes through it.

    from raftnode.client import Client

`Client` blocks, `AsyncClient` is for asyncio; asyncio is loaded only for the second. From the bottom up:

    errors        what can go wrong, by what the caller may do next
    guard         never two clusters
    protocol      one connection without I/O: bytes in, answers out
    transport     deadlines and addresses
    connection    one node, over a socket
    fanout        many nodes at once
    requests      which node answers a request, and when it may be repeated
    session       a session's writes
    cluster       the leader and retries, over any network
    blocking      the blocking network
    operations    put, get, watch and the others
    client        Client
    async_client  AsyncClient and its network
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raftnode.client.async_client import AsyncClient as AsyncClient
    from raftnode.client.client import Client as Client
    from raftnode.client.errors import ClientError as ClientError
    from raftnode.client.errors import Conflict as Conflict
    from raftnode.client.errors import NotAllowed as NotAllowed
    from raftnode.client.errors import NotDone as NotDone
    from raftnode.client.errors import OutcomeUnknown as OutcomeUnknown
    from raftnode.client.errors import Refused as Refused
    from raftnode.client.operations import Gap as Gap
    from raftnode.wire.client import MemberStatus as MemberStatus
    from raftnode.wire.client import NodeStatus as NodeStatus
    from raftnode.wire.client import Request as Request
    from raftnode.wire.kv import Change as Change
    from raftnode.wire.kv import KeyValue as KeyValue
    from raftnode.wire.kv import PutResult as Written

_HOMES = {
    "raftnode.client.async_client": ("AsyncClient",),
    "raftnode.client.client": ("Client",),
    "raftnode.client.errors": ("ClientError", "Conflict", "NotAllowed", "NotDone", "OutcomeUnknown", "Refused"),
    "raftnode.client.operations": ("Gap",),
    "raftnode.wire.client": ("MemberStatus", "NodeStatus", "Request"),
    "raftnode.wire.kv": ("Change", "KeyValue"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["Written", *sorted(_HOME_OF)]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    home, attribute = ("raftnode.wire.kv", "PutResult") if name == "Written" else (_HOME_OF.get(name), name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
