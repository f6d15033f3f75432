//! The disks' port over the real adapter: notes when calls begin and end, and lies where a mutant asks for it.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use volsnap_core::{
    model::{
        ArchiveSummary, FilesystemInfo, Location, Manifest, Mounted, RestoreId, Sight, SnapshotId, Space, TreeSize,
        WorkloadId, place::staged_in,
    },
    ports::{
        ArchiveSource, Claim, Draft, DraftArchive, Filesystem, FsError, FsErrorKind, FsOp, Lease, Precopy, StageJob,
        Staged, Verified, Watch,
    },
    restore::{Body, Journal},
};
use volsnap_disk::Disk;

use super::server::Shared;

/// A barrier that is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// B1: a staged tree is named and never synced.
    StagedNotSynced,
    /// A replacement of the journal does not sync the file.
    JournalNotSynced,
    /// A replacement of the journal does not sync the directory.
    JournalDirectoryNotSynced,
    /// B2, B4: the replacement that adds this entry syncs neither.
    EntryNotDurable(&'static str),
    /// B3: nothing is settled any more once something was switched.
    SwitchesNotSettled,
    /// B3, for entries that change places.
    ShiftsNotSettled,
    /// B5: the safety archive is named and not synced.
    ArchiveNotSynced,
    /// B7: nothing is settled any more once something was deleted.
    DeletionsNotSettled,
    /// B9: the journal's removal is not synced.
    RemovalNotSynced,
}

/// Where in the log a call began or ended.
#[derive(Clone, Debug)]
pub struct Mark {
    /// So many events came before.
    pub position: usize,
    /// What happened there.
    pub what: String,
}

/// Marks, in order.
#[derive(Clone, Debug)]
pub struct Marks {
    disks: Shared,
    marks: Arc<Mutex<Vec<Mark>>>,
}

impl Marks {
    /// None yet, over the log of these disks.
    #[must_use]
    pub fn new(disks: &Shared) -> Self {
        Marks { disks: disks.clone(), marks: Arc::default() }
    }

    /// Notes that something happens now.
    ///
    /// # Panics
    /// If another thread panicked meanwhile.
    pub fn set(&self, what: impl Into<String>) {
        let position = self.disks.lock().position();
        self.marks.lock().expect("nobody panics").push(Mark { position, what: what.into() });
    }

    /// All of them.
    ///
    /// # Panics
    /// If another thread panicked meanwhile.
    #[must_use]
    pub fn take(&self) -> Vec<Mark> {
        std::mem::take(&mut self.marks.lock().expect("nobody panics"))
    }
}

/// The real disks, watched.
#[derive(Clone)]
pub struct Watched {
    disk: Arc<dyn Filesystem>,
    marks: Marks,
    lie: Option<Lie>,
    switched: Arc<AtomicBool>,
    deleted: Arc<AtomicBool>,
}

impl Watched {
    /// Notes every change that goes to `disk`, and tells that lie if there is one.
    #[must_use]
    pub fn new(disk: Disk, marks: &Marks, lie: Option<Lie>) -> Self {
        let (switched, deleted) = Default::default();
        Watched { disk: Arc::new(disk), marks: marks.clone(), lie, switched, deleted }
    }

    async fn noted<T>(&self, what: &str, call: impl Future<Output = T>) -> T {
        self.marks.set(format!("{what} begins"));
        let result = call.await;
        self.marks.set(format!("{what} ends"));
        result
    }

    fn journal(&self, workload: WorkloadId) -> PathBuf {
        self.disk.state_dir().join("journal").join(format!("{workload}.json"))
    }

    /// As the adapter replaces a journal, but for the syncs that are left out.
    fn replace_journal(&self, workload: WorkloadId, bytes: &[u8], file: bool, dir: bool) -> std::io::Result<()> {
        let journal = self.journal(workload);
        let spare = journal.with_extension("json.spare");
        let mut opened = fs::File::options().write(true).open(&spare)?;
        let size = opened.metadata()?.len() as usize;
        opened.write_all(bytes)?;
        opened.write_all(&vec![b'\n'; size.saturating_sub(bytes.len())])?;
        if file {
            opened.sync_all()?;
        }
        renameat_with(CWD, &spare, CWD, &journal, RenameFlags::EXCHANGE)?;
        match (dir, journal.parent()) {
            (true, Some(parent)) => fs::File::open(parent)?.sync_all(),
            _ => Ok(()),
        }
    }

