"""What a command prints: one report for every format."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Json = Mapping[str, Any]


class Column(NamedTuple):
    """A table's column. `wide` shows it with `-o wide` only."""

    name: str
    wide: bool = False


class Report(NamedTuple):
    """What a command prints, for every format.

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
