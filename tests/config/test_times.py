"""Points in time as text."""

import pytest

from raftnode.config.times import rfc3339


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (0.0004, "1970-01-01T00:00:00.000Z"),
        (1795403412.6775, "2026-11-23T03:10:12.678Z"),
        (1795403412.9999, "2026-11-23T03:10:13.000Z"),
    ],
)
def test_times_are_rfc3339_in_utc_with_milliseconds(seconds: float, text: str) -> None:
    """Rounded to the nearest millisecond."""
    assert rfc3339(seconds) == text
