//! A member of an archive: what a tree's entry is, apart from its contents.

use crate::flags::Flags;

/// A list of extended attributes as the kernel knows them, by name.
pub(super) type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// An entry of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Path below the volume's root; empty for the root.
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    /// Permissions with set-user-id, set-group-id and sticky bit.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Time,
    pub(super) xattrs: Xattrs,
    /// How it is stored and treated; only directories and files have some.
    pub(super) flags: Flags,
}

impl Kind {
    /// Whether it is a device node that gives access to something. What an overlay makes where a lower layer's file was
    /// removed, character device 0:0, is none: there is no such device.
    pub(super) fn is_device(&self) -> bool {
        match self {
            Kind::Device { block, major, minor } => *block || (*major, *minor) != (0, 0),
            Kind::Directory | Kind::File { .. } | Kind::HardLink { .. } | Kind::Symlink { .. } | Kind::Fifo => false,
        }
    }
}

/// What kind of entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File {
        size: u64,
        holes: Vec<Hole>,
    },
    /// Another name of an earlier file.
    HardLink {
        /// Path of the file below the volume's root.
        target: Vec<u8>,
    },
    Symlink {
        target: Vec<u8>,
    },
    Fifo,
    Device {
        block: bool,
        major: u32,
        minor: u32,
    },
}

/// A range of a file that takes no space and reads as zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

/// Seconds and nanoseconds since the epoch; the nanoseconds count forward also before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Time {
    pub(super) seconds: i64,
    pub(super) nanoseconds: u32,
}

impl Member {
    /// Bytes of contents that follow in the archive.
    pub(super) fn content_bytes(&self) -> u64 {
        match &self.kind {
            Kind::File { size, .. } => *size,
            Kind::Directory | Kind::HardLink { .. } | Kind::Symlink { .. } | Kind::Fifo | Kind::Device { .. } => 0,
        }
    }

    /// Bytes that the contents take on disk, in blocks of 4096.
    pub(super) fn allocated_bytes(&self) -> u64 {
        match &self.kind {
            Kind::File { size, holes } => {
                let empty = holes.iter().map(|hole| hole.bytes).sum::<u64>();
                size.saturating_sub(empty).div_ceil(4096).saturating_mul(4096)
            }
            Kind::Directory | Kind::HardLink { .. } | Kind::Symlink { .. } | Kind::Fifo | Kind::Device { .. } => 0,
        }
    }
}
