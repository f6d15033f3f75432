//! The members of a live tree: what an archive of it would list, without writing one.

use std::{
    collections::HashMap,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{FileType, Statx},
    io::Errno,
};
use volsnap_core::{
    model::{Member, MemberKind, place::is_left_out},
    ports::{FsError, FsOp, Phase, Watch},
};

use super::{
    contents::Contents,
    find::is_below,
    progress::Meter,
    source::{Inode, find_holes, inode, open_file},
    xattr::{self, Place},
    zeros,
};
use crate::{
    flags::Asking,
    frozen::Frozen,
    tree::{Entry, Trouble, Visitor, file_type, open_root, stat, walk},
};

/// Bytes of a file that are read at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// Hands on the members at and below a path of the tree at `root`, with their contents' digests if they are asked for.
/// All of the tree is looked at, since the first name of a file may lie anywhere in it.
///
/// # Errors
/// `NotFound` if there is no tree, `Cancelled` if the observer asks for the end, what the sink gave, otherwise what
/// looking or reading gave.
pub fn living(
    root: &Path,
    path: &[u8],
    contents: bool,
    sink: &mut dyn FnMut(Member) -> Result<(), FsError>,
    watch: &Watch,
) -> Result<(), FsError> {
    let trouble = Trouble::new(FsOp::Look, root);
    let mut meter = Meter::new(watch, &trouble, Phase::Read);
    meter.tell()?;
    let opened = open_root(root, &trouble)?;
    let found = stat(&opened, c"").map_err(|e| trouble.errno("look at", e))?;
    let meter = &mut meter;
    let (asking, frozen) = (Asking::of(&opened), Frozen::below(&opened));
    let mut teller = Teller { path, contents, sink, meter, trouble: &trouble, links: HashMap::new(), asking, frozen };
    let flags = teller.flags(opened.as_fd());
    teller.plain(Member { flags, ..member(b"", &found, MemberKind::Directory) }, Place::Open(opened.as_fd()))?;
    walk(opened, &trouble, &mut teller)?;
    teller.meter.tell()
}

struct Teller<'a, 'm> {
    path: &'a [u8],
    contents: bool,
    sink: &'a mut dyn FnMut(Member) -> Result<(), FsError>,
    meter: &'a mut Meter<'m>,
    trouble: &'a Trouble,
    /// Files with further names still to come: the first name, and how many names are missing.
    links: HashMap<Inode, (Vec<u8>, u32)>,
    asking: Asking,
    frozen: Frozen,
}

impl Visitor for Teller<'_, '_> {
    fn wants(&self, depth: usize, name: &[u8]) -> bool {
        depth > 0 || !is_left_out(name)
    }

    /// Archives leave them out.
    fn passes_over(&mut self, entry: &Entry<'_>) -> bool {
        self.frozen.is(entry)
    }

    fn entry(&mut self, entry: &Entry<'_>) -> Result<(), FsError> {
        self.meter.add(0, 1)?;
        match file_type(entry.stat) {
            FileType::Directory => match entry.opened {
                Some(fd) => {
                    let flags = self.flags(fd);
                    self.plain(
                        Member { flags, ..member(entry.path, entry.stat, MemberKind::Directory) },
                        Place::Open(fd),
                    )
                }
                None => self.by_handle(entry, |_| Ok(MemberKind::Directory)),
            },
            FileType::RegularFile => self.file(entry),
            FileType::Symlink => self.by_handle(entry, |link| {
                let target = rustix::fs::readlinkat(link, c"", Vec::new())?;
                Ok(MemberKind::Symlink { target: target.into_bytes() })
            }),
            FileType::Fifo => self.by_handle(entry, |_| Ok(MemberKind::Fifo)),
            kind @ (FileType::BlockDevice | FileType::CharacterDevice) => {
                let (major, minor) = (entry.stat.stx_rdev_major, entry.stat.stx_rdev_minor);
                let block = kind == FileType::BlockDevice;
                self.by_handle(entry, |_| Ok(MemberKind::Device { block, major, minor }))
            }
            // Archives leave them out, too.
            FileType::Socket | FileType::Unknown => Ok(()),
        }
    }

    /// What is mounted there is left out; the directory itself is a member.
    fn mounted(&mut self, _: &[u8]) -> Result<(), FsError> {
        Ok(())
    }
}

