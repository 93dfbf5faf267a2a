"""Wrong versions of the storage, one rule broken in each, and the tests that must notice.

`python -m tests.support.mutant_runner tests.storage.mutants` applies them.
"""

# The texts are the source's lines and stay as long as they are.
# ruff: noqa: E501

from tests.support.mutants import MutantList

MUTANTS = MutantList("storage")
mutant = MUTANTS.add


# The log on the disk.
mutant("a sync without an fsync", "wal.py", "        current.file.sync()\n        self._sync_count += 1\n", "        self._sync_count += 1\n",
       "wal_crash::test_every_crash_point_opens_with_all_that_was_synced")
mutant("a failed fsync is tried again", "wal.py", "            self._failure = error\n            raise\n", "            raise\n",
       "wal::test_after_a_failed_write_or_fsync_every_call_fails_and_nothing_is_retried")
mutant("a segment's name is not durable", "wal.py",
       "        self._fs.rename(path + PART_SUFFIX, path)\n        self._fs.sync_directory(self._path)\n", "        self._fs.rename(path + PART_SUFFIX, path)\n",
       "wal_crash::test_every_crash_point_opens_with_all_that_was_synced")
mutant("what found room stays in the file", "wal.py", "            current.file.truncate(self._end)\n            current.file.sync()\n", "",
       "wal_full::test_every_crash_point_of_a_full_disk_opens_with_all_that_was_synced")
mutant("segments need not fit together", "wal.py", "        if found != expected:\n", "        if False:\n",
       "wal_damage::test_an_earlier_segment_that_lost_its_last_vote_is_damage")
mutant("staged entries are stable", "wal.py", "        self._last += len(entries)\n", "        self._last += len(entries)\n        self._stable = self._last\n",
       "wal::test_stable_index_moves_only_with_a_sync")
mutant("a truncation leaves the log stable", "wal.py", "        self._stable = min(self._stable, self._last)\n", "",
       "wal::test_it_holds_what_a_log_in_memory_holds_staged_synced_and_reopened",
       "wal::test_stable_index_moves_only_with_a_sync")
mutant("a vote is not written", "wal.py", "            self._hard_state = self._staged_hard_state = state\n", "            self._hard_state = state\n",
       "wal_crash::test_every_crash_point_opens_with_all_that_was_synced",
       "wal::test_it_holds_what_a_log_in_memory_holds_staged_synced_and_reopened")

# Snapshots on the disk.
mutant("a snapshot is renamed before its fsync", "snapshots.py", "        file = self._open_file()\n        file.sync()\n        self._close()\n", "        self._close()\n",
       "snapshots::test_a_snapshot_is_found_again_with_all_it_carries")
mutant("a received snapshot is renamed before its fsync", "snapshots.py", "        self._file.sync()\n        self._close()\n", "        self._close()\n",
       "snapshots::test_every_crash_point_leaves_the_old_snapshots_or_the_new_one")
mutant("a snapshot's name is not durable", "snapshots.py", "        self._fs.sync_directory(self._path)\n        stored = self._stored(path)\n", "        stored = self._stored(path)\n",
       "snapshots::test_a_snapshot_is_found_again_with_all_it_carries")
mutant("a snapshot that a start finds is not durable", "snapshots.py", "leaves a name that is seen and not durable.\n        self._fs.sync_directory(self._path)\n", "leaves a name that is seen and not durable.\n",
       "snapshots::test_a_snapshot_that_is_found_after_a_kill_is_durable_from_then_on")
mutant("unfinished snapshots stay", "snapshots.py", "                self._fs.remove(posixpath.join(self._path, name))\n", "                pass\n",
       "snapshots::test_an_unfinished_snapshot_never_counts")
mutant("a block's checksum is not compared", "snapshots.py", "        if found != crc:\n", "        if False:\n",
       "snapshots::test_any_flipped_bit_in_a_snapshot_is_found")
mutant("what follows a snapshot's end passes", "snapshots.py", "        if self.finished and buffer:\n", "        if False:\n",
       "snapshots::test_a_shortened_lengthened_or_renamed_snapshot_is_damaged")
