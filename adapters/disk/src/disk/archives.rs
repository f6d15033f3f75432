//! The snapshots of this host: the calls of [`Archives`].

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use volsnap_core::{
    model::{ArchiveFile, ArchiveSummary, Manifest, SnapshotId, WorkloadId},
    ports::{
        ArchiveSource, Archives, DraftArchive, Found, FsError, FsOp, ImportJob, Lease, LookInto, MemberSink, Members,
        MembersOf, Output, Place, Precopy, Verified, Watch,
    },
};

use super::{
    Disk,
    held::{Copied, Draft},
};
use crate::{archive, budget::Jobs, members, names};

#[async_trait]
impl Archives for Disk {
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

    async fn archived_members(
        &self,
        archive: &LookInto,
        index: usize,
        of: &MembersOf,
        watch: Watch,
    ) -> Result<Box<dyn Members>, FsError> {
        let path = self.state.archive(archive.workload, archive.snapshot);
        let jobs = match of.contents {
            true => Some(self.jobs(FsOp::Archive, &path, &watch).await?),
            false => None,
        };
        Ok(members::archived(&path, archive, index, of, jobs, watch))
    }

    async fn settle_archives(&self, workload: WorkloadId) -> Result<(), FsError> {
        let dir = self.state.archives(workload);
        self.run(FsOp::Settle, &dir, |dir| names::settle(&[dir.to_path_buf()])).await
    }

    fn under(&self, lease: Arc<dyn Lease>) -> Option<Arc<dyn Archives>> {
        Some(Arc::new(self.held_under(lease)))
    }

    async fn reserve(&self, watch: &Watch) -> Result<Option<Arc<dyn Archives>>, FsError> {
        let share = self.jobs(FsOp::Archive, self.state.root(), watch).await?;
        Ok(Some(Arc::new(Disk { share: Some(share), ..self.clone() })))
    }
}
