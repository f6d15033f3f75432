//! What stands at a live path, where it really is, and what its filesystem can do and has left.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Access, AtFlags, CWD, Statx, StatxAttributes, accessat, statvfs},
    io::Errno,
    process::geteuid,
};
use volsnap_core::{
    model::{FilesystemInfo, Inode, Location, Mounted, Occupant, Space},
    ports::{FsError, FsErrorKind, FsOp},
};

use crate::{
    errno::{fs_error, io_error},
    handles::{has_birth, identity, is_dir, stat},
    mounts::{Mount, mount_of, mounts},
};

/// Resolves a live path, of which only the last component may be absent.
pub(crate) fn locate(path: &Path) -> Result<Location, FsError> {
    let real = resolve(path)?;
    // The parent of `/` is `/`, to the kernel too.
    let parent = real.parent().unwrap_or(&real);
    let parent_stat = look(parent)?;
    let live_stat = match stat(&real) {
        Ok(stat) => Some(stat),
        Err(Errno::NOENT) => None,
        Err(errno) => return Err(fs_error(FsOp::Look, &real, errno)),
    };
    let table = mounts()?;
    let mount = mount_of(&table, &parent_stat, parent)?;
    let occupant = match &live_stat {
        Some(stat) => occupant(&real, stat, mount_of(&table, stat, &real)?, mount),
        None => Occupant::Absent,
    };
    let movable = match (occupant, &live_stat) {
        (Occupant::Directory(_), Some(live)) => may_move(&real, live, &parent_stat)?,
        // Nothing to move, or refused for a reason of its own.
        _ => true,
    };
    // Where names will change: a directory that cannot be renamed stays, and its entries are moved.
    let (holder, held, mount) = match (occupant.fixed(), &live_stat) {
        (Some(_), Some(live)) => (real.as_path(), live, mount_of(&table, live, &real)?),
        (Some(_) | None, _) => (parent, &parent_stat, mount),
    };
    Ok(Location {
        occupant,
        inode: live_stat.as_ref().map(inode),
        parent: identity(&parent_stat),
        writable: movable && may_rename(holder, held, mount)?,
        filesystem: describe(mount, held),
        space: space_left(holder)?,
        ancestors: ancestors(&real)?,
        real,
    })
}

/// What is mounted below a directory, and where it is mounted itself. `dir` is a path without links, as the mount table
/// has them.
pub(crate) fn mounted(dir: &Path) -> Result<Mounted, FsError> {
    let table = mounts()?;
    let within = |point: &Path| point != dir && point.starts_with(dir);
    let elsewhere = match stat(dir) {
        Ok(found) => {
            let own = mount_of(&table, &found, dir)?;
            // What cannot be renamed stays where others see it; what is in it is moved.
            let stays = own.point == dir || is_subvolume(&found, own);
            let seen = table.iter().filter(|other| other.shows(own, dir, stays) && !within(&other.point));
            in_order(seen.map(|mount| mount.point.clone()).collect())
        }
        Err(Errno::NOENT) => Vec::new(),
        Err(errno) => return Err(fs_error(FsOp::Look, dir, errno)),
    };
    let points = table.into_iter().map(|mount| mount.point);
    Ok(Mounted { within: in_order(points.filter(|point| within(point)).collect()), elsewhere })
}

fn in_order(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    paths.sort();
    paths.dedup();
    paths
}

/// The filesystem of an existing directory, and its space.
pub(crate) fn space(dir: &Path) -> Result<(FilesystemInfo, Space), FsError> {
    let real = fs::canonicalize(dir).map_err(|error| io_error(FsOp::Look, dir, &error))?;
    let found = look(&real)?;
    let table = mounts()?;
    Ok((describe(mount_of(&table, &found, &real)?, &found), space_left(&real)?))
}

