"""Wrong versions of the core, one rule broken in each, and the directed tests that must notice.

`python -m tests.support.mutant_runner tests.core.mutants` applies them.
"""

# The texts are the source's lines and stay as long as they are.
# ruff: noqa: E501

from tests.support.mutants import Mutant

MUTANTS: list[Mutant] = []


def mutant(name: str, file: str, old: str, new: str, *tests: str) -> None:
    """Add a mutant of raftnode/core/`file`. "votes::test_x" is in tests/core/test_rules_votes.py."""
    tests = tuple(f"core/{test}" if test.startswith("found_bugs") else f"core/rules_{test}" for test in tests)
    MUTANTS.append(Mutant(name, f"core/{file}", old, new, tests))


# Votes.
mutant("vote twice in a term", "election.py",
       "    if state.voted_for not in (None, request.candidate_id):\n"
       '        return _refuse(state, f"voted for node {state.voted_for} in term {state.current_term}")\n', "",
       "votes::test_the_vote_is_granted_once_in_a_term")
mutant("refuse the same candidate's repeated request", "election.py",
       "if state.voted_for not in (None, request.candidate_id):", "if state.voted_for is not None:",
       "votes::test_a_repeated_request_of_the_same_candidate_is_granted_again")
mutant("vote in a past term", "election.py",
       "    if request.term < state.current_term:\n        return _refuse(state, f\"term {request.term} is past\")\n", "",
       "votes::test_a_vote_in_a_past_term_is_refused_with_the_current_term")
mutant("grant without comparing the logs", "election.py",
       "    if not state.log.is_up_to_date(request.last_log_index, request.last_log_term):\n        return", "    if False:\n        return",
       "votes::test_logs_are_compared_by_term_first_and_then_by_index")
mutant("pre-vote without comparing the logs", "election.py",
       "    elif not state.log.is_up_to_date(request.last_log_index, request.last_log_term):\n        reason",
       "    elif False:\n        reason",
       "votes::test_logs_are_compared_by_term_first_and_then_by_index")
mutant("compare logs by index first", "log.py",
       "return (last_term, last_index) >= (self.last_term, self.last_index)",
       "return (last_index, last_term) >= (self.last_index, self.last_term)",
       "votes::test_logs_are_compared_by_term_first_and_then_by_index")
mutant("want a strictly better log", "log.py",
       "return (last_term, last_index) >= (self.last_term, self.last_index)",
       "return (last_term, last_index) > (self.last_term, self.last_index)",
       "votes::test_logs_are_compared_by_term_first_and_then_by_index")
mutant("compare term and index one by one", "log.py",
       "return (last_term, last_index) >= (self.last_term, self.last_index)",
       "return last_term >= self.last_term and last_index >= self.last_index",
       "votes::test_logs_are_compared_by_term_first_and_then_by_index")
mutant("adopt a term only with a vote", "election.py",
       "        become_follower(state, request.term, None)\n    if state.role in (NodeRole.LEARNER",
       "        if state.log.is_up_to_date(request.last_log_index, request.last_log_term):\n"
       "            become_follower(state, request.term, None)\n    if state.role in (NodeRole.LEARNER",
       "votes::test_a_higher_term_is_adopted_even_when_the_vote_is_refused")
mutant("forget the vote within a term", "roles.py",
       "    if term > state.current_term:\n        state.current_term = term\n        state.voted_for = None",
       "    state.voted_for = None\n    if term > state.current_term:\n        state.current_term = term",
       "votes::test_stepping_down_within_a_term_keeps_the_vote")
mutant("keep the vote into a new term", "roles.py",
       "        state.current_term = term\n        state.voted_for = None", "        state.current_term = term",
       "votes::test_the_vote_is_cleared_when_the_term_grows")
mutant("persist the term but not a vote alone", "node.py",
       "if state.current_term != last.current_term or state.voted_for != last.voted_for:",
       "if state.current_term != last.current_term:",
       "votes::test_a_vote_within_the_known_term_is_persisted_too")
mutant("persist nothing with a vote", "node.py",
       "state.last_hard_state = ready.hard_state = HardState(state.current_term, state.voted_for)",
       "state.last_hard_state = ready.hard_state = HardState(state.current_term, None)",
       "votes::test_the_vote_survives_a_restart",
       "votes::test_term_and_vote_are_one_record_in_the_ready_that_precedes_the_answer")
mutant("tell the hard state for ever", "node.py",
       "state.last_hard_state = ready.hard_state = HardState(", "ready.hard_state = HardState(",
       "ready::test_the_hard_state_is_told_when_it_changes_and_only_then")
mutant("vote for a rival of the known leader", "election.py",
       "if state.voted_for is None and state.leader_id is not None:", "if False:",
       "votes::test_no_vote_for_a_rival_of_the_leader_of_this_term")
mutant("grant a vote and campaign at once", "election.py",
       "    state.voted_for = request.candidate_id\n    state.postpone_election(state.clock())\n",
       "    state.voted_for = request.candidate_id\n",
       "votes::test_a_granted_vote_postpones_this_nodes_own_campaign")
mutant("count each answer", "election.py",
       "    state.ballot.setdefault(peer, granted)\n",
       "    extra = -len(state.ballot) if peer in state.ballot else peer\n    state.ballot[extra] = granted\n"
       "    if granted and sum(state.ballot.values()) * 2 > len(state.configuration.voters):\n        _lead(state)\n"
       "        return\n",
       "votes::test_a_vote_that_arrives_twice_counts_once")
