"""Wrong versions of the server, one rule broken in each, and the tests that must notice.

`python -m tests.support.mutant_runner tests.server.mutants` applies them.
"""

# The texts are the source's lines and stay as long as they are.
# ruff: noqa: E501

from tests.support.mutants import MutantList

MUTANTS = MutantList("server")
mutant = MUTANTS.add


# The order that durability asks for.
RESPONSES = "        responses, self._responses = self._responses, []\n        for peer, response in responses:\n            self._transport.send_response(peer, response)\n"
SENDER = "        send, durability = self._transport.send_request, self.durability\n"
mutant("responses before the fsync", "replica.py", SENDER, SENDER + RESPONSES,
       "replica_durability::test_an_acknowledgement_leaves_after_the_fsync_of_its_entries")
mutant("vote requests before the fsync", "replica.py", SENDER,
       SENDER + "        for peer, early in ready.vote_requests:\n            send(peer, early)\n",
       "replica_durability::test_what_leaves_survives_a_power_loss_at_that_moment")
mutant("the hard state is not saved", "replica.py", "            durability.save_hard_state(ready.hard_state)\n", "            pass\n",
       "replica_durability::test_what_leaves_survives_a_power_loss_at_that_moment")
mutant("a leader waits for its own fsync", "replica.py",
       "            for peer, message in ready.messages:\n                send(peer, message)\n", "            requests[:0] = ready.messages\n",
       "replica_durability::test_a_leaders_entries_leave_before_its_own_fsync")

# What a writer is told.
mutant("a waiter by its index only", "requests.py", "        if waiter.term != entry.term or applied is None:\n", "        if applied is None:\n",
       "replica_writes::test_a_waiter_of_the_same_index_in_another_term_is_not_acknowledged")
mutant("not done before that is certain", "requests.py",
       "be committed elsewhere\", UNKNOWN)\n", "be committed elsewhere\")\n",
       "replica_writes::test_an_entry_that_was_replaced_and_not_committed_is_not_called_undone")
mutant("a timed-out write is not done", "requests.py",
       "f\"entry {waiter.index} was not committed in time; it still may be\", UNKNOWN)", "f\"entry {waiter.index} was not committed in time; it still may be\")",
       "replica_writes::test_a_write_that_no_quorum_takes_in_time_is_unknown")
mutant("a deposed leader's writers wait to the end", "requests.py",
       "        self._writes.hasten(deadline)\n", "",
       "replica_writes::test_a_leader_that_steps_down_lets_no_writer_wait_for_long")
mutant("a snapshot forgets the writers it covers", "requests.py", "        for waiter in self._writes.pop_up_to(index):\n", "        for waiter in []:\n",
       "replica_writes::test_a_write_that_a_snapshot_covers_is_unknown")
mutant("writes are not bounded", "requests.py", "        if waiting < UNCOMMITTED_BYTES_MAX:\n", "        if True:\n",
       "replica_writes::test_too_much_under_way_is_refused_as_busy")
mutant("what timed out counts no more", "requests.py",
       "        for waiter in self._writes.pop_overdue(now):\n", "        for waiter in self._writes.pop_overdue(now):\n            self._uncommitted.clear()\n",
       "replica_writes::test_too_much_under_way_is_refused_as_busy")

# Reads.
mutant("a read without its barrier", "requests.py", "            self.reads.add(client, request, since)\n", "            self.serve(client, request)\n",
       "replica_reads::test_a_deposed_leader_serves_no_stale_read")
mutant("a read before its index is applied", "reads.py", "            if index <= applied:\n", "            if True:\n",
       "replica_reads::test_a_confirmed_read_waits_until_its_index_is_applied")
mutant("aborted reads are forgotten", "reads.py", "            self._waiting += self._barriers.pop(barrier, [])\n", "            self._barriers.pop(barrier, [])\n",
       "replica_reads::test_a_deposed_leader_serves_no_stale_read")
mutant("each barrier gives a read a new deadline", "reads.py", "            self._barriers[node.read_index()] = self._waiting\n",
       "            for read in self._waiting:\n                read.deadline = self._replica.clock() + self._replica.settings.request_timeout\n            self._barriers[node.read_index()] = self._waiting\n",
       "replica_reads::test_a_read_has_one_deadline_however_often_the_leadership_comes_and_goes")
mutant("a read's time without a leader does not count", "requests.py", "                self._dispatch(held.client, held.request, held.since)\n", "                self._dispatch(held.client, held.request, self._replica.clock())\n",
       "replica_reads::test_the_time_that_a_read_waited_for_a_leader_counts")
mutant("a read waits long for the next leader", "requests.py", "        self.reads.hasten(self._replica.clock() + self._replica.settings.no_leader_timeout)\n", "",
       "replica_reads::test_a_read_of_a_leader_that_steps_down_waits_no_longer_for_the_next_one_than_any_request")
mutant("a confirmed read waits for ever", "reads.py", "            self._fail_overdue(reads, now, ErrorCode.TIMED_OUT", "            self._fail_overdue([], now, ErrorCode.TIMED_OUT",
       "replica_reads::test_a_confirmed_read_that_is_not_applied_in_time_fails")
mutant("a read that no quorum confirms waits for ever", "reads.py", "            self._fail_overdue(reads, now, ErrorCode.NO_LEADER,\n", "            self._fail_overdue([], now, ErrorCode.NO_LEADER,\n",
       "replica_reads::test_a_read_without_a_quorum_fails_in_time")

