"""The contract of each method and attribute that embedders rely on (DESIGN 3)."""

# mypy takes a property for the same after a call.
# mypy: disable-error-code="comparison-overlap"

import random

import pytest

import raftnode
from raftnode.core.config import RaftConfig
from raftnode.core.errors import (
    GroupNotFound,
    InvalidRequest,
    InvariantError,
    LogCompacted,
    NotLeader,
    ProposalRejected,
    RaftError,
    SerializationError,
    ShutdownError,
    StorageError,
    TransportError,
)
from raftnode.core.membership import ChangeKind, ConfChange
from raftnode.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    TimeoutNowRequest,
)
from raftnode.core.node import RaftNode
from raftnode.core.ready import Ready
from raftnode.core.storage import LogStorage, MemStorage
from raftnode.core.types import EntryKind, HardState, LogEntry, NodeRole
from raftnode.testing import Clock, Stage
from tests.support.bench import Bench, option


def test_the_fixed_names_import_from_the_package() -> None:
    """DESIGN 3: fixed names."""
    for name in (
        "RaftNode",
        "RaftConfig",
        "Ready",
        "NodeRole",
        "HardState",
        "LogEntry",
        "EntryKind",
        "LogStorage",
        "MemStorage",
        "AppendEntriesRequest",
        "AppendEntriesResponse",
        "RequestVoteRequest",
        "RequestVoteResponse",
        "InstallSnapshotRequest",
        "InstallSnapshotResponse",
        "ConfChange",
    ):
        assert hasattr(raftnode, name)


def test_the_errors_form_one_tree_and_carry_their_fields() -> None:
    """DESIGN 3: errors."""
    for error in (
        NotLeader,
        LogCompacted,
        ProposalRejected,
        GroupNotFound,
        TransportError,
        StorageError,
        SerializationError,
        ShutdownError,
        InvariantError,
        InvalidRequest,
    ):
        assert issubclass(error, RaftError)
        assert hasattr(raftnode, error.__name__)
    assert NotLeader(3).leader_hint == 3
    assert NotLeader().leader_hint is None
    assert ProposalRejected("why").reason == "why"
    assert GroupNotFound(4).group_id == 4
    assert (LogCompacted(2, 9).requested, LogCompacted(2, 9).first_available) == (2, 9)


def test_the_messages_take_their_fields_in_order_and_default_the_rest() -> None:
    """DESIGN 3: messages."""
    entry = LogEntry(1, 2, b"x")
    assert (entry.term, entry.index, entry.data, entry.kind) == (1, 2, b"x", EntryKind.COMMAND)
    append = AppendEntriesRequest(1, 2, 3, 4, [entry], 5)
    assert (append.term, append.leader_id, append.prev_log_index, append.prev_log_term) == (1, 2, 3, 4)
    assert (append.entries, append.leader_commit, append.group_id) == ([entry], 5, 0)
    answer = AppendEntriesResponse(1, True, 3)
    assert (answer.term, answer.success, answer.last_log_index) == (1, True, 3)
    vote = RequestVoteRequest(1, 2, 3, 4)
    assert (vote.term, vote.candidate_id, vote.last_log_index, vote.last_log_term, vote.group_id) == (1, 2, 3, 4, 0)
    granted = RequestVoteResponse(1, True)
    assert (granted.term, granted.vote_granted) == (1, True)
    chunk = InstallSnapshotRequest(1, 2, 3, 4, 5, b"d", True)
    assert (chunk.last_included_index, chunk.last_included_term, chunk.offset) == (3, 4, 5)
    assert (chunk.data, chunk.done, chunk.group_id) == (b"d", True, 0)
    assert InstallSnapshotResponse(4).term == 4
    assert (HardState().current_term, HardState().voted_for) == (0, None)
    assert {kind.name for kind in EntryKind} == {"COMMAND", "NOOP", "CONFIGURATION"}


