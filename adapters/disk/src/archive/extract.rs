//! Makes members on disk, beneath one directory and nowhere else.

use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Uid},
    io::Errno,
};
use volsnap_core::{
    model::FlagsLeft,
    ports::{FsError, FsErrorKind},
};

use super::{
    behind::WriteBehind,
    crew::{self, Crew, Dir, Open, Task},
    earlier::{self, Earlier},
    member::{Kind, Member},
    read::Sink,
    stream::Piece,
    xattr::{self, Place, path_of},
};
use crate::{
    budget::Jobs,
    flags::{Flags, Giving},
    handles::modified_at,
    tree::{Ladder, Trouble, file_type, stat},
};

/// Extracts one volume into an empty directory.
///
/// Members come in the order of a walk, so each is made in a directory that was made here and is held open: no path
/// from the archive is ever resolved, but for the targets of hard links. Directories, links and large files are made here,
/// in order; other files, and all contents, by a [`Crew`]. A directory gets its owner, mode and times when it is left and
/// the crew has made its last file in it.
///
/// A file that an earlier attempt left is moved in and patched instead of made.
pub(super) struct Extractor<'a> {
    ladder: Ladder,
    /// What the root and each directory on the ladder will be.
    directories: Vec<Held>,
    file: Option<Coming>,
    earlier: Earlier,
    crew: Crew,
    giving: Arc<Giving>,
    /// Whether the root has its flags already.
    root_has_flags: bool,
    trouble: &'a Trouble,
}

/// A directory that was entered and not left.
enum Held {
    Own(Member),
    /// The crew makes files in it.
    Shared(Arc<Dir>),
}

/// The file whose contents come.
enum Coming {
    /// It is made when it is complete.
    Small { dir: Arc<Dir>, name: CString, member: Member, pieces: Vec<(u64, Piece)> },
    /// It is there.
    Open(Arc<Open>),
}

/// Bytes of a file that the crew makes as a whole.
const SMALL_MAX: u64 = 1 << 20;
/// Directories deeper than this are not shared with the crew: each needs a descriptor of its own until it is left.
const SHARED_DEPTH_MAX: usize = 64;

impl<'a> Extractor<'a> {
    /// `root_has_flags` if those of the archive are not to be given to the root.
    pub(super) fn new(
        root: OwnedFd,
        earlier: Earlier,
        jobs: &Jobs,
        giving: Giving,
        root_has_flags: bool,
        trouble: &'a Trouble,
    ) -> Result<Self, FsError> {
        // A descriptor of its own: a failure is told once through each.
        let synced =
            rustix::fs::openat(&root, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let synced = synced.map_err(|e| trouble.errno("open the tree in", e))?;
        let behind = WriteBehind::start(move || rustix::fs::syncfs(&synced));
        let giving = Arc::new(giving);
        let crew = Crew::start(jobs, behind, Arc::clone(&giving), trouble)?;
        let (ladder, directories, file) = (Ladder::new(root), Vec::new(), None);
        Ok(Extractor { ladder, directories, file, earlier, crew, giving, root_has_flags, trouble })
    }

    /// How many files of earlier attempts were used again.
    pub(super) fn adopted(&self) -> u64 {
        self.earlier.adopted()
    }

    /// What could not be given its inode flags.
    pub(super) fn flags_left(&self) -> FlagsLeft {
        self.giving.left()
    }
}

impl Sink for Extractor<'_> {
    fn member(&mut self, depth: usize, mut member: Member) -> Result<(), FsError> {
        if member.path.is_empty() {
            let root = self.ladder.root();
            if !self.root_has_flags {
                self.giving.early(root, member.flags, Flags::NONE, &member.path);
            }
            // What is made in it inherits what it has.
            member.flags = Giving::now(root);
            self.directories.push(Held::Own(member));
            return Ok(());
        }
        self.climb(depth)?;
        let own = member.path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        let name = CString::new(own).map_err(|_| self.trouble.hostile(&member.path, "has a NUL in its name"))?;
        let trouble = self.trouble;
        let made = match &member.kind {
            Kind::Directory => self.make_directory(&name, &member),
            Kind::File { .. } => return self.file(name, member),
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
        made.map_err(|error| crew::not_made(&member, error, trouble))?;
        match &member.kind {
            Kind::Directory => self.directories.push(Held::Own(member)),
            Kind::File { .. } | Kind::HardLink { .. } => {}
            Kind::Symlink { .. } | Kind::Fifo | Kind::Device { .. } => {
                let dir = self.ladder.current().map_err(|e| trouble.entry(&member.path, "make", e))?;
                let made = find_again(dir, &name, &member.kind);
                let made = made.map_err(|e| trouble.entry(&member.path, "find again", e))?;
                dress(Place::Handle(made.as_fd()), &member, &self.giving, trouble)?;
            }
        }
        Ok(())
    }

    fn data(&mut self, offset: u64, piece: Piece) -> Result<(), FsError> {
        match &mut self.file {
            Some(Coming::Small { pieces, .. }) => pieces.push((offset, piece)),
            Some(Coming::Open(file)) => {
                self.crew.push(Task::Write { file: Arc::clone(file), offset, piece })?;
            }
            None => {}
        }
        Ok(())
    }

    fn complete(&mut self) -> Result<(), FsError> {
        match self.file.take() {
            Some(Coming::Small { dir, name, member, pieces }) => {
                self.crew.push(Task::Make { dir, name, member, pieces })
            }
            Some(Coming::Open(file)) => self.crew.complete(file),
            None => Ok(()),
        }
    }

    fn end(&mut self) -> Result<(), FsError> {
        self.climb(0)?;
        self.crew.end()?;
        match self.directories.pop() {
            Some(root) => self.leave(root),
            None => Ok(()),
        }
    }
}

impl Extractor<'_> {
    /// Leaves directories until only `depth` of them are entered.
    fn climb(&mut self, depth: usize) -> Result<(), FsError> {
        while self.ladder.depth() > depth {
            let Some(directory) = self.directories.pop() else { break };
            self.leave(directory)?;
            self.ladder.pop();
        }
        self.earlier.climb(depth);
        Ok(())
    }

