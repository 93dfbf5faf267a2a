"""What stops a raftnode command, as the three lines that an operator reads."""

from typing import Final

EXIT_INTERNAL: Final = 1
EXIT_USAGE: Final = 2
EXIT_NOT_FOUND: Final = 3
EXIT_UNREACHABLE: Final = 4
EXIT_NO_LEADER: Final = 5
EXIT_REFUSED: Final = 6
EXIT_UNKNOWN: Final = 7
EXIT_CONFLICT: Final = 8
EXIT_INTERRUPTED: Final = 130


class Problem(Exception):
    """What happened (with its code), why (with the numbers), and what to do next."""

    def __init__(self, what: str, why: str, advice: str, *, code: str, exit_code: int) -> None:
        self.what, self.why, self.advice, self.code, self.exit_code = what, why, advice, code, exit_code
        super().__init__(f"{what}: {why}")

    def text(self) -> str:
        """Return the three lines."""
        tag = f"[{self.code}, exit {self.exit_code}]"
        return f"error: {self.what}  {tag}\n  {self.why}\n  {self.advice}"
