//! Space that is kept for a full disk: what lists and deletes snapshots there has to write too.
//!
//! SQLite needs a log and its index for whoever opens the catalog, and every commit, a deletion's too, grows the log. So
//! small files lie beside the catalog that hold space and nothing else. One is removed whenever something is refused for
//! want of space, and what was refused is tried again; whoever opens the catalog makes what is missing.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FallocateFlags, fallocate},
    io::Errno,
};

use crate::birth::with_suffix;

/// Files, and not one that is cut shorter and shorter: each holds an inode too, which may be what is used up.
const PARTS: u32 = 16;

/// One is enough for the log's index, and for a commit of a few rows.
const PART_BYTES: u64 = 64 << 10;

/// The space beside a catalog.
#[derive(Clone, Debug)]
pub(crate) struct Reserve {
    dir: PathBuf,
}

impl Reserve {
    pub(crate) fn of(catalog: &Path) -> Self {
        Reserve { dir: with_suffix(catalog, ".reserve") }
    }

    /// Makes what is missing, as far as there is room. Without it everything works but a full disk, so a failure is told
    /// and no more.
    pub(crate) fn fill(&self) {
        match self.try_fill() {
            Ok(()) => {}
            // Told often enough by whatever needs the space.
            Err(error) if error.kind() == ErrorKind::StorageFull => {
                tracing::debug!(%error, "no space left to keep for the catalog");
            }
            Err(error) => tracing::warn!(%error, "no space is kept for the catalog"),
        }
    }

    fn try_fill(&self) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.dir) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        for part in 0..PARTS {
            let path = self.part(part);
            if fs::symlink_metadata(&path).is_ok_and(|there| there.len() >= PART_BYTES) {
                continue;
            }
            if let Err(error) = hold(&path) {
                // Less than a whole one would be taken for one that need not be made.
                fs::remove_file(&path).ok();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Gives a part back to the filesystem; `false` if there is none any more.
    pub(crate) fn give(&self) -> bool {
        let removed = (0..PARTS).rev().any(|part| fs::remove_file(self.part(part)).is_ok());
        if removed {
            tracing::warn!("the disk of the catalog is full: using space that was kept for this");
            // Some filesystems give freed blocks out again only when it is durable that they are free.
            File::open(&self.dir).and_then(|dir| dir.sync_all()).ok();
        }
        removed
    }

    fn part(&self, number: u32) -> PathBuf {
        self.dir.join(number.to_string())
    }
}

fn hold(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    match fallocate(&file, FallocateFlags::empty(), 0, PART_BYTES) {
        Err(Errno::OPNOTSUPP) => file.write_all(&vec![0; PART_BYTES as usize]),
        other => Ok(other?),
    }
}
