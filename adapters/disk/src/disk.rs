//! The disks of this host, with the state directory among them.

mod held;

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use volsnap_core::{
    model::{
        ArchiveFile, ArchiveSummary, FilesystemInfo, Identity, Location, Manifest, Mounted, RestoreId, Rights, Sight,
        SnapshotId, Space, TreeSize, WorkloadId, Writer,
    },
    ports::{
        ArchiveSource, Claim, CopyJob, CopyMade, CopyNote, DraftArchive, Filesystem, Found, FsError, FsErrorKind, FsOp,
        ImportJob, Lease, LookInto, MemberSink, Members, MembersOf, Output, Place, Precopy, ReadBack, StageJob, Staged,
        Tree, Verified, Watch,
    },
};

use self::held::{Copied, Draft, Leases, under};
use crate::{
    archive,
    blocking::{blocking, impatient, watched},
    budget::{Budget, Jobs},
    claim, copies, entries, host,
    journal::Journals,
    locate, lock, members, names, seek,
    state::State,
    tree, upper, writers,
};

/// The [`Filesystem`] of this host.
///
/// Every call runs on a thread that may block and comes to its end there also if its future is dropped; what it goes on
/// under ([`Filesystem::under`]) lasts until then.
#[derive(Clone, Debug)]
pub struct Disk {
    state: State,
    budget: Budget,
    /// What its calls have of the budget, where that is reserved; without it each takes some for itself.
    share: Option<Jobs>,
    held: Leases,
}

/// Threads for one archive if nobody says how many: with more than these its memory passes 128 MiB.
const JOBS_USUAL: usize = 4;

impl Disk {
    /// Threads for one archive at the most: a host does not give any number of them.
    pub const JOBS_MAX: usize = 256;

    /// Opens the state directory at an absolute path; makes it, only for its owner's eyes, if it is not there. Blocks
    /// for a few system calls.
    pub fn open(state_dir: &Path) -> Result<Disk, FsError> {
        let jobs = std::thread::available_parallelism().map_or(1, usize::from).min(JOBS_USUAL);
        let state = State::open(state_dir)?;
        Ok(Disk { state, budget: Budget::of(jobs), share: None, held: Leases::default() })
    }

    /// How many threads compress or decompress archives, and how many make files meanwhile; each takes some 25 MiB. All
    /// that is at work at once on this disk and its clones shares them: one operation has them alone, and of several each
    /// has at least one or waits its turn. As many as there are processors, at most four, unless said otherwise; never more
    /// than [`Disk::JOBS_MAX`].
    #[must_use]
    pub fn with_jobs(mut self, jobs: NonZeroUsize) -> Disk {
        self.budget = Budget::of(jobs.get().min(Self::JOBS_MAX));
        self
    }

    /// Whether this process may not read and write what is there, for others whose errors do not tell. Blocks.
    #[must_use]
    pub fn is_denied(path: &Path) -> bool {
        locate::is_denied(path)
    }

    /// Runs a call on a thread that may block, and holds what it goes on under until it has ended.
    async fn run<T: Send + 'static>(
        &self,
        op: FsOp,
        path: &Path,
        work: impl FnOnce(&Path) -> Result<T, FsError> + Send + 'static,
    ) -> Result<T, FsError> {
        let (held, owned) = (self.held.clone(), path.to_path_buf());
        blocking(op, path, move || under(held, || work(&owned))).await
    }

    /// The same for long work, which ends early when nobody waits for it any more.
    async fn run_watched<T: Send + 'static>(
        &self,
        op: FsOp,
        path: &Path,
        watch: Watch,
        work: impl FnOnce(&Path, &Watch) -> Result<T, FsError> + Send + 'static,
    ) -> Result<T, FsError> {
        let (held, owned) = (self.held.clone(), path.to_path_buf());
        watched(op, path, watch, move |watch| under(held, || work(&owned, watch))).await
    }

    /// The same for work on an archive, with the threads that it gets for that.
    async fn run_shared<T: Send + 'static>(
        &self,
        op: FsOp,
        path: &Path,
        watch: Watch,
        work: impl FnOnce(&Path, Jobs, &Watch) -> Result<T, FsError> + Send + 'static,
    ) -> Result<T, FsError> {
        let jobs = self.jobs(op, path, &watch).await?;
        self.run_watched(op, path, watch, move |path, watch| work(path, jobs, watch)).await
    }

    /// Threads for one call: those that are reserved, or as many as are free.
    async fn jobs(&self, op: FsOp, path: &Path, watch: &Watch) -> Result<Jobs, FsError> {
        let jobs = match &self.share {
            Some(share) => Some(share.clone()),
            None => self.budget.take(watch).await,
        };
        let message = "asked to end while other work had all threads";
        jobs.ok_or_else(|| FsError::new(FsErrorKind::Cancelled, op, path, message))
    }

    async fn with_journals<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Journals) -> Result<T, FsError> + Send + 'static,
    ) -> Result<T, FsError> {
        self.run(FsOp::Journal, &self.state.journals(), |dir| work(&Journals::open(dir)?)).await
    }
}

