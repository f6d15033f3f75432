//! `recover` and `status`: what crashes left, and what became of it.

use std::collections::BTreeMap;

use serde::Serialize;
use volsnap_core::{
    Code, Error,
    engine::{Kept, Outlook, Recovered, RecoveredItem, kept_id},
    model::{Flaw, RestoreId, Snapshot, SnapshotId, WorkloadId},
    restore::Outcome,
    restore::Report,
};

use super::{ErrorView, LeftCopyView, LeftDraftView, ReportView, ReportedVolumeView};

/// The document of `recover`.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RecoveryView {
    /// What was brought to its end.
    pub recovered: Vec<RecoveredView>,
    /// What was not: the journal is kept and its workload stays blocked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FailureView>,
    /// The worst of the errors, where every other command has its error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorView>,
    /// What copies left that were interrupted (`extract`, `clone`, `drill`), and what became of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<LeftCopyView>,
    /// Archives that were never finished, and what became of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drafts: Vec<LeftDraftView>,
    /// What else needs a look.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Something that was recovered: a restore, or a snapshot in the same shape.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "there is one for each workload that was interrupted")]
pub enum RecoveredView {
    /// A restore.
    Restore(Box<ReportView>),
    /// A snapshot that was interrupted. The fields of a restore that it has not are `null`, 0 or empty.
    Snapshot {
        /// There is none.
        #[cfg_attr(test, schemars(with = "()"))]
        restore_id: Option<RestoreId>,
        /// The workload's name.
        workload: String,
        /// The snapshot.
        snapshot: SnapshotId,
        /// `snapshot-interrupted`.
        #[cfg_attr(test, schemars(extend("const" = "snapshot-interrupted")))]
        outcome: &'static str,
        /// Whether its archive was complete, so that it is listed now.
        complete: bool,
        /// None.
        volumes: Vec<ReportedVolumeView>,
        /// None.
        #[cfg_attr(test, schemars(with = "()"))]
        safety_snapshot: Option<SnapshotId>,
        /// Not known: from the freeze to this recovery.
        downtime_ms: u64,
        /// None.
        stage_ms: u64,
        /// Not known.
        total_ms: u64,
        /// Why the app is not back: the journal stays. Not there if it is back.
        #[serde(skip_serializing_if = "Option::is_none")]
        app_problem: Option<String>,
        /// The containers of it that are not there any more, and so do not run again. Not there if there are none.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        gone: Vec<String>,
        /// What its hooks complained of.
        warnings: Vec<String>,
    },
}

impl RecoveredView {
    /// The view of a restore that was recovered.
    #[must_use]
    pub fn restore(report: &Report) -> Self {
        RecoveredView::Restore(Box::new(ReportView::of(report)))
    }

    /// The view of a snapshot that was interrupted.
    #[must_use]
    pub fn snapshot(workload: &str, snapshot: SnapshotId, complete: bool) -> Self {
        RecoveredView::Snapshot {
            restore_id: None,
            workload: workload.into(),
            snapshot,
            outcome: "snapshot-interrupted",
            complete,
            volumes: Vec::new(),
            safety_snapshot: None,
            downtime_ms: 0,
            stage_ms: 0,
            total_ms: 0,
            app_problem: None,
            gone: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The view of what a recovery did.
    #[must_use]
    pub fn of(item: &RecoveredItem) -> Self {
        match item {
            RecoveredItem::Restore(report) => RecoveredView::restore(report),
            RecoveredItem::Snapshot {
                workload,
                snapshot,
                complete,
                app_problem: problem,
                gone: missing,
                warnings: told,
            } => {
                let mut view = RecoveredView::snapshot(workload, *snapshot, *complete);
                if let RecoveredView::Snapshot { app_problem, gone, warnings, .. } = &mut view {
                    gone.clone_from(missing);
                    app_problem.clone_from(problem);
                    warnings.clone_from(told);
                }
                view
            }
        }
    }
}

/// A workload that could not be recovered.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FailureView {
    /// The workload.
    pub workload_id: WorkloadId,
    /// Why.
    pub error: ErrorView,
}

impl RecoveryView {
    /// The view of a recovery. A catalog that cannot be used is a warning: the recovery did without.
    #[must_use]
    pub fn of(recovered: &[Recovered], catalog_problem: Option<&Error>) -> Self {
        let mut view = RecoveryView::default();
        for one in recovered {
            match &one.result {
                Ok(item) => view.recovered.push(RecoveredView::of(item)),
                Err(error) => {
                    view.errors.push(FailureView { workload_id: one.workload, error: ErrorView::of(error) });
                }
            }
        }
        view.error = view.errors.iter().map(|f| &f.error).max_by_key(|e| severity(e.code)).cloned();
        view.warnings.extend(catalog_problem.map(ToString::to_string));
        view
    }
}

/// The code that a recovery as a whole ends with: the worst of its workloads'. It has done its work when every workload
/// is wholly one or the other, so a restore that was rolled back is no failure of it.
#[must_use]
pub fn worst(recovered: &[Recovered]) -> Option<Code> {
    let code = |one: &Recovered| match &one.result {
        Ok(RecoveredItem::Restore(report)) => match report.outcome {
            Outcome::NeedsAttention => Some(Code::NeedsAttention),
            Outcome::Reverted | Outcome::Aborted if report.app_problem.is_some() => Some(Code::NeedsAttention),
            Outcome::Restored | Outcome::Reverted | Outcome::Aborted => {
                (!report.warnings.is_empty()).then_some(Code::Warnings)
            }
        },
        Ok(RecoveredItem::Snapshot { app_problem: Some(_), .. }) => Some(Code::NeedsAttention),
        Ok(RecoveredItem::Snapshot { warnings, app_problem: None, .. }) => {
            (!warnings.is_empty()).then_some(Code::Warnings)
        }
        Err(error) => Some(error.code),
    };
    recovered.iter().filter_map(code).max_by_key(|code| severity(*code))
}

/// Orders codes by how urgently somebody has to look.
#[must_use]
pub fn severity(code: Code) -> u8 {
    match code {
        Code::NeedsAttention => 11,
        Code::Internal => 10,
        Code::Hostile => 9,
        Code::Corrupt => 8,
        Code::Io => 7,
        Code::Engine => 6,
        Code::Busy => 5,
        Code::Aborted => 4,
        Code::Warnings => 3,
        Code::Refused => 2,
        Code::NotFound => 1,
        Code::Usage => 0,
    }
}

/// The document of `status` and of `recover --dry-run`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StatusView {
    /// The open journals.
    pub open: Vec<OpenView>,
    /// Directories that restores left beside the volumes and that no journal speaks of any more.
    pub kept: Vec<KeptView>,
    /// What copies left that were interrupted (`extract`, `clone`, `drill`).
    pub copies: Vec<LeftCopyView>,
    /// Archives that were never finished.
    pub drafts: Vec<LeftDraftView>,
    /// Snapshots that cannot be restored, since something is wrong with their archives.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<FlawedView>,
    /// Why the catalog cannot be used; `null` if it can.
    pub catalog: Option<ErrorView>,
}