# Members.
mutant("a change by its index only", "member_requests.py",
       "            if change.joint or change.index != entry.index or change.term == entry.term:\n", "            if True:\n",
       "replica_members::test_a_change_that_a_new_leader_overwrote_is_not_reported_as_made")
mutant("a repeated change is confirmed at once", "member_requests.py", "(not plan.changes and status.configuration_committed and not plan.target.joint)", "not plan.changes",
       "replica_members::test_a_repeated_change_is_not_confirmed_before_it_is_committed")
mutant("a dry run is a real one", "member_requests.py", "        if request.dry_run or (not plan", "        if (not plan",
       "replica_members::test_a_dry_run_changes_nothing_and_says_what_would_be")
mutant("the term of a compacted change is asked for", "member_requests.py",
       "        term = node.current_term if committed_joint else node.term_at(index)\n", "        term = node.term_at(index)\n",
       "replica_members::test_a_repeated_change_is_understood_where_its_joint_entry_is_compacted")
mutant("a joint change is done at its beginning", "member_requests.py", "                change.joint = configuration.joint\n", "                change.joint = False\n",
       "replica_members::test_several_operations_are_one_change_through_a_joint_phase")
mutant("the quorum is not checked", "members.py", "    if not force and plan.after.tolerates < 0", "    if False and plan.after.tolerates < 0",
       "replica_members::test_a_removal_that_would_lose_the_quorum_is_refused")
mutant("lag is not checked", "members.py", "    if progress is None or progress.promotable:\n", "    if True:\n",
       "replica_members::test_a_learner_that_has_not_caught_up_is_not_promoted")
mutant("an uncommitted removal shuts out", "replica.py", "check_hello(hello, self._applied_configuration, self.node.configuration)",
       "check_hello(hello, self.node.configuration, self.node.configuration)",
       "replica_members::test_a_removal_that_was_rolled_back_elsewhere_does_not_shut_its_node_out")
mutant("a transfer without an end", "member_requests.py", "            if under_way or (leader is None and now < transfer.deadline):\n", "            if under_way or leader is None:\n",
       "replica_members::test_a_transfer_after_which_nobody_leads_is_answered_in_the_end")
mutant("a wiped node is welcome", "admission.py", "        if known == instance:\n", "        if True:\n",
       "admission::test_a_wiped_node_is_refused_under_its_old_id")

# Snapshots.
mutant("the log is cut before the snapshot is durable", "snapshot_work.py", "            stored = self._taking.step(self._replica.clock)\n", "            node.compact(self._taking.index)\n            self._storage.sync()\n            stored = self._taking.step(self._replica.clock)\n",
       "replica_snapshots::test_a_crash_at_any_point_of_taking_a_snapshot_is_recovered")
mutant("no trailing entries", "snapshot_work.py", "        keep_from = stored.index - self._replica.settings.snapshot_trailing\n", "        keep_from = stored.index\n",
       "replica_snapshots::test_snapshots_are_taken_by_entries_and_keep_the_trailing_ones")
mutant("the snapshot that is sent is not pinned", "snapshot_work.py", "        self._store.pin(self.newest)\n", "        self._store._pins.setdefault('', 0)\n",
       "replica_snapshots::test_the_snapshot_that_is_being_sent_stays_while_newer_ones_are_taken")
mutant("a last chunk alone is enough", "snapshot_work.py", "            if stored is None and request.done:\n", "            if False:\n",
       "replica_snapshots::test_a_final_chunk_without_the_others_is_never_put_in_force")
mutant("the machine is not loaded", "snapshot_work.py", "        self._replica.load_machine(stored)\n", "        pass\n",
       "replica_snapshots::test_a_follower_behind_the_log_gets_a_snapshot_in_chunks")
mutant("the log is not fitted to the snapshot", "snapshot_work.py", "        self._fit_log()\n", "        pass\n",
       "replica_snapshots::test_a_conflicting_log_gives_way_to_the_snapshot_at_the_start",
       "replica_snapshots::test_a_missing_snapshot_is_refused")
mutant("a chunk is never sent again", "transfers.py", "        self.resend_at = now + RESEND_SECONDS\n", "        self.resend_at = now + 10**9\n",
       "replica_snapshots::test_a_transfer_goes_on_where_it_was_after_a_reconnect")
mutant("a snapshot's checksum is not told", "transfers.py", ", checksum=self.stored.checksum,\n", ",\n",
       "replica_snapshots::test_the_next_leader_goes_on_with_a_transfer_where_the_last_one_stopped")
mutant("snapshots are taken at the end of a turn only", "replica.py", "            if snapshot_entries and entry.index % snapshot_entries == 0:\n", "            if False:\n",
       "replica_snapshots::test_all_nodes_take_the_same_snapshots")
mutant("a snapshot that missed its turn is not taken", "snapshot_work.py", "entries >= periods * settings.snapshot_entries)", "entries >= 10**9)",
       "replica_snapshots::test_a_snapshot_that_missed_its_turn_is_taken_later")

# The end.
mutant("a stopping leader keeps leading", "replica.py", "            self.node.transfer_leadership(target)\n", "            pass\n",
       "requests_shutdown::test_a_leader_hands_over_before_it_ends")
mutant("reads are dropped at the end", "requests.py", "        self.reads.abandon()\n", "",
       "requests_shutdown::test_every_request_is_answered_before_the_end")
