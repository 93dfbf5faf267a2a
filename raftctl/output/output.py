"""The only place that prints data: reports, in the format that `-o` names, on standard output.

Everything that is not data goes to standard error through `note()`.
"""

import os
import stat
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from raftnode.config.errors import OutputFailed

if TYPE_CHECKING:
    from raftctl.output.report import Column, Json, Report


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

    def emit(self, report: "Report") -> None:
        """Print the whole report."""
        match self.format:
            case "json":
                _line(_json(report.schema, report.data))
            case "jsonl":
                for item in report.data[report.items] if report.items else [report.data]:
                    _line(_json(report.item_schema or report.schema, item))
            case "yaml":
                from raftctl.output.formats import with_schema, yaml_text

                _line(yaml_text(with_schema(report.schema, report.data)))
            case "name":
                for name in report.names:
                    _line(name)
            case _:
                self._table(report)
        flush()

    def emit_record(self, schema: str, record: "Json", line: str, name: str = "") -> None:
        """Print one record of a stream at once: `line` on a terminal or with -o table, else a line of JSON.

        `name` is what -o name prints of it; a record without one, such as a gap, then goes to standard error.
        """
        if self.format == "name":
            _line(name) if name else note(line)
        else:
            _line(_json(schema, record) if self._streams_json else line)
        flush()

    def emit_row(self, schema: str, record: "Json", columns: "Sequence[Column]", row: Sequence[str], name: str) -> None:
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

    def emit_screen(self, report: "Report") -> None:
        """Print a report over the last one on a terminal; piped, as one JSON object a line."""
        if not self._chosen and self._streams_json:
            Output("jsonl").emit(report)
            return
        if sys.stdout.isatty() and not self.structured:
            sys.stdout.write("\x1b[H\x1b[2J")
        self.emit(report)

    def _table(self, report: "Report") -> None:
        from raftctl.output.table import align, cells, print_rich

        header, rows = cells(report, wide=self.format == "wide")
        if self._wants_rich():
            print_rich(report.title, header, rows, force=self._color == "always")
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


def _json(schema: str, data: "Json") -> str:
    from raftctl.output.formats import json_text, with_schema

    return json_text(with_schema(schema, data))


def note(text: str) -> None:
    """Print a message for people on standard error. Never data."""
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
    """Have everything printed reach standard output. Raises OutputFailed, or BrokenPipeError if it is closed."""
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
