"""AppendEntries on a follower: what is stored, what is refused, what the answer proves (§5.3)."""

# mypy takes a property for the same after a call.
# mypy: disable-error-code="comparison-overlap"

import pytest

from raftnode.core.errors import GroupNotFound, InvalidRequest, InvariantError, ShutdownError
from raftnode.core.membership import Configuration, make_configuration
from raftnode.core.messages import AppendEntriesRequest
from raftnode.core.types import EntryKind, HardState, LogEntry, NodeRole
from tests.support.bench import Bench, entries

NESTED = b"\xdc\x00\x08" + make_configuration([1, 2, 3]).encode()[1:] + b"\x91" * 100_000


def test_entries_that_follow_the_log_are_stored_and_proved() -> None:
    """On success `last_log_index` is `prev_log_index + len(entries)`."""
    bench = Bench([1, 1])
    answer = bench.append(2, 1, [1, 2], term=2)
    assert (answer.success, answer.last_log_index, answer.term) == (True, 4, 2)
    assert bench.log() == [(1, 1), (2, 1), (3, 1), (4, 2)]


def test_the_answer_never_claims_more_than_the_request_proved() -> None:
    """A heartbeat at index 1 says nothing of the entries behind it, which may conflict."""
    bench = Bench([1, 1, 1, 1])
    answer = bench.append(1, 1, [])
    assert (answer.success, answer.last_log_index) == (True, 1)
    assert bench.append(1, 1, [1]).last_log_index == 2


@pytest.mark.parametrize("terms", [[], [1], [1, 1]])
def test_a_delayed_or_duplicated_request_never_shortens_a_matching_log(terms: list[int]) -> None:
    """§5.3: only a conflict deletes entries."""
    bench = Bench([1, 1, 1, 1])
    assert bench.append(1, 1, terms).success
    assert bench.node.last_log_index == 4


def test_a_conflict_replaces_the_tail_from_the_first_difference() -> None:
    """Figure 2, AppendEntries steps 3 and 4."""
    bench = Bench([1, 1, 2, 2, 2])
    answer = bench.append(1, 1, [1, 3], term=3)
    assert (answer.success, answer.last_log_index) == (True, 3)
    assert bench.log() == [(1, 1), (2, 1), (3, 3)]


def test_a_gap_is_refused_before_anything_changes() -> None:
    """Figure 2, AppendEntries step 2: the log never has holes."""
    bench = Bench([1])
    answer = bench.append(3, 1, [1], commit=4)
    assert (answer.success, answer.last_log_index, answer.rejected_index) == (False, 1, 3)
    assert bench.log() == [(1, 1)]
    assert bench.node.commit_index == 0


def test_a_previous_entry_of_another_term_is_refused_before_anything_changes() -> None:
    """Figure 2, AppendEntries step 2."""
    bench = Bench([1, 1, 1])
    answer = bench.append(3, 2, [2], term=2, commit=4)
    assert not answer.success
    assert bench.log() == [(1, 1), (2, 1), (3, 1)]
    assert bench.node.commit_index == 0


def test_a_refusal_hints_at_the_last_entry_of_a_term_that_could_match() -> None:
    """§5.3: the fast way back over a conflicting tail."""
    bench = Bench([1, 1, 2, 4, 4, 4])
    answer = bench.append(6, 3, [5], term=5)
    assert (answer.success, answer.last_log_index, answer.rejected_index) == (False, 6, 6)
    assert (answer.conflict_index, answer.conflict_term) == (3, 2)


def test_a_request_of_a_past_term_is_refused_with_the_current_term() -> None:
    """Figure 2, AppendEntries step 1: the old leader learns that its time is over."""
    bench = Bench([1], term=5)
    answer = bench.append(1, 1, [2], term=4)
    assert (answer.success, answer.term) == (False, 5)
    assert (bench.node.last_log_index, bench.node.leader_id) == (1, None)


def test_a_higher_term_is_adopted_from_a_leader_even_where_it_is_refused() -> None:
    """Figure 2, all servers; the term is durable before the answer leaves."""
    bench = Bench([1], term=1)
    assert not bench.append(9, 4, [], term=5).success
    assert (bench.node.current_term, bench.node.leader_id) == (5, 2)
    assert bench.ready().hard_state == HardState(5, None)


