//! Inode flags that say how files are stored and treated: read of what is archived, given to what is restored.

use std::{
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{FsWord, IFlags, Mode, OFlags, ioctl_getflags, ioctl_setflags},
    io::Errno,
};
use volsnap_core::{model::FlagsLeft, ports::FsError};

use crate::tree::Trouble;

/// The flags that are kept, by their letters (`chattr`, `lsattr`), in the order of a text.
///
/// Not among them: immutable and append-only, as what has them can be neither moved nor removed; a project (`P`), as which one
/// it is stands elsewhere; btrfs' `m`, which it sets by itself where compressing did not pay. What an administrator has set of
/// that is in the attribute `btrfs.compression`.
const LETTERS: [(char, IFlags); 7] = [
    ('S', IFlags::SYNC),
    ('D', IFlags::DIRSYNC),
    ('d', IFlags::NODUMP),
    ('A', IFlags::NOATIME),
    ('c', IFlags::COMPRESSED),
    ('j', IFlags::JOURNALING),
    ('C', IFlags::NOCOW),
];

/// What the root of a tree takes over from the live directory. A journal of data is a matter of files.
const INHERITED: IFlags = KEPT.difference(IFlags::JOURNALING);

const KEPT: IFlags = IFlags::SYNC
    .union(IFlags::DIRSYNC)
    .union(IFlags::NODUMP)
    .union(IFlags::NOATIME)
    .union(IFlags::COMPRESSED)
    .union(IFlags::JOURNALING)
    .union(IFlags::NOCOW);

/// Set when all is written: each write and each new name would wait for the disk.
const LATE: IFlags = IFlags::SYNC.union(IFlags::DIRSYNC);

/// Only an empty file takes them.
const OF_THE_EMPTY: IFlags = IFlags::COMPRESSED.union(IFlags::NOCOW);

/// Flags of directories that are told and not kept (`FS_ENCRYPT_FL`, `FS_DAX_FL`, `FS_PROJINHERIT_FL`, `FS_CASEFOLD_FL`).
const TOLD: [(u32, &str); 4] = [
    (0x0000_0800, "encrypted"),
    (0x0200_0000, "accessed directly (DAX)"),
    (0x2000_0000, "of a project (quota)"),
    (0x4000_0000, "without regard to case"),
];

/// `FUSE_SUPER_MAGIC`
const FUSE: FsWord = 0x6573_5546;

/// Some of the flags that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags(IFlags);

impl Default for Flags {
    fn default() -> Self {
        Flags::NONE
    }
}

impl Flags {
    pub(crate) const NONE: Flags = Flags(IFlags::empty());

    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Their letters, each once, in one order: one set has one text.
    pub(crate) fn text(self) -> String {
        LETTERS.iter().filter(|(_, flag)| self.0.contains(*flag)).map(|(letter, _)| letter).collect()
    }

    /// The flags of such a text; `None` if it is none, or empty.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let has = |letter: char| text.iter().any(|&byte| char::from(byte) == letter);
        let flags = LETTERS.iter().filter(|(letter, _)| has(*letter)).map(|(_, flag)| *flag).collect();
        let flags = Flags(flags);
        (!text.is_empty() && flags.text().as_bytes() == text).then_some(flags)
    }

    fn without(self, flags: IFlags) -> Self {
        Flags(self.0.difference(flags))
    }
}

/// Asks for the flags of a volume's entries.
///
/// That is one more call for each file and each directory, and nothing tells beforehand who has some: `statx` knows none but
/// `c` and `d`. Filesystems in FUSE are not asked, which would open each file once more and send two messages to a server
/// for it; where the root has no flags, nothing has.
pub(crate) struct Asking {
    asks: bool,
}

impl Asking {
    pub(crate) fn of(root: &OwnedFd) -> Self {
        let of_fuse = rustix::fs::fstatfs(root).is_ok_and(|found| found.f_type == FUSE);
        Asking { asks: !of_fuse && ioctl_getflags(root).is_ok() }
    }

    /// Whether what is not told has no flags.
    pub(crate) fn asks(&self) -> bool {
        self.asks
    }

    /// The flags that are kept, and what is told of others that a directory has.
    pub(crate) fn of_entry(&self, fd: impl AsFd) -> (Flags, Option<&'static str>) {
        match self.asks.then(|| ioctl_getflags(fd)) {
            Some(Ok(found)) => {
                let told = TOLD.iter().find(|(flag, _)| found.bits() & flag != 0).map(|(_, what)| *what);
                (Flags(found.intersection(KEPT)), told)
            }
            // Another filesystem may be mounted there.
            Some(Err(_)) | None => (Flags::NONE, None),
        }
    }
}

