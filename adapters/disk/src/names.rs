//! Names on disk: making them durable, looking at them, renaming and removing them.

use std::{
    ffi::CStr,
    fs, io,
    path::{Path, PathBuf},
};

use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, Dir, Mode, OFlags, RenameFlags, Timespec, futimens, openat, renameat, renameat_with, unlinkat},
    io::Errno,
};
use volsnap_core::{
    model::{RestoreId, Sight, place::restore_of},
    ports::{FsError, FsErrorKind, FsOp},
};

use crate::{
    entries::{is_laid_out, keeping_time},
    errno::{fs_error, io_error},
    frozen::Mover,
    handles::{Name, identity, is_dir, modified_at, stat, stat_fd, sync, try_open_dir},
    tree,
};

/// Makes the names in these directories durable.
///
/// Each directory is synced by itself, not its whole filesystem: `syncfs` would also wait for the dirty data of
/// everybody else, and this is called while the app is down. What is staged was synced when it was staged.
pub(crate) fn settle(dirs: &[PathBuf]) -> Result<(), FsError> {
    for dir in dirs {
        match try_open_dir(dir) {
            Ok(fd) => sync(FsOp::Settle, dir, fd)?,
            Err(Errno::NOENT) => {}
            // Nothing was synced, so no report of lost writes was used up: the kind is that of the failed opening.
            Err(errno) => return Err(fs_error(FsOp::Settle, dir, errno)),
        }
    }
    Ok(())
}

/// What a name holds. Only "no such file" is absence: a name that cannot be looked at may hold the last copy.
pub(crate) fn look(path: &Path) -> Result<Sight, FsError> {
    let fail = |errno| fs_error(FsOp::Look, path, errno);
    let fd = match try_open_dir(path) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(Sight::Absent),
        // Either the name holds something else, or something above it is no directory: looking at the name tells.
        Err(errno @ (Errno::NOTDIR | Errno::LOOP)) => {
            let found = stat(path).map_err(fail)?;
            return if is_dir(&found) { Err(fail(errno)) } else { Ok(Sight::Other) };
        }
        Err(errno) => return Err(fail(errno)),
    };
    // Identity and contents are of one open directory, whatever happens to the name meanwhile.
    let identity = identity(&stat_fd(&fd).map_err(fail)?);
    for entry in Dir::read_from(&fd).map_err(fail)? {
        if !matches!(entry.map_err(fail)?.file_name().to_bytes(), b"." | b"..") {
            return Ok(Sight::Directory { identity, empty: false });
        }
    }
    Ok(Sight::Directory { identity, empty: true })
}

/// Exchanges two existing names in one system call: a crash leaves them as they were or exchanged.
pub(crate) fn exchange(a: &Path, b: &Path) -> Result<(), FsError> {
    let times = [ModificationTime::of(a), ModificationTime::of(b)];
    let (a, b) = (Name::open(FsOp::Exchange, a)?, Name::open(FsOp::Exchange, b)?);
    renameat_with(&a.parent, &a.name, &b.parent, &b.name, RenameFlags::EXCHANGE)
        .map_err(|errno| between(FsOp::Exchange, &a, &b, errno))?;
    times.into_iter().flatten().for_each(ModificationTime::put_back);
    Ok(())
}

/// Renames a directory to a free name.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), FsError> {
    let time = ModificationTime::of(from);
    let (a, b) = (Name::open(FsOp::Rename, from)?, Name::open(FsOp::Rename, to)?);
    match renameat_with(&a.parent, &a.name, &b.parent, &b.name, RenameFlags::NOREPLACE) {
        Ok(()) => {}
        Err(Errno::INVAL | Errno::NOSYS) => rename_after_looking(&a, &b)?,
        Err(errno) => return Err(between(FsOp::Rename, &a, &b, errno)),
    }
    time.into_iter().for_each(ModificationTime::put_back);
    Ok(())
}

/// The modification time of a directory that is going to another parent. xfs counts the new `..` as a modification,
/// and a volume's root would then come back with the time of its restore.
pub(crate) struct ModificationTime {
    dir: OwnedFd,
    path: PathBuf,
    time: Timespec,
}

