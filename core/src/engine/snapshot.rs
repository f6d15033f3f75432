//! Taking a snapshot: copy the volumes while the app runs, quiet it, capture what changed, wake it, put the archive
//! together and make it durable.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use serde_json::json;

use super::{Engine, act::images, hooks::Around};
use crate::{
    error::{Code, Error, Result},
    model::{
        ARCHIVE_FORMAT, Container, HookEvent, Manifest, ManifestVolume, Mode, Occupant, Origin, Pinned, Resolved,
        RestartPolicy, RunState, Snapshot, SnapshotId, Workload, WorkloadId,
    },
    ports::{ArchiveSource, DraftArchive, EventKind, Phase, Precopy, Progress, Retold, Watch},
    restore::{Body, Journal, Refusal, journal::Quiesced},
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
        let _held = self.hold(&request.workload).await?;
        self.recover_or_refuse(request.workload.id, watch).await?;
        let request = &SnapshotRequest { workload: self.hooked(&request.workload), ..request.clone() };
        let mut created = self.create_held(request, watch).await;
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
            self.tell(&self.event(&request.workload, EventKind::SnapshotFailed, "failed", detail)).await;
        }
        created
    }

    async fn create_held(&self, request: &SnapshotRequest, watch: &Watch) -> Result<Snapshotted> {
        self.ports.filesystem.sweep_drafts(request.workload.id).await?;
        let seen = self.see_volumes(&request.workload).await?;
        let snapshot = SnapshotId(self.ports.clock.fresh_id());
        match request.workload.hooks.is_empty() {
            true => self.take(request, snapshot, seen, watch).await,
            false => self.take_between_hooks(request, snapshot, watch).await,
        }
    }

    /// Between the hooks before and after it. The app is not touched before the first of them have succeeded.
    async fn take_between_hooks(
        &self,
        request: &SnapshotRequest,
        snapshot: SnapshotId,
        watch: &Watch,
    ) -> Result<Snapshotted> {
        let workload = &request.workload;
        let around = Around { workload, snapshot, restore: None };
        let is_due = workload.has_hooks(HookEvent::PostCreate);
        if is_due {
            // Written before the first of them runs: whoever finds the journal runs those that come after.
            self.write_quiesced(&self.quiesced(request, snapshot, Vec::new())).await?;
        }
        let taken = match self.run_before(HookEvent::PreCreate, &around, watch).await {
            // They may have changed what there is to see.
            Ok(()) => match self.see_volumes(workload).await {
                Ok(seen) => self.take(request, snapshot, seen, watch).await,
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
                self.ports.filesystem.remove_journal(workload.id).await?;
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
        let resolved = workload.resolve(&members);
        let (volumes, sources) = self.sources(workload, &resolved).await?;
        self.refuse_neighbour(workload, &sources, &names(&members)).await?;
        Ok(Seen { members, resolved, volumes, sources })
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
        snapshot: SnapshotId,
        seen: Seen,
        watch: &Watch,
    ) -> Result<Snapshotted> {
        let workload = &request.workload;
        let filesystem = &self.ports.filesystem;
        let Seen { members, resolved, volumes, sources } = seen;
        let created_at = self.ports.clock.now();
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
            images: images(members.iter()),
            volumes,
            registration: Some(self.registration(workload, created_at)),
            imported: None,
        };
        self.refuse_unheld(request.mode, &members).await?;
        watch.progress(&Progress::begin(Phase::Archive));
        let (members, precopy) = match members.iter().any(|c| disturbs(request.mode, c)) {
            // The app is not touched yet: an ordinary failure here, such as a full disk, costs it nothing.
            true => match filesystem.precopy(&manifest, &sources, watch.clone()).await? {
                Some(precopy) => (self.unmoved(workload, &manifest, &sources).await?, Some(precopy)),
                None => (members, None),
            },
            false => (members, None),
        };
        let outsiders = self.outsiders(request, &members, &sources).await?;
        let reading = Reading { manifest: &manifest, sources: &sources, members: names(&members), precopy };
        let disturbed = members.into_iter().filter(|c| disturbs(request.mode, c));
        let pinned = disturbed.map(|container| Pinned { container, member: true }).collect();
        let quiesced = self.quiesced(request, snapshot, pinned);
        let (draft, quiesced_ms) = self.read_quietly(&quiesced, reading, watch).await?;
        let archive = draft.seal(quiesced_ms).await?;
        let snapshot = Snapshot::from(archive);
        self.ports.store.put_snapshot(&snapshot).await?;
        let mut warnings = warnings(&snapshot, &resolved);
        warnings.extend(outsiders);
        let detail = json!({ "snapshot": snapshot.id(), "mode": request.mode, "warnings": warnings });
        self.tell(&self.event(workload, EventKind::SnapshotCreated, "created", detail)).await;
        Ok(Snapshotted { snapshot, warnings, complaints: Vec::new() })
    }

    fn quiesced(&self, request: &SnapshotRequest, snapshot: SnapshotId, containers: Vec<Pinned>) -> Quiesced {
        Quiesced {
            workload: request.workload.clone(),
            host: self.ports.filesystem.host(),
            runtime: None,
            snapshot,
            mode: request.mode,
            containers,
            at: self.ports.clock.now(),
        }
    }

    async fn write_quiesced(&self, quiesced: &Quiesced) -> Result<()> {
        let journal = Journal { body: Body::Snapshot(Box::new(quiesced.clone())) };
        Ok(self.ports.filesystem.write_journal(quiesced.workload.id, &journal.encode()?).await?)
    }

    /// Whether the journal says that there is an app to be woken; one that cannot be read may.
    async fn is_quiesced(&self, id: WorkloadId) -> bool {
        let Ok(bytes) = self.ports.filesystem.read_journal(id).await else { return true };
        match bytes.map(|bytes| Journal::decode(&bytes)) {
            Some(Ok(Journal { body: Body::Snapshot(quiesced) })) => !quiesced.containers.is_empty(),
            Some(Ok(Journal { body: Body::Restore(_) }) | Err(_)) => true,
            None => false,
        }
    }

    async fn sources(
        &self,
        workload: &Workload,
        resolved: &Resolved,
    ) -> Result<(Vec<ManifestVolume>, Vec<ArchiveSource>)> {
        if resolved.volumes.is_empty() {
            return Err(Error::new(Code::Refused, format!("workload {} has no volumes at present", workload.name))
                .hint("none of its containers exists, or none mounts a directory of the host; start the app first"));
        }
        let mut volumes = Vec::new();
        let mut sources = Vec::new();
        let state_dir = self.ports.filesystem.locate(&self.ports.filesystem.state_dir()).await?;
        for volume in &resolved.volumes {
            let target = volume.target.clone();
            let location = self.ports.filesystem.locate(&volume.path).await;
            let location = location.map_err(|e| Error::from(e).context(format_args!("volume {target}")))?;
            // Every snapshot would hold all earlier ones, and no plan would ever restore it.
            if location.overlaps(&state_dir) {
                let (path, state) = (location.real.display(), state_dir.real.display());
                return Err(Error::new(
                    Code::Refused,
                    format!("volume {target} at {path} overlaps with volsnap's state directory at {state}"),
                )
                .hint("move one of them elsewhere"));
            }
            let root = match location.occupant {
                Occupant::Absent => None,
                Occupant::NotADirectory => {
                    let path = location.real.display();
                    return Err(Error::new(Code::Refused, format!("volume {target} at {path} is not a directory"))
                        .hint("only directories can be volumes"));
                }
                Occupant::Directory(_) | Occupant::MountPoint(_) | Occupant::Subvolume(_) | Occupant::Immutable(_) => {
                    Some(location.real)
                }
            };
            volumes.push(ManifestVolume { target: target.clone(), absent: root.is_none() });
            sources.push(ArchiveSource { target, root });
        }
        if sources.iter().all(|s| s.root.is_none()) {
            let declared: Vec<String> = resolved.volumes.iter().map(|v| v.path.display().to_string()).collect();
            return Err(Error::new(
                Code::Refused,
                format!("workload {} has no volume that exists: {}", workload.name, declared.join(", ")),
            )
            .hint("check that its filesystems are mounted and its containers exist"));
        }
        Ok((volumes, sources))
    }

    /// The members as they are now, after a copy that may have taken long. They are other ones only if somebody
    /// deployed meanwhile, and then the copy may be of other volumes.
    async fn unmoved(
        &self,
        workload: &Workload,
        manifest: &Manifest,
        sources: &[ArchiveSource],
    ) -> Result<Vec<Container>> {
        let members = self.members(workload).await?;
        let (_, now) = self.sources(workload, &workload.resolve(&members)).await?;
        match now == sources && images(members.iter()) == manifest.images {
            true => Ok(members),
            false => Err(Error::new(
                Code::Aborted,
                format!("the containers or volumes of {} changed while they were copied", workload.name),
            )
            .hint("take the snapshot again")),
        }
    }

    /// Who runs on the volumes and is not made quiet, since it is not part of the workload: the copy may be of no one
    /// point in time.
    async fn outsiders(
        &self,
        request: &SnapshotRequest,
        members: &[Container],
        sources: &[ArchiveSource],
    ) -> Result<Vec<String>> {
        if request.mode == Mode::Live {
            return Ok(Vec::new());
        }
        let roots = roots(sources);
        let running =
            self.consumers(&request.workload, &roots).await?.into_iter().filter(|c| c.run == RunState::Running);
        let outside = running.filter(|c| members.iter().all(|m| m.id != c.id));
        Ok(outside
            .map(|c| {
                let app = &request.workload.name;
                format!("container {} is not part of {app} and ran on its volumes while they were read", c.name)
            })
            .collect())
    }

    /// Reads the volumes while the app is quiet, and wakes it as soon as what they are is held fast, whatever happened.
    async fn read_quietly(
        &self,
        quiesced: &Quiesced,
        reading: Reading<'_>,
        watch: &Watch,
    ) -> Result<(Box<dyn DraftArchive>, u64)> {
        let (sources, members) = (reading.sources, reading.members.clone());
        if quiesced.containers.is_empty() {
            let draft = self.read(reading, watch).await?;
            // Nobody had to be quieted when it began. That says nothing of those who came since.
            self.still_quiet(quiesced).await?;
            self.refuse_neighbour(&quiesced.workload, sources, &members).await?;
            return Ok((draft, 0));
        }
        // Written before the app is touched: whoever finds the journal wakes the app.
        self.write_quiesced(quiesced).await?;
        // Asked now that this journal can be seen: of two that begin at once, at least one sees the other.
        if let Err(error) = self.refuse_neighbour(&quiesced.workload, sources, &members).await {
            self.put_down(quiesced).await?;
            return Err(error);
        }
        let began = self.ports.clock.monotonic();
        let drafted = self.read_stilled(quiesced, reading, watch).await;
        let woken = self.resume(quiesced).await;
        let quiesced_ms = self.ports.clock.monotonic().saturating_sub(began).as_millis();
        woken.map_err(|e| {
            let name = &quiesced.workload.name;
            e.context(format_args!("{name} was not woken after its snapshot"))
                .hint(format!("run `volsnap recover {name}`"))
        })?;
        self.put_down(quiesced).await?;
        Ok((drafted?, u64::try_from(quiesced_ms).unwrap_or(u64::MAX)))
    }

    /// The app is as it was, so nobody has to wake it; hooks may be due yet.
    async fn put_down(&self, quiesced: &Quiesced) -> Result<()> {
        match quiesced.workload.has_hooks(HookEvent::PostCreate) {
            true => self.write_quiesced(&Quiesced { containers: Vec::new(), ..quiesced.clone() }).await,
            false => Ok(self.ports.filesystem.remove_journal(quiesced.workload.id).await?),
        }
    }

    async fn read_stilled(
        &self,
        quiesced: &Quiesced,
        reading: Reading<'_>,
        watch: &Watch,
    ) -> Result<Box<dyn DraftArchive>> {
        self.quiet(quiesced).await?;
        let draft = self.read(reading, watch).await?;
        self.still_quiet(quiesced).await?;
        Ok(draft)
    }

    async fn read(&self, reading: Reading<'_>, watch: &Watch) -> Result<Box<dyn DraftArchive>> {
        let Reading { manifest, sources, precopy, members: _ } = reading;
        Ok(match precopy {
            Some(precopy) => {
                let watch: Watch = Arc::new(Retold::new(watch.clone(), Phase::CatchUp, BTreeMap::new()));
                precopy.capture(watch).await?
            }
            None => self.ports.filesystem.draft_archive(manifest, sources, watch.clone()).await?,
        })
    }

    async fn quiet(&self, quiesced: &Quiesced) -> Result<()> {
        let ids: Vec<_> = quiesced.containers.iter().rev().map(|p| p.container.id.clone()).collect();
        match quiesced.mode {
            Mode::Pause => self.containers()?.pause(&ids).await?,
            Mode::Stop => {
                // An engine that restarts in the middle would start what is stopped, under the hands of the archive.
                for id in &ids {
                    self.containers()?.set_restart_policy(id, &RestartPolicy::never()).await?;
                }
                self.containers()?.stop(&ids).await?;
            }
            Mode::Live => {}
        }
        Ok(())
    }

    /// Whether nobody woke the app while its volumes were read: an engine that restarts ends what is frozen, and may
    /// start it; a person may start it too, or a member that did not run before.
    async fn still_quiet(&self, quiesced: &Quiesced) -> Result<()> {
        if quiesced.mode == Mode::Live || quiesced.workload.selector.is_empty() {
            return Ok(());
        }
        let seen = Self::members_left(self.containers()?, &quiesced.workload.selector).await?;
        let disturbed = |c: &&Container| match quiesced.mode {
            Mode::Pause => c.run != RunState::Paused,
            Mode::Stop => c.run.is_active(),
            Mode::Live => false,
        };
        let pinned = |c: &Container| quiesced.containers.iter().any(|p| p.container.id == c.id);
        let is_loud = |c: &&Container| if pinned(c) { disturbed(c) } else { disturbs(quiesced.mode, c) };
        match seen.iter().find(is_loud) {
            None => Ok(()),
            Some(container) => Err(Error::new(
                Code::Aborted,
                format!("container {} did not stay quiet while its volumes were read", container.name),
            )
            .hint("the copy would be of no one point in time; take the snapshot again")),
        }
    }
}

