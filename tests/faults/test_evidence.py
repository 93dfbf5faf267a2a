"""Commands of an operator around the death of a voter, with real nodes: none that is accepted costs the quorum."""

import json
import signal
import time
from pathlib import Path

import pytest

from tests.support.processes import ProcessCluster, running_cluster
from tests.support.scale import DEATH_SECONDS

pytestmark = pytest.mark.processes

COMMANDS = (
    ("member", "remove", "{left}", "--yes"),
    ("member", "remove", "{left}", "--yes", "--force"),
    ("member", "demote", "{left}"),
    ("member", "transfer", "{gone}"),
)


def after(moment: float, died: float) -> None:
    """Wait until `moment` seconds have passed since `died`: what is tested is the time itself."""
    time.sleep(max(0.0, died + moment - time.monotonic()))


def refuse_all(cluster: ProcessCluster, gone: str, left: str) -> None:
    """Check that each command is refused at once, with a reason, and that writes go on beside it."""
    for command in COMMANDS:
        begun = time.monotonic()
        refused = cluster.raftctl(*(word.format(left=left, gone=gone) for word in command), check=False)
        assert refused.returncode == 6, (command, refused.stderr)
        assert "lose its quorum" in refused.stderr or "does not answer" in refused.stderr, refused.stderr
        assert time.monotonic() - begun < 3.0
        cluster.raftctl("kv", "put", "k", "v")


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP], ids=lambda end: end.name)
def test_no_command_around_a_voters_death_costs_the_quorum(tmp_path: Path, end: signal.Signals) -> None:
    """Three of three removals were accepted half a second after a kill -9, and the quorum was gone for good."""
    with running_cluster(tmp_path) as cluster:
        for moment in DEATH_SECONDS:
            cluster.raftctl("wait", "--health", "healthy")
            leader = cluster.wait_leader()
            gone, left = (name for name in cluster.names if name != leader)
            died = time.monotonic()
            if end is signal.SIGKILL:
                cluster.kill(gone)
            else:
                cluster.signal(gone, end)
            after(moment, died)
            refuse_all(cluster, gone, left)
            seen = json.loads(cluster.raftctl("member", "remove", gone, "--dry-run", "-o", "json").stdout)
            assert seen["tolerates"] == {"before": 0, "after": 0}
            if end is signal.SIGKILL:
                cluster.start(gone)
            else:
                cluster.signal(gone, signal.SIGCONT)
