"""Requests per second of a real three-node cluster on this machine: `python -m tests.benchmarks.throughput`.

Each case opens some connections to the leader and keeps `depth` requests in flight on each. Values have 256
bytes; every write is fsynced on a majority before it counts.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import cast

from raftnode.daemon.loop import new_event_loop
from raftnode.wire import kv
from raftnode.wire.client import Failed, OpenSession, Read, SessionOpened, Write, decode_answer
from raftnode.wire.frame import FrameDecoder, encode_frame
from raftnode.wire.hello import PROTOCOL_VERSION, Hello, Rejected, decode_hello_answer
from tests.support.processes import running_cluster

VALUE = b"x" * 256
KEYS = 1000


class Client(asyncio.Protocol):
    """One connection that sends the next request as soon as an answer comes, until `until`."""

    def __init__(self, number: int, operation: str, depth: int, until: float) -> None:
        self.latencies: list[float] = []
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._number, self._operation, self._depth, self._until = number, operation, depth, until
        self._decoder = FrameDecoder()
        self._welcome = False
        self._session = 0
        self._sent_at: dict[int, float] = {}
        self._count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(encode_frame(Hello(PROTOCOL_VERSION)))
        self._transport.write(encode_frame(OpenSession(0)))

    def connection_lost(self, error: Exception | None) -> None:
        if not self.finished.done():
            self.finished.set_exception(error or ConnectionError("the node hung up"))

    def data_received(self, data: bytes) -> None:
        for body in self._decoder.feed(data):
            if self._welcome:
                self._take(body)
            else:
                answer = decode_hello_answer(body)
                assert not isinstance(answer, Rejected), answer
                self._welcome = True

    def _take(self, body: bytes) -> None:
        answer = decode_answer(body)
        if isinstance(answer, Failed):
            if not self.finished.done():
                self.finished.set_exception(RuntimeError(str(answer)))
            return
        if isinstance(answer, SessionOpened):
            self._session = answer.session
            for _ in range(self._depth):
                self._send()
            return
        self.latencies.append(time.perf_counter() - self._sent_at.pop(answer.id))
        if time.perf_counter() < self._until:
            self._send()
        elif not self._sent_at and not self.finished.done():
            self.finished.set_result(None)

    def _send(self) -> None:
        self._count += 1
        number, key = self._count, b"k%d-%d" % (self._number, self._count % KEYS)
        if self._operation == "put":
            acknowledged = min(self._sent_at, default=number) - 1
            command = kv.encode(kv.Put(key, VALUE))
            message = encode_frame(Write(number, self._session, number, acknowledged, command))
        else:
            message = encode_frame(Read(number, kv.encode(kv.Get(key))))
        self._sent_at[number] = time.perf_counter()
        self._transport.write(message)


async def run_case(address: str, operation: str, connections: int, depth: int, seconds: float) -> str:
    """Return one line of figures."""
    host, _, port = address.rpartition(":")
    started = time.perf_counter()
    clients = [Client(number, operation, depth, started + seconds) for number in range(connections)]
    for client in clients:
        await asyncio.get_running_loop().create_connection(lambda client=client: client, host, int(port))  # type: ignore[misc]
    await asyncio.gather(*(client.finished for client in clients))
    elapsed = time.perf_counter() - started
    latencies = sorted(latency for client in clients for latency in client.latencies)
    p50, p99 = (latencies[int(len(latencies) * q)] * 1000 for q in (0.5, 0.99))
    return (
        f"{operation} connections={connections} depth={depth}: {len(latencies) / elapsed:.0f}/s "
        f"p50={p50:.2f}ms p99={p99:.2f}ms max={latencies[-1] * 1000:.1f}ms"
    )


def main(seconds: float) -> None:
    """Run every case against a new cluster."""
    cases = [("put", 1, 1), ("put", 100, 1), ("put", 100, 10), ("get", 1, 1), ("get", 100, 1)]
    with tempfile.TemporaryDirectory() as folder, running_cluster(Path(folder)) as cluster:
        for operation, connections, depth in cases:
            address = cluster.addresses[cluster.wait_leader()]
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                print(runner.run(run_case(address, operation, connections, depth, seconds)), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 5.0)
