"""The paper, sentence by sentence: figure 2, figure 13 and the five properties of figure 3.

Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm (Extended Version)", 2014. Each docstring
quotes the sentence. Everything goes through the public interface; pre-vote and check-quorum, which the paper's
figures do not know, are off.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from raftnode.core.errors import NotLeader
from raftnode.core.membership import make_configuration
from raftnode.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    RequestVoteRequest,
    RequestVoteResponse,
)
from raftnode.core.ready import Ready
from raftnode.core.types import EntryKind, HardState, LogEntry, NodeId, NodeRole
from raftnode.testing import Process, Stage
from tests.support.bench import Bench

PAPER: dict[str, Any] = {"pre_vote": False, "check_quorum": False}


def bench(*terms: int, **options: Any) -> Bench:
    """Return node 1 of 1, 2, 3 with a log of these terms."""
    return Bench(terms, **PAPER, **options)


# Figure 2, State.


def test_persistent_state_is_updated_on_stable_storage_before_responding_to_rpcs() -> None:
    """State: "currentTerm, votedFor, log[] (Updated on stable storage before responding to RPCs)"."""
    node = bench(1)
    response = node.ask_vote(3, (1, 1), term=4)
    assert response.vote_granted
    assert node.node.take_ready().hard_state == HardState(4, 3)
    node.append(1, 1, [4], term=5)
    assert node.log() == [(1, 1), (2, 4)]
    assert node.node.take_ready().hard_state == HardState(5, None)


def test_persistent_state_survives_a_restart_and_volatile_state_begins_at_zero() -> None:
    """State: "commitIndex (initialized to 0, increases monotonically)", "lastApplied (initialized to 0 ...)"."""
    node = bench(1, 1)
    node.append(2, 1, [1], term=1, commit=3)
    node.ask_vote(3, (3, 1), term=2)
    node.ready()
    assert (node.node.commit_index, node.node.last_applied) == (3, 3)
    again = node.restart()
    assert (again.current_term, again.voted_for, again.last_log_index) == (2, 3, 3)
    assert (again.commit_index, again.last_applied) == (0, 0)


def test_a_new_leader_initializes_next_index_to_its_last_log_index_plus_one_and_match_index_to_zero() -> None:
    """State: "nextIndex[] (initialized to leader last log index + 1)", "matchIndex[] (initialized to 0 ...)"."""
    node = bench(1, 1)
    requests = dict(node.elect().messages)
    for peer in (2, 3):
        assert node.node.match_index_for(peer) == 0
        assert requests[peer].prev_log_index == 2


# Figure 2, AppendEntries RPC, receiver implementation.


def test_append_1_reply_false_if_term_is_below_current_term() -> None:
    """AppendEntries 1: "Reply false if term < currentTerm (5.1)"."""
    node = bench(1, term=3)
    response = node.append(1, 1, [2], term=2)
    assert (response.success, response.term) == (False, 3)
    assert node.log() == [(1, 1)]


@pytest.mark.parametrize("prev", [(2, 1), (3, 2), (1, 2)])
def test_append_2_reply_false_if_log_has_no_entry_at_prev_log_index_whose_term_matches(prev: tuple[int, int]) -> None:
    """AppendEntries 2: "Reply false if log doesn't contain an entry at prevLogIndex whose term matches prevLogTerm"."""
    node = bench(1, 2)
    assert not node.append(*prev, [3], term=3).success
    assert node.log() == [(1, 1), (2, 2)]


def test_append_3_if_an_existing_entry_conflicts_delete_it_and_all_that_follow_it() -> None:
    """AppendEntries 3: "If an existing entry conflicts with a new one (same index but different terms), delete the
    existing entry and all that follow it (5.3)"."""
    node = bench(1, 2, 2, 2, term=3)
    assert node.append(1, 1, [3]).success
    assert node.log() == [(1, 1), (2, 3)]


def test_append_4_append_any_new_entries_not_already_in_the_log() -> None:
    """AppendEntries 4: "Append any new entries not already in the log"."""
    node = bench(1, 1, term=2)
    node.append(0, 0, [1, 1, 2, 2])
    assert node.log() == [(1, 1), (2, 1), (3, 2), (4, 2)]
    node.append(0, 0, [1, 1])
    assert node.log() == [(1, 1), (2, 1), (3, 2), (4, 2)]


