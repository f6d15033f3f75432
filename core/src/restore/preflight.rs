//! From what is seen before a restore to its plan: every reason not to begin, found while nothing is touched.

mod containers;
mod refusals;

pub use self::refusals::{is_named_volume, refuse_place};
use self::refusals::{
    refuse_consumers, refuse_foreign, refuse_members, refuse_overlap, refuse_selection, unrecognised,
};

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{
    anew,
    plan::{Method, Options, Plan, PlannedVolume, Refusal},
    space::Needs,
};
use crate::{
    error::DENIED_HINT,
    model::{
        Container, FilesystemInfo, Location, Losses, Mounted, Occupant, Particulars, Peer, Recognised, Redeploy,
        RestoreId, Snapshot, SnapshotId, Source, Space, TreeSize, Unrecognised, Workload,
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
    /// What the volumes of the snapshot are now.
    pub recognised: Recognised,
    /// The volumes to restore, by their names in the snapshot or now; empty for all.
    pub targets: Vec<String>,
    /// What the user chose.
    pub options: Options,
    /// The workload's containers.
    pub members: Vec<Container>,
    /// Every container that mounts one of the volumes, members or not, but for those that only look on.
    pub consumers: Vec<Container>,
    /// What the members lose that are made anew, by name; or why that is not known.
    pub losses: BTreeMap<String, Result<Losses, String>>,
    /// All containers but the members, where members are made anew: they may refer to these.
    pub others: Vec<Container>,
    /// Images of the snapshot, by content, that are to be brought back and that the engine has not any more.
    pub images_gone: BTreeSet<String>,
    /// Names of others that have a directory above a volume mounted, read-only: they see what is switched, and lose nothing.
    pub onlookers: Vec<String>,
    /// Running containers that use the network, shared memory or processes of a member, or of one of these, in starting
    /// order, with what they use.
    pub dependants: Vec<(Container, Peer)>,
    /// Why it is not known whether other containers use the volumes, if it is not.
    pub silence: Option<String>,
    /// The workload's volumes as they are now, by target.
    pub candidates: BTreeMap<String, Candidate>,
    /// Those of them that are part of another one, now and in the snapshot: they are restored as part of that.
    pub parts: BTreeMap<String, String>,
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

/// Unions of filesystems whose directories get other inode numbers when they are renamed.
const UNIONS: &[&str] =
    &["fuse.mergerfs", "fuse.shfs", "fuse.mhddfs", "fuse.unionfs", "fuse.unionfs-fuse", "fuse.policyfs"];

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
        sequence: 0,
        archive_digest: s.snapshot.archive.digest.clone(),
        safety: s.safety,
        kept: None,
        record: None,
        options: s.options,
        volumes: Vec::new(),
        containers: Vec::new(),
        images: anew::images(&s.members, &manifest.images),
        down: Vec::new(),
        dependants: s.revived().map(|(c, _)| c.name.clone()).collect(),
        filesystems: Vec::new(),
        refusals: Vec::new(),
        warnings: Vec::new(),
        notes: Vec::new(),
    };
    refuse_foreign(s, &mut plan);
    containers::add(s, &mut plan);
    let mut needs = Needs::default();
    let mut safety = TreeSize::default();
    for (index, volume, totals) in s.snapshot.volumes().filter(|(index, _, _)| s.selects(*index)) {
        let found = s.recognised.get(index).and_then(|target| match s.candidates.get_key_value(target) {
            Some(found) => Ok(found),
            None => Err(&Unrecognised::Gone),
        });
        let (target, candidate) = match found {
            Ok(found) => found,
            Err(why) => {
                plan.refusals.push(unrecognised(s, &volume.target, why));
                continue;
            }
        };
        if s.outer(target).is_some() {
            continue;
        }
        let location = match &candidate.location {
            Ok(location) => location,
            Err(reason) => {
                plan.refusals.push(Refusal::new(
                    format!("volume {target} cannot be resolved: {reason}"),
                    "make its parent directory, mount its filesystem, or declare the volume anew",
                ));
                continue;
            }
        };
        plan.refusals.extend(refuse_place(&s.protected, target, candidate, location));
        if let (Some(devices), false) = (totals.devices_told(), s.options.devices) {
            plan.refusals.push(Refusal::new(
                format!("volume {target} of the snapshot has {devices}"),
                "a device node gives access to a disk or to memory: if the app needs them, allow them with --allow-devices",
            ));
        }
        // The private directory and what stands in it beside the staged tree.
        let (method, reason) = choose_method(location);
        let own = if method == Method::ByEntry { 5 } else { 2 };
        needs.add(&location.filesystem, location.space, totals.bytes_allocated, totals.entries + own);
        safety.bytes_allocated += candidate.size.bytes_allocated;
        if volume.absent {
            plan.warnings.push(format!(
                "volume {target} did not exist when the snapshot was taken; an empty directory is restored"
            ));
        }
        plan.volumes.push(PlannedVolume {
            target: target.clone(),
            archived_as: (*target != volume.target).then(|| volume.target.clone()),
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
            kept: None,
        });
    }
    // Said where the outer one is shown, and no warning: nothing is wrong with it.
    for (inner, outer) in s.parts.iter().filter(|(inner, _)| s.outer(inner).is_some()) {
        if let Some(volume) = plan.volumes.iter_mut().find(|volume| volume.target == *outer) {
            volume.reason.push_str(&format!("; volume {inner} is part of it"));
        }
    }
    if s.members.is_empty() && !s.workload.selector.is_empty() {
        refuse_without_containers(s, &mut plan);
    }
    plan.notes.extend(s.candidates.iter().filter_map(|(target, candidate)| frozen(target, candidate.size.frozen)));
    plan.notes.extend(untouched(s));
    refuse_selection(s, &mut plan);
    refuse_overlap(s, &mut plan);
    refuse_consumers(s, &mut plan);
    refuse_members(s, &mut plan);
    note_others(s, &mut plan);
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
    /// Whether the volume with that index in the snapshot is to be restored.
    fn selects(&self, index: usize) -> bool {
        self.targets.is_empty() || self.targets.iter().any(|target| self.index_of(target) == Some(index))
    }

    /// The index of the volume that somebody means by that name: the snapshot's own names come first.
    fn index_of(&self, target: &str) -> Option<usize> {
        let volumes = &self.snapshot.archive.manifest.volumes;
        volumes.iter().position(|v| v.target == target).or_else(|| self.recognised.index_of(target))
    }

    /// The volume of the snapshot that is to be restored and has this one in it.
    fn outer(&self, target: &str) -> Option<&str> {
        let outer = self.parts.get(target)?;
        self.recognised.index_of(outer).is_some_and(|index| self.selects(index)).then_some(outer)
    }

    fn is_member(&self, container: &Container) -> bool {
        self.members.iter().any(|m| m.id == container.id)
    }

    /// Dependants that are stopped and started with the members.
    fn revived(&self) -> impl Iterator<Item = &(Container, Peer)> {
        self.dependants.iter().filter(|(c, peer)| !self.is_member(c) && self.left_alone(c, peer).is_none())
    }

    /// Why a dependant is not started again, and so is not stopped either.
    fn left_alone(&self, container: &Container, peer: &Peer) -> Option<&'static str> {
        let is_replaced = |c: &Container| {
            c.name == peer.name && (self.options.redeploy == Redeploy::Recreate || c.particulars.removes_itself)
        };
        match () {
            () if !container.particulars.can_start_again() => starts_no_second_time(container),
            () if self.members.iter().any(is_replaced) => Some("it refers to the container that is replaced"),
            () => None,
        }
    }
}

