"""One grammar of durations for command lines and settings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftnode.config.durations import SECONDS_MAX, format_duration, parse_duration, parse_positive_duration


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1.5s", 1.5),
        ("4m2s", 242),
        ("500ms", 0.5),
        ("2h", 7200),
        ("1d", 86400),
        ("1d12h", 129600),
        ("10", 10),
        ("0.2", 0.2),
        (3, 3),
        (0.25, 0.25),
    ],
)
def test_durations_are_read(value: object, seconds: float) -> None:
    """Units add up; a plain number is seconds."""
    assert parse_duration(value) == pytest.approx(seconds)
    assert parse_positive_duration(value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "-1s",
        "1 s",
        "s",
        "1x",
        "1s\n",
        "\u0661s",
        "1e3",
        "nan",
        "inf",
        "1..5s",
        "9" * 400,
        -1,
        1e9,
        10**400,
        True,
        None,
    ],
)
def test_what_is_no_duration_is_refused(value: object) -> None:
    """A typing mistake is not taken for another time; nor is what no system call can wait for."""
    for parse in (parse_duration, parse_positive_duration):
        with pytest.raises(ValueError, match="must be a duration"):
            parse(value)


@pytest.mark.parametrize("value", ["0", "0s", "0m0s", 0, 0.0])
def test_no_time_at_all_is_a_duration_where_that_makes_sense(value: object) -> None:
    """`wait --timeout 0` asks whether it is so now; an election timeout of 0 is invalid."""
    assert parse_duration(value) == 0
    with pytest.raises(ValueError, match="above 0"):
        parse_positive_duration(value)


@given(st.integers(1, int(SECONDS_MAX) * 10**6 - 1).map(lambda microseconds: microseconds / 10**6))
def test_a_duration_is_read_back_as_it_was_shown(seconds: float) -> None:
    """`raftnode config check` prints what can stand in node.toml."""
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-6)