mutant("a later answer replaces the first", "election.py",
       "state.ballot.setdefault(peer, granted)", "state.ballot[peer] = granted",
       "votes::test_a_voters_first_answer_stands")
mutant("count refusals as grants", "quorum.py",
       "granted = sum(1 for voter in voters if votes.get(voter) is True)",
       "granted = sum(1 for voter in voters if voter in votes)",
       "votes::test_a_refusal_is_not_a_vote")
mutant("half of the votes is enough", "quorum.py",
       "    quorum = len(voters) // 2 + 1\n    granted", "    quorum = (len(voters) + 1) // 2\n    granted",
       "votes::test_a_single_voter_elects_itself", "votes::test_half_of_the_votes_is_no_majority")
mutant("count votes of an earlier term", "election.py",
       "    elif response.term == state.current_term:\n        _count", "    elif response.term <= state.current_term:\n        _count",
       "votes::test_votes_of_an_earlier_term_do_not_count")
mutant("a follower counts votes", "election.py",
       "    elif state.role is not NodeRole.CANDIDATE:\n        return\n", "",
       "votes::test_votes_count_only_for_a_candidate")
mutant("count everybody's votes", "election.py",
       "    if peer not in state.configuration.voter_union():\n        return\n    # A voter's",
       "    if len([g for g in [*state.ballot.values(), granted] if g]) * 2 > len(state.configuration.voters):\n"
       "        _lead(state)\n        return\n    # A voter's",
       "votes::test_votes_of_strangers_learners_and_observers_do_not_count")
mutant("go on campaigning after a higher term", "election.py",
       "    if response.term > state.current_term:\n        become_follower(state, response.term, None)\n    elif state.role is not",
       "    if response.term > state.current_term:\n        pass\n    elif state.role is not",
       "votes::test_a_vote_response_of_a_higher_term_ends_the_campaign")
mutant("learners vote", "election.py",
       "    if state.role in (NodeRole.LEARNER, NodeRole.OBSERVER) and not", "    if state.role is NodeRole.OBSERVER and not",
       "votes::test_learners_and_observers_never_grant")
mutant("observers vote", "election.py",
       "    if state.role in (NodeRole.LEARNER, NodeRole.OBSERVER) and not", "    if state.role is NodeRole.LEARNER and not",
       "votes::test_learners_and_observers_never_grant")
mutant("learners grant pre-votes", "election.py",
       "    elif state.role in (NodeRole.LEARNER, NodeRole.OBSERVER) and not request.to_voter:\n        reason", "    elif False:\n        reason",
       "votes::test_learners_and_observers_never_grant")
mutant("a learner that missed its promotion never votes", "election.py",
       "    if state.role in (NodeRole.LEARNER, NodeRole.OBSERVER) and not request.to_voter:\n        return", "    if state.role in (NodeRole.LEARNER, NodeRole.OBSERVER):\n        return",
       "found_bugs::test_a_learner_that_missed_its_promotion_lets_the_cluster_elect_a_leader")
mutant("a removed node gives up before the removal is committed", "state.py",
       "        if index > self.commit_index:\n", "        if False:\n",
       "found_bugs::test_a_leader_that_crashes_during_its_own_removal_still_campaigns")
mutant("a vote of long ago comes back", "state.py", "self.configurations[-1], self.configurations[-2:-1]", "self.configurations[-1], self.configurations[:-1]",
       "found_bugs::test_a_node_that_lost_its_vote_two_changes_ago_does_not_campaign_after_a_restart")
mutant("any higher term restarts the election timeout", "roles.py",
       "    if state.role is NodeRole.LEADER or state.election_deadline <= now:\n", "    if state.role is not NodeRole.FOLLOWER or leader_id is None:\n",
       "found_bugs::test_a_refused_candidate_does_not_postpone_this_nodes_campaign")
mutant("a deposed leader campaigns at once", "roles.py",
       "    if state.role is NodeRole.LEADER or state.election_deadline <= now:\n", "    if False:\n",
       "found_bugs::test_a_leader_that_steps_down_waits_a_whole_timeout")
mutant("a committed demotion leaves the role", "commit.py",
       "        if before < state.configurations[-1][0] <= index:\n            settle_passive_role(state)\n", "",
       "found_bugs::test_a_committed_demotion_ends_the_right_to_campaign")
mutant("nodes without a vote campaign", "election.py",
       "        if state.may_campaign:\n            campaign(state)\n", "        if True:\n            campaign(state)\n",
       "votes::test_learners_and_observers_never_campaign",
       "membership::test_a_node_that_was_removed_does_not_campaign_after_a_restart")
mutant("a learner campaigns when asked", "election.py",
       "    if state.may_campaign:\n        campaign(state, transfer=True)", "    campaign(state, transfer=True)",
       "votes::test_learners_and_observers_never_campaign")
mutant("a candidate keeps its old term", "roles.py",
       "    state.current_term += 1\n", "", "votes::test_an_election_without_outcome_begins_again_in_a_new_term")
mutant("a candidate does not vote for itself", "roles.py",
       "    state.voted_for = state.node_id\n", "",
       "votes::test_the_candidates_term_is_to_be_persisted_before_its_requests_leave")