mutant("half a snapshot passes", "snapshots.py", "        if not self.finished:\n", "        if False:\n",
       "snapshots::test_any_flipped_bit_in_a_snapshot_is_found")
mutant("another snapshot of the same name passes", "snapshots.py", "    if found != (stored.index, stored.term, stored.checksum):\n", "    if False:\n",
       "snapshots::test_another_snapshot_in_the_place_of_one_is_damage")
mutant("a snapshot under another's name passes", "snapshots.py", "        if match is None or (int(match[1]), int(match[2])) != (stored.index, stored.term):\n", "        if match is None:\n",
       "snapshots::test_a_shortened_lengthened_or_renamed_snapshot_is_damaged")
mutant("a pinned snapshot goes", "snapshots.py", "[self._keep :] if path not in self._pins]", "[self._keep :]]",
       "snapshots::test_only_the_newest_are_kept_and_a_pinned_one_stays")
mutant("the oldest snapshot is taken for the newest", "snapshots.py", "sorted(names, reverse=True)", "sorted(names)",
       "snapshots::test_only_the_newest_are_kept_and_a_pinned_one_stays")
mutant("a received snapshot's head is not looked at", "snapshots.py", "        if head is not None and (head.index, head.term) != (self.index, self.term):\n", "        if False:\n",
       "snapshots::test_a_received_snapshot_with_any_wrong_byte_is_rejected_and_leaves_nothing")
mutant("what was rejected of a snapshot stays", "snapshots.py", "    def _reject(self, offset: int, reason: str) -> SnapshotRejected:\n        self.abort()\n", "    def _reject(self, offset: int, reason: str) -> SnapshotRejected:\n",
       "snapshots::test_a_received_snapshot_with_any_wrong_byte_is_rejected_and_leaves_nothing")
mutant("the beginning of a snapshot without room stays", "snapshots.py", "        except NoSpaceError:\n            self.abort()\n            raise\n", "        except NoSpaceError:\n            raise\n",
       "server/replica_full::test_a_snapshot_that_finds_no_room_for_its_beginning_leaves_nothing_behind")
mutant("an unreadable configuration in a snapshot passes", "snapshots.py", "            decode_configuration(head.configuration)\n", "            pass\n",
       "snapshots::test_a_head_with_an_unreadable_configuration_is_rejected_at_once")

# The log's files.
mutant("a torn tail stays in the file", "wal.py", "            file.truncate(newest.end)\n", "            pass\n",
       "wal_crash::test_every_crash_point_opens_with_all_that_was_synced")
mutant("what was never synced is not written again", "wal.py", "        if newest.end > newest.newest:\n", "        if False:\n",
       "wal_crash::test_what_is_found_after_a_failed_fsync_is_durable_from_then_on")
mutant("what a start finds is not durable", "wal.py", "        file.sync()\n        for sequence in leftovers", "        for sequence in leftovers",
       "wal_crash::test_what_is_found_after_a_kill_is_durable_from_then_on")
mutant("a segment that is needed is removed", "wal.py", "if sequence < needed]", "if sequence <= needed and sequence != max(self._segments)]",
       "wal::test_compaction_removes_whole_segments_and_keeps_the_vote")
mutant("a missing segment is not missed", "wal.py", "        if not len(self._index) or self._index.first_index() > self.first_index:\n", "        if False:\n",
       "wal_damage::test_a_missing_segment_is_named")
mutant("entries need not follow each other", "wal.py", "            if entry.index != expected:\n", "            if False:\n",
       "wal_damage::test_a_whole_batch_that_does_not_follow_is_damage")
mutant("a compaction is not written", "wal.py", "        self._snapshot = self._staged_snapshot = SnapshotMeta(index, term)\n", "        self._snapshot = SnapshotMeta(index, term)\n",
       "wal::test_it_holds_what_a_log_in_memory_holds_staged_synced_and_reopened")
mutant("a truncation is not written", "wal.py", "            self._staged_truncate = min(self._staged_truncate or index, index)\n", "            pass\n",
       "wal::test_it_holds_what_a_log_in_memory_holds_staged_synced_and_reopened")
