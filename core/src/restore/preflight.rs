//! From what is seen before a restore to its plan: every reason not to begin, found while nothing is touched.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{
    plan::{Method, Options, Plan, PlannedContainer, PlannedVolume, Refusal},
    space::Needs,
};
use crate::{
    error::DENIED_HINT,
    model::{
        Container, FilesystemInfo, Location, Mounted, Occupant, Redeploy, RestoreId, Snapshot, SnapshotId, Source,
        Space, TreeSize, Workload,
    },
};

/// A volume of the workload as it is found now.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Where it is; or why it cannot be found.
    pub location: Result<Location, String>,
    /// Whether it is a named volume, which lies below the engine's root by right.
    pub named: bool,
    /// What its live directory holds now (nothing if there is none).
    pub size: TreeSize,
    /// What is mounted in it, and where it is mounted.
    pub mounted: Mounted,
    /// What stands in it and is in no archive of it.
    pub left_out: Vec<PathBuf>,
}

/// A directory that no live directory may be, contain or lie in.
#[derive(Clone, Debug)]
pub struct Protected {
    /// What it is, in words.
    pub what: &'static str,
    /// Where it is.
    pub location: Location,
    /// Whether named volumes may lie in it.
    pub holds_named_volumes: bool,
}

/// Everything a plan is made from.
#[derive(Clone, Debug)]
pub struct Situation {
    /// The restore to be.
    pub restore: RestoreId,
    /// The pre-restore snapshot to be.
    pub safety: SnapshotId,
    /// The time.
    pub now: Timestamp,
    /// The machine.
    pub host: String,
    /// The container engine, where containers have a part in it.
    pub runtime: Option<String>,
    /// The workload.
    pub workload: Workload,
    /// The snapshot.
    pub snapshot: Snapshot,
    /// The volumes to restore; empty for all.
    pub targets: Vec<String>,
    /// What the user chose.
    pub options: Options,
    /// The workload's containers.
    pub members: Vec<Container>,
    /// Every container that mounts one of the volumes, members or not.
    pub consumers: Vec<Container>,
    /// The workload's volumes as they are now, by target.
    pub candidates: BTreeMap<String, Candidate>,
    /// Directories that must not be touched.
    pub protected: Vec<Protected>,
    /// The filesystem of the state directory.
    pub state_filesystem: (FilesystemInfo, Space),
}

/// System directories that are refused as live directories, besides `/`.
const SYSTEM: &[&str] = &[
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/media",
    "/mnt",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/srv",
    "/sys",
    "/tmp",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/local",
    "/usr/sbin",
    "/usr/share",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/run",
    "/var/spool",
    "/var/tmp",
];

/// Whether it is `/` or one of the directories of the system, which belong to nobody's data.
#[must_use]
pub fn is_system(path: &Path) -> bool {
    path == Path::new("/") || SYSTEM.iter().any(|dir| path == Path::new(dir))
}

