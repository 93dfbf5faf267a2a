"""Wrong versions of the state machines, one rule broken in each, and the tests that must notice.

`python -m tests.support.mutant_runner tests.machine.mutants` applies them.
"""

# The texts are the source's lines and stay as long as they are.
# ruff: noqa: E501

from tests.support.mutants import MutantList

MUTANTS = MutantList("machine")
mutant = MUTANTS.add


# Sessions.
mutant("a repeated write is applied again", "sessions.py", "        if known is not None:\n            return Result(known)\n", "",
       "sessions::test_a_repeated_write_gets_the_first_result_and_is_not_applied_again")
mutant("a closed write is applied", "sessions.py", "        if sequence <= session.acknowledged:\n", "        if False:\n",
       "sessions::test_an_acknowledged_result_is_forgotten_and_its_repetition_is_expired")
mutant("a forgotten session's write is applied", "sessions.py", "            return Expired(f\"session {entry.session} is not known, or not any more\")\n",
       "            return Result(self.inner.apply(index, entry.command))\n",
       "sessions::test_a_retry_after_its_session_was_forgotten_is_never_applied")
mutant("the sessions are not in the snapshot", "sessions.py",
       "        header = SessionHeader.of(self._limits, len(self._sessions))\n        return SessionSnapshot(header, session_records(list(self._sessions.values())), self.inner.snapshot())\n",
       "        header = SessionHeader.of(self._limits, 0)\n        return SessionSnapshot(header, session_records([]), self.inner.snapshot())\n",
       "sessions::test_a_restored_machine_remembers_results_and_the_order_of_use")
mutant("the order of use is not kept", "sessions.py", "        self._sessions.move_to_end(session.id)\n", "",
       "sessions::test_the_least_recently_used_session_is_forgotten_first")
mutant("a snapshot shares its sessions with later writes", "sessions.py", "        if session.generation != self._generation:\n", "        if False:\n",
       "sessions::test_a_snapshot_is_of_one_moment_for_sessions_and_machine_alike")
mutant("a session's window has no end", "sessions.py", "        if ahead > self._results_max:\n", "        if False:\n",
       "sessions::test_a_write_beyond_the_window_is_refused_and_may_come_again")
mutant("limits are not compared", "session_snapshot.py", "    if header.limits != limits:\n", "    if False:\n",
       "sessions::test_a_snapshot_of_a_machine_with_other_limits_is_refused")
mutant("missing chunks of the machine pass", "session_snapshot.py", "    if part.chunk_count != count:\n", "    if False:\n",
       "sessions::test_a_snapshot_that_is_not_whole_is_refused_and_changes_nothing")

# The key-value machine.
mutant("the revision is not in the snapshot", "kv.py", "        self._revision = revision\n", "",
       "kv_snapshot::test_a_restored_machine_has_the_same_digest_and_revision")
mutant("a restored machine does not say that changes are lost", "kv.py", "lost_before=revision)", "lost_before=0)",
       "kv_snapshot::test_a_restored_machine_says_that_older_changes_are_lost")
mutant("a restored machine tells the changes of the state before", "kv.py", "        self._history = ChangeHistory(self._changes_max, self._changes_bytes_max, lost_before=revision)\n", "        self._history.lost_before = revision\n",
       "kv_snapshot::test_a_restored_machine_tells_no_changes_of_the_state_that_it_had")
mutant("lost changes are not told", "kv.py", "lost if lost > query.after_revision else 0", "0",
       "kv::test_the_history_forgets_by_count_and_says_what_is_lost")
mutant("a compare-and-set always succeeds", "kv.py", "        if command.expected != (None if record is None else record.value):\n", "        if False:\n",
       "kv::test_compare_and_set_compares_the_value_and_none_is_absent")
mutant("an expected revision is not compared", "kv.py", "    if actual == expected:\n", "    if True:\n",
       "kv::test_a_put_of_an_existing_key_holds_to_its_expected_revision")
mutant("a deletion is no change", "kv.py", "        self._history.append(Change(index, key, None))\n", "",
       "kv::test_changes_tell_writes_and_deletions_of_the_prefix_in_order")
mutant("an increment takes any text", "kv.py", "        if not _INTEGER.match(text):\n", "        if text and not text.strip().lstrip(b'-').isdigit():\n",
       "kv::test_an_increment_of_what_is_no_integer_changes_nothing")
mutant("a sum has no limit", "kv.py", "        if not INTEGER_MIN <= number <= INTEGER_MAX:\n", "        if False:\n",
       "kv::test_a_sum_outside_64_bits_changes_nothing")
mutant("a snapshot shares its records with later writes", "kv.py", "            self._tell_snapshot(key, record)\n        previous", "            pass\n        previous",
       "kv_snapshot::test_a_snapshot_is_of_the_moment_of_the_call_while_writes_go_on")
mutant("a snapshot loses what is deleted meanwhile", "kv.py", "        self._tell_snapshot(key, record)\n        del", "        del",
       "kv_snapshot::test_a_snapshot_is_of_the_moment_of_the_call_while_writes_go_on")
mutant("a restore spoils an open snapshot", "kv.py", "        # An open snapshot keeps the records and keys that it began with: they do not change any more.\n        self._snapshot = None\n", "",
       "kv_snapshot::test_a_restore_leaves_an_open_snapshot_alone")
mutant("limits are not the machine's", "kv.py", "    if isinstance(command, (Put, CompareAndSet)) and len(command.value) > VALUE_BYTES_MAX:\n", "    if False:\n",
       "kv::test_a_command_over_a_limit_is_refused_with_the_numbers")
mutant("a list is as long as it likes", "kv.py", "(len(items) == limit or size > ANSWER_BYTES_MAX)", "len(items) == limit",
       "kv::test_the_largest_pair_is_accepted_and_every_answer_with_it_fits_in_a_frame")