mutant("leftovers of a segment in the making stay", "wal.py", "                self._fs.remove(posixpath.join(self._path, name))\n", "                pass\n",
       "wal::test_a_segment_that_was_never_finished_is_removed_at_the_start")
mutant("a reader changes the log", "wal.py", "        if not self._read_only:\n            self._repair(", "        if True:\n            self._repair(",
       "wal::test_a_read_only_log_changes_nothing_and_sees_the_same")
mutant("an append may leave a gap", "wal.py", "        if entries[0].index != self._last + 1 or entries[-1].index != self._last + len(entries):\n", "        if False:\n",
       "wal::test_append_refuses_a_gap_and_truncate_refuses_the_compacted")
mutant("a segment without room stays half made", "wal.py", "            file.close()\n            self._fs.remove(path + PART_SUFFIX)\n            raise\n", "            file.close()\n            raise\n",
       "wal_full::test_a_segment_that_cannot_be_begun_for_want_of_room_grows_on")
mutant("a payload's checksum is not compared", "segment.py", " or zlib.crc32(payload) != header.payload_crc:", ":",
       "wal_crash::test_every_crash_point_opens_with_all_that_was_synced")
mutant("a header's checksum is not compared", "segment.py", "    if header_crc != zlib.crc32(data[: _COVERED.size], seed) or magic != _BATCH_MAGIC:\n", "    if magic != _BATCH_MAGIC:\n",
       "wal_damage::test_any_flipped_bit_is_damage_and_never_a_torn_tail")
mutant("a hole beneath a later write is a torn tail", "segment.py", "        if found is not None:\n", "        if False:\n",
       "wal_damage::test_a_sector_that_is_lost_under_a_later_sync_is_damage")
mutant("damage is a torn tail", "segment.py", "        if not self._partly_unwritten(offset, header):\n", "        if False:\n",
       "wal_damage::test_any_flipped_bit_is_damage_and_never_a_torn_tail")
mutant("long runs of zeros are written as they are", "segment.py", "        if ZERO_RUN in payload:\n", "        if False:\n",
       "wal_damage::test_a_flipped_bit_in_a_last_entry_of_zeros_is_damage")
mutant("a segment head's checksum is not compared", "segment.py", "    if magic != _MAGIC or crc !=", "    if magic != _MAGIC or False and crc !=",
       "wal_damage::test_any_flipped_bit_is_damage_and_never_a_torn_tail")
mutant("writes need not follow each other", "segment.py", "            if header.sync != self.sync + 1 or (group", "            if (group",
       "wal_damage::test_a_whole_batch_that_does_not_follow_is_damage")

# The data directory and the door to the disk.
mutant("the lock is not taken", "filesystem.py", "            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n", "            pass\n",
       "data_dir::test_a_locked_directory_names_the_process_that_holds_it")
mutant("the identity's checksum is not compared", "data_dir.py", "    if data != _ENVELOPE % zlib.crc32(content) + content + b\"}\\n\":\n", "    if False:\n",
       "data_dir::test_missing_foreign_and_damaged_directories_are_told_apart")
mutant("a lost log is a new log", "data_dir.py", "        if not any(name.endswith(\".wal\")", "        if False and not any(name.endswith(\".wal\")",
       "data_dir::test_a_node_whose_log_was_removed_does_not_start")
mutant("an instance id is not written", "data_dir.py", "            _write_document(self._fs, posixpath.join(self.path, _INSTANCES), instances)\n", "",
       "data_dir::test_boots_and_instances_are_durable_when_they_are_returned")
mutant("a start is not counted", "data_dir.py", "        _write_document(self._fs, posixpath.join(self.path, _BOOTS), boots)\n", "",
       "data_dir::test_boots_and_instances_are_durable_when_they_are_returned")
mutant("names that a dead process left are not durable", "data_dir.py", "            fs.sync_directory(path)\n", "            pass\n",
       "data_dir::test_what_a_start_finds_is_durable_from_then_on")
