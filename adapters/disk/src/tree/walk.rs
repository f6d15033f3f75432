//! A walk through a tree, depth first, the names of a directory in the order of their bytes.

use std::{
    ffi::CStr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, FileType, RawDir, Statx, StatxFlags},
    io::Errno,
};
use volsnap_core::ports::FsError;

use super::{Ladder, Trouble};
use crate::handles::SUBVOLUME;

/// Something found in a tree.
pub(crate) struct Entry<'a> {
    /// The directory that holds it.
    pub(crate) dir: BorrowedFd<'a>,
    /// Its name there.
    pub(crate) name: &'a CStr,
    /// Its path below the root.
    pub(crate) path: &'a [u8],
    /// What it is, a link not followed.
    pub(crate) stat: &'a Statx,
    /// Its descriptor, if it is a directory.
    pub(crate) opened: Option<BorrowedFd<'a>>,
}

/// Sees each entry of a tree but the root.
pub(crate) trait Visitor {
    /// Whether to look at a name at all; `depth` is 0 at the root.
    fn wants(&self, _depth: usize, _name: &[u8]) -> bool {
        true
    }

    /// Whether a directory is no part of the tree, with all that is in it: it is given to nothing else.
    fn passes_over(&mut self, _entry: &Entry<'_>) -> bool {
        false
    }

    /// An entry, a directory before what it holds.
    fn entry(&mut self, entry: &Entry<'_>) -> Result<(), FsError>;

    /// A directory, after what it holds. `opened` is `None`.
    fn left(&mut self, _entry: &Entry<'_>) -> Result<(), FsError> {
        Ok(())
    }

    /// An entry that was listed and is gone.
    fn vanished(&mut self, _path: &[u8]) {}

    /// A directory on which another filesystem is mounted: it was given to [`Visitor::entry`] unless this fails, and
    /// is not entered.
    fn mounted(&mut self, path: &[u8]) -> Result<(), FsError>;
}

/// Leads `visitor` through the tree below `root`.
pub(crate) fn walk(root: OwnedFd, trouble: &Trouble, visitor: &mut dyn Visitor) -> Result<(), FsError> {
    let home = mount(&stat(&root, c"").map_err(|e| trouble.errno("look at", e))?);
    let names = Names::read(root.as_fd()).map_err(|e| trouble.errno("list", e))?;
    let mut walk = Walk { ladder: Ladder::new(root), levels: vec![Level { names, stat: None }], path: Vec::new() };
    let mut name = Vec::new();
    while let Some(level) = walk.levels.last_mut() {
        name.clear();
        match level.names.next() {
            Some(next) => name.extend_from_slice(next),
            None => {
                walk.leave(trouble, visitor)?;
                continue;
            }
        }
        if visitor.wants(walk.ladder.depth(), &name[..name.len() - 1]) {
            walk.visit(&name, home, trouble, visitor)?;
        }
    }
    Ok(())
}

struct Walk {
    ladder: Ladder,
    levels: Vec<Level>,
    path: Vec<u8>,
}

struct Level {
    names: Names,
    /// What the directory itself is; `None` for the root.
    stat: Option<Statx>,
}

impl Walk {
    /// Looks at one name, which ends with NUL, and enters it if it is a directory.
    fn visit(&mut self, name: &[u8], home: Mount, trouble: &Trouble, visitor: &mut dyn Visitor) -> Result<(), FsError> {
        let name = CStr::from_bytes_with_nul(name).map_err(|_| trouble.errno("list", Errno::INVAL))?;
        let above = self.path.len();
        if above > 0 {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name.to_bytes());
        let seen = self.look(name).map_err(|e| trouble.entry(&self.path, "look at", e))?;
        let Some((stat, opened)) = seen else {
            visitor.vanished(&self.path);
            self.path.truncate(above);
            return Ok(());
        };
        let entered = opened.is_some() && mount(&stat) == home;
        let dir = self.ladder.current().map_err(|e| trouble.entry(&self.path, "look at", e))?;
        let fd = opened.as_ref().map(AsFd::as_fd);
        let entry = Entry { dir, name, path: &self.path, stat: &stat, opened: fd };
        if opened.is_some() && visitor.passes_over(&entry) {
            self.path.truncate(above);
            return Ok(());
        }
        if opened.is_some() && !entered {
            visitor.mounted(&self.path)?;
        }
        visitor.entry(&entry)?;
        match opened {
            Some(fd) if entered => {
                let names = match Names::read(fd.as_fd()) {
                    // It was removed since it was opened.
                    Err(Errno::NOENT) => {
                        visitor.vanished(&self.path);
                        self.path.truncate(above);
                        return Ok(());
                    }
                    names => names.map_err(|e| trouble.entry(&self.path, "list", e))?,
                };
                self.ladder.push(name, fd).map_err(|e| trouble.entry(&self.path, "look at", e))?;
                self.levels.push(Level { names, stat: Some(stat) });
            }
            _ => self.path.truncate(above),
        }
        Ok(())
    }

