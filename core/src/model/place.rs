//! Places on disk: what a name holds, how a directory is recognised, what a filesystem can do and has left.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::RestoreId;

/// What a directory is recognised by over renames, remounts and reboots.
///
/// An inode number is not used again while its directory lives, and the birth time tells a directory from a later one
/// that was given the same inode number. The device number is deliberately absent: it changes over a remount. Within a btrfs
/// that is not enough: a snapshot of a subvolume has the inode numbers and births of all that was in it.
///
/// What was recorded is compared with what is seen by [`Identity::is`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Inode number on its filesystem.
    pub inode: u64,
    /// Birth time in nanoseconds since the epoch (`stx_btime`), where the filesystem keeps one.
    pub birth_ns: Option<i64>,
    /// The number of the btrfs subvolume that it lies in, or is, where the kernel tells it (since Linux 6.10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subvolume: Option<u64>,
}

impl Identity {
    /// Whether the two are of one directory, as far as both know: a record of an earlier version, or a kernel that does not
    /// tell, knows no subvolume, and then that makes no difference.
    #[must_use]
    pub fn is(&self, other: Identity) -> bool {
        let same = self.subvolume.zip(other.subvolume).is_none_or(|(own, others)| own == others);
        same && (self.inode, self.birth_ns) == (other.inode, other.birth_ns)
    }
}

/// What tells a directory from every other one that there is now, in `stat`'s words.
///
/// An [`Identity`] does not where the kernel does not tell of the subvolumes of a btrfs: their roots all have one inode
/// number, and a snapshot has the births of what it was taken of. Valid for as long as the machine runs; never journalled as identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Inode {
    /// Major and minor number of its filesystem or subvolume.
    pub device: (u32, u32),
    /// Its number there.
    pub number: u64,
}

/// What a name holds, as seen just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sight {
    /// The name does not exist (and nothing else: any other error is an error).
    Absent,
    /// A directory.
    Directory {
        /// How it is recognised.
        identity: Identity,
        /// Whether it has no entries.
        empty: bool,
    },
    /// Something that is no directory (a file, a symbolic link, …).
    Other,
}

/// What stands at a volume's live path, for the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Occupant {
    /// Nothing yet: the restore will create it.
    Absent,
    /// An ordinary directory that a rename can move.
    Directory(Identity),
    /// A directory on which a filesystem is mounted.
    MountPoint(Identity),
    /// A btrfs subvolume.
    Subvolume(Identity),
    /// A directory with the immutable or append-only flag.
    Immutable(Identity),
    /// Something that is no directory.
    NotADirectory,
}

impl Occupant {
    /// What it is, if it is a directory that no rename can replace but whose entries can be moved.
    #[must_use]
    pub fn fixed(&self) -> Option<&'static str> {
        match self {
            Occupant::MountPoint(_) => Some("a mount point"),
            Occupant::Subvolume(_) => Some("the root of a btrfs subvolume"),
            Occupant::Absent | Occupant::Directory(_) | Occupant::Immutable(_) | Occupant::NotADirectory => None,
        }
    }

    /// The identity of the directory, where there is one.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        match *self {
            Occupant::Directory(id) | Occupant::MountPoint(id) | Occupant::Subvolume(id) | Occupant::Immutable(id) => {
                Some(id)
            }
            Occupant::Absent | Occupant::NotADirectory => None,
        }
    }
}

/// Tells filesystems apart for the space check. Valid for as long as the machine runs; never journalled as identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FilesystemId(pub String);

/// A mounted filesystem and what it can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesystemInfo {
    /// Groups paths that share space.
    pub id: FilesystemId,
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Its type as the kernel names it: `ext4`, `xfs`, `btrfs`, `tmpfs`, …
    pub kind: String,
    /// The disk behind it, for people; `None` where it has none.
    pub disk: Option<String>,
    /// Whether two names can be exchanged atomically (`renameat2` with `RENAME_EXCHANGE`).
    pub exchange: bool,
    /// Whether directories have birth times.
    pub births: bool,
    /// Whether it is mounted read-only.
    pub read_only: bool,
    /// By which policy a union makes names only where their directory is already: a rename into a directory that another
    /// of its disks holds then fails. `None` if it is no such union.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_preserving: Option<String>,
}

/// Space left, for an unprivileged writer's share where the caller is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// Bytes that can still be written.
    pub bytes_free: u64,
    /// Inodes that can still be made; `None` where the filesystem has no fixed number (btrfs).
    pub inodes_free: Option<u64>,
    /// Allocation unit in bytes: each file takes a multiple of it.
    pub block: u64,
}

