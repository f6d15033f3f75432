//! Archives: written under marks, and some are not durable.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use volsnap_core::{
    model::{ArchiveFile, ArchiveSummary, Manifest, SnapshotId, WorkloadId},
    ports::{
        ArchiveSource, Archives, Draft, DraftArchive, Found, FsError, ImportJob, Lease, LookInto, MemberSink, Members,
        MembersOf, Output, Place, Precopy, Verified, Watch,
    },
};
use volsnap_disk::Disk;

use super::{Lie, Watched, broken};

#[async_trait]
impl Archives for Watched {
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
            let to = self.archives.archive_path(manifest.workload, manifest.snapshot);
            return Ok(Box::new(UnsyncedDraft { draft, _elsewhere: elsewhere, from, to }));
        }
        self.archives.draft_archive(manifest, sources, watch).await
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
            _ => self.noted("precopy", self.archives.precopy(manifest, sources, watch)).await,
        }
    }

    async fn read_archive(&self, workload: WorkloadId, snapshot: SnapshotId) -> Result<ArchiveSummary, FsError> {
        self.archives.read_archive(workload, snapshot).await
    }

    async fn verify_archive(
        &self,
        workload: WorkloadId,
        snapshot: SnapshotId,
        watch: Watch,
    ) -> Result<Verified, FsError> {
        self.archives.verify_archive(workload, snapshot, watch).await
    }

    fn archive_path(&self, workload: WorkloadId, snapshot: SnapshotId) -> PathBuf {
        self.archives.archive_path(workload, snapshot)
    }

    async fn remove_archive(&self, workload: WorkloadId, snapshot: SnapshotId) -> Result<(), FsError> {
        self.archives.remove_archive(workload, snapshot).await
    }

    async fn drafts(&self) -> Result<Vec<Draft>, FsError> {
        self.archives.drafts().await
    }

    async fn sweep_drafts(&self, workload: WorkloadId) -> Result<(), FsError> {
        self.archives.sweep_drafts(workload).await
    }

    async fn verify_stored(
        &self,
        workload: WorkloadId,
        snapshot: SnapshotId,
        watch: Watch,
    ) -> Result<Verified, FsError> {
        self.archives.verify_stored(workload, snapshot, watch).await
    }

    async fn list_members(
        &self,
        archive: &LookInto,
        places: &[Place],
        sink: MemberSink,
        watch: Watch,
    ) -> Result<Found, FsError> {
        self.archives.list_members(archive, places, sink, watch).await
    }

    async fn dump_member(
        &self,
        archive: &LookInto,
        place: &Place,
        out: Box<dyn Output>,
        watch: Watch,
    ) -> Result<Found, FsError> {
        self.archives.dump_member(archive, place, out, watch).await
    }

    async fn archived_members(
        &self,
        archive: &LookInto,
        index: usize,
        of: &MembersOf,
        watch: Watch,
    ) -> Result<Box<dyn Members>, FsError> {
        self.archives.archived_members(archive, index, of, watch).await
    }

    async fn archives(&self) -> Result<Vec<ArchiveFile>, FsError> {
        self.archives.archives().await
    }

    async fn export_archive(&self, archive: &LookInto, to: &Path, replace: bool, watch: Watch) -> Result<u64, FsError> {
        self.archives.export_archive(archive, to, replace, watch).await
    }

    async fn write_archive(&self, archive: &LookInto, out: Box<dyn Output>, watch: Watch) -> Result<u64, FsError> {
        self.archives.write_archive(archive, out, watch).await
    }

    async fn read_foreign(&self, file: &Path) -> Result<ArchiveSummary, FsError> {
        self.archives.read_foreign(file).await
    }

    async fn verify_foreign(&self, file: &Path, watch: Watch) -> Result<Verified, FsError> {
        self.archives.verify_foreign(file, watch).await
    }

    async fn import_archive(&self, job: &ImportJob, watch: Watch) -> Result<ArchiveSummary, FsError> {
        self.archives.import_archive(job, watch).await
    }

    async fn settle_archives(&self, workload: WorkloadId) -> Result<(), FsError> {
        self.archives.settle_archives(workload).await
    }

    fn under(&self, lease: Arc<dyn Lease>) -> Option<Arc<dyn Archives>> {
        Some(Arc::new(Watched { archives: self.archives.under(lease)?, ..self.clone() }))
    }

    async fn reserve(&self, watch: &Watch) -> Result<Option<Arc<dyn Archives>>, FsError> {
        let reserved = self.archives.reserve(watch).await?;
        Ok(reserved.map(|archives| Arc::new(Watched { archives, ..self.clone() }) as Arc<dyn Archives>))
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