/// Makes the plan. It is returned also when it has refusals, so that all of them can be shown at once.
#[must_use]
pub fn plan(situation: &Situation) -> Plan {
    let s = situation;
    let manifest = &s.snapshot.archive.manifest;
    let mut plan = Plan {
        restore: s.restore,
        workload: s.workload.clone(),
        host: s.host.clone(),
        runtime: s.runtime.clone(),
        created_at: s.now,
        snapshot: manifest.snapshot,
        snapshot_created_at: manifest.created_at,
        archive_digest: s.snapshot.archive.digest.clone(),
        safety: s.safety,
        options: s.options,
        volumes: Vec::new(),
        containers: containers(s),
        filesystems: Vec::new(),
        refusals: Vec::new(),
        warnings: Vec::new(),
    };
    refuse_foreign(s, &mut plan);
    let mut needs = Needs::default();
    let mut safety = TreeSize::default();
    for (index, volume, totals) in s.snapshot.volumes().filter(|(_, v, _)| s.selects(&v.target)) {
        let Some(candidate) = s.candidates.get(&volume.target) else {
            plan.refusals.push(Refusal::new(
                format!("volume {} of the snapshot is not a volume of {} any more", volume.target, s.workload.name),
                "mount it in the workload again, or name the volumes to restore with --volume",
            ));
            continue;
        };
        let location = match &candidate.location {
            Ok(location) => location,
            Err(reason) => {
                plan.refusals.push(Refusal::new(
                    format!("volume {} cannot be resolved: {reason}", volume.target),
                    "make its parent directory, mount its filesystem, or declare the volume anew",
                ));
                continue;
            }
        };
        plan.refusals.extend(refuse_place(s, &volume.target, candidate, location));
        // The private directory and what stands in it beside the staged tree.
        let own = if location.occupant.fixed().is_some() { 5 } else { 2 };
        needs.add(&location.filesystem, location.space, totals.bytes_allocated, totals.entries + own);
        safety.bytes_allocated += candidate.size.bytes_allocated;
        let (method, reason) = choose_method(location);
        if volume.absent {
            plan.warnings.push(format!(
                "volume {} did not exist when the snapshot was taken; an empty directory is restored",
                volume.target
            ));
        }
        plan.volumes.push(PlannedVolume {
            target: volume.target.clone(),
            live: location.real.clone(),
            parent: match (method, location.occupant.identity()) {
                (Method::ByEntry, Some(live)) => live,
                _ => location.parent,
            },
            original: location.occupant.identity(),
            index: (!volume.absent).then_some(index),
            method,
            reason,
            bytes: totals.bytes,
            bytes_allocated: totals.bytes_allocated,
            entries: totals.entries,
        });
    }
    refuse_selection(s, &mut plan);
    refuse_overlap(s, &mut plan);
    refuse_consumers(s, &mut plan);
    if s.options.safety_snapshot {
        // The archive is compressed, but nobody knows by how much: the size of the originals is the safe bound.
        let (info, space) = &s.state_filesystem;
        needs.add(info, *space, safety.bytes_allocated, 4);
    }
    let (filesystems, refusals) = needs.check();
    plan.filesystems = filesystems;
    plan.refusals.extend(refusals);
    plan
}

impl Situation {
    fn selects(&self, target: &str) -> bool {
        self.targets.is_empty() || self.targets.iter().any(|t| t == target)
    }

    fn is_member(&self, container: &Container) -> bool {
        self.members.iter().any(|m| m.id == container.id)
    }
}

fn refuse_foreign(s: &Situation, plan: &mut Plan) {
    let manifest = &s.snapshot.archive.manifest;
    if manifest.workload != s.workload.id {
        plan.refusals.push(Refusal::new(
            format!(
                "snapshot {} is of workload {}, not of {}",
                manifest.snapshot, manifest.workload_name, s.workload.name
            ),
            format!("`volsnap list {}` shows the snapshots of this workload", s.workload.name),
        ));
    }
    for source in [&s.workload.source, &manifest.source] {
        if let Source::Other(kind) = source {
            plan.refusals.push(Refusal::new(
                format!(
                    "workload {} has its software from {kind}; only images and plain directories can be restored",
                    s.workload.name
                ),
                "restore it with the tool that deploys it",
            ));
            break;
        }
    }
}

/// Volumes that were named and are not there, and volumes that would silently stay at the present.
fn refuse_selection(s: &Situation, plan: &mut Plan) {
    let manifest = &s.snapshot.archive.manifest;
    for target in &s.targets {
        if !manifest.volumes.iter().any(|v| v.target == *target) {
            let known: Vec<&str> = manifest.volumes.iter().map(|v| v.target.as_str()).collect();
            plan.refusals.push(Refusal::new(
                format!("snapshot {} has no volume {target}", manifest.snapshot),
                format!("its volumes are: {}", known.join(", ")),
            ));
        }
    }
    let newer: Vec<&str> = s
        .candidates
        .keys()
        .filter(|target| !manifest.volumes.iter().any(|v| v.target == **target))
        .map(String::as_str)
        .collect();
    if s.targets.is_empty() && !newer.is_empty() {
        plan.refusals.push(Refusal::new(
            format!("the workload has volumes that the snapshot has not: {}", newer.join(", ")),
            "they would stay as they are, beside older data; if that is meant, name the volumes to restore with --volume",
        ));
    }
    if plan.volumes.is_empty() && plan.refusals.is_empty() {
        plan.refusals.push(Refusal::new("the snapshot has no volumes", "choose another snapshot"));
    }
}

