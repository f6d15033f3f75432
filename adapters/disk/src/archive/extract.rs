//! Makes members on disk, beneath one directory and nowhere else.

use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_OMIT, Uid},
    io::Errno,
};
use volsnap_core::ports::{FsError, FsErrorKind};

use super::{
    earlier::{self, Earlier},
    member::{Hole, Kind, Member},
    read::Sink,
    xattr::{self, Place, path_of},
};
use crate::tree::{Ladder, Trouble, file_type, stat};

/// Extracts one volume into an empty directory.
///
/// Members come in the order of a walk, so each is made in a directory that was made here and is held open: no path
/// from the archive is ever resolved, but for the targets of hard links. A directory gets its owner, mode and times
/// when it is left, as nothing is made in it any more.
///
/// A file that an earlier attempt left is moved in and patched instead of made.
pub(super) struct Extractor<'a> {
    ladder: Ladder,
    /// What the root and each directory on the ladder will be.
    directories: Vec<Member>,
    file: Option<Open>,
    earlier: Earlier,
    trouble: &'a Trouble,
}

/// The file whose contents come.
struct Open {
    file: OwnedFd,
    member: Member,
    /// Whether it holds something already.
    adopted: bool,
}

impl<'a> Extractor<'a> {
    pub(super) fn new(root: OwnedFd, earlier: Earlier, trouble: &'a Trouble) -> Self {
        Extractor { ladder: Ladder::new(root), directories: Vec::new(), file: None, earlier, trouble }
    }

    /// How many files of earlier attempts were used again.
    pub(super) fn adopted(&self) -> u64 {
        self.earlier.adopted()
    }
}

impl Sink for Extractor<'_> {
    fn member(&mut self, depth: usize, member: Member) -> Result<(), FsError> {
        if member.path.is_empty() {
            self.directories.push(member);
            return Ok(());
        }
        self.climb(depth)?;
        let own = member.path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        let name = CString::new(own).map_err(|_| self.trouble.hostile(&member.path, "has a NUL in its name"))?;
        let trouble = self.trouble;
        let made = match &member.kind {
            Kind::Directory => self.make_directory(&name),
            Kind::File { size, holes } => self.make_file(&name, *size, holes).map(|(file, adopted)| {
                self.file = Some(Open { file, member: member.clone(), adopted });
            }),
            Kind::HardLink { target } => return self.link(target, &name, &member),
            Kind::Symlink { target } => {
                self.ladder.current().and_then(|dir| rustix::fs::symlinkat(target.as_slice(), dir, &name))
            }
            Kind::Fifo => self.make_node(&name, FileType::Fifo, 0),
            Kind::Device { block, major, minor } => {
                let kind = if *block { FileType::BlockDevice } else { FileType::CharacterDevice };
                self.make_node(&name, kind, rustix::fs::makedev(*major, *minor))
            }
        };
        made.map_err(|error| match error {
            // In a directory that is made here and private, only another member can have taken the name.
            Errno::EXIST => trouble.hostile(&member.path, "comes twice"),
            _ => trouble.entry(&member.path, "make", error),
        })?;
        match &member.kind {
            Kind::Directory => self.directories.push(member),
            Kind::File { .. } | Kind::HardLink { .. } => {}
            Kind::Symlink { .. } | Kind::Fifo | Kind::Device { .. } => {
                let dir = self.ladder.current().map_err(|e| trouble.entry(&member.path, "make", e))?;
                let made = find_again(dir, &name, &member.kind);
                let made = made.map_err(|e| trouble.entry(&member.path, "find again", e))?;
                dress(Place::Handle(made.as_fd()), &member, trouble)?;
            }
        }
        Ok(())
    }

    fn data(&mut self, offset: u64, bytes: &[u8]) -> Result<(), FsError> {
        let Some(Open { file, member, adopted }) = &self.file else { return Ok(()) };
        // A disk that does not give back what it took a while ago is none to go on with: that is an error, too.
        match adopted {
            true => earlier::patch(file, offset, bytes).map_err(|e| self.trouble.entry(&member.path, "compare", e)),
            false => earlier::write_at(file, offset, bytes).map_err(|e| self.trouble.entry(&member.path, "write", e)),
        }
    }

    fn complete(&mut self) -> Result<(), FsError> {
        let Some(Open { file, member, adopted }) = self.file.take() else { return Ok(()) };
        if let Kind::File { size, holes } = &member.kind
            && (adopted || !holes.is_empty())
        {
            // A hole at the end has not made the file longer yet, and an earlier file may be longer than it should be.
            rustix::fs::ftruncate(&file, *size).map_err(|e| self.trouble.entry(&member.path, "write", e))?;
        }
        dress(Place::Open(file.as_fd()), &member, self.trouble)
    }

    fn end(&mut self) -> Result<(), FsError> {
        self.climb(0)?;
        match self.directories.pop() {
            Some(root) => dress(Place::Open(self.ladder.root()), &root, self.trouble),
            None => Ok(()),
        }
    }
}

