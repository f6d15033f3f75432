//! The catalog made again from the archives alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde_json::json;

use super::{Engine, catalog::check_name};
use crate::{
    error::{Code, Error, FsErrorKind, Result},
    model::{ArchiveSummary, DeclaredVolume, Registration, Snapshot, SnapshotId, Workload, WorkloadId, member::escape},
    ports::{EventKind, Phase, Progress, Watch},
};

/// What a rebuild found and did.
#[derive(Clone, Debug, Default)]
pub struct Rebuilt {
    /// Snapshots that were added to the catalog, oldest first within a workload.
    pub added: Vec<Snapshot>,
    /// Snapshots that were there and have their archive.
    pub known: usize,
    /// Workloads that were registered again, from the latest word of their archives.
    pub registered: Vec<Workload>,
    /// Workloads that have archives and are not registered, and why they could not be.
    pub unregistered: Vec<Unregistered>,
    /// Archives that cannot be catalogued. They stay where they are.
    pub damaged: Vec<Damaged>,
    /// Snapshots in the catalog that have no archive.
    pub missing: Vec<Snapshot>,
    /// Whether the latter were taken out of the catalog.
    pub pruned: bool,
}

/// A workload that is known by its archives only.
#[derive(Clone, Debug)]
pub struct Unregistered {
    /// Its id.
    pub id: WorkloadId,
    /// Its name by its newest archive.
    pub name: String,
    /// Why it was not registered.
    pub reason: String,
}

/// An archive that cannot be catalogued.
#[derive(Clone, Debug)]
pub struct Damaged {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub error: Error,
}

impl Rebuilt {
    /// What needs a look, in words.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let damaged = self.damaged.iter().map(|d| format!("{} was left alone: {}", d.path.display(), d.error));
        let unregistered = self.unregistered.iter().map(|w| {
            let (name, id) = (&w.name, w.id);
            format!("workload {name} ({id}) has snapshots and is not registered: {}", w.reason)
        });
        let missing = self.missing.iter().filter(|_| !self.pruned);
        let missing = missing.map(|s| format!("snapshot {} of {} has no archive", s.id(), name_in(&s.archive)));
        damaged.chain(unregistered).chain(missing).collect()
    }
}

impl Engine {
    /// Adds to the catalog what the archives know and it does not, and says what does not fit together. With
    /// `prune_missing` snapshots without an archive are taken out of it; nothing else is removed, and no archive is
    /// touched. May be interrupted and called again.
    ///
    /// Of the archives their ends and manifests are read and checked, not every byte: that is what verifying is for.
    pub async fn rebuild(&self, prune_missing: bool, watch: &Watch) -> Result<Rebuilt> {
        let mut rebuilt = Rebuilt { pruned: prune_missing, ..Rebuilt::default() };
        let mut of_workload: BTreeMap<WorkloadId, BTreeSet<SnapshotId>> = BTreeMap::new();
        for file in self.ports.archives.archives().await? {
            of_workload.entry(file.workload).or_default().insert(file.snapshot);
        }
        for row in self.snapshots(None).await? {
            of_workload.entry(row.workload()).or_default();
        }
        let mut progress = Progress::begin(Phase::Read);
        for (workload, snapshots) in of_workload {
            watch.progress(&progress);
            if watch.cancelled() {
                return Err(Error::new(Code::Aborted, "the rebuild was cancelled").hint(
                    "what it has added is good; run the command again when you are ready, and it goes on from there",
                ));
            }
            progress.entries += snapshots.len() as u64;
            self.rebuild_one(workload, &snapshots, &mut rebuilt, watch).await?;
        }
        Ok(rebuilt)
    }

    /// The same for one workload, under its lock: what is being created, deleted or imported is not touched.
    async fn rebuild_one(
        &self,
        id: WorkloadId,
        snapshots: &BTreeSet<SnapshotId>,
        rebuilt: &mut Rebuilt,
        watch: &Watch,
    ) -> Result<()> {
        let engine = &self.lock(id, &id.to_string(), watch).await?;
        let rows = engine.snapshots(Some(id)).await?;
        let mut archives = Vec::new();
        for snapshot in snapshots {
            let path = engine.ports.archives.archive_path(id, *snapshot);
            let row = rows.iter().find(|row| row.id() == *snapshot);
            match engine.fitting(id, *snapshot, row).await {
                Ok(Some(archive)) => archives.push(archive),
                // Deleted since it was listed.
                Ok(None) => {}
                Err(error) => rebuilt.damaged.push(Damaged { path, error }),
            }
        }
        for row in rows.iter().filter(|row| !snapshots.contains(&row.id())) {
            match engine.ports.archives.read_archive(id, row.id()).await {
                Err(error) if error.kind == FsErrorKind::NotFound => {
                    if rebuilt.pruned {
                        engine.ports.store.remove_snapshot(row.id()).await?;
                    }
                    rebuilt.missing.push(row.clone());
                }
                // Made since the archives were listed.
                Ok(_) | Err(_) => {}
            }
        }
        archives.sort_by_key(|archive| archive.manifest.order());
        engine.register_again(id, &archives, rebuilt).await?;
        for archive in archives {
            if rows.iter().any(|row| row.id() == archive.manifest.snapshot) {
                rebuilt.known += 1;
                continue;
            }
            let snapshot = Snapshot::from(archive);
            engine.ports.store.put_snapshot(&snapshot).await?;
            rebuilt.added.push(snapshot);
        }
        Ok(())
    }