mutant("a watch tells a change twice", "history.py", "bisect_right(changes, after_revision, lo", "bisect_right(changes, after_revision - 1, lo",
       "kv::test_changes_tell_writes_and_deletions_of_the_prefix_in_order")
mutant("a watch that is cut skips a change", "history.py", "                return found, changes[position - 1].revision\n", "                return found, changes[position].revision\n",
       "kv::test_changes_tell_writes_and_deletions_of_the_prefix_in_order")
mutant("a watch that is cut begins again", "history.py", "                return found, changes[position - 1].revision\n", "                return found, found[0].revision\n",
       "kv::test_changes_tell_writes_and_deletions_of_the_prefix_in_order")
mutant("the history has no end", "history.py", "        if self._bytes > self._bytes_max or len(self._changes) - self._first > self._changes_max:\n", "        if False:\n",
       "kv::test_the_history_forgets_by_count_and_says_what_is_lost")
mutant("forgotten changes are not told", "history.py", "            self.lost_before = changes[first].revision\n", "",
       "kv::test_the_history_forgets_by_count_and_says_what_is_lost")
mutant("one question looks at all changes", "history.py", "min(len(changes), start + SCANNED_MAX)", "len(changes)",
       "kv::test_a_watch_of_a_rare_prefix_looks_at_a_bounded_number_of_changes")
mutant("missing records pass", "kv_snapshot.py", "    if not read == len(records) == header.count:\n", "    if False:\n",
       "kv_snapshot::test_a_snapshot_that_is_not_whole_is_refused_and_changes_nothing")
mutant("another format of records passes", "kv_snapshot.py", "    if header.format_version != KV_FORMAT_VERSION:\n", "    if False:\n",
       "kv_snapshot::test_a_snapshot_that_is_not_whole_is_refused_and_changes_nothing")

# The session machine.
mutant("the number of sessions has no end", "sessions.py", "        if len(self._sessions) > self._sessions_max:\n", "        if False:\n",
       "sessions::test_the_least_recently_used_session_is_forgotten_first")
mutant("the weight of results is not restored", "sessions.py", "        self._bytes = sum(session.bytes for session in sessions.values())\n", "        self._bytes = 0\n",
       "sessions::test_a_restored_machine_remembers_results_and_the_order_of_use")
mutant("the weight of all results has no end", "sessions.py", "        while self._bytes > self._results_bytes_max and", "        while False and",
       "sessions::test_large_results_make_the_least_recently_used_sessions_go")
mutant("an acknowledgement goes back", "sessions.py", "        if entry.acknowledged > session.acknowledged:\n", "        if entry.acknowledged != session.acknowledged:\n",
       "sessions::test_an_acknowledged_result_is_forgotten_and_its_repetition_is_expired")
mutant("the lowest open write finds no room", "sessions.py", "session.bytes >= self._session_bytes_max and ahead > 1:", "session.bytes >= self._session_bytes_max:",
       "sessions::test_the_lowest_open_write_always_has_room")
mutant("a restore that fails leaves the sessions", "sessions.py", "        self.inner.restore(inner_chunks)\n        self._sessions = sessions\n", "        self._sessions = sessions\n        self.inner.restore(inner_chunks)\n",
       "sessions::test_a_snapshot_that_is_not_whole_is_refused_and_changes_nothing")
mutant("writes without a session share one", "sessions.py", "        if entry.session == NO_SESSION:\n            return Result", "        if entry.session == NO_SESSION and False:\n            return Result",
       "sessions::test_session_0_applies_a_write_each_time")
mutant("missing sessions pass", "session_snapshot.py", "    if len(sessions) != header.session_count:\n", "    if False:\n",
       "sessions::test_a_snapshot_that_is_not_whole_is_refused_and_changes_nothing")
mutant("what follows a snapshot's sessions passes", "session_snapshot.py", "    if next(parts, None) is not None:\n", "    if False:\n",
       "sessions::test_a_snapshot_that_is_not_whole_is_refused_and_changes_nothing")
mutant("a session twice passes", "session_snapshot.py", "        if record.session in sessions:\n", "        if False:\n",
       "sessions::test_a_snapshot_that_is_not_whole_is_refused_and_changes_nothing")
mutant("a closed snapshot leaves the machine's open", "session_snapshot.py", "        if close is not None:\n            close()\n", "",
       "sessions::test_a_closed_snapshot_closes_the_inner_one")

# Sessions and streams in small.
mutant("a snapshot may end within a frame", "stream.py", "    if decoder.pending_bytes:\n", "    if False:\n",
       "kv_snapshot::test_bytes_after_the_last_record_are_refused")
mutant("closed results stay", "session.py", "            size += len(results.pop(s)) + RESULT_OVERHEAD_BYTES\n", "            size += len(results[s]) + RESULT_OVERHEAD_BYTES\n",
       "sessions::test_an_acknowledged_result_is_forgotten_and_its_repetition_is_expired")
mutant("an acknowledgement closes one write less", "session.py", "range(self.acknowledged + 1, sequence + 1) if s in results]", "range(self.acknowledged + 1, sequence) if s in results]",
       "sessions::test_acknowledging_makes_room_for_bytes_again")
mutant("a copy of a session shares its results", "session.py", "        session.results = self.results.copy()\n", "        session.results = self.results\n",
       "sessions::test_a_snapshot_is_of_one_moment_for_sessions_and_machine_alike")
mutant("a far acknowledgement closes nothing", "session.py", "            closed = [s for s in results if s <= sequence]\n", "            closed = []\n",
       "sessions::test_an_acknowledged_result_is_forgotten_and_its_repetition_is_expired")
