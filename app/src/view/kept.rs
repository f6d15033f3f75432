//! `kept`: originals that stay set aside after a restore, and what became of them.

use jiff::Timestamp;
use serde::Serialize;
use volsnap_core::{
    engine::{Kept, KeptSet},
    model::{RestoreId, SnapshotId, TreeSize, WorkloadId},
    restore::Report,
};

use super::ReportedVolumeView;

/// The document of `kept list`.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KeptListView {
    /// What restores keep, each by itself.
    pub kept: Vec<KeptSetView>,
}

/// What one restore keeps.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KeptSetView {
    /// What the commands call it by.
    pub id: String,
    /// The workload's name.
    pub workload: String,
    /// The workload.
    pub workload_id: WorkloadId,
    /// The restore.
    pub restore_id: RestoreId,
    /// The snapshot that was restored then; `null` if no record of the restore is left.
    pub snapshot: Option<SnapshotId>,
    /// Since when it is kept; `null` if that is not known.
    pub since: Option<Timestamp>,
    /// Why it was not archived; `null` if that is not known.
    pub reason: Option<String>,
    /// Whether the restore still waits for an app that did not come back.
    pub open: bool,
    /// The originals, volume by volume.
    pub volumes: Vec<KeptVolumeView>,
    /// The originals that are not there any more: somebody moved or deleted them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<KeptVolumeView>,
    /// What to do about it.
    pub hint: String,
}

/// The original of a volume.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KeptVolumeView {
    /// The volume's name within the workload; `null` if no record of the restore is left.
    pub target: Option<String>,
    /// The private directory in which it is.
    pub path: String,
    /// The tree itself; `null` if there is none.
    pub tree: Option<String>,
    /// Bytes of its files; `null` if it cannot be read.
    pub bytes: Option<u64>,
    /// Its entries; `null` if it cannot be read.
    pub entries: Option<u64>,
}

impl KeptSetView {
    /// The view of what a restore keeps, with the size of each directory.
    #[must_use]
    pub fn of(set: &KeptSet, sizes: &[Option<TreeSize>]) -> Self {
        let record = set.record.as_ref();
        let volume = |(index, kept): (usize, &Kept)| {
            let size = sizes.get(index).copied().flatten();
            KeptVolumeView {
                target: kept.target.clone(),
                path: kept.path.display().to_string(),
                tree: kept.tree.as_ref().map(|tree| tree.display().to_string()),
                bytes: size.map(|size| size.bytes),
                entries: size.map(|size| size.entries),
            }
        };
        KeptSetView {
            id: set.id.clone(),
            workload: set.workload.clone(),
            workload_id: set.workload_id,
            restore_id: set.restore_id,
            snapshot: record.map(|record| record.snapshot),
            since: record.map(|record| record.since),
            reason: record.map(|record| record.reason.clone()),
            open: record.is_some_and(|record| record.is_open),
            volumes: set.dirs.iter().enumerate().map(volume).collect(),
            gone: set.gone.iter().map(|kept| volume((usize::MAX, kept))).collect(),
            hint: set.remedy(),
        }
    }
}

/// The document of `kept archive`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KeptArchivedView {
    /// What it was called by.
    pub id: String,
    /// The workload's name.
    pub workload: String,
    /// The workload.
    pub workload_id: WorkloadId,
    /// The restore that had kept it.
    pub restore_id: RestoreId,
    /// The snapshot that holds it now.
    pub safety_snapshot: Option<SnapshotId>,
    /// The volumes of that restore.
    pub volumes: Vec<ReportedVolumeView>,
    /// What needs a look.
    pub warnings: Vec<String>,
}

impl KeptArchivedView {
    /// The view of originals that were archived after all.
    #[must_use]
    pub fn of(set: &KeptSet, report: &Report) -> Self {
        KeptArchivedView {
            id: set.id.clone(),
            workload: set.workload.clone(),
            workload_id: set.workload_id,
            restore_id: set.restore_id,
            safety_snapshot: report.safety_snapshot,
            volumes: ReportedVolumeView::all(report),
            warnings: report.warnings.clone(),
        }
    }
}

/// The document of `kept discard`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KeptDiscardedView {
    /// What it was called by.
    pub id: String,
    /// The workload's name.
    pub workload: String,
    /// The workload.
    pub workload_id: WorkloadId,
    /// The restore that had kept it.
    pub restore_id: RestoreId,
    /// The directories that were deleted.
    pub discarded: Vec<String>,
    /// Those that were not there any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<String>,
}

impl KeptDiscardedView {
    /// The view of originals that were given up.
    #[must_use]
    pub fn of(set: &KeptSet) -> Self {
        KeptDiscardedView {
            id: set.id.clone(),
            workload: set.workload.clone(),
            workload_id: set.workload_id,
            restore_id: set.restore_id,
            discarded: set.dirs.iter().map(|dir| dir.path.display().to_string()).collect(),
            gone: set.gone.iter().map(|dir| dir.path.display().to_string()).collect(),
        }
    }
}
