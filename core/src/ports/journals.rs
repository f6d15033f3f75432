//! What an operation that is under way is known by after a crash: journals, records, notes and locks.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;

use super::{CopyNote, Lease};
use crate::{
    error::FsError,
    model::{RestoreId, WorkloadId},
};

/// The journals of this host, always on a disk of its own: a recovery needs no network.
///
/// A call that fails has changed nothing, or has left what the next one finds as it was or as it was to be.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait Journals: Send + Sync {
    // Open operations.

    /// The workloads that have a journal, whether it can be read or not.
    async fn journals(&self) -> Result<Vec<WorkloadId>, FsError>;

    /// Where a workload's journal lies, to be shown to people.
    fn journal_path(&self, workload: WorkloadId) -> PathBuf;

    /// The bytes of a journal; `None` if there is none. What it returns is durable.
    async fn read_journal(&self, workload: WorkloadId) -> Result<Option<Vec<u8>>, FsError>;

    /// Replaces a journal as a whole, durably: after a crash at any instant it is the old or the new one. Keeps space
    /// for the next replacement of up to `bytes.len() + 16 KiB`, so that a full disk cannot refuse it.
    async fn write_journal(&self, workload: WorkloadId, bytes: &[u8]) -> Result<(), FsError>;

    /// Removes a journal durably; absent is success.
    async fn remove_journal(&self, workload: WorkloadId) -> Result<(), FsError>;

    // What became of the last restore, and of those whose originals are kept.

    /// Makes the journal the workload's record of its last restore, durably: no journal is open any more, and the record
    /// of an earlier restore is gone. Takes no space, and is one step: after a crash the journal is open, or it is the
    /// record. Absent is success.
    async fn retire_journal(&self, workload: WorkloadId) -> Result<(), FsError>;

    /// Makes a copy of an open journal the workload's record of its last restore, durably, in the place of an earlier one:
    /// the journal itself goes on to another operation. A crash leaves the earlier record or this one.
    async fn record_restore(&self, workload: WorkloadId, bytes: &[u8]) -> Result<(), FsError>;

    /// The bytes of the record of the last restore, durable; `None` if there is none.
    async fn retired_journal(&self, workload: WorkloadId) -> Result<Option<Vec<u8>>, FsError>;

    /// Removes the record of the last restore durably; absent is success.
    async fn forget_retired(&self, workload: WorkloadId) -> Result<(), FsError>;

    /// Sets the record of the last restore aside under that restore's id, durably and in one step that takes no space.
    /// Absent is success.
    async fn set_record_aside(&self, workload: WorkloadId, restore: RestoreId) -> Result<(), FsError>;

    /// The records that there are, ordered: each workload's last one (`None`), and those that were set aside.
    async fn records(&self) -> Result<Vec<(WorkloadId, Option<RestoreId>)>, FsError>;

    /// The bytes of a record that was set aside, durable; `None` if there is none.
    async fn record_aside(&self, workload: WorkloadId, restore: RestoreId) -> Result<Option<Vec<u8>>, FsError>;

    /// Removes a record that was set aside, durably; absent is success.
    async fn forget_record_aside(&self, workload: WorkloadId, restore: RestoreId) -> Result<(), FsError>;

    // Notes of copies that are made elsewhere than at the live directories: no journal speaks of those. A note is durable
    // before the first directory is made and goes after the last one.

    /// Writes down durably which private directories are going to be made. The lease tells others that somebody is at it;
    /// it ends with the process, the note does not.
    async fn begin_copy(&self, note: &CopyNote) -> Result<Box<dyn Lease>, FsError>;

    /// The notes whose lease has ended, by id: their processes died, or could not remove what they had made.
    async fn abandoned_copies(&self) -> Result<Vec<CopyNote>, FsError>;

    /// Where a note lies, to be shown to people.
    fn copy_note_path(&self, id: RestoreId) -> PathBuf;

    /// Removes a note durably, when all of its private directories are gone, and durably so; absent is success.
    async fn end_copy(&self, id: RestoreId) -> Result<(), FsError>;

    // What is held.

    /// The same journals, for calls that go on under a lease; see [`Filesystem::under`](super::Filesystem::under).
    fn under(&self, lease: Arc<dyn Lease>) -> Option<Arc<dyn Journals>>;

    /// Takes the workload's lock, which ends with the process; [`FsErrorKind::Busy`](crate::error::FsErrorKind) names the owner. Does not wait.
    async fn lock(&self, workload: WorkloadId) -> Result<Box<dyn Lease>, FsError>;
}
