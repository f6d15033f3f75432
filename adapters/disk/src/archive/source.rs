//! Reads a volume's tree, member by member, for whoever takes them.

use std::{
    collections::HashMap,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{FileType, Mode, OFlags, SeekFrom, Statx, StatxAttributes},
    io::Errno,
};
use volsnap_core::{
    model::{VolumeTotals, place::is_left_out, snapshot::FROZEN_LEFT_OUT},
    ports::{FsError, FsOp},
};

use super::{
    header::{self, BLOCK},
    member::{Hole, Kind, Member, Time, Xattrs},
    name,
    pax::HOLES_MAX,
    progress::Meter,
    xattr::{self, Place},
    zeros,
};
use crate::{
    flags::{Asking, Flags},
    frozen::Frozen,
    tree::{Entry, Trouble, Visitor, device, file_type, open_root, stat, walk},
};

/// Takes what a volume consists of, in order.
pub(super) trait Taker {
    /// A member that was seen. If it has been taken before and is still the same, contents included, it is not read
    /// again: its size is returned.
    fn keep(&mut self, seen: &Seen<'_>) -> Result<Option<Size>, FsError>;

    /// A file was opened. Waits until what is in flight to it has landed, where that counts; gives whether it waited, so
    /// that what is known of the file may be old.
    fn land(&mut self, _from: &Source<'_>, _stat: &Statx) -> Result<bool, FsError> {
        Ok(false)
    }

    /// The holes that a file of that size is to have, of which those were found.
    fn holes(&mut self, _from: &Source<'_>, _size: u64, found: Vec<Hole>) -> Result<Vec<Hole>, FsError> {
        Ok(found)
    }

    /// What of a member depends on the filesystem that it lies on: its flags, and the attributes of one kind of filesystem.
    fn stored(&mut self, _path: &[u8], _flags: &mut Flags, _xattrs: &mut Xattrs) {}

    /// A member begins: its header.
    fn begin(&mut self, seen: &Seen<'_>, name: &[u8], header: &[u8], size: Size) -> Result<(), FsError>;

    /// Takes a file's bytes from `at` to `end`; gives how far the file went.
    fn data(&mut self, from: &Source<'_>, at: u64, end: u64, meter: &mut Meter<'_>) -> Result<u64, FsError>;

    /// So many zeros.
    fn zeros(&mut self, bytes: u64) -> Result<(), FsError>;
}

/// A member as the walk saw it, before anything else of it was read.
pub(super) struct Seen<'a> {
    /// Path below the volume's root.
    pub(super) path: &'a [u8],
    pub(super) stat: &'a Statx,
    /// For a further name of a file its first name, and empty for all else.
    pub(super) first_name: &'a [u8],
}

/// An open file of the volume.
pub(super) struct Source<'a> {
    pub(super) path: &'a [u8],
    pub(super) file: &'a OwnedFd,
    pub(super) trouble: &'a Trouble,
}

/// Contents of a member, with holes and without, the latter in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) bytes: u64,
    pub(super) allocated: u64,
}

/// Reads the tree at `path` as volume `index`. The digest in the totals is left empty.
pub(super) fn read_volume(
    taker: &mut dyn Taker,
    index: usize,
    path: &Path,
    meter: &mut Meter<'_>,
) -> Result<VolumeTotals, FsError> {
    let trouble = Trouble::new(FsOp::Archive, path);
    let root = open_root(path, &trouble)?;
    let (flags, frozen) = (Asking::of(&root), Frozen::below(&root));
    let mut reader = Reader {
        taker,
        meter,
        trouble: &trouble,
        root: name::volume_root(index),
        links: HashMap::new(),
        totals: VolumeTotals { devices: Some(0), flags_known: flags.asks(), ..VolumeTotals::default() },
        flags,
        frozen,
    };
    let found = stat(&root, c"").map_err(|e| trouble.errno("look at", e))?;
    reader.immutable(b"", &found);
    reader.plain(b"", &found, Kind::Directory, Place::Open(root.as_fd()))?;
    walk(root, &trouble, &mut reader)?;
    Ok(reader.totals)
}

struct Reader<'a, 'm> {
    taker: &'a mut dyn Taker,
    meter: &'a mut Meter<'m>,
    trouble: &'a Trouble,
    root: Vec<u8>,
    /// Files with further names still to come: the first name, and how many names are missing.
    links: HashMap<Inode, (Vec<u8>, u32)>,
    totals: VolumeTotals,
    flags: Asking,
    frozen: Frozen,
}