/// What a workload has, as seen just now.
struct Seen {
    members: Vec<Container>,
    resolved: Resolved,
    volumes: Vec<ManifestVolume>,
    sources: Vec<ArchiveSource>,
}

/// How a snapshot ended, as its hooks are told.
pub(super) fn outcome_of(complete: bool) -> &'static str {
    if complete { "created" } else { "failed" }
}

/// What is to be read, and what of it was copied before.
struct Reading<'a> {
    manifest: &'a Manifest,
    sources: &'a [ArchiveSource],
    /// The names of all members.
    members: Vec<String>,
    precopy: Option<Box<dyn Precopy>>,
}

/// Whether a container is made quiet for a snapshot in this mode.
fn disturbs(mode: Mode, container: &Container) -> bool {
    match mode {
        Mode::Pause => container.run == RunState::Running,
        Mode::Stop => container.run.is_active(),
        Mode::Live => false,
    }
}

fn names(members: &[Container]) -> Vec<String> {
    members.iter().map(|member| member.name.clone()).collect()
}

fn roots(sources: &[ArchiveSource]) -> Vec<PathBuf> {
    sources.iter().filter_map(|s| s.root.clone()).collect()
}

fn warnings(snapshot: &Snapshot, resolved: &Resolved) -> Vec<String> {
    let mut warnings: Vec<String> = resolved.left_out.iter().map(|what| format!("left out: {what}")).collect();
    for (_, volume, totals) in snapshot.volumes() {
        if volume.absent {
            warnings.push(format!("volume {} does not exist", volume.target));
        }
        for name in &totals.unsteady {
            warnings.push(format!("volume {}: {name}", volume.target));
        }
        for name in &totals.immutable_names {
            warnings.push(format!("volume {}: {name}: a restore brings it back without this flag", volume.target));
        }
        match totals.immutable.saturating_sub(totals.immutable_names.len() as u64) {
            0 => {}
            more => warnings.push(format!("volume {}: {more} more are immutable or append-only", volume.target)),
        }
    }
    warnings
}
