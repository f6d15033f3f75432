//! The files of archives, and what can be seen to be wrong with one without reading it.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Snapshot, SnapshotId, WorkloadId};

/// Something that has the name of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArchiveFile {
    /// The workload, by the directory that it lies in.
    pub workload: WorkloadId,
    /// The snapshot, by its name.
    pub snapshot: SnapshotId,
    /// Its size; `None` if it is not a regular file, such as a directory or a link.
    pub bytes: Option<u64>,
}

/// Why an archive is not one that can be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "flaw", rename_all = "kebab-case")]
pub enum Flaw {
    /// Nothing has its name.
    Missing,
    /// What has its name is a directory, a link or another thing that holds no archive.
    NotAFile,
    /// The file has another size than the one that was sealed.
    Size {
        /// What it has.
        bytes: u64,
        /// What the catalog says.
        expected: u64,
    },
    /// Reading it showed damage.
    Corrupt {
        /// When.
        since: Timestamp,
    },
}

impl Flaw {
    /// What is wrong with a snapshot's archive, where these files have the names of archives.
    #[must_use]
    pub fn of(snapshot: &Snapshot, files: &BTreeMap<SnapshotId, ArchiveFile>) -> Option<Flaw> {
        let expected = snapshot.archive.archive_bytes;
        match files.get(&snapshot.id()).map(|file| file.bytes) {
            None => Some(Flaw::Missing),
            Some(None) => Some(Flaw::NotAFile),
            Some(Some(bytes)) if bytes != expected => Some(Flaw::Size { bytes, expected }),
            Some(Some(_)) => Flaw::found_in(snapshot),
        }
    }

    /// What the catalog knows to be wrong with it.
    #[must_use]
    pub fn found_in(snapshot: &Snapshot) -> Option<Flaw> {
        snapshot.corrupt_since.map(|since| Flaw::Corrupt { since })
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Missing => f.write_str("it is missing"),
            Flaw::NotAFile => f.write_str("it is not a regular file"),
            Flaw::Size { bytes, expected } => write!(f, "it has {bytes} bytes, and was written with {expected}"),
            Flaw::Corrupt { since } => write!(f, "it was found to be damaged at {since}"),
        }
    }
}