mutant("ask silent voters once only", "election.py",
       "            request_votes(state)\n", "            pass\n", "votes::test_silent_voters_are_asked_again")
mutant("a vote needs one half of a joint configuration", "quorum.py",
       "        vote_result(votes, configuration.voters_outgoing),\n", "",
       "votes::test_a_joint_election_needs_both_halves")
mutant("a vote needs the outgoing half alone", "quorum.py",
       "        vote_result(votes, configuration.voters),\n", "", "votes::test_a_joint_election_needs_both_halves")

# Pre-vote and the protection of a live leader.
mutant("no pre-vote", "election.py", "if state.config.pre_vote and not transfer:", "if False:",
       "votes::test_a_pre_vote_changes_nothing_on_either_side")
mutant("a pre-vote adopts the term", "election.py", "    reason = \"\"\n    if request.term <= state.current_term:",
       "    reason = \"\"\n    if request.term > state.current_term:\n        become_follower(state, request.term, None)\n"
       "    elif request.term <= state.current_term:",
       "votes::test_a_pre_vote_changes_nothing_on_either_side")
mutant("pre-votes of another term count", "election.py", "response.requested_term in (0, state.current_term + 1)", "True",
       "votes::test_a_pre_vote_of_another_term_does_not_count")
mutant("pre-vote granted under a live leader", "election.py",
       "    elif _follows_live_leader(state):\n        reason", "    elif False:\n        reason",
       "votes::test_a_pre_vote_is_refused_while_a_leader_is_alive")
mutant("pre-vote granted for a term that is not higher", "election.py",
       "    if request.term <= state.current_term:\n        reason", "    if False:\n        reason",
       "votes::test_a_pre_vote_for_a_term_that_is_not_higher_is_refused_and_tells_the_term")
mutant("stickiness off", "election.py",
       "if not request.leadership_transfer and state.config.check_quorum and _follows_live_leader(state):", "if False:",
       "votes::test_a_live_leader_is_not_deposed_by_a_vote_request")
mutant("a transfer does not pass the stickiness", "election.py",
       "if not request.leadership_transfer and state.config.check_quorum", "if state.config.check_quorum",
       "votes::test_a_leadership_transfer_passes_the_protection",
       "interface::test_a_transfer_in_a_cluster_moves_the_leadership_without_a_timeout")
mutant("a leader does not protect itself", "election.py",
       "    if state.role is NodeRole.LEADER:\n        return True\n    if state.leader_contact is None:",
       "    if state.role is NodeRole.LEADER:\n        return False\n    if state.leader_contact is None:",
       "votes::test_a_live_leader_is_not_deposed_by_a_vote_request")
mutant("the protection never ends", "election.py",
       "return state.clock() - state.leader_contact < state.config.election_timeout_min", "return True",
       "votes::test_a_leader_that_went_silent_is_no_protection")

# Append.
mutant("truncate on a duplicate append", "replication.py",
       "    if skip == len(entries):\n        return\n",
       "    if skip == len(entries):\n        if entries[-1].index < log.last_index:\n"
       "            log.truncate(entries[-1].index + 1)\n        return\n",
       "append::test_a_delayed_or_duplicated_request_never_shortens_a_matching_log")
mutant("append without looking for a conflict", "replication.py",
       "if entry.index > log.last_index or log.term_at(entry.index) != entry.term:", "if entry.index > log.last_index:",
       "append::test_a_conflict_replaces_the_tail_from_the_first_difference")
mutant("accept a gap or another previous term", "replication.py",
       "if log.term_at(prev) != request.prev_log_term:", "if log.term_at(prev) is None:",
       "append::test_a_previous_entry_of_another_term_is_refused_before_anything_changes")
mutant("accept a past leader", "replication.py",
       "    if request.term < state.current_term:\n        return _refusal(state, request)\n    if request.leader_id",
       "    if request.leader_id",
       "append::test_a_request_of_a_past_term_is_refused_with_the_current_term")
mutant("prove the whole log", "replication.py",
       "        proven = prev + len(fresh)\n", "        proven = max(prev + len(fresh), log.last_index)\n",
       "append::test_the_answer_never_claims_more_than_the_request_proved")
mutant("entries below the snapshot are not skipped", "replication.py",
       "if entry.index > log.snapshot_index]", "if entry.index > 0]",
       "append::test_entries_at_or_below_the_snapshot_are_skipped")
mutant("a previous index below the snapshot is refused", "replication.py",
       "    if prev < log.snapshot_index:\n", "    if prev < 0:\n",
       "append::test_a_previous_index_below_the_snapshot_is_a_match_at_the_commit_index")
mutant("below the snapshot only the request counts", "replication.py",
       "proven = max(prev + len(request.entries), state.commit_index)", "proven = prev + len(request.entries)",
       "append::test_a_previous_index_below_the_snapshot_is_a_match_at_the_commit_index")
mutant("truncate committed entries", "replication.py",
       "    if first <= state.commit_index:\n        raise", "    if False:\n        raise",
       "append::test_a_committed_entry_is_never_truncated")
mutant("protect one entry too many", "replication.py",
       "    if first <= state.commit_index:\n        raise", "    if first <= state.commit_index + 1 <= log.last_index:\n        raise",
       "append::test_the_entry_after_the_commit_index_may_be_replaced")
