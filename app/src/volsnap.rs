//! What hosts and the command line work with: every operation of the engine, the long ones in tasks of their own.

mod archives;
mod copies;
mod diff;
mod discover;
mod hooks;
mod inspect;
mod kept;
mod plans;
mod retention;

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use volsnap_core::{
    Code, Error, Result,
    engine::{
        Engine, LeftDraft, Outlook, Pins, Recovered, RecoveredItem, RestoreRequest, SnapshotRequest, Snapshotted, Take,
    },
    model::{
        Container, DeclaredVolume, Flaw, Member, Occupant, Resolved, Selector, Snapshot, SnapshotId, Source, Workload,
        WorkloadId,
    },
    ports::{Event, Output, Phase, Retold, Verified, Watch},
    restore::{Options, Outcome, Refusal, Report},
};

pub use self::{
    discover::{Advice, Discovered, Prospect, ProspectVolume},
    inspect::Inspection,
    plans::{PLAN_FORMAT, SavedPlan},
};
use crate::{Builder, Operation};

/// Snapshots and restores the workloads of one state directory. Clones share everything.
#[derive(Clone)]
pub struct Volsnap {
    engine: Engine,
    watch: Watch,
    recovered: Arc<[Recovered]>,
    catalog_problem: Option<Error>,
    damaged_catalog: Option<PathBuf>,
}

/// A workload to be registered.
#[derive(Clone, Debug, Default)]
pub struct NewWorkload {
    /// Its name, unique in the catalog.
    pub name: String,
    /// Its containers; empty for plain directories alone.
    pub selector: Selector,
    /// Host directories that are volumes besides those that the containers mount; relative paths are resolved now.
    pub volumes: Vec<DeclaredVolume>,
}

impl NewWorkload {
    /// A workload of plain directories, each with its target.
    pub fn directories<T: Into<String>, P: Into<PathBuf>>(
        name: impl Into<String>,
        volumes: impl IntoIterator<Item = (T, P)>,
    ) -> Self {
        let declare = |(target, path): (T, P)| DeclaredVolume { target: target.into(), path: path.into() };
        let volumes = volumes.into_iter().map(declare).collect();
        NewWorkload { name: name.into(), selector: Selector::default(), volumes }
    }
}

impl fmt::Debug for Volsnap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state_dir = self.engine.ports().filesystem.state_dir();
        f.debug_struct("Volsnap").field("state_dir", &state_dir).finish_non_exhaustive()
    }
}

impl Volsnap {
    /// Begins to compose one.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn compose(engine: Engine, watch: Watch, catalog_problem: Option<Error>) -> Self {
        Volsnap { engine, watch, recovered: Arc::new([]), catalog_problem, damaged_catalog: None }
    }

    pub(crate) fn remember(&mut self, recovered: Vec<Recovered>) {
        self.recovered = recovered.into();
    }

    /// What opening recovered, workload by workload; an error among it means that a journal still blocks its workload.
    #[must_use]
    pub fn recovered(&self) -> &[Recovered] {
        &self.recovered
    }

    /// Why the catalog cannot be used. Recovery works all the same.
    #[must_use]
    pub fn catalog_problem(&self) -> Option<&Error> {
        self.catalog_problem.as_ref()
    }

    /// The engine underneath. Its futures stop where they are dropped; prefer the operations here.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    fn start<T: Send + 'static, F>(&self, work: impl FnOnce(Engine, Watch) -> F) -> Operation<T>
    where
        F: Future<Output = Result<T>> + Send + 'static,
    {
        Operation::start(self.watch.clone(), |watch| work(self.engine.clone(), watch))
    }
}

/// What changes something. Each begins by recovering what an earlier crash left for its workload.
impl Volsnap {
    /// Registers a workload of containers made from images, of plain directories, or of both.
    ///
    /// [`Code::NotFound`] if a declared directory or a named container does not exist.
    pub async fn add_workload(&self, new: NewWorkload) -> Result<Workload> {
        let workload = self.workload_to_be(new).await?;
        self.engine.add_workload(&workload).await?;
        Ok(workload)
    }

