//! The only caller of the ports: snapshot, restore, recover, verify, prune.

mod act;
mod boot;
mod catalog;
mod clone;
mod concerns;
mod conditions;
mod copies;
mod destination;
mod diff;
mod drafts;
mod drill;
mod drive;
mod extract;
mod forecast;
mod gather;
mod health;
mod hooks;
mod inside;
mod kept;
mod parts;
mod reach;
mod rebuild;
mod recover;
mod restore;
mod retain;
mod rights;
mod snapshot;
mod survey;
#[cfg(test)]
mod tests;
mod transfer;
mod turns;
mod unwell;
mod wake;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::{Timestamp, tz::TimeZone};

pub use boot::Booted;
pub use clone::CloneRequest;
pub use copies::{Copied, CopiedVolume, LeftCopy};
pub use diff::{Against, ChangeSink, DiffRequest};
pub use drafts::LeftDraft;
pub use drill::{BOOT_TIMEOUT, DrillRequest, Drilled, DrilledVolume};
pub use extract::ExtractRequest;
pub use kept::{Kept, KeptRecord, KeptSet, short as kept_id};
pub use rebuild::{Damaged, Rebuilt, Unregistered};
pub use recover::{Outlook, Recovered, RecoveredItem, Take};
pub use restore::RestoreRequest;
pub use retain::{Pins, Pruned};
pub use snapshot::{SnapshotRequest, Snapshotted};
pub use transfer::{ImportOutcome, ImportRequest};

use self::turns::Turns;
use crate::{
    error::{Code, EngineError, EngineErrorKind, Error, FsErrorKind, Result},
    model::{ArchiveLimits, HostHooks, Registration, Workload, WorkloadId},
    ports::{
        Archives, Claim, Clock, Commands, Containers, Event, EventKind, Filesystem, Journals, Lease, Store, Watch,
    },
    restore::{
        Facts, Move, State, Step,
        judge::{Failure, Verdict, judge, judge_survey},
        next,
    },
};

/// The ports that an engine works through.
#[derive(Clone)]
pub struct Ports {
    /// The catalog.
    pub store: Arc<dyn Store>,
    /// The container engine; workloads of plain directories need none.
    pub containers: Option<Arc<dyn Containers>>,
    /// The live directories.
    pub filesystem: Arc<dyn Filesystem>,
    /// The snapshots of this host.
    pub archives: Arc<dyn Archives>,
    /// Journals and locks.
    pub journals: Arc<dyn Journals>,
    /// Commands of the host, for hooks.
    pub commands: Arc<dyn Commands>,
    /// Time and ids.
    pub clock: Arc<dyn Clock>,
}

/// How long a lock that is held is waited for if nobody says: a look at whether somebody holds it takes it for a moment, too.
const LOCK_PATIENCE: Duration = Duration::from_millis(80);
/// How often one that is waited for is asked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Snapshots and restores workloads.
///
/// It remembers nothing of what it did: two engines over the same state directory keep out of each other's way by the
/// workload's lock, and an engine that is dropped in the middle leaves what a killed process leaves. Clones are one engine:
/// those who wait for a workload through them have one line.
#[derive(Clone)]
pub struct Engine {
    ports: Ports,
    decide: fn(&State, &Facts) -> Move,
    judge: fn(&State, &Step, &Failure, u32) -> Verdict,
    judge_survey: fn(&State, &Failure, u32) -> Verdict,
    hooks: bool,
    without_missing: bool,
    host_hooks: HostHooks,
    limits: ArchiveLimits,
    zone: TimeZone,
    patience: Duration,
    turns: Turns,
    /// What the work of this engine is done under, what was taken last first: it ends first.
    held: Vec<Arc<dyn Lease>>,
}

impl Engine {
    /// An engine over these ports.
    #[must_use]
    pub fn new(ports: Ports) -> Self {
        Engine {
            ports,
            decide: next,
            judge,
            judge_survey,
            hooks: true,
            without_missing: false,
            host_hooks: HostHooks::default(),
            limits: ArchiveLimits::default(),
            zone: TimeZone::UTC,
            patience: LOCK_PATIENCE,
            turns: Turns::default(),
            held: Vec::new(),
        }
    }

    /// The same engine, which waits so long for a workload, or a live directory, that is held by other work. Those of one
    /// engine and its clones who wait for the same workload get it in the order in which they came. Without it, hardly at
    /// all.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The same engine, which goes by the calendar of this zone when it prunes. Without it, by UTC's.
    #[must_use]
    pub fn with_timezone(mut self, zone: TimeZone) -> Self {
        self.zone = zone;
        self
    }

