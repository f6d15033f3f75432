//! Every error of every call: what the disk adapter reports for each error number, what a container engine answers.

use rustix::io::Errno;
use volsnap_core::ports::{EngineErrorKind, FsErrorKind, FsOp};
use volsnap_sim::{Event, Failure, Fault, MicroKind, Moment, Reach};

use super::{Tally, Trial};
use crate::worlds::Scene;

/// The error numbers that each system call is struck with.
pub const ERRNOS: [Errno; 15] = [
    Errno::IO,
    Errno::NOSPC,
    Errno::DQUOT,
    Errno::ROFS,
    Errno::INTR,
    Errno::MFILE,
    Errno::NOMEM,
    Errno::XDEV,
    Errno::INVAL,
    Errno::NOSYS,
    Errno::BUSY,
    Errno::PERM,
    Errno::ACCESS,
    Errno::NOENT,
    Errno::EXIST,
];

/// What a container engine can answer.
const ANSWERS: [EngineErrorKind; 5] = [
    EngineErrorKind::Unreachable,
    EngineErrorKind::TimedOut,
    EngineErrorKind::NotFound,
    EngineErrorKind::Conflict,
    EngineErrorKind::Failed,
];

/// The methods of the container engine's port.
const ENGINE_CALLS: [&str; 14] = [
    "info",
    "lease",
    "find",
    "mounting",
    "of_restore",
    "settle_engine",
    "pause",
    "unpause",
    "set_restart_policy",
    "stop",
    "prepare",
    "redeploy",
    "discard_containers",
    "health",
];

/// Ten years ahead, and two hours back.
const JUMPS_S: [i64; 2] = [315_360_000, -7200];

/// Which of the error numbers strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// All fifteen.
    All,
    /// One of those that are reported as the same kind.
    OneOfEachKind,
}

/// What the disk adapter reports for that number, in a sync or in any other call.
#[must_use]
pub fn failure_of(errno: Errno, in_sync: bool) -> Failure {
    let reported = if in_sync { volsnap_disk::sync_error } else { volsnap_disk::fs_error };
    let error = reported(FsOp::Look, "", errno);
    Failure::of_disk(error.kind, &error.message)
}

/// Strikes a restore at each of its operations with each kind of error.
#[must_use]
pub fn errors(scene: &Scene, numbers: Numbers) -> Tally {
    let mut trial = Trial::of_restore(scene);
    let (history, left) = trial.undisturbed();
    for (op, moment) in (0..).zip(&history) {
        let first = errors_at(moment).into_iter().filter(|(_, fault)| numbers == Numbers::All || !is_repeated(fault));
        for (what, fault) in first.chain(rarer_at(moment)) {
            if trial.tally.is_full() {
                return trial.tally;
            }
            trial.strike(what, &[(op, fault)]);
        }
        for (what, fault) in harmless_at(moment) {
            trial.strike_in_vain(what, &[(op, fault)], &left.ended);
        }
    }
    trial.tally
}

/// Kills a restore at every ninth of its changes, and strikes the recovery at each of its operations.
#[must_use]
pub fn recovery_errors(scene: &Scene) -> Tally {
    let mut tally = Tally::default();
    let mut world = scene.world.clone();
    world.record_crash_points();
    tally.runs += 1;
    for point in crate::process::restore(scene, world).points.into_iter().step_by(9) {
        let mut killed = point.world;
        killed.restart_process();
        let mut trial = Trial::of_recovery(scene, killed);
        let (history, _) = trial.undisturbed();
        for (op, moment) in (0..).zip(&history) {
            for (what, fault) in errors_at(moment).into_iter().filter(|(_, fault)| !is_repeated(fault)) {
                trial.strike(what, &[(op, fault)]);
            }
        }
        tally.add(trial.tally);
        if tally.is_full() {
            break;
        }
    }
    tally
}