    /// What a name is, and its descriptor if it is a directory; `None` if it is gone.
    fn look(&mut self, name: &CStr) -> Result<Option<(Statx, Option<OwnedFd>)>, Errno> {
        let found = match stat(self.ladder.current()?, name) {
            Err(Errno::NOENT) => return Ok(None),
            found => found?,
        };
        if file_type(&found) != FileType::Directory {
            return Ok(Some((found, None)));
        }
        match self.ladder.open_below(name) {
            Ok(fd) => Ok(Some((stat(&fd, c"")?, Some(fd)))),
            // It was replaced by something else in between: as good as gone.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Leaves the current directory.
    fn leave(&mut self, trouble: &Trouble, visitor: &mut dyn Visitor) -> Result<(), FsError> {
        let (Some(level), Some(name)) = (self.levels.pop(), self.ladder.pop()) else {
            return Ok(());
        };
        if let Some(stat) = &level.stat {
            let dir = self.ladder.current().map_err(|e| trouble.entry(&self.path, "go back from", e))?;
            visitor.left(&Entry { dir, name: &name, path: &self.path, stat, opened: None })?;
        }
        let above = self.path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        self.path.truncate(above);
        Ok(())
    }
}

/// The names of a directory, sorted by their bytes, in one piece of memory: directories may have millions.
pub(crate) struct Names {
    /// Each name with a NUL at its end.
    bytes: Vec<u8>,
    /// Where the names begin, in order.
    starts: Vec<usize>,
    next: usize,
}

impl Names {
    pub(crate) fn read(dir: BorrowedFd<'_>) -> Result<Self, Errno> {
        let mut buffer = vec![std::mem::MaybeUninit::uninit(); 32 * 1024];
        let mut entries = RawDir::new(dir, &mut buffer);
        let (mut bytes, mut starts) = (Vec::new(), Vec::new());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes_with_nul();
            if name != b".\0" && name != b"..\0" {
                starts.push(bytes.len());
                bytes.extend_from_slice(name);
            }
        }
        starts.sort_unstable_by(|&a, &b| name_at(&bytes, a).cmp(name_at(&bytes, b)));
        Ok(Names { bytes, starts, next: 0 })
    }

    /// The next name, with its NUL.
    fn next(&mut self) -> Option<&[u8]> {
        let start = *self.starts.get(self.next)?;
        self.next += 1;
        Some(name_at(&self.bytes, start))
    }
}

/// The NUL belongs to the comparison and changes nothing: it is less than any byte of a name.
fn name_at(bytes: &[u8], start: usize) -> &[u8] {
    let rest = &bytes[start..];
    let end = rest.iter().position(|&byte| byte == 0).map_or(rest.len(), |at| at + 1);
    &rest[..end]
}

/// Tells a mount from another: by mount id where the kernel has one (since 5.8), by device otherwise. (A btrfs
/// subvolume has a device number of its own within the same mount.)
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mount {
    Id(u64),
    Device(u64),
}

pub(crate) fn mount(stat: &Statx) -> Mount {
    match stat.stx_mask & StatxFlags::MNT_ID.bits() {
        0 => Mount::Device(device(stat)),
        _ => Mount::Id(stat.stx_mnt_id),
    }
}

pub(crate) fn device(stat: &Statx) -> u64 {
    rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor)
}

pub(crate) fn file_type(stat: &Statx) -> FileType {
    FileType::from_raw_mode(u32::from(stat.stx_mode))
}

/// What a name is, a link not followed; the empty name is the directory itself.
pub(crate) fn stat(dir: impl AsFd, name: &CStr) -> Result<Statx, Errno> {
    let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME | StatxFlags::MNT_ID | SUBVOLUME;
    rustix::fs::statx(dir, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH, mask)
}