def test_a_fresh_node_knows_nothing() -> None:
    """Attributes before anything happened."""
    node = Bench(term=0, group_id=4, learners=(5,), observers=(6,)).node
    assert (node.node_id, node.group_id, node.role, node.leader_id) == (1, 4, NodeRole.FOLLOWER, None)
    assert (node.current_term, node.commit_index, node.last_applied, node.last_log_index) == (0, 0, 0, 0)
    assert (node.log_snapshot_index, node.log_snapshot_term) == (0, 0)
    assert (node.peers, node.voters, node.learners, node.observers) == ((2, 3), (2, 3), (5,), (6,))


def test_the_attributes_are_read_only() -> None:
    """DESIGN 3: properties."""
    node = Bench().node
    for name in ("node_id", "role", "leader_id", "current_term", "commit_index", "last_applied", "peers"):
        with pytest.raises(AttributeError):
            setattr(node, name, 1)


@pytest.mark.parametrize(
    ("passive", "role"), [("starts_as_learner", NodeRole.LEARNER), ("starts_as_observer", NodeRole.OBSERVER)]
)
def test_a_node_starts_in_the_capacity_of_its_configuration(passive: str, role: NodeRole) -> None:
    """`starts_as_*`."""
    assert Bench(**option(passive)).node.role is role


def test_restore_comes_before_the_first_tick() -> None:
    """`restore()` is required."""
    bench = Bench(restore=False)
    with pytest.raises(RaftError, match="restore"):
        bench.node.tick()


def test_restore_loads_hard_state_log_and_snapshot() -> None:
    """`restore()`."""
    node = Bench([3, 3], snapshot=(5, 2), term=4, voted_for=2).node
    assert (node.current_term, node.voted_for) == (4, 2)
    assert (node.log_snapshot_index, node.log_snapshot_term, node.last_log_index, node.last_log_term) == (5, 2, 7, 3)
    assert (node.commit_index, node.last_applied) == (5, 5)


def test_entries_of_a_term_that_was_not_saved_bring_their_term() -> None:
    """A crash between the log and the hard state: the log is never ahead of the term."""
    bench = Bench([3], term=2, voted_for=3)
    assert (bench.node.current_term, bench.node.voted_for) == (3, None)
    assert bench.ready().hard_state == HardState(3, None)


def test_tick_drives_elections_by_the_clock() -> None:
    """`tick()`: within the configured timeouts and not before."""
    seen = set()
    for seed in range(30):
        clock = Clock()
        node = RaftNode(RaftConfig(1, peers=(2, 3)), MemStorage(), clock=clock, rng=random.Random(seed))
        node.restore()
        clock.advance(0.999)
        node.tick()
        assert node.role is NodeRole.FOLLOWER
        clock.advance(0.5)
        node.tick()
        seen.add(node.role)
        clock.advance(0.502)
        node.tick()
        assert node.role is NodeRole.PRE_CANDIDATE
    assert seen == {NodeRole.FOLLOWER, NodeRole.PRE_CANDIDATE}


def test_the_same_clock_and_rng_give_the_same_node() -> None:
    """DESIGN 3: deterministic."""
    deadlines = set()
    for _ in range(3):
        node = RaftNode(RaftConfig(1, peers=(2, 3)), MemStorage(), clock=Clock(), rng=random.Random(5))
        node.restore()
        deadlines.add(node.next_deadline())
    assert len(deadlines) == 1


def test_tick_sends_heartbeats() -> None:
    """§5.2: at the interval, to every member, learners and observers included."""
    bench = Bench(term=1, learners=(4,), observers=(5,))
    bench.lead()
    for peer in (4, 5):
        bench.ack(peer, 1)
    bench.ready()
    bench.node.tick()
    assert bench.ready().messages == []
    ready = bench.heartbeat()
    assert [peer for peer, _ in ready.messages] == [2, 3, 4, 5]
    assert all(m.entries == [] and m.leader_commit == 1 for _, m in ready.messages)