    /// Registers a workload anew, by other containers and directories; its id, hooks and snapshots stay.
    ///
    /// [`Code::NotFound`] if there is no workload of that name.
    pub async fn change_workload(&self, new: NewWorkload) -> Result<Workload> {
        let workload = self.engine.workload(&new.name).await?;
        let to = self.workload_to_be(new).await?;
        self.start(|engine, watch| async move { engine.change_workload(&workload, &to, &watch).await }).await
    }

    async fn workload_to_be(&self, new: NewWorkload) -> Result<Workload> {
        let ports = self.engine.ports();
        let mut volumes = new.volumes;
        for volume in &mut volumes {
            volume.path = self.existing_directory(&volume.target, &volume.path).await?;
        }
        let source = match new.selector.is_empty() {
            true => Source::Directories,
            false => Source::Image,
        };
        let id = WorkloadId(ports.clock.fresh_id());
        let created_at = ports.clock.now();
        Ok(Workload {
            id,
            name: new.name,
            source,
            selector: new.selector,
            volumes,
            created_at,
            hooks: Vec::new(),
            known: Vec::new(),
        })
    }

    async fn existing_directory(&self, target: &str, path: &Path) -> Result<PathBuf> {
        let volume = format!("volume {target}");
        let absolute = std::path::absolute(path).map_err(|error| {
            Error::new(Code::Usage, format!("{volume}: {}: {error}", path.display())).hint("give an absolute path")
        })?;
        let located = self.engine.ports().filesystem.locate(&absolute).await;
        match located.map_err(|error| Error::from(error).context(&volume))?.occupant {
            Occupant::Directory(_) | Occupant::MountPoint(_) | Occupant::Subvolume(_) | Occupant::Immutable(_) => {
                Ok(absolute)
            }
            Occupant::Absent => {
                Err(Error::new(Code::NotFound, format!("{volume}: {} does not exist", absolute.display()))
                    .hint("check the path and that its filesystem is mounted"))
            }
            Occupant::NotADirectory => {
                Err(Error::new(Code::Refused, format!("{volume}: {} is not a directory", absolute.display()))
                    .hint("only directories can be volumes"))
            }
        }
    }

    /// Forgets a workload, and deletes its snapshots if told to; gives how many. Its directories and containers stay.
    /// [`Code::Refused`] if one of them is pinned and pins are heeded: nothing is deleted then.
    pub fn remove_workload(&self, workload: Workload, delete_snapshots: bool, pins: Pins) -> Operation<usize> {
        self.start(move |engine, watch| async move {
            recover_first(&engine, &workload, &watch).await?;
            engine.remove_workload(&workload, delete_snapshots, pins).await
        })
    }

    /// Takes a snapshot.
    pub fn create(&self, request: SnapshotRequest) -> Operation<Snapshotted> {
        self.start(|engine, watch| async move {
            let watch = expecting(&engine, &request.workload, watch).await;
            engine.create(&request, &watch).await
        })
    }

    /// Restores, and tells how it ended: see [`Report::code`]. An error means that nothing was begun, or says what it
    /// left.
    pub fn restore(&self, request: RestoreRequest) -> Operation<Report> {
        self.start(|engine, watch| async move { engine.restore(&request, &watch).await })
    }

    /// Restores what the last restore of the workload replaced. It can be undone in turn.
    pub fn undo(&self, workload: Workload, options: Options) -> Operation<Report> {
        self.start(move |engine, watch| async move {
            // An undo that a crash interrupted while it staged is asked for once more.
            if let Ok(request) = undoing(&engine, &workload, options).await
                && engine.resumes(&request).await?
            {
                return engine.restore(&request, &watch).await;
            }
            // First, because the restore to be undone may be one that a crash interrupted: only its end says whether
            // there is something to undo.
            make_way(&engine, &workload, &watch).await?;
            engine.restore(&undoing(&engine, &workload, options).await?, &watch).await
        })
    }