mutant("a question answers what waits", "replica.py", "        if self._stop_deadline is None or self.requests.waiting_count:\n", "        if self._stop_deadline is not None and self.clock() >= self._stop_deadline:\n            self.requests.abandon()\n        if self._stop_deadline is None or self.requests.waiting_count:\n",
       "requests_shutdown::test_asking_whether_a_node_may_end_changes_nothing")
mutant("a stopping node waits for its requests for ever", "replica.py", "            self.requests.abandon()\n", "            pass\n",
       "requests_shutdown::test_every_request_is_answered_before_the_end")
mutant("a forgotten poll keeps its deadline", "waiting.py", "            del self._polls[number]\n        self._forget_past_deadlines()\n", "            del self._polls[number]\n",
       "requests_streams::test_a_client_that_hangs_up_is_forgotten_and_costs_no_turns")

# A full disk.
mutant("what has no room is promised", "replica.py", "            if durability.may_leave(response):\n", "            if True:\n",
       "replica_full::test_a_follower_without_room_acknowledges_nothing_and_catches_up_later")
mutant("a full leader takes writes", "requests.py", "        if not self._replica.durability.full:\n            return False\n", "        return False\n",
       "replica_full::test_a_leader_without_room_refuses_writes_and_serves_reads")
mutant("a full follower stores entries", "replica.py", "if self.durability.full and message.entries:", "if False:",
       "replica_full::test_a_follower_without_room_keeps_no_more_in_memory")
mutant("no room is forever", "durability.py", "        if self.full:\n            self.full = False\n            self._on_change(False, \"\")\n", "",
       "replica_full::test_a_follower_without_room_acknowledges_nothing_and_catches_up_later")
mutant("a term without room", "durability.py", "        if self._hard_state_staged:\n            return False\n", "",
       "replica_full::test_another_node_leads_when_the_leaders_disk_stays_full")
mutant("a vote without room", "durability.py", "                return not self._storage.has_unsynced\n", "                return True\n",
       "replica_full::test_a_node_without_room_neither_votes_nor_campaigns")
mutant("a campaign without room", "replica.py", "        if not self._storage.has_unsynced:\n            for peer, request in requests:\n", "        if True:\n            for peer, request in requests:\n",
       "replica_full::test_a_node_without_room_neither_votes_nor_campaigns")

# Snapshots on their way.
mutant("what was received without room stays", "transfers.py", "            self.abort()\n            raise\n", "            raise\n",
       "replica_snapshots::test_a_mixture_of_two_snapshots_of_one_name_is_found_and_the_transfer_begins_again")
mutant("the order of chunks is ignored", "transfers.py", "        if request.offset != self._receiver.next_offset:\n            return None\n        receiver = self._receiver\n        try:\n            receiver.write(request.offset, request.data)\n", "        receiver = self._receiver\n        try:\n            receiver.write(receiver.next_offset, request.data)\n",
       "replica_snapshots::test_a_transfer_goes_on_after_lost_doubled_and_reordered_chunks")
mutant("a chunk out of order ends the transfer", "transfers.py", "        if request.offset != self._receiver.next_offset:\n            return None\n", "",
       "transfers::test_chunks_out_of_order_are_left_aside_and_cost_nothing")
mutant("chunks of two snapshots are stored as one", "transfers.py", "        if self._receiver is None or request.identity != self._identity:\n", "        if self._receiver is None:\n",
       "replica_snapshots::test_the_next_leader_begins_anew_where_its_snapshot_is_another")
mutant("a transfer knows no limit of its rate", "transfers.py", "            self.offset, self.resend_at = wanted, self._next_at\n", "            self.offset, self.resend_at = wanted, 0.0\n",
       "replica_snapshots::test_a_snapshot_is_sent_no_faster_than_its_rate_allows")
mutant("an answer about another snapshot counts", "transfers.py", "        if response.last_included_index != self.stored.index:\n", "        if False:\n",
       "transfers::test_an_answer_about_another_snapshot_moves_nothing")
mutant("doubled answers double the stream", "transfers.py", "        if wanted != self.offset:\n", "        if True:\n",
       "replica_snapshots::test_a_doubled_answer_does_not_double_the_stream")
mutant("a whole snapshot is written in one turn", "transfers.py", "            if clock() >= until:\n", "            if False:\n",
       "replica_snapshots::test_writes_go_on_while_a_snapshot_is_taken")

# The replica, its snapshots and its members.
mutant("a snapshot names the latest members", "snapshot_work.py", "node.configuration_at(index)\n            )", "node.configuration\n            )",
       "replica_members::test_a_snapshot_names_the_members_of_its_moment")
mutant("a snapshot names the first members", "snapshot_work.py", "node.configuration_at(index)\n            )", "self._replica.identity.configuration\n            )",
       "replica_members::test_a_snapshot_names_the_members_of_its_moment")
mutant("a snapshot's message is trusted about the members", "snapshot_work.py", "            request = replace(request, configuration=stored.configuration)\n", "            pass\n",
       "replica_snapshots::test_the_members_of_a_snapshot_are_those_in_its_file")
mutant("the members of an installed snapshot are not committed", "replica.py", "        self._applied_configuration = stored.configuration\n", "",
       "replica_members::test_a_removal_inside_a_snapshot_shuts_its_node_out_too")