    /// Extracts elsewhere, durably, and puts an unsynced copy in place.
    async fn stage_unsynced(&self, job: &StageJob, watch: Watch) -> Result<Staged, FsError> {
        let elsewhere = tempfile::tempdir().map_err(|e| broken(&e))?;
        let name = job.private.file_name().unwrap_or_default();
        let honest = StageJob { private: elsewhere.path().join(name), ..job.clone() };
        let staged = self.disk.stage(&honest, watch).await?;
        let mut copy = std::process::Command::new("cp");
        copy.args(["-a", "--"]).arg(&honest.private).arg(&job.private);
        copy.status().map_err(|e| broken(&e))?;
        // Older than a tick of births, as the contract says.
        tokio::time::sleep(Duration::from_millis(30)).await;
        match self.disk.look(&staged_in(&job.private)).await? {
            Sight::Directory { identity, .. } => Ok(Staged { identity, ..staged }),
            Sight::Absent | Sight::Other => Err(broken(&std::io::Error::other("the copy is not there"))),
        }
    }
}

fn broken(error: &std::io::Error) -> FsError {
    FsError::new(FsErrorKind::Io, FsOp::Stage, "", format!("the lie does not work: {error}"))
}

/// The last entry of a journal.
fn last_entry(bytes: &[u8]) -> &'static str {
    match Journal::decode(bytes).map(|journal| journal.body) {
        Ok(Body::Restore(records)) => records.last().map_or("nothing", |record| record.entry.name()),
        Ok(Body::Snapshot(_)) => "snapshot",
        Err(_) => "nonsense",
    }
}

#[async_trait]
impl Filesystem for Watched {
    fn host(&self) -> String {
        self.disk.host()
    }

    fn state_dir(&self) -> PathBuf {
        self.disk.state_dir()
    }

    async fn locate(&self, path: &Path) -> Result<Location, FsError> {
        self.disk.locate(path).await
    }

    async fn space(&self, dir: &Path) -> Result<(FilesystemInfo, Space), FsError> {
        self.disk.space(dir).await
    }

    async fn measure(&self, root: &Path) -> Result<TreeSize, FsError> {
        self.disk.measure(root).await
    }

    async fn mounted(&self, dir: &Path) -> Result<Mounted, FsError> {
        self.disk.mounted(dir).await
    }

    async fn settle(&self, dirs: &[PathBuf]) -> Result<(), FsError> {
        let skipped = match self.lie {
            Some(Lie::SwitchesNotSettled | Lie::ShiftsNotSettled) => self.switched.load(Ordering::Relaxed),
            Some(Lie::DeletionsNotSettled) => self.deleted.load(Ordering::Relaxed),
            _ => false,
        };
        match skipped {
            true => Ok(()),
            false => self.disk.settle(dirs).await,
        }
    }

    async fn look(&self, path: &Path) -> Result<Sight, FsError> {
        self.disk.look(path).await
    }

    async fn private_dirs(&self, dir: &Path) -> Result<Vec<PathBuf>, FsError> {
        self.disk.private_dirs(dir).await
    }

    async fn stage(&self, job: &StageJob, watch: Watch) -> Result<Staged, FsError> {
        match self.lie {
            Some(Lie::StagedNotSynced) => self.noted("stage", self.stage_unsynced(job, watch)).await,
            _ => self.noted("stage", self.disk.stage(job, watch)).await,
        }
    }

    async fn exchange(&self, a: &Path, b: &Path) -> Result<(), FsError> {
        self.switched.store(true, Ordering::Relaxed);
        self.noted("exchange", self.disk.exchange(a, b)).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), FsError> {
        self.switched.store(true, Ordering::Relaxed);
        self.noted("rename", self.disk.rename(from, to)).await
    }

