//! What a step's result means: go on, try again, write something down, or stop with the journal in place.

use super::{
    anomaly::Anomaly,
    journal::{Entry, Safety},
    next::abort,
    plan::OnUnhealthy,
    state::{Direction, State},
    step::Step,
};
use crate::error::{Code, EngineError, EngineErrorKind, Error, FsError, FsErrorKind};

/// How a step failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A disk said no.
    Filesystem(FsError),
    /// The engine said no.
    Engine(EngineError),
    /// The app runs and is not healthy.
    Unhealthy(String),
    /// The observer asked for the end.
    Cancelled,
}

impl From<FsError> for Failure {
    fn from(error: FsError) -> Self {
        if error.kind == FsErrorKind::Cancelled { Failure::Cancelled } else { Failure::Filesystem(error) }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Failure::Engine(error)
    }
}

impl Failure {
    /// The failure as callers see it.
    #[must_use]
    pub fn error(&self) -> Error {
        match self {
            Failure::Filesystem(error) => error.clone().into(),
            Failure::Engine(error) => error.clone().into(),
            Failure::Unhealthy(problem) => Error::new(Code::Aborted, problem.clone()),
            Failure::Cancelled => Error::new(Code::Aborted, "cancelled"),
        }
    }

    fn is_transient(&self) -> bool {
        match self {
            Failure::Filesystem(error) => error.is_transient(),
            Failure::Engine(error) => error.is_transient(),
            Failure::Unhealthy(_) | Failure::Cancelled => false,
        }
    }
}

/// What to do about a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Look again, and do what is then next.
    Again,
    /// Write this down; it changes what is next.
    Record(Entry),
    /// Stop; the journal stays. A later recovery goes on from here.
    Stop(Error),
    /// Stop; a person has to look.
    Attention(Anomaly),
}

/// How often a step that may succeed a moment later is tried.
pub const ATTEMPTS_MAX: u32 = 4;

/// Judges the failure of a step, `attempt` being 1 for its first.
#[must_use]
pub fn judge(state: &State, step: &Step, failure: &Failure, attempt: u32) -> Verdict {
    if failure.is_transient() && attempt < ATTEMPTS_MAX {
        return Verdict::Again;
    }
    match state.direction() {
        // No live directory has been touched: go back, whatever it was.
        Direction::Undecided => Verdict::Record(abort(failure.error().code, failure.error().message)),
        Direction::Forward | Direction::Back => decided(state, step, failure),
    }
}

fn decided(state: &State, step: &Step, failure: &Failure) -> Verdict {
    match (step, failure) {
        (Step::Redeploy, Failure::Unhealthy(problem)) => unhealthy(state, problem),
        (Step::Redeploy, Failure::Engine(error)) => redeploy(state, error),
        (Step::Capture, failure) => {
            Verdict::Record(Entry::Captured { safety: Safety::Kept { reason: failure.error().message } })
        }
        (_, Failure::Engine(error)) => Verdict::Stop(error.clone().into()),
        (Step::Switch { .. }, Failure::Filesystem(error)) => switch(state, error),
        // What it was to make durable may be lost in a power cut, whatever is seen now.
        (_, Failure::Filesystem(error)) if error.kind == FsErrorKind::SyncFailed => {
            Verdict::Attention(Anomaly::InDoubt { message: error.to_string() })
        }
        (_, failure) => Verdict::Attention(Anomaly::StepFailed { step: step.name(), message: failure.error().message }),
    }
}

/// A rename failed without harm: everything goes back as a whole. If it was on the way back already, a person looks.
fn switch(state: &State, error: &FsError) -> Verdict {
    match (state.direction(), error.kind) {
        (_, FsErrorKind::SyncFailed) => Verdict::Attention(Anomaly::InDoubt { message: error.to_string() }),
        (Direction::Forward, _) => Verdict::Record(abort(Code::Aborted, error.to_string())),
        (Direction::Undecided | Direction::Back, _) => {
            Verdict::Attention(Anomaly::StepFailed { step: "switch", message: error.to_string() })
        }
    }
}

/// The app is down. An engine that cannot be reached may come back: the journal stays, so that recovery brings the app
/// back. An engine that says no says no again: the data are in place, and the report says what is wrong. Whoever asked
/// for the app's health before the restore stands asked for this all the more.
fn redeploy(state: &State, error: &EngineError) -> Verdict {
    match error.kind {
        EngineErrorKind::Unreachable | EngineErrorKind::TimedOut => Verdict::Stop(error.clone().into()),
        EngineErrorKind::NotFound
        | EngineErrorKind::Conflict
        | EngineErrorKind::Failed
        | EngineErrorKind::Unsupported => match state.plan.options.health_timeout {
            Some(_) => unhealthy(state, &error.to_string()),
            None => Verdict::Record(Entry::Redeployed { problem: Some(error.to_string()) }),
        },
    }
}

fn unhealthy(state: &State, problem: &str) -> Verdict {
    match (state.direction(), state.plan.options.on_unhealthy) {
        // When it is tried again the originals may be archived and gone: there is no way back any more.
        (Direction::Forward, OnUnhealthy::Revert) if state.captured.is_none() => {
            Verdict::Record(abort(Code::Aborted, problem))
        }
        (Direction::Undecided | Direction::Back, _) | (Direction::Forward, OnUnhealthy::Keep | OnUnhealthy::Revert) => {
            Verdict::Record(Entry::Redeployed { problem: Some(problem.to_string()) })
        }
    }
}

/// Judges a survey that failed: nothing can be said about the world just now.
#[must_use]
pub fn judge_survey(state: &State, failure: &Failure, attempt: u32) -> Verdict {
    if failure.is_transient() && attempt < ATTEMPTS_MAX {
        return Verdict::Again;
    }
    match (state.direction(), failure) {
        (Direction::Undecided, _) => Verdict::Record(abort(failure.error().code, failure.error().message)),
        (Direction::Forward | Direction::Back, Failure::Filesystem(error)) if error.kind == FsErrorKind::SyncFailed => {
            Verdict::Attention(Anomaly::InDoubt { message: error.to_string() })
        }
        (Direction::Forward | Direction::Back, failure) => Verdict::Stop(failure.error()),
    }
}

/// What a recovery does first: a restore whose process ended before the decision is aborted, unless it is to be resumed.
#[must_use]
pub fn interrupted(state: &State) -> Option<Entry> {
    match state.direction() {
        Direction::Undecided if state.resumes() => None,
        Direction::Undecided => Some(abort(Code::Aborted, "the restore was interrupted before it was committed")),
        Direction::Forward | Direction::Back => None,
    }
}

/// What another restore does first: one that could be resumed is aborted too.
///
/// To go on with it would take the app down and replace its data twice, the first time for data that nobody wants any
/// more. Whoever wants the same again gets it by asking for the same, and `recover` goes on with it in any case.
#[must_use]
pub fn superseded(state: &State) -> Option<Entry> {
    match state.resumes() {
        true => Some(abort(Code::Aborted, "the restore was interrupted, and another one was asked for instead")),
        false => interrupted(state),
    }
}
