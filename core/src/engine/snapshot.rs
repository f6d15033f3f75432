//! Taking a snapshot: copy the volumes while the app runs, quiet it, capture what changed, wake it, put the archive
//! together and make it durable.

mod quiet;
mod sources;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use serde_json::json;

use self::sources::{Root, Sources, warnings};
use super::{Engine, act::images, hooks::Around, reach::Reach, unwell::well_before};
use crate::{
    error::{Code, EngineError, EngineErrorKind, Error, FsErrorKind, Result},
    model::{
        ARCHIVE_FORMAT, Container, HookEvent, Identity, Manifest, ManifestVolume, Mode, Occupant, Origin, Particulars,
        Pinned, Resolved, RestartPolicy, RunState, Snapshot, SnapshotId, Workload, parts,
    },
    ports::{About, ArchiveSource, DraftArchive, EventKind, Phase, Precopy, Progress, Retold, Watch},
    restore::{
        Body, Refusal,
        anew::starts_no_more,
        journal::Quiesced,
        preflight::{self, starts_no_second_time},
    },
};

/// What to snapshot, and how.
#[derive(Clone, Debug)]
pub struct SnapshotRequest {
    /// The workload.
    pub workload: Workload,
    /// What the app does meanwhile.
    pub mode: Mode,
    /// What the user says about it.
    pub note: Option<String>,
}

impl SnapshotRequest {
    /// Of one point in time, without a note.
    #[must_use]
    pub fn of(workload: Workload) -> Self {
        SnapshotRequest { workload, mode: Mode::Pause, note: None }
    }
}

/// A snapshot that was taken, and what was noticed.
#[derive(Clone, Debug)]
pub struct Snapshotted {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// What needs a look.
    pub warnings: Vec<String>,
    /// What the hooks after it complained of.
    pub complaints: Vec<String>,
}

impl Engine {
    /// Takes a snapshot of all volumes of a workload.
    pub async fn create(&self, request: &SnapshotRequest, watch: &Watch) -> Result<Snapshotted> {
        let watch = &About::workload(watch, &request.workload.name);
        let engine = &self.hold(&request.workload, watch).await?;
        engine.recover_or_refuse(request.workload.id, watch).await?;
        // Before anything is looked at, and long before an app is quiet: it is not to wait for other workloads then.
        let engine = &engine.reserved(watch).await?;
        let mut workload = engine.hooked(&request.workload);
        // Now that nobody else can give names: somebody may have since the request was made.
        if let Some(registered) = engine.ports.store.workloads().await?.into_iter().find(|w| w.id == workload.id) {
            workload.known = registered.known;
        }
        let request = &SnapshotRequest { workload, ..request.clone() };
        let down = engine.owed(request.workload.id).await?.unwrap_or_default();
        let mut created = engine.create_held(request, down, watch).await;
        if let Err(error) = &mut created
            && error.code == Code::Aborted
            && watch.cancelled()
        {
            let name = &request.workload.name;
            *error =
                error.clone().context(format_args!("the snapshot of {name} was given up, and nothing of it is left"));
        }
        if let Err(error) = &created {
            let detail = json!({ "code": error.code, "message": error.message });
            engine.tell(&engine.event(&request.workload, EventKind::SnapshotFailed, "failed", detail)).await;
        }
        created
    }

    async fn create_held(&self, request: &SnapshotRequest, down: Vec<Pinned>, watch: &Watch) -> Result<Snapshotted> {
        self.ports.archives.sweep_drafts(request.workload.id).await?;
        let seen = self.see_volumes(&request.workload).await?;
        let snapshot = SnapshotId(self.ports.clock.fresh_id());
        let journal = self.quiesced(request, snapshot, down);
        match request.workload.hooks.is_empty() {
            true => self.take(request, journal, seen, watch).await,
            false => {
                // Seen, and held, again when the hooks before it have run.
                drop(seen);
                self.take_between_hooks(request, journal, watch).await
            }
        }
    }