mutant("a leader obeys another of its term", "replication.py",
       "if state.role is NodeRole.LEADER and request.term == state.current_term:", "if False:",
       "append::test_a_leader_never_obeys_another_leader_of_its_own_term")
mutant("a leader installs another leader's snapshot", "snapshot.py",
       "if state.role is NodeRole.LEADER and request.term == state.current_term:", "if False:",
       "append::test_a_leader_never_obeys_another_leader_of_its_own_term")
mutant("a candidate ignores the leader of its term", "replication.py",
       "    if term > state.current_term or state.leader_id != leader_id or state.role in (\n"
       "        NodeRole.CANDIDATE, NodeRole.PRE_CANDIDATE,\n    ):\n",
       "    if term > state.current_term or (state.leader_id != leader_id and state.role is NodeRole.FOLLOWER):\n",
       "append::test_a_campaign_ends_when_a_leader_of_the_same_term_appears")
mutant("a candidate ignores a snapshot's leader", "snapshot.py",
       "    replication.follow(state, request.term, request.leader_id)\n",
       "    if state.role in (NodeRole.FOLLOWER, NodeRole.LEARNER, NodeRole.OBSERVER, NodeRole.LEADER):\n"
       "        replication.follow(state, request.term, request.leader_id)\n",
       "append::test_a_campaign_ends_when_a_leader_of_the_same_term_appears")
mutant("the leader does not postpone the election", "replication.py",
       "    state.leader_contact = now\n    state.postpone_election(now)\n", "    state.leader_contact = now\n",
       "append::test_hearing_from_the_leader_postpones_the_election")
mutant("entries out of order are taken", "replication.py",
       "    if [entry.index for entry in entries] != list(range(first, first + len(entries))):", "    if entries[0].index != first:",
       "append::test_malformed_entries_are_refused_before_anything_changes")
mutant("falling terms are taken", "replication.py", " or terms != sorted(terms):", ":",
       "append::test_malformed_entries_are_refused_before_anything_changes")
mutant("entries of a term above the leader's are taken", "replication.py", " or terms[-1] > request.term or", " or",
       "append::test_malformed_entries_are_refused_before_anything_changes")

# Commit.
mutant("commit entries of an earlier term by counting", "commit.py",
       "if index > state.commit_index and log.term_at(index) == state.current_term:", "if index > state.commit_index:",
       "commit::test_an_entry_of_an_earlier_term_is_not_committed_by_counting")
mutant("a follower commits beyond what the request proves", "replication.py",
       "advance_commit(state, min(request.leader_commit, proven))",
       "advance_commit(state, min(request.leader_commit, log.last_index))",
       "append::test_the_commit_index_moves_to_at_most_the_last_entry_that_the_request_proves")
mutant("the commit index moves back", "commit.py",
       "    if index > state.commit_index:\n        if index > state.log.last_index:", "    if index != state.commit_index:\n        if index > state.log.last_index:",
       "append::test_the_commit_index_follows_the_leaders_and_never_moves_back")
mutant("the leader counts what is not durable", "commit.py", "    own = log.stable_index\n", "    own = log.last_index\n",
       "commit::test_a_leader_counts_itself_only_up_to_what_is_durable")
mutant("an acknowledgement beyond the log is believed", "replication.py",
       "    if response.success and response.last_log_index > state.log.last_index:\n", "    if False:\n",
       "commit::test_nothing_above_what_the_leader_owns_is_committed")
mutant("half of the voters commits", "quorum.py",
       "    values = sorted([of(voter) for voter in voters])\n    return values[(len(values) - 1) // 2]",
       "    values = sorted([of(voter) for voter in voters])\n    return values[len(values) // 2]",
       "commit::test_four_voters_need_three")
mutant("one joint half commits", "quorum.py",
       "    if configuration.voters_outgoing:\n        value = min(", "    if False:\n        value = min(",
       "commit::test_a_joint_configuration_commits_with_a_majority_of_both_halves",
       "reads::test_a_read_counts_both_halves_of_a_joint_configuration",
       "progress::test_check_quorum_counts_both_halves_of_a_joint_configuration")
mutant("the better joint half commits", "quorum.py", "        value = min(value, ", "        value = max(value, ",
       "commit::test_a_joint_configuration_commits_with_a_majority_of_both_halves")
mutant("learners count in commit", "commit.py",
       "    index = int(quorum_value(match, state.configuration))\n",
       "    everyone = (*state.configuration.voters, *state.configuration.learners)\n"
       "    index = sorted(match(n) for n in everyone)[(len(everyone) - 1) // 2]\n",
       "commit::test_acknowledgements_of_learners_observers_and_strangers_commit_nothing",
       "commit::test_a_joint_configuration_commits_with_a_majority_of_both_halves")
mutant("one voter fewer is needed for each observer", "commit.py",
       "    index = int(quorum_value(match, state.configuration))\n",
       "    everyone = (*state.configuration.voters, *state.configuration.observers)\n"
       "    index = sorted((match(n) for n in everyone), reverse=True)[len(state.configuration.voters) // 2]\n",
       "commit::test_acknowledgements_of_learners_observers_and_strangers_commit_nothing")
mutant("a removed leader counts itself", "commit.py",
       "    index = int(quorum_value(match, state.configuration))\n",
       "    voters = {*state.configuration.voters, node}\n"
       "    index = sorted(match(n) for n in voters)[(len(voters) - 1) // 2]\n",
       "commit::test_a_removed_leader_stops_counting_itself_at_once")
