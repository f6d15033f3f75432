//! What a directory has besides its entries: read, compared, and given to another directory.

use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{Gid, Mode, Timespec, Uid, fchmod, fchown, futimens},
    io::Errno,
};

use crate::{
    archive::xattr::{self, Place, is_of_the_host},
    handles::{modified_at, stat_fd},
};

/// Owner, mode, modification time, extended attributes and ACLs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    uid: u32,
    gid: u32,
    mode: u32,
    mtime: (i64, u32),
    /// Sorted by name; ACLs are among them, labels that the host's own policy gives are not.
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Attributes {
    pub(crate) fn read(dir: &OwnedFd) -> Result<Self, Errno> {
        let found = stat_fd(dir)?;
        let mut xattrs = xattr::read(Place::Open(dir.as_fd()))?;
        xattrs.retain(|(name, _)| !is_of_the_host(name));
        Ok(Attributes {
            uid: found.stx_uid,
            gid: found.stx_gid,
            mode: u32::from(found.stx_mode) & 0o7777,
            mtime: (found.stx_mtime.tv_sec, found.stx_mtime.tv_nsec),
            xattrs,
        })
    }

    /// In an order in which nothing undoes what went before: a new owner takes bits of the mode away, an ACL changes the
    /// mode, and everything but the times changes the times.
    pub(crate) fn give(&self, dir: &OwnedFd) -> Result<(), Errno> {
        let now = Attributes::read(dir)?;
        if (now.uid, now.gid) != (self.uid, self.gid) {
            fchown(dir, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))?;
        }
        for (name, _) in now.xattrs.iter().filter(|(name, _)| !self.xattrs.iter().any(|(kept, _)| kept == name)) {
            xattr::remove(dir.as_fd(), name)?;
        }
        fchmod(dir, Mode::from_raw_mode(self.mode))?;
        for (name, value) in &self.xattrs {
            xattr::write(Place::Open(dir.as_fd()), name, value)?;
        }
        futimens(dir, &modified_at(Timespec { tv_sec: self.mtime.0, tv_nsec: self.mtime.1.into() }))
    }
}
