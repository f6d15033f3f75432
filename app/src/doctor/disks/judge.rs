//! What is to be said of a filesystem, from what is known of it and what came of trying it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use volsnap_core::{
    model::{FilesystemInfo, Space, hook::quoted},
    ports::FsError,
};
use volsnap_disk::Probed;

use super::{Finding, Severity};

/// With less than this in the state directory's filesystem, journals may not fit.
const JOURNALS_BYTES: u64 = 16 << 20;
const JOURNALS_INODES: u64 = 16;
/// With less than this a snapshot of anything is likely to fail.
const LITTLE_BYTES: u64 = 512 << 20;
const LITTLE_INODES: u64 = 1000;

/// A filesystem, and a directory of it in which names may be made.
pub(super) struct Disk {
    pub(super) info: FilesystemInfo,
    pub(super) space: Space,
    /// `None` where every place is within a volume, or none can be written to.
    pub(super) place: Option<PathBuf>,
    pub(super) users: BTreeSet<String>,
}

/// What can be said of a filesystem; `tried` is `None` where there was no place to try it.
pub(super) fn judge(disk: &Disk, tried: Option<&Result<Probed, FsError>>) -> Vec<Finding> {
    let Disk { info, space, users, place: _ } = disk;
    let on = info.disk.as_ref().map_or_else(String::new, |disk| format!(" on {disk}"));
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let what = format!("{}{on}, used by {}", info.kind, users.join(", "));
    let first = match tried {
        _ if info.read_only => {
            find(Severity::Problem, &info.mount, format!("{what}: mounted read-only, so nothing can be restored there"))
                .remedy(format!(
                    "look at the kernel's log for the reason, then `{}`",
                    quoted(["mount", "-o", "remount,rw", info.mount.to_string_lossy().as_ref()])
                ))
        }
        Some(Err(error)) => {
            find(Severity::Problem, &info.mount, format!("{what}: nothing can be tried there: {error}"))
        }
        None => {
            let message = format!("{what}: not tried, since every place there is within a volume or not writable");
            find(Severity::Note, &info.mount, message)
        }
        Some(Ok(probed)) => abilities(info, probed, &what),
    };
    [first].into_iter().chain(little_space(&info.mount, *space)).collect()
}

/// What it can do, and what follows from what it cannot. Its kind has no part in it: a network's filesystem that does all
/// this is as good as any.
fn abilities(info: &FilesystemInfo, probed: &Probed, what: &str) -> Finding {
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
    let can_text = if can.is_empty() { String::new() } else { format!("; {}", can.join(", ")) };
    let cannot_text = if cannot.is_empty() { String::new() } else { format!("; not: {}", cannot.join(", ")) };
    let message = format!("{what}: syncs{can_text}{cannot_text}");
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

fn little_space(mount: &Path, space: Space) -> Option<Finding> {
    let few = space.inodes_free.is_some_and(|free| free < LITTLE_INODES);
    (space.bytes_free < LITTLE_BYTES || few).then(|| {
        let inodes = space.inodes_free.map_or_else(String::new, |free| format!(" and {free} inodes"));
        let message = format!("{} MiB{inodes} are free", space.bytes_free >> 20);
        find(Severity::Warning, mount, message).remedy("free some space there, or `volsnap prune`")
    })
}

/// Whether the state directory has room for journals.
pub(super) fn state_space(dir: &Path, space: Space) -> Option<Finding> {
    let few = space.inodes_free.filter(|free| *free < JOURNALS_INODES);
    let free = match few {
        Some(inodes) => format!("{inodes} inodes"),
        None => format!("{} bytes", space.bytes_free),
    };
    (space.bytes_free < JOURNALS_BYTES || few.is_some()).then(|| {
        find(Severity::Problem, dir, format!("{free} are free: there may be no room for a journal"))
            .remedy("free some space there; `volsnap prune` deletes snapshots")
    })
}

/// A volume whose filesystem cannot be told.
pub(super) fn not_located(workload: &str, target: &str, path: &Path, error: &FsError) -> Finding {
    find(Severity::Problem, path, format!("volume {target} of {workload}: {error}"))
        .remedy("check that its filesystem is mounted")
}

pub(super) fn find(severity: Severity, subject: &Path, message: String) -> Finding {
    Finding::new("disks", severity, subject.display().to_string(), message)
}

#[cfg(test)]
mod tests;
