"""raftctl cluster bench, against scripted nodes: its figures, what it leaves behind, and how it fails."""

from typing import Any

import pytest

from raftctl.commands.cluster.load import Figures
from raftnode.wire import client as wire
from raftnode.wire.kv import List as ListQuery
from raftnode.wire.kv import ListResult, decode_result
from raftnode.wire.kv import encode as encode_query
from tests.raftctl.conftest import Cli
from tests.support.fake_node import HANG_UP, FakeCluster, Reply

BENCH = "cluster bench --connections 2 --depth 3 --seconds 0.2 --value-bytes 8"


def keys(cluster: FakeCluster) -> int:
    found = decode_result(cluster.machine.query(encode_query(ListQuery(b""))))
    assert isinstance(found, ListResult)
    return len(found.items)


@pytest.mark.parametrize("op", ["put", "get"])
def test_bench_measures_and_leaves_nothing_behind(cluster: FakeCluster, cli: Cli, op: str) -> None:
    """The JSON has the figures that scripts compare; the keys are gone afterwards."""
    record = cli(f"{BENCH} --op {op} -o json").json
    assert record["schema"] == "raftctl.cluster.bench/1"
    assert (record["op"], record["connections"], record["depth"], record["value_bytes"]) == (op, 2, 3, 8)
    assert record["operations"] > 5
    assert record["ops_per_second"] == pytest.approx(record["operations"] / record["seconds"], rel=0.01)
    assert 0 < record["p50_ms"] <= record["p99_ms"] <= record["max_ms"]
    assert record["errors"] == 0
    assert keys(cluster) == 0
    assert cluster.count(wire.OpenSession) == (2 if op == "put" else 0)
    assert cluster.count(wire.Read) == (record["operations"] if op == "get" else 0)


def test_a_connection_that_breaks_is_counted_and_the_others_go_on(cluster: FakeCluster, cli: Cli) -> None:
    """What was on its way there failed."""
    broken: list[int] = []

    def hang_up_once(_node: int, request: Any) -> Reply | None:
        if isinstance(request, wire.Write) and request.session and request.sequence == 5 and not broken:
            broken.append(request.session)
            return HANG_UP
        return None

    cluster.interfere = hang_up_once
    record = cli(f"{BENCH} -o json").json
    assert 1 <= record["errors"] <= 3
    assert record["operations"] > 5


def test_refusals_are_errors_and_nothing_but_errors_is_a_failure(cluster: FakeCluster, cli: Cli) -> None:
    """Nothing that failed exits 0."""

    def refuse(_node: int, request: Any) -> Reply | None:
        if isinstance(request, wire.Write) and request.session:
            return wire.Failed(0, wire.ErrorCode.BUSY, "too much")
        return None

    cluster.interfere = refuse
    got = cli(BENCH)
    assert got.code == 4
    assert "0 were answered" in got.err


@pytest.mark.parametrize("words", ["--connections 0", "--depth 0", "--value-bytes -1", "--seconds 0", "--op other"])
def test_numbers_that_make_no_sense_are_exit_2(cluster: FakeCluster, cli: Cli, words: str) -> None:
    """Before anything is sent."""
    assert cli(f"cluster bench {words}").code == 2
    assert all(not node.requests for node in cluster.nodes.values())


def test_without_a_leader_it_is_exit_5(cluster: FakeCluster, cli: Cli) -> None:
    """There is nothing to measure."""
    cluster.leader = 0
    assert cli("cluster bench --timeout 0.3s").code == 5


def test_a_percentile_is_a_latency_that_occurred() -> None:
    """Also of few, and of none."""
    assert Figures([0.001, 0.002, 0.003, 0.004], 0, 2.0).percentile_ms(0.5) == 3.0
    assert Figures([0.001], 0, 2.0).percentile_ms(0.99) == 1.0
    assert (Figures().percentile_ms(0.5), Figures().per_second) == (0.0, 0.0)
