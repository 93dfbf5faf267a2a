"""Rules 2, 3 and 12: one report in every format."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftctl.output.formats import yaml_text
from raftctl.output.output import Output
from raftctl.output.report import Column, Report

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
