"""From what a node or a connection says to the error that a user is told."""

from typing import Final

from raftctl.exchange import Asked
from raftnode.config.errors import (
    CliError,
    InternalError,
    NoLeader,
    NotFound,
    OutcomeUnknown,
    Refused,
    Unreachable,
    UsageError,
)
from raftnode.wire.client import UNKNOWN, ErrorCode, Failed

LOOK: Final = "look whether it is there before trying again"
WHO_IS_UP: Final = "see who is up: raftctl status; wait for a leader: raftctl wait --leader"
VERSIONS: Final = "check that all nodes and this program are of the same version: raftctl status -o wide"


class SessionLost(OutcomeUnknown):
    """The cluster forgot the session before it answered any try of the write."""


def unreachable(asked: Asked) -> Unreachable:
    """Return the error for "nobody answered"."""
    why = "; ".join(f"{f.address}: {f.reason}" for f in asked.failures.values())
    return Unreachable(
        "no node answers",
        why or "no address was given",
        "check that the nodes run and that the addresses are right: raftctl config explain",
    )


def unknown(why: str) -> OutcomeUnknown:
    """Return the error for "it may have happened"."""
    return OutcomeUnknown(
        "the outcome is unknown: the change may have been made, or may still be",
        why,
        LOOK,
    )


def failure_error(failed: Failed, doubtful: str = "") -> CliError:
    """Return what a node's refusal means to the user."""
    message = failed.message
    match failed.code:
        case ErrorCode.REFUSED:
            what, _, why = message.partition(": ")
            if "quorum" in what:
                return Refused(what, why, "see who is up: raftctl status; bring a voter back first", code="E_QUORUM")
            return Refused(what, why, "look at the cluster: raftctl status")
        case ErrorCode.NOT_FOUND:
            return NotFound(
                message,
                "the node that was asked has no such thing",
                "see who and what is there: raftctl member list; raftctl snapshot list",
            )
        case ErrorCode.COMPACTED:
            return NotFound(
                message,
                f"the first entry that is still there is {failed.detail}",
                f"read from there: raftctl log tail --from {failed.detail}",
                code="E_COMPACTED",
            )
        case ErrorCode.BAD_REQUEST:
            next_step = f"mend what it names; if that is right, {VERSIONS}"
            return UsageError(message, "a node refused the request", next_step)
        case ErrorCode.TOO_LARGE:
            return UsageError(
                message, "a node refused the request for its size", "send less at once", code="E_TOO_LARGE"
            )
        case ErrorCode.NO_SPACE:
            return Refused(
                message,
                "the node's disk is full; reads still work",
                "free some space on it",
                code="E_NO_SPACE",
            )
        case ErrorCode.SESSION_EXPIRED:
            if doubtful:
                return unknown(f"{message}; before that: {doubtful}")
            return SessionLost(message, "whether an earlier try was applied cannot be known", LOOK)
        case ErrorCode.INTERNAL:
            return InternalError(
                f"the node failed: {message}",
                "nothing is known of what it did",
                "its log says more; see how it is: raftctl status",
            )
        case (
            ErrorCode.NOT_LEADER
            | ErrorCode.NO_LEADER
            | ErrorCode.BUSY
            | ErrorCode.OVERWRITTEN
            | ErrorCode.TIMED_OUT
            | ErrorCode.SHUTTING_DOWN
        ):
            return unknown(message) if failed.outcome == UNKNOWN else NoLeader(message, "it was not done", WHO_IS_UP)
