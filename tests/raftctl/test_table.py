"""Rules 3 and 12: tables for people, from which nothing is cut off."""

import re

import pytest

from raftctl.output.output import Output
from raftctl.output.report import Column, Report
from raftctl.output.table import align, fit


def test_columns_stand_under_each_other() -> None:
    """Two spaces apart, nothing cut, no blanks at the end."""
    assert align([["A", "LONG"], ["wider", "x"]]) == ["A      LONG", "wider  x"]


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
