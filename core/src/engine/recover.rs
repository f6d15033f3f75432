//! Recovery: replay each open journal and drive on. Needs no catalog.

use std::{path::PathBuf, sync::Arc};

use serde::Serialize;
use serde_json::json;

use super::{Engine, RestoreRequest, hooks::Around, snapshot::outcome_of};
use crate::{
    error::{Code, Error, FsErrorKind, Result},
    model::{HookEvent, Mode, Redeploy, RestoreId, Snapshot, SnapshotId, WorkloadId},
    ports::{EventKind, Phase, Progress, Quiet, Watch},
    restore::{
        Anomaly, Body, Entry, Journal, Refusal, Report, State,
        journal::Quiesced,
        judge,
        report::{Notes, Outcome},
        state::Direction,
    },
};

/// What a recovery did for one workload.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The workload.
    pub workload: WorkloadId,
    /// How it went. An error means that the journal stays.
    pub result: Result<RecoveredItem>,
}

/// What was recovered.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum RecoveredItem {
    /// A restore, brought to its end.
    Restore(Box<Report>),
    /// A snapshot that was interrupted: the app runs again as before.
    Snapshot {
        /// The workload's name.
        workload: String,
        /// The snapshot; its archive is there only if it was complete.
        snapshot: SnapshotId,
        /// Whether the archive was complete.
        complete: bool,
        /// What its hooks complained of.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
    },
}

/// What an open journal is about and what recovery would do.
#[derive(Clone, Debug, Serialize)]
pub struct Outlook {
    /// The workload's id.
    pub workload_id: WorkloadId,
    /// Its name, if the journal can be read.
    pub workload: Option<String>,
    /// The restore, if it is one.
    pub restore_id: Option<RestoreId>,
    /// The snapshot that is restored or taken.
    pub snapshot: Option<SnapshotId>,
    /// The last entry of the journal.
    pub phase: String,
    /// What recovery would do, in words.
    pub would: String,
    /// What stands on disk beside the live directories because of it.
    pub leftovers: Vec<String>,
    /// Whether another process is at it right now.
    pub in_progress: bool,
    /// Why the journal cannot be followed.
    pub problem: Option<Error>,
}

/// For whose sake a journal is followed.
#[derive(Clone, Copy)]
pub(super) enum Sake<'a> {
    /// Its own, or that of work which needs the workload at rest.
    Itself,
    /// A restore's; `None` if it is not known yet what it asks for.
    Restore(Option<&'a RestoreRequest>),
}

impl Sake<'_> {
    /// Whether a restore can be resumed for one that asks for the same.
    fn asks_for(self, state: &State) -> bool {
        match self {
            Sake::Restore(Some(request)) => state.resumes() && request.asks_for(&state.plan),
            Sake::Restore(None) | Sake::Itself => false,
        }
    }

    /// What is written down first, if anything.
    fn first(self, state: &State) -> Option<Entry> {
        match self {
            Sake::Restore(_) if !self.asks_for(state) => judge::superseded(state),
            Sake::Restore(_) | Sake::Itself => judge::interrupted(state),
        }
    }
}

/// Another workload that is at work on what is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Neighbour {
    pub workload: String,
    what: &'static str,
    shares: &'static str,
}

impl Neighbour {
    /// Why not now, and what to do about it.
    pub fn refusal(&self) -> Refusal {
        let Neighbour { workload, what, shares } = self;
        Refusal::new(
            format!("a {what} of {workload}, which has the same {shares}, has not ended"),
            format!("wait for it; if it is not under way any more, `volsnap recover {workload}` brings it to its end"),
        )
    }
}

impl From<Neighbour> for Error {
    fn from(neighbour: Neighbour) -> Error {
        let Refusal { message, hint } = neighbour.refusal();
        Error::new(Code::Refused, message).hint(hint)
    }
}

/// What became of a journal.
pub(super) struct Followed {
    item: RecoveredItem,
    /// Whether it was the very restore for whose sake it was followed.
    is_own: bool,
}

pub(super) fn quiet() -> Watch {
    Arc::new(Quiet)
}

impl Engine {
    /// Finishes or rolls back what crashes left, for one workload or all.
    pub async fn recover(&self, workload: Option<WorkloadId>, watch: &Watch) -> Result<Vec<Recovered>> {
        let mut recovered = Vec::new();
        for id in self.ports.filesystem.journals().await? {
            if workload.is_none_or(|w| w == id)
                && let Some(result) = self.recover_one(id, watch, Sake::Itself).await.transpose()
            {
                recovered.push(Recovered { workload: id, result });
            }
        }
        Ok(recovered)
    }

