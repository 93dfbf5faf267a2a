"""Clients that write without pause and remember exactly what was acknowledged."""

import threading
from collections.abc import Sequence

from raftctl.cluster import Cluster
from raftctl.link import Deadline
from raftnode.wire import kv
from raftnode.wire.client import Read, ReadResult


class Writer(threading.Thread):
    """One client with one session: counts a key of its own up, and writes a new key each time.

    Each increment must give the number after the last one: a lost or doubled write shows at once. `problem`
    says what went wrong.
    """

    def __init__(self, number: int, endpoints: Sequence[str], seconds_max: float) -> None:
        super().__init__(name=f"writer-{number}", daemon=True)
        self.counter = b"counter-%d" % number
        self.prefix = b"writer-%d/" % number
        self.acknowledged = 0
        self.problem = ""
        self._endpoints = list(endpoints)
        self._seconds_max = seconds_max
        self._stop_asked = threading.Event()
        self._progress = threading.Condition()

    def run(self) -> None:
        try:
            with Cluster(self._endpoints, Deadline(self._seconds_max)) as cluster:
                while not self._stop_asked.is_set():
                    self._write_once(cluster)
        except Exception as error:
            self.problem = f"{self.name}: {type(error).__name__}: {error}"
        with self._progress:
            self._progress.notify_all()

    def stop(self) -> None:
        """Finish the write under way, then end."""
        self._stop_asked.set()
        self.join()

    def wait_acknowledged(self, count: int, seconds: float) -> None:
        """Wait until `count` rounds were acknowledged."""
        with self._progress:
            done = self._progress.wait_for(lambda: self.acknowledged >= count or self.problem, seconds)
        assert done, f"{self.name} has {self.acknowledged} of {count} rounds acknowledged after {seconds} s"
        assert not self.problem, self.problem

    def _write_once(self, cluster: Cluster) -> None:
        number = self.acknowledged + 1
        result = kv.decode_result(cluster.write(kv.encode(kv.Increment(self.counter))).result)
        if not isinstance(result, kv.IncrementResult) or result.value != number:
            raise AssertionError(f"increment {number} of {self.counter!r} gave {result}")
        cluster.write(kv.encode(kv.Put(self.prefix + b"%08d" % number, b"%d" % number)))
        with self._progress:
            self.acknowledged = number
            self._progress.notify_all()

    def check(self, cluster: Cluster) -> None:
        """Read everything back: each acknowledged write is there, once."""
        assert not self.problem, self.problem
        assert self.acknowledged > 0, f"{self.name} wrote nothing"
        assert read(cluster, kv.Get(self.counter)) == {self.counter: b"%d" % self.acknowledged}
        found: dict[bytes, bytes] = {}
        while True:
            start = max(found) + b"\0" if found else b""
            page = read(cluster, kv.List(self.prefix, start=start, limit=1000))
            if not page:
                break
            found |= page
        expected = {self.prefix + b"%08d" % n: b"%d" % n for n in range(1, self.acknowledged + 1)}
        assert found == expected


def read(cluster: Cluster, query: kv.Get | kv.List) -> dict[bytes, bytes]:
    """Return the pairs that a linearizable read finds."""
    answer = cluster.call_leader(Read(0, kv.encode(query)))
    assert isinstance(answer, ReadResult), answer
    match kv.decode_result(answer.result):
        case kv.GetResult(item=item):
            return {} if item is None else {item.key: item.value}
        case kv.ListResult(items=items):
            return {item.key: item.value for item in items}
        case other:
            raise AssertionError(f"a read gave {other}")
