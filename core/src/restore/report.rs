//! How a restore ended, for scripts and for people.

use std::{path::PathBuf, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    anomaly::Anomaly,
    journal::{Entry, Reopening, Safety, between},
    plan::{Method, PlannedContainer, PlannedImage},
    state::{Direction, State},
};
use crate::{
    error::Code,
    model::{ImageChoice, Losses, Pinned, RestoreId, SnapshotId, WorkloadId},
};

/// How a restore ended, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// All volumes are restored.
    Restored,
    /// All volumes were restored and then put back.
    Reverted,
    /// No volume was touched.
    Aborted,
    /// A person has to look.
    NeedsAttention,
}

/// A volume in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedVolume {
    /// Its name within the workload.
    pub target: String,
    /// How it was switched.
    pub method: Method,
    /// Bytes of contents in the snapshot.
    pub bytes: u64,
    /// Entries in the snapshot.
    pub entries: u64,
}

/// Why a restore did not end in the restored data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The error's code.
    pub code: Code,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// What the process that ends a restore noticed, besides what the journal holds.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// When the first container was stopped or the first name changed; `None` if an earlier process did that.
    pub down_since: Option<Timestamp>,
    /// Time inside engine calls since then, until the app was back.
    pub engine: Duration,
    /// How long the app had been up already when it was found to be back: containers without a health check are believed
    /// only after a while.
    pub watched: Duration,
    /// Whether the app had not been stopped when it was to be brought back, in a restore that was given up early; `None`
    /// until it is known.
    pub up_all_along: Option<bool>,
    /// Whether this process has seen the end of what an earlier one may have begun to stop.
    pub stops_ended: bool,
    /// What the report should mention.
    pub warnings: Vec<String>,
    /// Whether another process began the restore.
    pub recovered: bool,
}

/// A container in whose place another one was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeAnew {
    /// Its name.
    pub name: String,
    /// What the new one does not have.
    pub loses: Losses,
}

/// The report of a restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The restore.
    pub restore_id: RestoreId,
    /// The workload's name.
    pub workload: String,
    /// The workload's id.
    pub workload_id: WorkloadId,
    /// What was restored.
    pub snapshot: SnapshotId,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, unless it ended in the restored data.
    pub cause: Option<Cause>,
    /// The volumes.
    pub volumes: Vec<ReportedVolume>,
    /// The snapshot that brings the replaced data back.
    pub safety_snapshot: Option<SnapshotId>,
    /// From the first stop of a container until the app was back, in milliseconds; for plain directories, from the
    /// first rename until all of them were durable. A recovery counts from the journal's entries. Back is healthy where
    /// that is waited for and there is a health check; that a container without one had to stay up does not count.
    pub downtime_ms: u64,
    /// The same in microseconds.
    pub downtime_us: u64,
    /// How much of the downtime the container engine took, in milliseconds, as far as this process saw it.
    pub engine_ms: u64,
    /// The same in microseconds.
    pub engine_us: u64,
    /// How long staging took, the app running meanwhile.
    pub stage_ms: u64,
    /// From the first entry of the journal to the last.
    pub total_ms: u64,
    /// The private directories in which originals stay that could not be archived.
    #[serde(default)]
    pub kept: Vec<PathBuf>,
    /// Members that did not run when the restore began: they were left so.
    #[serde(default)]
    pub left_stopped: Vec<String>,
    /// Members in whose place others were made, with what these do not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made_anew: Vec<MadeAnew>,
    /// With which image containers came back.
    #[serde(default, skip_serializing_if = "ImageChoice::is_current")]
    pub image: ImageChoice,
    /// The images of the members that the snapshot knows, as they were when the restore began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<PlannedImage>,
    /// Why the app is not back as it was: what of it could not be started, or is not healthy. `None` if it is back.
    #[serde(default)]
    pub app_problem: Option<String>,
    /// What needs a look.
    pub warnings: Vec<String>,
    /// Whether a later process than the one that began the restore ended it.
    pub recovered: bool,
    /// The restore whose kept originals came back, where the data are not a snapshot's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_of: Option<RestoreId>,
    /// What was done later about originals that it had kept; all else is as it was reported then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reopened: Option<Reopening>,
}

