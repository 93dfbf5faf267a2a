"""Durations as text: the one grammar of command lines and settings files.

A duration is one or more numbers with units ("500ms", "1.5s", "4m2s", "1d"), or a plain number of seconds. Whether
0 is allowed depends on its use.
"""

import re
from typing import Final

DURATION_RULE: Final = 'must be a duration such as "500ms", "1.5s" or "4m2s", or a number of seconds'
POSITIVE_RULE: Final = 'must be a duration above 0 such as "500ms", "1.5s" or "4m2s", or a number of seconds'

SECONDS_MAX: Final = 1e9
"""Durations are below this, 31 years: system calls that wait fail for much longer ones."""

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER: Final = r"[0-9]+(?:\.[0-9]+)?"
_PART: Final = rf"({_NUMBER})(ms|s|m|h|d)"
_DURATION: Final = rf"(?:{_NUMBER}(?:ms|s|m|h|d))+"


def parse_duration(value: object) -> float:
    """Return the seconds of a text, or of a number of seconds. Raises ValueError with DURATION_RULE."""
    seconds = -1.0
    if isinstance(value, str):
        if re.fullmatch(_DURATION, value):
            seconds = sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, value))
        elif re.fullmatch(_NUMBER, value):
            seconds = float(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value) if abs(value) < SECONDS_MAX else -1.0
    if not 0 <= seconds < SECONDS_MAX:
        raise ValueError(DURATION_RULE)
    return seconds


def parse_positive_duration(value: object) -> float:
    """Return the seconds of a duration above 0. Raises ValueError with POSITIVE_RULE."""
    try:
        seconds = parse_duration(value)
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise ValueError(POSITIVE_RULE)
    return seconds


def format_duration(seconds: float) -> str:
    """Return a text that `parse_duration()` reads back: "500ms", "1.5s"; exact to the microsecond."""
    number, unit = (seconds * 1000, "ms") if seconds < 1 else (seconds, "s")
    return f"{number:.6f}".rstrip("0").rstrip(".") + unit
