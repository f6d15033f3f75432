//! Directory trees by descriptor: measuring and removing them without following a link or leaving the filesystem.

mod error;
mod ladder;
mod walk;

use std::{
    collections::HashSet,
    ffi::OsStr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, Statx, StatxAttributes},
    io::Errno,
};
use volsnap_core::{
    model::{TreeSize, hook::quoted, place::is_left_out},
    ports::{FsError, FsErrorKind, FsOp},
};

use crate::frozen::{Frozen, Mover};

pub(crate) use error::Trouble;
pub(crate) use ladder::{Ladder, open_dir};
pub(crate) use walk::{Entry, Visitor, device, file_type, mount, stat, walk};

/// The size of the tree below `root`, without what an archive leaves out.
///
/// Entries that vanish meanwhile and other filesystems mounted inside are not counted.
///
/// # Errors
/// [`FsErrorKind::NotFound`] if there is no such directory, or whatever reading it gives.
pub fn measure(root: &Path) -> Result<TreeSize, FsError> {
    let trouble = Trouble::new(FsOp::Look, root);
    let (size, links) = (TreeSize { entries: 1, ..TreeSize::default() }, HashSet::new());
    let root = open_root(root, &trouble)?;
    let mut measuring = Measuring { trouble: &trouble, size, links, frozen: Frozen::below(&root) };
    walk(root, &trouble, &mut measuring)?;
    Ok(measuring.size)
}

struct Measuring<'a> {
    trouble: &'a Trouble,
    size: TreeSize,
    /// Files with several names that were counted already.
    links: HashSet<(u64, u64)>,
    frozen: Frozen,
}

impl Visitor for Measuring<'_> {
    fn wants(&self, depth: usize, name: &[u8]) -> bool {
        depth > 0 || !is_left_out(name)
    }

    fn passes_over(&mut self, entry: &Entry<'_>) -> bool {
        let is_frozen = self.frozen.is(entry);
        self.size.frozen += u64::from(is_frozen);
        is_frozen
    }

    fn entry(&mut self, entry: &Entry<'_>) -> Result<(), FsError> {
        let kind = file_type(entry.stat);
        if kind == FileType::Socket {
            return Ok(());
        }
        self.size.entries += 1;
        if is_immutable(entry.stat) {
            self.size.immutable += 1;
        }
        if kind == FileType::RegularFile
            && (entry.stat.stx_nlink < 2 || self.links.insert((device(entry.stat), entry.stat.stx_ino)))
        {
            self.size.bytes += entry.stat.stx_size;
            self.size.bytes_allocated += entry.stat.stx_blocks * 512;
        }
        Ok(())
    }

    fn mounted(&mut self, path: &[u8]) -> Result<(), FsError> {
        let place = self.trouble.path().join(Trouble::show(path));
        tracing::debug!(place = %place.display(), "another filesystem is mounted here and not measured");
        Ok(())
    }
}

/// Removes `dir` with all that is in it, but for read-only subvolumes if there is somebody who moves them out of it. Absent
/// is success.
///
/// A crash in the middle leaves a smaller tree under the same name, and the next call goes on with it.
///
/// # Errors
/// [`FsErrorKind::Unsupported`] if another filesystem is mounted inside: nothing of it is touched.
pub(crate) fn remove(dir: &Path, mover: Option<&Mover<'_>>) -> Result<(), FsError> {
    let trouble = Trouble::new(FsOp::Remove, dir);
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else {
        return Err(FsError::new(FsErrorKind::Unsupported, FsOp::Remove, dir, "this is no name within a directory"));
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = match rustix::fs::open(parent, flags, Mode::empty()) {
        Ok(parent) => parent,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(trouble.errno("open the parent directory", error)),
    };
    remove_in(parent.as_fd(), name, &trouble, mover)
}

/// The same by a name in an open directory, whatever the path to it has become.
pub(crate) fn remove_in(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    trouble: &Trouble,
    mover: Option<&Mover<'_>>,
) -> Result<(), FsError> {
    let root = match open_dir(parent, name) {
        Ok(root) => root,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(trouble.errno("open", error)),
    };
    let inside = stat(&root, c"").map_err(|e| trouble.errno("look at", e))?;
    let outside = stat(parent, c"").map_err(|e| trouble.errno("look at the parent directory", e))?;
    if mount(&inside) != mount(&outside) {
        return Err(other_filesystem(trouble.path()));
    }
    let mut removing = Removing { trouble, frozen: Frozen::below(&root), mover, stays: None, broken: None };
    let walked = walk(root, trouble, &mut removing);
    // What could not be moved is why its directories could not be removed.
    if let Some(error) = removing.broken.or(removing.stays) {
        return Err(error);
    }
    walked?;
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(trouble.errno("remove", error)),
    }
}

