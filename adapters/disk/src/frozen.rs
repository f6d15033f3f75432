//! Read-only subvolumes of a btrfs, as the snapshots of other tools are.
//!
//! They are no part of a volume: they cannot be written to, so what they were taken of is what is kept, and nobody but their
//! owner may delete them. A switch takes those that lie deeper in a volume along, with what it sets aside. Before the rest of
//! that is removed they go to the same place in the tree that is in service.
//!
//! The kernel gives a directory another parent only if the directory itself can be written to. So a subvolume is writable for
//! the moment of its move, and a note in the private directory, durable before that, says which one: whoever goes on after a
//! crash makes it read-only again, at whichever of the two places it is, before anything is removed.

use std::{
    ffi::{CStr, OsStr},
    fs,
    io::{self, Write},
    os::unix::ffi::OsStrExt,
    path::Path,
};

use libbtrfs::subvol::fd::set_readonly;
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{Access, AtFlags, CWD, FileType, Mode, RenameFlags, accessat, mkdirat, renameat_with, syncfs},
    io::Errno,
};
use volsnap_core::{
    model::hook::quoted,
    ports::{FsError, FsErrorKind, FsOp},
};

use crate::{
    attributes::Attributes,
    errno::{fs_error, io_error, sync_error},
    handles::{stat_fd, sync, try_open_dir},
    locate::SUBVOLUME_ROOT,
    names::ModificationTime,
    tree::{Entry, file_type, open_dir, stat},
};

/// Which subvolume may be writable just now: its path below the private directory, with nothing after it.
const NOTE: &str = "moving";

/// Knows read-only subvolumes when they are met.
pub(crate) struct Frozen {
    /// Whether the tree itself can be written to: otherwise nothing tells a read-only subvolume from any other.
    writable: bool,
}

impl Frozen {
    pub(crate) fn below(root: impl AsFd) -> Self {
        Frozen { writable: accessat(root, c".", Access::WRITE_OK, AtFlags::EACCESS) != Err(Errno::ROFS) }
    }

    pub(crate) fn is(&self, entry: &Entry<'_>) -> bool {
        file_type(entry.stat) == FileType::Directory
            && entry.stat.stx_ino == SUBVOLUME_ROOT
            && self.is_read_only(entry.dir, entry.name)
    }

    /// The same for a name in an open directory.
    pub(crate) fn stands_at(&self, dir: BorrowedFd<'_>, name: &CStr) -> Result<bool, Errno> {
        let found = match stat(dir, name) {
            Err(Errno::NOENT) => return Ok(false),
            found => found?,
        };
        let is_subvolume = file_type(&found) == FileType::Directory && found.stx_ino == SUBVOLUME_ROOT;
        Ok(is_subvolume && self.is_read_only(dir, name))
    }

    fn is_read_only(&self, dir: BorrowedFd<'_>, name: &CStr) -> bool {
        self.writable && accessat(dir, name, Access::WRITE_OK, AtFlags::EACCESS) == Err(Errno::ROFS)
    }
}

/// Moves read-only subvolumes out of a private directory that is about to be removed.
pub(crate) struct Mover<'a> {
    private: &'a Path,
    /// The volume's tree in service; `None` if there is none that they could belong to.
    live: Option<&'a Path>,
}