def test_entries_at_or_below_the_snapshot_are_skipped() -> None:
    """§7: a snapshot covers them; those behind it are taken."""
    bench = Bench([2], snapshot=(5, 1), term=2)
    answer = bench.append(3, 1, [1, 1, 2, 2])
    assert (answer.success, answer.last_log_index) == (True, 7)
    assert bench.log() == [(6, 2), (7, 2)]


def test_a_previous_index_below_the_snapshot_is_a_match_at_the_commit_index() -> None:
    """§7: what a snapshot covers is committed, so it matches as far as the commit index."""
    bench = Bench([1, 1, 1], snapshot=(5, 1))
    bench.append(8, 1, [], commit=7)
    answer = bench.append(2, 1, [1])
    assert (answer.success, answer.last_log_index) == (True, 7)
    assert bench.node.last_log_index == 8


def test_a_previous_index_at_the_snapshot_is_compared_with_its_term() -> None:
    """§7: the snapshot's last entry has a known term."""
    bench = Bench(snapshot=(5, 2), term=3)
    assert not bench.append(5, 1, [3]).success
    assert bench.append(5, 2, [3]).success


def test_a_committed_entry_is_never_truncated() -> None:
    """A leader that would replace a committed entry proves a bug or corrupted state: the node stops."""
    bench = Bench([1, 1, 1])
    bench.append(3, 1, [], commit=2)
    with pytest.raises(InvariantError):
        bench.append(1, 1, [2], term=2)
    assert bench.log() == [(1, 1), (2, 1), (3, 1)]
    with pytest.raises(ShutdownError):
        bench.node.tick()
    with pytest.raises(ShutdownError):
        bench.append(3, 1, [])


def test_the_entry_after_the_commit_index_may_be_replaced() -> None:
    """§5.3: uncommitted entries have no right to stay."""
    bench = Bench([1, 1, 1])
    bench.append(3, 1, [], commit=2)
    assert bench.append(2, 1, [2], term=2).success
    assert bench.log() == [(1, 1), (2, 1), (3, 2)]


def test_a_leader_never_obeys_another_leader_of_its_own_term() -> None:
    """§5.2: there is none. Whoever claims it is wrong."""
    bench = Bench(term=1)
    bench.lead()
    answer = bench.append(0, 0, [1, 2, 2], leader=3)
    assert not answer.success
    assert bench.node.role is NodeRole.LEADER
    assert bench.node.last_log_index == 1
    assert bench.install(9, 2, leader=3).installed is False
    assert bench.node.role is NodeRole.LEADER


def test_a_leader_follows_the_leader_of_a_higher_term() -> None:
    """§5.1."""
    bench = Bench(term=1)
    bench.lead()
    assert bench.append(1, 2, [3], leader=3, term=3).success
    assert (bench.node.role, bench.node.leader_id) == (NodeRole.FOLLOWER, 3)


def test_the_answer_repeats_the_round_and_the_group() -> None:
    """Thesis 6.4: the leader learns which broadcast it answers, refusals included."""
    bench = Bench([1], group_id=7)
    for prev in (1, 5):
        request = AppendEntriesRequest(1, 2, prev, 1, [], 0, 7, 42)
        answer = bench.node.handle_append_entries(request)
        assert (answer.round, answer.group_id) == (42, 7)


@pytest.mark.parametrize(
    ("prev", "log"),
    [
        ((1, 1), [LogEntry(1, 3, b"")]),
        ((1, 1), [LogEntry(1, 2, b""), LogEntry(1, 4, b"")]),
        ((1, 1), [LogEntry(1, 3, b""), LogEntry(1, 2, b"")]),
        ((1, 1), [LogEntry(2, 2, b""), LogEntry(1, 3, b"")]),
        ((1, 1), [LogEntry(9, 2, b"")]),
        ((1, 1), [LogEntry(0, 2, b"")]),
        ((-1, 1), []),
        ((1, -1), []),
        ((1, 1), [LogEntry(1, 1, b"")]),
        ((1, 1), [LogEntry(1, 2, b"junk", EntryKind.CONFIGURATION)]),
        ((1, 1), [LogEntry(1, 2, NESTED, EntryKind.CONFIGURATION)]),
        ((1, 1), [LogEntry(1, 2, Configuration().encode(), EntryKind.CONFIGURATION)]),
        ((1, 1), [LogEntry(1, 2, Configuration((2, 1)).encode(), EntryKind.CONFIGURATION)]),
        ((0, 0), [LogEntry(1, 0, b"")]),
    ],
)
def test_malformed_entries_are_refused_before_anything_changes(prev: tuple[int, int], log: list[LogEntry]) -> None:
    """Peer input: gaps, disorder, falling terms, entries of a term above the leader's, negative numbers, and
    configurations that cannot be read. Nothing before the core checks this."""
    bench = Bench([1])
    with pytest.raises(InvalidRequest):
        bench.append(*prev, log=log, term=3)
    assert (bench.node.current_term, bench.node.last_log_index, bench.node.leader_id) == (1, 1, None)