/// What is said of a volume that lies in another one.
#[must_use]
pub fn part_of(inner: &str, outer: &str) -> String {
    format!("volume {inner} is part of {outer}: both are kept and restored as one")
}

/// That the workload has no container at all, and how to make them: no volume is named that only they have.
#[must_use]
pub fn no_containers(workload: &Workload) -> Refusal {
    let Workload { name, selector, .. } = workload;
    match &selector.compose_project {
        Some(project) => Refusal::new(
            format!("workload {name} has no containers: there are none of the compose project {project}"),
            format!(
                "`docker compose -p {project} up --no-start` in the directory of its compose file makes them, without starting \
                 them; then run this again"
            ),
        ),
        None => Refusal::new(
            format!("workload {name} has no containers"),
            "make them with `docker create` or the tool that deploys them; they need not run; then run this again",
        ),
    }
}

/// Says once that there are no containers, in the place of every volume that only they have.
fn refuse_without_containers(s: &Situation, plan: &mut Plan) {
    let is_missing = |index: usize| s.selects(index) && s.recognised.get(index).is_err();
    if s.snapshot.volumes().any(|(index, _, _)| is_missing(index)) {
        let missing: Vec<Refusal> = s
            .snapshot
            .volumes()
            .filter_map(|(index, volume, _)| Some(unrecognised(s, &volume.target, s.recognised.get(index).err()?)))
            .collect();
        plan.refusals.retain(|refusal| !missing.contains(refusal));
        plan.refusals.insert(0, no_containers(&s.workload));
    }
}