#[async_trait]
impl Filesystem for Disk {
    fn host(&self) -> String {
        host::machine_id()
    }

    fn rights(&self) -> Rights {
        host::rights()
    }

    fn state_dir(&self) -> PathBuf {
        self.state.root().to_path_buf()
    }

    async fn ready(&self, dir: &Path, known: Identity) -> Result<Identity, FsError> {
        self.run(FsOp::Look, dir, move |dir| upper::ready(dir, known)).await
    }

    async fn locate(&self, path: &Path) -> Result<Location, FsError> {
        self.run(FsOp::Look, path, locate::locate).await
    }

    async fn space(&self, dir: &Path) -> Result<(FilesystemInfo, Space), FsError> {
        self.run(FsOp::Look, dir, locate::space).await
    }

    async fn measure(&self, root: &Path) -> Result<TreeSize, FsError> {
        self.run(FsOp::Look, root, tree::measure).await
    }

    async fn mounted(&self, dir: &Path) -> Result<Mounted, FsError> {
        self.run(FsOp::Look, dir, locate::mounted).await
    }

    async fn writers(&self, dirs: &[PathBuf]) -> Result<Vec<Writer>, FsError> {
        let Some(first) = dirs.first() else { return Ok(Vec::new()) };
        let dirs = dirs.to_vec();
        impatient(FsOp::Look, first, writers::PATIENCE, move || writers::writers(&dirs)).await
    }

    async fn settle(&self, dirs: &[PathBuf]) -> Result<(), FsError> {
        let Some(first) = dirs.first() else { return Ok(()) };
        let dirs = dirs.to_vec();
        self.run(FsOp::Settle, first, move |_| names::settle(&dirs)).await
    }

    async fn look(&self, path: &Path) -> Result<Sight, FsError> {
        self.run(FsOp::Look, path, names::look).await
    }

    async fn private_dirs(&self, dir: &Path) -> Result<Vec<PathBuf>, FsError> {
        self.run(FsOp::Look, dir, names::private_dirs).await
    }

    async fn find_directory(&self, within: &Path, identity: Identity) -> Result<Option<PathBuf>, FsError> {
        self.run(FsOp::Look, within, move |within| seek::find_directory(within, identity)).await
    }

    async fn stage(&self, job: &StageJob, watch: Watch) -> Result<Staged, FsError> {
        let path = self.state.archive(job.workload, job.snapshot);
        let job = job.clone();
        self.run_shared(FsOp::Stage, &path, watch, move |path, jobs, watch| archive::stage(path, &job, jobs, watch))
            .await
    }

    async fn exchange(&self, a: &Path, b: &Path) -> Result<(), FsError> {
        let b = b.to_path_buf();
        self.run(FsOp::Exchange, a, move |a| names::exchange(a, &b)).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), FsError> {
        let to = to.to_path_buf();
        self.run(FsOp::Rename, from, move |from| names::rename(from, &to)).await
    }

    async fn has_entries(&self, dir: &Path) -> Result<bool, FsError> {
        self.run(FsOp::Look, dir, entries::has_entries).await
    }

    async fn move_entries(&self, from: &Path, to: &Path) -> Result<(), FsError> {
        let to = to.to_path_buf();
        self.run(FsOp::Rename, from, move |from| entries::move_entries(from, &to)).await
    }