    /// Gives the current directory its attributes, or leaves that to the crew.
    fn leave(&mut self, directory: Held) -> Result<(), FsError> {
        match directory {
            Held::Shared(dir) => self.crew.leave(dir),
            Held::Own(member) => {
                let dir = self.ladder.current().map_err(|e| self.trouble.entry(&member.path, "go back to", e))?;
                dress(Place::Open(dir), &member, &self.giving, self.trouble)
            }
        }
    }

    fn make_directory(&mut self, name: &CStr, member: &Member) -> Result<(), Errno> {
        rustix::fs::mkdirat(self.ladder.current()?, name, Mode::RWXU)?;
        let made = self.ladder.open_below(name)?;
        self.giving.early(&made, member.flags, self.above(), &member.path);
        self.earlier.enter(self.ladder.depth(), name);
        self.ladder.push(name, made)
    }

    /// A file comes. One that is large, that is there from before or that lies very deep is opened now.
    fn file(&mut self, name: CString, member: Member) -> Result<(), FsError> {
        let (depth, above) = (self.ladder.depth(), self.above());
        let dir = self.ladder.current().map_err(|e| self.trouble.entry(&member.path, "make", e))?;
        let Kind::File { size, holes } = &member.kind else { return Ok(()) };
        let giving = &self.giving;
        let opened = match self.earlier.adopt(depth, &name, dir, |file| giving.may_fill(file, member.flags)) {
            Some(file) => earlier::make_holes(&file, *size, holes).map(|()| Some((file, true))),
            None if *size <= SMALL_MAX && depth <= SHARED_DEPTH_MAX => Ok(None),
            None => crew::create(dir, &name, member.mode).map(|file| Some((file, false))),
        };
        if let Ok(Some((file, _))) = &opened {
            giving.early(file, member.flags, above, &member.path);
        }
        self.file = Some(match opened.map_err(|error| crew::not_made(&member, error, self.trouble))? {
            Some((file, adopted)) => Coming::Open(Arc::new(Open { file, member, adopted })),
            None => Coming::Small { dir: self.shared(&member)?, name, member, pieces: Vec::new() },
        });
        Ok(())
    }

    /// The flags of the current directory.
    fn above(&self) -> Flags {
        match self.directories.last() {
            Some(Held::Own(member)) => member.flags,
            Some(Held::Shared(dir)) => dir.member.flags,
            None => Flags::NONE,
        }
    }