    /// The same engine, which takes nothing out of an archive and none in from elsewhere that goes beyond these limits.
    #[must_use]
    pub fn with_limits(mut self, limits: ArchiveLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The same engine, whose recovery goes on where the container engine that an operation began on, or a container that
    /// a snapshot froze or stopped, is gone for good. For a user who has said so.
    #[must_use]
    pub fn without_missing(mut self) -> Self {
        self.without_missing = true;
        self
    }

    /// The same engine with another decision function. For tests that break the rules on purpose.
    #[doc(hidden)]
    #[must_use]
    pub fn with_decision(mut self, decide: fn(&State, &Facts) -> Move) -> Self {
        self.decide = decide;
        self
    }

    /// The same engine with other judges of what fails: a step, and a survey. For tests that break the rules on purpose.
    #[doc(hidden)]
    #[must_use]
    pub fn with_judgement(
        mut self,
        judge: fn(&State, &Step, &Failure, u32) -> Verdict,
        judge_survey: fn(&State, &Failure, u32) -> Verdict,
    ) -> Self {
        self.judge = judge;
        self.judge_survey = judge_survey;
        self
    }

    /// The ports.
    #[must_use]
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// The container engine, for a workload that needs one.
    fn containers(&self) -> Result<&dyn Containers, EngineError> {
        self.ports.containers.as_deref().ok_or_else(|| {
            EngineError::new(EngineErrorKind::Unreachable, "none is configured, and the workload has containers")
        })
    }

    /// The same engine for work under a lease. It is held as long as this engine lives, and as long as a call goes on that
    /// it began: one that nobody waits for any more may go on for a moment, and nobody else is to begin meanwhile. What
    /// other engines hold says nothing about this one's calls, nor the other way round.
    fn under(&self, lease: Box<dyn Lease>) -> Engine {
        let lease: Arc<dyn Lease> = lease.into();
        let mut engine = self.clone();
        let ports = &mut engine.ports;
        if let Some(filesystem) = self.ports.filesystem.under(lease.clone()) {
            ports.filesystem = filesystem;
        }
        if let Some(archives) = self.ports.archives.under(lease.clone()) {
            ports.archives = archives;
        }
        if let Some(journals) = self.ports.journals.under(lease.clone()) {
            ports.journals = journals;
        }
        engine.held.insert(0, lease);
        engine
    }

    /// The same engine, which does not wait for threads any more once this has been given.
    async fn reserved(&self, watch: &Watch) -> Result<Engine> {
        let mut engine = self.clone();
        if let Some(archives) = self.ports.archives.reserve(watch).await? {
            engine.ports.archives = archives;
        }
        Ok(engine)
    }

    /// Takes the workload's lock, then the host's deploy lock.
    async fn hold(&self, workload: &Workload, watch: &Watch) -> Result<Engine> {
        let engine = self.lock(workload.id, &workload.name, watch).await?;
        match workload.selector.is_empty() {
            true => Ok(engine),
            false => engine.deploys_of(workload.id).await,
        }
    }

    /// Takes the host's deploy lock, if it has one.
    async fn deploys_of(self, workload: WorkloadId) -> Result<Engine> {
        let Some(containers) = &self.ports.containers else { return Ok(self) };
        let lease = containers.lease(workload).await.map_err(not_deployed)?;
        Ok(self.under(lease))
    }

    /// Takes the workload's lock; one that is held is waited for, in turn, as long as this engine has patience.
    async fn lock(&self, workload: WorkloadId, name: &str, watch: &Watch) -> Result<Engine> {
        let turn = self.turns.line_up(workload);
        let mut waited = Duration::ZERO;
        loop {
            // Whoever waits no longer is told who holds it.
            let is_last_try = waited >= self.patience;
            if is_last_try || turn.has_come() {
                match self.ports.journals.lock(workload).await {
                    Ok(lock) => return Ok(self.under(lock)),
                    Err(error) if error.kind == FsErrorKind::Busy && !is_last_try => {}
                    Err(error) => return Err(Error::from(error).context(format_args!("workload {name}"))),
                }
            }
            if watch.cancelled() {
                return Err(Error::new(Code::Aborted, format!("given up while workload {name} was waited for")));
            }
            self.ports.clock.sleep(LOOK_EVERY).await;
            waited += LOOK_EVERY;
        }
    }

    /// Holds live directories against everyone who knows them by another name or from another state directory. Besides,
    /// what is to be said of those that others could not be kept from.
    async fn claim(&self, name: &str, dirs: &[PathBuf]) -> Result<(Engine, Vec<String>)> {
        // Those who take them at the same moment are waited for in any case.
        let mut waited = LOCK_PATIENCE;
        loop {
            match self.ports.filesystem.claim(dirs).await {
                Ok(Claim { lease, unguarded }) => {
                    return Ok((self.under(lease), unguarded.iter().map(|dir| without_locks(dir)).collect()));
                }
                Err(error) if error.kind == FsErrorKind::Busy && waited < self.patience => {}
                Err(error) => return Err(Error::from(error).context(format_args!("workload {name}"))),
            }
            self.ports.clock.sleep(LOOK_EVERY).await;
            waited += LOOK_EVERY;
        }
    }

    /// Writes an audit event. A catalog that is lost must not stop a restore or a recovery, so a failure is only told.
    async fn tell(&self, event: &Event) -> Option<String> {
        let failed = self.ports.store.record(event).await.err()?;
        tracing::warn!(event = ?event.kind, error = %failed, "the audit event was not recorded");
        Some(format!("the audit event was not recorded: {failed}"))
    }

    /// A workload's registration, for the manifest of a snapshot that is put among its archives.
    fn registration(&self, workload: &Workload, as_of: Timestamp) -> Registration {
        Registration::of(workload, self.ports.filesystem.host(), as_of)
    }

    fn event(&self, workload: &Workload, kind: EventKind, outcome: &str, detail: serde_json::Value) -> Event {
        Event {
            id: self.ports.clock.fresh_id(),
            at: self.ports.clock.now(),
            workload: workload.id,
            workload_name: workload.name.clone(),
            kind,
            outcome: outcome.into(),
            detail,
        }
    }
}

fn without_locks(dir: &Path) -> String {
    format!(
        "the filesystem of {} has no locks: do not work on it from another state directory at the same time",
        dir.display()
    )
}

/// Why the host's own deploy lock was not given.
fn not_deployed(error: EngineError) -> Error {
    match error.kind {
        EngineErrorKind::Conflict => Error::new(Code::Busy, error.to_string())
            .hint("a deployment of the workload is under way; wait until it has finished"),
        EngineErrorKind::Unreachable
        | EngineErrorKind::TimedOut
        | EngineErrorKind::NotFound
        | EngineErrorKind::Failed
        | EngineErrorKind::Unsupported => error.into(),
    }
}
