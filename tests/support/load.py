"""Clients that write without pause and remember exactly what was acknowledged."""

import contextlib
import threading
from collections.abc import Iterator, Sequence

from raftctl.cluster import Cluster
from raftctl.errors import Refused
from raftctl.link import Deadline
from raftnode.wire import kv
from raftnode.wire.client import Read, ReadResult, Written

READ_SECONDS = 30.0
"""How long a client may wait for an answer in the end."""


class Writer(threading.Thread):
    """One client with one session: counts a key of its own up, and writes a new key each time.

    Each increment must give the number after the last one: a lost or doubled write shows at once. `problem`
    says what went wrong.
    """

    def __init__(
        self, number: int, endpoints: Sequence[str], seconds_max: float, *, waits_for_room: bool = False
    ) -> None:
        super().__init__(name=f"writer-{number}", daemon=True)
        self.counter = b"counter-%d" % number
        self.prefix = b"writer-%d/" % number
        self.acknowledged = 0
        self.problem = ""
        self._endpoints = list(endpoints)
        self._seconds_max = seconds_max
        self._waits_for_room = waits_for_room
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

    def ask_to_stop(self) -> None:
        """Let the write under way be the last one."""
        self._stop_asked.set()

    def stop(self) -> None:
        """Finish the write under way, then end."""
        self.ask_to_stop()
        self.join()

    def wait_acknowledged(self, count: int, seconds: float) -> None:
        """Wait until `count` rounds were acknowledged."""
        with self._progress:
            done = self._progress.wait_for(lambda: self.acknowledged >= count or self.problem, seconds)
        assert done, f"{self.name} has {self.acknowledged} of {count} rounds acknowledged after {seconds} s"
        assert not self.problem, self.problem

    def _write_once(self, cluster: Cluster) -> None:
        number = self.acknowledged + 1
        result = kv.decode_result(self._write(cluster, kv.Increment(self.counter)).result)
        if not isinstance(result, kv.IncrementResult) or result.value != number:
            raise AssertionError(f"increment {number} of {self.counter!r} gave {result}")
        self._write(cluster, kv.Put(self.prefix + b"%08d" % number, b"%d" % number))
        with self._progress:
            self.acknowledged = number
            self._progress.notify_all()

    def _write(self, cluster: Cluster, command: kv.Increment | kv.Put) -> Written:
        """Write. `waits_for_room`: again and again where the leader refuses because its disk is full."""
        while True:
            try:
                return cluster.write(kv.encode(command))
            except Refused:
                if not self._waits_for_room or not cluster.deadline.pause():
                    raise

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


@contextlib.contextmanager
def writers(
    count: int, endpoints: Sequence[str], seconds_max: float = 240.0, *, waits_for_room: bool = False
) -> Iterator[list[Writer]]:
    """Give clients that write all the time; at the end they stop, and everything is read back and compared."""
    started = [Writer(n, endpoints, seconds_max, waits_for_room=waits_for_room) for n in range(count)]
    for writer in started:
        writer.start()
    try:
        yield started
    finally:
        # All at once, and without waiting where the test has failed: its cluster may answer nothing any more.
        for writer in started:
            writer.ask_to_stop()
    for writer in started:
        writer.stop()
    with Cluster(endpoints, Deadline(READ_SECONDS)) as reader:
        for writer in started:
            writer.check(reader)


def progress(started: Sequence[Writer], rounds: int = 1, seconds: float = READ_SECONDS) -> None:
    """Wait until each of the clients has had so many more rounds acknowledged."""
    targets = [writer.acknowledged + rounds for writer in started]
    for writer, target in zip(started, targets, strict=True):
        writer.wait_acknowledged(target, seconds)
