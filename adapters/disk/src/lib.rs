//! The Filesystem port on real disks, the archive format, and the system clock.

pub mod archive;
pub mod tree;
