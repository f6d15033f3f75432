//! The disks' port.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use volsnap_core::{
    model::{
        ArchiveFile, ArchiveSummary, FilesystemInfo, Identity, Location, Manifest, RestoreId, Sight, SnapshotId, Space,
        TreeSize, WorkloadId,
    },
    ports::{
        ArchiveSource, Claim, CopyJob, CopyMade, CopyNote, DraftArchive, Filesystem, FsError, FsErrorKind, FsOp,
        ImportJob, Lease, LookInto, Members, MembersOf, Phase, Precopy, Progress, ReadBack, StageJob, Staged, Verified,
        Watch,
    },
};

use crate::{
    archive::{Draft, Entry},
    machine::Machine,
    precopy::Copied,
    stage::Begun,
    world::World,
};

/// The disks of a machine.
#[derive(Clone, Debug)]
pub struct SimFilesystem {
    pub(crate) machine: Machine,
}

/// A lock; gives it back unless its process died, whose locks are gone anyway.
struct Lock {
    machine: Machine,
    workload: WorkloadId,
}

impl Lease for Lock {}

impl Drop for Lock {
    fn drop(&mut self) {
        self.machine.world().locks.remove(&self.workload);
    }
}

/// The lease of a copy.
struct CopyLease {
    machine: Machine,
    id: RestoreId,
}

impl Lease for CopyLease {}

impl Drop for CopyLease {
    fn drop(&mut self) {
        self.machine.world().copy_leases.remove(&self.id);
    }
}

/// Directories that are held.
struct DirLease {
    machine: Machine,
    id: u64,
}

impl Lease for DirLease {}

impl Drop for DirLease {
    fn drop(&mut self) {
        self.machine.world().claims.remove(&self.id);
    }
}

/// An archive whose volumes have been read; the unfinished file goes with it.
struct SimDraft {
    machine: Machine,
    draft: Draft,
}

impl Drop for SimDraft {
    fn drop(&mut self) {
        self.machine.world().drop_draft(&self.draft.manifest);
    }
}

#[async_trait]
impl DraftArchive for SimDraft {
    async fn seal(self: Box<Self>, quiesced_ms: u64) -> Result<ArchiveSummary, FsError> {
        self.machine.ask(|w| w.seal(&self.draft, quiesced_ms)).await
    }
}

/// Volumes that were read while they may have changed; the unfinished file goes with it.
struct SimPrecopy {
    draft: SimDraft,
    sources: Vec<ArchiveSource>,
    volumes: Vec<Copied>,
}

#[async_trait]
impl Precopy for SimPrecopy {
    async fn capture(self: Box<Self>, watch: Watch) -> Result<Box<dyn DraftArchive>, FsError> {
        let SimPrecopy { mut draft, sources, volumes } = *self;
        let machine = draft.machine.clone();
        let mut bytes_read = 0;
        for (source, copied) in sources.iter().zip(&volumes) {
            go_on(&watch, FsOp::Archive, source.root.as_deref().unwrap_or(Path::new("")))?;
            let (tree, bytes) = machine.ask(|w| w.capture(source, copied)).await?;
            draft.draft.volumes.push(tree);
            bytes_read += bytes;
        }
        machine.ask(|w| w.end_capture(&draft.draft.manifest, bytes_read)).await?;
        Ok(Box::new(draft))
    }
}

fn go_on(watch: &Watch, op: FsOp, path: &Path) -> Result<(), FsError> {
    match watch.cancelled() {
        true => Err(FsError::new(FsErrorKind::Cancelled, op, path, "asked to end")),
        false => Ok(()),
    }
}

#[async_trait]
impl Filesystem for SimFilesystem {
    fn host(&self) -> String {
        "simulated".into()
    }

    fn state_dir(&self) -> PathBuf {
        self.machine.with(|w| w.state_dir.to_path_buf())
    }

    async fn locate(&self, path: &Path) -> Result<Location, FsError> {
        self.machine.ask(|w| w.locate(path)).await
    }

    async fn space(&self, dir: &Path) -> Result<(FilesystemInfo, Space), FsError> {
        self.machine.ask(|w| w.space(dir)).await
    }

    async fn measure(&self, root: &Path) -> Result<TreeSize, FsError> {
        self.machine.ask(|w| w.measure(root)).await
    }

    async fn settle(&self, dirs: &[PathBuf]) -> Result<(), FsError> {
        self.machine.ask(|w| w.settle(dirs)).await
    }

