"""Counting votes and acknowledgements: pure functions over voter sets. In joint consensus both halves count (§6)."""

import enum
from collections.abc import Callable, Collection, Mapping

from raftnode.core.membership import Configuration
from raftnode.core.types import NodeId


class VoteResult(enum.Enum):
    """The outcome of a ballot so far."""

    WON = "won"
    LOST = "lost"
    PENDING = "pending"


def quorum_value(of: Callable[[NodeId], float], configuration: Configuration) -> float:
    """Return the greatest value that a majority of every half has reached, where voter v has reached `of(v)`.

    Serves indexes, broadcast rounds and times of last contact alike. `configuration` must have a voter.
    """
    value = _majority_value(of, configuration.voters)
    if configuration.voters_outgoing:
        value = min(value, _majority_value(of, configuration.voters_outgoing))
    return value


def vote_result(votes: Mapping[NodeId, bool], voters: Collection[NodeId]) -> VoteResult:
    """Return the ballot's outcome among `voters`; votes of others do not count. No voters: WON (nobody objects)."""
    if not voters:
        return VoteResult.WON
    quorum = len(voters) // 2 + 1
    granted = sum(1 for voter in voters if votes.get(voter) is True)
    if granted >= quorum:
        return VoteResult.WON
    missing = sum(1 for voter in voters if voter not in votes)
    return VoteResult.PENDING if granted + missing >= quorum else VoteResult.LOST


def joint_vote_result(votes: Mapping[NodeId, bool], configuration: Configuration) -> VoteResult:
    """Return the ballot's outcome: won if both halves are won, lost if one is lost (§6)."""
    halves = {
        vote_result(votes, configuration.voters),
        vote_result(votes, configuration.voters_outgoing),
    }
    if VoteResult.LOST in halves:
        return VoteResult.LOST
    return VoteResult.PENDING if VoteResult.PENDING in halves else VoteResult.WON


def _majority_value(of: Callable[[NodeId], float], voters: Collection[NodeId]) -> float:
    values = sorted([of(voter) for voter in voters])
    return values[(len(values) - 1) // 2]
