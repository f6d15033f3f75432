//! What can go wrong, and what can happen by itself: the plan of a process, and how it strikes.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use volsnap_core::ports::{EngineErrorKind, FsErrorKind};

use crate::{
    disk::{Content, Disk},
    micro::{Interrupt, MicroKind},
    world::World,
};

/// What strikes at a micro-operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process dies just before it; what was done stays.
    Kill,
    /// The machine dies just before it; what was not synced is at risk.
    PowerCut,
    /// The caller drops its future just before it; the process lives on and destructors run.
    Drop,
    /// It fails without being done.
    Error {
        /// What the call reports.
        failure: Failure,
        /// What fails after it.
        reach: Reach,
    },
    /// It is done, and reported as failed.
    DoneButFailed(Failure),
    /// A sync fails and drops what it should have written, contents and names; a later sync reports success.
    SyncLost,
    /// A write takes only the first half of what it is given, and reports this; `None` if nobody is told.
    ShortWrite(Option<Failure>),
    /// The request arrives twice: the whole call is carried out, and once more. Only calls of the container engine that
    /// change something are sent over a wire that can do this; strikes elsewhere do nothing.
    Twice,
    /// Something happens by itself just before it.
    Event(Event),
}

/// How far an error goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This operation alone.
    Once,
    /// Every later call of the same port method as well.
    Method,
    /// Every later change and sync of any disk as well, as on a filesystem that has gone read-only.
    Disks,
}

/// What a struck call reports. Each port says it in its own terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What a disk reports.
    pub kind: FsErrorKind,
    /// What the container engine reports.
    pub engine: EngineErrorKind,
    /// The words.
    pub words: Arc<str>,
}

impl Failure {
    /// A failed system call: the kind and the words that an adapter reports for it.
    #[must_use]
    pub fn of_disk(kind: FsErrorKind, words: &str) -> Self {
        Failure { kind, engine: nearest(kind), words: words.into() }
    }
}

impl From<FsErrorKind> for Failure {
    fn from(kind: FsErrorKind) -> Self {
        Failure::of_disk(kind, &format!("simulated {kind:?}"))
    }
}

impl From<EngineErrorKind> for Failure {
    fn from(engine: EngineErrorKind) -> Self {
        Failure { kind: FsErrorKind::Io, engine, words: format!("simulated {engine:?}").into() }
    }
}

fn nearest(kind: FsErrorKind) -> EngineErrorKind {
    match kind {
        FsErrorKind::NotFound => EngineErrorKind::NotFound,
        FsErrorKind::Exists | FsErrorKind::Busy => EngineErrorKind::Conflict,
        FsErrorKind::Transient => EngineErrorKind::Unreachable,
        FsErrorKind::Cancelled => EngineErrorKind::TimedOut,
        FsErrorKind::NoSpace
        | FsErrorKind::Unsupported
        | FsErrorKind::Denied
        | FsErrorKind::SyncFailed
        | FsErrorKind::Corrupt
        | FsErrorKind::Hostile
        | FsErrorKind::Io => EngineErrorKind::Failed,
    }
}

/// What happens without our doing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The kernel writes everything back: all that was done is durable.
    Writeback,
    /// The kernel writes one disk back, by index.
    WritebackOf(usize),
    /// One disk is full from now on, by index; what is kept for journals is still there.
    Full(usize),
    /// The container engine restarts: containers stop and come back by their policies.
    EngineRestart,
    /// Another container engine, or the first one again, is behind the socket: a variable is not set, its disk is not mounted.
    OtherEngine,
    /// The container engine cannot be reached from now on.
    EngineDown,
    /// The container engine can be reached again.
    EngineUp,
    /// Somebody starts the container of that name.
    Start(String),
    /// Somebody stops the container of that name.
    Stop(String),
    /// Somebody removes the container of that name by force.
    Remove(String),
    /// Somebody makes and starts a container of that name on that directory.
    Run(String, PathBuf),
    /// Somebody puts a directory with one file, `foreign`, where that path is; what stood there is moved to the name
    /// with `.moved` at its end.
    Replace(PathBuf),
    /// Somebody puts a snapshot of the subvolume at that path in its place, as who rolls back by hand does; the subvolume is
    /// moved to the name with `.moved` at its end.
    RollBack(PathBuf),
    /// Every running app writes a fresh file into each of its writable directories.
    Tick,
    /// Every running app works in each of its writable directories (see [`World::work`]).
    Work,
    /// The wall clock jumps by that many seconds.
    ClockJump(i64),
    /// That bit of a file turns, counted from the first byte's lowest; of an archive, counted through all its members.
    BitFlip(PathBuf, u64),
}

