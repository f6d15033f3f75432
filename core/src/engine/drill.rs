//! A drill: proves that a snapshot can be restored, by restoring it where nobody lives and reading it back from the disk.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    Booted, Engine,
    boot::BootPlan,
    copies::Copying,
    destination::{check_space, need},
    extract::whole,
    inside::look_into,
};
use crate::{
    error::{Code, Error, FsErrorKind, Result},
    model::{
        Location, Mark, Occupant, Owners, RestoreId, Snapshot, SnapshotId, VolumeTotals, Workload,
        place::{private_name, staged_in},
    },
    ports::{CopyJob, CopyTree, EventKind, Limits, PrivateNote, Watch},
    restore::space::Needs,
};

/// How long an app may take to become healthy on a copy, if nobody says otherwise: a database replays its log first.
pub const BOOT_TIMEOUT: Duration = Duration::from_secs(300);

/// What to prove, and where.
#[derive(Clone, Debug)]
pub struct DrillRequest {
    /// The workload whose snapshot it is.
    pub workload: Workload,
    /// The snapshot.
    pub snapshot: Snapshot,
    /// An existing directory, by its absolute path, in which the volumes are extracted; `None` for one within the state
    /// directory.
    pub scratch: Option<PathBuf>,
    /// Whether the app is started on the copy, too, and how long it may take to become healthy there.
    pub boot: Option<Duration>,
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
    /// How the app did on the copy; `None` if it was not started, as it was not asked for or a volume differs.
    pub booted: Option<Booted>,
}

impl Drilled {
    /// What is wrong; `None` if every volume came back as it is in the snapshot and the app, if it was to, came up.
    #[must_use]
    pub fn error(&self) -> Option<Error> {
        self.difference().or_else(|| self.booted.as_ref()?.error.clone())
    }

    /// Whether the app came up on the copy; `None` if that is not known.
    #[must_use]
    pub fn came_up(&self) -> Option<bool> {
        match &self.booted.as_ref()?.error {
            None => Some(true),
            Some(error) => (error.code == Code::Warnings).then_some(false),
        }
    }

    fn difference(&self) -> Option<Error> {
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

/// Volumes are extracted one after the other, or all of them are kept until the app has run on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    One,
    All,
}

impl Engine {
    /// Extracts every volume into a private directory, durably, reads it back from the disk, and compares it with the
    /// snapshot. If all are the same, the catalog says from now on when the snapshot was proved; either way an event tells of it.
    /// The app and its live directories are not touched.
    ///
    /// Volumes are extracted one after the other, so that the largest one has to fit. A crash leaves a private directory in
    /// the scratch directory, which [`Engine::sweep_copies`] removes.
    ///
    /// With [`DrillRequest::boot`] all of them are there at once, and when they are proved, the app's containers are started
    /// on them, in a network of their own. If they become healthy, the catalog says when. All of it is taken down again; what a
    /// crash leaves of it, the same sweep removes.
    pub async fn drill(&self, request: &DrillRequest, watch: &Watch) -> Result<Drilled> {
        let DrillRequest { workload, snapshot, .. } = request;
        self.prepare_copy(workload, snapshot, watch).await?;
        let id = RestoreId(self.ports.clock.fresh_id());
        let place = self.scratch_place(request, id).await?;
        let scratch = place.real.parent().map_or_else(PathBuf::new, PathBuf::from);
        let private = |index| scratch.join(private_name(id, index));
        let (keep, plan) = match request.boot {
            None => (Keep::One, None),
            Some(timeout) => {
                let plan = self.plan_boot(workload, snapshot, |index| staged_in(&private(index))).await?;
                (Keep::All, Some((plan, timeout)))
            }
        };
        check_room(snapshot, &place, keep)?;
        let noted = snapshot.volumes().map(|(index, _, _)| PrivateNote { path: private(index), parent: place.parent });
        let mut copying = self.begin_copy_in("drill", &workload.name, id, noted.collect(), keep == Keep::All).await?;
        let engine = copying.engine.clone();
        let mut drilled = engine.prove(snapshot, &mut copying, plan, watch).await;
        drop(engine);
        let left = self.end_copy(copying).await;
        if let (Ok(Drilled { booted: Some(booted), .. }), Some(left)) = (&mut drilled, left) {
            let hint = left.hint.map_or_else(String::new, |hint| format!(" ({hint})"));
            booted.warnings.push(format!(
                "what was started on the copy is not gone, and `volsnap recover` tries again: {}{hint}",
                left.message
            ));
        }
        if let Err(error) = &drilled {
            self.record_damage(snapshot, error).await;
        }
        let (outcome, detail) = told(snapshot.id(), &drilled);
        self.tell(&self.event(workload, EventKind::SnapshotVerified, outcome, detail)).await;
        drilled
    }