impl ModificationTime {
    /// `None` for a directory that cannot be opened: whether it can be renamed is not for this to say.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        Self::opened(try_open_dir(path).ok()?, path.to_path_buf())
    }

    /// The same for a name in an open directory.
    pub(crate) fn within(parent: &OwnedFd, name: &CStr, path: PathBuf) -> Option<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Self::opened(openat(parent, name, flags, Mode::empty()).ok()?, path)
    }

    /// The same for an open directory.
    pub(crate) fn opened(dir: OwnedFd, path: PathBuf) -> Option<Self> {
        let time = Self::seen(&dir).ok()?;
        Some(ModificationTime { dir, path, time })
    }

    /// The rename stands already, so a failure costs a time stamp and is told, not returned. A crash before this leaves
    /// the new time; it is not synced by itself, since a report of lost writes must not be used up here.
    pub(crate) fn put_back(self) {
        if let Err(errno) = self.try_put_back() {
            tracing::warn!(was = %self.path.display(), %errno, "a directory's modification time was not put back");
        }
    }

    fn try_put_back(&self) -> Result<(), Errno> {
        if Self::seen(&self.dir)? == self.time {
            return Ok(());
        }
        futimens(&self.dir, &modified_at(self.time))
    }

    fn seen(dir: &OwnedFd) -> Result<Timespec, Errno> {
        let mtime = stat_fd(dir)?.stx_mtime;
        Ok(Timespec { tv_sec: mtime.tv_sec, tv_nsec: mtime.tv_nsec.into() })
    }
}

/// For filesystems without a no-replace rename. Between the look and the rename somebody may make `to`: a plain rename
/// of a directory then replaces an empty directory and nothing else, and an empty one holds nothing to lose.
fn rename_after_looking(a: &Name, b: &Name) -> Result<(), FsError> {
    match (look(&a.path)?, look(&b.path)?) {
        (Sight::Directory { .. }, Sight::Absent) => {
            renameat(&a.parent, &a.name, &b.parent, &b.name).map_err(|errno| between(FsOp::Rename, a, b, errno))
        }
        (Sight::Absent, _) => Err(a.error(FsOp::Rename, Errno::NOENT)),
        (Sight::Other, _) => Err(a.error(FsOp::Rename, Errno::INVAL)),
        (Sight::Directory { .. }, Sight::Directory { .. } | Sight::Other) => Err(b.error(FsOp::Rename, Errno::EXIST)),
    }
}

/// An error between two names says both.
fn between(op: FsOp, a: &Name, b: &Name, errno: Errno) -> FsError {
    let error = a.error(op, errno);
    let message = format!("with {}: {}", b.path.display(), error.message);
    FsError { message, ..error }
}

/// Removes an empty directory.
pub(crate) fn remove_empty(dir: &Path) -> Result<(), FsError> {
    let name = Name::open(FsOp::Remove, dir)?;
    unlinkat(&name.parent, &name.name, AtFlags::REMOVEDIR).map_err(|errno| name.error(FsOp::Remove, errno))
}

/// Removes a private directory of this restore with all that is in it, but for read-only subvolumes, which go to their
/// places in the tree in service.
///
/// The removal is not durable on return: the next survey settles the parent, and what a power cut brings back has the
/// same name and is discarded again.
pub(crate) fn discard(restore: RestoreId, private: &Path, live: Option<&Path>) -> Result<(), FsError> {
    if !is_private(restore, private) {
        let message = format!("not a private directory of restore {restore}; nothing else is ever removed");
        return Err(FsError::new(FsErrorKind::Denied, FsOp::Remove, private, message));
    }
    match look(private)? {
        Sight::Absent => Ok(()),
        Sight::Directory { .. } => {
            let mover = Mover::begin(private, live)?;
            match is_laid_out(private) {
                true => keeping_time(private.parent().unwrap_or(private), || tree::remove(private, Some(&mover))),
                false => tree::remove(private, Some(&mover)),
            }
        }
        Sight::Other => Err(fs_error(FsOp::Remove, private, Errno::NOTDIR)),
    }
}

/// Whether it is the private directory of some volume of the restore.
fn is_private(restore: RestoreId, path: &Path) -> bool {
    path.is_absolute() && maker(path) == Some(restore)
}

/// The restore whose private directory a path is, by its name.
fn maker(path: &Path) -> Option<RestoreId> {
    path.file_name()?.to_str().and_then(restore_of)
}

