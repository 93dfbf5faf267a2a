"""InstallSnapshot and compaction (figure 13, §7)."""

# mypy takes a property for the same after a call.
# mypy: disable-error-code="comparison-overlap"

import msgspec
import pytest

from raftnode.core.errors import GroupNotFound, InvalidRequest, LogCompacted, NotLeader
from raftnode.core.membership import SnapshotMeta, make_configuration
from raftnode.core.messages import InstallSnapshotRequest
from raftnode.core.types import NodeRole
from raftnode.testing import Stage
from tests.support.bench import Bench


def test_a_snapshot_in_one_chunk_is_installed() -> None:
    """Figure 13: commit, applied and snapshot point move to its last entry."""
    bench = Bench([1])
    answer = bench.install(7, 3, leader_term=4)
    assert (answer.installed, answer.last_included_index, answer.next_offset) == (True, 7, 5)
    node = bench.node
    assert (node.log_snapshot_index, node.log_snapshot_term, node.last_log_index) == (7, 3, 7)
    assert (node.commit_index, node.last_applied, node.leader_id, node.current_term) == (7, 7, 2, 4)
    assert bench.storage.snapshot_metadata() == (7, 3)


def test_the_core_acts_when_done_arrives_with_nothing_missing() -> None:
    """Figure 13, steps 2 to 5: chunks follow each other."""
    bench = Bench([1])
    assert bench.install(7, 1, data=b"abc", done=False).next_offset == 3
    assert bench.install(7, 1, offset=3, data=b"de", done=False).next_offset == 5
    assert bench.node.log_snapshot_index == 0
    assert bench.install(7, 1, offset=5, data=b"f").installed
    assert bench.node.log_snapshot_index == 7


def test_a_missing_chunk_is_asked_for_again() -> None:
    """The answer names the byte to go on from."""
    bench = Bench([1])
    bench.install(7, 1, data=b"abc", done=False)
    answer = bench.install(7, 1, offset=9, data=b"z")
    assert (answer.installed, answer.next_offset) == (False, 3)
    assert bench.node.log_snapshot_index == 0


def test_a_duplicated_chunk_does_not_count_twice() -> None:
    """The network repeats."""
    bench = Bench([1])
    bench.install(7, 1, data=b"abc", done=False)
    assert bench.install(7, 1, data=b"abc", done=False).next_offset == 3


@pytest.mark.parametrize("other", ["index", "term", "leader_term"])
def test_another_snapshot_starts_again_at_offset_zero(other: str) -> None:
    """Figure 13: chunks of two snapshots are never put together."""
    bench = Bench([1], term=5)
    bench.install(7, 2, data=b"abc", done=False)
    answer = bench.install(
        8 if other == "index" else 7, 3 if other == "term" else 2,
        leader_term=6 if other == "leader_term" else None, offset=3, data=b"d",
    )  # fmt: skip
    assert (answer.installed, answer.next_offset) == (False, 0)
    assert bench.node.log_snapshot_index == 0


@pytest.mark.parametrize("leader_term", [5, 6, 9])
def test_another_leader_goes_on_with_a_snapshot_of_the_same_checksum(leader_term: int) -> None:
    """Index, term and checksum say that it is the same to the byte, whoever sends it and in whichever term."""
    bench = Bench([1], term=5)
    bench.install(7, 2, data=b"abc", done=False, checksum=77)
    probe = bench.install(
        7, 2, leader=3 if leader_term > 5 else 2, leader_term=leader_term, data=b"ab", done=False, checksum=77
    )
    assert (probe.installed, probe.next_offset) == (False, 3)
    assert bench.install(
        7, 2, leader=3 if leader_term > 5 else 2, leader_term=leader_term, offset=3, data=b"d", checksum=77
    ).installed


@pytest.mark.parametrize("other", ["index", "term", "checksum", "no checksum"])
def test_another_snapshot_than_the_one_with_a_checksum_starts_at_offset_zero(other: str) -> None:
    """All three must be the same; a leader that tells no checksum may have another file."""
    bench = Bench([1], term=5)
    bench.install(7, 2, data=b"abc", done=False, checksum=77)
    answer = bench.install(
        8 if other == "index" else 7,
        3 if other == "term" else 2,
        offset=3,
        data=b"d",
        checksum={"checksum": 78, "no checksum": 0}.get(other, 77),
    )
    assert (answer.installed, answer.next_offset) == (False, 0)
    assert bench.node.log_snapshot_index == 0


def test_chunks_that_the_caller_lost_are_sent_again() -> None:
    """`abort_incoming_snapshot`."""
    bench = Bench([1])
    bench.install(7, 1, data=b"abc", done=False)
    bench.node.abort_incoming_snapshot()
    assert bench.install(7, 1, offset=3, data=b"d").next_offset == 0