    async fn has_entries(&self, dir: &Path) -> Result<bool, FsError> {
        self.disk.has_entries(dir).await
    }

    async fn move_entries(&self, from: &Path, to: &Path) -> Result<(), FsError> {
        self.switched.store(true, Ordering::Relaxed);
        self.noted("move entries", self.disk.move_entries(from, to)).await
    }

    async fn copy_attributes(&self, from: &Path, to: &Path) -> Result<(), FsError> {
        self.noted("copy attributes", self.disk.copy_attributes(from, to)).await
    }

    async fn same_attributes(&self, a: &Path, b: &Path) -> Result<bool, FsError> {
        self.disk.same_attributes(a, b).await
    }

    async fn remove_empty(&self, dir: &Path) -> Result<(), FsError> {
        self.noted("remove empty", self.disk.remove_empty(dir)).await
    }

    async fn discard(&self, restore: RestoreId, private: &Path, live: Option<PathBuf>) -> Result<(), FsError> {
        self.deleted.store(true, Ordering::Relaxed);
        self.noted("discard", self.disk.discard(restore, private, live)).await
    }

    async fn draft_archive(
        &self,
        manifest: &Manifest,
        sources: &[ArchiveSource],
        watch: Watch,
    ) -> Result<Box<dyn DraftArchive>, FsError> {
        self.marks.set("draft archive begins");
        if self.lie == Some(Lie::ArchiveNotSynced) {
            let elsewhere = tempfile::tempdir().map_err(|e| broken(&e))?;
            let disk = Disk::open(&elsewhere.path().join("state"))?;
            let draft = disk.draft_archive(manifest, sources, watch).await?;
            let from = disk.archive_path(manifest.workload, manifest.snapshot);
            let to = self.disk.archive_path(manifest.workload, manifest.snapshot);
            return Ok(Box::new(UnsyncedDraft { draft, _elsewhere: elsewhere, from, to }));
        }
        self.disk.draft_archive(manifest, sources, watch).await
    }

    async fn precopy(
        &self,
        manifest: &Manifest,
        sources: &[ArchiveSource],
        watch: Watch,
    ) -> Result<Option<Box<dyn Precopy>>, FsError> {
        match self.lie {
            // What is read at once is sealed elsewhere; see below.
            Some(Lie::ArchiveNotSynced) => Ok(None),
            _ => self.noted("precopy", self.disk.precopy(manifest, sources, watch)).await,
        }
    }

    async fn read_archive(&self, workload: WorkloadId, snapshot: SnapshotId) -> Result<ArchiveSummary, FsError> {
        self.disk.read_archive(workload, snapshot).await
    }

    async fn verify_archive(
        &self,
        workload: WorkloadId,
        snapshot: SnapshotId,
        watch: Watch,
    ) -> Result<Verified, FsError> {
        self.disk.verify_archive(workload, snapshot, watch).await
    }

    fn archive_path(&self, workload: WorkloadId, snapshot: SnapshotId) -> PathBuf {
        self.disk.archive_path(workload, snapshot)
    }

    async fn remove_archive(&self, workload: WorkloadId, snapshot: SnapshotId) -> Result<(), FsError> {
        self.disk.remove_archive(workload, snapshot).await
    }

    async fn drafts(&self) -> Result<Vec<Draft>, FsError> {
        self.disk.drafts().await
    }

    async fn sweep_drafts(&self, workload: WorkloadId) -> Result<(), FsError> {
        self.disk.sweep_drafts(workload).await
    }

    async fn journals(&self) -> Result<Vec<WorkloadId>, FsError> {
        self.disk.journals().await
    }

    async fn read_journal(&self, workload: WorkloadId) -> Result<Option<Vec<u8>>, FsError> {
        self.disk.read_journal(workload).await
    }

