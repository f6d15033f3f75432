//! A file that is written under a passing name beside the one that it is to have.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    path::{Path, PathBuf},
};

use rustix::{
    fd::OwnedFd,
    fs::{
        AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags, Stat, flock, fstat, fsync, linkat, openat,
        renameat, renameat_with, statat, unlinkat,
    },
    io::Errno,
    process::geteuid,
};
use volsnap_core::ports::{FsError, FsErrorKind, FsOp};

use crate::{
    errno::{fs_error, io_error, sync_error},
    handles::{open_dir, split},
};

/// How often somebody else may have been faster.
const TRIES: u32 = 16;

/// A new file, only for its owner's eyes. Dropping it removes it unless it was published; a kill leaves it, and the next
/// one for the same name takes its place. Its lock, which ends with the process, tells one that is left over from one
/// that is being written.
pub(crate) struct Passing {
    pub(crate) file: File,
    dir: OwnedFd,
    passing: OsString,
    name: OsString,
    path: PathBuf,
    published: bool,
}

impl Passing {
    /// Makes it beside `path`, which is absolute, and with `replace` may be a regular file.
    pub(crate) fn make(path: &Path, replace: bool) -> Result<Passing, FsError> {
        let (parent, name) = split(FsOp::Archive, path)?;
        let real = std::fs::canonicalize(parent).map_err(|error| io_error(FsOp::Archive, parent, &error))?;
        let dir = open_dir(FsOp::Archive, &real)?;
        refuse_taken(&dir, name, path, replace)?;
        let hash = blake3::hash(name.as_encoded_bytes()).to_hex();
        let passing = OsString::from(format!(".volsnap-export-{}.partial", &hash[..16]));
        let shown = real.join(&passing);
        for _ in 0..TRIES {
            if let Some(file) = try_make(&dir, &passing, &shown)? {
                let (name, path) = (name.to_os_string(), path.to_path_buf());
                return Ok(Passing { file, dir, passing, name, path, published: false });
            }
        }
        Err(FsError::new(FsErrorKind::Busy, FsOp::Archive, shown, "other exports to the same file come and go"))
    }

    /// Makes the contents durable, gives the file its name, and makes the name durable.
    pub(crate) fn publish(mut self, replace: bool) -> Result<(), FsError> {
        fsync(&self.file).map_err(|errno| sync_error(FsOp::Archive, &self.path, errno))?;
        // Something may stand there since it was looked at.
        refuse_taken(&self.dir, &self.name, &self.path, replace)?;
        let named = match replace {
            true => renameat(&self.dir, &self.passing, &self.dir, &self.name),
            false => self.name_without_replacing(),
        };
        named.map_err(|errno| fs_error(FsOp::Archive, &self.path, errno))?;
        self.published = true;
        fsync(&self.dir).map_err(|errno| {
            // Reported as failed, so it must not stand there as if it were durable; what it replaced is gone.
            if !replace && let Err(error) = unlinkat(&self.dir, &self.name, AtFlags::empty()) {
                tracing::warn!(file = %self.path.display(), %error, "a file whose name is not durable is left");
            }
            sync_error(FsOp::Archive, &self.path, errno)
        })
    }

    fn name_without_replacing(&self) -> Result<(), Errno> {
        let (dir, from, to) = (&self.dir, &self.passing, &self.name);
        match renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE) {
            // This filesystem has no such rename: a second name replaces nothing either.
            Err(Errno::INVAL | Errno::NOSYS) => match linkat(dir, from, dir, to, AtFlags::empty()) {
                Ok(()) => unlinkat(dir, from, AtFlags::empty()),
                // Nor second names. It was free a moment ago.
                Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => renameat(dir, from, dir, to),
                Err(errno) => Err(errno),
            },
            named => named,
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        if !self.published
            && let Err(error) = unlinkat(&self.dir, &self.passing, AtFlags::empty())
        {
            tracing::warn!(file = %self.path.display(), %error, "an unfinished copy stays until the next export to it");
        }
    }
}

/// Nothing is replaced unless that was asked for, and then only a regular file.
fn refuse_taken(dir: &OwnedFd, name: &OsStr, path: &Path, replace: bool) -> Result<(), FsError> {
    let taken = |what: &str| Err(FsError::new(FsErrorKind::Exists, FsOp::Archive, path, what));
    match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(fs_error(FsOp::Archive, path, errno)),
        Ok(found) => match FileType::from_raw_mode(found.st_mode) {
            FileType::RegularFile if replace => Ok(()),
            FileType::RegularFile => taken("a file stands there"),
            FileType::Directory => taken("a directory stands there; give the name of a file"),
            FileType::Symlink
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => taken("what stands there is no regular file"),
        },
    }
}

/// Makes and locks the file; `None` if somebody was faster or something was cleared away, and it is worth another try.
fn try_make(dir: &OwnedFd, name: &OsStr, path: &Path) -> Result<Option<File>, FsError> {
    let fail = |errno| fs_error(FsOp::Archive, path, errno);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(dir, name, flags, Mode::RUSR | Mode::WUSR) {
        Ok(made) => match flock(&made, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Ok(None),
            // Where there are no locks, nobody takes the file for left over either.
            Ok(()) | Err(_) => Ok(is_at(dir, name, &made).map_err(fail)?.then(|| File::from(made))),
        },
        Err(Errno::EXIST) => clear(dir, name, path).map(|()| None),
        Err(errno) => Err(fail(errno)),
    }
}

/// Removes what a killed process left. Anything but its own kind of file is left alone.
fn clear(dir: &OwnedFd, name: &OsStr, path: &Path) -> Result<(), FsError> {
    let fail = |errno| fs_error(FsOp::Archive, path, errno);
    let foreign = || FsError::new(FsErrorKind::Exists, FsOp::Archive, path, "it is in the way, and no export left it");
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let left = match openat(dir, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::LOOP) => return Err(foreign()),
        left => left.map_err(fail)?,
    };
    let found = fstat(&left).map_err(fail)?;
    let ours = FileType::from_raw_mode(found.st_mode).is_file() && found.st_uid == geteuid().as_raw();
    if !ours {
        return Err(foreign());
    }
    match flock(&left, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) if is_at(dir, name, &left).map_err(fail)? => match unlinkat(dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(fail(errno)),
        },
        Ok(()) => Ok(()),
        Err(Errno::WOULDBLOCK) => {
            Err(FsError::new(FsErrorKind::Busy, FsOp::Archive, path, "another export to the same file is under way"))
        }
        Err(_) => Err(FsError::new(
            FsErrorKind::Exists,
            FsOp::Archive,
            path,
            "it is in the way, and this filesystem does not tell whether an export is still writing it; remove it",
        )),
    }
}

/// Whether the name still stands for the open file.
fn is_at(dir: &OwnedFd, name: &OsStr, file: &OwnedFd) -> Result<bool, Errno> {
    let same = |a: &Stat, b: &Stat| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino);
    match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(false),
        found => Ok(same(&found?, &fstat(file)?)),
    }
}