fn refuse_place(s: &Situation, target: &str, candidate: &Candidate, location: &Location) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let live = location.real.display();
    let mut refuse = |message: String, hint: &str| refusals.push(Refusal::new(message, hint));
    if is_system(&location.real) {
        refuse(
            format!("volume {target} is the system directory {live}"),
            "keep an app's data in a directory of its own",
        );
    }
    if location.real.to_str().is_none() {
        refuse(
            format!("volume {target} at {live} has a path that is not UTF-8, which the journal cannot hold"),
            "rename it",
        );
    }
    for protected in &s.protected {
        let of = &protected.location;
        let inside = location.is_within(of) && !(candidate.named && protected.holds_named_volumes);
        if inside || of.is_within(location) || location.is_same(of) {
            refuse(
                format!("volume {target} at {live} overlaps with {} at {}", protected.what, of.real.display()),
                "move one of them elsewhere",
            );
        }
    }
    match location.occupant {
        Occupant::Absent | Occupant::Directory(_) | Occupant::MountPoint(_) | Occupant::Subvolume(_) => {}
        Occupant::Immutable(_) => refuse(
            format!("volume {target} at {live} is immutable or append-only"),
            "take the flag away with `chattr -i -a`",
        ),
        Occupant::NotADirectory => {
            refuse(format!("volume {target} at {live} is not a directory"), "only directories can be volumes");
        }
    }
    if candidate.size.immutable > 0 {
        let count = candidate.size.immutable;
        refuse(
            format!(
                "{count} of the entries of volume {target} at {live} are immutable, append-only or read-only subvolumes"
            ),
            "what is set aside could not be removed; find them with `lsattr -R` or `btrfs subvolume list -r`, take the flags away \
             with `chattr -i -a` or `btrfs property set PATH ro false`",
        );
    }
    // A rename would take them along into what is set aside, and a mount point among the entries cannot be moved.
    for mounted in &candidate.mounted.within {
        refuse(
            format!("another filesystem is mounted in volume {target}, at {}", mounted.display()),
            "unmount it for the restore, or mount it outside of the volume",
        );
    }
    // Whoever works there would go on in what is set aside, and would lose it with that. But for the engine, which mounts a
    // named volume with a device for as long as a container on it runs.
    let is_the_engines = |path: &&PathBuf| {
        s.protected.iter().any(|place| place.holds_named_volumes && path.starts_with(&place.location.real))
    };
    for elsewhere in candidate.mounted.elsewhere.iter().filter(|path| !is_the_engines(path)) {
        refuse(
            format!("volume {target} at {live}, or a directory in it, is mounted at {} as well", elsewhere.display()),
            "after the switch the replaced data would be there; unmount it for the restore",
        );
    }
    for path in &candidate.left_out {
        refuse(
            format!("volume {target} holds {}, which snapshots leave out", path.display()),
            "it would go with what is replaced: move it elsewhere, or delete it if nobody misses it (`volsnap status` tells \
             of originals that restores kept)",
        );
    }
    if location.filesystem.read_only {
        refuse(
            format!("volume {target} lies on {}, which is mounted read-only", location.filesystem.mount.display()),
            "mount it writable",
        );
    } else if !location.writable {
        refuse(
            match location.occupant.fixed() {
                Some(_) => format!("no permission to rename in {live}"),
                None => format!("no permission to rename in the parent of {live}"),
            },
            DENIED_HINT,
        );
    }
    refusals
}