    async fn look(&self, path: &Path) -> Result<Sight, FsError> {
        self.machine.ask(|w| w.look(path)).await
    }

    async fn private_dirs(&self, dir: &Path) -> Result<Vec<PathBuf>, FsError> {
        self.machine.ask(|w| w.private_dirs(dir)).await
    }

    async fn stage(&self, job: &StageJob, watch: Watch) -> Result<Staged, FsError> {
        go_on(&watch, FsOp::Stage, &job.private)?;
        let staging = match self.machine.ask(|w| w.begin_stage(job)).await? {
            Begun::Already(staged) => return Ok(staged),
            Begun::Now(staging) => staging,
        };
        let mut progress = Progress { volume: Some(job.target.clone()), ..Progress::begin(Phase::Stage) };
        for (path, entry) in &staging.tree {
            go_on(&watch, FsOp::Stage, &job.private)?;
            self.machine.ask(|w| w.stage_entry(job, &staging, path, entry)).await?;
            progress.entries += 1;
            if let Entry::File(bytes) = entry {
                progress.bytes += bytes.len() as u64;
            }
            watch.progress(&progress);
        }
        self.machine.ask(|w| w.finish_stage(job, &staging)).await
    }

    async fn exchange(&self, a: &Path, b: &Path) -> Result<(), FsError> {
        self.machine.ask(|w| w.exchange(a, b)).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), FsError> {
        self.machine.ask(|w| w.rename(from, to)).await
    }

    async fn has_entries(&self, dir: &Path) -> Result<bool, FsError> {
        self.machine.ask(|w| w.has_entries(dir)).await
    }

    async fn move_entries(&self, from: &Path, to: &Path) -> Result<(), FsError> {
        self.machine.ask(|w| w.move_entries(from, to)).await
    }

    async fn copy_attributes(&self, from: &Path, to: &Path) -> Result<(), FsError> {
        self.machine.ask(|w| w.copy_attributes(from, to)).await
    }

    async fn same_attributes(&self, a: &Path, b: &Path) -> Result<bool, FsError> {
        self.machine.ask(|w| w.same_attributes(a, b)).await
    }

    async fn remove_empty(&self, dir: &Path) -> Result<(), FsError> {
        self.machine.ask(|w| w.remove_empty(dir)).await
    }

    async fn discard(&self, restore: RestoreId, private: &Path, live: Option<PathBuf>) -> Result<(), FsError> {
        self.machine.ask(|w| w.discard(restore, private, live.as_deref())).await
    }

    async fn draft_archive(
        &self,
        manifest: &Manifest,
        sources: &[ArchiveSource],
        watch: Watch,
    ) -> Result<Box<dyn DraftArchive>, FsError> {
        let draft = Draft { manifest: manifest.clone(), volumes: Vec::new() };
        // From here on a failure or a drop removes the file.
        let owned = |()| SimDraft { machine: self.machine.clone(), draft };
        let mut draft = self.machine.ask_for(|w| w.begin_draft("draft_archive", manifest, false), owned).await?;
        for source in sources {
            go_on(&watch, FsOp::Archive, source.root.as_deref().unwrap_or(Path::new("")))?;
            let tree = self.machine.ask(|w| w.read_source(source)).await?;
            draft.draft.volumes.push(tree);
            watch.progress(&Progress { volume: Some(source.target.clone()), ..Progress::begin(Phase::Archive) });
        }
        Ok(Box::new(draft))
    }

    async fn precopy(
        &self,
        manifest: &Manifest,
        sources: &[ArchiveSource],
        watch: Watch,
    ) -> Result<Option<Box<dyn Precopy>>, FsError> {
        let draft = Draft { manifest: manifest.clone(), volumes: Vec::new() };
        let owned = |()| SimDraft { machine: self.machine.clone(), draft };
        let draft = self.machine.ask_for(|w| w.begin_draft("precopy", manifest, false), owned).await?;
        let mut volumes = Vec::new();
        for source in sources {
            let Some(mut walk) = self.machine.ask(|w| w.begin_pass(source)).await? else {
                volumes.push(Copied::default());
                continue;
            };
            go_on(&watch, FsOp::Archive, source.root.as_deref().unwrap_or(Path::new("")))?;
            while self.machine.ask(|w| w.copy_next(source, &mut walk)).await? {}
            volumes.push(walk.copied);
            watch.progress(&Progress { volume: Some(source.target.clone()), ..Progress::begin(Phase::Archive) });
        }
        self.machine.ask(|w| w.end_pass(manifest, &volumes)).await?;
        Ok(Some(Box::new(SimPrecopy { draft, sources: sources.to_vec(), volumes })))
    }

