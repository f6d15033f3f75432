//! `create`, `show`, `list` and `verify`: snapshots.

use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;
use volsnap_core::{
    Error,
    model::{Flaw, Mode, Origin, RestoreId, Snapshot, SnapshotId, WorkloadId},
    ports::Verified,
};

use super::ErrorView;

/// The document of `create` and `show`, and an item of `list`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SnapshotView {
    /// The snapshot.
    pub id: SnapshotId,
    /// The workload's name when it was taken.
    pub workload: String,
    /// The workload.
    pub workload_id: WorkloadId,
    /// When it was begun.
    pub created_at: Timestamp,
    /// What the app did meanwhile.
    pub mode: Mode,
    /// `manual`, or `pre-restore` if a restore took it of what it replaced.
    #[cfg_attr(test, schemars(extend("enum" = ["manual", "pre-restore"])))]
    pub origin: &'static str,
    /// That restore.
    pub restore_id: Option<RestoreId>,
    /// What was said about it.
    pub note: Option<String>,
    /// The first container's image as it was asked for; `null` for plain directories.
    pub image: Option<String>,
    /// All containers' images.
    pub images: Vec<ImageView>,
    /// The volumes.
    pub volumes: Vec<SnapshotVolumeView>,
    /// The archive.
    pub archive: String,
    /// Whether it was not there when somebody looked.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub archive_missing: bool,
    /// What is seen to be wrong with it without reading it: it is missing, has another size than it was written with, or
    /// an earlier check found damage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive_problem: Option<String>,
    /// The size with which it was written.
    pub archive_bytes: u64,
    /// BLAKE3 of its index.
    pub digest: String,
    /// How long the app was frozen or stopped for it.
    pub quiesced_ms: u64,
    /// When every byte was last read and found good.
    pub verified_at: Option<Timestamp>,
    /// When it was last extracted, read back from the disk and found to be the same (`drill`).
    pub proved_at: Option<Timestamp>,
    /// When the app was last started on what came back, and became healthy (`drill --boot`).
    pub booted_at: Option<Timestamp>,
    /// Whether somebody pinned it: no prune takes it away.
    pub pinned: bool,
    /// Since when.
    pub pinned_at: Option<Timestamp>,
    /// What for.
    pub pin_note: Option<String>,
    /// What it was before an import made it this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imported: Option<ImportedView>,
    /// What was noticed when it was taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Where an imported snapshot came from.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ImportedView {
    /// The workload that it was taken of, by its name at the time.
    pub workload: String,
    /// That workload.
    pub workload_id: WorkloadId,
    /// The snapshot that it was.
    pub snapshot: SnapshotId,
    /// `manual`, or `pre-restore` if a restore took it of what it replaced: `latest` does not mean such a one.
    #[cfg_attr(test, schemars(extend("enum" = ["manual", "pre-restore"])))]
    pub origin: &'static str,
}

/// An image of a snapshot.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ImageView {
    /// The container.
    pub container: String,
    /// The image as asked for.
    pub image: String,
    /// The image by content.
    pub image_id: String,
}

/// A volume of a snapshot.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SnapshotVolumeView {
    /// Its name within the workload.
    pub target: String,
    /// Bytes of contents, holes included.
    pub bytes: u64,
    /// Entries, the root included.
    pub entries: u64,
    /// BLAKE3 over its frames.
    pub digest: String,
    /// Whether the directory did not exist.
    pub absent: bool,
    /// Sockets, which are left out.
    pub sockets_skipped: u64,
    /// What could not be taken as it is, each as `name: reason`: it changed while it was read, vanished, is another
    /// filesystem or of no known kind.
    pub unsteady: Vec<String>,
    /// How many entries are immutable or append-only, which a restore does not give back.
    pub immutable: u64,
    /// The first hundred of them.
    pub immutable_names: Vec<String>,
}

/// The document of `list`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SnapshotsView {
    /// The snapshots, newest first.
    pub snapshots: Vec<SnapshotView>,
}