def test_a_leader_that_claims_to_be_this_node_and_a_foreign_group_are_refused() -> None:
    """Peer input."""
    bench = Bench([1])
    with pytest.raises(InvalidRequest):
        bench.append(1, 1, leader=1, term=3)
    with pytest.raises(InvalidRequest):
        bench.append(1, 1, commit=-1)
    with pytest.raises(GroupNotFound) as caught:
        bench.node.handle_append_entries(AppendEntriesRequest(3, 2, 1, 1, [], 0, 9))
    assert caught.value.group_id == 9
    assert (bench.node.current_term, bench.node.leader_id) == (1, None)


# Commit on a follower.


def test_the_commit_index_moves_to_at_most_the_last_entry_that_the_request_proves() -> None:
    """§5.3: entries behind the proven ones may conflict with the leader's, whatever it has committed."""
    bench = Bench([1, 1, 1, 1])
    bench.append(1, 1, [], commit=4, term=2)
    assert bench.node.commit_index == 1
    bench.append(1, 1, [1], commit=4, term=2)
    assert bench.node.commit_index == 2


def test_the_commit_index_follows_the_leaders_and_never_moves_back() -> None:
    """Figure 2, AppendEntries step 5; an older request changes nothing."""
    bench = Bench([1, 1, 1, 1])
    bench.append(4, 1, [], commit=3)
    assert bench.node.commit_index == 3
    bench.append(4, 1, [], commit=1)
    bench.append(1, 1, [], commit=3)
    assert bench.node.commit_index == 3


def test_a_refused_request_commits_nothing() -> None:
    """§5.3."""
    bench = Bench([1, 1])
    bench.append(2, 9, [], commit=2, term=9)
    assert bench.node.commit_index == 0


# Candidates.


@pytest.mark.parametrize("pre_vote", [True, False])
@pytest.mark.parametrize("snapshot", [True, False])
def test_a_campaign_ends_when_a_leader_of_the_same_term_appears(pre_vote: bool, snapshot: bool) -> None:
    """§5.2: a candidate or pre-candidate that sees a valid leader of its term steps down, on a snapshot too."""
    bench = Bench(term=4, pre_vote=pre_vote)
    bench.time_out()
    campaigning = NodeRole.PRE_CANDIDATE if pre_vote else NodeRole.CANDIDATE
    assert bench.node.role is campaigning
    if snapshot:
        bench.install(5, 3, leader=3, done=False, data=b"chunk")
    else:
        bench.append(0, 0, leader=3)
    assert (bench.node.role, bench.node.leader_id) == (NodeRole.FOLLOWER, 3)
    assert bench.ready().vote_requests == []


def test_a_campaign_goes_on_when_a_leader_of_a_past_term_appears() -> None:
    """§5.1."""
    bench = Bench(term=4, pre_vote=False)
    bench.time_out()
    bench.append(0, 0, leader=3, term=4)
    assert bench.node.role is NodeRole.CANDIDATE


def test_hearing_from_the_leader_postpones_the_election() -> None:
    """§5.2."""
    bench = Bench(term=4)
    for _ in range(50):
        bench.clock.advance(0.5)
        bench.append(0, 0, leader=3)
        bench.node.tick()
        assert bench.node.role is NodeRole.FOLLOWER


def test_a_past_leader_does_not_postpone_the_election() -> None:
    """§5.2: only the current leader does."""
    bench = Bench(term=4)
    for _ in range(10):
        bench.clock.advance(0.5)
        bench.append(0, 0, leader=3, term=3)
        bench.node.tick()
    assert bench.node.role is NodeRole.PRE_CANDIDATE


def test_entries_with_long_overlap_are_stored_once() -> None:
    """A retransmission that overlaps the log adds only what is new."""
    bench = Bench([1, 1, 1])
    assert bench.append(0, 0, log=entries([1, 1, 1, 1, 1])).last_log_index == 5
    assert bench.log() == [(i, 1) for i in range(1, 6)]