/// What is planned for a process, and what has begun to fail in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble {
    plan: BTreeMap<u64, Vec<Fault>>,
    /// Port methods that fail from now on; `None` is every change and sync of a disk.
    failing: Vec<(Option<&'static str>, Failure)>,
    /// The call that is under way is carried out once more.
    again: bool,
}

impl World {
    /// Plans a fault at the micro-operation with that number (the first of a process is 0).
    pub fn strike(&mut self, op: u64, fault: Fault) {
        self.trouble.plan.entry(op).or_default().push(fault);
    }

    /// What fails from an earlier strike on.
    pub(crate) fn still_failing(&self, kind: MicroKind) -> Result<(), Interrupt> {
        let struck = |what: &Option<&'static str>| match what {
            Some(method) => kind == MicroKind::Call && *method == self.current,
            None => matches!(kind, MicroKind::Change | MicroKind::Sync),
        };
        match self.trouble.failing.iter().find(|(what, _)| struck(what)) {
            Some((_, failure)) => Err(Interrupt::Failed(failure.clone())),
            None => Ok(()),
        }
    }

    /// What strikes at operation `op`. Returns what is to be reported although it is done.
    pub(crate) fn struck(&mut self, op: u64, kind: MicroKind) -> Result<Option<Failure>, Interrupt> {
        let mut reported = None;
        for fault in self.trouble.plan.remove(&op).unwrap_or_default() {
            self.note(format_args!("! {fault:?}"));
            match fault {
                Fault::Kill | Fault::PowerCut => {
                    self.dead = true;
                    return Err(Interrupt::Silence);
                }
                Fault::Drop => return Err(Interrupt::Silence),
                Fault::Error { failure, reach } => {
                    match reach {
                        Reach::Once => {}
                        Reach::Method => self.trouble.failing.push((Some(self.current), failure.clone())),
                        Reach::Disks => self.trouble.failing.push((None, failure.clone())),
                    }
                    return Err(Interrupt::Failed(failure));
                }
                Fault::DoneButFailed(failure) => reported = Some(failure),
                // What is written was cut short by `as_taken`, just before.
                Fault::ShortWrite(failure) => reported = reported.or(failure),
                Fault::SyncLost => {
                    self.all_disks(Disk::lose_dirty);
                    return Err(Interrupt::Failed(FsErrorKind::SyncFailed.into()));
                }
                Fault::Twice => self.trouble.again = true,
                Fault::Event(event) => {
                    self.happen(&event);
                    if kind == MicroKind::Engine && event == Event::EngineRestart {
                        // The connection broke in the middle of the call.
                        return Err(Interrupt::Failed(EngineErrorKind::Unreachable.into()));
                    }
                }
            }
        }
        Ok(reported)
    }

    /// What a write that comes next takes of what it is given.
    pub(crate) fn as_taken(&self, data: Content) -> Content {
        let strikes = self.trouble.plan.get(&self.ops).into_iter().flatten();
        match strikes.into_iter().any(|fault| matches!(fault, Fault::ShortWrite(_))) {
            true => data.cut_short(),
            false => data,
        }
    }

    /// Whether the call that has just ended arrived twice; once for each time.
    pub(crate) fn arrived_again(&mut self) -> bool {
        std::mem::take(&mut self.trouble.again)
    }
}