@pytest.mark.parametrize(("leader_commit", "commit"), [(1, 1), (3, 3), (9, 3)])
def test_append_5_set_commit_index_to_the_lesser_of_leader_commit_and_the_last_new_entry(
    leader_commit: int, commit: int
) -> None:
    """AppendEntries 5: "If leaderCommit > commitIndex, set commitIndex = min(leaderCommit, index of last
    new entry)"."""
    node = bench(1, term=2)
    node.append(1, 1, [2, 2], commit=leader_commit)
    assert node.node.commit_index == commit
    node.append(3, 2, [], commit=0)
    assert node.node.commit_index == commit


# Figure 2, RequestVote RPC, receiver implementation.


def test_vote_1_reply_false_if_term_is_below_current_term() -> None:
    """RequestVote 1: "Reply false if term < currentTerm (5.1)"."""
    node = bench(1, term=3)
    response = node.ask_vote(2, (9, 2), term=2)
    assert (response.vote_granted, response.term) == (False, 3)
    assert node.node.voted_for is None


@pytest.mark.parametrize(("voted_for", "granted"), [(None, True), (2, True), (3, False)])
def test_vote_2_grant_if_voted_for_is_null_or_candidate_id(voted_for: NodeId | None, granted: bool) -> None:
    """RequestVote 2: "If votedFor is null or candidateId ... grant vote (5.2, 5.4)"."""
    node = bench(1, term=3, voted_for=voted_for)
    assert node.ask_vote(2, (1, 1)).vote_granted is granted


@pytest.mark.parametrize(
    ("last", "granted"),
    [
        ((3, 2), True),
        ((4, 2), True),
        ((1, 3), True),
        ((2, 2), False),
        ((9, 1), False),
    ],
)
def test_vote_2_grant_if_candidates_log_is_at_least_as_up_to_date(last: tuple[int, int], granted: bool) -> None:
    """RequestVote 2: "... and candidate's log is at least as up-to-date as receiver's log, grant vote (5.4.1)"."""
    node = bench(1, 1, 2, term=4)
    assert node.ask_vote(2, last).vote_granted is granted


# Figure 2, Rules for Servers: all servers.


def test_all_if_commit_index_is_above_last_applied_apply_in_order() -> None:
    """All servers: "If commitIndex > lastApplied: increment lastApplied, apply log[lastApplied] to state machine"."""
    node = bench(1, 1, 1)
    node.append(3, 1, [], commit=2)
    assert [entry.index for entry in node.ready().committed_entries] == [1, 2]
    assert node.node.last_applied == 2
    node.append(3, 1, [], commit=3)
    assert [entry.index for entry in node.ready().committed_entries] == [3]
    assert node.ready().committed_entries == []


MESSAGES_OF_TERM_9: dict[str, Callable[[Bench], Any]] = {
    "AppendEntries": lambda b: b.node.handle_append_entries(AppendEntriesRequest(9, 2, 7, 7, [], 0)),
    "AppendEntries response": lambda b: b.node.handle_append_entries_response(2, AppendEntriesResponse(9, False, 0)),
    "RequestVote": lambda b: b.node.handle_request_vote(RequestVoteRequest(9, 2, 0, 0)),
    "RequestVote response": lambda b: b.node.handle_request_vote_response(2, RequestVoteResponse(9, False)),
    "InstallSnapshot": lambda b: b.node.handle_install_snapshot(InstallSnapshotRequest(9, 2, 5, 5, 0, b"", False)),
    "InstallSnapshot response": lambda b: b.node.handle_install_snapshot_response(2, InstallSnapshotResponse(9)),
}


@pytest.mark.parametrize("role", [NodeRole.FOLLOWER, NodeRole.CANDIDATE, NodeRole.LEADER])
@pytest.mark.parametrize("message", MESSAGES_OF_TERM_9)
def test_all_a_higher_term_in_any_rpc_is_adopted_and_makes_a_follower(message: str, role: NodeRole) -> None:
    """All servers: "If RPC request or response contains term T > currentTerm: set currentTerm = T, convert to
    follower (5.1)"."""
    node = bench(1)
    if role is NodeRole.CANDIDATE:
        node.campaign()
    elif role is NodeRole.LEADER:
        node.lead()
    elif message.endswith("response"):
        # A follower has asked nothing: a late answer to what it asked in another role.
        node.lead()
        node.append(1, 1, [], term=node.node.current_term + 1)
    assert node.node.role is role
    MESSAGES_OF_TERM_9[message](node)
    assert node.node.current_term == 9
    assert node.node.role.value == "follower"