mutant("a log whose snapshot is missing is opened", "snapshot_work.py", "        if log_index > snapshot_index:\n", "        if False:\n",
       "replica_snapshots::test_a_missing_snapshot_is_refused")
mutant("a snapshot without room is tried again at once", "snapshot_work.py", "        self._not_before = self._replica.clock() + RETRY_SECONDS\n", "",
       "replica_full::test_a_snapshot_that_found_no_room_is_not_tried_again_at_once")
mutant("a snapshot without room keeps its place", "snapshot_work.py", "        self.stop_taking()\n        self._not_before", "        self._taking = None\n        self._not_before",
       "replica_full::test_a_snapshot_without_room_fails_and_leaves_the_node_as_it_is")
mutant("a removed member is sent a snapshot", "snapshot_work.py", "            if peer not in node.configuration.members():\n", "            if False:\n",
       "replica_snapshots::test_a_member_that_is_removed_is_sent_no_more_of_a_snapshot")
mutant("a deposed leader goes on sending a snapshot", "replica.py", "                self.snapshot_work.stop_sending()\n", "",
       "replica_snapshots::test_a_transfer_goes_on_after_leadership_was_handed_over")
mutant("a past leader's chunk is stored", "snapshot_work.py", "        elif self._will_follow(request):\n", "        else:\n",
       "replica_snapshots::test_a_stale_chunk_of_a_past_term_changes_nothing")
mutant("a snapshot that is being taken goes on beneath an installed one", "snapshot_work.py", "        self.stop_taking()\n        self._replica.load_machine(stored)\n", "        self._replica.load_machine(stored)\n",
       "replica_snapshots::test_an_arriving_snapshot_ends_one_that_is_being_taken")
mutant("a snapshot is not taken after many bytes", "replica.py", "                snapshot_work.bytes_since += len(entry.data)\n", "                pass\n",
       "replica_snapshots::test_snapshots_are_taken_by_bytes")
mutant("a full follower stores a snapshot", "replica.py", "return None if self.durability.full else self.snapshot_work.handle_chunk(message)", "return self.snapshot_work.handle_chunk(message)",
       "replica_full::test_a_node_without_room_ignores_a_snapshot")
mutant("a stopping node begins a snapshot", "snapshot_work.py", "        return not self._replica.stopping and self._replica.clock() >= self._not_before\n", "        return self._replica.clock() >= self._not_before\n",
       "requests_shutdown::test_a_stopping_node_begins_no_snapshot")
mutant("a stopping node goes on taking its snapshot", "replica.py", "        self.snapshot_work.stop_taking()\n", "",
       "requests_shutdown::test_a_snapshot_that_is_being_taken_is_given_up")
mutant("a leader ends before another leads", "replica.py", "        return not handing_over or self.clock() >= self._stop_deadline\n", "        return True\n",
       "requests_shutdown::test_a_leader_hands_over_before_it_ends")
mutant("a leader that nobody follows never ends", "replica.py", "        return not handing_over or self.clock() >= self._stop_deadline\n", "        return not handing_over\n",
       "requests_shutdown::test_a_leader_whose_successor_does_not_take_over_does_not_wait_for_ever")
mutant("what was before a node joined is news", "replica.py", "        news = describe_changes(before, after) if self._is_known_member else []\n", "        news = describe_changes(before, after)\n",
       "replica_members::test_what_happened_before_a_node_joined_is_no_news_of_it")
mutant("membership changes are no events", "replica.py", "        for event, node, kind in news:\n", "        for event, node, kind in []:\n",
       "replica_members::test_a_node_is_added_catches_up_and_is_promoted")
mutant("new members are not dialled", "replica.py", "        if self._addressed is not node.configuration:\n            self._members_changed()\n        if role", "        if role",
       "replica_members::test_a_node_is_added_catches_up_and_is_promoted")
mutant("a lost leader is not suspected", "replica.py", "        if self.node.leader_id == peer:\n", "        if False:\n",
       "replica_members::test_a_leader_whose_connections_break_is_succeeded_at_once")
mutant("a bad message stops the node", "replica.py", "        except (InvalidRequest, GroupNotFound) as error:\n", "        except GroupNotFound as error:\n",
       "replica_hostile::test_no_message_makes_a_node_fail_in_another_way_than_a_broken_invariant")
mutant("a bad message is not counted", "replica.py", "            self.count(\"peer_messages_refused\")\n", "",
       "replica_hostile::test_a_refused_message_is_counted_and_told")
mutant("status: the snapshot is the log's", "replica.py", "            snapshot_index=0 if self.newest_snapshot is None else self.newest_snapshot.index,\n", "            snapshot_index=core.first_log_index - 1,\n",
       "replica_snapshots::test_snapshots_are_taken_by_entries_and_keep_the_trailing_ones")
mutant("status: applied is committed", "replica.py", "            applied_index=core.applied_index,\n", "            applied_index=core.commit_index,\n",
       "replica_status::test_what_is_applied_is_told_apart_from_what_is_committed")
mutant("status: the disk is always fine", "replica.py", "storage_state=\"full\" if self.durability.full else \"ok\"", "storage_state=\"ok\"",
       "replica_full::test_a_leader_without_room_refuses_writes_and_serves_reads")
mutant("status: no address of the leader", "replica.py", "leader_address=self.address_of(core.leader_id)", "leader_address=\"\"",
       "replica_status::test_every_node_tells_who_leads_and_where")
