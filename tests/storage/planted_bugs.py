"""Bugs of the storage and the data directory, and the directed tests that must notice.

`python -m tests.support.planted_runner tests.storage.planted_bugs` judges them. A log that is not synced, and a torn
write that is taken for damage, are bugs of tests/simulation/bugs.py.
"""

import fcntl
import os
import zlib

from raftnode.core.errors import StorageError
from raftnode.storage import filesystem, segment, snapshot_file
from raftnode.storage.data_dir import DataDir
from raftnode.storage.entry_index import EntryIndex
from raftnode.storage.filesystem import Filesystem, RealFile, RealFilesystem
from raftnode.storage.segment import Batch, BatchHeader, SegmentScan
from raftnode.storage.snapshots import SnapshotStore
from raftnode.storage.wal import Wal
from tests.support.filesystem import SimulatedFile, SimulatedFilesystem
from tests.support.planted import Patch, PlantedBugs, replace

BUGS = PlantedBugs("storage")
noticed_by = BUGS.noticed_by

ANY_BIT = "wal_damage::test_any_flipped_bit_is_damage_and_never_a_torn_tail"


# The log.


@noticed_by("wal::test_after_a_failed_write_or_fsync_every_call_fails_and_nothing_is_retried")
def a_failed_fsync_is_tried_again(patch: Patch) -> None:
    real = Wal.sync

    def sync(self: Wal) -> None:
        try:
            real(self)
        except StorageError:
            self._failure = None
            raise

    replace(patch, real, sync)


@noticed_by("wal::test_stable_index_moves_only_with_a_sync")
def staged_entries_are_stable(patch: Patch) -> None:
    patch.setattr(Wal, "stable_index", property(lambda self: self.last_index))


@noticed_by(
    "wal_crash::test_every_crash_point_opens_with_all_that_was_synced",
    "snapshots::test_every_crash_point_leaves_the_old_snapshots_or_the_new_one",
    "data_dir::test_boots_and_instances_are_durable_when_they_are_returned",
)
def names_are_not_durable(patch: Patch) -> None:
    replace(patch, SimulatedFilesystem.sync_directory, lambda self, path: None)


@noticed_by("wal_crash::test_every_crash_point_opens_with_all_that_was_synced")
def a_payloads_checksum_is_not_compared(patch: Patch) -> None:
    real = segment.decode_batch

    def decode(data: bytes, header: BatchHeader, salt: bytes) -> Batch | None:
        crc = zlib.crc32(data[segment._BATCH.size : -1])
        return real(data, BatchHeader(header.mask, header.remaining, header.size, header.sync, crc), salt)

    replace(patch, real, decode)


@noticed_by(ANY_BIT)
def damage_is_a_torn_tail(patch: Patch) -> None:
    patch.setattr(SegmentScan, "_partly_unwritten", lambda self, offset, header: True)


@noticed_by("wal_damage::test_a_sector_that_is_lost_under_a_later_sync_is_damage")
def a_hole_beneath_a_later_write_is_a_torn_tail(patch: Patch) -> None:
    patch.setattr(SegmentScan, "_later_sync", lambda self, offset: None)


@noticed_by("wal_damage::test_a_flipped_bit_in_a_last_entry_of_zeros_is_damage")
def long_runs_of_zeros_are_written_as_they_are(patch: Patch) -> None:
    patch.setattr(segment, "ZERO_RUN", bytes(1 << 20))


@noticed_by("wal::test_compaction_removes_whole_segments_and_keeps_the_vote")
def a_compaction_forgets_an_entry_too_many(patch: Patch) -> None:
    real = EntryIndex.compact
    replace(patch, real, lambda self, index: real(self, index + 1))


@noticed_by("wal_random::test_random_operations_agree_with_a_log_in_memory_through_power_losses")
def a_truncation_forgets_nothing(patch: Patch) -> None:
    replace(patch, EntryIndex.truncate, lambda self, index: None)


