"""Rule 13: durations, sizes and bytes as text."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftctl.output.text import duration, escape_bytes, format_bytes, human_duration
from raftnode.config.errors import UsageError


@given(st.binary())
def test_escaped_bytes_are_one_printable_line(data: bytes) -> None:
    """And different bytes have different texts: the escape can be undone."""
    text = escape_bytes(data)
    assert text.isprintable()
    # A TOML basic string reads \\\\, \\n, \\t, \\r and \\uXXXX as written here; only \\xNN is ours.
    if all(b < 0x80 for b in data) and "\\x" not in text and '"' not in text:
        assert tomllib.loads(f'v = "{text}"')["v"].encode() == data


@pytest.mark.parametrize("text", ["", "soon", "-1s", "1 s", "s", "1x"])
def test_what_is_no_duration_is_a_usage_error(text: str) -> None:
    """With what to write instead."""
    with pytest.raises(UsageError):
        duration(text)


def test_times_and_sizes_for_people() -> None:
    """Rule 13: relative durations, binary sizes."""
    assert [human_duration(s) for s in (0.12, 59.9, 242, 11100, 187200)] == ["0.1s", "59.9s", "4m2s", "3h5m", "2d4h"]
    assert [format_bytes(n) for n in (275, 4096, 8 * 2**20)] == ["275 B", "4.0 KiB", "8.0 MiB"]