@pytest.mark.parametrize(
    ("chunk", "wanted"),
    [
        ({}, True),
        ({"offset": 4}, False),
        ({"offset": 0}, False),
        ({"checksum": 9}, False),
        ({"checksum": 9, "offset": 0}, True),
        ({"term": 4}, False),
        ({"last_included_index": 2}, False),
        ({"term": 6}, True),
    ],
)
def test_only_the_next_chunk_of_a_snapshot_is_stored(chunk: dict[str, int], wanted: bool) -> None:
    """`wants_chunk`: of a leader that this node follows, above the commit index, where the last chunk ended."""
    bench = Bench([1, 1], term=5)
    bench.append(2, 1, [], commit=2)
    assert not bench.node.snapshot_arriving
    bench.install(7, 3, data=b"abc", done=False, checksum=8)
    assert bench.node.snapshot_arriving
    request = msgspec.structs.replace(InstallSnapshotRequest(5, 2, 7, 3, 3, b"d", False, checksum=8), **chunk)
    assert bench.node.wants_chunk(request) is wanted
    assert bench.node.current_term == 5
    answer = bench.node.handle_install_snapshot(request)
    covered = request.last_included_index <= 2
    assert (answer.next_offset == request.offset + 1) is (wanted or covered)
    assert not answer.installed


def test_only_a_leader_makes_chunks_of_a_snapshot() -> None:
    """A node that was deposed and goes on sending would claim to lead the term of another."""
    bench = Bench(term=1, group_id=5, peers=())
    meta = SnapshotMeta(7, 1, make_configuration([1, 2, 3]))
    with pytest.raises(NotLeader):
        bench.node.snapshot_chunk(meta, 0, b"abc", False)
    bench.lead()
    chunk = bench.node.snapshot_chunk(meta, 3, b"d", True, 8)
    assert chunk == InstallSnapshotRequest(2, 1, 7, 1, 3, b"d", True, 5, meta.configuration, 0, 8)
    with pytest.raises(ValueError, match="without its members"):
        bench.node.snapshot_chunk(SnapshotMeta(7, 1), 0, b"abc", False)


def test_a_leader_stores_no_chunks() -> None:
    """Another leader of its term cannot be."""
    leader = Bench(term=1)
    leader.lead()
    assert not leader.node.wants_chunk(InstallSnapshotRequest(2, 3, 7, 1, 0, b"d", False))
    with pytest.raises(InvalidRequest):
        leader.node.wants_chunk(InstallSnapshotRequest(2, 1, 7, 1, 0, b"d", False))
    with pytest.raises(GroupNotFound):
        leader.node.wants_chunk(InstallSnapshotRequest(2, 3, 7, 1, 0, b"d", False, group_id=5))


def test_the_suffix_is_kept_where_the_entry_at_the_snapshot_has_its_term() -> None:
    """Figure 13, step 6."""
    bench = Bench([1, 1, 2, 2])
    assert bench.install(3, 2).installed
    assert bench.log() == [(4, 2)]
    assert bench.node.last_log_index == 4


def test_the_suffix_is_discarded_where_the_term_differs() -> None:
    """Figure 13, step 7: it followed another entry."""
    bench = Bench([1, 1, 1, 1])
    assert bench.install(3, 2, leader_term=2).installed
    assert bench.log() == []
    assert (bench.node.last_log_index, bench.node.last_log_term) == (3, 2)
    assert not bench.append(4, 1, [], term=2).success


def test_a_snapshot_never_goes_back() -> None:
    """An old snapshot, delayed or repeated, changes nothing, and nobody is told to load it."""
    bench = Bench([1, 1, 1, 1])
    bench.append(4, 1, [], commit=3)
    bench.ready()
    answer = bench.install(2, 1)
    assert (answer.installed, answer.next_offset) == (False, len(b"state"))
    node = bench.node
    assert (node.log_snapshot_index, node.commit_index, node.last_applied, node.last_log_index) == (0, 3, 3, 4)
    assert bench.install(9, 1).installed
    assert not bench.install(9, 1).installed
    assert not bench.install(7, 1).installed
    assert (node.log_snapshot_index, node.commit_index) == (9, 9)


def test_a_snapshot_of_a_past_term_is_refused_with_the_current_one() -> None:
    """Figure 13, step 1."""
    bench = Bench([1], term=5)
    answer = bench.install(7, 3, leader_term=4)
    assert (answer.installed, answer.term) == (False, 5)
    assert bench.node.log_snapshot_index == 0


