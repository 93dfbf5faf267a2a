"""The only place that prints data: one report, in the form that `-o` asks for, on standard output.

Piped, a table is plain aligned text that nothing is cut from. On a terminal it is a rich table, whose cells
are never read as markup. Everything that is not data goes to standard error through `note()`.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

Json = Mapping[str, Any]

_STYLES: Final = {
    "HEALTHY": "bold green",
    "healthy": "green",
    "leader": "bold",
    "DEGRADED": "bold yellow",
    "lagging": "yellow",
    "isolated": "yellow",
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

    `data` is the JSON object without its schema. `items` names the list in it that `jsonl` gives one line
    each; without it the object is the line. `names` is what `-o name` prints. `rows` may hold None for "no
    value".
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
    """Prints reports in one format. `color` is auto, always or never."""

    def __init__(self, output_format: str = "table", color: str = "auto") -> None:
        self.format = output_format
        self._color = color

    @property
    def structured(self) -> bool:
        """Whether the output is for programs."""
        return self.format in ("json", "jsonl", "yaml")

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
        sys.stdout.flush()

    def emit_record(self, schema: str, record: Json, line: str) -> None:
        """Print one record of a stream at once: a JSON object a line when piped, `line` on a terminal."""
        if self.structured or (self.format == "table" and not sys.stdout.isatty()):
            _line(json_text(with_schema(schema, record)))
        else:
            _line(line)
        sys.stdout.flush()

    def emit_bytes(self, data: bytes) -> None:
        """Write bytes as they are."""
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def emit_text(self, text: str) -> None:
        """Print text as it is."""
        _line(text)
        sys.stdout.flush()

    def emit_screen(self, report: Report) -> None:
        """Print a report over the last one on a terminal; piped, as one JSON object a line."""
        if self.format == "table" and not sys.stdout.isatty():
            Output("jsonl").emit(report)
            return
        if sys.stdout.isatty() and not self.structured:
            sys.stdout.write("\x1b[H\x1b[2J")
        self.emit(report)

    def _table(self, report: Report) -> None:
        shown = [i for i, c in enumerate(report.columns) if self.format == "wide" or not c.wide]
        header = [report.columns[i].name for i in shown]
        rows = [[row[i] or "-" for i in shown] for row in report.rows]
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
    sys.stdout.write(text + "\n")


def _rich_table(title: str, header: list[str], rows: list[list[str]], *, force: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    no_color = bool(os.environ.get("NO_COLOR")) and not force
    console = Console(file=sys.stdout, force_terminal=force or None, no_color=no_color, highlight=False)
    if title:
        text = Text(title)
        for word, style in _STYLES.items():
            text.highlight_words([f" {word} "], style)
        console.print(text, soft_wrap=True)
    if not header:
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in header:
        table.add_column(name, overflow="fold", no_wrap=False)
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    console.print(table)
