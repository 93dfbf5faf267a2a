"""The daemon's log: one structured line an event on standard error, as logfmt or JSON.

ts=2026-11-23T03:10:12.677Z level=info node=n1 event=leader.changed term=13 from=n1 to=n2
"""

import json
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Final, TextIO

from raftnode.config.times import rfc3339
from raftnode.core.errors import InvariantError, StorageError
from raftnode.wire.client import EventRecord

LEVELS: Final = ("debug", "info", "warn", "error")


class LogWriter:
    """Writes lines of at least `level`. One that cannot be written is dropped: logging never stops a node."""

    def __init__(
        self,
        node_name: str,
        *,
        level: str = "info",
        format: str = "logfmt",
        wall_clock: Callable[[], float],
        stream: TextIO | None = None,
    ) -> None:
        self._node_name = node_name
        self._threshold = LEVELS.index(level)
        self._render = _json_line if format == "json" else _logfmt_line
        self._wall_clock = wall_clock
        self._stream = stream

    def line(self, level: str, event: str, **fields: object) -> None:
        """Write one line."""
        self._write(level, event, fields)

    def record(self, record: EventRecord) -> None:
        """Write an event of the EventLog, whose sink this is."""
        self._write("info", record.type, {"term": record.term, **record.data})

    def _write(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        if LEVELS.index(level) < self._threshold:
            return
        line: dict[str, object] = {
            "ts": rfc3339(self._wall_clock()),
            "level": level,
            "node": self._node_name,
            "event": event,
        }
        for name, value in fields.items():
            # An event about another node may call it "node" too: the line's own fields keep their names.
            line[f"about_{name}" if name in line else name] = value
        stream = self._stream or sys.stderr
        try:
            stream.write(self._render(line) + "\n")
            stream.flush()
        except (OSError, ValueError):
            # The log's reader is gone. The node's work matters more than its log.
            return


class Repeats:
    """Limits how often a line about a recurring problem is written.

    The same `key` passes once in `interval` seconds; `allow()` then gives how many were held back before.
    At most `keys_max` keys are remembered.
    """

    def __init__(self, clock: Callable[[], float], interval: float = 60.0, keys_max: int = 1000) -> None:
        self._clock, self._interval, self._keys_max = clock, interval, keys_max
        self._seen: dict[object, tuple[float, int]] = {}

    def allow(self, key: object) -> int | None:
        """Return None where the line must be held back, else how many were since the last one."""
        now = self._clock()
        last, held = self._seen.get(key, (now - self._interval, 0))
        if now - last < self._interval:
            self._seen[key] = (last, held + 1)
            return None
        if len(self._seen) >= self._keys_max:
            self._seen.clear()
        self._seen[key] = (now, 0)
        return held


def _json_line(fields: dict[str, object]) -> str:
    return json.dumps(fields, default=str, ensure_ascii=True)


def _logfmt_line(fields: dict[str, object]) -> str:
    return " ".join(f"{name}={_logfmt_value(value)}" for name, value in fields.items())


def _logfmt_value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, int | float):
        return str(value)
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    if text and text.isprintable() and not set(text) & set(' ="\\'):
        return text
    return json.dumps(text)


def log_failure(log: LogWriter, error: Exception, *, started: bool) -> None:
    """Write the one line that says why the node stops. `started`: it had loaded what its disk holds."""
    if isinstance(error, StorageError):
        log.line(
            "error",
            "node.failed",
            cause="storage",
            error=str(error),
            advice="nothing was acknowledged since; check the disk, then start the node again"
            if started
            else "the node did not start, and promised nothing; look closer: raftctl log verify --data-dir DIR",
        )
    elif isinstance(error, InvariantError):
        log.line(
            "error",
            "node.failed",
            cause="invariant",
            error=str(error),
            advice="the node stopped to protect its data; keep the data directory and report this",
        )
    else:
        where = "".join(traceback.format_exception(error))
        log.line("error", "node.failed", cause="bug", error=repr(error), where=where)