    async fn copy_attributes(&self, from: &Path, to: &Path) -> Result<(), FsError> {
        let to = to.to_path_buf();
        self.run(FsOp::Rename, from, move |from| entries::copy_attributes(from, &to)).await
    }

    async fn same_attributes(&self, a: &Path, b: &Path) -> Result<bool, FsError> {
        let b = b.to_path_buf();
        self.run(FsOp::Look, a, move |a| entries::same_attributes(a, &b)).await
    }

    async fn remove_empty(&self, dir: &Path) -> Result<(), FsError> {
        self.run(FsOp::Remove, dir, names::remove_empty).await
    }

    async fn discard(&self, restore: RestoreId, private: &Path, live: Option<PathBuf>) -> Result<(), FsError> {
        self.run(FsOp::Remove, private, move |private| names::discard(restore, private, live.as_deref())).await
    }

    async fn draft_archive(
        &self,
        manifest: &Manifest,
        sources: &[ArchiveSource],
        watch: Watch,
    ) -> Result<Box<dyn DraftArchive>, FsError> {
        let (state, manifest, sources) = (self.state.clone(), manifest.clone(), sources.to_vec());
        let path = self.state.archive(manifest.workload, manifest.snapshot);
        let draft = self.run_shared(FsOp::Archive, &path, watch, move |_, jobs, watch| {
            archive::draft(&state.make_archives(manifest.workload)?, &manifest, &sources, jobs, watch)
        });
        Ok(Box::new(Draft { draft: draft.await?, held: self.held.clone(), path }))
    }

    async fn precopy(
        &self,
        manifest: &Manifest,
        sources: &[ArchiveSource],
        watch: Watch,
    ) -> Result<Option<Box<dyn Precopy>>, FsError> {
        let (state, manifest, sources) = (self.state.clone(), manifest.clone(), sources.to_vec());
        let path = self.state.archive(manifest.workload, manifest.snapshot);
        let precopied = self.run_shared(FsOp::Archive, &path, watch, move |_, jobs, watch| {
            archive::precopy(&state.make_archives(manifest.workload)?, &manifest, &sources, jobs, watch)
        });
        let (precopied, held) = (precopied.await?, self.held.clone());
        Ok(precopied.map(|precopied| -> Box<dyn Precopy> { Box::new(Copied { path, precopied, held }) }))
    }

    async fn read_archive(&self, workload: WorkloadId, snapshot: SnapshotId) -> Result<ArchiveSummary, FsError> {
        self.run(FsOp::Archive, &self.state.archive(workload, snapshot), archive::summary).await
    }

    async fn verify_archive(
        &self,
        workload: WorkloadId,
        snapshot: SnapshotId,
        watch: Watch,
    ) -> Result<Verified, FsError> {
        let path = self.state.archive(workload, snapshot);
        self.run_shared(FsOp::Archive, &path, watch, archive::verify).await
    }

    async fn verify_stored(
        &self,
        workload: WorkloadId,
        snapshot: SnapshotId,
        watch: Watch,
    ) -> Result<Verified, FsError> {
        let path = self.state.archive(workload, snapshot);
        self.run_shared(FsOp::Archive, &path, watch, archive::verify_stored).await
    }

    async fn list_members(
        &self,
        archive: &LookInto,
        places: &[Place],
        mut sink: MemberSink,
        watch: Watch,
    ) -> Result<Found, FsError> {
        let path = self.state.archive(archive.workload, archive.snapshot);
        let (archive, places) = (archive.clone(), places.to_vec());
        let list = move |path: &Path, watch: &Watch| archive::list(path, &archive, &places, &mut sink, watch);
        self.run_watched(FsOp::Archive, &path, watch, list).await
    }

    async fn dump_member(
        &self,
        archive: &LookInto,
        place: &Place,
        mut out: Box<dyn Output>,
        watch: Watch,
    ) -> Result<Found, FsError> {
        let path = self.state.archive(archive.workload, archive.snapshot);
        let (archive, place) = (archive.clone(), place.clone());
        let dump =
            move |path: &Path, jobs: Jobs, watch: &Watch| archive::dump(path, &archive, &place, &mut *out, jobs, watch);
        self.run_shared(FsOp::Archive, &path, watch, dump).await
    }