mutant("status: no time before this term", "replica.py", "        return msgspec.structs.replace(member, last_contact_ms=round((self.clock() - heard) * 1000))\n", "        return member\n",
       "replica_status::test_the_last_contact_goes_back_before_this_term")
mutant("status: no reason why nobody leads", "replica.py", "no_leader_reason=core.no_leader_reason", "no_leader_reason=\"\"",
       "replica_status::test_a_node_without_a_leader_says_why")
mutant("status: a joint configuration is not told", "replica.py", "joint=core.configuration.joint", "joint=False",
       "replica_status::test_a_change_under_way_is_seen")
mutant("status: counters that are not told", "replica.py", "counters=dict(self.counters)", "counters={}",
       "replica_status::test_time_and_counters_are_those_of_this_run")
mutant("status: the uptime is the clock's", "replica.py", "round((self.clock() - self._started) * 1000)", "round(self.clock() * 1000)",
       "replica_status::test_time_and_counters_are_those_of_this_run")
mutant("a snapshot that failed forgets the bytes that it was due for", "snapshot_work.py", "        self._bytes_covered = self.bytes_since\n", "        self._bytes_covered, self.bytes_since = 0, 0\n",
       "replica_full::test_a_snapshot_that_found_no_room_is_not_tried_again_at_once")
mutant("the bytes of a snapshot count for the next one, too", "snapshot_work.py", "        self.bytes_since -= self._bytes_covered\n", "",
       "replica_snapshots::test_snapshots_are_taken_by_bytes")

# Requests and their ends.
mutant("who asked for a snapshot is forgotten when one arrives", "requests.py", "            self.fail(client, request_id, ErrorCode.BUSY, \"a snapshot from the leader arrived meanwhile\")\n", "            pass\n",
       "replica_snapshots::test_an_arriving_snapshot_ends_one_that_is_being_taken")
mutant("a change that a snapshot covers is forgotten", "requests.py", "        self.members.snapshot_installed(index)\n", "",
       "replica_members::test_a_change_that_a_snapshot_covers_is_unknown")
mutant("a change without a quorum waits for ever", "member_requests.py", "[change for change in self._changes if change.deadline <= now]", "[]",
       "replica_members::test_a_change_without_a_quorum_is_unknown_in_the_end")
mutant("a deposed leader's changes wait to the end", "requests.py", "        self.members.hasten(deadline)\n", "",
       "replica_members::test_a_leader_that_steps_down_lets_no_change_wait_for_long")
mutant("requests that wait for a leader are not bounded", "requests.py", "        elif self._held.size_bytes + size > HELD_BYTES_MAX:\n", "        elif False:\n",
       "replica_writes::test_requests_that_wait_for_a_leader_are_bounded")
mutant("a request waits for a leader for ever", "requests.py", "        for held in self._held.pop_overdue(now):\n", "        for held in []:\n",
       "replica_writes::test_without_a_leader_a_request_fails_in_time_and_says_why")
mutant("a stopping node takes requests", "requests.py", "        if self.closed:\n            self.fail_stopping(client, request.id)\n            return\n", "",
       "requests_shutdown::test_a_stopping_node_takes_no_new_requests")
mutant("a stopping node lets its polls wait", "requests.py", "        for poll in self._polls.pop_all():\n", "        for poll in []:\n",
       "requests_shutdown::test_every_request_is_answered_before_the_end")
mutant("a stopping node forgets who asked for a snapshot", "requests.py", "        for client, request_id in self._take_snapshots():\n            self.fail_stopping(client, request_id)\n", "",
       "requests_shutdown::test_a_snapshot_that_is_being_taken_is_given_up")
mutant("a stopping node forgets the writes that wait", "requests.py", "        for waiter in self._writes.pop_all():\n            self.fail_stopping(waiter.client, waiter.request_id, UNKNOWN)\n", "        self._writes.pop_all()\n",
       "requests_shutdown::test_every_request_is_answered_before_the_end")
mutant("a write that waits at the end is called undone", "requests.py", "            self.fail_stopping(waiter.client, waiter.request_id, UNKNOWN)\n", "            self.fail_stopping(waiter.client, waiter.request_id)\n",
       "requests_shutdown::test_every_request_is_answered_before_the_end")
mutant("a change that waits at the end is called undone", "member_requests.py", "            self._requests.fail_stopping(request.client, request.request_id, UNKNOWN)\n", "            self._requests.fail_stopping(request.client, request.request_id)\n",
       "requests_shutdown::test_every_request_is_answered_before_the_end")
mutant("a change that timed out is called undone", "member_requests.py", "                                \"may be\", UNKNOWN)\n", "                                \"may be\")\n",
       "replica_members::test_a_change_without_a_quorum_is_unknown_in_the_end")
mutant("what a snapshot covers is called undone", "requests.py", "                      f\"this node fell behind and took a snapshot that covers entry {waiter.index}\", UNKNOWN)\n", "                      f\"this node fell behind and took a snapshot that covers entry {waiter.index}\")\n",
       "replica_writes::test_a_write_that_a_snapshot_covers_is_unknown")
mutant("an expired session's write is called undone", "requests.py", "                self.fail(client, request_id, ErrorCode.SESSION_EXPIRED, reason, UNKNOWN)\n", "                self.fail(client, request_id, ErrorCode.SESSION_EXPIRED, reason)\n",
       "replica_writes::test_an_unknown_session_is_told_so")