mutant("no second look at commit when the membership shrinks", "commit.py",
       "        sync_progress(state)\n        update_commit(state)\n", "        sync_progress(state)\n",
       "commit::test_commit_is_evaluated_again_when_the_membership_shrinks",
       "commit::test_commit_is_evaluated_again_when_a_replicated_change_shrinks_it")
mutant("no entry opens the term", "election.py",
       '    state.log.append([LogEntry(state.current_term, state.log.last_index + 1, b"", EntryKind.NOOP)])\n', "",
       "commit::test_a_new_leader_opens_its_term_with_an_empty_entry")

# Progress.
mutant("acknowledgements of an old term count", "replication.py",
       "    if response.term < state.current_term or progress is None:\n        return\n    if response.success",
       "    if progress is None:\n        return\n    if response.success",
       "commit::test_acknowledgements_of_another_term_count_for_nothing",
       "reads::test_an_answer_of_an_earlier_term_confirms_nothing")
mutant("match falls", "progress.py", "        grows = index > self.match_index\n        if grows:\n            self.match_index = index\n            self.next",
       "        grows = index != self.match_index\n        if grows:\n            self.match_index = index\n            self.next",
       "progress::test_match_only_grows")
mutant("next falls to match", "progress.py",
       "        self.next_index = max(self.match_index + 1, min(self.next_index - 1, next_hint))\n",
       "        self.next_index = max(1, min(self.next_index - 1, next_hint))\n",
       "progress::test_next_stays_above_match")
mutant("a stale refusal throws a follower back", "progress.py",
       "        if rejected_index and rejected_index <= self.match_index:\n            return False\n", "",
       "progress::test_a_refusal_older_than_what_matches_changes_nothing")
mutant("every rejection sends a probe", "progress.py",
       "        if self.probe is None or (rejected_index and rejected_index != self.next_index - 1):\n            return False\n", "",
       "progress::test_one_probe_is_in_flight_however_many_rejections_arrive")
mutant("a silent member is sent the same entries again", "replication.py",
       " and not (probing and progress.unanswered)", "",
       "observers::test_an_observer_that_stops_reading_for_an_hour_costs_no_memory_and_no_latency")
mutant("the window of messages is endless", "progress.py",
       "len(self.inflight) < self.inflight_messages_max and self.inflight_bytes", "self.inflight_bytes",
       "progress::test_the_window_of_messages_is_bounded")
mutant("the window of bytes is endless", "progress.py", " and self.inflight_bytes < self.inflight_bytes_max", "",
       "progress::test_the_window_of_bytes_is_bounded")
mutant("observers get the voters' window", "roles.py",
       "        messages = config.observer_inflight_messages_max if observer else config.inflight_messages_max\n",
       "        messages = config.inflight_messages_max\n",
       "progress::test_an_observers_window_is_its_own_and_its_answers_release_it")
mutant("step back one entry at a time", "replication.py",
       "    index, _ = state.log.last_index_with_term_at_most(response.conflict_index, response.conflict_term)\n    return index + 1",
       "    return response.rejected_index",
       "progress::test_the_way_back_over_a_long_conflict_does_not_grow_with_its_length")
mutant("a snapshot's answer leaves next where it was", "progress.py",
       "        if self.state is ProgressState.SNAPSHOT:\n            self.become_probe()\n        else:",
       "        if self.state is ProgressState.SNAPSHOT:\n            self.state = ProgressState.PROBE\n        else:",
       "progress::test_after_a_snapshot_is_acknowledged_next_is_its_index_plus_one")
mutant("a snapshot's chunk counts as installed", "snapshot.py",
       "    if response.installed and response", "    if response",
       "progress::test_a_snapshot_answer_that_is_not_installed_proves_nothing")
mutant("a snapshot is asked for once only", "replication.py",
       "if now - progress.snapshot_asked_at >= config.election_timeout_max:", "if False:",
       "progress::test_a_snapshot_that_is_not_acknowledged_is_asked_for_again")
mutant("a response of a higher term is ignored", "replication.py",
       "    if response.term > state.current_term:\n        become_follower(state, response.term, None)\n        return\n    if response.term < state.current_term or progress is None:\n        return\n    if response.success",
       "    if response.term < state.current_term or progress is None:\n        return\n    if response.success",
       "progress::test_a_response_of_a_higher_term_deposes_the_leader")
mutant("catch-up counts zero as caught up", "progress.py",
       "        if self.match_index == 0:\n            return\n", "        if self.match_index == 0:\n            last_index = 0\n",
       "progress::test_a_learner_that_has_acknowledged_nothing_has_not_caught_up")
mutant("catch-up without a time limit", "progress.py",
       "self.caught_up = now - self.catch_up_started <= round_seconds_max", "self.caught_up = True",
       "progress::test_a_learner_whose_round_took_too_long_has_not_caught_up")
mutant("check-quorum off", "replication.py", "        if state.config.check_quorum:\n", "        if False:\n",
       "progress::test_a_leader_whose_quorum_is_silent_steps_down",
       "progress::test_check_quorum_counts_both_halves_of_a_joint_configuration")
mutant("a stuck disk keeps its leader", "replication.py", "    if _storage_is_stuck(state, now):\n", "    if False:\n",
       "progress::test_a_leader_whose_storage_is_stuck_steps_down")
