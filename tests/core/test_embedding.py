"""The embedding example is short, runs, and shows three nodes that agree."""

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "embedded_cluster.py"


def test_the_embedding_example_runs_in_less_than_sixty_lines_and_all_nodes_apply_the_same() -> None:
    """Three nodes in one process: each prints the same log, with all that was proposed, in order."""
    assert len(EXAMPLE.read_text().splitlines()) < 60
    done = subprocess.run([sys.executable, str(EXAMPLE)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(" applied ")[0] for line in lines] == ["node 1", "node 2", "node 3"]
    assert {line.split(" applied ")[1] for line in lines} == {str([b"", b"one", b"two", b"three"])}
