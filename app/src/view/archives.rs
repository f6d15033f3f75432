//! `export`, `import` and `rebuild`.

use std::path::Path;

use serde::Serialize;
use volsnap_core::{
    engine::{Damaged, Rebuilt},
    model::{Snapshot, SnapshotId, Workload, WorkloadId, member::escape},
};

use super::{ErrorView, SnapshotView};

/// The document of `export`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ExportView {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// The file, by its absolute path.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// BLAKE3 of its index.
    pub digest: String,
}

impl ExportView {
    /// The view of a snapshot that was copied to a file.
    #[must_use]
    pub fn of(snapshot: &Snapshot, file: &Path, bytes: u64) -> Self {
        let (snapshot, digest) = (snapshot.id(), snapshot.archive.digest.clone());
        ExportView { snapshot, file: file.display().to_string(), bytes, digest }
    }
}

/// The document of `import`: the snapshot as `show` has it, and whether it was here already.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ImportView {
    /// Whether nothing was done, because it was here already and is good.
    pub already: bool,
    /// Whether the archive that was here was damaged, and the file has taken its place.
    pub repaired: bool,
    /// The snapshot.
    #[serde(flatten)]
    pub snapshot: SnapshotView,
}

/// The document of `rebuild`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RebuiltView {
    /// Where the damaged catalog was moved to, if there was one.
    pub damaged_catalog: Option<String>,
    /// Workloads that were registered again.
    pub registered: Vec<RegisteredView>,
    /// Snapshots that were added.
    pub added: Vec<RebuiltSnapshotView>,
    /// How many were there.
    pub known: u64,
    /// Archives that were left alone.
    pub damaged: Vec<DamagedView>,
    /// Workloads that have snapshots and are not registered.
    pub unregistered: Vec<UnregisteredView>,
    /// Snapshots in the catalog that have no archive.
    pub missing: Vec<RebuiltSnapshotView>,
    /// Whether the latter were taken out of the catalog.
    pub pruned: bool,
    /// All of what needs a look, in words.
    pub warnings: Vec<String>,
}

/// A workload that was registered again.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RegisteredView {
    /// Its id.
    pub id: WorkloadId,
    /// Its name.
    pub name: String,
    /// Its plain directories.
    pub volumes: Vec<RegisteredVolumeView>,
}

/// A plain directory of such a workload.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RegisteredVolumeView {
    /// Its name within the workload.
    pub target: String,
    /// The directory; `%` and bytes that are not part of UTF-8 are written as `%XX`.
    pub path: String,
}

/// A snapshot that was added, or has no archive.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RebuiltSnapshotView {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Its workload's name when it was taken.
    pub workload: String,
    /// Its workload.
    pub workload_id: WorkloadId,
}

/// An archive that was left alone.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DamagedView {
    /// The file.
    pub archive: String,
    /// What is wrong with it.
    pub error: ErrorView,
}

/// A workload that has snapshots and is not registered.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UnregisteredView {
    /// Its id.
    pub id: WorkloadId,
    /// Its name by its newest archive.
    pub name: String,
    /// Why it was not registered.
    pub reason: String,
}

impl RebuiltView {
    /// The view of a rebuild, and of where a damaged catalog was moved to before it.
    #[must_use]
    pub fn of(rebuilt: &Rebuilt, damaged_catalog: Option<&Path>) -> Self {
        let unregistered = rebuilt.unregistered.iter().map(|workload| UnregisteredView {
            id: workload.id,
            name: workload.name.clone(),
            reason: workload.reason.clone(),
        });
        let damaged = |damaged: &Damaged| DamagedView {
            archive: damaged.path.display().to_string(),
            error: ErrorView::of(&damaged.error),
        };
        RebuiltView {
            damaged_catalog: damaged_catalog.map(|path| path.display().to_string()),
            registered: rebuilt.registered.iter().map(registered).collect(),
            added: rebuilt.added.iter().map(snapshot).collect(),
            known: rebuilt.known as u64,
            damaged: rebuilt.damaged.iter().map(damaged).collect(),
            unregistered: unregistered.collect(),
            missing: rebuilt.missing.iter().map(snapshot).collect(),
            pruned: rebuilt.pruned,
            warnings: rebuilt.warnings(),
        }
    }
}

fn registered(workload: &Workload) -> RegisteredView {
    let volume = |volume: &volsnap_core::model::DeclaredVolume| RegisteredVolumeView {
        target: volume.target.clone(),
        path: escape(volume.path.as_os_str().as_encoded_bytes()),
    };
    RegisteredView {
        id: workload.id,
        name: workload.name.clone(),
        volumes: workload.volumes.iter().map(volume).collect(),
    }
}

fn snapshot(snapshot: &Snapshot) -> RebuiltSnapshotView {
    RebuiltSnapshotView {
        snapshot: snapshot.id(),
        workload: snapshot.archive.manifest.workload_name.clone(),
        workload_id: snapshot.workload(),
    }
}