# Figure 2, Rules for Servers: followers.


def test_followers_respond_to_rpcs_from_candidates_and_leaders() -> None:
    """Followers: "Respond to RPCs from candidates and leaders"."""
    node = bench(1)
    assert isinstance(node.ask_vote(2, (1, 1), term=2), RequestVoteResponse)
    assert isinstance(node.append(1, 1), AppendEntriesResponse)
    assert isinstance(node.install(5, 1, done=False), InstallSnapshotResponse)
    assert node.ready().is_empty() is False
    assert node.ready().is_empty()


@pytest.mark.parametrize("event", ["nothing", "heartbeat", "vote", "refused vote", "past leader"])
def test_followers_convert_to_candidate_if_the_timeout_elapses_without_leader_or_vote(event: str) -> None:
    """Followers: "If election timeout elapses without receiving AppendEntries RPC from current leader or granting
    vote to candidate: convert to candidate"."""
    node = bench(1, term=3)
    node.node.election_deadline_override(node.clock.now + 1.0)
    node.clock.advance(0.9)
    match event:
        case "heartbeat":
            node.append(1, 1)
        case "vote":
            assert node.ask_vote(2, (1, 1)).vote_granted
        case "refused vote":
            assert not node.ask_vote(2, (0, 0)).vote_granted
        case "past leader":
            node.append(1, 1, term=2)
    node.clock.advance(0.2)
    node.node.tick()
    expected = NodeRole.FOLLOWER if event in ("heartbeat", "vote") else NodeRole.CANDIDATE
    assert node.node.role is expected


# Figure 2, Rules for Servers: candidates.


def test_candidates_increment_the_term_vote_for_self_reset_the_timer_and_ask_everybody() -> None:
    """Candidates: "On conversion to candidate, start election: increment currentTerm; vote for self; reset election
    timer; send RequestVote RPCs to all other servers"."""
    node = bench(1, 2, term=4, voted_for=3)
    ready = node.time_out()
    assert (node.node.current_term, node.node.voted_for) == (5, 1)
    assert ready.hard_state == HardState(5, 1)
    assert ready.vote_requests == [(peer, RequestVoteRequest(5, 1, 2, 2)) for peer in (2, 3)]
    node.clock.advance(node.config.election_timeout_min - 0.01)
    node.node.tick()
    assert node.node.current_term == 5


@pytest.mark.parametrize(("peers", "votes"), [((2, 3), 1), ((2, 3, 4), 2), ((2, 3, 4, 5), 2)])
def test_candidates_become_leader_with_votes_from_a_majority(peers: tuple[int, ...], votes: int) -> None:
    """Candidates: "If votes received from majority of servers: become leader"."""
    node = bench(1, peers=peers)
    node.campaign()
    for peer in peers[: votes - 1]:
        node.vote(peer)
    assert node.node.role is NodeRole.CANDIDATE
    node.vote(peers[votes - 1])
    assert node.node.role.value == "leader"


def test_candidates_convert_to_follower_if_append_entries_comes_from_a_new_leader() -> None:
    """Candidates: "If AppendEntries RPC received from new leader: convert to follower"."""
    node = bench(1)
    node.campaign()
    assert node.append(1, 1, leader=3).success
    assert (node.node.role, node.node.leader_id) == (NodeRole.FOLLOWER, 3)


def test_candidates_start_a_new_election_if_the_timeout_elapses() -> None:
    """Candidates: "If election timeout elapses: start new election"."""
    node = bench(1)
    node.campaign()
    term = node.node.current_term
    ready = node.time_out()
    assert (node.node.role, node.node.current_term) == (NodeRole.CANDIDATE, term + 1)
    assert [request.term for _, request in ready.vote_requests] == [term + 1, term + 1]


# Figure 2, Rules for Servers: leaders.


