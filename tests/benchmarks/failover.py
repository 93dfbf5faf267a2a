"""How long no write is acknowledged after the leader's process is killed: `python -m tests.benchmarks.failover`.

Prints the median of several rounds: from kill -9 to the next acknowledged write, which began after the kill.
"""

import statistics
import tempfile
import time
from pathlib import Path

from raftnode.client import Client
from tests.support.processes import running_cluster

ROUNDS = 10


def measure(rounds: int = ROUNDS) -> list[float]:
    """Return the seconds without an acknowledged write, for each of `rounds` kills of the leader."""
    found: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        running_cluster(Path(folder)) as cluster,
        Client(cluster.endpoints, timeout=600.0) as client,
    ):
        for number in range(rounds):
            client.put("before", str(number))
            victim = cluster.wait_leader()
            cluster.kill(victim)
            started = time.perf_counter()
            client.put("after", str(number))
            found.append(time.perf_counter() - started)
            cluster.start(victim)
            cluster.wait_leader()
            cluster.wait_caught_up()
    return found


if __name__ == "__main__":
    times = measure()
    print("seconds from kill -9 of the leader to the next acknowledged write, default timeouts:")
    print("  " + "  ".join(f"{seconds:.3f}" for seconds in times))
    print(f"  median {statistics.median(times):.3f}  max {max(times):.3f}")
