"""Wrong versions of the server, the storage and the machine, one rule broken in each, and the tests that must notice.

`python -m tests.support.mutant_runner tests.server.mutants` applies them.
"""

# The texts are the source's lines and stay as long as they are.
# ruff: noqa: E501

from tests.support.mutants import Mutant

MUTANTS: list[Mutant] = []


def mutant(name: str, file: str, old: str, new: str, *tests: str) -> None:
    """Add a mutant. Files and tests that name no package are the server's."""
    MUTANTS.append(Mutant(name, _in_package(file), old, new, tuple(_in_package(test) for test in tests)))


def _in_package(name: str) -> str:
    return name if "/" in name else f"server/{name}"


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
mutant("the log is cut before the snapshot is durable", "replica.py", "            stored = self._taking.step(self.clock)\n",
       "            self.node.compact(self._taking.index)\n            self._storage.sync()\n            stored = self._taking.step(self.clock)\n",
       "replica_snapshots::test_a_crash_at_any_point_of_taking_a_snapshot_is_recovered")
mutant("no trailing entries", "replica.py", "        keep_from = stored.index - self.settings.snapshot_trailing\n", "        keep_from = stored.index\n",
       "replica_snapshots::test_snapshots_are_taken_by_entries_and_keep_the_trailing_ones")
mutant("the snapshot that is sent is not pinned", "replica.py", "        self.snapshots.pin(self._newest_snapshot)\n", "        self.snapshots._pins.setdefault('', 0)\n",
       "replica_snapshots::test_the_snapshot_that_is_being_sent_stays_while_newer_ones_are_taken")
mutant("a last chunk alone is enough", "replica.py", "            if stored is None and request.done:\n", "            if False:\n",
       "replica_snapshots::test_a_final_chunk_without_the_others_is_never_put_in_force")
mutant("the machine is not loaded", "replica.py", "        self._load_machine(stored)\n        self._newest_snapshot = stored\n", "        self._newest_snapshot = stored\n",
       "replica_snapshots::test_a_follower_behind_the_log_gets_a_snapshot_in_chunks")
mutant("the log is not fitted to the snapshot", "replica.py", "        self._fit_log_to_snapshot(newest)\n", "",
       "replica_snapshots::test_a_conflicting_log_gives_way_to_the_snapshot_at_the_start",
       "replica_snapshots::test_a_missing_snapshot_is_refused")
mutant("a chunk is never sent again", "transfers.py", "        self.resend_at = now + RESEND_SECONDS\n", "        self.resend_at = now + 10**9\n",
       "replica_snapshots::test_a_transfer_goes_on_where_it_was_after_a_reconnect")
mutant("a snapshot's checksum is not told", "transfers.py", ", checksum=self.stored.checksum,\n", ",\n",
       "replica_snapshots::test_the_next_leader_goes_on_with_a_transfer_where_the_last_one_stopped")
mutant("snapshots are taken at the end of a turn only", "replica.py", "            if snapshot_entries and entry.index % snapshot_entries == 0:\n", "            if False:\n",
       "replica_snapshots::test_all_nodes_take_the_same_snapshots")
