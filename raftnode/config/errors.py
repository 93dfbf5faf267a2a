"""The errors that commands end with. This is the only place that assigns exit codes.

An error is three lines: what happened, why (with the numbers), and what to do next.
"""

from typing import Final

EXIT_OK: Final = 0
EXIT_INTERNAL: Final = 1
EXIT_USAGE: Final = 2
EXIT_FALSE: Final = 3
EXIT_UNREACHABLE: Final = 4
EXIT_NO_LEADER: Final = 5
EXIT_REFUSED: Final = 6
EXIT_UNKNOWN: Final = 7
EXIT_CONFLICT: Final = 8
EXIT_INTERRUPTED: Final = 130


class CommandError(Exception):
    """A failure that is reported to the user in three lines. `code` is stable text for scripts."""

    exit_code = EXIT_INTERNAL
    code = "E_INTERNAL"

    def __init__(self, what: str, why: str, next_step: str, *, code: str = "") -> None:
        self.what = what
        self.why = why
        self.next_step = next_step
        if code:
            self.code = code
        super().__init__(what)

    def lines(self) -> list[str]:
        """Return the error as it is printed on standard error."""
        head = f"error: {self.what}  [{self.code}, exit {self.exit_code}]"
        return [head, *(f"  {line}" for line in (self.why, self.next_step) if line)]

    def record(self) -> dict[str, object]:
        """Return the error as the JSON object of `-o json`."""
        return {
            "schema": "raftctl.error/1",
            "code": self.code,
            "exit": self.exit_code,
            "error": self.what,
            "why": self.why,
            "next": self.next_step,
        }


class UsageError(CommandError):
    """The command line or a file that it names is invalid. Nothing was done."""

    exit_code = EXIT_USAGE
    code = "E_USAGE"


class NotFound(CommandError):
    """What was asked for does not exist."""

    exit_code = EXIT_FALSE
    code = "E_NOT_FOUND"


class ConditionFalse(CommandError):
    """The condition that was asked about does not hold."""

    exit_code = EXIT_FALSE
    code = "E_CONDITION"


class Unreachable(CommandError):
    """No node answered."""

    exit_code = EXIT_UNREACHABLE
    code = "E_UNREACHABLE"


class NoLeaderError(CommandError):
    """Nodes answered, but there was no leader or no quorum in time. Nothing was done."""

    exit_code = EXIT_NO_LEADER
    code = "E_NO_LEADER"


class RefusedError(CommandError):
    """A safety check forbids it. Nothing was done."""

    exit_code = EXIT_REFUSED
    code = "E_REFUSED"


class UnknownOutcomeError(CommandError):
    """Time ran out: it may have happened, or may still happen."""

    exit_code = EXIT_UNKNOWN
    code = "E_UNKNOWN"


class ConflictError(CommandError):
    """A precondition of the command did not hold. Nothing was done."""

    exit_code = EXIT_CONFLICT
    code = "E_CONFLICT"


class OutputFailed(CommandError):
    """Standard output cannot be written."""

    code = "E_OUTPUT"


class InternalError(CommandError):
    """A node, or this program, did something that it must never do."""

    code = "E_INTERNAL"
