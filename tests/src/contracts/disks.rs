//! What every implementation of the ports for disks must do: [`Filesystem`], [`Archives`] and [`Journals`].
//!
//! An adapter's test names its [`Harness`] in [`filesystem_contract!`](crate::filesystem_contract),
//! [`archives_contract!`](crate::archives_contract) and [`journals_contract!`](crate::journals_contract), each of which makes
//! one test of each promise of its port. One harness serves all three, since what one port promises shows through another:
//! what is staged is what was archived.

mod archives;
mod copies;
mod entries;
mod frozen;
mod held;
mod inside;
mod members;
mod names;
mod outside;
mod passes;
mod standing;
mod state;
mod subvolumes;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use uuid::Uuid;
use volsnap_core::{
    model::{
        ArchiveSummary, Identity, Manifest, ManifestVolume, Mode, Occupant, Origin, RestoreId, Sight, SnapshotId,
        Source, WorkloadId,
        place::{private_dir, private_name, staged_in},
        snapshot::ARCHIVE_FORMAT,
    },
    ports::{
        ArchiveSource, Archives, Claim, DraftArchive, Filesystem, FsError, FsErrorKind, Journals, Limits, Observer,
        Precopy, Progress, Quiet, StageJob, Watch,
    },
};

pub use archives::*;
pub use copies::*;
pub use entries::*;
pub use frozen::*;
pub use held::*;
pub use inside::*;
pub use members::*;
pub use names::*;
pub use outside::*;
pub use passes::*;
pub use standing::*;
pub use state::*;
pub use subvolumes::*;

/// Contents of files by their path below a directory; directories are there where a file needs them.
pub type Tree = BTreeMap<String, Vec<u8>>;

/// Disks by all their ports.
pub trait Disks: Filesystem + Archives + Journals {}

impl<T: Filesystem + Archives + Journals> Disks for T {}

/// Disks that a promise is tried on: nothing is shared between two harnesses.
pub trait Harness {
    /// The disks.
    fn disks(&self) -> Arc<dyn Disks>;

    /// The same disks as a second process has them.
    fn second_process(&self) -> Arc<dyn Disks>;

    /// An empty directory outside the state directory, on a filesystem that has exchange and birth times.
    fn data(&self) -> PathBuf;

    /// Makes a directory, with those above it, and its files.
    fn put(&self, dir: &Path, tree: &Tree);

    /// Makes a file in an existing directory.
    fn put_file(&self, path: &Path, bytes: &[u8]);

    /// Writes over an existing file, which stays the same one.
    fn overwrite_file(&self, path: &Path, bytes: &[u8]);

    /// Removes a file, as another program would.
    fn remove_file(&self, path: &Path);

    /// Waits until what was written before can be told from what is written afterwards.
    fn age(&self);

    /// Removes an empty directory, as another program would.
    fn remove_dir(&self, dir: &Path);

    /// The files below a directory; `None` if the name does not exist.
    fn get(&self, dir: &Path) -> Option<Tree>;

    /// How many unfinished archives lie in the state directory.
    fn drafts(&self, workload: WorkloadId) -> usize;
}

/// Makes a test of each promise of the [`Filesystem`] port for the harness that the expression makes.
#[macro_export]
macro_rules! filesystem_contract {
    ($harness:expr) => {
        $crate::promises! { $harness;
            a_name_is_absent_or_a_directory_or_something_else
            an_identity_stays_over_rename_and_exchange
            a_directory_that_is_made_anew_is_another_one
            a_rename_replaces_nothing
            an_exchange_needs_both_names
            only_an_empty_directory_is_removed_without_recursion
            a_private_directory_is_discarded_whole_and_twice
            no_other_name_is_discarded
            private_directories_of_any_restore_are_listed
            a_directory_that_was_moved_is_found_by_what_it_is
            settling_skips_what_is_absent
            entries_are_moved_but_for_ours_and_none_over_another
            attributes_are_compared_and_copied
            a_switch_by_entry_finds_its_places_laid_out
            a_live_path_is_located_with_what_stands_there
            only_the_last_component_of_a_live_path_may_be_absent
            a_tree_is_measured_with_its_root
            a_staged_tree_is_the_archived_one_and_has_its_digest
            a_tree_that_stands_staged_is_returned_as_it_is
            an_absent_volume_is_staged_as_an_empty_directory
            a_tree_that_stands_already_is_staged_by_moving_it
            a_standing_tree_is_laid_out_for_a_switch_by_entry
            what_stood_nowhere_is_staged_without_an_archive
            another_archive_under_the_name_is_corrupt
            an_archive_that_breaks_a_limit_is_hostile
            a_cancelled_stage_leaves_no_staged_tree
            a_live_tree_has_the_members_that_its_archive_has
            members_below_a_path_are_those_and_no_others
            a_reading_of_members_may_be_given_up
            a_copy_holds_volumes_by_their_names_whole_and_beside_nothing_else
            a_part_is_copied_with_the_directories_above_it_and_no_more
            a_copy_that_cannot_be_made_has_no_staged_tree
            a_tree_that_is_read_back_is_the_volume_or_is_told_from_it
            a_claimed_directory_is_held_with_what_is_above_and_below_it
            a_claim_holds_the_name_whatever_gets_it
        }
    };
}