mutant("a lone voter with a stuck disk steps down", "replication.py",
       "    if state.configuration.voter_union() == (state.node_id,):\n", "    if False:\n",
       "found_bugs::test_a_lone_voter_leads_on_while_its_disk_is_stuck")

# Ready.
mutant("deliver again until applied", "node.py", "            state.delivered_index + 1, state.commit_index,",
       "            state.applied_index + 1, state.commit_index,",
       "ready::test_committed_entries_come_exactly_once_also_before_they_are_applied")
mutant("deliver uncommitted entries", "node.py", "            state.delivered_index + 1, state.commit_index,",
       "            state.delivered_index + 1, state.log.last_index,",
       "ready::test_entries_that_are_not_committed_are_not_delivered")
mutant("count cut-off entries as delivered", "node.py", "state.delivered_index = ready.committed_entries[-1].index",
       "state.delivered_index = state.commit_index",
       "ready::test_a_long_backlog_is_delivered_in_bounded_pieces")
mutant("deliver what the snapshot covers after a restart", "node.py",
       "state.commit_index = state.applied_index = state.delivered_index = applied",
       "state.commit_index = state.applied_index = applied\n        state.delivered_index = state.log.snapshot_index",
       "ready::test_a_machine_that_was_loaded_further_is_not_given_old_entries")
mutant("skip delivered entries after a snapshot", "snapshot.py",
       "state.delivered_index = max(state.delivered_index, index)", "state.delivered_index = max(state.delivered_index, index + 1)",
       "ready::test_after_a_snapshot_delivery_goes_on_behind_it")
mutant("applied above commit", "node.py", "if not state.applied_index <= index <= state.commit_index:", "if not state.applied_index <= index:",
       "ready::test_applied_is_never_above_commit_and_never_goes_back")
mutant("applied goes back", "node.py", "if not state.applied_index <= index <= state.commit_index:", "if not index <= state.commit_index:",
       "ready::test_applied_is_never_above_commit_and_never_goes_back")

# The hint.
mutant("a deposed leader names itself", "roles.py",
       "    _leave_role(state)\n    state.leader_id = leader_id\n    state.role = _passive_role(state)",
       "    before = state.leader_id\n    _leave_role(state)\n    state.leader_id = leader_id or before\n"
       "    state.role = _passive_role(state)",
       "interface::test_after_a_step_down_the_leader_hint_is_not_this_node")

# Reads.
mutant("a read before an entry of this term is committed", "reads.py",
       "if not state.reads or state.commit_index < state.term_start_index:", "if not state.reads:",
       "reads::test_no_read_before_an_entry_of_this_term_is_committed")
mutant("a lease before an entry of this term is committed", "reads.py",
       " or state.commit_index < state.term_start_index:\n        return False", ":\n        return False",
       "reads::test_no_lease_before_an_entry_of_this_term_is_committed")
mutant("a round sent before the read arrived confirms it", "reads.py", "state.reads.append((state.read_count, state.round + 1))",
       "state.reads.append((state.read_count, state.round))",
       "reads::test_a_round_that_was_sent_before_the_read_confirms_nothing")
mutant("a round of the future confirms", "replication.py", "if state.round >= round_ > progress.acked_round:", "if round_ > progress.acked_round:",
       "reads::test_a_round_that_was_never_sent_confirms_nothing")
mutant("a read without a quorum", "reads.py", "        confirmed = _confirmed_round(state)\n    while", "        confirmed = state.round\n    while",
       "reads::test_a_read_waits_for_a_quorum_that_answers_after_it_arrived",
       "reads::test_a_deposed_leader_never_confirms_a_read")
mutant("reads are forgotten at a step-down", "reads.py",
       "    state.reads_aborted.extend(read_id for read_id, _ in state.reads)\n", "",
       "reads::test_reads_are_aborted_when_the_leader_steps_down")
mutant("reads survive a step-down", "reads.py", "    state.reads.clear()\n", "    state.reads_ready.extend(state.reads)\n",
       "reads::test_reads_are_aborted_when_the_leader_steps_down")
mutant("reads that nobody confirms are kept", "replication.py", "        reads.abort(state)\n", "        pass\n",
       "reads::test_a_leader_without_check_quorum_gives_up_reads_that_nobody_confirms")
mutant("a lease is counted from the answer", "replication.py",
       "    progress.unanswered = False\n    if state.round >= round_",
       "    progress.unanswered = False\n    state.round_times = type(state.round_times)((r, now) for r, _ in state.round_times)\n"
       "    if state.round >= round_",
       "reads::test_a_lease_counts_from_the_sending_and_not_from_the_answer")
mutant("a lease without the drift's bound", "reads.py", "lease = config.election_timeout_min * (1 - config.clock_drift_max)",
       "lease = config.election_timeout_max", "reads::test_a_lease_ends_before_the_least_election_timeout")
mutant("a lease through a transfer", "transfer.py", "    state.lease_blocked = True\n", "", "reads::test_no_lease_once_a_transfer_was_sent")
mutant("a lease of a lone incoming voter", "reads.py",
       "return state.configuration.voters == (state.node_id,) and not state.configuration.joint",
       "return state.configuration.voters == (state.node_id,)",
       "found_bugs::test_a_lease_in_a_joint_configuration_needs_the_outgoing_half_too")
