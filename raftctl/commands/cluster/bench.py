"""raftctl cluster bench: what the cluster does for clients, measured from here."""

from typing import Annotated, Final

from raftctl.cli.command import Opt, command
from raftctl.cli.context import CommandContext
from raftctl.output.report import Column, Report
from raftctl.output.text import duration, escape_text
from raftctl.view.take import view_with_leader
from raftnode.config.errors import UsageError
from raftnode.wire.kv import VALUE_BYTES_MAX

CONNECTIONS_MAX: Final = 1000


@command("cluster bench", connects=True)
def bench(
    ctx: CommandContext,
    *,
    op: Annotated[str, Opt("--op", "Writes, or linearizable reads.", "WHICH", ("put", "get"))] = "put",
    connections: Annotated[int, Opt("--connections", "How many connections to the leader.", "N")] = 100,
    depth: Annotated[int, Opt("--depth", "How many requests are in flight on each.", "N")] = 1,
    seconds: Annotated[float, Opt("--seconds", "How long, such as 5 or 1m.", "DURATION", convert=duration)] = 5.0,
    value_bytes: Annotated[int, Opt("--value-bytes", "How long a value is.", "N")] = 256,
    dry_run: Annotated[bool, Opt("--dry-run", "Say which leader would be measured, and send it nothing.")] = False,
) -> None:
    """Measure requests per second and their latencies against the leader.

    It writes a thousand keys under raftctl-bench/ and removes them at the end. Each connection has a session and
    sends its next request when an answer comes. The load comes from one Python process, which shares its machine's
    processors with any node there: against a fast cluster, it is the limit. --timeout is for finding the leader.

    The JSON has ops_per_second, p50_ms, p99_ms, max_ms and errors, besides what was asked for. Requests that fail
    count as errors, and the exit code is 0 as long as one was answered.

    Example: raftctl cluster bench --op put --connections 100 --seconds 5 -o json
    """
    if not 1 <= connections <= CONNECTIONS_MAX or not 1 <= depth <= CONNECTIONS_MAX:
        raise UsageError(
            f"invalid --connections {connections} or --depth {depth}",
            f"--connections and --depth must be between 1 and {CONNECTIONS_MAX}",
            "leave them out for 100 and 1",
        )
    if not 0 <= value_bytes <= VALUE_BYTES_MAX or not seconds > 0:
        raise UsageError(
            f"invalid --value-bytes {value_bytes} or --seconds {seconds:g}",
            f"--value-bytes must be between 0 and {VALUE_BYTES_MAX}, and --seconds above 0",
            "leave them out for 256 and 5",
        )
    from raftctl.commands.cluster.load import (
        benchmark_failed,
        delete_each,
        each_key,
        put_each,
        reader,
        run_load,
        writer,
    )
    from raftnode.client.guard import ClusterGuard

    with ctx.cluster() as cluster:
        view = view_with_leader(cluster)
    assert view.leader is not None, "view_with_leader gives a view with a leader"
    if dry_run:
        _would_run(ctx, view.leader.node_name, connections, depth)
        return
    address, guard, value = view.leader.address, ClusterGuard(view.cluster_id), b"x" * value_bytes
    try:
        if op == "get":
            each_key(put_each(value), address, guard)
        makers = [writer(i, value) if op == "put" else reader(i) for i in range(connections)]
        figures = run_load(
            address, guard, makers, depth=depth, seconds=seconds, sessions=op == "put", report=ctx.progress()
        )
    finally:
        each_key(delete_each, address, guard)
    if not figures.latencies:
        raise benchmark_failed(figures)
    record = {
        "op": op,
        "connections": connections,
        "depth": depth,
        "seconds": round(figures.elapsed, 3),
        "value_bytes": value_bytes,
        "operations": len(figures.latencies),
        "ops_per_second": figures.per_second,
        "p50_ms": figures.percentile_ms(0.5),
        "p99_ms": figures.percentile_ms(0.99),
        "max_ms": figures.percentile_ms(1.0),
        "errors": figures.errors,
    }
    shown = ("op", "connections", "depth", "ops_per_second", "p50_ms", "p99_ms", "max_ms", "errors")
    ctx.output.emit(
        Report(
            "cluster.bench",
            record,
            "",
            [Column(name.upper().replace("_", " ")) for name in shown],
            [[str(record[name]) for name in shown]],
            names=[str(figures.per_second)],
        )
    )


def _would_run(ctx: CommandContext, leader: str, connections: int, depth: int) -> None:
    from raftctl.commands.cluster.load import KEYS, PREFIX

    ctx.output.emit(
        Report(
            "cluster.bench",
            {"changed": False, "dry_run": True, "leader": leader, "in_flight": connections * depth, "keys": KEYS},
            f"changed: false  would keep {connections * depth} requests in flight to the leader {escape_text(leader)}; "
            f"it writes {KEYS} keys under {PREFIX.decode()} and removes them",
            names=[leader],
        )
    )