mutant("a bad command gets into the log", "requests.py", "        except CommandRefused as error:\n            self._refuse_command(client, request.id, error)\n            return\n        if self._has_room", "        except CommandRefused as error:\n            del error\n        if self._has_room",
       "replica_writes::test_a_bad_command_is_refused_before_the_log")
mutant("an answer about the log has no end", "requests.py", "min(request.bytes_max, LOG_BYTES_MAX)", "request.bytes_max",
       "requests_streams::test_one_answer_is_bounded_whatever_was_asked_for")
mutant("an answer about the log has any number of entries", "requests.py", "min(request.entries_max, LOG_ENTRIES_MAX)", "request.entries_max",
       "requests_streams::test_one_answer_has_a_bounded_number_of_entries")
mutant("a poll waits as long as it likes", "requests.py", "min(wait_ms, WAIT_MS_MAX)", "wait_ms",
       "requests_streams::test_a_poll_waits_for_a_minute_at_the_most")
mutant("any pattern of events is tried", "requests.py", "        if len(request.types) > TYPES_GLOB_MAX:\n", "        if False:\n",
       "requests_streams::test_a_bad_cursor_or_pattern_is_refused")
mutant("polls are tried only at their deadline", "requests.py", "self._polls.settle(now, changed=changed)", "self._polls.settle(now, changed=False)",
       "requests_streams::test_a_reader_waits_for_an_entry_that_is_not_there_yet")
mutant("a client that hung up keeps its polls", "requests.py", "        self._polls.forget(client)\n", "        pass\n",
       "requests_streams::test_a_client_that_hangs_up_is_forgotten_and_costs_no_turns")
mutant("a silent voter is named as the successor", "member_requests.py", " and peer.last_contact < limit\n", "\n",
       "replica_members::test_the_successor_is_the_voter_that_is_the_furthest_along_and_up")
mutant("the last in line is named as the successor", "member_requests.py", "key=lambda peer: (peer.match_index, -peer.peer)", "key=lambda peer: (-peer.match_index, -peer.peer)",
       "replica_members::test_the_successor_is_the_voter_that_is_the_furthest_along_and_up")
mutant("a learner is named as the successor", "member_requests.py", "            if peer.peer in voters and peer.last_contact", "            if peer.last_contact",
       "replica_members::test_the_successor_is_the_voter_that_is_the_furthest_along_and_up")
mutant("a transfer is done when this node still leads", "member_requests.py", "            elif leader == node.node_id:\n", "            elif False:\n",
       "replica_members::test_a_transfer_that_is_not_taken_up_is_told_and_leadership_stays")
mutant("a dry transfer is a real one", "member_requests.py", "        if request.dry_run or not changed:\n", "        if not changed:\n",
       "replica_members::test_a_dry_transfer_moves_nothing")
mutant("an overtaken change waits on", "member_requests.py", "            if change.joint or change.index != entry.index or change.term == entry.term:\n", "            if True:\n",
       "replica_members::test_a_change_that_a_new_leader_overwrote_is_not_reported_as_made")
mutant("an id is used again", "members.py", "max([configuration.highest_id, *taken]) + 1", "max(taken) + 1",
       "members::test_ids_are_never_used_again")
mutant("two members have one name", "members.py", "        if known.name == operation.name:\n", "        if False:\n",
       "replica_members::test_a_change_that_makes_no_sense_is_refused")
mutant("two members have one address", "members.py", "        if known.address == operation.address:\n", "        if False:\n",
       "replica_members::test_a_change_that_makes_no_sense_is_refused")
mutant("a voter that was never heard from is up", "members.py", "if peer.last_contact is not None and peer.last_contact < up_within}", "}",
       "members::test_a_removal_is_allowed_where_those_up_still_make_a_quorum")
mutant("force skips nothing", "members.py", "            if not force and node in configuration.learners:\n", "            if node in configuration.learners:\n",
       "replica_members::test_force_promotes_a_learner_that_has_not_caught_up")
mutant("any name and address is taken", "members.py", "    _check_name_and_address(operation)\n", "",
       "replica_members::test_a_change_that_makes_no_sense_is_refused")

# Who may speak.
mutant("a peer of another cluster is welcome", "admission.py", "        if hello.cluster_id != me.cluster_id:\n            return self._other_cluster(hello.cluster_id)\n        if hello.target_id", "        if hello.target_id",
       "admission::test_a_peer_that_is_not_meant_is_refused")
mutant("whoever dialled another node is welcome", "admission.py", "        if hello.target_id != me.node_id:\n", "        if False:\n",
       "admission::test_a_peer_that_is_not_meant_is_refused")
mutant("a node may speak to itself", "admission.py", "        if hello.node_id == me.node_id:\n", "        if False:\n",
       "admission::test_a_peer_that_is_not_meant_is_refused")
mutant("a removed node is welcome", "admission.py", "        if hello.node_id <= committed.highest_id and hello.node_id not in committed.members():\n", "        if False:\n",
       "admission::test_a_removed_node_is_refused_and_told_how_to_come_back")
mutant("strangers are remembered", "admission.py", "        return self._check_instance(hello.node_id, hello.instance_id, remember=is_member) or", "        return self._check_instance(hello.node_id, hello.instance_id, remember=True) or",
       "admission::test_a_node_newer_than_this_ones_configuration_is_welcome_and_not_remembered")
