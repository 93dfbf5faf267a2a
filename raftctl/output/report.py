"""The only place that prints data: one report, in the form that `-o` asks for, on standard output.

Piped, a table is plain aligned text that nothing is cut from. On a terminal it is a rich table, whose cells
are never read as markup. Everything that is not data goes to standard error through `note()`.
"""

import os
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from raftnode.config.errors import OutputFailed

Json = Mapping[str, Any]

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


class Column(NamedTuple):
    """A table's column. `wide` shows it with `-o wide` only."""

    name: str
    wide: bool = False


class Report(NamedTuple):
    """What a command has to say, for every format.

    `data` is the JSON object without its schema. `items` names the list in it that `jsonl` gives one line each; without
    it the object is the line. `names` is what `-o name` prints. `rows` may hold None for "no value".
    """

    schema: str
    data: Json
    title: str = ""
    columns: Sequence[Column] = ()
    rows: Sequence[Sequence[str | None]] = ()
    items: str = ""
    item_schema: str = ""
    names: Sequence[str] = ()


def json_text(value: Any) -> str:
    """Return `value` as one line of JSON."""
    from json import dumps

    return dumps(value, ensure_ascii=False, separators=(",", ":"))


def with_schema(schema: str, data: Json) -> dict[str, Any]:
    """Return `data` with its schema in front."""
    return {"schema": f"raftctl.{schema}/1", **data}


class Output:
    """Prints reports in one format; without one, as a table. `color` is auto, always or never."""

    def __init__(self, output_format: str | None = None, color: str = "auto") -> None:
        self.format = output_format or "table"
        self._chosen = output_format is not None
        self._color = color
        self._widths: list[int] = []

    @property
    def structured(self) -> bool:
        """Whether the output is for programs."""
        return self.format in ("json", "jsonl", "yaml")

    @property
    def pipe(self) -> int | None:
        """Standard output's descriptor where that is a pipe, whose reader may go away while we wait."""
        try:
            descriptor = sys.stdout.fileno()
        except OSError:
            # Something without a descriptor stands in for standard output.
            return None
        return descriptor if stat.S_ISFIFO(os.fstat(descriptor).st_mode) else None

    @property
    def _streams_json(self) -> bool:
        return self.structured or (not self._chosen and not sys.stdout.isatty())

    def emit(self, report: Report) -> None:
        """Print the whole report."""
        match self.format:
            case "json":
                _line(json_text(with_schema(report.schema, report.data)))
            case "jsonl":
                for item in report.data[report.items] if report.items else [report.data]:
                    _line(json_text(with_schema(report.item_schema or report.schema, item)))
            case "yaml":
                _line(yaml_text(with_schema(report.schema, report.data)))
            case "name":
                for name in report.names:
                    _line(name)
            case _:
                self._table(report)
        flush()

    def emit_record(self, schema: str, record: Json, line: str, name: str = "") -> None:
        """Print one record of a stream at once: `line` on a terminal or with -o table, else a line of JSON.

        `name` is what -o name prints of it; a record without one, such as a gap, then goes to standard error.
        """
        if self.format == "name":
            _line(name) if name else note(line)
        else:
            _line(json_text(with_schema(schema, record)) if self._streams_json else line)
        flush()

    def emit_row(self, schema: str, record: Json, columns: Sequence[Column], row: Sequence[str], name: str) -> None:
        """Print one record of a stream as `emit_record` does; in lines, aligned, and the first below a header."""
        if self._streams_json or self.format == "name":
            self.emit_record(schema, record, "", name)
            return
        begins = not self._widths
        if begins:
            self._widths = [len(c.name) for c in columns]
        self._widths = [max(width, len(cell)) for width, cell in zip(self._widths, row, strict=True)]
        self._widths[-1] = 0
        if begins:
            _line("  ".join(c.name.ljust(w) for c, w in zip(columns, self._widths, strict=True)).rstrip())
        self.emit_record(schema, record, "  ".join(c.ljust(w) for c, w in zip(row, self._widths, strict=True)).rstrip())

    def emit_bytes(self, data: bytes) -> None:
        """Write bytes as they are."""
        flush()
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise output_failed(error) from error

    def emit_text(self, text: str) -> None:
        """Print text as it is."""
        _line(text)
        flush()

    def emit_screen(self, report: Report) -> None:
        """Print a report over the last one on a terminal; piped, as one JSON object a line."""
        if not self._chosen and self._streams_json:
            Output("jsonl").emit(report)
            return
        if sys.stdout.isatty() and not self.structured:
            sys.stdout.write("\x1b[H\x1b[2J")
        self.emit(report)

    def _table(self, report: Report) -> None:
        shown = [i for i, c in enumerate(report.columns) if self.format == "wide" or not c.wide]
        header = [report.columns[i].name for i in shown]
        rows = [["-" if (cell := row[i]) is None else cell for i in shown] for row in report.rows]
        if self._wants_rich():
            _rich_table(report.title, header, rows, force=self._color == "always")
            return
        if report.title:
            _line(report.title)
        if header:
            for text in align([header, *rows]):
                _line(text)

    def _wants_rich(self) -> bool:
        if self._color == "always":
            return True
        if self._color == "never" or os.environ.get("NO_COLOR"):
            return False
        return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines whose columns stand under each other, two spaces apart."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def yaml_text(value: Any, indent: int = 0) -> str:
    """Return plain JSON data as YAML. Texts are quoted as in JSON, which YAML reads as the same text."""
    pad = "  " * indent
    if isinstance(value, Mapping) and value:
        return "\n".join(f"{pad}{_yaml_key(k)}:{_yaml_child(v, indent)}" for k, v in value.items())
    if isinstance(value, list | tuple) and value:
        return "\n".join(f"{pad}- {yaml_text(item, indent + 1).lstrip()}" for item in value)
    return pad + json_text(value)