    async fn read_archive(&self, workload: WorkloadId, snapshot: SnapshotId) -> Result<ArchiveSummary, FsError> {
        Ok(self.machine.ask(|w| w.read_archive("read_archive", workload, snapshot)).await?.summary.clone())
    }

    async fn verify_archive(
        &self,
        workload: WorkloadId,
        snapshot: SnapshotId,
        watch: Watch,
    ) -> Result<Verified, FsError> {
        go_on(&watch, FsOp::Archive, Path::new(""))?;
        let archive = self.machine.ask(|w| w.read_archive("verify_archive", workload, snapshot)).await?;
        watch.progress(&Progress { bytes: archive.summary.archive_bytes, ..Progress::begin(Phase::Verify) });
        Ok(Verified { summary: archive.summary.clone(), bytes_read: archive.summary.archive_bytes })
    }

    async fn members(&self, of: &MembersOf, watch: Watch) -> Result<Box<dyn Members>, FsError> {
        go_on(&watch, FsOp::Look, Path::new(""))?;
        Ok(Box::new(self.machine.ask(|w| w.members(of)).await?))
    }

    async fn copy_out(&self, job: &CopyJob, watch: Watch) -> Result<CopyMade, FsError> {
        go_on(&watch, FsOp::Stage, &job.private)?;
        let copying = self.machine.ask(|w| w.begin_copy_out(job)).await?;
        let mut progress = Progress::begin(Phase::Stage);
        for (path, entry) in &copying.staging.tree {
            go_on(&watch, FsOp::Stage, &job.private)?;
            self.machine.ask(|w| w.stage_entry(&copying.job, &copying.staging, path, entry)).await?;
            progress.entries += 1;
            watch.progress(&progress);
        }
        self.machine.ask(|w| w.finish_stage(&copying.job, &copying.staging)).await?;
        Ok(copying.made)
    }

    async fn read_back(
        &self,
        archive: &LookInto,
        index: usize,
        root: &Path,
        watch: Watch,
    ) -> Result<ReadBack, FsError> {
        go_on(&watch, FsOp::Archive, root)?;
        self.machine.ask(|w| w.read_back(archive, index, root)).await
    }

    async fn begin_copy(&self, note: &CopyNote) -> Result<Box<dyn Lease>, FsError> {
        let lease = |()| CopyLease { machine: self.machine.clone(), id: note.id };
        Ok(Box::new(self.machine.ask_for(|w| w.begin_copy(note), lease).await?))
    }

    async fn abandoned_copies(&self) -> Result<Vec<CopyNote>, FsError> {
        self.machine.ask(World::abandoned_copies).await
    }

    async fn end_copy(&self, id: RestoreId) -> Result<(), FsError> {
        self.machine.ask(|w| w.end_copy(id)).await
    }

    async fn scratch_dir(&self) -> Result<PathBuf, FsError> {
        self.machine.ask(World::scratch_dir).await
    }

    fn archive_path(&self, workload: WorkloadId, snapshot: SnapshotId) -> PathBuf {
        self.machine.with(|w| w.archive_path(workload, snapshot))
    }

    async fn ready(&self, dir: &Path, known: Identity) -> Result<Identity, FsError> {
        self.machine.ask(|w| w.ready(dir, known)).await
    }

    async fn archives(&self) -> Result<Vec<ArchiveFile>, FsError> {
        self.machine.ask(World::archives).await
    }

    async fn export_archive(&self, archive: &LookInto, to: &Path, replace: bool, watch: Watch) -> Result<u64, FsError> {
        go_on(&watch, FsOp::Archive, to)?;
        self.machine.ask(|w| w.export_archive(archive, to, replace)).await
    }

    async fn read_foreign(&self, file: &Path) -> Result<ArchiveSummary, FsError> {
        Ok(self.machine.ask(|w| w.read_foreign(file)).await?.summary.clone())
    }

    async fn verify_foreign(&self, file: &Path, watch: Watch) -> Result<Verified, FsError> {
        go_on(&watch, FsOp::Archive, file)?;
        let summary = self.machine.ask(|w| w.read_foreign(file)).await?.summary.clone();
        Ok(Verified { bytes_read: summary.archive_bytes, summary })
    }

