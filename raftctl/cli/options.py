"""Options that commands of several groups have."""

import sys
from typing import Final

from raftctl.cli.command import Opt
from raftnode.config.errors import UsageError

FOLLOW: Final = Opt("-f/--follow", "Keep showing new ones as they arrive.")


YES: Final = Opt("-y/--yes", "Do not ask.")


def require_yes(yes: bool, what: str, what_next: str) -> None:
    """Raise UsageError where a command would ask, and there is no terminal to ask at: `what` needs --yes there."""
    if not yes and not sys.stdin.isatty():
        raise UsageError(what, "standard input is not a terminal", what_next)


def confirm(question: str) -> None:
    """Ask the person at the terminal. Raises UsageError unless the answer is yes."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("not confirmed", "nothing was changed", "answer y, or give --yes")
