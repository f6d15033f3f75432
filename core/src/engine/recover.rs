//! Recovery: replay each open journal and drive on. Needs no catalog.

use std::{path::PathBuf, sync::Arc};

use serde::Serialize;
use serde_json::json;

use super::{Engine, RestoreRequest, hooks::Around, snapshot::outcome_of};
use crate::{
    error::{Code, Error, FsErrorKind, Result},
    model::{Container, HookEvent, Mode, RestoreId, Snapshot, SnapshotId, Workload, WorkloadId},
    ports::{EventKind, Phase, Progress, Quiet, Watch},
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

/// Which directories a person wants to be live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Those that were there before the restore.
    Original,
    /// Those that were staged.
    Restored,
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

    /// Brings an open restore to its end where its directories are not recognised any more, since their filesystem gives
    /// them other identities when they are renamed: from here on the names in the private directories tell which is
    /// which. A person asks for it, having looked, and says which of the two is to be live.
    ///
    /// Refused unless the names of each volume tell of both directories. What is decided is written down before anything
    /// is renamed, so that a crash leaves a restore that [`Engine::recover`] brings to the end that was chosen.
    pub async fn recover_named(&self, id: WorkloadId, take: Take, watch: &Watch) -> Result<RecoveredItem> {
        let name = id.to_string();
        let _lock = self.lock(id, &name).await?;
        let _deploy = match &self.ports.containers {
            Some(containers) => Some(super::deploy_lease(containers.as_ref(), id).await?),
            None => None,
        };
        let Some(bytes) = self.ports.filesystem.read_journal(id).await? else {
            return Err(Error::new(Code::NotFound, format!("no operation on workload {name} is open"))
                .hint("`volsnap status` shows what is"));
        };
        let journal = Journal::decode(&bytes).map_err(|e| self.name_journal(id, e.into()))?;
        let Body::Restore(records) = journal.body else {
            return Err(Error::new(Code::Refused, "what is open is a snapshot, which replaces nothing")
                .hint("run `volsnap recover` without --take"));
        };
        let mut state = State::replay(&records).map_err(|e| self.name_journal(id, e.into()))?;
        if let Some(anomaly) = self.other_host(&state.plan.host) {
            return Err(Error::new(Code::NeedsAttention, anomaly.to_string()).hint(anomaly.remedy()));
        }
        let _claim = self.claim(&state.plan.workload.name, &state.plan.live_paths()).await?;
        let entries = self.choice(&state, take).await?;
        for entry in entries {
            state.append(Record { at: self.ports.clock.now(), entry })?;
        }
        // In one step: which directory is which, and which of them is to be live.
        self.ports.filesystem.write_journal(id, &state.journal().encode()?).await?;
        watch.progress(&Progress::begin(Phase::Recover));
        let up_all_along = Some(false);
        let notes = Notes { recovered: true, up_all_along, ..Notes::default() };
        Ok(RecoveredItem::Restore(Box::new(self.drive(&mut state, watch, notes).await?)))
    }

    /// What has to be written down for a person's choice, if it can be followed.
    async fn choice(&self, state: &State, take: Take) -> Result<Vec<Entry>> {
        let name = &state.plan.workload.name;
        let refuse = |message: String| {
            Err(Error::new(Code::Refused, message).hint(format!("`volsnap recover {name}` goes on without a choice")))
        };
        if state.committed.is_none() || state.is_settled() {
            return refuse(format!("the restore of {name} has nothing to choose: no directory of it is on its way"));
        }
        if state.direction() == Direction::Back && take == Take::Restored {
            return refuse(format!("the restore of {name} is on its way back to the original data, and stays so"));
        }
        let volumes = self.places(state).await?;
        let facts = Facts { volumes, ..Facts::default() };
        for (volume, planned) in state.plan.volumes.iter().enumerate() {
            let names = facts.names(state, volume);
            let is_known = |names: Names| {
                let holds = |what| [names.live, names.staged, names.aside].contains(&what);
                holds(Holds::Restored) && (holds(Holds::Original) || planned.original.is_none())
            };
            let told = match planned.method {
                Method::TwoRenames => facts.volumes[volume].named(names),
                Method::Exchange | Method::New | Method::ByEntry => None,
            };
            if !is_known(names) && !told.is_some_and(is_known) {
                let (live, private) = (planned.live.display(), state.plan.private(volume));
                return Err(Error::new(
                    Code::NeedsAttention,
                    format!("the names at {live} and in {} do not tell which directory is which", private.display()),
                )
                .hint("the original belongs at the live name or at `aside` in the private directory, the restored data at `staged`; move them there, then run this again"));
            }
        }
        let named = (!state.named).then_some(Entry::Named);
        let turn = match (take, state.direction()) {
            (Take::Original, Direction::Forward) => Some(abort(Code::Aborted, "the original data were chosen")),
            (Take::Original, Direction::Undecided | Direction::Back) | (Take::Restored, _) => None,
        };
        Ok(named.into_iter().chain(turn).collect())
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
                let elsewhere = self.elsewhere(&state.plan.host, state.plan.runtime.as_deref()).await;
                // Before anything is believed of its containers: there may be others of the same names here.
                if let Some(anomaly) = elsewhere {
                    let report = Box::new(Report::of(&state, Some(&anomaly), &notes));
                    return Ok(Some(Followed { item: RecoveredItem::Restore(report), is_own: false }));
                }
                let _claim = self.claim(&state.plan.workload.name, &state.plan.live_paths()).await?;
                // Work that comes next takes over what is owed to the app. A restore may be the very remedy.
                match sake {
                    Sake::Itself => state.try_again(),
                    Sake::Work | Sake::Restore(_) => {}
                }
                let is_own = sake.asks_for(&state);
                if let Some(entry) = sake.first(&state) {
                    let record = Record { at: self.ports.clock.now(), entry };
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
            // Nothing was interrupted, and work that comes next takes over what is owed to the app.
            Body::Snapshot(quiesced) if quiesced.waits_for_the_app() && !matches!(sake, Sake::Itself) => Ok(None),
            Body::Snapshot(quiesced) => {
                Ok(Some(Followed { item: self.recover_snapshot(*quiesced, sake).await?, is_own: false }))
            }
        }
    }

    /// Gives the app its life back after an interrupted snapshot.
    async fn recover_snapshot(&self, quiesced: Quiesced, sake: Sake<'_>) -> Result<RecoveredItem> {
        if let Some(anomaly) = self.elsewhere(&quiesced.host, quiesced.runtime.as_deref()).await {
            return Err(attention(&quiesced.workload, &anomaly));
        }
        let places = self.quieted_places(&quiesced).await;
        let _claim = match quiesced.containers.is_empty() {
            true => None,
            false => Some(self.claim(&quiesced.workload.name, &places).await?),
        };
        let pinned = quiesced.containers.clone();
        // With nothing to wake, it was written for the hooks that are due, or for what is down.
        let mut quiesced = self.wake(quiesced).await?;
        let mut gone = match pinned.is_empty() {
            true => Vec::new(),
            false => self.standing(&quiesced.workload, pinned).await?.1,
        };
        gone.retain(|container| !passes(container));
        if !gone.is_empty() && !self.without_missing {
            let names = gone.into_iter().map(|container| container.name).collect();
            return Err(attention(&quiesced.workload, &Anomaly::MembersGone { names }));
        }
        if !quiesced.down.is_empty() && matches!(sake, Sake::Itself) {
            quiesced = self.start_what_is_down(quiesced).await?;
        }
        let Quiesced { workload, snapshot, .. } = &quiesced;
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
        let mut warnings = self.run_after(HookEvent::PostCreate, &around, outcome_of(complete)).await?;
        warnings.extend(gone.iter().map(|c| format!("container {} is not there any more", c.name)));
        let detail = match warnings.is_empty() {
            true => json!({ "snapshot": snapshot, "complete": complete }),
            false => json!({ "snapshot": snapshot, "complete": complete, "warnings": warnings }),
        };
        let mut event = self.event(workload, EventKind::Recovered, "snapshot", detail);
        event.id = snapshot.0;
        self.tell(&event).await;
        self.lay_down(&quiesced).await?;
        let Quiesced { workload, snapshot, problem: app_problem, .. } = quiesced;
        Ok(RecoveredItem::Snapshot { workload: workload.name, snapshot, complete, app_problem, warnings })
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
                let elsewhere = self.elsewhere(&quiesced.host, quiesced.runtime.as_deref()).await;
                outlook.problem = elsewhere.map(|anomaly| attention(&quiesced.workload, &anomaly));
                outlook.workload = Some(quiesced.workload.name.clone());
                outlook.snapshot = Some(quiesced.snapshot);
                outlook.phase = "snapshot".into();
                outlook.would = would_wake(&quiesced);
            }
            Ok(Ok(state)) => {
                let elsewhere = self.elsewhere(&state.plan.host, state.plan.runtime.as_deref()).await;
                outlook.problem = elsewhere
                    .map(|anomaly| Error::new(Code::NeedsAttention, anomaly.to_string()).hint(anomaly.remedy()));
                outlook.workload = Some(state.plan.workload.name.clone());
                outlook.restore_id = Some(state.plan.restore);
                outlook.snapshot = Some(state.plan.snapshot);
                outlook.phase = state.phase().into();
                outlook.would = would(&state);
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

    /// The anomaly of a journal that is to be followed elsewhere, on that machine or that container engine.
    async fn elsewhere(&self, host: &str, runtime: Option<&str>) -> Option<Anomaly> {
        match self.other_host(host) {
            Some(anomaly) => Some(anomaly),
            None => self.other_engine(runtime).await,
        }
    }

    /// The anomaly of a journal that was written on another machine; a machine without an id is not compared.
    fn other_host(&self, journal: &str) -> Option<Anomaly> {
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
            self.ports.filesystem.state_dir().join("journal").join(format!("{id}.json")).display()
        ))
    }
}

/// A container that ends and goes by itself is not missed.
fn passes(container: &Container) -> bool {
    container.particulars.removes_itself || container.particulars.is_one_off
}

fn attention(workload: &Workload, anomaly: &Anomaly) -> Error {
    let message = format!("an interrupted snapshot of {}: {anomaly}", workload.name);
    Error::new(Code::NeedsAttention, message).hint(anomaly.remedy())
}

/// What recovery does after an interrupted snapshot.
fn would_wake(quiesced: &Quiesced) -> String {
    let app = match (quiesced.mode, quiesced.containers.is_empty()) {
        (_, true) if !quiesced.down.is_empty() => {
            let why = quiesced.problem.as_deref().unwrap_or("nobody knows why");
            return format!("start the app again, which did not come back ({why})");
        }
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

fn would(state: &State) -> String {
    let what = match (state.direction(), state.is_settled(), &state.redeployed, state.closed) {
        (_, _, _, true) => "remove the journal: everything else is done",
        (_, _, Some(Some(problem)), _) if state.waits_for_the_app() => {
            return format!("start the app again, which did not come back ({problem}); all else is done");
        }
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
    };
    what.into()
}
