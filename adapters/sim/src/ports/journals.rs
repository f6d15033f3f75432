//! What is under way on a machine.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use volsnap_core::{
    model::{RestoreId, WorkloadId},
    ports::{CopyNote, FsError, Journals, Lease},
};

use super::filesystem::SimDisks;
use crate::{machine::Machine, world::World};

/// A lock; gives it back unless its process died, whose locks are gone anyway.
struct Lock {
    machine: Machine,
    workload: WorkloadId,
}

impl Lease for Lock {}

impl Drop for Lock {
    fn drop(&mut self) {
        self.machine.world().locks.remove(&self.workload);
    }
}

/// The lease of a copy.
struct CopyLease {
    machine: Machine,
    id: RestoreId,
}

impl Lease for CopyLease {}

impl Drop for CopyLease {
    fn drop(&mut self) {
        self.machine.world().copy_leases.remove(&self.id);
    }
}

#[async_trait]
impl Journals for SimDisks {
    async fn begin_copy(&self, note: &CopyNote) -> Result<Box<dyn Lease>, FsError> {
        let lease = |()| CopyLease { machine: self.machine.clone(), id: note.id };
        Ok(Box::new(self.machine.ask_for(|w| w.begin_copy(note), lease).await?))
    }

    async fn abandoned_copies(&self) -> Result<Vec<CopyNote>, FsError> {
        self.machine.ask(World::abandoned_copies).await
    }

    async fn end_copy(&self, id: RestoreId) -> Result<(), FsError> {
        self.machine.ask(|w| w.end_copy(id)).await
    }

    async fn journals(&self) -> Result<Vec<WorkloadId>, FsError> {
        self.machine.ask(World::journals).await
    }

    async fn read_journal(&self, workload: WorkloadId) -> Result<Option<Vec<u8>>, FsError> {
        self.machine.ask(|w| w.read_journal(workload)).await
    }

    async fn write_journal(&self, workload: WorkloadId, bytes: &[u8]) -> Result<(), FsError> {
        self.machine.ask(|w| w.write_journal(workload, bytes)).await
    }

    async fn remove_journal(&self, workload: WorkloadId) -> Result<(), FsError> {
        self.machine.ask(|w| w.remove_journal(workload)).await
    }

    async fn retire_journal(&self, workload: WorkloadId) -> Result<(), FsError> {
        self.machine.ask(|w| w.retire_journal(workload)).await
    }

    async fn record_restore(&self, workload: WorkloadId, bytes: &[u8]) -> Result<(), FsError> {
        self.machine.ask(|w| w.record_restore(workload, bytes)).await
    }

    async fn retired_journal(&self, workload: WorkloadId) -> Result<Option<Vec<u8>>, FsError> {
        self.machine.ask(|w| w.retired_journal(workload)).await
    }

    async fn forget_retired(&self, workload: WorkloadId) -> Result<(), FsError> {
        self.machine.ask(|w| w.forget_retired(workload)).await
    }

    async fn set_record_aside(&self, workload: WorkloadId, restore: RestoreId) -> Result<(), FsError> {
        self.machine.ask(|w| w.set_record_aside(workload, restore)).await
    }

    async fn records(&self) -> Result<Vec<(WorkloadId, Option<RestoreId>)>, FsError> {
        self.machine.ask(World::records).await
    }

    async fn record_aside(&self, workload: WorkloadId, restore: RestoreId) -> Result<Option<Vec<u8>>, FsError> {
        self.machine.ask(|w| w.record_aside(workload, restore)).await
    }

    async fn forget_record_aside(&self, workload: WorkloadId, restore: RestoreId) -> Result<(), FsError> {
        self.machine.ask(|w| w.forget_record_aside(workload, restore)).await
    }

    async fn lock(&self, workload: WorkloadId) -> Result<Box<dyn Lease>, FsError> {
        let lease = |()| Lock { machine: self.machine.clone(), workload };
        Ok(Box::new(self.machine.ask_for(|w| w.lock(workload), lease).await?))
    }

    fn journal_path(&self, workload: WorkloadId) -> PathBuf {
        self.machine.with(|w| w.journal_path(workload).1)
    }

    fn copy_note_path(&self, id: RestoreId) -> PathBuf {
        self.machine.with(|w| w.copy_note_path(id))
    }

    fn under(&self, _: Arc<dyn Lease>) -> Option<Arc<dyn Journals>> {
        // What a call of the simulator does is done in one piece between two polls.
        None
    }
}