    async fn copy_out(&self, job: &CopyJob, watch: Watch) -> Result<CopyMade, FsError> {
        let path = self.state.archive(job.archive.workload, job.archive.snapshot);
        let job = job.clone();
        let copy = move |path: &Path, jobs: Jobs, watch: &Watch| archive::copy_out(path, &job, jobs, watch);
        self.run_shared(FsOp::Stage, &path, watch, copy).await
    }

    async fn read_back(
        &self,
        archive: &LookInto,
        index: usize,
        root: &Path,
        watch: Watch,
    ) -> Result<ReadBack, FsError> {
        let path = self.state.archive(archive.workload, archive.snapshot);
        let (archive, root) = (archive.clone(), root.to_path_buf());
        let read = move |path: &Path, watch: &Watch| archive::read_back(path, &archive, index, &root, watch);
        self.run_watched(FsOp::Archive, &path, watch, read).await
    }

    async fn begin_copy(&self, note: &CopyNote) -> Result<Box<dyn Lease>, FsError> {
        let (state, note) = (self.state.clone(), note.clone());
        self.run(FsOp::Journal, &self.state.copies(), move |_| copies::begin(&state.make_copies()?, &note)).await
    }

    async fn abandoned_copies(&self) -> Result<Vec<CopyNote>, FsError> {
        self.run(FsOp::Journal, &self.state.copies(), copies::abandoned).await
    }

    async fn end_copy(&self, id: RestoreId) -> Result<(), FsError> {
        self.run(FsOp::Journal, &self.state.copies(), move |dir| copies::end(dir, id)).await
    }

    async fn scratch_dir(&self) -> Result<PathBuf, FsError> {
        let state = self.state.clone();
        self.run(FsOp::Stage, self.state.root(), move |_| state.make_scratch()).await
    }

    async fn members(&self, of: &MembersOf, watch: Watch) -> Result<Box<dyn Members>, FsError> {
        let jobs = match &of.tree {
            Tree::Archived(archive, _) if of.contents => {
                let path = self.state.archive(archive.workload, archive.snapshot);
                Some(self.jobs(FsOp::Archive, &path, &watch).await?)
            }
            Tree::Archived(..) | Tree::Live(_) => None,
        };
        Ok(members::members(&self.state, of, jobs, watch))
    }

    fn archive_path(&self, workload: WorkloadId, snapshot: SnapshotId) -> PathBuf {
        self.state.archive(workload, snapshot)
    }

    async fn archives(&self) -> Result<Vec<ArchiveFile>, FsError> {
        let state = self.state.clone();
        self.run(FsOp::Look, self.state.root(), move |_| state.list_archives()).await
    }

    async fn export_archive(&self, archive: &LookInto, to: &Path, replace: bool, watch: Watch) -> Result<u64, FsError> {
        let path = self.state.archive(archive.workload, archive.snapshot);
        let (archive, to) = (archive.clone(), to.to_path_buf());
        let export = move |path: &Path, watch: &Watch| archive::export(path, &archive, &to, replace, watch);
        self.run_watched(FsOp::Archive, &path, watch, export).await
    }

    async fn write_archive(&self, archive: &LookInto, mut out: Box<dyn Output>, watch: Watch) -> Result<u64, FsError> {
        let path = self.state.archive(archive.workload, archive.snapshot);
        let archive = archive.clone();
        let write = move |path: &Path, watch: &Watch| archive::write_out(path, &archive, &mut *out, watch);
        self.run_watched(FsOp::Archive, &path, watch, write).await
    }

    async fn read_foreign(&self, file: &Path) -> Result<ArchiveSummary, FsError> {
        self.run(FsOp::Archive, file, archive::summary_of_foreign).await
    }

    async fn verify_foreign(&self, file: &Path, watch: Watch) -> Result<Verified, FsError> {
        self.run_shared(FsOp::Archive, file, watch, archive::verify_foreign).await
    }

    async fn import_archive(&self, job: &ImportJob, watch: Watch) -> Result<ArchiveSummary, FsError> {
        let path = self.state.archive(job.manifest.workload, job.manifest.snapshot);
        let (state, job) = (self.state.clone(), job.clone());
        let import = move |_: &Path, jobs: Jobs, watch: &Watch| {
            archive::import(&state.make_archives(job.manifest.workload)?, &job, jobs, watch)
        };
        self.run_shared(FsOp::Archive, &path, watch, import).await
    }

