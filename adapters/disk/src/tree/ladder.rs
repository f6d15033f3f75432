//! The directories from a root down to where one is working, by descriptor, with only the nearest ones held open.

use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    path::Arg,
};

/// How many descriptors of directories are held open below the root: trees may be deeper than a process may open.
const OPEN_MAX: usize = 64;

/// A stack of directories, each within the one before. The root is held open for good.
pub(crate) struct Ladder {
    root: OwnedFd,
    rungs: Vec<Rung>,
}

struct Rung {
    name: CString,
    /// `None` once it was closed for the sake of deeper ones.
    fd: Option<OwnedFd>,
    /// Device and inode: a directory that is opened again must be the same one.
    identity: (u64, u64),
}

impl Ladder {
    pub(crate) fn new(root: OwnedFd) -> Self {
        Ladder { root, rungs: Vec::new() }
    }

    /// How many directories below the root it stands.
    pub(crate) fn depth(&self) -> usize {
        self.rungs.len()
    }

    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens a directory within the current one without following a link.
    pub(crate) fn open_below(&mut self, name: &CStr) -> Result<OwnedFd, Errno> {
        open_dir(self.current()?, name)
    }

    /// Steps down into a directory that was opened within the current one.
    pub(crate) fn push(&mut self, name: &CStr, fd: OwnedFd) -> Result<(), Errno> {
        let identity = identity(fd.as_fd())?;
        self.rungs.push(Rung { name: name.into(), fd: Some(fd), identity });
        if let Some(far) = self.rungs.len().checked_sub(OPEN_MAX + 1) {
            self.rungs[far].fd = None;
        }
        Ok(())
    }

    /// Steps up, out of the current directory; gives its name.
    pub(crate) fn pop(&mut self) -> Option<CString> {
        self.rungs.pop().map(|rung| rung.name)
    }

    /// The current directory. If it was closed, it is opened again from the nearest one that is open, step by step
    /// without following links, and it must be the same directory ([`Errno::STALE`] otherwise).
    pub(crate) fn current(&mut self) -> Result<BorrowedFd<'_>, Errno> {
        let open = self.rungs.iter().rposition(|rung| rung.fd.is_some()).map_or(0, |at| at + 1);
        for at in open..self.rungs.len() {
            let above = match at.checked_sub(1).and_then(|above| self.rungs[above].fd.as_ref()) {
                Some(fd) => fd.as_fd(),
                None => self.root.as_fd(),
            };
            let fd = open_dir(above, &self.rungs[at].name)?;
            if identity(fd.as_fd())? != self.rungs[at].identity {
                return Err(Errno::STALE);
            }
            self.rungs[at].fd = Some(fd);
            if let Some(far) = at.checked_sub(OPEN_MAX / 2) {
                self.rungs[far].fd = None;
            }
        }
        Ok(self.rungs.last().and_then(|rung| rung.fd.as_ref()).map_or(self.root.as_fd(), AsFd::as_fd))
    }
}

/// Opens a directory by its name in another one, without following a link or changing its time of access.
pub(crate) fn open_dir(above: BorrowedFd<'_>, name: impl Arg + Copy) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(above, name, flags | OFlags::NOATIME, Mode::empty()) {
        // Only the owner may leave the time of access alone.
        Err(Errno::PERM) => rustix::fs::openat(above, name, flags, Mode::empty()),
        opened => opened,
    }
}

fn identity(fd: BorrowedFd<'_>) -> Result<(u64, u64), Errno> {
    rustix::fs::fstat(fd).map(|stat| (stat.st_dev, stat.st_ino))
}