    /// Finishes or rolls back what a crash left for a workload and tells the observer, as a restore does before its own
    /// work; an error if that does not end well. For callers who look something up before they restore: an interrupted
    /// snapshot or restore decides what `latest` is and whether a plan has refusals. A restore that could be resumed is
    /// rolled back, so ask [`Volsnap::resumes`] before.
    pub fn settle(&self, workload: Workload) -> Operation<()> {
        self.start(|engine, watch| async move { make_way(&engine, &workload, &watch).await })
    }

    /// The same, whose recovery goes on where the container engine that an operation began on, or a container that a
    /// snapshot froze or stopped, is gone for good: for a user who has said so.
    #[must_use]
    pub fn without_missing(&self) -> Volsnap {
        Volsnap { engine: self.engine.clone().without_missing(), ..self.clone() }
    }

    /// Finishes or rolls back what crashes left, for one workload or for all. Needs no catalog.
    pub fn recover(&self, workload: Option<WorkloadId>) -> Operation<Vec<Recovered>> {
        self.start(move |engine, watch| async move { engine.recover(workload, &watch).await })
    }

    /// Brings a restore of a workload to its end that does not know its directories again: their names tell, and the caller
    /// says which are to be live. Needs no catalog.
    pub fn recover_named(&self, workload: WorkloadId, take: Take) -> Operation<Vec<Recovered>> {
        self.start(move |engine, watch| async move {
            let item = engine.recover_named(workload, take, &watch).await?;
            Ok(vec![Recovered { workload, result: Ok(item) }])
        })
    }

    /// Unfinished archives that nobody works on any more and that no journal speaks of, of one workload or of all. Needs no
    /// catalog.
    pub async fn left_drafts(&self, workload: Option<WorkloadId>) -> Result<Vec<LeftDraft>> {
        self.engine.left_drafts(workload).await
    }

    /// Removes them and tells what they were; opening does so for all, and each operation that changes something for its
    /// own workload. Needs no catalog.
    pub fn sweep_drafts(&self, workload: Option<WorkloadId>) -> Operation<Vec<LeftDraft>> {
        self.start(move |engine, _| async move { engine.sweep_drafts(workload).await })
    }

    /// Reads a snapshot's archive to the last byte.
    pub fn verify(&self, snapshot: Snapshot) -> Operation<Verified> {
        self.start(|engine, watch| async move { engine.verify(&snapshot, &watch).await })
    }

    /// Reads a snapshot's archive to the last byte, and sees without unpacking it whether it is the file that was written.
    pub fn verify_stored(&self, snapshot: Snapshot) -> Operation<Verified> {
        self.start(|engine, watch| async move { engine.verify_stored(&snapshot, &watch).await })
    }
}

/// What only looks.
impl Volsnap {
    /// The registered workloads, by name.
    pub async fn workloads(&self) -> Result<Vec<Workload>> {
        self.engine.workloads().await
    }

    /// The workload of that name or id.
    pub async fn workload(&self, name_or_id: &str) -> Result<Workload> {
        self.engine.workload(name_or_id).await
    }

    /// The id of the workload of that name or id, also when the catalog is lost and only a journal names it.
    pub async fn workload_id(&self, name_or_id: &str) -> Result<WorkloadId> {
        let error = match self.engine.workload(name_or_id).await {
            Ok(workload) => return Ok(workload.id),
            Err(error) => error,
        };
        let open = self.engine.outlook(None).await?;
        let named = |o: &&Outlook| o.workload.as_deref() == Some(name_or_id) || o.workload_id.to_string() == name_or_id;
        open.iter().find(named).map(|o| o.workload_id).ok_or(error)
    }

