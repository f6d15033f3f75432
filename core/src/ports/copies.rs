//! Copies of what is in an archive, made elsewhere than at the live directories.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Limits, LookInto};
use crate::model::{FlagsLeft, Identity, Owners, RestoreId, TreeSize};

/// A copy to make.
#[derive(Clone, Debug)]
pub struct CopyJob {
    /// What it is made of.
    pub archive: LookInto,
    /// The private directory to make and to copy into; its parent exists, and it does not.
    pub private: PathBuf,
    /// The volumes, none of which lies within another.
    pub trees: Vec<CopyTree>,
    /// Whom the entries belong to.
    pub owners: Owners,
}

/// A volume, or parts of one, within a copy.
#[derive(Clone, Debug)]
pub struct CopyTree {
    /// The volume's index in the archive; `None` makes an empty directory (the snapshot says that there was none).
    pub index: Option<usize>,
    /// The volume's name, for progress and messages.
    pub target: String,
    /// Where its root lies below the copy's root, name by name; nothing if it is the copy's root. Directories above it
    /// are made with the process's mask.
    pub at: Vec<String>,
    /// Paths below the volume's root that are wanted, each with all that is below it; nothing for the whole volume.
    pub paths: Vec<Vec<u8>>,
    /// What the archive may ask for.
    pub limits: Limits,
}

impl CopyTree {
    /// All of the volume of that index, as the whole copy.
    #[must_use]
    pub fn whole(index: usize, target: &str, limits: Limits) -> Self {
        CopyTree { index: Some(index), target: target.into(), at: Vec::new(), paths: Vec::new(), limits }
    }
}

/// A copy that is whole and durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyMade {
    /// What was written, by tree.
    pub trees: Vec<TreeSize>,
    /// Entries that belong to somebody else in the archive than in the copy, because the copy was to be
    /// [`Owners::Mine`].
    pub owners_left: u64,
    /// Attributes that were left out for the same reason.
    pub attributes_left: u64,
    /// Entries that could not be given their inode flags.
    pub flags_left: FlagsLeft,
}

/// What a process writes down before it makes private directories that no journal speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyNote {
    /// The id that the directories' names carry.
    pub id: RestoreId,
    /// What is being done, in a word: `extract`, `clone`, `drill`.
    pub what: String,
    /// The workload whose snapshot it is, by name.
    pub workload: String,
    /// Since when.
    pub began_at: Timestamp,
    /// The directories.
    pub private: Vec<PrivateNote>,
    /// Whether containers are started on them, which carry the same id: they go before the directories. Left out where
    /// none are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub containers: bool,
    /// The container engine on which they are started ([`EngineInfo::id`](super::EngineInfo)); another one is not asked in
    /// its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
}

/// A private directory of a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateNote {
    /// Where it is made.
    pub path: PathBuf,
    /// Its parent: another directory in that place means that a filesystem is not mounted.
    pub parent: Identity,
}

/// A tree that was read back from the disk and compared with the volume it was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadBack {
    /// Bytes of contents, holes included.
    pub bytes: u64,
    /// Entries, the root included.
    pub entries: u64,
    /// What the volume's digest would be if the tree were archived.
    pub digest: String,
    /// The first member that is not what the archive says, in words; `None` if the digest is the archive's.
    pub difference: Option<String>,
}
