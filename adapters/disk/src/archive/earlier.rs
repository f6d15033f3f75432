//! Files that an earlier attempt at the same staging left, to be used again.
//!
//! They are of the same archive: their place carries the id of the restore, and the restore's plan the archive's digest,
//! which is compared before anything is extracted. That says where they come from and not what they hold: a power cut may
//! have left them short, torn or full of zeros, so whoever adopts one compares all of it.

use std::{
    ffi::CStr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{Advice, AtFlags, FallocateFlags, FileType, Mode, OFlags, RenameFlags},
    io::Errno,
};

use super::{
    member::Hole,
    xattr::{self, Place, path_of},
};
use crate::tree::{Ladder, file_type, stat};

/// Trees that earlier attempts left, followed in step with the tree that is made.
#[derive(Default)]
pub(super) struct Earlier {
    /// One that stands higher than the tree that is made has no such directory.
    ladders: Vec<Ladder>,
    adopted: u64,
}

impl Earlier {
    /// By their roots; in the order in which they are asked for a file.
    pub(super) fn new(roots: Vec<OwnedFd>) -> Self {
        Earlier { ladders: roots.into_iter().map(Ladder::new).collect(), adopted: 0 }
    }

    /// How many files were adopted.
    pub(super) fn adopted(&self) -> u64 {
        self.adopted
    }

    /// A directory is entered that lies `depth` directories below the root.
    pub(super) fn enter(&mut self, depth: usize, name: &CStr) {
        for ladder in self.ladders.iter_mut().filter(|ladder| ladder.depth() == depth) {
            if let Ok(dir) = ladder.open_below(name)
                && ladder.push(name, dir).is_err()
            {
                tracing::debug!("a directory of an earlier attempt cannot be looked at");
            }
        }
    }

    /// Directories are left until only `depth` of them are entered.
    pub(super) fn climb(&mut self, depth: usize) {
        for ladder in &mut self.ladders {
            while ladder.depth() > depth {
                ladder.pop();
            }
        }
    }

    /// Moves the file of that name, `depth` directories below the root, into a directory and opens it for comparison, if
    /// it `fits`.
    ///
    /// What cannot be adopted is removed at once, as its successor needs the space; what stays all the same is removed
    /// with the tree.
    pub(super) fn adopt(
        &mut self,
        depth: usize,
        name: &CStr,
        into: BorrowedFd<'_>,
        fits: impl Fn(&OwnedFd) -> bool,
    ) -> Option<OwnedFd> {
        for ladder in self.ladders.iter_mut().filter(|ladder| ladder.depth() == depth) {
            let Ok(dir) = ladder.current() else { continue };
            match take(dir, name, into, &fits) {
                Ok(file) => {
                    self.adopted += 1;
                    return Some(file);
                }
                Err(Errno::NOENT) => {}
                Err(error) => {
                    tracing::debug!(%error, "a file of an earlier attempt is not used again");
                    let _ = rustix::fs::unlinkat(dir, name, AtFlags::empty());
                }
            }
        }
        None
    }
}

/// Takes a regular file that has this one name: another name of it might be a file of its own in the archive, or one that
/// an app linked here. All that can fail comes before the rename.
fn take(
    dir: BorrowedFd<'_>,
    name: &CStr,
    into: BorrowedFd<'_>,
    fits: &dyn Fn(&OwnedFd) -> bool,
) -> Result<OwnedFd, Errno> {
    let found = xattr::handle(dir, name)?;
    let seen = stat(&found, c"")?;
    if file_type(&seen) != FileType::RegularFile || seen.stx_nlink != 1 {
        return Err(Errno::INVAL);
    }
    // By the descriptor's own name: what is opened is what was looked at, and never a device or a FIFO.
    let file = rustix::fs::open(path_of(found.as_fd()), OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    if !fits(&file) {
        return Err(Errno::INVAL);
    }
    for (attribute, _) in xattr::read(Place::Open(file.as_fd()))? {
        if !xattr::is_of_the_host(&attribute) {
            xattr::remove(file.as_fd(), &attribute)?;
        }
    }
    // Pages whose write-back failed count as clean, and would show what the disk does not have. Everything is clean now,
    // as the filesystem was synced before, so everything goes and is read from the disk again.
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
    rustix::fs::renameat_with(dir, name, into, name, RenameFlags::NOREPLACE)?;
    Ok(file)
}

/// Makes holes where the archive has some; a file on which that cannot be done is emptied. The file has its size before,
/// as btrfs keeps a block in which the file ends.
pub(super) fn make_holes(file: &OwnedFd, size: u64, holes: &[Hole]) -> Result<(), Errno> {
    if holes.is_empty() {
        return Ok(());
    }
    rustix::fs::ftruncate(file, size)?;
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let made = holes.iter().try_for_each(|hole| rustix::fs::fallocate(file, punch, hole.offset, hole.bytes));
    made.or_else(|_| rustix::fs::ftruncate(file, 0))
}

/// Bytes that are compared at a time: what is written is a multiple of that, but for the ends of a file.
const PIECE_BYTES: usize = 128 * 1024;

/// Makes a file hold these bytes at that offset, writing only where it does not hold them yet.
pub(super) fn patch(file: &OwnedFd, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
    let mut there = [0; PIECE_BYTES];
    let mut at = offset;
    for piece in bytes.chunks(PIECE_BYTES) {
        let there = &mut there[..piece.len()];
        if read_at(file, at, there)? != piece.len() || there != piece {
            write_at(file, at, piece)?;
        }
        at += piece.len() as u64;
    }
    Ok(())
}

/// Reads until it has all or the file ends; gives how much.
fn read_at(file: &OwnedFd, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut filled = 0;
    while filled < buffer.len() {
        match rustix::io::pread(file, &mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Writes all of it.
pub(super) fn write_at(file: &OwnedFd, mut offset: u64, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(file, bytes, offset) {
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
