//! `plan`: what a restore would do.

use jiff::Timestamp;
use serde::Serialize;
use volsnap_core::{
    model::{HookEvent, SnapshotId},
    restore::{Plan, plan::Method},
};

use super::HookView;

/// The document of `plan`.
#[derive(Clone, Debug, Serialize)]
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
}

/// A volume of a plan.
#[derive(Clone, Debug, Serialize)]
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
}

/// A filesystem of a plan.
#[derive(Clone, Debug, Serialize)]
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
pub struct ContainerView {
    /// Its name.
    pub name: String,
    /// Its image as asked for.
    pub image: String,
    /// What happens to it, in words.
    pub action: String,
}

/// A reason not to begin.
#[derive(Clone, Debug, Serialize)]
pub struct RefusalView {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl PlanView {
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
                .map(|c| ContainerView { name: c.name.clone(), image: c.image.clone(), action: c.action.clone() })
                .collect(),
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
        }
    }
}