/// A live path, resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// The path with every symbolic link resolved (also a link at its end).
    pub real: PathBuf,
    /// What stands there.
    pub occupant: Occupant,
    /// Which one that is; `None` if there is nothing.
    pub inode: Option<Inode>,
    /// Identity of the parent directory: tells a filesystem that is not mounted from an empty directory.
    pub parent: Identity,
    /// Whether this process may create and rename the names that a switch changes: in the parent, or within a
    /// directory that cannot be renamed itself ([`Occupant::fixed`]).
    pub writable: bool,
    /// The filesystem of those names, on which staging happens.
    pub filesystem: FilesystemInfo,
    /// Its space.
    pub space: Space,
    /// All ancestor directories up to `/`, nearest first: finds overlaps that strings do not show.
    pub ancestors: Vec<Inode>,
}

impl Location {
    /// Whether it lies below the other, by path or through an alias (a bind mount shows one directory under two
    /// paths).
    #[must_use]
    pub fn is_within(&self, other: &Location) -> bool {
        let by_path = self.real != other.real && self.real.starts_with(&other.real);
        by_path || other.inode.is_some_and(|inode| self.ancestors.contains(&inode))
    }

    /// Whether it is the other, by path or through an alias.
    #[must_use]
    pub fn is_same(&self, other: &Location) -> bool {
        self.real == other.real || self.inode.is_some() && self.inode == other.inode
    }

    /// Whether one of the two is the other or lies below it.
    #[must_use]
    pub fn overlaps(&self, other: &Location) -> bool {
        self.is_same(other) || self.is_within(other) || other.is_within(self)
    }
}

/// Where a directory and the mount table of this process meet, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounted {
    /// Mount points below it.
    pub within: Vec<PathBuf>,
    /// Mount points elsewhere that show it, or a directory below it (bind mounts).
    pub elsewhere: Vec<PathBuf>,
}

/// A process of the host that has a file open for writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// Its process id.
    pub pid: u32,
    /// Its name, as the kernel keeps it (cut off after 15 bytes).
    pub program: String,
    /// One of the files.
    pub path: PathBuf,
}

/// The size of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeSize {
    /// Bytes of file contents, holes included.
    pub bytes: u64,
    /// Bytes that the files take on disk.
    pub bytes_allocated: u64,
    /// Entries, the root included.
    pub entries: u64,
    /// Entries below the root that are immutable or append-only, which cannot be removed. None in a staged tree, of which
    /// the journal tells.
    #[serde(default, skip_serializing_if = "is_none")]
    pub immutable: u64,
    /// Read-only subvolumes below the root, which are counted with nothing that is in them. None in a staged tree.
    #[serde(default, skip_serializing_if = "is_none")]
    pub frozen: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the form that serde asks for
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// Name of the private directory that holds a volume's staged tree and set-aside original, beside the live directory.
pub const PRIVATE_PREFIX: &str = ".volsnap-";

/// The private directory of a volume: `<parent of live>/.volsnap-<restore>-<index>`, mode 0700.
///
/// It is made from the live path and never read from a journal: what a restore removes, it finds by this shape.
#[must_use]
pub fn private_dir(live: &Path, restore: RestoreId, index: usize) -> PathBuf {
    live.with_file_name(private_name(restore, index))
}

/// The name of a volume's private directory, wherever it lies.
#[must_use]
pub fn private_name(restore: RestoreId, index: usize) -> String {
    format!("{PRIVATE_PREFIX}{}-{index}", restore.0.simple())
}

/// The restore that gave a private directory its name; `None` for any other name.
#[must_use]
pub fn restore_of(name: &str) -> Option<RestoreId> {
    let (id, index) = name.strip_prefix(PRIVATE_PREFIX)?.rsplit_once('-')?;
    let restore = RestoreId(id.parse().ok()?);
    (private_name(restore, index.parse().ok()?) == name).then_some(restore)
}

/// Whether archives leave out this name at a volume's root: what a filesystem or volsnap itself put there.
///
/// Only names exactly as volsnap makes them: whatever else begins like one is somebody's data.
#[must_use]
pub fn is_left_out(name: &[u8]) -> bool {
    name == b"lost+found" || std::str::from_utf8(name).is_ok_and(|name| restore_of(name).is_some())
}

/// The restored tree within a private directory; after an exchange, the original.
#[must_use]
pub fn staged_in(private: &Path) -> PathBuf {
    private.join("staged")
}

/// The original within a private directory, where two renames are used or all its entries have been moved.
#[must_use]
pub fn aside_in(private: &Path) -> PathBuf {
    private.join("aside")
}

/// Where the original's entries gather within a private directory, until it holds all of them.
#[must_use]
pub fn leaving_in(private: &Path) -> PathBuf {
    private.join("leaving")
}

/// The directories within a private directory that a switch by entry makes durable.
#[must_use]
pub fn switched_by_entry_in(private: &Path) -> [PathBuf; 5] {
    [staged_in(private), leaving_in(private), aside_in(private), original_root_in(private), restored_root_in(private)]
}

/// An empty directory within a private directory that has the attributes of the original root.
#[must_use]
pub fn original_root_in(private: &Path) -> PathBuf {
    private.join("original-root")
}

/// An empty directory within a private directory that has the attributes of the restored root.
#[must_use]
pub fn restored_root_in(private: &Path) -> PathBuf {
    private.join("restored-root")
}