struct Removing<'a> {
    trouble: &'a Trouble,
    frozen: Frozen,
    mover: Option<&'a Mover<'a>>,
    /// Why the first read-only subvolume stays that does.
    stays: Option<FsError>,
    /// Why one could not be moved whose place is free. Where it is now may be lost in a power cut: nothing is removed any more.
    broken: Option<FsError>,
}

impl Visitor for Removing<'_> {
    fn passes_over(&mut self, entry: &Entry<'_>) -> bool {
        let mover = self.mover.filter(|_| self.frozen.is(entry));
        match mover.and_then(|mover| mover.move_out(entry).err()) {
            Some(error) if error.kind == FsErrorKind::Exists => _ = self.stays.get_or_insert(error),
            Some(error) => _ = self.broken.get_or_insert(error),
            None => {}
        }
        mover.is_some()
    }

    fn entry(&mut self, entry: &Entry<'_>) -> Result<(), FsError> {
        if file_type(entry.stat) != FileType::Directory {
            return self.unlink(entry, AtFlags::empty());
        }
        if let Some(fd) = entry.opened
            && u32::from(entry.stat.stx_mode) & 0o700 != 0o700
        {
            // Only matters to a user who is not root; if it fails, so will the removal, and says why.
            let _ = rustix::fs::fchmod(fd, Mode::RWXU);
        }
        Ok(())
    }

    fn left(&mut self, entry: &Entry<'_>) -> Result<(), FsError> {
        self.unlink(entry, AtFlags::REMOVEDIR)
    }

    fn mounted(&mut self, path: &[u8]) -> Result<(), FsError> {
        Err(other_filesystem(&self.trouble.path().join(Trouble::show(path))))
    }
}

impl Removing<'_> {
    fn unlink(&self, entry: &Entry<'_>, flags: AtFlags) -> Result<(), FsError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        match rustix::fs::unlinkat(entry.dir, entry.name, flags) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            // The other subvolumes go to their places all the same.
            Err(Errno::NOTEMPTY) if self.stays.is_some() => Ok(()),
            Err(Errno::PERM) if is_immutable(entry.stat) || self.in_immutable(entry) => {
                let name = Trouble::show(entry.path);
                let message = format!(
                    "cannot remove `{name}`: it or its directory is immutable or append-only; \
                     take the flags away with `find {} -type f,d -exec chattr -i -a {{}} +`",
                    quoted([self.trouble.path().to_string_lossy().as_ref()])
                );
                Err(self.trouble.of(FsErrorKind::Denied, message))
            }
            Err(error) => Err(self.trouble.entry(entry.path, "remove", error)),
        }
    }

    fn in_immutable(&self, entry: &Entry<'_>) -> bool {
        stat(entry.dir, c"").is_ok_and(|dir| is_immutable(&dir))
    }
}

/// Whether it can be neither moved nor removed.
fn is_immutable(stat: &Statx) -> bool {
    stat.stx_attributes.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND)
}

fn other_filesystem(place: &Path) -> FsError {
    FsError::new(
        FsErrorKind::Unsupported,
        FsOp::Remove,
        place,
        "another filesystem is mounted here; unmount it, it is not removed",
    )
}

/// Opens the root of a tree; a symbolic link in its place is refused.
pub(crate) fn open_root(root: &Path, trouble: &Trouble) -> Result<OwnedFd, FsError> {
    open_dir(CWD, root).map_err(|e| trouble.errno("open", e))
}

#[cfg(test)]
mod tests;
