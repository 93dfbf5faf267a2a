"""Everything that reads untrusted bytes. A target takes bytes and raises only where it found a bug.

Which reader belongs to which target is in readers.py, and a test holds it against the code.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

from tests.fuzz.command_targets import command_targets
from tests.fuzz.link_targets import SayingNode, link_targets
from tests.fuzz.live import LiveReplica
from tests.fuzz.storage_targets import storage_targets
from tests.fuzz.target import Target
from tests.fuzz.wire_targets import wire_targets

MEMORY = Path("/dev/shm")


@contextlib.contextmanager
def targets() -> Iterator[list[Target]]:
    """Give every target. Those that read real files have a directory of their own while this lasts."""
    with (
        tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as directory,
        # Nobody writes to these directories: what looks wrong is wrong, without a pause before the next look.
        patch("raftnode.storage.inspect.time", SimpleNamespace(sleep=lambda seconds: None)),
        LiveReplica() as live,
        SayingNode() as node,
    ):
        yield [*wire_targets(live), *storage_targets(), *command_targets(Path(directory)), *link_targets(node)]
