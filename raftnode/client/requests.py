"""Which nodes answer a request, and whether to repeat it if the answer is lost."""

import enum
from typing import Any

from raftnode.wire.client import (
    ChangeMembers,
    Consistency,
    EvaluateWrite,
    GetEvents,
    GetLog,
    OpenSession,
    Read,
    Request,
    TransferLeadership,
    TriggerSnapshot,
    Watch,
    Write,
)


class Repeat(enum.Enum):
    """What may be done when a request's answer is lost."""

    FREELY = enum.auto()
    """It changes nothing, or repeating it is harmless: send it again."""
    ONCE_APPLIED = enum.auto()
    """It carries a session: send it again, but without an answer in the end its outcome is unknown."""
    NEVER = enum.auto()
    """Its outcome is unknown at once; the caller finds out what became of it."""


def repeat_of(request: Request[Any]) -> Repeat:
    """Return what may be done when the answer to this request is lost."""
    match request:
        case Write(session=session):
            return Repeat.ONCE_APPLIED if session else Repeat.NEVER
        case ChangeMembers(dry_run=False) | TransferLeadership(dry_run=False):
            return Repeat.NEVER
        case _:
            return Repeat.FREELY


def is_for_leader(request: Request[Any]) -> bool:
    """Return whether only the leader answers this request; any node answers the others."""
    match request:
        case Read(consistency=consistency):
            return consistency is Consistency.LINEARIZABLE
        case OpenSession() | Write() | EvaluateWrite() | ChangeMembers() | TransferLeadership():
            return True
        case _:
            return False


def node_wait_s(request: Request[Any]) -> float | None:
    """Return how long the node itself may wait before it answers, in seconds; None where that is not known."""
    match request:
        case TriggerSnapshot():
            return None
        case (
            Watch(wait_ms=wait_ms)
            | GetLog(wait_ms=wait_ms)
            | GetEvents(wait_ms=wait_ms)
            | ChangeMembers(wait_ms=wait_ms)
        ):
            return wait_ms / 1000
        case _:
            return 0.0
