//! What is captured while the app is quiet: bytes in files without a name, to be read again once it runs.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};
use volsnap_core::ports::FsError;

use super::{compress::io_error, progress::Meter, source::Source};
use crate::tree::Trouble;

/// Bytes held in memory until they are written.
const BUFFER: usize = 1 << 20;
/// Bytes from which a clone is less work than a copy.
const CLONE_MIN: u64 = 128 * 1024;
/// Where clones begin: a multiple of every filesystem's block.
const CLONE_ALIGN: u64 = 64 * 1024;
/// Bytes between two looks at whether to go on.
const CLONE_STEP: u64 = 1 << 30;

/// Takes bytes by copying them.
pub(super) struct Spool {
    file: File,
    /// Bytes in the file; the buffer comes after them.
    written: u64,
    buffer: Vec<u8>,
    used: usize,
    trouble: Trouble,
}

impl Spool {
    pub(super) fn new(file: File, trouble: &Trouble) -> Self {
        Spool { file, written: 0, buffer: vec![0; BUFFER], used: 0, trouble: trouble.clone() }
    }

    /// Where the next byte goes.
    pub(super) fn at(&self) -> u64 {
        self.written + self.used as u64
    }

    /// Takes a file's bytes from `at` to `end`; gives how far the file went.
    pub(super) fn take(
        &mut self,
        from: &Source<'_>,
        mut at: u64,
        end: u64,
        meter: &mut Meter<'_>,
    ) -> Result<u64, FsError> {
        while at < end {
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(BUFFER - self.used);
            match rustix::io::pread(from.file, &mut self.buffer[self.used..self.used + wanted], at) {
                Ok(0) => break,
                Ok(read) => {
                    self.used += read;
                    at += read as u64;
                    if self.used == BUFFER {
                        self.flush()?;
                    }
                    meter.add(read as u64, 0)?;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(from.trouble.entry(from.path, "read", error)),
            }
        }
        Ok(at)
    }

    fn flush(&mut self) -> Result<(), FsError> {
        let written = self.file.write_all_at(&self.buffer[..self.used], self.written);
        written.map_err(|e| io_error(&self.trouble, "keep what changed for", &e))?;
        self.written += self.used as u64;
        self.used = 0;
        Ok(())
    }

    /// The file, for reading.
    pub(super) fn finish(mut self) -> Result<File, FsError> {
        self.flush()?;
        Ok(self.file)
    }
}

/// Takes bytes by sharing the blocks of the volume's own filesystem, where it can.
pub(super) struct Clones {
    file: File,
    end: u64,
}

impl Clones {
    /// `None` if the filesystem shares no blocks, or no file can be made there.
    pub(super) fn on(root: &Path) -> Option<Self> {
        let (file, proof) = (open_unnamed(root).ok()?, open_unnamed(root).ok()?);
        proof.write_all_at(b"?", 0).ok()?;
        rustix::fs::ioctl_ficlone(&file, &proof).ok()?;
        Some(Clones { file, end: CLONE_ALIGN })
    }

    /// Takes a file's bytes from `at` to `end`, if they are enough to be worth it; gives where they are and how far
    /// the file went.
    ///
    /// It is `copy_file_range` that shares blocks, where both offsets are at the beginning of one. What it cannot share
    /// (the two files may differ in checksums or compression) it copies within the kernel.
    pub(super) fn take(
        &mut self,
        from: &Source<'_>,
        at: u64,
        end: u64,
        meter: &mut Meter<'_>,
    ) -> Result<Option<(u64, u64)>, FsError> {
        if end - at < CLONE_MIN {
            return Ok(None);
        }
        // As far from the beginning of a block as in the source.
        let offset = self.end.next_multiple_of(CLONE_ALIGN) + at % CLONE_ALIGN;
        let (mut from_at, mut to_at) = (at, offset);
        while from_at < end {
            let wanted = usize::try_from((end - from_at).min(CLONE_STEP)).unwrap_or(usize::MAX);
            let copied =
                rustix::fs::copy_file_range(from.file, Some(&mut from_at), &self.file, Some(&mut to_at), wanted);
            match copied {
                Ok(0) => break,
                Ok(copied) => meter.add(copied as u64, 0)?,
                Err(Errno::INTR) => {}
                // Copying says what is wrong, if it is anything but cloning.
                Err(_) => {
                    self.end = to_at;
                    return Ok(None);
                }
            }
        }
        self.end = to_at;
        Ok(Some((offset, from_at)))
    }

    /// The file, for reading.
    pub(super) fn finish(self) -> File {
        self.file
    }
}

/// A file without a name on the filesystem of a directory. The directory is not changed by it, its times neither.
pub(super) fn open_unnamed(dir: &Path) -> Result<File, Errno> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR).map(File::from)
}