    async fn import_archive(&self, job: &ImportJob, watch: Watch) -> Result<ArchiveSummary, FsError> {
        go_on(&watch, FsOp::Archive, &job.file)?;
        let archive = self.machine.ask(|w| w.read_foreign(&job.file)).await?;
        if archive.summary.digest != job.archive_digest {
            return Err(FsError::new(FsErrorKind::Corrupt, FsOp::Archive, &job.file, "it was changed meanwhile"));
        }
        let draft = Draft { manifest: job.manifest.clone(), volumes: archive.volumes.clone() };
        // From here on a failure or a drop removes the file.
        let owned = |()| SimDraft { machine: self.machine.clone(), draft };
        let draft =
            self.machine.ask_for(|w| w.begin_draft("import_archive", &job.manifest, job.replace), owned).await?;
        go_on(&watch, FsOp::Archive, &job.file)?;
        Box::new(draft).seal(archive.summary.quiesced_ms).await
    }

    async fn remove_archive(&self, workload: WorkloadId, snapshot: SnapshotId) -> Result<(), FsError> {
        self.machine.ask(|w| w.remove_archive(workload, snapshot)).await
    }

    async fn drafts(&self) -> Result<Vec<volsnap_core::ports::Draft>, FsError> {
        self.machine.ask(World::drafts).await
    }

    async fn sweep_drafts(&self, workload: WorkloadId) -> Result<(), FsError> {
        self.machine.ask(|w| w.sweep_drafts(workload)).await
    }

    async fn journals(&self) -> Result<Vec<WorkloadId>, FsError> {
        self.machine.ask(World::journals).await
    }

    async fn read_journal(&self, workload: WorkloadId) -> Result<Option<Vec<u8>>, FsError> {
        self.machine.ask(|w| w.read_journal(workload)).await
    }

    async fn write_journal(&self, workload: WorkloadId, bytes: &[u8]) -> Result<(), FsError> {
        self.machine.ask(|w| w.write_journal(workload, bytes)).await
    }

    async fn remove_journal(&self, workload: WorkloadId) -> Result<(), FsError> {
        self.machine.ask(|w| w.remove_journal(workload)).await
    }

    async fn retire_journal(&self, workload: WorkloadId) -> Result<(), FsError> {
        self.machine.ask(|w| w.retire_journal(workload)).await
    }

    async fn record_restore(&self, workload: WorkloadId, bytes: &[u8]) -> Result<(), FsError> {
        self.machine.ask(|w| w.record_restore(workload, bytes)).await
    }

    async fn retired_journal(&self, workload: WorkloadId) -> Result<Option<Vec<u8>>, FsError> {
        self.machine.ask(|w| w.retired_journal(workload)).await
    }

    async fn forget_retired(&self, workload: WorkloadId) -> Result<(), FsError> {
        self.machine.ask(|w| w.forget_retired(workload)).await
    }

    async fn set_record_aside(&self, workload: WorkloadId, restore: RestoreId) -> Result<(), FsError> {
        self.machine.ask(|w| w.set_record_aside(workload, restore)).await
    }

    async fn records(&self) -> Result<Vec<(WorkloadId, Option<RestoreId>)>, FsError> {
        self.machine.ask(World::records).await
    }

    async fn record_aside(&self, workload: WorkloadId, restore: RestoreId) -> Result<Option<Vec<u8>>, FsError> {
        self.machine.ask(|w| w.record_aside(workload, restore)).await
    }

    async fn forget_record_aside(&self, workload: WorkloadId, restore: RestoreId) -> Result<(), FsError> {
        self.machine.ask(|w| w.forget_record_aside(workload, restore)).await
    }

    fn under(&self, _: Arc<dyn Lease>) -> Option<Arc<dyn Filesystem>> {
        // What a call of the simulator does is done in one piece between two polls.
        None
    }

    async fn reserve(&self, _: &Watch) -> Result<Option<Arc<dyn Filesystem>>, FsError> {
        Ok(None)
    }

    async fn lock(&self, workload: WorkloadId) -> Result<Box<dyn Lease>, FsError> {
        let lease = |()| Lock { machine: self.machine.clone(), workload };
        Ok(Box::new(self.machine.ask_for(|w| w.lock(workload), lease).await?))
    }

    async fn claim(&self, dirs: &[PathBuf]) -> Result<Claim, FsError> {
        let lease = |id| DirLease { machine: self.machine.clone(), id };
        let lease = Box::new(self.machine.ask_for(|w| w.claim(dirs), lease).await?);
        Ok(Claim { lease, unguarded: Vec::new() })
    }
}
