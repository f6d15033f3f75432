//! The Filesystem port on real disks, the archive format, and the system clock.
//!
//! [`Disk`] answers the port; all its work is blocking system calls on descriptors, off the runtime's own threads.
//! Nothing is remembered between two calls that can be seen on the disk.

mod disk;

mod archive;
mod tree;

mod attributes;
mod claim;
mod copies;
mod direct;
mod entries;
mod journal;
mod locate;
mod lock;
mod members;
mod mounts;
mod names;
mod passing;
mod probe;
mod seek;
mod state;
mod upper;
mod writers;

mod blocking;
mod budget;
mod errno;
mod flags;
mod frozen;
mod handles;

mod clock;
mod host;

pub use clock::SystemClock;
pub use disk::Disk;
pub use errno::{fs_error, sync_error};
pub use probe::{Probed, probe, probes_left};

#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing {
    //! For the fuzz targets: what must hold for any bytes that are read as an archive.

    pub use crate::archive::fuzzing::{archive, join, manifest, parts, volume};
}