impl<'a> Mover<'a> {
    /// Ends what a crash may have left of an earlier move.
    pub(crate) fn begin(private: &'a Path, live: Option<&'a Path>) -> Result<Self, FsError> {
        let mover = Mover { private, live };
        let note = private.join(NOTE);
        match fs::read(&note) {
            Ok(path) => {
                mover.end(Path::new(OsStr::from_bytes(&path)))?;
                fs::remove_file(&note).map_err(|error| mover.io(&note, &error))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(mover.io(&note, &error)),
        }
        Ok(mover)
    }

    /// Moves what was met in a walk through the private directory.
    pub(crate) fn move_out(&self, entry: &Entry<'_>) -> Result<(), FsError> {
        let path = Path::new(OsStr::from_bytes(entry.path));
        let from = self.private.join(path);
        let fail = |errno| fs_error(FsOp::Remove, &from, errno);
        let Some(live) = self.live else {
            let message = format!(
                "a read-only subvolume stands here: move it elsewhere with the directory that holds it, or delete it with \
                 `btrfs subvolume delete {}`",
                shown(&from)
            );
            return Err(FsError::new(FsErrorKind::Denied, FsOp::Remove, from, message));
        };
        let to = live.join(within(path));
        let subvolume = entry.opened.ok_or_else(|| fail(Errno::NOTDIR))?;
        let holder = self.holder(live, path)?;
        let time = holder.try_clone().ok().and_then(|holder| ModificationTime::opened(holder, to.clone()));
        self.note(path)?;
        set_readonly(subvolume, false).map_err(|error| self.io(&from, &error))?;
        let moved = renameat_with(entry.dir, entry.name, &holder, entry.name, RenameFlags::NOREPLACE);
        set_readonly(subvolume, true).map_err(|error| self.io(&from, &error))?;
        time.into_iter().for_each(ModificationTime::put_back);
        // Both changes before the end of the note, whatever the order in which names become durable.
        syncfs(&holder).map_err(|errno| sync_error(FsOp::Remove, &to, errno))?;
        let note = self.private.join(NOTE);
        fs::remove_file(&note).map_err(|error| self.io(&note, &error))?;
        moved.map_err(|errno| match errno {
            Errno::EXIST => {
                let message = format!(
                    "the read-only subvolume {} belongs here, and cannot go back while something else has its name: \
                     rename that one, such as with `mv -T {} {}`",
                    from.display(),
                    shown(&to),
                    shown(Path::new(&format!("{}.other", to.display())))
                );
                FsError::new(FsErrorKind::Exists, FsOp::Remove, &to, message)
            }
            errno => fail(errno),
        })
    }

    /// The subvolume with that path in the private directory, or where it belongs, is read-only again.
    fn end(&self, path: &Path) -> Result<(), FsError> {
        let places = [Some(self.private.join(path)), self.live.map(|live| live.join(within(path)))];
        for place in places.into_iter().flatten() {
            let opened = match try_open_dir(&place) {
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                opened => opened.map_err(|errno| fs_error(FsOp::Remove, &place, errno))?,
            };
            let found = stat_fd(&opened).map_err(|errno| fs_error(FsOp::Remove, &place, errno))?;
            if found.stx_ino == SUBVOLUME_ROOT {
                set_readonly(&opened, true).map_err(|error| self.io(&place, &error))?;
                return syncfs(&opened).map_err(|errno| sync_error(FsOp::Remove, &place, errno));
            }
        }
        Ok(())
    }

    fn note(&self, path: &Path) -> Result<(), FsError> {
        let (passing, note) = (self.private.join(format!("{NOTE}.new")), self.private.join(NOTE));
        let write = || {
            let mut file = fs::File::create(&passing)?;
            file.write_all(path.as_os_str().as_bytes())?;
            file.sync_all()?;
            fs::rename(&passing, &note)
        };
        write().map_err(|error| self.io(&note, &error))?;
        sync(FsOp::Remove, self.private, open_dir(CWD, self.private).map_err(|e| fs_error(FsOp::Remove, &note, e))?)
    }

    /// The directory of the tree in service in which the subvolume belongs. What is missing on the way to it is made like
    /// the directories in which it stands now. The app may be at work there, so no link is followed.
    fn holder(&self, live: &Path, path: &Path) -> Result<OwnedFd, FsError> {
        let (mut here, mut shown) = (try_open_dir(live), live.to_path_buf());
        let mut like = self.private.to_path_buf();
        like.extend(path.components().next());
        for part in within(path).parent().unwrap_or(Path::new("")).components() {
            let above = here.map_err(|errno| fs_error(FsOp::Remove, &shown, errno))?;
            shown.push(part);
            like.push(part);
            here = match open_dir(above.as_fd(), part.as_os_str()) {
                Err(Errno::NOENT) => make_like(&above, part.as_os_str(), &like, &shown),
                opened => opened,
            };
        }
        here.map_err(|errno| fs_error(FsOp::Remove, &shown, errno))
    }

    fn io(&self, path: &Path, error: &io::Error) -> FsError {
        io_error(FsOp::Remove, path, error)
    }
}

fn make_like(above: &OwnedFd, name: &OsStr, like: &Path, shown: &Path) -> Result<OwnedFd, Errno> {
    let attributes = try_open_dir(like).and_then(|fd| Attributes::read(&fd))?;
    let time = above.try_clone().ok().and_then(|above| ModificationTime::opened(above, shown.to_path_buf()));
    mkdirat(above, name, Mode::RWXU)?;
    let made = open_dir(above.as_fd(), name)?;
    attributes.give(&made)?;
    time.into_iter().for_each(ModificationTime::put_back);
    Ok(made)
}

/// A path as a shell reads it.
fn shown(path: &Path) -> String {
    quoted([path.to_string_lossy().as_ref()])
}

/// The path below the volume's root, of one below the private directory.
fn within(path: &Path) -> &Path {
    let mut parts = path.components();
    parts.next();
    parts.as_path()
}