/// Makes a test of each promise of the [`Archives`] port for the harness that the expression makes.
#[macro_export]
macro_rules! archives_contract {
    ($harness:expr) => {
        $crate::promises! { $harness;
            private_names_and_lost_found_are_not_archived
            a_sealed_archive_says_what_it_holds_and_verifies
            a_draft_that_is_dropped_leaves_nothing
            a_draft_that_a_kill_left_is_swept
            an_archive_is_removed_and_absent_is_success
            an_archive_in_two_passes_has_the_state_of_its_capture
            an_archive_in_two_passes_of_what_did_not_change_is_the_plain_one
            a_first_pass_reads_what_an_app_writes_all_the_time
            an_absent_volume_is_absent_in_two_passes_too
            a_first_pass_that_is_dropped_leaves_nothing
            a_first_pass_that_a_kill_left_is_swept
            a_first_pass_and_a_capture_that_are_cancelled_leave_nothing
            members_of_another_archive_are_refused
            an_exported_archive_is_the_archive_and_replaces_nothing
            an_export_of_another_archive_or_one_that_is_cancelled_leaves_nothing
            an_imported_archive_is_the_one_that_was_exported
            an_import_under_another_identity_has_the_same_volumes
            a_file_that_is_no_archive_or_another_one_is_refused_and_leaves_nothing
            archives_are_listed_and_drafts_are_none
            an_archive_is_looked_into_as_its_tree_was
            what_is_not_in_an_archive_is_told_with_what_is_nearest
        }
    };
}

/// Makes a test of each promise of the [`Journals`] port for the harness that the expression makes.
#[macro_export]
macro_rules! journals_contract {
    ($harness:expr) => {
        $crate::promises! { $harness;
            a_journal_is_replaced_as_a_whole
            a_journal_is_listed_until_it_is_removed
            a_retired_journal_is_the_record_of_the_last_restore
            a_record_that_is_set_aside_is_kept_until_it_is_forgotten
            a_copy_is_noted_until_it_ends_and_abandoned_when_nobody_is_at_it
            a_lock_is_exclusive_until_it_is_dropped
            a_lock_ends_with_its_lease_whatever_else_is_at_work
            many_workloads_are_at_work_at_once
        }
    };
}

/// Makes a test of each of these promises.
#[doc(hidden)]
#[macro_export]
macro_rules! promises {
    ($harness:expr; $($promise:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn $promise() {
                let harness = $harness;
                $crate::contracts::disks::$promise(&harness).await;
            }
        )+
    };
}

const WORKLOAD: WorkloadId = WorkloadId(Uuid::from_u128(10));
const SNAPSHOT: SnapshotId = SnapshotId(Uuid::from_u128(20));
const RESTORE: RestoreId = RestoreId(Uuid::from_u128(30));
const GENEROUS: Limits = Limits { bytes_max: 1 << 30, entries_max: 1 << 20, devices: false };

struct Cancelling;

impl Observer for Cancelling {
    fn progress(&self, _: &Progress) {}

    fn cancelled(&self) -> bool {
        true
    }
}

fn quiet() -> Watch {
    Arc::new(Quiet)
}

fn tree(files: &[(&str, &str)]) -> Tree {
    files.iter().map(|(path, text)| ((*path).to_string(), text.as_bytes().to_vec())).collect()
}

async fn look(fs: &Arc<dyn Disks>, path: &Path) -> Sight {
    fs.look(path).await.unwrap()
}

async fn identity(fs: &Arc<dyn Disks>, path: &Path) -> Identity {
    match look(fs, path).await {
        Sight::Directory { identity, .. } => identity,
        sight @ (Sight::Absent | Sight::Other) => panic!("{}: {sight:?}", path.display()),
    }
}

/// What a snapshot of volumes `/v0`, `/v1`, … says of itself.
#[must_use]
pub fn manifest(snapshot: SnapshotId, absent: &[bool]) -> Manifest {
    let volume = |(index, absent): (usize, &bool)| ManifestVolume {
        target: format!("/v{index}"),
        absent: *absent,
        ..ManifestVolume::default()
    };
    Manifest {
        format: ARCHIVE_FORMAT,
        snapshot,
        workload: WORKLOAD,
        workload_name: "app".into(),
        source: Source::Directories,
        created_at: Timestamp::from_second(1_700_000_000).unwrap(),
        mode: Mode::Live,
        origin: Origin::Manual,
        note: None,
        images: Vec::new(),
        volumes: absent.iter().enumerate().map(volume).collect(),
        registration: None,
        imported: None,
        sequence: None,
    }
}

fn sources(roots: &[PathBuf]) -> Vec<ArchiveSource> {
    let source =
        |(index, root): (usize, &PathBuf)| ArchiveSource { target: format!("/v{index}"), root: Some(root.clone()) };
    roots.iter().enumerate().map(source).collect()
}

async fn draft(fs: &Arc<dyn Disks>, snapshot: SnapshotId, roots: &[PathBuf]) -> Result<Box<dyn DraftArchive>, FsError> {
    fs.draft_archive(&manifest(snapshot, &vec![false; roots.len()]), &sources(roots), quiet()).await
}

async fn archive(fs: &Arc<dyn Disks>, snapshot: SnapshotId, roots: &[PathBuf]) -> ArchiveSummary {
    draft(fs, snapshot, roots).await.unwrap().seal(0).await.unwrap()
}

fn job(summary: &ArchiveSummary, index: usize, private: &Path) -> StageJob {
    StageJob {
        workload: WORKLOAD,
        snapshot: summary.manifest.snapshot,
        archive_digest: summary.digest.clone(),
        index: Some(index),
        target: format!("/v{index}"),
        private: private.to_path_buf(),
        like: None,
        entries_of: None,
        standing: None,
        limits: GENEROUS,
        resume: false,
    }
}
