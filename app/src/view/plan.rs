//! `plan`: what a restore would do.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use volsnap_core::{
    model::{HookEvent, ImageChoice, Losses, RestoreId, SnapshotId, VolumeDifference},
    restore::{Forecast, Plan, PlannedImage, plan::Method},
};

use super::HookView;
use crate::SavedPlan;

/// The document of `plan`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlanView {
    /// The workload's name.
    pub workload: String,
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// When the snapshot was taken.
    pub snapshot_created_at: Timestamp,
    /// How old it is.
    pub snapshot_age_seconds: i64,
    /// The volumes that are restored.
    pub volumes: Vec<PlannedVolumeView>,
    /// The space that is needed, filesystem by filesystem.
    pub filesystems: Vec<FilesystemView>,
    /// What happens to which container.
    pub containers: Vec<ContainerView>,
    /// The images of those that the snapshot knows.
    pub images: Vec<PlannedImageView>,
    /// With which of them the containers come back.
    pub image: ImageChoice,
    /// Whether what is replaced is kept as a snapshot.
    pub safety_snapshot: bool,
    /// Whether recovery goes on with it after a crash while it stages.
    pub resume: bool,
    /// The hooks that would run.
    pub hooks: Vec<HookView>,
    /// Why the restore would not begin; empty if it would.
    pub refusals: Vec<RefusalView>,
    /// What to know beforehand.
    pub warnings: Vec<String>,
    /// What is only worth knowing.
    pub notes: Vec<String>,
    /// What can be said about the downtime; `null` if the plan has refusals.
    pub downtime: Option<DowntimeView>,
    /// The restore whose kept originals would come back, if it is no snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_of: Option<RestoreId>,
    /// The plan itself, for `restore --plan`.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub saved: Option<SavedPlan>,
}

/// How long the app may be down. All that is measured is `null` where no restore like this one was measured yet.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DowntimeView {
    /// How many restores of the same volumes in the same way were measured; the newest five at the most.
    pub restores_measured: usize,
    /// The shortest downtime of these.
    pub least_ms: Option<u64>,
    /// The one in the middle.
    pub median_ms: Option<u64>,
    /// The longest.
    pub most_ms: Option<u64>,
    /// Of the middle one, the container engine's share: its stop and start.
    pub engine_ms: Option<u64>,
    /// How long the app may take to become healthy by its own checks, which is part of the downtime; `null` if that is not
    /// waited for.
    pub health_timeout_ms: Option<u64>,
}

/// What has changed in a volume since the snapshot, in entries and in bytes of files.
#[derive(Clone, Copy, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ChangesView {
    /// In the live volume and not in the snapshot: the restore takes them away.
    pub added: u64,
    /// In the snapshot and not in the live volume: the restore brings them back.
    pub removed: u64,
    /// In both, and not the same.
    pub changed: u64,
    /// Bytes of the files that were added.
    pub bytes_added: u64,
    /// Bytes of the files that were removed.
    pub bytes_removed: u64,
    /// Bytes, in the live volume, of the changed files whose contents are, by size or time, others.
    pub bytes_changed: u64,
}

impl ChangesView {
    /// The view of the numbers of a volume that was compared.
    #[must_use]
    pub fn of(volume: &VolumeDifference) -> Self {
        let VolumeDifference { target: _, added, removed, changed, bytes_added, bytes_removed, bytes_changed } =
            *volume;
        ChangesView { added, removed, changed, bytes_added, bytes_removed, bytes_changed }
    }
}

/// A volume of a plan.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlannedVolumeView {
    /// Its name within the workload.
    pub target: String,
    /// The live directory, links resolved.
    pub live: String,
    /// How it is switched.
    pub method: Method,
    /// Why so.
    pub reason: String,
    /// Bytes to restore.
    pub bytes: u64,
    /// Entries to restore.
    pub entries: u64,
    /// What has changed in it since the snapshot; `null` where it was not counted. Whoever compares the two fills it in.
    pub changes: Option<ChangesView>,
    /// Why that was not counted; `null` if it was, or if nobody tried, as for a plan with refusals.
    pub changes_problem: Option<String>,
}

/// A filesystem of a plan.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FilesystemView {
    /// Where it is mounted.
    pub mount: String,
    /// Its type and disk.
    pub kind: String,
    /// Bytes that the restore writes at the most.
    pub bytes_needed: u64,
    /// Bytes free.
    pub bytes_free: u64,
    /// Inodes that the restore makes at the most.
    pub inodes_needed: u64,
    /// Inodes free; `null` where there is no fixed number.
    pub inodes_free: Option<u64>,
}

