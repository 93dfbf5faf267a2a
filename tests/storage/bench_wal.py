"""Prints what the log's append and sync cost against the bare disk, and what opening a large log costs.

Run it as a script, with a directory on the disk that is to be measured: python tests/storage/bench_wal.py DIR
"""

import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from unittest.mock import patch

from raftnode.core.types import LogEntry
from raftnode.storage.wal import Wal

BATCH = 100
VALUE_BYTES = 256
ROUNDS = 1000
LARGE = 1_000_000


def make_batch(first: int) -> list[LogEntry]:
    """Return 100 entries of 256 random bytes."""
    return [LogEntry(3, first + i, random.randbytes(VALUE_BYTES)) for i in range(BATCH)]


def bench_append(directory: Path) -> None:
    """Alternate the log's sync with a bare write and fdatasync of as many bytes, and print the ratio."""
    wal = Wal.open(directory / "append")
    bare = os.open(directory / "bare", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(ROUNDS):
        entries = make_batch(wal.last_index + 1)
        before = wal.written_bytes
        start = time.perf_counter()
        wal.append(entries)
        wal.sync()
        ours.append(time.perf_counter() - start)
        data = random.randbytes(wal.written_bytes - before)
        start = time.perf_counter()
        os.write(bare, data)
        os.fdatasync(bare)
        theirs.append(time.perf_counter() - start)
    wal.close()
    os.close(bare)
    print(
        f"append+sync of {BATCH}x{VALUE_BYTES} B: median {median(ours) * 1e6:.0f} us, "
        f"write+fdatasync of the same bytes: median {median(theirs) * 1e6:.0f} us"
    )
    print(
        f"speed against write+fdatasync: {sum(theirs) / sum(ours):.2f} (total), "
        f"{median(theirs) / median(ours):.2f} (median)"
    )


def bench_open(path: Path, batch: int) -> None:
    """Fill a log with a million entries, without the fsyncs; open it in a process of its own."""
    data = random.randbytes(VALUE_BYTES)
    with patch("os.fdatasync"):
        wal = Wal.open(path)
        while wal.last_index < LARGE:
            first = wal.last_index + 1
            wal.append([LogEntry(3, first + i, data) for i in range(batch)])
            wal.sync()
        wal.close()
    subprocess.run([sys.executable, __file__, "--open", os.fspath(path), str(batch)], check=True)


def report_open(path: str, batch: int) -> None:
    """Open a log and print the time, the memory, and the time to read 1,000 entries from its middle."""
    start = time.perf_counter()
    wal = Wal.open(path)
    opened = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    found = wal.load_entries(LARGE // 2, LARGE // 2 + 999)
    read = time.perf_counter() - start
    print(
        f"open {wal.last_index:,} entries, batches of {batch}: {opened:.2f} s, peak {peak:.0f} MB; "
        f"read {len(found)} entries by index: {read * 1e3:.1f} ms"
    )
    wal.close()


def main() -> None:
    """Run everything in a temporary directory below the one that was named."""
    if sys.argv[1:2] == ["--open"]:
        report_open(sys.argv[2], int(sys.argv[3]))
        return
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        bench_append(Path(name))
        bench_open(Path(name, "large"), 100)
        bench_open(Path(name, "single"), 1)


if __name__ == "__main__":
    main()