mutant("a snapshot that missed its turn is not taken", "replica.py", "entries >= periods * settings.snapshot_entries)", "entries >= 10**9)",
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
mutant("a vote without room", "durability.py", "            case _:\n                return False\n", "            case _:\n                return True\n",
       "replica_full::test_a_node_without_room_neither_votes_nor_campaigns")
mutant("a campaign without room", "replica.py", "        if not self._storage.has_unsynced:\n            for peer, request in requests:\n", "        if True:\n            for peer, request in requests:\n",
       "replica_full::test_a_node_without_room_neither_votes_nor_campaigns")

# Sessions.
mutant("a repeated write is applied again", "machine/sessions.py", "        if known is not None:\n            return Result(known)\n", "",
       "machine/sessions::test_a_repeated_write_gets_the_first_result_and_is_not_applied_again")
mutant("a closed write is applied", "machine/sessions.py", "        if sequence <= session.acknowledged:\n", "        if False:\n",
       "machine/sessions::test_an_acknowledged_result_is_forgotten_and_its_repetition_is_expired")
mutant("a forgotten session's write is applied", "machine/sessions.py", "            return Expired(f\"session {entry.session} is not known, or not any more\")\n",
       "            return Result(self.inner.apply(index, entry.command))\n",
       "machine/sessions::test_a_retry_after_its_session_was_forgotten_is_never_applied")
mutant("the sessions are not in the snapshot", "machine/sessions.py",
       "        header = SessionHeader.of(self._limits, len(self._sessions))\n        return SessionSnapshot(header, session_records(list(self._sessions.values())), self.inner.snapshot())\n",
       "        header = SessionHeader.of(self._limits, 0)\n        return SessionSnapshot(header, session_records([]), self.inner.snapshot())\n",
       "machine/sessions::test_a_restored_machine_remembers_results_and_the_order_of_use")
mutant("the order of use is not kept", "machine/sessions.py", "        self._sessions.move_to_end(session.id)\n", "",
       "machine/sessions::test_the_least_recently_used_session_is_forgotten_first")
mutant("a snapshot shares its sessions with later writes", "machine/sessions.py", "        if session.generation != self._generation:\n", "        if False:\n",
       "machine/sessions::test_a_snapshot_is_of_one_moment_for_sessions_and_machine_alike")
mutant("a session's window has no end", "machine/sessions.py", "        if ahead > self._results_max:\n", "        if False:\n",
       "machine/sessions::test_a_write_beyond_the_window_is_refused_and_may_come_again")
mutant("limits are not compared", "machine/session_snapshot.py", "    if header.limits != limits:\n", "    if False:\n",
       "machine/sessions::test_a_snapshot_of_a_machine_with_other_limits_is_refused")
mutant("missing chunks of the machine pass", "machine/session_snapshot.py", "    if part.chunk_count != count:\n", "    if False:\n",
       "machine/sessions::test_a_snapshot_that_is_not_whole_is_refused_and_changes_nothing")

# The log on the disk.
mutant("a sync without an fsync", "storage/wal.py", "        current.file.sync()\n        self._sync_count += 1\n", "        self._sync_count += 1\n",
       "storage/wal_crash::test_every_crash_point_opens_with_all_that_was_synced")
mutant("a failed fsync is tried again", "storage/wal.py", "            self._failure = error\n            raise\n", "            raise\n",
       "storage/wal::test_after_a_failed_write_or_fsync_every_call_fails_and_nothing_is_retried")
mutant("a segment's name is not durable", "storage/wal.py",
       "        self._fs.rename(path + PART_SUFFIX, path)\n        self._fs.sync_directory(self._path)\n", "        self._fs.rename(path + PART_SUFFIX, path)\n",
       "storage/wal_crash::test_every_crash_point_opens_with_all_that_was_synced")
mutant("what found room stays in the file", "storage/wal.py", "            current.file.truncate(self._end)\n            current.file.sync()\n", "",
       "storage/wal_full::test_every_crash_point_of_a_full_disk_opens_with_all_that_was_synced")
mutant("segments need not fit together", "storage/wal.py", "        if found != expected:\n", "        if False:\n",
       "storage/wal_damage::test_an_earlier_segment_that_lost_its_last_vote_is_damage")
mutant("staged entries are stable", "storage/wal.py", "        self._last += len(entries)\n", "        self._last += len(entries)\n        self._stable = self._last\n",
       "storage/wal::test_stable_index_moves_only_with_a_sync")
mutant("a truncation leaves the log stable", "storage/wal.py", "        self._stable = min(self._stable, self._last)\n", "",
       "storage/wal::test_it_holds_what_a_log_in_memory_holds_staged_synced_and_reopened",
       "storage/wal::test_stable_index_moves_only_with_a_sync")
mutant("a vote is not written", "storage/wal.py", "            self._hard_state = self._staged_hard_state = state\n", "            self._hard_state = state\n",
       "storage/wal_crash::test_every_crash_point_opens_with_all_that_was_synced",
       "storage/wal::test_it_holds_what_a_log_in_memory_holds_staged_synced_and_reopened")
