//! Recovery: replay each open journal and drive on. Needs no catalog.

mod choice;
mod guide;
mod outlook;

use std::{path::PathBuf, sync::Arc};

use futures_util::{StreamExt, future, stream};
use serde::Serialize;
use serde_json::json;

pub use self::{choice::Take, outlook::Outlook};
use super::{Engine, RestoreRequest, hooks::Around, snapshot::outcome_of, unwell::well_before};
use crate::{
    error::{Code, Error, FsErrorKind, Result},
    model::{Container, HookEvent, Mode, RestoreId, Snapshot, SnapshotId, Workload, WorkloadId},
    ports::{About, EventKind, Phase, Progress, Quiet, Watch},
    restore::{
        Anomaly, Body, Entry, Facts, Journal, Record, Refusal, Report, State,
        facts::{Holds, Names},
        journal::Quiesced,
        judge,
        next::abort,
        plan::Method,
        report::{Notes, Outcome},
        state::Direction,
    },
};

/// Workloads that are recovered at the same time, at the most.
const RECOVERIES_AT_ONCE: usize = 16;

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
        /// Why the app is not back: the journal stays. `None` if it is back.
        #[serde(skip_serializing_if = "Option::is_none")]
        app_problem: Option<String>,
        /// The containers of it that are not there any more, and so do not run again.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        gone: Vec<String>,
        /// What its hooks complained of.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
    },
}

/// For whose sake a journal is followed.
#[derive(Clone, Copy)]
pub(super) enum Sake<'a> {
    /// Its own: an app that did not come back is tried once more.
    Itself,
    /// That of work which needs the workload at rest.
    Work,
    /// A restore's; `None` if it is not known yet what it asks for.
    Restore(Option<&'a RestoreRequest>),
}