    /// The data first, then the app on them: it changes them.
    async fn prove(
        &self,
        snapshot: &Snapshot,
        copying: &mut Copying,
        plan: Option<(BootPlan, Duration)>,
        watch: &Watch,
    ) -> Result<Drilled> {
        let keep = if plan.is_some() { Keep::All } else { Keep::One };
        let mut drilled = self.drill_in(snapshot, copying, keep, watch).await?;
        if drilled.difference().is_some() {
            return Ok(drilled);
        }
        self.mark(snapshot, &Mark::Proved(self.ports.clock.now())).await?;
        let Some((plan, timeout)) = plan else { return Ok(drilled) };
        let booted = self.boot_copy(plan, copying, timeout, watch).await;
        if booted.error.is_none() {
            self.mark(snapshot, &Mark::Booted(self.ports.clock.now())).await?;
        }
        drilled.booted = Some(booted);
        Ok(drilled)
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

    async fn drill_in(&self, snapshot: &Snapshot, copying: &Copying, keep: Keep, watch: &Watch) -> Result<Drilled> {
        let mut drilled =
            Drilled { snapshot: snapshot.id(), volumes: Vec::new(), stage_ms: 0, read_ms: 0, booted: None };
        for (index, volume, totals) in snapshot.volumes() {
            let private = &copying.private[index];
            match (volume.absent, keep) {
                (true, Keep::One) => {}
                (true, Keep::All) => self.stage_nothing(snapshot, private, &volume.target, watch).await?,
                (false, Keep::One | Keep::All) => {
                    self.drill_volume(&mut drilled, snapshot, (index, &volume.target, totals), private, watch).await?;
                    if keep == Keep::One {
                        self.ports.filesystem.discard(copying.id, private, None).await?;
                    }
                }
            }
        }
        Ok(drilled)
    }

    /// The volume was not there when the snapshot was taken: an engine makes an empty directory of such a mount.
    async fn stage_nothing(&self, snapshot: &Snapshot, private: &Path, target: &str, watch: &Watch) -> Result<()> {
        let limits = Limits { bytes_max: 0, entries_max: 1, devices: false };
        let tree = CopyTree { index: None, ..CopyTree::whole(0, target, limits) };
        let job = CopyJob {
            archive: look_into(snapshot),
            private: private.to_path_buf(),
            trees: vec![tree],
            owners: Owners::default(),
        };
        self.ports.filesystem.copy_out(&job, watch.clone()).await?;
        Ok(())
    }

    async fn drill_volume(
        &self,
        drilled: &mut Drilled,
        snapshot: &Snapshot,
        (index, target, totals): (usize, &String, &VolumeTotals),
        private: &Path,
        watch: &Watch,
    ) -> Result<()> {
        let (filesystem, clock) = (&self.ports.filesystem, &self.ports.clock);
        let archive = look_into(snapshot);
        let size = whole(totals);
        // Nobody reaches the private directory but volsnap, and a container that may use no devices but its own: device
        // nodes do no harm there.
        let limits = Limits { bytes_max: size.bytes, entries_max: size.entries, devices: true };
        let job = CopyJob {
            archive: archive.clone(),
            private: private.to_path_buf(),
            trees: vec![CopyTree::whole(index, target, limits)],
            owners: Owners::default(),
        };
        let began = clock.monotonic();
        filesystem.copy_out(&job, watch.clone()).await?;
        let staged = clock.monotonic();
        let back = filesystem.read_back(&archive, index, &staged_in(private), watch.clone()).await?;
        let read = clock.monotonic();
        let milliseconds = |from, to: Duration| u64::try_from(to.saturating_sub(from).as_millis()).unwrap_or(u64::MAX);
        drilled.stage_ms += milliseconds(began, staged);
        drilled.read_ms += milliseconds(staged, read);
        let difference = match back.digest == totals.digest {
            true => None,
            false => Some(back.difference.unwrap_or_else(|| "its digest is another one".into())),
        };
        drilled.volumes.push(DrilledVolume {
            target: target.clone(),
            bytes: back.bytes,
            entries: back.entries,
            digest: back.digest,
            difference,
        });
        Ok(())
    }

    /// Records what was proved.
    async fn mark(&self, snapshot: &Snapshot, mark: &Mark) -> Result<()> {
        // Proving takes long, and neither a deletion nor a pin waits for it: what was read before is not written back.
        match self.ports.store.mark_snapshot(snapshot.id(), mark).await? {
            true => Ok(()),
            false => {
                Err(Error::new(Code::NotFound, format!("snapshot {} was deleted while it was proved", snapshot.id()))
                    .hint("`volsnap list` shows the snapshots"))
            }
        }
    }
}

/// Refuses what does not fit: the largest volume, or all of them together.
fn check_room(snapshot: &Snapshot, place: &Location, keep: Keep) -> Result<()> {
    let mut all = Needs::default();
    for (_, _, totals) in snapshot.volumes() {
        let mut one = Needs::default();
        let needs = match keep {
            Keep::One => &mut one,
            Keep::All => &mut all,
        };
        need(needs, place, totals.bytes_allocated, totals.entries);
        check_space(one)?;
    }
    check_space(all)
}

/// What the audit trail says of a drill.
fn told(snapshot: SnapshotId, drilled: &Result<Drilled>) -> (&'static str, Value) {
    let failed = |error: &Error| json!({ "snapshot": snapshot, "message": error.message });
    let drilled = match drilled {
        Ok(drilled) => drilled,
        Err(error) => return ("drill failed", failed(error)),
    };
    if let Some(error) = drilled.difference() {
        return ("drill failed", failed(&error));
    }
    let mut detail = json!({ "snapshot": snapshot, "stage_ms": drilled.stage_ms, "read_ms": drilled.read_ms });
    let Some(booted) = &drilled.booted else { return ("proved", detail) };
    detail["booted"] = json!(drilled.came_up());
    detail["boot_ms"] = json!(booted.boot_ms);
    match &booted.error {
        None => ("proved", detail),
        Some(error) => {
            detail["message"] = json!(error.message);
            ("boot failed", detail)
        }
    }
}