    /// What an archive says of itself, if it is what its name and the catalog say.
    async fn fitting(
        &self,
        workload: WorkloadId,
        snapshot: SnapshotId,
        row: Option<&Snapshot>,
    ) -> Result<Option<ArchiveSummary>> {
        let archive = match self.ports.archives.read_archive(workload, snapshot).await {
            Err(error) if error.kind == FsErrorKind::NotFound => return Ok(None),
            archive => archive?,
        };
        let manifest = &archive.manifest;
        if (manifest.workload, manifest.snapshot) != (workload, snapshot) {
            return Err(Error::new(
                Code::Corrupt,
                format!("it is snapshot {} of workload {}", manifest.snapshot, manifest.workload),
            )
            .hint("somebody moved it there: take it out and `volsnap import FILE`"));
        }
        match row {
            Some(row) if row.archive.digest != archive.digest => {
                Err(Error::new(Code::Corrupt, "it is another archive than the catalog lists")
                    .hint("somebody replaced it: take it out, and `volsnap import FILE` what is to be kept"))
            }
            Some(_) | None => Ok(Some(archive)),
        }
    }

    /// Registers a workload that the catalog does not have, if its archives say how.
    async fn register_again(&self, id: WorkloadId, archives: &[ArchiveSummary], rebuilt: &mut Rebuilt) -> Result<()> {
        let Some(newest) = archives.last() else { return Ok(()) };
        let workloads = self.workloads().await?;
        if workloads.iter().any(|workload| workload.id == id) {
            return Ok(());
        }
        match self.registered_as(id, archives, &workloads) {
            Ok(workload) => {
                self.ports.store.add_workload(&workload).await?;
                let path = |volume: &DeclaredVolume| escape(volume.path.as_os_str().as_encoded_bytes());
                let volume = |volume: &DeclaredVolume| json!({ "target": volume.target, "path": path(volume) });
                let volumes: Vec<_> = workload.volumes.iter().map(volume).collect();
                let detail = json!({ "from": "archives", "volumes": volumes });
                self.tell(&self.event(&workload, EventKind::WorkloadAdded, "rebuilt", detail)).await;
                rebuilt.registered.push(workload);
            }
            Err(reason) => rebuilt.unregistered.push(Unregistered { id, name: name_in(newest).into(), reason }),
        }
        Ok(())
    }

    /// The workload as the latest word of its archives has it, or why that cannot be followed.
    fn registered_as(
        &self,
        id: WorkloadId,
        archives: &[ArchiveSummary],
        workloads: &[Workload],
    ) -> Result<Workload, String> {
        let said = archives.iter().filter_map(|archive| {
            let manifest = &archive.manifest;
            manifest.registration.as_ref().map(|said| (manifest.sequence.unwrap_or(0), said))
        });
        let (_, latest): (u64, &Registration) = said.max_by_key(|(sequence, said)| (*sequence, said.as_of)).ok_or(
            "its archives, of an earlier version or imported, do not say how; `volsnap workload add NAME` registers it; then import them with --workload",
        )?;
        // Paths mean nothing on another machine, and what was not written here is not believed.
        if latest.host != self.ports.filesystem.host() {
            return Err(
                "it was registered on another machine; `volsnap workload add NAME` registers it here; then import its archives with --workload"
                    .into(),
            );
        }
        let workload = latest.workload(id).ok_or("its registration has a path that cannot be")?;
        check_name(&workload.name).map_err(|error| error.message)?;
        match workloads.iter().any(|other| other.name == workload.name) {
            true => Err(format!("the name {} is taken; import its archives with --workload", workload.name)),
            false => Ok(workload),
        }
    }
}

fn name_in(archive: &ArchiveSummary) -> &str {
    &archive.manifest.workload_name
}
