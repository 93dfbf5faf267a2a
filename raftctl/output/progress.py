"""Progress of long work on standard error: a bar on a terminal, otherwise a line every five seconds."""

import sys
import time
from types import TracebackType
from typing import Final, Self

from raftctl.output.text import format_bytes

BAR_CELLS: Final = 30
BAR_EVERY_S: Final = 0.1
LINE_EVERY_S: Final = 5.0


class ProgressDisplay:
    """Work over a known number of bytes. Use it as a context manager; a bar is wiped at the end."""

    def __init__(self, what: str, total: int, *, quiet: bool = False) -> None:
        self._what = what
        self._total = total
        self._bar = sys.stderr.isatty() and not quiet
        self._quiet = quiet
        self._begun = self._told = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._bar:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def at(self, done: int) -> None:
        """Show that `done` bytes are done."""
        now = time.monotonic()
        if self._quiet or now - self._told < (BAR_EVERY_S if self._bar else LINE_EVERY_S):
            return
        self._told = now
        text = progress_text(self._what, done, self._total, now - self._begun, cells=BAR_CELLS if self._bar else 0)
        sys.stderr.write(f"\r\x1b[K{text}" if self._bar else f"{text}\n")
        sys.stderr.flush()


def progress_text(what: str, done: int, total: int, seconds: float, *, cells: int = 0) -> str:
    """Return one line: the bar with `cells` cells, how much of how much, and the speed."""
    share = done / total if total else 1.0
    full = min(cells, int(share * cells))
    bar = f"[{'#' * full}{'.' * (cells - full)}] " if cells else ""
    speed = format_bytes(int(done / seconds)) if seconds > 0 else "0 B"
    return f"{what}: {bar}{share:.0%}, {format_bytes(done)} of {format_bytes(total)}, {speed}/s"