/// Two live directories that are one, or one in another: a rename of one would move the other.
fn refuse_overlap(s: &Situation, plan: &mut Plan) {
    let places: Vec<(&str, &Location)> = plan
        .volumes
        .iter()
        .filter_map(|v| Some((v.target.as_str(), s.candidates.get(&v.target)?.location.as_ref().ok()?)))
        .collect();
    let mut refusals = Vec::new();
    for (i, (target, a)) in places.iter().enumerate() {
        for (other, b) in &places[i + 1..] {
            if a.is_same(b) {
                refusals.push(Refusal::new(
                    format!("volumes {target} and {other} are the same directory ({})", a.real.display()),
                    "leave one of them out with --volume",
                ));
            } else if a.is_within(b) || b.is_within(a) {
                refusals.push(Refusal::new(
                    format!(
                        "volumes {target} ({}) and {other} ({}) lie one in the other",
                        a.real.display(),
                        b.real.display()
                    ),
                    "a switch would move both at once; restore them separately with --volume, the outer one first",
                ));
            }
        }
        // A volume that is not restored but lies in one that is would be switched along with it, unseen.
        for (other, candidate) in &s.candidates {
            let chosen = plan.volumes.iter().any(|v| v.target == *other);
            if let (false, Ok(b)) = (chosen, &candidate.location)
                && b.is_within(a)
            {
                refusals.push(Refusal::new(
                    format!(
                        "volume {other} ({}) lies in {target} ({}) and would be switched with it",
                        b.real.display(),
                        a.real.display()
                    ),
                    "keep the two in separate directories",
                ));
            }
        }
    }
    plan.refusals.extend(refusals);
}

/// Other apps that use the directories: a running one would go on writing into the set-aside original.
fn refuse_consumers(s: &Situation, plan: &mut Plan) {
    for container in s.consumers.iter().filter(|c| !s.is_member(c) && c.run.is_active()) {
        plan.refusals.push(Refusal::new(
            format!(
                "container {} is not part of {} and has one of its volumes mounted",
                container.name, s.workload.name
            ),
            format!("stop it (`docker stop {}`), or add it to the workload", container.name),
        ));
    }
}

fn containers(s: &Situation) -> Vec<PlannedContainer> {
    let others = s.consumers.iter().filter(|c| !s.is_member(c));
    s.members
        .iter()
        .map(|c| {
            let action = match (c.run.is_active(), s.options.redeploy) {
                (true, Redeploy::Recreate) => "stop and recreate",
                (true, Redeploy::Restart) => "stop and start",
                (false, _) => "leave stopped",
            };
            (c, action)
        })
        .chain(others.map(|c| (c, if c.run.is_active() { "refuse" } else { "hold stopped" })))
        .map(|(c, action)| PlannedContainer { name: c.name.clone(), image: c.image.clone(), action: action.into() })
        .collect()
}

fn choose_method(location: &Location) -> (Method, String) {
    let kind = &location.filesystem.kind;
    if let Some(what) = location.occupant.fixed() {
        return (Method::ByEntry, format!("it is {what}, which stays; what is at its top level is moved, by name"));
    }
    if location.occupant == Occupant::Absent {
        // A filesystem that is not mounted looks just like this: only a person can tell.
        let mount = location.filesystem.mount.display();
        return (
            Method::New,
            format!(
                "there is no live directory; it is made on the {kind} filesystem at {mount} (is another one to be mounted there?)"
            ),
        );
    }
    if kind == "overlay" {
        // Whether a directory is of a lower layer cannot be seen from above, nor whether the overlay redirects.
        let reason = "overlays are not known to exchange two names in one step; a directory of a lower layer cannot even \
                      be renamed: then everything goes back to what it was";
        return (Method::TwoRenames, reason.to_string());
    }
    if !location.filesystem.exchange {
        return (Method::TwoRenames, format!("{kind} is not known to exchange two names in one step"));
    }
    if !location.filesystem.births {
        return (
            Method::TwoRenames,
            format!("{kind} keeps no birth times, so the two directories are told apart by name"),
        );
    }
    (Method::Exchange, format!("{kind} exchanges two names in one step"))
}
