//! `drill`: whether a snapshot came back from the disk as it is in the archive, and the app came up on it.

use serde::Serialize;
use volsnap_core::{
    engine::Drilled,
    model::{Snapshot, SnapshotId},
};

use super::ErrorView;

/// The document of `drill`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DrillView {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// The workload's name when it was taken.
    pub workload: String,
    /// Its volumes, but for those that did not exist.
    pub volumes: Vec<DrilledVolumeView>,
    /// Whether the app came up on the copy; `null` if that is not known, because it was not asked for, a volume differs or
    /// the engine failed.
    pub booted: Option<bool>,
    /// How long that took, or how long it was waited for; `null` if the app was not started.
    pub boot_ms: Option<u64>,
    /// The containers of which copies were to be started, in that order.
    pub containers: Vec<String>,
    /// What the copies went without.
    pub warnings: Vec<String>,
    /// How long extracting took, until all was durable.
    pub stage_ms: u64,
    /// How long reading back took.
    pub read_ms: u64,
    /// What is wrong, where every other command has its error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorView>,
}

/// A volume that was extracted and read back.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DrilledVolumeView {
    /// Its name within the workload.
    pub target: String,
    /// Bytes of contents that were read back, holes included.
    pub bytes: u64,
    /// Entries that were read back, the root included.
    pub entries: u64,
    /// The digest of what was read back.
    pub digest: String,
    /// Whether that is the snapshot's.
    pub same: bool,
    /// The first member that differs, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<String>,
}

impl DrillView {
    /// The view of a drill of that snapshot.
    #[must_use]
    pub fn of(snapshot: &Snapshot, drilled: &Drilled) -> Self {
        let volume = |volume: &volsnap_core::engine::DrilledVolume| DrilledVolumeView {
            target: volume.target.clone(),
            bytes: volume.bytes,
            entries: volume.entries,
            digest: volume.digest.clone(),
            same: volume.difference.is_none(),
            difference: volume.difference.clone(),
        };
        let booted = drilled.booted.as_ref();
        DrillView {
            snapshot: drilled.snapshot,
            workload: snapshot.archive.manifest.workload_name.clone(),
            volumes: drilled.volumes.iter().map(volume).collect(),
            booted: drilled.came_up(),
            boot_ms: booted.map(|booted| booted.boot_ms),
            containers: booted.map(|booted| booted.containers.clone()).unwrap_or_default(),
            warnings: booted.map(|booted| booted.warnings.clone()).unwrap_or_default(),
            stage_ms: drilled.stage_ms,
            read_ms: drilled.read_ms,
            error: drilled.error().as_ref().map(ErrorView::of),
        }
    }
}