impl Extractor<'_> {
    /// Leaves directories until only `depth` of them are entered.
    fn climb(&mut self, depth: usize) -> Result<(), FsError> {
        while self.ladder.depth() > depth {
            let Some(member) = self.directories.pop() else { break };
            let dir = self.ladder.current().map_err(|e| self.trouble.entry(&member.path, "go back to", e))?;
            dress(Place::Open(dir), &member, self.trouble)?;
            self.ladder.pop();
        }
        self.earlier.climb(depth);
        Ok(())
    }

    fn make_directory(&mut self, name: &CStr) -> Result<(), Errno> {
        rustix::fs::mkdirat(self.ladder.current()?, name, Mode::RWXU)?;
        let made = self.ladder.open_below(name)?;
        self.earlier.enter(self.ladder.depth(), name);
        self.ladder.push(name, made)
    }

    /// Gives the file, and whether it was adopted.
    fn make_file(&mut self, name: &CStr, size: u64, holes: &[Hole]) -> Result<(OwnedFd, bool), Errno> {
        let depth = self.ladder.depth();
        if let Some(file) = self.earlier.adopt(depth, name, self.ladder.current()?) {
            earlier::make_holes(&file, size, holes)?;
            return Ok((file, true));
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok((rustix::fs::openat(self.ladder.current()?, name, flags, Mode::RUSR | Mode::WUSR)?, false))
    }

    fn make_node(&mut self, name: &CStr, kind: FileType, device: u64) -> Result<(), Errno> {
        rustix::fs::mknodat(self.ladder.current()?, name, kind, Mode::RUSR | Mode::WUSR, device)
    }

    /// One more name for a file that was made before. Only regular files that stand beneath the root are linked to;
    /// links are not followed on the way.
    fn link(&mut self, target: &[u8], name: &CStr, member: &Member) -> Result<(), FsError> {
        let missing = || self.trouble.hostile(&member.path, "links to a file that does not come before it");
        let (parent, own) = match target.iter().rposition(|&byte| byte == b'/') {
            Some(at) => (&target[..at], &target[at + 1..]),
            None => (&b""[..], target),
        };
        let own = CString::new(own).map_err(|_| missing())?;
        let parent = open_beneath(self.ladder.root(), parent).map_err(|error| match error {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV => missing(),
            _ => self.trouble.entry(&member.path, "find the target of", error),
        })?;
        let found = stat(&parent, &own);
        if !found.is_ok_and(|found| file_type(&found) == FileType::RegularFile) {
            return Err(missing());
        }
        let linked = self.ladder.current().and_then(|dir| {
            // Without `SYMLINK_FOLLOW`, the name itself is linked to.
            rustix::fs::linkat(&parent, &own, dir, name, AtFlags::empty())
        });
        linked.map_err(|error| match error {
            Errno::EXIST => self.trouble.hostile(&member.path, "comes twice"),
            _ => self.trouble.entry(&member.path, "link", error),
        })
    }
}

/// Opens a directory below `root` by its path, never leaving `root` and never following a link.
fn open_beneath(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let path = if path.is_empty() { b"." } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
        // Old kernels and some sandboxes do not have the call; paths longer than it takes go step by step, too.
        Err(Errno::NOSYS | Errno::PERM | Errno::NAMETOOLONG) => open_step_by_step(root, path),
        opened => opened,
    }
}

/// The same without `openat2`. The path has no `..`, and a mount below a directory made a moment ago does not happen.
fn open_step_by_step(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = rustix::fs::openat(root, c".", flags, Mode::empty())?;
    for component in path.split(|&byte| byte == b'/').filter(|&component| component != b".") {
        at = rustix::fs::openat(&at, component, flags, Mode::empty())?;
    }
    Ok(at)
}