impl Visitor for Reader<'_, '_> {
    fn wants(&self, depth: usize, name: &[u8]) -> bool {
        depth > 0 || !is_left_out(name)
    }

    fn passes_over(&mut self, entry: &Entry<'_>) -> bool {
        let is_frozen = self.frozen.is(entry);
        if is_frozen {
            self.unsteady(entry.path, FROZEN_LEFT_OUT);
        }
        is_frozen
    }

    fn entry(&mut self, entry: &Entry<'_>) -> Result<(), FsError> {
        self.immutable(entry.path, entry.stat);
        match file_type(entry.stat) {
            FileType::Directory => match entry.opened {
                Some(fd) => self.plain(entry.path, entry.stat, Kind::Directory, Place::Open(fd)),
                None => self.by_handle(entry, |_| Ok(Kind::Directory)),
            },
            FileType::RegularFile => self.file(entry),
            FileType::Symlink => self.by_handle(entry, |link| {
                let target = rustix::fs::readlinkat(link, c"", Vec::new())?;
                Ok(Kind::Symlink { target: target.into_bytes() })
            }),
            FileType::Fifo => self.by_handle(entry, |_| Ok(Kind::Fifo)),
            kind @ (FileType::BlockDevice | FileType::CharacterDevice) => {
                let (major, minor) = (entry.stat.stx_rdev_major, entry.stat.stx_rdev_minor);
                let kind = Kind::Device { block: kind == FileType::BlockDevice, major, minor };
                self.device(entry.path, &kind);
                self.by_handle(entry, |_| Ok(kind))
            }
            FileType::Socket => {
                self.totals.sockets_skipped += 1;
                Ok(())
            }
            FileType::Unknown => {
                self.unsteady(entry.path, "of no known kind, so it is left out");
                Ok(())
            }
        }
    }

    fn vanished(&mut self, path: &[u8]) {
        self.unsteady(path, "vanished");
    }

    fn mounted(&mut self, path: &[u8]) -> Result<(), FsError> {
        self.unsteady(path, "another filesystem, whose contents are left out");
        Ok(())
    }
}

impl Reader<'_, '_> {
    /// An entry without contents.
    fn plain(&mut self, path: &[u8], stat: &Statx, kind: Kind, place: Place<'_>) -> Result<(), FsError> {
        let seen = Seen { path, stat, first_name: b"" };
        let flags = match (&kind, place) {
            (Kind::Directory, Place::Open(fd)) => self.flags_of_dir(path, fd),
            _ => Flags::NONE,
        };
        if self.kept(&seen)? {
            return Ok(());
        }
        let xattrs = match xattr::read(place) {
            Err(Errno::NOENT) => {
                self.vanished(path);
                return Ok(());
            }
            xattrs => xattrs.map_err(|e| self.trouble.entry(path, "read the attributes of", e))?,
        };
        self.begin(&seen, Member { xattrs, flags, ..member(path, stat, kind) })
    }

    /// Tells of a device node, whether it is read again or not.
    fn device(&mut self, path: &[u8], kind: &Kind) {
        if kind.is_device() {
            *self.totals.devices.get_or_insert(0) += 1;
            if self.totals.device_names.len() < VolumeTotals::LISTED_MAX {
                self.totals.device_names.push(Trouble::show(path));
            }
        }
    }

