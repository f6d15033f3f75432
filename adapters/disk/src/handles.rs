//! Directories and names by descriptor: what was opened is what is worked on, and no link is followed at the end.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{self, AtFlags, CWD, Mode, OFlags, Statx, StatxFlags, Timespec, Timestamps},
    io::Errno,
};
use volsnap_core::{
    model::Identity,
    ports::{FsError, FsErrorKind, FsOp},
};

use crate::errno::{fs_error, sync_error};

/// A name in an open directory, for calls that change names.
pub(crate) struct Name {
    /// The directory that holds the name.
    pub(crate) parent: OwnedFd,
    /// The name itself.
    pub(crate) name: OsString,
    /// The whole path, for messages.
    pub(crate) path: PathBuf,
}

impl Name {
    /// Opens the directory that holds `path`'s last component, which itself need not exist.
    pub(crate) fn open(op: FsOp, path: &Path) -> Result<Name, FsError> {
        let (parent, name) = split(op, path)?;
        Ok(Name { parent: open_dir(op, parent)?, name: name.to_os_string(), path: path.to_path_buf() })
    }

    /// The port's error for a failed call on this name.
    pub(crate) fn error(&self, op: FsOp, errno: Errno) -> FsError {
        fs_error(op, &self.path, errno)
    }
}

/// A path's parent and last component; an error for `/` and for a path that ends in `..`.
pub(crate) fn split(op: FsOp, path: &Path) -> Result<(&Path, &OsStr), FsError> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if path.is_absolute() => Ok((parent, name)),
        _ => Err(FsError::new(FsErrorKind::Unsupported, op, path, "not an absolute path that ends in a name")),
    }
}

/// Opens a directory for reading and syncing; a link in its place is an error.
pub(crate) fn open_dir(op: FsOp, path: &Path) -> Result<OwnedFd, FsError> {
    try_open_dir(path).map_err(|errno| fs_error(op, path, errno))
}

/// The same with the bare error, for callers to whom some errors are answers.
pub(crate) fn try_open_dir(path: &Path) -> Result<OwnedFd, Errno> {
    fs::openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Makes the names in an open directory, or the contents of an open file, durable.
pub(crate) fn sync(op: FsOp, path: &Path, fd: impl AsFd) -> Result<(), FsError> {
    fs::fsync(fd).map_err(|errno| sync_error(op, path, errno))
}

/// What the plan and the survey want to know of a file.
const WANTED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME).union(StatxFlags::MNT_ID).union(SUBVOLUME);

/// `STATX_SUBVOL`; kernels before 6.10 leave it out of the answer.
pub(crate) const SUBVOLUME: StatxFlags = StatxFlags::from_bits_retain(0x8000);

/// Looks at an open file.
pub(crate) fn stat_fd(fd: impl AsFd) -> Result<Statx, Errno> {
    fs::statx(fd, "", AtFlags::EMPTY_PATH, WANTED)
}

/// Looks at a path, without following a link at its end.
pub(crate) fn stat(path: &Path) -> Result<Statx, Errno> {
    fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT, WANTED)
}

/// Sets a modification time and lets the time of the last access be now. Not left as it is: bindfs then sets both to now.
pub(crate) fn modified_at(time: Timespec) -> Timestamps {
    Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: fs::UTIME_NOW }, last_modification: time }
}

/// Whether what was looked at is a directory.
pub(crate) fn is_dir(stat: &Statx) -> bool {
    fs::FileType::from_raw_mode(stat.stx_mode.into()).is_dir()
}

/// Whether what was looked at is a regular file.
pub(crate) fn is_file(stat: &Statx) -> bool {
    fs::FileType::from_raw_mode(stat.stx_mode.into()).is_file()
}

/// Whether the filesystem keeps birth times.
pub(crate) fn has_birth(stat: &Statx) -> bool {
    StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::BTIME)
}

/// How a directory is recognised over renames, remounts and reboots.
///
/// A birth beyond the years 1677 to 2262 does not fit; it counts as none, and the plan then chooses a method that does
/// not need it.
pub(crate) fn identity(stat: &Statx) -> Identity {
    let birth_ns = match has_birth(stat) {
        true => stat
            .stx_btime
            .tv_sec
            .checked_mul(1_000_000_000)
            .and_then(|ns| ns.checked_add(i64::from(stat.stx_btime.tv_nsec))),
        false => None,
    };
    let told = StatxFlags::from_bits_retain(stat.stx_mask).contains(SUBVOLUME);
    Identity { inode: stat.stx_ino, birth_ns, subvolume: told.then_some(stat.stx_subvol) }
}
