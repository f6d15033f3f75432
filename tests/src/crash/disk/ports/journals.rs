//! Journals: every change is marked, and some are not durable.

use std::{fs, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use volsnap_core::{
    model::{RestoreId, WorkloadId},
    ports::{CopyNote, FsError, Journals, Lease},
};

use super::{Lie, Watched, broken, last_entry};

#[async_trait]
impl Journals for Watched {
    async fn journals(&self) -> Result<Vec<WorkloadId>, FsError> {
        self.journals.journals().await
    }

    async fn read_journal(&self, workload: WorkloadId) -> Result<Option<Vec<u8>>, FsError> {
        self.journals.read_journal(workload).await
    }

    async fn write_journal(&self, workload: WorkloadId, bytes: &[u8]) -> Result<(), FsError> {
        let entry = last_entry(bytes);
        let (file, dir) = match self.lie {
            Some(Lie::JournalNotSynced) => (false, true),
            Some(Lie::JournalDirectoryNotSynced) => (true, false),
            Some(Lie::EntryNotDurable(lied)) if lied == entry => (false, false),
            _ => (true, true),
        };
        let what = format!("write {entry}");
        // The first one has nothing to replace.
        match (file, dir) == (true, true) || entry == "opened" {
            true => self.noted(&what, self.journals.write_journal(workload, bytes)).await,
            false => {
                let replaced = async { self.replace_journal(workload, bytes, file, dir) };
                self.noted(&what, replaced).await.map_err(|error| broken(&error))
            }
        }
    }

    async fn remove_journal(&self, workload: WorkloadId) -> Result<(), FsError> {
        if self.lie == Some(Lie::RemovalNotSynced) {
            return fs::remove_file(self.journals.journal_path(workload)).map_err(|error| broken(&error));
        }
        self.noted("remove journal", self.journals.remove_journal(workload)).await
    }

    async fn retire_journal(&self, workload: WorkloadId) -> Result<(), FsError> {
        if self.lie == Some(Lie::RemovalNotSynced) {
            let journal = self.journals.journal_path(workload);
            return fs::rename(&journal, journal.with_extension("last")).map_err(|error| broken(&error));
        }
        self.noted("retire journal", self.journals.retire_journal(workload)).await
    }

    async fn record_restore(&self, workload: WorkloadId, bytes: &[u8]) -> Result<(), FsError> {
        self.noted("record restore", self.journals.record_restore(workload, bytes)).await
    }

    async fn retired_journal(&self, workload: WorkloadId) -> Result<Option<Vec<u8>>, FsError> {
        self.journals.retired_journal(workload).await
    }

    async fn forget_retired(&self, workload: WorkloadId) -> Result<(), FsError> {
        self.journals.forget_retired(workload).await
    }

    async fn set_record_aside(&self, workload: WorkloadId, restore: RestoreId) -> Result<(), FsError> {
        self.journals.set_record_aside(workload, restore).await
    }

    async fn records(&self) -> Result<Vec<(WorkloadId, Option<RestoreId>)>, FsError> {
        self.journals.records().await
    }

    async fn record_aside(&self, workload: WorkloadId, restore: RestoreId) -> Result<Option<Vec<u8>>, FsError> {
        self.journals.record_aside(workload, restore).await
    }

    async fn forget_record_aside(&self, workload: WorkloadId, restore: RestoreId) -> Result<(), FsError> {
        self.journals.forget_record_aside(workload, restore).await
    }

    async fn lock(&self, workload: WorkloadId) -> Result<Box<dyn Lease>, FsError> {
        self.journals.lock(workload).await
    }

    fn journal_path(&self, workload: WorkloadId) -> PathBuf {
        self.journals.journal_path(workload)
    }

    async fn begin_copy(&self, note: &CopyNote) -> Result<Box<dyn Lease>, FsError> {
        self.journals.begin_copy(note).await
    }

    async fn abandoned_copies(&self) -> Result<Vec<CopyNote>, FsError> {
        self.journals.abandoned_copies().await
    }

    fn copy_note_path(&self, id: RestoreId) -> PathBuf {
        self.journals.copy_note_path(id)
    }

    async fn end_copy(&self, id: RestoreId) -> Result<(), FsError> {
        self.journals.end_copy(id).await
    }

    fn under(&self, lease: Arc<dyn Lease>) -> Option<Arc<dyn Journals>> {
        Some(Arc::new(Watched { journals: self.journals.under(lease)?, ..self.clone() }))
    }
}