/// What the containers can write to and no snapshot has: it stays as it is, beside older data.
fn untouched(s: &Situation) -> Vec<String> {
    let is_volume = |source: &Path| {
        s.members.iter().flat_map(|c| &c.mounts).any(|m| m.unsupported.is_none() && m.writable && m.source == source)
    };
    let mut untouched = Vec::new();
    for (container, mount) in s.members.iter().flat_map(|c| c.mounts.iter().map(move |mount| (c, mount))) {
        // What is held in memory has no source, and goes with its container.
        let has_data = mount.writable && mount.source.parent().is_some() && !is_volume(&mount.source);
        if let (Some(why), true) = (&mount.unsupported, has_data) {
            untouched.push(format!("stays as it is: {}:{}: {why}", container.name, mount.target));
        }
    }
    untouched.sort();
    untouched
}

/// Why a container outside is not stopped and started again with what it uses.
#[must_use]
pub fn starts_no_second_time(container: &Container) -> Option<&'static str> {
    let Particulars { removes_itself, is_one_off, orchestrator, .. } = &container.particulars;
    match () {
        () if *removes_itself => Some("it removes itself when it ends"),
        () if *is_one_off => Some("it runs one command, which would begin anew"),
        () if orchestrator.is_some() => Some("its orchestrator replaces it"),
        () => None,
    }
}

/// What becomes of a container outside that is left alone when a member that it uses is stopped.
#[must_use]
pub fn cut_off(container: &Container, peer: &Peer, why: &str) -> String {
    format!(
        "container {} uses the {} of {}, which it loses; {why}, so it is left alone: make it anew afterwards",
        container.name,
        peer.shares.word(),
        peer.name
    )
}

/// What a restore does with the read-only subvolumes in a volume; `None` if it has none.
#[must_use]
pub fn frozen(target: &str, count: u64) -> Option<String> {
    match count {
        0 => None,
        1 => Some(format!(
            "1 read-only subvolume in volume {target} is in no snapshot, and stays: what a restore sets aside goes, and it \
             moves to its place in the restored tree"
        )),
        more => Some(format!(
            "{more} read-only subvolumes in volume {target} are in no snapshot, and stay: what a restore sets aside goes, and \
             they move to their places in the restored tree"
        )),
    }
}

/// What others notice.
fn note_others(s: &Situation, plan: &mut Plan) {
    for name in &s.onlookers {
        plan.notes
            .push(format!("container {name} has a directory above a volume mounted, read-only, and is left alone"));
    }
    for (container, peer) in s.dependants.iter().filter(|(c, _)| !s.is_member(c)) {
        match s.left_alone(container, peer) {
            None => {
                let (name, uses) = (&container.name, format!("{} of {}", peer.shares.word(), peer.name));
                plan.notes
                    .push(format!("container {name} uses the {uses}, so it is stopped and started again with it"));
            }
            Some(why) => plan.warnings.push(cut_off(container, peer, why)),
        }
    }
    if let Some(why) = &s.silence {
        plan.warnings.push(format!(
            "whether containers use these directories is not known ({why}); see that none does, or start the engine"
        ));
    }
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
    if UNIONS.contains(&kind.as_str()) {
        let reason = format!(
            "directories of {kind} are other ones when they are renamed; this one stays, and what is at its top level is \
             moved, by name"
        );
        return (Method::ByEntry, reason);
    }
    if kind == "overlay" {
        // Whether a directory is of a lower layer cannot be seen from above, nor whether the overlay redirects.
        let reason = "overlays are not known to exchange two names in one step; a directory of a lower layer cannot even \
                      be renamed, which is found out before anything is touched";
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
