//! A drill: proves that a snapshot can be restored, by restoring it where nobody lives and reading it back from the disk.

use std::path::PathBuf;

use serde_json::json;

use super::{
    Engine,
    copies::Copying,
    destination::{check_space, need},
    extract::whole,
    inside::look_into,
};
use crate::{
    error::{Code, Error, FsErrorKind, Result},
    model::{
        Location, Mark, Occupant, Owners, RestoreId, Snapshot, SnapshotId, Workload,
        place::{private_name, staged_in},
    },
    ports::{CopyJob, CopyTree, EventKind, Limits, Phase, PrivateNote, Progress, Watch},
    restore::space::Needs,
};

/// What to prove, and where.
#[derive(Clone, Debug)]
pub struct DrillRequest {
    /// The workload whose snapshot it is.
    pub workload: Workload,
    /// The snapshot.
    pub snapshot: Snapshot,
    /// An existing directory, by its absolute path, in which the volumes are extracted one after the other; `None` for
    /// one within the state directory.
    pub scratch: Option<PathBuf>,
}

/// A volume that was extracted and read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrilledVolume {
    /// Its name within the workload.
    pub target: String,
    /// Bytes of contents that were read back, holes included.
    pub bytes: u64,
    /// Entries that were read back, the root included.
    pub entries: u64,
    /// The digest of what was read back, as an archive of it would have it.
    pub digest: String,
    /// The first member that differs from the snapshot, in words; `None` if nothing does.
    pub difference: Option<String>,
}

/// How a drill went.
#[derive(Clone, Debug)]
pub struct Drilled {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Its volumes, but for those that did not exist.
    pub volumes: Vec<DrilledVolume>,
    /// How long extracting took, until all was durable, in milliseconds.
    pub stage_ms: u64,
    /// How long reading back took, in milliseconds.
    pub read_ms: u64,
}

impl Drilled {
    /// What is wrong; `None` if every volume came back as it is in the snapshot.
    #[must_use]
    pub fn error(&self) -> Option<Error> {
        let found = self.volumes.iter().find_map(|v| v.difference.as_ref().map(|difference| (&v.target, difference)));
        found.map(|(target, difference)| {
            Error::new(
                Code::Corrupt,
                format!("volume {target} of snapshot {} did not come back from the disk as it is in the archive: {difference}", self.snapshot),
            )
            .hint("the archive is good as far as it was read: look at the disk of the scratch directory and at the kernel's log, then drill again")
        })
    }
}

impl Engine {
    /// Extracts every volume into a private directory, durably, reads it back from the disk, and compares it with the
    /// snapshot. If all are the same, the catalog says from now on when the snapshot was proved; either way an event tells of it.
    /// The app and its live directories are not touched.
    ///
    /// Volumes are extracted one after the other, so that the largest one has to fit. A crash leaves a private directory in
    /// the scratch directory, which [`Engine::sweep_copies`] removes.
    pub async fn drill(&self, request: &DrillRequest, watch: &Watch) -> Result<Drilled> {
        let DrillRequest { workload, snapshot, .. } = request;
        if snapshot.workload() != workload.id {
            let of = &snapshot.archive.manifest.workload_name;
            return Err(Error::new(
                Code::Refused,
                format!("snapshot {} is of workload {of}, not of {}", snapshot.id(), workload.name),
            )
            .hint(format!("`volsnap list {}` shows the snapshots of this workload", workload.name)));
        }
        self.limits.check(&snapshot.archive)?;
        self.sweep_copies_first().await;
        watch.progress(&Progress::begin(Phase::Plan));
        let id = RestoreId(self.ports.clock.fresh_id());
        let place = self.scratch_place(request, id).await?;
        let scratch = place.real.parent().map_or_else(PathBuf::new, PathBuf::from);
        for (_, _, totals) in snapshot.volumes() {
            let mut needs = Needs::default();
            need(&mut needs, &place, totals.bytes_allocated, totals.entries);
            check_space(needs)?;
        }
        let private = |(index, _, _)| PrivateNote { path: scratch.join(private_name(id, index)), parent: place.parent };
        let private = snapshot.volumes().map(private).collect();
        let copying = self.begin_copy_in("drill", &workload.name, id, private).await?;
        let drilled = self.drill_in(snapshot, &copying, watch).await;
        self.end_copy(copying).await;
        let (outcome, detail) = match &drilled {
            Ok(drilled) => match drilled.error() {
                None => ("proved", self.proved(snapshot, drilled).await?),
                Some(error) => ("drill failed", json!({ "snapshot": snapshot.id(), "message": error.message })),
            },
            Err(error) => ("drill failed", json!({ "snapshot": snapshot.id(), "message": error.message })),
        };
        self.tell(&self.event(workload, EventKind::SnapshotVerified, outcome, detail)).await;
        drilled
    }

