"""Points in time as text."""

import time


def rfc3339(epoch: float) -> str:
    """Return seconds since the epoch as RFC 3339 text in UTC with milliseconds: 2026-11-23T03:10:12.677Z."""
    milliseconds = round(epoch * 1000)
    head = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000))
    return f"{head}.{milliseconds % 1000:03d}Z"