impl SnapshotView {
    /// The same, which says what was seen to be wrong with its archive.
    #[must_use]
    pub fn with_flaw(self, flaw: Option<Flaw>) -> Self {
        let archive_missing = flaw == Some(Flaw::Missing);
        SnapshotView { archive_missing, archive_problem: flaw.map(|flaw| flaw.to_string()), ..self }
    }

    /// The view of a snapshot whose archive lies at `archive`.
    #[must_use]
    pub fn of(snapshot: &Snapshot, archive: &Path) -> Self {
        let manifest = &snapshot.archive.manifest;
        let (origin, restore_id) = origin_of(manifest.origin);
        let images: Vec<ImageView> = manifest
            .images
            .iter()
            .map(|i| ImageView { container: i.container.clone(), image: i.image.clone(), image_id: i.image_id.clone() })
            .collect();
        SnapshotView {
            id: manifest.snapshot,
            workload: manifest.workload_name.clone(),
            workload_id: manifest.workload,
            created_at: manifest.created_at,
            mode: manifest.mode,
            origin,
            restore_id,
            note: manifest.note.clone(),
            image: images.first().map(|i| i.image.clone()),
            images,
            volumes: snapshot
                .volumes()
                .map(|(_, volume, totals)| SnapshotVolumeView {
                    target: volume.target.clone(),
                    bytes: totals.bytes,
                    entries: totals.entries,
                    digest: totals.digest.clone(),
                    absent: volume.absent,
                    sockets_skipped: totals.sockets_skipped,
                    unsteady: totals.unsteady.clone(),
                    immutable: totals.immutable,
                    immutable_names: totals.immutable_names.clone(),
                })
                .collect(),
            archive: archive.display().to_string(),
            archive_missing: false,
            archive_problem: Flaw::found_in(snapshot).map(|flaw| flaw.to_string()),
            archive_bytes: snapshot.archive.archive_bytes,
            digest: snapshot.archive.digest.clone(),
            quiesced_ms: snapshot.archive.quiesced_ms,
            verified_at: snapshot.verified_at,
            proved_at: snapshot.proved_at,
            booted_at: snapshot.booted_at,
            pinned: snapshot.pin.is_some(),
            pinned_at: snapshot.pin.as_ref().map(|pin| pin.at),
            pin_note: snapshot.pin.as_ref().and_then(|pin| pin.note.clone()),
            imported: manifest.imported.as_ref().map(|imported| ImportedView {
                workload: imported.workload_name.clone(),
                workload_id: imported.workload,
                snapshot: imported.snapshot,
                origin: origin_of(imported.origin).0,
            }),
            warnings: Vec::new(),
        }
    }
}

fn origin_of(origin: Origin) -> (&'static str, Option<RestoreId>) {
    match origin {
        Origin::Manual => ("manual", None),
        Origin::PreRestore(restore) => ("pre-restore", Some(restore)),
    }
}

/// The document of `verify`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct VerificationView {
    /// The snapshots, in the order in which they were read.
    pub verified: Vec<VerifiedView>,
}

/// A snapshot that was read and checked.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct VerifiedView {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// The workload's name when it was taken.
    pub workload: String,
    /// Whether every byte is good.
    pub ok: bool,
    /// Bytes of archive that were read; 0 if it is not good.
    pub bytes_read: u64,
    /// What is wrong with it.
    pub error: Option<ErrorView>,
}

impl VerifiedView {
    /// The view of a snapshot and what reading it showed.
    #[must_use]
    pub fn of(snapshot: &Snapshot, result: &Result<Verified, Error>) -> Self {
        VerifiedView {
            snapshot: snapshot.id(),
            workload: snapshot.archive.manifest.workload_name.clone(),
            ok: result.is_ok(),
            bytes_read: result.as_ref().map_or(0, |v| v.bytes_read),
            error: result.as_ref().err().map(ErrorView::of),
        }
    }
}