    /// Between the hooks before and after it. The app is not touched before the first of them have succeeded.
    async fn take_between_hooks(
        &self,
        request: &SnapshotRequest,
        journal: Quiesced,
        watch: &Watch,
    ) -> Result<Snapshotted> {
        let workload = &request.workload;
        let around = Around { workload, snapshot: journal.snapshot, restore: None };
        let is_due = workload.has_hooks(HookEvent::PostCreate);
        if is_due {
            // Written before the first of them runs: whoever finds the journal runs those that come after.
            let runtime = self.runtime(workload).await?;
            self.write_quiesced(&Quiesced { runtime, ..journal.clone() }).await?;
        }
        let taken = match self.run_before(HookEvent::PreCreate, &around, watch).await {
            // They may have changed what there is to see.
            Ok(()) => match self.see_volumes(workload).await {
                Ok(seen) => self.take(request, journal.clone(), seen, watch).await,
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        // An app that could not be woken comes first, in the recovery that follows the journal.
        if !is_due || self.is_quiesced(workload.id).await {
            return taken;
        }
        let name = &workload.name;
        let complaints = match self.run_after(HookEvent::PostCreate, &around, outcome_of(taken.is_ok())).await {
            Ok(complaints) => {
                match self.journal_body(workload.id).await? {
                    // What could not be woken stays remembered.
                    Some(Body::Snapshot(quiesced)) => self.lay_down(&quiesced).await?,
                    Some(Body::Restore(_)) | None => {}
                }
                complaints
            }
            Err(error) => {
                vec![format!("its post-create hooks have not run ({error}); `volsnap recover {name}` runs them")]
            }
        };
        match taken {
            Ok(mut taken) => {
                taken.complaints = complaints;
                Ok(taken)
            }
            Err(error) if complaints.is_empty() => Err(error),
            Err(error) => {
                let hint = error.hint.clone().map_or_else(String::new, |hint| format!("{hint}; "));
                Err(error.hint(format!("{hint}besides, {}", complaints.join("; "))))
            }
        }
    }

    /// What is to be read, if nothing speaks against it.
    async fn see_volumes(&self, workload: &Workload) -> Result<Seen> {
        let members = self.members(workload).await?;
        let resolved = self.name_volumes(workload, &members).await?;
        if members.is_empty() && resolved.volumes.is_empty() && !workload.selector.is_empty() {
            let Refusal { message, hint } = preflight::no_containers(workload);
            return Err(Error::new(Code::Refused, message).hint(hint));
        }
        let Sources { volumes, sources, roots, places } = self.sources(workload, &resolved).await?;
        self.refuse_neighbour(workload, &sources, &names(&members)).await?;
        let (engine, unguarded) = self.claim(&workload.name, &places).await?;
        Ok(Seen { engine, members, resolved, volumes, sources, roots, unguarded })
    }

    async fn refuse_neighbour(&self, workload: &Workload, sources: &[ArchiveSource], members: &[String]) -> Result<()> {
        let neighbour = self.neighbour(workload.id, &roots(sources), members).await?;
        neighbour.map_or(Ok(()), |neighbour| Err(neighbour.into()))
    }

    /// Members are stopped only where they can be kept so.
    async fn refuse_unheld(&self, mode: Mode, members: &[Container]) -> Result<()> {
        let is_revived = |member: &&Container| !member.restart_policy.is_never() && disturbs(mode, member);
        let stopped: Vec<_> = members.iter().filter(|member| mode == Mode::Stop && is_revived(member)).collect();
        if stopped.is_empty() {
            return Ok(());
        }
        match self.containers()?.info().await?.cannot_hold(stopped) {
            None => Ok(()),
            Some(Refusal { message, hint }) => {
                Err(Error::new(Code::Refused, message).hint(format!("{hint}; `--mode pause` needs no change of it")))
            }
        }
    }

    async fn take(
        &self,
        request: &SnapshotRequest,
        journal: Quiesced,
        seen: Seen,
        watch: &Watch,
    ) -> Result<Snapshotted> {
        let snapshot = journal.snapshot;
        // It holds the directories until the archive is sealed and the app is awake.
        let Seen { engine, members, resolved, volumes, sources, roots, unguarded } = seen;
        refuse_members(request, &members)?;
        // Before there is a snapshot that has these names.
        let workload = &engine.remember(&request.workload, &resolved).await?;
        let created_at = engine.ports.clock.now();
        // Given out before anything is read: a catalog that takes nothing is found out while the app runs.
        let sequence = engine.ports.store.advance(engine.restored_at(workload.id).await?).await?;
        let manifest = Manifest {
            format: ARCHIVE_FORMAT,
            snapshot,
            workload: workload.id,
            workload_name: workload.name.clone(),
            source: workload.source.clone(),
            created_at,
            mode: request.mode,
            origin: Origin::Manual,
            note: request.note.clone(),
            images: images(members.iter().filter(|c| lasts(c))),
            volumes,
            registration: Some(engine.registration(workload, created_at)),
            imported: None,
            sequence: Some(sequence),
        };
        engine.refuse_unheld(request.mode, &members).await?;
        watch.progress(&Progress::begin(Phase::Archive));
        let (members, precopy) = match members.iter().any(|c| disturbs(request.mode, c)) {
            // The app is not touched yet: an ordinary failure here, such as a full disk, costs it nothing.
            true => match engine.ports.archives.precopy(&manifest, &sources, watch.clone()).await? {
                Some(precopy) => {
                    engine.same_roots(&roots).await?;
                    (engine.unmoved(workload, &manifest, &sources).await?, Some(precopy))
                }
                None => (members, None),
            },
            false => (members, None),
        };
        // They may be other ones by now.
        refuse_members(request, &members)?;
        let mut outsiders = engine.outsiders(request, &members, &sources).await?;
        let reading =
            Reading { manifest: &manifest, sources: &sources, roots: &roots, members: names(&members), precopy };
        let dependants = match request.mode {
            Mode::Stop => engine.dependants(&members).await?,
            Mode::Pause | Mode::Live => Vec::new(),
        };
        let is_member = |c: &Container| members.iter().any(|m| m.id == c.id);
        let (revived, cut_off): (Vec<_>, Vec<_>) =
            dependants.into_iter().filter(|(c, _)| !is_member(c)).partition(|(c, _)| c.particulars.can_start_again());
        // They lose what they use of a member with its stop; one that cannot be started again loses nothing more.
        let cut_off = cut_off.iter().filter_map(|(c, p)| Some(preflight::cut_off(c, p, starts_no_second_time(c)?)));
        outsiders.extend(cut_off);
        let revived = revived.into_iter().map(|(container, _)| container);
        let disturbed = members.into_iter().filter(|c| disturbs(request.mode, c));
        let members = disturbed.map(|container| Pinned { container, member: true });
        let containers: Vec<Pinned> =
            members.chain(revived.map(|container| Pinned { container, member: false })).collect();
        let runtime = match containers.is_empty() {
            true => None,
            false => engine.runtime(workload).await?,
        };
        let quiesced = Quiesced { containers, runtime, at: engine.ports.clock.now(), ..journal };
        let frozen = well_before(&quiesced);
        let (draft, quiesced_ms, app_problem) = engine.read_quietly(quiesced, reading, watch).await?;
        let archive = draft.seal(quiesced_ms).await?;
        let snapshot = Snapshot::from(archive);
        engine.ports.store.put_snapshot(&snapshot).await?;
        let mut warnings = warnings(&snapshot, &resolved);
        warnings.extend(unguarded);
        warnings.extend(engine.concerns(workload).await);
        warnings.extend(outsiders);
        warnings.extend(engine.unwell(&frozen, watch).await);
        let detail = json!({ "snapshot": snapshot.id(), "mode": request.mode, "warnings": warnings });
        engine.tell(&engine.event(workload, EventKind::SnapshotCreated, "created", detail)).await;
        if let Some(problem) = app_problem {
            let name = &workload.name;
            let message = format!(
                "snapshot {} of {name} was taken, and the app did not come back after it: {problem}",
                snapshot.id()
            );
            return Err(Error::new(Code::NeedsAttention, message)
                .hint(format!("see to what keeps it down, then run `volsnap recover {name}`: it knows what ran")));
        }
        Ok(Snapshotted { snapshot, warnings, complaints: Vec::new() })
    }

    /// The journal of a snapshot before anything is disturbed for it, for an app of which an earlier operation left those
    /// down.
    fn quiesced(&self, request: &SnapshotRequest, snapshot: SnapshotId, down: Vec<Pinned>) -> Quiesced {
        Quiesced {
            workload: request.workload.clone(),
            host: self.ports.filesystem.host(),
            runtime: None,
            snapshot,
            mode: request.mode,
            containers: Vec::new(),
            problem: (!down.is_empty()).then(|| "an earlier operation left it down".to_string()),
            down,
            at: self.ports.clock.now(),
        }
    }

    /// The engine that has the workload's containers, by its id.
    async fn runtime(&self, workload: &Workload) -> Result<Option<String>> {
        match workload.selector.is_empty() {
            true => Ok(None),
            false => Ok(self.containers()?.info().await?.id),
        }
    }

    /// Reads the volumes while the app is quiet, and wakes it as soon as what they are is held fast, whatever happened.
    async fn read_quietly(
        &self,
        mut quiesced: Quiesced,
        reading: Reading<'_>,
        watch: &Watch,
    ) -> Result<(Box<dyn DraftArchive>, u64, Option<String>)> {
        let (sources, members) = (reading.sources, reading.members.clone());
        if quiesced.containers.is_empty() {
            let draft = self.read(reading, watch).await?;
            // Nobody had to be quieted when it began. That says nothing of those who came since.
            self.still_quiet(&quiesced).await?;
            self.refuse_neighbour(&quiesced.workload, sources, &members).await?;
            return Ok((draft, 0, None));
        }
        // Written before the app is touched: whoever finds the journal wakes the app.
        self.write_quiesced(&quiesced).await?;
        // Asked now that this journal can be seen: of two that begin at once, at least one sees the other.
        if let Err(error) = self.refuse_neighbour(&quiesced.workload, sources, &members).await {
            self.put_down(&quiesced).await?;
            return Err(error);
        }
        let began = self.ports.clock.monotonic();
        let drafted = self.read_stilled(&mut quiesced, reading, watch).await;
        let (name, before) = (quiesced.workload.name.clone(), quiesced.problem.clone());
        // A stop that failed may be under way yet.
        let ended = match &drafted {
            Ok(_) => Ok(()),
            Err(_) => self.end_stops_of(&quiesced).await,
        };
        let woken = match ended {
            Ok(()) => self.wake(quiesced).await,
            Err(error) => Err(error),
        };
        let quiesced_ms = self.ports.clock.monotonic().saturating_sub(began).as_millis();
        let woken = woken.map_err(|e| {
            let error = e.context(format_args!("{name} was not woken after its snapshot"));
            Error { code: Code::NeedsAttention, ..error }.hint(format!("run `volsnap recover {name}`"))
        })?;
        self.put_down(&woken).await?;
        let is_new = woken.problem != before;
        let app_problem = woken.problem.filter(|_| is_new);
        match (drafted, app_problem) {
            (Ok(draft), app_problem) => Ok((draft, u64::try_from(quiesced_ms).unwrap_or(u64::MAX), app_problem)),
            (Err(error), None) => Err(error),
            (Err(error), Some(problem)) => {
                let message = format!("{error}; and the app did not come back: {problem}");
                Err(Error::new(Code::NeedsAttention, message).hint(format!("run `volsnap recover {name}`")))
            }
        }
    }

    async fn read_stilled(
        &self,
        quiesced: &mut Quiesced,
        reading: Reading<'_>,
        watch: &Watch,
    ) -> Result<Box<dyn DraftArchive>> {
        self.quiet(quiesced).await?;
        let draft = self.read(reading, watch).await?;
        self.still_quiet(quiesced).await?;
        Ok(draft)
    }

    async fn read(&self, reading: Reading<'_>, watch: &Watch) -> Result<Box<dyn DraftArchive>> {
        let Reading { manifest, sources, roots, precopy, members: _ } = reading;
        let draft = match precopy {
            Some(precopy) => {
                let watch: Watch = Arc::new(Retold::new(watch.clone(), Phase::CatchUp, BTreeMap::new()));
                precopy.capture(watch).await?
            }
            None => self.ports.archives.draft_archive(manifest, sources, watch.clone()).await?,
        };
        self.same_roots(roots).await?;
        Ok(draft)
    }
}

/// What a workload has, as seen just now.
struct Seen {
    members: Vec<Container>,
    resolved: Resolved,
    volumes: Vec<ManifestVolume>,
    sources: Vec<ArchiveSource>,
    roots: Vec<Root>,
    /// Holds the directories.
    engine: Engine,
    /// What is to be said of those that others could not be kept from.
    unguarded: Vec<String>,
}

/// How a snapshot ended, as its hooks are told.
pub(super) fn outcome_of(complete: bool) -> &'static str {
    if complete { "created" } else { "failed" }
}

/// What is to be read, and what of it was copied before.
struct Reading<'a> {
    manifest: &'a Manifest,
    sources: &'a [ArchiveSource],
    roots: &'a [Root],
    /// The names of all members.
    members: Vec<String>,
    precopy: Option<Box<dyn Precopy>>,
}