    /// Snapshots of a workload or of all, newest first.
    pub async fn snapshots(&self, workload: Option<WorkloadId>) -> Result<Vec<Snapshot>> {
        self.engine.snapshots(workload).await
    }

    /// The snapshot of that id or unique prefix, or `latest`; `shop/` before it means one of that workload.
    pub async fn snapshot(&self, workload: Option<WorkloadId>, text: &str) -> Result<Snapshot> {
        self.engine.snapshot(workload, text).await
    }

    /// Where a snapshot's archive lies.
    #[must_use]
    pub fn archive_path(&self, snapshot: &Snapshot) -> PathBuf {
        self.engine.ports().archives.archive_path(snapshot.workload(), snapshot.id())
    }

    /// Hands on the members of a snapshot, each with the index of its volume, and gives how many there were; a million
    /// of them take no more memory than one. With a path only those at and below it: a volume's target with a path
    /// below it, or a path with several targets below it. `sink` is called on a thread that may block, and ends the
    /// listing with an error.
    pub fn members(
        &self,
        snapshot: Snapshot,
        path: Option<&Path>,
        mut sink: impl FnMut(usize, Member) -> io::Result<()> + Send + 'static,
    ) -> Operation<u64> {
        let sink = move |index, member| sink(index, member).map_err(|error| error.to_string());
        let path = path.map(|path| path.as_os_str().as_bytes().to_vec());
        self.start(|engine, watch| async move {
            engine.list_members(&snapshot, path.as_deref(), Box::new(sink), &watch).await
        })
    }

    /// Writes one file of a volume, by its path below the volume's root, and gives its length. Only a few frames of the
    /// archive are read besides those that hold the file. `out` is written to on a thread that may block, and only with
    /// bytes that have been checked.
    pub fn dump(
        &self,
        snapshot: Snapshot,
        target: &str,
        path: &Path,
        out: impl io::Write + Send + 'static,
    ) -> Operation<u64> {
        let (target, path) = (target.to_string(), path.as_os_str().as_bytes().to_vec());
        self.start(|engine, watch| async move {
            engine.dump_member(&snapshot, &target, &path, Box::new(Written(out)), &watch).await
        })
    }

    /// Whether a crash interrupted just this restore and it can be resumed ([`Options::resume`]):
    /// [`Volsnap::restore`] then goes on with it, by the plan that was made for it.
    pub async fn resumes(&self, request: &RestoreRequest) -> Result<bool> {
        self.engine.resumes(request).await
    }

    /// What is wrong with the archives of these snapshots, as far as that is seen without reading them.
    pub async fn flaws(&self, snapshots: &[Snapshot]) -> Result<BTreeMap<SnapshotId, Flaw>> {
        self.engine.flaws(snapshots).await
    }

    /// The snapshot that [`Volsnap::undo`] would restore now.
    pub async fn undo_snapshot(&self, workload: &Workload) -> Result<Snapshot> {
        self.engine.undo_of(workload).await
    }

    /// What is open, and what recovery would do about it.
    pub async fn status(&self, workload: Option<WorkloadId>) -> Result<Vec<Outlook>> {
        self.engine.outlook(workload).await
    }

    /// The audit trail, newest first.
    pub async fn events(&self, workload: Option<WorkloadId>, count_max: u32) -> Result<Vec<Event>> {
        self.engine.events(workload, count_max).await
    }
}

/// A host's writer as the engine knows it.
struct Written<W>(W);

impl<W: io::Write + Send> Output for Written<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.0.write_all(bytes).map_err(|error| error.to_string())
    }

    fn end(&mut self) -> Result<(), String> {
        self.0.flush().map_err(|error| error.to_string())
    }
}

