//! Why a restore must not begin.

use super::*;
use crate::model::hook::quoted;

pub(super) fn refuse_foreign(s: &Situation, plan: &mut Plan) {
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

/// Why a volume of the snapshot has no place to go to.
pub(super) fn unrecognised(s: &Situation, target: &str, why: &Unrecognised) -> Refusal {
    let (name, snapshot) = (&s.workload.name, s.snapshot.id());
    match why {
        Unrecognised::Gone => Refusal::new(
            format!("volume {target} of the snapshot is not a volume of {name} any more"),
            match by_name(s) {
                Some(command) => format!("mount it in the workload again, or restore the others: `{command}`"),
                None => "mount it in the workload again".to_string(),
            },
        ),
        Unrecognised::Ambiguous(names) => Refusal::new(
            format!(
                "volume {target} of the snapshot may be {} now: the snapshot does not say which",
                names.join(" or ")
            ),
            format!(
                "unpack it into an empty directory and move it where it belongs: `volsnap extract {snapshot} DIR --volume {}`",
                quoted([target])
            ),
        ),
    }
}

/// The command that restores those volumes of the snapshot that have a place to go to, by name. It is the same for an undo,
/// which takes no names.
fn by_name(s: &Situation) -> Option<String> {
    let volumes = s.snapshot.archive.manifest.volumes.iter().enumerate();
    let is_wanted = |target: &String| s.targets.is_empty() || s.targets.contains(target);
    let known: Vec<&str> = volumes
        .filter(|(index, volume)| s.recognised.get(*index).is_ok() && is_wanted(&volume.target))
        .flat_map(|(_, volume)| ["--volume", &volume.target])
        .collect();
    let id = s.snapshot.id().to_string();
    let words = ["volsnap", "restore", &s.workload.name, &id].into_iter().chain(known.iter().copied());
    (!known.is_empty()).then(|| quoted(words))
}

/// Volumes that were named and are not there, and volumes that would silently stay at the present.
pub(super) fn refuse_selection(s: &Situation, plan: &mut Plan) {
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
            match by_name(s) {
                Some(command) => {
                    format!("they would stay as they are, beside older data; if that is meant: `{command}`")
                }
                None => "choose another snapshot".to_string(),
            },
        ));
    }
    if plan.volumes.is_empty() && plan.refusals.is_empty() {
        plan.refusals.push(Refusal::new("the snapshot has no volumes", "choose another snapshot"));
    }
}

/// Whether a directory is that of a named volume, also where no container mounts it: `volumes/NAME/_data` of the engine's.
#[must_use]
pub fn is_named_volume(protected: &[Protected], location: &Location) -> bool {
    let is_below = |root: &Path| {
        let below = location.real.strip_prefix(root.join("volumes"));
        below.is_ok_and(|below| below.components().count() == 2 && below.ends_with("_data"))
    };
    protected.iter().any(|one| one.holds_named_volumes && is_below(&one.location.real))
}

/// Why the directory of a volume cannot be replaced.
#[must_use]
pub fn refuse_place(protected: &[Protected], target: &str, candidate: &Candidate, location: &Location) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let live = location.real.display();
    let shown = quoted([location.real.to_string_lossy().as_ref()]);
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
            &format!("take the flag away with `chattr -i -a {shown}`"),
        ),
        Occupant::NotADirectory => {
            refuse(format!("volume {target} at {live} is not a directory"), "only directories can be volumes");
        }
    }
    if candidate.size.immutable > 0 {
        let count = candidate.size.immutable;
        refuse(
            format!("{count} of the entries of volume {target} at {live} are immutable or append-only"),
            &format!(
                "what is set aside could not be removed; find them with `lsattr -R {shown}`, and take the flags away with \
                 `find {shown} -type f,d -exec chattr -i -a {{}} +`"
            ),
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
    if let Some(policy) = &location.filesystem.path_preserving {
        let mount = location.filesystem.mount.display();
        let control = location.filesystem.mount.join(".mergerfs");
        refuse(
            format!(
                "volume {target} lies on {mount}, a mergerfs with the policy {policy}, under which a rename fails between \
                 directories that are on different disks"
            ),
            &format!(
                "change the policy with `{}`, and mount it with `category.create=mfs` from now on",
                quoted(["setfattr", "-n", "user.mergerfs.category.create", "-v", "mfs", &control.to_string_lossy()])
            ),
        );
    }
    refusals
}

/// Two live directories that are one, or one in another: a rename of one would move the other.
pub(super) fn refuse_overlap(s: &Situation, plan: &mut Plan) {
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
pub(super) fn refuse_consumers(s: &Situation, plan: &mut Plan) {
    for container in s.consumers.iter().filter(|c| !s.is_member(c) && c.run.is_active()) {
        plan.refusals.push(match &container.particulars.orchestrator {
            Some(service) => Refusal::orchestrated(&container.name, service),
            None => Refusal::new(
                format!(
                    "container {} is not part of {} and has one of its volumes mounted",
                    container.name, s.workload.name
                ),
                format!(
                    "stop it (`docker stop {}`), or make it part of the workload: `{}`",
                    container.name,
                    s.workload.command_with(&container.name)
                ),
            ),
        });
    }
}

/// Members that must not be stopped and started.
pub(super) fn refuse_members(s: &Situation, plan: &mut Plan) {
    for member in s.members.iter().filter(|c| c.run.is_active()) {
        let Container { name, particulars, .. } = member;
        if let Some(why) = anew::starts_no_more(member, &s.members) {
            plan.refusals.push(Refusal::new(why, "start that one first, or stop both"));
        }
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