/// The path without links. An absent last component is appended to its resolved parent; a link to nothing is refused,
/// since a restore would put a directory in the place of somebody's link.
fn resolve(path: &Path) -> Result<PathBuf, FsError> {
    let fail = |kind, message: String| Err(FsError::new(kind, FsOp::Look, path, message));
    if !path.is_absolute() {
        return fail(FsErrorKind::Unsupported, "not an absolute path".into());
    }
    match fs::canonicalize(path) {
        Ok(real) => return Ok(real),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io_error(FsOp::Look, path, &error)),
    }
    if let Ok(target) = fs::read_link(path) {
        return fail(FsErrorKind::NotFound, format!("a symbolic link to {}, which does not exist", target.display()));
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return fail(FsErrorKind::NotFound, "does not exist".into());
    };
    match fs::canonicalize(parent) {
        Ok(parent) => Ok(parent.join(name)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fail(FsErrorKind::NotFound, format!("its parent directory {} does not exist", parent.display()))
        }
        Err(error) => Err(io_error(FsOp::Look, parent, &error)),
    }
}

fn look(dir: &Path) -> Result<Statx, FsError> {
    stat(dir).map_err(|errno| fs_error(FsOp::Look, dir, errno))
}

/// Inode of the root of every btrfs subvolume (`BTRFS_FIRST_FREE_OBJECTID`).
pub(crate) const SUBVOLUME_ROOT: u64 = 256;

fn is_subvolume(stat: &Statx, own: &Mount) -> bool {
    own.kind == "btrfs" && stat.stx_ino == SUBVOLUME_ROOT
}

fn occupant(real: &Path, stat: &Statx, own: &Mount, parents: &Mount) -> Occupant {
    let identity = identity(stat);
    let fixed = StatxAttributes::IMMUTABLE | StatxAttributes::APPEND;
    if !is_dir(stat) {
        Occupant::NotADirectory
    } else if own.id != parents.id || real == Path::new("/") {
        // Also a bind mount of the directory on itself: a rename answers EBUSY all the same.
        Occupant::MountPoint(identity)
    } else if is_subvolume(stat, own) {
        Occupant::Subvolume(identity)
    } else if stat.stx_attributes.intersects(fixed) {
        Occupant::Immutable(identity)
    } else {
        Occupant::Directory(identity)
    }
}

/// Whether this process may make and rename names in the parent.
fn may_rename(parent: &Path, stat: &Statx, mount: &Mount) -> Result<bool, FsError> {
    // Below an append-only directory names can be made but not renamed.
    Ok(!mount.read_only && !stat.stx_attributes.contains(StatxAttributes::APPEND) && may_write(parent)?)
}

/// Whether this process may move a directory out of its parent: asked before the app is stopped, since the switch
/// would find out too late.
fn may_move(real: &Path, live: &Statx, parent: &Statx) -> Result<bool, FsError> {
    // In a sticky directory such as /tmp, names belong to their owners. Moving to another parent rewrites the
    // directory's own `..`, which takes the right to write into it.
    let euid = geteuid();
    let owns = |stat: &Statx| stat.stx_uid == euid.as_raw();
    let sticky = parent.stx_mode & 0o1000 != 0;
    Ok((!sticky || euid.is_root() || owns(live) || owns(parent)) && may_write(real)?)
}

/// Whether this process may not read and write what is there.
pub(crate) fn is_denied(path: &Path) -> bool {
    let found = accessat(CWD, path, Access::READ_OK | Access::WRITE_OK, AtFlags::EACCESS);
    matches!(found, Err(Errno::ACCESS | Errno::PERM | Errno::ROFS))
}

fn may_write(dir: &Path) -> Result<bool, FsError> {
    match accessat(CWD, dir, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) {
        Ok(()) => Ok(true),
        Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Ok(false),
        Err(errno) => Err(fs_error(FsOp::Look, dir, errno)),
    }
}

fn describe(mount: &Mount, stat: &Statx) -> FilesystemInfo {
    FilesystemInfo {
        id: mount.filesystem(),
        mount: mount.point.clone(),
        kind: mount.kind.clone(),
        disk: mount.disk(),
        exchange: mount.exchanges(),
        births: has_birth(stat),
        read_only: mount.read_only,
        path_preserving: path_preserving(mount),
    }
}

/// The policy of a mergerfs that makes names only where their directory is already (`ep…`), by what its control file says.
/// It is told otherwise by `ignorepponrename`.
fn path_preserving(mount: &Mount) -> Option<String> {
    if mount.kind != "fuse.mergerfs" {
        return None;
    }
    let control = mount.point.join(".mergerfs");
    let said = |key: &str| {
        let mut value = [0; 256];
        let length = rustix::fs::getxattr(&control, format!("user.mergerfs.{key}"), &mut value).ok()?;
        String::from_utf8(value.get(..length)?.to_vec()).ok()
    };
    let policy = said("func.create").or_else(|| said("category.create"))?;
    (policy.starts_with("ep") && said("ignorepponrename").as_deref() != Some("true")).then_some(policy)
}