    /// The same for one workload that is about to be restored: a restore that could be resumed is rolled back (see
    /// [`judge::superseded`]).
    pub async fn make_way(&self, id: WorkloadId, watch: &Watch) -> Result<Option<RecoveredItem>> {
        match self.ports.filesystem.journals().await?.contains(&id) {
            true => self.recover_one(id, watch, Sake::Restore(None)).await,
            false => Ok(None),
        }
    }

    /// Whether a crash interrupted just this restore and it can be resumed: then [`Engine::restore`] goes on with it.
    pub async fn resumes(&self, request: &RestoreRequest) -> Result<bool> {
        let Some(bytes) = self.ports.filesystem.read_journal(request.workload.id).await? else { return Ok(false) };
        // One that cannot be read is not this restore's, and whoever goes on is told what is wrong with it.
        let Ok(Body::Restore(records)) = Journal::decode(&bytes).map(|journal| journal.body) else { return Ok(false) };
        Ok(State::replay(&records).is_ok_and(|state| state.resumes() && request.asks_for(&state.plan)))
    }

    async fn recover_one(&self, id: WorkloadId, watch: &Watch, sake: Sake<'_>) -> Result<Option<RecoveredItem>> {
        let _lock = self.lock(id, &id.to_string()).await?;
        let _deploy = match &self.ports.containers {
            Some(containers) => Some(super::deploy_lease(containers.as_ref(), id).await?),
            None => None,
        };
        Ok(self.follow_journal(id, watch, sake).await?.map(|followed| followed.item))
    }

