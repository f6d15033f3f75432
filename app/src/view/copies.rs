//! `extract` and `clone`, and what interrupted copies left.

use serde::Serialize;
use volsnap_core::{
    engine::{Copied, LeftCopy},
    model::{RestoreId, Snapshot, SnapshotId},
};

/// The document of `extract` and `clone`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CopyView {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// The workload's name when it was taken.
    pub workload: String,
    /// The volumes that were copied.
    pub volumes: Vec<CopiedVolumeView>,
    /// How long it took to extract and to make it durable.
    pub stage_ms: u64,
    /// What came out otherwise than it is in the snapshot.
    pub warnings: Vec<String>,
}

/// A volume that was copied.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CopiedVolumeView {
    /// Its name within the workload.
    pub target: String,
    /// Where its root is now.
    pub path: String,
    /// Bytes of contents that were written, holes included.
    pub bytes: u64,
    /// Entries that were made, the root included.
    pub entries: u64,
}

impl CopyView {
    /// The view of a copy of that snapshot.
    #[must_use]
    pub fn of(snapshot: &Snapshot, copied: &Copied) -> Self {
        let volume = |volume: &volsnap_core::engine::CopiedVolume| CopiedVolumeView {
            target: volume.target.clone(),
            path: volume.path.display().to_string(),
            bytes: volume.bytes,
            entries: volume.entries,
        };
        CopyView {
            snapshot: snapshot.id(),
            workload: snapshot.archive.manifest.workload_name.clone(),
            volumes: copied.volumes.iter().map(volume).collect(),
            stage_ms: copied.stage_ms,
            warnings: copied.warnings.clone(),
        }
    }
}

/// What a copy left that was interrupted, an item of `status` and `recover`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LeftCopyView {
    /// The id in the names of its private directories.
    pub id: RestoreId,
    /// What was being done: `extract`, `clone` or `drill`.
    pub what: String,
    /// The workload whose snapshot it was.
    pub workload: String,
    /// The private directories that it was to make.
    pub paths: Vec<String>,
    /// Whether it was to start containers on them, which `recover` removes, too.
    pub containers: bool,
    /// Why `recover` could not remove them; `null` if it did, and in `status`.
    pub problem: Option<String>,
}

impl LeftCopyView {
    /// The views of what copies left.
    #[must_use]
    pub fn all(left: &[LeftCopy]) -> Vec<Self> {
        let view = |left: &LeftCopy| LeftCopyView {
            id: left.id,
            what: left.what.clone(),
            workload: left.workload.clone(),
            paths: left.paths.iter().map(|path| path.display().to_string()).collect(),
            containers: left.containers,
            problem: left.problem.clone(),
        };
        left.iter().map(view).collect()
    }
}