/// Space for an ordinary writer: what a filesystem keeps back for root keeps the host alive and is not planned with.
fn space_left(dir: &Path) -> Result<Space, FsError> {
    let found = statvfs(dir).map_err(|errno| fs_error(FsOp::Look, dir, errno))?;
    Ok(Space {
        bytes_free: found.f_bavail.saturating_mul(found.f_frsize),
        // A filesystem that makes inodes as it needs them, such as btrfs, says that it has none in all.
        inodes_free: (found.f_files != 0).then_some(found.f_favail),
        block: found.f_frsize.max(1),
    })
}

/// The directories above `real`, nearest first, up to `/`.
fn ancestors(real: &Path) -> Result<Vec<Inode>, FsError> {
    real.ancestors().skip(1).map(|dir| Ok(inode(&look(dir)?))).collect()
}

fn inode(stat: &Statx) -> Inode {
    Inode { device: (stat.stx_dev_major, stat.stx_dev_minor), number: stat.stx_ino }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[test]
    fn a_link_to_a_directory_is_resolved_to_the_directory_and_its_own_parent() {
        let dir = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir_all(base.join("real/live")).unwrap();
        symlink(base.join("real/live"), base.join("link")).unwrap();
        let location = locate(&base.join("link")).unwrap();
        assert_eq!(location.real, base.join("real/live"));
        assert_eq!(location.parent.inode, fs::metadata(base.join("real")).unwrap().ino());
        assert_eq!(location.ancestors.first(), locate(&base.join("real")).unwrap().inode.as_ref());
        assert_eq!(location.ancestors.last().unwrap().number, fs::metadata("/").unwrap().ino());
        assert_eq!(location.ancestors.len(), location.real.components().count() - 1);
    }

    #[test]
    fn a_link_to_nothing_is_an_error_that_names_the_target() {
        let dir = tempfile::tempdir().unwrap();
        symlink("/nowhere/at/all", dir.path().join("link")).unwrap();
        let error = locate(&dir.path().join("link")).unwrap_err();
        assert_eq!(error.kind, FsErrorKind::NotFound);
        assert!(error.message.contains("/nowhere/at/all"), "{error}");
    }

    #[test]
    fn only_the_last_component_may_be_absent() {
        let dir = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(dir.path()).unwrap();
        let location = locate(&base.join("new")).unwrap();
        assert_eq!((location.occupant, location.real), (Occupant::Absent, base.join("new")));
        let error = locate(&base.join("no/new")).unwrap_err();
        assert_eq!(error.kind, FsErrorKind::NotFound);
        assert!(error.message.contains("parent"), "{error}");
    }

    #[test]
    fn the_root_is_a_mount_point_without_ancestors() {
        let location = locate(Path::new("/")).unwrap();
        assert!(matches!(location.occupant, Occupant::MountPoint(_)));
        assert!(location.ancestors.is_empty());
    }

    #[test]
    fn a_file_is_not_a_directory_and_what_is_below_it_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "x").unwrap();
        assert_eq!(locate(&dir.path().join("file")).unwrap().occupant, Occupant::NotADirectory);
        assert_eq!(locate(&dir.path().join("file/live")).unwrap_err().kind, FsErrorKind::Io);
    }

    #[test]
    fn mounts_below_a_directory_are_found_and_its_own_is_not_one_of_them() {
        let below = mounted(Path::new("/")).unwrap().within;
        assert!(below.contains(&PathBuf::from("/proc")) && !below.contains(&PathBuf::from("/")), "{below:?}");
        let below_proc = mounted(Path::new("/proc")).unwrap().within;
        assert!(below_proc.iter().all(|point| point != Path::new("/proc")), "{below_proc:?}");
        assert_eq!(mounted(Path::new("/pro")).unwrap(), Mounted::default(), "only whole components count");
    }

    #[test]
    fn space_agrees_for_a_directory_and_its_parent() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        let (info, left) = space(&dir.path().join("a")).unwrap();
        assert_eq!(info, space(dir.path()).unwrap().0);
        assert!(left.bytes_free > 0 && left.block > 0);
    }
}