def test_propose_returns_the_index_and_replicates() -> None:
    """`propose()`."""
    bench = Bench(term=1)
    bench.lead()
    assert bench.node.propose(b"a") == 2
    assert bench.node.propose_batch([b"b", b"c"]) == 3
    assert bench.node.last_log_index == 4
    messages = bench.ready().messages
    assert sorted(peer for peer, _ in messages) == [2, 3]
    assert [(e.index, e.term, e.data) for e in messages[0][1].entries] == [(2, 2, b"a"), (3, 2, b"b"), (4, 2, b"c")]


def test_a_configuration_is_not_proposed_as_a_command() -> None:
    """It would pass the rules of membership."""
    bench = Bench(term=1)
    bench.lead()
    with pytest.raises(ProposalRejected):
        bench.node.propose(b"", EntryKind.CONFIGURATION)


def test_a_follower_refuses_a_proposal_with_the_leaders_id() -> None:
    """`NotLeader(leader_hint)`."""
    bench = Bench(term=1)
    with pytest.raises(NotLeader) as caught:
        bench.node.propose(b"x")
    assert caught.value.leader_hint is None
    bench.append(0, 0, leader=3)
    with pytest.raises(NotLeader) as caught:
        bench.node.propose(b"x")
    assert caught.value.leader_hint == 3


def test_after_a_step_down_the_leader_hint_is_not_this_node() -> None:
    """RELIABILITY: whatever deposed it."""

    def higher_term(bench: Bench) -> None:
        bench.node.handle_append_entries_response(2, AppendEntriesResponse(9, False, 0))

    def check_quorum(bench: Bench) -> None:
        bench.clock.advance(5)
        bench.node.tick()

    def vote_request(bench: Bench) -> None:
        bench.ask_vote(2, (9, 9), term=9, transfer=True)

    def removal(bench: Bench) -> None:
        index = bench.node.propose_conf_change(ConfChange.remove(1))
        bench.ack(2, index)
        bench.ack(3, index)

    for depose in (higher_term, check_quorum, vote_request, removal):
        bench = Bench(term=1)
        bench.lead()
        assert bench.node.leader_id == 1
        depose(bench)
        assert bench.node.role is not NodeRole.LEADER
        assert bench.node.leader_id is None
        with pytest.raises(NotLeader) as caught:
            bench.node.propose(b"x")
        assert caught.value.leader_hint is None


def test_match_index_is_known_only_to_a_leader_and_only_of_its_members() -> None:
    """`match_index_for(peer)`."""
    bench = Bench(term=1)
    assert bench.node.match_index_for(2) is None
    bench.lead()
    assert bench.node.match_index_for(2) == 1
    assert bench.node.match_index_for(1) is None
    assert bench.node.match_index_for(9) is None
    bench.append(1, 2, leader=3, term=9)
    assert bench.node.match_index_for(2) is None


def test_the_election_deadline_can_be_set() -> None:
    """`election_deadline_override(t)`."""
    bench = Bench(term=1)
    bench.node.election_deadline_override(bench.clock.now + 50)
    bench.clock.advance(49)
    bench.node.tick()
    assert bench.node.role is NodeRole.FOLLOWER
    bench.clock.advance(1)
    bench.node.tick()
    assert bench.node.role is NodeRole.PRE_CANDIDATE


def test_answers_of_strangers_change_nothing() -> None:
    """`handle_*_response`: unknown peers are nothing; an answer of this node itself is refused."""
    bench = Bench(term=1)
    bench.lead()
    bench.ack(9, 1)
    bench.reject(9, 0)
    bench.snapshot_installed(9, 1)
    assert bench.node.match_index_for(9) is None
    with pytest.raises(InvalidRequest):
        bench.ack(1, 1)


def test_a_storage_error_stops_the_node() -> None:
    """DESIGN 3: it never acknowledges, votes or retries."""

    class Broken(MemStorage):
        def append(self, entries: object) -> None:
            raise StorageError("no space")

    bench = Bench(storage=Broken())
    with pytest.raises(StorageError):
        bench.append(0, 0, [1], term=1)
    calls = (
        bench.node.tick,
        bench.node.take_ready,
        lambda: bench.append(0, 0),
        lambda: bench.ask_vote(2, (9, 9), term=9),
        lambda: bench.ask_pre_vote(2, (9, 9), term=9),
        lambda: bench.node.propose(b"x"),
        bench.node.read_index,
        lambda: bench.install(5, 1, leader_term=5),
        lambda: bench.node.log_entries_range(1, 2),
    )
    for call in calls:
        with pytest.raises(ShutdownError):
            call()
    assert bench.node.last_log_index == 0


