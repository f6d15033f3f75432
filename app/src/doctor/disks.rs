//! The filesystems of the state directory and of the volumes: what they can do, and what they have left.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use volsnap_core::model::{FilesystemInfo, Location, Space};
use volsnap_disk::{Probed, probe, probes_left};

use super::{Finding, Severity};
use crate::Volsnap;

/// With less than this in the state directory's filesystem, journals may not fit.
const JOURNALS_BYTES: u64 = 16 << 20;
/// With less than this a snapshot of anything is likely to fail.
const LITTLE_BYTES: u64 = 512 << 20;
const LITTLE_INODES: u64 = 1000;

/// A filesystem, and a directory of it in which names may be made.
struct Disk {
    info: FilesystemInfo,
    space: Space,
    /// `None` where every place is within a volume.
    place: Option<PathBuf>,
    users: BTreeSet<String>,
}

pub(super) async fn look(volsnap: &Volsnap) -> Vec<Finding> {
    let filesystem = &volsnap.engine().ports().filesystem;
    let mut findings = Vec::new();
    let mut disks: BTreeMap<String, Disk> = BTreeMap::new();
    let state_dir = filesystem.state_dir();
    match filesystem.space(&state_dir).await {
        Ok((info, space)) => {
            findings.extend(state_space(&state_dir, space));
            let users = BTreeSet::from(["the state directory".to_string()]);
            disks.insert(info.id.0.clone(), Disk { info, space, place: Some(state_dir), users });
        }
        Err(error) => findings.push(find(Severity::Problem, &state_dir, error.to_string())),
    }
    let located = locate_volumes(volsnap, &mut findings).await;
    let lives: Vec<PathBuf> = located.iter().map(|(_, location)| location.real.clone()).collect();
    for (workload, location) in &located {
        let place = beside(location, &lives);
        if let Some(place) = &place {
            findings.extend(probes_left(place).iter().map(|left| {
                find(Severity::Note, left, "what a `doctor` that was killed left".into())
                    .remedy(format!("rm -r {}", left.display()))
            }));
        }
        let info = &location.filesystem;
        let disk = disks.entry(info.id.0.clone()).or_insert_with(|| Disk {
            info: info.clone(),
            space: location.space,
            place: None,
            users: BTreeSet::new(),
        });
        disk.place = disk.place.take().or(place);
        disk.users.insert(format!("workload {workload}"));
    }
    for disk in disks.into_values() {
        findings.extend(judge(disk).await);
    }
    findings
}

async fn locate_volumes(volsnap: &Volsnap, findings: &mut Vec<Finding>) -> Vec<(String, Location)> {
    let mut located = Vec::new();
    for workload in volsnap.workloads().await.unwrap_or_default() {
        let seen = match volsnap.inspect(&workload).await {
            Ok(seen) => seen,
            Err(error) => {
                let message = format!("its volumes cannot be told: {}", error.message);
                findings.push(Finding::new("disks", Severity::Note, format!("workload {}", workload.name), message));
                continue;
            }
        };
        for volume in seen.resolved.volumes {
            match volsnap.engine().ports().filesystem.locate(&volume.path).await {
                Ok(location) => located.push((workload.name.clone(), location)),
                Err(error) => findings.push(
                    find(
                        Severity::Problem,
                        &volume.path,
                        format!("volume {} of {}: {error}", volume.target, workload.name),
                    )
                    .remedy("check that its filesystem is mounted"),
                ),
            }
        }
    }
    located
}

/// Where names may be made beside a live directory; not where that is within a volume itself.
fn beside(location: &Location, lives: &[PathBuf]) -> Option<PathBuf> {
    if location.occupant.fixed().is_some() || !location.writable {
        return None;
    }
    let parent = location.real.parent()?;
    (!lives.iter().any(|live| parent.starts_with(live))).then(|| parent.to_path_buf())
}

fn state_space(dir: &Path, space: Space) -> Option<Finding> {
    let scarce = space.bytes_free < JOURNALS_BYTES || space.inodes_free.is_some_and(|free| free < 16);
    let message = format!("{} bytes are free: there may be no room for a journal", space.bytes_free);
    scarce.then(|| {
        find(Severity::Problem, dir, message).remedy("free some space there; `volsnap prune` deletes snapshots")
    })
}

async fn judge(disk: Disk) -> Vec<Finding> {
    let Disk { info, space, place, users } = disk;
    let mount = info.mount.clone();
    let on = info.disk.as_ref().map_or_else(String::new, |disk| format!(" on {disk}"));
    let users = users.into_iter().collect::<Vec<_>>().join(", ");
    let what = format!("{}{on}, used by {users}", info.kind);
    let probed = match &place {
        Some(place) => {
            let place = place.clone();
            match tokio::task::spawn_blocking(move || probe(&place)).await {
                Ok(Ok(probed)) => Some(probed),
                Ok(Err(error)) => {
                    return vec![find(
                        Severity::Problem,
                        &mount,
                        format!("{what}: nothing can be tried there: {error}"),
                    )];
                }
                Err(_) => None,
            }
        }
        None => None,
    };
    let mut findings = vec![abilities(&info, probed.as_ref(), &what)];
    let few = space.inodes_free.is_some_and(|free| free < LITTLE_INODES);
    if space.bytes_free < LITTLE_BYTES || few {
        let inodes = space.inodes_free.map_or_else(String::new, |free| format!(" and {free} inodes"));
        let message = format!("{} MiB{inodes} are free", space.bytes_free >> 20);
        findings.push(find(Severity::Warning, &mount, message).remedy("free some space there, or `volsnap prune`"));
    }
    findings
}

/// What it can do, and what follows from what it cannot.
fn abilities(info: &FilesystemInfo, probed: Option<&Probed>, what: &str) -> Finding {
    let Some(probed) = probed else {
        let message = format!("{what}: not tried, since every place there is within a volume or not writable");
        return find(Severity::Note, &info.mount, message);
    };
    if let Some(problem) = &probed.sync_problem {
        let message = format!("{what}: syncing fails, so nothing is durable there: {problem}");
        return find(Severity::Problem, &info.mount, message)
            .remedy("look at the kernel's log; move the data elsewhere");
    }
    let abilities = [
        (probed.exchange, "exchange"),
        (probed.births, "birth times"),
        (probed.xattrs, "extended attributes"),
        (probed.acls, "ACLs"),
        (probed.reflinks, "reflinks"),
    ];
    let list = |have: bool| abilities.iter().filter(|(can, _)| *can == have).map(|(_, n)| *n).collect::<Vec<_>>();
    let (can, cannot) = (list(true), list(false));
    let cannot_text = if cannot.is_empty() { String::new() } else { format!("; not: {}", cannot.join(", ")) };
    let message = format!("{what}: syncs; {}{cannot_text}", can.join(", "));
    if info.exchange && !probed.exchange {
        let message = format!("{message}; a restore counts on the exchange and will be given up");
        return find(Severity::Problem, &info.mount, message);
    }
    // Without an exchange or births live is set aside first; without attributes a tree that has some is not staged.
    match probed.exchange && probed.births && probed.xattrs && probed.acls {
        true => find(Severity::Ok, &info.mount, message),
        false => find(Severity::Note, &info.mount, message),
    }
}

fn find(severity: Severity, subject: &Path, message: String) -> Finding {
    Finding::new("disks", severity, subject.display().to_string(), message)
}