    /// An entry without contents that is not opened.
    fn by_handle(
        &mut self,
        entry: &Entry<'_>,
        kind: impl FnOnce(BorrowedFd<'_>) -> Result<Kind, Errno>,
    ) -> Result<(), FsError> {
        let handle = xattr::handle(entry.dir, entry.name);
        match handle.and_then(|handle| kind(handle.as_fd()).map(|kind| (handle, kind))) {
            Ok((handle, kind)) => self.plain(entry.path, entry.stat, kind, Place::Handle(handle.as_fd())),
            // Gone, or replaced by what is no link.
            Err(Errno::NOENT | Errno::INVAL) => {
                self.vanished(entry.path);
                Ok(())
            }
            Err(error) => Err(self.trouble.entry(entry.path, "read", error)),
        }
    }

    /// A regular file, or one more name of it.
    fn file(&mut self, entry: &Entry<'_>) -> Result<(), FsError> {
        if entry.stat.stx_nlink > 1
            && let Some((target, missing)) = self.links.get_mut(&inode(entry.stat))
        {
            let target = target.clone();
            *missing -= 1;
            if *missing == 0 {
                self.links.remove(&inode(entry.stat));
            }
            let seen = Seen { path: entry.path, stat: entry.stat, first_name: &target };
            if self.kept(&seen)? {
                return Ok(());
            }
            return self.begin(&seen, member(entry.path, entry.stat, Kind::HardLink { target: target.clone() }));
        }
        if self.kept(&Seen { path: entry.path, stat: entry.stat, first_name: b"" })? {
            self.more_names(entry.path, entry.stat);
            return Ok(());
        }
        let opened = open_file(entry).map_err(|e| self.trouble.entry(entry.path, "open", e))?;
        let Some((file, mut before)) = opened else {
            self.vanished(entry.path);
            return Ok(());
        };
        let source = Source { path: entry.path, file: &file, trouble: self.trouble };
        if self.taker.land(&source, &before)? {
            before = stat(&file, c"").map_err(|e| self.trouble.entry(entry.path, "look at", e))?;
        }
        let size = before.stx_size;
        let xattrs = xattr::read(Place::Open(file.as_fd()));
        let xattrs = xattrs.map_err(|e| self.trouble.entry(entry.path, "read the attributes of", e))?;
        let (flags, _) = self.flags.of_entry(&file);
        let holes = if may_have_holes(&before, &xattrs) { find_holes(&file, size) } else { Ok(Vec::new()) };
        let holes = holes.map_err(|e| self.trouble.entry(entry.path, "find the holes of", e))?;
        let holes = self.taker.holes(&source, size, holes)?;
        let seen = Seen { path: entry.path, stat: &before, first_name: b"" };
        let kind = Kind::File { size, holes: holes.clone() };
        self.begin(&seen, Member { xattrs, flags, ..member(entry.path, &before, kind) })?;
        self.contents(entry.path, &file, size, &holes)?;
        let after = stat(&file, c"").map_err(|e| self.trouble.entry(entry.path, "look at", e))?;
        if changed(&before, &after) {
            self.unsteady(entry.path, "changed while it was read");
        }
        self.more_names(entry.path, &before);
        Ok(())
    }

    /// A file's first name is done; others may come.
    fn more_names(&mut self, path: &[u8], stat: &Statx) {
        if stat.stx_nlink > 1 {
            self.links.insert(inode(stat), (path.to_vec(), stat.stx_nlink - 1));
        }
    }

    /// Whether the taker has this member already.
    fn kept(&mut self, seen: &Seen<'_>) -> Result<bool, FsError> {
        match self.taker.keep(seen)? {
            Some(size) => self.count(size).map(|()| true),
            None => Ok(false),
        }
    }

    fn begin(&mut self, seen: &Seen<'_>, mut member: Member) -> Result<(), FsError> {
        self.taker.stored(&member.path, &mut member.flags, &mut member.xattrs);
        let header = header::encode(&member, &self.root, self.trouble)?;
        let size = Size { bytes: member.content_bytes(), allocated: member.allocated_bytes() };
        self.taker.begin(seen, &name::in_volume(&self.root, &member.path), &header, size)?;
        self.count(size)
    }

    fn count(&mut self, size: Size) -> Result<(), FsError> {
        self.totals.entries += 1;
        self.totals.bytes += size.bytes;
        self.totals.bytes_allocated += size.allocated;
        self.meter.add(0, 1)
    }

    /// Exactly `size` bytes, whatever the file has become since, and the padding.
    fn contents(&mut self, path: &[u8], file: &OwnedFd, size: u64, holes: &[Hole]) -> Result<(), FsError> {
        let source = Source { path, file, trouble: self.trouble };
        let mut at = 0;
        let end = Hole { offset: size, bytes: 0 };
        for hole in holes.iter().chain([&end]) {
            if at < hole.offset {
                at = self.taker.data(&source, at, hole.offset, self.meter)?;
            }
            // A file that has become shorter ends in zeros.
            let zeros = hole.offset + hole.bytes - at;
            self.zeros(zeros)?;
            at += zeros;
        }
        self.taker.zeros(size.next_multiple_of(BLOCK as u64) - size)
    }

    /// Zeros in steps, so that a hole of terabytes can be cancelled too.
    fn zeros(&mut self, mut bytes: u64) -> Result<(), FsError> {
        while bytes > 0 {
            let step = bytes.min(zeros::STEP);
            self.taker.zeros(step)?;
            self.meter.add(step, 0)?;
            bytes -= step;
        }
        Ok(())
    }

    fn unsteady(&mut self, path: &[u8], what: &str) {
        list(&mut self.totals.unsteady, path, what);
    }

    /// The flags that a restore gives back; tells of others.
    fn flags_of_dir(&mut self, path: &[u8], fd: BorrowedFd<'_>) -> Flags {
        let (flags, told) = self.flags.of_entry(fd);
        if let Some(what) = told {
            self.totals.immutable += 1;
            list(&mut self.totals.immutable_names, path, what);
        }
        flags
    }

    /// Tells of flags that are not kept.
    fn immutable(&mut self, path: &[u8], stat: &Statx) {
        let what = match stat.stx_attributes {
            set if set.contains(StatxAttributes::IMMUTABLE) => "immutable",
            set if set.contains(StatxAttributes::APPEND) => "append-only",
            set if set.contains(StatxAttributes::VERITY) => "protected by verity",
            _ => return,
        };
        self.totals.immutable += 1;
        list(&mut self.totals.immutable_names, path, what);
    }
}

/// Names an entry in one of the lists of the totals, while there is room.
fn list(names: &mut Vec<String>, path: &[u8], what: &str) {
    if names.len() < VolumeTotals::LISTED_MAX {
        let path = if path.is_empty() { b"." } else { path };
        names.push(format!("{}: {what}", Trouble::show(path)));
    }
}

/// A regular file and what it is, opened without following a link or waiting for a FIFO's writer; `None` if something
/// else or nothing is there by now.
pub(super) fn open_file(entry: &Entry<'_>) -> Result<Option<(OwnedFd, Statx)>, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = match rustix::fs::openat(entry.dir, entry.name, flags | OFlags::NOATIME, Mode::empty()) {
        // Only the owner may leave the time of access alone.
        Err(Errno::PERM) => rustix::fs::openat(entry.dir, entry.name, flags, Mode::empty()),
        opened => opened,
    };
    let file = match opened {
        Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(None),
        file => file?,
    };
    let found = stat(&file, c"")?;
    Ok((file_type(&found) == FileType::RegularFile).then_some((file, found)))
}

