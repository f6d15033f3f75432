//! Archives that were never finished, of workloads that have no journal which would speak of them: a process was killed
//! while it took a snapshot that stops nobody, or while it imported one.

use std::{collections::BTreeSet, path::PathBuf};

use super::Engine;
use crate::{
    error::{FsErrorKind, Result},
    model::WorkloadId,
    ports::Draft,
};

/// An unfinished archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftDraft {
    /// The workload.
    pub workload: WorkloadId,
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Why it could not be removed; `None` if it was, or if it was only asked for.
    pub problem: Option<String>,
}

impl Engine {
    /// The unfinished archives that nobody works on, of one workload or of all. Touches nothing.
    pub async fn left_drafts(&self, workload: Option<WorkloadId>) -> Result<Vec<LeftDraft>> {
        self.abandoned_drafts(workload, false).await
    }

    /// Removes the unfinished archives that nobody works on, of one workload or of all, and gives what they were. One that
    /// cannot be removed is named with the reason.
    pub async fn sweep_drafts(&self, workload: Option<WorkloadId>) -> Result<Vec<LeftDraft>> {
        self.abandoned_drafts(workload, true).await
    }

    async fn abandoned_drafts(&self, workload: Option<WorkloadId>, sweep: bool) -> Result<Vec<LeftDraft>> {
        let is_asked_for = |draft: &Draft| workload.is_none_or(|id| id == draft.workload);
        let seen = self.ports.archives.drafts().await?;
        let workloads: BTreeSet<WorkloadId> =
            seen.iter().filter(|draft| is_asked_for(draft)).map(|d| d.workload).collect();
        let mut left = Vec::new();
        for id in workloads {
            // Whoever holds the workload is writing one, or about to remove it; it may have finished it meanwhile.
            let _lock = match self.ports.journals.lock(id).await {
                Ok(lock) => lock,
                Err(error) if error.kind == FsErrorKind::Busy => continue,
                Err(error) => return Err(error.into()),
            };
            // What a journal speaks of is removed when that is followed.
            if self.ports.journals.journals().await?.contains(&id) {
                continue;
            }
            let drafts: Vec<Draft> =
                self.ports.archives.drafts().await?.into_iter().filter(|draft| draft.workload == id).collect();
            let problem = match sweep {
                true => self.ports.archives.sweep_drafts(id).await.err().map(|error| error.to_string()),
                false => None,
            };
            let one = |draft: Draft| LeftDraft {
                workload: id,
                path: draft.path,
                bytes: draft.bytes,
                problem: problem.clone(),
            };
            left.extend(drafts.into_iter().map(one));
        }
        Ok(left)
    }
}