/// A handle of what was just made under a name. In a directory that an app reaches, something else may have the name by
/// now, or what was made another name: [`Errno::STALE`].
fn find_again(dir: BorrowedFd<'_>, name: &CStr, kind: &Kind) -> Result<OwnedFd, Errno> {
    let handle = xattr::handle(dir, name)?;
    let found = stat(&handle, c"")?;
    let same = match (kind, file_type(&found)) {
        (Kind::Symlink { .. }, FileType::Symlink) | (Kind::Fifo, FileType::Fifo) => true,
        (Kind::Device { block, major, minor }, is) => {
            let wanted = if *block { FileType::BlockDevice } else { FileType::CharacterDevice };
            is == wanted && (found.stx_rdev_major, found.stx_rdev_minor) == (*major, *minor)
        }
        _ => false,
    };
    if same && found.stx_nlink == 1 { Ok(handle) } else { Err(Errno::STALE) }
}

/// Gives an entry its owner, mode, attributes and times: in this order, because a new owner takes set-user-id and
/// capabilities away, and everything but the times changes the times.
fn dress(place: Place<'_>, member: &Member, trouble: &Trouble) -> Result<(), FsError> {
    own(place, member, trouble)?;
    let mode = Mode::from_raw_mode(member.mode);
    let set = match (place, &member.kind) {
        (_, Kind::Symlink { .. }) => Ok(()),
        (Place::Open(fd), _) => rustix::fs::fchmod(fd, mode),
        (Place::Handle(fd), _) => rustix::fs::chmod(path_of(fd), mode),
    };
    set.map_err(|e| trouble.entry(&member.path, "set the mode of", e))?;
    for (name, value) in &member.xattrs {
        match xattr::write(place, name, value) {
            Err(error) if xattr::is_of_the_host(name) => {
                let (member, name) = (Trouble::show(&member.path), Trouble::show(name));
                tracing::warn!(member, name, %error, "a security label of the host is left as it is");
            }
            written => written.map_err(|e| {
                trouble.entry(&member.path, &format!("set the attribute {} of", Trouble::show(name)), e)
            })?,
        }
    }
    let mtime = Timespec { tv_sec: member.mtime.seconds, tv_nsec: member.mtime.nanoseconds.into() };
    let times = Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: mtime };
    let set = match place {
        Place::Open(fd) => rustix::fs::futimens(fd, &times),
        Place::Handle(fd) => rustix::fs::utimensat(CWD, path_of(fd), &times, AtFlags::empty()),
    };
    set.map_err(|e| trouble.entry(&member.path, "set the times of", e))
}

fn own(place: Place<'_>, member: &Member, trouble: &Trouble) -> Result<(), FsError> {
    let (uid, gid) = (Some(Uid::from_raw(member.uid)), Some(Gid::from_raw(member.gid)));
    let (owned, found) = match place {
        Place::Open(fd) => (rustix::fs::fchown(fd, uid, gid), stat(fd, c"")),
        Place::Handle(fd) => (rustix::fs::chownat(fd, c"", uid, gid, AtFlags::EMPTY_PATH), stat(fd, c"")),
    };
    match (owned, found) {
        (Ok(()), _) => Ok(()),
        (Err(Errno::PERM), Ok(found)) if found.stx_uid == member.uid && found.stx_gid == member.gid => Ok(()),
        (Err(Errno::PERM), _) => {
            let name = Trouble::show(&member.path);
            let message = format!("cannot give `{name}` to {}:{}; run as root", member.uid, member.gid);
            Err(trouble.of(FsErrorKind::Denied, message))
        }
        (Err(error), _) => Err(trouble.entry(&member.path, "set the owner of", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_beneath_the_root_find_directories_and_follow_no_link() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("root/a/b")).unwrap();
        std::fs::create_dir_all(dir.path().join("outside/b")).unwrap();
        std::fs::write(dir.path().join("root/file"), "").unwrap();
        for (link, target) in [("up", ".."), ("out", "../outside"), ("in", "a"), ("root", "/")] {
            std::os::unix::fs::symlink(target, dir.path().join("root").join(link)).unwrap();
        }
        let root: OwnedFd = std::fs::File::open(dir.path().join("root")).unwrap().into();
        let wanted = stat(&root, c"a/b").unwrap().stx_ino;
        for open in [open_beneath, open_step_by_step] {
            let found = open(root.as_fd(), b"a/b").unwrap();
            assert_eq!(stat(&found, c"").unwrap().stx_ino, wanted);
            for path in ["up", "out", "out/b", "in", "in/b", "root", "root/etc", "file", "missing", "a/missing"] {
                assert!(open(root.as_fd(), path.as_bytes()).is_err(), "{path}");
            }
        }
        assert!(open_beneath(root.as_fd(), b"").is_ok(), "the root itself");
        assert!(open_step_by_step(root.as_fd(), b".").is_ok(), "the root itself");
    }
}
