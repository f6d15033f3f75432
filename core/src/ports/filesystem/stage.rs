//! A volume that is extracted beside its live directory.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::{FlagsLeft, Identity, SnapshotId, TreeSize, WorkloadId};

/// What an archive may ask of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of contents in one volume, holes included.
    pub bytes_max: u64,
    /// Entries in one volume.
    pub entries_max: u64,
    /// Whether device nodes are made. Without it they are [`FsErrorKind::Hostile`](crate::error::FsErrorKind).
    pub devices: bool,
}

/// One volume to extract.
#[derive(Clone, Debug)]
pub struct StageJob {
    /// The workload whose archive it is.
    pub workload: WorkloadId,
    /// The archive.
    pub snapshot: SnapshotId,
    /// BLAKE3 of the archive's index as the plan saw it: another archive under the same name is refused.
    pub archive_digest: String,
    /// The volume's index in the archive; `None` stages an empty directory (the snapshot says that there was none).
    pub index: Option<usize>,
    /// The volume's name, for progress and messages.
    pub target: String,
    /// The private directory to make and to stage into; its parent exists.
    pub private: PathBuf,
    /// The live directory, if there is one: what is staged inherits those of its inode flags that say how files are
    /// stored (no copy-on-write, compression, synchronous writes, …), where the filesystem has them.
    pub like: Option<PathBuf>,
    /// The live directory, if the volume is switched by entry: then `leaving` and the two roots' attributes stand beside
    /// the staged tree.
    pub entries_of: Option<PathBuf>,
    /// What stands in place of the archive, if anything does; nothing of the archive is read then.
    pub standing: Option<Standing>,
    /// What the archive may ask for.
    pub limits: Limits,
    /// Whether contents that an earlier attempt left in `private` may be used again.
    pub resume: bool,
}

/// What is staged without an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A tree that an earlier restore set aside, in its private directory beside the one of this job: it is moved.
    Tree(PathBuf),
    /// There was no directory: an empty one is made.
    Nothing,
}

/// A volume that is extracted, checked, durable and named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// The restored directory.
    pub identity: Identity,
    /// What was written.
    pub size: TreeSize,
    /// Entries that could not be given their inode flags. Not known, and none, of a tree that an earlier call staged.
    pub flags_left: FlagsLeft,
}