/// Whether another number is reported in the same way: the words make no difference to a recovery.
pub(in crate::crash::sim) fn is_repeated(fault: &Fault) -> bool {
    let repeated = [Errno::DQUOT, Errno::MFILE, Errno::NOMEM, Errno::INVAL, Errno::NOSYS, Errno::BUSY, Errno::PERM];
    let repeated = |failure: &Failure| {
        let same = |errno: &Errno| failure.words == failure_of(*errno, false).words;
        repeated.iter().any(same) || *failure == failure_of(Errno::ACCESS, false)
    };
    matches!(fault, Fault::Error { failure, .. } if repeated(failure))
}

/// The errors that can strike there: each once, and what is done although it is reported as failed.
pub(in crate::crash::sim) fn errors_at(moment: &Moment) -> Vec<(&'static str, Fault)> {
    let once = |failure| Fault::Error { failure, reach: Reach::Once };
    let is_engine = moment.kind == MicroKind::Engine || ENGINE_CALLS.contains(&moment.call);
    if is_engine {
        let undone = ANSWERS.iter().map(|answer| ("engine errors", once((*answer).into())));
        let done = ANSWERS.iter().map(|answer| ("engine errors, done", Fault::DoneButFailed((*answer).into())));
        return match moment.kind {
            MicroKind::Engine => undone.chain(done).collect(),
            MicroKind::Call | MicroKind::Change | MicroKind::Sync | MicroKind::Catalog => undone.collect(),
        };
    }
    let in_sync = moment.kind == MicroKind::Sync;
    let undone = ERRNOS.iter().map(|errno| ("errnos", once(failure_of(*errno, in_sync))));
    let done = [Errno::IO, Errno::INTR, Errno::NOSPC, Errno::EXIST];
    let done = done.iter().map(|errno| ("errnos, done", Fault::DoneButFailed(failure_of(*errno, in_sync))));
    match moment.kind {
        MicroKind::Change | MicroKind::Catalog => undone.chain(done).collect(),
        // A sync fails in one way, whatever its number.
        MicroKind::Sync => vec![
            ("errnos", once(failure_of(Errno::IO, true))),
            ("errnos, done", Fault::DoneButFailed(failure_of(Errno::IO, true))),
            ("syncs that lose", Fault::SyncLost),
        ],
        MicroKind::Call | MicroKind::Engine => undone.collect(),
    }
}

/// What strikes a restore only: a recovery is the same loop.
pub(in crate::crash::sim) fn rarer_at(moment: &Moment) -> Vec<(&'static str, Fault)> {
    let from = |errno, reach| ("sticky", Fault::Error { failure: failure_of(errno, false), reach });
    let mut faults = vec![("drops", Fault::Drop)];
    match moment.kind {
        MicroKind::Call if ENGINE_CALLS.contains(&moment.call) => {
            for answer in ANSWERS {
                faults.push(("sticky", Fault::Error { failure: answer.into(), reach: Reach::Method }));
            }
            faults.push(("engine down", Fault::Event(Event::EngineDown)));
        }
        MicroKind::Call => {
            faults.extend([Errno::IO, Errno::NOSPC, Errno::INTR, Errno::ROFS].map(|errno| from(errno, Reach::Method)));
        }
        MicroKind::Change | MicroKind::Sync => {
            faults.extend([Errno::IO, Errno::NOSPC, Errno::ROFS].map(|errno| from(errno, Reach::Disks)));
        }
        MicroKind::Engine | MicroKind::Catalog => {}
    }
    if moment.label.starts_with("write ") {
        for errno in [Errno::NOSPC, Errno::IO] {
            faults.push(("short writes", Fault::ShortWrite(Some(failure_of(errno, false)))));
        }
    }
    faults
}

/// What must make no difference: a request that arrives twice, a clock that jumps.
pub(in crate::crash::sim) fn harmless_at(moment: &Moment) -> Vec<(&'static str, Fault)> {
    let mut faults: Vec<_> = JUMPS_S.iter().map(|s| ("clock jumps", Fault::Event(Event::ClockJump(*s)))).collect();
    if moment.kind == MicroKind::Call && ENGINE_CALLS.contains(&moment.call) {
        faults.push(("engine calls twice", Fault::Twice));
    }
    faults
}

/// A disk that fails for good, for pairs.
pub(super) fn dead_disk() -> Fault {
    Fault::Error { failure: FsErrorKind::Io.into(), reach: Reach::Disks }
}