/// Gives flags to what is made.
///
/// A filesystem that does not have one is no reason to have no data: what could not be set is counted and named.
pub(crate) struct Giving {
    /// Flags that are taken away where they are inherited and not wanted.
    unwanted: IFlags,
    /// Flags that were refused, of which nothing is asked again.
    refused: AtomicU32,
    left: Mutex<FlagsLeft>,
}

impl Giving {
    /// Flags as they are archived, if it is `known` that what is not said to have some has none, and those of the `place`,
    /// which whatever is made there has. Otherwise flags are only added.
    pub(crate) fn new(known: bool, place: Flags) -> Self {
        let unwanted = if known { KEPT.difference(place.0) } else { IFlags::empty() };
        Giving { unwanted, refused: AtomicU32::new(0), left: Mutex::default() }
    }

    /// A directory's flags, as far as what is made in it inherits them.
    pub(crate) fn now(dir: impl AsFd) -> Flags {
        ioctl_getflags(dir).map_or(Flags::NONE, |found| Flags(found.intersection(KEPT)))
    }

    /// Whether a file that is there already may be given its contents: some flags count only for those written later.
    pub(crate) fn may_fill(&self, file: impl AsFd, wanted: Flags) -> bool {
        let now = Giving::now(file).0.intersection(OF_THE_EMPTY);
        let wanted = wanted.without(self.refused()).0.intersection(OF_THE_EMPTY);
        now.contains(wanted) && wanted.contains(now.intersection(self.unwanted))
    }

    /// To what was just made in a directory with the flags `above`, before anything is in it.
    pub(crate) fn early(&self, made: impl AsFd, wanted: Flags, above: Flags, path: &[u8]) {
        if !wanted.is_empty() || above.0.intersects(self.unwanted) {
            self.give(made, wanted.without(LATE), self.unwanted, path);
        }
    }

    /// To what has all its contents, before its attributes: flags take a way of compressing away.
    pub(crate) fn late(&self, made: impl AsFd, wanted: Flags, path: &[u8]) {
        let late = Flags(wanted.0.intersection(LATE));
        if !late.is_empty() {
            self.give(made, late, IFlags::empty(), path);
        }
    }

    /// An attribute of one filesystem alone, which says how a file is stored, could not be set.
    pub(crate) fn leave(&self, path: &[u8], what: &str) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.add(|| format!("{} ({what})", Trouble::show(if path.is_empty() { b"." } else { path })));
    }

    /// What could not be set.
    pub(crate) fn left(&self) -> FlagsLeft {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn refused(&self) -> IFlags {
        IFlags::from_bits_retain(self.refused.load(Ordering::Relaxed))
    }

    fn give(&self, made: impl AsFd, wanted: Flags, clear: IFlags, path: &[u8]) {
        let Ok(now) = ioctl_getflags(&made) else {
            if !wanted.is_empty() {
                self.leave(path, &wanted.text());
            }
            return;
        };
        let base = now.difference(clear);
        let possible = wanted.without(self.refused());
        let set = |flags: IFlags| flags == now || ioctl_setflags(&made, flags).is_ok();
        let mut missing = wanted.0.difference(possible.0);
        if !set(base.union(possible.0)) {
            // What is not wanted goes first: it has nothing to do with what this filesystem takes.
            let mut given = if set(base) { base } else { now };
            let unwanted = Flags(given.difference(base));
            if !unwanted.is_empty() {
                self.leave(path, &format!("not {}", unwanted.text()));
            }
            for flag in possible.0.iter() {
                match ioctl_setflags(&made, given.union(flag)) {
                    Ok(()) => given = given.union(flag),
                    Err(error) => {
                        missing = missing.union(flag);
                        // Two that exclude each other are no reason never to set the second one.
                        if error == Errno::OPNOTSUPP || error == Errno::PERM {
                            self.refused.fetch_or(flag.bits(), Ordering::Relaxed);
                        }
                    }
                }
            }
        }
        if !missing.is_empty() {
            self.leave(path, &Flags(missing).text());
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_flags_has_one_text() {
        for (text, flags) in [("C", IFlags::NOCOW), ("SDdAcjC", KEPT), ("dA", IFlags::NODUMP | IFlags::NOATIME)] {
            assert_eq!(Flags(flags).text(), text);
            assert_eq!(Flags::parse(text.as_bytes()), Some(Flags(flags)));
        }
        for bad in ["", "Ad", "CC", "i", "a", "C ", "P", "\u{e9}"] {
            assert_eq!(Flags::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