def test_group_ids_route_requests() -> None:
    """A request for a group that is not here gets `GroupNotFound`."""
    bench = Bench(term=1, group_id=3)
    with pytest.raises(GroupNotFound):
        bench.node.handle_timeout_now(TimeoutNowRequest(1, 2, 4))
    assert bench.node.handle_append_entries(AppendEntriesRequest(1, 2, 0, 0, [], 0, 3)).success


def test_mem_storage_is_a_log_storage() -> None:
    """`LogStorage`, a protocol."""
    storage = MemStorage()
    assert isinstance(storage, LogStorage)
    storage.append([LogEntry(1, 1, b"a"), LogEntry(1, 2, b"b"), LogEntry(2, 3, b"c")])
    assert storage.stable_index == 3
    assert [e.index for e in storage.load_entries_after(1)] == [2, 3]
    storage.truncate(3)
    storage.compact(1, 1)
    assert storage.snapshot_metadata() == (1, 1)
    assert [e.index for e in storage.load_entries_after(1)] == [2]
    with pytest.raises(LogCompacted):
        storage.load_entries(1, 2)
    with pytest.raises(StorageError):
        storage.append([LogEntry(2, 9, b"")])
    storage.save_hard_state(HardState(4, 2))
    assert storage.load_hard_state() == HardState(4, 2)


def test_conf_changes_have_their_constructors() -> None:
    """`ConfChange`."""
    made = [
        ConfChange.add_voter(4),
        ConfChange.add_learner(4),
        ConfChange.add_observer(4),
        ConfChange.promote(4),
        ConfChange.demote(4),
        ConfChange.remove(4),
    ]
    assert [change.kind for change in made] == list(ChangeKind)
    assert ConfChange.add_voter(4, context=b"x").context == b"x"
    assert ConfChange.add_voter(4).context is None


def test_an_empty_ready_has_every_field() -> None:
    """`Ready`."""
    ready = Ready()
    assert ready.hard_state is None
    for name in (
        "messages",
        "vote_requests",
        "pre_vote_requests",
        "timeout_now",
        "committed_entries",
        "snapshots_needed",
    ):
        assert getattr(ready, name) == []
    assert ready.is_empty()


# Leadership transfer (thesis 3.10).


def test_a_transfer_asks_an_up_to_date_voter_to_campaign_at_once() -> None:
    """Thesis 3.10."""
    bench = Bench(term=1)
    bench.lead()
    bench.node.transfer_leadership(2)
    ((peer, request),) = bench.ready().timeout_now
    assert (peer, request.term, request.leader_id) == (2, 2, 1)


def test_a_transfer_waits_until_the_target_has_every_entry() -> None:
    """Thesis 3.10: otherwise it could not win."""
    bench = Bench(term=1)
    bench.lead()
    index = bench.node.propose(b"x")
    bench.node.transfer_leadership(2)
    assert bench.ready().timeout_now == []
    bench.ack(3, index)
    assert bench.ready().timeout_now == []
    bench.ack(2, index)
    assert len(bench.ready().timeout_now) == 1
    bench.ack(2, index)
    assert bench.ready().timeout_now == []


def test_proposals_are_refused_during_a_transfer_and_taken_after_its_deadline() -> None:
    """Thesis 3.10: the target could never catch up otherwise; but not forever."""
    bench = Bench(term=1)
    bench.lead()
    bench.node.transfer_leadership(2)
    with pytest.raises(ProposalRejected, match="transferred"):
        bench.node.propose(b"x")
    with pytest.raises(ProposalRejected, match="transferred"):
        bench.node.propose_conf_change(ConfChange.add_learner(4))
    for _ in range(21):
        bench.heartbeat()
        bench.ack(3, 1)
    assert bench.node.propose(b"x") == 2