impl Report {
    /// The report of a state. `anomaly` says why a restore stopped short.
    #[must_use]
    pub fn of(state: &State, anomaly: Option<&Anomaly>, notes: &Notes) -> Self {
        let plan = &state.plan;
        let outcome = match (anomaly, state.direction(), &state.committed) {
            (Some(_), _, _) => Outcome::NeedsAttention,
            (None, Direction::Forward, _) => Outcome::Restored,
            (None, Direction::Back, Some(_)) => Outcome::Reverted,
            (None, Direction::Back | Direction::Undecided, _) => Outcome::Aborted,
        };
        // What was to be said of the restore itself was said when it ended.
        let problem = state.problem().filter(|_| state.reopened.is_none());
        let mut warnings = match &state.reopened {
            None => plan.warnings.clone(),
            Some(_) => Vec::new(),
        };
        warnings.extend(notes.warnings.iter().cloned());
        if let Some(problem) = problem {
            warnings.push(format!("the app did not come back: {problem}"));
        }
        let mut kept = Vec::new();
        if let Some(Safety::Kept { reason }) = &state.captured {
            let with_original = (0..plan.volumes.len()).filter(|v| plan.volumes[*v].original.is_some());
            kept.extend(with_original.map(|v| plan.private(v)));
            let places: Vec<String> = kept.iter().map(|private| private.display().to_string()).collect();
            // That they stay was asked for where what comes back was in no snapshot.
            if plan.kept.is_none() || plan.options.safety_snapshot {
                warnings.push(format!(
                    "no safety snapshot was taken ({reason}); the originals are kept in {}: `volsnap kept list` says what can be done about them",
                    places.join(", ")
                ));
            }
        }
        let asleep = state
            .pinned
            .iter()
            .flatten()
            .filter(|p| p.member && !p.was_active() && !p.container.particulars.is_one_off);
        let left_stopped = asleep.map(|p| p.container.name.clone()).collect();
        let (downtime, stage, total) = times(state, notes);
        // It is also asked while an app that did not run is held stopped, which is no downtime.
        let engine = notes.engine.min(downtime);
        Report {
            restore_id: plan.restore,
            workload: plan.workload.name.clone(),
            workload_id: plan.workload.id,
            snapshot: plan.snapshot,
            outcome,
            cause: cause(state, anomaly),
            volumes: plan
                .volumes
                .iter()
                .map(|v| ReportedVolume {
                    target: v.target.clone(),
                    method: v.method,
                    bytes: v.bytes,
                    entries: v.entries,
                })
                .collect(),
            safety_snapshot: (state.captured == Some(Safety::Taken)).then_some(plan.safety),
            downtime_ms: millis(downtime),
            downtime_us: micros(downtime),
            engine_ms: millis(engine),
            engine_us: micros(engine),
            stage_ms: millis(stage),
            total_ms: millis(total),
            kept,
            left_stopped,
            made_anew: match outcome {
                Outcome::Restored => plan.containers.iter().filter_map(made_anew).collect(),
                Outcome::Reverted | Outcome::Aborted | Outcome::NeedsAttention => Vec::new(),
            },
            image: plan.options.image,
            images: plan.images.clone(),
            app_problem: problem.map(String::from),
            warnings,
            recovered: notes.recovered,
            kept_of: plan.kept,
            reopened: state.reopened.clone(),
        }
    }

    /// The code that scripts see: `None` when all went well.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self.outcome {
            Outcome::Restored if self.warnings.is_empty() => None,
            Outcome::Restored => Some(Code::Warnings),
            // Rolled back is: the original data, and the app back on them.
            Outcome::Reverted | Outcome::Aborted if self.app_problem.is_some() => Some(Code::NeedsAttention),
            Outcome::Reverted => Some(Code::Aborted),
            // A bad archive and a refusal are what they are, also when they are found after the restore began.
            Outcome::Aborted => Some(match &self.cause {
                Some(Cause { code: code @ (Code::Corrupt | Code::Hostile | Code::Refused), .. }) => *code,
                Some(_) | None => Code::Aborted,
            }),
            Outcome::NeedsAttention => Some(Code::NeedsAttention),
        }
    }
}

fn made_anew(planned: &PlannedContainer) -> Option<MadeAnew> {
    Some(MadeAnew { name: planned.name.clone(), loses: planned.loses.clone()? })
}

fn cause(state: &State, anomaly: Option<&Anomaly>) -> Option<Cause> {
    if let Some(anomaly) = anomaly {
        let hint = Some(anomaly.remedy(&state.plan.workload.name));
        return Some(Cause { code: Code::NeedsAttention, message: anomaly.to_string(), hint });
    }
    let abort = state.aborted.as_ref()?;
    Some(Cause { code: abort.code, message: abort.reason.clone(), hint: None })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Downtime, staging and total, from the times of the records.
fn times(state: &State, notes: &Notes) -> (Duration, Duration, Duration) {
    let span = |from, to| match (from, to) {
        (Some(from), Some(to)) => between(from, to),
        (None, _) | (_, None) => Duration::ZERO,
    };
    // When something was done about its originals later, it had ended already.
    let ended =
        state.records.iter().position(|r| matches!(r.entry, Entry::Closed)).map_or(state.records.len(), |at| at + 1);
    let records = &state.records[..ended];
    let first = records.first().map(|r| r.at);
    let last = records.last().map(|r| r.at);
    let pinned = state.time_of(|e| matches!(e, Entry::Pinned { .. }));
    let committed = state.time_of(|e| matches!(e, Entry::Committed { .. }));
    let up = state.records.iter().rev().find(|r| matches!(r.entry, Entry::Redeployed { .. })).map(|r| r.at);
    let settled =
        state.records.iter().rev().find(|r| matches!(r.entry, Entry::Switched | Entry::Reverted)).map(|r| r.at);
    let has_app = state.pinned.as_ref().is_some_and(|p| p.iter().any(Pinned::was_active));
    let downtime = match has_app {
        _ if notes.up_all_along == Some(true) => Duration::ZERO,
        true => span(notes.down_since.or(pinned), up.or(last)).saturating_sub(notes.watched),
        false => span(notes.down_since.or(committed), settled),
    };
    (downtime, span(first, pinned.or(last)), span(first, last))
}