    /// Recovers the workload whose lock the caller holds, before the caller's own work. Gives the report of a restore,
    /// and whether that was the caller's own work.
    pub(super) async fn recover_held(
        &self,
        id: WorkloadId,
        watch: &Watch,
        sake: Sake<'_>,
    ) -> Result<Option<(Report, bool)>> {
        match self.follow_journal(id, watch, sake).await? {
            Some(Followed { item: RecoveredItem::Restore(report), is_own }) => {
                if !is_own {
                    watch.recovered(&report);
                }
                Ok(Some((*report, is_own)))
            }
            Some(Followed { item: RecoveredItem::Snapshot { workload, snapshot, complete, .. }, .. }) => {
                watch.woken(&workload, snapshot, complete);
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// As [`Engine::recover_held`], for work that cannot go on beside an open journal.
    pub(super) async fn recover_or_refuse(&self, id: WorkloadId, watch: &Watch) -> Result<()> {
        match self.recover_held(id, watch, Sake::Itself).await? {
            Some((Report { outcome: Outcome::NeedsAttention, cause, workload, .. }, _)) => {
                let (message, hint) = cause.map_or((String::new(), None), |c| (c.message, c.hint));
                let error = Error::new(
                    Code::NeedsAttention,
                    format!("an earlier restore of {workload} needs attention: {message}"),
                );
                Err(error.hint(hint.unwrap_or_else(|| format!("run `volsnap status {workload}`"))))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Brings what a journal is about to its end. The caller holds the workload's lock.
    async fn follow_journal(&self, id: WorkloadId, watch: &Watch, sake: Sake<'_>) -> Result<Option<Followed>> {
        let Some(bytes) = self.ports.filesystem.read_journal(id).await? else { return Ok(None) };
        let journal = Journal::decode(&bytes).map_err(|e| self.name_journal(id, e.into()))?;
        watch.progress(&Progress::begin(Phase::Recover));
        match journal.body {
            Body::Restore(records) => {
                let mut state = State::replay(&records).map_err(|e| self.name_journal(id, e.into()))?;
                if state.plan.workload.id != id {
                    return Err(
                        self.name_journal(id, Error::new(Code::Corrupt, "it is the journal of another workload"))
                    );
                }
                // Whoever decided may have stopped the app, and even have started it again.
                let up_all_along = (state.direction() != Direction::Undecided).then_some(false);
                let notes = Notes { recovered: true, up_all_along, ..Notes::default() };
                if let Some(anomaly) = self.other_host(&state.plan.host) {
                    let report = Box::new(Report::of(&state, Some(&anomaly), &notes));
                    return Ok(Some(Followed { item: RecoveredItem::Restore(report), is_own: false }));
                }
                let is_own = sake.asks_for(&state);
                if let Some(entry) = sake.first(&state) {
                    let record = crate::restore::Record { at: self.ports.clock.now(), entry };
                    state.append(record)?;
                    self.ports.filesystem.write_journal(id, &state.journal().encode()?).await?;
                }
                // What was prepared before the crash may be of containers that have been deployed anew since. An engine
                // that is not up yet leaves the journal as it is: a recovery that comes after it goes on.
                if state.resumes() && state.plan.has_containers() {
                    self.containers()?.discard(state.plan.restore).await?;
                }
                if state.resumes() {
                    // Those that ran before the crash may have been undone by it.
                    self.prelude(&mut state, watch).await?;
                }
                let report = self.drive(&mut state, watch, notes).await?;
                Ok(Some(Followed { item: RecoveredItem::Restore(Box::new(report)), is_own }))
            }
            Body::Snapshot(quiesced) => {
                Ok(Some(Followed { item: self.recover_snapshot(&quiesced).await?, is_own: false }))
            }
        }
    }

    /// Gives the app its life back after an interrupted snapshot.
    async fn recover_snapshot(&self, quiesced: &Quiesced) -> Result<RecoveredItem> {
        let Quiesced { workload, snapshot, .. } = quiesced;
        if let Some(anomaly) = self.other_host(&quiesced.host) {
            return Err(Error::new(Code::NeedsAttention, anomaly.to_string()).hint(anomaly.remedy()));
        }
        // With nothing to wake, it was written for the hooks that are due.
        if !quiesced.containers.is_empty() {
            self.resume(quiesced).await?;
        }
        self.ports.filesystem.sweep_drafts(workload.id).await?;
        let archive = match self.ports.filesystem.read_archive(workload.id, *snapshot).await {
            Ok(archive) => Some(archive),
            Err(error) if matches!(error.kind, FsErrorKind::NotFound | FsErrorKind::Corrupt) => None,
            // Whether it is complete is not known yet: the journal stays for a recovery that can read it.
            Err(error) => return Err(error.into()),
        };
        let complete = archive.is_some();
        if let Some(archive) = archive {
            self.ports.store.put_snapshot(&Snapshot::from(archive)).await?;
        }
        let around = Around { workload, snapshot: *snapshot, restore: None };
        let warnings = self.run_after(HookEvent::PostCreate, &around, outcome_of(complete)).await?;
        let detail = match warnings.is_empty() {
            true => json!({ "snapshot": snapshot, "complete": complete }),
            false => json!({ "snapshot": snapshot, "complete": complete, "warnings": warnings }),
        };
        let mut event = self.event(workload, EventKind::Recovered, "snapshot", detail);
        event.id = snapshot.0;
        self.tell(&event).await;
        self.ports.filesystem.remove_journal(workload.id).await?;
        Ok(RecoveredItem::Snapshot { workload: workload.name.clone(), snapshot: *snapshot, complete, warnings })
    }

    /// What was frozen is thawed, what was stopped is started.
    pub(super) async fn resume(&self, quiesced: &Quiesced) -> Result<()> {
        match quiesced.mode {
            Mode::Live => {}
            Mode::Pause => {
                let ids: Vec<_> = quiesced.containers.iter().map(|p| p.container.id.clone()).collect();
                self.containers()?.unpause(&ids).await?;
            }
            Mode::Stop => {
                let restore = RestoreId(quiesced.snapshot.0);
                self.containers()?.redeploy(restore, &quiesced.containers, Redeploy::Restart).await?;
            }
        }
        Ok(())
    }

    /// Another workload's open journal that speaks of one of these directories, or of one above or below: to restore or
    /// copy them now would take its half-done work for data. Or of one of these containers, by name: each of the two would
    /// take what the other does to it for what was found, and leave it so.
    pub(super) async fn neighbour(
        &self,
        id: WorkloadId,
        paths: &[PathBuf],
        containers: &[String],
    ) -> Result<Option<Neighbour>> {
        let touch = |a: &PathBuf, b: &PathBuf| a.starts_with(b) || b.starts_with(a);
        for other in self.ports.filesystem.journals().await?.into_iter().filter(|other| *other != id) {
            let Some(bytes) = self.ports.filesystem.read_journal(other).await? else { continue };
            // One that cannot be read names nothing; its own workload is blocked and told.
            let Ok(journal) = Journal::decode(&bytes) else { continue };
            let (workload, what, lives, names) = match journal.body {
                Body::Restore(records) => {
                    let Ok(State { plan, closed: false, .. }) = State::replay(&records) else { continue };
                    let names = plan.containers.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
                    (plan.workload.name.clone(), "restore", plan.live_paths(), names)
                }
                Body::Snapshot(quiesced) => {
                    let names = quiesced.containers.into_iter().map(|p| p.container.name).collect();
                    (quiesced.workload.name, "snapshot", Vec::new(), names)
                }
            };
            if paths.iter().any(|a| lives.iter().any(|b| touch(a, b))) {
                return Ok(Some(Neighbour { workload, what, shares: "directories" }));
            }
            if containers.iter().any(|name| names.contains(name)) {
                return Ok(Some(Neighbour { workload, what, shares: "containers" }));
            }
        }
        Ok(None)
    }

    /// What is open, and what recovery would do. Touches nothing.
    pub async fn outlook(&self, workload: Option<WorkloadId>) -> Result<Vec<Outlook>> {
        let mut outlooks = Vec::new();
        for id in self.ports.filesystem.journals().await? {
            if workload.is_none_or(|w| w == id)
                && let Some(bytes) = self.ports.filesystem.read_journal(id).await?
            {
                let mut outlook = self.outlook_of(id, &bytes).await;
                outlook.in_progress = self.ports.filesystem.lock(id).await.is_err();
                outlooks.push(outlook);
            }
        }
        Ok(outlooks)
    }

    async fn outlook_of(&self, id: WorkloadId, bytes: &[u8]) -> Outlook {
        let mut outlook = Outlook {
            workload_id: id,
            workload: None,
            restore_id: None,
            snapshot: None,
            phase: "unreadable".into(),
            would: "nothing: a person has to look; nothing is deleted".into(),
            leftovers: Vec::new(),
            in_progress: false,
            problem: None,
        };
        let read = Journal::decode(bytes).and_then(|journal| match journal.body {
            Body::Restore(records) => State::replay(&records).map(Ok),
            Body::Snapshot(quiesced) => Ok(Err(quiesced)),
        });
        match read {
            Err(error) => outlook.problem = Some(self.name_journal(id, error.into())),
            Ok(Err(quiesced)) => {
                outlook.workload = Some(quiesced.workload.name.clone());
                outlook.snapshot = Some(quiesced.snapshot);
                outlook.phase = "snapshot".into();
                outlook.would = would_wake(&quiesced);
            }
            Ok(Ok(state)) => {
                outlook.workload = Some(state.plan.workload.name.clone());
                outlook.restore_id = Some(state.plan.restore);
                outlook.snapshot = Some(state.plan.snapshot);
                outlook.phase = state.phase().into();
                outlook.would = would(&state).into();
                if state.plan.workload.has_hooks(HookEvent::PostRestore) {
                    outlook.would.push_str("; then run its post-restore hooks");
                }
                for volume in 0..state.plan.volumes.len() {
                    let private = state.plan.private(volume);
                    match self.ports.filesystem.look(&private).await {
                        Ok(crate::model::Sight::Absent) => {}
                        Ok(_) => outlook.leftovers.push(private.display().to_string()),
                        Err(error) => outlook.leftovers.push(error.to_string()),
                    }
                }
            }
        }
        outlook
    }

    /// The anomaly of a journal that was written on another machine; a machine without an id is not compared.
    fn other_host(&self, journal: &str) -> Option<Anomaly> {
        let here = self.ports.filesystem.host();
        let differs = !journal.is_empty() && !here.is_empty() && journal != here;
        differs.then(|| Anomaly::OtherHost { journal: journal.to_string() })
    }

    fn name_journal(&self, id: WorkloadId, error: Error) -> Error {
        error.context(format_args!(
            "workload {id} is blocked by its journal {}",
            self.ports.filesystem.state_dir().join("journal").join(format!("{id}.json")).display()
        ))
    }
}

/// What recovery does after an interrupted snapshot.
fn would_wake(quiesced: &Quiesced) -> String {
    let app = match (quiesced.mode, quiesced.containers.is_empty()) {
        // It was written for the hooks that are due.
        (Mode::Live, _) | (_, true) => None,
        (Mode::Pause, false) => Some("thaw the app"),
        (Mode::Stop, false) => Some("start the app again"),
    };
    let hooks = quiesced.workload.has_hooks(HookEvent::PostCreate).then_some("run its post-create hooks");
    let all: Vec<&str> = app.into_iter().chain(["remove the unfinished archive"]).chain(hooks).collect();
    match all.as_slice() {
        [first, second] => format!("{first} and {second}"),
        all => all.join(", "),
    }
}

fn would(state: &State) -> &'static str {
    match (state.direction(), state.is_settled(), &state.redeployed, state.closed) {
        (_, _, _, true) => "remove the journal: everything else is done",
        _ if state.captured.is_some() => "clean up",
        (Direction::Undecided, ..) if state.resumes() => {
            "go on with the restore: stage what is missing, put the restored data in place and bring the app back"
        }
        (Direction::Undecided, ..) => "roll back: remove what was staged, and bring the app back if it was stopped",
        (Direction::Forward, false, ..) => "roll forward: put the restored data in place and bring the app back",
        (Direction::Forward, true, None, _) => "bring the app back on the restored data, then archive the originals",
        (Direction::Forward, true, Some(_), _) => "archive the originals as a safety snapshot and clean up",
        (Direction::Back, false, ..) => "roll back: put the original data in place and bring the app back",
        (Direction::Back, true, None, _) => "bring the app back on the original data and clean up",
        (Direction::Back, true, Some(_), _) => "clean up",
    }
}
