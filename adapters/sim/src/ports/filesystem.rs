//! Live directories.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use volsnap_core::{
    model::{FilesystemInfo, Identity, Location, Mounted, RestoreId, Rights, Sight, Space, TreeSize, Writer},
    ports::{
        Claim, CopyJob, CopyMade, Filesystem, FsError, FsErrorKind, FsOp, Lease, LookInto, Members, MembersOf, Phase,
        Progress, ReadBack, StageJob, Staged, Watch,
    },
};

use crate::{archive::Entry, machine::Machine, stage::Begun, world::World};

/// The disks of a machine, with its archives and journals.
#[derive(Clone, Debug)]
pub struct SimDisks {
    pub(crate) machine: Machine,
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

/// Ends the call here if nobody waits for it any more.
pub(super) fn go_on(watch: &Watch, op: FsOp, path: &Path) -> Result<(), FsError> {
    match watch.cancelled() {
        true => Err(FsError::new(FsErrorKind::Cancelled, op, path, "asked to end")),
        false => Ok(()),
    }
}

#[async_trait]
impl Filesystem for SimDisks {
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

    async fn scratch_dir(&self) -> Result<PathBuf, FsError> {
        self.machine.ask(World::scratch_dir).await
    }

    async fn ready(&self, dir: &Path, known: Identity) -> Result<Identity, FsError> {
        self.machine.ask(|w| w.ready(dir, known)).await
    }

    async fn claim(&self, dirs: &[PathBuf]) -> Result<Claim, FsError> {
        let lease = |id| DirLease { machine: self.machine.clone(), id };
        let lease = Box::new(self.machine.ask_for(|w| w.claim(dirs), lease).await?);
        Ok(Claim { lease, unguarded: Vec::new() })
    }

    async fn mounted(&self, dir: &Path) -> Result<Mounted, FsError> {
        // The mount table is the kernel's own memory: no disk is asked, and nothing fails.
        Ok(self.machine.with(|w| w.mounted(dir)))
    }

    async fn writers(&self, _: &[PathBuf]) -> Result<Vec<Writer>, FsError> {
        // The programs of a simulated host are volsnap, the engine and its containers.
        Ok(Vec::new())
    }

    fn rights(&self) -> Rights {
        Rights::all()
    }

    async fn find_directory(&self, within: &Path, identity: Identity) -> Result<Option<PathBuf>, FsError> {
        Ok(self.machine.with(|w| w.find_directory(within, identity)))
    }

    async fn members(&self, root: &Path, of: &MembersOf, watch: Watch) -> Result<Box<dyn Members>, FsError> {
        go_on(&watch, FsOp::Look, root)?;
        Ok(Box::new(self.machine.ask(|w| w.members(root, of)).await?))
    }

    fn under(&self, _: Arc<dyn Lease>) -> Option<Arc<dyn Filesystem>> {
        // What a call of the simulator does is done in one piece between two polls.
        None
    }
}
