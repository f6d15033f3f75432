//! `prune`: what is kept and why, and what is not.

use jiff::Timestamp;
use serde::Serialize;
use volsnap_core::{
    engine::Pruned,
    model::{SnapshotId, WorkloadId},
};

use super::{ErrorView, FailureView, severity};

/// The document of `delete`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DeletedView {
    /// The snapshot that is no more.
    pub deleted: SnapshotId,
    /// The workload's name when it was taken.
    pub workload: String,
}

/// The document of `prune`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PruneView {
    /// Whether it was only asked what it would do.
    pub dry_run: bool,
    /// The snapshots that are (or would be) deleted.
    pub deleted: Vec<SnapshotId>,
    /// The workloads of which nothing was judged, because nobody said what to keep.
    pub left_alone: Vec<String>,
    /// The workloads of which nothing, or not all that was to be, was deleted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FailureView>,
    /// The worst of the errors, where every other command has its error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorView>,
    /// All that were judged, workload by workload, newest first.
    pub snapshots: Vec<VerdictView>,
}

/// A snapshot that was judged.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
        PruneView { dry_run, deleted, left_alone: Vec::new(), errors: Vec::new(), error: None, snapshots }
    }

    /// The same with workloads that were left alone, and with those that failed.
    #[must_use]
    pub fn besides(self, left_alone: Vec<String>, errors: Vec<FailureView>) -> Self {
        let error = errors.iter().map(|f| &f.error).max_by_key(|e| severity(e.code)).cloned();
        PruneView { left_alone, errors, error, ..self }
    }
}