/// A container of a plan.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ContainerView {
    /// Its name.
    pub name: String,
    /// Its image as asked for.
    pub image: String,
    /// What happens to it, in words.
    pub action: String,
    /// How long the engine waits for its end before it kills it; `null` if it is not stopped, or waited for without end.
    pub stop_timeout_ms: Option<u64>,
    /// What the one does not have that is made in its place; `null` if it stays.
    pub loses: Option<Losses>,
}

/// The images of a container.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlannedImageView {
    /// The container's name.
    pub container: String,
    /// The one that it has when the restore begins, by content.
    pub now: String,
    /// The name by which that was asked for.
    pub now_name: String,
    /// The one that it had when the snapshot was taken, by content.
    pub snapshot: String,
    /// The name by which that was asked for.
    pub snapshot_name: String,
    /// Whether the two are the same content.
    pub same: bool,
}

impl PlannedImageView {
    /// The views of the images of a plan or a report.
    #[must_use]
    pub fn all(images: &[PlannedImage]) -> Vec<Self> {
        let view = |image: &PlannedImage| PlannedImageView {
            container: image.container.clone(),
            now: image.now.clone(),
            now_name: image.now_name.clone(),
            snapshot: image.snapshot.clone(),
            snapshot_name: image.snapshot_name.clone(),
            same: image.is_same(),
        };
        images.iter().map(view).collect()
    }
}

/// A reason not to begin.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RefusalView {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl PlanView {
    /// The same view with what can be said about the downtime.
    #[must_use]
    pub fn with_forecast(mut self, plan: &Plan, forecast: &Forecast) -> Self {
        let measured = forecast.measured.as_ref();
        self.downtime = Some(DowntimeView {
            restores_measured: measured.map_or(0, |m| m.restores),
            least_ms: measured.map(|m| millis(m.least)),
            median_ms: measured.map(|m| millis(m.median)),
            most_ms: measured.map(|m| millis(m.most)),
            engine_ms: measured.map(|m| millis(m.engine)),
            health_timeout_ms: plan.options.health_timeout.map(millis),
        });
        for container in &mut self.containers {
            let stop = forecast.stops.iter().find(|(name, _)| *name == container.name);
            container.stop_timeout_ms = stop.and_then(|(_, timeout)| *timeout).map(millis);
        }
        self
    }

    /// The view of a plan.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        PlanView {
            workload: plan.workload.name.clone(),
            snapshot: plan.snapshot,
            snapshot_created_at: plan.snapshot_created_at,
            snapshot_age_seconds: plan.created_at.duration_since(plan.snapshot_created_at).as_secs(),
            volumes: plan
                .volumes
                .iter()
                .map(|v| PlannedVolumeView {
                    target: v.target.clone(),
                    live: v.live.display().to_string(),
                    method: v.method,
                    reason: v.reason.clone(),
                    bytes: v.bytes,
                    entries: v.entries,
                    changes: None,
                    changes_problem: None,
                })
                .collect(),
            filesystems: plan
                .filesystems
                .iter()
                .map(|f| FilesystemView {
                    mount: f.mount.display().to_string(),
                    kind: f.kind.clone(),
                    bytes_needed: f.bytes_needed,
                    bytes_free: f.bytes_free,
                    inodes_needed: f.inodes_needed,
                    inodes_free: f.inodes_free,
                })
                .collect(),
            containers: plan
                .containers
                .iter()
                .map(|c| ContainerView {
                    name: c.name.clone(),
                    image: c.image.clone(),
                    action: c.action.clone(),
                    stop_timeout_ms: None,
                    loses: c.loses.clone(),
                })
                .collect(),
            images: PlannedImageView::all(&plan.images),
            image: plan.options.image,
            safety_snapshot: plan.options.safety_snapshot,
            resume: plan.options.resume,
            hooks: HookView::some(&plan.workload, |hook| match hook.at {
                HookEvent::PreRestore | HookEvent::PostRestore => true,
                HookEvent::PreCreate | HookEvent::PostCreate => false,
            }),
            refusals: plan
                .refusals
                .iter()
                .map(|r| RefusalView { message: r.message.clone(), hint: r.hint.clone() })
                .collect(),
            warnings: plan.warnings.clone(),
            notes: plan.notes.clone(),
            downtime: None,
            kept_of: plan.kept,
            saved: None,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