def test_a_snapshot_postpones_the_election() -> None:
    """A leader that sends chunks is alive."""
    bench = Bench([1])
    for offset in range(20):
        bench.clock.advance(0.5)
        bench.install(7, 1, offset=offset, data=b"x", done=False)
        bench.node.tick()
    assert bench.node.role is NodeRole.FOLLOWER


@pytest.mark.parametrize(
    "fields", [(0, 1, 0), (5, 0, 0), (5, 1, -1), (5, 9, 0), (-1, 1, 0)]
)  # fmt: skip
def test_malformed_snapshots_are_refused_before_anything_changes(fields: tuple[int, int, int]) -> None:
    """Peer input."""
    bench = Bench([1])
    index, term, offset = fields
    with pytest.raises(InvalidRequest):
        bench.install(index, term, leader_term=3, offset=offset)
    with pytest.raises(InvalidRequest):
        bench.install(5, 1, leader=1, leader_term=3)
    with pytest.raises(GroupNotFound):
        bench.node.handle_install_snapshot(InstallSnapshotRequest(3, 2, 5, 1, 0, b"", True, 8))
    assert (bench.node.current_term, bench.node.leader_id, bench.node.last_log_index) == (1, None, 1)


def test_a_learner_installs_a_snapshot_and_learns_its_role() -> None:
    """Membership: the snapshot's configuration says what it is."""
    from raftnode.core.membership import make_configuration

    bench = Bench(starts_as_learner=True)
    bench.install(7, 1, leader_term=1, configuration=make_configuration([1, 2, 3]))
    role = bench.node.role
    assert role is NodeRole.FOLLOWER


def test_compaction_discards_only_what_is_applied() -> None:
    """§7: a snapshot covers what the machine has applied."""
    bench = Bench([1, 1, 2, 2])
    bench.append(4, 2, [], commit=3)
    bench.ready()
    with pytest.raises(ValueError, match="applied"):
        bench.node.compact(4)
    bench.node.compact(3)
    assert (bench.node.log_snapshot_index, bench.node.log_snapshot_term) == (3, 2)
    assert bench.log() == [(4, 2)]
    bench.node.compact(2)
    assert bench.node.log_snapshot_index == 3


def test_the_committed_range_is_read_with_both_ends_and_clamped() -> None:
    """`log_entries_range`."""
    bench = Bench([1, 1, 1, 2, 2])
    bench.append(5, 2, [], commit=4)
    bench.ready()
    assert [e.index for e in bench.node.log_entries_range(2, 3)] == [2, 3]
    assert [e.index for e in bench.node.log_entries_range(3, 99)] == [3, 4]
    assert bench.node.log_entries_range(5, 9) == []
    with pytest.raises(ValueError, match="index 1"):
        bench.node.log_entries_range(0, 3)
    bench.node.compact(2)
    with pytest.raises(LogCompacted) as caught:
        bench.node.log_entries_range(2, 4)
    assert (caught.value.requested, caught.value.first_available) == (2, 3)
    assert [e.index for e in bench.node.log_entries_range(3, 4)] == [3, 4]


def test_the_range_reaches_into_what_left_the_memory() -> None:
    """The cache's budget changes nothing but the speed."""
    bench = Bench([1] * 3000, log_cache_bytes_max=500)
    bench.append(3000, 1, [], commit=2990)
    assert [e.index for e in bench.node.log_entries_range(1, 9999)] == list(range(1, 2991))
    part = bench.node.log_entries_within(10, 9999, 20)
    assert part[0].index == 10
    assert len(part) < 10


def test_a_follower_behind_a_compacted_log_catches_up_by_snapshot() -> None:
    """§7, in a stage: snapshot, then the entries behind it."""
    stage = Stage(3)
    leader = stage.elect(1)
    stage.isolate(3)
    for i in range(30):
        leader.propose(str(i).encode())
    stage.settle()
    stage.processes[1].take_snapshot()
    leader.propose(b"30")
    stage.settle()
    stage.heal()
    stage.until(lambda: stage.machines[3] == [str(i).encode() for i in range(31)])
    assert stage.nodes[3].log_snapshot_index == leader.log_snapshot_index
    assert leader.match_index_for(3) == leader.last_log_index


def test_an_observer_behind_a_compacted_log_catches_up_by_snapshot() -> None:
    """An observer is served as the others are."""
    stage = Stage(3)
    leader = stage.elect(1)
    for i in range(30):
        leader.propose(str(i).encode())
    stage.settle()
    stage.processes[1].take_snapshot()
    from raftnode.core.membership import ConfChange

    stage.add(7)
    leader.propose_conf_change(ConfChange.add_observer(7))
    stage.until(lambda: stage.machines[7] == stage.machines[1])
    stage.until(lambda: stage.nodes[7].role is NodeRole.OBSERVER)
