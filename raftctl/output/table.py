"""Tables for people: aligned text in a pipe, a rich table on a terminal. Nothing is ever cut off."""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from raftctl.output.report import Report

CELL_WHOLE: Final = 26
"""A cell of at most this many characters is never broken on a terminal: a time has 24."""

GAP: Final = 2
"""The spaces behind a column."""

_STYLES: Final = {
    "HEALTHY": "bold green",
    "healthy": "green",
    "leader": "bold",
    "DEGRADED": "bold yellow",
    "lagging": "yellow",
    "isolated": "red",
    "rejected": "red",
    "foreign": "red",
    "electing": "yellow",
    "full": "yellow",
    "NO QUORUM": "bold red",
    "NO LEADER": "bold red",
    "down": "red",
    "unreachable": "red",
}


def cells(report: "Report", *, wide: bool) -> tuple[list[str], list[list[str]]]:
    """Return a report's header and rows, without the columns that only `-o wide` shows unless `wide`."""
    shown = [i for i, c in enumerate(report.columns) if wide or not c.wide]
    header = [report.columns[i].name for i in shown]
    return header, [["-" if (cell := row[i]) is None else cell for i in shown] for row in report.rows]


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines whose columns stand under each other, two spaces apart."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def fit(widths: Sequence[int], room: int) -> list[int]:
    """Return the columns' widths for a terminal with `room` for them, if they can be made to fit.

    Ids, indexes and times stay whole: only columns of long cells shrink, the widest first, to no less than
    half of CELL_WHOLE.
    """
    fitted = list(widths)
    least = [width if width <= CELL_WHOLE else CELL_WHOLE // 2 for width in widths]
    excess = sum(widths) + GAP * len(widths) - room
    while excess > 0 and fitted != least:
        widest = max((at for at in range(len(fitted)) if fitted[at] > least[at]), key=fitted.__getitem__)
        fitted[widest] -= 1
        excess -= 1
    return fitted


def print_rich(title: str, header: list[str], rows: list[list[str]], *, force: bool) -> None:
    """Print a rich table, whose cells are never read as markup. `force`: in color, whatever standard output is."""
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    no_color = bool(os.environ.get("NO_COLOR")) and not force
    console = Console(file=sys.stdout, force_terminal=force or None, no_color=no_color, highlight=False)
    widths = fit([max(map(cell_len, column)) for column in zip(header, *rows, strict=True)], console.width)
    # Where the columns do not fit, the terminal breaks the line: rich would leave out what is beyond its width.
    console.width = max(console.width, sum(widths) + GAP * len(widths))
    if title:
        text = Text(title)
        for word, style in _STYLES.items():
            text.highlight_words([f" {word} "], style)
        console.print(text, soft_wrap=True)
    if not header:
        return
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for name, width in zip(header, widths, strict=True):
        table.add_column(name, overflow="fold", no_wrap=False, width=width)
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    console.print(table)