    async fn remove_archive(&self, workload: WorkloadId, snapshot: SnapshotId) -> Result<(), FsError> {
        let state = self.state.clone();
        self.run(FsOp::Remove, self.state.root(), move |_| state.remove_archive(workload, snapshot)).await
    }

    async fn drafts(&self) -> Result<Vec<volsnap_core::ports::Draft>, FsError> {
        let state = self.state.clone();
        self.run(FsOp::Look, self.state.root(), move |_| state.list_drafts()).await
    }

    async fn sweep_drafts(&self, workload: WorkloadId) -> Result<(), FsError> {
        let state = self.state.clone();
        self.run(FsOp::Remove, self.state.root(), move |_| state.sweep_drafts(workload)).await
    }

    async fn journals(&self) -> Result<Vec<WorkloadId>, FsError> {
        self.with_journals(Journals::list).await
    }

    async fn read_journal(&self, workload: WorkloadId) -> Result<Option<Vec<u8>>, FsError> {
        self.with_journals(move |journals| journals.read(workload)).await
    }

    async fn write_journal(&self, workload: WorkloadId, bytes: &[u8]) -> Result<(), FsError> {
        let bytes = bytes.to_vec();
        self.with_journals(move |journals| journals.write(workload, &bytes)).await
    }

    async fn remove_journal(&self, workload: WorkloadId) -> Result<(), FsError> {
        self.with_journals(move |journals| journals.remove(workload)).await
    }

    async fn retire_journal(&self, workload: WorkloadId) -> Result<(), FsError> {
        self.with_journals(move |journals| journals.retire(workload)).await
    }

    async fn record_restore(&self, workload: WorkloadId, bytes: &[u8]) -> Result<(), FsError> {
        let bytes = bytes.to_vec();
        self.with_journals(move |journals| journals.record(workload, &bytes)).await
    }

    async fn retired_journal(&self, workload: WorkloadId) -> Result<Option<Vec<u8>>, FsError> {
        self.with_journals(move |journals| journals.retired(workload)).await
    }

    async fn forget_retired(&self, workload: WorkloadId) -> Result<(), FsError> {
        self.with_journals(move |journals| journals.forget_retired(workload)).await
    }

    async fn set_record_aside(&self, workload: WorkloadId, restore: RestoreId) -> Result<(), FsError> {
        self.with_journals(move |journals| journals.set_aside(workload, restore)).await
    }

    async fn records(&self) -> Result<Vec<(WorkloadId, Option<RestoreId>)>, FsError> {
        self.with_journals(Journals::records).await
    }

    async fn record_aside(&self, workload: WorkloadId, restore: RestoreId) -> Result<Option<Vec<u8>>, FsError> {
        self.with_journals(move |journals| journals.aside(workload, restore)).await
    }

    async fn forget_record_aside(&self, workload: WorkloadId, restore: RestoreId) -> Result<(), FsError> {
        self.with_journals(move |journals| journals.forget_aside(workload, restore)).await
    }

    fn under(&self, lease: Arc<dyn Lease>) -> Option<Arc<dyn Filesystem>> {
        Some(Arc::new(Disk { held: self.held.and(lease), ..self.clone() }))
    }

    async fn reserve(&self, watch: &Watch) -> Result<Option<Arc<dyn Filesystem>>, FsError> {
        let share = self.jobs(FsOp::Archive, self.state.root(), watch).await?;
        Ok(Some(Arc::new(Disk { share: Some(share), ..self.clone() })))
    }

    async fn lock(&self, workload: WorkloadId) -> Result<Box<dyn Lease>, FsError> {
        self.run(FsOp::Lock, &self.state.locks(), move |dir| lock::take(dir, workload)).await
    }

    async fn claim(&self, dirs: &[PathBuf]) -> Result<Claim, FsError> {
        let owned = dirs.to_vec();
        let first = dirs.first().map_or(Path::new("/"), PathBuf::as_path);
        self.run(FsOp::Lock, first, move |_| {
            let (claimed, unguarded) = claim::claim(&owned)?;
            Ok(Claim { lease: Box::new(claimed), unguarded })
        })
        .await
    }
}