def test_leaders_send_append_entries_upon_election_and_repeat_it_during_idle_periods() -> None:
    """Leaders: "Upon election: send initial empty AppendEntries RPCs (heartbeat) to each server; repeat during idle
    periods to prevent election timeouts (5.2)". The first one carries the term's opening entry (8)."""
    node = bench(1)
    first = dict(node.elect().messages)
    assert {peer: [entry.kind for entry in request.entries] for peer, request in first.items()} == {
        2: [EntryKind.NOOP],
        3: [EntryKind.NOOP],
    }
    for peer in (2, 3):
        node.ack(peer, 2)
    node.ready()
    for _ in range(3):
        idle = node.heartbeat().messages
        assert {peer for peer, _ in idle} == {2, 3}
        assert all(request.entries == [] for _, request in idle)


def test_leaders_append_a_clients_command_and_respond_after_it_is_applied() -> None:
    """Leaders: "If command received from client: append entry to local log, respond after entry applied to state
    machine (5.3)"."""
    node = bench(1)
    last = node.lead()
    index = node.node.propose(b"set")
    assert (index, node.log()[-1]) == (last + 1, (index, node.node.current_term))
    assert node.ready().committed_entries == []
    node.ack(2, index)
    assert node.ready().committed_entries == [LogEntry(node.node.current_term, index, b"set")]
    with pytest.raises(NotLeader):
        bench(1).node.propose(b"set")


def test_leaders_send_entries_starting_at_next_index() -> None:
    """Leaders: "If last log index >= nextIndex for a follower: send AppendEntries RPC with log entries starting
    at nextIndex"."""
    node = bench(1)
    last = node.lead()
    node.node.propose(b"a")
    node.node.propose(b"b")
    for _, request in node.ready().messages:
        assert request.prev_log_index == last
        assert [entry.index for entry in request.entries] == [last + 1, last + 2]
    assert not any(request.entries for _, request in node.heartbeat().messages)


def test_leaders_update_next_index_and_match_index_if_successful() -> None:
    """Leaders: "If successful: update nextIndex and matchIndex for follower (5.3)"."""
    node = bench(1)
    last = node.lead()
    node.node.propose(b"a")
    node.ready()
    node.ack(2, last + 1)
    assert node.node.match_index_for(2) == last + 1
    (status,) = [peer for peer in node.node.status().peers if peer.peer == 2]
    assert status.next_index == last + 2


def test_leaders_decrement_next_index_and_retry_if_the_logs_are_inconsistent() -> None:
    """Leaders: "If AppendEntries fails because of log inconsistency: decrement nextIndex and retry (5.3)"."""
    leader = bench(1, 1, 2, 2, 4)
    follower = Bench([1, 1, 1], node_id=2, peers=(1, 3), **PAPER)
    asked = []
    pending = [request for peer, request in leader.elect(voters=[3]).messages if peer == 2]
    while pending:
        asked.append(pending[0].prev_log_index)
        leader.node.handle_append_entries_response(2, follower.node.handle_append_entries(pending[0]))
        pending = [request for peer, request in leader.ready().messages if peer == 2]
    assert asked[0] == 5
    assert all(later < earlier for earlier, later in pairwise(asked) if later != 6)
    assert follower.log()[:5] == [(1, 1), (2, 1), (3, 2), (4, 2), (5, 4)]


@pytest.mark.parametrize(("matches", "commit"), [((5, 0), 5), ((4, 4), 4), ((3, 3), 0), ((2, 3), 0)])
def test_leaders_commit_an_index_that_a_majority_has_if_its_term_is_current(
    matches: tuple[int, int], commit: int
) -> None:
    """Leaders: "If there exists an N such that N > commitIndex, a majority of matchIndex[i] >= N, and log[N].term ==
    currentTerm: set commitIndex = N (5.3, 5.4)". Here entries 4 and 5 are of the current term, 1 to 3 are not."""
    node = bench(1, 1, 2)
    node.elect()
    node.node.propose(b"x")
    node.ready()
    for peer, match in zip((2, 3), matches, strict=True):
        node.ack(peer, match)
    assert node.node.commit_index == commit


# Figure 13, InstallSnapshot RPC, receiver implementation.


def test_snapshot_1_reply_immediately_if_term_is_below_current_term() -> None:
    """InstallSnapshot 1: "Reply immediately if term < currentTerm"."""
    node = bench(1, term=4)
    response = node.install(9, 2, leader_term=3)
    assert (response.term, response.installed) == (4, False)
    assert (node.node.leader_id, node.node.last_log_index) == (None, 1)