mutant("a member that the log only adds is not remembered", "admission.py", "        is_member = hello.node_id in committed.members() or hello.node_id in latest.members()\n", "        is_member = hello.node_id in committed.members()\n",
       "admission::test_a_member_whose_addition_is_not_committed_yet_is_remembered")
mutant("any node may answer for a peer", "admission.py", "        if welcome.node_id != peer:\n", "        if False:\n",
       "admission::test_whoever_answers_at_a_peers_address_is_checked")
mutant("a node without room for an instance id admits it", "admission.py", "                    return Rejected(REJECT_BUSY, f\"node {node} cannot be admitted now: {error}\")\n", "                    return None\n",
       "admission::test_a_node_that_cannot_be_remembered_is_not_admitted")
mutant("the dialling side does not check the instance", "admission.py", "        return self._check_instance(peer, welcome.instance_id, remember=True)\n", "        return None\n",
       "admission::test_a_wiped_node_is_refused_under_its_old_id")

# What a full disk may promise.
mutant("a term leaves before it is durable", "durability.py", "        return not self._hard_state_staged\n", "        return True\n",
       "replica_full::test_a_lone_voter_without_room_for_its_term_tells_nobody_of_it")
mutant("a full disk is written to all the time", "durability.py", "        return self._storage.has_unsynced and not (self.full and self._clock() < self._retry_at)\n", "        return self._storage.has_unsynced\n",
       "replica_full::test_a_leader_without_room_refuses_writes_and_serves_reads")
mutant("an acknowledgement without room leaves", "durability.py", "                return last <= self._storage.stable_index\n", "                return True\n",
       "replica_full::test_a_follower_without_room_acknowledges_nothing_and_catches_up_later")
mutant("what was replaced in the same turn is acknowledged", "durability.py", "                if term < self._storage.load_hard_state().current_term:\n                    return False\n", "",
       "replica_durability::test_entries_that_were_discarded_in_the_same_turn_are_not_acknowledged")
mutant("a snapshot without room is told as installed", "durability.py", "InstallSnapshotResponse(installed=False):", "InstallSnapshotResponse():",
       "replica_full::test_a_snapshot_is_not_told_as_installed_before_the_log_is_cut_durably")
mutant("a full disk is told at every try", "durability.py", "            if not self.full:\n                self.full = True\n                self._on_change(True, str(error))\n", "            self.full = True\n            self._on_change(True, str(error))\n",
       "replica_full::test_a_full_disk_is_told_once")

# Snapshot files for clients.
mutant("a snapshot that is read is not kept", "snapshot_files.py", "            self._store.pin(stored)\n", "            self._store._pins.setdefault(stored.path, 1)\n            self._store._pins.pop(stored.path)\n",
       "snapshot_files::test_a_snapshot_stays_while_it_is_read_and_goes_afterwards")
mutant("a snapshot that was read is kept for ever", "snapshot_files.py", "            if until <= now:\n", "            if False:\n",
       "snapshot_files::test_a_snapshot_stays_while_it_is_read_and_goes_afterwards")
mutant("a lease is not renewed", "snapshot_files.py", "        self._leases[key] = (stored, self._clock() + SNAPSHOT_LEASE_S)\n", "        self._leases.setdefault(key, (stored, self._clock() + SNAPSHOT_LEASE_S))\n",
       "snapshot_files::test_a_snapshot_stays_while_it_is_read_and_goes_afterwards")
mutant("a piece is as long as it was asked for", "snapshot_files.py", "min(request.bytes_max, SNAPSHOT_PIECE_BYTES_MAX)", "request.bytes_max",
       "snapshot_files::test_a_piece_is_bounded")
mutant("the snapshot of another term is read", "snapshot_files.py", "if (s.index, s.term) == (index, term)", "if s.index == index",
       "snapshot_files::test_what_is_not_there_is_not_found")

# Events.
mutant("lost events are not told", "events.py", "max(asked, oldest), max(0, oldest - asked)", "max(asked, oldest), 0",
       "events::test_events_that_were_dropped_are_counted")
mutant("a cursor of an earlier run is taken", "events.py", "            if asked < self._before_boot:\n", "            if False:\n",
       "events::test_a_cursor_of_an_earlier_run_gives_all_of_this_run_and_says_that_some_are_lost")
mutant("another node's cursor is taken", "events.py", "        if int(node) != self._node_id:\n", "        if False:\n",
       "events::test_a_cursor_that_this_node_did_not_give_is_refused")
mutant("a cursor from the future is taken", "events.py", "        if int(sequence) > self._last:\n", "        if False:\n",
       "events::test_a_cursor_that_this_node_did_not_give_is_refused")

# Connections.
mutant("requests come on a connection for responses", "connections.py", "            if type(message) not in _FROM_FOLLOWER:\n", "            if False:\n",
       "runtime::test_a_peer_that_was_dialled_sends_responses_only")
mutant("a client may ask without end", "connections.py", "            or self._in_flight >= self.office.requests_in_flight_max\n", "",
       "runtime::test_reading_pauses_while_too_many_requests_wait")
mutant("a client may ask for large things without end", "connections.py", "            or self._large_bytes >= REQUEST_BYTES_IN_FLIGHT_MAX\n", "",
       "runtime::test_reading_pauses_while_large_requests_wait")
mutant("a failed node takes leave of everybody", "runtime.py", "        failed = self._finished.done() and self._finished.exception() is not None\n", "        failed = False\n",
       "runtime::test_a_replica_that_raises_in_a_turn_stops_the_node")
