//! Originals that restores keep: found, archived, put back, discarded.

use volsnap_core::{
    Result,
    engine::{Kept, KeptSet, RestoreRequest},
    model::{TreeSize, WorkloadId},
    restore::{Options, Report},
};

use super::Volsnap;
use crate::Operation;

impl Volsnap {
    /// What restores kept beside the volumes of one workload or of all because it could not be archived, and what earlier
    /// versions left there in a crash. No recovery removes it.
    pub async fn kept(&self, workload: Option<WorkloadId>) -> Result<Vec<Kept>> {
        self.engine.kept(workload).await
    }

    /// The same, restore by restore.
    pub async fn kept_sets(&self, workload: Option<WorkloadId>) -> Result<Vec<KeptSet>> {
        self.engine.kept_sets(workload).await
    }

    /// What one restore kept, by its id or the beginning of the restore's; [`Code::NotFound`](crate::Code) names what
    /// there is.
    pub async fn kept_set(&self, id: &str) -> Result<KeptSet> {
        self.engine.kept_set(id).await
    }

    /// How much is in a directory that is kept; `None` if that cannot be said.
    pub async fn kept_size(&self, kept: &Kept) -> Option<TreeSize> {
        self.engine.kept_size(kept).await
    }

    /// Archives what a restore kept as its safety snapshot, and removes it when that is durable. The app is not touched.
    pub fn archive_kept(&self, set: KeptSet) -> Operation<Report> {
        self.start(|engine, watch| async move { engine.archive_kept(&set, &watch).await })
    }

    /// The request with which [`Volsnap::restore`] and [`Volsnap::plan`] put back what a restore kept.
    pub async fn kept_request(&self, set: &KeptSet, options: Options) -> Result<RestoreRequest> {
        self.engine.kept_request(set, options).await
    }

    /// Deletes what a restore kept.
    pub fn discard_kept(&self, set: KeptSet) -> Operation<()> {
        self.start(|engine, watch| async move { engine.discard_kept(&set, &watch).await })
    }
}