/// The same watch, told how much there may be to read: what the newest snapshot held. Without one it is not known.
async fn expecting(engine: &Engine, workload: &Workload, watch: Watch) -> Watch {
    let snapshots = engine.snapshots(Some(workload.id)).await.unwrap_or_default();
    let Some(newest) = snapshots.first() else { return watch };
    let expected: BTreeMap<String, u64> =
        newest.volumes().map(|(_, v, totals)| (v.target.clone(), totals.bytes)).collect();
    Arc::new(Retold::new(watch, Phase::Archive, expected))
}

/// The restore of what the last restore of the workload replaced.
async fn undoing(engine: &Engine, workload: &Workload, options: Options) -> Result<RestoreRequest> {
    let snapshot = engine.undo_of(workload).await?;
    // What that restore replaced may be some of the volumes: the others were not touched, so they stay.
    let targets = snapshot.volumes().map(|(_, volume, _)| volume.target.clone()).collect();
    let options = engine.options_to_undo(workload, &snapshot, options).await?;
    Ok(RestoreRequest { targets, options, ..RestoreRequest::of(workload.clone(), snapshot) })
}

/// Recovers the workload and tells the watch; refuses to go on if that does not end well.
async fn recover_first(engine: &Engine, workload: &Workload, watch: &Watch) -> Result<()> {
    for recovered in engine.recover(Some(workload.id), watch).await? {
        tell(recovered.result?, watch)?;
    }
    sweep_drafts_first(engine, Some(workload.id)).await;
    Ok(())
}

/// Beside other work, which needs none of them: that they cannot be removed is no reason not to begin.
pub(crate) async fn sweep_drafts_first(engine: &Engine, workload: Option<WorkloadId>) {
    let problem = |left: Vec<LeftDraft>| left.into_iter().find_map(|draft| draft.problem);
    match engine.sweep_drafts(workload).await.map(problem) {
        Ok(None) => {}
        Ok(Some(problem)) => tracing::warn!(problem, "unfinished archives stay until the next `volsnap recover`"),
        Err(error) => tracing::warn!(%error, "whether unfinished archives were left is not known"),
    }
}

/// The same for the sake of a restore.
async fn make_way(engine: &Engine, workload: &Workload, watch: &Watch) -> Result<()> {
    if let Some(item) = engine.make_way(workload.id, watch).await? {
        tell(item, watch)?;
    }
    sweep_drafts_first(engine, Some(workload.id)).await;
    Ok(())
}

fn tell(item: RecoveredItem, watch: &Watch) -> Result<()> {
    match item {
        RecoveredItem::Restore(report) if report.outcome == Outcome::NeedsAttention => {
            return Err(needs_attention(&report));
        }
        RecoveredItem::Restore(report) => watch.recovered(&report),
        RecoveredItem::Snapshot { workload, snapshot, complete, .. } => watch.woken(&workload, snapshot, complete),
    }
    Ok(())
}

fn needs_attention(report: &Report) -> Error {
    let name = &report.workload;
    let (message, hint) = match &report.cause {
        Some(cause) => (cause.message.clone(), cause.hint.clone()),
        None => ("it cannot be ended safely".into(), None),
    };
    Error::new(Code::NeedsAttention, format!("an earlier restore of {name} needs attention: {message}"))
        .hint(hint.unwrap_or_else(|| format!("run `volsnap status {name}`")))
}

/// The workload that a snapshot is of; one that is not registered any more is known by what the archive says.
async fn owner(engine: &Engine, snapshot: &Snapshot) -> Result<Workload> {
    let registered = engine.workloads().await?.into_iter().find(|w| w.id == snapshot.workload());
    Ok(registered.unwrap_or_else(|| {
        let manifest = &snapshot.archive.manifest;
        Workload {
            id: manifest.workload,
            name: manifest.workload_name.clone(),
            source: manifest.source.clone(),
            selector: Selector::default(),
            volumes: Vec::new(),
            created_at: manifest.created_at,
            hooks: Vec::new(),
            known: Vec::new(),
        }
    }))
}