/// Tells a file from a later one that was given the number of one that was removed meanwhile: device, number, birth.
pub(super) type Inode = (u64, u64, i64, u32);

pub(super) fn inode(stat: &Statx) -> Inode {
    (device(stat), stat.stx_ino, stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec)
}

fn member(path: &[u8], stat: &Statx, kind: Kind) -> Member {
    Member {
        path: path.to_vec(),
        kind,
        mode: u32::from(stat.stx_mode) & 0o7777,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        mtime: Time { seconds: stat.stx_mtime.tv_sec, nanoseconds: stat.stx_mtime.tv_nsec },
        xattrs: Vec::new(),
        flags: Flags::NONE,
    }
}

/// Whether it is worth asking. Blocks that hold attributes or a map of many extents count as the file's own and can make
/// up for a hole; a small file without attributes has neither, so that its blocks tell.
fn may_have_holes(stat: &Statx, xattrs: &Xattrs) -> bool {
    let small = stat.stx_size <= 16 * 1024 && xattrs.is_empty();
    !small || stat.stx_blocks.saturating_mul(512) != stat.stx_size.next_multiple_of(4096)
}

pub(super) fn find_holes(file: &OwnedFd, size: u64) -> Result<Vec<Hole>, Errno> {
    let mut holes = Vec::new();
    let mut at = 0;
    while at < size && holes.len() < HOLES_MAX {
        let data = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => size,
            data => data?.min(size),
        };
        if data > at {
            holes.push(Hole { offset: at, bytes: data - at });
        }
        if data == size {
            break;
        }
        at = match rustix::fs::seek(file, SeekFrom::Hole(data)) {
            Err(Errno::NXIO) => size,
            hole => hole?.max(data + 1),
        };
    }
    Ok(holes)
}

fn changed(before: &Statx, after: &Statx) -> bool {
    let times = |stat: &Statx| {
        let (m, c) = (&stat.stx_mtime, &stat.stx_ctime);
        (m.tv_sec, m.tv_nsec, c.tv_sec, c.tv_nsec)
    };
    before.stx_size != after.stx_size || times(before) != times(after)
}
