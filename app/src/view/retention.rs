//! `prune`: what is kept and why, and what is not.

use jiff::Timestamp;
use serde::Serialize;
use volsnap_core::{
    engine::Pruned,
    model::{SnapshotId, WorkloadId},
};

/// The document of `prune`.
#[derive(Clone, Debug, Serialize)]
pub struct PruneView {
    /// Whether it was only asked what it would do.
    pub dry_run: bool,
    /// The snapshots that are (or would be) deleted.
    pub deleted: Vec<SnapshotId>,
    /// All that were judged, workload by workload, newest first.
    pub snapshots: Vec<VerdictView>,
}

/// A snapshot that was judged.
#[derive(Clone, Debug, Serialize)]
pub struct VerdictView {
    /// The snapshot.
    pub id: SnapshotId,
    /// The workload's name.
    pub workload: String,
    /// The workload.
    pub workload_id: WorkloadId,
    /// When it was taken.
    pub created_at: Timestamp,
    /// The rules that keep it, such as `last 1` or `daily 2026-11-20`; none means that it is deleted.
    pub kept_by: Vec<String>,
}

impl PruneView {
    /// The view of prunes, each with its workload's name.
    #[must_use]
    pub fn of(pruned: &[(String, Pruned)], dry_run: bool) -> Self {
        let mut snapshots = Vec::new();
        for (workload, pruned) in pruned {
            for verdict in &pruned.verdicts {
                snapshots.push(VerdictView {
                    id: verdict.snapshot,
                    workload: workload.clone(),
                    workload_id: verdict.workload,
                    created_at: verdict.created_at,
                    kept_by: verdict.kept_by.iter().map(ToString::to_string).collect(),
                });
            }
        }
        let deleted = snapshots.iter().filter(|v| v.kept_by.is_empty()).map(|v| v.id).collect();
        PruneView { dry_run, deleted, snapshots }
    }
}
