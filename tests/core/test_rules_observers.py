"""Observers: permanent copies that cost the leader neither memory nor the voters' time."""

from raftnode.core.progress import ProgressState
from tests.support.bench import Bench

HOUR_SECONDS = 3600
ENTRY_BYTES = 1024


def test_an_observer_that_stops_reading_for_an_hour_costs_no_memory_and_no_latency() -> None:
    """Its window stays where it was, what is kept for it does not grow, and commits wait for voters only."""
    bench = Bench(
        term=1,
        observers=(4,),
        heartbeat_interval=0.5,
        log_cache_bytes_max=64 * ENTRY_BYTES,
        observer_inflight_messages_max=4,
        observer_inflight_bytes_max=16 * ENTRY_BYTES,
    )
    bench.lead()
    sent_bytes = cached = 0
    for second in range(HOUR_SECONDS):
        for _ in range(4):
            bench.node.propose(b"x" * ENTRY_BYTES)
        ready = bench.ready()
        sent_bytes += sum(len(e.data) for peer, m in ready.messages if peer == 4 for e in m.entries)
        index = bench.node.last_log_index
        for peer in (2, 3):
            bench.ack(peer, index)
        bench.ready()
        # Committed by the voters' answers alone, at once.
        assert bench.node.commit_index == index
        if second % 50 == 49:
            bench.node.compact(index - 20)
        observer = next(peer for peer in bench.node.status().peers if peer.peer == 4)
        assert observer.inflight_messages <= 4
        assert observer.inflight_bytes <= 16 * ENTRY_BYTES + 4 * ENTRY_BYTES
        cached = max(cached, len(bench.node._state.log._cache))
        bench.clock.advance(1.0)
        bench.node.tick()
        for peer in (2, 3):
            bench.ack(peer, index)
    # A probe for each of the first seconds, until compaction leaves it to a snapshot; never all of the hour's 14 MB.
    assert sent_bytes < HOUR_SECONDS * 4 * ENTRY_BYTES / 10
    assert cached <= 64 + 4 * 50
    assert observer.progress == ProgressState.SNAPSHOT.value


def test_an_observer_that_reads_again_is_served_from_where_it_is() -> None:
    """Its acknowledgement opens the window again; the voters never waited."""
    bench = Bench(term=1, observers=(4,), observer_inflight_messages_max=2)
    index = bench.lead()
    bench.heartbeat()
    bench.ack(4, index)
    for _ in range(10):
        bench.node.propose(b"x")
        bench.ready()
    status = next(peer for peer in bench.node.status().peers if peer.peer == 4)
    assert (status.inflight_messages, status.next_index) == (2, index + 3)
    bench.ack(4, index + 2)
    (message,) = [m for peer, m in bench.ready().messages if peer == 4]
    assert [entry.index for entry in message.entries] == list(range(index + 3, index + 11))