    async fn write_journal(&self, workload: WorkloadId, bytes: &[u8]) -> Result<(), FsError> {
        let entry = last_entry(bytes);
        let (file, dir) = match self.lie {
            Some(Lie::JournalNotSynced) => (false, true),
            Some(Lie::JournalDirectoryNotSynced) => (true, false),
            Some(Lie::EntryNotDurable(lied)) if lied == entry => (false, false),
            _ => (true, true),
        };
        let what = format!("write {entry}");
        // The first one has nothing to replace.
        match (file, dir) == (true, true) || entry == "opened" {
            true => self.noted(&what, self.disk.write_journal(workload, bytes)).await,
            false => {
                let replaced = async { self.replace_journal(workload, bytes, file, dir) };
                self.noted(&what, replaced).await.map_err(|error| broken(&error))
            }
        }
    }

    async fn remove_journal(&self, workload: WorkloadId) -> Result<(), FsError> {
        if self.lie == Some(Lie::RemovalNotSynced) {
            return fs::remove_file(self.journal(workload)).map_err(|error| broken(&error));
        }
        self.noted("remove journal", self.disk.remove_journal(workload)).await
    }

    async fn retire_journal(&self, workload: WorkloadId) -> Result<(), FsError> {
        if self.lie == Some(Lie::RemovalNotSynced) {
            let journal = self.journal(workload);
            return fs::rename(&journal, journal.with_extension("last")).map_err(|error| broken(&error));
        }
        self.noted("retire journal", self.disk.retire_journal(workload)).await
    }

    async fn record_restore(&self, workload: WorkloadId, bytes: &[u8]) -> Result<(), FsError> {
        self.noted("record restore", self.disk.record_restore(workload, bytes)).await
    }

    async fn retired_journal(&self, workload: WorkloadId) -> Result<Option<Vec<u8>>, FsError> {
        self.disk.retired_journal(workload).await
    }

    async fn forget_retired(&self, workload: WorkloadId) -> Result<(), FsError> {
        self.disk.forget_retired(workload).await
    }

    async fn set_record_aside(&self, workload: WorkloadId, restore: RestoreId) -> Result<(), FsError> {
        self.disk.set_record_aside(workload, restore).await
    }

    async fn records(&self) -> Result<Vec<(WorkloadId, Option<RestoreId>)>, FsError> {
        self.disk.records().await
    }

    async fn record_aside(&self, workload: WorkloadId, restore: RestoreId) -> Result<Option<Vec<u8>>, FsError> {
        self.disk.record_aside(workload, restore).await
    }

    async fn forget_record_aside(&self, workload: WorkloadId, restore: RestoreId) -> Result<(), FsError> {
        self.disk.forget_record_aside(workload, restore).await
    }

    fn under(&self, lease: Arc<dyn Lease>) -> Option<Arc<dyn Filesystem>> {
        Some(Arc::new(Watched { disk: self.disk.under(lease)?, ..self.clone() }))
    }

    async fn reserve(&self, watch: &Watch) -> Result<Option<Arc<dyn Filesystem>>, FsError> {
        let reserved = self.disk.reserve(watch).await?;
        Ok(reserved.map(|disk| Arc::new(Watched { disk, ..self.clone() }) as Arc<dyn Filesystem>))
    }

    async fn lock(&self, workload: WorkloadId) -> Result<Box<dyn Lease>, FsError> {
        self.disk.lock(workload).await
    }

    async fn claim(&self, dirs: &[PathBuf]) -> Result<Claim, FsError> {
        self.disk.claim(dirs).await
    }
}

/// Sealed elsewhere, durably, and copied into its place without a sync.
struct UnsyncedDraft {
    draft: Box<dyn DraftArchive>,
    _elsewhere: tempfile::TempDir,
    from: PathBuf,
    to: PathBuf,
}

#[async_trait]
impl DraftArchive for UnsyncedDraft {
    async fn seal(self: Box<Self>, quiesced_ms: u64) -> Result<ArchiveSummary, FsError> {
        let summary = self.draft.seal(quiesced_ms).await?;
        fs::create_dir_all(self.to.parent().unwrap_or(&self.to)).map_err(|error| broken(&error))?;
        fs::copy(&self.from, &self.to).map_err(|error| broken(&error))?;
        Ok(summary)
    }
}