mutant("a failed turn is answered", "runtime.py", "        except Exception as error:\n            self.guarded(error)\n            return\n        self._flush()\n", "        except Exception as error:\n            self._flush()\n            self.guarded(error)\n            return\n        self._flush()\n",
       "runtime::test_a_replica_that_raises_in_a_turn_stops_the_node")
mutant("any number of clients connect", "runtime.py", "            if self._clients >= self._connections_max:\n", "            if False:\n",
       "runtime::test_a_client_over_the_limit_is_told_so")

# What else clients and operators are told.
mutant("a deposed leader's waiters wait longer", "waiting.py", "            waiter.deadline = min(waiter.deadline, deadline)\n", "            waiter.deadline = deadline\n",
       "waiting::test_hastened_waiters_keep_their_own_deadline_where_it_is_earlier")
mutant("committed bytes still count", "waiting.py", "            self.size_bytes -= self._batches.popleft()[1]\n", "            self._batches.popleft()\n",
       "waiting::test_uncommitted_bytes_go_with_the_commit_index")
mutant("held requests that left still count", "waiting.py", "            self.size_bytes -= overdue[-1].size_bytes\n", "            pass\n",
       "waiting::test_held_requests_count_their_bytes_until_they_leave")
mutant("a snapshot covers no waiter of its own entry", "waiting.py", "if at <= index]]", "if at < index]]",
       "waiting::test_waiters_up_to_an_index_are_those_that_a_snapshot_covers")
mutant("a poll is answered twice", "waiting.py", "                if answer is not None and self._polls.pop(number, None) is not None:\n", "                if answer is not None:\n",
       "waiting::test_a_poll_is_answered_on_a_change_or_at_its_deadline_and_never_twice")
mutant("deadlines of answered polls stay", "waiting.py", "        if len(deadlines) > 2 * len(polls) + 64:\n", "        if False:\n",
       "waiting::test_answered_polls_with_late_deadlines_take_no_room")
mutant("a long log is applied in one piece", "replica.py", "READY_BYTES_MAX: Final = 256 * 1024\n", "READY_BYTES_MAX: Final = 10**9\n",
       "replica_writes::test_a_long_log_is_applied_in_pieces_after_a_restart")
mutant("followers learn of a commit with the next heartbeat", "replica.py", "COMMIT_BROADCAST_DELAY: Final = 0.005\n", "COMMIT_BROADCAST_DELAY: Final = 10.0\n",
       "replica_writes::test_followers_learn_of_a_commit_at_once")
mutant("a leader's own progress is not told to the core", "replica.py", "        if durability.wants_sync and durability.sync():\n            self.node.on_storage_progress()\n", "        if durability.wants_sync:\n            durability.sync()\n",
       "replica_writes::test_a_lone_node_answers_a_request_that_waited_for_it_without_delay")
mutant("entries are told as applied before they are", "replica.py", "        if ready.committed_entries:\n            self._apply(ready.committed_entries)\n        self.requests.reads.confirmed(ready.reads)\n", "        self.requests.reads.confirmed(ready.reads)\n        if ready.committed_entries:\n            self._apply(ready.committed_entries)\n",
       "replica_reads::test_a_confirmed_read_waits_until_its_index_is_applied")
mutant("a voter is known as a member from the beginning only", "replica.py", "        self._is_known_member = self._is_known_member or self.identity.node_id in after.members()\n", "",
       "replica_members::test_what_happened_before_a_node_joined_is_no_news_of_it")
mutant("members that were promoted are added", "members.py", "\"member.promoted\" if now == \"voter\" else \"member.changed\"", "\"member.added\"",
       "members::test_differences_are_told_as_events")
mutant("an outgoing voter is told as one", "members.py", "    if node in configuration.voters_outgoing:\n        return \"outgoing\"\n", "",
       "members::test_differences_are_told_as_events")
mutant("an overwritten write may have happened", "requests.py", "        self.fail(waiter.client, waiter.request_id, ErrorCode.OVERWRITTEN,\n", "        self.fail(waiter.client, waiter.request_id, ErrorCode.TIMED_OUT,\n",
       "replica_writes::test_an_overwritten_entrys_writer_hears_that_it_did_not_happen")
mutant("a refused write may have happened", "requests.py", "            case Refused(reason=reason):\n                self.fail(client, request_id, ErrorCode.BAD_REQUEST, reason)\n", "            case Refused(reason=reason):\n                self.fail(client, request_id, ErrorCode.BAD_REQUEST, reason, UNKNOWN)\n",
       "replica_writes::test_a_write_that_its_session_refuses_did_not_happen")
mutant("a local read asks the leader", "requests.py", "        if request.consistency is Consistency.LOCAL:\n", "        if False:\n",
       "replica_reads::test_a_deposed_leader_serves_no_stale_read")
mutant("a snapshot that is there is taken again", "requests.py", "            # Under way; or it found no room, and everybody who waits for one was told.\n            return\n        self._snapshots.pop()\n", "            return\n",
       "replica_snapshots::test_a_snapshot_is_taken_on_request_and_listed")
mutant("who asked for a snapshot without room waits on", "requests.py", "        for client, request_id in self._take_snapshots():\n            self.fail(client, request_id, ErrorCode.NO_SPACE, reason)\n", "",
       "replica_full::test_a_snapshot_without_room_fails_and_leaves_the_node_as_it_is")