/// How a container is made quiet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    Frozen,
    Stopped,
}

impl Rest {
    /// What is done to a container for a snapshot in this mode, by what it was when it was looked at first; `None` if it
    /// is left alone.
    pub(super) fn of(mode: Mode, container: &Container) -> Option<Rest> {
        match (mode, container.run) {
            (Mode::Live, _) | (_, RunState::Stopped) | (Mode::Pause, RunState::Paused) => None,
            // Between two runs there is nothing to freeze, and the next one would begin in the middle.
            (Mode::Pause, RunState::Running) if container.particulars.is_restarting => Some(Rest::Stopped),
            (Mode::Pause, RunState::Running) => Some(Rest::Frozen),
            (Mode::Stop, RunState::Running | RunState::Paused) => Some(Rest::Stopped),
        }
    }
}

/// Whether a container is made quiet for a snapshot in this mode.
fn disturbs(mode: Mode, container: &Container) -> bool {
    Rest::of(mode, container).is_some()
}

/// Whether a container is still there tomorrow, as far as anybody knows.
pub(super) fn lasts(container: &Container) -> bool {
    !container.particulars.is_one_off
}

/// A snapshot destroys nothing and runs nothing twice.
fn refuse_members(request: &SnapshotRequest, members: &[Container]) -> Result<()> {
    let active = || members.iter().filter(|c| c.run.is_active());
    if let Some((name, service)) = active().find_map(|c| Some((&c.name, c.particulars.orchestrator.as_ref()?))) {
        return Err(Refusal::orchestrated(name, service).into());
    }
    let stopped = active().filter(|_| request.mode == Mode::Stop);
    for member in stopped {
        if let Some(why) = starts_no_more(member, members) {
            return Err(Error::new(Code::Refused, why).hint("start that one first, or leave out `--mode stop`"));
        }
        let Container { name, particulars, .. } = member;
        let why = match particulars {
            Particulars { removes_itself: true, .. } => {
                "is removed with its anonymous volumes as soon as it ends (--rm)"
            }
            Particulars { is_one_off: true, .. } => "runs one command, which would begin anew when it is started again",
            _ => continue,
        };
        return Err(Error::new(Code::Refused, format!("container {name} {why}"))
            .hint("leave out `--mode stop`: the default freezes it instead"));
    }
    Ok(())
}

fn names(members: &[Container]) -> Vec<String> {
    members.iter().map(|member| member.name.clone()).collect()
}

fn roots(sources: &[ArchiveSource]) -> Vec<PathBuf> {
    sources.iter().filter_map(|s| s.root.clone()).collect()
}