@pytest.mark.parametrize("target", [1, 4, 5, 9])
def test_only_another_voter_can_be_a_transfers_target(target: int) -> None:
    """ProposalRejected."""
    bench = Bench(term=1, learners=(4,), observers=(5,))
    bench.lead()
    with pytest.raises(ProposalRejected):
        bench.node.transfer_leadership(target)
    with pytest.raises(NotLeader):
        Bench(term=1).node.transfer_leadership(2)


def test_timeout_now_skips_the_pre_vote_and_marks_its_requests() -> None:
    """Thesis 3.10 and 4.2.3."""
    bench = Bench(term=1)
    bench.append(0, 0, leader=2)
    bench.node.handle_timeout_now(TimeoutNowRequest(1, 2))
    ready = bench.ready()
    assert (bench.node.role, bench.node.current_term) == (NodeRole.CANDIDATE, 2)
    assert all(request.leadership_transfer for _, request in ready.vote_requests)
    again = bench.heartbeat()
    assert all(request.leadership_transfer for _, request in again.vote_requests)
    bench.campaign()
    assert not any(request.leadership_transfer for _, request in bench.heartbeat().vote_requests)


def test_a_timeout_now_of_a_past_term_is_ignored() -> None:
    """§5.1."""
    bench = Bench(term=4)
    bench.node.handle_timeout_now(TimeoutNowRequest(3, 2))
    assert (bench.node.role, bench.node.current_term) == (NodeRole.FOLLOWER, 4)


def test_a_transfer_in_a_cluster_moves_the_leadership_without_a_timeout() -> None:
    """Thesis 3.10, though every voter hears from a live leader."""
    stage = Stage(3)
    leader = stage.elect(1)
    stage.run(0.2)
    leader.transfer_leadership(3)
    stage.settle()
    assert stage.nodes[3].role is NodeRole.LEADER
    assert stage.nodes[1].leader_id == 3


# Status.


def test_status_says_why_there_is_no_leader() -> None:
    """`status()`: votes refused, by whom and why; who is silent."""
    bench = Bench([1], term=1, peers=(2, 3, 4, 5))
    assert "campaigns in" in bench.node.status().no_leader_reason
    bench.campaign()
    bench.vote(2)
    bench.node.handle_request_vote_response(3, RequestVoteResponse(2, False, reason="its log is longer"))
    status = bench.node.status()
    assert status.votes_granted == (1, 2)
    assert status.votes_refused == ((3, "its log is longer"),)
    assert "node 3 refused: its log is longer" in status.no_leader_reason
    assert "no answer from node 4, 5" in status.no_leader_reason


def test_status_of_a_leader_shows_each_member() -> None:
    """`status()`: one value with everything."""
    bench = Bench(term=1, learners=(4,))
    bench.lead()
    bench.heartbeat()
    bench.ack(2, 1, round_=1)
    bench.clock.advance(0.25)
    status = bench.node.status()
    assert (status.role, status.leader_id, status.commit_index, status.no_leader_reason) == (NodeRole.LEADER, 1, 1, "")
    two, three, four = status.peers
    assert (two.peer, two.progress, two.match_index, two.next_index) == (2, "replicate", 1, 2)
    assert two.last_contact == pytest.approx(0.25)
    assert three.last_contact is None
    assert (four.progress, four.match_index) == ("probe", 0)


def test_a_deadline_is_told_so_that_nobody_polls() -> None:
    """`next_deadline()`: ticking then is enough."""
    bench = Bench(term=1)
    bench.clock.now = bench.node.next_deadline()
    bench.node.tick()
    assert bench.node.role is NodeRole.PRE_CANDIDATE
    assert bench.node.next_deadline() <= bench.clock.now + bench.config.heartbeat_interval
    bench.lead()
    bench.clock.now = bench.node.next_deadline()
    bench.node.tick()
    assert len(bench.ready().messages) == 2