impl Teller<'_, '_> {
    /// An entry whose attributes can be read at that place. One that has vanished is left out.
    fn plain(&mut self, member: Member, place: Place<'_>) -> Result<(), FsError> {
        if !is_below(&member.path, self.path) {
            return Ok(());
        }
        match xattr::read(place) {
            Ok(xattrs) => (self.sink)(Member { xattrs, ..member }),
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.trouble.entry(&member.path, "read the attributes of", error)),
        }
    }

    /// The inode flags of what is open, where they are asked for.
    fn flags(&self, fd: BorrowedFd<'_>) -> Option<String> {
        self.asking.asks().then(|| self.asking.of_entry(fd).0.text())
    }

    /// An entry that is not opened.
    fn by_handle(
        &mut self,
        entry: &Entry<'_>,
        kind: impl FnOnce(BorrowedFd<'_>) -> Result<MemberKind, Errno>,
    ) -> Result<(), FsError> {
        let handle = xattr::handle(entry.dir, entry.name);
        match handle.and_then(|handle| kind(handle.as_fd()).map(|kind| (handle, kind))) {
            Ok((handle, kind)) => self.plain(member(entry.path, entry.stat, kind), Place::Handle(handle.as_fd())),
            // Gone, or replaced by what is no link.
            Err(Errno::NOENT | Errno::INVAL) => Ok(()),
            Err(error) => Err(self.trouble.entry(entry.path, "look at", error)),
        }
    }

    /// A regular file, or one more name of it, as an archive tells them apart.
    fn file(&mut self, entry: &Entry<'_>) -> Result<(), FsError> {
        let several = entry.stat.stx_nlink > 1;
        if several && let Some((target, missing)) = self.links.get_mut(&inode(entry.stat)) {
            let target = target.clone();
            *missing -= 1;
            if *missing == 0 {
                self.links.remove(&inode(entry.stat));
            }
            return match is_below(entry.path, self.path) {
                true => (self.sink)(member(entry.path, entry.stat, MemberKind::HardLink { target })),
                false => Ok(()),
            };
        }
        if several {
            self.links.insert(inode(entry.stat), (entry.path.to_vec(), entry.stat.stx_nlink - 1));
        }
        if !is_below(entry.path, self.path) {
            return Ok(());
        }
        if !self.contents {
            return self.unread(entry);
        }
        let opened = open_file(entry).map_err(|e| self.trouble.entry(entry.path, "open", e))?;
        let Some((file, found)) = opened else { return Ok(()) };
        let contents = Some(self.digest(entry.path, &file, found.stx_size)?);
        let xattrs = xattr::read(Place::Open(file.as_fd()));
        let xattrs = xattrs.map_err(|e| self.trouble.entry(entry.path, "read the attributes of", e))?;
        let kind = MemberKind::File { bytes: found.stx_size };
        let flags = self.flags(file.as_fd());
        (self.sink)(Member { xattrs, flags, contents, ..member(entry.path, &found, kind) })
    }

    /// A file whose contents nobody asked for. Its inode flags can only be asked of what is open; of one that this process may
    /// not open they are not known.
    fn unread(&mut self, entry: &Entry<'_>) -> Result<(), FsError> {
        let kind = |stat: &Statx| MemberKind::File { bytes: stat.stx_size };
        match self.asking.asks().then(|| open_file(entry)) {
            Some(Ok(Some((file, found)))) => {
                let flags = self.flags(file.as_fd());
                self.plain(Member { flags, ..member(entry.path, &found, kind(&found)) }, Place::Open(file.as_fd()))
            }
            Some(Ok(None) | Err(_)) | None => self.by_handle(entry, |_| Ok(kind(entry.stat))),
        }
    }

    /// The digest of a file's contents, the holes of which are not read.
    fn digest(&mut self, path: &[u8], file: &OwnedFd, size: u64) -> Result<[u8; 32], FsError> {
        let holes = find_holes(file, size).map_err(|e| self.trouble.entry(path, "find the holes of", e))?;
        let (mut contents, mut buffer) = (Contents::default(), vec![0; PIECE_BYTES]);
        for hole in holes {
            self.read(path, file, &mut contents, hole.offset, &mut buffer)?;
            let end = hole.offset + hole.bytes;
            while contents.at() < end {
                let before = contents.at();
                contents.zeros(end.min(before + zeros::STEP));
                self.meter.add(contents.at() - before, 0)?;
            }
        }
        // To wherever the file ends by now.
        self.read(path, file, &mut contents, u64::MAX, &mut buffer)?;
        Ok(contents.finish())
    }

    fn read(
        &mut self,
        path: &[u8],
        file: &OwnedFd,
        contents: &mut Contents,
        end: u64,
        buffer: &mut [u8],
    ) -> Result<(), FsError> {
        while contents.at() < end {
            let wanted = usize::try_from(end - contents.at()).unwrap_or(usize::MAX).min(buffer.len());
            match rustix::io::pread(file, &mut buffer[..wanted], contents.at()) {
                Ok(0) => break,
                Ok(read) => {
                    contents.data(&buffer[..read]);
                    self.meter.add(read as u64, 0)?;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(self.trouble.entry(path, "read", error)),
            }
        }
        Ok(())
    }
}

fn member(path: &[u8], stat: &Statx, kind: MemberKind) -> Member {
    Member {
        path: path.to_vec(),
        kind,
        mode: u32::from(stat.stx_mode) & 0o7777,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        mtime_seconds: stat.stx_mtime.tv_sec,
        mtime_nanoseconds: stat.stx_mtime.tv_nsec,
        xattrs: Vec::new(),
        flags: None,
        contents: None,
    }
}
