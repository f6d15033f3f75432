//! Trying out what a filesystem can do, in a private directory that is removed again.
//!
//! A plan goes by what is known of a kind of filesystem and touches nothing. This tries it, for a person who wants to
//! know, and must never be pointed into a volume: it makes names.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags, XattrFlags, fsetxattr, ioctl_ficlone, renameat_with, syncfs},
    io::Errno,
};
use uuid::Uuid;
use volsnap_core::{
    model::place::PRIVATE_PREFIX,
    ports::{FsError, FsOp},
};

use crate::{
    errno::io_error,
    handles::{has_birth, stat},
};

/// What names of probes begin with, behind [`PRIVATE_PREFIX`].
const PROBE: &str = "probe-";

/// What a filesystem was seen to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// Two names can be exchanged atomically.
    pub exchange: bool,
    /// Directories have birth times.
    pub births: bool,
    /// Why syncing a file, a directory or the filesystem fails; `None` if all of them go.
    pub sync_problem: Option<String>,
    /// Extended attributes of users can be set.
    pub xattrs: bool,
    /// POSIX ACLs can be set.
    pub acls: bool,
    /// Files can share their blocks (`FICLONE`).
    pub reflinks: bool,
}

/// Tries it in a new directory within `dir`, which is removed before this returns. A process that is killed in the
/// middle leaves it, and [`probes_left`] finds it.
pub fn probe(dir: &Path) -> Result<Probed, FsError> {
    let place = Place::make(dir).map_err(|error| io_error(FsOp::Look, dir, &error))?;
    let probed = place.probe().map_err(|error| io_error(FsOp::Look, &place.0, &error));
    let removed = place.remove().map_err(|error| io_error(FsOp::Remove, &place.0, &error));
    let probed = probed?;
    removed.map(|()| probed)
}

/// The directories that probes left within `dir`; none if it cannot be read.
#[must_use]
pub fn probes_left(dir: &Path) -> Vec<PathBuf> {
    let ours = |name: &str| {
        let id = name.strip_prefix(PRIVATE_PREFIX).and_then(|name| name.strip_prefix(PROBE));
        id.is_some_and(|id| Uuid::parse_str(id).is_ok())
    };
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let entries = entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(ours));
    entries.map(|entry| entry.path()).collect()
}

struct Place(PathBuf);

/// All that is ever made in a place: nothing else is removed.
const FILES: [&str; 2] = ["file", "clone"];
const DIRS: [&str; 2] = ["one", "other"];

/// `user::rw-,user:0:r--,group::r--,mask::r--,other::---` as the kernel has it.
const ACL: [u8; 44] = [
    2, 0, 0, 0, //
    1, 0, 6, 0, 255, 255, 255, 255, //
    2, 0, 4, 0, 0, 0, 0, 0, //
    4, 0, 4, 0, 255, 255, 255, 255, //
    16, 0, 4, 0, 255, 255, 255, 255, //
    32, 0, 0, 0, 255, 255, 255, 255,
];

impl Place {
    fn make(dir: &Path) -> io::Result<Self> {
        let path = dir.join(format!("{PRIVATE_PREFIX}{PROBE}{}", Uuid::now_v7()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Place(path))
    }

    fn probe(&self) -> io::Result<Probed> {
        let [one, other] = DIRS.map(|name| self.0.join(name));
        for dir in [&one, &other] {
            DirBuilder::new().mode(0o700).create(dir)?;
        }
        let exchanged = renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE);
        let seen = stat(&one)?;
        let mut file = File::create_new(self.0.join(FILES[0]))?;
        // More than a block, so that there is something to share.
        file.write_all(&[7; 16384])?;
        let sync_problem = self.sync(&file).err().map(|error| error.to_string());
        let clone = File::create_new(self.0.join(FILES[1]))?;
        let can = |done: Result<(), Errno>| done.is_ok();
        Ok(Probed {
            exchange: can(exchanged),
            births: has_birth(&seen),
            sync_problem,
            xattrs: can(fsetxattr(&file, "user.volsnap.probe", b"1", XattrFlags::empty())),
            acls: can(fsetxattr(&file, "system.posix_acl_access", &ACL, XattrFlags::empty())),
            reflinks: can(ioctl_ficlone(&clone, &file)),
        })
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()?;
        let dir = File::open(&self.0)?;
        dir.sync_all()?;
        Ok(syncfs(dir)?)
    }

    fn remove(&self) -> io::Result<()> {
        for name in FILES {
            absent_is_fine(fs::remove_file(self.0.join(name)))?;
        }
        for name in DIRS {
            absent_is_fine(fs::remove_dir(self.0.join(name)))?;
        }
        fs::remove_dir(&self.0)
    }
}

fn absent_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_leaves_nothing_and_agrees_with_what_is_known_of_the_filesystem() {
        let dir = tempfile::tempdir().unwrap();
        let probed = probe(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(probed.sync_problem, None);
        let (known, _) = crate::locate::space(dir.path()).unwrap();
        // What is planned with is never more than what there is.
        assert!(probed.exchange || !known.exchange, "{known:?} {probed:?}");
        assert_eq!(probed.births, known.births);
    }

    #[test]
    fn what_a_killed_probe_left_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::make(dir.path()).unwrap();
        fs::create_dir(dir.path().join(".volsnap-probe-mine")).unwrap();
        assert_eq!(probes_left(dir.path()), [place.0]);
        assert_eq!(probes_left(&dir.path().join("nowhere")), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        assert!(probe(Path::new("/nowhere/at/all")).is_err());
    }
}