mutant("a restart forgets a promised lease", "node.py", "            state.leader_contact = state.clock()\n", "            pass\n",
       "reads::test_a_restarted_node_honours_a_lease_that_it_may_have_promised")

# Membership.
mutant("a change before the term's entry", "membership_changes.py", "    if state.commit_index < state.term_start_index:\n", "    if False:\n",
       "membership::test_no_change_before_an_entry_of_the_current_term_is_committed")
mutant("two changes uncommitted", "membership_changes.py", "    if pending > state.commit_index:\n", "    if False:\n",
       "membership::test_one_change_is_uncommitted_at_a_time")
mutant("a configuration survives its truncation", "commit.py",
       "        state.configurations.pop()\n", "        break\n", "membership::test_a_truncated_configuration_is_rolled_back")
mutant("a rollback leaves the role", "commit.py",
       "    if state.configurations[-1] is not before:\n        on_changed(state)\n", "",
       "membership::test_a_rolled_back_promotion_makes_a_learner_again")
mutant("a follower ignores configurations", "replication.py",
       "            commit.take_effect(state, index, configuration)\n", "            pass\n",
       "membership::test_a_follower_uses_a_configuration_when_it_is_appended")
mutant("the last voter goes", "membership.py", "            if last_voter_stays and voters == {peer}:\n", "            if False:\n",
       "membership::test_the_last_voter_stays")
mutant("the last voter is demoted", "membership.py", "            if last_voter_stays and len(voters) == 1:\n", "            if False:\n",
       "membership::test_the_last_voter_stays")
mutant("no joint phase", "membership.py", "    if len(before ^ after) <= 1:\n", "    if True:\n",
       "membership::test_several_votes_change_through_a_joint_phase")
mutant("two votes change at once", "membership.py", "    if len(before ^ after) <= 1:\n", "    if len(before ^ after) <= 2:\n",
       "membership::test_several_votes_change_through_a_joint_phase")
mutant("the joint phase never ends", "commit.py", "        append_configuration(state, leave_joint(configuration))\n", "        pass\n",
       "membership::test_the_leader_leaves_the_joint_phase_by_itself")
mutant("a removed leader stays", "commit.py", "    elif state.node_id not in configuration.voters and index > 0:\n", "    elif False:\n",
       "membership::test_a_leader_outside_the_new_voters_steps_down_when_the_change_is_committed")
mutant("a removed leader leaves at once", "commit.py", "    if index > state.commit_index or state.role", "    if state.role",
       "membership::test_a_leader_goes_on_until_its_own_removal_is_committed",
       "commit::test_a_removed_leader_stops_counting_itself_at_once")
mutant("no successor is named", "commit.py", "        transfer.name_successor(state)\n", "",
       "membership::test_a_leader_outside_the_new_voters_steps_down_when_the_change_is_committed")
mutant("a restart ignores the configurations below its machine's snapshot", "node.py",
       "            elif configuration is None:\n", "            elif False:\n",
       "membership::test_a_restarted_node_takes_its_configuration_from_entries_that_its_machine_has_applied")
mutant("a restart forgets the log's configurations", "node.py",
       "            if entry.index > applied:\n                state.configurations.append", "            if False:\n                state.configurations.append",
       "membership::test_a_restarted_node_takes_its_configuration_from_the_log")
mutant("a snapshot's configuration is ignored", "snapshot.py", "    base = request.configuration or state", "    base = state",
       "membership::test_a_snapshot_brings_the_committed_configuration_and_resets_the_latest")
mutant("a snapshot keeps the latest configuration", "snapshot.py", " if i > index] if kept else []", " if i > index or not kept]",
       "membership::test_a_snapshot_brings_the_committed_configuration_and_resets_the_latest")
mutant("a demoted voter loses its outgoing vote", "membership.py",
       "    outgoing = tuple(configuration.voters)\n", "    outgoing = tuple(n for n in configuration.voters if n not in target.learners)\n",
       "membership::test_a_demoted_voter_of_a_joint_change_becomes_a_learner_at_its_end")
mutant("a new voter is silent from its first moment", "roles.py",
       "            progress.last_contact = now\n            state.progress[peer]", "            state.progress[peer]",
       "membership::test_a_new_voter_without_contact_is_not_counted_as_silent_at_once")
mutant("add_peer promotes a learner", "node.py",
       '        """Count `peer` as a voter. Nothing happens for a member, a learner included."""\n        if peer not in self._state.configuration.members():',
       '        """Count `peer` as a voter. Nothing happens for a member, a learner included."""\n        if peer not in self.peers:',
       "membership::test_the_primitives_do_nothing_where_a_change_makes_no_sense")

# Snapshots.
mutant("a snapshot goes back", "snapshot.py", "    if request.last_included_index <= state.commit_index:\n", "    if False:\n",
       "snapshot::test_a_snapshot_never_goes_back")
mutant("a suffix is kept whatever the term", "log.py", "        if self.term_at(index) == term:\n", "        if self.term_at(index) is not None:\n",
       "snapshot::test_the_suffix_is_discarded_where_the_term_differs")
mutant("a suffix is never kept", "log.py", "        if self.term_at(index) == term:\n", "        if False:\n",
       "snapshot::test_the_suffix_is_kept_where_the_entry_at_the_snapshot_has_its_term")