def _yaml_key(key: str) -> str:
    return (
        key
        if key.isidentifier() and key not in ("y", "n", "yes", "no", "on", "off", "null", "true", "false")
        else json_text(key)
    )


def _yaml_child(value: Any, indent: int) -> str:
    if isinstance(value, Mapping | list | tuple) and value:
        return "\n" + yaml_text(value, indent + 1)
    return " " + json_text(value)


def note(text: str) -> None:
    """Say something to the person at the terminal: standard error, never data."""
    print(text, file=sys.stderr, flush=True)


def progress_reporter(every_s: float, clock: Callable[[], float]) -> Callable[[str], None]:
    """Return a function that notes its text, but at most once in `every_s` seconds."""
    last = clock()

    def report(text: str) -> None:
        nonlocal last
        if clock() - last >= every_s:
            last = clock()
            note(text)

    return report


def _line(text: str) -> None:
    try:
        sys.stdout.write(text + "\n")
    except BrokenPipeError:
        raise
    except OSError as error:
        raise output_failed(error) from error


def flush() -> None:
    """Have everything printed reach standard output. Raises OutputFailed; BrokenPipeError where nobody reads it."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise output_failed(error) from error


def output_failed(error: OSError) -> OutputFailed:
    """Return the error for a standard output that cannot be written."""
    return OutputFailed(
        "cannot write to standard output",
        error.strerror or str(error),
        "what the command did stands; only its output is missing",
    )


def fit(widths: Sequence[int], room: int) -> list[int]:
    """Return the columns' widths for a terminal with `room` for them, if they can be made to fit.

    Ids, indexes and times stay whole: only columns of long cells shrink, the widest first, and not to nothing.
    """
    fitted = list(widths)
    least = [width if width <= CELL_WHOLE else CELL_WHOLE // 2 for width in widths]
    excess = sum(widths) + GAP * len(widths) - room
    while excess > 0 and fitted != least:
        widest = max((at for at in range(len(fitted)) if fitted[at] > least[at]), key=fitted.__getitem__)
        fitted[widest] -= 1
        excess -= 1
    return fitted


def _rich_table(title: str, header: list[str], rows: list[list[str]], *, force: bool) -> None:
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