/// Private directories in a directory.
pub(crate) fn private_dirs(dir: &Path) -> Result<Vec<PathBuf>, FsError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error(FsOp::Look, dir, &error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| io_error(FsOp::Look, dir, &error))?;
        let path = entry.path();
        if maker(&path).is_some() && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
    use uuid::Uuid;
    use volsnap_core::model::place::private_dir;

    use super::*;

    #[test]
    fn only_names_that_this_restore_gives_are_private() {
        let restore = RestoreId(Uuid::from_u128(7));
        let simple = restore.0.simple();
        assert!(is_private(restore, Path::new(&format!("/data/.volsnap-{simple}-0"))));
        assert!(is_private(restore, Path::new(&format!("/data/.volsnap-{simple}-12"))));
        let other = RestoreId(Uuid::from_u128(8)).0.simple();
        for name in [
            format!("/data/.volsnap-{other}-0"),
            format!("/data/.volsnap-{simple}-00"),
            format!("/data/.volsnap-{simple}-+1"),
            format!("/data/.volsnap-{simple}-"),
            format!("/data/.volsnap-{simple}"),
            format!("/data/.volsnap-{simple}-0/staged"),
            format!("/data/.volsnap-{simple}-0/.."),
            format!("data/.volsnap-{simple}-0"),
            "/data".into(),
            "/".into(),
        ] {
            assert!(!is_private(restore, Path::new(&name)), "{name}");
        }
    }

    #[test]
    fn a_link_in_place_of_a_private_directory_is_kept_with_what_it_points_at() {
        let dir = tempfile::tempdir().unwrap();
        let restore = RestoreId(Uuid::from_u128(7));
        fs::create_dir(dir.path().join("precious")).unwrap();
        let private = private_dir(&dir.path().join("live"), restore, 0);
        std::os::unix::fs::symlink("precious", &private).unwrap();
        discard(restore, &private, None).unwrap_err();
        assert!(dir.path().join("precious").exists() && private.is_symlink());
    }

    #[test]
    fn a_name_below_a_file_is_an_error_and_not_absent() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "x").unwrap();
        assert_eq!(look(&dir.path().join("file/live")).unwrap_err().kind, FsErrorKind::Io);
        assert_eq!(look(&dir.path().join("file")).unwrap(), Sight::Other);
    }

    #[test]
    fn a_name_below_an_unreadable_directory_is_an_error_and_not_absent() {
        let dir = tempfile::tempdir().unwrap();
        let closed = dir.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        let _ordinary = OrdinaryRights::take();
        assert_eq!(look(&closed.join("live")).unwrap_err().kind, FsErrorKind::Denied);
        assert_eq!(look(&closed).unwrap_err().kind, FsErrorKind::Denied);
        assert_eq!(crate::locate::locate(&closed.join("live")).unwrap_err().kind, FsErrorKind::Denied);
        assert!(!crate::locate::locate(&closed).unwrap().writable, "a directory that cannot be moved");
    }

    /// Without root's pass through permissions, on this thread, until dropped.
    struct OrdinaryRights(CapabilitySets);

    impl OrdinaryRights {
        fn take() -> Self {
            let before = capabilities(None).unwrap();
            let effective = before.effective - CapabilitySet::DAC_OVERRIDE - CapabilitySet::DAC_READ_SEARCH;
            set_capabilities(None, CapabilitySets { effective, ..before }).unwrap();
            OrdinaryRights(before)
        }
    }

    impl Drop for OrdinaryRights {
        fn drop(&mut self) {
            set_capabilities(None, self.0).unwrap();
        }
    }

    #[test]
    fn without_a_no_replace_rename_an_occupied_name_is_still_refused() {
        let dir = tempfile::tempdir().unwrap();
        let [from, to, free] = ["from", "to", "free"].map(|name| dir.path().join(name));
        fs::create_dir(&from).unwrap();
        fs::create_dir(&to).unwrap();
        let open = |path: &Path| Name::open(FsOp::Rename, path).unwrap();
        assert_eq!(rename_after_looking(&open(&from), &open(&to)).unwrap_err().kind, FsErrorKind::Exists);
        rename_after_looking(&open(&from), &open(&free)).unwrap();
        assert!(free.exists() && !from.exists());
    }
}
