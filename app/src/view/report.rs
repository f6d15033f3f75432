//! `restore` and `undo`: how a restore ended.

use serde::Serialize;
use volsnap_core::{
    Code,
    model::{ImageChoice, Losses, RestoreId, SnapshotId, WorkloadId},
    restore::{Outcome, Report, journal::Reopening, plan::Method, report::ReportedVolume},
};

use super::PlannedImageView;

/// The document of `restore`, `undo` and `kept restore`, and an item of `recover`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReportView {
    /// The restore.
    pub restore_id: RestoreId,
    /// The workload's name.
    pub workload: String,
    /// The workload.
    pub workload_id: WorkloadId,
    /// What was restored.
    pub snapshot: SnapshotId,
    /// `restored`, `reverted`, `aborted` or `needs-attention`.
    pub outcome: Outcome,
    /// Why, unless it ended in the restored data.
    pub cause: Option<CauseView>,
    /// The volumes.
    pub volumes: Vec<ReportedVolumeView>,
    /// The snapshot that brings the replaced data back.
    pub safety_snapshot: Option<SnapshotId>,
    /// How long the app was down; for plain directories, from the decision to the last rename.
    pub downtime_ms: u64,
    /// The same in microseconds.
    pub downtime_us: u64,
    /// The container engine's share of the downtime.
    pub engine_ms: u64,
    /// The same in microseconds.
    pub engine_us: u64,
    /// How long the data were extracted, with the app running.
    pub stage_ms: u64,
    /// From the first entry of the journal to the last.
    pub total_ms: u64,
    /// Members that did not run when the restore began: they were left so.
    pub left_stopped: Vec<String>,
    /// Containers in whose place others were made, with what these do not have.
    pub made_anew: Vec<MadeAnewView>,
    /// The images of the containers that the snapshot knows, as they were when the restore began.
    pub images: Vec<PlannedImageView>,
    /// With which of them the containers came back.
    pub image: ImageChoice,
    /// Why the app is not back as it was; `status` names it as long as its containers are down. Not
    /// there if it is back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_problem: Option<String>,
    /// What needs a look.
    pub warnings: Vec<String>,
    /// Whether a later process than the one that began it brought it to its end.
    pub finished_by_recovery: bool,
    /// The directories in which originals are kept that were not archived.
    pub kept: Vec<String>,
    /// The restore whose kept originals came back, if it was not a snapshot that was restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_of: Option<RestoreId>,
    /// What was done about originals that the restore had kept, long after it had ended: `archived`, `discarded`, or `kept`
    /// if they could not be archived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reopened: Option<&'static str>,
}

/// Why a restore did not end in the restored data.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CauseView {
    /// The word of the contract.
    pub code: Code,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A volume of a report.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReportedVolumeView {
    /// Its name within the workload.
    pub target: String,
    /// How it was switched.
    pub method: Method,
    /// Bytes in the snapshot.
    pub bytes: u64,
    /// Entries in the snapshot.
    pub entries: u64,
}

/// A container in whose place another one was made.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MadeAnewView {
    /// Its name.
    pub name: String,
    /// What the new one does not have.
    pub loses: Losses,
}

impl ReportedVolumeView {
    /// The views of a report's volumes.
    pub(super) fn all(report: &Report) -> Vec<Self> {
        let one = |v: &ReportedVolume| ReportedVolumeView {
            target: v.target.clone(),
            method: v.method,
            bytes: v.bytes,
            entries: v.entries,
        };
        report.volumes.iter().map(one).collect()
    }
}

impl ReportView {
    /// The view of a report.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        ReportView {
            restore_id: report.restore_id,
            workload: report.workload.clone(),
            workload_id: report.workload_id,
            snapshot: report.snapshot,
            outcome: report.outcome,
            cause: report.cause.as_ref().map(|c| CauseView {
                code: c.code,
                message: c.message.clone(),
                hint: c.hint.clone().or_else(|| Some(usual_hint(report.outcome, c.code).into())),
            }),
            volumes: ReportedVolumeView::all(report),
            safety_snapshot: report.safety_snapshot,
            downtime_ms: report.downtime_ms,
            downtime_us: report.downtime_us,
            engine_ms: report.engine_ms,
            engine_us: report.engine_us,
            stage_ms: report.stage_ms,
            total_ms: report.total_ms,
            left_stopped: report.left_stopped.clone(),
            made_anew: report
                .made_anew
                .iter()
                .map(|made| MadeAnewView { name: made.name.clone(), loses: made.loses.clone() })
                .collect(),
            images: PlannedImageView::all(&report.images),
            image: report.image,
            app_problem: report.app_problem.clone(),
            warnings: report.warnings.clone(),
            finished_by_recovery: report.recovered,
            kept: report.kept.iter().map(|path| path.display().to_string()).collect(),
            kept_of: report.kept_of,
            reopened: report.reopened.as_ref().map(|to| match to {
                Reopening::Discard { .. } => "discarded",
                Reopening::Archive { .. } if report.safety_snapshot.is_some() => "archived",
                Reopening::Archive { .. } => "kept",
            }),
        }
    }
}

/// The journal keeps a cause without its hint.
fn usual_hint(outcome: Outcome, code: Code) -> &'static str {
    match (code, outcome) {
        (Code::Corrupt, _) => "choose another snapshot; `volsnap verify --all` shows which are good",
        (Code::Hostile, _) => "do not trust this archive; find out where it came from",
        (Code::Refused, _) => {
            "mend what the message names; `volsnap plan WORKLOAD SNAPSHOT` shows what else stands in the way"
        }
        (Code::Io, _) => {
            "free some space or mend what the message names (the kernel's log may say more), then restore again"
        }
        (Code::Engine, _) => "look at the container engine's log, then restore again",
        (_, Outcome::Reverted) => {
            "mend what the message names or choose another snapshot; to look at an app that does not get well on the restored data, restore with `--on-unhealthy keep`"
        }
        (_, Outcome::Aborted) => "nothing has to be put right; restore again when you are ready",
        (_, Outcome::Restored | Outcome::NeedsAttention) => {
            "`volsnap status` says what is open and what recovery would do"
        }
    }
}