mutant("a missing chunk is not missed", "snapshot.py", "    if request.offset != expected:\n", "    if request.offset < expected:\n",
       "snapshot::test_a_missing_chunk_is_asked_for_again")
mutant("chunks of two snapshots are put together", "snapshot.py", "    return offset if same else 0\n", "    return offset\n",
       "snapshot::test_another_snapshot_starts_again_at_offset_zero")
mutant("a snapshot with a checksum is of one leader", "messages.py", "        leader_term = 0 if self.checksum else self.term\n", "        leader_term = self.term\n",
       "snapshot::test_another_leader_goes_on_with_a_snapshot_of_the_same_checksum")
mutant("a snapshot without a checksum is of any leader", "messages.py", "        leader_term = 0 if self.checksum else self.term\n", "        leader_term = 0\n",
       "snapshot::test_another_snapshot_starts_again_at_offset_zero")
mutant("a snapshot's checksum is not looked at", "messages.py", "self.last_included_term, self.checksum\n", "self.last_included_term, 0\n",
       "snapshot::test_another_snapshot_than_the_one_with_a_checksum_starts_at_offset_zero")
mutant("install before done", "snapshot.py", "    if not request.done:\n", "    if not request.done and not request.data:\n",
       "snapshot::test_the_core_acts_when_done_arrives_with_nothing_missing")
mutant("compact what is not applied", "snapshot.py", "    if index > state.applied_index:\n", "    if index > state.commit_index + 1:\n",
       "snapshot::test_compaction_discards_only_what_is_applied")
mutant("the range shows uncommitted entries", "node.py",
       "        return self._read_range(lo, min(hi, self._state.commit_index), None)\n", "        return self._read_range(lo, min(hi, self._state.log.last_index), None)\n",
       "snapshot::test_the_committed_range_is_read_with_both_ends_and_clamped")
mutant("an interrupted install is not finished", "node.py", "            state.log.install(applied_index, applied_term)\n", "            pass\n",
       "found_bugs::test_a_crash_between_a_snapshot_and_the_log_restart_is_finished_at_the_next_start")

# Transfer.
mutant("a transfer does not wait for the log", "transfer.py", " and progress.match_index == state.log.last_index:", ":",
       "interface::test_a_transfer_waits_until_the_target_has_every_entry")
mutant("proposals during a transfer", "node.py", "        if state.transfer_target is not None:\n", "        if False:\n",
       "interface::test_proposals_are_refused_during_a_transfer_and_taken_after_its_deadline")
mutant("a transfer without a deadline", "transfer.py", "    if state.transfer_target is not None and now >= state.transfer_deadline:\n", "    if False:\n",
       "interface::test_proposals_are_refused_during_a_transfer_and_taken_after_its_deadline")
mutant("transfer to a learner", "transfer.py", "    if peer not in state.configuration.voters:\n", "    if peer not in state.configuration.members():\n",
       "interface::test_only_another_voter_can_be_a_transfers_target")
mutant("a past leader's timeout-now", "election.py", "    if request.term < state.current_term or state.role is NodeRole.LEADER:\n", "    if state.role is NodeRole.LEADER:\n",
       "interface::test_a_timeout_now_of_a_past_term_is_ignored")

# A stop is a stop.
mutant("go on after a failed disk", "node.py", "            self._failure = error\n", "",
       "interface::test_a_storage_error_stops_the_node", "append::test_a_committed_entry_is_never_truncated")
mutant("heartbeat slower than the election is allowed", "config.py",
       "_require(self.election_timeout_min > self.heartbeat_interval,", "_require(True,",
       "config::test_a_configuration_that_cannot_work_names_the_field")
mutant("another group's request is served", "node.py", "        if group_id != self._state.config.group_id:\n", "        if False:\n",
       "interface::test_group_ids_route_requests")

# Outcomes, priority, automatic promotion.
mutant("a node of priority zero leads", "state.py", "return self.has_vote and self.config.priority > 0", "return self.has_vote",
       "leadership::test_a_node_with_priority_zero_never_leads")
mutant("priority ignored", "state.py", "(timeout / config.priority if config.priority else timeout)", "timeout",
       "leadership::test_a_lower_priority_waits_longer")
mutant("every transfer counts as done", "roles.py", "done = state.leader_id == target", "done = True",
       "leadership::test_a_transfer_that_another_node_wins_is_not_done")
mutant("a promotion without catching up", "promotion.py", "if progress.caught_up and progress.answers(", "if progress.answers(",
       "leadership::test_a_learner_that_makes_no_progress_is_given_up_with_the_reason",
       "leadership::test_a_learner_is_promoted_by_itself_when_it_has_caught_up")
mutant("endless patience with a learner", "promotion.py", "elif now - promotion.since >= state.config.catch_up_timeout:", "elif False:",
       "leadership::test_a_learner_that_makes_no_progress_is_given_up_with_the_reason")
mutant("patience counted from the start", "promotion.py", "promotion.match_index, promotion.since = progress.match_index, now", "promotion.match_index = progress.match_index",
       "leadership::test_a_learner_that_makes_no_progress_is_given_up_with_the_reason")
mutant("promoted is told before the commit", "promotion.py", "if state.configurations[-1][0] <= state.commit_index:", "if True:",
       "leadership::test_a_learner_is_promoted_by_itself_when_it_has_caught_up")
