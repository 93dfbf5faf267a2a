"""Bugs of the core: at least one for each of its rules, and the directed tests that must notice.

`python -m tests.support.planted_runner tests.core.planted_bugs` judges them.
"""

from tests.core.planted_bugs import (
    append,
    commit,
    elections,
    membership,
    progress,
    reads,
    ready,
    snapshots,
    transfer,
    votes,
)
from tests.core.planted_bugs.patches import BUGS

__all__ = [
    "BUGS",
    "append",
    "commit",
    "elections",
    "membership",
    "progress",
    "reads",
    "ready",
    "snapshots",
    "transfer",
    "votes",
]
