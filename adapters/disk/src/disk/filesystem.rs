//! Live directories: the calls of [`Filesystem`].

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use volsnap_core::{
    model::{FilesystemInfo, Identity, Location, Mounted, RestoreId, Rights, Sight, Space, TreeSize, Writer},
    ports::{
        Claim, CopyJob, CopyMade, Filesystem, FsError, FsOp, Lease, LookInto, Members, MembersOf, ReadBack, StageJob,
        Staged, Watch,
    },
};

use super::Disk;
use crate::{
    archive, blocking::impatient, budget::Jobs, claim, entries, host, locate, members, names, seek, tree, upper,
    writers,
};

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

    async fn scratch_dir(&self) -> Result<PathBuf, FsError> {
        let state = self.state.clone();
        self.run(FsOp::Stage, self.state.root(), move |_| state.make_scratch()).await
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

    async fn members(&self, root: &Path, of: &MembersOf, watch: Watch) -> Result<Box<dyn Members>, FsError> {
        Ok(members::live(root, of, watch))
    }

    fn under(&self, lease: Arc<dyn Lease>) -> Option<Arc<dyn Filesystem>> {
        Some(Arc::new(self.held_under(lease)))
    }
}