# Snapshots.


@noticed_by("snapshots::test_any_flipped_bit_in_a_snapshot_is_found")
def a_blocks_checksum_is_constant(patch: Patch) -> None:
    replace(patch, snapshot_file.block_crc, lambda payload, previous: 0)


@noticed_by(
    "snapshots::test_a_snapshot_is_found_again_with_all_it_carries",
    "snapshots::test_every_crash_point_leaves_the_old_snapshots_or_the_new_one",
)
def a_snapshot_gets_its_name_before_its_fsync(patch: Patch) -> None:
    real = SimulatedFile.sync

    def sync(self: SimulatedFile) -> None:
        if ".snap" not in self.path:
            real(self)

    replace(patch, real, sync)


@noticed_by("snapshots::test_a_shortened_lengthened_or_renamed_snapshot_is_damaged")
def half_a_snapshot_passes(patch: Patch) -> None:
    patch.setattr("raftnode.storage.snapshot_file.BlockReader.finish", lambda self: None)


@noticed_by("snapshots::test_only_the_newest_are_kept_and_a_pinned_one_stays")
def a_pinned_snapshot_goes(patch: Patch) -> None:
    replace(patch, SnapshotStore.pin, lambda self, stored: None)


@noticed_by("snapshots::test_only_the_newest_are_kept_and_a_pinned_one_stays")
def the_oldest_snapshot_is_listed_first(patch: Patch) -> None:
    real = SnapshotStore.list
    replace(patch, real, lambda self: real(self)[::-1])


# The data directory and the door to the disk.


@noticed_by("data_dir::test_boots_and_instances_are_durable_when_they_are_returned")
def a_file_is_renamed_before_its_fsync(patch: Patch) -> None:
    def write(fs: Filesystem, path: str, data: bytes) -> None:
        part = path + filesystem.PART_SUFFIX
        file = fs.create(part)
        file.pwrite(data, 0)
        file.close()
        fs.rename(part, path)
        fs.sync_directory(os.path.dirname(path))

    replace(patch, filesystem.write_atomically, write)


@noticed_by("data_dir::test_boots_and_instances_are_durable_when_they_are_returned")
def an_instance_id_is_not_written(patch: Patch) -> None:
    replace(patch, DataDir.remember_instance, lambda self, node_id, instance_id: None)


@noticed_by("data_dir::test_a_locked_directory_names_the_process_that_holds_it")
def the_lock_is_not_taken(patch: Patch) -> None:
    patch.setattr(fcntl, "flock", lambda descriptor, operation: None)


@noticed_by("data_dir::test_a_node_whose_log_was_removed_does_not_start")
def a_lost_log_is_a_new_log(patch: Patch) -> None:
    patch.setattr(DataDir, "_check_log", lambda self: None)


@noticed_by("data_dir::test_a_log_without_its_identity_is_not_formatted_over")
def a_log_without_an_identity_is_formatted_over(patch: Patch) -> None:
    patch.setattr("raftnode.storage.data_dir._log_untouched", lambda fs, directory: True)


@noticed_by("restore::test_a_directory_is_never_restored_over")
def a_directory_is_restored_over(patch: Patch) -> None:
    replace(patch, RealFilesystem.exists, lambda self, path: False)


@noticed_by("filesystem::test_no_failure_of_the_disk_goes_unnoticed")
def an_fsync_that_fails_is_not_told(patch: Patch) -> None:
    real = RealFile.sync

    def sync(self: RealFile) -> None:
        try:
            real(self)
        except StorageError:
            return

    replace(patch, real, sync)


@noticed_by("filesystem::test_what_the_system_reads_and_writes_in_parts_is_put_together")
def a_short_write_is_taken_for_a_whole_one(patch: Patch) -> None:
    def pwrite(self: RealFile, data: bytes, offset: int) -> None:
        os.pwrite(self._descriptor, data, offset)

    replace(patch, RealFile.pwrite, pwrite)
