//! From what is seen before a restore to its plan: every reason not to begin, found while nothing is touched.

mod containers;

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
        let Particulars { removes_itself, is_one_off, orchestrator, .. } = &container.particulars;
        let is_replaced = |c: &Container| {
            c.name == peer.name && (self.options.redeploy == Redeploy::Recreate || c.particulars.removes_itself)
        };
        match () {
            () if *removes_itself => Some("it removes itself when it ends"),
            () if *is_one_off => Some("it runs one command, which would begin anew"),
            () if orchestrator.is_some() => Some("its orchestrator replaces it"),
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

/// Why a volume of the snapshot has no place to go to.
fn unrecognised(s: &Situation, target: &str, why: &Unrecognised) -> Refusal {
    let (name, snapshot) = (&s.workload.name, s.snapshot.id());
    match why {
        Unrecognised::Gone => Refusal::new(
            format!("volume {target} of the snapshot is not a volume of {name} any more"),
            "mount it in the workload again, or name the volumes to restore with --volume",
        ),
        Unrecognised::Ambiguous(names) => Refusal::new(
            format!(
                "volume {target} of the snapshot may be {} now: the snapshot does not say which",
                names.join(" or ")
            ),
            format!(
                "unpack it into an empty directory and move it where it belongs: `volsnap extract {snapshot} DIR --volume {target}`"
            ),
        ),
    }
}

/// Volumes that were named and are not there, and volumes that would silently stay at the present.
fn refuse_selection(s: &Situation, plan: &mut Plan) {
    let manifest = &s.snapshot.archive.manifest;
    for target in &s.targets {
        let index = s.index_of(target);
        let now = index.and_then(|index| s.recognised.get(index).ok()).unwrap_or(target);
        let outer = s.parts.get(now).filter(|_| s.outer(now).is_none());
        if let (Some(outer), None) = (outer, index) {
            plan.refusals.push(Refusal::new(
                format!("volume {target} lies in {outer}, and the snapshot holds it as part of that"),
                format!("restore that one: --volume {outer}"),
            ));
        } else if s.outer(now).is_some() {
            // It comes with that one.
        } else if index.is_none() {
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
        .filter(|target| s.recognised.index_of(target).is_none() && s.outer(target).is_none())
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

/// Why the directory of a volume cannot be replaced.
#[must_use]
pub fn refuse_place(protected: &[Protected], target: &str, candidate: &Candidate, location: &Location) -> Vec<Refusal> {
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
    for one in protected {
        let of = &one.location;
        let inside = location.is_within(of) && !(candidate.named && one.holds_named_volumes);
        if inside || of.is_within(location) || location.is_same(of) {
            refuse(
                format!("volume {target} at {live} overlaps with {} at {}", one.what, of.real.display()),
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
        protected.iter().any(|place| place.holds_named_volumes && path.starts_with(&place.location.real))
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
                && s.outer(other).is_none()
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
        plan.refusals.push(match &container.particulars.orchestrator {
            Some(service) => Refusal::orchestrated(&container.name, service),
            None => Refusal::new(
                format!(
                    "container {} is not part of {} and has one of its volumes mounted",
                    container.name, s.workload.name
                ),
                format!("stop it (`docker stop {}`), or add it to the workload", container.name),
            ),
        });
    }
}

/// Members that must not be stopped and started.
fn refuse_members(s: &Situation, plan: &mut Plan) {
    for Container { name, particulars, .. } in s.members.iter().filter(|c| c.run.is_active()) {
        if let Some(service) = &particulars.orchestrator {
            plan.refusals.push(Refusal::orchestrated(name, service));
        } else if particulars.is_one_off && !s.options.stop_one_offs {
            plan.refusals.push(Refusal::new(
                format!(
                    "container {name} runs one command on the volumes (`compose run`), and would not be started again"
                ),
                "wait until it has ended, or stop it with --stop-one-offs",
            ));
        }
    }
}

/// What others notice.
fn note_others(s: &Situation, plan: &mut Plan) {
    for name in &s.onlookers {
        plan.notes
            .push(format!("container {name} has a directory above a volume mounted, read-only, and is left alone"));
    }
    for (container, peer) in s.dependants.iter().filter(|(c, _)| !s.is_member(c)) {
        let (name, uses) = (&container.name, format!("{} of {}", peer.shares.word(), peer.name));
        match s.left_alone(container, peer) {
            None => {
                plan.notes
                    .push(format!("container {name} uses the {uses}, so it is stopped and started again with it"));
            }
            Some(why) => plan.warnings.push(format!(
                "container {name} uses the {uses}, which it loses; {why}, so it is left alone: make it anew afterwards"
            )),
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