impl Sake<'_> {
    /// Whether a restore can be resumed for one that asks for the same.
    fn asks_for(self, state: &State) -> bool {
        match self {
            Sake::Restore(Some(request)) => state.resumes() && request.asks_for(&state.plan),
            Sake::Restore(None) | Sake::Itself | Sake::Work => false,
        }
    }

    /// What is written down first, if anything.
    fn first(self, state: &State) -> Option<Entry> {
        match self {
            Sake::Restore(_) if !self.asks_for(state) => judge::superseded(state),
            Sake::Restore(_) | Sake::Itself | Sake::Work => judge::interrupted(state),
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
        neighbour.refusal().into()
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
        let ids = self.ports.journals.journals().await?.into_iter().filter(|id| workload.is_none_or(|w| w == *id));
        // Side by side: an app is not to wait for the health of another one. What one does never hangs on what another does.
        let recovering = stream::iter(ids).map(|id| async move {
            let result = self.recover_one(id, watch, Sake::Itself).await.transpose()?;
            Some(Recovered { workload: id, result })
        });
        Ok(recovering.buffered(RECOVERIES_AT_ONCE).filter_map(future::ready).collect().await)
    }

    /// The same for one workload that is about to be restored: a restore that could be resumed is rolled back (see
    /// [`judge::superseded`]).
    pub async fn make_way(&self, id: WorkloadId, watch: &Watch) -> Result<Option<RecoveredItem>> {
        match self.ports.journals.journals().await?.contains(&id) {
            true => self.recover_one(id, watch, Sake::Restore(None)).await,
            false => Ok(None),
        }
    }

    /// Whether a crash interrupted just this restore and it can be resumed: then [`Engine::restore`] goes on with it.
    pub async fn resumes(&self, request: &RestoreRequest) -> Result<bool> {
        let Some(bytes) = self.ports.journals.read_journal(request.workload.id).await? else { return Ok(false) };
        // One that cannot be read is not this restore's, and whoever goes on is told what is wrong with it.
        let Ok(Body::Restore(records)) = Journal::decode(&bytes).map(|journal| journal.body) else { return Ok(false) };
        Ok(State::replay(&records).is_ok_and(|state| state.resumes() && request.asks_for(&state.plan)))
    }

    async fn recover_one(&self, id: WorkloadId, watch: &Watch, sake: Sake<'_>) -> Result<Option<RecoveredItem>> {
        let engine = self.lock(id, &id.to_string(), watch).await?.deploys_of(id).await?;
        Ok(engine.follow_journal(id, watch, sake).await?.map(|followed| followed.item))
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
        match self.recover_held(id, watch, Sake::Work).await? {
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
        let Some(bytes) = self.ports.journals.read_journal(id).await? else { return Ok(None) };
        let journal = Journal::decode(&bytes).map_err(|e| self.name_journal(id, e.into()))?;
        match journal.body {
            Body::Restore(records) => {
                let mut state = State::replay(&records).map_err(|e| self.name_journal(id, e.into()))?;
                if state.plan.workload.id != id {
                    return Err(
                        self.name_journal(id, Error::new(Code::Corrupt, "it is the journal of another workload"))
                    );
                }
                let watch = &About::workload(watch, &state.plan.workload.name);
                watch.progress(&Progress::begin(Phase::Recover));
                // Whoever decided may have stopped the app, and even have started it again.
                let up_all_along = (state.direction() != Direction::Undecided).then_some(false);
                let notes = Notes { recovered: true, up_all_along, ..Notes::default() };
                let elsewhere = self.elsewhere(&state.plan.host, state.runtime()).await;
                // Before anything is believed of its containers: there may be others of the same names here.
                if let Some(anomaly) = elsewhere {
                    let report = Box::new(Report::of(&state, Some(&anomaly), &notes));
                    return Ok(Some(Followed { item: RecoveredItem::Restore(report), is_own: false }));
                }
                let (engine, _) = &self.claim(&state.plan.workload.name, &state.plan.live_paths()).await?;
                // Work that comes next takes over what is owed to the app. A restore may be the very remedy.
                match sake {
                    Sake::Itself => state.try_again(),
                    Sake::Work | Sake::Restore(_) => {}
                }
                let is_own = sake.asks_for(&state);
                if let Some(entry) = sake.first(&state) {
                    let record = Record { at: engine.ports.clock.now(), entry };
                    state.append(record)?;
                    engine.ports.journals.write_journal(id, &state.journal().encode()?).await?;
                }
                // What was prepared before the crash may be of containers that have been deployed anew since. An engine
                // that is not up yet leaves the journal as it is: a recovery that comes after it goes on.
                if state.resumes() && state.plan.has_containers() {
                    engine.containers()?.discard(state.plan.restore).await?;
                }
                if state.resumes() {
                    // Those that ran before the crash may have been undone by it.
                    engine.prelude(&mut state, watch).await?;
                }
                let report = engine.drive(&mut state, watch, notes).await?;
                Ok(Some(Followed { item: RecoveredItem::Restore(Box::new(report)), is_own }))
            }
            // Nothing was interrupted, and work that comes next takes over what is owed to the app.
            Body::Snapshot(quiesced) if quiesced.waits_for_the_app() && !matches!(sake, Sake::Itself) => Ok(None),
            Body::Snapshot(quiesced) => {
                let watch = &About::workload(watch, &quiesced.workload.name);
                watch.progress(&Progress::begin(Phase::Recover));
                Ok(Some(Followed { item: self.recover_snapshot(*quiesced, watch, sake).await?, is_own: false }))
            }
        }
    }

    /// Gives the app its life back after an interrupted snapshot.
    async fn recover_snapshot(&self, quiesced: Quiesced, watch: &Watch, sake: Sake<'_>) -> Result<RecoveredItem> {
        if let Some(anomaly) = self.elsewhere(&quiesced.host, quiesced.runtime.as_deref()).await {
            return Err(attention(&quiesced.workload, &anomaly));
        }
        let places = self.quieted_places(&quiesced).await;
        let engine = &match quiesced.containers.is_empty() {
            true => self.clone(),
            false => self.claim(&quiesced.workload.name, &places).await?.0,
        };
        let pinned = quiesced.containers.clone();
        // With nothing to wake, it was written for the hooks that are due, or for what is down.
        let frozen = well_before(&quiesced);
        engine.end_stops_of(&quiesced).await?;
        let mut quiesced = engine.wake(quiesced).await?;
        let gone = match pinned.is_empty() {
            true => Vec::new(),
            false => engine.standing(&quiesced.workload, pinned).await?.1,
        };
        let missed: Vec<&Container> = gone.iter().filter(|container| !passes(container)).collect();
        if !missed.is_empty() && !engine.without_missing {
            let names = missed.into_iter().map(|container| container.name.clone()).collect();
            return Err(attention(&quiesced.workload, &Anomaly::MembersGone { names }));
        }
        if !quiesced.down.is_empty() && matches!(sake, Sake::Itself) {
            quiesced = engine.start_what_is_down(quiesced).await?;
        }
        let Quiesced { workload, snapshot, .. } = &quiesced;
        engine.ports.archives.sweep_drafts(workload.id).await?;
        let archive = match engine.ports.archives.read_archive(workload.id, *snapshot).await {
            Ok(archive) => Some(archive),
            Err(error) if matches!(error.kind, FsErrorKind::NotFound | FsErrorKind::Corrupt) => None,
            // Whether it is complete is not known yet: the journal stays for a recovery that can read it.
            Err(error) => return Err(error.into()),
        };
        let complete = archive.is_some();
        if let Some(archive) = archive {
            engine.ports.store.put_snapshot(&Snapshot::from(archive)).await?;
        }
        let around = Around { workload, snapshot: *snapshot, restore: None };
        let mut warnings = engine.run_after(HookEvent::PostCreate, &around, outcome_of(complete)).await?;
        warnings.extend(gone.iter().map(|c| format!("container {} is not there any more", c.name)));
        let detail = match warnings.is_empty() {
            true => json!({ "snapshot": snapshot, "complete": complete }),
            false => json!({ "snapshot": snapshot, "complete": complete, "warnings": warnings }),
        };
        let mut event = engine.event(workload, EventKind::Recovered, "snapshot", detail);
        event.id = snapshot.0;
        engine.tell(&event).await;
        engine.lay_down(&quiesced).await?;
        if matches!(sake, Sake::Itself) {
            // All else is done: it is only waited for.
            warnings.extend(engine.unwell(&frozen, watch).await);
        }
        let Quiesced { workload, snapshot, problem: app_problem, .. } = quiesced;
        let gone = gone.into_iter().map(|container| container.name).collect();
        Ok(RecoveredItem::Snapshot { workload: workload.name, snapshot, complete, app_problem, gone, warnings })
    }

    /// Where the volumes of an interrupted snapshot are. What cannot be found is not held: its app is woken all the same.
    async fn quieted_places(&self, quiesced: &Quiesced) -> Vec<PathBuf> {
        let containers: Vec<Container> = quiesced.containers.iter().map(|pinned| pinned.container.clone()).collect();
        let mut places = Vec::new();
        for volume in quiesced.workload.resolve(&containers).volumes {
            places.extend(self.ports.filesystem.locate(&volume.path).await.map(|location| location.real).ok());
        }
        places
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
        for other in self.ports.journals.journals().await?.into_iter().filter(|other| *other != id) {
            let Some(bytes) = self.ports.journals.read_journal(other).await? else { continue };
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
            let (own, theirs) = (self.all_placed(paths).await, self.all_placed(&lives).await);
            if own.iter().any(|a| theirs.iter().any(|b| a.overlaps(b))) {
                return Ok(Some(Neighbour { workload, what, shares: "directories" }));
            }
            if containers.iter().any(|name| names.contains(name)) {
                return Ok(Some(Neighbour { workload, what, shares: "containers" }));
            }
        }
        Ok(None)
    }

    /// The anomaly of a journal that is to be followed elsewhere, on that machine or that container engine.
    async fn elsewhere(&self, host: &str, runtime: Option<&str>) -> Option<Anomaly> {
        match self.other_host(host) {
            Some(anomaly) => Some(anomaly),
            None => self.other_engine(runtime).await,
        }
    }

    /// The anomaly of a journal that was written on another machine; a machine without an id is not compared.
    pub(super) fn other_host(&self, journal: &str) -> Option<Anomaly> {
        let here = self.ports.filesystem.host();
        let differs = !journal.is_empty() && !here.is_empty() && journal != here;
        differs.then(|| Anomaly::OtherHost { journal: journal.to_string() })
    }

    /// The same of a journal whose containers are on another engine than the one that answers. One that does not answer is
    /// not compared: what needs it fails, and the journal stays.
    pub(super) async fn other_engine(&self, journal: Option<&str>) -> Option<Anomaly> {
        let journal = journal.filter(|_| !self.without_missing)?;
        let here = self.ports.containers.as_ref()?.info().await.ok()?.id?;
        (here != journal).then(|| Anomaly::OtherEngine { journal: journal.to_string() })
    }

    pub(super) fn name_journal(&self, id: WorkloadId, error: Error) -> Error {
        error.context(format_args!(
            "workload {id} is blocked by its journal {}",
            self.ports.journals.journal_path(id).display()
        ))
    }
}

/// A container that ends and goes by itself is not missed.
fn passes(container: &Container) -> bool {
    container.particulars.removes_itself || container.particulars.is_one_off
}

fn attention(workload: &Workload, anomaly: &Anomaly) -> Error {
    let message = format!("an interrupted snapshot of {}: {anomaly}", workload.name);
    Error::new(Code::NeedsAttention, message).hint(anomaly.remedy(&workload.name))
}
