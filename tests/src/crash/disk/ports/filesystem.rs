//! Live directories: every change is marked, and some are not settled.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use async_trait::async_trait;
use volsnap_core::{
    model::{FilesystemInfo, Identity, Location, Mounted, RestoreId, Rights, Sight, Space, TreeSize, Writer},
    ports::{
        Claim, CopyJob, CopyMade, Filesystem, FsError, Lease, LookInto, Members, MembersOf, ReadBack, StageJob, Staged,
        Watch,
    },
};

use super::{Lie, Watched};

#[async_trait]
impl Filesystem for Watched {
    fn host(&self) -> String {
        self.filesystem.host()
    }

    fn state_dir(&self) -> PathBuf {
        self.filesystem.state_dir()
    }

    async fn locate(&self, path: &Path) -> Result<Location, FsError> {
        self.filesystem.locate(path).await
    }

    async fn space(&self, dir: &Path) -> Result<(FilesystemInfo, Space), FsError> {
        self.filesystem.space(dir).await
    }

    async fn measure(&self, root: &Path) -> Result<TreeSize, FsError> {
        self.filesystem.measure(root).await
    }

    async fn mounted(&self, dir: &Path) -> Result<Mounted, FsError> {
        self.filesystem.mounted(dir).await
    }

    async fn settle(&self, dirs: &[PathBuf]) -> Result<(), FsError> {
        let skipped = match self.lie {
            Some(Lie::SwitchesNotSettled | Lie::ShiftsNotSettled) => self.switched.load(Ordering::Relaxed),
            Some(Lie::DeletionsNotSettled) => self.deleted.load(Ordering::Relaxed),
            _ => false,
        };
        match skipped {
            true => Ok(()),
            false => self.filesystem.settle(dirs).await,
        }
    }

    async fn look(&self, path: &Path) -> Result<Sight, FsError> {
        self.filesystem.look(path).await
    }

    async fn private_dirs(&self, dir: &Path) -> Result<Vec<PathBuf>, FsError> {
        self.filesystem.private_dirs(dir).await
    }

    async fn stage(&self, job: &StageJob, watch: Watch) -> Result<Staged, FsError> {
        match self.lie {
            Some(Lie::StagedNotSynced) => self.noted("stage", self.stage_unsynced(job, watch)).await,
            _ => self.noted("stage", self.filesystem.stage(job, watch)).await,
        }
    }

    async fn exchange(&self, a: &Path, b: &Path) -> Result<(), FsError> {
        self.switched.store(true, Ordering::Relaxed);
        self.noted("exchange", self.filesystem.exchange(a, b)).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), FsError> {
        self.switched.store(true, Ordering::Relaxed);
        self.noted("rename", self.filesystem.rename(from, to)).await
    }

    async fn has_entries(&self, dir: &Path) -> Result<bool, FsError> {
        self.filesystem.has_entries(dir).await
    }

    async fn move_entries(&self, from: &Path, to: &Path) -> Result<(), FsError> {
        self.switched.store(true, Ordering::Relaxed);
        self.noted("move entries", self.filesystem.move_entries(from, to)).await
    }

    async fn copy_attributes(&self, from: &Path, to: &Path) -> Result<(), FsError> {
        self.noted("copy attributes", self.filesystem.copy_attributes(from, to)).await
    }

    async fn same_attributes(&self, a: &Path, b: &Path) -> Result<bool, FsError> {
        self.filesystem.same_attributes(a, b).await
    }

    async fn remove_empty(&self, dir: &Path) -> Result<(), FsError> {
        self.noted("remove empty", self.filesystem.remove_empty(dir)).await
    }

    async fn discard(&self, restore: RestoreId, private: &Path, live: Option<PathBuf>) -> Result<(), FsError> {
        self.deleted.store(true, Ordering::Relaxed);
        self.noted("discard", self.filesystem.discard(restore, private, live)).await
    }

    async fn claim(&self, dirs: &[PathBuf]) -> Result<Claim, FsError> {
        self.filesystem.claim(dirs).await
    }

    async fn writers(&self, dirs: &[PathBuf]) -> Result<Vec<Writer>, FsError> {
        self.filesystem.writers(dirs).await
    }

    fn rights(&self) -> Rights {
        self.filesystem.rights()
    }

    async fn ready(&self, dir: &Path, known: Identity) -> Result<Identity, FsError> {
        self.filesystem.ready(dir, known).await
    }

    async fn find_directory(&self, within: &Path, identity: Identity) -> Result<Option<PathBuf>, FsError> {
        self.filesystem.find_directory(within, identity).await
    }

    async fn copy_out(&self, job: &CopyJob, watch: Watch) -> Result<CopyMade, FsError> {
        self.filesystem.copy_out(job, watch).await
    }

    async fn read_back(
        &self,
        archive: &LookInto,
        index: usize,
        root: &Path,
        watch: Watch,
    ) -> Result<ReadBack, FsError> {
        self.filesystem.read_back(archive, index, root, watch).await
    }

    async fn scratch_dir(&self) -> Result<PathBuf, FsError> {
        self.filesystem.scratch_dir().await
    }

    async fn members(&self, root: &Path, of: &MembersOf, watch: Watch) -> Result<Box<dyn Members>, FsError> {
        self.filesystem.members(root, of, watch).await
    }

    fn under(&self, lease: Arc<dyn Lease>) -> Option<Arc<dyn Filesystem>> {
        Some(Arc::new(Watched { filesystem: self.filesystem.under(lease)?, ..self.clone() }))
    }
}