    /// Where the first private directory will be.
    async fn scratch_place(&self, request: &DrillRequest, id: RestoreId) -> Result<Location> {
        let filesystem = &self.ports.filesystem;
        let dir = match &request.scratch {
            None => filesystem.scratch_dir().await?,
            Some(dir) => dir.clone(),
        };
        let name = private_name(id, 0);
        let found = match filesystem.locate(&dir.join(&name)).await {
            Err(error) if error.kind == FsErrorKind::NotFound => {
                return Err(Error::new(
                    Code::NotFound,
                    format!("the scratch directory {} does not exist", dir.display()),
                )
                .hint("make it first, or check that its filesystem is mounted"));
            }
            found => found?,
        };
        let refuse = |message: String, hint: &str| Err(Error::new(Code::Refused, message).hint(hint));
        if found.occupant != Occupant::Absent || !found.writable || found.filesystem.read_only {
            return refuse(
                format!("no permission to make directories in {}", dir.display()),
                "choose another scratch directory, or run volsnap as a user who may write there",
            );
        }
        for workload in self.workloads().await? {
            for volume in &workload.volumes {
                if let Ok(live) = filesystem.locate(&volume.path).await
                    && found.is_within(&live)
                {
                    let (dir, target, name) = (dir.display(), &volume.target, &workload.name);
                    return refuse(
                        format!("the scratch directory {dir} lies in volume {target} of {name}"),
                        "choose a directory that no workload has",
                    );
                }
            }
        }
        Ok(found)
    }

    async fn drill_in(&self, snapshot: &Snapshot, copying: &Copying, watch: &Watch) -> Result<Drilled> {
        let (filesystem, clock) = (&self.ports.filesystem, &self.ports.clock);
        let mut drilled = Drilled { snapshot: snapshot.id(), volumes: Vec::new(), stage_ms: 0, read_ms: 0 };
        let archive = look_into(snapshot);
        for (index, volume, totals) in snapshot.volumes().filter(|(_, volume, _)| !volume.absent) {
            let private = &copying.private[index];
            let size = whole(totals);
            // Nobody but volsnap ever reaches the private directory, so device nodes do no harm there.
            let limits = Limits { bytes_max: size.bytes, entries_max: size.entries, devices: true };
            let job = CopyJob {
                archive: archive.clone(),
                private: private.clone(),
                trees: vec![CopyTree {
                    index: Some(index),
                    target: volume.target.clone(),
                    at: Vec::new(),
                    paths: Vec::new(),
                    limits,
                }],
                owners: Owners::default(),
            };
            let began = clock.monotonic();
            filesystem.copy_out(&job, watch.clone()).await?;
            let staged = clock.monotonic();
            let back = filesystem.read_back(&archive, index, &staged_in(private), watch.clone()).await?;
            let read = clock.monotonic();
            filesystem.discard(copying.id, private).await?;
            let milliseconds =
                |from, to: std::time::Duration| u64::try_from(to.saturating_sub(from).as_millis()).unwrap_or(u64::MAX);
            drilled.stage_ms += milliseconds(began, staged);
            drilled.read_ms += milliseconds(staged, read);
            let difference = match back.digest == totals.digest {
                true => None,
                false => Some(back.difference.unwrap_or_else(|| "its digest is another one".into())),
            };
            drilled.volumes.push(DrilledVolume {
                target: volume.target.clone(),
                bytes: back.bytes,
                entries: back.entries,
                digest: back.digest,
                difference,
            });
        }
        Ok(drilled)
    }

    /// Records that the snapshot was proved; gives what the event says.
    async fn proved(&self, snapshot: &Snapshot, drilled: &Drilled) -> Result<serde_json::Value> {
        // Proving takes long, and neither a deletion nor a pin waits for it: what was read before is not written back.
        if !self.ports.store.mark_snapshot(snapshot.id(), &Mark::Proved(self.ports.clock.now())).await? {
            return Err(Error::new(
                Code::NotFound,
                format!("snapshot {} was deleted while it was proved", snapshot.id()),
            )
            .hint("`volsnap list` shows the snapshots"));
        }
        Ok(json!({ "snapshot": snapshot.id(), "stage_ms": drilled.stage_ms, "read_ms": drilled.read_ms }))
    }
}
