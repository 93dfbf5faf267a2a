"""Every order of events in a small cluster, breadth first (see exploration.py), and proof that it finds mistakes."""

from collections.abc import Callable
from typing import Any

import pytest

from raftnode.core import commit, election, reads, replication
from raftnode.core import log as log_module
from raftnode.core import snapshot as snapshot_module
from raftnode.core.log import RaftLog
from raftnode.core.membership import Configuration
from raftnode.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    RequestVoteRequest,
    RequestVoteResponse,
)
from raftnode.core.node import RaftNode
from raftnode.core.quorum import quorum_value
from raftnode.core.state import RaftState
from raftnode.core.types import NodeRole
from tests.core.exploration import SCENARIOS, Explorer, Scenario, Violation, explore_all
from tests.core.exploration_node import NODES, node_key
from tests.support.scale import EXPLORED_STATES, SECONDS_MAX

pytestmark = pytest.mark.timeout(SECONDS_MAX)

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def test_no_order_of_events_breaks_a_rule() -> None:
    """Figure 3 and linearizable reads, in every state within the bounds, until enough were visited."""
    outcomes = explore_all(EXPLORED_STATES)
    assert sum(outcome.states for outcome in outcomes) >= EXPLORED_STATES
    for outcome in outcomes:
        assert outcome.exhausted or outcome.states >= EXPLORED_STATES // len(SCENARIOS)
        assert outcome.depth >= 8, outcome


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_an_event_changes_only_the_copy_of_a_node(scenario: Scenario) -> None:
    """The exploration remembers states of nodes: a copy that shared something with its original would spoil them."""
    explorer = Explorer(scenario)
    explorer.explore(1000)
    for (position, *key), number in explorer.host_ids.items():
        host = explorer.hosts[number]
        assert NODES[position] == host.node.node_id
        assert node_key(host) == tuple(key)
        assert node_key(host.copy()) == tuple(key)


def commit_by_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commit an entry of an earlier term because a majority has it."""

    def update_commit(state: RaftState) -> None:
        if state.role is not NodeRole.LEADER:
            return

        def match(voter: int) -> int:
            if voter == state.node_id:
                return state.log.stable_index
            return state.progress[voter].match_index if voter in state.progress else 0

        index = int(quorum_value(match, state.configuration))
        if index > state.commit_index:
            commit.advance_commit(state, index)
            reads.confirm(state)
            commit.on_configuration_committed(state)

    monkeypatch.setattr(commit, "update_commit", update_commit)


def vote_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the vote of this term when another candidate asks."""
    original = election.handle_request_vote

    def handle(state: RaftState, request: RequestVoteRequest) -> RequestVoteResponse:
        state.voted_for = None
        return original(state, request)

    monkeypatch.setattr(election, "handle_request_vote", handle)


def forget_the_vote_in_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the term and not the vote."""
    original = RaftNode.restore

    def restore(node: RaftNode, *arguments: Any, **options: Any) -> None:
        original(node, *arguments, **options)
        node._state.voted_for = None

    monkeypatch.setattr(RaftNode, "restore", restore)


def vote_without_comparing_the_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Grant a vote to a candidate that lacks entries."""
    monkeypatch.setattr(RaftLog, "is_up_to_date", lambda *_: True)


def truncate_on_a_duplicate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the log at the end of each request, also where nothing conflicts."""
    original = replication.handle_append_entries

    def handle(state: RaftState, request: AppendEntriesRequest) -> AppendEntriesResponse:
        response = original(state, request)
        end = request.prev_log_index + len(request.entries)
        if response.success and request.entries and state.commit_index <= end < state.log.last_index:
            state.log.truncate(end + 1)
        return response

    monkeypatch.setattr(replication, "handle_append_entries", handle)


def commit_what_the_request_does_not_prove(monkeypatch: pytest.MonkeyPatch) -> None:
    """Move the commit index to the leader's, over entries that may not be the leader's."""
    original = replication.handle_append_entries

    def handle(state: RaftState, request: AppendEntriesRequest) -> AppendEntriesResponse:
        response = original(state, request)
        if response.success:
            commit.advance_commit(state, min(request.leader_commit, state.log.last_index))
        return response

    monkeypatch.setattr(replication, "handle_append_entries", handle)


def count_acknowledgements_of_an_earlier_term(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take an old acknowledgement for one of this term."""
    original = replication.handle_append_entries_response

    def handle(state: RaftState, peer: int, response: AppendEntriesResponse) -> None:
        if response.success and response.last_log_index <= state.log.last_index:
            response = AppendEntriesResponse(state.current_term, True, response.last_log_index)
        original(state, peer, response)

    monkeypatch.setattr(replication, "handle_append_entries_response", handle)