/// A snapshot that cannot be restored.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FlawedView {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// The workload's name when it was taken.
    pub workload: String,
    /// What is wrong with its archive, as far as that is seen without reading it.
    pub problem: String,
}

impl FlawedView {
    /// The views of those among snapshots whose archives are not as they should be.
    #[must_use]
    pub fn all(snapshots: &[Snapshot], flaws: &BTreeMap<SnapshotId, Flaw>) -> Vec<FlawedView> {
        let flawed = snapshots.iter().filter_map(|s| flaws.get(&s.id()).map(|flaw| (s, flaw)));
        let view = |(s, flaw): (&Snapshot, &Flaw)| FlawedView {
            snapshot: s.id(),
            workload: s.archive.manifest.workload_name.clone(),
            problem: flaw.to_string(),
        };
        flawed.map(view).collect()
    }
}

/// An open journal.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OpenView {
    /// The workload's name; `null` if the journal cannot be read.
    pub workload: Option<String>,
    /// The workload.
    pub workload_id: WorkloadId,
    /// The restore; `null` for a snapshot.
    pub restore_id: Option<RestoreId>,
    /// The snapshot that is restored or taken.
    pub snapshot: Option<SnapshotId>,
    /// The journal's last entry.
    pub phase: String,
    /// What recovery would do.
    pub would: String,
    /// Directories that stand beside the live ones because of it.
    pub leftovers: Vec<String>,
    /// Whether another process is at it right now.
    pub in_progress: bool,
    /// Why the journal cannot be followed.
    pub problem: Option<ErrorView>,
}

/// A directory that a restore left, and that nothing removes by itself.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KeptView {
    /// The workload beside whose volumes it was found.
    pub workload: String,
    /// The same.
    pub workload_id: WorkloadId,
    /// The restore that made it.
    pub restore_id: RestoreId,
    /// Where it is.
    pub path: String,
    /// What it is, in words.
    pub what: &'static str,
    /// What to do about it.
    pub hint: String,
    /// What the `kept` commands call it by.
    pub id: String,
}

impl StatusView {
    /// The view of what is open and of what is kept.
    #[must_use]
    pub fn of(open: &[Outlook], kept: &[Kept], catalog_problem: Option<&Error>) -> Self {
        let open = open
            .iter()
            .map(|o| OpenView {
                workload: o.workload.clone(),
                workload_id: o.workload_id,
                restore_id: o.restore_id,
                snapshot: o.snapshot,
                phase: o.phase.clone(),
                would: o.would.clone(),
                leftovers: o.leftovers.clone(),
                in_progress: o.in_progress,
                problem: o.problem.as_ref().map(ErrorView::of),
            })
            .collect();
        let kept = kept
            .iter()
            .map(|k| KeptView {
                workload: k.workload.clone(),
                workload_id: k.workload_id,
                restore_id: k.restore_id,
                path: k.path.display().to_string(),
                what: k.what(),
                hint: k.remedy(),
                id: kept_id(k.restore_id),
            })
            .collect();
        let catalog = catalog_problem.map(ErrorView::of);
        StatusView { open, kept, copies: Vec::new(), drafts: Vec::new(), damaged: Vec::new(), catalog }
    }
}
