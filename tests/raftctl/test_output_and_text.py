"""Rules 2, 3, 12 and 13: the forms of output, and the pure functions under them."""

import json
import re
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftctl.output.report import Column, Output, Report, align, fit, yaml_text
from raftctl.output.text import duration, escape_bytes, format_bytes, format_duration
from raftnode.config.errors import UsageError

REPORT = Report(
    "thing.list",
    {"things": [{"name": "a[b]", "id": 1}], "note": ""},
    "a title",
    [Column("NAME"), Column("ID"), Column("MORE", wide=True)],
    [["a[b]", "1", None]],
    items="things",
    item_schema="thing",
    names=["a[b]"],
)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("table", "a title\nNAME  ID\na[b]  1\n"),
        ("wide", "a title\nNAME  ID  MORE\na[b]  1   -\n"),
        ("json", '{"schema":"raftctl.thing.list/1","things":[{"name":"a[b]","id":1}],"note":""}\n'),
        ("jsonl", '{"schema":"raftctl.thing/1","name":"a[b]","id":1}\n'),
        ("yaml", 'schema: "raftctl.thing.list/1"\nthings:\n  - name: "a[b]"\n    id: 1\nnote: ""\n'),
        ("name", "a[b]\n"),
    ],
)
def test_a_report_in_every_form(capsys: pytest.CaptureFixture[str], form: str, text: str) -> None:
    """Rule 2: ids are the same text in every format."""
    Output(form).emit(REPORT)
    assert capsys.readouterr().out == text


def test_a_colour_table_reads_no_markup(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 3: brackets in data stay, and a word stands beside every color."""
    monkeypatch.setenv("TERM", "xterm")
    Output("table", "always").emit(REPORT)
    text = capsys.readouterr().out
    assert "a[b]" in text
    assert "\x1b[" in text


def test_no_color_switches_colour_off(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR, in any non-empty value."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    Output("table").emit(REPORT)
    assert "\x1b[" not in capsys.readouterr().out


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_yaml_scalars_are_json_scalars(value: object) -> None:
    """Each line's value is JSON, which YAML reads as the same value."""
    for line in yaml_text(value).split("\n"):
        last = line.strip().removeprefix("- ").lstrip("- ")
        if ": " not in last and not last.endswith(":"):
            json.loads(last)


@given(st.binary())
def test_escaped_bytes_are_one_printable_line(data: bytes) -> None:
    """And different bytes have different texts: the escape can be undone."""
    text = escape_bytes(data)
    assert text.isprintable()
    # A TOML basic string reads \\\\, \\n, \\t, \\r and \\uXXXX as written here; only \\xNN is ours.
    if all(b < 0x80 for b in data) and "\\x" not in text and '"' not in text:
        assert tomllib.loads(f'v = "{text}"')["v"].encode() == data


def test_columns_stand_under_each_other() -> None:
    """Two spaces apart, nothing cut, no blanks at the end."""
    assert align([["A", "LONG"], ["wider", "x"]]) == ["A      LONG", "wider  x"]


@pytest.mark.parametrize("text", ["", "soon", "-1s", "1 s", "s", "1x"])
def test_what_is_no_duration_is_a_usage_error(text: str) -> None:
    """With what to write instead."""
    with pytest.raises(UsageError):
        duration(text)


def test_times_and_sizes_for_people() -> None:
    """Rule 13: relative durations, binary sizes."""
    assert [format_duration(s) for s in (0.12, 59.9, 242, 11100, 187200)] == ["0.1s", "59.9s", "4m2s", "3h5m", "2d4h"]
    assert [format_bytes(n) for n in (275, 4096, 8 * 2**20)] == ["275 B", "4.0 KiB", "8.0 MiB"]


@pytest.mark.parametrize("columns", [20, 60, 78, 80, 81, 82, 86, 90, 200])
def test_nothing_is_left_out_on_a_terminal_however_narrow(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule 3: a long cell goes on in the next line, and where that is not enough the terminal breaks the line."""
    monkeypatch.setenv("COLUMNS", str(columns))
    row = [
        "entry 596297 \u4e2d\u6587",
        "1",
        "11675232",
        "100.0%",
        "596297",
        'put "c/003/0000263" (100 bytes) [session 583811 #264]',
        "x" * 64,
    ]
    header = ["WHAT", "ENTRIES", "BYTES", "SHARE", "FIRST", "SUMMARY", "DIGEST"]
    report = Report("x", {}, "", [Column(name) for name in header], [row])
    Output("table", "always").emit(report)
    shown = re.sub(r"\x1b\[[0-9;]*m|\s", "", capsys.readouterr().out)
    assert sorted(shown) == sorted("".join([*header, *row]).replace(" ", ""))


def test_columns_shrink_from_the_widest_and_short_ones_not_at_all() -> None:
    """An id or a time is never broken; what cannot fit is left as wide as it must be."""
    assert fit([5, 10], 17) == [5, 10]
    assert fit([5, 60, 40], 80) == [5, 34, 35]
    assert fit([26, 30], 20) == [26, 13]
    assert fit([], 80) == []
