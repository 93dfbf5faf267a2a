"""The errors of requests to a cluster. The class tells the caller what to do next.

ClientError
  NotDone             nothing happened: safe to repeat
    NoNodeAnswers     no node, or not the one that was asked, answers
    NoLeader          nodes answer, but none took the request as leader in time
  OutcomeUnknown      it may have happened, or may still happen
    SessionLost       the cluster no longer knows the session of the write
  Refused             nothing happened, and repeating it does not help
    Conflict          a condition of the write does not hold
    NotAllowed        this client may not do that
    WrongCluster      the endpoints are not all of one cluster, or not of the one that was named
  ConnectionFailed    one connection failed; a client handles it, or wraps it in one of the above
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from raftnode.wire.client import UNKNOWN, ErrorCode, Failed, NodeStatus

if TYPE_CHECKING:
    from raftnode.wire.kv import KeyValue


class ClientError(Exception):
    """A request to a cluster failed."""


class ConnectionFailed(ClientError):
    """A connection to one node failed.

    `refused`: nobody listens there. `sent`: a request may have arrived. `foreign`: another cluster answers there.
    """

    def __init__(
        self, address: str, reason: str, *, refused: bool = False, sent: bool = False, foreign: bool = False
    ) -> None:
        self.address = address
        self.reason = reason
        self.refused = refused
        self.sent = sent
        self.foreign = foreign
        super().__init__(f"{address}: {reason}")


class NotDone(ClientError):
    """Nothing happened: it is safe to repeat the request."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class NoNodeAnswers(NotDone):
    """No node answered. `failures` has the reason for each address that was tried."""

    def __init__(self, failures: Mapping[str, ConnectionFailed]) -> None:
        self.failures = dict(failures)
        super().__init__("; ".join(map(str, self.failures.values())) or "no address was given")


class NoLeader(NotDone):
    """Nodes answered, but none took the request as leader within `seconds`.

    `said` is what a node answered last ("": nothing). `statuses` and `failures` show how the nodes are now.
    """

    def __init__(
        self, seconds: float, said: str, statuses: Sequence[NodeStatus], failures: Mapping[str, ConnectionFailed]
    ) -> None:
        self.seconds = seconds
        self.said = said
        self.statuses = list(statuses)
        self.failures = dict(failures)
        super().__init__(f"no leader took the request within {seconds:g} s" + (f": {said}" if said else ""))


class OutcomeUnknown(ClientError):
    """It may have happened, or may still happen. `code` is the node's, if a node said so."""

    def __init__(self, reason: str, code: ErrorCode | None = None) -> None:
        self.reason = reason
        self.code = code
        super().__init__(reason)


class SessionLost(OutcomeUnknown):
    """The cluster forgot the session before it answered any try of the write."""


class Refused(ClientError):
    """The cluster refuses the request: nothing happened, and repeating it does not help.

    `code` says why. `detail` is the first available index if entries were compacted.
    """

    def __init__(self, reason: str, code: ErrorCode, detail: int = 0) -> None:
        self.reason = reason
        self.code = code
        self.detail = detail
        super().__init__(reason)


class Conflict(Refused):
    """A condition of the write does not hold. `current` is the key's state (None: the key does not exist)."""

    def __init__(self, reason: str, current: KeyValue | None) -> None:
        self.current = current
        super().__init__(reason, ErrorCode.REFUSED)


class NotAllowed(Refused):
    """This client may not do what it asked for."""


class WrongCluster(Refused):
    """The endpoints are not all of one cluster, or not of cluster `expected`.

    `found` has the endpoints of each cluster that answered, by the cluster's name and id. `reason` is what the
    foreign nodes said.
    """

    def __init__(self, expected: str, found: Mapping[tuple[str, str], Sequence[str]], reason: str) -> None:
        self.expected = expected
        self.found = {cluster: list(endpoints) for cluster, endpoints in found.items()}
        super().__init__(reason, ErrorCode.REFUSED)


def failed_error(failed: Failed, doubtful: str = "") -> ClientError:
    """Return the error that a node's `Failed` means.

    `doubtful` is why an earlier try of the same request may have taken effect ("": none can have).
    """
    code = failed.code
    if code is ErrorCode.SESSION_EXPIRED:
        if doubtful:
            return OutcomeUnknown(f"{failed.message}; before that: {doubtful}")
        return SessionLost(failed.message, code)
    if code is ErrorCode.INTERNAL:
        return OutcomeUnknown(failed.message, code)
    if code.is_temporary:
        return OutcomeUnknown(failed.message, code) if failed.outcome == UNKNOWN else NotDone(failed.message)
    return Refused(failed.message, code, failed.detail)
