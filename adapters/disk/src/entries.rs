//! A directory that stays while its entries change: what a switch by entry is made of.
//!
//! The private directory lies within the volume here, where an app that runs as root can reach it. So no link is
//! followed anywhere on the way to it.

use std::{
    ffi::{CString, OsStr},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{
        AtFlags, CWD, Dir, DirEntry, FileType, Mode, OFlags, RenameFlags, ResolveFlags, mkdirat, openat2, renameat,
        renameat_with, statat,
    },
    io::Errno,
};
use volsnap_core::{
    model::place::{is_left_out, leaving_in, original_root_in, restored_root_in},
    ports::{FsError, FsErrorKind, FsOp},
};

use crate::{
    attributes::Attributes,
    errno::fs_error,
    frozen::Frozen,
    handles::try_open_dir,
    names::ModificationTime,
    tree::{self, Trouble, open_dir},
};

/// Whether a directory has entries that a switch moves; an absent one has none.
pub(crate) fn has_entries(dir: &Path) -> Result<bool, FsError> {
    match open(dir) {
        Ok(fd) => Ok(!names(&fd, |_| true).map_err(|errno| fs_error(FsOp::Look, dir, errno))?.is_empty()),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(fs_error(FsOp::Look, dir, errno)),
    }
}

/// Moves every entry of one directory into another, none over another.
pub(crate) fn move_entries(from: &Path, to: &Path) -> Result<(), FsError> {
    let fail = |path: &Path, errno| fs_error(FsOp::Rename, path, errno);
    let source = open(from).map_err(|errno| fail(from, errno))?;
    let target = open(to).map_err(|errno| fail(to, errno))?;
    for name in names(&source, |_| false).map_err(|errno| fail(from, errno))? {
        let path = || from.join(OsStr::from_bytes(name.to_bytes()));
        let time = ModificationTime::within(&source, &name, path());
        match renameat_with(&source, &name, &target, &name, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOSYS) => {
                rename_after_looking(&source, &target, &name).map_err(|errno| fail(&path(), errno))?;
            }
            Err(errno) => return Err(fail(&path(), errno)),
        }
        time.into_iter().for_each(ModificationTime::put_back);
    }
    Ok(())
}

/// For filesystems without a no-replace rename (NFS, some FUSE servers). The app is stopped, and nobody else comes into
/// the private directory: the free name that was seen stays free.
fn rename_after_looking(from: &OwnedFd, to: &OwnedFd, name: &CString) -> Result<(), Errno> {
    match statat(to, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => renameat(from, name, to, name),
        Ok(_) => Err(Errno::EXIST),
        Err(errno) => Err(errno),
    }
}

/// Gives a directory the attributes of another.
pub(crate) fn copy_attributes(from: &Path, to: &Path) -> Result<(), FsError> {
    let attributes = read_attributes(from)?;
    let target = open(to).map_err(|errno| fs_error(FsOp::Rename, to, errno))?;
    attributes.give(&target).map_err(|errno| fs_error(FsOp::Rename, to, errno))
}

/// Whether two directories have the same attributes.
pub(crate) fn same_attributes(a: &Path, b: &Path) -> Result<bool, FsError> {
    let read = |path: &Path| match open(path) {
        Ok(fd) => Attributes::read(&fd).map(Some).map_err(|errno| fs_error(FsOp::Look, path, errno)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(fs_error(FsOp::Look, path, errno)),
    };
    Ok(matches!((read(a)?, read(b)?), (Some(a), Some(b)) if a == b))
}

fn read_attributes(dir: &Path) -> Result<Attributes, FsError> {
    open(dir).and_then(|fd| Attributes::read(&fd)).map_err(|errno| fs_error(FsOp::Look, dir, errno))
}

/// Lays out what a switch by entry needs beside a staged tree, before that tree gets its name: where the original's
/// entries gather, and a likeness of each root. What an earlier attempt left is made anew. All of it by the open private
/// directory, whatever its `path` has become.
pub(crate) fn lay_out(private: &OwnedFd, path: &Path, live: &Path, staged: &OwnedFd) -> Result<(), FsError> {
    refuse_frozen(live, staged)?;
    let original = read_attributes(live)?;
    let restored = Attributes::read(staged).map_err(|errno| fs_error(FsOp::Look, path, errno))?;
    for (dir, like) in
        [(leaving_in(path), &original), (original_root_in(path), &original), (restored_root_in(path), &restored)]
    {
        let name = dir.file_name().unwrap_or_default();
        tree::remove_in(private.as_fd(), name, &Trouble::new(FsOp::Remove, &dir), None)?;
        mkdirat(private, name, Mode::RWXU)
            .and_then(|()| open_dir(private.as_fd(), name))
            .and_then(|made| like.give(&made))
            .map_err(|errno| fs_error(FsOp::Stage, &dir, errno))?;
    }
    Ok(())
}

/// The modification time of a live directory, for as long as names of ours come and go in it.
pub(crate) fn keeping_time<T>(live: &Path, work: impl FnOnce() -> T) -> T {
    let time = ModificationTime::of(live);
    let done = work();
    time.into_iter().for_each(ModificationTime::put_back);
    done
}

/// Whether a private directory is laid out for a switch by entry.
pub(crate) fn is_laid_out(private: &Path) -> bool {
    std::fs::symlink_metadata(original_root_in(private)).is_ok()
}

/// Names that a switch moves; up to the first of them if that is all that `enough` wants.
fn names(dir: &OwnedFd, enough: impl Fn(usize) -> bool) -> Result<Vec<CString>, Errno> {
    let (mut names, frozen) = (Vec::new(), Frozen::below(dir));
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let stays = || is_left_out(name.to_bytes()) || is_frozen(&frozen, dir, &entry);
        if !matches!(name.to_bytes(), b"." | b"..") && !stays() {
            names.push(name.to_owned());
            if enough(names.len()) {
                break;
            }
        }
    }
    Ok(names)
}

/// The kind of an entry spares the look at each file of a large directory. What cannot be looked at is moved, or says why not.
fn is_frozen(frozen: &Frozen, dir: &OwnedFd, entry: &DirEntry) -> bool {
    matches!(entry.file_type(), FileType::Directory | FileType::Unknown)
        && frozen.stands_at(dir.as_fd(), entry.file_name()).unwrap_or(false)
}

/// A switch by entry leaves read-only subvolumes at the top level where they are. So nothing that is staged may have the name of one, and none
/// may be among what is staged.
fn refuse_frozen(live: &Path, staged: &OwnedFd) -> Result<(), FsError> {
    let fail = |errno| fs_error(FsOp::Stage, live, errno);
    let place = open(live).map_err(fail)?;
    let stays = "a read-only subvolume stays here, and what is to be restored has something of that name: rename the \
                 subvolume";
    let comes =
        "what is to be restored is a read-only subvolume here, which cannot be moved into a directory that stays";
    for (dir, message) in [(&place, stays), (staged, comes)] {
        let frozen = Frozen::below(dir);
        for entry in Dir::read_from(dir).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name();
            if is_frozen(&frozen, dir, &entry) && statat(staged, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                let path = live.join(OsStr::from_bytes(name.to_bytes()));
                return Err(FsError::new(FsErrorKind::Exists, FsOp::Stage, path, message));
            }
        }
    }
    Ok(())
}

/// Opens a directory through a path without links. Kernels and sandboxes without `openat2` follow links above the last
/// component, as any path does.
fn open(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        Err(Errno::NOSYS | Errno::PERM) => try_open_dir(path),
        opened => opened,
    }
}
