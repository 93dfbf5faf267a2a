"""Turns the client library's errors into those that a user sees."""

from typing import Final

from raftnode.client import errors as client
from raftnode.config.errors import (
    CommandError,
    ConflictError,
    InternalError,
    NoLeaderError,
    NotFound,
    RefusedError,
    UnknownOutcomeError,
    Unreachable,
    UsageError,
)
from raftnode.wire.client import ErrorCode

LOOK: Final = "check whether it took effect before trying again"
WHO_IS_UP: Final = "see who is up: raftctl status; wait for a leader: raftctl wait --leader"
WHICH: Final = "see which nodes do: raftctl status"
VERSIONS: Final = "check that all nodes and this program are of the same version: raftctl status -o wide"


def explain(error: client.ClientError, address: str = "") -> CommandError:
    """Return what an error of the client means to the user; `address` is the one node that was asked."""
    match error:
        case client.NoNodeAnswers(failures=failures) if address in failures:
            return Unreachable(f"{address} does not answer", failures[address].reason, WHICH)
        case client.NoNodeAnswers():
            return Unreachable(
                "no node answers",
                error.reason,
                "check that the nodes run and that the addresses are right: raftctl config explain",
            )
        case client.NoLeader():
            return _no_leader(error)
        case client.NotDone(reason=reason):
            return NoLeaderError(reason, "it was not done", WHO_IS_UP)
        case client.OutcomeUnknown(code=ErrorCode.INTERNAL, reason=reason):
            return InternalError(
                f"the node failed: {reason}",
                "what it did is unknown",
                "see its log, and how it is: raftctl status",
            )
        case client.SessionLost(reason=reason):
            return UnknownOutcomeError(reason, "whether an earlier try was applied cannot be known", LOOK)
        case client.OutcomeUnknown(reason=reason):
            return UnknownOutcomeError(
                "the outcome is unknown: the change may have been made, or may still be", reason, LOOK
            )
        case client.WrongCluster():
            return _wrong_cluster(error)
        case client.Conflict(reason=reason):
            return ConflictError(reason, "the condition does not hold", "read it again: raftctl kv get KEY")
        case client.Refused():
            return _refused(error)
        case client.ConnectionFailed(address=address, reason=reason):
            return Unreachable(f"{address} does not answer", reason, WHICH)
        case _:
            return InternalError(str(error), "this program has a bug", "RAFTCTL_DEBUG=1 shows where it comes from")


def _no_leader(error: client.NoLeader) -> NoLeaderError:
    """Return the error that says why no node leads: what a node said, and which are down."""
    from raftctl.view.cluster_view import view_of
    from raftnode.client.fanout import Answers

    view = view_of(error.statuses, Answers(error.failures.values()))
    said = [error.said] if error.said else []
    late = [] if view.leader is None else [f"{view.leader.node_name} leads now, but time ran out"]
    return NoLeaderError(
        f"no leader took the request within {error.seconds:g} s",
        "; ".join([*said, *(late or view.reasons)]),
        "see who is up: raftctl status; wait for one: raftctl wait --leader",
    )


def _wrong_cluster(error: client.WrongCluster) -> UsageError:
    told = "; ".join(f"{name} ({id_}) at {', '.join(addresses)}" for (name, id_), addresses in error.found.items())
    return UsageError(
        "the endpoints belong to different clusters"
        if len(error.found) > 1
        else f"the endpoints do not belong to cluster {error.expected}",
        told or error.reason,
        "name the endpoints of one cluster: raftctl config explain shows where they come from",
    )


def _refused(error: client.Refused) -> CommandError:
    message = error.reason
    match error.code:
        case ErrorCode.NOT_FOUND:
            return NotFound(
                message,
                "the node that was asked has no such thing",
                "see what there is: raftctl member list; raftctl snapshot list",
            )
        case ErrorCode.COMPACTED:
            return NotFound(
                message,
                f"the first entry that is still there is {error.detail}",
                f"read from there: raftctl log tail --from {error.detail}",
                code="E_COMPACTED",
            )
        case ErrorCode.BAD_REQUEST:
            next_step = f"fix what it names; if that is right, {VERSIONS}"
            return UsageError(message, "a node refused the request", next_step)
        case ErrorCode.TOO_LARGE:
            return UsageError(
                message, "a node refused the request for its size", "send less at once", code="E_TOO_LARGE"
            )
        case ErrorCode.NO_SPACE:
            return RefusedError(
                message, "the node's disk is full; reads still work", "free some space on it", code="E_NO_SPACE"
            )
        case _:
            what, _, why = message.partition(": ")
            if "quorum" in what:
                return RefusedError(
                    what, why, "see who is up: raftctl status; bring a voter back first", code="E_QUORUM"
                )
            return RefusedError(what, why, "look at the cluster: raftctl status")