def test_snapshot_2_the_first_chunk_begins_a_new_file() -> None:
    """InstallSnapshot 2: "Create new snapshot file if first chunk (offset is 0)"."""
    node = bench(1, term=3)
    assert node.install(9, 2, data=b"abcd", done=False).next_offset == 4
    assert node.install(12, 3, data=b"xy", done=False).next_offset == 2
    assert node.install(9, 2, offset=4, data=b"ef", done=False).next_offset == 0


def test_snapshot_3_and_4_chunks_follow_each_other_and_a_reply_asks_for_the_next() -> None:
    """InstallSnapshot 3: "Write data into snapshot file at given offset"; 4: "Reply and wait for more data chunks if
    done is false"."""
    node = bench(1, term=3)
    assert node.install(9, 2, data=b"ab", done=False).next_offset == 2
    skipped = node.install(9, 2, offset=4, data=b"ef", done=False)
    assert (skipped.next_offset, skipped.installed) == (2, False)
    last = node.install(9, 2, offset=2, data=b"cd", done=True)
    assert (last.next_offset, last.installed) == (4, True)
    assert (node.node.log_snapshot_index, node.node.commit_index) == (9, 9)


def test_snapshot_5_one_with_a_smaller_index_is_discarded() -> None:
    """InstallSnapshot 5: "Save snapshot file, discard any existing or partial snapshot with a smaller index"."""
    node = bench(1, term=3)
    node.install(9, 2)
    node.install(5, 2)
    assert (node.node.log_snapshot_index, node.node.log_snapshot_term) == (9, 2)
    node.install(12, 3)
    assert (node.node.log_snapshot_index, node.node.log_snapshot_term) == (12, 3)


def test_snapshot_6_entries_behind_one_that_the_log_has_are_retained() -> None:
    """InstallSnapshot 6: "If existing log entry has same index and term as snapshot's last included entry, retain log
    entries following it and reply"."""
    node = bench(1, 1, 2, 2)
    assert node.install(2, 1).installed
    assert node.log() == [(3, 2), (4, 2)]


@pytest.mark.parametrize("snapshot", [(3, 1), (7, 2)])
def test_snapshot_7_the_entire_log_is_discarded_otherwise(snapshot: tuple[int, int]) -> None:
    """InstallSnapshot 7: "Discard the entire log"."""
    node = bench(1, 1, 2, 2)
    assert node.install(*snapshot).installed
    assert node.log() == []
    assert node.node.last_log_index == snapshot[0]


def test_snapshot_8_the_machine_and_the_configuration_are_reset() -> None:
    """InstallSnapshot 8: "Reset state machine using snapshot contents (and load snapshot's cluster configuration)"."""
    node = bench(1, term=3)
    node.install(9, 2, configuration=make_configuration([1, 2, 5]))
    assert node.node.last_applied == 9
    assert node.node.peers == (2, 5)
    node.append(9, 2, [3], commit=10)
    assert [entry.index for entry in node.ready().committed_entries] == [10]


# Figure 3. One long history of five nodes, with lost and reordered messages, crashes and elections, judged five times.

Log = tuple[tuple[int, int, bytes], ...]


@dataclass
class History:
    """What an observer of the whole cluster saw."""

    leaders: list[tuple[int, NodeId]] = field(default_factory=list)
    """(term, node) of each election that was won."""
    leader_logs: dict[tuple[int, NodeId], list[Log]] = field(default_factory=dict)
    """The logs of a leader during its term."""
    logs: set[Log] = field(default_factory=set)
    committed: dict[int, tuple[LogEntry, int]] = field(default_factory=dict)
    """index -> (entry, the term in which it was first known to be committed)."""
    applied: list[tuple[NodeId, LogEntry]] = field(default_factory=list)
    first_logs: dict[tuple[int, NodeId], Log] = field(default_factory=dict)
    """The log with which a leader came to power."""


class Recorder(Stage):
    """Five nodes, and an observer of each step."""

    def __init__(self, seed: int) -> None:
        self.history = History()
        self.rng = random.Random(seed)
        super().__init__(5, **PAPER)
        self.network.hold = lambda letter: True

    def step(self) -> None:
        """Do one random thing."""
        rng, nodes = self.rng, sorted(self.nodes)
        chance = rng.random()
        node = rng.choice(nodes)
        if chance < 0.03:
            self.nodes[node].election_deadline_override(self.clock.now)
            self.nodes[node].tick()
        elif chance < 0.05:
            self.restart(node)
        elif chance < 0.12 and self.nodes[node].role is NodeRole.LEADER:
            self.nodes[node].propose(str(rng.random()).encode())
        elif chance < 0.2:
            self.clock.advance(0.1)
            self.nodes[node].tick()
        elif held := self.network.held:
            held.rotate(-rng.randrange(len(held)))
            letter = held.popleft()
            if rng.random() < 0.8:
                self.network.arrive(letter)
        for process in self.processes.values():
            process.turn()

    def make_process(self, node: NodeId) -> "Recorded":
        return Recorded(self, node)