def count_what_is_not_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a leader count its own entries before they are durable."""
    monkeypatch.setattr(RaftLog, "stable_index", property(lambda log: log.last_index))


def count_one_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commit in a joint configuration with a majority of the incoming voters alone."""

    def half(of: Callable[[int], float], configuration: Any) -> float:
        values = sorted(of(voter) for voter in configuration.voters)
        return values[(len(values) - 1) // 2]

    monkeypatch.setattr(commit, "quorum_value", half)


def read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Confirm a read without a majority's answer."""

    def confirm(state: RaftState) -> None:
        while state.reads:
            state.reads_ready.append((state.reads.popleft()[0], state.commit_index))

    monkeypatch.setattr(reads, "confirm", confirm)


def read_before_the_terms_first_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Confirm a read before an entry of this term is committed."""

    def confirm(state: RaftState) -> None:
        while state.reads and state.reads[0][1] <= reads._confirmed_round(state):
            state.reads_ready.append((state.reads.popleft()[0], state.commit_index))

    monkeypatch.setattr(reads, "confirm", confirm)


def keep_a_suffix_behind_any_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the entries after a snapshot's last one, also where that one has another term here."""

    def install(log: RaftLog, index: int, term: int, configuration: Configuration | None = None) -> bool:
        if index <= log.last_index:
            log.compact(index, configuration)
            return True
        return original(log, index, term, configuration)

    original = RaftLog.install
    monkeypatch.setattr(log_module.RaftLog, "install", install)


def go_back_to_an_old_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a snapshot that is older than what is committed here."""
    original = snapshot_module.handle_install

    def handle(state: RaftState, request: InstallSnapshotRequest) -> InstallSnapshotResponse:
        commit = state.commit_index
        if request.last_included_index < commit and request.term >= state.current_term:
            state.log._reset(request.last_included_index, request.last_included_term)
        return original(state, request)

    monkeypatch.setattr(snapshot_module, "handle_install", handle)


MISTAKES: list[tuple[Callable[[pytest.MonkeyPatch], None], str]] = [
    (commit_by_counting, "entries of two terms in conflict"),
    (vote_twice, "elections"),
    (forget_the_vote_in_a_crash, "elections and crashes"),
    (vote_without_comparing_the_logs, "a leader with a committed entry"),
    (truncate_on_a_duplicate, "a leader with a committed entry"),
    (commit_what_the_request_does_not_prove, "commit indexes by themselves"),
    (count_acknowledgements_of_an_earlier_term, "slow disks"),
    (count_what_is_not_durable, "slow disks"),
    (count_one_half, "membership changes"),
    (read_at_once, "a read"),
    (read_before_the_terms_first_entry, "a read"),
    (keep_a_suffix_behind_any_snapshot, "a snapshot for a node with other entries"),
    (go_back_to_an_old_snapshot, "a snapshot for a node with other entries"),
]


@pytest.mark.parametrize(("mistake", "scenario"), MISTAKES, ids=lambda value: getattr(value, "__name__", value))
def test_a_mistake_is_found_within_the_default_bounds(
    mistake: Callable[[pytest.MonkeyPatch], None], scenario: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checker is tested on planted mistakes: each is found, and told as a story that ends with it."""
    mistake(monkeypatch)
    explorer = Explorer(BY_NAME[scenario])
    with pytest.raises(Violation, match=f"^{scenario}: ") as caught:
        explorer.explore(100_000)
    story = str(caught.value).splitlines()
    assert len(story) > 8
    assert story[2].startswith("1 is ")