    /// The current directory, for the crew to make `member` in.
    fn shared(&mut self, member: &Member) -> Result<Arc<Dir>, FsError> {
        let made = |error| self.trouble.entry(&member.path, "make", error);
        let Some(held) = self.directories.last_mut() else { return Err(made(Errno::NOTDIR)) };
        let dir = match held {
            Held::Shared(dir) => return Ok(Arc::clone(dir)),
            Held::Own(own) => {
                let fd = self.ladder.current().and_then(|fd| rustix::io::fcntl_dupfd_cloexec(fd, 0)).map_err(made)?;
                Arc::new(Dir { fd, member: own.clone() })
            }
        };
        *held = Held::Shared(Arc::clone(&dir));
        Ok(dir)
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
        let mut found = stat(&parent, &own);
        if matches!(found, Err(Errno::NOENT)) {
            // The crew may not have come to it yet.
            self.crew.drain()?;
            found = stat(&parent, &own);
        }
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

/// Gives an entry its owner, mode, late flags, attributes and times: in this order, because a new owner takes set-user-id
/// and capabilities away, flags a way of compressing, and everything but the times changes the times. What it has already is left: to ask costs a tenth
/// of a change.
pub(super) fn dress(place: Place<'_>, member: &Member, giving: &Giving, trouble: &Trouble) -> Result<(), FsError> {
    let found = match place {
        Place::Open(fd) | Place::Handle(fd) => stat(fd, c""),
    };
    let found = found.map_err(|e| trouble.entry(&member.path, "look at", e))?;
    let owned = (found.stx_uid, found.stx_gid) == (member.uid, member.gid);
    if !owned {
        own(place, member, trouble)?;
    }
    if !owned || u32::from(found.stx_mode) & 0o7777 != member.mode {
        let mode = Mode::from_raw_mode(member.mode);
        let set = match (place, &member.kind) {
            (_, Kind::Symlink { .. }) => Ok(()),
            (Place::Open(fd), _) => rustix::fs::fchmod(fd, mode),
            (Place::Handle(fd), _) => rustix::fs::chmod(path_of(fd), mode),
        };
        set.map_err(|e| trouble.entry(&member.path, "set the mode of", e))?;
    }
    if let Place::Open(fd) = place {
        giving.late(fd, member.flags, &member.path);
    }
    for (name, value) in &member.xattrs {
        match xattr::write(place, name, value) {
            Err(_) if xattr::is_of_one_filesystem(name) => giving.leave(&member.path, &Trouble::show(name)),
            Err(error) if xattr::is_of_the_host(name) => {
                let (member, name) = (Trouble::show(&member.path), Trouble::show(name));
                tracing::warn!(member, name, %error, "a security label of the host is left as it is");
            }
            written => written.map_err(|e| {
                trouble.entry(&member.path, &format!("set the attribute {} of", Trouble::show(name)), e)
            })?,
        }
    }
    let times = modified_at(Timespec { tv_sec: member.mtime.seconds, tv_nsec: member.mtime.nanoseconds.into() });
    let set = match place {
        Place::Open(fd) => rustix::fs::futimens(fd, &times),
        Place::Handle(fd) => rustix::fs::utimensat(CWD, path_of(fd), &times, AtFlags::empty()),
    };
    set.map_err(|e| trouble.entry(&member.path, "set the times of", e))
}

fn own(place: Place<'_>, member: &Member, trouble: &Trouble) -> Result<(), FsError> {
    let (uid, gid) = (Some(Uid::from_raw(member.uid)), Some(Gid::from_raw(member.gid)));
    let owned = match place {
        Place::Open(fd) => rustix::fs::fchown(fd, uid, gid),
        Place::Handle(fd) => rustix::fs::chownat(fd, c"", uid, gid, AtFlags::EMPTY_PATH),
    };
    owned.map_err(|error| match error {
        Errno::PERM => {
            let name = Trouble::show(&member.path);
            let message = format!("cannot give `{name}` to {}:{}; run as root", member.uid, member.gid);
            trouble.of(FsErrorKind::Denied, message)
        }
        _ => trouble.entry(&member.path, "set the owner of", error),
    })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

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