class Recorded(Process):
    """A node that the observer watches."""

    def __init__(self, recorder: Recorder, node: NodeId) -> None:
        self.history = recorder.history
        super().__init__(recorder.config_of(node), clock=recorder.clock, send=recorder.send)

    def turn(self) -> Ready:
        history, raft = self.history, self.node
        ready = super().turn()
        key = (raft.current_term, self.id)
        for entry in ready.committed_entries:
            history.applied.append((self.id, entry))
            history.committed.setdefault(entry.index, (entry, raft.current_term))
        log = tuple((e.index, e.term, e.data) for e in self.disk.load_entries_after(0))
        history.logs.add(log)
        if raft.role is NodeRole.LEADER:
            if key not in history.leader_logs:
                history.leaders.append(key)
                history.first_logs[key] = log
            kept = history.leader_logs.setdefault(key, [])
            if not kept or kept[-1] != log:
                kept.append(log)
        return ready


SEEDS = range(4)


@cache
def history_of(seed: int) -> History:
    """Record one random history."""
    recorder = Recorder(seed)
    for _ in range(3000):
        recorder.step()
    return recorder.history


@pytest.mark.parametrize("seed", SEEDS)
def test_election_safety_at_most_one_leader_is_elected_in_a_given_term(seed: int) -> None:
    """Figure 3: "Election Safety: at most one leader can be elected in a given term"."""
    history = history_of(seed)
    assert len(history.leaders) > 10
    terms = [term for term, _ in history.leaders]
    assert len(terms) == len(set(terms)), f"seed {seed}"


@pytest.mark.parametrize("seed", SEEDS)
def test_leader_append_only_a_leader_never_overwrites_or_deletes_entries_in_its_log(seed: int) -> None:
    """Figure 3: "Leader Append-Only: a leader never overwrites or deletes entries in its log; it only appends"."""
    for (term, node), logs in history_of(seed).leader_logs.items():
        for before, after in pairwise(logs):
            assert after[: len(before)] == before, f"seed {seed}: leader {node} of term {term}"


@pytest.mark.parametrize("seed", SEEDS)
def test_log_matching_logs_with_the_same_entry_are_identical_up_to_it(seed: int) -> None:
    """Figure 3: "Log Matching: if two logs contain an entry with the same index and term, then the logs are identical
    in all entries up through the given index"."""
    prefixes: dict[tuple[int, int], Log] = {}
    for log in history_of(seed).logs:
        for position, (index, term, _) in enumerate(log):
            prefix = log[: position + 1]
            assert prefixes.setdefault((index, term), prefix) == prefix, f"seed {seed}: entry {index} of term {term}"


@pytest.mark.parametrize("seed", SEEDS)
def test_leader_completeness_committed_entries_are_in_the_logs_of_later_leaders(seed: int) -> None:
    """Figure 3: "Leader Completeness: if a log entry is committed in a given term, then that entry will be present in
    the logs of the leaders for all higher-numbered terms"."""
    history = history_of(seed)
    assert len(history.committed) > 20
    for entry, committed_in in history.committed.values():
        for (term, node), log in history.first_logs.items():
            if term > committed_in:
                assert (entry.index, entry.term, entry.data) in log, f"seed {seed}: leader {node} of term {term}"


@pytest.mark.parametrize("seed", SEEDS)
def test_state_machine_safety_no_two_servers_apply_different_entries_at_an_index(seed: int) -> None:
    """Figure 3: "State Machine Safety: if a server has applied a log entry at a given index to its state machine, no
    other server will ever apply a different log entry for the same index"."""
    history = history_of(seed)
    assert {node for node, _ in history.applied} == {1, 2, 3, 4, 5}
    for node, entry in history.applied:
        assert history.committed[entry.index][0] == entry, f"seed {seed}: node {node}"
