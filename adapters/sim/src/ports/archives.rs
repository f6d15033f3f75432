//! The snapshots of a machine.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use volsnap_core::{
    model::{ArchiveFile, ArchiveSummary, Manifest, SnapshotId, WorkloadId},
    ports::{
        ArchiveSource, Archives, DraftArchive, Found, FsError, FsErrorKind, FsOp, ImportJob, Lease, LookInto,
        MemberSink, Members, MembersOf, Output, Phase, Place, Precopy, Progress, Verified, Watch,
    },
};

use super::filesystem::{SimDisks, go_on};
use crate::{archive::Draft, machine::Machine, precopy::Copied, world::World};

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

fn cannot(what: &str, why: &str) -> FsError {
    FsError::new(FsErrorKind::Unsupported, FsOp::Archive, "", format!("a simulated archive cannot {what}: {why}"))
}

#[async_trait]
impl Archives for SimDisks {
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

    fn archive_path(&self, workload: WorkloadId, snapshot: SnapshotId) -> PathBuf {
        self.machine.with(|w| w.archive_path(workload, snapshot))
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

    async fn verify_stored(
        &self,
        workload: WorkloadId,
        snapshot: SnapshotId,
        watch: Watch,
    ) -> Result<Verified, FsError> {
        // A simulated archive is stored as what it holds.
        self.verify_archive(workload, snapshot, watch).await
    }

    async fn list_members(
        &self,
        archive: &LookInto,
        places: &[Place],
        mut sink: MemberSink,
        watch: Watch,
    ) -> Result<Found, FsError> {
        let mut count = 0;
        for place in places {
            go_on(&watch, FsOp::Archive, Path::new(""))?;
            match self.machine.ask(|w| w.members_at(archive, place)).await? {
                Ok(members) => {
                    for member in members {
                        count += 1;
                        sink(place.index, member).map_err(|words| cannot("hand on its members", &words))?;
                    }
                }
                Err(nearest) => return Ok(Found::Nothing(nearest)),
            }
        }
        Ok(Found::Done(count))
    }

    async fn dump_member(
        &self,
        archive: &LookInto,
        place: &Place,
        mut out: Box<dyn Output>,
        watch: Watch,
    ) -> Result<Found, FsError> {
        go_on(&watch, FsOp::Archive, Path::new(""))?;
        let bytes = match self.machine.ask(|w| w.contents_at(archive, place)).await? {
            Ok(bytes) => bytes,
            Err(other) => return Ok(other),
        };
        let written = out.write(&bytes).and_then(|()| out.end());
        written.map_err(|words| cannot("hand on its contents", &words))?;
        Ok(Found::Done(bytes.len() as u64))
    }

    async fn archived_members(
        &self,
        archive: &LookInto,
        index: usize,
        of: &MembersOf,
        watch: Watch,
    ) -> Result<Box<dyn Members>, FsError> {
        go_on(&watch, FsOp::Look, Path::new(""))?;
        Ok(Box::new(self.machine.ask(|w| w.archived_members(archive, index, of)).await?))
    }

    async fn write_archive(&self, _: &LookInto, _: Box<dyn Output>, _: Watch) -> Result<u64, FsError> {
        Err(cannot("be written out", "it is a value, and has no bytes"))
    }

    async fn settle_archives(&self, workload: WorkloadId) -> Result<(), FsError> {
        self.machine.ask(|w| w.settle_archives(workload)).await
    }

    fn under(&self, _: Arc<dyn Lease>) -> Option<Arc<dyn Archives>> {
        // What a call of the simulator does is done in one piece between two polls.
        None
    }

    async fn reserve(&self, _: &Watch) -> Result<Option<Arc<dyn Archives>>, FsError> {
        Ok(None)
    }
}