mutant("a refused start keeps the lock", "data_dir.py", "        except BaseException:\n            lock.release()\n            raise\n", "        except BaseException:\n            raise\n",
       "data_dir::test_a_node_whose_log_was_removed_does_not_start")
mutant("a log without an identity is formatted over", "data_dir.py", "        return wal.last_index == 0 and wal.load_hard_state().current_term == 0\n", "        return True\n",
       "data_dir::test_a_log_without_its_identity_is_not_formatted_over")
mutant("another version's directory is opened", "data_dir.py", "    if version != FORMAT_VERSION:\n", "    if False:\n",
       "data_dir::test_a_newer_format_asks_for_a_newer_program")
mutant("a file is renamed before its fsync", "filesystem.py", "        file.pwrite(data, 0)\n        file.sync()\n", "        file.pwrite(data, 0)\n",
       "data_dir::test_boots_and_instances_are_durable_when_they_are_returned")
mutant("a file's name is not durable", "filesystem.py", "    fs.rename(part, path)\n    fs.sync_directory(posixpath.dirname(path) or \".\")\n", "    fs.rename(part, path)\n",
       "data_dir::test_boots_and_instances_are_durable_when_they_are_returned")
mutant("a short write is taken for a whole one", "filesystem.py", "            while written < len(data):\n", "            while False:\n",
       "filesystem::test_what_the_system_reads_and_writes_in_parts_is_put_together")
mutant("a short read is taken for the end", "filesystem.py", "            if len(data) == size or not data:\n", "            if True:\n",
       "filesystem::test_what_the_system_reads_and_writes_in_parts_is_put_together")
mutant("a full quota is no full disk", "filesystem.py", "    if error.errno in (errno.ENOSPC, errno.EDQUOT):\n", "    if error.errno == errno.ENOSPC:\n",
       "filesystem::test_errors_carry_the_file_and_the_reason_and_a_full_disk_its_own_type")
mutant("an fsync that fails is not told", "filesystem.py", "            os.fdatasync(self._descriptor)\n        except OSError as error:\n            raise storage_error(\"fsync\", self._path, error) from error\n", "            os.fdatasync(self._descriptor)\n        except OSError:\n            pass\n",
       "filesystem::test_no_failure_of_the_disk_goes_unnoticed")

# The index of entries, and a restored directory.
mutant("a truncation forgets nothing", "entry_index.py", "        self._delete(bisect_left(self._firsts, index), len(self._firsts))\n", "        pass\n",
       "wal_random::test_random_operations_agree_with_a_log_in_memory_through_power_losses")
mutant("a compaction forgets an entry too many", "entry_index.py", "bisect_right(self._firsts, index + 1) - 1", "bisect_right(self._firsts, index + 2) - 1",
       "wal::test_compaction_removes_whole_segments_and_keeps_the_vote")
mutant("a compaction forgets nothing", "entry_index.py", "        self._delete(0, max(bisect_right(self._firsts, index + 1) - 1, 0))\n", "        pass\n",
       "wal::test_compaction_removes_whole_segments_and_keeps_the_vote")
mutant("a restored node forgets the snapshot's term", "restore.py", "        wal.save_hard_state(HardState(source.term, None))\n", "",
       "restore::test_a_restored_node_goes_on_after_the_snapshot")
mutant("a restored node's log begins at 1", "restore.py", "        wal.compact(index, source.term)\n", "",
       "restore::test_a_restored_node_goes_on_after_the_snapshot")
mutant("a directory is restored over", "restore.py", "    if RealFilesystem().exists(fspath(path)):\n", "    if False:\n",
       "restore::test_a_directory_is_never_restored_over")
mutant("what is half restored stays", "restore.py", "    except BaseException:\n        _discard(part)\n        raise\n", "    except BaseException:\n        raise\n",
       "restore::test_a_directory_is_never_restored_over")
mutant("what is restored never gets its name", "restore.py", "        fs.rename(part, path)\n        fs.sync_directory", "        fs.sync_directory",
       "restore::test_a_restored_node_goes_on_after_the_snapshot")
