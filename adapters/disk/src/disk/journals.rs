//! What is under way: the calls of [`Journals`](ports::Journals).

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use volsnap_core::{
    model::{RestoreId, WorkloadId},
    ports::{self, CopyNote, FsError, FsOp, Lease},
};

use super::Disk;
use crate::{
    copies,
    journal::{self, Journals},
    lock,
};

#[async_trait]
impl ports::Journals for Disk {
    async fn begin_copy(&self, note: &CopyNote) -> Result<Box<dyn Lease>, FsError> {
        let (state, note) = (self.state.clone(), note.clone());
        self.run(FsOp::Journal, &self.state.copies(), move |_| copies::begin(&state.make_copies()?, &note)).await
    }

    async fn abandoned_copies(&self) -> Result<Vec<CopyNote>, FsError> {
        self.run(FsOp::Journal, &self.state.copies(), copies::abandoned).await
    }

    async fn end_copy(&self, id: RestoreId) -> Result<(), FsError> {
        self.run(FsOp::Journal, &self.state.copies(), move |dir| copies::end(dir, id)).await
    }

    async fn journals(&self) -> Result<Vec<WorkloadId>, FsError> {
        self.with_journals(Journals::list).await
    }

    async fn read_journal(&self, workload: WorkloadId) -> Result<Option<Vec<u8>>, FsError> {
        self.with_journals(move |journals| journals.read(workload)).await
    }

    async fn write_journal(&self, workload: WorkloadId, bytes: &[u8]) -> Result<(), FsError> {
        let bytes = bytes.to_vec();
        self.with_journals(move |journals| journals.write(workload, &bytes)).await
    }

    async fn remove_journal(&self, workload: WorkloadId) -> Result<(), FsError> {
        self.with_journals(move |journals| journals.remove(workload)).await
    }

    async fn retire_journal(&self, workload: WorkloadId) -> Result<(), FsError> {
        self.with_journals(move |journals| journals.retire(workload)).await
    }

    async fn record_restore(&self, workload: WorkloadId, bytes: &[u8]) -> Result<(), FsError> {
        let bytes = bytes.to_vec();
        self.with_journals(move |journals| journals.record(workload, &bytes)).await
    }

    async fn retired_journal(&self, workload: WorkloadId) -> Result<Option<Vec<u8>>, FsError> {
        self.with_journals(move |journals| journals.retired(workload)).await
    }

    async fn forget_retired(&self, workload: WorkloadId) -> Result<(), FsError> {
        self.with_journals(move |journals| journals.forget_retired(workload)).await
    }

    async fn set_record_aside(&self, workload: WorkloadId, restore: RestoreId) -> Result<(), FsError> {
        self.with_journals(move |journals| journals.set_aside(workload, restore)).await
    }

    async fn records(&self) -> Result<Vec<(WorkloadId, Option<RestoreId>)>, FsError> {
        self.with_journals(Journals::records).await
    }

    async fn record_aside(&self, workload: WorkloadId, restore: RestoreId) -> Result<Option<Vec<u8>>, FsError> {
        self.with_journals(move |journals| journals.aside(workload, restore)).await
    }

    async fn forget_record_aside(&self, workload: WorkloadId, restore: RestoreId) -> Result<(), FsError> {
        self.with_journals(move |journals| journals.forget_aside(workload, restore)).await
    }

    async fn lock(&self, workload: WorkloadId) -> Result<Box<dyn Lease>, FsError> {
        self.run(FsOp::Lock, &self.state.locks(), move |dir| lock::take(dir, workload)).await
    }

    fn journal_path(&self, workload: WorkloadId) -> PathBuf {
        self.state.journals().join(journal::name(workload))
    }

    fn copy_note_path(&self, id: RestoreId) -> PathBuf {
        copies::path_of(&self.state.copies(), id)
    }

    fn under(&self, lease: Arc<dyn Lease>) -> Option<Arc<dyn ports::Journals>> {
        Some(Arc::new(self.held_under(lease)))
    }
}
