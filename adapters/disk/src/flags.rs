//! Inode flags that say how the files of a directory are stored, and that what is made in it inherits.

use std::path::Path;

use rustix::{
    fd::OwnedFd,
    fs::{IFlags, Mode, OFlags, ioctl_getflags, ioctl_setflags},
    io::Errno,
};
use volsnap_core::ports::FsError;

use crate::tree::Trouble;

/// As `chattr` sets them. A project is not among them: which one it is stands elsewhere, and without it the flag means
/// nothing.
const INHERITED: IFlags = IFlags::NOCOW
    .union(IFlags::COMPRESSED)
    .union(IFlags::NOATIME)
    .union(IFlags::NODUMP)
    .union(IFlags::SYNC)
    .union(IFlags::DIRSYNC);

/// Gives an empty directory the inherited flags of another one: a database's directory without copy-on-write stays so.
pub(crate) fn inherit(like: &Path, dir: &OwnedFd, trouble: &Trouble) -> Result<(), FsError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let like = match rustix::fs::open(like, flags, Mode::empty()) {
        Ok(like) => like,
        // It was moved or replaced by somebody; the commit will find out.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        Err(error) => return Err(trouble.errno("open the live directory of", error)),
    };
    let (wanted, now) = match (ioctl_getflags(&like), ioctl_getflags(dir)) {
        (Ok(wanted), Ok(now)) => (wanted, now),
        // The filesystem has no flags.
        (Err(_), _) | (_, Err(_)) => return Ok(()),
    };
    let new = now.difference(INHERITED).union(wanted.intersection(INHERITED));
    if new == now {
        return Ok(());
    }
    ioctl_setflags(dir, new).map_err(|e| trouble.errno("give the live directory's flags to the tree in", e))
}
